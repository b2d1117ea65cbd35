"""Scenario files in the terminal and as a part of the HTML report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from whichpu.reports import scenario_charts, tables, units
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables, safe
from whichpu.reports.words import STATUS
from whichpu.results.scenarios import Row, ScenarioRun, Summary, summarize, verdict

if TYPE_CHECKING:
    from rich.console import Console

LATENCY = {
    "SingleStream": "latency of a query (one sample)",
    "MultiStream": "latency of a query (all of its samples)",
    "Server": "latency from the scheduled arrival of a query to its completion",
    "Offline": "",
}
"""What the percentiles are of. Offline has none worth showing: all samples are there at once, and wait."""


def plain(run: ScenarioRun) -> str:
    """The run's tables as plain text."""
    return tables.plain(lambda screen: show(run, screen))


def show(run: ScenarioRun, screen: Console) -> None:
    """Print figures with LoadGen's verdict, what could not run, and what LoadGen said of what is INVALID."""
    rows = summarize(run)
    screen.print(f"\n[bold]{safe(run.model.name)}[/bold]: {safe(conditions(run))}")
    measured = [row for row in rows if row.verdict is not None]
    if measured:
        _print_figures(screen, measured, run)
    for line in sentences(run, rows):
        screen.print(line, markup=False)
    absent = [row for row in rows if row.verdict is None]
    if absent:
        screen.print("\n[bold]Without figures[/bold]")
    for row in absent:
        why = " ".join((row.why or "no reason is known").split())
        print_item(screen, f"{called(row)}: {why}" if row.tests else f"{called(row)}: {STATUS[row.status]}: {why}", 2)
        if row.remedy:
            print_item(screen, f"Try: {row.remedy}", indent=4)


def conditions(run: ScenarioRun) -> str:
    """Scenario, bound, machine and seed in one line."""
    terms, machine = run.terms, run.machine
    bound = f", p{100 * terms.percentile:g} below {units.time(terms.bound_ns)}" if terms.bound_ns else ""
    samples = f", {terms.samples_per_query} samples a query" if terms.scenario == "MultiStream" else ""
    pinned = f", pinned to CPU {units.joined(list(map(str, terms.cpus)))}" if terms.cpus else ""
    where = f"{machine.cpu_model or 'an unnamed CPU'} ({machine.cpus_usable} CPUs{pinned})"
    return f"{terms.scenario}{bound}{samples} on {where}, LoadGen {version(run)}, seed {terms.seed}"


def version(run: ScenarioRun) -> str:
    """LoadGen's version without its commit."""
    return (run.loadgen or "did not run").split(" @")[0]


def sentences(run: ScenarioRun, rows: list[Summary]) -> Iterator[str]:
    """What the table can't say."""
    yield f"Boundary: {run.terms.boundary}."
    for row in rows:
        if row.verdict == "INVALID":
            yield f"{called(row)} is INVALID: {'; '.join(row.reasons) or 'LoadGen gives no reason'}."
        if row.verdict is not None and row.spent:
            yield f"{called(row)}: the budget was spent; its highest rate may lie above."
        elif row.overload_verdict == "VALID":
            yield f"{called(row)}: 1.3 times its rate was called VALID too, so its highest rate may lie above."
        if row.verdict is not None and row.status != "measured":
            yield f"{called(row)} was cut short ({STATUS[row.status]}): {row.why}"
    if run.finished is None:
        yield "The run is not finished; this is what was measured so far."


def called(row: Summary | Row) -> str:
    """A row's name: the contender, and what differs from one sample, thread and stream."""
    parts = [("batch", row.batch), ("threads", row.threads), ("streams", row.streams)]
    return ", ".join([row.contender, *(f"{name} {value}" for name, value in parts if value != 1)])


def _counted(run: ScenarioRun) -> str:
    """What is counted: Offline has one query of all samples."""
    return "samples" if run.terms.scenario == "Offline" else "queries"


