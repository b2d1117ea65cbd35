"""Connected, convex regions as large as can be: merge neighbours that are both taken, unless that makes a cycle.

Each operator gets a depth: how often the longest path to it changes sides (taken or not, or another body). A path
between two operators of one depth never leaves that depth, so neighbours of one depth can be merged without a cycle.
A second sweep does the same from the outputs over what the first one made: it joins a branch that starts by itself
(a second input) with the region that it feeds. Both are linear, and neither depends on the order of the operators.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from whichpu.graphs.graph import Graph
from whichpu.graphs.partition import Partition, Terms
from whichpu.graphs.partition.between import kept_apart, sequence

Neighbours = list[set[int]]


def partition(graph: Graph, terms: Terms) -> Partition:
    """Regions by depth: an operator joins a parent's region when no path from that region to it leaves the region."""
    parents = [{parent.index for parent in graph.parents(operator)} for operator in graph.operators]
    side = [(bool(terms.taken[operator.index]), operator.within) for operator in graph.operators]
    first = _joined(parents, side)
    coarse, coarse_side = _contracted(parents, side, first)
    second = _joined(_turned(coarse), coarse_side)
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(first):
        if side[index][0]:
            members[second[group]].append(index)
    regions = sorted(members.values())
    return Partition(regions, kept_apart=kept_apart(graph, regions))


def _joined(parents: Neighbours, side: Sequence[tuple[bool, Hashable]]) -> list[int]:
    """A group for each node: taken neighbours of one depth share one."""
    depth = [0] * len(parents)
    for node in sequence(parents):
        for parent in parents[node]:
            depth[node] = max(depth[node], depth[parent] + (side[parent] != side[node]))
    leader = list(range(len(parents)))

    def lead(node: int) -> int:
        while leader[node] != node:
            leader[node] = node = leader[leader[node]]
        return node

    for node, own in enumerate(parents):
        if side[node][0]:
            for parent in own:
                if depth[parent] == depth[node]:
                    leader[lead(parent)] = lead(node)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(lead(node), len(numbers)) for node in range(len(parents))]


def _contracted(
    parents: Neighbours, side: Sequence[tuple[bool, Hashable]], group: Sequence[int]
) -> tuple[Neighbours, list[tuple[bool, Hashable]]]:
    """Each group as one node."""
    count = max(group, default=-1) + 1
    above: Neighbours = [set() for _ in range(count)]
    sides: list[tuple[bool, Hashable]] = [(False, "")] * count
    for node, own in enumerate(parents):
        sides[group[node]] = side[node]
        above[group[node]].update(group[parent] for parent in own)
    for number, own in enumerate(above):
        own.discard(number)
    return above, sides


def _turned(parents: Neighbours) -> Neighbours:
    """Children instead of parents."""
    children: Neighbours = [set() for _ in parents]
    for node, own in enumerate(parents):
        for parent in own:
            children[parent].add(node)
    return children
