"""One round: every contender in a fresh process, loaded side by side, measured in short blocks in random order."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from whichpu.campaign import memory, parts
from whichpu.campaign.check import Check
from whichpu.campaign.contenders import Contender
from whichpu.campaign.lookout import Lookout
from whichpu.campaign.metering import Meters
from whichpu.campaign.plan import Plan
from whichpu.campaign.rows import WARM_LEAST, enter_opened, settled_ns
from whichpu.campaign.watch import Watch
from whichpu.results.column import pack
from whichpu.results.doubts import TIES_ITSELF
from whichpu.results.placement import in_words
from whichpu.results.schema import Block, Reading, Result, Settings
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.worker import wire

IDLE_LONGER = (0.25, 0.5)
"""By how much idle windows are drawn longer than others, where a log is to be aligned with them."""

MEMORY_SHARE = 0.7
"""Share of the free memory that contenders may take together; beyond it they take turns."""


class Seat:
    """A contender in this round: its worker, what it has read so far, and the trouble that ended it, if any."""

    def __init__(self, contender: Contender, number: int) -> None:
        self.contender = contender
        self.name = contender.result.name
        self.reading = Reading(round=number)
        self.link: Link | None = None
        self.latencies: list[int] = []
        self.blocks_planned = 0
        self.latency_ns = 0.0
        self.turns: set[int] = set()
        self.measure = wire.Measure()
        self.trouble: WorkerTrouble | None = None

    @contextmanager
    def attempt(self, counts: bool = True) -> Iterator[Link | None]:
        """Time a step on the contender's account, if it counts; trouble ends its round, not the others'."""
        began = time.monotonic()
        try:
            yield self.link
        except WorkerTrouble as trouble:
            self.trouble = trouble
            self.reading.trouble = str(trouble)
            self.leave()
        finally:
            self.reading.spent_s += time.monotonic() - began if counts else 0.0

    def leave(self) -> None:
        """End the worker."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def finished(self) -> Reading:
        """The reading with its latencies packed."""
        if self.latencies:
            self.reading.latencies_ns = pack(self.latencies)
        return self.reading


def run_round(
    plan: Plan,
    active: Sequence[Contender],
    number: int,
    check: Check,
    watch: Watch,
    lookout: Lookout,
    meters: Meters,
) -> list[Seat]:
    """Run one round; the seats come back with their readings. A later Ctrl-C ends every worker."""
    random = np.random.default_rng([plan.campaign.settings.seed, number])
    order = [active[index] for index in random.permutation(len(active))]
    seats: list[Seat] = []
    here = float("inf") if plan.place.name else psutil.virtual_memory().available
    sittings = _sittings(order, plan.campaign.machine.memory_available_bytes, here)
    for contender in order:
        contender.result.took_turns |= len(sittings) > 1
    with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
        inputs = Path(folder) / "inputs.npz"
        check.save_inputs(inputs)
        for sitting in sittings:
            sat = [Seat(contender, number) for contender in sitting]
            seats += _sit(plan, sat, inputs, random, check, watch, lookout, meters)
    return seats


def _sit(
    plan: Plan,
    seats: list[Seat],
    inputs: Path,
    random: np.random.Generator,
    check: Check,
    watch: Watch,
    lookout: Lookout,
    meters: Meters,
) -> list[Seat]:
    settings = plan.campaign.settings
    try:
        for index, seat in enumerate(seats):
            watch.step(seat.reading.round, seat.name, "loads", 0.5 * index / len(seats))
            _prepare(seat, plan, inputs, check, meters)
        _measure(seats, settings, random, watch, lookout)
        _tell_memory(seats)
        _meter(seats, random, watch, meters)
        for seat in seats:
            if _first_whole(seat):
                _look_inside(seat, inputs, check, watch, settings)
    finally:
        for seat in seats:
            seat.leave()
    return seats


