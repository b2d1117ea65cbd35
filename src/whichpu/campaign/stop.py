"""When the answer is known: who still needs rounds."""

from __future__ import annotations

from whichpu.results.comparison import fastest, measured_results
from whichpu.results.known import known, narrow, pairs
from whichpu.results.latencies import median
from whichpu.results.schema import Campaign, Result


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
        beside = _held_against(campaign, begun, alive)
        return [result.name for result in alive if result in begun or result in beside]
    if pairs(campaign):
        return _pairs_needed(campaign, alive)
    runners = [result for result in measured_results(campaign) if result in alive]
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
        if result is not best and spent_s(result) < settings.budget_s and not known(result, best, settings)
    ]
    return [best.name, *unknown] if unknown else []


def _held_against(campaign: Campaign, begun: list[Result], alive: list[Result]) -> list[Result]:
    """Whom a contender that came back after a failure is held against: rounds that it runs alone tell no ratio."""
    if pairs(campaign):
        return [one for pair in pairs(campaign) if any(result in begun for result in pair) for one in pair]
    runners = [result for result in measured_results(campaign) if result in alive]
    return [fastest(runners)] if runners else []


def _pairs_needed(campaign: Campaign, alive: list[Result]) -> list[str]:
    """Contenders whose ratio to their own baseline is not known yet, and those baselines."""
    settings = campaign.settings
    unknown = [
        pair
        for pair in pairs(campaign)
        if all(one in alive and spent_s(one) < settings.budget_s for one in pair) and not known(*pair, settings)
    ]
    return list(dict.fromkeys(result.name for pair in unknown for result in pair))


def spent_s(result: Result) -> float:
    """Seconds that a contender took so far, loading and warming up included."""
    return sum(reading.spent_s for reading in result.readings)
