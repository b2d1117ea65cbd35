"""ONNX Runtime's own operators (com.microsoft) as standard ones of the same shape, while shapes are inferred.

Source: onnxruntime, docs/ContribOperators.md. ONNX's inference stops at operators it does not know; quantised models in
QOperator form are full of them.
"""

from __future__ import annotations

from typing import Any

KEPT = {"axis", "transA", "transB", "kernel_shape", "strides", "pads", "auto_pad", "ceil_mode", "dilations", "group"}
"""Attributes that the stand-ins know."""
FUNCTIONS = ("GroupNormalization", "MeanVarianceNormalization")
"""Standard operators that ONNX defines by a function, and whose shapes its inference leaves out."""
ALIKE = {
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "Gelu", "FastGelu", "QuickGelu"), "Relu"),
    **dict.fromkeys(FUNCTIONS, "Relu"),
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "FusedConv": "Conv",
}
"""Those whose first input decides; ``FusedConv`` takes all of Conv's."""
POINTWISE = {"QLinearAdd": "Add", "QLinearMul": "Mul", "QGemm": "Gemm"}


def stand_ins(model: Any) -> list[tuple[int, Any]]:
    """Replace the nodes in the model; the nodes as they were, by position. ONNX itself infers no GroupNormalization."""
    import onnx

    replaced = []
    for position, node in enumerate(model.graph.node):
        found = _standard(node) if node.domain == "com.microsoft" or node.op_type in FUNCTIONS else None
        if found is None:
            continue
        kind, inputs = found
        original = onnx.NodeProto()
        original.CopyFrom(node)
        replaced.append((position, original))
        node.op_type, node.domain = kind, ""
        del node.input[:]
        node.input.extend(inputs)
        kept = [attribute for attribute in original.attribute if attribute.name in KEPT and kind != "Relu"]
        del node.attribute[:]
        node.attribute.extend(kept)
    return replaced


def _standard(node: Any) -> tuple[str, list[str]] | None:
    """Type and inputs of the stand-in."""
    given = list(node.input)
    if node.op_type == "QLinearConcat":
        return "Concat", given[2::3]
    if node.op_type in POINTWISE and len(given) > 3:
        return POINTWISE[node.op_type], [given[0], given[3]]
    if node.op_type == "FusedConv":
        return "Conv", given[:3]
    kind = ALIKE.get(node.op_type)
    return None if kind is None or not given else (kind, given[:1])


def restore(model: Any, replaced: list[tuple[int, Any]]) -> None:
    """Put the nodes back."""
    for position, original in replaced:
        model.graph.node[position].CopyFrom(original)
