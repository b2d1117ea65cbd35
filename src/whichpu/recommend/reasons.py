"""Why this one: sentences as data, each with the files and figures that it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from whichpu.recommend.advice import Fit, Reason, Source
from whichpu.recommend.chances import without_interval
from whichpu.recommend.decision import Asked, Court, Decision, Out
from whichpu.recommend.fits import EXACT, fits
from whichpu.recommend.sources import exactly, figure, of, side
from whichpu.results.nway import Contender

WITHIN = {True: "advice.within-surely", False: "advice.within-probably", None: "advice.within-figure"}
"""How surely a limit is kept by a figure."""
NAMED_MOST = 8
"""Of more contenders that are out for one reason, the rest is counted."""
CHANCE_LEAST = 0.001
"""A probability from draws is never told as none, nor as certainty."""
SCOPED = ("power", "energy", "memory", "device_memory")


def reasons(
    court: Court, asked: Asked, decision: Decision, runner: Contender | None, best: Mapping[str, float]
) -> list[Reason]:
    """Of a pick: what it is better at, that it keeps the limits, its chance, who is out, what to bear in mind. Where
    there is none: why each contender is out."""
    found: list[Reason] = []
    pick = decision.pick
    if pick is None:
        found += _nothing(court, asked, decision)
    else:
        found += [_picked(court, asked, decision, runner, pick), *_within(pick, asked)]
        found += _chance(asked, decision, pick, best)
    found += _outs(court, asked, decision)
    if pick is not None:
        found += _cautions(court, asked, decision, runner, pick)
    return found


def _picked(court: Court, asked: Asked, decision: Decision, runner: Contender | None, pick: Contender) -> Reason:
    key = asked.objectives[0]
    params: dict[str, object] = {"contender": pick.name, "key": key, "value": figure(pick, key)}
    if runner is None:
        name = "advice.pick-only-limits" if asked.limits else "advice.pick-only"
        return Reason(id=name, params=params, sources=[of(pick, key)])
    others = [each for each in decision.ranked if each is not pick]
    same = [each for each in others if court.judge.relation(key, pick, each) != "better"]
    if not same:
        ratio = _ratio(pick, runner, key)
        params |= {"other": runner.name, "others": figure(runner, key), "count": len(decision.ranked)}
        name = f"advice.pick-{'highest' if court.judge.better[key] == 'higher' else 'lowest'}"
        if ratio is not None:
            return Reason(id=f"{name}-ratio", params=params | {"ratio": ratio}, sources=_both(pick, runner, key))
        return Reason(id=name, params=params, sources=_both(pick, runner, key))
    params |= {"names": [each.name for each in same[:NAMED_MOST]]}
    sources = [of(each, key) for each in (pick, *same[:NAMED_MOST])]
    decider = next((each for each in asked.objectives[1:] if _decides(court, each, pick, same)), None)
    if decider is not None:
        params |= {"decider": decider, "deciding": figure(pick, decider)}
        sources += [of(each, decider) for each in (pick, *same[:NAMED_MOST])]
        return Reason(id="advice.pick-by", params=params, sources=sources)
    return Reason(id="advice.pick-tied", params=params, sources=sources)


def _decides(court: Court, key: str, pick: Contender, same: Sequence[Contender]) -> bool:
    return all(court.judge.relation(key, pick, each) == "better" for each in same)


def _ratio(pick: Contender, runner: Contender, key: str) -> float | None:
    """How many times the better figure the next one is; of scores and prices that says nothing."""
    mine, theirs = pick.entry.values[key].value, runner.entry.values[key].value
    if key.startswith("score:") or min(mine, theirs) <= 0:
        return None
    return max(mine, theirs) / min(mine, theirs)


def _both(one: Contender, other: Contender, key: str) -> list[Source]:
    return [of(one, key), of(other, key)]


def _within(pick: Contender, asked: Asked) -> Iterator[Reason]:
    for found in fits(pick.entry, asked.limits):
        params = {"contender": pick.name, **_limit(found)}
        if found.within is None:
            name = "advice.within-unknown"
        else:
            name = "advice.within-exactly" if found.limit.metric in EXACT else WITHIN[found.sure]
            params["value"] = figure(pick, found.limit.metric)
        if found.sure is False:
            params["chance"] = found.chance
        yield Reason(id=name, params=params, sources=[of(pick, found.limit.metric)])


def _limit(found: Fit) -> dict[str, object]:
    limit = found.limit
    return {"key": limit.metric, "side": side(limit.side), "bound": exactly(limit.bound, found.unit)}


def _chance(asked: Asked, decision: Decision, pick: Contender, best: Mapping[str, float]) -> Iterator[Reason]:
    key = asked.objectives[0]
    if len(decision.ranked) < 2 and len(best) < 2:
        return
    if best:
        chance = min(max(best[pick.name], CHANCE_LEAST), 1 - CHANCE_LEAST)
        params = {"contender": pick.name, "chance": chance, "key": key}
        yield Reason(
            id="advice.chance" if asked.limits else "advice.chance-plain",
            params=params,
            sources=[of(each, key) for each in decision.ranked[:NAMED_MOST]],
        )
        return
    names = without_interval(decision.ranked, key)
    if names:
        lacking = [each for each in decision.ranked if each.name in names[:NAMED_MOST]]
        params = {"key": key, "names": names[:NAMED_MOST]}
        yield Reason(id="advice.chance-unknown", params=params, sources=[of(each, key) for each in lacking])


def _nothing(court: Court, asked: Asked, decision: Decision) -> Iterator[Reason]:
    """That nobody can be recommended: no figure of the objective, or nobody within the limits."""
    key = asked.objectives[0]
    if not any(key in each.entry.values for each in court.contenders):
        yield Reason(
            id="advice.none-objective", params={"key": key}, sources=[of(each, key) for each in court.contenders]
        )
        return
    keys = list(dict.fromkeys(limit.metric for limit in asked.limits)) or list(asked.objectives)
    yield Reason(
        id="advice.none-fits" if asked.limits else "advice.none-ranked",
        params={"count": len(court.contenders)},
        sources=[of(each, key) for each in court.contenders for key in keys],
    )


# ---------------------------------------------------------------- who is out


def _outs(court: Court, asked: Asked, decision: Decision) -> Iterator[Reason]:
    ordered = sorted(decision.out.items(), key=lambda item: (item[1].kind, item[1].metric, item[0]))
    for (_, metric), several in groupby(ordered, key=lambda item: (item[1].kind, item[1].metric)):
        rows = list(several)
        for name, out in rows[:NAMED_MOST]:
            yield _out(court.by_name[name], out, asked, decision)
        if len(rows) > NAMED_MOST:
            rest = [court.by_name[name] for name, _ in rows[NAMED_MOST:]]
            params = {"count": len(rest), "key": metric}
            yield Reason(id="advice.out-more", params=params, sources=[of(each, metric) for each in rest])


def _out(each: Contender, out: Out, asked: Asked, decision: Decision) -> Reason:
    params: dict[str, object] = {"contender": each.name, "key": out.metric}
    sources = [of(each, out.metric)]
    if out.kind == "limit":
        found = next(
            fit
            for fit in fits(each.entry, asked.limits)
            if fit.limit.metric == out.metric and (not fit.within or fit.sure is not True)
        )
        params |= {**_limit(found), "value": figure(each, out.metric)}
        if found.within:
            return Reason(id="advice.out-not-sure", params=params, sources=sources)
        close = found.sure is False
        name = "advice.out-probably" if close else "advice.out-limit"
        return Reason(id=name, params=params | ({"chance": found.chance} if close else {}), sources=sources)
    if out.kind == "apart":
        head = decision.ranked[0]
        params |= {"other": head.name, "why": out.why}
        return Reason(id="advice.out-apart", params=params, sources=[*sources, of(head, out.metric)])
    return Reason(id=f"advice.out-{out.kind}", params=params | {"why": out.why}, sources=sources)


# ---------------------------------------------------------------- what to bear in mind


def _cautions(
    court: Court, asked: Asked, decision: Decision, runner: Contender | None, pick: Contender
) -> Iterator[Reason]:
    key = asked.objectives[0]
    if pick.entry.estimated:
        yield Reason(
            id="advice.estimated", params={"contender": pick.name, "tool": pick.entry.tool}, sources=[of(pick, key)]
        )
    if runner is not None and runner.entry.sha256 != pick.entry.sha256:
        params = {"contender": pick.name, "other": runner.name}
        yield Reason(id="advice.two-files", params=params, sources=_both(pick, runner, key))
    for limit in asked.limits:
        yield from _scopes(court, limit.metric)
    for doubt in pick.entry.doubts:
        yield Reason(id="advice.doubt", params={"contender": pick.name, "doubt": doubt}, sources=[of(pick, key)])


def _scopes(court: Court, key: str) -> Iterator[Reason]:
    """One bound on figures that don't cover the same."""
    having = [each for each in court.contenders if key in SCOPED and key in each.entry.values]
    scopes = {each.name: each.entry.values[key].terms.get("scope") for each in having}
    told = sorted({scope for scope in scopes.values() if scope})
    if len(told) > 1:
        params: dict[str, object] = {"key": key, "scopes": told}
        yield Reason(id="advice.scopes", params=params, sources=[of(each, key) for each in having[:NAMED_MOST]])
    silent = [each for each in having if scopes[each.name] is None][:NAMED_MOST]
    if silent:
        params = {"key": key, "names": [each.name for each in silent]}
        yield Reason(id="advice.scope-untold", params=params, sources=[of(each, key) for each in silent])
