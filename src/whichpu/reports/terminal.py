"""Tables for the terminal: one wide table where there is room for it (as when piped), else several narrow ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from whichpu.reports import accuracy, boundary, built, conditions, energy, memory, placed, precision, sustained, units
from whichpu.reports.tables import NAME_LEAST, Column, fits, print_item, print_tables, safe, table
from whichpu.reports.words import METRICS, SCORES, STATUS, VERDICTS
from whichpu.results.accuracy import unit_of
from whichpu.results.boundary import PARTS, SIMULATED
from whichpu.results.comparison import Comparison, agreeing, compare, fastest, measured_results
from whichpu.results.known import why_stopped
from whichpu.results.schema import Campaign, Doubt, TaskInfo
from whichpu.results.summary import Figures, summarize

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 200
GRAVEST = ("outputs-differ", "fallback", "placement-unknown")
"""Doubts that are told first: the figures are of something else than was asked for."""


def console() -> Console:
    """The terminal, or an unwrapped stream when stdout is piped."""
    from rich.console import Console

    screen = Console(highlight=False, emoji=False)
    return screen if screen.is_terminal else Console(highlight=False, emoji=False, width=PIPED_WIDTH)


def plain(campaign: Campaign) -> str:
    """The campaign's tables as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    show(campaign, Console(file=stream, width=PIPED_WIDTH, highlight=False, emoji=False))
    return stream.getvalue()


def show(campaign: Campaign, screen: Console) -> None:
    """Print everything about one campaign: figures, what couldn't run, doubts."""
    rows = summarize(campaign)
    counting = {result.name for result in measured_results(campaign)}
    measured = [row for row in rows if row.name in counting]
    verdicts = {row.contender: row for row in compare(campaign)}
    screen.print(f"\n[bold]{safe(campaign.model.name)}[/bold]: {_conditions(campaign)}")
    if measured:
        _print_latencies(screen, measured, verdicts)
        _print_others(screen, measured, campaign)
    answering = [row for row in rows if row.name in counting or row.boundary == SIMULATED]
    if answering:
        accuracy.show(campaign, answering, screen)
    if measured:
        memory.show(measured, screen)
        precision.show(campaign, rows, screen)
    for line in [*_notes(rows, campaign), *boundary.sentences(measured, campaign), *boundary.simulated(rows)]:
        screen.print(line, markup=False)
    for line in placed.sentences(answering):
        screen.print(line, markup=False)
    screen.print(f"\n{why_stopped(campaign)}", markup=False)
    if campaign.watched is not None:
        screen.print(conditions.sentence(campaign), markup=False)
    sustained.show(campaign, screen)
    energy.show(campaign, measured, screen)
    absent = [row for row in rows if row.median_ns is None or row.status not in ("measured", "pending")]
    if absent:
        _print_absent(screen, absent)
    _print_doubts(screen, [row for row in rows if not row.yardstick])


def comparisons(rows: Sequence[Comparison], screen: Console) -> None:
    """Print verdicts, a table for each metric."""
    for metric in dict.fromkeys(row.metric for row in rows):
        _comparisons((METRICS | SCORES).get(metric, metric), [row for row in rows if row.metric == metric], screen)


def _comparisons(title: str, rows: Sequence[Comparison], screen: Console) -> None:
    names = Column("contender", [row.contender for row in rows], folds=True, least_of_names=NAME_LEAST)
    columns = [
        Column("baseline", [row.baseline for row in rows], folds=True),
        *_evidence(rows),
        Column("verdict", [VERDICTS[row.verdict] for row in rows], folds=True),
    ]
    because = Column("because", [_one_line(row.reason) for row in rows])
    if fits(screen, [names, *columns, because]):
        screen.print(table(title, [names, *columns, because]))
        return
    print_tables(screen, names, {title: columns})
    for name, reason in zip(names.cells, because.cells, strict=True):
        print_item(screen, f"{name}: {reason}", indent=2)


def _evidence(rows: Sequence[Comparison]) -> list[Column]:
    """A ratio with its interval; of scores both values, and the difference with its interval."""
    if all(row.value is None and row.baseline_value is None for row in rows):
        ratios = [units.digits(row.ratio) for row in rows]
        return [Column("ratio", ratios), Column("95 % interval", [_interval(row) for row in rows])]
    unit = rows[0].unit or ""
    shown, points = (f" ({each})" if each else "" for each in (units.score_unit(unit), units.delta_unit(unit)))
    return [
        Column(f"the baseline's{shown}", [units.score(row.baseline_value, unit, 5) for row in rows]),
        Column(f"its own{shown}", [units.score(row.value, unit, 5) for row in rows]),
        Column(f"delta{points}", [units.score_delta(row.delta, unit) for row in rows]),
        Column("95 % interval", [units.score_range(row.delta_low, row.delta_high, unit) for row in rows]),
    ]


