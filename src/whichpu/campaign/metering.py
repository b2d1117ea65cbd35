"""Meters read in windows of their own, after the latency blocks, by a worker that measures nothing itself."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from whichpu.campaign.lookout import others
from whichpu.errors import UserError
from whichpu.results.column import pack
from whichpu.results.schema import Campaign, Metered, MeterWindow, Trace
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.local import HERE
from whichpu.targets.place import Place
from whichpu.worker import wire

Answer = TypeVar("Answer")

ROUNDS = 5
"""Windows that each contender gets, one a round: as many as there are rounds at least."""

PERIODS = 25
"""A window holds so many of the slowest sensor's periods: 20 are needed, and some readings come late."""

SHORTEST_S, LONGEST_S = 1.0, 10.0
"""Bounds of a window that the user gave no length; a sensor for which that is too short says so."""

SUSTAINED_READINGS = 5_000
"""Of each channel in a sustained run, at most."""

READINGS = 1_000
"""Of each channel in a window, at most: a long window is read more slowly, so that files stay small."""

COUNT_MOST = 10_000_000
"""Inferences at which a window ends before its time (``worker/endure``)."""

BARE_S = 0.3
"""A window without meters, for what they cost."""

OPENING = 0.1
"""Share of a window that runs, or rests, unread before it: caches are warm then, and a gauge with 20 periods in a
window tells no more of what was before (a mean over its last period, one period old)."""

NONE = -1
"""The number of no channel."""

PATIENCE_S = 20.0
"""Finding sensors may load a vendor's library."""


