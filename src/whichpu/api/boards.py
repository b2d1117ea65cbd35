"""Boards of ``whichpu.toml``, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from whichpu.errors import UserError

if TYPE_CHECKING:
    from whichpu.targets.place import Place


class Visited(msgspec.Struct, kw_only=True):
    """One board: what it is and what it runs; or why it can't be reached."""

    name: str
    host: str
    reached: bool = False
    why_not: str | None = None
    remedy: str | None = None
    machine: str | None = None
    system: str | None = None
    python: str | None = None
    numpy: str | None = None
    clock_ahead_s: float | None = None
    usable: list[str] = []
    """Targets that can run there."""


def run_table() -> tuple[Path, dict[str, Any]]:
    """The nearest ``whichpu.toml`` and its ``[run]`` table. Raises :class:`UserError`."""
    from whichpu.targets import inventory

    known = inventory.load()
    return known.path or Path(), known.run


@contextmanager
def opened(name: str | None, tell: Callable[[str], None] = lambda words: None) -> Iterator[Place]:
    """A board, ours alone meanwhile; this machine for ``None``. Raises :class:`UserError`."""
    from whichpu.targets import inventory
    from whichpu.targets.board import Board
    from whichpu.targets.link import WorkerTrouble
    from whichpu.targets.local import HERE
    from whichpu.targets.ssh import LostLink

    if name is None:
        yield HERE
        return
    with Board(name, inventory.load().board(name), tell) as board:
        board.purpose = "a look at the board"
        board.connect()
        try:
            yield board
        except LostLink as problem:
            raise UserError(str(problem), "try again") from problem
        except WorkerTrouble as problem:
            raise UserError(f"{name}: {problem}", problem.remedy) from problem


def visit(names: Sequence[str]) -> list[Visited]:
    """All boards of the inventory, or those named. Raises :class:`UserError` where there are none."""
    from whichpu.targets import inventory

    known = inventory.load()
    entries = {name: known.board(name) for name in names} or known.boards
    if not entries:
        raise UserError(
            "no boards are known here", 'write a whichpu.toml with [boards.pi5] and host = "user@address" in it'
        )
    return [_visited(name, entry.host) for name, entry in entries.items()]


def _visited(name: str, host: str) -> Visited:
    from whichpu.campaign.reach import targets_within_reach

    found = Visited(name=name, host=host)
    try:
        with opened(name) as place:
            with place.start() as link:
                machine = link.hello.machine
            found.machine, found.system = machine.cpu_model or machine.architecture, machine.system
            found.python, found.numpy = machine.python, machine.numpy
            found.clock_ahead_s = round(place.utc_ahead_ns() / 1e9, 3)
            rows = targets_within_reach([], place=place)
            found.usable = [str(row["target"]) for row in rows if row["usable"]]
            found.reached = True
    except UserError as problem:
        found.why_not, found.remedy = str(problem), problem.remedy
    return found
