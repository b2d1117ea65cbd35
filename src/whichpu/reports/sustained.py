"""Sustained runs in words and tables; the terminal and the HTML report say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichpu.reports import units
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables
from whichpu.results.schema import Campaign
from whichpu.results.sustained import Endurance, Outlook, clock, outlook, percent, stretch_name
from whichpu.stats.intervals import Estimate

if TYPE_CHECKING:
    from rich.console import Console

PAUSED = 0.05
"""A larger share of the time between windows is mentioned."""


def show(campaign: Campaign, screen: Console) -> None:
    """Print what the sustained runs show; nothing where there are none."""
    found = outlook(campaign)
    if found is None:
        return
    heads, rows = table(found)
    names = Column(heads[0], [row[0] for row in rows], folds=True, least_of_names=NAME_LEAST)
    columns = [
        Column(head, [row[at] for row in rows], right=0 < at < 5, folds=at >= 5)
        for at, head in enumerate(heads)
        if at > 0
    ]
    screen.print()
    groups = {title(found): columns[:3], "sustained: slope, steps and rank": columns[3:]}
    print_tables(screen, names, groups, title(found))
    for line in sentences(found):
        print_item(screen, line, indent=0)


def title(found: Outlook) -> str:
    """What was run, and for how long."""
    asked_s = max(row.asked_s for row in found.rows)
    return f"sustained: each alone, one process, without a pause, for {units.seconds(asked_s)}"


def table(found: Outlook) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table, all as text; what is unknown is a dash."""
    shown = [row for row in found.rows if row.first is not None] or found.rows
    unit = units.time_unit(row.first.value for row in shown if row.first is not None)
    longest = max(shown, key=lambda row: row.ran_s)
    word = stretch_name(longest)
    heads = ["contender", f"first {word} ({unit.name})", f"last {word} ({unit.name})", "change", "slope a minute"]
    heads += ["steps", "rank, first and last"]
    return heads, [_row(row, unit, longest.stretch_s) for row in found.rows]


def sentences(found: Outlook) -> list[str]:
    """Whether the ranking holds, and what to know about single runs."""
    said = [found.says] if found.says else []
    for row in found.rows:
        if row.trouble is not None:
            said.append(f"{row.name} ran for {clock(row.ran_s)} of {clock(row.asked_s)}: {row.trouble}.")
        if row.paused > PAUSED:
            said.append(f"{row.name} paused between windows for {100 * row.paused:.1f} % of the time.")
    reasons: dict[str, list[str]] = {}
    for row in found.rows:
        for reason in row.missing.values():
            reasons.setdefault(reason, []).append(row.name)
    said += [f"Not given for {units.joined(names)}: {reason}." for reason, names in reasons.items()]
    return said


def changed(row: Endurance) -> str:
    """The change from the first stretch to the last, with its interval."""
    if row.change is None:
        return units.UNKNOWN
    if row.change.low is None or row.change.high is None:
        return percent(row.change.value - 1)
    digits = 2 if percent(row.change.low - 1) != percent(row.change.high - 1) else 3
    value, low, high = (percent(one - 1, digits) for one in (row.change.value, row.change.low, row.change.high))
    return f"{value} ({low} to {high})"


def _row(row: Endurance, unit: units.Unit, usual_s: float) -> list[str]:
    other = "" if abs(row.stretch_s - usual_s) < 0.05 * usual_s else f" (over {clock(row.stretch_s)})"
    return [
        row.name,
        _level(row.first, unit) + (other if row.first else ""),
        _level(row.last, unit) + (other if row.last else ""),
        changed(row),
        _slope(row),
        _steps(row),
        _ranks(row),
    ]


def _level(level: Estimate | None, unit: units.Unit) -> str:
    if level is None:
        return units.UNKNOWN
    value = units.in_unit(level.value, unit)
    return value if level.low is None else f"{value} {units.spread(level.value, level.low, level.high)}"


def _slope(row: Endurance) -> str:
    if row.trend is None:
        return units.UNKNOWN
    if row.steps:
        return "see steps"
    if row.drift is None and row.ran_s < 60:
        return "no drift shown"  # a slope for a minute that was not run says little
    slope = f"{percent(row.trend.per_minute)} ({percent(row.trend.low)} to {percent(row.trend.high)})"
    return slope if row.drift is not None else f"no drift shown: {slope}"


def _steps(row: Endurance) -> str:
    if row.trend is None:
        return units.UNKNOWN
    shown = [f"{percent(step.ratio - 1)} at {clock(step.at_s)}" for step in row.steps[:3]]
    more = [f"{len(row.steps) - 3} more"] if len(row.steps) > 3 else []
    return "; ".join([*shown, *more]) or "none"


def _ranks(row: Endurance) -> str:
    first, last = (units.UNKNOWN if rank is None else str(rank) for rank in (row.rank_first, row.rank_last))
    return f"{first} → {last}"
