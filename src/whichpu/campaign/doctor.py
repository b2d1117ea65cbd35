"""The machine examined before a run: two looks a second apart, who used CPU between them, and a busy loop's noise."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from whichpu.errors import UserError
from whichpu.results.doctor import Busy, Examination, Noise, findings, spread_of
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.local import HERE
from whichpu.targets.place import Place
from whichpu.worker import wire

LOOK_S, NOISE_S = 1.0, 2.0
BUSY_CORES = 0.02
"""A program that used less of a core is not named."""

TURNS = 5_000
"""Of the busy loop in one inference: some 50 to 500 µs."""


def examine(
    cpus: Sequence[int] = (),
    root: str = "/",
    look_s: float = LOOK_S,
    noise_s: float = NOISE_S,
    place: Place = HERE,
) -> Examination:
    """Look, wait, look again, then measure the noise. Raises :class:`UserError` where no worker starts.

    On a board programs that are busy are counted, not named.
    """
    here = root == "/" and place.name is None
    try:
        with place.start(cpus=cpus, where="the worker that looks at the machine") as link:
            ours = [*place.own(), link.pid]
            request = wire.LookNow(cpus=list(cpus), pids=ours, root=root, commands=True, surroundings=True)
            link.ask(request, wire.Look)  # the first look imports and warms up
            before, first = _cpu_times(ours) if here else {}, link.ask(request, wire.Look)
            time.sleep(look_s)
            last, after = link.ask(request, wire.Look), _cpu_times(ours) if here else {}
            busy = who_was_busy(before, after, (last.at_ns - first.at_ns) / 1e9)
            noise, missing = _measured_noise(link, noise_s)
    except WorkerTrouble as trouble:
        raise UserError(f"the machine can't be looked at: {trouble}", trouble.remedy) from trouble
    machine = link.hello.machine
    return Examination(
        machine=machine,
        cpus=[clock.cpu for clock in last.clocks],
        findings=findings(first, last, machine, busy, noise),
        busy=busy,
        clock_resolution_ns=machine.clock_resolution_ns,
        clock_cost_ns=machine.clock_cost_ns,
        noise=noise,
        noise_missing=missing,
    )


def who_was_busy(
    before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]], span_s: float
) -> list[Busy]:
    """Programs by the cores that they used between two looks; one that began in between counts whole."""
    used = [
        Busy(name=name, pid=pid, cores=round((seconds - before.get(pid, (name, 0.0))[1]) / span_s, 3))
        for pid, (name, seconds) in after.items()
    ]
    return sorted((one for one in used if one.cores >= BUSY_CORES), key=lambda one: -one.cores)


def _cpu_times(ours: Sequence[int]) -> dict[int, tuple[str, float]]:
    """Name and CPU seconds of every process but ours."""
    found = {}
    for process in psutil.process_iter():
        try:
            times = process.cpu_times()
            if process.pid not in ours:
                found[process.pid] = (process.name(), times.user + times.system)
        except psutil.Error:  # it ended, or is nobody's business
            continue
    return found


def _measured_noise(link: Link, seconds: float) -> tuple[Noise | None, str | None]:
    """Blocks of one and the same busy loop, with the null backend; or the reason why there are none."""
    try:
        with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
            inputs = Path(folder) / "inputs.npz"
            np.savez(inputs)
            link.ask(wire.Open("null", "cpu", "", "", options={"work": str(TURNS)}, inputs=[]), wire.Opened)
            link.ask(wire.Bind(str(inputs), str(Path(folder) / "outputs.npz")), wire.Bound)
        link.ask(wire.Warm(), wire.Warmed)
        medians: list[float] = []
        latencies: list[int] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until or len(medians) < 5:
            block = link.ask(wire.Measure(), wire.Block)
            steady = block.latencies_ns[block.opening :]
            medians.append(statistics.median(steady))
            latencies += steady
    except WorkerTrouble as trouble:
        return None, str(trouble).strip().splitlines()[0]
    return spread_of(medians, latencies, seconds), None