def _state(row: Summary) -> str:
    return "no rate holds" if row.status == "measured" else STATUS[row.status]


def _print_figures(screen: Console, rows: list[Summary], run: ScenarioRun) -> None:
    served, title = run.terms.scenario == "Server", LATENCY[run.terms.scenario]
    names = Column("contender", [row.contender for row in rows], folds=True, least_of_names=NAME_LEAST)
    answer = [
        Column(name, [str(getattr(row, name)) for row in rows], right=True) for name in ("batch", "threads", "streams")
    ]
    if served:
        answer.append(Column("queries/s", [units.digits(row.rate_per_s) for row in rows], right=True))
    else:
        answer.append(Column("samples/s", [units.digits(row.throughput_per_s) for row in rows], right=True))
    answer.append(Column("LoadGen", [row.verdict or units.UNKNOWN for row in rows]))
    if served:
        answer.append(Column("at 1.3 x", [row.overload_verdict or units.UNKNOWN for row in rows]))
    of = _counted(run)
    effort = [
        Column(of, [f"{getattr(row, of) or 0:,}" for row in rows], right=True),
        Column("tests", [str(row.tests) for row in rows], right=True),
    ]
    if not title:
        print_tables(screen, names, {"throughput, all samples at once": [*answer, *effort]})
        return
    unit = units.time_unit(row.p50_ns for row in rows)
    times = [
        Column(name, [units.in_unit(getattr(row, f"{name}_ns"), unit) for row in rows], right=True)
        for name in ("p50", "p90", "p99")
    ]
    print_tables(screen, names, {f"{title}, in {unit.name}": [*answer, *times], "effort": effort})


# ---------------------------------------------------------------- HTML


def view(number: int, file: str, run: ScenarioRun) -> dict[str, Any]:
    """What the template of a campaign shows, for a scenario."""
    from whichpu.reports.html import Notes

    rows, notes = summarize(run), Notes(f"m{number}")
    measured = [row for row in rows if row.verdict is not None]
    return {
        "id": f"m{number}",
        "file": file,
        "campaign": run,
        "template": "scenario.html.j2",
        "headline": headline(run, measured),
        "facts": list(_facts(run)),
        "charts": scenario_charts.charts_of(run),
        "tables": [_table(run, measured, notes)] if measured else [],
        "lacking": [_lack(row, run) for row in rows if row.verdict is None],
        "ran": [_ran(row, run) for row in run.rows if row.probes],
        "says": list(sentences(run, rows)),
        "notes": notes,
    }


def headline(run: ScenarioRun, rows: list[Summary]) -> list[str]:
    """The largest rate or throughput that LoadGen calls VALID, and whose it is."""
    best = next((row for row in rows if row.verdict == "VALID"), None)
    if best is None:
        return [f"{run.terms.scenario}: LoadGen called nothing VALID."]
    if run.terms.scenario == "Server":
        said = f"{called(best)} holds {units.digits(best.rate_per_s)} queries a second"
        return [f"Server: {said} with p{100 * run.terms.percentile:g} below {units.time(run.terms.bound_ns)}."]
    does = "has the largest throughput," if len(rows) > 1 else "reaches"
    return [f"{run.terms.scenario}: {called(best)} {does} {units.digits(best.throughput_per_s)} samples a second."]


def _facts(run: ScenarioRun) -> Iterator[str]:
    machine, terms = run.machine, run.terms
    yield terms.scenario
    yield machine.cpu_model or "CPU model unknown"
    yield f"{machine.cpus_usable} CPU{'s' * (machine.cpus_usable != 1)} usable"
    yield f"pinned to CPU {units.joined(list(map(str, terms.cpus)))}" if terms.cpus else "not pinned"
    yield f"LoadGen {version(run)}"
    queries = f" and {terms.least_queries:,} queries" if terms.least_queries > 1 else ""
    yield f"tests of {units.digits(terms.duration_s)} s{queries} at least"
    yield f"data {terms.data}"
    yield f"seed {terms.seed}"


