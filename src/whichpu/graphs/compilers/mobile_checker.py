"""onnxruntime's mobile usability checker, for Core ML and NNAPI: it looks at operators' names and open shapes only.

It is part of onnxruntime, so that it can always be asked. It takes an optional input that is left out (``roi`` of
Resize) for an open shape and refuses the operator, which the provider itself does not. Source:
``onnxruntime.tools.mobile_helpers.usability_checker`` (MIT).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer, process
from whichpu.graphs.compilers.qnn import named
from whichpu.graphs.graph import Graph

LISTS = {"mlprogram": "coreml_supported_mlprogram_ops.md", "neuralnetwork": "coreml_supported_neuralnetwork_ops.md"}
CHILD = Path(__file__).with_name("mobile_child.py")
TIMEOUT_S = 120.0
LEFT_OUT = "the checker takes an optional input that is left out for an open shape; the provider itself does not"
NOT_NAMED = "the checker's list does not name it, or a shape is open"


def why_not(target: Target) -> str | None:
    """None for ``rule=checker``; else the provider's own conditions know more, and are not to be outranked."""
    name = target.capability.name
    if target.options["rule"] != "checker":
        where = f"{name} runs on its own system only"
        return f"{where}; onnxruntime's mobile checker, which knows less, answers {name}:rule=checker"
    python = target.python or sys.executable
    return None if process.interpreter_holds(python, "onnxruntime") else f"{python} holds no onnxruntime"


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """The checker's partitions as verdicts. Raises :class:`UserError` for a model that is no ONNX."""
    process.onnx_only(path, "the checker")
    with tempfile.TemporaryDirectory(prefix="whichpu-mobile-") as temporary:
        folder = Path(temporary)
        names = named(process.copied(path, folder), graph)
        words = [target.python or sys.executable, str(CHILD), list_of(target), "answer.json", "model.onnx"]
        ended = process.run(words, folder, TIMEOUT_S)
        found = process.told(folder) or {}
    return answer(found, ended, graph, names)


def list_of(target: Target) -> str:
    """What the child calls the target's list."""
    return "nnapi" if target.capability.name == "nnapi" else LISTS[target.options["format"]]


def answer(found: Mapping[str, Any], ended: process.Ended, graph: Graph, names: Mapping[str, str]) -> Answer:
    """What the child's record tells, by source operator."""
    tool = f"onnxruntime {found.get('onnxruntime', '')} mobile checker"
    if "groups" not in found:
        return Answer(tool, {}, refused=ended.how or "it told nothing", log=ended.log)
    taken = {names[name] for group in found["groups"] for name in group}
    verdicts = {
        operator.index: _verdict(operator.outputs[0].name in taken, None in operator.inputs, tool)
        for operator in graph.operators
        if operator.outputs
    }
    return Answer(tool, verdicts, len(found["groups"]))


def _verdict(taken: bool, left_out: bool, tool: str) -> Verdict:
    if taken:
        return Verdict("npu", said_by=tool)
    return Verdict("host", LEFT_OUT if left_out else NOT_NAMED, said_by=tool)
