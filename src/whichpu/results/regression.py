"""Did it get worse? A new model, or new runtimes, against older ones: measured side by side, or on another day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from whichpu.errors import UserError
from whichpu.results.accuracy import ALPHA, Held, held, limits_of, protocol_refusal, smaller_is_better, unit_of
from whichpu.results.comparison import METRIC
from whichpu.results.known import pairs
from whichpu.results.latencies import median, ratio, round_logs
from whichpu.results.limits import Config, Limits
from whichpu.results.schema import Campaign, Result
from whichpu.results.scores import NOT_JUDGED
from whichpu.results.summary import figures
from whichpu.stats import verdicts
from whichpu.stats.bootstrap import UNLIMITED
from whichpu.stats.days import CAMPAIGNS_LEAST, across_days
from whichpu.stats.intervals import Estimate, holm, p_value

DROPPED = ("refused", "crashed", "hung", "out-of-memory", "bad-output", "not-here")
SAME_SCORE = 1e-6
"""Scores that differ by less, relatively, differ by arithmetic alone."""


class Verdict(msgspec.Struct, kw_only=True):
    """One contender's one metric: ``worse``, ``better``, ``no-difference``, ``too-small-to-matter`` or
    ``not-comparable``.

    ``before`` and ``after`` are latencies in ns or scores in the task's unit. ``ratio`` is the new figure over the
    old, ``low`` to ``high`` its 95 % interval; a score has ``delta``, ``delta_low`` and ``delta_high`` in the task's
    ``unit`` (``share``: of 1) instead, where the file keeps what it takes. ``p`` is corrected for the number of
    targets. ``allowed`` is the relative change up to which nothing fails. ``spread`` says what the interval holds.
    ``at_first`` is the ratio that looked worse before it was measured again. ``changed`` names what else is not as it
    was; ``doubts`` are kinds of doubts of the new and the old row.
    """

    model: str
    contender: str
    metric: str
    baseline: str
    verdict: str = "not-comparable"
    before: float | None = None
    after: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    unit: str | None = None
    p: float | None = None
    at_first: float | None = None
    allowed: float
    side_by_side: bool
    spread: str = ""
    reason: str = ""
    advice: str | None = None
    changed: list[str] = []
    doubts: list[str] = []


class _Case(msgspec.Struct, kw_only=True):
    """A contender then and now, and the evidence on its latency, or why there is none."""

    new: Result
    old: Result
    campaign: Campaign
    before: Campaign
    baseline: str
    refused: str | None = None
    evidence: tuple[Estimate, float | None] | None = None
    spread: str = ""
    advice: str | None = None


def side_by_side(campaign: Campaign, config: Config, leave_out_absent: bool = False) -> list[Verdict]:
    """Verdicts of a campaign whose contenders name the ones they are held against.

    ``leave_out_absent``: no row for what could run neither then nor now.
    """
    cases = []
    for new, old in pairs(campaign):
        if leave_out_absent and {new.status, old.status} <= {"not-here", "refused"}:
            continue
        case = _Case(new=new, old=old, campaign=campaign, before=campaign, baseline=_model_of(old, campaign))
        case.refused = _other_terms(_what_is_timed(old, new)) or _no_figures(case)
        found = ratio(new, old)
        if found is not None:
            case.evidence = found[0], p_value(found[1])
            case.spread = f"{found[0].rounds} rounds side by side"
        cases.append(case)
    return _judged(cases, config, True)


def across(campaign: Campaign, baselines: Sequence[tuple[str, Campaign]], config: Config) -> list[Verdict]:
    """Verdicts of a campaign against stored ones of other days, with the day-to-day spread in the intervals.

    Raises :class:`UserError` when the older ones are not of one model.
    """
    if len({before.model.sha256 for _, before in baselines}) > 1:
        told = ", ".join(f"{name} ({before.model.sha256[:12]})" for name, before in baselines)
        raise UserError(f"the baselines are not of one model: {told}", "give files of the same model bytes")
    cases, rows = [], []
    for name in dict.fromkeys(result.name for one in (*(it for _, it in baselines), campaign) for result in _own(one)):
        new = _named(campaign, name)
        olds = [(path, before, old) for path, before in baselines if (old := _named(before, name)) is not None]
        if new is None or not olds:
            where = "the result" if new is None else "the baseline"
            limits = config.of(campaign.model.name, name)
            rows.append(_row(campaign, name, baselines[0][0], METRIC, limits, False, f"it is not in {where}"))
            continue
        cases.append(_across(campaign, new, olds, config))
    return _judged(cases, config, False) + rows


def confirmed(first: Sequence[Verdict], again: Sequence[Verdict]) -> list[Verdict]:
    """Latencies that looked worse, measured again: only what is worse twice stays so; the second figures count."""
    second = {(row.contender, row.metric): row for row in again}
    return [_second_look(row, second[row.contender, row.metric]) if row in suspects(first) else row for row in first]


def suspects(rows: Iterable[Verdict]) -> list[Verdict]:
    """Latencies that look worse: to be measured again before the check fails."""
    return [row for row in rows if row.verdict == "worse" and row.metric == METRIC and row.ratio is not None]


def passed(rows: Sequence[Verdict]) -> bool:
    """Is nothing worse, and was anything compared at all?"""
    words = [row.verdict for row in rows]
    return "worse" not in words and any(word != "not-comparable" for word in words)


def targets(campaign: Campaign, names: Sequence[str] | None = None) -> list[str]:
    """The contenders of a campaign (those called ``names``) as ``--on`` takes them."""
    asked = [result for result in _own(campaign) if names is None or result.name in names]
    return [result.target if result.name == result.target else f"{result.name}={result.target}" for result in asked]


# ---------------------------------------------------------------- two files


def _across(campaign: Campaign, new: Result, olds: list[tuple[str, Campaign, Result]], config: Config) -> _Case:
    refusals = [_refusal(before, campaign, old, new) for _, before, old in olds]
    fair = [entry for entry, refusal in zip(olds, refusals, strict=True) if refusal is None]
    path, before, old = (fair or olds)[-1]
    case = _Case(new=new, old=old, campaign=campaign, before=before, baseline=path)
    case.refused = refusals[-1] if not fair else _no_figures(case)
    logs, old_logs = list(round_logs(new).values()), [list(round_logs(old).values()) for _, _, old in fair]
    old_logs = [rounds for rounds in old_logs if rounds]
    if case.refused is not None or not logs or not old_logs:
        return case
    day_to_day = config.of(campaign.model.name, new.name, new.target).day_to_day
    case.evidence = across_days(logs, old_logs, day_to_day)
    if len(old_logs) >= CAMPAIGNS_LEAST:
        case.spread = f"with the spread of {len(old_logs)} campaigns"
    else:
        case.spread = f"with {100 * day_to_day:g} % from day to day assumed"
        case.advice = "measure both at once with --against to see less"
    return case


def _refusal(before: Campaign, now: Campaign, old: Result, new: Result) -> str | None:
    """The first condition that is not as it was, by name: other conditions, other figures."""
    task = now.task is not None and before.task is not None and now.task.protocol_sha256 == before.task.protocol_sha256
    return _other_terms(
        [
            ("machine", before.machine.hostname, now.machine.hostname),
            ("CPU", before.machine.cpu_model, now.machine.cpu_model),
            ("number of usable CPUs", before.machine.cpus_usable, now.machine.cpus_usable),
            ("governor", before.machine.governor, now.machine.governor),
            ("CPUs pinned to", before.settings.cpus, now.settings.cpus),
            ("inputs", _inputs(before), _inputs(now)),
            ("data", None if task else before.settings.data, None if task else now.settings.data),
            ("target", _target(old), _target(new)),
            ("number of threads", old.threads, new.threads),
            ("precision", *_precisions(old, new)),
            *_what_is_timed(old, new),
        ]
    )


def _what_is_timed(old: Result, new: Result) -> list[tuple[str, object, object]]:
    return [("loop", _loop(old), _loop(new)), ("boundary", old.boundary, new.boundary)]


def _target(result: Result) -> str:
    """The target without the interpreter's path: other runtimes may be the point."""
    options = [f"{name}={value}" for name, value in sorted(result.options.items())]
    return ",".join([f"{result.backend}:{result.device}", *options])


