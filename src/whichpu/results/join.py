"""Another program's log, joined to a run: brought to the run's clock, cut to its windows, kept as channels.

A log whose times are times of day (``utc``) is taken at its word, and tested: meters on other computers are often
seconds off. One whose times count from its beginning (``start``) must be told where that was, or be aligned: the run
knows exactly when it was busy and when idle, and the log's power shows the same pattern at one shift
(:mod:`whichpu.stats.align`).
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.results import importers
from whichpu.results.column import Column, pack, unpack
from whichpu.results.energy.metered import SCOPES
from whichpu.results.energy.sensor import PERIODS
from whichpu.results.importers import Log, Options, Series, times
from whichpu.results.schema import Campaign, Joined, Metered, MeterWindow, Trace
from whichpu.stats.align import CLEARER, LEAST, SPANS, Fit, Pattern, Span, find
from whichpu.worker.wire import Channel

S = 1_000_000_000
TESTED_S = 600.0
"""How far off a clock may be to be found out."""
ZONE_S = 900
"""Zones differ by multiples of this."""
FARTHEST_ZONE_S = 14 * 3600
"""No zone is further from UTC."""
NEAR_S = 600
"""Latency blocks end at most so long before the first window of their round; else they are of another clock."""
BLOCKS = 1_000_000
"""The group of stretches of latency blocks, in which contenders take turns."""

Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clock:
    """What the user says of the log's clock; at most one. ``shift_ns`` is added to its times (where they count from its
    beginning: that was so long after the run's); ``began_ns`` is the time of day (ns since the epoch) at which it
    began; ``align`` asks for the shift that fits the run's pattern."""

    shift_ns: int | None = None
    began_ns: int | None = None
    align: bool = False


@dataclass(frozen=True)
class Placed:
    """What is added to the log's times for ns since the epoch, who says so, and what a reader should know."""

    shift_ns: int
    by: str
    notes: list[str]
    tested: bool = True


def join(
    campaign: Campaign,
    data: bytes,
    name: str,
    told: Options | None = None,
    placing: Clock | None = None,
    format: str | None = None,
) -> Campaign:
    """A copy of ``campaign`` with the log ``data`` of the file ``name`` joined. Raises :class:`UserError`."""
    told, placing = told or Options(), placing or Clock()
    campaign = copy.deepcopy(campaign)
    run = Run(campaign)
    metered = run.metered
    sha256 = hashlib.sha256(data).hexdigest()
    for before in metered.joined:
        if before.sha256 == sha256:
            known_as = "" if before.file == name else f", as {before.file}"
            raise UserError(f"{name} is joined already{known_as}", "join it to the campaign as it was measured")
    log = importers.read(data, name, told, format)
    placed = _placed(log, run, placing)
    first = len(metered.channels)
    channels = _channels(log, metered.channels)
    readings = 0
    for number, (channel, series) in enumerate(zip(channels, log.series, strict=True), first):
        metered.channels.append(channel)
        readings += _cut(series, number, metered.windows, placed.shift_ns, _period_ns(series))
    if not readings:
        raise _elsewhere(log, name, run, placed, told.zone)
    notes = [*log.notes, *placed.notes, *_coverage(metered.windows, first), *_slowness(log, metered)]
    metered.joined.append(
        Joined(file=name, sha256=sha256, format=log.format, first_channel=first, channels=len(channels),
               readings=readings, shift_ns=placed.shift_ns, aligned_by=placed.by, tested=placed.tested, notes=notes)
    )  # fmt: skip
    return campaign


def sentences(joined: Joined, channels: Sequence[Channel]) -> list[str]:
    """What was joined, in words."""
    mine = channels[joined.first_channel : joined.first_channel + joined.channels]
    names = ", ".join(f"{one.name} ({one.quantity}, {one.scope})" for one in mine[:8])
    more = f" and {len(mine) - 8} more" if len(mine) > 8 else ""
    head = f"Joined {joined.file} ({joined.format}): {joined.readings:,} readings of {names}{more}."
    return [head, f"Placed by {joined.aligned_by}.", *(f"Note: {note}." for note in joined.notes)]


# ---------------------------------------------------------------- what the user says


def data_of(path: Path) -> bytes:
    """A log's bytes. Raises :class:`UserError`."""
    try:
        return path.read_bytes()
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem


