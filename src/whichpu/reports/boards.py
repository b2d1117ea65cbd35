"""Boards, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(boards: Sequence[Any], screen: Console) -> None:
    """One row a board (:class:`whichpu.api.boards.Visited`)."""
    table = Table(box=None, pad_edge=False)
    for heading in ("board", "host", "machine", "Python", "what runs there"):
        table.add_column(heading, overflow="fold")
    for board in boards:
        if not board.reached:
            table.add_row(board.name, board.host, f"not reached: {board.why_not}", "", f"Try: {board.remedy}")
            continue
        machine = ", ".join(part for part in (board.machine, board.system) if part)
        usable = [target.partition("@")[0] for target in board.usable if not target.startswith("null")]
        table.add_row(board.name, board.host, machine, board.python, ", ".join(usable) or "nothing yet")
    screen.print(table)
