"""ONNX Runtime with Qualcomm's QNN provider: it compiles for the HTP on x86 and tells where each node goes.

What fails there fails silently elsewhere: a provider that can't be made gives a session on the CPU. So an answer counts
only when the session holds the provider. Source: onnxruntime-qnn 2.7.0; ONNX Runtime, QNN execution provider.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer, process
from whichpu.graphs.graph import Graph, Operator

PACKAGE = "onnxruntime_qnn"
PROVIDER = "QNNExecutionProvider"
TIMEOUT_S = 300.0
SOC_MODEL = {"73": "43", "68": "30"}
"""A chip of each generation, by QNN's number: Snapdragon 8 Gen 2, Snapdragon 888. Float needs it named."""
RENAMED = re.compile(r"_token_\d+$|/.*$")
"""What ONNX Runtime adds to a name: after a change of layout, after a fusion, on a copy."""


def why_not(target: Target) -> str | None:
    """Why the provider can't be asked; None when it can."""
    if process.interpreter_holds(target.python or sys.executable, PACKAGE):
        return None
    where = f"{target.python} holds no onnxruntime-qnn" if target.python else "onnxruntime-qnn is not installed here"
    return (
        f"{where}: pip install onnxruntime-qnn in an environment of its own, then {target.capability.name}:python=PATH"
    )


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """Compile a copy of the model; a float one is quantised first where the target's precision is an integer one."""
    if path.suffix.lower() != ".onnx":
        raise UserError(f"QNN's provider is asked with ONNX models only, not with {path.name}", "convert it to ONNX")
    with tempfile.TemporaryDirectory(prefix="whichpu-qnn-") as temporary:
        folder = Path(temporary)
        names = named(process.copied(path, folder), graph)
        model = quantised(folder, target.options["precision"], graph)
        child = Path(__file__).with_name("qnn_child.py")
        words = [target.python or sys.executable, str(child), json.dumps(options(target)), model, "answer.json"]
        ended = process.run(words, folder, TIMEOUT_S)
        out = folder / "answer.json"
        found = json.loads(out.read_text()) if out.is_file() else {}
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


def quantised(folder: Path, precision: str, graph: Graph) -> str:
    """The file to compile: the model, or what ONNX Runtime's quantiser makes of a float one where asked."""
    if precision == "fp16" or any(
        operator.type in ("QuantizeLinear", "DequantizeLinear") for operator in graph.operators
    ):
        return "model.onnx"
    from onnxruntime.quantization import QuantType, quantize
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config, qnn_preprocess_model

    source, made = folder / "model.onnx", folder / "quantised.onnx"
    prepared = folder / "prepared.onnx"
    logging.getLogger().addFilter(_quiet)
    try:
        if qnn_preprocess_model(str(source), str(prepared)):
            source = prepared
        activations = QuantType.QUInt16 if precision == "w8a16" else QuantType.QUInt8
        config = get_qnn_qdq_config(
            str(source), _Samples(source), activation_type=activations, weight_type=QuantType.QUInt8
        )
        quantize(str(source), str(made), config)
    except Exception as problem:  # the quantiser raises many kinds
        raise UserError(
            f"ONNX Runtime's quantiser does not take the model: {problem}", "quantise it and analyse that"
        ) from problem
    finally:
        logging.getLogger().removeFilter(_quiet)
    return made.name


def _quiet(record: logging.LogRecord) -> bool:
    """The quantiser advises at the root logger to prepare the model, though it is."""
    return "pre-processing" not in record.getMessage()


NUMBERS = {"float": "float32", "double": "float64"}
"""ONNX Runtime's words for element types where they are not NumPy's."""


class _Samples:
    """Two random samples: they set scales, never where an operator runs."""

    def __init__(self, model: Path) -> None:
        import numpy as np
        import onnxruntime

        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        random = np.random.default_rng(0)
        self.left: list[dict[str, Any]] = [{}, {}]
        for given in session.get_inputs():
            kind = given.type.removeprefix("tensor(").removesuffix(")")
            dtype = NUMBERS.get(kind, kind)
            shape = [size if isinstance(size, int) else 1 for size in given.shape]
            for sample in self.left:
                values = random.standard_normal(shape) if dtype.startswith("float") else np.zeros(shape)
                sample[given.name] = values.astype(dtype)

    def get_next(self) -> dict[str, Any] | None:
        return self.left.pop() if self.left else None

    def set_range(self, start_index: int, end_index: int) -> None:
        """Not asked for: ONNX Runtime calls it for samples that come in parts."""


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
