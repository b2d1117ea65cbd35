"""OpenVINO's ``query_model``: which operators its NPU plugin takes, where the NPU's compiler library is installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer
from whichpu.graphs.graph import Graph

DEVICE = "NPU"
REMEDY = (
    "pip's openvino holds the NPU plugin without its compiler; OpenVINO's archive holds both, and so does a machine "
    "with Intel's NPU driver"
)


def why_not(target: Target) -> str | None:
    """Why the NPU's compiler can't be asked here; None when it can."""
    del target
    return _missing()


@cache
def _missing() -> str | None:
    """Asks the plugin about a network of one operator: the library it needs is found only when it is used."""
    try:
        import openvino as ov
    except ImportError:
        return "openvino is not installed here: pip install openvino"
    one = ov.opset13.parameter([1, 4], ov.Type.f32)
    try:
        ov.Core().query_model(ov.Model([ov.opset13.relu(one)], [one]), DEVICE)
    except RuntimeError:
        return f"openvino {ov.__version__.partition('-')[0]} has no NPU compiler here: {REMEDY}"
    return None


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """The plugin's answer by source operator; operators that OpenVINO renamed or folded are absent."""
    del target
    import openvino as ov

    return answer(path, graph, ov.Core(), DEVICE, f"openvino {ov.__version__.partition('-')[0]}")


def answer(path: Path, graph: Graph, core: Any, device: str, tool: str) -> Answer:
    """What ``query_model`` tells of a device. OpenVINO names an operator by its output, or by its node."""
    if path.suffix.lower() not in (".onnx", ".tflite"):
        raise UserError(f"OpenVINO is asked with ONNX and TFLite models only, not with {path.name}", "convert it")
    try:
        model = core.read_model(path)
        taken = core.query_model(model, device)
    except RuntimeError as problem:
        return Answer(tool, {}, refused=str(problem).strip().splitlines()[-1])
    known = {name: name in taken for operation in model.get_ops() for name in _names(operation)}
    verdicts = {}
    for operator in graph.operators:
        called = next((name for name in (operator.name, *(t.name for t in operator.outputs)) if name in known), None)
        if called is not None:
            says = "" if known[called] else f"OpenVINO's {device} plugin does not take it"
            verdicts[operator.index] = Verdict("npu" if known[called] else "host", says, said_by=tool)
    return Answer(tool, verdicts)


def _names(operation: Any) -> list[str]:
    return [operation.get_friendly_name()]
