"""Windows of meters: which sources of energy a campaign has, and what one of them took in one window.

A source is a channel of energy or power, or the sum of those with one ``sums_to``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from whichpu.results.schema import Campaign, Metered, MeterWindow, Result
from whichpu.results.sensor import (
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


def sensor(campaign: Campaign, number: int) -> Sensor:
    """What all windows say of the sensor of a channel."""
    assert campaign.metered is not None
    channel = campaign.metered.channels[number]
    reads = tuple(
        Read(window.position, window.from_ns, window.contender is not None, trace)
        for window in sorted(campaign.metered.windows, key=lambda window: window.position)
        for trace in window.traces
        if trace.channel == number
    )
    return sensor_of(channel.period_ns, channel.counter, reads)


def told_ns(campaign: Campaign, source: Source) -> int | None:
    """The slowest of the sensors' periods, as their makers tell them."""
    assert campaign.metered is not None
    known = [campaign.metered.channels[number].period_ns for number in source.channels]
    return max((each for each in known if each is not None), default=None)


def seen_ns(campaign: Campaign, source: Source) -> int | None:
    """The slowest of the sensors' periods, as seen."""
    known = [sensor(campaign, number).seen_ns for number in source.channels]
    return max((each for each in known if each is not None), default=None)


# ---------------------------------------------------------------- windows


def windows_of(campaign: Campaign, result: Result) -> list[MeterWindow]:
    """Windows in which a contender ran, in order."""
    windows = campaign.metered.windows if campaign.metered else []
    return sorted((each for each in windows if each.contender == result.name), key=lambda window: window.position)


def idle_around(campaign: Campaign, window: MeterWindow) -> list[MeterWindow]:
    """The idle windows of the same round just before a window and just behind it: two, one or none."""
    assert campaign.metered is not None
    idle = [each for each in campaign.metered.windows if each.contender is None and each.round == window.round]
    before = [each for each in idle if each.position < window.position]
    behind = [each for each in idle if each.position > window.position]
    return [
        *([max(before, key=lambda each: each.position)] if before else []),
        *([min(behind, key=lambda each: each.position)] if behind else []),
    ]


def idle_watts(campaign: Campaign, source: Source, window: MeterWindow) -> Fraction:
    """Mean power of the idle windows around a window. Raises :class:`Refused`."""
    pieces, problem = [], Refused("no idle window in the same round", "not-present")
    for idle in idle_around(campaign, window):
        try:
            pieces.append(piece(campaign, source, idle))
        except Refused as refused:
            problem = Refused(f"in the idle windows: {refused}", refused.kind)
    if not pieces:
        raise problem
    return sum((each.watts for each in pieces), Fraction(0)) / len(pieces)


def piece(campaign: Campaign, source: Source, window: MeterWindow) -> Piece:
    """What a source took in a window. Raises :class:`Refused` with the reason why it doesn't tell."""
    assert campaign.metered is not None
    members = [campaign.metered.channels[number] for number in source.channels]
    running = window.contender is not None
    begin_ns = window.began_ns + max(member.averages_ns for member in members)
    end_ns = window.began_ns + window.wall_ns
    if running and not window.count:
        raise Refused("no inference was completed in this window")
    if running and all(sensor(campaign, number).never for number in source.channels):
        raise Refused(_never(campaign, source))
    joules = Fraction(0)
    for number, member in zip(source.channels, members, strict=True):
        try:
            joules += _member(campaign, number, window, begin_ns)
        except Refused as refused:
            words = f"{member.name}: {refused}" if len(members) > 1 else str(refused)
            raise Refused(words, refused.kind) from None
    if running and joules <= 0:
        watts = float(joules * 10**9 / (end_ns - begin_ns))
        raise Refused(f"it reads {watts:.3g} W while a model runs: it doesn't measure")
    return Piece(window, begin_ns, end_ns, joules)


