"""Who runs at once: contenders as they were asked for, with their plans, CPUs and inputs."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from whichpu.campaign import plan as planning
from whichpu.campaign.building import build_all
from whichpu.campaign.contenders import Contender, choose_loops
from whichpu.campaign.plan import Plan
from whichpu.campaign.reach import where
from whichpu.campaign.watch import Watch
from whichpu.campaign.wishes import Wishes, asked_loop
from whichpu.errors import UserError
from whichpu.models import artefact, batching, inputs
from whichpu.results.together import Row, Terms
from whichpu.targets.place import Place
from whichpu.targets.target import ALL, Target, parse
from whichpu.worker import wire

OPENING_S = 0.05
"""Run before each window: caches fill, and processes that were told one after the other all run when it begins."""

OPENING_SHARE = 0.2
"""Of a window, where that is less."""

TWO = "name two: --on a=onnxruntime:cpu --on b=openvino:cpu"


class Asked(msgspec.Struct, kw_only=True, frozen=True):
    """What the user asked for; the defaults are those of the command line."""

    on: tuple[str, ...]
    models: Mapping[str, Path] = {}
    """Models of single contenders, by their names."""
    data: Path | None = None
    budget_s: float = 120.0
    half_width: float = 0.02
    matters: float = 0.02
    rounds_least: int = 5
    rounds_most: int | None = None
    turns: int = 4
    window_s: float = 0.25
    threads: int = 1
    loop: str = "auto"
    seed: int | None = None
    timeout_s: float = 120.0


class Named(NamedTuple):
    """A contender as it was asked for. ``cpus`` are ``None`` where WhichPU chooses, empty: not pinned."""

    name: str
    target: Target
    cpus: tuple[int, ...] | None
    model: Path


class Given(NamedTuple):
    """The command's own model with what belongs to it, and the rest that was asked for."""

    model: Path
    asked: Asked
    forms: Sequence[Path]
    shapes: artefact.Shapes | None
    siblings: bool


class Member(NamedTuple):
    """A contender that can run, with its row and the file of its inputs."""

    row: Row
    contender: Contender
    plan: Plan
    inputs: Path


def wanted(asked: Asked, model: Path) -> list[Named]:
    """The contenders. Raises :class:`UserError` for fewer than two, and for names that are not theirs."""
    if any(text.strip() == ALL for text in asked.on):
        raise UserError("contenders that are to run at once are named one by one", TWO)
    found: list[Named] = []
    for text in asked.on:
        given, target = parse(text)
        cpus, bare = _pinned(text, target)
        name = given or text.strip()
        if given is None:
            name = next(each for each in _numbered(name) if each not in [one.name for one in found])
        found.append(Named(name, bare, cpus, asked.models.get(name, model)))
    names = [one.name for one in found]
    twin = next((name for name in names if names.count(name) > 1), None)
    if twin is not None:
        raise UserError(f"two contenders are called {twin!r}", "give them different names")
    if len(found) < 2:
        raise UserError("one contender has no other to run with", TWO)
    unknown = next((name for name in asked.models if name not in names), None)
    if unknown is not None:
        raise UserError(f"no contender is called {unknown!r}", f"there are: {', '.join(names)}")
    return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name} ({number})" for number in itertools.count(2))


def _pinned(text: str, target: Target) -> tuple[tuple[int, ...] | None, Target]:
    """The CPUs of ``cpus=0+2-3`` (``all``: none), and the target without them."""
    if "cpus" not in target.options:
        return None, target
    options = dict(target.options)
    told = options.pop("cpus")
    bare = msgspec.structs.replace(target, options=options)
    if told == ALL:
        return (), bare
    found: list[int] = []
    for part in told.split("+"):
        first, to, last = part.partition("-")
        if not first.isdigit() or (to and not (last.isdigit() and int(last) >= int(first))):
            raise UserError(f"in target {text!r}, cpus={told} is no list of CPUs", "write it as cpus=0, cpus=0+2-3")
        found += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(found)), bare