def _prepare(seat: Seat, plan: Plan, inputs: Path, check: Check, meters: Meters) -> None:
    """Start, load, first inference, warm up, freeze."""
    settings, result, target = plan.campaign.settings, seat.contender.result, seat.contender.target
    with seat.attempt():
        seat.link = plan.place.start(
            target.python, threads=result.threads, cpus=settings.cpus, timeout_s=settings.timeout_s, where=seat.name
        )
    with seat.attempt() as link:
        if link is None:
            return
        tied, first_whole = result.effective.get(TIES_ITSELF), _first_whole(seat)
        outputs = inputs.with_name(f"first-{id(seat)}.npz")
        with memory.watched(meters, link.pid, first_whole) as sampled:
            _enter_opened(seat, link.ask(seat.contender.job(plan.campaign.model.inputs), wire.Opened))
            if settings.fail_on_fallback:
                _refuse_fallback(result)
            seat.reading.first_ns = link.ask(wire.Bind(str(inputs), str(outputs)), wire.Bound).first_ns
        check.first(outputs, result)
        patience_s = settings.timeout_s + WARM_LEAST * seat.reading.first_ns / 1e9
        warmed = link.ask(wire.Warm(), wire.Warmed, patience_s)
        seat.reading.rss_bytes = warmed.rss_bytes
        if warmed.memory is not None:
            seat.reading.memory = memory.loaded(warmed.memory, sampled if first_whole else None)
        seat.reading.warm_steady, seat.reading.warm_ns = warmed.steady, warmed.wall_ns
        seat.reading.warm_count = len(warmed.latencies_ns)
        tied = tied if warmed.tied_to is None else ",".join(map(str, warmed.tied_to))
        if tied is not None:  # seen once is enough: a look may miss it
            result.effective[TIES_ITSELF] = tied
        seat.latency_ns = settled_ns(warmed)
        _plan_blocks(seat, settings)
        link.freeze()


def _enter_opened(seat: Seat, opened: wire.Opened) -> None:
    """What is known of a contender whose model is loaded."""
    result, reading = seat.contender.result, seat.reading
    reading.load_ns, reading.import_ns, reading.rss_bytes = opened.load_ns, opened.import_ns, opened.rss_bytes
    result.boundary = opened.boundary
    result.placement = opened.placement
    enter_opened(result, opened, seat.contender.precision)


def _refuse_fallback(result: Result) -> None:
    """Raises :class:`WorkerTrouble` where operators run on another unit than the one asked for."""
    elsewhere = result.placement.elsewhere if result.placement is not None else []
    if elsewhere:
        remedy = "measure it without --fail-on-fallback, or mend the model: whichpu fix"
        raise WorkerTrouble("fallback", in_words(result.placement), remedy)


