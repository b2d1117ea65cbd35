"""``whichpu meters``."""

from __future__ import annotations

from whichpu.commands import options
from whichpu.commands.boards import Board, place_of
from whichpu.commands.output import print_json


def meters(board: Board = None, as_json: options.Json = False) -> None:
    """List the sensors of power, energy, memory, load and heat; for what is missing why, and what would change it."""
    from whichpu.campaign.metering import look
    from whichpu.reports import meters as report
    from whichpu.reports import terminal

    with place_of(board) as place:
        found, sampled = look(place=place)
    rows = report.rows(found, sampled)
    if as_json:
        print_json({"channels": rows, "missing": found.missing})
    else:
        report.show(rows, found.missing, terminal.console())
