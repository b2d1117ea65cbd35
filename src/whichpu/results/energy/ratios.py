"""Contenders' energy and memory held against a baseline's: paired by rounds, only between equal scopes, else refused by
name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from whichpu.results.comparison import Comparison, baseline_of, corrected, judge, measured_results
from whichpu.results.energy import figures, metered
from whichpu.results.energy.metered import Source
from whichpu.results.schema import Campaign, Memory, Result
from whichpu.stats.intervals import of_logs

GROSS, NET, MEMORY = "energy_per_inference", "energy_per_inference_net", "memory_peak"

WORDS = {"faster": "better", "slower": "worse"}
"""What a verdict on a ratio says of energy and memory, of which less is better too."""


class Evidence(NamedTuple):
    """One log ratio a round; or why there is none."""

    logs: list[float]
    why_not: str = ""


def compare_energy(campaign: Campaign, baseline: str | None = None) -> list[Comparison]:
    """Energy per inference, gross and net, of all contenders against ``baseline`` (default: the fastest).

    Each pair is held to the widest source that holds the units that both ran on. Empty where no contender has a figure.
    Raises :class:`~whichpu.errors.UserError` for a baseline that is not there or has no figures.
    """
    if not any(_sources_with_figures(campaign, result) for result in measured_results(campaign)):
        return []
    return _judged(campaign, baseline, GROSS, _gross) + _judged(campaign, baseline, NET, _net)


def compare_memory(campaign: Campaign, baseline: str | None = None) -> list[Comparison]:
    """The most memory that was resident, of all contenders against ``baseline`` (default: the fastest).

    Empty where no contender's memory was noted. Raises :class:`~whichpu.errors.UserError` as above.
    """
    if not any(_peaks(result) for result in measured_results(campaign)):
        return []
    return _judged(campaign, baseline, MEMORY, lambda _, result, base: _paired(_peaks(result), _peaks(base), "memory"))


def across_energy(campaigns: Sequence[tuple[str, Campaign]]) -> list[Comparison]:
    """Energy of contenders of one name in different files: never judged, and the reason; as with latency."""
    first_name, first = campaigns[0]
    rows = []
    for name, campaign in campaigns[1:]:
        for result in measured_results(campaign):
            twin = next((each for each in measured_results(first) if each.name == result.name), None)
            if twin is None or not (_sources_with_figures(first, twin) or _sources_with_figures(campaign, result)):
                continue
            why_not = _why_not_across(first, twin, campaign, result)
            rows.append(_row(campaign, f"{first_name}: {twin.name}", f"{name}: {result.name}", GROSS, why_not))
    return rows


# ---------------------------------------------------------------- evidence


def _gross(campaign: Campaign, result: Result, base: Result) -> Evidence:
    source = _common(campaign, result, base)
    if isinstance(source, Evidence):
        return source
    above, below = (figures.energy_rounds(campaign, each, source) for each in (result, base))
    return _paired(above, below, "energy")


def _net(campaign: Campaign, result: Result, base: Result) -> Evidence:
    source = _common(campaign, result, base)
    if isinstance(source, Evidence):
        return source
    above, below = (figures.net_rounds(campaign, each, source) for each in (result, base))
    flat = [each.name for each, rounds in ((result, above), (base, below)) if min(rounds.values(), default=1) <= 0]
    if flat:
        return Evidence([], f"in some round {' and '.join(flat)} took no more than the machine does idle")
    return _paired(above, below, "net energy")


def _common(campaign: Campaign, result: Result, base: Result) -> Source | Evidence:
    """The source that two contenders are compared by; or why there is none."""
    if result.boundary != base.boundary:
        return Evidence([], f"other boundary ({result.boundary}; the baseline's is {base.boundary})")
    key = figures.common_source(campaign, [result, base])
    source = figures.source_named(campaign, key) if key is not None else None
    if source is not None:
        return source
    own = [_own(campaign, each) for each in (base, result)]
    metered_both = all(_sources_with_figures(campaign, each) for each in (base, result))
    if metered_both and own[0] != own[1]:
        told = "; ".join(
            f"{each.name}: {_of(campaign, key, each)}" for each, key in zip((base, result), own, strict=True)
        )
        return Evidence([], f"other power scope ({told})")
    absent = next(each for each, key in zip((base, result), own, strict=True) if key is None or own[0] == own[1])
    return Evidence([], f"no energy figure: {absent.name}: {_why_no_figure(campaign, absent)}")


def _own(campaign: Campaign, result: Result) -> str | None:
    return figures.common_source(campaign, [result])


def _of(campaign: Campaign, key: str | None, result: Result) -> str:
    source = figures.source_named(campaign, key or "")
    return f"{source.scope}, {source.key}" if source is not None else f"none for its {result.device}"


def _why_no_figure(campaign: Campaign, result: Result) -> str:
    rows = figures.energy_figures(campaign, result)
    if any(each.gross_j is not None for each in rows):
        return f"no sensor holds the {result.device} that it ran on"
    reasons = dict.fromkeys(each.missing["gross_j"] for each in rows)
    return "; ".join(reasons) or "no sensor of power was within reach"


def _sources_with_figures(campaign: Campaign, result: Result) -> list[str]:
    return [each.key for each in metered.sources(campaign) if figures.energy_rounds(campaign, result, each)]


def _peaks(result: Result) -> dict[int, float]:
    """The most that was resident in each round, in bytes."""
    peaks = {reading.round: _peak(reading.memory) for reading in result.readings if reading.memory is not None}
    return {number: float(peak) for number, peak in peaks.items() if peak}


def _peak(memory: Memory) -> int | None:
    """Both peaks must be known: the larger one may be the other."""
    if memory.peak_loading is None or memory.peak_measuring is None:
        return None
    return max(memory.peak_loading, memory.peak_measuring)


def _paired(above: Mapping[int, float], below: Mapping[int, float], what: str) -> Evidence:
    common = sorted(above.keys() & below.keys())
    logs = [math.log(above[number] / below[number]) for number in common]
    return Evidence(logs, f"no round in which both have a figure of {what}")


# ---------------------------------------------------------------- verdicts


def _judged(
    campaign: Campaign,
    baseline: str | None,
    metric: str,
    evidence: Callable[[Campaign, Result, Result], Evidence],
) -> list[Comparison]:
    base = baseline_of(campaign, baseline)
    if base is None:
        return []
    ranked = {result.name for result in measured_results(campaign)}
    others = [result for result in campaign.results if result is not base and not result.yardstick]
    found = {
        result.name: evidence(campaign, result, base)
        if result.name in ranked
        else Evidence([], result.why or "it is not ranked")
        for result in others
    }
    adjusted, family = corrected({name: each.logs for name, each in found.items() if each.logs}, baseline)
    rows = []
    for name, each in found.items():
        row = _row(campaign, base.name, name, metric, each.why_not)
        if each.logs:
            judge(row, of_logs(each.logs), adjusted.get(name), family, campaign.settings.matters)
            row.verdict = WORDS.get(row.verdict, row.verdict)
        rows.append(row)
    return rows


def _row(campaign: Campaign, baseline: str, contender: str, metric: str, reason: str) -> Comparison:
    return Comparison(model=campaign.model.name, metric=metric, baseline=baseline, contender=contender, reason=reason)


def _why_not_across(first: Campaign, twin: Result, second: Campaign, result: Result) -> str:
    own = [(_own(first, twin), first), (_own(second, result), second)]
    found = [figures.source_named(campaign, key or "") for key, campaign in own]
    if first.model.sha256 != second.model.sha256:
        return "other model bytes"
    for source, campaign, each in zip(found, (first, second), (twin, result), strict=True):
        if source is None:
            return f"no energy figure: {_why_no_figure(campaign, each)}"
    before, after = found
    assert before is not None and after is not None
    if before.scope != after.scope:
        return f"other power scope ({before.scope}: {before.key}; {after.scope}: {after.key})"
    if first.machine.hostname != second.machine.hostname or first.machine.cpu_model != second.machine.cpu_model:
        return "other machine"
    told = [
        of_logs([math.log(joules) for joules in figures.energy_rounds(campaign, each, source).values()]).value
        for campaign, each, source in ((first, twin, before), (second, result, after))
    ]
    return (
        f"measured in two campaigns ({told[0]:.4g} and {told[1]:.4g} J per inference): the machine's drift between them"
        " is not known; measure both in one `whichpu run`"
    )