def terms_of(asked: Asked) -> Terms:
    return Terms(
        seed=secrets.randbits(32) if asked.seed is None else asked.seed,
        rounds_least=asked.rounds_least,
        rounds_most=asked.rounds_most,
        budget_s=asked.budget_s,
        half_width=asked.half_width,
        matters=asked.matters,
        turns=asked.turns,
        window_s=asked.window_s,
        opening_s=min(OPENING_S, OPENING_SHARE * asked.window_s),
        threads=asked.threads,
        timeout_s=asked.timeout_s,
        loop=asked_loop(asked.loop),
        data="random, seeded" if asked.data is None else asked.data.name,
    )


def plans_of(named: Sequence[Named], given: Given, terms: Terms, place: Place, watch: Watch) -> dict[Path, Plan]:
    """A plan for each model, the command's own first; contenders are called by their number in it."""
    found: dict[Path, Plan] = {}
    for model in dict.fromkeys([given.model, *(one.model for one in named)]):
        on = tuple(f"{number}={one.target}" for number, one in enumerate(named) if one.model == model)
        if not on:
            raise UserError(f"no contender runs {model.name}", "leave out one --model, or give its model as MODEL")
        watch.phase(f"reading {model.name}")
        own = given if model == given.model else Given(model, given.asked, (), None, given.siblings)
        found[model] = _plan(own, on, terms, place, watch, data=given.asked.data if own is given else None)
    for plan in found.values():
        build_all(plan, watch)
    choose_loops([contender for plan in found.values() for contender in plan.contenders], terms.loop)
    return found


def _plan(given: Given, on: tuple[str, ...], terms: Terms, place: Place, watch: Watch, data: Path | None) -> Plan:
    wishes = Wishes(
        on=on,
        data=data,
        threads=terms.threads,
        cpus=(),
        seed=terms.seed,
        timeout_s=terms.timeout_s,
        meters="off",
    )
    sizes = batching.shapes_for([given.model, *given.forms], given.shapes or {}, 1)
    network = artefact.load(given.model, given.forms, sizes, given.siblings)
    return planning.make(network, wishes, watch, place=place)


def members_of(named: Sequence[Named], plans: Mapping[Path, Plan], folder: Path, terms: Terms) -> list[Member]:
    """Every contender with its row. Raises :class:`UserError` for one that can't run here."""
    machine = next(iter(plans.values())).campaign.machine
    pins = _pins(named, machine, terms)
    files = {path: folder / f"inputs-{number}.npz" for number, path in enumerate(plans)}
    for path, file in files.items():
        inputs.save([array[:1] for array in plans[path].samples], file)
    members = []
    for number, one in enumerate(named):
        plan = plans[one.model]
        result = next(each for each in plan.campaign.results if each.name == str(number))
        if result.status != "pending":
            raise UserError(f"{one.name} can't run {where(plan.place)}: {result.why}", result.remedy)
        contender = next(each for each in plan.contenders if each.result is result)
        members.append(Member(_row(one, contender, plan, pins[number]), contender, plan, files[one.model]))
    return members


def _pins(named: Sequence[Named], machine: wire.Machine, terms: Terms) -> list[list[int]]:
    """CPUs for each contender: those asked for, else of its own as long as there are enough for all."""
    usable = machine.cpus_preferred or []
    for one in named:
        absent = [cpu for cpu in one.cpus or () if cpu not in usable]
        if absent:
            raise UserError(
                f"{one.name}: CPU {absent[0]} can't be used here",
                f"usable: {', '.join(map(str, sorted(usable)))}"
                if usable
                else "this system pins no process: leave out cpus=",
            )
    free = [cpu for cpu in usable if all(cpu not in (one.cpus or ()) for one in named)]
    threads = [(one.target.threads or terms.threads) if one.cpus is None else 0 for one in named]
    if sum(threads) > len(free):
        free = []
    ends = list(itertools.accumulate(threads))
    return [
        sorted(free[end - count : end]) if one.cpus is None else list(one.cpus)
        for one, end, count in zip(named, ends, threads, strict=True)
    ]


def _row(one: Named, contender: Contender, plan: Plan, cpus: list[int]) -> Row:
    result = contender.result
    return Row(
        name=one.name,
        target=result.target,
        backend=result.backend,
        device=result.device,
        model=plan.campaign.model.name,
        model_sha256=plan.campaign.model.sha256,
        cpus=cpus,
        threads=result.threads,
        python=result.python,
        form_sha256=result.form_sha256,
        built=result.built,
        versions=result.versions,
    )