def options(
    interval_s: float | None,
    zone: str | None,
    columns: Mapping[str, str] | None,
    voltage_v: float | str | None,
    scope: str | None,
) -> Options:
    """What the log doesn't say itself. Raises :class:`UserError`."""
    if scope is not None and scope not in SCOPES:
        raise UserError(f"{scope!r} is no scope", f"one of: {', '.join(SCOPES)}")
    offset = times.zone_of(zone)
    if zone is not None and offset is None:
        raise UserError(f"{zone!r} is no zone", "write it as +09:00, -05:00 or Z")
    supply = None if voltage_v is None else times.number(str(voltage_v))
    if voltage_v is not None and (supply is None or supply <= 0):
        raise UserError(f"{voltage_v!r} is no voltage", "write it as 5V or 4.75V")
    return Options(
        period_ns=None if interval_s is None else round(interval_s * S),
        zone=offset,
        columns=dict(columns or {}),
        scope=scope,
        voltage_v=None if supply is None else Fraction(supply),
    )


def clock(shift_s: float | None, began: str | None, align: bool, zone: datetime.tzinfo | None) -> Clock:
    """Where the log lies, as told. Raises :class:`UserError`."""
    if sum((shift_s is not None, began is not None, align)) > 1:
        raise UserError("of --shift, --began and --align only one can place the log", "give one of them")
    began_ns = None if began is None else times.utc_ns(began, zone)
    if began is not None and began_ns is None:
        raise UserError(f"{began!r} is not read as a moment", "write it as 2026-11-20T18:00:00+09:00")
    return Clock(None if shift_s is None else round(shift_s * S), began_ns, align)


# ---------------------------------------------------------------- the run


class Run:
    """The run as a log may show it: its windows, and when it was busy and idle, in seconds from the first window."""

    def __init__(self, campaign: Campaign) -> None:
        self.metered = _metered(campaign)
        self.windows = self.metered.windows
        self.created_ns = round(datetime.datetime.fromisoformat(campaign.created).timestamp()) * S
        self.begin_ns = min(map(_utc_ns, self.windows))
        self.end_ns = max(_utc_ns(window) + window.wall_ns for window in self.windows)
        self.spans = [*self._window_spans(), *self._block_spans(campaign)]

    def _window_spans(self) -> Iterator[Span]:
        names = [None, *dict.fromkeys(window.contender for window in self.windows if window.contender is not None)]
        for window in self.windows:
            yield self._span(_utc_ns(window), window.wall_ns, names.index(window.contender))

    def _block_spans(self, campaign: Campaign) -> Iterator[Span]:
        """From the first latency block of a round to the last: busy too, which tells rounds from their neighbours."""
        shortest_ns = min(window.wall_ns for window in self.windows)
        for number, window in {window.round: window for window in reversed(self.windows)}.items():
            blocks = [
                block
                for result in campaign.results
                for reading in result.readings
                if reading.round == number
                for block in reading.blocks
            ]
            begin_ns = min((block.began_ns for block in blocks), default=0)
            wall_ns = max((block.began_ns + block.wall_ns for block in blocks), default=0) - begin_ns
            near = 0 <= window.began_ns - (begin_ns + wall_ns) < NEAR_S * S
            if near and wall_ns >= shortest_ns / 2:
                yield self._span(begin_ns - window.began_ns + _utc_ns(window), wall_ns, BLOCKS)

    def _span(self, at_ns: int, wall_ns: int, group: int) -> Span:
        return Span((at_ns - self.begin_ns) / S, (at_ns - self.begin_ns + wall_ns) / S, group)


def _metered(campaign: Campaign) -> Metered:
    if campaign.metered is None or not campaign.metered.windows:
        raise UserError(
            "this campaign has no metered windows, so a log can't be cut to them",
            "measure with `whichpu run MODEL --meters windows` while the other program writes its log",
        )
    if any(window.utc_ns is None for window in campaign.metered.windows):
        raise UserError("the campaign's windows carry no time of day, so no log can be placed", "measure again")
    return campaign.metered


def _utc_ns(window: MeterWindow) -> int:
    assert window.utc_ns is not None
    return window.utc_ns


# ---------------------------------------------------------------- where the log lies


