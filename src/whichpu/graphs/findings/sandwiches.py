"""Type-conversion sandwiches: dequantise, operators in float, quantise, in a network that is in integers around it.

In ONNX's QDQ form every operator stands in such a sandwich; those that the compiler takes as one integer operator are
no cost and are left out. In TFLite and Relay integers have operators of their own, so each sandwich is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from whichpu.graphs.cost import added
from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.breaks import islands
from whichpu.graphs.findings.words import (
    DEQUANTISE,
    FEW,
    QUANTISE,
    converts,
    counted,
    fed,
    in_float,
    plural,
    size,
    unit,
)
from whichpu.graphs.graph import Operator, Tensor
from whichpu.graphs.placement import Placement


@dataclass
class Sandwich:
    """Float operators that hang together, and the conversions around them."""

    inside: list[Operator] = field(default_factory=list)
    opening: dict[int, Operator] = field(default_factory=dict)
    closing: dict[int, Operator] = field(default_factory=dict)
    taken: bool = True

    @property
    def conversions(self) -> list[Operator]:
        return [*self.opening.values(), *self.closing.values()]

    @property
    def bytes(self) -> int | None:
        """What the conversions read and write, and nothing else would."""
        return added([tensor.bytes for each in self.conversions for tensor in (*_first(each), *each.outputs)])


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    native = placement.graph.dialect != "onnx"
    found = [one for one in sandwiches(placement) if native or not one.taken]
    if not found:
        return
    left = [one for one in found if not one.taken]
    extra = sum(len(one.conversions) for one in found)
    moved = added([one.bytes for one in found])
    kinds = [" + ".join(dict.fromkeys(operator.type for operator in one.inside)) for one in found]
    says = (
        f"{plural(len(found), 'type-conversion sandwich', 'type-conversion sandwiches')} (dequantise, {counted(kinds)},"
        f" quantise): {plural(extra, 'conversion')} beside the work itself, {size(moved)} read and written by them;"
        f" {_taken(len(found) - len(left), len(found), unit(placement))}"
    )
    figures = {"count": len(found), "taken": len(found) - len(left), "extra_operators": extra, "bytes": moved}
    yield Finding("conversion-sandwich", says, tuple(one.inside[0].name for one in found[:FEW]), figures)


def _taken(taken: int, count: int, unit: str) -> str:
    if taken == count:
        return f"the {unit} takes {'it' if count == 1 else 'all of them'}"
    return f"the {unit} takes {taken or 'none'} of them" if count > 1 else f"the {unit} does not take it"


def sandwiches(placement: Placement) -> list[Sandwich]:
    """All sandwiches of the source graph, in its order."""
    graph = placement.graph
    floats = [in_float(operator) and not converts(operator) for operator in graph.operators]
    leader = islands(graph, floats)
    parts: dict[int, Sandwich] = defaultdict(Sandwich)
    for operator in graph.operators:
        if floats[operator.index]:
            part = parts[leader[operator.index]]
            part.inside.append(operator)
            part.taken = part.taken and placement.placed[operator.index].fate in ("accelerator", "folded")
            for tensor in fed(operator):
                if tensor.producer is not None and tensor.producer.type in DEQUANTISE:
                    part.opening[tensor.producer.index] = tensor.producer
            for child in graph.children(operator):
                if child.type in QUANTISE:
                    part.closing[child.index] = child
    return [part for part in parts.values() if part.opening and part.closing]


def _first(operator: Operator) -> list[Tensor]:
    tensor = operator.input(0)
    return [] if tensor is None else [tensor]
