"""Operators as they stand."""

from __future__ import annotations

from dataclasses import replace

from whichpu.graphs.capability import Target
from whichpu.graphs.graph import Graph, Operator, Tensor


def lower(graph: Graph, target: Target) -> Graph:
    """The same operators, each its own origin."""
    del target
    return copied(graph)


def copied(graph: Graph) -> Graph:
    """The graph again with tensors of its own, so that changing the copy leaves the source alone."""
    twins: dict[int, Tensor] = {}

    def twin(tensor: Tensor) -> Tensor:
        if id(tensor) not in twins:
            twins[id(tensor)] = replace(tensor, producer=None, consumers=[])
        return twins[id(tensor)]

    operators = [
        Operator(
            index=operator.index,
            name=operator.name,
            type=operator.type,
            inputs=[None if tensor is None else twin(tensor) for tensor in operator.inputs],
            outputs=[twin(tensor) for tensor in operator.outputs],
            attributes=operator.attributes,
            domain=operator.domain,
            within=operator.within,
            origins=operator.origins or (operator.index,),
        )
        for operator in graph.operators
    ]
    inputs, outputs = [twin(tensor) for tensor in graph.inputs], [twin(tensor) for tensor in graph.outputs]
    return Graph(graph.name, graph.dialect, operators, inputs, outputs, graph.opset, list(graph.notes)).connect()