def devices(targets: Sequence[dict[str, object]], screen: Console) -> None:
    """Print what can run here, then for the rest why not and the one command that would change it."""
    told = [_device(entry) for entry in sorted(targets, key=lambda entry: not entry["usable"])]
    headings = ("target", "usable", "precisions", "versions", "notes, or why not", "try")
    columns = [Column(name, [row[at] for row in told], folds=True) for at, name in enumerate(headings)]
    names = columns[0]._replace(least_of_names=NAME_LEAST)
    if fits(screen, columns):
        screen.print(table("", columns))
        return
    print_tables(screen, names, {"": columns[1:4]})
    for target, _, _, _, note, remedy in told:
        if note or remedy:
            print_item(screen, f"{target}: {note}", indent=2)
        if remedy:
            print_item(screen, f"Try: {remedy}", indent=4)


# ---------------------------------------------------------------- tables


def _print_latencies(screen: Console, rows: list[Figures], verdicts: dict[str, Comparison]) -> None:
    unit = units.time_unit(row.median_ns for row in rows)

    def times(heading: str, figure: Callable[[Figures], float | None]) -> Column:
        return Column(heading, [units.in_unit(figure(row), unit) for row in rows], right=True)

    spreads = [units.spread(row.median_ns, row.median_low_ns, row.median_high_ns) for row in rows]
    answer = [
        Column("precision", [row.ran_precision or units.UNKNOWN for row in rows], right=True, folds=True),
        times("median", lambda row: row.median_ns),
        Column("95 %", spreads, right=True),
        Column("vs fastest", [_against(verdicts.get(row.name)) for row in rows], right=True, folds=True),
    ]
    if any(row.best is not None for row in rows):
        answer.append(Column("best", [units.chance(row.best) for row in rows], right=True))
    rest = [
        times("mean", lambda row: row.mean_ns),
        times("min", lambda row: row.min_ns),
        times("max", lambda row: row.max_ns),
        times("std", lambda row: row.std_ns),
        times("p95", lambda row: row.p95_ns),
        times("p99", lambda row: row.p99_ns),
        Column("p99 95 %", [units.spread(row.p99_ns, row.p99_low_ns, row.p99_high_ns) for row in rows], right=True),
    ]
    title = f"latency in {unit.name}, one inference end to end"
    print_tables(screen, _names(rows), {title: answer, f"all steady inferences together, in {unit.name}": rest})


def _print_others(screen: Console, rows: list[Figures], campaign: Campaign) -> None:
    load, first = units.time_unit(row.load_ns for row in rows), units.time_unit(row.first_ns for row in rows)

    def column(heading: str, cell: Callable[[Figures], str]) -> Column:
        return Column(heading, [cell(row) for row in rows], right=True)

    outputs = [
        column(f"load ({load.name})", lambda row: units.in_unit(row.load_ns, load)),
        column(f"first inference ({first.name})", lambda row: units.in_unit(row.first_ns, first)),
    ]
    scored = bool(accuracy.scored(campaign, rows))  # then outputs have a table of their own
    start = "start" if scored else "start and outputs"
    outputs += [] if scored else _outputs(rows, campaign.task)
    effort = [
        column("inf/s", lambda row: units.digits(row.throughput_per_s)),
        column("inferences", lambda row: f"{row.count:,}"),
        column("rounds", lambda row: str(row.rounds)),
        column("cores used", lambda row: units.cores(row.cores_used)),
    ]
    whole = "start and effort" if scored else "start, outputs and effort"
    print_tables(screen, _names(rows), {start: outputs, "effort": effort}, whole)


def _outputs(rows: list[Figures], task: TaskInfo | None) -> list[Column]:
    largest = [units.small(row.difference.max_abs if row.difference else None) for row in rows]
    relative = [units.small(row.difference.relative if row.difference else None) for row in rows]
    columns = [Column("largest difference", largest, right=True), Column("relative", relative, right=True)]
    if task is None:
        return columns
    unit = unit_of(task)
    scores = [units.score(row.score, unit, 5) for row in rows]
    deltas = [units.score_delta(row.score_delta, unit) for row in rows]
    heading = f"{accuracy.name_of(task.metric)} ({units.score_unit(unit)})".removesuffix(" ()")
    return [*columns, Column(heading, scores, right=True), Column("delta", deltas, right=True)]


