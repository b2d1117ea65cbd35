"""Windows of meters: which sources of energy a campaign has, and what one of them took in one window.

A source is a channel of energy or power, or the sum of those with one ``sums_to``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whichpu.results.energy.sensor import (
    PERIODS,
    UNITS,
    Read,
    Readings,
    Refused,
    Sensor,
    hole_ns,
    readings_of,
    sensor_of,
    stands_still_ns,
)
from whichpu.results.schema import Campaign, Metered, MeterWindow, Result
from whichpu.stats import integrate
from whichpu.worker.wire import Channel

SCOPES = (
    "board", "module", "platform", "rails", "package", "gpu", "npu", "dram", "cores", "rail", "machine", "process",
)  # fmt: skip
"""What a channel covers, the widest first: that of ``worker/meters``, which the host can't import."""

HOLE_PERIODS, HOLE_SHARE = 3, 0.1
"""Readings of a power that pause for longer than both, periods and share of a window, don't tell its energy."""

COUNTER_PERIODS = 4
"""Power from a counter is taken over so many periods: one that is read twice a period is late by up to half of one."""


class Source(NamedTuple):
    """One figure of energy: the numbers of its channels, which are added up. ``alone``: it is part of no other."""

    key: str
    channels: tuple[int, ...]
    scope: str
    covers: str
    sensor: str
    counter: bool
    alone: bool

    @property
    def meter(self) -> str:
        """The meter that its channels are of."""
        return self.key.partition(":")[0]


class Piece(NamedTuple):
    """What a source took in the part of a window that counts (behind the settling of a sensor that averages)."""

    window: MeterWindow
    begin_ns: int
    end_ns: int
    joules: Fraction

    @property
    def watts(self) -> Fraction:
        """Mean power in W."""
        return self.joules * 10**9 / (self.end_ns - self.begin_ns)

    @property
    def gross_j(self) -> Fraction:
        """Energy per inference in J; the part left out is taken to be as the rest."""
        return self.watts * self.window.wall_ns / 10**9 / self.window.count


class Meters:
    """The meters of a campaign while figures are computed: what is asked for twice is reckoned once."""

    def __init__(self, campaign: Campaign) -> None:
        metered = campaign.metered or Metered()
        self.channels = metered.channels
        self.windows = sorted(metered.windows, key=lambda window: window.position)
        self.limit_w = metered.limit_w
        self.sources = sources(campaign)
        self._sensors: dict[int, Sensor] = {}
        self._pieces: dict[tuple[str, int], Piece | Refused] = {}

    def sensor(self, number: int) -> Sensor:
        """What all windows say of the sensor of a channel."""
        if number not in self._sensors:
            reads = tuple(
                Read(window.position, window.from_ns, window.contender is not None, trace)
                for window in self.windows
                for trace in window.traces
                if trace.channel == number
            )
            channel = self.channels[number]
            self._sensors[number] = sensor_of(channel.period_ns, channel.counter, reads)
        return self._sensors[number]

    def piece(self, source: Source, window: MeterWindow) -> Piece:
        """What a source took in a window. Raises :class:`Refused` with the reason why it doesn't tell."""
        key = (source.key, window.position)
        if key not in self._pieces:
            try:
                self._pieces[key] = _piece(self, source, window)
            except Refused as refused:
                self._pieces[key] = refused
        found = self._pieces[key]
        if isinstance(found, Refused):
            raise Refused(str(found), found.kind)
        return found

    def idle_watts(self, source: Source, window: MeterWindow) -> Fraction:
        """Mean power of the idle windows around a window. Raises :class:`Refused`."""
        pieces, problem = [], Refused("no idle window in the same round", "not-present")
        for idle in idle_around(self, window):
            try:
                pieces.append(self.piece(source, idle))
            except Refused as refused:
                problem = Refused(f"in the idle windows: {refused}", refused.kind)
        if not pieces:
            raise problem
        return sum((each.watts for each in pieces), Fraction(0)) / len(pieces)

    def of(self, result: Result) -> list[MeterWindow]:
        """Windows in which a contender ran, in order."""
        return [window for window in self.windows if window.contender == result.name]

    def source(self, key: str) -> Source | None:
        """The source of a key."""
        return next((source for source in self.sources if source.key == key), None)


# ---------------------------------------------------------------- sources


def is_power(channel: Channel) -> bool:
    """Does it tell energy or power?"""
    return channel.quantity in ("energy", "power")


