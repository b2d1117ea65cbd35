"""Which operators the accelerator takes, in which regions, and what that comes to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from whichpu.graphs import whole
from whichpu.graphs.capability import Status, Target, Verdict
from whichpu.graphs.cost import Cost, added, costs
from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.lowering import lower
from whichpu.graphs.partition import Partition, Terms, partition

Fate = Literal["accelerator", "host", "refused", "unknown", "folded"]
WORST_FIRST: tuple[Fate, ...] = ("refused", "unknown", "host", "accelerator", "folded")


@dataclass(frozen=True, slots=True)
class Placed:
    """One source operator's fate. ``region`` is the index of the accelerator region it is in."""

    operator: Operator
    fate: Fate
    where: str
    """The word users read: npu, dla, cpu, gpu, refused, unknown, folded."""
    reason: str = ""
    limit: str = ""
    source: str = ""
    said_by: str = ""
    region: int | None = None
    lowered: tuple[str, ...] = ()
    """What the compiler sees in its place: types of the lowered graph."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A tensor that leaves one side and enters the other. A region is its index, the host -1."""

    tensor: Tensor
    out_of: int
    into: int
    bytes: int | None


@dataclass(frozen=True)
class Figures:
    """The figures that are printed side by side. A share is of 1; None where it can't be told."""

    operators: int
    """Operators of the source graph that the compiler sees; folded ones are not among them."""
    accelerated: int
    host_operators: int
    refused: int
    unknown: int
    regions: int
    operator_share: float | None
    """Unknown operators count as not taken, here and in ``mac_share``: at least so much."""
    macs: int | None
    mac_share: float | None
    crossings: int
    boundary_bytes: int | None
    """Bytes between regions and host operators, and from region to region; the model's own inputs and outputs not."""
    io_bytes: int | None
    """Bytes of the model's inputs and outputs that regions read and write."""
    function_ratio: float
    """Functions on the accelerator over all functions, n / (n + 1) with one host function: rises with fragmentation."""


@dataclass(frozen=True)
class Placement:
    """A network on a target: what the compiler sees, its regions, and each source operator's fate."""

    target: Target
    graph: Graph
    lowered: Graph
    verdicts: list[Verdict]
    """One for each operator of the lowered graph, after the partitioner spoke."""
    partition: Partition
    region_of: dict[int, int]
    """Region of each lowered operator on the accelerator."""
    placed: list[Placed]
    crossings: list[Crossing]
    costs: list[Cost]
    """Of the source graph's operators."""
    figures: Figures
    notes: list[str] = field(default_factory=list)


def place(graph: Graph, target: Target) -> Placement:
    """Place a graph on a target by its table."""
    whole.check(target)
    lowered = lower(graph, target)
    verdicts = [target.judge(lowered, operator) for operator in lowered.operators]
    return settle(graph, lowered, target, verdicts)


def settle(
    graph: Graph, lowered: Graph, target: Target, verdicts: list[Verdict], final: Collection[int] = ()
) -> Placement:
    """Regions, fates and figures out of verdicts, whoever gave them; ``final`` ones no partitioner may overrule."""
    capability = target.capability
    terms = Terms(
        taken=[verdict.status == "npu" for verdict in verdicts],
        heavy=lambda operator: target.rule(operator).heavy,
        options={**capability.partition_options, **target.options},
        unknown=[verdict.status == "unknown" for verdict in verdicts],
    )
    found = whole.settle(lowered, partition(capability.partition, lowered, terms), target)
    if not found.left.keys().isdisjoint(final):
        found = partition("maximal", lowered, terms)
    left: Status = "host" if target.hosted else "refused"
    verdicts = [
        Verdict(left, found.left[index], said_by=verdict.said_by) if index in found.left else verdict
        for index, verdict in enumerate(verdicts)
    ]
    region_of = {index: number for number, region in enumerate(found.regions) for index in region}
    placed = _fates(graph, lowered, target, verdicts, region_of)
    crossings, io_bytes = _crossings(lowered, region_of)
    priced = costs(graph)
    figures = _figures(placed, priced, len(found.regions), crossings, io_bytes)
    notes = [*graph.notes, *(note for note in lowered.notes if note not in graph.notes)]
    return Placement(target, graph, lowered, verdicts, found, region_of, placed, crossings, priced, figures, notes)


