"""Joules and watts of contenders, from the readings of meters in windows of their own.

What a window must fulfil stands in ``metered``, what a sensor must in ``sensor``. The round is the unit of every
interval, as with latencies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec
import numpy as np

from whichpu.results.comparison import measured_results
from whichpu.results.energy import metered
from whichpu.results.energy.metered import Meters, Piece, Source
from whichpu.results.energy.scopes import holds
from whichpu.results.energy.sensor import Refused, rising
from whichpu.results.energy.steadiness import Steadiness, steadiness_of
from whichpu.results.schema import Campaign, MeterWindow, Result
from whichpu.stats.intervals import of_logs, of_values
from whichpu.worker.wire import Channel

ONE_WINDOW = "one window says nothing about spread"


class EnergyFigures(msgspec.Struct, kw_only=True):
    """One contender's energy as one sensor (or one sum of sensors) tells it, over its windows, one a round.

    ``source`` is ``meter:name``, or ``meter:sums_to`` for a sum. ``gross_j`` is energy per inference in J (geometric
    mean over rounds), ``net_j`` the same without what the machine takes idle (the mean of the idle windows before and
    after each window; arithmetic mean over rounds, for it may be negative); ``power_w`` is gross. ``windows`` counts
    those that have a figure, and ``window_s`` is their mean length. ``idle_w`` is the mean over idle windows,
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


class MeterCost(msgspec.Struct, kw_only=True):
    """Latency in windows with meters over latency in windows without, an interval over rounds; ``busy`` is the share of
    one CPU that reading the meters took."""

    ratio: float
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    busy: float | None = None


# ---------------------------------------------------------------- figures


def joules(channel: Channel, at_ns: Sequence[int], values: Sequence[int], begin_ns: int, end_ns: int) -> float:
    """Energy in J that one channel told between two instants, rounded once.

    Of a counter it is the difference of its values at both instants, unwrapped, on the line between the readings around
    each; of a gauge of power the area under its readings (trapezoidal rule), cut on such lines. Raises
    :class:`~whichpu.results.energy.sensor.Refused` where the readings don't hold both instants or a counter was set
    anew.
    """
    return float(metered.energy(channel, rising(at_ns, values), begin_ns, end_ns))


def energy_figures(campaign: Campaign, result: Result) -> list[EnergyFigures]:
    """A contender's energy by all sources; none for a contender that was never run, or a campaign without sensors."""
    meters = Meters(campaign)
    if not any(reading.blocks for reading in result.readings) and not meters.of(result):
        return []
    return [_figures(meters, result, source) for source in meters.sources]


def primary_figures(campaign: Campaign, result: Result) -> EnergyFigures | None:
    """A contender's energy by the source of headline figures; ``None`` where there is none."""
    key = primary(campaign)
    source = source_named(campaign, key) if key is not None else None
    return None if source is None else _figures(Meters(campaign), result, source)


def meter_cost(campaign: Campaign, result: Result) -> MeterCost | None:
    """What reading the meters costs a contender; ``None`` where it has no windows with a bare one beside them."""
    rounds: dict[int, list[float]] = {}
    windows = metered.windows_of(campaign, result)
    for window in windows:
        if window.median_ns and window.bare_ns:
            rounds.setdefault(window.round, []).append(math.log(window.median_ns / window.bare_ns))
    if not rounds:
        return None
    ratio = of_logs([float(np.mean(logs)) for logs in rounds.values()])
    wall_ns = sum(window.wall_ns for window in windows if window.sweeps)
    busy = sum(window.busy_ns for window in windows) / wall_ns if wall_ns else None
    return MeterCost(ratio=ratio.value, low=ratio.low, high=ratio.high, rounds=ratio.rounds, busy=busy)


def primary(campaign: Campaign) -> str | None:
    """The source of headline figures: see :func:`common_source`, for all ranked contenders.

    Where none holds the units of all of them, the widest one that has figures for all (its figures carry a doubt).
    """
    ranked = [each for each in measured_results(campaign) if metered.windows_of(campaign, each)]
    return common_source(campaign, ranked) or common_source(campaign, ranked, anywhere=True)


