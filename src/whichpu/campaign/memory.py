"""What a worker tells of its memory, and the curve of it that the meters' process reads while it loads."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from whichpu.campaign.metering import Meters
from whichpu.results.column import pack
from whichpu.results.schema import Memory
from whichpu.targets.link import Link
from whichpu.worker import wire

PAGE = 4096
"""Pages are this large, or a multiple of it."""

NOT_READ = "resident memory was not read while it loaded: no meter for it was at work"


@contextmanager
def watched(meters: Meters, pid: int, wanted: bool) -> Iterator[wire.Sampled]:
    """Read a process's resident memory meanwhile, where it is wanted and can be read."""
    numbers = [number for number in meters.numbers("memory", "process") if meters.channels[number].meter == "memory"]
    if not wanted or not numbers:
        yield wire.Sampled([], 0, 0)
        return
    with meters.reading([pid], numbers[:1]) as sampled:
        yield sampled


def loaded(told: wire.Memory, sampled: wire.Sampled | None) -> Memory:
    """The worker's account after loading, as it is kept: phases count from the beginning of the first.

    ``sampled`` is what was read meanwhile, ``None`` where nothing was to be read. Of it the phases are kept; what lies
    between them is the harness's own.
    """
    began_ns = min(itertools.chain(*told.phases_ns.values()), default=0)
    phases = {name: (begin - began_ns, end - began_ns) for name, (begin, end) in told.phases_ns.items()}
    memory = Memory(**{**dataclasses.asdict(told), "phases_ns": phases})
    if sampled is not None:
        _add_curve(memory, sampled, began_ns)
    return memory


def _add_curve(memory: Memory, sampled: wire.Sampled, began_ns: int) -> None:
    trace = sampled.traces[0] if sampled.traces else wire.Trace(0, [], [])
    at_ns, values = np.array(trace.at_ns, dtype=np.int64) - began_ns, np.array(trace.values, dtype=np.int64)
    phases = [span for name, span in memory.phases_ns.items() if name != "warm"]
    within = np.zeros(at_ns.shape, dtype=bool)
    for begin, end in phases:
        within |= (begin <= at_ns) & (at_ns <= end)
    if not within.any():
        memory.missing["curve"] = trace.trouble or NOT_READ
        return
    memory.page, memory.curve_at_ns, memory.curve = PAGE, pack(at_ns[within]), pack(values[within] // PAGE)


def tell(link: Link, memory: Memory) -> None:
    """Ask a frozen worker, after its blocks, for what it holds now and what it held at most."""
    link.thaw()
    told = link.ask(wire.TellMemory(), wire.Memory)
    link.freeze()
    memory.measured, memory.peak_measuring = told.measured, told.peak_measuring
    memory.measured_pss, memory.measured_private = told.measured_pss, told.measured_private
    memory.missing |= told.missing
