"""When nothing keeps the limits: which one to move, by how much; or which figure would have to be measured."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from whichpu.recommend.advice import Change, Fit, Limit, Reason, Relaxation
from whichpu.recommend.decision import Asked, Court
from whichpu.recommend.fits import EXACT, fits, keeps
from whichpu.recommend.sources import bound_of, exactly, of, side
from whichpu.results.nway import Contender

UNBOUNDED = float("inf")


def relaxations(court: Court, asked: Asked) -> list[Relaxation]:
    """The smallest single change of each limit that lets some contender in, the smallest of several at once where
    that is not one of them, and the figures that would have to be known. The smallest relative change stands first.
    """
    ways = [way for each in court.contenders if (way := _way(each, asked)) is not None]
    single: dict[Limit, _Way] = {}
    for way in sorted(ways, key=_cost):
        if len(way.broken) == 1 and not way.unknown:
            single.setdefault(way.broken[0][0], way)
    joint = next((way for way in sorted(ways, key=_cost) if len(way.broken) > 1 and not way.unknown), None)
    chosen = list(single.values())
    if joint is not None and all(_cost(joint)[0] < _cost(way)[0] for way in chosen):
        chosen.append(joint)
    unmeasured = [way for way in ways if way.unknown and not way.broken]
    if not chosen and not unmeasured:
        unmeasured = sorted(ways, key=_cost)[:1]  # both a limit to move and a figure to measure
    return [_relaxation(way, asked) for way in (*sorted(chosen, key=_cost), *unmeasured)]


def moved(limits: Sequence[Limit], changes: Sequence[Change]) -> tuple[Limit, ...]:
    """Limits with changes put in: each in place of those on its figure and side that it changes, or as a new one."""
    found = list(limits)
    for change in changes:
        old = [each for each in found if (each.metric, each.side) == (change.metric, change.side)]
        given = next((each.given for each in old), "")
        found = [each for each in found if each not in old]
        found.append(Limit(change.metric, change.side, change.bound, given))
    return tuple(found)


class _Way(msgspec.Struct, frozen=True):
    """What keeps a contender out: limits with the bounds that would let it in; limits on figures that it hasn't."""

    contender: Contender
    broken: tuple[tuple[Limit, float], ...]
    unknown: tuple[Limit, ...]


def _way(each: Contender, asked: Asked) -> _Way | None:
    if any(key not in each.entry.values for key in asked.objectives):
        return None
    out = [found for found in fits(each.entry, asked.limits) if not keeps(found, asked.allow_unknown, asked.sure)]
    bounds = [(found.limit, _needed(each, found, asked.sure)) for found in out if found.within is not None]
    broken = tuple((limit, bound) for limit, bound in bounds if bound is not None)
    if len(broken) < len(bounds):
        return None  # without an interval it is never surely within
    return _Way(each, broken, tuple(found.limit for found in out if found.within is None))


def _needed(each: Contender, found: Fit, sure: bool) -> float | None:
    """The bound that lets a contender in; ``None`` where none does."""
    value = each.entry.values[found.limit.metric]
    if not sure or found.limit.metric in EXACT:
        return value.value
    return value.high if found.limit.side == "most" else value.low


def _cost(way: _Way) -> tuple[float, float, str]:
    """The sum of relative changes; among equals the fewer; by name."""
    parts = [relative(limit.bound, bound) for limit, bound in way.broken]
    return sum(UNBOUNDED if part is None else part for part in parts), len(parts), way.contender.name


def relative(old: float, new: float) -> float | None:
    """By which share of the old bound a limit moves."""
    return abs(new - old) / abs(old) if old else None


def _relaxation(way: _Way, asked: Asked) -> Relaxation:
    entry = way.contender.entry
    changes = [
        Change(
            metric=limit.metric,
            side=limit.side,
            old=limit.bound,
            bound=bound,
            unit=entry.values[limit.metric].unit,
            relative=relative(limit.bound, bound),
        )
        for limit, bound in way.broken
    ]
    measure = [limit.metric for limit in way.unknown]
    return Relaxation(
        contender=way.contender.name, changes=changes, measure=measure, reason=_reason(way, changes, measure)
    )


def _reason(way: _Way, changes: Sequence[Change], measure: Sequence[str]) -> Reason:
    keys = [*measure, *(change.metric for change in changes)]
    params: dict[str, object] = {"contender": way.contender.name}
    if measure:
        name = "advice.measure-and-relax" if changes else "advice.measure"
        params["keys"] = keys
    elif len(changes) > 1:
        name = "advice.relax-joint"
        params["changes"] = [_told(change) for change in changes]
    else:
        plain = changes[0].relative is None or changes[0].unit == "share"  # a share of a share reads as points
        name = "advice.relax" if plain else "advice.relax-share"
        params |= _told(changes[0])
    return Reason(id=name, params=params, sources=[of(way.contender, key) for key in keys])


def _told(change: Change) -> dict[str, object]:
    assert change.old is not None
    return {
        "key": change.metric,
        "side": side(change.side),
        "old": exactly(change.old, change.unit),
        "bound": bound_of(change),
        "share": change.relative,
    }
