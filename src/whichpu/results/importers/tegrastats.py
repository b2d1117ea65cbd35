"""Logs of ``tegrastats``, NVIDIA's tool on Jetson boards (Jetson Linux Developer Guide, Tegrastats Utility).

Each line tells one instant. Its form changed with Jetson Linux; where real lines of each were seen:

- 32 (JetPack 4), no date, mW without a unit: ``POM_5V_IN 1022/1022 ...`` (Nano), ``... VDD_IN 3056/3056 ...`` (TX2),
  ``GPU 0/0 CPU 311/311 SOC 932/932 CV 0/0 VDDRQ 621/621 SYS5V 1482/1482`` (AGX Xavier):
  github.com/DataDog/datadog-agent, pkg/collector/corechecks/nvidia/jetson/jetson_test.go
- 34 and 35 (JetPack 5), the local time in front, month first: ``04-11-2025 10:36:27 RAM ... GR3D_FREQ 0%@[0,0] ...
  GPU@-256C ... VDD_GPU_SOC 2340mW/2340mW ... NC 0mW/0mW``: github.com/GDWR/jetson_exporter/issues/14
- 36 (JetPack 6): ``06-18-2025 11:25:24 RAM ... GR3D_FREQ 0% cpu@50.031C ... VDD_IN 4824mW/4824mW ...``:
  github.com/henrygd/beszel, agent/gpu_test.go
- 38 and 39 (JetPack 7): a second temperature and a third power, ``cpu@52.968C/52.968C``,
  ``VDD_GPU_SOC 4385mW/3787mW/4385mW``; an idle Thor tells clocks but no load of its GPU,
  ``GR3D_FREQ @[314,314,314]``: tests of public parsers, and shared notes on formats, section 9

The first of two or three values is that of the instant; the others are a mean and a peak since tegrastats began.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from whichpu.errors import UserError
from whichpu.results.importers import times
from whichpu.worker.rails import NOT_CONNECTED, rails
from whichpu.worker.wire import Channel

if TYPE_CHECKING:
    from whichpu.results.importers import Log, Options, Series

DEFAULT_NS = times.S
"""tegrastats' own interval where it is not told another."""

BEGINS = re.compile(r"^\s*(?:\d\d-\d\d-\d{4} \d\d:\d\d:\d\d )?RAM \d+/\d+MB ", re.M)
LINE = re.compile(r"(?:(\d\d)-(\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d) )?RAM (\d+)/\d+MB\b(.*)")
RAIL = re.compile(r"(?<!\S)([A-Za-z]\w*)\s+(-?\d+)(?:mW(?:/-?\d+(?:mW)?){0,2}|(?:/-?\d+){1,2})(?!\S)")
TEMPERATURE = re.compile(r"(?<!\S)([A-Za-z]\w*)@(-?\d+(?:\.\d+)?)C(?:/-?\d+(?:\.\d+)?C)?(?!\S)")
LOAD = re.compile(r"(?<!\S)GR3D_FREQ\s+(\d+)%")

OFF_C = -60
"""Colder than this is no temperature: a sensor that is off says -256."""

MIB = 1 << 20
PLAIN = "give the log as tegrastats wrote it (tegrastats --logfile FILE), without lines of other programs"
SCOPES = {"cpu": "package", "gpu": "gpu"}
"""What temperatures are of; of others, one may not know."""

UNITS = {"power": "mW", "utilisation": "percent", "temperature": "mC", "memory": "B"}
Key = tuple[str, str]
"""A channel's quantity and name."""


class Told(NamedTuple):
    """What one line tells: its time (``None``: no date), and whole numbers in the units of their quantities."""

    at_ns: int | None
    values: dict[Key, int]

    def shape(self) -> tuple[bool, frozenset[str]]:
        """What all lines of one log share: a date or none, and the rails."""
        return self.at_ns is not None, frozenset(name for quantity, name in self.values if quantity == "power")


def recognises(head: str) -> bool:
    """Does a line begin as tegrastats' do?"""
    return BEGINS.search(head) is not None


def read(text: str, options: Options) -> Log:
    """Power of each rail in mW, load of the GPU, temperatures, memory in use. Raises :class:`UserError`."""
    from whichpu.results.importers import Log

    lines, notes = _lines(text, options)
    told = [line for _, line in lines]
    dated = [line.at_ns for line in told if line.at_ns is not None]
    if dated:
        times.in_order(dated, [number for number, _ in lines])
        at_ns = placed(dated)
        period_ns = options.period_ns or _spacing(at_ns)
        zone = times.zone_words(options.zone)
        notes.append(f"times of day are taken as {zone}; they are whole seconds: lines are spread over their second")
    else:
        period_ns = options.period_ns or DEFAULT_NS
        at_ns = [index * period_ns for index in range(len(told))]
        source = "as told" if options.period_ns else "tegrastats' own interval: tell another with --interval"
        notes.append(f"the lines carry no time: one each {period_ns / times.S:g} s ({source})")
    series = _series(told, at_ns, period_ns)
    notes += _about(series)
    return Log(format="tegrastats", clock="utc" if dated else "start", series=series, notes=notes)


