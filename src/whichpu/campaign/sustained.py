"""Sustained runs: each contender alone, in a fresh process, without a pause, for as long as asked."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from whichpu.campaign.check import Check
from whichpu.campaign.contenders import Contender
from whichpu.campaign.lookout import Lookout
from whichpu.campaign.metering import SUSTAINED_READINGS, Meters
from whichpu.campaign.plan import Plan
from whichpu.campaign.watch import Watch
from whichpu.results.column import pack
from whichpu.results.schema import Sustained
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.worker import wire

LONGEST_WINDOW_S, SHORTEST_WINDOW_S = 1.0, 0.02
WINDOWS_LEAST, WINDOWS_MOST = 120, 5_000
"""A short run gets shorter windows and a run of hours longer ones, so that steps are found and the file stays small."""

TOLD_EVERY_S = 2.0
"""Progress is drawn between windows, and not between all of them: each drawing is a pause."""

LOOKS_MOST = 120
"""At the machine, in those pauses: they stay few in a run of hours."""

ORDER = 2**32
"""Stands in the seed for the sustained runs, where a round has its number."""


class Run:
    """One contender's sustained run while it goes on."""

    def __init__(self, position: int, asked_s: float) -> None:
        window_s = min(LONGEST_WINDOW_S, max(SHORTEST_WINDOW_S, asked_s / WINDOWS_LEAST))
        self.window_s = max(window_s, asked_s / WINDOWS_MOST)
        self.windows: list[wire.Window] = []
        self.told = Sustained(position=position, asked_s=asked_s, window_s=self.window_s)

    @property
    def passed_s(self) -> float:
        """Seconds from the first window's beginning to the last one's end."""
        if not self.windows:
            return 0.0
        last = self.windows[-1]
        return (last.began_ns + last.wall_ns - self.windows[0].began_ns) / 1e9

    def finished(self) -> Sustained:
        """The run with its windows packed into columns."""
        told = self.told
        if self.windows:
            begin_ns = self.windows[0].began_ns
            told.loop = self.windows[-1].loop
            told.began_ns = pack([window.began_ns - begin_ns for window in self.windows])
            for name in ("wall_ns", "count", "median_ns", "p95_ns", "p99_ns", "min_ns", "max_ns"):
                setattr(told, name, pack([round(getattr(window, name)) for window in self.windows]))
            told.kept = pack([len(window.latencies_ns) for window in self.windows])
            told.latencies_ns = pack([latency for window in self.windows for latency in window.latencies_ns])
        return told


def run_sustained(
    plan: Plan, check: Check, watch: Watch, lookout: Lookout, meters: Meters, save: Callable[[], None]
) -> None:
    """Run all contenders that have figures and no sustained run yet, in seeded order; ``save`` after each.

    A worker's trouble ends its own run and is told there. On Ctrl-C the run under way keeps its windows, is saved, and
    ``KeyboardInterrupt`` goes on to the caller.
    """
    asked_s = plan.campaign.settings.sustained_s
    waiting = [contender for contender in plan.contenders if _wanted(contender)]
    if asked_s is None or not waiting:
        return
    before = sum(result.sustained is not None for result in plan.campaign.results)
    random = np.random.default_rng([plan.campaign.settings.seed, ORDER, before])
    with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
        inputs = Path(folder) / "inputs.npz"
        check.save_inputs(inputs)
        for position, index in enumerate(random.permutation(len(waiting)), before):
            contender, run = waiting[index], Run(position, asked_s)
            try:
                _endure(plan, contender, run, inputs, watch, lookout, meters)
            except WorkerTrouble as trouble:
                run.told.trouble, run.told.remedy = str(trouble), trouble.remedy
            except KeyboardInterrupt:
                if run.windows:
                    run.told.trouble = "it was stopped by the user"
                    contender.result.sustained = run.finished()
                    save()
                raise
            contender.result.sustained = run.finished()
            save()


def _wanted(contender: Contender) -> bool:
    """A yardstick runs when it was named, not when it came with ``all``."""
    result = contender.result
    return result.status == "measured" and result.sustained is None and (contender.named or not result.yardstick)


def _endure(
    plan: Plan, contender: Contender, run: Run, inputs: Path, watch: Watch, lookout: Lookout, meters: Meters
) -> None:
    """Load, run the first inference, then window after window. Raises :class:`WorkerTrouble`."""
    settings, name = plan.campaign.settings, contender.result.name
    watch.endures(name, 0.0, run.told.asked_s)
    with plan.place.start(
        contender.target.python,
        threads=contender.result.threads,
        cpus=settings.cpus,
        timeout_s=settings.timeout_s,
        where=name,
    ) as link:
        link.ask(contender.job(plan.campaign.model.inputs), wire.Opened)
        outputs = inputs.with_name("first.npz")
        run.told.first_ns = link.ask(wire.Bind(str(inputs), str(outputs)), wire.Bound).first_ns

        def pause() -> None:
            watch.endures(name, run.passed_s, run.told.asked_s)
            looks = run.told.looks
            if run.passed_s >= len(looks) * run.told.asked_s / LOOKS_MOST:
                looks += lookout.aside(run.told.position, len(looks), [link.pid])

        pause()
        with _metered(meters, run, link.pid, name):
            _windows(link, run, settings.timeout_s, pause)


@contextmanager
def _metered(meters: Meters, run: Run, pid: int, name: str) -> Iterator[None]:
    """Read the sensors meanwhile, at a slow pace, where they are wanted; what was read stays, however the run ends."""
    if not meters.wanted:
        yield
        return
    sampled = wire.Sampled([], 0, 0)
    try:
        with meters.reading([pid], least_ns=round(1e9 * run.told.asked_s / SUSTAINED_READINGS)) as sampled:
            yield
    finally:
        if run.windows:
            span_ns = round(1e9 * run.passed_s)
            run.told.metered = meters.sustained(sampled, name, run.told.position, run.windows[0].began_ns, span_ns)


def _windows(link: Link, run: Run, timeout_s: float, tell: Callable[[], None]) -> None:
    """The host sleeps while a window runs, and asks for the next one at once."""
    request = wire.Endure(window_ns=round(1e9 * run.window_s))
    told_s = time.monotonic()
    slowest_ns = run.told.first_ns or 0
    while run.passed_s < run.told.asked_s - run.window_s / 2:
        window = link.ask(request, wire.Window, timeout_s + run.window_s + 3 * slowest_ns / 1e9)
        run.windows.append(window)
        slowest_ns = max(slowest_ns, window.max_ns)
        if time.monotonic() - told_s > TOLD_EVERY_S:
            tell()
            told_s = time.monotonic()
