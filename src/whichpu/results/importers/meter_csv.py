"""Tables of bench meters: a line of names, then one of values for each reading, apart by ``,``, ``;``, tab or blanks.

Power is taken where there is a column of it, else voltage times current (exact, then rounded to a whole µW), else an
energy counter. What the columns hold is read from their names (:mod:`.columns`) or told; what is doubtful is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from whichpu.errors import UserError
from whichpu.results.importers import times
from whichpu.results.importers.columns import UNITS, Column, listed, understood, whole
from whichpu.worker.wire import Channel

if TYPE_CHECKING:
    from whichpu.results.importers import Log, Options, Series

SEPARATORS = (";", "\t", ",")
ABSENT = {"", "-", "--", "nan", "n/a", "na", "null", "none", "ol", "inf", "overload", "overflow"}
EPOCHS = (("s", 10**9, 10**10), ("ms", 10**12, 10**13), ("us", 10**15, 10**16), ("ns", 10**18, 10**19))
"""Units of times since 1970, and between which numbers such times lie (September 2001 to 2286)."""
COVERS = "what the meter in the supply line sees"


@dataclass
class Table:
    """The names, and the fields of each line with its number."""

    names: list[str]
    numbers: list[int]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def recognises(head: str) -> bool:
    """Is there a line of names, and are there values below it?"""
    try:
        return len(table(head, partial=True).rows) > 0
    except UserError:
        return False


def read(text: str, options: Options) -> Log:
    """Power in µW, or energy in µJ. Raises :class:`UserError`."""
    from whichpu.results.importers import Log, Series

    found = table(text)
    columns = understood(found.names, options.columns)
    clock, at_ns = _times(found, columns, options)
    times.in_order(at_ns, found.numbers)
    at_ns = times.spread(at_ns)
    sources, value_of = _source(found.names, columns, options)
    quantity, unit = ("energy", "uJ") if sources[0].quantity == "energy" else ("power", "uW")
    channel = Channel(
        "csv", quantity, quantity, unit, options.scope or "board", " x ".join(column.name for column in sources),
        covers=COVERS, counter=quantity == "energy",
    )  # fmt: skip
    series = Series(channel=channel)
    left_out = 0
    for at, number, row in zip(at_ns, found.numbers, found.rows, strict=True):
        cells = [_value(row[column.index], number, column.name) for column in sources]
        if None in cells:
            left_out += 1
            continue
        series.at_ns.append(at)
        series.values.append(whole(value_of([cell for cell in cells if cell is not None])))
    _not_all_absent(series, left_out, sources)
    return Log(format="csv", clock=clock, series=[series], notes=_notes(found, columns, sources, left_out, options))


# ---------------------------------------------------------------- lines


def table(text: str, partial: bool = False) -> Table:
    """Names and rows. ``partial``: the text may end anywhere. Raises :class:`UserError` that names the line."""
    numbered = [(number, line.strip(" \r")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    plain = [(number, line) for number, line in numbered if not line.startswith(("#", "//", "%"))]
    separator = _separator([line for _, line in plain[:20]])
    split = _splitter(separator)
    decimal_comma = separator in (";", "\t") and any(
        re.fullmatch(r"[+-]?\d+,\d+", cell) for _, line in plain[:20] for cell in split(line)
    )
    first = next((place for place, (_, line) in enumerate(plain) if _is_data(split(line))), None)
    if first is None:
        raise UserError("no line of values was found", "a line of names, then a line of values for each reading")
    began = plain[first][0]
    wanted = len(split(plain[first][1]))
    names = _names([line for number, line in numbered if number < began], split, wanted)
    if names is None:
        raise UserError(
            f"line {began} has {wanted} values and no line of as many names stands above it",
            "write one above it: 'time (s),power (W)'",
        )
    found = Table(names, [], [])
    for number, line in plain[first:]:
        cells = split(line)
        if len(cells) == wanted and cells != names:
            found.numbers.append(number)
            found.rows.append([cell.replace(",", ".") for cell in cells] if decimal_comma else cells)
        elif cells != names:  # which some loggers write again
            if number == numbered[-1][0]:
                found.notes.append(f"line {number}, the last, is cut off: left out")
            elif not partial or number != plain[-1][0]:
                raise UserError(
                    f"line {number} doesn't hold {wanted} values: {line[:80]!r}",
                    "repair it, or begin it with # to leave it out",
                )
    return found


def _separator(lines: Sequence[str]) -> str | None:
    """What stands between the fields of most lines; ``None``: blanks."""
    for separator in SEPARATORS:
        if sum(separator in line for line in lines) * 2 > len(lines):
            return separator
    return None


def _splitter(separator: str | None) -> Callable[[str], list[str]]:
    def split(line: str) -> list[str]:
        return [cell.strip().strip('"').strip() for cell in line.split(separator)]

    return split


def _is_data(cells: Sequence[str]) -> bool:
    """Is there a number behind the first field, which may be a stamp before names? Or is it one alone?"""
    return any(times.number(cell.replace(",", ".")) is not None for cell in cells[1:] or cells)


def _moment(cell: str) -> bool:
    return bool(times.DATE.match(cell) or times.CLOCK.fullmatch(cell))


def _names(above: Sequence[str], split: Callable[[str], list[str]], wanted: int) -> list[str] | None:
    """The last line above the values that has as many fields and is no remark of its own."""
    for line in reversed(above):
        cells = split(line.lstrip("#/% "))
        if len(cells) == wanted and any(re.search(r"[A-Za-z]", cell) for cell in cells):
            # A stamp that `ts` set before the meter's own line of names.
            stamped = times.number(cells[0]) is not None or _moment(cells[0])
            return ["time", *cells[1:]] if stamped else cells
    return None


# ---------------------------------------------------------------- times


def _times(found: Table, columns: Sequence[Column], options: Options) -> tuple[str, list[int]]:
    """What the times count from (``utc`` or ``start``), and the times in ns."""
    date = next((column for column in columns if column.quantity == "date"), None)
    clocks = [column for column in columns if column.quantity == "time"]
    if date and clocks:
        joined = [f"{row[date.index]} {row[clocks[0].index]}" for row in found.rows]
        return "utc", _dated(found, joined, options)
    if not clocks and date is None:
        return "start", _spaced(found, options)
    told = [column for column in clocks if column.name in options.columns]
    clock = (told or _best_clock(found, clocks) or [column for column in (date,) if column])[0]
    cells = [row[clock.index] for row in found.rows]
    if times.DATE.match(cells[0]):
        return "utc", _dated(found, cells, options)
    if ":" in cells[0]:
        return "start", _elapsed(found, cells)
    return _counted(found, clock, cells)


def _best_clock(found: Table, clocks: Sequence[Column]) -> list[Column]:
    """Of several columns of time those that are dates or epochs first."""
    return sorted(clocks, key=lambda column: not _absolute(found.rows[0][column.index]))


def _absolute(cell: str) -> bool:
    value = times.number(cell)
    return bool(times.DATE.match(cell)) or (value is not None and _epoch_unit(value) is not None)


def _epoch_unit(value: Decimal) -> str | None:
    return next((unit for unit, least, most in EPOCHS if least <= value < most), None)


def _spaced(found: Table, options: Options) -> list[int]:
    if options.period_ns is None:
        raise UserError(
            f"no column of time among {listed(found.names)}",
            f"name it with --column '{found.names[0]}=time:s', or tell the time between lines: --interval 100ms",
        )
    return [index * options.period_ns for index in range(len(found.rows))]


def _dated(found: Table, cells: Sequence[str], options: Options) -> list[int]:
    return _each(found, cells, lambda cell: times.utc_ns(cell, options.zone), "2026-11-20T18:00:00.250+09:00")


def _elapsed(found: Table, cells: Sequence[str]) -> list[int]:
    return _each(found, cells, times.elapsed_ns, "00:00:01.250")


def _each(found: Table, cells: Sequence[str], read: Callable[[str], int | None], example: str) -> list[int]:
    at_ns = []
    for number, cell in zip(found.numbers, cells, strict=True):
        when = read(cell)
        if when is None:
            raise UserError(f"line {number}: {cell!r} is not read as a time", f"write {example}")
        at_ns.append(when)
    return at_ns


def _counted(found: Table, clock: Column, cells: Sequence[str]) -> tuple[str, list[int]]:
    numbers = []
    for number, cell in zip(found.numbers, cells, strict=True):
        value = times.number(cell)
        if value is None:
            raise UserError(f"line {number}: {cell!r} in column {clock.name!r} is not a time", "repair or remove it")
        numbers.append(value)
    epoch = _epoch_unit(numbers[0])
    # A header's unit may be of the time since start alone: "Time (s)" with 1.7e12 is in ms whatever it says.
    unit = epoch or clock.unit
    if unit is None:
        raise UserError(
            f"column {clock.name!r} doesn't say its unit (its first is {cells[0]})",
            f"--column '{clock.name}=time:s' or '{clock.name}=time:ms'",
        )
    size = UNITS["time"][unit]
    return "utc" if epoch else "start", [whole(value * size) for value in numbers]


# ---------------------------------------------------------------- values


def _source(
    names: Sequence[str], columns: Sequence[Column], options: Options
) -> tuple[list[Column], Callable[[Sequence[Decimal]], Decimal]]:
    """The columns that power or energy comes from, and what their values make in µW or µJ."""
    held = {kind: [one for one in columns if one.quantity == kind] for kind in UNITS}
    power, energy = _one("power", held["power"], names), None
    if power:
        size = _size(power)
        return [power], lambda cells: cells[0] * size
    amps, volts = _one("current", held["current"], names), _one("voltage", held["voltage"], names)
    if amps and (volts or options.voltage_v is not None):
        return _product(amps, None if options.voltage_v is not None else volts, options)
    energy = _one("energy", held["energy"], names)
    if energy:
        size = _size(energy)
        return [energy], lambda cells: cells[0] * size
    if amps:
        raise UserError(
            f"column {amps.name!r} is a current, and there is no voltage", "tell the supply's voltage: --voltage 5V"
        )
    example = next((name for name in names if name not in {one.name for one in held["time"]}), names[0])
    raise UserError(
        f"no column of power, of voltage and current, or of energy among {listed(names)}",
        f"say what one holds: --column '{example}=power:W'",
    )


def _product(
    amps: Column, volts: Column | None, options: Options
) -> tuple[list[Column], Callable[[Sequence[Decimal]], Decimal]]:
    size = _size(amps) * Decimal(10**6)
    if volts is None:
        assert options.voltage_v is not None
        supply = Decimal(options.voltage_v.numerator) / Decimal(options.voltage_v.denominator)
        return [amps], lambda cells: cells[0] * size * supply
    both = size * _size(volts)
    return [volts, amps], lambda cells: cells[0] * cells[1] * both


def _one(quantity: str, held: Sequence[Column], names: Sequence[str]) -> Column | None:
    """The only column of a quantity. Raises :class:`UserError` where there are several."""
    if len(held) > 1:
        unit = held[0].unit or next(iter(UNITS[quantity]))
        raise UserError(
            f"several columns hold {quantity}: {listed([one.name for one in held])}",
            f"say which: --column '{held[0].name}={quantity}:{unit}'",
        )
    return held[0] if held else None


def _size(column: Column) -> Decimal:
    units = UNITS[column.quantity]
    if column.unit is None:
        ways = " or ".join(f"'{column.name}={column.quantity}:{unit}'" for unit in list(units)[:2])
        raise UserError(f"column {column.name!r} doesn't say its unit", f"--column {ways}")
    return units[column.unit]


def _value(cell: str, number: int, name: str) -> Decimal | None:
    if cell.lower() in ABSENT:
        return None
    value = times.number(cell)
    if value is None:
        raise UserError(f"line {number}: {cell!r} in column {name!r} is not a number", "repair or remove the line")
    return value


def _not_all_absent(series: Series, left_out: int, sources: Sequence[Column]) -> None:
    if not series.values:
        names = " and ".join(repr(column.name) for column in sources)
        raise UserError(f"{names} hold no value in any of {left_out} lines", "say which column does, with --column")


def _notes(
    found: Table, columns: Sequence[Column], sources: Sequence[Column], left_out: int, options: Options
) -> list[str]:
    notes = [*found.notes]
    if left_out:
        notes.append(f"{left_out} lines without a value were left out")
    if sources[0].quantity in ("voltage", "current"):
        supply = f" at {float(options.voltage_v):g} V, as told" if options.voltage_v is not None else ""
        notes.append(f"power is voltage times current{supply}: true for direct current")
    used = {column.index for column in sources} | {one.index for one in columns if one.quantity in ("time", "date")}
    rest = [name for index, name in enumerate(found.names) if index not in used]
    if rest:
        notes.append(f"columns left out: {', '.join(rest)}")
    if any(times.DATE.match(cell) and not times.CLOCK.search(cell) for cell in found.rows[0]):
        return notes
    dated = [cell for cell in found.rows[0] if times.DATE.match(cell)]
    if dated and not any((match := times.CLOCK.search(cell)) and match[5] for cell in dated):
        notes.append(f"times of day are taken as {times.zone_words(options.zone)}")
    return notes
