"""Contenders held against a baseline: ratios over rounds, verdicts corrected for their number, refusals by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from whichpu.errors import UserError
from whichpu.results.boundary import SIMULATED
from whichpu.results.doubts import differs
from whichpu.results.latencies import median, ratio, rounds_of_ratio
from whichpu.results.schema import Campaign, Result
from whichpu.stats import best
from whichpu.stats.intervals import Estimate, holm, p_value
from whichpu.stats.verdicts import verdict

METRIC = "latency_median"


class Comparison(msgspec.Struct, kw_only=True):
    """``ratio`` is the contender's figure over the baseline's (median latency, energy, memory), ``low`` to ``high`` its
    95 % interval. A score has no ratio: ``delta`` is the contender's ``value`` less the ``baseline_value``, in the
    task's ``unit`` (``share``: of 1), ``delta_low`` to ``delta_high`` its 95 % interval. ``caveats`` are what the
    sources leave open (:mod:`whichpu.results.comparability`).
    """

    model: str
    metric: str
    baseline: str
    contender: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str = "not-comparable"
    reason: str
    baseline_value: float | None = None
    value: float | None = None
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    unit: str | None = None
    caveats: list[str] = []


def compare(campaign: Campaign, baseline: str | None = None) -> list[Comparison]:
    """All measured contenders of a campaign against ``baseline`` (default: the fastest). Yardsticks stay out.

    Raises :class:`UserError` for a baseline that is not there or has no figures.
    """
    base = baseline_of(campaign, baseline)
    if base is None:
        return []
    others = [result for result in campaign.results if result is not base and not result.yardstick]
    rivals = [result for result in others if _counts(result, campaign) and result.boundary == base.boundary]
    evidence = {result.name: ratio(result, base) if result in rivals else None for result in others}
    adjusted, family = corrected({name: found[1] for name, found in evidence.items() if found}, baseline)
    return [_judged(campaign, base, result, evidence[result.name], adjusted, family) for result in others]


def corrected(logs: Mapping[str, Sequence[float]], baseline: str | None) -> tuple[dict[str, float], int]:
    """The p-values of contenders' log ratios, corrected for their number, and this number."""
    known = {name: p for name, each in logs.items() if (p := p_value(each)) is not None}
    # A baseline chosen for being the fastest was chosen by the same data: then all pairs are the family.
    family = len(known) if baseline is not None else len(known) * (len(known) + 1) // 2
    return dict(zip(known, holm(list(known.values()), family), strict=True)), family


def judge(row: Comparison, estimate: Estimate, p: float | None, family: int, matters: float) -> None:
    """Put an estimate of the ratio into a row, with its verdict and why."""
    row.ratio, row.low, row.high = estimate.value, estimate.low, estimate.high
    row.verdict = verdict(estimate, p, matters)
    row.reason = _reason(row, estimate.rounds, p, family, matters)


def baseline_of(campaign: Campaign, baseline: str | None) -> Result | None:
    """The contender that others are held against: the one named, or the fastest; ``None`` where none has figures.

    Raises :class:`UserError` for a baseline that is not there or has no figures.
    """
    measured = measured_results(campaign)
    if not measured:
        return None
    return fastest(measured) if baseline is None else _named(campaign, baseline)


def across(campaigns: list[tuple[str, Campaign]]) -> list[Comparison]:
    """Contenders of one name in different campaign files: never judged, because they were not interleaved."""
    first_name, first = campaigns[0]
    found = []
    for name, campaign in campaigns[1:]:
        for result in measured_results(campaign):
            twin = next((other for other in measured_results(first) if other.name == result.name), None)
            if twin is not None:
                found.append(
                    _refused(f"{first_name}: {twin.name}", f"{name}: {result.name}", first, campaign, twin, result)
                )
    return found


def measured_results(campaign: Campaign) -> list[Result]:
    """Contenders that are ranked: with at least one measured block and outputs that are an answer. No yardsticks."""
    return [result for result in campaign.results if _counts(result, campaign) and median(result) is not None]


def fastest(results: list[Result]) -> Result:
    """The result with the smallest latency; one that crashed, or of a single round, only where there is no other.

    All are held against the one of most rounds, in the rounds that both ran in: who needed fewer rounds was measured at
    other times, so that medians alone would compare the machine then with the machine now.
    """
    medians = [median(result) for result in results]
    standings = [
        (result.status not in ("measured", "pending"), estimate is None or estimate.rounds < 2)
        for result, estimate in zip(results, medians, strict=True)
    ]
    ranked = [
        (estimate, result)
        for result, estimate, standing in zip(results, medians, standings, strict=True)
        if standing == min(standings) and estimate is not None
    ]
    if not ranked:
        return results[0]
    middle, held = min(ranked, key=lambda pair: (-pair[0].rounds, pair[0].value))

    def against(pair: tuple[Estimate, Result]) -> float:
        found = ratio(pair[1], held)
        return found[0].value if found is not None else pair[0].value / middle.value

    return min(ranked, key=against)[1]