def _plan_blocks(seat: Seat, settings: Settings) -> None:
    """As many blocks as asked, fewer for a model so slow that a round would overrun its share of the budget."""
    block_ns = max(seat.measure.least_ns, seat.measure.least_count * seat.latency_ns)
    share_ns = 1e9 * settings.budget_s / settings.rounds_least - 1e9 * seat.reading.spent_s
    seat.blocks_planned = int(max(1, min(settings.blocks, share_ns // block_ns)))
    if share_ns < block_ns:
        seat.measure.least_count = int(max(3, min(seat.measure.least_count, share_ns // max(1.0, seat.latency_ns))))


def _measure(
    seats: list[Seat], settings: Settings, random: np.random.Generator, watch: Watch, lookout: Lookout
) -> None:
    """Blocks in random order; after each turn, while all are frozen, a look at the machine."""
    number, position = seats[0].reading.round, 0
    offset = float(random.random())  # the same for all: slow contenders then share their turns, as pairs need
    for seat in seats:
        seat.turns = _spread(seat.blocks_planned, settings.blocks, offset)
    lookout.begin(number, _pids(seats))
    for turn in range(settings.blocks):
        before = position
        for index in random.permutation(len(seats)):
            seat = seats[index]
            if seat.link is None or turn not in seat.turns:
                continue
            watch.step(seat.reading.round, seat.name, "is measured", 0.5 + 0.5 * turn / settings.blocks)
            with seat.attempt():
                _block(seat, position, turn, settings)
            position += 1
        if position > before:
            lookout.look(number, turn + 1, _pids(seats))


def _pids(seats: list[Seat]) -> list[int]:
    return [seat.link.pid for seat in seats if seat.link is not None]


def _spread(planned: int, turns: int, offset: float) -> set[int]:
    """Turns of a slow contender, evenly over the round: drift within the round then falls on all alike."""
    return {int((index + offset) * turns / planned) for index in range(planned)}


def _block(seat: Seat, position: int, turn: int, settings: Settings) -> None:
    """One block: only this worker runs, all others are frozen, and the host sleeps until the answer comes."""
    assert seat.link is not None
    seat.link.thaw()
    block_ns = (seat.measure.opening_count + seat.measure.least_count) * seat.latency_ns
    read = seat.link.ask(seat.measure, wire.Block, settings.timeout_s + 3 * block_ns / 1e9)
    seat.link.freeze()
    seat.latencies += read.latencies_ns
    seat.reading.loop = read.loop
    seat.reading.blocks.append(
        Block(
            position=position,
            turn=turn,
            count=len(read.latencies_ns),
            opening=read.opening,
            began_ns=read.began_ns,
            wall_ns=read.wall_ns,
            cpu_ns=read.cpu_ns,
            switches_involuntary=read.switches_involuntary,
        )
    )


def _tell_memory(seats: list[Seat]) -> None:
    """After all latency blocks: a worker that runs would disturb the others'."""
    for seat in seats:
        if seat.link is not None and seat.reading.memory is not None:
            with seat.attempt(counts=False):
                memory.tell(seat.link, seat.reading.memory)


def _meter(seats: list[Seat], random: np.random.Generator, watch: Watch, meters: Meters) -> None:
    """After all latency blocks: idle, a contender's window, idle, the next contender's, idle; in random order."""
    waiting = [seat for seat in seats if seat.link is not None and not meters.had_enough(seat.name)]
    if not meters.wanted or not waiting:
        return
    number = seats[0].reading.round
    watch.step(number, "nothing", "is metered idle", 1.0)
    meters.idle(number, float(random.uniform(*IDLE_LONGER)))
    for index in random.permutation(len(waiting)):
        seat, bare_first = waiting[index], bool(random.random() < 0.5)
        if not meters.wanted:  # their process ended meanwhile
            return
        watch.step(number, seat.name, "is metered", 1.0)
        with seat.attempt(counts=False) as link:
            if link is not None:
                meters.run(link, seat.name, number, seat.latency_ns, bare_first)
        meters.idle(number, float(random.uniform(*IDLE_LONGER)))


def _first_whole(seat: Seat) -> bool:
    """Mostly the first round; a later one where trouble ended those before it, as when a campaign goes on."""
    return all(before.trouble for before in seat.contender.result.readings)


def _look_inside(seat: Seat, inputs: Path, check: Check, watch: Watch, settings: Settings) -> None:
    """After all blocks: the outputs of all samples, then the parts of a latency, for a profiler may end its worker."""
    if seat.link is not None and not seat.contender.result.yardstick:
        watch.step(seat.reading.round, seat.name, "outputs are checked", 1.0)
        _check_outputs(seat, inputs, check, watch)
    if seat.link is not None:
        watch.step(seat.reading.round, seat.name, "tells its parts", 1.0)
        began = time.monotonic()
        seat.reading.parts = parts.ask(seat.link, inputs, seat.contender.bytes, seat.latency_ns, settings.timeout_s)
        seat.reading.spent_s += time.monotonic() - began
    seat.leave()


def _check_outputs(seat: Seat, inputs: Path, check: Check, watch: Watch) -> None:
    """A whole dataset may take longer than all blocks: its time is not on the contender's account."""

    def tell(done: int, of: int) -> None:
        watch.step(seat.reading.round, seat.name, f"is scored: {done:,} of {of:,} samples", 1.0)

    with seat.attempt(counts=check.plan.task is None) as link:
        assert link is not None
        link.thaw()
        check.outputs(link, inputs, seat.contender.result, seat.latencies, tell)


def _sittings(contenders: Sequence[Contender], allowed: int | None, here: float) -> list[list[Contender]]:
    """Contenders that are resident together: all of them, or as many as the free memory holds.

    ``allowed`` are bytes that were to be had when the campaign began (a cgroup may allow less than is free), ``here``
    those that are free now, where that is known.
    """
    free = MEMORY_SHARE * min(here, allowed or float("inf"))
    sittings: list[list[Contender]] = [[]]
    taken = 0.0
    for contender in contenders:
        need = _memory_needed(contender)
        if sittings[-1] and taken + need > free:
            sittings.append([])
            taken = 0.0
        sittings[-1].append(contender)
        taken += need
    return sittings


def _memory_needed(contender: Contender) -> float:
    """Bytes: what it took before, else a guess from the size of its files."""
    seen = [reading.rss_bytes for reading in contender.result.readings if reading.rss_bytes]
    return float(max(seen)) if seen else 200e6 + 4.0 * contender.bytes
