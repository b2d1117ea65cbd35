"""Contenders alone and all at once on one machine: what each loses while the others run.

Every round starts fresh processes, all loaded and frozen. In each turn of a round every contender runs alone for one
window, the others frozen, and all run at once for one, in random order; meanwhile the host sleeps.
"""

from __future__ import annotations

import datetime
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from whichpu import __version__
from whichpu.campaign.lookout import Lookout
from whichpu.campaign.members import Asked, Given, Member, Named, members_of, plans_of, terms_of, wanted
from whichpu.campaign.plan import Plan
from whichpu.campaign.rows import enter_opened, enter_trouble, warm_up
from whichpu.campaign.watch import Watch
from whichpu.errors import UserError
from whichpu.models import artefact
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
from whichpu.worker import wire

KEPT = 2_000
"""Raw latencies kept of a window; of a quicker model a window's edges weigh nothing."""

INFERENCES = 20
"""Inferences that a window is to hold of the slowest contender, while all run."""

FEWEST = 3
"""What it holds at least, whatever the budget."""


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
    terms = terms_of(asked)
    with tempfile.TemporaryDirectory(prefix="whichpu-") as folder, _place(named, watch) as place:
        plans = plans_of(named, Given(model, asked, forms, shapes, siblings), terms, place, watch)
        members = members_of(named, plans, Path(folder), terms)
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
    enter_trouble(row, trouble, row.python)
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
    enter_opened(row, opened, member.contender.precision)
    reading.load_ns, row.boundary, row.placement = opened.load_ns, opened.boundary, opened.placement
    warm = warm_up(link, member.inputs, terms.timeout_s, check=not member.contender.result.yardstick)
    reading.first_ns, seat.latency_ns = warm.first_ns, warm.latency_ns
    reading.warm_steady, reading.rss_bytes = warm.steady, warm.rss_bytes
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
