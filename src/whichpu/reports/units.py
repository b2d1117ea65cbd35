"""Numbers with units. A column gets one unit; what is unknown gets a dash, never a zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from whichpu.reports.words import VERDICTS
from whichpu.results.comparison import Comparison

UNKNOWN = "–"


class Unit(NamedTuple):
    """A unit's name and how many base units it holds."""

    name: str
    size: float


TIMES = (Unit("ns", 1.0), Unit("µs", 1e3), Unit("ms", 1e6), Unit("s", 1e9))
ENERGIES = (Unit("nJ", 1e-9), Unit("µJ", 1e-6), Unit("mJ", 1e-3), Unit("J", 1.0))
POWERS = (Unit("mW", 1e-3), Unit("W", 1.0))
INVERSE_EDPS = tuple(
    Unit(f"{name}/(s J)", size) for name, size in (("1", 1.0), ("1e3", 1e3), ("1e6", 1e6), ("1e9", 1e9))
)


def time_unit(values_ns: Iterable[float | None]) -> Unit:
    """The one unit for a column of times: the largest in which the smallest value is still at least 0.2."""
    return largest(TIMES, values_ns) or TIMES[1]


def energy_unit(values_j: Iterable[float | None]) -> Unit:
    """The one unit for a column of energies."""
    return largest(ENERGIES, values_j) or ENERGIES[-1]


def power_unit(values_w: Iterable[float | None]) -> Unit:
    """The one unit for a column of powers."""
    return largest(POWERS, values_w) or POWERS[-1]


def inverse_edp_unit(values: Iterable[float | None]) -> Unit:
    """The one unit for a column of inverse energy-delay products."""
    return largest(INVERSE_EDPS, values) or INVERSE_EDPS[0]


def largest(ladder: Sequence[Unit], values: Iterable[float | None]) -> Unit | None:
    """The largest unit in which the smallest value is still at least 0.2; ``None`` where nothing is known."""
    known = [value for value in values if value]
    if not known:
        return None
    fitting = [unit for unit in ladder if min(known) >= 0.2 * unit.size]
    return fitting[-1] if fitting else ladder[0]


def digits(value: float | None, significant: int = 3) -> str:
    """A number to so many significant digits, without an exponent, with commas between thousands; dash if unknown."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    exponent = int(f"{value:e}".split("e")[1])
    return f"{value:,.{max(0, significant - 1 - exponent)}f}"


def in_unit(value: float | None, unit: Unit, significant: int = 3) -> str:
    """A value in a column's unit, without its name."""
    return digits(None if value is None else value / unit.size, significant)


def time(value_ns: float | None, significant: int = 3) -> str:
    """A time on its own, with its unit."""
    if value_ns is None:
        return UNKNOWN
    unit = time_unit([abs(value_ns)])
    return f"{in_unit(value_ns, unit, significant)} {unit.name}"


def energy(value_j: float | None, significant: int = 3) -> str:
    """An energy on its own, with its unit."""
    if value_j is None:
        return UNKNOWN
    unit = energy_unit([abs(value_j)])
    return f"{in_unit(value_j, unit, significant)} {unit.name}"


def power(value_w: float | None, significant: int = 3) -> str:
    """A power on its own, with its unit."""
    if value_w is None:
        return UNKNOWN
    unit = power_unit([abs(value_w)])
    return f"{in_unit(value_w, unit, significant)} {unit.name}"


def as_given_w(value_w: float) -> str:
    """A power that somebody gave, with as many digits as it was given."""
    return f"{value_w:g} W"


def percent(value: float | None, significant: int = 2) -> str:
    """A share as ``±``-less percent: 0.023 is ``2.3 %``."""
    return UNKNOWN if value is None else f"{digits(100 * value, significant)} %"


def chance(value: float | None) -> str:
    """A probability as a percent that is never quite 0 or 100, because it was estimated."""
    if value is None:
        return UNKNOWN
    return "<1 %" if value < 0.01 else ">99 %" if value > 0.99 else f"{100 * value:.0f} %"


def spread(value: float | None, low: float | None, high: float | None) -> str:
    """An interval as ``±2.3 %`` of its figure; dash when one round says nothing about it."""
    if value is None or low is None or high is None:
        return UNKNOWN
    width = (high / low) ** 0.5 - 1
    return f"±{digits(100 * width, 2)} %" if width <= 1 else "over ±100 %"


def ratio(row: Comparison) -> str:
    """How many times the baseline's, and the verdict unless the number says it."""
    if row.ratio is None:
        return UNKNOWN
    if row.verdict in ("faster", "slower", "better", "worse"):
        return f"{digits(row.ratio)} x"
    word = VERDICTS[row.verdict] if row.low is not None else "not judged: one round"
    return f"{digits(row.ratio)} x ({word})"


def cores(value: float | None) -> str:
    """CPU cores in use, to a hundredth."""
    return UNKNOWN if value is None else f"{value:.2f}"


def small(value: float | None) -> str:
    """A tiny or huge number, as ``8.9e-08``; dash if unknown."""
    if value is None:
        return UNKNOWN
    return "0" if value == 0 else f"{value:.1e}"


def signed(value: float | None, significant: int = 2) -> str:
    """A difference with its sign; tiny ones as ``+2.7e-08``."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    shown = f"{value:+.1e}" if abs(value) < 1e-3 else digits(value, significant)
    return shown if shown.startswith(("-", "+")) else f"+{shown}"


SHARE = "share"
"""The unit of what is told in percent; its differences are told in percentage points."""


def score_unit(unit: str) -> str:
    """What stands at the head of a column of scores."""
    return "%" if unit == SHARE else unit


def delta_unit(unit: str) -> str:
    """What stands at the head of a column of differences of scores."""
    return "points" if unit == SHARE else unit


def score(value: float | None, unit: str, significant: int = 4) -> str:
    """A score in a column of its unit: a share in percent to a hundredth."""
    if value is None:
        return UNKNOWN
    return f"{100 * value:.2f}" if unit == SHARE else digits(value, significant)


def score_delta(value: float | None, unit: str) -> str:
    """A difference of scores in a column of its unit: of shares in percentage points to a hundredth."""
    if value is None or value == 0 or unit != SHARE:
        return signed(value)
    return f"{100 * value:+.2f}" if abs(value) >= 5e-5 else signed(100 * value)


def score_range(low: float | None, high: float | None, unit: str) -> str:
    """An interval of a difference of scores."""
    if low is None or high is None:
        return UNKNOWN
    return "0" if low == high == 0 else f"{score_delta(low, unit)} to {score_delta(high, unit)}"


def with_unit(shown: str, unit: str) -> str:
    """A figure and its unit, where it has one."""
    return f"{shown} {unit}".rstrip()


def size(value: float | None) -> str:
    """Bytes in decimal units, as ``1.2 MB``."""
    if value is None:
        return UNKNOWN
    for name, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{digits(value / factor)} {name}"
    return f"{value:.0f} B"


def seconds(value: float) -> str:
    """A waiting time for people: ``45 s``, ``2 min 05 s``."""
    whole = round(value)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def joined(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
