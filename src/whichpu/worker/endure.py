"""One window of a sustained run: inferences back to back, condensed when the window is over."""

from __future__ import annotations

import gc
from typing import Any, List

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
    chunks: List[Any] = []
    count = 0
    gc.disable()
    try:
        began_ns = clock()
        until_ns = began_ns + request.window_ns
        left_ns = request.window_ns
        while not chunks or (left_ns > 0 and count < MOST):
            chunk = timed_at_least(call, 1, min(left_ns, request.window_ns // LOOKS), CHUNK)
            chunks.append(numpy.array(chunk, dtype=numpy.int64))
            count += len(chunk)
            left_ns = until_ns - clock()
        wall_ns = clock() - began_ns
    finally:
        gc.enable()
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
