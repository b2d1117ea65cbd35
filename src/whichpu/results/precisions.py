"""Precisions of one model: each variant held against the model as given, on the same target."""

from __future__ import annotations

from collections.abc import Sequence

from whichpu.results.comparison import Comparison, corrected, judge, measured_results
from whichpu.results.latencies import ratio
from whichpu.results.schema import Campaign, Form, Result

METRIC = "latency_median"
OWN = "fp32"
"""What the model as given is called among its variants."""


def twin_of(result: Result) -> str:
    """The name of the contender that runs the model as given on the same target."""
    return result.name.removesuffix(f" [{result.variant}]")


def variants_of(campaign: Campaign) -> list[str]:
    """The variants that were measured or tried, in their order."""
    return list(dict.fromkeys(result.variant for result in campaign.results if result.variant is not None))


def form_of(campaign: Campaign, result: Result) -> Form | None:
    """The file form that a contender loaded."""
    return next((form for form in campaign.model.forms if form.sha256 == result.form_sha256), None)


def by_target(campaign: Campaign) -> list[list[Result]]:
    """For each target that ran a variant: the model as given, where it ran, then its variants."""
    own = {result.name: [result] for result in campaign.results if result.variant is None and not result.yardstick}
    for result in campaign.results:
        if result.variant is not None:
            own.setdefault(twin_of(result), []).append(result)
    return [group for group in own.values() if any(result.variant is not None for result in group)]


def to_own(campaign: Campaign) -> dict[str, Comparison]:
    """Latency of each variant over that of the model as given on the same target, by the variant's name.

    Verdicts are corrected for the number of variants.
    """
    ranked = {result.name: result for result in measured_results(campaign)}
    pairs = [(result, ranked.get(twin_of(result))) for result in ranked.values() if result.variant is not None]
    evidence = {
        result.name: found
        for result, twin in pairs
        if twin is not None and twin.boundary == result.boundary and (found := ratio(result, twin)) is not None
    }
    adjusted, family = corrected({name: logs for name, (_, logs) in evidence.items()}, OWN)
    rows = {}
    for result, twin in pairs:
        row = Comparison(
            model=campaign.model.name,
            metric=METRIC,
            baseline=twin_of(result),
            contender=result.name,
            reason=f"{twin_of(result)} was not measured beside it" if twin is None else "no round in common with it",
        )
        if result.name in evidence:
            judge(row, evidence[result.name][0], adjusted.get(result.name), family, campaign.settings.matters)
        rows[result.name] = row
    return rows


def run_otherwise(results: Sequence[Result]) -> list[Result]:
    """Variants that their runtime computes in another precision than they were made for.

    Of ``fp32 (the graph says fp16)`` and ``fp32 with weights rounded to fp16`` the first word is what ran.
    """
    return [
        result
        for result in results
        if result.variant is not None
        and result.precision is not None
        and result.variant.partition("-")[0] not in result.precision.ran.partition(" ")[0].split("+")
    ]
