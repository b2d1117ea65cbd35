"""Does a contender keep the limits? By its figures, and by how far their intervals reach."""

from __future__ import annotations

from collections.abc import Sequence

from whichpu.recommend.advice import Fit, Limit
from whichpu.recommend.asked import COST, unit_of
from whichpu.results.entries import METRICS, Entry
from whichpu.stats.uncertain import chance_below

EXACT = ("size", COST)
"""Figures that are no measurements: they have no spread."""


def fit(entry: Entry, limit: Limit) -> Fit:
    """One contender under one limit."""
    value = entry.values.get(limit.metric)
    if value is None:
        return Fit(limit=limit, unit=unit_of(limit.metric), why=absence(entry, limit.metric))
    within = limit.holds(value.value)
    sure = chance = None
    low, high = (value.value, value.value) if limit.metric in EXACT else (value.low, value.high)
    if low is not None and high is not None:
        sure = limit.holds(low) == limit.holds(high) == within
        below = chance_below(limit.bound, value.value, low, high)
        chance = below if limit.side == "most" else 1 - below
    return Fit(limit=limit, unit=value.unit, value=value.value, within=within, sure=sure, chance=chance)


def absence(entry: Entry, metric: str) -> str:
    """Why a contender doesn't have a figure."""
    says = METRICS[metric].says if metric in METRICS else metric.removeprefix("score:")
    return (entry.absent.get(metric) or f"the file holds no {says}").rstrip(".")


def fits(entry: Entry, limits: Sequence[Limit]) -> list[Fit]:
    """One contender under all limits."""
    return [fit(entry, limit) for limit in limits]


def keeps(found: Fit, allow_unknown: bool, sure: bool) -> bool:
    """Does a contender count as within a limit? ``sure`` asks that its interval shows it."""
    if found.within is None:
        return allow_unknown
    return found.within and not (sure and found.sure is not True)
