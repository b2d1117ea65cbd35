"""Integrals of readings, exactly: whole numbers in, fractions out, so that a hand computation agrees to the last digit.

Times are ns and rise strictly. Between two readings a quantity is taken as a straight line (trapezoidal rule).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby, pairwise

import numpy as np

WRAP_STEP = 10
"""A counter that falls has begun anew, not wrapped, if the step would be so many times its largest other step."""


def value_at(at_ns: Sequence[int], values: Sequence[int], instant_ns: int) -> Fraction:
    """The value at an instant, on the line between its neighbours. Raises :class:`ValueError` outside the readings."""
    if not at_ns:
        raise ValueError("nothing was read")
    if instant_ns < at_ns[0]:
        raise ValueError(f"the readings begin {_seconds(at_ns[0] - instant_ns)} after it")
    if instant_ns > at_ns[-1]:
        raise ValueError(f"the readings end {_seconds(instant_ns - at_ns[-1])} before it")
    left = bisect_right(at_ns, instant_ns) - 1
    if at_ns[left] == instant_ns:
        return Fraction(values[left])
    rise, run = values[left + 1] - values[left], at_ns[left + 1] - at_ns[left]
    return values[left] + Fraction(rise * (instant_ns - at_ns[left]), run)


def area(at_ns: Sequence[int], values: Sequence[int], begin_ns: int, end_ns: int) -> Fraction:
    """The integral over time in value × ns, by the trapezoidal rule, with the edges on the lines between readings.

    Raises :class:`ValueError` where the readings don't reach an edge.
    """
    first, last = (value_at(at_ns, values, edge) for edge in (begin_ns, end_ns))
    within = slice(bisect_right(at_ns, begin_ns), bisect_left(at_ns, end_ns))
    times, heights = list(at_ns[within]), list(values[within])
    if not times:
        return (first + last) * (end_ns - begin_ns) / 2
    middle = sum(
        (after - before) * (low + high)
        for (before, after), (low, high) in zip(pairwise(times), pairwise(heights), strict=True)
    )
    edges = (times[0] - begin_ns) * (first + heights[0]) + (end_ns - times[-1]) * (heights[-1] + last)
    return (middle + edges) / 2


def unwrapped(at_ns: Sequence[int], values: Sequence[int], wraps_at: int | None) -> list[int]:
    """A counter's values as if it had never wrapped: a step back stands for ``after + wraps_at - before``.

    Raises :class:`ValueError` for a counter that was set back instead: one that doesn't wrap, or a step that would be
    over half of its range, or far above all others for the time it took.
    """
    steps = [after - before for before, after in pairwise(values)]
    falls = [index for index, step in enumerate(steps) if step < 0]
    if not falls:
        return list(values)
    gaps = [after - before for before, after in pairwise(at_ns)]
    largest = max((step for step in steps if step > 0), default=0)
    usual_ns = sorted(gaps)[len(gaps) // 2]
    for index in falls:
        step = steps[index] + (wraps_at or 0)
        most = WRAP_STEP * largest * max(1, -(-gaps[index] // max(1, usual_ns)))
        if wraps_at is None or not 0 <= 2 * step <= wraps_at or (largest and step > most):
            raise ValueError(f"the counter went back from {values[index]} to {values[index + 1]}: it was set anew")
        steps[index] = step
    found = [values[0]]
    for step in steps:
        found.append(found[-1] + step)
    return found


def runs(values: Sequence[int]) -> list[int]:
    """Lengths of the stretches of equal values, in order."""
    return [len(list(group)) for _, group in groupby(values)]


def share_above(at_ns: Sequence[int], values: Sequence[float], limit: float) -> float | None:
    """The share of time above a limit, on the lines between readings; ``None`` for fewer than two."""
    if len(values) < 2 or at_ns[-1] <= at_ns[0]:
        return None
    heights, gaps = np.asarray(values, dtype=np.float64) - limit, np.diff(np.asarray(at_ns, dtype=np.int64))
    before, after = heights[:-1], heights[1:]
    span = np.abs(after - before)
    crossed = np.maximum(before, after) / np.where(span > 0, span, 1.0)
    above = np.where(np.minimum(before, after) > 0, 1.0, np.where(np.maximum(before, after) > 0, crossed, 0.0))
    return float((above * gaps).sum() / gaps.sum())


def steepest(at_ns: Sequence[int], values: Sequence[float], apart_ns: int) -> float | None:
    """The steepest rise per ns between two readings at least so far apart; ``None`` where there are no two."""
    times, heights = np.asarray(at_ns, dtype=np.int64), np.asarray(values, dtype=np.float64)
    later = np.searchsorted(times, times + max(1, apart_ns))
    known = later < times.size
    if not known.any():
        return None
    earlier, later = np.flatnonzero(known), later[known]
    rises = (heights[later] - heights[earlier]) / (times[later] - times[earlier])
    return max(0.0, float(rises.max()))


def _seconds(span_ns: int) -> str:
    return f"{span_ns / 1e9:.3g} s"
