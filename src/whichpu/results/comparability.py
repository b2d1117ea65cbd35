"""May two figures be held against each other? Decided figure by figure, with the rule named (design, rule 7)."""

from __future__ import annotations

import msgspec

from whichpu.results.entries import Entry


class Ruling(msgspec.Struct, frozen=True):
    """``refused`` names the rule that two figures break, empty where they may be compared; ``caveats`` are what the
    sources leave open."""

    refused: str = ""
    caveats: tuple[str, ...] = ()


def ruling(metric: str, one: Entry, other: Entry) -> Ruling:
    """Whether the figure of two entries may be compared."""
    raise NotImplementedError  # being written
