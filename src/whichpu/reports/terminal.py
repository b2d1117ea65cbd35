"""Tables for the terminal. Wide where there is room; the same text, unwrapped, when piped."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from whichpu.reports import units
from whichpu.reports.words import STATUS, VERDICTS
from whichpu.results.comparison import Comparison, compare, measured_results
from whichpu.results.known import why_stopped
from whichpu.results.schema import Campaign
from whichpu.results.summary import Figures, summarize

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

Cell = Callable[[Figures], str]
PIPED_WIDTH = 200


def console() -> Console:
    """The terminal, or an unwrapped stream when stdout is piped."""
    from rich.console import Console

    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def plain(campaign: Campaign) -> str:
    """The campaign's tables as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    show(campaign, Console(file=stream, width=PIPED_WIDTH, highlight=False))
    return stream.getvalue()


def show(campaign: Campaign, screen: Console) -> None:
    """Print everything about one campaign: figures, what couldn't run, doubts."""
    rows = summarize(campaign)
    counting = {result.name for result in measured_results(campaign)}
    measured = [row for row in rows if row.name in counting]
    verdicts = {row.contender: row for row in compare(campaign)}
    screen.print(f"\n[bold]{_safe(campaign.model.name)}[/bold]: {_conditions(campaign)}")
    if measured:
        screen.print(_latency_table(measured, verdicts))
        screen.print(_other_table(measured, campaign))
    for line in _notes(rows, campaign):
        screen.print(line, markup=False)
    screen.print(f"\n{why_stopped(campaign)}", markup=False)
    absent = [row for row in rows if row.median_ns is None or row.status not in ("measured", "pending")]
    if absent:
        screen.print(_absent_table(absent))
    doubted = [row for row in rows if row.doubts and not row.yardstick]
    if doubted:
        screen.print("\n[bold]Doubts[/bold]")
    for row in doubted:
        for doubt in row.doubts:
            advice = f" ({doubt.advice})" if doubt.advice else ""
            screen.print(f"  {row.name}: {doubt.says}{advice}", markup=False)


def comparisons(rows: Sequence[Comparison], screen: Console) -> None:
    """Print verdicts as a table."""
    table = _table("contender", "baseline", "ratio", "95 % interval", "verdict", "because")
    for row in rows:
        interval = units.UNKNOWN
        if row.low is not None and row.high is not None:
            interval = f"{units.digits(row.low)} to {units.digits(row.high)}"
        table.add_row(
            _safe(row.contender),
            _safe(row.baseline),
            units.digits(row.ratio),
            interval,
            VERDICTS[row.verdict],
            _safe(row.reason),
        )
    screen.print(table)


def devices(targets: Sequence[dict[str, object]], screen: Console) -> None:
    """Print what can run here, and for the rest why not and the one command that would change it."""
    table = _table("target", "usable", "precisions", "versions", "notes, or why not", "try")
    for entry in targets:
        versions = entry["versions"]
        assert isinstance(versions, dict)
        precisions, notes = entry["precisions"], entry["notes"]
        assert isinstance(precisions, list)
        assert isinstance(notes, list)
        table.add_row(
            _safe(str(entry["target"])),
            "yes" if entry["usable"] else "no",
            ", ".join(precisions) or units.UNKNOWN,
            ", ".join(f"{name} {version}" for name, version in versions.items()) or units.UNKNOWN,
            _safe(str(entry["why_not"] or "; ".join(notes))),
            _safe(str(entry["remedy"] or "")),
        )
    screen.print(table)


# ---------------------------------------------------------------- tables


