"""The sensors of a machine, as ``whichpu meters`` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from whichpu.reports import units
from whichpu.reports.tables import Column, fits, print_item, table
from whichpu.results.energy.sensor import UNITS
from whichpu.worker.wire import Channel, FoundMeters, Missing, Sampled, Trace

if TYPE_CHECKING:
    from rich.console import Console


class Row(msgspec.Struct, kw_only=True):
    """One channel and what it said just now, in the SI unit of its quantity: a counter of energy as W, one of CPU time
    as cores in use. ``why_not`` says why there is no value."""

    channel: Channel
    quantity: str
    unit: str
    value: float | None = None
    why_not: str | None = None


def rows(found: FoundMeters, sampled: Sampled) -> list[Row]:
    """A row for each channel, in the order found."""
    traces = {trace.channel: trace for trace in sampled.traces}
    return [_row(channel, traces.get(number)) for number, channel in enumerate(found.channels)]


def show(channels: Sequence[Row], missing: Sequence[Missing], screen: Console) -> None:
    """Print what can be read, then what is missing, why, and what would change it."""
    if channels:
        _print_channels(channels, screen)
    if not any(row.quantity == "power" for row in channels):
        screen.print("\nNo sensor here tells power or energy; another program's log can be joined: `whichpu join`.")
    if missing:
        screen.print("\n[bold]Missing[/bold]")
    for one in missing:
        what = "" if one.quantity == "all" else f" ({one.quantity})"
        print_item(screen, f"{one.meter}{what}: {one.kind.replace('-', ' ')}: {one.says}", indent=2)
        if one.remedy:
            print_item(screen, f"Try: {one.remedy}", indent=4)


def _print_channels(channels: Sequence[Row], screen: Console) -> None:
    cells = [
        (
            f"{row.channel.meter}:{row.channel.name}",
            row.channel.scope,
            row.quantity,
            _value(row) if row.why_not is None else row.why_not,
            "unknown" if row.channel.period_ns is None else units.time(row.channel.period_ns),
            row.channel.covers,
        )
        for row in channels
    ]
    heads = ("channel", "scope", "tells", "now", "news every", "covers")
    columns = [Column(head, [cell[at] for cell in cells], folds=at > 2) for at, head in enumerate(heads)]
    if fits(screen, columns):
        screen.print(table("sensors within reach", columns))
        return
    screen.print("\n[bold]Sensors within reach[/bold]")
    for name, scope, tells, now, every, covers in cells:
        print_item(screen, f"{name} ({scope}): {tells} {now}, news every {every}; {covers}", indent=2)


def _row(channel: Channel, trace: Trace | None) -> Row:
    unit, factor = UNITS[channel.unit]
    rates = {"energy": ("power", "W"), "cpu-time": ("cores in use", "cores"), "utilisation": ("utilisation", "1")}
    quantity, unit = rates.get(channel.quantity, (channel.quantity, unit))
    row = Row(channel=channel, quantity=quantity, unit=unit)
    if trace is None or not trace.values:
        row.why_not = (trace.trouble if trace else None) or "it gave no reading"
    elif not channel.counter:
        row.value = float(trace.values[-1] * factor)
    elif (trace.at_ns[-1] - trace.at_ns[0]) and trace.values[-1] >= trace.values[0]:
        gained = (trace.values[-1] - trace.values[0]) * factor
        row.value = float(gained * 10**9 / (trace.at_ns[-1] - trace.at_ns[0]))
    else:
        row.why_not = "its counter began anew just now"
    if row.unit == "W" and row.value == 0:  # nothing that is switched on takes no power
        row.value, row.why_not = None, "it reads 0 W: it doesn't measure"
    return row


def _value(row: Row) -> str:
    value = row.value
    if value is None:
        return units.UNKNOWN
    if row.unit == "W":
        return units.power(value)
    if row.unit == "B":
        return units.size(value)
    if row.unit == "1":
        return units.percent(value)
    return {"C": f"{value:.1f} °C", "Hz": f"{value / 1e6:.0f} MHz"}.get(row.unit, f"{value:.2f}")
