"""OpenVINO's ``query_model``: which operators its NPU plugin takes, where the NPU's compiler library is installed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer, process
from whichpu.graphs.graph import Graph

DEVICE = "NPU"
CHILD = Path(__file__).with_name("openvino_child.py")
TIMEOUT_S = 300.0
REMEDY = (
    "pip's openvino holds the NPU plugin without its compiler; OpenVINO's archive holds both, and so does a machine "
    "with Intel's NPU driver"
)


def why_not(target: Target) -> str | None:
    """Why the NPU's compiler can't be asked here; None when it can."""
    python = target.python or sys.executable
    if not process.interpreter_holds(python, "openvino"):
        return f"{python if target.python else 'this environment'} holds no openvino: pip install openvino"
    return _missing(python)


@cache
def _missing(python: str) -> str | None:
    """Asks the plugin about a network of one operator: the library it needs is found only when it is used."""
    with tempfile.TemporaryDirectory(prefix="whichpu-openvino-") as temporary:
        found, _ = queried(python, DEVICE, Path(temporary))
    if "taken" in found:
        return None
    return f"openvino {found.get('openvino', '')} has no NPU compiler here: {REMEDY}"


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """The plugin's answer by source operator; operators that OpenVINO renamed or folded are absent."""
    process.onnx_only(path, "OpenVINO")
    with tempfile.TemporaryDirectory(prefix="whichpu-openvino-") as temporary:
        folder = Path(temporary)
        process.copied(path, folder)
        found, ended = queried(target.python or sys.executable, DEVICE, folder, "model.onnx")
    return answer(found, ended, graph, DEVICE)


def queried(python: str, device: str, folder: Path, *model: str) -> tuple[dict[str, Any], process.Ended]:
    """The child's record, and how it ended."""
    ended = process.run([python, str(CHILD), device, "answer.json", *model], folder, TIMEOUT_S)
    return process.told(folder) or {}, ended


def answer(found: Mapping[str, Any], ended: process.Ended, graph: Graph, device: str) -> Answer:
    """What the child's record tells. OpenVINO names an operator by its node, or by its output."""
    tool = f"openvino {found.get('openvino', '')}".strip()
    if "taken" not in found:
        words = found.get("error", "").splitlines()
        return Answer(tool, {}, refused=words[-1] if words else ended.how or "it told nothing", log=ended.log)
    taken: Mapping[str, bool] = found["taken"]
    verdicts = {}
    for operator in graph.operators:
        called = next((name for name in (operator.name, *(t.name for t in operator.outputs)) if name in taken), None)
        if called is not None:
            says = "" if taken[called] else f"OpenVINO's {device} plugin does not take it"
            verdicts[operator.index] = Verdict("npu" if taken[called] else "host", says, said_by=tool)
    return Answer(tool, verdicts)
