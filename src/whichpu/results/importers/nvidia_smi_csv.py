"""Tables of ``nvidia-smi --query-gpu=... --format=csv -l`` or ``-lms``: names with units, then a line for each GPU.

Forms as they were seen::

    timestamp, name, pci.bus_id, ..., temperature.gpu, utilization.gpu [%], memory.used [MiB]
    2018/10/10 13:06:03.419, GeForce GTX 1050, 00000000:01:00.0, ..., 40, 0 %, 2 MiB
    ..., temperature.gpu, power.draw [W], clocks.current.graphics [MHz], ...
    ..., 49, 5.68 W, 139 MHz, ...

(gist.github.com/tuxdna/767d39ef8f5c6aefee2ac238f8eeb6dc, github.com/aristocratos/bpytop/issues/26). What a GPU doesn't
tell is ``[N/A]`` or ``[Not Supported]``. Names: ``nvidia-smi --help-query-gpu``.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from whichpu.errors import UserError
from whichpu.results.importers import nvidia_smi, times
from whichpu.results.importers.nvidia_smi import Column, Readings

if TYPE_CHECKING:
    from whichpu.results.importers import Log, Options

POWER = ("power.draw", "power.draw.average", "power.draw.instant")
COLUMNS = {
    **{prefix + name: ("power", "W") for name in POWER for prefix in ("", "module.")},
    **{f"utilization.{name}": ("utilisation", "%") for name in ("gpu", "memory", "encoder", "decoder", "jpeg", "ofa")},
    "memory.used": ("memory", "MiB"),
    "temperature.gpu": ("temperature", "C"),
    "temperature.memory": ("temperature", "C"),
    **{f"clocks.current.{name}": ("clock", "MHz") for name in ("graphics", "sm", "memory", "video")},
}
"""Columns that are read: quantity, and unit where neither the name nor the value says one."""
WHICH = ("index", "uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id", "serial")
"""Columns that tell which GPU it is, the best first."""
NAME = re.compile(r"([\w.]+)\s*(?:\[(.+)\])?")
PLAIN = "give the table as nvidia-smi wrote it, with its line of names (--format=csv, without noheader)"


def recognises(head: str) -> bool:
    """Does it begin with names of nvidia-smi's?"""
    return any(name in COLUMNS for name, _ in _names(next((line for line in head.splitlines() if line.strip()), "")))


def read(text: str, options: Options) -> Log:
    """Power, utilisation, temperatures, clocks, memory of each GPU. Raises :class:`UserError` that names the line."""
    from whichpu.results.importers import Log

    numbered = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not numbered:
        raise UserError("it is empty", PLAIN)
    names, columns = _header(*numbered[0])
    rows, notes = _rows(numbered, len(names))
    which = next((names.index(name) for name in WHICH if name in names), None)
    at_ns, clock = _times(rows, names, which, options, notes)
    found: dict[tuple[str, str], Readings] = {}
    for (line, cells), at in zip(rows, at_ns, strict=True):
        gpu = "0" if which is None else cells[which]
        for column in columns:
            readings = found.setdefault((gpu, column.name), Readings(column))
            value = nvidia_smi.value(cells[column.index], column, line)
            if value is not None:
                readings.lines.append(line)
                readings.at_ns.append(at)
                readings.values.append(value)
    for readings in found.values():
        times.in_order(readings.at_ns, readings.lines)
    if which is None:
        notes.append("no column tells which GPU it is: taken as one, number 0")
    period_ns = options.period_ns or max((nvidia_smi.spacing_ns(one.at_ns) or 0 for one in found.values()), default=0)
    series = nvidia_smi.series("nvidia-smi", found, period_ns or None, options)
    return Log(format="nvidia-smi-csv", clock=clock, series=series, notes=notes + nvidia_smi.about(found))


def _names(line: str) -> list[tuple[str, str | None]]:
    """Names and units; a cell that is no name has an empty one."""
    found = [NAME.fullmatch(cell.strip()) for cell in line.split(",")]
    return [(each[1], each[2]) if each else ("", None) for each in found]


def _header(number: int, line: str) -> tuple[list[str], list[Column]]:
    names = _names(line)
    columns = [
        Column(index, name, COLUMNS[name][0], unit or COLUMNS[name][1])
        for index, (name, unit) in enumerate(names)
        if name in COLUMNS
    ]
    if not columns:
        raise UserError(f"line {number} names no column that is known: {line.strip()[:80]!r}", PLAIN)
    return [name for name, _ in names], columns


def _rows(numbered: list[tuple[int, str]], width: int) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Cells of each line with its number, without names that come again and without a last line that was cut off."""
    header = numbered[0][1].strip()
    rows, notes = [], []
    for number, line in numbered[1:]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == width and line.strip() != header:
            rows.append((number, cells))
        elif number == numbered[-1][0] and len(cells) < width:
            notes.append(f"line {number}, the last, is cut off: left out")
        elif line.strip() != header:
            raise UserError(f"line {number} has {len(cells)} fields, expected {width}: {line.strip()[:80]!r}", PLAIN)
    return rows, notes


def _times(
    rows: list[tuple[int, list[str]]], names: list[str], which: int | None, options: Options, notes: list[str]
) -> tuple[list[int], str]:
    """The time of each line, and what it counts from."""
    if "timestamp" not in names:
        return _counted(rows, which, options, notes)
    place = names.index("timestamp")
    at_ns = []
    for line, cells in rows:
        at = times.utc_ns(cells[place], options.zone)
        if at is None:
            raise UserError(f"line {line}: {cells[place]!r} is no time, expected 2024/01/02 10:11:12.345", PLAIN)
        at_ns.append(at)
    if which is None:
        _one_gpu(at_ns)
    notes.append(f"times of day are taken as {times.zone_words(options.zone)}")
    return at_ns, "utc"


def _counted(
    rows: list[tuple[int, list[str]]], which: int | None, options: Options, notes: list[str]
) -> tuple[list[int], str]:
    if options.period_ns is None:
        raise UserError("its lines carry no time", "query timestamp, too, or tell the time between lines: --interval")
    counts: dict[str, int] = {}
    at_ns = []
    for _, cells in rows:
        gpu = "" if which is None else cells[which]
        at_ns.append(counts.get(gpu, 0) * options.period_ns)
        counts[gpu] = counts.get(gpu, 0) + 1
    notes.append(f"the lines carry no time: one of each GPU each {options.period_ns / times.S:g} s (as told)")
    return at_ns, "start"


def _one_gpu(at_ns: list[int]) -> None:
    """Raises :class:`UserError` where lines come in groups: several GPUs, and none says which it is."""
    steps = sorted(after - before for before, after in itertools.pairwise(at_ns))
    if len(steps) < 3:
        return
    usual = steps[-1 - len(steps) // 10]
    if 4 * sum(step * 5 < usual for step in steps) >= len(steps):
        remedy = "query index, too: --query-gpu=timestamp,index,..."
        raise UserError("its lines come in groups, as of several GPUs, and no column tells which is which", remedy)
