"""Contenders alone and all at once on one machine: what each loses while the others run.

Every round starts fresh processes, all loaded and frozen. In each turn of a round every contender runs alone for one
window, the others frozen, and all run at once for one, in random order; meanwhile the host sleeps.
"""

from __future__ import annotations

import datetime
import itertools
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from whichpu import __version__
from whichpu.campaign import plan as planning
from whichpu.campaign.building import build_all
from whichpu.campaign.lookout import Lookout
from whichpu.campaign.outputs import outputs_of, refuse_nan
from whichpu.campaign.plan import LOOPS, STATUSES, Contender, Plan, Wishes
from whichpu.campaign.watch import Watch
from whichpu.errors import UserError
from whichpu.models import artefact, batching
from whichpu.results import joint
from whichpu.results import together as results
from whichpu.results.column import pack
from whichpu.results.schema import Campaign
from whichpu.results.together import Reading, Row, Terms, TogetherRun, Window
from whichpu.targets import inventory
from whichpu.targets.board import Board
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.local import HERE
from whichpu.targets.place import Place
from whichpu.targets.ssh import LostLink
from whichpu.targets.target import ALL, Target, parse
from whichpu.worker import wire

OPENING_S = 0.05
"""Run before each window: caches fill, and processes that were told one after the other all run when it begins."""

OPENING_SHARE = 0.2
"""Of a window, where that is less."""

KEPT = 2_000
"""Raw latencies kept of a window; of a quicker model a window's edges weigh nothing."""

INFERENCES = 20
"""Inferences that a window is to hold of the slowest contender, while all run."""

FEWEST = 3
"""What it holds at least, whatever the budget."""

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


class Seat:
    """A member in one round: its worker and what it has read."""

    def __init__(self, member: Member, number: int) -> None:
        self.member = member
        self.row = member.row
        self.reading = Reading(round=number)
        self.link: Link | None = None
        self.latency_ns = 0.0

    @property
    def running(self) -> Link:
        assert self.link is not None
        return self.link


class Over(Exception):
    """A contender's trouble, which ends the run."""

    def __init__(self, row: Row, trouble: WorkerTrouble) -> None:
        super().__init__(str(trouble))
        self.row, self.trouble = row, trouble


def run(
    model: Path,
    asked: Asked,
    path: Path | None,
    watch: Watch,
    forms: Sequence[Path] = (),
    shapes: artefact.Shapes | None = None,
    siblings: bool = True,
) -> TogetherRun:
    """Measure until the slow-downs are known; write ``path`` after every round (``None``: keep in memory).

    Raises :class:`UserError`, also for a contender that can't run here. One that fails later ends the run, which keeps
    what was measured and says why; so does Ctrl-C, which goes on to the caller.
    """
    named = wanted(asked, model)
    terms = _terms(asked)
    with tempfile.TemporaryDirectory(prefix="whichpu-") as folder, _place(named, watch) as place:
        plans = _plans(named, Given(model, asked, forms, shapes, siblings), terms, place, watch)
        _choose_loop([contender for plan in plans.values() for contender in plan.contenders], terms)
        members = _members(named, plans, Path(folder), terms)
        done = _begun(next(iter(plans.values())), plans, members, terms)
        keeper = Keeper(done, path)
        with Lookout(_watched(members), place=place) as lookout:
            done.watched = lookout.watched
            _rounds(members, keeper, lookout, watch)
    return done


@contextmanager
def _place(named: Sequence[Named], watch: Watch) -> Iterator[Place]:
    """The machine that all contenders are on, held alone where it is a board. Raises :class:`UserError`."""
    boards = list(dict.fromkeys(one.target.board for one in named))
    if len(boards) > 1:
        told = " and ".join("this machine" if board is None else str(board) for board in boards)
        raise UserError(f"contenders on {told} don't run together", "name contenders of one machine")
    if boards[0] is None:
        yield HERE
        return
    with Board(boards[0], inventory.load().board(boards[0]), watch.phase) as board:
        board.connect()
        try:
            yield board
        except LostLink as problem:
            raise UserError(str(problem), f"try it by hand: ssh {board.entry.host}") from problem


# ---------------------------------------------------------------- what was asked for


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


def _terms(asked: Asked) -> Terms:
    if asked.loop not in LOOPS:
        raise UserError(f"no loop is called {asked.loop!r}", f"there are: {', '.join(LOOPS)}")
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
        loop=LOOPS[asked.loop],
        data="random, seeded" if asked.data is None else asked.data.name,
    )


def _plans(named: Sequence[Named], given: Given, terms: Terms, place: Place, watch: Watch) -> dict[Path, Plan]:
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
    return found


def _plan(given: Given, on: tuple[str, ...], terms: Terms, place: Place, watch: Watch, data: Path | None) -> Plan:
    wishes = Wishes(
        on=on,
        data=data,
        threads=terms.threads,
        cpus=(),
        seed=terms.seed,
        timeout_s=terms.timeout_s,
        loop="native",
        meters="off",
    )
    sizes = batching.shapes_for([given.model, *given.forms], given.shapes or {}, 1)
    network = artefact.load(given.model, given.forms, sizes, given.siblings)
    return planning.make(network, wishes, watch, place=place)


