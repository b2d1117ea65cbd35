"""Figures of entries with units: one unit for those that stand beside each other, and no digit that isn't there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from whichpu.reports import units
from whichpu.reports.units import Unit
from whichpu.reports.words import SCORES
from whichpu.results.entries import METRICS, Value

SCORE = "score:"
SIZES = (Unit("B", 1.0), Unit("kB", 1e3), Unit("MB", 1e6), Unit("GB", 1e9))
LADDERS = {"ns": units.TIMES, "J": units.ENERGIES, "W": units.POWERS, "B": SIZES}
PLAIN = {units.SHARE: Unit("%", 0.01), "degC": Unit("°C", 1.0)}
SIGNIFICANT = 4
"""Digits of a figure whose source doesn't tell how finely it is printed."""


def named(key: str) -> str:
    """A figure's name in words: ``mean latency``, ``RMSE``."""
    if key in METRICS:
        return METRICS[key].says
    name = key.removeprefix(SCORE)
    return SCORES.get(name, name)


def together(values: Sequence[Value | None]) -> tuple[str, list[str]]:
    """The unit and the texts of figures of one kind; a dash for one that is absent."""
    known = [value for value in values if value is not None]
    if len({value.unit for value in known}) != 1:
        return "", [units.UNKNOWN if value is None else alone(value) for value in values]
    unit = unit_of(known)
    return unit.name, [units.UNKNOWN if value is None else _digits(value, unit) for value in values]


def alone(value: Value) -> str:
    """A figure with its unit."""
    unit = unit_of([value])
    return units.with_unit(_digits(value, unit), unit.name)


def unit_of(values: Sequence[Value]) -> Unit:
    """The unit in which figures of one kind stand beside each other."""
    unit = values[0].unit
    if unit not in LADDERS:
        return PLAIN.get(unit, Unit(unit, 1.0))
    return units.largest(LADDERS[unit], [value.value for value in values]) or LADDERS[unit][0]


def _digits(value: Value, unit: Unit) -> str:
    """As many digits as the source prints; of what we measured, significant ones."""
    number = value.value / unit.size
    if not value.step:
        return units.digits(number, SIGNIFICANT)
    return f"{number:,.{max(0, round(-math.log10(value.step / unit.size)))}f}"