def agreeing(campaign: Campaign) -> list[Result]:
    """Ranked contenders whose outputs agree with the reference's as far as fp32 arithmetic explains, and variants
    whose answers are not shown to be worse."""
    return [result for result in measured_results(campaign) if not differs(result)]


def ratios_to_the_fastest(campaign: Campaign) -> dict[str, float]:
    """For each ranked contender its latency over that of the fastest, from common rounds where there are any."""
    runners = measured_results(campaign)
    if not runners:
        return {}
    base = fastest(runners)
    found = {result.name: ratio(result, base) for result in runners}
    medians = {result.name: median(result) for result in runners}
    own = medians[base.name]
    return {
        name: pair[0].value if pair is not None else (estimate.value / own.value if estimate and own else 1.0)
        for (name, pair), estimate in zip(found.items(), medians.values(), strict=True)
    }


def probability_of_best(campaign: Campaign) -> dict[str, float]:
    """For each ranked contender the probability that none is faster; empty when some have fewer than two rounds."""
    runners = measured_results(campaign)
    if len(runners) < 2 or len({result.boundary for result in runners}) > 1:
        return {}
    base = fastest(runners)
    logs = [rounds_of_ratio(result, base) for result in runners]
    chances = best.probabilities(logs)
    return {} if chances is None else dict(zip([result.name for result in runners], chances, strict=True))


def _counts(result: Result, campaign: Campaign) -> bool:
    """Not ranked: a contender that failed before its outputs were held against the reference's, and a simulator."""
    if (
        result.yardstick
        or result.boundary == SIMULATED
        or result.status in ("bad-output", "refused", "not-here", "bug")
    ):
        return False
    alive = result.status in ("measured", "pending")
    return alive or result.difference is not None or campaign.reference is None


def _named(campaign: Campaign, name: str) -> Result:
    for result in campaign.results:
        if name in (result.name, result.target):
            if median(result) is None:
                raise UserError(f"baseline {name!r} has no figures: {result.why or result.status}")
            return result
    there = ", ".join(result.name for result in campaign.results)
    raise UserError(f"no contender is called {name!r}", f"choose one of: {there}")


def _judged(
    campaign: Campaign,
    base: Result,
    result: Result,
    evidence: tuple[Estimate, list[float]] | None,
    adjusted: dict[str, float],
    family: int,
) -> Comparison:
    row = Comparison(
        model=campaign.model.name,
        metric=METRIC,
        baseline=base.name,
        contender=result.name,
        reason=result.why or "no round in common with the baseline",
    )
    if result.boundary != base.boundary:
        row.reason = f"other boundary ({result.boundary}; the baseline's is {base.boundary})"
    if evidence is not None:
        judge(row, evidence[0], adjusted.get(result.name), family, campaign.settings.matters)
    return row


def _reason(row: Comparison, rounds: int, p: float | None, family: int, matters: float) -> str:
    if p is None:
        return "one round says nothing about spread"
    corrected = f", corrected for {family} comparisons" if family > 1 else ""
    facts = f"{rounds} rounds, p = {p:.2g}{corrected}"
    if row.verdict == "too-small-to-matter":
        return f"a real difference, but under {100 * matters:g} % ({facts})"
    return facts


def _refused(
    baseline: str, contender: str, first: Campaign, second: Campaign, twin: Result, result: Result
) -> Comparison:
    if first.model.sha256 != second.model.sha256:
        reason = "other model bytes"
    elif first.machine.hostname != second.machine.hostname or first.machine.cpu_model != second.machine.cpu_model:
        reason = "other machine"
    elif twin.boundary != result.boundary:
        reason = f"other boundary ({twin.boundary}, then {result.boundary})"
    else:
        before, after = median(twin), median(result)
        assert before is not None and after is not None
        reason = (
            f"measured in two campaigns (medians {before.value / 1e6:.4g} and {after.value / 1e6:.4g} ms):"
            " the machine's drift between them is not known; measure both in one `whichpu run`"
        )
    return Comparison(
        model=second.model.name,
        metric=METRIC,
        baseline=baseline,
        contender=contender,
        reason=reason,
    )
