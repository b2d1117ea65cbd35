"""``whichpu boards``, and the option by which other commands look at one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json

Board = Annotated[str | None, typer.Option(metavar="NAME", help="Look at this board of whichpu.toml instead.")]


def place_of(board: str | None) -> AbstractContextManager[Any]:
    """The board, held alone meanwhile; this machine for none. Raises :class:`UserError`."""
    from whichpu.api.boards import opened

    return opened(board, tell=lambda words: typer.echo(f"{words} ...", err=True))


def boards(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these boards.")] = None,
    as_json: options.Json = False,
) -> None:
    """Visit the boards of whichpu.toml: can each be reached, who is on it, what is it, and what runs on it."""
    from whichpu.api.boards import visit
    from whichpu.reports import boards as report
    from whichpu.reports import terminal

    found = visit(names or [])
    if as_json:
        print_json({"boards": found})
    else:
        report.show(found, terminal.console())
    if not all(visited.reached for visited in found):
        raise typer.Exit(1)