def _placed(log: Log, run: Run, clock: Clock) -> Placed:
    if clock.align:
        return _aligned(log, run)
    if clock.began_ns is not None:
        first_ns = min(series.at_ns[0] for series in log.series if series.at_ns)
        shift_ns = clock.began_ns - (first_ns if log.clock == "utc" else 0)
        return Placed(shift_ns, "its beginning, as told", _told_notes(log, run, shift_ns))
    if log.clock == "start":
        if clock.shift_ns is None:
            raise UserError(
                "the log's times count from its own beginning",
                "say when that was: --began 2026-11-20T18:00:00+09:00 or --shift 1.5s after the run's beginning; "
                "or --align it with the run's pattern",
            )
        shift_ns = run.created_ns + clock.shift_ns
        return Placed(shift_ns, "its distance from the run's beginning, as told", _told_notes(log, run, shift_ns))
    if clock.shift_ns is not None:
        return Placed(clock.shift_ns, "its own clock and a shift, as told", _told_notes(log, run, clock.shift_ns))
    notes, tested = _tested(log, run)
    return Placed(0, "its own clock", notes, tested)


def _aligned(log: Log, run: Run) -> Placed:
    """Raises :class:`UserError` where the log doesn't show the run's pattern at one shift only."""
    fit = _fit(log, run)
    if fit is None:
        raise UserError(
            f"too little to align by: it takes {SPANS} windows and {SPANS} idle windows, and a log of power or "
            "utilisation that holds them",
            "measure more rounds, or say when the log began: --began TIME, --shift TIME",
        )
    if not fit.certain:
        # Where nothing stands out, naming the best would be inventing it.
        best = f"; {_best(fit, log, run)} takes the best all the same" if fit.explained >= LEAST else ""
        raise UserError(
            f"the log's power doesn't show the run's pattern at one place clearly ({_ranked(fit, log)})",
            f"say when the log began: --began TIME, --shift TIME{best}",
        )
    by = f"alignment with the run's pattern of busy and idle ({_ranked(fit, log)}; known to ±{fit.give_s:.2g} s)"
    return Placed(_shift_ns(fit, log, run), by, [])


def _tested(log: Log, run: Run) -> tuple[list[str], bool]:
    """What the run's pattern says of a log's own clock, and whether it says anything.

    Raises :class:`UserError` where it says that it is off."""
    fit = _fit(log, run, TESTED_S)
    if fit is None or fit.explained < LEAST:
        why = "too few windows or readings" if fit is None else _ranked(fit, log)
        return [f"its clock could not be tested: its power doesn't show the run's pattern clearly ({why})"], False
    here = _explained(log, run, 0)
    if abs(fit.shift_s) <= max(fit.give_s, _slowest_s(log)):
        return [f"its clock agrees with the run's pattern ({here:.0%} of the variance explained)"], True
    if 1 - fit.explained > CLEARER * (1 - here):
        return [f"its clock agrees with the run's pattern ({here:.0%} of the variance explained), though it would a "
                f"little better at {fit.shift_s:+.3g} s ({fit.explained:.0%})"], True  # fmt: skip
    ways = "--align takes it from the pattern" if fit.certain else f"{_best(fit, log, run)} takes the best"
    raise UserError(
        f"the log's clock seems to be off: as it is, the run's pattern explains {here:.0%} of its power's variance "
        f"({_ranked(fit, log)})",
        f"{ways}, --shift 0s keeps the log's own clock",
    )


def _told_notes(log: Log, run: Run, shift_ns: int) -> list[str]:
    """What the run's pattern says of a shift that the user told."""
    fit = _fit(log, run)
    if fit is None or not fit.certain:
        return []
    here = _explained(log, run, shift_ns)
    off_s = (_shift_ns(fit, log, run) - shift_ns) / S
    if abs(off_s) <= max(fit.give_s, _slowest_s(log)) or 1 - fit.explained > CLEARER * (1 - here):
        return []
    return [f"{off_s:+.3g} s from there its power follows the run's pattern ({fit.explained:.0%} of the variance "
            f"explained), as told less so ({here:.0%}): --align would take that"]  # fmt: skip


def _fit(log: Log, run: Run, most_s: float | None = None) -> Fit | None:
    """The best shift of the log's signals, from its origin (:func:`_origin_ns`); ``most_s`` bounds it."""
    end_s = (run.end_ns - run.begin_ns) / S
    fits = []
    for pattern in _patterns(log, run):
        least, most = -float(pattern.times[-1]), end_s - float(pattern.times[0])
        if most_s is not None:
            least, most = max(least, -most_s), min(most, most_s)
        found = find(pattern, least, most) if least < most else None
        fits += [found] if found else []
    return max(fits, key=lambda fit: fit.explained, default=None)


