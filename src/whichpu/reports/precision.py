"""What each precision costs and gains on every runtime: latency, size, memory, accuracy, energy; table and chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from whichpu.reports import units
from whichpu.reports.accuracy import name_of
from whichpu.reports.boundary import Grid, Text
from whichpu.reports.memory import level, megabytes, missing
from whichpu.reports.precision_chart import Dot
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables
from whichpu.reports.words import VERDICTS
from whichpu.results import energy, precisions
from whichpu.results.accuracy import unit_of
from whichpu.results.comparison import Comparison
from whichpu.results.schema import Campaign, Form, Result, TaskInfo
from whichpu.results.summary import Figures

if TYPE_CHECKING:
    from rich.console import Console

TITLE = "Precisions"
SAYS = (
    "Each precision on the same runtime as the model as given (fp32): latency is held against it, accuracy against the"
    " reference."
)
CHART_SAYS = (
    "How many times as fast as the model as given (fp32) on the same runtime, and what of the reference’s accuracy is"
    " lost or gained. Lines are 95 % intervals; the dashed ones are the model as given and the reference."
)


class Line(NamedTuple):
    """One contender: a runtime with one precision."""

    result: Result
    row: Figures
    form: Form | None
    latency: Comparison | None


def lines(campaign: Campaign, rows: Sequence[Figures]) -> list[Line]:
    """Runtime by runtime, the model as given first; empty where a campaign has no variants."""
    figures, compared = {row.name: row for row in rows}, precisions.to_own(campaign)
    return [
        Line(result, figures[result.name], precisions.form_of(campaign, result), compared.get(result.name))
        for group in precisions.by_target(campaign)
        for result in group
        if result.name in figures
    ]


def show(campaign: Campaign, rows: Sequence[Figures], screen: Console) -> None:
    """Print the table and what is to be known; nothing where there are no variants."""
    shown = lines(campaign, rows)
    if not shown:
        return
    found = grid(campaign, rows)
    columns = [
        Column(
            f"{head} ({unit})" if unit else head,
            [_in_one(cells[place]) for cells in found.rows],
            right=True,
            folds=not unit or any(cells[place].sub for cells in found.rows),
        )
        for place, (head, unit) in enumerate(found.heads)
    ]
    names = columns[0]._replace(right=False, folds=True, least_of_names=NAME_LEAST)
    print_tables(screen, names, {f"precisions: {SAYS[0].lower()}{SAYS[1:]}": columns[1:]})
    for line in sentences(campaign):
        print_item(screen, line, indent=0)


def grid(campaign: Campaign, rows: Sequence[Figures]) -> Grid:
    """The table as texts; what is known of nobody is left out."""
    shown, task = lines(campaign, rows), campaign.task
    unit = units.time_unit(line.row.median_ns for line in shown)
    source = energy.primary(campaign)
    joules = [_joules(line.row, source) for line in shown]
    energy_unit = units.energy_unit(joules)
    columns: list[tuple[tuple[str, str], list[Text]]] = [
        (("contender", ""), [Text(line.row.name) for line in shown]),
        (("ran", ""), [Text(line.row.ran_precision or units.UNKNOWN, _why(line)) for line in shown]),
        (("median", unit.name), [Text(units.in_unit(line.row.median_ns, unit), _why(line)) for line in shown]),
        (("to fp32", "latency"), [_ratio(line) for line in shown]),
        (("files", "MB"), [_size(line.form) for line in shown]),
        (("memory loaded", "MB"), [_memory(line, "loaded") for line in shown]),
        (("peak", "MB"), [_memory(line, "peak_measuring") for line in shown]),
    ]
    if any(each is not None for each in joules):
        told = [Text(units.in_unit(each, energy_unit)) for each in joules]
        columns.append((("energy", energy_unit.name), told))
    if task is not None:
        columns.append(
            ((name_of(task.metric), units.score_unit(unit_of(task)) or "score"), [_value(line, task) for line in shown])
        )
        columns.append((("delta", units.delta_unit(unit_of(task)) or "score"), [_delta(line, task) for line in shown]))
        columns.append((("accuracy", ""), [_verdict(line) for line in shown]))
    kept = [column for column in columns if any(cell.text != units.UNKNOWN for cell in column[1])]
    cells = [list(row) for row in zip(*(texts for _, texts in kept), strict=True)]
    return Grid(TITLE, SAYS, [head for head, _ in kept], cells)


def sentences(campaign: Campaign) -> list[str]:
    """How each variant was made and what of it is not in its precision; and who ran it in another one."""
    said = []
    for variant in precisions.variants_of(campaign):
        results = [result for result in campaign.results if result.variant == variant]
        made = [form for result in results if (form := precisions.form_of(campaign, result)) and form.origin == "made"]
        if made:
            notes = "".join(f" {note[0].upper()}{note[1:]}." for note in made[0].notes)
            said.append(f"{variant}: made by {made[0].tool}.{notes}")
        others = precisions.run_otherwise(results)
        told = [f"{precisions.twin_of(each)} ({each.precision.ran})" for each in others if each.precision is not None]
        if told:
            said.append(f"{variant} is not what ran on {units.joined(told)}.")
    return said


def dots(campaign: Campaign, rows: Sequence[Figures]) -> list[Dot]:
    """The variants that the chart can show: those with a speed-up and a delta."""
    task = campaign.task
    found = []
    for line in lines(campaign, rows):
        told = _told_delta(line.result, task) if task is not None else None
        ratio = line.latency
        if task is None or told is None or ratio is None or ratio.ratio is None:
            continue
        unit = unit_of(task)
        scale = 100.0 if unit == units.SHARE else 1.0
        moved = units.with_unit(units.score_delta(told[0], unit), units.delta_unit(unit))
        found.append(
            Dot(
                name=line.row.name,
                label=f"{units.digits(1 / ratio.ratio)} times as fast, {moved}",
                speed=1 / ratio.ratio,
                speeds=None if ratio.low is None or ratio.high is None else (1 / ratio.high, 1 / ratio.low),
                delta=scale * told[0],
                deltas=None if told[1] is None or told[2] is None else (scale * told[1], scale * told[2]),
            )
        )
    return found


# ---------------------------------------------------------------- cells


def _in_one(cell: Text) -> str:
    return f"{cell.text} ({cell.sub})" if cell.sub else cell.text


def _why(line: Line) -> str | None:
    return line.row.why if line.row.median_ns is None else None


def _ratio(line: Line) -> Text:
    if line.result.variant is None:
        return Text("1" if line.row.median_ns is not None else units.UNKNOWN, _why(line))
    if line.latency is None:
        return Text(units.UNKNOWN, _why(line) or "it was not measured")
    if line.latency.ratio is None:
        return Text(units.UNKNOWN, line.latency.reason)
    words = VERDICTS[line.latency.verdict] if line.latency.low is not None else "not judged: one round"
    return Text(f"{units.digits(line.latency.ratio)} x", sub=words)


def _size(form: Form | None) -> Text:
    return Text(units.digits(None if form is None else form.bytes / 1e6))


def _memory(line: Line, name: str) -> Text:
    return Text(megabytes(level(line.row, name)), missing(line.row, name) or _why(line))


def _joules(row: Figures, source: str | None) -> float | None:
    return next((each.gross_j for each in row.energy if each.source == source), None)


def _value(line: Line, task: TaskInfo) -> Text:
    value = line.result.accuracy.values.get(task.metric) if line.result.accuracy is not None else line.result.score
    return Text(units.score(value, unit_of(task)), _why(line) or "it was not scored" if value is None else None)


def _told_delta(result: Result, task: TaskInfo) -> tuple[float, float | None, float | None] | None:
    return result.accuracy.deltas.get(task.metric) if result.accuracy is not None else None


def _delta(line: Line, task: TaskInfo) -> Text:
    told = _told_delta(line.result, task)
    if told is None:
        return Text(units.UNKNOWN, _why(line) or "it was not held against the reference")
    value, low, high = told
    return Text(
        units.score_delta(value, unit_of(task)),
        sub=units.score_range(low, high, unit_of(task)) if low is not None else "",
    )


def delta_says(task: TaskInfo) -> str:
    """What an axis of deltas is."""
    unit = units.delta_unit(unit_of(task))
    return f"{name_of(task.metric)} less the reference’s{f', {unit}' if unit else ''}"


def _verdict(line: Line) -> Text:
    accuracy = line.result.accuracy
    if accuracy is None or accuracy.verdict is None:
        return Text(units.UNKNOWN, _why(line) or "it was not held against the reference")
    return Text(VERDICTS[accuracy.verdict])
