"""The parts of an inference: computing, and moving data to a device and back, as the runtime itself tells them."""

from __future__ import annotations

import time
from typing import Any, Callable, List

from . import wire
from .backends import NO_PARTS, Arrays, Refused, Session

IN_PLACE = "nothing is moved to a device: it computes in host memory"
TOO_LARGE = "the model is too large (over 256 MB) to be loaded once more with the profiler on"
WARM = 5
"""Inferences before those that count."""


def told(session: Session, backend: str, arrays: Arrays, request: wire.Parts) -> wire.Parted:
    """What the runtime tells, or the reason why not; a profiler's trouble is such a reason."""
    try:
        found = session.parts(arrays, request)
        why_not = NO_PARTS.get(backend, "%s doesn't tell" % backend)
    except Exception as problem:
        found, why_not = None, str(problem) or type(problem).__name__
    return found or wire.Parted({}, 0, "", dict.fromkeys(("compute", "h2d", "d2h"), why_not))


def in_place(end_to_end: List[int], compute: List[int], by: str, coarse_ns: int = 0) -> wire.Parted:
    """Parts where the inputs already lie where they are computed with."""
    times, reasons = {"end_to_end": end_to_end, "compute": compute}, {"h2d": IN_PLACE, "d2h": IN_PLACE}
    return wire.Parted(times, len(end_to_end), by, reasons, coarse_ns)


def once_more(request: wire.Parts) -> None:
    """Raises :class:`Refused` where the model may not be loaded a second time."""
    if not request.again:
        raise Refused(TOO_LARGE)


def end_to_end(call: Callable[[], Any], count: int) -> List[int]:
    """Latencies in ns by this process's clock, a native call's too."""
    now = time.perf_counter_ns
    found: List[int] = []
    for _ in range(count):
        began = now()
        call()
        found.append(now() - began)
    return found
