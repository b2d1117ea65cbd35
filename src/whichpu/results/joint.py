"""What a together file shows: what each contender loses while the others run, and whether running all at once pays.

Definitions. A contender's *slow-down* is its throughput alone over its throughput while all run: of throughput, because
a process that is paused for whole time slices keeps its median latency. The *work done at once* is the sum over
contenders of throughput together over throughput alone, so 1 is what they would do in turns, and their number what they
would do if none felt the others; it is also called system throughput (Eyerman & Eeckhout, "System-level performance
metrics for multiprogram workloads", IEEE Micro 28(3), 2008).

Every ratio is of windows of one turn, which are neighbours in time; a round's is the median over its turns; the figure
is the geometric mean over rounds with its t interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from whichpu.results import joint_doubts
from whichpu.results.column import unpack
from whichpu.results.schema import Doubt
from whichpu.results.together import Reading, Row, TogetherRun, Window
from whichpu.stats.intervals import Estimate, holm, of_logs, p_value
from whichpu.stats.overlap import Counted, Stretch, counted, shared
from whichpu.stats.verdicts import Verdict, verdict

Pays = Literal["pays", "does-not-pay", "costs", "not-shown", "not-known"]
PAYS: dict[Verdict, Pays] = {
    "slower": "pays",  # the words are of latencies: a ratio above 1
    "faster": "costs",
    "too-small-to-matter": "does-not-pay",
    "no-difference": "not-shown",
    "not-comparable": "not-known",
}


class Slowdown(msgspec.Struct, kw_only=True):
    """One contender alone, and while all run: inferences a second, and latencies in ns.

    ``slowdown`` is throughput alone over throughput together, ``verdict`` (``slower``, ...) and ``reason`` are about
    it. What is not known is ``None``; ``why`` says it of a contender that failed.
    """

    name: str
    target: str
    model: str
    cpus: list[int]
    status: str
    why: str | None = None
    remedy: str | None = None
    ran_precision: str | None = None
    alone_per_s: Estimate | None = None
    together_per_s: Estimate | None = None
    slowdown: Estimate | None = None
    p: float | None = None
    verdict: Verdict = "not-comparable"
    reason: str = "no round in which all ran"
    alone_p50_ns: Estimate | None = None
    together_p50_ns: Estimate | None = None
    alone_p95_ns: Estimate | None = None
    together_p95_ns: Estimate | None = None
    doubts: list[Doubt] = []


class Joint(msgspec.Struct, kw_only=True):
    """All at once. ``work`` is the work done at once: 1 is what they would do in turns.

    Where all run one model, ``per_s`` are the inferences a second of all together, ``over_best`` is that over the
    throughput of ``best`` alone, and ``efficiency`` that over the sum of all alone; else these are ``None``, for
    inferences of different models are not added. ``verdict`` says whether it pays: against ``best`` alone, or for
    different models against taking turns: ``does-not-pay`` means that no gain that matters is left possible,
    ``not-shown`` that it is. ``shared`` is the median share of the windows in which all ran.
    """

    rounds: int
    one_model: bool
    work: Estimate
    per_s: Estimate | None = None
    best: str | None = None
    over_best: Estimate | None = None
    efficiency: Estimate | None = None
    p: float | None = None
    verdict: Pays = "not-known"
    shared: float


class Outcome(msgspec.Struct, kw_only=True):
    """All figures of a run. ``joint`` is ``None`` where there is no round in which all ran; ``doubts`` are of all."""

    contenders: list[Slowdown]
    joint: Joint | None
    doubts: list[Doubt]


class Turn(NamedTuple):
    """What the contenders did in one turn, in their order: each alone, and all at once in the time they shared."""

    alone: list[Counted]
    together: list[Counted]
    share: float


def outcome(run: TogetherRun) -> Outcome:
    """The figures of a run, from its windows."""
    rounds = rounds_of(run)
    contenders = [_slowdown(row, place, rounds) for place, row in enumerate(run.rows)]
    _judge(contenders, run.terms.matters)
    joint = _joint(run, contenders, rounds) if rounds else None
    for found, row in zip(contenders, run.rows, strict=True):
        found.doubts = joint_doubts.of_one(row, _wholes(rounds, run.rows.index(row)))
    ratios = [found.slowdown for found in contenders]
    return Outcome(
        contenders=contenders,
        joint=joint,
        doubts=joint_doubts.of_all(run, ratios, None if joint is None else joint.shared, len(rounds)),
    )


def known(run: TogetherRun) -> bool:
    """Is every slow-down known as closely as was asked?"""
    widths = [found.slowdown.half_width if found.slowdown else None for found in outcome(run).contenders]
    return all(width is not None and width <= run.terms.half_width for width in widths)


# ---------------------------------------------------------------- turns


def rounds_of(run: TogetherRun) -> dict[int, list[Turn]]:
    """Turns by round: those of which every contender has both windows, and in which there was a time that all ran."""
    readings = [{reading.round: reading for reading in row.readings} for row in run.rows]
    common = set.intersection(*(set(each) for each in readings)) if readings else set()
    opening_ns = round(1e9 * run.terms.opening_s)
    found = {number: _turns([each[number] for each in readings], opening_ns) for number in sorted(common)}
    return {number: turns for number, turns in found.items() if turns}


def _turns(readings: list[Reading], opening_ns: int) -> list[Turn]:
    alone = [{window.turn: window for window in reading.alone} for reading in readings]
    together = [{window.turn: window for window in reading.together} for reading in readings]
    complete = set.intersection(*(set(each) for each in (*alone, *together)))
    turns = (
        _turn([each[turn] for each in alone], [each[turn] for each in together], opening_ns)
        for turn in sorted(complete)
    )
    return [turn for turn in turns if turn is not None]


def _turn(alone: list[Window], together: list[Window], opening_ns: int) -> Turn | None:
    apart = [_stretch(window, opening_ns) for window in alone]
    beside = [_stretch(window, opening_ns) for window in together]
    span = shared(beside)
    if span is None:
        return None
    single = [counted(stretch, (stretch.began_ns, stretch.end_ns)) for stretch in apart]
    joint = [counted(stretch, span) for stretch in beside]
    share = min((span[1] - max(span[0], one.began_ns)) / one.wall_ns for one in beside)
    if None in single or None in joint or not all(one is not None and one.per_s > 0 for one in joint):
        return None
    return Turn([one for one in single if one], [one for one in joint if one], share)


def _stretch(window: Window, opening_ns: int) -> Stretch:
    raw = unpack(window.latencies_ns)
    return Stretch(window.began_ns, window.wall_ns, opening_ns, window.count, raw, window.median_ns, window.p95_ns)


def _wholes(rounds: Mapping[int, list[Turn]], place: int) -> list[int]:
    """Whole inferences of one contender in each window of all at once."""
    return [turn.together[place].whole for turns in rounds.values() for turn in turns]


# ---------------------------------------------------------------- figures


def _logs(rounds: Mapping[int, list[Turn]], of: Callable[[Turn], float | None]) -> list[float]:
    """For each round the log of the median over its turns; rounds in which no turn has the figure are left out."""
    found = []
    for turns in rounds.values():
        values = [value for turn in turns if (value := of(turn)) is not None]
        if values:
            found.append(float(np.median(np.log(values))))
    return found


def _estimate(rounds: Mapping[int, list[Turn]], of: Callable[[Turn], float | None]) -> Estimate | None:
    logs = _logs(rounds, of)
    return of_logs(logs) if logs else None


def _slowdown(row: Row, place: int, rounds: Mapping[int, list[Turn]]) -> Slowdown:
    found = Slowdown(
        name=row.name,
        target=row.target,
        model=row.model,
        cpus=row.cpus,
        status=row.status,
        why=row.why,
        remedy=row.remedy,
        ran_precision=row.precision.ran if row.precision else None,
    )
    logs = _logs(rounds, lambda turn: turn.alone[place].per_s / turn.together[place].per_s)
    if not logs:
        return found
    found.slowdown, found.p = of_logs(logs), p_value(logs)
    found.alone_per_s = _estimate(rounds, lambda turn: turn.alone[place].per_s)
    found.together_per_s = _estimate(rounds, lambda turn: turn.together[place].per_s)
    found.alone_p50_ns = _estimate(rounds, lambda turn: turn.alone[place].p50_ns)
    found.together_p50_ns = _estimate(rounds, lambda turn: turn.together[place].p50_ns)
    found.alone_p95_ns = _estimate(rounds, lambda turn: turn.alone[place].p95_ns)
    found.together_p95_ns = _estimate(rounds, lambda turn: turn.together[place].p95_ns)
    return found


def _judge(contenders: list[Slowdown], matters: float) -> None:
    """Verdicts on the slow-downs, their p values corrected for the number of contenders."""
    measured = [found for found in contenders if found.slowdown is not None]
    asked = [found for found in measured if found.p is not None]
    adjusted = holm([found.p for found in asked if found.p is not None])
    for found in measured:
        found.reason = "one round says nothing about spread"
    for found, p in zip(asked, adjusted, strict=True):
        assert found.slowdown is not None
        found.p, found.verdict = p, verdict(found.slowdown, p, matters)
        corrected = f", corrected for {len(asked)} contenders" if len(asked) > 1 else ""
        found.reason = f"{found.slowdown.rounds} rounds, p = {p:.2g}{corrected}"


def _joint(run: TogetherRun, contenders: list[Slowdown], rounds: Mapping[int, list[Turn]]) -> Joint:
    one_model = len({row.model_sha256 for row in run.rows}) == 1
    work = _logs(rounds, _work)
    joint = Joint(
        rounds=len(rounds),
        one_model=one_model,
        work=of_logs(work),
        shared=float(np.median([turn.share for turns in rounds.values() for turn in turns])),
    )
    decides = work
    if one_model:
        best = max(range(len(contenders)), key=lambda place: _alone(contenders[place]))
        decides = _logs(rounds, lambda turn: _sum(turn.together) / turn.alone[best].per_s)
        joint.best, joint.over_best = contenders[best].name, of_logs(decides)
        joint.per_s = _estimate(rounds, lambda turn: _sum(turn.together))
        joint.efficiency = _estimate(rounds, lambda turn: _sum(turn.together) / _sum(turn.alone))
    joint.p = p_value(decides)
    joint.verdict = _pays(of_logs(decides), joint.p, run.terms.matters)
    return joint


def _pays(gain: Estimate, p: float | None, matters: float) -> Pays:
    """An interval that leaves no room for a gain that matters shows that there is none."""
    found = PAYS[verdict(gain, p, matters)]
    no_room = gain.high is not None and gain.high < 1 + matters
    return "does-not-pay" if found == "not-shown" and no_room else found


def _work(turn: Turn) -> float:
    return math.fsum(beside.per_s / apart.per_s for beside, apart in zip(turn.together, turn.alone, strict=True))


def _sum(of: list[Counted]) -> float:
    return math.fsum(one.per_s for one in of)


def _alone(found: Slowdown) -> float:
    return found.alone_per_s.value if found.alone_per_s else 0.0
