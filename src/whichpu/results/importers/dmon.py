"""Logs of ``nvidia-smi dmon``: a line for each GPU at each interval, under two lines of names and units.

Forms as they were seen::

    # gpu   pwr gtemp mtemp    sm   mem   enc   dec  mclk  pclk
    # Idx     W     C     C     %     %     %     %   MHz   MHz
        0     9    32     -     0     0     0     0   405   139

    # gpu   pwr  temp    sm   mem ... fb  bar1 ...

    #Date       Time        gpu   pwr gtemp ...
    #YYYYMMDD   HH:MM:SS    Idx     W     C ...
     20210102   19:12:31      0    37    19 ...

The first is of 2021 (newer drivers have jpg and ofa, too: leimao.github.io/blog/NVIDIA-NVML-GPU-Statistics), the second
of 2016 (github.com/mozilla/DeepSpeech/issues/178), the third with ``-o DT`` (tutorials; ``-o T`` has no date).
The lines of names come again and again. ``--format csv`` puts commas between the fields (nvidia-smi's manual; no real
log of it was seen). Without ``-o`` the lines carry no time: they are as far apart as ``-d`` says, 1 s if it doesn't.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from whichpu.errors import UserError
from whichpu.results.importers import nvidia_smi, times
from whichpu.results.importers.nvidia_smi import Column, Readings

if TYPE_CHECKING:
    from whichpu.results.importers import Log, Options

DEFAULT_NS = times.S
COLUMNS = {
    "pwr": ("power", "W"),
    "gtemp": ("temperature", "C"),
    "mtemp": ("temperature", "C"),
    "temp": ("temperature", "C"),
    **dict.fromkeys(("sm", "mem", "enc", "dec", "jpg", "ofa"), ("utilisation", "%")),
    "mclk": ("clock", "MHz"),
    "pclk": ("clock", "MHz"),
    "fb": ("memory", "MB"),
}
"""Columns that are read: quantity and unit, where no line of units says another. The rest (violations, errors, traffic)
is no quantity that is kept."""
HEADER = re.compile(r"^\s*#\s*(?:Date[ ,]+)?(?:Time[ ,]+)?gpu\b", re.M)
PLAIN = "give the log as nvidia-smi dmon wrote it, with its lines of names (without noheader)"
DAY_NS = 86_400 * times.S


class Lines:
    """The log, read line by line: what the names above say each field holds."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.names: list[str] = []
        self.columns: list[Column] = []
        self.read: dict[tuple[str, str], Readings] = {}
        self.cycle_at_ns: list[int | None] = []
        self.cycle_lines: list[int] = []
        self.cycles: dict[tuple[str, str], list[int]] = {}
        self.seen: set[str] = set()
        self.ignored: set[str] = set()
        self.day_ns = 0

    def header(self, line: int, fields: list[str]) -> None:
        """Names, or the units below them."""
        if "gpu" in fields:
            self.names = fields
            known = [(index, name, *COLUMNS[name]) for index, name in enumerate(fields) if name in COLUMNS]
            self.columns = [Column(*each) for each in known]
            self.ignored |= set(fields) - set(COLUMNS) - {"gpu", "Date", "Time"}
        elif len(fields) != len(self.names):
            raise UserError(f"line {line} has {len(fields)} units for {len(self.names)} names", PLAIN)
        else:
            self.columns = [Column(one.index, one.name, one.quantity, fields[one.index]) for one in self.columns]

    def values(self, line: int, fields: list[str]) -> None:
        """One GPU's values."""
        gpu = fields[self.names.index("gpu")]
        if not gpu.isdigit():
            raise UserError(f"line {line}: the GPU's number is {gpu!r}", PLAIN)
        if gpu in self.seen or not self.seen:
            self.seen = set()
            self.cycle_at_ns.append(self._time(line, fields))
            self.cycle_lines.append(line)
        self.seen.add(gpu)
        for column in self.columns:
            readings = self.read.setdefault((gpu, column.name), Readings(column))
            value = nvidia_smi.value(fields[column.index], column, line)
            if value is not None:
                self.cycles.setdefault((gpu, column.name), []).append(len(self.cycle_at_ns) - 1)
                readings.values.append(value)

    def dated(self) -> bool:
        """Do the lines carry a date and a time of day?"""
        return "Date" in self.names and "Time" in self.names

    def timed(self) -> bool:
        """Do they carry a time of day?"""
        return "Time" in self.names

    def _time(self, line: int, fields: list[str]) -> int | None:
        if not self.timed():
            return None
        clock = fields[self.names.index("Time")]
        date = fields[self.names.index("Date")] if self.dated() else "19700101"
        found = re.fullmatch(r"(\d{4})(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)", f"{date} {clock}")
        zone = self.options.zone if self.dated() else times.zone_of("Z")
        at_ns = times.of_parts([int(part) for part in found.groups()], None, zone) if found else None
        if at_ns is None:
            raise UserError(f"line {line}: {date} {clock} is no time", PLAIN)
        if not self.dated():
            before_ns = self.cycle_at_ns[-1] if self.cycle_at_ns else None
            if before_ns is not None and at_ns + self.day_ns < before_ns - DAY_NS // 2:
                self.day_ns += DAY_NS  # midnight
            at_ns += self.day_ns
        return at_ns