def _choose_loop(contenders: Sequence[Contender], terms: Terms) -> None:
    """Equal terms: with ``auto`` the native loop runs all, or none."""
    able = all(contender.native_why_not is None for contender in contenders)
    for contender in contenders:
        contender.loop = "native" if terms.loop == "native" or (terms.loop == "auto" and able) else "python"


def _members(named: Sequence[Named], plans: Mapping[Path, Plan], folder: Path, terms: Terms) -> list[Member]:
    """Every contender with its row. Raises :class:`UserError` for one that can't run here."""
    machine = next(iter(plans.values())).campaign.machine
    pins = _pins(named, machine, terms)
    files = {path: folder / f"inputs-{number}.npz" for number, path in enumerate(plans)}
    for path, file in files.items():
        arrays = {f"input_{index}": array[:1] for index, array in enumerate(plans[path].samples)}
        with file.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
    members = []
    for number, one in enumerate(named):
        plan = plans[one.model]
        result = next(each for each in plan.campaign.results if each.name == str(number))
        if result.status != "pending":
            raise UserError(f"{one.name} can't run here: {result.why}", result.remedy)
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


def _begun(plan: Plan, plans: Mapping[Path, Plan], members: Sequence[Member], terms: Terms) -> TogetherRun:
    return TogetherRun(
        whichpu=__version__,
        created=plan.campaign.created,
        model=plan.campaign.model,
        other_models=[each.campaign.model for each in plans.values() if each is not plan],
        machine=plan.campaign.machine,
        place=plan.place.name,
        one_core=_one_core(members) if plan.place.name is None else None,
        terms=msgspec.structs.replace(terms, data=plan.campaign.settings.data),
        rows=[member.row for member in members],
    )


def _one_core(members: Sequence[Member], root: Path = Path("/")) -> list[list[int]] | None:
    """Groups of pinned CPUs that are threads of one core, as Linux tells; ``None`` where it tells nothing."""
    groups: dict[str, list[int]] = {}
    for cpu in sorted({cpu for member in members for cpu in member.row.cpus}):
        file = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            groups.setdefault(file.read_text().strip(), []).append(cpu)
        except OSError:
            return None
    return [cpus for cpus in groups.values() if len(cpus) > 1]


def _watched(members: Sequence[Member]) -> Campaign:
    """The campaign that the watcher looks at: it stays off the CPUs that all contenders together are pinned to."""
    plan = members[0].plan
    pins = [member.row.cpus for member in members]
    cpus = sorted({cpu for each in pins for cpu in each}) if all(pins) else []
    plan.campaign.settings = msgspec.structs.replace(plan.campaign.settings, cpus=cpus)
    return plan.campaign


class Keeper:
    """Owns the file."""

    def __init__(self, run: TogetherRun, path: Path | None) -> None:
        self.run, self.path = run, path
        self.save()  # a place that can't be written is known before minutes of measuring

    def save(self) -> None:
        if self.path is not None:
            results.save(self.run, self.path)


# ---------------------------------------------------------------- rounds


def _rounds(members: Sequence[Member], keeper: Keeper, lookout: Lookout, watch: Watch) -> None:
    """Rounds until the answer is known, each kept before the next begins."""
    done, began = keeper.run, time.monotonic()
    try:
        for number in itertools.count():
            _round(members, done, number, lookout, watch)
            keeper.save()
            if _enough(done, number + 1, time.monotonic() - began):
                break
    except Over as over:
        _enter(over, done)
    except LostLink as problem:
        done.ended = str(problem)
    except KeyboardInterrupt:
        done.ended = "it was stopped by the user"
        keeper.save()
        raise
    for row in done.rows:
        if row.status == "pending" and any(reading.together for reading in row.readings):
            row.status = "measured"
    done.finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    keeper.save()


def _enough(done: TogetherRun, rounds: int, spent_s: float) -> bool:
    terms = done.terms
    if terms.rounds_most is not None and rounds >= terms.rounds_most:
        return True
    if rounds < terms.rounds_least:
        return False
    return spent_s >= terms.budget_s or joint.known(done)


def _enter(over: Over, done: TogetherRun) -> None:
    """A trouble ends the run: it becomes the row's status and the run's reason."""
    row, trouble = over.row, over.trouble
    row.status = next((status for status in STATUSES if status == trouble.kind), "bug")
    row.why, row.remedy, row.words = str(trouble), trouble.remedy, trouble.words or None
    if row.python is not None and (row.remedy or "").startswith("pip "):
        row.remedy = f"{row.python} -m {row.remedy}"
    done.ended = f"{row.name}: {str(trouble).strip().splitlines()[0]}"


