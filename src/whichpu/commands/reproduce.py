"""``whichpu reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json, progress
from whichpu.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from whichpu.studies.study import Study, Table

MARKS = {"agrees": "✓", "differs": "✗", "needs hardware": "?", "can't be checked": "?"}
WORDS = {"can't be checked": "can't be checked from these figures"}
COUNTED = {
    "agrees": "agree",
    "differs": "differ",
    "needs hardware": "need hardware",
    "can't be checked": "can't be checked",
}


def reproduce(
    study: Annotated[str | None, typer.Argument(metavar="STUDY", help="Which study: see --list.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="The studies, and what they are about.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Measure the study's example here too.")] = False,
    budget: Annotated[str, options.time("With --run: time for each contender.")] = "5s",
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="With --run: where campaign files go.")
    ] = Path(),
    as_json: options.Json = False,
) -> None:
    """Read a study again: its tables from its figures, and what they say of its statements."""
    from whichpu import api, studies

    if list_:
        _list(studies.titles(), as_json)
        return
    if study is None:
        raise UserError("no study was named", f"choose one of: {', '.join(studies.STUDIES)}")
    with progress() as watch:
        found = api.reproduce(study, run=run, output=output, budget_s=options.seconds(budget), watch=watch)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _list(titles: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json({"studies": [{"name": name, "title": title} for name, title in titles.items()]})
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        typer.echo(f"{name:{width}}  {title}")


def _show(study: Study) -> None:
    from whichpu.reports import terminal
    from whichpu.reports.tables import print_item

    screen = terminal.console()
    screen.print(study.title, markup=False, highlight=False, style="bold")
    for table in study.tables:
        _table(table, screen)
    for statement in study.statements:
        print_item(screen, f"{MARKS[statement.verdict]} {statement.says}", 0)
        print_item(screen, f"{WORDS.get(statement.verdict, statement.verdict)}: {statement.because}", 4)
    counts = [each.verdict for each in study.statements]
    told = ", ".join(_counted(word, counts.count(word)) for word in COUNTED if word in counts)
    screen.print(f"\n{len(counts)} statements: {told}.", markup=False, highlight=False)
    for note in study.notes:
        print_item(screen, f"Note: {note}", 0)
    for way in study.ways:
        print_item(screen, f"To measure or look further: {way}", 0)


def _counted(word: str, count: int) -> str:
    return f"{count} {word if count == 1 else COUNTED[word]}"


def _table(table: Table, screen: Console) -> None:
    from whichpu.reports.tables import NAME_LEAST, Column, print_tables

    columns = [Column(head, [row[at] for row in table.rows], folds=at == 0) for at, head in enumerate(table.heads)]
    names = columns[0]._replace(least_of_names=min(NAME_LEAST, columns[0].most()))
    print_tables(screen, names, {table.title: columns[1:]})
