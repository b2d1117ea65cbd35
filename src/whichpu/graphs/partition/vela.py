"""Vela's runs: operators in the order in which Vela schedules them; each run of NPU operators is one custom operator.

The order, found by compiling random graphs with Vela 5.2.0: depth first from the last output back, last input first.
Host operators that no NPU operator feeds go first; every other one waits until just before its first consumer, or
until the end when it has none. A run need not be connected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from whichpu.graphs.graph import Graph, Operator
from whichpu.graphs.partition import Partition, Terms
from whichpu.graphs.partition.between import kept_apart


def partition(graph: Graph, terms: Terms) -> Partition:
    """Maximal runs of taken operators in Vela's order, each body by itself."""
    found: list[list[int]] = []
    bodies: dict[str, list[Operator]] = {}
    for operator in graph.operators:
        bodies.setdefault(operator.within, []).append(operator)
    for within, own in bodies.items():
        found += _runs(scheduled(graph, own, within), terms.taken)
    regions = sorted(sorted(region) for region in found)
    return Partition(regions, kept_apart=kept_apart(graph, regions))


def scheduled(graph: Graph, own: Sequence[Operator], within: str = "") -> list[Operator]:
    """The operators of one body, depth first: last output first, last input first; unused ones last."""
    outputs = [] if within else graph.outputs
    ends = [tensor.producer for tensor in outputs if tensor.producer is not None]
    loose = [operator for operator in own if not any(tensor.consumers for tensor in operator.outputs)]
    order: list[Operator] = []
    seen: set[int] = set()
    for end in (*reversed(ends), *reversed(loose), *own):
        if end.within == within and end.index not in seen:
            _walk(graph, end, order, seen)
    return order


def _walk(graph: Graph, end: Operator, order: list[Operator], seen: set[int]) -> None:
    """Append what ``end`` needs and ``end`` itself, without recursion."""
    seen.add(end.index)
    stack = [(end, _needs(graph, end))]
    while stack:
        operator, needs = stack[-1]
        parent = next((one for one in needs if one.index not in seen), None)
        if parent is None:
            order.append(operator)
            stack.pop()
        else:
            seen.add(parent.index)
            stack.append((parent, _needs(graph, parent)))


def _needs(graph: Graph, operator: Operator) -> Iterable[Operator]:
    return iter([parent for parent in reversed(list(graph.parents(operator))) if parent.within == operator.within])


def _runs(order: Sequence[Operator], taken: Sequence[bool]) -> list[list[int]]:
    first = _first(order, taken)
    breaks = _waits(order, taken, first)
    runs: list[list[int]] = []
    for place, operator in enumerate(order):
        if not taken[operator.index]:
            continue
        if not runs or place in breaks:
            runs.append([])
        runs[-1].append(operator.index)
    return runs


def _first(order: Sequence[Operator], taken: Sequence[bool]) -> set[int]:
    """Host operators that no taken operator feeds, directly or through others."""
    found: set[int] = set()
    for operator in order:
        parents = [tensor.producer for tensor in operator.inputs if tensor is not None and tensor.producer is not None]
        if not taken[operator.index] and all(parent.index in found for parent in parents):
            found.add(operator.index)
    return found


def _waits(order: Sequence[Operator], taken: Sequence[bool], first: set[int]) -> set[int]:
    """Places in the order of taken operators before which a host operator stands."""
    place = {operator.index: at for at, operator in enumerate(order)}
    for operator in reversed(order):
        if not taken[operator.index] and operator.index not in first:
            consumers = [place.get(one.index, len(order)) for tensor in operator.outputs for one in tensor.consumers]
            place[operator.index] = min(consumers, default=len(order))
    return {place[o.index] for o in order if not taken[o.index] and o.index not in first}
