"""On which units contenders' operators ran."""

from __future__ import annotations

from collections.abc import Sequence

from whichpu.reports import units
from whichpu.reports.boundary import Grid, Text
from whichpu.results.boundary import SIMULATED
from whichpu.results.placement import elsewhere_in_words
from whichpu.results.summary import Figures
from whichpu.worker.wire import Placement

CPU = "cpu"


def sentences(rows: Sequence[Figures]) -> list[str]:
    """One line for all contenders that ran, or were to run, elsewhere than on the CPU; none where there is none."""
    ran = [f"{row.name}: {_in_short(row)}" for row in rows if _told(row)]
    return [f"Where operators ran: {'; '.join(ran)}."] if ran else []


def grids(rows: Sequence[Figures]) -> list[Grid]:
    """The same as a table, with kinds, reasons, and who told it."""
    if not any(_told(row) for row in rows):
        return []
    heads = [(head, "") for head in ("contender", "asked for", "ran there", "ran elsewhere", "told by")]
    lines = [_placed(row.name, row.placement) for row in rows if row.placement is not None]
    return [Grid("Where operators ran", "operators as the runtime counts them", heads, lines)]


def _told(row: Figures) -> bool:
    """Is there more to tell than that a target on the CPU ran on the CPU?"""
    return row.placement is not None and (row.placement.asked != CPU or bool(row.placement.elsewhere))


def _in_short(row: Figures) -> str:
    placement = row.placement
    assert placement is not None
    if placement.unknown is not None:
        return f"not known ({placement.unknown})"
    count = sum(placement.units.values())
    if not placement.elsewhere:
        return f"all {count:,} on {placement.asked}"
    others = [f"{part.operators:,} on {part.unit}" for part in placement.elsewhere]
    there = count - sum(part.operators for part in placement.elsewhere)
    simulated = " (simulated)" if row.boundary == SIMULATED else ""
    return ", ".join([f"{there:,} of {count:,} on {placement.asked}", *others]) + simulated


def _placed(name: str, placement: Placement) -> list[Text]:
    told = Text(placement.by or units.UNKNOWN)
    if placement.unknown is not None:
        return [Text(name), Text(placement.asked), Text(units.UNKNOWN, placement.unknown), Text(units.UNKNOWN), told]
    count, away = sum(placement.units.values()), sum(part.operators for part in placement.elsewhere)
    there = f"{count - away:,} of {count:,}" if away else f"all {count:,}"
    others = "; ".join(elsewhere_in_words(part) for part in placement.elsewhere)
    return [Text(name), Text(placement.asked), Text(there), Text(others or "none"), told]
