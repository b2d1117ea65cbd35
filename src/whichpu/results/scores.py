"""Contenders' accuracy held against a baseline's, in one campaign or across files: on the same samples and protocol."""

from __future__ import annotations

from collections.abc import Sequence

from whichpu.results.accuracy import Held, held, limits_of, protocol_refusal, smaller_is_better, unit_of, word
from whichpu.results.comparison import Comparison, baseline_of
from whichpu.results.schema import Campaign, Result, TaskInfo
from whichpu.stats.bootstrap import UNLIMITED
from whichpu.stats.intervals import holm

NOT_JUDGED = "it is not known whether more or less {metric} is better"


def compare_accuracy(campaign: Campaign, baseline: str | None = None) -> list[Comparison]:
    """The task's main metric, of all contenders against ``baseline`` (default: the fastest).

    Empty where nothing was scored. Raises :class:`~whichpu.errors.UserError` for a baseline that is not there or has
    no figures.
    """
    task = campaign.task
    if task is None or not any(result.accuracy for result in campaign.results):
        return []
    base = baseline_of(campaign, baseline)
    if base is None:
        return []
    others = [result for result in campaign.results if result is not base and not result.yardstick]
    pairs = [(base.name, base, result.name, result) for result in others]
    return _judged(campaign.model.name, task, pairs)


def across_accuracy(campaigns: Sequence[tuple[str, Campaign]]) -> list[Comparison]:
    """Accuracy of contenders of one name in different files: answers don't depend on the day or the machine's speed.

    Refused by the names of the fields that differ where the protocols are unequal.
    """
    (first_name, first), *others = campaigns
    rows: list[Comparison] = []
    for name, campaign in others:
        twins = [
            (f"{first_name}: {twin.name}", twin, f"{name}: {result.name}", result)
            for result in campaign.results
            for twin in first.results
            if twin.name == result.name and twin.accuracy is not None and result.accuracy is not None
        ]
        refusal = protocol_refusal(first.task, campaign.task)
        if campaign.task is None or first.task is None:
            continue
        if refusal is None:
            rows += _judged(campaign.model.name, campaign.task, twins)
        else:
            rows += [_row(campaign.model.name, campaign.task, *twin, refusal) for twin in twins]
    return rows


def _judged(model: str, task: TaskInfo, pairs: Sequence[tuple[str, Result, str, Result]]) -> list[Comparison]:
    found = [_held(base, result, task) for _, base, _, result in pairs]
    p_values = [each.delta.p for each in found if each.delta is not None and each.delta.p is not None]
    adjusted = iter(holm(p_values))
    rows = []
    for pair, each in zip(pairs, found, strict=True):
        row = _row(model, task, *pair, each.refused or each.no_interval)
        if each.delta is not None:
            row.delta, row.delta_low, row.delta_high = each.delta.value, each.delta.low, each.delta.high
            p = next(adjusted) if each.delta.p is not None else None
            _word(row, task, each, p, len(p_values))
        rows.append(row)
    return rows


def _word(row: Comparison, task: TaskInfo, found: Held, p: float | None, family: int) -> None:
    assert found.delta is not None and row.baseline_value is not None
    if p is None:
        return
    said = word(found.delta, p, row.baseline_value, smaller_is_better(task))
    row.verdict = said or "not-comparable"
    corrected = f", corrected for {family} comparisons" if family > 1 else ""
    row.reason = f"{found.samples} samples, the same for both, p = {p:.2g}{corrected}"
    if said is None:
        row.reason = NOT_JUDGED.format(metric=task.metric)
    elif found.delta.value == found.delta.low == found.delta.high == 0:
        row.reason = f"none of {found.samples} samples counts otherwise"


def _held(base: Result, result: Result, task: TaskInfo) -> Held:
    if base.accuracy is None or result.accuracy is None:
        absent = base if base.accuracy is None else result
        return Held(None, absent.why or f"{absent.name} was not scored")
    return held(result.accuracy, base.accuracy, task.metric, limits_of(task).get(task.metric, UNLIMITED))


def _row(
    model: str, task: TaskInfo, baseline: str, base: Result, contender: str, result: Result, reason: str
) -> Comparison:
    return Comparison(
        model=model,
        metric=task.metric,
        baseline=baseline,
        contender=contender,
        ratio=None,
        low=None,
        high=None,
        verdict="not-comparable",
        reason=reason,
        baseline_value=_value(base, task),
        value=_value(result, task),
        unit=unit_of(task),
    )


def _value(result: Result, task: TaskInfo) -> float | None:
    return result.accuracy.values.get(task.metric) if result.accuracy is not None else result.score
