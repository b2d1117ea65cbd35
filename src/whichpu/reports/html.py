"""A report that stands alone: one HTML page with its charts inside, nothing to load, nothing to run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from whichpu.reports import (
    accuracy,
    boundary,
    built,
    charts,
    conditions,
    energy,
    memory,
    normalised_chart,
    placed,
    power_charts,
    precision,
    precision_chart,
    sustained,
    sustained_charts,
    units,
)
from whichpu.reports.normalised import Fact, Normalised, normalised
from whichpu.reports.picture import shorter
from whichpu.reports.words import STATUS, VERDICTS
from whichpu.results.accuracy import smaller_is_better, unit_of
from whichpu.results.comparison import Comparison, agreeing, compare, fastest, measured_results
from whichpu.results.energy.doubts import ENERGY
from whichpu.results.known import why_stopped
from whichpu.results.latencies import round_logs, steady_blocks
from whichpu.results.scenarios import ScenarioRun
from whichpu.results.schema import Campaign, Doubt, Form, Result, TaskInfo
from whichpu.results.summary import Figures, summarize
from whichpu.results.sustained import SUSTAINED, outlook
from whichpu.results.together import TogetherRun
from whichpu.stats import describe
from whichpu.stats.intervals import CONFIDENCE
from whichpu.stats.verdicts import ALPHA

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TOUCHES = {
    "outputs-differ": "difference",
    "few-rounds": "interval",
    "wide-interval": "interval",
    "never-steady": "median",
    "other-load": "median",
    "coarse-clock": "median",
    "throttled": "median",
    "governor": "median",
    "steal": "median",
    "transfers": "median",
    "host-bound": "median",
}
"""Beside which figure a doubt is marked; any other kind is marked beside the contender's name."""

TIMES = ("mean", "min", "max", "std", "p95", "p99")
MEDIANS = (
    "Large dot: median, with its 95 % interval over rounds. Small dots: each round’s median. Blue: the smallest median,"
    " and those from which no difference was shown. Intervals that overlap don’t decide a ranking; the verdicts in the"
    " table do."
)
SPREADS = (
    "Stroke: p50 of all steady inferences. Bar: p5 to p95, left out where too few were measured. Line: least to most."
)
WIDTHS = (charts.WIDE, charts.NARROW)
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Run = Campaign | ScenarioRun | TogetherRun
"""A file of ours, as this page shows it."""


@dataclass(frozen=True)
class Mark:
    """A raised sign beside a figure that leads to its note."""

    sign: str
    to: str
    says: str


@dataclass(frozen=True)
class Cell:
    """A figure or words, a smaller line below, and marks."""

    text: str
    sub: str = ""
    marks: tuple[Mark, ...] = ()
    tone: str = ""
    title: str = ""


@dataclass(frozen=True)
class Head:
    """A column's head, and its unit."""

    text: str
    unit: str = ""
    words: bool = False


@dataclass(frozen=True)
class Table:
    """The first cell of each row is the row's head."""

    title: str
    says: str
    heads: list[Head]
    rows: list[list[Cell]]


@dataclass
class DoubtNote:
    """One kind of doubt: whom it touches with which facts, and what to try."""

    mark: Mark
    facts: list[tuple[str, str]] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


class Notes:
    """Notes of one campaign: doubts, and reasons for a dash, under letters (a number beside a dash reads as one)."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.doubts: dict[str, DoubtNote] = {}
        self.reasons: dict[str, Mark] = {}

    def doubt(self, name: str, doubt: Doubt) -> Mark:
        """The mark of a doubt about one contender."""
        if doubt.kind not in self.doubts:
            sign = self._sign()
            kind = doubt.kind.replace("-", " ")
            self.doubts[doubt.kind] = DoubtNote(Mark(sign, f"{self.prefix}-note-{sign}", f"doubt: {kind}"))
        note = self.doubts[doubt.kind]
        if (name, doubt.says) not in note.facts:
            note.facts.append((name, doubt.says))
        if doubt.advice and doubt.advice not in note.advice:
            note.advice.append(doubt.advice)
        return note.mark

    def touching(self, row: Figures, place: str) -> tuple[Mark, ...]:
        """Marks of a contender's doubts about one of its figures."""
        return tuple(self.doubt(row.name, doubt) for doubt in row.doubts if _place(doubt) == place)

    def reason(self, says: str) -> Mark:
        """The mark of a reason why a figure is unknown."""
        sign = self._sign()
        return self.reasons.setdefault(says, Mark(sign, f"{self.prefix}-note-{sign}", says))

    def _sign(self) -> str:
        number = len(self.doubts) + len(self.reasons)
        return LETTERS[number] if number < len(LETTERS) else f"{LETTERS[number % len(LETTERS)]}{number // len(LETTERS)}"


