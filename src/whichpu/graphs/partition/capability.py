"""ONNX Runtime's grouping: Kahn's order with a border.

Operators that are taken join the open group as soon as their inputs are there. One that is not taken, and takes an
output of the open group, waits for the next group; any other is passed freely. When nothing is left, the group closes.
Members of a group need not be connected. Source: onnxruntime, ``core/providers/partitioning_utils.cc`` (facts only).

A node unit is one operator of the lowered graph, so that none is split. The result does not depend on the order in
which operators are stored: what a group can reach is a closure.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush

from whichpu.graphs.graph import CONVERSIONS, Graph, Operator
from whichpu.graphs.partition import Partition, Terms
from whichpu.graphs.partition.between import kept_apart

LONE = "a partition of a single Quantize or Dequantize is not given to the accelerator"


def partition(graph: Graph, terms: Terms) -> Partition:
    """Groups of taken operators; with the option ``drop_lone_conversions`` one of a single Q or DQ is left."""
    groups = _Walk(graph, terms).groups()
    left: dict[int, str] = {}
    if terms.options.get("drop_lone_conversions"):
        left = {group[0]: LONE for group in groups if len(group) == 1 and _converts(graph.operators[group[0]])}
    regions = sorted(group for group in groups if group[0] not in left)
    return Partition(regions, left, kept_apart(graph, regions))


def _converts(operator: Operator) -> bool:
    return operator.type in CONVERSIONS


class _Walk:
    """One pass over the graph; an operator is ready when all that it takes has been passed."""

    def __init__(self, graph: Graph, terms: Terms) -> None:
        self.operators, self.taken = graph.operators, terms.taken
        self.children = [sorted({child.index for child in graph.children(one)}) for one in graph.operators]
        self.missing = [len({parent.index for parent in graph.parents(one)}) for one in graph.operators]
        self.free = [index for index, count in enumerate(self.missing) if not count]
        self.ready: dict[str, list[int]] = defaultdict(list)
        """Taken operators that can start a group, by the body they stand in: no group spans two."""
        self.bodies: list[str] = []
        """A heap of the bodies that have some."""

    def groups(self) -> list[list[int]]:
        found = []
        self._pass_free(frozenset())
        while self.bodies:
            body = heappop(self.bodies)
            if self.ready[body]:
                found.append(self._group(body))
        return found

    def _pass_free(self, border: set[int] | frozenset[int]) -> list[int]:
        """Pass what is ready and not taken, sort what is taken by body; what stands on the border is given back."""
        waiting = []
        while self.free:
            index = self.free.pop()
            if self.taken[index]:
                body = self.operators[index].within
                if not self.ready[body]:
                    heappush(self.bodies, body)
                self.ready[body].append(index)
            elif index in border:
                waiting.append(index)
            else:
                self._passed(index)
        return waiting

    def _group(self, body: str) -> list[int]:
        """All that one group of a body can reach."""
        group: list[int] = []
        border: set[int] = set()
        waiting: list[int] = []
        while self.ready[body]:
            index = self.ready[body].pop()
            group.append(index)
            border.update(self.children[index])
            self._passed(index)
            waiting += self._pass_free(border)
        self.free = waiting
        self._pass_free(frozenset())
        return sorted(group)

    def _passed(self, index: int) -> None:
        for child in self.children[index]:
            self.missing[child] -= 1
            if not self.missing[child]:
                self.free.append(child)
