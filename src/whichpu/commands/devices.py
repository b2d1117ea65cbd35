"""``whichpu devices``."""

from __future__ import annotations

from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.boards import Board, place_of
from whichpu.commands.output import print_json


def devices(
    python: Annotated[list[str] | None, typer.Option(help="Look into this environment or interpreter too.")] = None,
    board: Board = None,
    as_json: options.Json = False,
) -> None:
    """List what can run here, and for the rest why not and the one command that would change it."""
    from whichpu.campaign.reach import targets_within_reach
    from whichpu.reports import terminal

    with place_of(board) as place:
        found = targets_within_reach(python or [], place=place)
    if as_json:
        print_json({"targets": found})
    else:
        terminal.devices(found, terminal.console())