def recognises(head: str) -> bool:
    """Is there a line of dmon's names?"""
    return HEADER.search(head) is not None


def read(text: str, options: Options) -> Log:
    """Power, utilisation, temperatures, clocks, memory of each GPU. Raises :class:`UserError` that names the line."""
    from whichpu.results.importers import Log

    lines, notes = Lines(options), []
    numbered = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for number, line in numbered:
        header = line.lstrip().startswith("#")
        fields = _fields(line)
        if header:
            lines.header(number, fields)
        elif lines.names and len(fields) == len(lines.names):
            lines.values(number, fields)
        elif number == numbered[-1][0] and lines.names and len(fields) < len(lines.names):
            notes.append(f"line {number}, the last, is cut off: left out")
        else:
            expected = f"{len(lines.names)} fields as named above" if lines.names else "a line of names above it"
            raise UserError(f"line {number} is {line.strip()[:80]!r}, expected {expected}", PLAIN)
    at_ns, clock = _times(lines, options, notes)
    for key, cycles in lines.cycles.items():
        lines.read[key].at_ns = [at_ns[cycle] for cycle in cycles]
    if lines.ignored:
        notes.append(f"not read: {', '.join(sorted(lines.ignored))}")
    period_ns = options.period_ns or nvidia_smi.spacing_ns(at_ns) or DEFAULT_NS
    series = nvidia_smi.series("dmon", lines.read, period_ns, options)
    return Log(format="dmon", clock=clock, series=series, notes=notes + nvidia_smi.about(lines.read))


def _fields(line: str) -> list[str]:
    plain = line.strip().removeprefix("#").strip()
    return [field.strip() for field in plain.split(",")] if "," in plain else plain.split()


def _times(lines: Lines, options: Options, notes: list[str]) -> tuple[list[int], str]:
    """The time of each round of GPUs, and what it counts from."""
    told = [at for at in lines.cycle_at_ns if at is not None]
    if not told:
        period_ns = options.period_ns or DEFAULT_NS
        source = "as told" if options.period_ns else "dmon's own interval: tell another with --interval"
        notes.append(f"the lines carry no time: one round of GPUs each {period_ns / times.S:g} s ({source})")
        return [index * period_ns for index in range(len(lines.cycle_at_ns))], "start"
    times.in_order(told, lines.cycle_lines)
    # Cut to whole seconds: each is taken in the middle of where it may have been.
    middle = [at + times.S // 2 for at in times.spread(told)]
    notes.append("times are whole seconds: each may be half a second off")
    if lines.dated():
        notes.append(f"times of day are taken as {times.zone_words(options.zone)}")
        return middle, "utc"
    notes.append("the lines carry no date: times count from the first")
    return [at - middle[0] for at in middle], "start"