def page(files: Sequence[tuple[str, Run]], normalise_to: str | None = None) -> str:
    """The whole report of campaigns and scenarios, each with the name of its file; no network, no script.

    ``normalise_to`` names the contender that all others of all campaigns are held against in one figure. Raises
    :class:`whichpu.errors.UserError` where none is called so.
    """
    return templates().get_template("page.html.j2").render(**context(files, normalise_to))


def context(files: Sequence[tuple[str, Run]], normalise_to: str | None = None) -> dict[str, Any]:
    """What the templates of campaigns and scenarios ask for. Raises as :func:`page` does."""
    campaigns = [(name, one) for name, one in files if isinstance(one, Campaign)]
    together = None if normalise_to is None else normalised(campaigns, normalise_to)
    views = [_view_of(number, name, one, alone=normalise_to is None) for number, (name, one) in enumerate(files, 1)]
    models = list(dict.fromkeys(one.model.name for _, one in files))
    return {
        "title": f"WhichPU: {units.joined(models)}",
        "views": views,
        "together": _bars(together),
        "measured": bool(campaigns),
        "scored": any(view.get("accuracy") for view in views),
        "pictures": any(card.picture for view in views for card in _cards(view)),
        "metered": any(view["energy"]["tables"] for view in views if view.get("energy")),
        "tested": any(isinstance(one, ScenarioRun) for _, one in files),
        "at_once": any(isinstance(one, TogetherRun) for _, one in files),
        "swaps": charts.DARK,
        "matters": _matters(campaigns),
        "nominal": f"{100 * CONFIDENCE:g} %",
        "alpha": f"{100 * ALPHA:g} %",
    }


def _view_of(number: int, name: str, one: Run, *, alone: bool) -> dict[str, Any]:
    """What the template of a file's kind asks for."""
    from whichpu.reports import scenarios, together

    if isinstance(one, Campaign):
        return _view(number, name, one, alone=alone)
    return scenarios.view(number, name, one) if isinstance(one, ScenarioRun) else together.view(number, name, one)


def _cards(view: dict[str, Any]) -> Iterable[accuracy.Card]:
    for gallery in (view.get("accuracy") or {}).get("galleries", []):
        yield from gallery.cards


def fragment(campaign: Campaign) -> str:
    """A compact table for notebooks, with its styles inside."""
    rows = summarize(campaign)
    measured = _ranked(rows, campaign)
    return templates().get_template("fragment.html.j2").render(
        campaign=campaign,
        headline=headline(campaign)[0],
        unit=units.time_unit(row.median_ns for row in measured),
        rows=measured,
        ratios={row.contender: row for row in compare(campaign)},
        lacking=[row for row in rows if _lacking(row)],
        words=VERDICTS | STATUS,
        units=units,
    )  # fmt: skip


def headline(campaign: Campaign) -> list[str]:
    """What the figures say, as the verdicts say it: a first sentence, then what belongs to it."""
    measured = _ranked(summarize(campaign), campaign)
    unfinished = [] if campaign.finished else ["The campaign is not finished; this is what was measured so far."]
    if not measured:
        return ["Nothing was measured.", *unfinished]
    first, ran = measured[0], {row.name: row for row in measured}
    ratios = sorted((row for row in compare(campaign) if row.contender in ran), key=lambda row: row.ratio or math.inf)
    opening = _opening(first, ratios, campaign)
    bought = accuracy.cautions(campaign, measured)
    return [opening, *_cautions(first, ratios, campaign), *bought, *_others(ratios, ran), *unfinished]


