"""TensorRT, asked layer by layer with ``can_run_on_DLA``. Needs the Jetson itself: elsewhere TensorRT has no DLA.

No engine is built. A layer is traced to its ONNX node by the metadata that the parser writes (``[ONNX Layer: name]``,
TensorRT 8.6 on), else by its name or its output. A node of several layers runs on the DLA only if all of them can. The
child is run from the temporary folder: beside this file, ``tensorrt`` would be this very file.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer, process
from whichpu.graphs.graph import Graph

PACKAGE = "tensorrt"
TIMEOUT_S = 600.0
ORIGIN = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
NO_WORK = ("CONSTANT",)
"""Layers that only hold values: where they stand says nothing of their node."""


def why_not(target: Target) -> str | None:
    """Why TensorRT can't be asked; None when it can. Whether the board has a DLA is seen on asking."""
    name = target.capability.name
    install = f"run WhichPU on the Jetson, with {name}:python=/usr/bin/python3 (JetPack's TensorRT)"
    return process.not_held(target, PACKAGE, "tensorrt", install)


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """Ask about a copy of the model. Raises :class:`UserError` without a DLA, or for a model that is no ONNX."""
    process.onnx_only(path, "TensorRT")
    with tempfile.TemporaryDirectory(prefix="whichpu-tensorrt-") as temporary:
        folder = Path(temporary)
        nodes = named(process.copied(path, folder))
        child = shutil.copyfile(Path(__file__).with_name("tensorrt_child.py"), folder / "child.py")
        words = [target.python or sys.executable, child.name, "model.onnx", target.options["precision"], "answer.json"]
        ended = process.run(words, folder, TIMEOUT_S)
        found = process.told(folder)
    if found is None:
        raise UserError(f"TensorRT gave no answer: {ended.how or 'it wrote nothing'}", _last_words(ended.log))
    return answer(found, graph, nodes, target, ended.log)


def named(model_file: Path) -> dict[str, str]:
    """Give each node of the copy a name of its own; by name, its first output."""
    import onnx

    model = onnx.load(model_file, load_external_data=False)
    names = {}
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
        names[node.name] = next(filter(None, node.output), "")
    onnx.save(model, model_file)
    return names


def answer(found: Mapping[str, Any], graph: Graph, nodes: Mapping[str, str], target: Target, log: str = "") -> Answer:
    """Verdicts by operator. ``nodes``: the first output of each node by the name that the copy gave it."""
    if not found["cores"]:
        raise UserError(f"TensorRT {found['version']} finds no DLA on this machine", "ask on the Jetson itself")
    tool = f"TensorRT {found['version']}"
    if found.get("refused"):
        return Answer(tool, {}, refused=found["refused"], log=log)
    made = _by_output(found["layers"], nodes)
    by_tensor = {tensor.name: operator.index for operator in graph.operators for tensor in operator.outputs}
    verdicts = {
        by_tensor[output]: _verdict(layers, target, tool) for output, layers in made.items() if output in by_tensor
    }
    return Answer(tool, verdicts, figures={"layers": len(found["layers"])}, log=log)


def _by_output(layers: list[dict[str, Any]], nodes: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Layers by the first output of the node that they come from."""
    outputs = set(nodes.values())
    made: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for layer in layers:
        if layer["type"] in NO_WORK:
            continue
        origins = [nodes[name] for name in ORIGIN.findall(layer["metadata"]) if name in nodes]
        if not origins and layer["name"] in nodes:
            origins = [nodes[layer["name"]]]
        for output in origins or [name for name in layer["outputs"] if name in outputs]:
            made[output].append(layer)
    return made


def _verdict(layers: list[dict[str, Any]], target: Target, tool: str) -> Verdict:
    off = [layer for layer in layers if not layer["dla"]]
    if not off:
        return Verdict("npu", said_by=tool)
    said = [words.removeprefix(f"{off[0]['name']}: ") for words in off[0]["said"]]
    reason = "; ".join(said) or f"can_run_on_DLA says no to its {off[0]['type']} layer"
    return Verdict("host" if target.hosted else "refused", reason, source="can_run_on_DLA", said_by=tool)


def _last_words(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
