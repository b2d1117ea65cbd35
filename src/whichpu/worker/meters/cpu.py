"""CPU time: of the processes that are measured, and of the whole machine, in µs. Its rate is cores in use.

Both are told in ticks (``SC_CLK_TCK``, 10 ms nearly everywhere): kernel, Documentation/filesystems/proc.rst.
"""

from __future__ import annotations

import functools
import os
from typing import Callable

from .. import wire
from . import Around, Channel, Found, Gone, line_in

METER = "cpu"
BUSY = (0, 1, 2, 5, 6)
"""user, nice, system, irq and softirq in a line of /proc/stat; idle, waiting for disks and stolen time are not ours."""


def find(around: Around) -> Found:
    """CPU time of the processes measured, and of the machine."""
    path = around.path("proc/stat")
    if not (line_in(path) or "").startswith("cpu "):
        return [wire.Missing(METER, "cpu-time", "not-present", "no /proc/stat: CPU time is read on Linux only")]
    return [
        _channel(
            "processes",
            "process",
            around.path("proc/PID/stat"),
            "the worker of what is measured, all its threads",
            functools.partial(of_processes, around),
        ),
        _channel("machine", "machine", path, "all CPUs, all processes", functools.partial(of_machine, path)),
    ]


def of_processes(around: Around) -> int:
    """µs that the measured processes ran, user and system, all threads."""
    if not around.pids:
        raise Gone("no process was named")
    return _us(sum(_ticks_of(around, pid) for pid in around.pids))


def of_machine(path: str) -> int:
    """µs that the CPUs together were busy."""
    fields = (line_in(path) or "").split("\n")[0].split()[1:]
    if len(fields) <= max(BUSY):
        raise Gone("%s has no line of all CPUs" % path)
    return _us(sum(int(fields[index]) for index in BUSY))


def _ticks_of(around: Around, pid: int) -> int:
    # The name in parentheses may hold anything, a parenthesis too.
    fields = (line_in(around.path("proc", str(pid), "stat")) or "").rpartition(")")[2].split()
    if len(fields) < 13:
        raise Gone("process %d ended" % pid)
    return int(fields[11]) + int(fields[12])


def _channel(name: str, scope: str, sensor: str, covers: str, read: Callable[[], int]) -> Channel:
    facts = wire.Channel(METER, name, "cpu-time", "us", scope, sensor, covers, counter=True, period_ns=_us(1) * 1000)
    return Channel(facts, read)


def _us(ticks: int) -> int:
    return ticks * 1_000_000 // (os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100)
