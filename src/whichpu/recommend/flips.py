"""What would make another contender win. Each is tried: the decision is made again under the change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from whichpu.recommend.advice import Change, Flip, Limit, Reason, Side
from whichpu.recommend.asked import COST, SCORE
from whichpu.recommend.decision import Asked, Court, Decision
from whichpu.recommend.fits import EXACT
from whichpu.recommend.relaxing import moved, relative
from whichpu.recommend.sources import bound_of, figure, of, side
from whichpu.results.entries import Value
from whichpu.results.nway import Contender
from whichpu.results.schema import Campaign

WISHES = ("latency_p99", "throughput", "power", "energy", "memory", "device_memory", "size", "load", COST)
"""Figures that users set limits on, or wish for; scores too."""

LEAST = 0.05
"""A limit between two figures is worth saying where they differ by this share."""


def flips(court: Court, asked: Asked, decision: Decision, campaigns: Mapping[str, Campaign]) -> list[Flip]:
    """What would make another contender win: a limit set, tightened or relaxed, another first objective, another price,
    or a better figure of the runner-up."""
    pick = decision.pick
    if pick is None:
        return []
    keys = [*WISHES, *sorted(key for key in court.judge.better if key.startswith(SCORE))]
    found = [
        *_relaxed(court, asked, decision),
        *(flip for key in keys if (flip := _tightened(court, asked, pick, key)) is not None),
        *(flip for key in keys if (flip := _wished(court, asked, pick, key)) is not None),
        *_better(court, asked, decision, campaigns),
    ]
    return list({(flip.kind, flip.figure, flip.objective, flip.limit): flip for flip in found}.values())


def _relaxed(court: Court, asked: Asked, decision: Decision) -> Iterator[Flip]:
    """A contender that only one limit keeps from winning."""
    for limit in asked.limits:
        open_ = msgspec.structs.replace(asked, limits=tuple(each for each in asked.limits if each != limit))
        winner = court.decide(open_).pick
        if winner is None or winner is decision.pick or limit.metric not in winner.entry.values:
            continue
        change = _change(winner, limit.metric, limit.side, asked)
        if change is not None and _wins(court, asked, change, winner):
            yield _flip_limit("advice.flip-relaxed", change, winner, decision.pick)


def _tightened(court: Court, asked: Asked, pick: Contender, key: str) -> Flip | None:
    """A limit that the pick would not keep."""
    better = court.judge.better.get(key, "neither")
    if better == "neither" or key not in pick.entry.values:
        return None
    way: Side = "most" if better == "lower" else "least"
    rivals = [
        each
        for each in court.contenders
        if key in each.entry.values
        and court.judge.signed(key, each) < court.judge.signed(key, pick)
        and not court.judge.refused([key], each, pick)
    ]
    others = [each.name for each in court.contenders if each not in rivals]
    winner = court.decide(asked, without=others).pick
    change = _change(winner, key, way, asked) if winner else None
    if winner is None or change is None or _same(winner, pick, key) or not _wins(court, asked, change, winner):
        return None
    return _flip_limit("advice.flip-limit", change, winner, pick)


def _same(winner: Contender, pick: Contender, key: str) -> bool:
    """Are two figures too close for anyone to draw a line between them?"""
    mine, theirs = (each.entry.values[key].value for each in (winner, pick))
    return abs(mine - theirs) < LEAST * max(abs(mine), abs(theirs))


def _wished(court: Court, asked: Asked, pick: Contender, key: str) -> Flip | None:
    """Another first objective by which another contender is shown better than the pick."""
    if key in asked.objectives[:1] or court.judge.better.get(key, "neither") == "neither":
        return None
    if key not in pick.entry.values:
        return None
    rest = tuple(each for each in asked.objectives if each != key)
    winner = court.decide(msgspec.structs.replace(asked, objectives=(key, *rest))).pick
    if winner is None or winner is pick or court.judge.relation(key, winner, pick) != "better":
        return None
    params = {"winner": winner.name, "pick": pick.name, "key": key, "value": figure(winner, key)}
    reason = Reason(
        id="advice.flip-objective",
        params=params | {"other": figure(pick, key)},
        sources=[of(winner, key), of(pick, key)],
    )
    return Flip(kind="objective", winner=winner.name, objective=key, reason=reason)


def _better(court: Court, asked: Asked, decision: Decision, campaigns: Mapping[str, Campaign]) -> Iterator[Flip]:
    """How good the first objective's figure of the runner-up would have to be; a price is a figure like others."""
    pick = decision.pick
    key = asked.objectives[0]
    runner = court.decide(asked, without=[pick.name]).pick if pick else None
    if pick is None or runner is None or court.judge.relation(key, pick, runner) == "tied":
        return
    value = pick.entry.values[key].value
    changed = msgspec.structs.replace(
        runner.entry,
        values={**runner.entry.values, key: _just_better(runner.entry.values[key], value)},
        sha256=f"{runner.entry.sha256} changed",
    )
    others = [Contender(runner.name, changed) if each is runner else each for each in court.contenders]
    again = Court(others, campaigns).decide(asked).pick
    if again is None or again.name != runner.name:
        return
    params = {"winner": runner.name, "pick": pick.name, "key": key, "needed": figure(pick, key)}
    reason = Reason(
        id="advice.flip-price" if key == COST else "advice.flip-figure",
        params={**params, "value": figure(runner, key), "share": relative(runner.entry.values[key].value, value)},
        sources=[of(runner, key), of(pick, key)],
    )
    if key == COST:
        yield Flip(kind="price", winner=runner.name, price=value, figure=key, value=value, reason=reason)
    else:
        yield Flip(kind="figure", winner=runner.name, figure=key, value=value, reason=reason)


