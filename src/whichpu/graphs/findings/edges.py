"""Float inputs and outputs of a network in integers: each costs a conversion at the edge, mostly on the host."""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.graphs.cost import added
from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import FEW, FLOATS, host, quantised, size, unit
from whichpu.graphs.placement import Placement


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    graph = placement.graph
    if not quantised(graph.operators):
        return
    inputs = [tensor for tensor in graph.inputs if tensor.dtype in FLOATS]
    outputs = [tensor for tensor in graph.outputs if tensor.dtype in FLOATS]
    if not inputs and not outputs:
        return
    edges = [("input", inputs), ("output", outputs)]
    parts = [f"{len(found)} {word}{'s' if len(found) > 1 else ''}" for word, found in edges if found]
    moved = added([tensor.bytes for tensor in (*inputs, *outputs)])
    says = (
        f"{' and '.join(parts)} of this quantised network are in float ({size(moved)}): they are converted on the"
        f" {host(placement)} unless the {unit(placement)} takes the conversion; feed and read integers instead"
    )
    tensors = [tensor.name for tensor in (*inputs, *outputs)][:FEW]
    yield Finding(
        "float-edges", says, (), {"inputs": len(inputs), "outputs": len(outputs), "bytes": moved, "tensors": tensors}
    )
