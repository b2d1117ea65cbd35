"""When the answer is known: who still needs rounds."""

from __future__ import annotations

from whichpu.results.comparison import fastest
from whichpu.results.schema import Campaign, Result, Settings
from whichpu.results.summary import median, ratio
from whichpu.stats.intervals import Estimate

CLEARLY_OUT = 1.25
"""A contender whose interval lies above this many times the fastest needs no more rounds."""


def still_needed(campaign: Campaign) -> list[str]:
    """Names of the contenders that must run another round; empty when the campaign is over.

    Each ratio to the fastest must be known to ``half_width``, or lie clearly above it; every contender gets
    ``rounds_least`` rounds, and none goes on once its budget is spent.
    """
    settings = campaign.settings
    alive = [result for result in campaign.results if result.status in ("pending", "measured")]
    if settings.rounds_most is not None:
        alive = [result for result in alive if len(result.readings) < settings.rounds_most]
    begun = [result for result in alive if len(result.readings) < settings.rounds_least]
    if begun:
        return [result.name for result in alive if result in begun]
    runners = [result for result in alive if not result.yardstick and median(result) is not None]
    if not runners:
        return []
    best = fastest(runners)
    if spent_s(best) >= settings.budget_s:
        return []
    if len(runners) == 1:
        return [] if narrow(median(best), settings) else [best.name]
    unknown = [
        result.name
        for result in runners
        if result is not best and spent_s(result) < settings.budget_s and not _known(result, best, settings)
    ]
    return [best.name, *unknown] if unknown else []


def why_stopped(campaign: Campaign) -> str:
    """One sentence: the answer is known, or how wide it still is."""
    runners = [result for result in campaign.results if not result.yardstick and median(result) is not None]
    if not runners:
        return "Nothing was measured."
    best = fastest(runners)
    wide = [result for result in runners if result is not best and not _known(result, best, campaign.settings)]
    asked = f"±{100 * campaign.settings.half_width:g} %"
    if not wide:
        return f"Stopped because the answer is known: every ratio that matters to {asked} or better."
    widths = []
    for result in wide:
        found = ratio(result, best)
        width = found[0].half_width if found is not None else None
        widths.append(f"{result.name} " + ("unknown" if width is None else f"±{100 * width:.1f} %"))
    return f"Stopped with the budget spent; still wider than {asked}: {', '.join(widths)}."


def narrow(estimate: Estimate | None, settings: Settings) -> bool:
    """Is the interval as narrow as asked?"""
    width = estimate.half_width if estimate is not None else None
    return width is not None and width <= settings.half_width


def spent_s(result: Result) -> float:
    """Seconds that a contender took so far, loading and warming up included."""
    return sum(reading.spent_s for reading in result.readings)


def _known(result: Result, best: Result, settings: Settings) -> bool:
    found = ratio(result, best)
    if found is None:
        return False
    estimate = found[0]
    return narrow(estimate, settings) or (estimate.low is not None and estimate.low > CLEARLY_OUT)
