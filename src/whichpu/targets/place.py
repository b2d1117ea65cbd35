"""A machine on which workers run: this one, or a board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from whichpu.targets.link import Link


class Place(Protocol):
    """Starts workers on one machine."""

    name: str | None
    """What the board is called in the inventory; ``None``: this machine."""
    python: str | None
    """The interpreter of targets that name none, where the user has to know it."""

    def start(
        self,
        python: str | None = None,
        *,
        threads: int = 1,
        cpus: Sequence[int] = (),
        timeout_s: float = 120.0,
        where: str = "the worker",
    ) -> Link:
        """Start a worker and wait for its greeting. Raises :class:`WorkerTrouble`."""
        ...

    def folder(self, *parts: str) -> str:
        """A folder's path below the one in which that machine keeps what WhichPU can make again."""
        ...

    def own(self) -> list[int]:
        """Processes there that are ours and measure nothing."""
        ...

    def clock_ns(self) -> int:
        """That machine's CLOCK_MONOTONIC."""
        ...

    def utc_ahead_ns(self) -> int:
        """How far its time of day is ahead of this machine's."""
        ...
