"""Where the parts of a sentence come from, and how they stand in it."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from whichpu.recommend.advice import Change, Side, Source
from whichpu.recommend.asked import COST
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
    if key == COST:
        return exactly(found.value, found.unit)
    return [*shown, found.step] if found.step else shown


def bound_of(change: Change) -> list[str | float]:
    """A bound as it stands in a sentence, rounded to the side on which it still lets in what it should."""
    digits = DIGITS_OF_BYTES if change.unit == "B" else DIGITS
    return exactly(outwards(change.bound, change.side, digits), change.unit)


def outwards(bound: float, side: Side, digits: int = DIGITS) -> float:
    """A bound to so many significant digits, on the side on which it allows more."""
    if bound == 0:
        return 0.0
    exact = Decimal(repr(bound))
    place = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return float(exact.quantize(place, rounding=ROUND_CEILING if side == "most" else ROUND_FLOOR))


def exactly(value: float, unit: str) -> list[str | float]:
    """A number as it stands in a sentence, with all the digits that it has."""
    if value == 0:
        return [0.0, unit]
    digits = Decimal(repr(value)).normalize().as_tuple()
    return [value, unit, float(Decimal(1).scaleb(int(digits.exponent)))]


def side(side: Side) -> str:
    """What a bound is called in a sentence."""
    return "at most" if side == "most" else "at least"
