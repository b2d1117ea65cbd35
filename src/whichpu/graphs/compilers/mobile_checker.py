"""onnxruntime's mobile usability checker, for Core ML and NNAPI: it looks at operators' names and open shapes only.

It is part of onnxruntime, so that it can always be asked. It takes an optional input that is left out (``roi`` of
Resize) for an open shape and refuses the operator, which the provider itself does not. Source:
``onnxruntime.tools.mobile_helpers.usability_checker`` (MIT).
"""

from __future__ import annotations

from pathlib import Path

from whichpu.errors import UserError
from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.compilers import Answer
from whichpu.graphs.compilers.qnn import rename
from whichpu.graphs.graph import Graph

LISTS = {"mlprogram": "coreml_supported_mlprogram_ops.md", "neuralnetwork": "coreml_supported_neuralnetwork_ops.md"}
LEFT_OUT = "the checker takes an optional input that is left out for an open shape; the provider itself does not"


def why_not(target: Target) -> str | None:
    """None for ``rule=checker``; else the provider's own conditions know more, and are not to be outranked."""
    if target.options["rule"] == "checker":
        return None
    name = target.capability.name
    where = f"{name} runs on its own system only"
    return f"{where}; onnxruntime's mobile checker, which knows less, answers {name}:rule=checker"


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """The checker's partitions as verdicts. Raises :class:`UserError` for a model that is no ONNX."""
    if path.suffix.lower() != ".onnx":
        raise UserError(f"the checker reads ONNX models only, not {path.name}", "convert it to ONNX")
    import onnx
    import onnxruntime
    from onnxruntime.tools.mobile_helpers import usability_checker

    model = onnx.load(path, load_external_data=False)
    names = rename(model, graph)
    model = onnx.shape_inference.infer_shapes(model)
    if target.capability.name == "nnapi":
        found = usability_checker.check_nnapi_partitions(model, True)
    else:
        found = usability_checker.check_coreml_partitions(model, True, LISTS[target.options["format"]])
    tool = f"onnxruntime {onnxruntime.__version__} mobile checker"
    taken = {names[node.name] for group in found.supported_groups for node in group}
    verdicts = {
        operator.index: _verdict(operator.outputs[0].name in taken, None in operator.inputs, tool)
        for operator in graph.operators
        if operator.outputs
    }
    return Answer(tool, verdicts, len(found.supported_groups))


def _verdict(taken: bool, left_out: bool, tool: str) -> Verdict:
    if taken:
        return Verdict("npu", said_by=tool)
    return Verdict(
        "host", LEFT_OUT if left_out else "the checker's list does not name it, or a shape is open", said_by=tool
    )
