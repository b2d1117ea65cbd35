"""Hailo's rule: nothing falls back on the chip, so the network is cut at start and end nodes.

What stands before the start nodes (a cast, a normalisation) and what stands behind the end nodes (a decoder, NMS) runs
on the host; all between must be taken. The chip's part ends before the first operator behind it that is not taken, and
nothing behind that one comes back. An operator of which the sources do not tell cuts nothing: its verdict says so.
"""

from __future__ import annotations

from whichpu.graphs.graph import Graph, Operator
from whichpu.graphs.partition import Partition, Terms
from whichpu.graphs.partition.between import sequence

BEFORE, CHIP, BEHIND = range(3)


def partition(graph: Graph, terms: Terms) -> Partition:
    """One region, between start and end nodes. Taken operators behind it are left to the host, each with the cut."""
    stage = [BEFORE] * len(graph.operators)
    cut: dict[int, str] = {}
    parents = [{parent.index for parent in graph.parents(operator)} for operator in graph.operators]
    for index in sequence(parents):
        operator = graph.operators[index]
        above = {stage[parent] for parent in parents[index]}
        stage[index] = _stage(operator, above, terms)
        if stage[index] == BEHIND:
            behind = [cut[parent] for parent in parents[index] if stage[parent] == BEHIND]
            cut[index] = min(behind, default=f"{operator.type} {operator.name!r}")
    region = [index for index, taken in enumerate(terms.taken) if taken and stage[index] == CHIP]
    left = {
        index: f"it comes after {cut[index]}, where the chip's part ends: name the end nodes before that one"
        for index, taken in enumerate(terms.taken)
        if taken and stage[index] == BEHIND
    }
    return Partition([region] if region else [], left)


def _stage(operator: Operator, above: set[int], terms: Terms) -> int:
    if BEHIND in above:
        return BEHIND
    unknown = bool(terms.unknown) and terms.unknown[operator.index]
    if not operator.within and (terms.taken[operator.index] or (unknown and CHIP in above)):
        return CHIP
    return BEHIND if CHIP in above or operator.within else BEFORE
