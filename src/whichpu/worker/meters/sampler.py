"""Reads channels at their own rates while a window runs, in a thread of a process that measures nothing itself."""

from __future__ import annotations

import threading
import time
from typing import Callable, List, Optional, Tuple

from .. import wire
from . import Around, Channel, Gone

UNKNOWN_PERIOD_NS = 10_000_000
"""How often a sensor is read that doesn't tell how often it has news."""

EVERY_LEAST_NS, EVERY_MOST_NS = 5_000_000, 250_000_000
"""A sensor is read twice in each of its periods, but not more often than this, nor more seldom."""

RESTS, REST_MOST_NS = 9, 100_000_000
"""After a sweep the sampler rests so many times as long as it took: slow sensors (I2C, a command to be run) take a
tenth of one CPU at most. Not for ever: on a loaded machine a sweep is long because others run."""

READINGS_MOST = 100_000
"""Of one channel in one window; then it is read no more, and says so."""


class Sampler:
    """All channels of a machine; sampling starts and stops with a window.

    ``now`` gives CLOCK_MONOTONIC in ns, and ``wait`` waits so many ns or until told to stop (a test passes its own).
    """

    def __init__(
        self,
        channels: List[Channel],
        around: Around,
        now: Callable[[], int] = time.perf_counter_ns,
        wait: Optional[Callable[[int], bool]] = None,
    ) -> None:
        self.channels = channels
        self.around = around
        self.now = now
        self.done = threading.Event()
        self.wait = wait or (lambda wait_ns: self.done.wait(wait_ns / 1e9))
        self.thread: Optional[threading.Thread] = None
        self.rest_ns = 0
        self.sampled = wire.Sampled([], 0, 0)

    def start(self, request: wire.StartMeters) -> wire.MetersStarted:
        """Begin a window: each channel is read once at once, and then at its own rate."""
        self.stop()
        self.around.pids = list(request.pids)
        self.begin(request.channels, request.least_ns)
        self.done.clear()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return wire.MetersStarted()

    def stop(self) -> wire.Sampled:
        """End the window: what was read. Each channel is read once more, so that a reading lies behind the end."""
        if self.thread is not None:
            self.done.set()
            self.thread.join()
            self.thread = None
            self.end()
            self.sampled.clock_ns, self.sampled.utc_ns = both_clocks()
        sampled, self.sampled = self.sampled, wire.Sampled([], 0, 0)
        return sampled

    def begin(self, wanted: List[int], least_ns: int = 0) -> None:
        """Start sensors and read each once."""
        self.numbers = [number for number in range(len(self.channels)) if not wanted or number in wanted]
        self.sampled = wire.Sampled([wire.Trace(number, [], []) for number in self.numbers], 0, 0)
        self.every_ns = [max(least_ns, every_ns(self.channels[number].facts)) for number in self.numbers]
        for index, number in enumerate(self.numbers):
            self._guarded(index, self.channels[number].begin)
        began_ns = self.now()
        self.due_ns = [began_ns] * len(self.numbers)
        self.sweep()

    def run(self) -> None:
        """Sweep when a channel is due, until told to stop."""
        if not self.due_ns:
            self.done.wait()
            return
        while not self.wait(max(self.rest_ns, min(self.due_ns) - self.now())):
            self.sweep()

    def sweep(self, all_of_them: bool = False) -> None:
        """Read each channel that is due."""
        began_ns = self.now()
        for index, due_ns in enumerate(self.due_ns):
            if all_of_them or due_ns <= began_ns:
                self._read(index)
                # Not due + every: a sensor that answers slowly must not be asked without a pause.
                self.due_ns[index] = self.now() + self.every_ns[index]
        took_ns = self.now() - began_ns
        self.rest_ns = min(RESTS * took_ns, REST_MOST_NS)
        self.sampled.sweeps += 1
        self.sampled.busy_ns += took_ns

    def end(self) -> None:
        """Read each channel once more and stop the sensors."""
        self.sweep(all_of_them=True)
        for index, number in enumerate(self.numbers):
            self._guarded(index, self.channels[number].end)

    def _read(self, index: int) -> None:
        trace = self.sampled.traces[index]
        if trace.trouble is not None:
            return
        if len(trace.values) >= READINGS_MOST:
            trace.trouble = "more than %d readings in one window" % READINGS_MOST
            return
        before_ns = self.now()
        value = self._guarded(index, self.channels[self.numbers[index]].read)
        if value is not None:
            # A slow answer is of some time between the question and it.
            trace.at_ns.append((before_ns + self.now()) // 2)
            trace.values.append(value)

    def _guarded(self, index: int, step: Callable[[], Optional[int]]) -> Optional[int]:
        trace = self.sampled.traces[index]
        try:
            return step()
        except Gone as problem:
            trace.trouble = str(problem)
        except OSError as problem:
            trace.trouble = "it can't be read any more: %s" % (problem.strerror or problem)
        except Exception as problem:
            trace.trouble = "%s: %s" % (type(problem).__name__, problem)
        return None


def both_clocks() -> Tuple[int, int]:
    """CLOCK_MONOTONIC and the time of day at one instant, in ns: the closest of three pairs."""
    pairs = []
    for _ in range(3):
        before_ns = time.perf_counter_ns()
        utc_ns = time.time_ns()
        after_ns = time.perf_counter_ns()
        pairs.append((after_ns - before_ns, (before_ns + after_ns) // 2, utc_ns))
    _, clock_ns, utc_ns = min(pairs)
    return clock_ns, utc_ns


def every_ns(facts: wire.Channel) -> int:
    """How often a channel is read: twice in each of its periods."""
    half_ns = (facts.period_ns or UNKNOWN_PERIOD_NS * 2) // 2
    return max(EVERY_LEAST_NS, min(EVERY_MOST_NS, half_ns))
