"""What holds for the regions of any partitioner, and random networks to try it on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hypothesis import strategies as st

from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.partition import Terms

Edges = Sequence[Collection[int]]


def network(parents: Edges, types: Sequence[str] | None = None, within: Sequence[str] | None = None) -> Graph:
    """A graph whose operator ``n{i}`` takes the outputs of ``parents[i]``; one without parents takes the input."""
    entry = Tensor("in", "float32", (1, 4))
    made = [Tensor(f"t{index}", "float32", (1, 4)) for index in range(len(parents))]
    operators = [
        Operator(
            index=index,
            name=f"n{index}",
            type=types[index] if types else "Op",
            inputs=[made[parent] for parent in sorted(own)] or [entry],
            outputs=[made[index]],
            within=within[index] if within else "",
            origins=(index,),
        )
        for index, own in enumerate(parents)
    ]
    used = {parent for own in parents for parent in own}
    outputs = [tensor for index, tensor in enumerate(made) if index not in used]
    return Graph("net", "onnx", operators, [entry], outputs, 17).connect()


def terms(taken: Sequence[bool], heavy: Collection[str] = (), **options: object) -> Terms:
    return Terms(taken, lambda operator: operator.type in heavy or operator.name in heavy, options)


@st.composite
def networks(draw: st.DrawFn, most: int = 14) -> tuple[list[list[int]], list[bool]]:
    """Parents of each operator, and which are taken."""
    count = draw(st.integers(1, most))
    parents = [sorted(draw(st.sets(st.integers(0, index - 1), max_size=3))) if index else [] for index in range(count)]
    return parents, draw(st.lists(st.booleans(), min_size=count, max_size=count))


def renumbered(parents: Edges, order: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    """The same network with its operators stored in another order that still has parents first.

    ``order`` gives each operator a priority. Returns the new parents and, by new index, the old index.
    """
    left, kept = set(range(len(parents))), []
    while left:
        ready = [index for index in left if not left & set(parents[index])]
        kept.append(min(ready, key=lambda index: (order[index], index)))
        left.discard(kept[-1])
    place = {old: new for new, old in enumerate(kept)}
    return [[place[parent] for parent in parents[old]] for old in kept], kept


def check_once(regions: Sequence[Sequence[int]], taken: Sequence[bool], left: Collection[int] = ()) -> None:
    """Every operator that is taken is in exactly one region, or left out by name; no other is in any."""
    inside = [index for region in regions for index in region]
    assert all(regions)
    assert len(inside) == len(set(inside))
    assert set(inside) | set(left) == {index for index, yes in enumerate(taken) if yes}
    assert not set(inside) & set(left)


def check_acyclic(parents: Edges, regions: Sequence[Sequence[int]]) -> None:
    """With each region one node the network has no cycle; so every region is convex too."""
    node = {index: -1 - number for number, region in enumerate(regions) for index in region}
    above: dict[int, set[int]] = {node.get(index, index): set() for index in range(len(parents))}
    for index, own in enumerate(parents):
        above[node.get(index, index)] |= {node.get(parent, parent) for parent in own} - {node.get(index, index)}
    while above:
        ready = {each for each, own in above.items() if not own & above.keys()}
        assert ready, "regions form a cycle"
        above = {each: own for each, own in above.items() if each not in ready}


def check_convex(parents: Edges, regions: Sequence[Sequence[int]]) -> None:
    """No path leaves a region and comes back."""
    for region in map(set, regions):
        tainted: set[int] = set()
        for index, own in enumerate(parents):
            outside = any(parent in tainted for parent in own)
            assert not (index in region and outside), "a path leaves a region and comes back"
            if index not in region and (outside or region & set(own)):
                tainted.add(index)


def check_connected(parents: Edges, regions: Sequence[Sequence[int]]) -> None:
    """Within a region one can walk from any operator to any other."""
    for region in map(set, regions):
        reached, fresh = set(), {min(region)}
        while fresh:
            reached |= fresh
            fresh = {
                index
                for index in region - reached
                if reached & set(parents[index]) or any(index in parents[other] for other in reached)
            }
        assert reached == region


def check_bodies(graph: Graph, regions: Sequence[Sequence[int]]) -> None:
    """No region spans two bodies."""
    for region in regions:
        assert len({graph.operators[index].within for index in region}) == 1