def _fates(
    graph: Graph, lowered: Graph, target: Target, verdicts: list[Verdict], region_of: dict[int, int]
) -> list[Placed]:
    """Each source operator's fate: the worst of what was made of it."""
    made: dict[int, list[Operator]] = defaultdict(list)
    for operator in lowered.operators:
        for origin in operator.origins:
            made[origin].append(operator)
    return [_fate(source, made[source.index], target, verdicts, region_of) for source in graph.operators]


def _fate(
    source: Operator, made: list[Operator], target: Target, verdicts: list[Verdict], region_of: dict[int, int]
) -> Placed:
    if not made:
        return Placed(source, "folded", "folded", "the compiler works it out beforehand", said_by=target.said_by)
    worst = min(made, key=lambda operator: WORST_FIRST.index(_of(verdicts[operator.index])))
    verdict = verdicts[worst.index]
    fate = _of(verdict)
    words = {"accelerator": target.capability.unit, "host": target.capability.host}
    types = tuple(operator.type for operator in made)
    reason = verdict.reason
    if fate != "accelerator" and types != (source.type,) and len(types) > 1:
        reason = f"{worst.type}: {reason}"
    region = region_of.get(worst.index)
    return Placed(
        source, fate, words.get(fate, fate), reason, verdict.limit, verdict.source, verdict.said_by, region, types
    )


def _of(verdict: Verdict) -> Fate:
    return "accelerator" if verdict.status == "npu" else verdict.status


def _crossings(lowered: Graph, region_of: dict[int, int]) -> tuple[list[Crossing], int | None]:
    """Each tensor once for each region or host that takes it from elsewhere; and bytes of the model's own edges."""
    found: list[Crossing] = []
    edges = {id(tensor): tensor for tensor in model_edges(lowered, region_of)}
    fed, told = {id(tensor) for tensor in lowered.inputs}, set[tuple[int, int]]()
    for operator in lowered.operators:
        home = region_of.get(operator.index, -1)
        if operator.within and home >= 0:
            found += _body_crossings(operator, home, fed, told)
        for tensor in operator.outputs:
            sides = {region_of.get(consumer.index, -1) for consumer in tensor.consumers} - {home}
            found += [Crossing(tensor, home, side, tensor.bytes) for side in sorted(sides)]
    return found, added([tensor.bytes for tensor in edges.values()])


def model_edges(lowered: Graph, region_of: dict[int, int]) -> list[Tensor]:
    """The model's own inputs and outputs that regions read and write."""
    read = [tensor for tensor in lowered.inputs if any(each.index in region_of for each in tensor.consumers)]
    written = [each for each in lowered.outputs if each.producer is not None and each.producer.index in region_of]
    return [*read, *written]


def _body_crossings(operator: Operator, home: int, fed: set[int], told: set[tuple[int, int]]) -> list[Crossing]:
    """What a body's own inputs give to a region, and a region to the body's outputs; ``told``: inputs listed so far."""
    found = []
    for tensor in operator.inputs:
        if tensor is None or tensor.producer is not None or tensor.constant or id(tensor) in fed:
            continue
        if (id(tensor), home) not in told:
            told.add((id(tensor), home))
            found.append(Crossing(tensor, -1, home, tensor.bytes))
    found += [Crossing(tensor, home, -1, tensor.bytes) for tensor in operator.outputs if not tensor.consumers]
    return found


def _figures(
    placed: list[Placed], priced: list[Cost], regions: int, crossings: list[Crossing], io_bytes: int | None
) -> Figures:
    seen = [one for one in placed if one.fate != "folded"]
    count = {fate: sum(one.fate == fate for one in seen) for fate in WORST_FIRST}
    macs = added([priced[one.operator.index].macs for one in seen])
    on_it = added([priced[one.operator.index].macs for one in seen if one.fate == "accelerator"])
    return Figures(
        operators=len(seen),
        accelerated=count["accelerator"],
        host_operators=count["host"],
        refused=count["refused"],
        unknown=count["unknown"],
        regions=regions,
        operator_share=count["accelerator"] / len(seen) if seen else None,
        macs=macs,
        mac_share=on_it / macs if macs and on_it is not None else None,
        crossings=len(crossings),
        boundary_bytes=added([crossing.bytes for crossing in crossings]),
        io_bytes=io_bytes,
        function_ratio=regions / (regions + 1),
    )