def _round(members: Sequence[Member], done: TogetherRun, number: int, lookout: Lookout, watch: Watch) -> None:
    """Load all side by side, then the turns. Raises :class:`Over`; what was read before stays."""
    random = np.random.default_rng([done.terms.seed, number])
    seats = [Seat(member, number) for member in members]
    try:
        for index in random.permutation(len(seats)):
            watch.phase(f"round {number + 1}: {seats[index].row.name} loads")
            with _blamed(seats[index]):
                _load(seats[index], done.terms)
        if number == 0:
            done.terms = fitted(done.terms, max(seat.latency_ns for seat in seats), len(seats))
        lookout.begin(number, [seat.running.pid for seat in seats])
        _turns(seats, done.terms, random, lookout, watch)
    finally:
        for seat in seats:
            if seat.link is not None:
                seat.link.close()


@contextmanager
def _blamed(seat: Seat) -> Iterator[None]:
    try:
        yield
    except WorkerTrouble as trouble:
        seat.reading.trouble = str(trouble)
        raise Over(seat.row, trouble) from trouble


def _load(seat: Seat, terms: Terms) -> None:
    """Start, load, first inference, warm up, freeze."""
    member, row, reading = seat.member, seat.row, seat.reading
    row.readings.append(reading)
    seat.link = link = member.plan.place.start(
        member.contender.target.python, threads=row.threads, cpus=row.cpus, timeout_s=terms.timeout_s, where=row.name
    )
    opened = link.ask(member.contender.job(member.plan.campaign.model.inputs), wire.Opened)
    reading.load_ns, row.boundary, row.placement = opened.load_ns, opened.boundary, opened.placement
    row.precision, row.effective, row.versions = opened.precision, opened.effective, opened.versions
    if opened.precision.ran == wire.AS_IN_THE_GRAPH and member.contender.precision is not None:
        evidence = f"{opened.precision.evidence}: {member.contender.precision}"
        row.precision = wire.Precision(member.contender.precision, evidence)
    outputs = member.inputs.with_name("outputs.npz")
    reading.first_ns = link.ask(wire.Bind(str(member.inputs), str(outputs)), wire.Bound).first_ns
    if not member.contender.result.yardstick:
        refuse_nan(outputs_of(outputs))
    warmed = link.ask(wire.Warm(), wire.Warmed, terms.timeout_s + 10 * reading.first_ns / 1e9)
    reading.warm_steady, reading.rss_bytes = warmed.steady, warmed.rss_bytes
    seat.latency_ns = float(np.median(warmed.latencies_ns[-20:]))
    link.freeze()


def fitted(terms: Terms, slowest_ns: float, contenders: int) -> Terms:
    """Windows long enough for the slowest contender while all run; fewer turns where the budget is short."""
    slowed_s = contenders * slowest_ns / 1e9
    round_s = terms.budget_s / terms.rounds_least
    turns = int(max(1, min(terms.turns, round_s / ((contenders + 1) * max(terms.window_s, INFERENCES * slowed_s)))))
    share_s = round_s / (turns * (contenders + 1))
    window_s = max(terms.window_s, min(INFERENCES * slowed_s, share_s), FEWEST * slowed_s)
    return msgspec.structs.replace(terms, turns=turns, window_s=window_s)


def _turns(seats: Sequence[Seat], terms: Terms, random: np.random.Generator, lookout: Lookout, watch: Watch) -> None:
    """In each turn, in random order: each alone, and all at once."""
    number, position = seats[0].reading.round, 0
    groups = [[seat] for seat in seats] + [list(seats)]
    for turn in range(terms.turns):
        for index in random.permutation(len(groups)):
            group = groups[index]
            who = group[0].row.name + " alone" if len(group) == 1 else "all at once"
            watch.phase(f"round {number + 1}, turn {turn + 1} of {terms.turns}: {who}")
            for seat, window in zip(group, _windows(group, terms), strict=True):
                kept = seat.reading.alone if len(group) == 1 else seat.reading.together
                kept.append(_kept(window, turn, position))
            position += 1
        lookout.look(number, turn + 1, [seat.running.pid for seat in seats])


def _windows(group: Sequence[Seat], terms: Terms) -> list[wire.Window]:
    """One window of all in the group at once: all are told to run before any answer is waited for."""
    request = wire.Endure(round(1e9 * terms.window_s), KEPT, round(1e9 * terms.opening_s))
    slowest_s = max(seat.latency_ns for seat in group) / 1e9
    patience_s = terms.timeout_s + terms.window_s + terms.opening_s + 10 * len(group) * slowest_s
    for seat in group:
        with _blamed(seat):
            seat.running.thaw()
    for seat in group:
        with _blamed(seat):
            seat.running.send(request)
    answers = []
    for seat in group:
        with _blamed(seat):
            answers.append(seat.running.receive(wire.Window, patience_s))
    for seat in group:
        with _blamed(seat):
            seat.running.freeze()
    return answers


def _kept(window: wire.Window, turn: int, position: int) -> Window:
    return Window(
        turn=turn,
        position=position,
        began_ns=window.began_ns,
        wall_ns=window.wall_ns,
        count=window.count,
        median_ns=window.median_ns,
        p95_ns=window.p95_ns,
        min_ns=window.min_ns,
        max_ns=window.max_ns,
        loop="native" if window.loop == "native" else "python",
        latencies_ns=pack(window.latencies_ns),
    )