def common_source(campaign: Campaign, results: Sequence[Result], anywhere: bool = False) -> str | None:
    """The source of the widest scope that has figures for all these contenders and holds the units that they ran on
    (``anywhere``: or does not). Counters go before gauges; parts and members of a sum are no candidates."""
    meters = Meters(campaign)
    candidates = [source for source in meters.sources if source.alone]
    for source in sorted(candidates, key=lambda each: (metered.SCOPES.index(each.scope), not each.counter)):
        fits = anywhere or all(holds(meters, source, result) for result in results)
        if results and fits and all(_pieces(meters, result, source).pieces for result in results):
            return source.key
    return None


def source_named(campaign: Campaign, key: str) -> Source | None:
    """The source of a key."""
    return next((source for source in metered.sources(campaign) if source.key == key), None)


def energy_rounds(campaign: Campaign, result: Result, source: Source) -> dict[int, float]:
    """Energy per inference in J, gross, of each round that has a figure."""
    return _by_round(_pieces(Meters(campaign), result, source).pieces, lambda piece: piece.gross_j)


def net_rounds(campaign: Campaign, result: Result, source: Source) -> dict[int, float]:
    """Energy per inference in J without what the machine takes idle, of each round that has a figure."""
    meters = Meters(campaign)
    return _nets(meters, source, _pieces(meters, result, source).pieces).rounds


def power_over_time(campaign: Campaign, result: Result, source: str) -> list[tuple[float, float]]:
    """Seconds since the window's beginning and watts, of the contender's window of median power, with the idle windows
    before it (negative seconds) and behind it. Empty where there is no figure."""
    found, shown = source_named(campaign, source), window_shown(campaign, result, source)
    if found is None or shown is None:
        return []
    meters = Meters(campaign)
    points: list[tuple[float, float]] = []
    for window in sorted([shown, *metered.idle_around(meters, shown)], key=lambda each: each.position):
        try:
            times, watts = metered.watts_over_time(meters, found, window)
        except Refused:
            continue
        points += [((at_ns - shown.began_ns) / 1e9, each_w) for at_ns, each_w in zip(times, watts, strict=True)]
    return points


