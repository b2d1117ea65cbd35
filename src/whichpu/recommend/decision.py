"""Who wins among contenders of one model: within the limits, on the Pareto front, by the objectives in their order.

Two contenders differ where a comparison shows it (:mod:`whichpu.results.nway`), and are tied where it doesn't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec

from whichpu.recommend.advice import Fit, Limit
from whichpu.recommend.asked import COST, direction, statistic
from whichpu.recommend.fits import absence, fits, keeps
from whichpu.results.comparability import ruling
from whichpu.results.comparison import Comparison
from whichpu.results.nway import Contender, Pairs
from whichpu.results.schema import Campaign

Relation = Literal["better", "worse", "tied"]
RELATIONS: dict[str, Relation] = {"faster": "better", "better": "better", "slower": "worse", "worse": "worse"}
TIES_AMONG = 100
"""Of more contenders, ties are looked for among the best so many."""
Kind = tuple[object, ...]
"""What decides with which others a contender may be compared."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision is made by; ``limits`` and ``objectives`` are keys of figures that are there."""

    limits: tuple[Limit, ...] = ()
    objectives: tuple[str, ...] = ()
    allow_unknown: bool = False
    sure: bool = False


class Judge:
    """Holds contenders against each other, figure by figure, and remembers."""

    def __init__(self, contenders: Sequence[Contender], campaigns: Mapping[str, Campaign]) -> None:
        self.pairs = Pairs(campaigns)
        self.better = {key: direction(key, [each.entry for each in contenders]) for key in _keys(contenders)}
        self.latency = statistic([each.entry for each in contenders])
        self.rows: dict[tuple[str, str, str], Comparison] = {}

    def row(self, key: str, one: Contender, other: Contender) -> Comparison:
        """One contender against another as its baseline."""
        at = (key, one.name, other.name)
        if at not in self.rows:
            self.rows[at] = self.pairs.row(key, other, one)
        return self.rows[at]

    def relation(self, key: str, one: Contender, other: Contender) -> Relation:
        """What is shown of the first contender against the other."""
        mine, theirs = (self.signed(key, each) for each in (one, other))
        if key == COST:
            return "better" if mine < theirs else "worse" if mine > theirs else "tied"
        return RELATIONS.get(self.row(key, one, other).verdict, "tied")

    def refused(self, keys: Iterable[str], one: Contender, other: Contender) -> tuple[str, str] | None:
        """The first figure by which two contenders may not be compared, and the rule."""
        for key in keys:
            if key != COST and (rule := ruling(key, one.entry, other.entry).refused):
                return key, rule
        return None

    def signed(self, key: str, each: Contender) -> float:
        """A figure turned so that less is better."""
        value = each.entry.values[key].value
        return -value if self.better.get(key) == "higher" else value

    def order(self, keys: Sequence[str]) -> Callable[[Contender], tuple[object, ...]]:
        """Sorts by figures in their order, then by latency, then by name."""

        def place(each: Contender) -> tuple[object, ...]:
            last = each.entry.values.get(self.latency)
            latency = last.value if last else float("inf")
            return (*(self.signed(key, each) for key in keys), latency, each.name)

        return place

    def beats(self, one: Contender, other: Contender, keys: Sequence[str]) -> bool:
        """Is one shown better on some figure, and worse on none?"""
        if one.entry.sha256 != other.entry.sha256 and all(
            self.signed(key, one) >= self.signed(key, other) for key in keys
        ):
            return False
        relations = [self.relation(key, one, other) for key in keys]
        return "better" in relations and "worse" not in relations


def _keys(contenders: Sequence[Contender]) -> dict[str, None]:
    return dict.fromkeys(key for each in contenders for key in each.entry.values)


class Out(NamedTuple):
    """Why a contender is not ranked: ``limit``, ``unknown``, ``objective`` (has no figure), ``apart`` (other terms)."""

    kind: Literal["limit", "unknown", "objective", "apart"]
    metric: str
    why: str


def _kind(each: Contender, keys: Sequence[str]) -> Kind:
    values = [each.entry.values[key] for key in keys]
    terms = tuple((value.unit, *sorted(value.terms.items())) for value in values)
    return each.entry.model_sha256, each.entry.estimated, terms


class Decision(NamedTuple):
    """``ranked`` are those within the limits that can be held against each other, the best figures first; ``out`` says
    of each other one why it is not among them, and by which figures."""

    feasible: list[Contender]
    ranked: list[Contender]
    front: list[Contender]
    pick: Contender | None
    out: dict[str, Out]


