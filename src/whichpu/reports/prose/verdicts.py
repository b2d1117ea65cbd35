"""Verdicts looked up both ways round, and how the contenders of one model stand in one figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from whichpu.results.comparison import Comparison
from whichpu.results.nway import OVERLAP, ROUNDING, Contender

Relation = Literal["ahead", "behind", "tie", "small", "refused", "unknown"]
RELATIONS: dict[str, Relation] = {
    "faster": "ahead",
    "better": "ahead",
    "slower": "behind",
    "worse": "behind",
    "no-difference": "tie",
    "too-small-to-matter": "small",
    "not-comparable": "refused",
}
TURNED: dict[Relation, Relation] = {"ahead": "behind", "behind": "ahead"}
PAIRS_MOST = 24
"""Contenders of a model up to which all pairs are judged; of more only all against the fastest."""
Evidence = Literal["equal", "interval", "single"]


class Ratio(NamedTuple):
    """One figure over another, with its 95 % interval where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


class Verdicts:
    """Rows of comparisons. Where two rows of one pair disagree, nothing is known."""

    def __init__(self, rows: Iterable[Comparison]) -> None:
        self._rows = {(row.model, row.metric, row.contender, row.baseline): row for row in rows}

    def row(self, model: str, key: str, one: str, other: str) -> Comparison | None:
        """The row of a pair, whichever way round."""
        return self._rows.get((model, key, one, other)) or self._rows.get((model, key, other, one))

    def relation(self, model: str, key: str, one: str, other: str) -> Relation:
        """How ``one`` stands to ``other``."""
        said: set[Relation] = set()
        if row := self._rows.get((model, key, one, other)):
            said.add(RELATIONS[row.verdict])
        if row := self._rows.get((model, key, other, one)):
            turned = RELATIONS[row.verdict]
            said.add(TURNED.get(turned, turned))
        return said.pop() if len(said) == 1 else "unknown"

    def ratio(self, model: str, key: str, one: str, other: str) -> Ratio | None:
        """The figure of ``one`` over that of ``other``; the interval only where it is one of confidence."""
        row = self._rows.get((model, key, one, other))
        if row is not None and row.ratio is not None:
            return Ratio(row.ratio, row.low, row.high) if _confident(row) else Ratio(row.ratio)
        row = self._rows.get((model, key, other, one))
        if row is None or not row.ratio:
            return None
        if not _confident(row) or not row.low or not row.high:
            return Ratio(1 / row.ratio)
        return Ratio(1 / row.ratio, 1 / row.high, 1 / row.low)

    def has_interval(self, model: str, key: str, one: str, other: str) -> bool:
        """Does a pair's verdict rest on intervals, rather than on single figures?"""
        rows = [self._rows.get((model, key, *pair)) for pair in ((one, other), (other, one))]
        return any(row is not None and (_confident(row) or row.reason == OVERLAP) for row in rows)


def _confident(row: Comparison) -> bool:
    return (row.low is not None and ROUNDING not in row.caveats) or row.delta_low is not None


class Standing(NamedTuple):
    """The contenders of a model that have a figure, the best first."""

    model: str
    key: str
    names: tuple[str, ...]
    values: dict[str, float]
    better: str

    @property
    def first(self) -> str:
        return self.names[0]

    def value(self, name: str) -> float:
        """A contender's figure."""
        return self.values[name]


def standing(model: str, key: str, group: Sequence[Contender], verdicts: Verdicts) -> Standing | None:
    """How contenders stand in a figure; ``None`` where fewer than two have it or neither way is better.

    Who is shown to be ahead of all others comes first, else who has the best figure as reported.
    """
    having = [each for each in group if key in each.entry.values]
    if len(having) < 2:
        return None
    better = having[0].entry.values[key].better
    if better == "neither" or any(each.entry.values[key].better != better for each in having):
        return None
    sign = -1 if better == "higher" else 1
    having.sort(key=lambda each: sign * each.entry.values[key].value)
    for each in having[:3]:
        if all(verdicts.relation(model, key, each.name, other.name) == "ahead" for other in having if other != each):
            having.sort(key=lambda other: other != each)
            break
    values = {each.name: each.entry.values[key].value for each in having}
    return Standing(model, key, tuple(values), values, better)


def behind(found: Standing, name: str, verdicts: Verdicts) -> tuple[str, ...]:
    """Who is shown to stand behind ``name``."""
    others = [other for other in found.names if other != name]
    return tuple(other for other in others if verdicts.relation(found.model, found.key, name, other) == "ahead")


def leads(found: Standing, verdicts: Verdicts) -> bool:
    """Is the first shown to be ahead of all others?"""
    return len(behind(found, found.first, verdicts)) == len(found.names) - 1


def ties(found: Standing, verdicts: Verdicts) -> list[tuple[Evidence, tuple[str, ...]]]:
    """Contenders between which no difference is shown, and what says so: they are equal, intervals, single figures."""
    groups: list[list[str]] = []
    for name in found.names[:PAIRS_MOST]:
        mate = next((group for group in groups if _tied(found, (*group, name), verdicts)), None)
        groups.append([name]) if mate is None else mate.append(name)
    return [
        (evidence, tuple(part))
        for group in groups
        if len(group) > 1
        for evidence, part in _by_evidence(found, group, verdicts)
    ]


def _tied(found: Standing, names: Sequence[str], verdicts: Verdicts) -> bool:
    pairs = combinations(names, 2)
    return all(verdicts.relation(found.model, found.key, one, other) == "tie" for one, other in pairs)


def _by_evidence(found: Standing, names: list[str], verdicts: Verdicts) -> list[tuple[Evidence, list[str]]]:
    """Equal figures are told apart from others that merely aren't shown to differ."""
    parts: list[tuple[Evidence, list[str]]] = []
    for value in dict.fromkeys(map(found.value, names)):
        alike = [name for name in names if found.value(name) == value]
        if len(alike) > 1 and not _measured(found, alike, verdicts):
            parts.append(("equal", alike))
    if not parts or len(parts[0][1]) < len(names):
        parts.append(("interval" if _measured(found, names, verdicts) else "single", names))
    return parts


def _measured(found: Standing, names: Sequence[str], verdicts: Verdicts) -> bool:
    pairs = combinations(names, 2)
    return all(verdicts.has_interval(found.model, found.key, one, other) for one, other in pairs)
