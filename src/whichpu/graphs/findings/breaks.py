"""Pipeline breaks: work on the host that stands between two regions, so that the accelerator waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from whichpu.graphs.cost import added
from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import FEW, counted, host, plural, size, unit
from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.placement import Placement


@dataclass
class Break:
    """Host operators that hang together, the regions before and behind them, and the tensors that cross there."""

    operators: list[Operator] = field(default_factory=list)
    before: set[int] = field(default_factory=set)
    behind: set[int] = field(default_factory=set)
    tensors: dict[int, Tensor] = field(default_factory=dict)
    macs: int | None = 0

    @property
    def bytes(self) -> int | None:
        return added([tensor.bytes for tensor in self.tensors.values()])


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    found = breaks(placement)
    if not found:
        return
    worst = found[0]
    says = (
        f"{plural(len(found), 'pipeline break')}: the {unit(placement)} waits while the {host(placement)} runs"
        f" {counted(operator.type for one in found for operator in one.operators)}; the costliest is"
        f" {counted((operator.type for operator in worst.operators), 3)} at {worst.operators[0].name}"
        f" ({size(worst.bytes)} to and fro)"
    )
    rows = [
        {"operators": [operator.name for operator in one.operators[:FEW]], "count": len(one.operators),
         "types": counted(operator.type for operator in one.operators), "bytes": one.bytes, "macs": one.macs,
         "before": sorted(region + 1 for region in one.before)[:FEW],
         "behind": sorted(region + 1 for region in one.behind)[:FEW]} for one in found[:FEW]
    ]  # fmt: skip
    operators = tuple(one.operators[0].name for one in found[:FEW])
    yield Finding("pipeline-break", says, operators, {"count": len(found), "rows": rows})


def breaks(placement: Placement) -> list[Break]:
    """Host operators with a region before and another behind them, ranked by the bytes they cut, then by MACs."""
    graph, region_of = placement.lowered, placement.region_of
    macs = _macs(placement)
    parts: dict[int, Break] = defaultdict(Break)
    hosted = [verdict.status == "host" for verdict in placement.verdicts]
    leader = islands(graph, hosted)
    for operator in graph.operators:
        if not hosted[operator.index]:
            continue
        part = parts[leader[operator.index]]
        part.operators.append(operator)
        part.macs = added([part.macs, macs[operator.index]])
        for tensor in (tensor for tensor in operator.inputs if tensor is not None and tensor.producer is not None):
            assert tensor.producer is not None
            if tensor.producer.index in region_of:
                part.before.add(region_of[tensor.producer.index])
                part.tensors[id(tensor)] = tensor
        for tensor in operator.outputs:
            behind = {region_of[child.index] for child in tensor.consumers if child.index in region_of}
            part.behind |= behind
            if behind:
                part.tensors[id(tensor)] = tensor
    found = [part for part in parts.values() if part.before and part.behind - part.before]
    return sorted(found, key=lambda part: (-(part.bytes or 0), -(part.macs or 0), part.operators[0].index))


def _macs(placement: Placement) -> list[int | None]:
    """MACs of each lowered operator: those of the source operators it was made from."""
    costs = placement.costs
    return [added([costs[origin].macs for origin in operator.origins]) for operator in placement.lowered.operators]


def islands(graph: Graph, chosen: list[bool]) -> list[int]:
    """A common number for chosen operators that hang together; any number for the others."""
    leader = list(range(len(graph.operators)))

    def lead(index: int) -> int:
        while leader[index] != index:
            leader[index] = index = leader[leader[index]]
        return index

    for operator in graph.operators:
        if chosen[operator.index]:
            for parent in graph.parents(operator):
                if chosen[parent.index]:
                    leader[lead(operator.index)] = lead(parent.index)
    return [lead(index) for index in leader]