def placed(at_ns: Sequence[int]) -> list[int]:
    """Times cut to whole seconds, put in the middle of where they may have been.

    Lines of one second share it evenly. The first and the last second may have begun before the log and ended after
    it: their lines stand as densely as the others, at the end and at the beginning.
    """
    counts = sorted(Counter(at_ns).items())
    most = max(count for _, count in counts)
    found: list[int] = []
    for index, (second_ns, count) in enumerate(counts):
        partial = index == len(counts) - 1 or (index == 0 and count < most)
        share = most if partial else count
        skipped = most - count if index == 0 and len(counts) > 1 and partial else 0
        found += [second_ns + (2 * (skipped + order) + 1) * times.S // (2 * share) for order in range(count)]
    return found


def _spacing(at_ns: Sequence[int]) -> int:
    steps = [after - before for before, after in itertools.pairwise(at_ns)]
    return int(statistics.median(steps)) if steps else DEFAULT_NS


# ---------------------------------------------------------------- lines


def _lines(text: str, options: Options) -> tuple[list[tuple[int, Told]], list[str]]:
    """Lines with their numbers, all of one shape; one that was cut off at the end is left out."""
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    read = [(number, line, _told(line, options)) for number, line in numbered]
    shapes = Counter(told.shape() for _, _, told in read if told is not None)
    usual = shapes.most_common(1)[0][0] if shapes else None
    found, notes = [], []
    for number, line, told in read:
        if told is not None and told.shape() == usual:
            found.append((number, told))
        elif number == numbered[-1][0] and found:
            notes.append(f"line {number}, the last, is cut off: left out")
        else:
            raise UserError(f"line {number} is {_trouble(told, usual)}: {line[:80]!r}", PLAIN)
    return found, notes


def _trouble(told: Told | None, usual: tuple[bool, frozenset[str]] | None) -> str:
    if told is None or usual is None:
        return "no line of tegrastats"
    dated, names = told.shape()
    if dated != usual[0]:
        return f"{'with' if dated else 'without'} a date, unlike the others"
    missing, more = sorted(usual[1] - names), sorted(names - usual[1])
    return f"damaged: it lacks {', '.join(missing)}" if missing else f"unlike the others: it has {', '.join(more)}"


def _told(line: str, options: Options) -> Told | None:
    found = LINE.fullmatch(line)
    if found is None:
        return None
    at_ns = None
    if found[1] is not None:
        month, day, year, *clock = (int(part) for part in found.groups()[:6])
        at_ns = times.of_parts([year, month, day, *clock], None, options.zone)
        if at_ns is None:  # no such day
            return None
    return Told(at_ns, _values(found[8]) | {("memory", "RAM"): int(found[7]) * MIB})


def _values(rest: str) -> dict[Key, int]:
    values = {("power", name): int(now) for name, now in RAIL.findall(rest) if name not in NOT_CONNECTED}
    load = LOAD.search(rest)
    if load:
        values["utilisation", "GR3D_FREQ"] = int(load[1])
    for name, celsius in TEMPERATURE.findall(rest):
        if Decimal(celsius) > OFF_C and name != "PMIC":  # which nothing measures: it says 50 or 100
            values["temperature", f"{name} temperature"] = int(Decimal(celsius) * 1000)
    return values


# ---------------------------------------------------------------- channels


def _series(told: Sequence[Told], at_ns: Sequence[int], period_ns: int) -> list[Series]:
    """One for each channel, in the order in which lines name them."""
    from whichpu.results.importers import Series

    keys = list(dict.fromkeys(key for line in told for key in line.values))
    known = rails(name for quantity, name in keys if quantity == "power")
    found = []
    for quantity, name in keys:
        channel = Channel("tegrastats", name, quantity, UNITS[quantity], "machine", "tegrastats", period_ns=period_ns)
        if quantity == "power":
            rail = known[name]
            channel.scope, channel.covers = rail.scope, rail.covers
            channel.part_of, channel.sums_to = rail.part_of, rail.sums_to
        elif quantity == "utilisation":
            channel.scope, channel.covers = "gpu", "time the GPU is busy, with any process"
        elif quantity == "memory":
            channel.covers = "memory in use, CPU and GPU alike"
        else:
            channel.scope = SCOPES.get(name.split()[0].lower(), "machine")
        here = [
            (when, line.values[quantity, name])
            for when, line in zip(at_ns, told, strict=True)
            if (quantity, name) in line.values
        ]
        found.append(Series(channel=channel, at_ns=[when for when, _ in here], values=[value for _, value in here]))
    return found


def _about(series: Sequence[Series]) -> list[str]:
    power = [one.channel for one in series if one.channel.quantity == "power"]
    notes = ["power is what was read at the instant of each line, not tegrastats' running mean"] if power else []
    if not power:
        notes.append("no power in it: tegrastats may need root to read the rails of this board (sudo tegrastats)")
    elif all(channel.scope == "rail" for channel in power):
        notes.append("none of its rails is known to be a total, and no sum of them is")
    if not any(one.channel.quantity == "utilisation" for one in series):
        notes.append("the load of the GPU is not in it: this board's tegrastats tells none")
    return notes
