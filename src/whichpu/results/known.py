"""Is the answer known? Which ratios are as narrow as asked, and how wide the others still are."""

from __future__ import annotations

from whichpu.results.comparison import fastest, measured_results
from whichpu.results.schema import Campaign, Result, Settings
from whichpu.results.summary import ratio
from whichpu.stats.intervals import Estimate

CLEARLY_OUT = 1.25
"""A contender whose interval lies above this many times the fastest needs no more rounds."""


def narrow(estimate: Estimate | None, settings: Settings) -> bool:
    """Is the interval as narrow as asked?"""
    width = estimate.half_width if estimate is not None else None
    return width is not None and width <= settings.half_width


def known(result: Result, best: Result, settings: Settings) -> bool:
    """Is the ratio to the fastest known to the width asked, or the contender clearly out?"""
    found = ratio(result, best)
    if found is None:
        return False
    estimate = found[0]
    return narrow(estimate, settings) or (estimate.low is not None and estimate.low > CLEARLY_OUT)


def why_stopped(campaign: Campaign) -> str:
    """One sentence: the answer is known, or how wide it still is."""
    runners = measured_results(campaign)
    if not runners:
        return "Nothing was measured."
    best = fastest(runners)
    wide = [result for result in runners if result is not best and not known(result, best, campaign.settings)]
    asked = f"±{100 * campaign.settings.half_width:g} %"
    if not wide:
        return f"The answer is known: every ratio that matters to {asked} or better."
    widths = [f"{result.name} {_width(result, best)}" for result in wide]
    ended = "Stopped with the budget spent" if campaign.finished else "Not finished"
    return f"{ended}; still wider than {asked}: {', '.join(widths)}."


def _width(result: Result, best: Result) -> str:
    found = ratio(result, best)
    width = found[0].half_width if found is not None else None
    return "unknown" if width is None else f"±{100 * width:.1f} %"
