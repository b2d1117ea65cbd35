"""Quantiser gaps: operators that stayed in float in a network that is otherwise in integers.

TFLite's post-training quantiser has no integer form of ELU, Erf, Sqrt and others and leaves them in float; ONNX
quantisers leave out what they do not know. Source: the quantisation specification of LiteRT, and ONNX Runtime's
registry of quantisable operators.
"""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import (
    DEQUANTISE,
    QUANTISE,
    converts,
    counted,
    fed,
    in_float,
    names,
    plural,
    quantised,
    unit,
)
from whichpu.graphs.graph import Graph, Operator
from whichpu.graphs.placement import Placement

JOINED = frozenset({"Relu", "Clip"})
"""Operators that ONNX quantisers let stand between an operator and its quantise."""


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    graph = placement.graph
    if not quantised(graph.operators):
        return
    found = [operator for operator in gaps(graph) if placement.placed[operator.index].fate != "folded"]
    left = [operator for operator in found if placement.placed[operator.index].fate != "accelerator"]
    if not found:
        return
    says = (
        f"the network is quantised, but {plural(len(found), 'operator')} stayed in float:"
        f" {counted(operator.type for operator in found)};"
        f" the {unit(placement)} takes {len(found) - len(left) or 'none'} of them so"
    )
    yield Finding("quantiser-gap", says, names(found), {"count": len(found), "left": len(left)})


def gaps(graph: Graph) -> list[Operator]:
    """Operators that compute in float; in ONNX an operator between dequantise and quantise counts as integer."""
    found = []
    for operator in graph.operators:
        if converts(operator) or not in_float(operator) or not fed(operator):
            continue
        if graph.dialect != "onnx" or not _wrapped(graph, operator):
            found.append(operator)
    return found


def _wrapped(graph: Graph, operator: Operator) -> bool:
    """Is it in integers once its dequantise and quantise are folded in? Activations may stand before the quantise."""
    opened = all(_opens(tensor.producer) for tensor in fed(operator))
    children = list(graph.children(operator))
    return opened and bool(children) and all(child.type in QUANTISE or child.type in JOINED for child in children)


def _opens(producer: Operator | None) -> bool:
    if producer is not None and producer.type not in DEQUANTISE:
        return any(tensor is not None and _dequantised(tensor.producer) for tensor in producer.inputs[:1])
    return _dequantised(producer)


def _dequantised(producer: Operator | None) -> bool:
    return producer is not None and producer.type in DEQUANTISE
