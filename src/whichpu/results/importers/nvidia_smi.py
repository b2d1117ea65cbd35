"""What the two kinds of nvidia-smi's logs share: channels of a GPU, and values that may be unknown.

Power is NVML's, of the whole GPU with its memory: a mean over the last second on Ampere (except GA100) and newer. A log
doesn't name the architecture, so it is taken as one (https://docs.nvidia.com/deploy/nvml-api/,
``nvmlDeviceGetPowerUsage``). Utilisation is a share of at most a second, by the product.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from whichpu.errors import UserError
from whichpu.results.importers import times
from whichpu.results.importers.columns import whole
from whichpu.worker.wire import Channel

if TYPE_CHECKING:
    from whichpu.results.importers import Options, Series

MEAN_NS = times.S
"""Over how long power and utilisation are means, at most."""
UNITS = {
    "power": ("mW", {"W": Decimal(1000), "mW": Decimal(1)}),
    "utilisation": ("percent", {"%": Decimal(1)}),
    "temperature": ("C", {"C": Decimal(1)}),
    "clock": ("MHz", {"MHz": Decimal(1)}),
    "memory": ("B", {"MiB": Decimal(1 << 20), "MB": Decimal(1 << 20)}),
}
"""Quantities, the unit of their channels, and how much of it the log's units are; nvidia-smi's MB are MiB."""
ABSENT = re.compile(r"|-|N/A|\[.*\]", re.IGNORECASE)
"""``-``, ``[N/A]``, ``[Not Supported]``, ``[Unknown Error]``: not told, which is not zero."""
VALUE = re.compile(r"(\S+?)\s*(%|[A-Za-z]+)?")


@dataclass(frozen=True)
class Column:
    """One column that is read: its place, its name and its quantity; ``unit`` by the header."""

    index: int
    name: str
    quantity: str
    unit: str


@dataclass
class Readings:
    """Values of one column on one GPU."""

    column: Column
    lines: list[int] = field(default_factory=list)
    at_ns: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)


def value(cell: str, column: Column, line: int) -> int | None:
    """A cell in its channel's unit; ``None`` where the log doesn't know. Raises :class:`UserError`."""
    if ABSENT.fullmatch(cell):
        return None
    found = VALUE.fullmatch(cell)
    number = times.number(found[1]) if found else None
    factor = UNITS[column.quantity][1].get((found and found[2]) or column.unit)
    if number is None or factor is None:
        expected = f"a number in {' or '.join(UNITS[column.quantity][1])}, or nothing"
        raise UserError(
            f"line {line}: {column.name} is {cell!r}, expected {expected}", "give the log as nvidia-smi wrote it"
        )
    return whole(number * factor)


def series(meter: str, read: dict[tuple[str, str], Readings], period_ns: int | None, options: Options) -> list[Series]:
    """Channels, by GPU and column, in the order in which the log has them."""
    from whichpu.results.importers import Series

    found = []
    for (gpu, name), readings in sorted(read.items(), key=lambda item: (item[0][0], item[1].column.index)):
        quantity = readings.column.quantity
        mean = quantity == "utilisation" or _is_mean(readings.column)
        channel = Channel(
            meter=meter,
            name=f"gpu{gpu} {name}",
            quantity=quantity,
            unit=UNITS[quantity][0],
            scope=options.scope or ("module" if name.startswith("module.") else "gpu"),
            sensor=f"nvidia-smi {name}",
            covers=f"all of GPU {gpu}, whoever uses it",
            period_ns=period_ns,
            averages_ns=MEAN_NS if mean else 0,
        )
        found.append(Series(channel=channel, at_ns=readings.at_ns, values=readings.values))
    return [one for one in found if one.values]


def spacing_ns(at_ns: Sequence[int]) -> int | None:
    """The usual time between readings; ``None`` for fewer than two."""
    steps = [after - before for before, after in itertools.pairwise(at_ns)]
    return int(statistics.median(steps)) if steps else None


def about(read: dict[tuple[str, str], Readings]) -> list[str]:
    """Notes on columns that never hold a value, and on power that is a mean."""
    empty = sorted({f"gpu{gpu} {name}" for (gpu, name), readings in read.items() if not readings.values})
    notes = [f"never told: {', '.join(empty)}"] if empty else []
    means = sorted({name for (_, name), readings in read.items() if readings.values and _is_mean(readings.column)})
    if means:
        notes.append(f"{', '.join(means)}: a mean over the last second on Ampere and newer, taken as one")
    return notes


def _is_mean(column: Column) -> bool:
    return column.quantity == "power" and not column.name.endswith(".instant")
