"""Where the parts of a sentence come from, and how they stand in it."""

from __future__ import annotations

import math
from decimal import Decimal

from whichpu.recommend.advice import Change, Limit, Side, Source
from whichpu.recommend.prices import TABLE
from whichpu.results.nway import Contender

DIGITS = 4
"""Significant digits of a bound in a sentence."""
DIGITS_OF_BYTES = 3
"""As sizes are shown."""


def of(each: Contender, key: str) -> Source:
    """The source of a contender's figure, or of its absence. A price is from the user's table."""
    value = each.entry.values.get(key)
    file = each.entry.file if value is None else value.terms.get(TABLE, each.entry.file)
    return Source(file, each.entry.model, each.entry.contender, key, value.where if value else "")


def figure(each: Contender, key: str) -> list[str | float]:
    """A contender's figure as it stands in a sentence: ``[value, unit]``, with the step that its source prints."""
    found = each.entry.values[key]
    shown: list[str | float] = [found.value, found.unit]
    return [*shown, found.step] if found.step else shown


def bound_of(change: Change) -> list[str | float]:
    """A bound as it stands in a sentence, rounded to the side on which it still lets in what it should."""
    value = change.bound
    if value == 0:
        return [value, change.unit]
    step = least_step(value, DIGITS_OF_BYTES if change.unit == "B" else DIGITS)
    steps = value / step
    whole = round(steps) if math.isclose(steps, round(steps), rel_tol=1e-12) else None
    out = whole if whole is not None else math.ceil(steps) if change.side == "most" else math.floor(steps)
    return [out * step, change.unit, step]


def bound_at(limit: Limit, unit: str) -> list[str | float]:
    """A bound that the user gave, with all the digits that it has."""
    if limit.bound == 0:
        return [0.0, unit]
    digits = len(Decimal(repr(limit.bound)).normalize().as_tuple().digits)
    return [limit.bound, unit, least_step(limit.bound, max(DIGITS_OF_BYTES, digits))]


def least_step(value: float, digits: int = DIGITS) -> float:
    """What the last of so many significant digits is worth."""
    return float(10.0 ** (math.floor(math.log10(abs(value))) - digits + 1))


def side(side: Side) -> str:
    """What a bound is called in a sentence."""
    return "at most" if side == "most" else "at least"
