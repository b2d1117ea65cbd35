"""Tables for the terminal: one wide table where there is room for it (as when piped), else several narrow ones."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from whichpu.reports import units
from whichpu.reports.words import STATUS, VERDICTS
from whichpu.results.comparison import Comparison, compare, measured_results
from whichpu.results.known import why_stopped
from whichpu.results.schema import Campaign
from whichpu.results.summary import Figures, summarize

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 200
BETWEEN, EDGES = 3, 2
"""Characters between two columns of a table, and at its two ends together."""
NAME_LEAST = 20
"""A contender's name is folded to no less: `openvino:cpu,precision=default` takes two lines, not four."""
CLAUSE = re.compile(r"(?<=,)(?! )|(?<=, )|(?<= )(?=\()")
PIECE = re.compile(r"[^\s,:=/]+[\s,:=/]*|[\s,:=/]+")


class Column(NamedTuple):
    """A heading and its cells. Only a column that ``folds`` may go on in the next line; numbers never do."""

    heading: str
    cells: Sequence[str]
    right: bool = False
    folds: bool = False
    least_of_names: int = 0

    def most(self) -> int:
        """Its width when nothing more is folded."""
        return max(len(line) for text in (self.heading, *self.cells) for line in text.split("\n"))

    def least(self, split: Callable[[str], list[str]]) -> int:
        """Its width when all is folded that may be; what ``split`` makes of a cell stays whole."""
        cells = [part.rstrip() for cell in self.cells for part in split(cell)] if self.folds else self.cells
        longest = max(len(text) for text in (*self.heading.split(), *cells))
        return min(self.most(), self.least_of_names or longest)

    def folded(self, width: int) -> Column:
        """The column with its heading, and its cells if they may, on lines of ``width`` at most."""
        cells = [_folded(cell, width) for cell in self.cells] if self.folds else self.cells
        return self._replace(heading=_folded(self.heading, width), cells=cells)


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
    screen.print(f"\n[bold]{_safe(campaign.model.name)}[/bold]: {_conditions(campaign)}")
    if measured:
        _print_latencies(screen, measured, verdicts)
        _print_others(screen, measured, campaign)
    for line in _notes(rows, campaign):
        screen.print(line, markup=False)
    screen.print(f"\n{why_stopped(campaign)}", markup=False)
    absent = [row for row in rows if row.median_ns is None or row.status not in ("measured", "pending")]
    if absent:
        _print_absent(screen, absent)
    doubted = [row for row in rows if row.doubts and not row.yardstick]
    if doubted:
        screen.print("\n[bold]Doubts[/bold]")
    for row in doubted:
        for doubt in row.doubts:
            advice = f" ({doubt.advice})" if doubt.advice else ""
            _print_item(screen, f"{row.name}: {doubt.says}{advice}", indent=2)


def comparisons(rows: Sequence[Comparison], screen: Console) -> None:
    """Print verdicts as a table."""
    names = Column("contender", [row.contender for row in rows], folds=True, least_of_names=NAME_LEAST)
    columns = [
        Column("baseline", [row.baseline for row in rows], folds=True),
        Column("ratio", [units.digits(row.ratio) for row in rows]),
        Column("95 % interval", [_interval(row) for row in rows]),
        Column("verdict", [VERDICTS[row.verdict] for row in rows], folds=True),
    ]
    because = Column("because", [_one_line(row.reason) for row in rows])
    if _fits(screen, [names, *columns, because]):
        screen.print(_table("", [names, *columns, because]))
        return
    _print_tables(screen, names, {"": columns})
    for name, reason in zip(names.cells, because.cells, strict=True):
        _print_item(screen, f"{name}: {reason}", indent=2)


def devices(targets: Sequence[dict[str, object]], screen: Console) -> None:
    """Print what can run here, and for the rest why not and the one command that would change it."""
    told = [_device(entry) for entry in targets]
    headings = ("target", "usable", "precisions", "versions", "notes, or why not", "try")
    columns = [Column(name, [row[at] for row in told], folds=True) for at, name in enumerate(headings)]
    names = columns[0]._replace(least_of_names=NAME_LEAST)
    if _fits(screen, columns):
        screen.print(_table("", columns))
        return
    _print_tables(screen, names, {"": columns[1:4]})
    for target, _, _, _, note, remedy in told:
        if note or remedy:
            _print_item(screen, f"{target}: {note}", indent=2)
        if remedy:
            _print_item(screen, f"Try: {remedy}", indent=4)


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
    rest = [
        times("mean", lambda row: row.mean_ns),
        times("min", lambda row: row.min_ns),
        times("max", lambda row: row.max_ns),
        times("std", lambda row: row.std_ns),
        times("p95", lambda row: row.p95_ns),
        times("p99", lambda row: row.p99_ns),
        Column("inf/s", [units.digits(row.throughput_per_s) for row in rows], right=True),
    ]
    title = f"latency in {unit.name}, one inference end to end"
    _print_tables(screen, _names(rows), {title: answer, f"all steady inferences together, in {unit.name}": rest})