def _just_better(figure: Value, than: float) -> Value:
    """The figure a little better than another's, without an interval."""
    better = than * (1 + 1e-9 if figure.better == "higher" else 1 - 1e-9)
    return msgspec.structs.replace(figure, value=better, low=None, high=None)


# ---------------------------------------------------------------- limits


def _change(winner: Contender, key: str, way: Side, asked: Asked) -> Change | None:
    """A limit moved to where the winner just keeps it."""
    value = winner.entry.values[key]
    bound: float | None = value.value
    if asked.sure and key not in EXACT:
        bound = value.high if way == "most" else value.low
    if bound is None:
        return None
    old = next((limit.bound for limit in asked.limits if (limit.metric, limit.side) == (key, way)), None)
    part = relative(old, bound) if old is not None else None
    return Change(metric=key, side=way, old=old, bound=bound, unit=value.unit, relative=part)


def _wins(court: Court, asked: Asked, change: Change, winner: Contender) -> bool:
    """Does a contender win under a changed limit?"""
    return court.decide(msgspec.structs.replace(asked, limits=moved(asked.limits, [change]))).pick is winner


def _flip_limit(message: str, change: Change, winner: Contender, pick: Contender | None) -> Flip:
    key = change.metric
    params: dict[str, object] = {
        "winner": winner.name,
        "key": key,
        "side": side(change.side),
        "bound": bound_of(change),
        "value": figure(winner, key),
    }
    sources = [of(winner, key)]
    if pick is not None:
        params["pick"] = pick.name
        sources.append(of(pick, key))
        if key in pick.entry.values:
            params["other"] = figure(pick, key)
    kind = "price" if key == COST else "limit"
    price = change.bound if key == COST else None
    return Flip(
        kind=kind,  # type: ignore[arg-type]
        winner=winner.name,
        limit=change,
        price=price,
        figure=key,
        reason=Reason(id=message, params=params, sources=sources),
    )


def limits_with(asked: Asked, flip: Flip) -> tuple[Limit, ...]:
    """The limits under which a flip of a limit is tried."""
    return moved(asked.limits, [flip.limit]) if flip.limit is not None else asked.limits
