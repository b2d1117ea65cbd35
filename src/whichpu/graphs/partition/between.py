"""What lies between regions: an order to walk in, and what keeps two regions from being one."""

from __future__ import annotations

from collections.abc import Sequence

from whichpu.graphs.graph import Graph

Pair = tuple[int, int, str]


def sequence(parents: Sequence[set[int]]) -> list[int]:
    """Indices with parents before children, whatever order they are stored in (Kahn 1962)."""
    children: list[list[int]] = [[] for _ in parents]
    waiting = [len(own) for own in parents]
    for child, own in enumerate(parents):
        for parent in own:
            children[parent].append(child)
    ready = [index for index, count in enumerate(waiting) if not count]
    for index in ready:  # grows while it is walked
        for child in children[index]:
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return ready


def kept_apart(graph: Graph, regions: Sequence[Sequence[int]]) -> list[Pair]:
    """Regions that follow one another, and the host operator between them, or the cycle that one region would make.

    A region is paired with the last one before each of its host parents, so that the list stays short.
    """
    region_of = {index: number for number, region in enumerate(regions) for index in region}
    before = _before(graph, region_of)
    found: dict[tuple[int, int], str] = {}
    touching: dict[tuple[int, int], None] = {}
    for operator in graph.operators:
        home = region_of.get(operator.index)
        if home is None:
            continue
        for parent in graph.parents(operator):
            origin = region_of.get(parent.index)
            if origin is not None and origin != home:
                touching[origin, home] = None
            elif parent.index in before and before[parent.index][0] != home:
                found.setdefault((before[parent.index][0], home), before[parent.index][1])
    for pair in touching:
        through = f" through {found[pair]}" if pair in found else ""
        found[pair] = f"they touch, but merging them would close a cycle{through}"
    return [(out_of, into, why) for (out_of, into), why in sorted(found.items())]


def _before(graph: Graph, region_of: dict[int, int]) -> dict[int, tuple[int, str]]:
    """For each host operator behind a region: the last such region, and the first host operator on the way here."""
    found: dict[int, tuple[int, str]] = {}
    for operator in graph.operators:
        if operator.index in region_of:
            continue
        for parent in graph.parents(operator):
            region = region_of.get(parent.index)
            way = found.get(parent.index) if region is None else (region, operator.name)
            if way is not None and (operator.index not in found or way[0] > found[operator.index][0]):
                found[operator.index] = way
    return found