def _print_others(screen: Console, rows: list[Figures], campaign: Campaign) -> None:
    load, first = units.time_unit(row.load_ns for row in rows), units.time_unit(row.first_ns for row in rows)

    def column(heading: str, cell: Callable[[Figures], str]) -> Column:
        return Column(heading, [cell(row) for row in rows], right=True)

    outputs = [
        column(f"load ({load.name})", lambda row: units.in_unit(row.load_ns, load)),
        column(f"first inference ({first.name})", lambda row: units.in_unit(row.first_ns, first)),
        column("largest difference", lambda row: units.small(row.difference.max_abs if row.difference else None)),
    ]
    if campaign.task is not None:
        metric = f"{campaign.task.metric.upper()} ({campaign.task.unit})"
        outputs.append(column(metric, lambda row: units.digits(row.score, 5)))
        outputs.append(column("delta", lambda row: units.signed(row.score_delta)))
    effort = [
        column("inferences", lambda row: f"{row.count:,}"),
        column("rounds", lambda row: str(row.rounds)),
        column("cores used", lambda row: units.cores(row.cores_used)),
    ]
    _print_tables(screen, _names(rows), {"start and outputs": outputs, "effort": effort}, "start, outputs and effort")


def _print_absent(screen: Console, rows: list[Figures]) -> None:
    title = "without figures, or cut short"
    columns = [
        Column("contender", [row.name for row in rows]),
        Column("status", [STATUS[row.status] for row in rows]),
        Column("why", [_one_line(row.why or "") for row in rows]),
        Column("try", [_one_line(row.remedy or "") for row in rows]),
    ]
    if _fits(screen, columns):
        screen.print(_table(title, columns))
        return
    screen.print(f"\n[bold]{title[0].upper()}{title[1:]}[/bold]")
    for name, status, why, remedy in zip(*(column.cells for column in columns), strict=True):
        _print_item(screen, f"{name}: {status}{': ' if why else ''}{why}", indent=2)
        if remedy:
            _print_item(screen, f"Try: {remedy}", indent=4)


def _names(rows: list[Figures]) -> Column:
    return Column("contender", [row.name for row in rows], folds=True, least_of_names=NAME_LEAST)


def _print_tables(screen: Console, names: Column, groups: Mapping[str, list[Column]], whole: str | None = None) -> None:
    """All groups of columns in one table if it fits, else a table each, or more of them in a very narrow terminal."""
    every = [names, *(column for columns in groups.values() for column in columns)]
    if _fits(screen, every):
        screen.print(_table(next(iter(groups)) if whole is None else whole, every))
        return
    for title, columns in groups.items():
        for part in _parts(names, columns, screen.width):
            screen.print(_table(title, _squeezed([names, *part], screen.width)))


def _fits(screen: Console, columns: Sequence[Column]) -> bool:
    return _width([column.most() for column in columns]) <= screen.width


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + BETWEEN * (len(widths) - 1) + EDGES


def _parts(names: Column, columns: list[Column], room: int) -> Iterator[list[Column]]:
    """As many columns beside the names as fit when they are folded, then the next ones."""
    part: list[Column] = []
    for column in columns:
        if part and _width([one.least(PIECE.findall) for one in (names, *part, column)]) > room:
            yield part
            part = []
        part.append(column)
    yield part


def _squeezed(columns: list[Column], room: int) -> list[Column]:
    """Fold what gains most by it, first where it reads well; when the table fits, give back what room is left."""
    now = list(columns)
    for split in (CLAUSE.split, PIECE.findall):
        leasts = [column.least(split) for column in columns]
        while _width([column.most() for column in now]) > room:
            loose = [at for at, column in enumerate(now) if column.most() > leasts[at]]
            if not loose:
                break
            tries = {at: columns[at].folded(now[at].most() - 1) for at in loose}
            best = max(loose, key=lambda at: now[at].most() - tries[at].most())
            now[best] = tries[best]
    for at in reversed(range(len(columns))):
        spare = max(0, room - _width([column.most() for column in now]))
        now[at] = columns[at].folded(now[at].most() + spare)
    return now


def _table(title: str, columns: Sequence[Column]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(_safe(column.heading), justify="right" if column.right else "left", no_wrap=column.right)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(_safe, cells))
    return table


# ---------------------------------------------------------------- text


def _folded(text: str, width: int) -> str:
    """Lines of ``width`` at most: broken after an option or before a bracket, else at spaces and within a name."""
    lines = [""]
    for clause in CLAUSE.split(text):
        for piece in [clause] if len(clause.rstrip()) <= width else PIECE.findall(clause):
            if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    cut = [line[at : at + width] for line in map(str.rstrip, lines) for at in range(0, max(1, len(line)), width)]
    return "\n".join(cut)


def _print_item(screen: Console, text: str, indent: int) -> None:
    """A sentence as long as it likes; its further lines stand two deeper than its first."""
    first, further = " " * indent, " " * (indent + 2)
    wrapped = textwrap.fill(
        text,
        max(NAME_LEAST, screen.width),
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
    screen.print(wrapped, markup=False)


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