def _table(run: ScenarioRun, rows: list[Summary], notes: Any) -> Any:
    from whichpu.reports.html import Cell, Head, Table

    served, timed = run.terms.scenario == "Server", bool(LATENCY[run.terms.scenario])
    unit = units.time_unit(row.p50_ns for row in rows)
    heads = [Head("contender", words=True), Head("batch"), Head("threads"), Head("streams")]
    heads += [Head("rate", "queries/s")] if served else []
    heads += [Head("throughput", "samples/s"), Head("LoadGen", "verdict", words=True)]
    heads += [Head("at 1.3 ×", "verdict", words=True)] if served else []
    heads += [Head(name, unit.name) for name in ("p50", "p90", "p99")] if timed else []
    heads += [Head(_counted(run)), Head("tests")]
    cells = []
    for row in rows:
        line = [
            Cell(row.contender, row.ran_precision or ""),
            *(Cell(str(n)) for n in (row.batch, row.threads, row.streams)),
        ]
        line += [Cell(units.digits(row.rate_per_s), tone="strong")] if served else []
        line.append(Cell(units.digits(row.throughput_per_s), tone="" if served else "strong"))
        line.append(_verdict(row.verdict, row.reasons, notes))
        line += [_verdict(row.overload_verdict, [], notes)] if served else []
        if timed:
            line += [Cell(units.in_unit(value, unit)) for value in (row.p50_ns, row.p90_ns, row.p99_ns)]
        cells.append([*line, Cell(f"{getattr(row, _counted(run)) or 0:,}"), Cell(str(row.tests))])
    return Table(run.terms.scenario, LATENCY[run.terms.scenario] or "all samples at once", heads, cells)


def _verdict(word: str | None, reasons: list[str], notes: Any) -> Any:
    from whichpu.reports.html import Cell

    if word is None:
        return Cell(units.UNKNOWN, marks=(notes.reason("no such test was run"),))
    return Cell(word, marks=(notes.reason(f"LoadGen: {'; '.join(reasons)}"),) if reasons else ())


def _lack(row: Summary, run: ScenarioRun) -> dict[str, Any]:
    words = next((each.words for each in run.rows if called(each) == called(row)), None)
    why = row.why or "no reason is known"
    return {
        "name": called(row),
        "note": "",
        "status": _state(row),
        "why": why,
        "remedy": row.remedy,
        "words": words,
        "marks": (),
    }


def _ran(row: Row, run: ScenarioRun) -> dict[str, Any]:
    folders = [probe.logs for probe in row.probes if probe.logs]
    return {
        "name": called(row),
        "precision": row.precision,
        "versions": row.versions,
        "effective": row.effective,
        "alone": units.time(row.alone_ns),
        "tests": _tests(row, run),
        "logs": folders[0].rpartition("/")[0] if folders else None,
    }


def _tests(row: Row, run: ScenarioRun) -> Any:
    from whichpu.reports.html import Cell, Head, Table

    key = f"p{100 * run.terms.percentile:g}"
    unit = units.time_unit(probe.latency_ns.get(key) for probe in row.probes)
    heads = [Head("test", words=True), Head("rate", "offered" if run.terms.bound_ns else "expected")]
    heads += [Head("throughput", "samples/s"), Head(key, unit.name), Head(_counted(run)), Head("verdict", words=True)]
    cells = [
        [
            Cell(f"{number} {probe.purpose}"),
            Cell(units.digits(probe.rate_per_s)),
            Cell(units.digits(probe.throughput_per_s)),
            Cell(units.in_unit(probe.latency_ns.get(key), unit)),
            Cell(f"{getattr(probe, _counted(run)):,}"),
            Cell(verdict(probe), title="; ".join(probe.reasons)),
        ]
        for number, probe in enumerate(row.probes, 1)
    ]
    return Table("Tests", "in the order they ran", heads, cells)