def _precisions(old: Result, new: Result) -> tuple[str, str]:
    """What ran then and now; what was asked, where one of them never opened the model."""
    if old.precision is None or new.precision is None:
        return old.asked_precision, new.asked_precision
    return old.precision.ran, new.precision.ran


def _other_terms(terms: Iterable[tuple[str, object, object]]) -> str | None:
    for what, then, now in terms:
        if then != now and (what != "loop" or (then and now)):
            return f"other {what} ({_shown(then)}, now {_shown(now)})"
    return None


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _inputs(campaign: Campaign) -> list[str]:
    return [f"{spec.dtype} {'x'.join(map(str, spec.shape))}" for spec in campaign.model.inputs]


def _loop(result: Result) -> str | None:
    return next((reading.loop for reading in result.readings if reading.blocks), None)


def _own(campaign: Campaign) -> list[Result]:
    """Contenders of the campaign's own model and runtimes; yardsticks only where there is nothing else."""
    held_against = {result.baseline for result in campaign.results}
    own = [result for result in campaign.results if result.name not in held_against]
    return [result for result in own if not result.yardstick] or own


def _named(campaign: Campaign, name: str) -> Result | None:
    return next((result for result in _own(campaign) if result.name == name), None)


# ---------------------------------------------------------------- verdicts


