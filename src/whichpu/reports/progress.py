"""What runs, which round, how long to go: on the terminal, drawn between blocks and never inside one."""

from __future__ import annotations

import time

from whichpu.reports import units
from whichpu.results.schema import Campaign

ECHO = 3
"""Columns kept free at the end of the line: where the terminal's ^C went on to the next one, the line would stay."""


class Progress:
    """A live line on stderr. No thread redraws it: a redraw would run beside a measured block."""

    def __init__(self, rounds_least: int) -> None:
        from rich.console import Console
        from rich.live import Live

        self.rounds_least = rounds_least
        self.began: float | None = None
        self.first_round = 0
        self.live = Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True)
        self.live.start()

    def phase(self, text: str) -> None:
        """Something that takes a while begins before the first round."""
        self._draw(f"{text} ...")

    def step(self, round_number: int, contender: str, doing: str, done: float) -> None:
        """One contender loads, warms up or is measured."""
        if self.began is None:
            self.began, self.first_round = time.monotonic(), round_number
        to_go = self._to_go(time.monotonic() - self.began, round_number, done)
        self._draw(f"round {round_number + 1} · {100 * done:.0f} % · {to_go} · {contender} {doing}")

    def endures(self, contender: str, passed_s: float, asked_s: float) -> None:
        """One contender runs without a pause."""
        asked = units.seconds(asked_s)
        self._draw(f"{contender} runs without a pause · {units.seconds(passed_s)} of {asked}")

    def round_done(self, campaign: Campaign, active: int) -> None:
        """A round is stored: the next step tells."""

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.live.stop()

    def _to_go(self, elapsed_s: float, round_number: int, done: float) -> str:
        """A campaign that went on after a stop has run ``first_round`` rounds before."""
        if round_number >= self.rounds_least:
            return f"{units.seconds(elapsed_s)} so far, intervals still wide"
        here = round_number - self.first_round + done
        if here < 0.2:
            return "time to go not known yet"
        left_s = elapsed_s / here * (self.rounds_least - round_number - done)
        return f"at least {units.seconds(max(1.0, left_s))} to go"

    def _draw(self, text: str) -> None:
        from rich.text import Text

        line = Text(text, style="dim", no_wrap=True)
        line.truncate(self.live.console.width - ECHO, overflow="ellipsis")
        self.live.update(line, refresh=True)
