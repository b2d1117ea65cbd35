"""An ONNX network as ONNX Runtime's execution providers see it: what its own optimiser drops is gone, node units stand.

A float network judged for an integer precision is taken as its quantiser would leave it: every float tensor of an
operator that forms node units counts as quantised.
"""

from __future__ import annotations

from whichpu.graphs.capability import Target
from whichpu.graphs.graph import Graph, Operator, Quantisation, Tensor
from whichpu.graphs.lowering.none import copied
from whichpu.graphs.lowering.qdq import fold_qdq
from whichpu.graphs.lowering.units import DQ, KNOWN, Q

DROPPED = ("Identity", "Dropout")
INTEGER = {"w8a8": "uint8", "w8a16": "uint16"}
AS_IF = Quantisation((1.0,), (0,))
"""Stands for the scale that a quantiser would find."""
AS_IF_NOTE = (
    "the model is float: for {precision} it is judged as its quantised form would be. Quantise it and analyse that to "
    "be sure"
)


def lower(graph: Graph, target: Target) -> Graph:
    """Node units by the selectors' rules; without Q and DQ, a float network as if quantised where precision asks."""
    lowered = fold_qdq(without_passing(graph), known_only=True, qoperators=False)
    dtype = INTEGER.get(target.options.get("precision", ""))
    if dtype is not None and graph.dialect == "onnx" and not any(one.type in (Q, DQ) for one in graph.operators):
        _as_if_quantised(lowered, dtype)
        lowered.notes.append(AS_IF_NOTE.format(precision=target.options["precision"]))
    return lowered


def without_passing(graph: Graph) -> Graph:
    """The graph without operators that hand on their input; one that makes an output of the network stays."""
    outputs = {id(tensor) for tensor in graph.outputs}
    passing = [
        one
        for one in graph.operators
        if one.type in DROPPED and not one.domain and not any(id(tensor) in outputs for tensor in one.outputs)
    ]
    if graph.dialect != "onnx" or not passing:
        return graph
    work, dropped = copied(graph), {one.index for one in passing}
    instead: dict[int, Tensor | None] = {}
    kept: list[Operator] = []
    for one in work.operators:
        one.inputs = [None if tensor is None else instead.get(id(tensor), tensor) for tensor in one.inputs]
        if one.index in dropped:
            instead[id(one.outputs[0])] = one.input(0)
        else:
            kept.append(one)
    for one in work.operators:
        for tensor in (*one.inputs, *one.outputs):
            if tensor is not None:
                tensor.producer, tensor.consumers = None, []
    work.operators = kept
    return work.connect()


def _as_if_quantised(graph: Graph, dtype: str) -> None:
    """Erf is left out: the Gelu form that it stands in is fused before it would be quantised."""
    kept = {id(tensor) for one in graph.operators if one.type == "Erf" for tensor in one.inputs}
    for one in graph.operators:
        if one.type not in KNOWN:
            continue
        for tensor in (*one.inputs, *one.outputs):
            if tensor is not None and (tensor.dtype or "").startswith("float") and id(tensor) not in kept:
                tensor.dtype, tensor.quantisation = dtype, tensor.quantisation or AS_IF
