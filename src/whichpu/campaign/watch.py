"""What a campaign tells while it runs; the terminal listens, a script need not."""

from __future__ import annotations

from typing import Protocol

from whichpu.results.schema import Campaign


class Watch(Protocol):
    """Hears how a campaign goes. Called only between blocks, never inside one."""

    def phase(self, text: str) -> None:
        """Something that takes a while begins before the first round."""

    def step(self, round_number: int, contender: str, doing: str, done: float) -> None:
        """``contender`` begins to load, warm up or be measured; ``done`` is the round's share done, 0 to 1."""

    def endures(self, contender: str, passed_s: float, asked_s: float) -> None:
        """``contender`` has run without a pause for ``passed_s`` of ``asked_s`` seconds."""

    def round_done(self, campaign: Campaign, active: int) -> None:
        """A round is stored; ``active`` contenders go on."""


class Silence:
    """Hears nothing."""

    def phase(self, text: str) -> None: ...

    def step(self, round_number: int, contender: str, doing: str, done: float) -> None: ...

    def endures(self, contender: str, passed_s: float, asked_s: float) -> None: ...

    def round_done(self, campaign: Campaign, active: int) -> None: ...