def _never(campaign: Campaign, source: Source) -> str:
    value = next(
        readings_of(trace, window.from_ns).values[0]
        for window in campaign.metered.windows  # type: ignore[union-attr]
        for trace in window.traces
        if trace.channel == source.channels[0] and trace.values.count
    )
    unit = campaign.metered.channels[source.channels[0]].unit  # type: ignore[union-attr]
    if not value:
        return "it reads 0 W while a model runs: it doesn't measure"
    return f"it told {value} {unit} in every reading, idle and running alike: it doesn't measure"


def _member(campaign: Campaign, number: int, window: MeterWindow, begin_ns: int) -> Fraction:
    """Energy of one channel in J in the part of a window from ``begin_ns`` on. Raises :class:`Refused`."""
    assert campaign.metered is not None
    channel, facts = campaign.metered.channels[number], sensor(campaign, number)
    readings, end_ns = read_in(window, number), window.began_ns + window.wall_ns
    long_enough(channel, facts, window, begin_ns)
    found = energy(channel, readings, begin_ns, end_ns)
    if channel.counter:
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
        raise Refused("how often this sensor has news is not known", "too-slow")
    if end_ns - begin_ns >= PERIODS * period_ns:
        return
    whole_s, periods = window.wall_ns / 1e9, max(0, end_ns - begin_ns) // period_ns
    needed_s = (PERIODS * period_ns + channel.averages_ns) / 1e9
    settling = f" after {channel.averages_ns / 1e6:.3g} ms of settling" if channel.averages_ns else ""
    raise Refused(
        f"a window of {whole_s:.2g} s holds {periods} periods of this sensor (one each {period_ns / 1e6:.3g} ms)"
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


def _goes_on(facts: Sensor, readings: Readings, begin_ns: int, end_ns: int) -> None:
    hole = hole_ns(readings, begin_ns, end_ns)
    if hole > max(HOLE_PERIODS * (facts.period_ns or 0), HOLE_SHARE * (end_ns - begin_ns)):
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
    campaign: Campaign, source: Source, window: MeterWindow, begin_ns: int | None = None, end_ns: int | None = None
) -> tuple[list[int], list[float]]:
    """Times (ns) and power (W) as a source told it in and around a window: a gauge's readings, or a counter's rise over
    some periods of its sensor, at their middle. Raises :class:`Refused`."""
    assert campaign.metered is not None
    members = [(campaign.metered.channels[number], read_in(window, number)) for number in source.channels]
    if len({member.counter for member, _ in members}) > 1:
        raise Refused("a sum of counters and gauges has no course over time")
    first = max(found.at_ns[0] for _, found in members)
    last = min(found.at_ns[-1] for _, found in members)
    first, last = max(first, begin_ns or first), min(last, end_ns or last)
    times = [instant for instant in members[0][1].at_ns if first <= instant <= last]
    if not source.counter:
        return times, [
            sum(
                float(integrate.value_at(found.at_ns, found.values, instant) * UNITS[member.unit][1])
                for member, found in members
            )
            for instant in times
        ]
    apart_ns = COUNTER_PERIODS * max(sensor(campaign, number).period_ns or 0 for number in source.channels)
    times = _apart(times, apart_ns)
    totals = [Fraction(0)] * len(times)
    for member, found in members:
        try:
            values = integrate.unwrapped(found.at_ns, found.values, member.wraps_at)
        except ValueError as problem:
            raise Refused(str(problem)) from None
        for index, instant in enumerate(times):
            totals[index] += integrate.value_at(found.at_ns, values, instant) * UNITS[member.unit][1]
    pairs = list(zip(pairwise(times), pairwise(totals), strict=True))
    middles = [(before + after) // 2 for (before, after), _ in pairs]
    return middles, [float((high - low) * 10**9 / (after - before)) for (before, after), (low, high) in pairs]


def _apart(times: Sequence[int], apart_ns: int) -> list[int]:
    kept: list[int] = []
    for instant in times:
        if not kept or instant - kept[-1] >= apart_ns:
            kept.append(instant)
    return kept