def _opening(first: Figures, ratios: list[Comparison], campaign: Campaign) -> str:
    spread = units.spread(first.median_ns, first.median_low_ns, first.median_high_ns)
    known = f"{units.time(first.median_ns)} ({spread})" if first.median_low_ns else units.time(first.median_ns)
    if not ratios:
        return f"{_called(first)} has a median latency of {known}. Nothing else was measured to hold it against."
    said = {kind: [row.contender for row in ratios if row.verdict == kind and not _lone(row)] for kind in VERDICTS}
    smallest = f"{_called(first)} has the smallest median latency, {known}"
    if said["no-difference"]:
        return f"{smallest}, but no difference from {units.joined(said['no-difference'])} was shown."
    if said["faster"]:
        return f"{smallest}, but {units.joined(said['faster'])} came out faster in the rounds that both ran."
    if said["not-comparable"]:
        return f"{smallest}; {units.joined(said['not-comparable'])} can’t be compared with it."
    if all(_lone(row) for row in ratios):
        return f"{smallest}; one round says nothing about spread, so none is called the fastest."
    if said["too-small-to-matter"]:
        limit = f"{100 * campaign.settings.matters:g} %"
        return f"{smallest}; its lead over {units.joined(said['too-small-to-matter'])} is real, but under {limit}."
    among = " of those with more than one round" if any(_lone(row) for row in ratios) else ""
    return f"{_called(first)} is the fastest{among}, with a median latency of {known}."


def _others(ratios: list[Comparison], ran: dict[str, Figures]) -> list[str]:
    slower = [row for row in ratios if row.verdict == "slower" and row.ratio is not None]
    if not slower:
        return []
    near, far = slower[0], slower[-1]
    called = _called(ran[near.contender])
    said = [f"Next is {called}: {times(near.ratio)} its latency (95 % interval {_range(near)})."]
    if far is not near:
        said.append(f"The slowest, {_called(ran[far.contender])}, takes {times(far.ratio)} ({_range(far)}).")
    return said


def _cautions(first: Figures, ratios: list[Comparison], campaign: Campaign) -> list[str]:
    lone = [row.contender for row in ratios if _lone(row)]
    said = [f"One round shows no difference for {units.joined(lone)}."] if 0 < len(lone) < len(ratios) else []
    differs = [f"Mind that its {doubt.says}." for doubt in first.doubts if doubt.kind == "outputs-differ"]
    if first.score_verdict == "worse":
        differs = []  # what that costs is told
    same = agreeing(campaign)
    if differs and same:
        differs.append(f"The fastest whose outputs agree with the reference is {fastest(same).name}.")
    return differs + said


# ---------------------------------------------------------------- one campaign


def _view(number: int, file: str, campaign: Campaign, alone: bool = True) -> dict[str, Any]:
    rows, results = summarize(campaign), {result.name: result for result in campaign.results}
    measured, notes = _ranked(rows, campaign), Notes(f"m{number}")
    yardsticks = [row for row in rows if row.yardstick and row.median_ns is not None]
    return {
        "id": f"m{number}",
        "file": file,
        "campaign": campaign,
        "headline": headline(campaign),
        "facts": list(_facts(campaign, measured)),
        "charts": _charts(campaign, measured, results),
        "tables": _tables(campaign, measured, notes) if measured else [],
        "accuracy": _accuracy(campaign, rows, measured, notes),
        "sustained": _sustained(campaign, rows, notes),
        "energy": _energy(campaign, file, measured, notes, alone),
        "memory": _memory(campaign, measured, notes),
        "precision": _precision(campaign, rows, notes),
        "harness": [(_harness(row, measured), notes.touching(row, "median")) for row in yardsticks],
        "lacking": [_lack(row, results[row.name], notes) for row in rows if _lacking(row)],
        "ran": [_what_ran(row, results[row.name], campaign) for row in measured],
        "scores": [
            *_scores(campaign),
            why_stopped(campaign),
            conditions.sentence(campaign),
            *_unmetered(campaign, rows),
        ],
        "notes": notes,
    }


