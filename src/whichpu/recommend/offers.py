"""Which contender could run which model of a plan on which unit, and what load and power that would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from whichpu.recommend.asked import limit_among
from whichpu.recommend.fits import absence, fits
from whichpu.recommend.plans import Need, Plan, Unit
from whichpu.recommend.prices import names
from whichpu.results.entries import Entry
from whichpu.results.nway import Contender, grouped

SERVICE = ("latency_mean", "latency_median")
"""What an inference keeps a unit busy: the mean, which adds up; else the median."""


class Offer(NamedTuple):
    """A contender that may run a model on a unit: the share of the unit's time that it takes, and the power while it
    runs (``None``: not known)."""

    need: Need
    unit: Unit
    contender: Contender
    key: str
    load: float
    power_w: float | None


class Left(NamedTuple):
    """A contender of a model that can't run it on a unit, and why: ``limit``, ``unknown``, ``latency`` (not known),
    ``rate`` (too slow for it), ``power`` (not known, but limited)."""

    need: Need
    unit: Unit
    contender: Contender
    kind: Literal["limit", "unknown", "latency", "rate", "power"]
    key: str
    why: str = ""


def offers(entries: Sequence[Entry], plan: Plan) -> tuple[list[Offer], list[Left]]:
    """All offers for a plan, and what is left out, in the order of names."""
    groups = grouped(entries)
    found: list[Offer] = []
    left: list[Left] = []
    for need in sorted(plan.models, key=lambda each: each.name):
        for unit in sorted(plan.units, key=lambda each: each.name):
            for each in candidates(groups, need, unit):
                one = _offer(need, unit, each, plan)
                found.append(one) if isinstance(one, Offer) else left.append(one)
    return found, left


def candidates(groups: Mapping[str, Sequence[Contender]], need: Need, unit: Unit) -> list[Contender]:
    """Contenders of a model that run on a unit, by name."""

    def runs(each: Contender) -> bool:
        called = [name for name in (each.name, each.entry.contender, each.entry.device) if name]
        return any(names(pattern, name) for pattern in unit.contenders for name in called)

    return sorted(filter(runs, groups.get(need.name, ())), key=lambda each: each.name)


def _offer(need: Need, unit: Unit, each: Contender, plan: Plan) -> Offer | Left:
    values = each.entry.values
    limits = [limit_among(limit, [each.entry]) for limit in need.limits]
    for fit in fits(each.entry, limits):
        if not fit.within:
            kind: Literal["limit", "unknown"] = "unknown" if fit.within is None else "limit"
            return Left(need, unit, each, kind, fit.limit.metric, fit.why)
    key = next((key for key in SERVICE if key in values), None)
    if key is None:
        return Left(need, unit, each, "latency", SERVICE[0], absence(each.entry, SERVICE[0]))
    load = need.rate_per_s * values[key].value * unit.slowdown / 1e9
    if load > 1:
        return Left(need, unit, each, "rate", key)
    power = values.get("power")
    if power is None and plan.max_power_w is not None:
        return Left(need, unit, each, "power", "power", absence(each.entry, "power"))
    return Offer(need, unit, each, key, load, power.value if power else None)
