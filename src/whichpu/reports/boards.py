"""Boards, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from whichpu.reports.tables import print_item


def show(boards: Sequence[Any], screen: Console) -> None:
    """One row a board (:class:`whichpu.api.boards.Visited`); below, those that could not be reached, and why."""
    reached = [board for board in boards if board.reached]
    if reached:
        screen.print(_table(reached))
    for board in [board for board in boards if not board.reached]:
        why = str(board.why_not).removeprefix(f"{board.name}: ")
        print_item(screen, f"{board.name} ({board.host}): not reached: {why}", indent=0)
        if board.remedy:
            print_item(screen, f"Try: {board.remedy}", indent=2)


def _table(boards: Sequence[Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("board", "host", "machine", "Python", "what runs there"):
        table.add_column(heading, overflow="fold")
    for board in boards:
        machine = ", ".join(part for part in (board.machine, board.system) if part)
        usable = [target.partition("@")[0] for target in board.usable if not target.startswith("null")]
        nothing = f"nothing yet: whichpu devices --board {board.name}"
        table.add_row(board.name, board.host, machine, board.python, ", ".join(usable) or nothing)
    return table