def _accuracy(campaign: Campaign, rows: list[Figures], measured: list[Figures], notes: Notes) -> dict[str, Any] | None:
    """The table, deltas as a chart, samples whose answer changed, the protocol; ``None`` where nothing was scored."""
    task, known = campaign.task, {row.name: row for row in rows}
    ranked = [*measured, *(row for row in rows if row not in measured and not row.yardstick)]
    grid = accuracy.grid(campaign, ranked)
    if task is None or grid is None:
        return None
    table = _of_grid(grid, notes)
    place = [head.text for head in table.heads].index(accuracy.DIFFERENCE)
    for line in table.rows:
        row = known[line[0].text]
        line[place] = replace(line[place], marks=notes.touching(row, "difference"))
        if row.score_verdict == "worse":
            line[accuracy.CHANGE] = replace(line[accuracy.CHANGE], tone="loss")
    deltas, (words, least) = accuracy.deltas(campaign, ranked), accuracy.axis(task, campaign)
    drawn = [charts.deltas(deltas, words, least, width) for width in WIDTHS] if deltas else []
    return {
        "table": table,
        "charts": [_chart("What is lost", accuracy.CHART_SAYS, drawn, deltas)] if deltas else [],
        "sentences": accuracy.sentences(campaign, ranked),
        "galleries": accuracy.galleries(campaign, ranked),
        "changed_says": accuracy.CHANGED_SAYS,
        "protocol": accuracy.protocol(task),
    }


def _sustained(campaign: Campaign, rows: list[Figures], notes: Notes) -> dict[str, Any] | None:
    """Sustained runs: charts over time (those of the machine's clock and heat would stand below), words and a table."""
    found = outlook(campaign)
    if found is None:
        return None
    named = {row.name: row for row in rows}
    heads, lines = sustained.table(found)
    cells = [
        [Cell(line[0], marks=notes.touching(named[line[0]], SUSTAINED)), *(Cell(text) for text in line[1:])]
        for line in lines
    ]
    panels = sustained_charts.panels(campaign)
    drawn = [sustained_charts.over_time(panels, width) for width in WIDTHS] if panels else []
    return {
        "charts": [_chart("Latency over time", sustained_charts.SAYS, drawn, panels)] if panels else [],
        "sentences": sustained.sentences(found),
        "table": Table("Sustained", sustained.title(found).partition(": ")[2], _heads(heads), cells),
    }


def _memory(campaign: Campaign, rows: list[Figures], notes: Notes) -> dict[str, Any] | None:
    """The table, what to know about it, and curves while loading."""
    if not memory.known(rows):
        return None
    panels = memory.panels(campaign, rows)
    drawn = [memory.while_loading(panels, width) for width in WIDTHS] if panels else []
    return {
        "charts": [_chart("Memory while loading", memory.CURVE_SAYS, drawn, panels)] if panels else [],
        "sentences": memory.sentences(rows),
        "table": _of_grid(memory.grid(rows), notes),
    }


def _precision(campaign: Campaign, rows: list[Figures], notes: Notes) -> dict[str, Any] | None:
    """Where variants were measured: the table, how they were made, and speed against accuracy."""
    task, dots = campaign.task, precision.dots(campaign, rows)
    if not precision.lines(campaign, rows):
        return None
    says = precision.delta_says(task) if task is not None else ""
    drawn = [precision_chart.trade(dots, says, width) for width in WIDTHS] if dots else []
    return {
        "table": _of_grid(precision.grid(campaign, rows), notes),
        "sentences": precision.sentences(campaign),
        "charts": [_chart("Speed against accuracy", precision.CHART_SAYS, drawn, dots)] if drawn else [],
    }


