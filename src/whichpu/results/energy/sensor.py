"""What the readings of one channel say of its sensor: how often it has news, and whether it measures at all."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from whichpu.results.column import unpack
from whichpu.results.schema import Trace
from whichpu.stats.integrate import runs

UNITS: dict[str, tuple[str, Fraction]] = {
    "uJ": ("J", Fraction(1, 10**6)),
    "mJ": ("J", Fraction(1, 10**3)),
    "nW": ("W", Fraction(1, 10**9)),
    "uW": ("W", Fraction(1, 10**6)),
    "mW": ("W", Fraction(1, 10**3)),
    "mC": ("C", Fraction(1, 10**3)),
    "C": ("C", Fraction(1)),
    "percent": ("1", Fraction(1, 10**2)),
    "permille": ("1", Fraction(1, 10**3)),
    "B": ("B", Fraction(1)),
    "kHz": ("Hz", Fraction(10**3)),
    "MHz": ("Hz", Fraction(10**6)),
    "us": ("s", Fraction(1, 10**6)),
}
"""Sensors' units and how much of the SI unit one is, exactly: those of ``worker/meters``, out of the host's reach."""

PERIODS = 20
"""Of a sensor's periods that a window must hold: each edge is then known to a twentieth of it."""

LONGER = 1.25
"""A sensor whose news come so many times slower than its maker tells has the period that was seen."""

GAPS_LEAST = 5
"""Times between changes of value that tell a sensor's period."""

STUCK = 5
"""A value held so many times longer than values usually are held is a sensor that sticks."""

LONGEST = 50
"""Stretches of equal values that are looked at, the longest first."""

USUAL = 0.8
"""Share of readings that lie in stretches of equal values of the usual length, or shorter."""


class Refused(ValueError):
    """No figure, and why: the message is the reason. ``kind`` is that of a :class:`~whichpu.worker.wire.Missing`."""

    def __init__(self, message: str, kind: str = "broken") -> None:
        super().__init__(message)
        self.kind = kind


class Readings(NamedTuple):
    """Times (CLOCK_MONOTONIC) and whole numbers in the channel's unit, in strict order of time."""

    at_ns: list[int]
    values: list[int]


class Read(NamedTuple):
    """A trace with its place: the window's position, where its times begin, and whether a contender ran."""

    position: int
    from_ns: int
    running: bool
    trace: Trace


class Sensor(NamedTuple):
    """What is known of a sensor from all its readings.

    ``seen_ns`` is the time between its news, ``period_ns`` the one to reckon with (``None``: unknown). ``never``: one
    value in all readings. ``held_from_ns`` tells for windows at whose end it sticks since when.
    """

    seen_ns: int | None
    period_ns: int | None
    never: bool
    held_from_ns: dict[int, int]


@lru_cache(maxsize=20_000)
def readings_of(trace: Trace, from_ns: int) -> Readings:
    """The readings of a trace. Of two at one instant the later counts.

    Raises :class:`Refused` where times go back.
    """
    return rising((unpack(trace.at_ns) + from_ns).tolist(), (unpack(trace.values) - trace.above).tolist())


def rising(at_ns: Sequence[int], values: Sequence[int]) -> Readings:
    """Readings in strict order of time; of two at one instant the later counts. Raises :class:`Refused`."""
    if any(after < before for before, after in pairwise(at_ns)):
        raise Refused("its times go back")
    last = dict(zip(at_ns, values, strict=True))
    return Readings(list(last), list(last.values()))


@lru_cache(maxsize=500)
def sensor_of(told_ns: int | None, counter: bool, reads: tuple[Read, ...]) -> Sensor:
    """What all readings of a channel, in the order of its windows, say of its sensor."""
    series = []
    for read in reads:
        try:
            series.append((read, readings_of(read.trace, read.from_ns)))
        except (Refused, ValueError):
            continue  # the window itself is refused, with this reason
    seen_ns = _seen([readings for _, readings in series])
    every_ns = _middle([after - before for _, found in series for before, after in pairwise(found.at_ns)])
    values = [value for _, found in series for value in found.values]
    return Sensor(
        seen_ns=seen_ns,
        period_ns=_period(told_ns, seen_ns, every_ns),
        never=len(values) >= PERIODS and len(set(values)) == 1,
        held_from_ns={} if counter else _held(series),
    )


