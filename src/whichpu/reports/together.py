"""Together files in the terminal and as a part of the HTML report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from whichpu.reports import tables, together_chart, units
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables, safe
from whichpu.reports.words import STATUS
from whichpu.results.joint import Joint, Outcome, Slowdown, outcome
from whichpu.results.schema import Doubt
from whichpu.results.together import Row, TogetherRun
from whichpu.stats.intervals import Estimate

if TYPE_CHECKING:
    from rich.console import Console

VERDICTS = {
    "slower": "slowed down",
    "faster": "faster together",
    "no-difference": "no slow-down shown",
    "too-small-to-matter": "too small to matter",
    "not-comparable": "not known",
}
KEEPS = 1.02
"""A median below so many times what it was has stayed."""

NOT_TOLD = "Which part of what they share (caches, memory bandwidth, clock, power) slows them down is not measured."


def plain(run: TogetherRun) -> str:
    """The run's tables as plain text."""
    return tables.plain(lambda screen: show(run, screen))


def show(run: TogetherRun, screen: Console) -> None:
    """Print the figures, whether running all at once pays, doubts, and what ended the run early."""
    found = outcome(run)
    screen.print(f"\n[bold]{safe(' and '.join(models(run)))}[/bold]: {safe(conditions(run))}")
    if found.joint is not None:
        _print_figures(screen, found.contenders, run)
    for line in sentences(run, found):
        screen.print(line, markup=False)
    for row in found.contenders:
        if row.why is not None:
            print_item(screen, f"{row.name}: {STATUS[row.status]}: {' '.join(row.why.split())}", indent=2)
            if row.remedy:
                print_item(screen, f"Try: {row.remedy}", indent=4)
    told = doubts(found)
    if told:
        screen.print("\n[bold]Doubts[/bold]")
    for names, doubt in told:
        print_item(screen, f"{names}: {doubt.says}", indent=2)
        if doubt.advice:
            print_item(screen, f"Try: {doubt.advice}", indent=4)


class Body(msgspec.Struct, kw_only=True):
    """What ``--json`` prints. ``says`` are the sentences of the terminal, ``ended`` is why the run ended early."""

    path: str = ""
    models: list[str]
    says: list[str]
    ended: str | None
    contenders: list[Slowdown]
    joint: Joint | None
    doubts: list[Doubt]


def body(run: TogetherRun) -> dict[str, object]:
    """The run's figures for scripts, as :class:`Body`, without the path."""
    found = outcome(run)
    told = Body(
        models=models(run),
        says=list(sentences(run, found)),
        ended=run.ended,
        contenders=found.contenders,
        joint=found.joint,
        doubts=found.doubts,
    )
    fields = msgspec.structs.asdict(told)
    del fields["path"]
    return fields


def json_schema() -> dict[str, object]:
    """The published JSON Schema of what ``--json`` prints."""
    schema = msgspec.json.schema(Body)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "whichpu together --json", **schema}


def models(run: TogetherRun) -> list[str]:
    """The models that ran, each once."""
    return list(dict.fromkeys(row.model for row in run.rows)) or [run.model.name]


def conditions(run: TogetherRun) -> str:
    """Machine, windows and seed in one line."""
    machine, terms = run.machine, run.terms
    where = f"{machine.cpu_model or 'an unnamed CPU'} ({machine.cpus_usable} CPUs{_board(run)})"
    what = f"windows of {units.time(1e9 * terms.window_s)}, {terms.turns} a round, seed {terms.seed}"
    return f"{len(run.rows)} contenders alone and at once on {where}; {what}"


def _board(run: TogetherRun) -> str:
    return f", board {run.place}" if run.place is not None else ""


def doubts(found: Outcome) -> list[tuple[str, Doubt]]:
    """All doubts with whom they are about, those about all first."""
    own = [(row.name, doubt) for row in found.contenders for doubt in row.doubts]
    return [("all", doubt) for doubt in found.doubts] + own


def sentences(run: TogetherRun, found: Outcome) -> Iterator[str]:
    """What the figures say; the first answers whether running all at once pays."""
    if found.joint is not None:
        yield pays(found.joint, found.contenders)
        yield from (losses(row) for row in found.contenders if row.verdict == "slower")
        yield NOT_TOLD
    else:
        yield "There was no round in which all ran at once: nothing is known of what they cost each other."
    if run.ended is not None:
        yield f"The run ended early: {run.ended}"
    elif run.finished is None:
        yield "The run is not finished; this is what was measured so far."


def pays(joint: Joint, contenders: list[Slowdown]) -> str:
    """Whether running all at once pays, with the figures that say so."""
    who = "both" if len(contenders) == 2 else f"all {len(contenders)}"
    beginning = {
        "pays": f"Running {who} at once pays",
        "costs": f"Running {who} at once costs throughput",
        "does-not-pay": f"Running {who} at once does not pay",
        "not-shown": f"It is not shown that running {who} at once pays",
        "not-known": f"Whether running {who} at once pays is not known yet (one round says nothing about spread)",
    }[joint.verdict]
    if joint.over_best is None or joint.efficiency is None:
        turns = f"{times(joint.work)} the work that they would do in turns"
        return f"{beginning}: together they do {turns} (of {len(contenders)} times at most, if none felt the others)."
    rate = f"{units.digits(joint.per_s.value if joint.per_s else None)} inferences a second"
    best = f"{times(joint.over_best)} what {joint.best} does alone"
    share = f"{units.percent(joint.efficiency.value, 3)} of the sum of all alone"
    return f"{beginning}: together they do {rate}, {best}, and {share}{_interval(joint.efficiency, percent=True)}."