def _energy(campaign: Campaign, file: str, rows: list[Figures], notes: Notes, alone: bool) -> dict[str, Any] | None:
    """Metered windows: energy, power over time, bars held against the fastest, and what else was read; ``None`` where
    nothing was."""
    tables = [_of_grid(grid, notes) for grid in energy.grids(campaign, rows)]
    others = [_of_grid(grid, notes) for grid in energy.others(campaign, rows)]
    marks = {row.name: notes.touching(row, ENERGY) for row in rows}
    if not tables and not others:
        return None
    for table in tables[:1]:
        for line in table.rows:
            line[0] = replace(line[0], marks=marks[line[0].text])
    limit_w = campaign.metered.limit_w if campaign.metered else None
    return {
        "tables": tables,
        "others": others,
        "charts": [
            _chart(
                title,
                says + power_charts.limit_says(panels, limit_w),
                [power_charts.over_time(panels, limit_w, width) for width in WIDTHS],
                panels,
            )
            for title, says, panels in (
                ("Power over time", power_charts.SAYS, energy.panels(campaign, rows)),
                ("Power in the sustained run", power_charts.LONG_SAYS, energy.sustained_panels(campaign, rows)),
            )
            if panels
        ],
        "sentences": energy.sentences(campaign, rows),
        "bars": _bars(normalised([(file, campaign)])) if alone and tables else None,
    }


def _bars(found: Normalised | None) -> dict[str, Any] | None:
    """The chart of bars, with its reasons."""
    if found is None:
        return None
    drawn = [normalised_chart.bars(found.panels, width) for width in WIDTHS]
    return {**_chart(found.title, found.says, drawn, found.facts), "absent": found.absent}


def _unmetered(campaign: Campaign, rows: list[Figures]) -> list[str]:
    why_not = energy.absence(campaign, rows)
    return [] if why_not is None else [why_not]


def _tables(campaign: Campaign, rows: list[Figures], notes: Notes) -> list[Table]:
    tables = [_latency(campaign, rows, notes), _beside(campaign, rows, notes)]
    return tables + [_of_grid(grid, notes) for grid in [*boundary.grids(rows, campaign), *placed.grids(rows)]]


def _of_grid(grid: boundary.Grid, notes: Notes) -> Table:
    """A table of texts; a dash is marked with its reason."""
    heads = [Head(text, unit, words=not unit) for text, unit in grid.heads]
    cells = [
        [Cell(text, sub, () if reason is None else (notes.reason(reason),)) for text, reason, sub in row]
        for row in grid.rows
    ]
    return Table(grid.title, grid.says, heads, cells)


def _heads(heads: Sequence[str]) -> list[Head]:
    """Heads with their units, which stand in brackets, on a line of their own."""
    parted = [head.partition(" (") for head in heads]
    words = ("contender", "steps")
    return [Head(text, unit.rstrip(")"), words=text in words) for text, _, unit in parted]


def _latency(campaign: Campaign, rows: list[Figures], notes: Notes) -> Table:
    unit = units.time_unit(row.median_ns for row in rows)
    ratios = {row.contender: row for row in compare(campaign)}
    heads = [Head("contender", words=True), Head("ran", words=True), Head("median", unit.name), Head("95 % interval")]
    heads += [Head(name, unit.name) for name in TIMES]
    heads += [Head("to the smallest median", "ratio, 95 % interval")]
    judged = any(row.best is not None for row in rows)
    heads += [Head("best", "probability")] if judged else []
    cells = []
    for row in rows:
        line = [_name(row, notes), _ran(row, notes), _median(row, unit, notes), _interval(row, notes)]
        line += [_time(row, name, unit, notes) for name in TIMES]
        line.append(_ratio(ratios.get(row.name), notes))
        cells.append([*line, *([Cell(units.chance(row.best))] if judged else [])])
    return Table("Latency", "steady inferences, host memory to host memory", heads, cells)