def _seen(series: Sequence[Readings]) -> int | None:
    """The time between news: the lowest tenth of the times between changes of value.

    Not their median, because a coarse sensor repeats a value through several periods when the power is steady.
    """
    gaps = []
    for readings in series:
        pairs = zip(readings.at_ns[1:], pairwise(readings.values), strict=True)
        changed = [instant for instant, (before, after) in pairs if after != before]
        gaps += [after - before for before, after in pairwise(changed)]
    return int(np.percentile(gaps, 10, method="lower")) if len(gaps) >= GAPS_LEAST else None


def _period(told_ns: int | None, seen_ns: int | None, every_ns: int | None) -> int | None:
    """The larger one of told and seen; readings tell no more than their own distance.

    Neither told nor seen: unknown. A sensor with news each second looks steady, not fast, in windows of a second.
    """
    if told_ns is None:
        return None if seen_ns is None else max(seen_ns, every_ns or 0)
    slow = [each for each in (seen_ns, every_ns) if each is not None and each > LONGER * told_ns]
    return max(slow, default=told_ns)


def _held(series: Sequence[tuple[Read, Readings]]) -> dict[int, int]:
    """For each window at whose end a gauge of power holds one value far longer than usual: since when.

    Stretches of equal values go on from window to window. A coarse sensor, which mostly moves by its smallest step,
    holds values by its nature: it sticks only when it holds one through a change between idle and running.
    """
    flat = [(read, at_ns, value) for read, found in series for at_ns, value in zip(*found, strict=True)]
    stretches = [list(group) for _, group in groupby(flat, key=lambda each: each[2])]
    coarse = _coarse([stretch[0][2] for stretch in stretches])
    lengths = np.array([len(stretch) for stretch in stretches])
    found: dict[int, int] = {}
    for index in np.argsort(lengths)[::-1][:LONGEST].tolist():
        stretch, others = stretches[index], np.delete(lengths, index)
        if not others.size or len(stretch) <= STUCK * _usual(others):
            continue
        kinds = [running for running, _ in groupby(stretch, key=lambda each: each[0].running)]
        if coarse and len(kinds) < 3:
            continue
        for position, group in groupby(stretch, key=lambda each: each[0].position):
            members = list(group)
            own = next(readings for read, readings in series if read.position == position)
            if members[-1][1] == own.at_ns[-1]:
                found[position] = members[0][1]
    return found


def _usual(lengths: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """The length of stretch that most readings lie in, or in a shorter one."""
    order = np.sort(lengths)
    return int(order[np.searchsorted(np.cumsum(order), USUAL * order.sum())])


def _coarse(levels: Sequence[int]) -> bool:
    """Does it mostly move by its smallest step?"""
    steps = [abs(after - before) for before, after in pairwise(levels)]
    smallest = min((after - before for before, after in pairwise(sorted(set(levels)))), default=0)
    return not steps or float(np.median(steps)) < 2 * smallest


def stands_still_ns(readings: Readings, begin_ns: int, end_ns: int) -> int:
    """The longest time within a window that a counter was seen not to advance."""
    inside = [(at_ns, value) for at_ns, value in zip(*readings, strict=True) if begin_ns <= at_ns <= end_ns]
    place, longest = 0, 0
    for length in runs([value for _, value in inside]):
        longest = max(longest, inside[place + length - 1][0] - inside[place][0])
        place += length
    return longest


def hole_ns(readings: Readings, begin_ns: int, end_ns: int) -> int:
    """The longest time within a window without a reading."""
    inside = [at_ns for at_ns in readings.at_ns if begin_ns < at_ns < end_ns]
    return max(after - before for before, after in pairwise([begin_ns, *inside, end_ns]))


def _middle(numbers: Sequence[int]) -> int | None:
    return int(np.median(numbers)) if numbers else None
