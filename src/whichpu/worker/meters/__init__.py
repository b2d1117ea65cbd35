"""One file per family of sensors and one line each in the table below; imported only when asked for.

A meter is a module with ``find(around)``: all channels that it can read on this machine, and for what it can't read a
:class:`~.wire.Missing` with the reason; never a channel that reads zero where nothing is measured. Nothing at all is
found only by a meter that can't apply (Apple's on Linux, a vendor's where there is no trace of its device).
It must be quick (it is asked before measuring, not while), start nothing, and change nothing.

A :class:`Channel` reads one quantity as a whole number in the sensor's own unit (µJ, mW, m°C): what is kept is what was
read, and every sum over it is exact. Energy comes from counters where there are any, else from a gauge of power.
"""

from __future__ import annotations

import importlib
import os
from typing import Callable, Dict, List, Optional, Union

from .. import wire

METERS: Dict[str, str] = {
    "rapl": ".rapl",
    "hwmon": ".hwmon",
    "battery": ".battery",
    "raspberry": ".raspberry",
    "memory": ".memory",
    "drm": ".drm",
    "nvml": ".nvml",
    "hailo": ".hailo",
    "apple": ".apple",
    "jetson": ".jetson",
    "thermal": ".thermal",
    "cpu": ".cpu",
}
"""Names of meters (``wire.Channel.meter``) and their modules."""

UNITS: Dict[str, "tuple[str, float]"] = {
    "uJ": ("J", 1e-6),
    "mJ": ("J", 1e-3),
    "nW": ("W", 1e-9),
    "uW": ("W", 1e-6),
    "mW": ("W", 1e-3),
    "mC": ("C", 1e-3),
    "C": ("C", 1.0),
    "percent": ("1", 1e-2),
    "permille": ("1", 1e-3),
    "B": ("B", 1.0),
    "kHz": ("Hz", 1e3),
    "MHz": ("Hz", 1e6),
    "us": ("s", 1e-6),
}
"""Sensors' units: the SI unit and how much of it one is. ``us`` counts CPU time, whose rate is cores in use."""

QUANTITIES = ("energy", "power", "temperature", "utilisation", "memory", "clock", "cpu-time")

SCOPES = (
    "board",
    "module",
    "platform",
    "rails",
    "package",
    "gpu",
    "npu",
    "dram",
    "cores",
    "rail",
    "machine",
    "process",
)
"""What a channel covers, the widest first; watts of different scopes are never compared."""


class Gone(Exception):
    """A sensor that was there can't be read any more; the message says what happened."""


class Around:
    """Where meters look: the tree of files, and the processes that are measured (set anew for each window)."""

    def __init__(self, root: str = "/", pids: Optional[List[int]] = None) -> None:
        self.root = root
        self.pids = pids or []

    def path(self, *parts: str) -> str:
        """A path below the root."""
        return os.path.join(self.root, *parts)


class Channel:
    """One quantity that can be read: ``read()`` gives it in ``facts.unit``, ``None`` while the sensor has no news (then
    nothing is kept), and raises :class:`Gone` or :class:`OSError` when it can't be read any more.

    ``begin()`` and ``end()`` are called around each window, for sensors that must be started and stopped.
    """

    def __init__(
        self,
        facts: wire.Channel,
        read: Callable[[], Optional[int]],
        begin: Callable[[], None] = lambda: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.facts = facts
        self.read = read
        self.begin = begin
        self.end = end


Found = List[Union[Channel, wire.Missing]]


def find(around: Around, only: "Optional[List[str]]" = None) -> Found:
    """Channels of all meters, in the order of the table; a meter that breaks is missing, with its words."""
    found: Found = []
    for name in only or METERS:
        found += _found_by(name, around)
    return found


def _found_by(name: str, around: Around) -> Found:
    try:
        found: Found = importlib.import_module(METERS[name], __name__).find(around)
        return found
    except Exception as problem:
        says = "the meter %r broke: %s: %s" % (name, type(problem).__name__, problem)
        return [wire.Missing(name, "all", "broken", says)]


def number_in(path: str) -> int:
    """The whole number in a file. Raises :class:`Gone` for other content and :class:`OSError` when it can't be read."""
    handle = os.open(path, os.O_RDONLY)
    try:
        text = os.read(handle, 4096)
    finally:
        os.close(handle)
    try:
        return int(text)
    except ValueError:
        raise Gone("%s holds %r, no number" % (path, text[:40].decode(errors="replace"))) from None


def line_in(path: str) -> Optional[str]:
    """A file's text without its end; ``None`` when it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip("\0\n ")
    except OSError:
        return None
