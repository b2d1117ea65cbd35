"""Another tool's results in the terminal: each contender's figures, what the file doesn't hold, what is doubtful."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichpu.reports import units
from whichpu.reports.figures import alone, named
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables, safe
from whichpu.results.entries import METRICS, Entry
from whichpu.results.nway import keys_of
from whichpu.results.reported import Reported

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_MOST = 50


def body(found: Reported) -> dict[str, object]:
    """What scripts are given: all but the original."""
    return {
        "format": found.format,
        "tool": found.tool,
        "tool_version": found.tool_version,
        "source": found.source,
        "entries": found.entries,
        "samples": {name: len(values) for name, values in found.samples.items()},
        "notes": found.notes,
    }


def show(found: Reported, screen: Console) -> None:
    """Print what a file of another tool holds."""
    version = f" {found.tool_version}" if found.tool_version else ""
    what = f"{found.tool}{version} ({found.format}), {len(found.entries):,} contender{'s' * (len(found.entries) != 1)}"
    screen.print(f"\n[bold]{safe(found.source.name)}[/bold]: {safe(what)}", highlight=False)
    _figures(found.entries[:SHOWN_MOST], screen)
    if len(found.entries) > SHOWN_MOST:
        screen.print(f"{len(found.entries) - SHOWN_MOST:,} more contenders: see --json.", markup=False)
    _absent(found.entries, screen)
    for entry in found.entries:
        for doubt in entry.doubts:
            print_item(screen, f"Doubt: {entry.model}, {entry.contender}: {doubt}", indent=0)
    for name, values in list(found.samples.items())[:SHOWN_MOST]:
        print_item(screen, f"{name}: {len(values):,} single latencies", indent=0)
    for note in found.notes:
        print_item(screen, note, indent=0)


def _figures(entries: list[Entry], screen: Console) -> None:
    labels = [f"{entry.model}, {entry.contender}{' (estimated)' * entry.estimated}" for entry in entries]
    columns = [
        Column(
            named(key),
            [alone(entry.values[key]) if key in entry.values else units.UNKNOWN for entry in entries],
            folds=True,
        )
        for key in keys_of(entries)
        if any(key in entry.values for entry in entries)
    ]
    print_tables(screen, Column("contender", labels, folds=True, least_of_names=NAME_LEAST), {"": columns})


def _absent(entries: list[Entry], screen: Console) -> None:
    """Reasons once each; what no entry has and the file just doesn't hold is told in one line."""
    said: dict[str, dict[str, None]] = {}
    for entry in entries:
        for key, reason in entry.absent.items():
            if key not in entry.values:
                plain = reason.endswith(f" no {named(key)}") or key not in METRICS
                said.setdefault("" if plain else reason, {})[named(key)] = None
    there = {named(key) for entry in entries for key in entry.values}
    nowhere = [name for name in said.pop("", {}) if name not in there]
    if nowhere:
        print_item(screen, f"Not in the file: {', '.join(nowhere)}", indent=0)
    for reason, figures in list(said.items())[:SHOWN_MOST]:
        print_item(screen, f"No {', '.join(figures)}: {reason}", indent=0)
