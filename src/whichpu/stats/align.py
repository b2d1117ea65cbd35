"""Where a log lies in a run whose busy and idle stretches are known: the shift that tells them apart best.

At the right shift the log's values fall into levels: one for idle, one for each contender. The score of a shift is the
share of the values' variance that such levels explain (R² of a one-way layout, weighted by time). Each value stands for
the time up to half way to its neighbours, so that the score is a smooth function of the shift; a gap in the log stands
for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Numbers = Sequence[float] | npt.NDArray[Any]

LEAST = 0.6
"""Less explained variance is no pattern."""
CLEARER = 0.7
"""The best shift leaves at most this much of the variance that its best rival leaves unexplained."""
COVERED = 0.8
"""A shift counts only if the log covers so much of the windows' time."""
SPANS = 3
"""Of each sort, idle and busy: fewer stretches are found in any log."""
GAP = 3.0
"""So many periods without a value are a gap."""
STEPS = 16
"""Coarse steps in the shortest stretch."""
FINE = 101
RIVALS = 8
LIKELY = 20.0
"""Shifts are told apart where the unexplained sum of squares grows by so many times its mean over values."""
CHUNK = 200_000


@dataclass(frozen=True)
class Span:
    """A stretch of the run; ``group`` 0 is idle, others are contenders."""

    begin_s: float
    end_s: float
    group: int


@dataclass(frozen=True)
class Fit:
    """The best shift and the best that is farther off than half a stretch (``next_s``), with the variance that each
    explains. Shifts within ``give_s`` are about as good; ``certain``: it can be relied on."""

    shift_s: float
    explained: float
    give_s: float
    next_s: float | None
    next_explained: float
    certain: bool


