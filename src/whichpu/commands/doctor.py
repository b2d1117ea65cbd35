"""``whichpu doctor``."""

from __future__ import annotations

from typing import Annotated

from whichpu.commands import options
from whichpu.commands.boards import Board, place_of
from whichpu.commands.output import print_json


def doctor(
    cpus: Annotated[str | None, options.values("CPUs that will be measured: 0,2-3.")] = None,
    board: Board = None,
    as_json: options.Json = False,
) -> None:
    """Look for what will make figures noisy on this machine, and say how to quiet it."""
    from whichpu.campaign.doctor import examine
    from whichpu.reports import doctor as report
    from whichpu.reports import terminal

    with place_of(board) as place:
        found = examine(options.cpu_list(cpus, here=board is None), place=place)
    if as_json:
        print_json(found)
    else:
        report.show(found, terminal.console())