def _beside(campaign: Campaign, rows: list[Figures], notes: Notes) -> Table:
    scored = bool(accuracy.scored(campaign, rows))  # then outputs and scores have a table of their own
    task, load = None if scored else campaign.task, units.time_unit(row.load_ns for row in rows)
    first = units.time_unit(row.first_ns for row in rows)
    heads = [Head("contender", words=True), Head("load", load.name), Head("first inference", first.name)]
    heads += [
        Head("opening", "× steady"),
        Head("throughput", "1/s"),
        Head("cores used"),
    ]
    heads += [] if scored else [Head(accuracy.DIFFERENCE, "from the reference")]
    if task is not None:
        metric, unit = accuracy.name_of(task.metric), unit_of(task)
        heads += [
            Head(metric, units.score_unit(unit)),
            Head(f"{metric} change", f"{units.delta_unit(unit)}, from the reference’s"),
        ]
    cells = []
    for row in rows:
        line = [
            Cell(row.name),
            _cell(row.load_ns, units.in_unit(row.load_ns, load), "the load time was not read", notes),
            _cell(row.first_ns, units.in_unit(row.first_ns, first), "the first inference was not read", notes),
            _cell(row.opening_ratio, units.digits(row.opening_ratio, 2), "no block had a cold opening", notes),
            _cell(row.throughput_per_s, units.digits(row.throughput_per_s), "no wall time was read", notes),
            _cell(row.cores_used, units.cores(row.cores_used), "no CPU time was read", notes),
        ]
        line += [] if scored else [_difference(row, notes)]
        if task is not None:
            shown, delta = units.score(row.score, unit), units.score_delta(row.score_delta, unit)
            line.append(_cell(row.score, shown, "the outputs were not scored", notes))
            line.append(_cell(row.score_delta, delta, "no score to hold it against", notes))
        cells.append(line)
    if scored:
        return Table("Starting and load", "medians over rounds", heads, cells)
    return Table("Starting, outputs and load", "medians over rounds; outputs over all samples", heads, cells)


def _name(row: Figures, notes: Notes) -> Cell:
    return Cell(row.name, row.note, notes.touching(row, "name"))


def _ran(row: Figures, notes: Notes) -> Cell:
    cell = _cell(row.ran_precision, row.ran_precision or "", "the runtime doesn’t tell which precision ran", notes)
    return cell if row.loop in (None, "python") else Cell(cell.text, f"{row.loop} loop", cell.marks)


def _median(row: Figures, unit: units.Unit, notes: Notes) -> Cell:
    return Cell(units.in_unit(row.median_ns, unit), marks=notes.touching(row, "median"), tone="strong")


def _interval(row: Figures, notes: Notes) -> Cell:
    rounds = f"{row.rounds} round{'s' * (row.rounds != 1)}"
    shown = units.spread(row.median_ns, row.median_low_ns, row.median_high_ns)
    cell = _cell(row.median_low_ns, shown, row.missing.get("interval", "not known"), notes)
    return Cell(cell.text, rounds, cell.marks + notes.touching(row, "interval"))


def _time(row: Figures, name: str, unit: units.Unit, notes: Notes) -> Cell:
    value = getattr(row, f"{name}_ns")
    cell = _cell(value, units.in_unit(value, unit), row.missing.get(name, "not known"), notes)
    low, high = getattr(row, f"{name}_low_ns", None), getattr(row, f"{name}_high_ns", None)
    return replace(
        cell, sub=units.spread(value, low, high) if low else "", marks=cell.marks + notes.touching(row, name)
    )


def _place(doubt: Doubt) -> str:
    """Beside which figure a doubt is marked."""
    return doubt.touches if doubt.touches in (*TIMES, SUSTAINED, ENERGY) else TOUCHES.get(doubt.kind, "name")


def _difference(row: Figures, notes: Notes) -> Cell:
    difference, marks = row.difference, notes.touching(row, "difference")
    if difference is None:
        return _cell(None, "", "outputs were not held against a reference", notes)
    relative = f"{units.small(difference.relative)} relative"
    if difference.relative is None:
        relative = "the reference is all zero"
    return Cell(units.small(difference.max_abs), relative, marks)


def _ratio(row: Comparison | None, notes: Notes) -> Cell:
    if row is None:
        return Cell("1", "baseline", tone="front")
    said = VERDICTS[row.verdict]
    if row.ratio is None:
        return Cell(units.UNKNOWN, said, (notes.reason(row.reason),))
    marks = (notes.reason(row.reason),) if row.low is None else ()
    if row.verdict == "too-small-to-matter":
        said = "real, but too small to matter"
    tone = "front" if row.verdict == "no-difference" and not _lone(row) else ""
    return Cell(times(row.ratio), f"{_range(row)}, {said}" if row.low else said, marks, tone, row.reason)


def _cell(value: object, shown: str, reason: str, notes: Notes) -> Cell:
    return Cell(units.UNKNOWN, marks=(notes.reason(reason),)) if value is None else Cell(shown)


