"""What other sensors than those of power told while a contender ran: heat, utilisation, memory, clocks, CPU time."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from whichpu.results.energy import metered
from whichpu.results.energy.metered import Meters
from whichpu.results.energy.sensor import UNITS, Refused
from whichpu.results.schema import Campaign, MeterWindow, Result
from whichpu.stats import integrate
from whichpu.worker.wire import Channel


class GaugeFigures(msgspec.Struct, kw_only=True):
    """Another quantity while a contender ran: temperature in C, utilisation and shares from 0 to 1, memory in B, clock
    in Hz, ``cpu-time`` as cores in use. Means over time within the windows; ``idle`` the mean over idle windows."""

    source: str
    quantity: str
    unit: str
    scope: str
    covers: str
    sensor: str
    mean: float | None = None
    least: float | None = None
    most: float | None = None
    idle: float | None = None
    missing: str | None = None


def gauge_figures(campaign: Campaign, result: Result) -> list[GaugeFigures]:
    """What else the sensors told while a contender ran."""
    meters = Meters(campaign)
    windows = meters.of(result)
    if not windows:
        return []
    return [
        _gauge(meters, number, channel, windows)
        for number, channel in enumerate(meters.channels)
        if not metered.is_power(channel)
    ]


def _gauge(meters: Meters, number: int, channel: Channel, windows: Sequence[MeterWindow]) -> GaugeFigures:
    row = GaugeFigures(
        source=f"{channel.meter}:{channel.name}",
        quantity=channel.quantity,
        unit={"cpu-time": "cores", "utilisation": "1"}.get(channel.quantity, UNITS[channel.unit][0]),
        scope=channel.scope,
        covers=channel.covers,
        sensor=channel.sensor,
    )
    means, values, refused = [], [], []
    for window in windows:
        try:
            mean, told = _mean(meters, number, channel, window)
        except Refused as reason:
            refused.append(str(reason))
            continue
        means.append(mean)
        values += told
    if not means:
        row.missing = "; ".join(dict.fromkeys(refused))
        return row
    row.mean = float(np.mean(means))
    row.least, row.most = min(values), max(values)
    row.idle = _idle_mean(meters, number, channel, windows)
    return row


def _idle_mean(meters: Meters, number: int, channel: Channel, windows: Sequence[MeterWindow]) -> float | None:
    around = {idle.position: idle for window in windows for idle in metered.idle_around(meters, window)}
    means = []
    for idle in around.values():
        try:
            means.append(_mean(meters, number, channel, idle)[0])
        except Refused:
            continue
    return float(np.mean(means)) if means else None


def _mean(meters: Meters, number: int, channel: Channel, window: MeterWindow) -> tuple[float, list[float]]:
    """Mean over time in SI units in a window, and the readings in it. Of a counter the mean rate. Raises
    :class:`Refused`."""
    readings = metered.read_in(window, number)
    begin_ns, end_ns = window.began_ns + channel.averages_ns, window.began_ns + window.wall_ns
    one = UNITS[channel.unit][1]
    if channel.counter:
        metered.long_enough(channel, meters.sensor(number), window, begin_ns)
        rate = float(metered.counted(channel, readings, begin_ns, end_ns) * one * 10**9 / (end_ns - begin_ns))
        return rate, [rate]
    inside = [(at_ns, value) for at_ns, value in zip(*readings, strict=True) if begin_ns <= at_ns <= end_ns]
    if not inside:
        settling = " after its settling" if channel.averages_ns else ""
        raise Refused(f"no reading fell into a window of {window.wall_ns / 1e9:.2g} s{settling}", "too-slow")
    told = [float(value * one) for _, value in inside]
    first, last = max(begin_ns, readings.at_ns[0]), min(end_ns, readings.at_ns[-1])
    if last <= first:
        return told[0], told
    return float(integrate.area(*readings, first, last) * one / (last - first)), told
