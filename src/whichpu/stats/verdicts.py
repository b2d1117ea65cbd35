"""From a ratio's evidence to a word. A tie is an answer; a real difference may be too small to matter."""

from __future__ import annotations

from typing import Literal

from whichpu.stats.intervals import Estimate

Verdict = Literal["faster", "slower", "no-difference", "too-small-to-matter", "not-comparable"]
ALPHA = 0.025
"""A difference is claimed when its p, adjusted for its family, is smaller: half of the usual 5 %, because looking after
every round up to doubles it (``benchmarks/aa.py``: at most 5 of 100 equal pairs may be called different)."""


def verdict(ratio: Estimate, adjusted_p: float | None, matters: float, alpha: float = ALPHA) -> Verdict:
    """The word for ``ratio`` (contender's latency over the baseline's), whose p is adjusted for its family.

    ``matters`` is relative: 0.02 calls a real difference too small to matter when all of its interval lies under 2 %.
    """
    if adjusted_p is None:  # one round says nothing about spread
        return "not-comparable"
    if adjusted_p >= alpha:
        return "no-difference"
    low, high = ratio.low or 0.0, ratio.high or float("inf")
    if 1 / (1 + matters) < low and high < 1 + matters:
        return "too-small-to-matter"
    return "faster" if ratio.value < 1 else "slower"