# ---------------------------------------------------------------- words around the figures


def _facts(campaign: Campaign, measured: list[Figures]) -> Iterable[str]:
    machine, settings = campaign.machine, campaign.settings
    yield machine.cpu_model or "CPU model unknown"
    yield f"{machine.cpus_usable} CPU{'s' * (machine.cpus_usable != 1)} usable"
    yield f"{settings.threads} thread{'s' * (settings.threads != 1)} each"
    yield f"pinned to CPU {units.joined([str(cpu) for cpu in settings.cpus])}" if settings.cpus else "not pinned"
    yield {True: "virtual machine", False: "not virtualised", None: "virtualised or not: unknown"}[machine.virtualised]
    yield f"{machine.system}, {machine.architecture}"
    yield f"governor {machine.governor or 'unknown'}"
    if measured:
        least, most = min(row.rounds for row in measured), max(row.rounds for row in measured)
        yield f"{least} rounds" if least == most else f"{least} to {most} rounds"
    yield f"asked: ±{100 * settings.half_width:g} % within {units.seconds(settings.budget_s)} a contender"
    yield f"data {settings.data}"
    yield f"seed {settings.seed}"


def _scores(campaign: Campaign) -> Iterable[str]:
    task, reference = campaign.task, campaign.reference
    if reference is not None:
        score = "" if reference.score is None or task is None else (
            f"; its {accuracy.name_of(task.metric)} is {accuracy.score_of(reference.score, task)}")  # fmt: skip
        yield f"Reference outputs are by {reference.by}, over {reference.samples} samples{score}."
    if task is not None and task.naive is not None:
        yield _naive(task, task.naive, reference.score if reference else None)


def _naive(task: TaskInfo, naive: float, reference: float | None) -> str:
    smaller = smaller_is_better(task)
    better = reference is not None and smaller is not None and (naive < reference if smaller else naive > reference)
    than = ", which is better than the reference’s" if better else ""
    return f"The naive guess ({task.naive_says or 'without a model'}) scores {accuracy.score_of(naive, task)}{than}."


def _harness(row: Figures, measured: list[Figures]) -> str:
    said = f"The harness itself costs {units.time(row.median_ns)} an inference ({row.name})"
    if not measured or row.median_ns is None or measured[0].median_ns is None:
        return f"{said}."
    return f"{said}, {units.percent(row.median_ns / measured[0].median_ns)} of the smallest median."


def _lack(row: Figures, result: Result, notes: Notes) -> dict[str, Any]:
    known = [] if row.median_ns is not None else [notes.doubt(row.name, doubt) for doubt in row.doubts]
    return {
        "name": row.name,
        "note": row.note,
        "status": STATUS.get(row.status, row.status),
        "why": row.why or "no reason is known",
        "remedy": row.remedy,
        "words": result.words,
        "marks": known,
    }


def _what_ran(row: Figures, result: Result, campaign: Campaign) -> dict[str, Any]:
    form = next((form for form in campaign.model.forms if form.sha256 == result.form_sha256), None)
    return {
        "name": row.name,
        "precision": result.precision,
        "asked": row.asked_precision,
        "form": form and _form(form),
        "warnings": form.warnings if form else [],
        "versions": result.versions | ({"python": result.python} if result.python else {}),
        "effective": {**result.options, **result.effective},
        "threads": row.threads,
        "built": built.words(result.built),
        "count": f"{row.count:,}",
        "took_turns": result.took_turns,
    }


def _form(form: Form) -> str:
    by = f" by {form.tool}" if form.tool else ""
    return f"{form.file}, {units.size(form.bytes)}, {form.origin}{by}"


def _matters(campaigns: Sequence[tuple[str, Campaign]]) -> str:
    return units.joined(sorted({f"{100 * campaign.settings.matters:g} %" for _, campaign in campaigns}))


# ---------------------------------------------------------------- charts