def _no_figures(case: _Case) -> str | None:
    """Why nothing can be said though nobody dropped out."""
    if case.old.status not in ("measured", "pending"):
        return f"the baseline has no figures: {_why(case.old)}"
    if case.new.status == "bug":
        return f"a bug of WhichPU: {_why(case.new)}"
    return None


def _judged(cases: list[_Case], config: Config, side_by_side: bool) -> list[Verdict]:
    """Rows of all cases; the p values of their latencies are corrected for their number (Holm)."""
    asked = [case for case in cases if case.refused is None and case.new.status not in DROPPED]
    known = [(case, case.evidence[1]) for case in asked if case.evidence and case.evidence[1] is not None]
    adjusted = holm([p for _, p in known])
    p_of = {case.new.name: p for (case, _), p in zip(known, adjusted, strict=True)}
    scores = _scores(cases)
    rows = []
    for case in cases:
        limits = config.of(case.campaign.model.name, case.new.name, case.new.target)
        rows.append(_latency(case, limits, side_by_side, p_of.get(case.new.name), len(known)))
        score = _score(case, limits, side_by_side, *scores.get(case.new.name, (None, None)))
        rows += [score] if score is not None else []
    return rows


def _latency(case: _Case, limits: Limits, side_by_side: bool, p: float | None, family: int) -> Verdict:
    new = case.new
    row = _row(case.campaign, new.name, case.baseline, METRIC, limits, side_by_side, case.refused or "")
    row.changed, row.doubts = _changed(case), _doubts(case)
    if case.refused is not None:
        return row
    if new.status in DROPPED:
        row.verdict, row.reason = "worse", f"it ran before; now: {_why(new)}"
        return row
    if case.evidence is None or p is None:
        row.reason = "too few rounds in common: one round says nothing about spread"
        return row
    before, after = median(case.old), median(new)
    row.before, row.after = (estimate.value if estimate is not None else None for estimate in (before, after))
    estimate = case.evidence[0]
    row.ratio, row.low, row.high = estimate.value, estimate.low, estimate.high
    row.p, row.verdict = p, _word(estimate, p, limits.latency_median)
    corrected = f", corrected for {family} comparisons" if family > 1 else ""
    row.spread, row.reason = case.spread, f"{case.spread}, p = {p:.2g}{corrected}"
    row.advice = case.advice if row.verdict == "no-difference" else None
    return row


def _word(ratio: Estimate, p: float, allowed: float) -> str:
    shown = verdicts.verdict(ratio, p, 0.0)
    if shown not in ("faster", "slower"):
        return shown
    if 1 / (1 + allowed) <= ratio.value <= 1 + allowed:
        return "too-small-to-matter"
    return "worse" if shown == "slower" else "better"


