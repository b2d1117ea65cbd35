"""The highest rate that holds: bracket it, bisect, confirm with a longer test, and see that 1.3 times it fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from whichpu.results.scenarios import Purpose

GROWTH = 1.5
HALVINGS = 6
GROWTHS = 24
CONFIRMATIONS = 8
STRIDE = 1.6
"""By how much each step down after a failed confirmation is larger than the last: eight of them reach a third."""
OVERLOAD = 1.3
RESTARTS = 2
"""How often the search goes on above a rate whose 1.3-fold held too: the bracket was a passing disturbance."""


class Tested(Protocol):
    """What the search must know of a test: LoadGen's verdict, and whether no lower rate can change it."""

    @property
    def valid(self) -> bool: ...

    @property
    def hopeless(self) -> bool: ...


class Spent(Exception):
    """Raised by a prober whose time is over: the search ends with what it has."""


Prober = Callable[[float, Purpose], Tested]
"""Runs one test at a rate."""


def highest_rate(probe: Prober, estimate: float, tolerance: float) -> float | None:
    """The highest rate with a VALID confirmation; ``None`` when none of those tried held.

    ``tolerance`` is relative: the bracket's upper end over its lower one is at most ``1 + tolerance``. When ``probe``
    raises :class:`Spent` for a test of the search, the last rate that held is confirmed at once; when it raises it
    later, what was confirmed until then is the answer.
    """
    found, start = None, estimate
    try:
        for _ in range(1 + RESTARTS):
            low, spent = _searched(probe, start, found, tolerance)
            confirmed = _confirmed(probe, low, tolerance)
            if confirmed is None:
                return found
            found, start = confirmed, OVERLOAD * confirmed
            if not probe(start, "overload").valid or spent:
                return found
    except Spent:
        pass
    return found


def _searched(probe: Prober, start: float, known: float | None, tolerance: float) -> tuple[float | None, bool]:
    """The highest VALID rate within the tolerance, or the last one that held when the time was over."""
    held: list[float] = []

    def noted(rate: float, purpose: Purpose) -> Tested:
        tested = probe(rate, purpose)
        if tested.valid:
            held.append(rate)
        return tested

    try:
        return _bisected(noted, *_bracket(noted, start, known), tolerance), False
    except Spent:
        return held[-1] if held else None, True


def _bracket(probe: Prober, start: float, known: float | None) -> tuple[float | None, float]:
    """A VALID rate and an INVALID one a step above it: up while rates hold, else down to one that does.

    ``known`` held before, so nothing below it is tried.
    """
    low, rate = known, start
    for _ in range(GROWTHS):
        tested = probe(rate, "search")
        if not tested.valid:
            break
        low, rate = rate, rate * GROWTH
    high, halvings = rate, 0
    while low is None and not tested.hopeless and halvings < HALVINGS:
        rate, halvings = rate / 2, halvings + 1
        tested = probe(rate, "search")
        low, high = (rate, high) if tested.valid else (None, rate)
    return low, high


def _bisected(probe: Prober, low: float | None, high: float, tolerance: float) -> float | None:
    """The highest VALID rate of a bracket that is no wider than the tolerance."""
    while low is not None and high / low > 1 + tolerance:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if probe(middle, "search").valid else (low, middle)
    return low


def _confirmed(probe: Prober, rate: float | None, tolerance: float) -> float | None:
    """``rate``, or the first of ever larger steps below it, that a longer test calls VALID."""
    step = tolerance
    for _ in range(CONFIRMATIONS if rate is not None else 0):
        assert rate is not None
        if probe(rate, "confirm").valid:
            return rate
        rate, step = rate / (1 + step), step * STRIDE
    return None