def _print_absent(screen: Console, rows: list[Figures]) -> None:
    title = "without figures, or cut short"
    columns = [
        Column("contender", [row.name for row in rows]),
        Column("status", [STATUS[row.status] for row in rows]),
        Column("why", [_one_line(row.why or "") for row in rows]),
        Column("try", [_one_line(row.remedy or "") for row in rows]),
    ]
    if fits(screen, columns):
        screen.print(table(title, columns))
        return
    screen.print(f"\n[bold]{title[0].upper()}{title[1:]}[/bold]")
    for name, status, why, remedy in zip(*(column.cells for column in columns), strict=True):
        print_item(screen, f"{name}: {status}{': ' if why else ''}{why}", indent=2)
        if remedy:
            print_item(screen, f"Try: {remedy}", indent=4)


def _print_doubts(screen: Console, rows: list[Figures]) -> None:
    """Doubts kind by kind, so that the grave ones are not lost among many of one kind."""
    kinds: dict[str, list[tuple[str, Doubt]]] = {}
    for row in rows:
        for doubt in row.doubts:
            kinds.setdefault(doubt.kind, []).append((row.name, doubt))
    if kinds:
        screen.print("\n[bold]Doubts[/bold]")
    for kind in sorted(kinds, key=lambda name: name not in GRAVEST):
        advice = dict.fromkeys(doubt.advice for _, doubt in kinds[kind] if doubt.advice)
        words = kind.replace("-", " ")
        print_item(screen, f"{words} ({'; '.join(advice)})" if advice else words, indent=2)
        said: dict[str, list[str]] = {}
        for name, doubt in kinds[kind]:
            said.setdefault(doubt.says, []).append(name)
        for says, names in said.items():
            print_item(screen, f"{units.joined(names)}: {says}", indent=4)


def _names(rows: list[Figures]) -> Column:
    return Column("contender", [row.name for row in rows], folds=True, least_of_names=NAME_LEAST)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _device(entry: dict[str, object]) -> tuple[str, str, str, str, str, str]:
    versions, precisions, notes = entry["versions"], entry["precisions"], entry["notes"]
    assert isinstance(versions, dict)
    assert isinstance(precisions, list)
    assert isinstance(notes, list)
    return (
        str(entry["target"]),
        "yes" if entry["usable"] else "no",
        ", ".join(precisions) or units.UNKNOWN,
        ", ".join(f"{name} {version}" for name, version in versions.items()) or units.UNKNOWN,
        _one_line(str(entry["why_not"] or "; ".join(notes))),
        _one_line(str(entry["remedy"] or "")),
    )


def _interval(row: Comparison) -> str:
    if row.low is None or row.high is None:
        return units.UNKNOWN
    return f"{units.digits(row.low)} to {units.digits(row.high)}"


# ---------------------------------------------------------------- sentences


def _conditions(campaign: Campaign) -> str:
    machine, settings = campaign.machine, campaign.settings
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    pinned = f", pinned to CPU {units.joined(list(map(str, settings.cpus)))}" if settings.cpus else ""
    where = f"{machine.cpu_model or 'an unnamed CPU'} ({machine.cpus_usable} CPUs{pinned})"
    loops = {reading.loop for result in campaign.results for reading in result.readings if reading.blocks}
    loop = ", native loop" if loops == {"native"} else ", native and Python loops" if len(loops) > 1 else ""
    return safe(f"{threads} each{loop} on {where}, seed {settings.seed}")


def _notes(rows: list[Figures], campaign: Campaign) -> list[str]:
    notes = [
        f"The harness itself costs {units.time(row.median_ns)} an inference ({row.name})."
        for row in rows
        if row.yardstick and row.median_ns is not None
    ]
    ranked, same = measured_results(campaign), agreeing(campaign)
    if same and fastest(ranked) is not fastest(same):
        notes.append(f"The fastest whose outputs agree with the reference is {fastest(same).name}.")
    notes += built.sentences(campaign.results)
    if campaign.reference is not None:
        notes.append(
            f"Differences are from the outputs of {campaign.reference.by}, {campaign.reference.samples} samples."
        )
    task = campaign.task
    if task is not None and campaign.reference is not None and campaign.reference.score is not None:
        score = accuracy.score_of(campaign.reference.score, task, 5)
        naive = units.score(task.naive, unit_of(task), 5)
        besides = f"; {task.naive_says} scores {naive}" if task.naive is not None else ""
        notes.append(f"Its {accuracy.name_of(task.metric)} is {score}{besides}.")
    if task is not None and not accuracy.scored(campaign, rows):
        notes += accuracy.of_the_data(task)
    return notes + [
        f"Not given for {row.name}: {reason}."
        for row in rows
        if not row.yardstick and row.boundary != SIMULATED
        for figure, reason in row.missing.items()
        if figure not in PARTS
    ]


def _against(row: Comparison | None) -> str:
    return "fastest" if row is None else units.ratio(row)
