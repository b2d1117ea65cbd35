"""How good the answers are, of contenders against the reference and against each other: from what the file keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from whichpu.results.column import pack_floats, unpack_floats
from whichpu.results.schema import Accuracy, BySample, Campaign, TaskInfo
from whichpu.stats import bootstrap
from whichpu.stats.bootstrap import Delta, Numbers
from whichpu.stats.evidence import Evidence, Mean, Ratio, RootMean, RootRatio
from whichpu.stats.intervals import holm

ALPHA = 0.05
"""A delta is claimed when its p, corrected for the number of contenders, is smaller: answers are looked at once."""

MATTERS = 1e-4
"""A delta whose interval lies within this share of the reference's value is arithmetic: it is too small to matter."""

SMALLER_IS_BETTER = {"rmse": True, "mae": True, "mse": True, "cer": True, "chamfer": True}
SMALLER_IS_BETTER |= {"accuracy": False, "top1": False, "top5": False, "map": False, "miou": False}
"""Where the task doesn't say."""

SHARES = ("top1", "top5", "ap", "ap50", "ap75", "exact", "miou", "pixel-accuracy")
ERRORS = ("rmse", "mae", "cer", "chamfer")
LIMITS = dict.fromkeys(SHARES, (0.0, 1.0)) | dict.fromkeys(ERRORS, (0.0, math.inf))
"""The least and the greatest value of the metrics of built-in tasks."""

MEANS = {"mean": Mean, "root-mean": RootMean}
RATIOS = {"ratio": Ratio, "root-ratio": RootRatio}

Word = Literal["better", "worse", "no-difference", "too-small-to-matter"]


def unit_of(task: TaskInfo) -> str:
    """The unit of the task's metrics; ``share`` of those that are told in percent, differences in percentage points."""
    return "share" if task.kind == "detection" else task.unit


def limits_of(task: TaskInfo) -> Mapping[str, bootstrap.Limits]:
    """The least and the greatest value of the task's metrics, as far as they are known."""
    return {} if task.kind == "python" else LIMITS


def smaller_is_better(task: TaskInfo) -> bool | None:
    """Is less of the task's metric better? ``None``: not known."""
    if task.better is not None:
        return task.better == "lower"
    return SMALLER_IS_BETTER.get(task.metric.lower())


def word(delta: Delta, p: float | None, against: float, smaller: bool | None) -> Word | None:
    """The word for a delta from the value ``against``, its p corrected for its family; ``None`` where none is known."""
    if p is None:
        return None
    if p >= ALPHA or delta.value == 0:
        return "no-difference"
    if max(abs(end) for end in (delta.value, delta.low or 0.0, delta.high or 0.0)) <= MATTERS * abs(against):
        return "too-small-to-matter"
    if smaller is None:
        return None
    return "better" if (delta.value < 0) == smaller else "worse"


def settle(campaign: Campaign) -> None:
    """Give each contender its verdict: p values corrected for their number (Holm)."""
    task = campaign.task
    if task is None:
        return
    judged = [result.accuracy for result in campaign.results if result.accuracy is not None]
    known = [(each, each.p) for each in judged if each.p is not None]
    for (each, _), p in zip(known, holm([p for _, p in known]), strict=True):
        delta = Delta(*each.deltas[task.metric])
        each.verdict = word(delta, p, each.values[task.metric] - delta.value, smaller_is_better(task))


# ---------------------------------------------------------------- what is kept


def kept(evidence: Evidence, drawn: Numbers | None) -> BySample | None:
    """The main metric's evidence by sample, else its ``drawn`` values; ``None`` where there is neither."""
    if isinstance(evidence, Mean):
        return BySample(how=evidence.how, columns=[pack_floats(evidence.each)])
    if isinstance(evidence, Ratio):
        return BySample(how=evidence.how, columns=[pack_floats(evidence.above), pack_floats(evidence.below)])
    return BySample(how="draws", columns=[pack_floats(drawn)]) if drawn is not None and drawn.size else None


def evidence_of(by_sample: BySample) -> Evidence | None:
    """The evidence that was kept; ``None`` for draws. Raises :class:`ValueError` when it is damaged."""
    columns = [unpack_floats(column) for column in by_sample.columns]
    if by_sample.how in MEANS:
        return MEANS[by_sample.how](*columns)
    return RATIOS[by_sample.how](*columns) if by_sample.how in RATIOS else None


class Held(NamedTuple):
    """A contender's main value held against another's; or why it can't be."""

    delta: Delta | None
    refused: str = ""
    no_interval: str = ""
    samples: int = 0


def held(ours: Accuracy, theirs: Accuracy, metric: str, limits: bootstrap.Limits = bootstrap.UNLIMITED) -> Held:
    """Ours less theirs in ``metric`` on the same samples, with its interval where the files keep what it takes.

    ``limits`` are the metric's.
    """
    if metric not in ours.values or metric not in theirs.values:
        return Held(None, "the answers were not scored")
    if (ours.samples, ours.answered_sha256) != (theirs.samples, theirs.answered_sha256):
        return Held(None, f"other samples ({theirs.samples} answered, then {ours.samples})")
    value, count = ours.values[metric] - theirs.values[metric], ours.samples
    mine, others = ours.by_sample, theirs.by_sample
    if mine is None or others is None or mine.how != others.how:
        return Held(Delta(value), no_interval="no interval: the file keeps no evidence by sample", samples=count)
    one, other = evidence_of(mine), evidence_of(others)
    if one is not None and other is not None:
        found = bootstrap.paired({metric: one}, {metric: other}, count, ours.seed, limits={metric: limits})
        return Held(found.deltas.get(metric, Delta(value)), samples=count)
    if ours.seed != theirs.seed:
        return Held(Delta(value), no_interval="no interval: the bootstraps drew other samples", samples=count)
    drawn = [unpack_floats(each.columns[0]) for each in (mine, others)]
    draws = min(each.size for each in drawn)
    apart, others_drawn = drawn[0][:draws] - drawn[1][:draws], drawn[1][:draws]
    influence = bootstrap.influence_from(apart, count, ours.seed)
    return Held(bootstrap.judged(value, apart, influence, ours.seed, others_drawn, limits), samples=count)


# ---------------------------------------------------------------- unequal protocols


def protocol_refusal(then: TaskInfo | None, now: TaskInfo | None) -> str | None:
    """Why scores of two files can't be held against each other, by the names of the fields that differ; else ``None``.
    Such as ``other protocol: preprocess.resize (letterbox 384x384, then stretch 384x384)``.
    """
    if then is None or now is None:
        return "one of both has no task" if (then is None) != (now is None) else "there is no task"
    if then.protocol_sha256 == now.protocol_sha256:
        return None
    fields = fields_apart(then.protocol, now.protocol)
    if not fields:
        return "other protocol: dataset, pre-processing, decoding or metric (a file doesn't say which)"
    return f"other protocol: {', '.join(fields)}"


def fields_apart(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Each field that differs with both of its values, in the order of the newer protocol."""
    names = [*now, *(name for name in then if name not in now)] if then and now else []
    return [
        f"{name} ({_short(then.get(name))}, then {_short(now.get(name))})"
        for name in names
        if then.get(name) != now.get(name)
    ]


def _short(value: str | None) -> str:
    if value is None:
        return "not there"
    hashed = len(value) >= 40 and all(letter in "0123456789abcdef" for letter in value)
    return value[:12] if hashed else value
