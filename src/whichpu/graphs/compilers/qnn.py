"""ONNX Runtime with Qualcomm's QNN provider: it compiles for the HTP on x86 and tells where each node goes.

What fails there fails silently elsewhere: a provider that can't be made gives a session on the CPU. So an answer counts
only when the session holds the provider. Source: onnxruntime-qnn 2.7.0; ONNX Runtime, QNN execution provider.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer, process
from whichpu.graphs.graph import CONVERSIONS, Graph, Operator

PACKAGE = "onnxruntime_qnn"
PROVIDER = "QNNExecutionProvider"
CHILD = Path(__file__).with_name("qnn_child.py")
QUANTISER = Path(__file__).with_name("qnn_quantise_child.py")
TIMEOUT_S = 300.0
SOC_MODEL = {"73": "43", "68": "30"}
"""A chip of each generation, by QNN's number: Snapdragon 8 Gen 2, Snapdragon 888. Float needs it named."""
RENAMED = re.compile(r"_token_\d+$|/.*$")
"""What ONNX Runtime adds to a name: after a change of layout, after a fusion, on a copy."""


def why_not(target: Target) -> str | None:
    """Why the provider can't be asked; None when it can."""
    install = f"pip install onnxruntime-qnn in an environment of its own, then {target.capability.name}:python=PATH"
    return process.not_held(target, PACKAGE, "onnxruntime-qnn", install)


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """Compile a copy of the model; a float one is quantised first where the target's precision is an integer one."""
    process.onnx_only(path, "QNN's provider")
    with tempfile.TemporaryDirectory(prefix="whichpu-qnn-") as temporary:
        folder = Path(temporary)
        names = named(process.copied(path, folder), graph)
        precision = target.options["precision"]
        model = quantised(folder, precision) if to_quantise(precision, graph) else "model.onnx"
        words = [target.python or sys.executable, str(CHILD), json.dumps(options(target)), model, "answer.json"]
        ended = process.run(words, folder, TIMEOUT_S)
        found = process.told(folder) or {}
    return answer(found, ended, graph, names)


def options(target: Target) -> dict[str, str]:
    """Options of the provider for a target."""
    arch = target.capability.name.removeprefix("htp-v")
    chosen = {"htp_arch": arch, "offload_graph_io_quantization": "0" if target.options["graph_io"] == "npu" else "1"}
    if target.options["precision"] == "fp16":
        chosen["enable_htp_fp16_precision"] = "1"
    if target.options["precision"] == "fp16" or target.options["soc"] == "given":
        chosen["soc_model"] = SOC_MODEL.get(arch, "0")
    return chosen


def named(copy: Path, graph: Graph) -> dict[str, str]:
    """Give each node of the copy a name of its own and its inputs their sizes; the first output of each name."""
    import onnx

    model = onnx.load(copy, load_external_data=False)
    names = rename(model, graph)
    onnx.save(model, copy)
    return names


def rename(model: Any, graph: Graph) -> dict[str, str]:
    """Names and sizes as :func:`named` gives them, in a parsed model."""
    names = {}
    for index, node in enumerate(_nodes(model.graph)):
        node.name = f"n{index}"
        names[node.name] = next(filter(None, node.output), "")
    sizes = {tensor.name: tensor.shape for tensor in graph.inputs if tensor.elements is not None}
    for value in model.graph.input:
        for size, given in zip(value.type.tensor_type.shape.dim, sizes.get(value.name) or (), strict=False):
            size.dim_value = given or 0
    return names


def _nodes(body: Any) -> Iterator[Any]:
    for node in body.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def to_quantise(precision: str, graph: Graph) -> bool:
    """Whether the model is float and the precision is not."""
    return precision != "fp16" and not any(operator.type in CONVERSIONS for operator in graph.operators)


def quantised(folder: Path, precision: str) -> str:
    """What ONNX Runtime's quantiser makes of the copy; raises :class:`UserError` where it does not take it."""
    words = [sys.executable, str(QUANTISER), precision, "model.onnx", "quantised.onnx"]
    ended = process.run(words, folder, TIMEOUT_S)
    if not (folder / "quantised.onnx").is_file():
        said = next((line for line in ended.log.splitlines() if line.startswith("model.onnx: ")), ended.how)
        raise UserError(
            f"ONNX Runtime's quantiser does not take the model ({said.removeprefix('model.onnx: ')})",
            "quantise it and analyse that",
        )
    return "quantised.onnx"


def answer(found: Mapping[str, Any], ended: process.Ended, graph: Graph, names: Mapping[str, str]) -> Answer:
    """What the child's record tells, by source operator."""
    tool = f"onnxruntime-qnn {found.get('onnxruntime_qnn', '')}".strip()
    if "error" in found or not found:
        return Answer(tool, {}, refused=found.get("error") or ended.how or "it told nothing", log=ended.log)
    if PROVIDER not in found["providers"]:
        return Answer(
            tool, {}, refused="the provider was not made, and ONNX Runtime fell back to the CPU", log=ended.log
        )
    made = {tensor.name: operator for operator in graph.operators for tensor in operator.outputs}
    outputs = {id(tensor) for tensor in graph.outputs}
    verdicts: dict[int, Verdict] = {}
    for part in found["parts"]:
        taken = part["provider"] == PROVIDER
        for name, _ in part["nodes"]:
            operator = made.get(names.get(RENAMED.sub("", name), ""))
            if operator is None or _moved(operator, outputs):
                continue
            said = Verdict("npu" if taken else "host", "" if taken else "QNN EP left it to the CPU", said_by=tool)
            kept = verdicts.get(operator.index)
            verdicts[operator.index] = said if kept is None or kept.status == "npu" else kept
    regions = sum(part["provider"] == PROVIDER for part in found["parts"])
    return Answer(tool, verdicts, regions, figures={"onnxruntime": found["onnxruntime"]}, log=ended.log)


def _moved(operator: Operator, outputs: set[int]) -> bool:
    """A DQ at the model's output: a change of layout in front of it leaves its name to another."""
    return operator.type == "DequantizeLinear" and any(id(tensor) in outputs for tensor in operator.outputs)