class Pattern:
    """A log's values against the stretches of a run: the score of any shift. Times in s, ascending."""

    def __init__(self, times_s: Numbers, values: Numbers, spans: Sequence[Span]) -> None:
        self.times = np.asarray(times_s, dtype=np.float64)
        figures = np.asarray(values, dtype=np.float64)
        if self.times.shape != figures.shape or self.times.size < 2 or not (np.diff(self.times) > 0).all():
            raise ValueError("two values at least, at times that ascend")
        self.spans = sorted(spans, key=lambda span: span.group)
        self.begins = np.array([span.begin_s for span in self.spans])
        self.ends = np.array([span.end_s for span in self.spans])
        self.shortest = float((self.ends - self.begins).min())
        groups = [span.group for span in self.spans]
        self.starts = [groups.index(group) for group in sorted(set(groups))]
        self.idle = groups.count(0)
        spread = float(figures.std()) or 1.0
        figures = (figures - figures.mean()) / spread
        self.period = float(np.median(np.diff(self.times)))
        middles = (self.times[1:] + self.times[:-1]) / 2
        self.edges = np.concatenate([[self.times[0] - self.period / 2], middles, [self.times[-1] + self.period / 2]])
        widths = np.diff(self.edges)
        worth = np.where(widths <= GAP * self.period, widths, 0.0)
        self.sums = [np.concatenate([[0.0], np.cumsum(worth * power)]) for power in (1.0, figures, figures**2)]

    def explained(self, shifts_s: Numbers) -> Array:
        """The share of variance that levels explain when the log's times are raised by each shift; 0 where the log
        covers too little, and where idle is not the lowest level."""
        shifts = np.asarray(shifts_s, dtype=np.float64)
        step = max(1, CHUNK // len(self.spans))
        parts = [self._explained(shifts[at : at + step]) for at in range(0, shifts.size, step)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _explained(self, shifts: Array) -> Array:
        begins, ends = self.begins[None, :] - shifts[:, None], self.ends[None, :] - shifts[:, None]
        held, total, squares = (
            np.interp(ends, self.edges, sums) - np.interp(begins, self.edges, sums) for sums in self.sums
        )
        covered = held > 0.5 * (self.ends - self.begins)
        enough = held.sum(axis=1) >= COVERED * (self.ends - self.begins).sum()
        enough &= covered[:, : self.idle].sum(axis=1) >= SPANS
        enough &= covered[:, self.idle :].sum(axis=1) >= SPANS
        times, sums = (np.add.reduceat(one, self.starts, axis=1) for one in (held, total))
        with np.errstate(divide="ignore", invalid="ignore"):
            between = np.where(times > 0, sums**2 / times, 0.0).sum(axis=1)
            overall = total.sum(axis=1) ** 2 / held.sum(axis=1)
            share = (between - overall) / (squares.sum(axis=1) - overall)
            above = sums[:, 1:].sum(axis=1) / times[:, 1:].sum(axis=1) > sums[:, 0] / times[:, 0]
        return np.where(enough & above & np.isfinite(share), share, 0.0)


def find(pattern: Pattern, least_s: float, most_s: float) -> Fit | None:
    """The best shift from ``least_s`` to ``most_s``; ``None`` where there are too few stretches for any."""
    if min(pattern.idle, len(pattern.spans) - pattern.idle) < SPANS:
        return None
    step = max(pattern.shortest / STEPS, pattern.period / 4)
    grid = np.linspace(least_s, most_s, max(2, int(np.ceil((most_s - least_s) / step)) + 1))
    scores = pattern.explained(grid)
    peaks = [_refined(pattern, float(grid[index]), step) for index in _highest(grid, scores, pattern.shortest / 2)]
    if not peaks:
        return None
    best, *rest = sorted(peaks, key=lambda peak: -peak[1])
    rivals = [peak for peak in rest if abs(peak[0] - best[0]) > pattern.shortest / 2]
    next_s, following = rivals[0] if rivals else (None, 0.0)
    clear = 1 - best[1] <= CLEARER * (1 - following)
    shift, give = _middle(pattern, best)
    return Fit(shift, best[1], give, next_s, following, best[1] >= LEAST and clear)


def _highest(grid: Array, scores: Array, apart: float) -> list[int]:
    """The best places of a coarse search, none within ``apart`` of a better one."""
    chosen: list[int] = []
    left = scores.copy()
    while len(chosen) < RIVALS and left.max() > 0:
        chosen.append(int(left.argmax()))
        left[np.abs(grid - grid[chosen[-1]]) <= apart] = 0
    return chosen


def _refined(pattern: Pattern, shift: float, step: float) -> tuple[float, float]:
    """The best shift within a step; of equally good ones the middle."""
    best = 0.0
    for _ in range(3):
        near = np.linspace(shift - step, shift + step, 41)
        scores = pattern.explained(near)
        best = float(scores.max())
        shift = float(near[scores >= best - 1e-9].mean())
        step /= 10
    return shift, best


def _middle(pattern: Pattern, best: tuple[float, float]) -> tuple[float, float]:
    """The middle of the shifts that chance can't tell from the best (for normal noise), and how far they reach.

    Where a stretch borders on equal power, as at a contender's run before its window, there are many.
    """
    values = float((pattern.ends - pattern.begins).sum()) / pattern.period
    worst = 1 - (1 - best[1]) * (1 + LIKELY / max(LIKELY, values - len(pattern.starts))) - 1e-9
    low, high = (best[0] + sign * _reach(pattern, best[0], sign, worst) for sign in (-1, 1))
    return (low + high) / 2, max(pattern.period / 2, (high - low) / 2)


def _reach(pattern: Pattern, shift: float, sign: int, worst: float) -> float:
    """How far a shift may go to one side before its score falls below ``worst``."""
    far = np.linspace(0, pattern.shortest / 2, FINE)
    for _ in range(2):
        good = pattern.explained(shift + sign * far) >= worst
        last = min(FINE - 2, int(np.flatnonzero(good).max(initial=0)))
        far = np.linspace(far[last], far[last + 1], FINE)
    return float(far[0])
