"""What could not be told: sizes that stay open, operators that the sources are silent about."""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import FEW, counted, names, plural
from whichpu.graphs.placement import Placement


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    unknown = [one.operator for one in placement.placed if one.fate == "unknown"]
    if unknown:
        says = (
            f"nothing is known of {plural(len(unknown), 'operator')} ({counted(one.type for one in unknown)}): the"
            " shares count as taken only what is known to be"
        )
        yield Finding("unknown-verdicts", says, names(unknown), {"count": len(unknown)})
    tensors = [
        tensor for operator in placement.graph.operators for tensor in operator.outputs if tensor.elements is None
    ]
    if tensors:
        says = (
            f"{plural(len(tensors), 'tensor has', 'tensors have')} no known size, so limits on shapes, MACs and bytes"
            " can't all be told: give sizes to dynamic inputs (--shape NAME=1x3x224x224)"
        )
        first = tuple(tensor.name for tensor in tensors[:FEW])
        yield Finding("open-shapes", says, (), {"count": len(tensors), "tensors": list(first)})
    if placement.graph.opset is not None and placement.graph.dialect == "onnx" and placement.graph.opset < 11:
        says = f"opset {placement.graph.opset} is old: most NPU converters expect 11 or newer; export the model again"
        yield Finding("old-opset", says, (), {"opset": placement.graph.opset})