def _latency_table(rows: list[Figures], verdicts: dict[str, Comparison]) -> RenderableType:
    unit = units.time_unit(row.median_ns for row in rows)
    columns: list[tuple[str, Cell]] = [
        ("precision", lambda row: row.ran_precision or units.UNKNOWN),
        ("median", lambda row: units.in_unit(row.median_ns, unit)),
        ("95 %", lambda row: units.spread(row.median_ns, row.median_low_ns, row.median_high_ns)),
        ("mean", lambda row: units.in_unit(row.mean_ns, unit)),
        ("min", lambda row: units.in_unit(row.min_ns, unit)),
        ("max", lambda row: units.in_unit(row.max_ns, unit)),
        ("std", lambda row: units.in_unit(row.std_ns, unit)),
        ("p95", lambda row: units.in_unit(row.p95_ns, unit)),
        ("p99", lambda row: units.in_unit(row.p99_ns, unit)),
        ("inf/s", lambda row: units.digits(row.throughput_per_s)),
        ("vs fastest", lambda row: _against(verdicts.get(row.name))),
    ]
    return _filled(f"latency in {unit.name}, one inference end to end", rows, columns)


def _other_table(rows: list[Figures], campaign: Campaign) -> RenderableType:
    load, first = units.time_unit(row.load_ns for row in rows), units.time_unit(row.first_ns for row in rows)
    columns: list[tuple[str, Cell]] = [
        (f"load ({load.name})", lambda row: units.in_unit(row.load_ns, load)),
        (f"first inference ({first.name})", lambda row: units.in_unit(row.first_ns, first)),
        ("largest difference", lambda row: units.small(row.difference.max_abs if row.difference else None)),
    ]
    if campaign.task is not None:
        metric = f"{campaign.task.metric.upper()} ({campaign.task.unit})"
        columns.append((metric, lambda row: units.digits(row.score, 5)))
        columns.append(("delta", lambda row: units.signed(row.score_delta)))
    columns.append(("inferences", lambda row: f"{row.count:,}"))
    columns.append(("rounds", lambda row: str(row.rounds)))
    columns.append(("cores used", lambda row: units.cores(row.cores_used)))
    return _filled("start, outputs and effort", rows, columns)


def _absent_table(rows: list[Figures]) -> RenderableType:
    table = _table("contender", "status", "why", "try", title="without figures, or cut short")
    for row in rows:
        table.add_row(_safe(row.name), STATUS[row.status], _safe(row.why or ""), _safe(row.remedy or ""))
    return table


def _filled(title: str, rows: list[Figures], columns: list[tuple[str, Cell]]) -> RenderableType:
    table = _table("contender", *[name for name, _ in columns], title=title, right=True)
    for row in rows:
        table.add_row(_safe(row.name), *[_safe(cell(row)) for _, cell in columns])
    return table


def _table(*columns: str, title: str | None = None, right: bool = False) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="dim", pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if right and index else "left", overflow="fold")
    return table


# ---------------------------------------------------------------- sentences


def _conditions(campaign: Campaign) -> str:
    machine, settings = campaign.machine, campaign.settings
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    return _safe(
        f"{threads} each on {machine.cpu_model or 'an unnamed CPU'} ({machine.cpus_usable} CPUs), seed {settings.seed}"
    )


def _notes(rows: list[Figures], campaign: Campaign) -> list[str]:
    notes = [
        f"The harness itself costs {units.time(row.median_ns)} an inference ({row.name})."
        for row in rows
        if row.yardstick and row.median_ns is not None
    ]
    if campaign.reference is not None:
        notes.append(
            f"Differences are from the outputs of {campaign.reference.by}, {campaign.reference.samples} samples."
        )
    task = campaign.task
    if task is not None and campaign.reference is not None and campaign.reference.score is not None:
        score = units.digits(campaign.reference.score, 5)
        naive = f"; {task.naive_says} scores {units.digits(task.naive, 5)}" if task.naive is not None else ""
        notes.append(f"Its {task.metric.upper()} is {score} {task.unit}{naive}.")
    return notes + [
        f"Not given for {row.name}: {reason}." for row in rows if not row.yardstick for reason in row.missing.values()
    ]


def _against(row: Comparison | None) -> str:
    if row is None:
        return "fastest"
    if row.ratio is None:
        return units.UNKNOWN
    if row.verdict in ("faster", "slower"):
        return f"{units.digits(row.ratio)} x"
    word = VERDICTS[row.verdict] if row.low is not None else "not judged: one round"
    return f"{units.digits(row.ratio)} x ({word})"


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)
