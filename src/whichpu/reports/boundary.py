"""Where the time goes, within an inference and around it, in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from whichpu.reports import units
from whichpu.results.boundary import NOT_ASKED, PARTS, SIMULATED
from whichpu.results.schema import Application, Campaign
from whichpu.results.summary import Figures

NAMES = {"compute": "computing", "h2d": "to the device", "d2h": "back"}
APART = "medians of inferences run apart from the measured ones; what a profiler costs is in them"
NO_OPENING = "no block had a cold opening"


SLOWED = 1.25
"""Beyond so many times the median, the inferences that were taken apart are no longer those that were measured."""


class Text(NamedTuple):
    """A cell's text, for a dash the reason, and a smaller line below."""

    text: str
    reason: str | None = None
    sub: str = ""


class Grid(NamedTuple):
    """A table: heads with their units, and in each row first the contender's name."""

    title: str
    says: str
    heads: list[tuple[str, str]]
    rows: list[list[Text]]


def sentences(rows: Sequence[Figures], campaign: Campaign) -> list[str]:
    """For the contender of the smallest median: the parts of an inference, and a step of the application."""
    if not rows:
        return []
    first = rows[0]
    said = [_inside(first)] if first.compute_ns is not None else []
    return said + ([_step(first, campaign.application)] if campaign.application is not None else [])


def simulated(rows: Sequence[Figures]) -> list[str]:
    """What a simulator is good for: its outputs, held against the reference's."""
    said = []
    for row in rows:
        if row.boundary == SIMULATED and row.median_ns is not None:
            found = row.difference
            outputs = "its outputs were not compared"
            if found is not None:
                share = "" if found.relative is None else f" ({100 * found.relative:.2g} % of the largest value)"
                outputs = f"its outputs differ from the reference's by up to {found.max_abs:.2g}{share}"
            ran = f", {row.ran_precision}" if row.ran_precision else ""
            said.append(f"Simulated, so without times ({row.name}{ran}): {outputs}.")
    return said


def grids(rows: Sequence[Figures], campaign: Campaign) -> list[Grid]:
    """The same for all contenders; what no runtime tells is left out."""
    found = [_parts(rows)] if any(row.compute_ns is not None for row in rows) else []
    return found + ([_steps(rows, campaign.application)] if campaign.application is not None and rows else [])


def _inside(row: Figures) -> str:
    unit = units.time_unit([row.compute_ns, row.parts_of_ns])
    told = [f"{NAMES[name]} {units.in_unit(part, unit)}" for name in PARTS if (part := _part(row, name)) is not None]
    whole = f"{units.in_unit(row.parts_of_ns, unit)} {unit.name}"
    slowed = _slowed(row)
    mind = f"; these took {units.digits(slowed, 2)} times the median" if slowed is not None and slowed > SLOWED else ""
    return f"Where its time goes ({row.name}): {', '.join(told)} of {whole}, by {row.parts_by}{mind}."


def _step(row: Figures, around: Application) -> str:
    paused = "" if row.opening_ratio is None else f" (times {units.digits(row.opening_ratio, 2)} after a pause)"
    return (
        f"One step of the application ({row.name}): prepare {units.time(around.prepare_ns)}"
        f" + inference {units.time(row.median_ns)}{paused} + finish {units.time(around.finish_ns)};"
        f" the benchmark's figure is the middle one. Load {units.time(row.load_ns)}"
        f" and first inference {units.time(row.first_ns)} come once."
    )


def _parts(rows: Sequence[Figures]) -> Grid:
    times = [value for row in rows for value in (row.parts_of_ns, *(_part(row, name) for name in PARTS))]
    unit = units.time_unit(times)
    heads = [("contender", ""), ("end to end", unit.name), ("slowed down", "× median")]
    heads += [(NAMES[name], unit.name) for name in PARTS] + [("the rest", unit.name), ("told by", "")]
    return Grid("Where the time goes", APART, heads, [_parts_row(row, unit) for row in rows])


def _parts_row(row: Figures, unit: units.Unit) -> list[Text]:
    why = row.missing.get("compute", NOT_ASKED)
    if row.parts_of_ns is None:  # one reason for all
        return [Text(row.name), Text(units.UNKNOWN, why), *[Text(units.UNKNOWN)] * 6]
    cells = [Text(row.name), _time(row.parts_of_ns, unit, why), Text(units.digits(_slowed(row), 2))]
    cells += [_time(_part(row, name), unit, row.missing.get(name, NOT_ASKED)) for name in PARTS]
    return [*cells, _time(_rest(row), unit, why), Text(row.parts_by or units.UNKNOWN)]


def _steps(rows: Sequence[Figures], around: Application) -> Grid:
    unit = units.time_unit([around.prepare_ns, around.finish_ns, *(row.median_ns for row in rows)])
    first, load = units.time_unit(row.first_ns for row in rows), units.time_unit(row.load_ns for row in rows)
    heads = [("contender", ""), *((name, unit.name) for name in ("prepare", "inference", "finish", "one step"))]
    heads += [("after a pause", unit.name), ("first inference", first.name), ("load", load.name)]
    cells = []
    for row in rows:
        step = around.prepare_ns + (row.median_ns or 0.0) + around.finish_ns
        paused = None if row.opening_ratio is None else step + (row.opening_ratio - 1) * (row.median_ns or 0.0)
        line = [Text(row.name), _time(around.prepare_ns, unit), _time(row.median_ns, unit)]
        line += [_time(around.finish_ns, unit), _time(step, unit), _time(paused, unit, NO_OPENING)]
        line.append(_time(row.first_ns, first, "the first inference was not read"))
        cells.append([*line, _time(row.load_ns, load, "the load time was not read")])
    says = (
        f"prepare and finish: {around.by}, medians over {around.samples} samples;"
        " the benchmark’s figure is the inference; after a pause it is as slow as a block’s first"
    )
    return Grid("One step of the application", says, heads, cells)


def _part(row: Figures, name: str) -> float | None:
    value: float | None = getattr(row, f"{name}_ns")
    return value


def _rest(row: Figures) -> float | None:
    """What is neither computing nor moving: the runtime's own work, and the profiler's."""
    if row.parts_of_ns is None or row.compute_ns is None:
        return None
    return max(0.0, row.parts_of_ns - row.compute_ns - (row.h2d_ns or 0.0) - (row.d2h_ns or 0.0))


def _slowed(row: Figures) -> float | None:
    """The inferences that were taken apart over the median of those that were measured."""
    return row.parts_of_ns / row.median_ns if row.parts_of_ns and row.median_ns else None


def _time(value_ns: float | None, unit: units.Unit, why_not: str | None = None) -> Text:
    return Text(units.in_unit(value_ns, unit), why_not if value_ns is None else None)
