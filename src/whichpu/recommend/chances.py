"""How probable it is that each contender is the best within the limits, given the intervals of the figures.

Figures are drawn from their intervals. Contenders of one campaign ran in the same rounds: their latencies are drawn
together, so that what the machine did to all of them turns no ranking round (:mod:`whichpu.stats.best`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from whichpu.recommend.advice import Limit
from whichpu.recommend.asked import COST
from whichpu.recommend.decision import Asked, Court, Decision
from whichpu.recommend.fits import EXACT, fits
from whichpu.results.comparison import fastest, measured_results
from whichpu.results.latencies import rounds_of_ratio
from whichpu.results.nway import Contender
from whichpu.results.schema import Campaign
from whichpu.stats import best, uncertain

FAR = 600.0
"""Bound of a drawn log ratio: two rounds leave it nearly open, and e^710 is no number any more."""
PAIRED = "latency_median"
SEED = 0
DRAWN_MOST = 200
"""Contenders that are drawn."""

Drawn = dict[tuple[str, str], uncertain.Draws]


def chances(court: Court, decision: Decision, asked: Asked, campaigns: Mapping[str, Campaign]) -> dict[str, float]:
    """By name, how probable it is that a contender keeps the limits and none that keeps them is better on the first
    objective. What is missing to one is the chance that nobody keeps them. Figures on limits that have no interval are
    taken as they are. Empty where a ranked contender has no interval on the objective (:func:`without_interval`).
    """
    key = asked.objectives[0]
    if without_interval(decision.ranked, key):
        return {}
    sign = -1.0 if court.judge.better.get(key) == "higher" else 1.0
    rivals = [*decision.ranked, *_perhaps(court, decision, asked)]
    ordered = sorted(_likeliest(rivals, key, sign), key=lambda each: each.name)
    if not ordered:
        return {}
    drawn = _drawn(ordered, [key, *(limit.metric for limit in asked.limits)], campaigns)
    figures = np.array([sign * drawn[each.name, key] for each in ordered])
    figures[~np.array([_kept(each, asked.limits, drawn) for each in ordered])] = np.inf
    wins = (figures == figures.min(axis=0)) & np.isfinite(figures)
    shares = wins / np.maximum(1, wins.sum(axis=0))
    others = {each.name: 0.0 for each in rivals}
    return others | {each.name: float(np.mean(share)) for each, share in zip(ordered, shares, strict=True)}


def _likeliest(rivals: Sequence[Contender], key: str, sign: float) -> list[Contender]:
    """The contenders whose intervals reach furthest to the good side: the others' chance is none."""

    def reach(each: Contender) -> tuple[float, str]:
        value = each.entry.values[key]
        ends = [sign * end for end in (value.value, value.low, value.high) if end is not None]
        return min(ends), each.name

    return sorted(rivals, key=reach)[:DRAWN_MOST]


def _perhaps(court: Court, decision: Decision, asked: Asked) -> list[Contender]:
    """Contenders over a limit by their figures, within it by a part of their intervals."""
    over = [court.by_name[name] for name, out in decision.out.items() if out.kind == "limit"]
    key = asked.objectives[0]
    found = []
    for each in over:
        broken = [fit for fit in fits(each.entry, asked.limits) if not fit.within]
        close = all(fit.chance for fit in broken)
        known = all(one in each.entry.values for one in asked.objectives) and not without_interval([each], key)
        head = decision.ranked[:1]
        if close and known and not any(court.judge.refused(asked.objectives, each, other) for other in head):
            found.append(each)
    return found


def without_interval(ranked: Sequence[Contender], key: str) -> list[str]:
    """Contenders whose figure has no interval."""
    return [
        each.name
        for each in ranked
        if key not in (*EXACT, COST) and (each.entry.values[key].low is None or each.entry.values[key].high is None)
    ]


def _kept(each: Contender, limits: Sequence[Limit], drawn: Drawn) -> npt.NDArray[np.bool_]:
    """In which draws a contender keeps all limits; one without a figure was let in by the user."""
    kept = np.ones(best.DRAWS, dtype=bool)
    for limit in limits:
        if (each.name, limit.metric) in drawn:
            figure = drawn[each.name, limit.metric]
            kept &= figure <= limit.bound if limit.side == "most" else figure >= limit.bound
    return kept


def _drawn(ordered: Sequence[Contender], keys: Sequence[str], campaigns: Mapping[str, Campaign]) -> Drawn:
    generator = np.random.default_rng(SEED)
    found: Drawn = {}
    for each in ordered:
        for key in dict.fromkeys(keys):
            value = each.entry.values.get(key)
            if value is not None:
                low = value.value if value.low is None else value.low
                high = value.value if value.high is None else value.high
                found[each.name, key] = uncertain.draws(value.value, low, high, best.DRAWS, generator)
    if PAIRED in keys:
        for sha256 in sorted({each.entry.sha256 for each in ordered} & campaigns.keys()):
            together = [each for each in ordered if each.entry.sha256 == sha256 and PAIRED in each.entry.values]
            _pair(found, together, campaigns[sha256])
    return found


def _pair(found: Drawn, together: Sequence[Contender], campaign: Campaign) -> None:
    """Latencies of one campaign, drawn together: the fastest's own draws times draws of the ratios to it."""
    results = {result.name: result for result in measured_results(campaign)}
    known = [each for each in together if each.entry.contender in results]
    if len(known) < 2:
        return
    base = fastest([results[each.entry.contender] for each in known])
    ratios = best.drawn([rounds_of_ratio(results[each.entry.contender], base) for each in known], seed=SEED)
    if ratios is None:
        return
    own = next(found[each.name, PAIRED] for each in known if each.entry.contender == base.name)
    for each, logs in zip(known, ratios, strict=True):
        found[each.name, PAIRED] = own * np.exp(np.clip(logs, -FAR, FAR))
