"""A network as a picture, coloured by where each operator runs: layers from top to bottom, and a band over all of it.

Layers are longest paths from the inputs; within a layer nodes stand below the mean of their parents (Sugiyama 1981).
Operators in a row with one fate are one box; where that is still too much, a region is one box.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby, pairwise

from whichpu.graphs.findings.breaks import islands
from whichpu.graphs.findings.words import counted, size
from whichpu.graphs.graph import Operator
from whichpu.graphs.placement import Placed, Placement

BOXES_MOST = 250
SINGLE_MOST = 40
"""Up to so many operators each has a box of its own."""
WIDTH, HEIGHT, ACROSS, DOWN = 148, 30, 12, 26
"""Of a box, and between boxes, in pixels."""
BAND_BINS = 600


@dataclass
class Box:
    """Operators drawn as one."""

    members: list[Placed] = field(default_factory=list)
    parents: dict[int, int | None] = field(default_factory=dict)
    """Bytes that come from each other box; None where a size is not known."""
    layer: int = 0
    x: float = 0.0

    @property
    def fate(self) -> str:
        return Counter(one.fate for one in self.members).most_common(1)[0][0]

    @property
    def label(self) -> str:
        types = list(dict.fromkeys(one.operator.type for one in self.members))
        if len(self.members) == 1:
            return types[0]
        return f"{len(self.members)} x {types[0]}" if len(types) == 1 else f"{len(self.members)}: {', '.join(types)}"

    @property
    def says(self) -> str:
        first = self.members[0]
        region = "" if first.region is None else f", region {first.region + 1}"
        reasons = "; ".join(dict.fromkeys(one.reason for one in self.members if one.reason))
        types = counted(one.operator.type for one in self.members)
        return f"{first.operator.name} ({types}): {first.where}{region}{'. ' + reasons if reasons else ''}"


def drawing(placement: Placement) -> tuple[str, str] | None:
    """The picture as SVG and what it shows in words; None where even regions are too many to see."""
    operators = sum(one.fate != "folded" for one in placement.placed)
    made = boxes(placement, list(range(len(placement.placed)))) if operators <= SINGLE_MOST else None
    words = "Each box is an operator"
    if made is None:
        made, words = boxes(placement, _chains(placement)), "Each box is an operator, or several in a row"
    if len(made) > BOXES_MOST:
        made, words = boxes(placement, _blocks(placement)), "Each box is a region, or host operators that hang together"
    if not made or len(made) > BOXES_MOST:
        return None
    return _svg(_laid_out(made)), f"{words}; inputs are at the top, lines that cross the boundary are marked."


def boxes(placement: Placement, group: Sequence[int]) -> list[Box]:
    """One box for each group of operators that are not folded, in an order with parents first where there is one."""
    found: dict[int, Box] = defaultdict(Box)
    shown = [one for one in placement.placed if one.fate != "folded"]
    for one in shown:
        found[group[one.operator.index]].members.append(one)
    place = {number: at for at, number in enumerate(found)}
    for one in shown:
        here = place[group[one.operator.index]]
        for origin, moved in _sources(one.operator, placement):
            there = place[group[origin]]
            if there != here:
                box = found[group[one.operator.index]]
                box.parents[there] = None if moved is None else moved + (box.parents.get(there) or 0)
    return list(found.values())


def _sources(operator: Operator, placement: Placement) -> Iterable[tuple[int, int | None]]:
    """Shown operators that an operator takes from, and bytes; folded ones in between are looked through."""
    waiting, seen = [tensor for tensor in operator.inputs if tensor is not None], set[int]()
    while waiting:
        tensor = waiting.pop()
        if tensor.producer is None or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if placement.placed[tensor.producer.index].fate != "folded":
            yield tensor.producer.index, tensor.bytes
        else:
            waiting += [each for each in tensor.producer.inputs if each is not None]


def _side(one: Placed) -> Hashable:
    return one.fate, one.region, one.operator.within


def _chains(placement: Placement) -> list[int]:
    """Operators in a row, with nothing branching off between them and one fate, share a number."""
    graph, placed = placement.graph, placement.placed
    number = list(range(len(placed)))
    for operator in graph.operators:
        parents = {parent.index for parent in graph.parents(operator) if placed[parent.index].fate != "folded"}
        if len(parents) == 1:
            (parent,) = parents
            alone = len({child.index for child in graph.children(graph.operators[parent])}) == 1
            if alone and _side(placed[parent]) == _side(placed[operator.index]):
                number[operator.index] = number[parent]
    return number


def _blocks(placement: Placement) -> list[int]:
    """A region's operators share a number, and so do host operators that hang together."""
    placed = placement.placed
    first: dict[int, int] = {}
    outside = islands(placement.graph, [one.region is None and one.fate != "folded" for one in placed])
    return [
        outside[one.operator.index] if one.region is None else first.setdefault(one.region, one.operator.index)
        for one in placed
    ]


