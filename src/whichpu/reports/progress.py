"""What runs, which round, how long to go: on the terminal, drawn between blocks and never inside one."""

from __future__ import annotations

import time

from whichpu.reports import units
from whichpu.results.schema import Campaign

ROUNDS_LEAST = 5
"""What a campaign runs before it may stop; only the time to go is guessed from it."""


class Progress:
    """A live line on stderr. No thread redraws it: a redraw would run beside a measured block."""

    def __init__(self, rounds_most: int | None) -> None:
        from rich.console import Console
        from rich.live import Live

        self.rounds_least = min(ROUNDS_LEAST, rounds_most or ROUNDS_LEAST)
        self.began = time.monotonic()
        self.round_began = self.began
        self.rounds_done = 0
        self.live = Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True)
        self.live.start()

    def phase(self, text: str) -> None:
        """Something that takes a while begins before the first round."""
        self._draw(f"{text} ...")

    def step(self, round_number: int, contender: str, doing: str, done: float) -> None:
        """One contender loads, warms up or is measured."""
        self._draw(f"round {round_number + 1} · {100 * done:.0f} % · {contender} {doing} · {self._to_go(done)}")

    def round_done(self, campaign: Campaign, active: int) -> None:
        """A round is stored."""
        self.rounds_done += 1
        self.round_began = time.monotonic()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.live.stop()

    def _to_go(self, done: float) -> str:
        elapsed_s = time.monotonic() - self.began
        rounds = self.rounds_done + done
        if rounds < 0.2:
            return "time to go is not known yet"
        if self.rounds_done >= self.rounds_least:
            return f"{units.seconds(elapsed_s)} so far, until the intervals are narrow"
        left_s = elapsed_s / rounds * (self.rounds_least - rounds)
        return f"about {units.seconds(left_s)} to go, more if the intervals stay wide"

    def _draw(self, text: str) -> None:
        from rich.text import Text

        self.live.update(Text(text, style="dim"), refresh=True)