def _scores(cases: Sequence[_Case]) -> dict[str, tuple[Held, float | None]]:
    """The scores then and now by contender, held against each other, with p corrected for their number (Holm)."""
    found: dict[str, Held] = {}
    for case in cases:
        task, before = case.campaign.task, case.before.task
        new, old = case.new.accuracy, case.old.accuracy
        if task is not None and new is not None and old is not None and protocol_refusal(before, task) is None:
            found[case.new.name] = held(new, old, task.metric, limits_of(task).get(task.metric, UNLIMITED))
    known = {name: each.delta.p for name, each in found.items() if each.delta is not None and each.delta.p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return {name: (each, adjusted.get(name)) for name, each in found.items()}


def _score(case: _Case, limits: Limits, side_by_side: bool, found: Held | None, p: float | None) -> Verdict | None:
    """The score's change, where both have one: shown by its interval, where the files keep what it takes."""
    task, before = case.campaign.task, case.before.task
    if task is None or before is None or case.new.score is None or case.old.score is None:
        return None
    row = _row(case.campaign, case.new.name, case.baseline, task.metric, limits, side_by_side, "")
    row.allowed, row.unit = limits.score, unit_of(task)
    row.reason = protocol_refusal(before, task) or (found.refused if found is not None else "")
    smaller = smaller_is_better(task)
    if not row.reason and smaller is None:
        row.reason = NOT_JUDGED.format(metric=task.metric)
    if row.reason:
        return row
    row.before, row.after = case.old.score, case.new.score
    row.ratio = row.after / row.before if row.before else None
    size = abs(row.before) or SAME_SCORE
    loss = (row.after - row.before if smaller else row.before - row.after) / size
    row.verdict = "worse" if loss > row.allowed else "better" if loss < -row.allowed else "too-small-to-matter"
    row.reason = f"{task.samples} samples, the same for both"
    if abs(loss) <= SAME_SCORE:
        row.verdict = "no-difference"
    elif found is not None and found.delta is not None and p is not None:
        row.delta, row.delta_low, row.delta_high = found.delta.value, found.delta.low, found.delta.high
        row.p, row.reason = p, f"{found.samples} samples, the same for both, p = {p:.2g}"
        row.verdict = row.verdict if p < ALPHA else "no-difference"
    return row


def _row(
    campaign: Campaign, name: str, baseline: str, metric: str, limits: Limits, side_by_side: bool, reason: str
) -> Verdict:
    return Verdict(
        model=campaign.model.name,
        contender=name,
        metric=metric,
        baseline=baseline,
        allowed=limits.latency_median,
        side_by_side=side_by_side,
        reason=reason,
    )


def _second_look(first: Verdict, again: Verdict) -> Verdict:
    again.at_first, again.advice = first.ratio, None
    return again


def _why(result: Result) -> str:
    why = (result.why or "").strip().splitlines()
    return f"{result.status}{f' ({why[0]})' if why else ''}"


def _model_of(result: Result, campaign: Campaign) -> str:
    return next((it.name for it in campaign.other_models if it.sha256 == result.model_sha256), result.name)


def _changed(case: _Case) -> list[str]:
    """What is not as it was though the figures are compared."""
    then = case.old.model_sha256 or case.before.model.sha256
    now = case.new.model_sha256 or case.campaign.model.sha256
    found = ["the model's bytes"] if then != now else []
    found += [
        f"{name} {version} to {case.new.versions[name]}"
        for name, version in sorted(case.old.versions.items())
        if case.new.versions.get(name, version) != version
    ]
    ran = [result.precision.ran for result in (case.old, case.new) if result.precision is not None]
    if len(set(ran)) > 1:
        found.append(f"precision {ran[0]} to {ran[1]}")
    if case.before.whichpu != case.campaign.whichpu:
        found.append(f"WhichPU {case.before.whichpu} to {case.campaign.whichpu}")
    return found


def _doubts(case: _Case) -> list[str]:
    told = [*figures(case.old, case.before).doubts, *figures(case.new, case.campaign).doubts]
    return list(dict.fromkeys(doubt.kind for doubt in told))