def window_shown(campaign: Campaign, result: Result, source: str) -> MeterWindow | None:
    """The window that :func:`power_over_time` is about: of median power, the later one of two."""
    found = source_named(campaign, source)
    pieces = _pieces(Meters(campaign), result, found).pieces if found is not None else []
    ordered = sorted(pieces, key=lambda piece: (piece.watts, piece.window.position))
    return ordered[len(ordered) // 2].window if ordered else None


def sustained_power(campaign: Campaign, result: Result, source: str) -> list[tuple[float, float]]:
    """Seconds since a sustained run's beginning and watts in it. Empty where no sensor was read meanwhile."""
    found, run = source_named(campaign, source), result.sustained
    if found is None or run is None or run.metered is None:
        return []
    try:
        times, watts = metered.watts_over_time(Meters(campaign), found, run.metered)
    except Refused:
        return []
    return [((at_ns - run.metered.began_ns) / 1e9, each_w) for at_ns, each_w in zip(times, watts, strict=True)]


# ---------------------------------------------------------------- parts


class _Pieces(NamedTuple):
    """The windows of a contender that have a figure, and why others have none."""

    pieces: list[Piece]
    refused: list[str]


class _Nets(NamedTuple):
    rounds: dict[int, float]
    idle_w: list[float]
    refused: list[str]


def _pieces(meters: Meters, result: Result, source: Source) -> _Pieces:
    pieces, refused = [], []
    for window in meters.of(result):
        try:
            pieces.append(meters.piece(source, window))
        except Refused as reason:
            refused.append(str(reason))
    return _Pieces(pieces, list(dict.fromkeys(refused)))


def _by_round(pieces: Sequence[Piece], figure: Callable[[Piece], Fraction]) -> dict[int, float]:
    """A figure of each round: the mean over its windows, rounded once."""
    rounds: dict[int, list[Fraction]] = {}
    for piece in pieces:
        rounds.setdefault(piece.window.round, []).append(figure(piece))
    return {number: float(sum(found) / len(found)) for number, found in rounds.items()}


def _nets(meters: Meters, source: Source, pieces: Sequence[Piece]) -> _Nets:
    rounds: dict[int, list[Fraction]] = {}
    idle_w: dict[int, float] = {}
    refused = []
    for piece in pieces:
        try:
            level_w = meters.idle_watts(source, piece.window)
        except Refused as reason:
            refused.append(str(reason))
            continue
        taken_j = level_w * piece.window.wall_ns / 10**9 / piece.window.count
        rounds.setdefault(piece.window.round, []).append(piece.gross_j - taken_j)
        for window in metered.idle_around(meters, piece.window):
            try:
                idle_w[window.position] = float(meters.piece(source, window).watts)
            except Refused:
                continue
    nets = {number: float(sum(found, Fraction(0)) / len(found)) for number, found in rounds.items()}
    return _Nets(nets, list(idle_w.values()), list(dict.fromkeys(refused)))


def _figures(meters: Meters, result: Result, source: Source) -> EnergyFigures:
    row = EnergyFigures(
        source=source.key,
        scope=source.scope,
        covers=source.covers,
        sensor=source.sensor,
        period_ns=metered.told_ns(meters, source),
        seen_ns=metered.seen_ns(meters, source),
    )
    pieces, refused = _pieces(meters, result, source)
    row.windows = len(pieces)
    if refused and pieces:
        row.missing["windows"] = f"{len(pieces)} of {len(meters.of(result))} windows have a figure;"
        row.missing["windows"] += f" the others: {'; '.join(refused)}"
    if pieces:
        _describe(row, meters, source, pieces)
    else:
        row.missing["gross_j"] = "; ".join(refused) or "no metered window was run"
    return _with_reasons(row)


def _describe(row: EnergyFigures, meters: Meters, source: Source, pieces: list[Piece]) -> None:
    wall_ns, count = (sum(getattr(piece.window, name) for piece in pieces) for name in ("wall_ns", "count"))
    row.window_s = wall_ns / 1e9 / len(pieces)
    gross = list(_by_round(pieces, lambda piece: piece.gross_j).values())
    row.gross_j, row.gross_low_j, row.gross_high_j = _geometric(gross)
    row.power_w, row.power_low_w, row.power_high_w = _geometric(
        list(_by_round(pieces, lambda piece: piece.watts).values())
    )
    row.per_joule = 1 / row.gross_j
    row.inverse_edp = count / (wall_ns / 1e9) / row.gross_j
    nets = _nets(meters, source, pieces)
    if nets.rounds:
        row.net_j, row.net_low_j, row.net_high_j = of_values(list(nets.rounds.values()))
        row.idle_w = float(np.mean(nets.idle_w))
        row.idle_least_w, row.idle_most_w = min(nets.idle_w), max(nets.idle_w)
    else:
        row.missing["net_j"] = "; ".join(nets.refused)
    try:
        row.steadiness = steadiness_of(meters, source, pieces)
    except Refused as reason:
        row.missing["steadiness"] = str(reason)


def _geometric(values: list[float]) -> tuple[float, float | None, float | None]:
    """Geometric mean and t interval over rounds; a single one as it is, to the last digit."""
    found = of_logs([math.log(value) for value in values])
    return (values[0] if len(set(values)) == 1 else found.value), found.low, found.high


def _with_reasons(row: EnergyFigures) -> EnergyFigures:
    """A reason for each figure that is absent: its own, or that of the figure that it comes from."""
    for name, comes_from in COMES_FROM.items():
        if getattr(row, name) is None and name not in row.missing:
            row.missing[name] = row.missing.get(comes_from, ONE_WINDOW)
    return row


COMES_FROM = {
    "window_s": "gross_j",
    "power_w": "gross_j",
    "per_joule": "gross_j",
    "inverse_edp": "gross_j",
    "steadiness": "gross_j",
    "gross_low_j": "gross_j",
    "gross_high_j": "gross_j",
    "power_low_w": "gross_j",
    "power_high_w": "gross_j",
    "net_j": "gross_j",
    "net_low_j": "net_j",
    "net_high_j": "net_j",
    "idle_w": "net_j",
    "idle_least_w": "net_j",
    "idle_most_w": "net_j",
}
"""Where a figure's absence comes from."""