def sources(campaign: Campaign) -> list[Source]:
    """All sources: sums before their members, otherwise in the order of the channels."""
    metered = campaign.metered
    if metered is None:
        return []
    sums: dict[tuple[str, str], list[int]] = {}
    for number, channel in enumerate(metered.channels):
        if is_power(channel) and channel.sums_to is not None:
            sums.setdefault((channel.meter, channel.sums_to), []).append(number)
    found: dict[str, Source] = {}
    for (meter, total), numbers in sums.items():
        _put(found, _source(metered, f"{meter}:{total}", numbers, alone=True))
    for number, channel in enumerate(metered.channels):
        members = sums.get((channel.meter, channel.sums_to or ""), [])
        if is_power(channel) and len(members) != 1:
            _put(found, _source(metered, f"{channel.meter}:{channel.name}", [number], alone=not members))
    return list(found.values())


def _put(found: dict[str, Source], source: Source) -> None:
    """Two channels of one name, as from two logs, are two sources."""
    key, number = source.key, 1
    while key in found:
        number += 1
        key = f"{source.key} ({number})"
    found[key] = source._replace(key=key)


def _source(metered: Metered, key: str, numbers: Sequence[int], alone: bool) -> Source:
    members = [metered.channels[number] for number in numbers]
    return Source(
        key=key,
        channels=tuple(numbers),
        scope=members[0].scope,
        covers=_joined(member.covers or member.name for member in members),
        sensor=_joined(member.sensor for member in members),
        counter=all(member.counter for member in members),
        alone=alone and all(member.part_of is None for member in members),
    )


def _joined(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))


def told_ns(meters: Meters, source: Source) -> int | None:
    """The slowest of the sensors' periods, as their makers tell them."""
    known = [meters.channels[number].period_ns for number in source.channels]
    return max((each for each in known if each is not None), default=None)


def seen_ns(meters: Meters, source: Source) -> int | None:
    """The slowest of the sensors' periods, as seen."""
    known = [meters.sensor(number).seen_ns for number in source.channels]
    return max((each for each in known if each is not None), default=None)


# ---------------------------------------------------------------- windows


def windows_of(campaign: Campaign, result: Result) -> list[MeterWindow]:
    """Windows in which a contender ran, in order."""
    windows = campaign.metered.windows if campaign.metered else []
    return sorted((each for each in windows if each.contender == result.name), key=lambda window: window.position)


def idle_around(meters: Meters, window: MeterWindow) -> list[MeterWindow]:
    """The idle windows of the same round just before a window and just behind it: two, one or none."""
    idle = [each for each in meters.windows if each.contender is None and each.round == window.round]
    before = [each for each in idle if each.position < window.position]
    behind = [each for each in idle if each.position > window.position]
    return before[-1:] + behind[:1]


def piece(campaign: Campaign, source: Source, window: MeterWindow) -> Piece:
    """What a source took in a window. Raises :class:`Refused` with the reason why it doesn't tell."""
    return Meters(campaign).piece(source, window)


def idle_watts(campaign: Campaign, source: Source, window: MeterWindow) -> Fraction:
    """Mean power of the idle windows around a window. Raises :class:`Refused`."""
    return Meters(campaign).idle_watts(source, window)


def _piece(meters: Meters, source: Source, window: MeterWindow) -> Piece:
    """What a source took in a window. Raises :class:`Refused` with the reason why it doesn't tell."""
    members = [meters.channels[number] for number in source.channels]
    running = window.contender is not None
    begin_ns = window.began_ns + max(member.averages_ns for member in members)
    end_ns = window.began_ns + window.wall_ns
    if running and not window.count:
        raise Refused("no inference was completed in this window")
    if running and all(meters.sensor(number).never for number in source.channels):
        raise Refused(_never(meters, source))
    joules = Fraction(0)
    for number, member in zip(source.channels, members, strict=True):
        try:
            joules += _member(meters, number, window, begin_ns)
        except Refused as refused:
            words = f"{member.name}: {refused}" if len(members) > 1 else str(refused)
            raise Refused(words, refused.kind) from None
    if running and joules <= 0:
        watts = float(joules * 10**9 / (end_ns - begin_ns))
        raise Refused(f"it reads {watts:.3g} W while a model runs: it doesn't measure")
    return Piece(window, begin_ns, end_ns, joules)


def _never(meters: Meters, source: Source) -> str:
    value = next(
        readings_of(trace, window.from_ns).values[0]
        for window in meters.windows
        for trace in window.traces
        if trace.channel == source.channels[0] and trace.values.count
    )
    unit = meters.channels[source.channels[0]].unit
    if not value:
        return "it reads 0 W while a model runs: it doesn't measure"
    return f"it told {value} {unit} in every reading, idle and running alike: it doesn't measure"


