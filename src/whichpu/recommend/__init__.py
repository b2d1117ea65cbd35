"""What to ship on: contenders' figures and the user's limits in; a pick with its reasons out.

The journey: entries, by model, with prices → who keeps the limits → who can be ranked → the Pareto front → the pick →
the chances, the reasons, what would change it; where nothing fits, which limit to move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whichpu.errors import UserError
from whichpu.recommend.advice import Advice, Figure, Limit, Reason, Standing
from whichpu.recommend.asked import direction, key_of, limit_among, resolved
from whichpu.recommend.chances import chances, without_interval
from whichpu.recommend.decision import Asked, Court, Decision
from whichpu.recommend.fits import fits
from whichpu.recommend.flips import flips
from whichpu.recommend.prices import Prices, priced
from whichpu.recommend.reasons import reasons
from whichpu.recommend.relaxing import relaxations
from whichpu.results.entries import Entry
from whichpu.results.nway import Contender, grouped
from whichpu.results.schema import Campaign

__all__ = ["Advice", "Limit", "recommend"]

DEFAULT = ("latency",)


def recommend(
    entries: Sequence[Entry],
    limits: Sequence[Limit] = (),
    objectives: Sequence[str] = DEFAULT,
    *,
    prices: Prices | None = None,
    campaigns: Mapping[str, Campaign] | None = None,
    allow_unknown: bool = False,
    sure: bool = False,
    model: str | None = None,
) -> Advice:
    """What to ship each model on; the first objective counts first.

    ``campaigns`` are those of the entries, by the hash of their files: between contenders of one campaign their paired
    evidence is used. ``allow_unknown`` lets a contender in that has no figure for a limit; ``sure`` asks that all of a
    figure's interval keeps the limit. Raises :class:`UserError` for a model, a score or an objective that is not there.
    """
    groups = _groups(entries, model)
    terms = {"limits": limits, "objectives": objectives, "allow_unknown": allow_unknown, "sure": sure}
    found = []
    for name, contenders in groups.items():
        rivals = [Contender(each.name, priced(each.entry, each.name, prices)) for each in contenders]
        asked = _asked([each.entry for each in rivals], **terms)  # type: ignore[arg-type]
        found.append(_advice(name, rivals, asked, campaigns or {}))
    return found[0] if len(found) == 1 else _of_several(found)


def _groups(entries: Sequence[Entry], model: str | None) -> dict[str, list[Contender]]:
    groups = grouped(entries)
    if not groups:
        raise UserError("the files hold no contender", "give files of results")
    if model is None:
        return groups
    if model not in groups:
        raise UserError(f"no model is called {model!r}", f"choose one of: {', '.join(groups)}")
    return {model: groups[model]}


def _asked(
    entries: Sequence[Entry], limits: Sequence[Limit], objectives: Sequence[str], allow_unknown: bool, sure: bool
) -> Asked:
    """Limits and objectives as figures of these entries. Raises :class:`UserError`."""
    keys = [resolved(key_of(name), entries) for name in objectives] or [resolved("latency", entries)]
    for key in keys:
        if direction(key, entries) == "neither" and any(key in entry.values for entry in entries):
            plain = key.removeprefix("score:")
            raise UserError(f"{plain} is no objective: it is not known whether more or less is better", "name another")
    return Asked(
        limits=tuple(limit_among(limit, entries) for limit in limits),
        objectives=tuple(dict.fromkeys(keys)),
        allow_unknown=allow_unknown,
        sure=sure,
    )


def _advice(model: str, contenders: Sequence[Contender], asked: Asked, campaigns: Mapping[str, Campaign]) -> Advice:
    court = Court(contenders, campaigns)
    decision = court.decide(asked)
    pick = decision.pick
    runner = court.decide(asked, without=[pick.name]).pick if pick else None
    best = chances(court, decision, asked, campaigns)
    return Advice(
        model=model,
        pick=pick.name if pick else None,
        runner_up=runner.name if runner else None,
        feasible=pick is not None,
        reasons=reasons(court, asked, decision, runner, best),
        pareto=[each.name for each in decision.front],
        ties=court.ties(decision, asked),
        relax=[] if pick else relaxations(court, asked),
        flips=flips(court, asked, decision, campaigns),
        limits=list(asked.limits),
        objectives=list(asked.objectives),
        contenders=_standings(court, asked, decision, best),
        without_interval=without_interval(decision.ranked, asked.objectives[0]),
    )


def _standings(court: Court, asked: Asked, decision: Decision, best: Mapping[str, float]) -> list[Standing]:
    """All contenders: the ranked ones in their order, then the others by name."""
    names = [each.name for each in decision.ranked]
    others = [each.name for each in court.contenders if each.name not in set(names)]
    feasible = {each.name for each in decision.feasible}
    found = []
    for name in names + others:
        entry, out = court.by_name[name].entry, decision.out.get(name)
        found.append(
            Standing(
                contender=name,
                model=entry.model,
                file=entry.file,
                device=entry.device,
                precision=entry.precision,
                estimated=entry.estimated,
                feasible=name in feasible,
                ranked=out is None,
                out="" if out is None else out.kind,
                why="" if out is None else out.why,
                fits=fits(entry, asked.limits),
                best=best.get(name),
                figures=_figures(entry, asked),
            )
        )
    return found


def _figures(entry: Entry, asked: Asked) -> dict[str, Figure]:
    keys = dict.fromkeys([*asked.objectives, *(limit.metric for limit in asked.limits)])
    values = {key: entry.values[key] for key in keys if key in entry.values}
    return {
        key: Figure(value=each.value, unit=each.unit, low=each.low, high=each.high, step=each.step)
        for key, each in values.items()
    }


# ---------------------------------------------------------------- several models


def _of_several(found: Sequence[Advice]) -> Advice:
    """What the advice on several models has in common: a pick where it is the same for all."""
    picks = {each.pick for each in found}
    runners = {each.runner_up for each in found}
    pick = next(iter(picks)) if len(picks) == 1 else None
    sources = [reason.sources[0] for each in found for reason in each.reasons[:1] if reason.sources]
    params = {"contender": pick, "models": [each.model for each in found]}
    name = "advice.models-same" if pick else "advice.models-differ" if any(picks) else "advice.models-none"
    return Advice(
        pick=pick,
        runner_up=next(iter(runners)) if len(runners) == 1 else None,
        feasible=all(each.feasible for each in found),
        reasons=[Reason(id=name, params=params, sources=sources), *(row for each in found for row in each.reasons)],
        pareto=[name for name in found[0].pareto if all(name in each.pareto for each in found)],
        ties=[group for group in found[0].ties if all(group in each.ties for each in found)],
        relax=[row for each in found for row in each.relax],
        flips=[row for each in found for row in each.flips],
        limits=found[0].limits,
        objectives=found[0].objectives,
        contenders=[row for each in found for row in each.contenders],
        models=list(found),
    )
