"""The loop. It alone owns the clock; nothing stands between two reads but the inference."""

from __future__ import annotations

import gc
import statistics
import time
from typing import Any, Callable, List, Optional

from . import wire
from .native import NativeCall

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

Call = Callable[[], Any]
clock = time.perf_counter_ns


def timed(call: Call, count: int) -> List[int]:
    """Latencies in ns of ``count`` inferences, in order; a native call is timed by the loop in C."""
    if isinstance(call, NativeCall):
        return call.timed(count)
    now = clock
    latencies: List[int] = []
    keep = latencies.append
    for _ in range(count):
        began = now()
        call()
        keep(now() - began)
    return latencies


def timed_at_least(call: Call, count: int, wall_ns: int, most: int) -> List[int]:
    """Latencies of ``count`` inferences or ``wall_ns``, whichever is longer; never more than ``most``."""
    began = clock()
    latencies = timed(call, min(count, most))
    while len(latencies) < most:
        spent_ns = clock() - began
        if spent_ns >= wall_ns:
            break
        per_inference_ns = max(1, spent_ns) / len(latencies)
        still = int((wall_ns - spent_ns) / per_inference_ns) + 1
        latencies += timed(call, min(still, most - len(latencies)))
    return latencies


def first(call: Call) -> int:
    """Latency in ns of the first inference."""
    return timed(call, 1)[0]


def warm(call: Call, request: wire.Warm) -> wire.Warmed:
    """Run windows of inferences until the medians of the last three agree within the tolerance."""
    began = clock()
    latencies: List[int] = []
    medians: List[float] = []
    steady = False
    while not steady and (len(medians) < 3 or clock() - began < request.limit_ns):
        window = timed_at_least(call, count=2, wall_ns=3_000_000, most=2_000)
        latencies += window
        medians.append(statistics.median(window))
        last = medians[-3:]
        steady = len(last) == 3 and max(last) - min(last) <= request.tolerance * min(last)
    return wire.Warmed(steady=steady, wall_ns=clock() - began, latencies_ns=latencies)


def block(call: Call, request: wire.Measure) -> wire.Block:
    """Measure one block; the garbage collector rests meanwhile."""
    gc.collect()
    gc.disable()
    try:
        began_ns = clock()
        opening = timed_at_least(call, request.opening_count, request.opening_ns, request.most_count)
        switches = _switches_involuntary()
        cpu_ns = time.process_time_ns()
        wall_ns = clock()
        steady = timed_at_least(call, request.least_count, request.least_ns, request.most_count)
        wall_ns = clock() - wall_ns
        cpu_ns = time.process_time_ns() - cpu_ns
        switches_after = _switches_involuntary()
    finally:
        gc.enable()
    return wire.Block(
        latencies_ns=opening + steady,
        opening=len(opening),
        began_ns=began_ns,
        wall_ns=wall_ns,
        cpu_ns=cpu_ns,
        switches_involuntary=None if switches is None or switches_after is None else switches_after - switches,
        loop="native" if isinstance(call, NativeCall) else "python",
    )


def _switches_involuntary() -> Optional[int]:
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