def _member(meters: Meters, number: int, window: MeterWindow, begin_ns: int) -> Fraction:
    """Energy of one channel in J in the part of a window from ``begin_ns`` on. Raises :class:`Refused`."""
    channel, facts = meters.channels[number], meters.sensor(number)
    readings, end_ns = read_in(window, number), window.began_ns + window.wall_ns
    long_enough(channel, facts, window, begin_ns)
    found = energy(channel, readings, begin_ns, end_ns)
    if channel.counter:
        _edges_near(facts, readings, begin_ns, end_ns)
        if window.contender is not None:
            _advances(facts, readings, begin_ns, end_ns)
        return found
    _goes_on(facts, readings, begin_ns, end_ns)
    held_ns = facts.held_from_ns.get(window.position)
    if held_ns is not None and 2 * (end_ns - max(held_ns, begin_ns)) >= end_ns - begin_ns:
        raise Refused(
            f"it sticks: the last {(end_ns - held_ns) / 1e9:.2g} s tell {readings.values[-1]} {channel.unit} all the"
            " time, far longer than it usually holds a value"
        )
    return found


def read_in(window: MeterWindow, number: int) -> Readings:
    """What a channel told in a window. Raises :class:`Refused` when it told nothing, or ended in trouble."""
    trace = next((each for each in window.traces if each.channel == number), None)
    if trace is None:
        raise Refused("it was not read in this window", "not-present")
    if trace.trouble is not None:
        raise Refused(trace.trouble)
    try:
        found = readings_of(trace, window.from_ns)
    except Refused:
        raise
    except ValueError as damage:
        raise Refused(str(damage)) from None
    if not found.at_ns:
        raise Refused("it told nothing in this window")
    return found


def long_enough(channel: Channel, facts: Sensor, window: MeterWindow, begin_ns: int) -> None:
    """Raises :class:`Refused` for a window of too few of a sensor's periods, with the length that it takes."""
    end_ns, period_ns = window.began_ns + window.wall_ns, facts.period_ns
    if period_ns is None:
        says = "how often this sensor has news is not known: its value changed too seldom to tell"
        raise Refused(f"{says}; give a longer --meter-window", "too-slow")
    if end_ns - begin_ns >= PERIODS * period_ns:
        return
    whole_s, periods = window.wall_ns / 1e9, max(0, end_ns - begin_ns) // period_ns
    period = f"{period_ns / 1e6:.3g} ms" if period_ns < 10**9 else f"{period_ns / 1e9:.3g} s"
    needed_s = (PERIODS * period_ns + channel.averages_ns) / 1e9
    settling = f" after {channel.averages_ns / 1e6:.3g} ms of settling" if channel.averages_ns else ""
    raise Refused(
        f"a window of {whole_s:.2g} s holds {periods} period{'s' * (periods != 1)} of this sensor (one each {period})"
        f"{settling}; it takes {_up(needed_s)} s: give --meter-window {_up(needed_s)}s",
        "too-slow",
    )


def _up(seconds: float) -> str:
    """Rounded up to tenths of a second."""
    return f"{-(-round(seconds * 1e6) // 100_000) / 10:.1f}"


def _advances(facts: Sensor, readings: Readings, begin_ns: int, end_ns: int) -> None:
    still_ns = stands_still_ns(readings, begin_ns, end_ns)
    if still_ns > PERIODS * (facts.period_ns or 0):
        raise Refused(f"the counter stood still for {still_ns / 1e9:.2g} s while a model ran: it sticks")


def _edges_near(facts: Sensor, readings: Readings, begin_ns: int, end_ns: int) -> None:
    """A counter misses nothing between two readings, but where none is near an edge, they share what lies beyond it."""
    near_ns = max(min(abs(at_ns - edge_ns) for at_ns in readings.at_ns) for edge_ns in (begin_ns, end_ns))
    if 2 * near_ns > _hole_most_ns(facts, begin_ns, end_ns):
        raise Refused(f"the reading nearest to an edge of this window is {near_ns / 1e9:.2g} s away from it")


def _hole_most_ns(facts: Sensor, begin_ns: int, end_ns: int) -> float:
    return max(HOLE_PERIODS * (facts.period_ns or 0), HOLE_SHARE * (end_ns - begin_ns))


def _goes_on(facts: Sensor, readings: Readings, begin_ns: int, end_ns: int) -> None:
    hole = hole_ns(readings, begin_ns, end_ns)
    if hole > _hole_most_ns(facts, begin_ns, end_ns):
        raise Refused(f"for {hole / 1e9:.2g} s of this window it was not read")


