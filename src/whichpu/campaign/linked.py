"""A campaign on a board: what a lost link takes with it, and the board's clocks against ours."""

from __future__ import annotations

from pathlib import Path

from whichpu.campaign.plan import Plan
from whichpu.errors import UserError
from whichpu.results.schema import Linked
from whichpu.targets.board import Board
from whichpu.targets.ssh import LostLink

PACE_LEAST_S = 5.0
"""Shorter campaigns tell nothing of how fast a clock runs."""


LOST_MOST = 3
"""A link that is lost so often in one round is lost because of it: the board may fall over whenever it is loaded."""


class Linkage:
    """Knows where the last whole round ended. On this machine there is no link, and nothing to do."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.board = plan.place if isinstance(plan.place, Board) else None
        self.lost = 0
        self.readings = -1
        self.mark()

    def mark(self) -> None:
        """What is there now is of whole rounds."""
        readings = sum(len(result.readings) for result in self.plan.campaign.results)
        self.lost, self.readings = self.lost if readings == self.readings else 0, readings
        watched, metered = self.plan.campaign.watched, self.plan.campaign.metered
        self.looks = len(watched.looks) if watched is not None else 0
        self.states = len(watched.states) if watched is not None else 0
        self.windows = len(metered.windows) if metered is not None else 0

    def recover(self, problem: LostLink, path: Path | None) -> None:
        """Connect anew. Readings of the round under way are dropped. Raises :class:`UserError` when that can't be."""
        watched, metered = self.plan.campaign.watched, self.plan.campaign.metered
        if watched is not None:
            del watched.looks[self.looks :], watched.states[self.states :]
        if metered is not None:
            del metered.windows[self.windows :]
        if self.board is None:
            raise problem
        for contender in self.plan.contenders:  # what was built lay on the board
            contender.built = None
        self.lost += 1
        try:
            if self.lost >= LOST_MOST:
                raise UserError(
                    f"{problem}, {LOST_MOST} times in one round",
                    "see what the board's kernel says (dmesg), its power supply and memory first",
                )
            self.board.recover(problem)
        except UserError as last:
            kept = f"what was measured before is in {path}; the same command with --resume goes on" if path else None
            raise UserError(str(last), last.remedy, kept) from last

    def told(self) -> None:
        """Put into the campaign what is known of the link."""
        if self.board is None or self.board.first is None:
            return
        first, last = self.board.first, self.board.clock()
        passed_s = (last.ours_ns - first.ours_ns) / 1e9
        known = passed_s >= PACE_LEAST_S and not self.board.lost  # a reboot sets a clock back
        self.plan.campaign.linked = Linked(
            ahead_s=first.ahead_s,
            pace=(last.theirs_ns - first.theirs_ns) / 1e9 / passed_s if known else None,
            pace_known_to=(first.known_to_s + last.known_to_s) / passed_s if known else None,
            waited_s=self.board.waited_s,
            lost=self.board.lost,
        )
