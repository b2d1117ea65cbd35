"""One window of a sustained run: inferences back to back, condensed when the window is over."""

from __future__ import annotations

import gc
from typing import Any, Iterator

import numpy

from . import wire
from .measure import Call, clock, timed_at_least
from .native import NativeCall

CHUNK = 20_000
"""Inferences after which latencies move from a list into an array, eight bytes each."""

LOOKS = 8
"""Looks at the clock in a window at least: how many inferences fit is only a guess."""

MOST = 10_000_000
"""Inferences that a window holds at most."""


def window(call: Call, request: wire.Endure) -> wire.Window:
    """Run for ``window_ns``, one inference at least; the garbage collector rests meanwhile."""
    gc.disable()
    try:
        for _ in _chunks(call, request.opening_ns):
            pass
        began_ns = clock()
        chunks = list(_chunks(call, max(1, request.window_ns)))
        wall_ns = clock() - began_ns
    finally:
        gc.enable()
    count = sum(len(chunk) for chunk in chunks)
    latencies = chunks[0] if len(chunks) == 1 else numpy.concatenate(chunks)
    median, p95, p99 = numpy.percentile(latencies, (50, 95, 99))
    return wire.Window(
        began_ns=began_ns,
        wall_ns=wall_ns,
        count=count,
        median_ns=float(median),
        p95_ns=float(p95),
        p99_ns=float(p99),
        min_ns=int(latencies.min()),
        max_ns=int(latencies.max()),
        latencies_ns=latencies[: request.kept].tolist(),
        loop="native" if isinstance(call, NativeCall) else "python",
    )


def _chunks(call: Call, span_ns: int) -> Iterator[Any]:
    """Latencies of so long, one inference at least, in arrays; none at all of no time."""
    until_ns = clock() + span_ns
    left_ns, count = span_ns, 0
    while left_ns > 0 and count < MOST:
        latencies = timed_at_least(call, 1, min(left_ns, max(1, span_ns // LOOKS)), CHUNK)
        count += len(latencies)
        yield numpy.array(latencies, dtype=numpy.int64)
        left_ns = until_ns - clock()
