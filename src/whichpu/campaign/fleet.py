"""One model on several machines by one command: boards side by side, then this machine alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from whichpu.campaign import plan as planning
from whichpu.campaign.resume import resume
from whichpu.campaign.run import run
from whichpu.campaign.watch import Watch
from whichpu.campaign.wishes import Wishes
from whichpu.errors import UserError
from whichpu.models.artefact import Model
from whichpu.results.fleet import Keeper, name_of
from whichpu.results.schema import Campaign
from whichpu.targets.board import Board
from whichpu.targets.inventory import Inventory
from whichpu.targets.local import HERE
from whichpu.targets.place import Place
from whichpu.targets.ssh import LostLink
from whichpu.targets.target import board_of

ENDS_S = 20.0
"""How long boards may take to end after Ctrl-C."""
Reader = Callable[[], tuple[Model, Model | None]]
"""Reads the model, and the older one it is held against. A plan adds the forms it makes: each gets its own."""


def split(on: Sequence[str]) -> dict[str | None, tuple[str, ...]]:
    """Targets by machine, in the order in which the machines are named. Raises :class:`UserError`."""
    found: dict[str | None, list[str]] = {}
    for text in on:
        found.setdefault(board_of(text), []).append(text)
    return {board: tuple(texts) for board, texts in found.items()}


def measure(
    reader: Reader,
    wishes: Wishes,
    inventory: Inventory,
    keeper: Keeper,
    watch: Watch,
    before: dict[str | None, Campaign],
) -> list[Campaign]:
    """A campaign for each machine that ``wishes.on`` names. ``before`` are those that are gone on with.

    Boards are measured side by side. This machine is measured after them: it computes references and scores for them
    meanwhile. Raises the first board's :class:`UserError`, when all have ended.
    """
    parts = split(wishes.on)
    entries = {name: inventory.board(name) for name in parts if name is not None}
    shared = Shared(watch) if len(parts) > 1 else None

    boards = {name: Board(name, entry) for name, entry in entries.items()}

    def one(board: str | None) -> Campaign:
        own = msgspec.structs.replace(wishes, on=parts[board])
        listener = watch if shared is None else shared.part(board)
        if board is None:
            return _measured(reader, own, listener, HERE, keeper, before.get(None))
        with boards[board] as place:
            place.tell, place.purpose = listener.phase, f"measures {keeper.model}"
            place.connect()
            try:
                return _measured(reader, own, listener, place, keeper, before.get(board))
            except LostLink as problem:  # in mid-planning: there is nothing yet to go on with
                raise UserError(str(problem), "try again") from problem

    if len(parts) == 1:
        return [one(next(iter(parts)))]
    found: dict[str | None, Campaign] = {}
    troubles: dict[str | None, BaseException] = {}

    def measured(board: str | None) -> None:
        try:
            found[board] = one(board)
        except BaseException as problem:
            troubles[board] = problem

    _side_by_side(measured, boards)
    if None in parts:
        found[None] = one(None)
    for board in [board for board in parts if board in troubles]:
        raise _named(troubles[board], found, keeper)
    return [found[board] for board in parts]


def _side_by_side(measured: Callable[[str], None], boards: dict[str, Board]) -> None:
    """Each board in a thread of its own. Ctrl-C ends them all."""
    threads = [threading.Thread(target=measured, args=(name,), daemon=True) for name in boards]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for board in boards.values():
            board.give_up()
        deadline = time.monotonic() + ENDS_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise


def _named(trouble: BaseException, found: dict[str | None, Campaign], keeper: Keeper) -> BaseException:
    """One board's trouble, and what was measured on the others."""
    if not isinstance(trouble, UserError):
        return trouble
    done = ", ".join(name_of(campaign) for campaign in found.values())
    where = f", in {keeper.path}; the same command with -o {keeper.path} --resume goes on" if keeper.path else ""
    kept = trouble.kept or (f"what was measured meanwhile ({done}){where}" if done else None)
    return type(trouble)(str(trouble), trouble.remedy, kept)


def _measured(
    reader: Reader, wishes: Wishes, watch: Watch, place: Place, keeper: Keeper, before: Campaign | None
) -> Campaign:
    watch.phase("reading the model")
    model, old = reader()
    plan = planning.make(model, wishes, watch, old, place)
    if before is not None:
        resume(plan, before, wishes)
    return run(plan, keeper.path, watch, keeper.save)


class Shared:
    """One listener for several machines: each word says of which, and one is said at a time."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.lock = watch, threading.Lock()

    def part(self, board: str | None) -> Part:
        return Part(self, board or "here")


class Part:
    """What one machine's campaign tells (:class:`Watch`)."""

    def __init__(self, shared: Shared, name: str) -> None:
        self.shared, self.name = shared, name

    def phase(self, text: str) -> None:
        with self.shared.lock:
            self.shared.watch.phase(text if self.name in text else f"{self.name}: {text}")

    def step(self, round_number: int, contender: str, doing: str, done: float) -> None:
        with self.shared.lock:
            self.shared.watch.step(round_number, contender, doing, done)

    def endures(self, contender: str, passed_s: float, asked_s: float) -> None:
        with self.shared.lock:
            self.shared.watch.endures(contender, passed_s, asked_s)

    def round_done(self, campaign: Campaign, active: int) -> None:
        with self.shared.lock:
            self.shared.watch.round_done(campaign, active)
