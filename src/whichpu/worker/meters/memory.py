"""Resident memory (RSS) of the measured processes, from ``/proc/PID/statm``: its second number, in pages.

Cheap to read, without a walk through the page tables; it may lag behind by some pages a CPU. Exact figures are in
:mod:`~..memory`. https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
"""

from __future__ import annotations

import os
from typing import Optional

from .. import wire
from . import Around, Channel, Found, Gone, line_in

EVERY_NS = 10_000_000
"""It always has news; read twice in so long, it is seen each 5 ms."""


def find(around: Around) -> Found:
    """One channel: the sum over the processes of a window."""
    own = _resident(around.path("proc", "self", "statm"), 1)
    if own is None:
        says = "no resident memory of processes: this system has no /proc/PID/statm"
        return [wire.Missing("memory", "memory", "not-present", says)]
    page = os.sysconf("SC_PAGE_SIZE")

    def read() -> int:
        if not around.pids:
            raise Gone("no process is measured")
        found = [_resident(around.path("proc", str(pid), "statm"), page) for pid in around.pids]
        known = [size for size in found if size is not None]
        if len(known) < len(found):
            raise Gone("a measured process ended")
        return sum(known)

    facts = wire.Channel(
        meter="memory",
        name="resident memory",
        quantity="memory",
        unit="B",
        scope="process",
        sensor="/proc/PID/statm",
        covers="pages of the measured processes that are in memory, shared ones too (RSS)",
        period_ns=EVERY_NS,
    )
    return [Channel(facts, read)]


def _resident(path: str, page: int) -> Optional[int]:
    fields = (line_in(path) or "").split()
    return int(fields[1]) * page if len(fields) > 1 and fields[1].isdigit() else None