def _charts(campaign: Campaign, measured: list[Figures], results: dict[str, Result]) -> list[dict[str, Any]]:
    if not measured:
        return []
    unit = units.time_unit(row.median_ns for row in measured)
    front = {measured[0].name} | _tied(campaign)
    first = [_median_row(row, results[row.name], unit, row.name in front) for row in measured]
    second = [_spread_row(row, results[row.name], unit, row.name in front) for row in measured]
    return [
        _chart("Median latency", MEDIANS, [charts.medians(first, unit.name, width) for width in WIDTHS], first),
        _chart("Spread of single inferences", SPREADS, [charts.spreads(second, unit.name, w) for w in WIDTHS], second),
    ]


def _tied(campaign: Campaign) -> set[str]:
    return {row.contender for row in compare(campaign) if row.verdict == "no-difference" and not _lone(row)}


def _chart(
    title: str,
    says: str,
    drawn: list[str],
    rows: Sequence[
        charts.Median
        | charts.Spread
        | charts.Delta
        | sustained_charts.Panel
        | memory.Panel
        | power_charts.Panel
        | precision_chart.Dot
        | Fact
    ],
) -> dict[str, Any]:
    from markupsafe import Markup

    # Our own drawing, whose texts Vega has escaped.
    wide, narrow = (Markup(shorter(svg)) for svg in drawn)
    facts = "; ".join(f"{row.name} {row.label}" for row in rows)
    return {"title": title, "says": says, "wide": wide, "narrow": narrow, "alt": f"{title}: {facts}"}


def _median_row(row: Figures, result: Result, unit: units.Unit, front: bool) -> charts.Median:
    assert row.median_ns is not None
    low, high = (None if end is None else end / unit.size for end in (row.median_low_ns, row.median_high_ns))
    rounds = [math.exp(value) / unit.size for value in round_logs(result).values()]
    spread = units.spread(row.median_ns, row.median_low_ns, row.median_high_ns)
    label = f"{units.in_unit(row.median_ns, unit)} {unit.name} {'' if low is None else spread}".rstrip()
    return charts.Median(row.name, label, row.median_ns / unit.size, low, high, rounds, front)


def _spread_row(row: Figures, result: Result, unit: units.Unit, front: bool) -> charts.Spread:
    sample = np.concatenate([block for reading in result.readings for block in steady_blocks(reading)])
    p50 = float(np.percentile(sample, 50))
    p5, p95 = (
        None if describe.unsupported(sample.size, 95) else float(np.percentile(sample, percent)) / unit.size
        for percent in (5, 95)
    )
    least, most = float(sample.min()), float(sample.max())
    label = f"p50 {units.in_unit(p50, unit)}, max {units.in_unit(most, unit)} {unit.name}"
    return charts.Spread(row.name, label, least / unit.size, p5, p50 / unit.size, p95, most / unit.size, front)


# ---------------------------------------------------------------- small things


def soft(name: str) -> Markup:
    """Words with contenders' names, escaped; a name may break after its own punctuation, a number may not."""
    from markupsafe import Markup, escape

    pieces = re.split(r"(?<=[:,=@_./])(?=[^\W\d])", name)
    return typed(Markup("<wbr>").join(escape(piece) for piece in pieces))


def typed(words: str) -> Markup:
    """Words, escaped unless they are; what stands between backticks is to be typed."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))


def times(ratio: float | None) -> str:
    """A ratio as ``1.068×``."""
    return f"{_short(ratio)}×"


def _range(row: Comparison) -> str:
    return f"{_short(row.low)} to {_short(row.high)}"


def _lone(row: Comparison) -> bool:
    """Was the ratio read in one round only, which says nothing about its spread?"""
    return row.ratio is not None and row.low is None


def _short(value: float | None) -> str:
    return units.digits(value, 3 if value is None or value >= 10 else 4 if value >= 1 else 3)


def _called(row: Figures) -> str:
    return f"{row.name} ({row.ran_precision})" if row.ran_precision not in (None, "fp32") else row.name


def _ranked(rows: list[Figures], campaign: Campaign) -> list[Figures]:
    names = {result.name for result in measured_results(campaign)}
    return [row for row in rows if row.name in names]


def _lacking(row: Figures) -> bool:
    return row.median_ns is None or row.status not in ("measured", "pending")


@cache
def templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("whichpu.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["soft"] = soft
    made.filters["typed"] = typed
    return made