# ---------------------------------------------------------------- numbers


def energy(channel: Channel, readings: Readings, begin_ns: int, end_ns: int) -> Fraction:
    """Energy in J between two instants, exactly: a counter's difference, or the area under a gauge of power.

    Raises :class:`Refused` where the readings don't hold both instants, or a counter was set anew.
    """
    quantity, one = UNITS[channel.unit]
    if quantity == "W":
        _holds(readings.at_ns, begin_ns, end_ns)
        return integrate.area(*readings, begin_ns, end_ns) * one / 10**9
    if quantity not in ("J", "s") or not channel.counter:
        raise Refused(f"{channel.quantity} in {channel.unit} tells no energy")
    return counted(channel, readings, begin_ns, end_ns) * one


def counted(channel: Channel, readings: Readings, begin_ns: int, end_ns: int) -> Fraction:
    """How far a counter went between two instants, in its own unit. Raises :class:`Refused`."""
    at_ns, values = around(readings, begin_ns, end_ns)
    _holds(at_ns, begin_ns, end_ns)
    try:
        total = integrate.unwrapped(at_ns, values, channel.wraps_at)
    except ValueError as problem:
        raise Refused(str(problem)) from None
    return integrate.value_at(at_ns, total, end_ns) - integrate.value_at(at_ns, total, begin_ns)


def around(readings: Readings, begin_ns: int, end_ns: int) -> Readings:
    """The readings from the last one before ``begin_ns`` to the first one behind ``end_ns``."""
    first = max(0, bisect_right(readings.at_ns, begin_ns) - 1)
    last = bisect_left(readings.at_ns, end_ns) + 1
    return Readings(readings.at_ns[first:last], readings.values[first:last])


def _holds(at_ns: Sequence[int], begin_ns: int, end_ns: int) -> None:
    if end_ns <= begin_ns:
        raise Refused("the window has no length")
    if not at_ns:
        raise Refused("it told nothing in this window")
    if at_ns[0] > begin_ns:
        raise Refused(f"the readings begin {(at_ns[0] - begin_ns) / 1e9:.3g} s after the window")
    if at_ns[-1] < end_ns:
        raise Refused(f"the readings end {(end_ns - at_ns[-1]) / 1e9:.3g} s before the window does")


def watts_over_time(
    meters: Meters, source: Source, window: MeterWindow, begin_ns: int | None = None, end_ns: int | None = None
) -> tuple[list[int], list[float]]:
    """Times (ns) and power (W) as a source told it in and around a window: a gauge's readings, or a counter's rise over
    some periods of its sensor, at their middle. Raises :class:`Refused`."""
    members = [(meters.channels[number], read_in(window, number)) for number in source.channels]
    if len({member.counter for member, _ in members}) > 1:
        raise Refused("a sum of counters and gauges has no course over time")
    first, last = max(found.at_ns[0] for _, found in members), min(found.at_ns[-1] for _, found in members)
    first, last = max(first, begin_ns or first), min(last, end_ns or last)
    times = [instant for instant in members[0][1].at_ns if first <= instant <= last]
    if source.counter:
        times = _apart(times, COUNTER_PERIODS * max(meters.sensor(number).period_ns or 0 for number in source.channels))
    if not times:
        return [], []
    at_ns = np.array(times, dtype=np.int64)
    heights = sum((_heights(member, found, at_ns) for member, found in members), np.zeros(at_ns.size))
    if not source.counter:
        return times, heights.tolist()
    middles = (at_ns[:-1] + at_ns[1:]) // 2
    return middles.tolist(), (np.diff(heights) / np.diff(at_ns) * 1e9).tolist()


def _heights(channel: Channel, readings: Readings, at_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """W, or J since the first reading, at these instants. Floats do for a course over time."""
    values, base = readings.values, 0
    if channel.counter:
        try:
            values = integrate.unwrapped(readings.at_ns, readings.values, channel.wraps_at)
        except ValueError as problem:
            raise Refused(str(problem)) from None
        base = values[0]
    begin_ns = readings.at_ns[0]
    times = np.array(readings.at_ns, dtype=np.int64) - begin_ns
    known = np.array([value - base for value in values], dtype=np.float64)
    return np.interp(at_ns - begin_ns, times, known) * float(UNITS[channel.unit][1])


def _apart(times: Sequence[int], apart_ns: int) -> list[int]:
    kept: list[int] = []
    for instant in times:
        if not kept or instant - kept[-1] >= apart_ns:
            kept.append(instant)
    return kept