def losses(row: Slowdown) -> str:
    """What one contender loses, in throughput and latency."""
    latency = ""
    if row.alone_p50_ns is not None and row.together_p50_ns is not None:
        before, after = row.alone_p50_ns.value, row.together_p50_ns.value
        latency = f": its median latency goes from {units.time(before)} to {units.time(after)}"
        if after < KEEPS * before:
            latency = (
                f": its median latency stays at {units.time(after)}, so what it loses it loses in a few long waits"
            )
    return f"{row.name} is slowed down {times(row.slowdown)}{latency}."


def times(ratio: Estimate | None) -> str:
    """``1.42 times (1.38 to 1.46)``."""
    return "?" if ratio is None else f"{units.digits(ratio.value)} times{_interval(ratio)}"


def _interval(ratio: Estimate, percent: bool = False) -> str:
    if ratio.low is None or ratio.high is None:
        return ""
    if percent:
        return f" ({units.digits(100 * ratio.low)} to {units.percent(ratio.high, 3)})"
    return f" ({units.digits(ratio.low)} to {units.digits(ratio.high)})"


def _range(ratio: Estimate | None) -> str:
    if ratio is None or ratio.low is None or ratio.high is None:
        return units.UNKNOWN
    return f"{units.digits(ratio.low)} to {units.digits(ratio.high)}"


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _cpus(row: Slowdown | Row) -> str:
    return ",".join(map(str, row.cpus)) or "any"


LATENCIES = ("alone_p50_ns", "together_p50_ns", "alone_p95_ns", "together_p95_ns")


def _print_figures(screen: Console, rows: list[Slowdown], run: TogetherRun) -> None:
    names = Column("contender", [row.name for row in rows], folds=True, least_of_names=NAME_LEAST)
    where = [Column("CPU", [_cpus(row) for row in rows], right=True)]
    if len(models(run)) > 1:
        where.insert(0, Column("model", [row.model for row in rows], folds=True))
    rates = [
        Column("alone", [units.digits(_value(row.alone_per_s)) for row in rows], right=True),
        Column("together", [units.digits(_value(row.together_per_s)) for row in rows], right=True),
        Column("slow-down", [units.digits(_value(row.slowdown)) for row in rows], right=True),
        Column("95 % interval", [_range(row.slowdown) for row in rows], right=True),
        Column("verdict", [VERDICTS[row.verdict] for row in rows], folds=True),
    ]
    unit = units.time_unit(_value(getattr(row, name)) for row in rows for name in LATENCIES)
    latencies = [
        Column(heading, [units.in_unit(_value(getattr(row, name)), unit) for row in rows], right=True)
        for heading, name in zip(("p50 alone", "together", "p95 alone", "together"), LATENCIES, strict=True)
    ]
    groups = {"inferences a second": [*where, *rates], f"latency in {unit.name}": latencies}
    print_tables(screen, names, groups, whole=f"inferences a second; latency in {unit.name}")


# ---------------------------------------------------------------- HTML


def view(number: int, file: str, run: TogetherRun) -> dict[str, Any]:
    """What the template of a campaign shows, for contenders at once."""
    from whichpu.reports.html import Notes

    found, notes = outcome(run), Notes(f"m{number}")
    says = list(sentences(run, found))
    return {
        "id": f"m{number}",
        "file": file,
        "campaign": run,
        "template": "together.html.j2",
        "models": models(run),
        "headline": says[:1],
        "facts": list(_facts(run)),
        "charts": together_chart.charts_of(found),
        "tables": [_table(run, found.contenders)] if found.joint is not None else [],
        "says": says[1:],
        "doubts": doubts(found),
        "ran": run.rows,
        "status": STATUS,
        "notes": notes,
    }


def _facts(run: TogetherRun) -> Iterator[str]:
    machine, terms = run.machine, run.terms
    yield "alone and at once"
    yield (machine.cpu_model or "CPU model unknown") + _board(run)
    yield f"{machine.cpus_usable} CPU{'s' * (machine.cpus_usable != 1)} usable"
    rounds = max((len(row.readings) for row in run.rows), default=0)
    yield f"{rounds} round{'s' * (rounds != 1)} of fresh processes"
    yield f"{terms.turns} window{'s' * (terms.turns != 1)} of {units.time(1e9 * terms.window_s)} of each kind a round"
    yield f"data {terms.data}"
    yield f"seed {terms.seed}"


def _table(run: TogetherRun, rows: list[Slowdown]) -> Any:
    from whichpu.reports.html import Cell, Head, Table

    unit = units.time_unit(_value(getattr(row, name)) for row in rows for name in LATENCIES)
    heads = [Head("contender", words=True), Head("model", words=True), Head("CPU")]
    heads += [Head("alone", "1/s"), Head("together", "1/s"), Head("slow-down", "times"), Head("verdict", words=True)]
    heads += [Head(f"{name} {when}", unit.name) for name in ("p50", "p95") for when in ("alone", "together")]
    cells = [
        [
            Cell(row.name, row.ran_precision or ""),
            Cell(row.model),
            Cell(_cpus(row)),
            Cell(units.digits(_value(row.alone_per_s))),
            Cell(units.digits(_value(row.together_per_s))),
            Cell(units.digits(_value(row.slowdown)), _range(row.slowdown), tone="strong"),
            Cell(VERDICTS[row.verdict], title=row.reason),
            *(Cell(units.in_unit(_value(getattr(row, name)), unit)) for name in LATENCIES),
        ]
        for row in rows
    ]
    says = "Each alone, the others frozen; and all at once. Slow-down: throughput alone over throughput together."
    return Table("Alone and at once", says, heads, cells)
