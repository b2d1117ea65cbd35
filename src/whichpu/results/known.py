"""Is the answer known? Which ratios are as narrow as asked, and how wide the others still are."""

from __future__ import annotations

from whichpu.results.boundary import SIMULATED
from whichpu.results.comparison import fastest, measured_results
from whichpu.results.latencies import median, ratio
from whichpu.results.schema import Campaign, Result, Settings
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
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return False
    return narrow(estimate, settings) or low > CLEARLY_OUT or high < 1 / CLEARLY_OUT


def pairs(campaign: Campaign) -> list[tuple[Result, Result]]:
    """Contenders that name the one they are held against, each with it."""
    named = {result.name: result for result in campaign.results}
    return [(result, named[result.baseline]) for result in campaign.results if result.baseline in named]


def why_stopped(campaign: Campaign) -> str:
    """One sentence: the answer is known, or how wide it still is."""
    runners, settings = measured_results(campaign), campaign.settings
    asked = f"±{100 * settings.half_width:g} %"
    if pairs(campaign):
        return _pairs_stopped(campaign, asked)
    if not runners:
        ran = [result for result in campaign.results if median(result) is not None]
        if any(result.boundary == SIMULATED for result in ran):
            return "Only a simulator ran: it has outputs, but no times."
        harness = any(result.yardstick for result in ran)
        return "Only the harness itself was measured." if harness else "Nothing was measured."
    best = fastest(runners)
    if len(runners) == 1:
        width = _shown(median(best))
        return f"{_ended(campaign)}: the median is known to {width} (asked: {asked})."
    alive = [result for result in runners if result.status in ("pending", "measured")]
    few = [result.name for result in alive if len(result.readings) < settings.rounds_least]
    if few:
        return f"{_ended(campaign)}: fewer than {settings.rounds_least} rounds are too few to know the answer."
    wide = [result for result in runners if result is not best and not known(result, best, settings)]
    if not wide:
        return (
            f"The answer is known: every ratio to {best.name} to {asked} or better, or clearly above"
            f" {CLEARLY_OUT:g} times."
        )
    found = {result.name: ratio(result, best) for result in wide}
    widths = [f"{name} {_shown(pair[0] if pair is not None else None)}" for name, pair in found.items()]
    return f"{_ended(campaign)}: some ratios to {best.name} are still wider than {asked}: {', '.join(widths)}."


def _pairs_stopped(campaign: Campaign, asked: str) -> str:
    ran = [(result, base) for result, base in pairs(campaign) if ratio(result, base) is not None]
    if not ran:
        return "Nothing was measured that could be held against its baseline."
    wide = [(result, ratio(result, base)) for result, base in ran if not known(result, base, campaign.settings)]
    if not wide:
        return f"The answer is known: every ratio to its baseline to {asked} or better, or far from 1."
    widths = ", ".join(f"{result.name} {_shown(found[0] if found else None)}" for result, found in wide)
    return f"{_ended(campaign)}: some ratios to their baselines are still wider than {asked}: {widths}."


def _ended(campaign: Campaign) -> str:
    settings = campaign.settings
    most = max(len(result.readings) for result in campaign.results)
    if campaign.finished is None:
        return "Not finished"
    if settings.rounds_most is not None and most >= settings.rounds_most:
        return f"Stopped after {most} {'round' if most == 1 else 'rounds'}, as asked"
    return "Stopped"


def _shown(estimate: Estimate | None) -> str:
    width = estimate.half_width if estimate is not None else None
    return "an unknown width" if width is None else f"±{100 * width:.3g} %"