class Meters:
    """The sensors of this machine. Outside of windows their process is frozen, as all others are.

    Their troubles are missing figures, no more. It stays off the measured CPUs where there are others.
    """

    def __init__(self, campaign: Campaign, root: str = "/", place: Place = HERE) -> None:
        self.place = place
        self.metered = campaign.metered = campaign.metered or Metered()
        self.timeout_s = campaign.settings.timeout_s
        self.root = root
        self.channels: list[wire.Channel] = []
        self.stored: list[int] = []
        self.link: Link | None = None
        if self.metered.asked == "off":
            return
        try:
            self.link = place.start(cpus=others(campaign), timeout_s=PATIENCE_S, where="the meters")
            found = self.link.ask(wire.FindMeters(root), wire.FoundMeters)
            self.link.freeze()
            self._enter(found)
        except WorkerTrouble as trouble:
            self._failed(trouble)

    @property
    def wanted(self) -> bool:
        """Are there windows to be run? ``auto``: where a sensor tells power, or what an accelerator does."""
        if self.link is None and self.metered.asked != "windows":
            return False
        longest_s = max(LONGEST_S, self.metered.window_s or 0.0)
        return self.metered.asked == "windows" or any(
            needed_s(channel) <= longest_s if tells_power(channel) else channel.scope in ("gpu", "npu")
            for channel in self.channels
        )

    def numbers(self, quantity: str, scope: str | None = None) -> list[int]:
        """Numbers of the channels that tell a quantity, for :meth:`reading`."""
        return [
            number
            for number, channel in enumerate(self.channels)
            if channel.quantity == quantity and scope in (None, channel.scope)
        ]

    @contextmanager
    def reading(self, pids: Sequence[int], channels: Sequence[int] = (), least_ns: int = 0) -> Iterator[wire.Sampled]:
        """Read channels (none named: all) meanwhile; what was read is in the object given, afterwards."""
        sampled = wire.Sampled([], 0, 0)
        self._ask(wire.StartMeters(list(pids), list(channels), least_ns), wire.MetersStarted, thaw=True)
        try:
            yield sampled
        finally:
            told = self._ask(wire.StopMeters(), wire.Sampled, freeze=True)
            if told is not None:
                vars(sampled).update(vars(told))

    def idle(self, round_number: int, longer: float = 0.0) -> None:
        """A window in which nothing runs; the host sleeps, ``longer`` times a window more where another's log is to be
        aligned: a pattern that repeats itself fits at many places."""
        if not self.wanted:
            return
        time.sleep(OPENING * self.window_s)
        machine_wide = [number for number, channel in enumerate(self.channels) if channel.scope != "process"]
        with self.reading([], machine_wide or [NONE], self._least_ns) as sampled:
            began_ns = self.place.clock_ns()
            time.sleep(self.window_s * (1.0 + longer * (self.metered.asked == "windows")))
            wall_ns = self.place.clock_ns() - began_ns
        self._keep(
            MeterWindow(round=round_number, position=self._position, began_ns=began_ns, wall_ns=wall_ns), sampled
        )

    def run(self, link: Link, name: str, round_number: int, slowest_ns: float, bare_first: bool) -> None:
        """A window in which a contender runs back to back, and a short one without meters before or after it.

        Raises :class:`WorkerTrouble` of the contender.
        """
        slack_s = self.timeout_s + 3 * slowest_ns / 1e9

        def endure(seconds: float) -> wire.Window:
            return link.ask(wire.Endure(round(1e9 * seconds), kept=0), wire.Window, slack_s + seconds)

        link.thaw()
        endure(OPENING * self.window_s)
        bare = endure(BARE_S) if bare_first else None
        with self.reading([link.pid], least_ns=self._least_ns) as sampled:
            ran = endure(self.window_s)
        bare = bare or endure(BARE_S)
        link.freeze()
        window = MeterWindow(
            round=round_number,
            position=self._position,
            contender=name,
            began_ns=ran.began_ns,
            wall_ns=ran.wall_ns,
            count=ran.count,
            median_ns=ran.median_ns,
            bare_ns=bare.median_ns if self.link is not None else None,
        )
        self._keep(window, sampled)

    def sustained(self, sampled: wire.Sampled, name: str, position: int, began_ns: int, wall_ns: int) -> MeterWindow:
        """What was read in a sustained run, as one window."""
        window = MeterWindow(round=position, position=position, contender=name, began_ns=began_ns, wall_ns=wall_ns)
        return self._filled(window, sampled)

    def had_enough(self, name: str) -> bool:
        """Has a contender had its windows? Not by those that a sensor of power, there now, had no part in, nor by
        shorter ones than are asked for now."""
        power = {number for number, channel in zip(self.stored, self.channels, strict=True) if tells_power(channel)}
        counted = [
            window
            for window in self.metered.windows
            if window.contender == name
            and power <= {trace.channel for trace in window.traces}
            and (window.wall_ns >= round(1e9 * self.window_s) or window.count >= COUNT_MOST)
        ]
        return len(counted) >= ROUNDS

    @property
    def window_s(self) -> float:
        """How long a window lasts."""
        assert self.metered.window_s is not None
        return self.metered.window_s

    def close(self) -> None:
        """End the process that reads."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def __enter__(self) -> Meters:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ parts

    @property
    def _least_ns(self) -> int:
        return round(1e9 * self.window_s / READINGS)

    @property
    def _position(self) -> int:
        return len(self.metered.windows)

    def _enter(self, found: wire.FoundMeters) -> None:
        """The channels found, beside those of an earlier part of this campaign."""
        metered = self.metered
        metered.missing, metered.trouble = found.missing, None
        self.channels, self.stored = found.channels, []
        for channel in found.channels:
            number = known_as(channel, metered.channels, self.stored, found.channels)
            if number is None:
                number = len(metered.channels)
                metered.channels.append(channel)
            self.stored.append(number)
        if metered.window_s is None:
            metered.window_s = window_s(found.channels)
        metered.missing += too_slow(found.channels, metered.window_s)

    def _ask(self, request: object, answer: type[Answer], thaw: bool = False, freeze: bool = False) -> Answer | None:
        if self.link is None:
            return None
        try:
            if thaw:
                self.link.thaw()
            told = self.link.ask(request, answer, PATIENCE_S)
            if freeze:
                self.link.freeze()
            return told
        except WorkerTrouble as trouble:
            self._failed(trouble)
            return None

    def _keep(self, window: MeterWindow, sampled: wire.Sampled) -> None:
        self.metered.windows.append(self._filled(window, sampled))

    def _filled(self, window: MeterWindow, sampled: wire.Sampled) -> MeterWindow:
        """A window with what was read in it."""
        if sampled.clock_ns:
            window.utc_ns = sampled.utc_ns - self.place.utc_ahead_ns() - (sampled.clock_ns - window.began_ns)
        else:
            window.utc_ns = time.time_ns() - (self.place.clock_ns() - window.began_ns)
        window.from_ns = min([trace.at_ns[0] for trace in sampled.traces if trace.at_ns], default=window.began_ns)
        window.sweeps, window.busy_ns = sampled.sweeps, sampled.busy_ns
        window.traces = [packed(trace, self.stored[trace.channel], window.from_ns) for trace in sampled.traces]
        return window

    def _failed(self, trouble: WorkerTrouble) -> None:
        self.metered.trouble = f"the meters stopped: {str(trouble).strip().splitlines()[0]}"
        if self.metered.window_s is None:
            self.metered.window_s = SHORTEST_S
        self.channels, self.stored = [], []
        self.close()


def packed(trace: wire.Trace, channel: int, from_ns: int) -> Trace:
    """A trace as it is stored: columns hold no negative numbers."""
    above = -min(0, *trace.values) if trace.values else 0
    return Trace(
        channel=channel,
        at_ns=pack([at_ns - from_ns for at_ns in trace.at_ns]),
        values=pack([value + above for value in trace.values]),
        above=above,
        trouble=trace.trouble,
    )


def known_as(
    channel: wire.Channel, known: Sequence[wire.Channel], taken: Sequence[int], found: Sequence[wire.Channel]
) -> int | None:
    """The number under which an earlier part of a campaign knows a sensor. Its path may be another: hwmon's numbers
    change from boot to boot. Two that differ by nothing else are two."""
    if channel in known and known.index(channel) not in taken:
        return known.index(channel)
    for number, before in enumerate(known):
        moved = before not in found and dataclasses.replace(before, sensor=channel.sensor) == channel
        if moved and number not in taken:
            return number
    return None


def window_s(channels: Sequence[wire.Channel]) -> float:
    """How long a window must be for the slowest sensor of power, within bounds."""
    needed = [needed_s(channel) for channel in channels if tells_power(channel)]
    return max([SHORTEST_S, *(seconds for seconds in needed if seconds <= LONGEST_S)])


def too_slow(channels: Sequence[wire.Channel], window: float) -> list[wire.Missing]:
    """Sensors of power that tell nothing in windows of so many seconds."""
    return [
        wire.Missing(
            channel.meter,
            channel.quantity,
            "too-slow",
            f"{channel.name} has news every {(channel.period_ns or 0) / 1e9:g} s; a window takes {window:g} s",
            f"give --meters windows --meter-window {needed_s(channel):.0f}s",
        )
        for channel in channels
        if tells_power(channel) and needed_s(channel) > max(window, LONGEST_S)
    ]


def needed_s(channel: wire.Channel) -> float:
    """How long a window must be for a sensor."""
    return (PERIODS * (channel.period_ns or 0) + channel.averages_ns) / 1e9


def tells_power(channel: wire.Channel) -> bool:
    """Does a sensor tell power, or energy?"""
    return channel.quantity in ("energy", "power")


def look(root: str = "/", seconds: float = 0.6, place: Place = HERE) -> tuple[wire.FoundMeters, wire.Sampled]:
    """The sensors of this machine, and what they say for a moment. Raises :class:`UserError`."""
    try:
        with place.start(timeout_s=PATIENCE_S, where="the meters") as link:
            found = link.ask(wire.FindMeters(root), wire.FoundMeters)
            link.ask(wire.StartMeters(pids=[link.pid]), wire.MetersStarted)
            time.sleep(seconds)
            return found, link.ask(wire.StopMeters(), wire.Sampled)
    except WorkerTrouble as trouble:
        raise UserError(f"the sensors can't be looked at: {trouble}", trouble.remedy or trouble.words or None) from None