def _explained(log: Log, run: Run, shift_ns: int) -> float:
    shift_s = (shift_ns + _origin_ns(log, run) - run.begin_ns) / S
    return max((float(pattern.explained([shift_s])[0]) for pattern in _patterns(log, run)), default=0.0)


def _shift_ns(fit: Fit, log: Log, run: Run) -> int:
    return round(fit.shift_s * S) + run.begin_ns - _origin_ns(log, run)


def _origin_ns(log: Log, run: Run) -> int:
    """What is taken off the log's times before they become seconds, so that these are exact enough."""
    return run.begin_ns if log.clock == "utc" else 0


def _patterns(log: Log, run: Run) -> Iterator[Pattern]:
    """The log's signals against what the run did."""
    for at_ns, values in _signals(log):
        at_ns, first = np.unique(at_ns, return_index=True)
        if at_ns.size >= 2 and {0} < {span.group for span in run.spans}:
            yield Pattern((at_ns - _origin_ns(log, run)) / S, values[first], run.spans)


def _signals(log: Log) -> list[tuple[Array, npt.NDArray[np.float64]]]:
    """What may show the pattern: power (a sum's rails together), else utilisation."""
    power: dict[str, tuple[Array, npt.NDArray[np.float64]]] = {}
    for series in log.series:
        # A mean over the time before a reading is of the middle of that time.
        channel, at_ns = series.channel, np.asarray(series.at_ns, np.int64) - series.channel.averages_ns // 2
        if channel.quantity not in ("power", "energy") or channel.part_of is not None or at_ns.size < 3:
            continue
        values = np.asarray(series.values, np.float64)
        if channel.quantity == "energy":
            rises = np.diff(values) + np.where(np.diff(values) < 0, channel.wraps_at or 0, 0)
            values = rises / np.maximum(1, np.diff(at_ns))
            at_ns = (at_ns[1:] + at_ns[:-1]) // 2
        key = channel.sums_to or channel.name
        if key in power and np.array_equal(power[key][0], at_ns):
            values = power[key][1] + values
        power[key] = at_ns, values
    if power:
        return list(power.values())
    return [
        (np.asarray(series.at_ns, np.int64) - series.channel.averages_ns // 2, np.asarray(series.values, np.float64))
        for series in log.series
        if series.channel.quantity == "utilisation" and len(series.at_ns) >= 3
    ]


def _best(fit: Fit, log: Log, run: Run) -> str:
    """The option that takes the best shift."""
    shift_ns = _shift_ns(fit, log, run) - (run.created_ns if log.clock == "start" else 0)
    return f"--shift {shift_ns / S:.3f}s"


def _ranked(fit: Fit, log: Log) -> str:
    """The best shift and its rival, in words."""
    best = f"best: {fit.explained:.0%} of the variance explained"
    if log.clock == "utc":
        best += f" at {fit.shift_s:+.3g} s"
    if fit.next_s is None or fit.next_explained <= 0:
        return best
    away = "" if log.clock == "utc" else " from there"
    next_s = fit.next_s if log.clock == "utc" else fit.next_s - fit.shift_s
    return f"{best}, next: {fit.next_explained:.0%} at {next_s:+.3g} s{away}"


# ---------------------------------------------------------------- channels and traces


def _channels(log: Log, present: Sequence[Channel]) -> list[Channel]:
    """The log's channels under a meter's name that no channel has yet, with their rate as the log shows it."""
    taken = {channel.meter for channel in present}
    channels = []
    for series in log.series:
        name, number = series.channel.meter, 2
        while name in taken:
            name, number = f"{series.channel.meter}-{number}", number + 1
        fields = {**vars(series.channel), "meter": name}
        fields["period_ns"] = max(series.channel.period_ns or 0, _period_ns(series)) or None
        channels.append(Channel(**fields))
    return channels


def _period_ns(series: Series) -> int:
    """The usual time between the log's readings: no meter has news between its lines. 0 for fewer than two."""
    return int(np.median(np.diff(np.asarray(series.at_ns, np.int64)))) if len(series.at_ns) > 1 else 0


def _slowest_s(log: Log) -> float:
    return max(_period_ns(series) for series in log.series) / S


def _cut(series: Series, number: int, windows: Sequence[MeterWindow], shift_ns: int, period_ns: int) -> int:
    """Give each window what the series says in it, and a little before and behind. How many readings that are."""
    at_ns = np.asarray(series.at_ns, np.int64) + shift_ns
    values = np.asarray(series.values, np.int64)
    readings = 0
    for window in windows:
        begin_ns = _utc_ns(window)
        end_ns = begin_ns + window.wall_ns
        around_ns = max(2 * period_ns, window.wall_ns // 20)
        # One more on each side, so that the window's edges lie between readings.
        first = max(0, int(np.searchsorted(at_ns, begin_ns - around_ns)) - 1)
        last = int(np.searchsorted(at_ns, end_ns + around_ns, "right")) + 1
        mine = at_ns[first:last]
        if not ((mine >= begin_ns) & (mine <= end_ns)).any():
            nothing = "the log has no reading in this window"
            window.traces.append(Trace(channel=number, at_ns=pack([]), values=pack([]), trouble=nothing))
            continue
        _add(window, number, mine - begin_ns + window.began_ns, values[first:last])
        readings += int(mine.size)
    return readings


def _add(window: MeterWindow, number: int, at_ns: Array, values: Array) -> None:
    """A trace of readings at times of CLOCK_MONOTONIC, which may begin before those of the window's own sensors."""
    began_ns = window.from_ns if window.traces and window.from_ns else window.began_ns
    from_ns = max(0, min(began_ns, int(at_ns[0])))
    late_ns = began_ns - from_ns
    if late_ns:
        window.traces = [msgspec.structs.replace(trace, at_ns=_later(trace.at_ns, late_ns)) for trace in window.traces]
    window.from_ns = from_ns
    above = max(0, -int(values.min(initial=0)))
    window.traces.append(Trace(channel=number, at_ns=pack(at_ns - from_ns), values=pack(values + above), above=above))


def _later(column: Column, late_ns: int) -> Column:
    return pack(unpack(column) + late_ns)


# ---------------------------------------------------------------- what a reader should know


def _coverage(windows: Sequence[MeterWindow], first: int) -> list[str]:
    """In how many windows the log has readings."""
    whole = sum(any(trace.channel == first and trace.trouble is None for trace in window.traces) for window in windows)
    return [] if whole == len(windows) else [f"it covers {whole} of {len(windows)} windows"]


def _slowness(log: Log, metered: Metered) -> list[str]:
    """Whether the windows are long enough for the log's rate."""
    told = [series for series in log.series if series.channel.quantity in ("power", "energy")]
    period_s = max((_period_ns(series) for series in told), default=0) / S
    window_s = min(window.wall_ns for window in metered.windows) / S
    if not told or window_s >= PERIODS * period_s:
        return []
    needed_s = math.ceil(10 * PERIODS * period_s) / 10
    return [f"a window of {window_s:.3g} s holds {window_s / period_s:.1f} of its periods ({period_s:.3g} s), and "
            f"energy takes {PERIODS}: measure with --meter-window {needed_s:g}s"]  # fmt: skip


def _elsewhere(log: Log, name: str, run: Run, placed: Placed, zone: datetime.tzinfo | None) -> UserError:
    """The log and the run don't meet: both spans, and the zone that would explain it."""
    ends = [at_ns for series in log.series if series.at_ns for at_ns in (series.at_ns[0], series.at_ns[-1])]
    mine = min(ends) + placed.shift_ns, max(ends) + placed.shift_ns
    says = f"{name} holds nothing of the run: it goes from {_moment(mine[0])} to {_moment(mine[1])}, the run's windows "
    says += f"from {_moment(run.begin_ns)} to {_moment(run.end_ns)}"
    off_s = ZONE_S * round(((run.begin_ns + run.end_ns) - (mine[0] + mine[1])) / 2 / S / ZONE_S)
    meets = mine[0] + off_s * S < run.end_ns and mine[1] + off_s * S > run.begin_ns
    east_s = _offset_s(zone, mine[0]) - off_s
    if log.clock == "utc" and off_s and meets and abs(east_s) <= FARTHEST_ZONE_S:
        sign, hours, minutes = "-" if east_s < 0 else "+", abs(east_s) // 3600, abs(east_s) % 3600 // 60
        return UserError(says, f"--zone {sign}{hours:02}:{minutes:02} if its times are of that zone")
    return UserError(says, "join the log that was written meanwhile, or say where it lies: --began TIME, --shift TIME")


def _offset_s(zone: datetime.tzinfo | None, at_ns: int) -> int:
    offset = datetime.datetime.fromtimestamp(at_ns // S, zone).astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _moment(at_ns: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(at_ns // S, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{at_ns / S:g} s"