class Court:
    """Decides among contenders, under changing terms."""

    def __init__(self, contenders: Sequence[Contender], campaigns: Mapping[str, Campaign]) -> None:
        self.contenders = sorted(contenders, key=lambda each: each.name)
        self.judge = Judge(self.contenders, campaigns)

    @cached_property
    def by_name(self) -> dict[str, Contender]:
        """Contenders by their names."""
        return {each.name: each for each in self.contenders}

    def decide(self, asked: Asked, without: Sequence[str] = ()) -> Decision:
        """The decision under these limits and objectives."""
        out: dict[str, Out] = {}
        feasible = []
        for each in self.contenders:
            if each.name in without:
                continue
            reason = _out_of_limits(fits(each.entry, asked.limits), asked)
            if reason is None:
                feasible.append(each)
            else:
                out[each.name] = reason
        ranked = self._ranked(feasible, asked, out)
        front = [each for each in ranked if not self._beaten(each, ranked, asked.objectives)] or ranked[:1]
        return Decision(feasible, ranked, front, self._pick(front, asked.objectives), out)

    def ties(self, decision: Decision, asked: Asked) -> list[list[str]]:
        """Groups of contenders that are tied with the first of them on every objective."""
        left = decision.ranked[:TIES_AMONG]
        if decision.pick is not None and decision.pick in left:
            left = [decision.pick, *(each for each in left if each is not decision.pick)]
        found = []
        while left:
            head, *others = left
            same = [each for each in others if self._tied(head, each, asked.objectives)]
            left = [each for each in others if each not in same]
            if same:
                found.append([head.name, *(each.name for each in same)])
        return found

    def _tied(self, one: Contender, other: Contender, keys: Sequence[str]) -> bool:
        return all(self.judge.relation(key, one, other) == "tied" for key in keys)

    def _ranked(self, feasible: Sequence[Contender], asked: Asked, out: dict[str, Out]) -> list[Contender]:
        having = []
        for each in feasible:
            lacking = next((key for key in asked.objectives if key not in each.entry.values), None)
            if lacking is None:
                having.append(each)
            else:
                out[each.name] = Out("objective", lacking, absence(each.entry, lacking))
        order = self.judge.order(asked.objectives)
        classes = self._comparable(sorted(having, key=order), asked.objectives)
        if not classes:
            return []
        main = min(classes, key=lambda one: (one[0].entry.estimated, -len(one), order(one[0])))
        for each in (each for one in classes if one is not main for each in one):
            rules = (self.judge.refused(asked.objectives, each, other) for other in main)
            refused = next((rule for rule in rules if rule), (asked.objectives[0], ""))
            out[each.name] = Out("apart", *refused)
        return main

    def _comparable(self, ordered: Sequence[Contender], keys: Sequence[str]) -> list[list[Contender]]:
        """Groups in which each may be compared with each; of one kind only one has to be asked."""
        classes: list[tuple[dict[Kind, Contender], list[Contender]]] = []
        for each in ordered:
            kind = _kind(each, keys)
            found = next(
                (
                    one
                    for one in classes
                    if kind in one[0] or not any(self.judge.refused(keys, each, other) for other in one[0].values())
                ),
                None,
            )
            if found is None:
                classes.append(({kind: each}, [each]))
            else:
                found[0].setdefault(kind, each)
                found[1].append(each)
        return [members for _, members in classes]

    def _beaten(self, each: Contender, ranked: Sequence[Contender], keys: Sequence[str]) -> bool:
        return any(other is not each and self.judge.beats(other, each, keys) for other in ranked)

    def _pick(self, front: Sequence[Contender], keys: Sequence[str]) -> Contender | None:
        """The first objective decides; the next ones among those that are tied on it; then the figures as they are."""
        left = list(front)
        for key in keys:
            left = [
                each for each in left if not any(self.judge.relation(key, other, each) == "better" for other in left)
            ] or left
        return min(left, key=self.judge.order(keys), default=None)


def _out_of_limits(found: Sequence[Fit], asked: Asked) -> Out | None:
    """The first limit that a contender is shown to break, else the first that it can't be shown to keep."""
    broken = [each for each in found if not keeps(each, asked.allow_unknown, asked.sure)]
    if not broken:
        return None
    worst = min(broken, key=lambda each: each.within is None)
    return Out("unknown" if worst.within is None else "limit", worst.limit.metric, worst.why)
