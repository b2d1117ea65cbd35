"""Several models on several units: who runs where, what is left of each limit, what gives way where nothing fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from whichpu.errors import UserError
from whichpu.recommend.advice import Reason
from whichpu.recommend.offers import Left, Offer, candidates, offers
from whichpu.recommend.plans import Goal, Plan, Unit
from whichpu.recommend.solving import Program, Solution
from whichpu.recommend.sources import exactly, of, outwards
from whichpu.results.entries import Entry
from whichpu.results.nway import grouped

VERSION = "whichpu.assignment/1"
ROOM = 1e-9
"""A limit that is moved to what is needed is moved by this share more, so that rounding can't break it."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A model on its unit: the share of the unit's time that it takes, and the highest rate that the unit would allow
    if nothing else changed."""

    model: str
    unit: str
    contender: str
    file: str
    rate_per_s: float
    rate_most_per_s: float
    load: float
    figure: str
    power_w: float | None = None


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What is used of a unit: ``slack`` is the capacity that is left."""

    unit: str
    load: float
    capacity: float
    slack: float
    power_w: float | None = None


class Loosened(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that, moved to ``bound``, lets the plan be met: ``power`` (W), ``speed`` of a unit (a factor), ``rate``
    of a model, ``rates`` of all (a factor)."""

    kind: Literal["power", "speed", "rate", "rates"]
    name: str = ""
    old: float
    bound: float
    unit: str = ""


class PlanRelaxation(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that, moved at once, let the plan be met."""

    changes: list[Loosened]
    reason: Reason


class Assignment(msgspec.Struct, kw_only=True):
    """Who runs where. ``power_w`` is the power of all units, ``power_slack_w`` what is left of the limit."""

    schema: str = VERSION
    feasible: bool = False
    goal: Goal = "load"
    choices: list[Choice] = []
    units: list[Use] = []
    power_w: float | None = None
    max_power_w: float | None = None
    power_slack_w: float | None = None
    reasons: list[Reason] = []
    relax: list[PlanRelaxation] = []


def assign(entries: Sequence[Entry], plan: Plan) -> Assignment:
    """The assignment of a plan's models to its units, or why there is none. Raises :class:`UserError` for a model or a
    unit of the plan that no file knows."""
    _known(entries, plan)
    found, left = offers(entries, plan)
    program = Program(found, plan)
    powered = bool(found) and all(each.power_w is not None for each in found)
    if plan.goal == "power" and not powered:
        raise UserError("power can't be the objective: it is not known of all contenders", 'objective = "load"')
    goal: Goal = plan.goal or ("power" if powered else "load")
    power, share = program.power()[0], program.share()
    first, second = (power, share) if goal == "power" else (share, program.row([]))
    best = program.best(first, second)
    if best is None:
        return Assignment(
            goal=goal,
            max_power_w=plan.max_power_w,
            reasons=[Reason(id="assign.none"), *_left_out(left)],
            relax=_relaxations(entries, plan, program),
        )
    return _assignment(best, plan, goal, left, powered)


def _known(entries: Sequence[Entry], plan: Plan) -> None:
    groups = grouped(entries)
    for need in plan.models:
        if need.name not in groups:
            raise UserError(
                f"{plan.file}: no file has figures of model {need.name!r}", f"there are: {', '.join(groups)}"
            )
    for unit in plan.units:
        if not any(candidates(groups, need, unit) for need in plan.models):
            there = dict.fromkeys(each.name for need in plan.models for each in groups[need.name])
            raise UserError(f"{plan.file}: no contender runs on unit {unit.name!r}", f"there are: {', '.join(there)}")


def _assignment(best: Solution, plan: Plan, goal: Goal, left: Sequence[Left], powered: bool) -> Assignment:
    uses = [_use(unit, [each for each in best.taken if each.unit == unit]) for unit in plan.units]
    slack = {use.unit: use.slack for use in uses}
    known = all(each.power_w is not None for each in best.taken)
    power = sum(use.power_w or 0.0 for use in uses) if known else None
    choices = [_choice(each, slack[each.unit.name]) for each in best.taken]
    limit = plan.max_power_w
    return Assignment(
        feasible=True,
        goal=goal,
        choices=choices,
        units=uses,
        power_w=power,
        max_power_w=limit,
        power_slack_w=None if limit is None or power is None else limit - power,
        reasons=[
            *_told(best.taken, choices),
            *_uses(uses, best.taken),
            *_power_told(best.taken, plan, power),
            *_left_out(left),
        ],
    )


def _use(unit: Unit, taken: Sequence[Offer]) -> Use:
    load = sum(each.load for each in taken)
    powers = [each.power_w for each in taken if each.power_w is not None]
    power: float | None = None
    if len(powers) == len(taken):
        power = sum(powers) if unit.capacity > 1 else max(powers, default=0.0)
        if unit.idle_w is not None:
            drawn = zip(powers, taken, strict=True)
            power = unit.idle_w + sum(max(0.0, watts - unit.idle_w) * each.load for watts, each in drawn)
    return Use(unit=unit.name, load=load, capacity=unit.capacity, slack=unit.capacity - load, power_w=power)


def _choice(each: Offer, slack: float) -> Choice:
    most = min(1.0, each.load + max(0.0, slack))
    return Choice(
        model=each.need.name,
        unit=each.unit.name,
        contender=each.contender.name,
        file=each.contender.entry.file,
        rate_per_s=each.need.rate_per_s,
        rate_most_per_s=each.need.rate_per_s * most / each.load,
        load=each.load,
        figure=each.key,
        power_w=each.power_w,
    )


# ---------------------------------------------------------------- in words


def _told(taken: Sequence[Offer], choices: Sequence[Choice]) -> Iterator[Reason]:
    for each, choice in zip(taken, choices, strict=True):
        yield Reason(
            id="assign.choice",
            params={
                "model": each.need.name,
                "unit": each.unit.name,
                "contender": each.contender.name,
                "rate": [each.need.rate_per_s, "1/s"],
                "load": each.load,
                "most": [choice.rate_most_per_s, "1/s"],
                "key": each.key,
                "value": [each.contender.entry.values[each.key].value, "ns"],
            },
            sources=[of(each.contender, each.key)],
        )


def _uses(uses: Sequence[Use], taken: Sequence[Offer]) -> Iterator[Reason]:
    for use in uses:
        mine = [of(each.contender, each.key) for each in taken if each.unit.name == use.unit]
        if mine:
            params = {"unit": use.unit, "load": use.load, "capacity": use.capacity, "slack": use.slack}
            yield Reason(id="assign.unit", params=params, sources=mine)


def _power_told(taken: Sequence[Offer], plan: Plan, power: float | None) -> Iterator[Reason]:
    sources = [of(each.contender, "power") for each in taken]
    if power is None:
        names = [each.contender.name for each in taken if each.power_w is None]
        yield Reason(id="assign.power-unknown", params={"names": names}, sources=sources)
        return
    params: dict[str, object] = {"power": [power, "W"]}
    if plan.max_power_w is None:
        yield Reason(id="assign.power", params=params, sources=sources)
    else:
        params |= {"limit": [plan.max_power_w, "W"], "slack": [plan.max_power_w - power, "W"]}
        yield Reason(id="assign.power-limit", params=params, sources=sources)
    silent = sorted({each.unit.name for each in taken if each.unit.idle_w is None})
    if silent:
        yield Reason(id="assign.no-idle", params={"units": silent}, sources=sources)


def _left_out(left: Sequence[Left]) -> Iterator[Reason]:
    for each in left:
        yield Reason(
            id=f"assign.out-{each.kind}",
            params={
                "model": each.need.name,
                "unit": each.unit.name,
                "contender": each.contender.name,
                "key": each.key,
                "why": each.why,
                "rate": [each.need.rate_per_s, "1/s"],
            },
            sources=[of(each.contender, each.key)],
        )


# ---------------------------------------------------------------- what would give way


def _relaxations(entries: Sequence[Entry], plan: Plan, program: Program) -> list[PlanRelaxation]:
    """Each single limit that could give way, by the least that is enough; of several at once the least where none is
    enough alone. Rates also give way where a contender is too slow by itself."""
    single = [*_more_power(program), *_more_speed(program), *_lower_rates(entries, plan)]
    found = [[each] for each in single] or _several(program)
    return [PlanRelaxation(changes=changes, reason=_relaxed(changes, program)) for changes in found]


def _more_power(program: Program) -> Iterator[Loosened]:
    limit = program.plan.max_power_w
    found = program.solved(program.row([(program.excess_at, 1.0)]), free=[program.excess_at])
    if limit is not None and found is not None:
        yield Loosened(kind="power", old=limit, bound=(limit + found.goal) * (1 + ROOM), unit="W")


def _more_speed(program: Program) -> Iterator[Loosened]:
    for at, unit in enumerate(program.units):
        over = program.over_at + at
        found = program.solved(program.row([(over, 1.0)]), free=[over])
        if found is not None:
            yield _faster(unit, found.goal)


def _faster(unit: Unit, over: float) -> Loosened:
    """The unit so much faster that a load over its capacity fits."""
    return Loosened(kind="speed", name=unit.name, old=1.0, bound=(1 + over / unit.capacity) * (1 + ROOM))


def _several(program: Program) -> list[list[Loosened]]:
    """Power and capacities at once, by the smallest sum of shares."""
    free = list(range(program.excess_at, program.size))
    limit = program.plan.max_power_w
    costs = [(program.over_at + at, 1 / unit.capacity) for at, unit in enumerate(program.units)]
    found = program.solved(program.row([*costs, (program.excess_at, 1 / limit if limit else 1.0)]), free=free)
    if found is None:
        return []
    changes = [
        _faster(unit, over)
        for at, unit in enumerate(program.units)
        if (over := float(found.values[program.over_at + at])) > ROOM
    ]
    excess = float(found.values[program.excess_at])
    if limit is not None and excess > ROOM:
        changes.append(Loosened(kind="power", old=limit, bound=(limit + excess) * (1 + ROOM), unit="W"))
    return [changes] if changes else []


def _lower_rates(entries: Sequence[Entry], plan: Plan) -> Iterator[Loosened]:
    """The highest rate of each model alone, and the largest factor on all rates, with which the plan is met."""
    for need in plan.models:
        rate = _highest(entries, plan, [need.name])
        if rate > 0:
            bound = need.rate_per_s * rate
            yield Loosened(kind="rate", name=need.name, old=need.rate_per_s, bound=bound, unit="1/s")
    factor = _highest(entries, plan, [need.name for need in plan.models])
    if factor > 0 and len(plan.models) > 1:
        yield Loosened(kind="rates", old=1.0, bound=factor)


STEPS = 17
"""Halvings of a rate."""
BACK = 2e-5
"""By which share a rate is then lowered once more: the solver takes a limit as kept that is broken by a millionth."""


def _highest(entries: Sequence[Entry], plan: Plan, names: Sequence[str]) -> float:
    """The largest factor below 1 on some models' rates with which the plan is met; 0 where none is. By halving: less to
    do is never harder."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _met(entries, with_rates(plan, names, middle)):
            low = middle
        else:
            high = middle
    return low * (1 - BACK)


def _met(entries: Sequence[Entry], plan: Plan) -> bool:
    program = Program(offers(entries, plan)[0], plan)
    return program.solved(program.row([])) is not None


def with_rates(plan: Plan, names: Sequence[str], factor: float) -> Plan:
    """A plan with some models' rates multiplied."""
    models = [
        msgspec.structs.replace(each, rate_per_s=each.rate_per_s * factor) if each.name in names else each
        for each in plan.models
    ]
    return msgspec.structs.replace(plan, models=tuple(models))


def _relaxed(changes: Sequence[Loosened], program: Program) -> Reason:
    sources = [of(each.contender, each.key) for each in program.offers]
    if len(changes) > 1:
        parts = [{"kind": each.kind, **_shown(each)} for each in changes]
        return Reason(id="assign.relax-joint", params={"changes": parts}, sources=sources)
    return Reason(id=f"assign.relax-{changes[0].kind}", params=_shown(changes[0]), sources=sources)


def _shown(change: Loosened) -> dict[str, object]:
    bound = outwards(change.bound, "most" if change.kind in ("power", "speed") else "least")
    if change.unit:
        return {"name": change.name, "old": exactly(change.old, change.unit), "bound": exactly(bound, change.unit)}
    return {"name": change.name, "old": change.old, "bound": bound}


def json_schema() -> dict[str, object]:
    """The published JSON Schema of what ``whichpu recommend --assign --json`` prints."""
    schema = msgspec.json.schema(Assignment)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": VERSION, **schema}
