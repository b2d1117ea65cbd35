"""Limits over a target or over a region, where a table has any: ``[[whole]]``.

A limit whose condition names options only is about the target itself (a TensorRT without a DLA): it is looked at
before anything else. Any other is looked at for each region; its facts are those of :data:`WHOLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.capability import Limit, Target, condition, fill_words
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.cost import added
from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.partition import Partition


def check(target: Target) -> None:
    """Raises :class:`UserError` where the tool chain has no such accelerator under the options given."""
    for limit in target.capability.whole:
        if _names(limit) <= set(target.options) and not _holds(limit, target.options):
            raise UserError(f"{target.capability.title}: {fill_words(limit.says, target.options)}")


def settle(graph: Graph, found: Partition, target: Target) -> Partition:
    """The partition with regions that break a limit left to the host, each operator with the reason."""
    limits = [limit for limit in target.capability.whole if not _names(limit) <= set(target.options)]
    if not limits:
        return found
    kept: list[list[int]] = []
    left = dict(found.left)
    number = {}
    for index, region in enumerate(found.regions):
        reason = _broken(limits, Region(graph, region, target.options))
        if reason:
            left.update(dict.fromkeys(region, reason))
        else:
            number[index] = len(kept)
            kept.append(region)
    apart = [(number[a], number[b], why) for a, b, why in found.kept_apart if a in number and b in number]
    return Partition(kept, left, apart)


class Region(Mapping[str, Any]):
    """Facts of one region, each worked out when a limit asks for it."""

    def __init__(self, graph: Graph, region: Sequence[int], options: Mapping[str, str]) -> None:
        self.operators = [graph.operators[index] for index in region]
        self.options = options

    def __getitem__(self, name: str) -> Any:
        if name in self.options:
            return self.options[name]
        value = WHOLE[name](self.operators)
        if value is None:
            raise UnknownFactError(f"{name} of a region is not known")
        return value

    def __iter__(self) -> Any:
        return iter([*self.options, *WHOLE])

    def __len__(self) -> int:
        return len(self.options) + len(WHOLE)


def _weights(operators: Sequence[Operator]) -> int | None:
    stored = {id(tensor): tensor for each in operators for tensor in each.inputs if tensor and tensor.constant}
    return added([tensor.elements for tensor in stored.values()])


def _working(operators: Sequence[Operator]) -> int | None:
    """The most that one operator reads and writes: a lower bound on what the region holds at once."""
    most = 0
    for operator in operators:
        held: list[Tensor] = [tensor for tensor in operator.inputs if tensor and not tensor.constant]
        elements = added([tensor.elements for tensor in {id(t): t for t in [*held, *operator.outputs]}.values()])
        if elements is None:
            return None
        most = max(most, elements)
    return most


WHOLE: Mapping[str, Callable[[Sequence[Operator]], int | None]] = {
    "region_operators": len,
    "weight_elements": _weights,
    "working_elements": _working,
}
"""Facts of a region: counts of operators and elements."""


def _names(limit: Limit) -> set[str]:
    return condition(limit.need).names | (condition(limit.when).names if limit.when else set())


def _holds(limit: Limit, facts: Mapping[str, Any]) -> bool:
    return bool((limit.when and not condition(limit.when)(facts)) or condition(limit.need)(facts))


def _broken(limits: Sequence[Limit], region: Region) -> str:
    """What the first broken limit says. One whose facts can't be told breaks nothing."""
    for limit in limits:
        try:
            if not _holds(limit, region):
                return fill_words(limit.says, region)
        except UnknownFactError:
            continue
    return ""
