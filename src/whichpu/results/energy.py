"""Joules and watts of contenders, from the readings of meters in windows of their own."""

from __future__ import annotations

import msgspec


class Steadiness(msgspec.Struct, kw_only=True, frozen=True):
    """How steady the power was while a contender ran, from all ``readings`` in its windows, in W.

    ``ramp_w_per_s`` is the steepest rise between two readings that are a sensor's period apart; ``above_share`` the
    share of time above the limit that the user named.
    """

    readings: int
    mean_w: float
    least_w: float
    peak_w: float
    p5_w: float | None = None
    p95_w: float | None = None
    std_w: float | None = None
    ramp_w_per_s: float | None = None
    above_share: float | None = None


class EnergyFigures(msgspec.Struct, kw_only=True):
    """One contender's energy as one sensor (or one sum of sensors) tells it, over its windows, one a round.

    ``gross_j`` is energy per inference in J, ``net_j`` the same without what the machine takes idle (the mean of the
    idle windows before and after each window); ``power_w`` is gross. ``idle_w`` is the mean over idle windows,
    ``idle_least_w`` to ``idle_most_w`` their spread. ``per_joule`` is power efficiency: inferences per joule, gross.
    ``inverse_edp`` is throughput over energy per inference in 1/(s J), the inverse energy-delay product. ``*_low`` to
    ``*_high`` are intervals over rounds. ``period_ns`` is the time between news of the sensor as its maker tells it,
    ``seen_ns`` as seen. What is ``None`` has its reason in ``missing``, under the field's name.
    """

    source: str
    scope: str
    covers: str
    sensor: str
    period_ns: int | None = None
    seen_ns: int | None = None
    windows: int = 0
    window_s: float | None = None
    gross_j: float | None = None
    gross_low_j: float | None = None
    gross_high_j: float | None = None
    net_j: float | None = None
    net_low_j: float | None = None
    net_high_j: float | None = None
    power_w: float | None = None
    power_low_w: float | None = None
    power_high_w: float | None = None
    idle_w: float | None = None
    idle_least_w: float | None = None
    idle_most_w: float | None = None
    per_joule: float | None = None
    inverse_edp: float | None = None
    steadiness: Steadiness | None = None
    missing: dict[str, str] = {}


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


class MeterCost(msgspec.Struct, kw_only=True):
    """Latency in windows with meters over latency in windows without, an interval over rounds; ``busy`` is the share of
    one CPU that reading the meters took."""

    ratio: float
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    busy: float | None = None