# ---------------------------------------------------------------- layout


def _laid_out(made: list[Box]) -> list[Box]:
    """Layers by longest path, positions below the mean of the parents."""
    for box in _in_order(made):
        box.layer = max((made[parent].layer + 1 for parent in box.parents), default=0)
    layers: dict[int, list[Box]] = defaultdict(list)
    for box in made:
        layers[box.layer].append(box)
    for _, layer in sorted(layers.items()):
        _spread(layer, made)
    left = min(box.x for box in made)
    for box in made:
        box.x -= left
    return made


def _in_order(made: list[Box]) -> list[Box]:
    """Parents first; boxes that close a cycle (regions drawn as one) come last as they stand."""
    children: dict[int, list[int]] = defaultdict(list)
    for at, box in enumerate(made):
        for parent in box.parents:
            children[parent].append(at)
    waiting = [len(box.parents) for box in made]
    ready = [at for at, count in enumerate(waiting) if not count]
    for at in ready:  # grows while it is walked
        for child in children[at]:
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    done = set(ready)
    return [made[at] for at in [*ready, *(at for at in range(len(made)) if at not in done)]]


def _spread(layer: list[Box], made: list[Box]) -> None:
    """Each box below its parents, side by side where they would overlap, the row kept around its middle."""
    wanted = {
        id(box): sum(made[parent].x for parent in box.parents) / len(box.parents) if box.parents else 0.0
        for box in layer
    }
    layer.sort(key=lambda box: wanted[id(box)])
    step = WIDTH + ACROSS
    for at, box in enumerate(layer):
        box.x = wanted[id(box)] if not at else max(wanted[id(box)], layer[at - 1].x + step)
    shift = sum(wanted[id(box)] - box.x for box in layer) / len(layer)
    for box in layer:
        box.x += shift


# ---------------------------------------------------------------- SVG


def _svg(made: list[Box]) -> str:
    width = max(box.x for box in made) + WIDTH + 2
    height = (max(box.layer for box in made) + 1) * (HEIGHT + DOWN) - DOWN + 2
    lines = [_line(made[parent], box, moved) for box in made for parent, moved in box.parents.items()]
    drawn = [_box(box) for box in made]
    return (
        f'<svg class="network" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"'
        f' xmlns="http://www.w3.org/2000/svg">{"".join(lines)}{"".join(drawn)}</svg>'
    )


def _line(above: Box, below: Box, moved: int | None) -> str:
    x0, y0 = above.x + WIDTH / 2 + 1, above.layer * (HEIGHT + DOWN) + HEIGHT + 1
    x1, y1 = below.x + WIDTH / 2 + 1, below.layer * (HEIGHT + DOWN) + 1
    crosses = _side(above.members[0]) != _side(below.members[0])
    bend = max(DOWN / 2, (y1 - y0) / 3)
    aside = 0.9 * WIDTH if below.layer - above.layer > 1 and abs(x1 - x0) < WIDTH / 2 else 0  # around what is between
    return (
        f'<path class="{"line crossing" if crosses else "line"}" d="M{x0:.0f} {y0} C{x0 + aside:.0f} {y0 + bend:.0f}'
        f' {x1 + aside:.0f} {y1 - bend:.0f} {x1:.0f} {y1}"><title>{size(moved)}</title></path>'
    )


def _box(box: Box) -> str:
    x, y = box.x + 1, box.layer * (HEIGHT + DOWN) + 1
    label = box.label if len(box.label) <= 21 else f"{box.label[:20]}…"
    return (
        f'<g class="unit {box.fate}"><title>{escape(box.says)}</title>'
        f'<rect x="{x:.0f}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{x + WIDTH / 2:.0f}" y="{y + HEIGHT / 2 + 4:.0f}">{escape(label)}</text></g>'
    )


def band(placement: Placement) -> str:
    """All operators in their order from left to right, as a band of colours; many are summed up."""
    shown = [one for one in placement.placed if one.fate != "folded"]
    count = min(len(shown), BAND_BINS)
    if not count:
        return ""
    ends = [at * len(shown) // count for at in range(count + 1)]
    fates = [Counter(one.fate for one in shown[low:high]).most_common(1)[0][0] for low, high in pairwise(ends)]
    rects, at = [], 0
    for fate, run in groupby(fates):
        length = len(list(run))
        rects.append(f'<rect class="{fate}" x="{at}" y="0" width="{length}" height="1"/>')
        at += length
    return (
        f'<svg class="band" viewBox="0 0 {count} 1" preserveAspectRatio="none"'
        f' xmlns="http://www.w3.org/2000/svg">{"".join(rects)}</svg>'
    )
