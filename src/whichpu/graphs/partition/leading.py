"""Edge TPU: one leading section. Everything from the first operator that is not taken stays on the host.

Source: coral.ai, "TensorFlow models on the Edge TPU", compiling: the compiler splits the graph at the first point where
an unsupported operator occurs, and all that follows runs on the CPU.
"""

from __future__ import annotations

from whichpu.graphs.graph import Graph
from whichpu.graphs.partition import Partition, Terms
from whichpu.graphs.partition.between import sequence

BODY = "the compiler enters no body of a control-flow operator"


def partition(graph: Graph, terms: Terms) -> Partition:
    """The taken operators that no operator on the host comes before; one region, whatever the order they stand in."""
    parents = [{parent.index for parent in graph.parents(operator)} for operator in graph.operators]
    behind: dict[int, str] = {}
    region: list[int] = []
    for index in sequence(parents):
        operator = graph.operators[index]
        before = min((behind[parent] for parent in parents[index] if parent in behind), default="")
        if not terms.taken[index]:
            behind[index] = before or f"{operator.type} {operator.name!r}"
        elif before or operator.within:
            behind[index] = before or BODY
        else:
            region.append(index)
    left = {
        index: BODY if cause == BODY else f"it comes after {cause}, where the one section that Edge TPU takes has ended"
        for index, cause in behind.items()
        if terms.taken[index]
    }
    return Partition([sorted(region)] if region else [], left)
