"""Steps and drifts in a series of positive figures, such as the medians of blocks or windows.

All works on logs, so sizes are relative, and on ranks, so that single outliers and heavy tails weigh little.

- A step: the two-sample rank statistic at its best place, with the p value of a maximum (Lausen & Schumacher,
  "Maximally selected rank statistics", Biometrics 48, 1992; Miller & Siegmund, Biometrics 38, 1982; Pettitt,
  Applied Statistics 28, 1979, is the same without weights); random orders of the ranks where the series is short.
- More steps: binary segmentation (Scott & Knott 1974), each step then placed anew between its neighbours.
- A drift: Theil-Sen slope with Sen's interval (JASA 63, 1968) and the test of Mann and Kendall.
- Neighbours resemble each other (autocorrelation), which makes naive p values too small: all variances are
  multiplied by the number of neighbours that are worth one independent value (:func:`inefficiency`; for the trend
  test: Hamed & Rao, Journal of Hydrology 204, 1998).
- Step or drift: a staircase is reported only where it explains the series better than every line, bent line and
  exponential approach (what heating looks like), by BIC with Huber's loss; a drift only where it does not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from whichpu.stats.intervals import Estimate, t_quantile, t_two_sided

ALPHA = 0.01
"""A change whose p is larger is not reported."""
SMALLEST = 0.03
"""Relative size of the smallest change that is reported: 0.03 is 3 %."""
MOST_STEPS = 20
DEPTH = 2
"""Levels of the segmentation that may split on the naive p value; see :func:`_candidates`."""
SHORT = 40
"""Series of so many values at most get their p value from random orders of their ranks."""
ORDERS = 4_999
BUCKETS = 400
"""A longer series enters the slope as medians of so many equal pieces: slopes are as many as pairs."""
FAR = 0.6
"""Share of the distance between two medians that counts beside their ranks: the noise of few values, and how alike
neighbours are, is easily underestimated (found by simulation: false steps in autocorrelated noise stay as rare)."""
HUBER = 1.345
"""Standard deviations up to which a residual counts in full (95 % as good as least squares for normal noise)."""

Numbers = Sequence[float] | npt.NDArray[Any]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """A lasting jump. ``at_index`` is the first value after it, ``at_s`` that value's time, ``before`` and ``after``
    the medians on both sides up to the next step, in the unit of the series; ``ratio`` is ``after / before``."""

    at_index: int
    at_s: float
    before: float
    after: float
    ratio: float
    p: float


@dataclass(frozen=True)
class Drift:
    """A gradual change, all relative: 0.01 is 1 %. ``per_minute`` with its 95 % interval ``low`` to ``high``;
    ``total`` is the change over the whole series."""

    per_minute: float
    total: float
    low: float
    high: float
    p: float


def find_step(times_s: Numbers, values: Numbers, *, smallest: float = SMALLEST, alpha: float = ALPHA) -> Step | None:
    """The one step that splits the series best, if it is real, large enough, and no mere drift."""
    found = _steps(times_s, values, smallest, alpha, most=1)
    return found[0] if found else None


def find_steps(
    times_s: Numbers, values: Numbers, *, smallest: float = SMALLEST, alpha: float = ALPHA, most: int = MOST_STEPS
) -> list[Step]:
    """All steps in order, ``most`` at most (those of the smallest p); none where a drift explains the series better.

    ``values`` are positive, ``times_s`` their times in seconds, ascending. Raises :class:`ValueError` otherwise.
    """
    return _steps(times_s, values, smallest, alpha, most)


def find_drift(times_s: Numbers, values: Numbers, *, smallest: float = SMALLEST, alpha: float = ALPHA) -> Drift | None:
    """The drift over the whole series, if it is real, at least ``smallest`` in all, and not made by steps."""
    found = trend(times_s, values)
    if found is None or found.p >= alpha or 1 / (1 + smallest) < 1 + found.total < 1 + smallest:
        return None
    return None if _steps(times_s, values, smallest, alpha, MOST_STEPS) else found


def trend(times_s: Numbers, values: Numbers) -> Drift | None:
    """The slope of the whole series whether or not it is real; ``None`` for fewer than 4 values.

    Where the series has steps, they are part of the slope.
    """
    times, logs = _bucketed(*_checked(times_s, values))
    count = logs.size
    if count < 4 or times[-1] == times[0]:
        return None
    first, second = np.triu_indices(count, 1)
    apart = times[second] - times[first]
    rises = logs[second] - logs[first]
    slopes = np.sort(rises[apart > 0] / apart[apart > 0])
    slope = float(np.median(slopes))
    worth = inefficiency(min((residuals for residuals, _ in _smooth(times, logs)), key=_scale), fitted=2)
    # Kendall's S and its variance without ties, which continuous figures hardly have.
    score = float(np.sign(rises).sum())
    error = math.sqrt(count * (count - 1) * (2 * count + 5) / 18 * worth)
    beyond = max(0.0, abs(score) - 1) / error
    reach = 1.96 * error
    low = slopes[max(0, math.floor((slopes.size - reach) / 2))]
    high = slopes[min(slopes.size - 1, math.ceil((slopes.size + reach) / 2))]
    per_minute, lowest, highest = (_growth(60 * float(one)) for one in (slope, low, high))
    total = _growth(slope * float(times[-1] - times[0]))
    return Drift(per_minute, total, lowest, highest, math.erfc(beyond / math.sqrt(2)))


def worth(times_s: Numbers, values: Numbers, steps: Sequence[Step] = ()) -> float:
    """:func:`inefficiency` of what a series does beside its steps, or, where there are none, beside its drift."""
    times, logs = _checked(times_s, values)
    if logs.size < 6:
        return 1.0
    if steps:
        pieces = np.split(logs, [step.at_index for step in steps])
        return inefficiency(np.concatenate([piece - np.median(piece) for piece in pieces]))
    return inefficiency(min((residuals for residuals, _ in _smooth(times, logs)), key=_scale), fitted=2)


def level(values: Numbers, neighbours: float = 1.0) -> Estimate:
    """The median of a series of positive figures, with a t interval on logs for the values that are independent.

    ``neighbours`` is the :func:`worth` of the longer series that these are from. A slope within the series is part of
    what the median describes, not of its uncertainty.
    """
    logs = np.log(np.asarray(values, dtype=np.float64))
    middle = float(np.median(logs))
    line = np.column_stack([np.ones_like(logs), np.linspace(-1, 1, logs.size)])
    residuals = _residuals(logs, line) if logs.size >= 6 else logs - middle
    independent = logs.size / max(neighbours, inefficiency(residuals, fitted=2))
    if independent < 2:
        return Estimate(math.exp(middle), None, None, int(logs.size))
    # The median of normal values is sqrt(pi / 2) times as uncertain as their mean.
    error = math.sqrt(math.pi / 2 / independent) * _scale(residuals)
    reach = t_quantile(0.975, independent - 1) * error
    return Estimate(math.exp(middle), math.exp(middle - reach), math.exp(middle + reach), int(logs.size))


def inefficiency(residuals: Numbers, fitted: int = 1) -> float:
    """How many neighbouring values are worth one independent value; 1 for white noise, never less.

    The larger of two estimates on the ranks: (1 + r) / (1 - r) from the lag-1 autocorrelation r with its small-sample
    bias mended (Marriott & Pope, Biometrika 41, 1954), and, for 100 values and more, Geyer's initial positive
    sequence (Statistical Science 7, 1992), which sees slow wandering. ``fitted`` is 1 where a level was taken off, 2
    where a line was.
    """
    ranks = _ranks(np.asarray(residuals, dtype=np.float64))
    count = ranks.size
    power = float(ranks @ ranks)
    if count < 6 or power == 0:
        return 1.0
    near = float(ranks[1:] @ ranks[:-1]) / power
    near = min(0.95, near + (fitted + 4 * max(0.0, near)) / count)
    worth = (1 + near) / (1 - near)
    if count >= 100:
        worth = max(worth, _geyer(ranks))
    return max(1.0, worth)


# ---------------------------------------------------------------- steps


def _steps(times_s: Numbers, values: Numbers, smallest: float, alpha: float, most: int) -> list[Step]:
    times, logs = _checked(times_s, values)
    jump = math.log1p(smallest)
    ends, p_values = _settled(logs, _candidates(logs, jump, alpha), jump, alpha)
    kept = sorted(sorted(p_values, key=lambda place: p_values[place])[:most])
    ends = [0, *kept, logs.size]
    if not kept or not _staircase_is_better(times, logs, ends):
        return []
    levels = [math.exp(float(np.median(logs[begin:end]))) for begin, end in itertools.pairwise(ends)]
    return [
        Step(place, float(times[place]), before, after, after / before, p_values[place])
        for place, (before, after) in zip(kept, itertools.pairwise(levels), strict=True)
    ]


def _candidates(logs: Array, jump: float, alpha: float) -> list[int]:
    """Ends of the pieces of a binary segmentation.

    A second step hides the first: it looks like autocorrelation. So the first ``DEPTH`` levels may split where
    independent values would show a step; what is none will not settle.
    """
    ends = [0, logs.size]
    pieces = [(0, logs.size, 0)]
    while pieces and len(ends) - 2 < MOST_STEPS:
        begin, end, depth = pieces.pop(0)
        at, p, naive_p = _best_split(logs[begin:end])
        if (naive_p if depth < DEPTH else p) < alpha and _jump(logs[begin:end], at) >= jump:
            ends = sorted([*ends, begin + at])
            pieces += [(begin, begin + at, depth + 1), (begin + at, end, depth + 1)]
    return ends


def _settled(logs: Array, ends: list[int], jump: float, alpha: float) -> tuple[list[int], dict[int, float]]:
    """Each step placed anew between its neighbours, and the weakest taken out until all are real and large enough."""
    while True:
        placed, p_values, weakness = [0], {}, {}
        for begin, _, end in zip(ends, ends[1:], ends[2:], strict=False):
            begin = max(begin, placed[-1])
            at, p, _ = _best_split(logs[begin:end])
            place = begin + at
            p_values[place] = p
            weakness[place] = p if _jump(logs[begin:end], at) >= jump else 2.0
            placed.append(place)
        weakest = max(weakness, key=lambda place: weakness[place], default=0)
        if weakness.get(weakest, 0.0) < alpha:
            return [*placed, logs.size], p_values
        ends = [place for place in dict.fromkeys([*placed, logs.size]) if place != weakest or place == 0]


def _best_split(logs: Array) -> tuple[int, float, float]:
    """Where the rank statistic of "before against after" is largest, its p value, and that of independent values."""
    count, least = logs.size, _least(logs.size)
    if count < 2 * least:
        return 0, 1.0, 1.0
    ranks = _ranks(logs)
    if not ranks.any():
        return 0, 1.0, 1.0
    scores = _scores(ranks[np.newaxis, :], least)[0]
    at = least + int(np.argmax(scores))
    left, right = logs[:at], logs[at:]
    worth = inefficiency(np.concatenate([left - np.median(left), right - np.median(right)]))
    score = float(scores.max())
    far = _distance(left, right, worth)
    p = _p_of_largest(max(score / math.sqrt(worth), far), count, least)
    return at, p, _p_of_largest(score, count, least)


def _distance(left: Array, right: Array, worth: float) -> float:
    """How far two medians are apart, as a normal score: ranks can't tell a large step from a just visible one.

    A t statistic; its degrees of freedom are the independent values less those used up by two medians, the place and
    the autocorrelation. 0 where they are too few.
    """
    count = left.size + right.size
    degrees = count / worth - 4
    if degrees < 2:
        return 0.0
    scale = _scale(np.concatenate([left - np.median(left), right - np.median(right)]))
    error = scale * math.sqrt(math.pi / 2 * worth * (1 / left.size + 1 / right.size))
    p = t_two_sided(float(np.median(right) - np.median(left)) / error, degrees)
    return -FAR * NormalDist().inv_cdf(max(p, 1e-15) / 2)


def _scores(ranks: Array, least: int) -> Array:
    """|z| of the rank sum before each place from ``least`` on; ranks are centred, one series a row."""
    count = ranks.shape[1]
    places = np.arange(least, count - least + 1)
    sums = np.cumsum(ranks, axis=1)[:, places - 1]
    spread = (ranks[0] @ ranks[0]) / (count - 1)
    scores: Array = np.abs(sums) / np.sqrt(spread * places * (count - places) / count)
    return scores


def _p_of_largest(score: float, count: int, least: int) -> float:
    """P of so large a maximum over all places when there is no step."""
    if count <= SHORT:
        orders = _largest_of_random(count, least)
        return float(1 + (orders >= score - 1e-9).sum()) / (1 + ORDERS)
    if score < 1.5:
        return 1.0
    density = math.exp(-score * score / 2) / math.sqrt(2 * math.pi)
    places = 2 * math.log((count - least) / least)
    return min(1.0, density * (places * (score - 1 / score) + 4 / score))


@lru_cache(maxsize=64)
def _largest_of_random(count: int, least: int) -> Array:
    """The statistic's maximum for random orders of ``count`` ranks, from a fixed seed."""
    random = np.random.default_rng(count)
    ranks = np.tile(np.arange(count) - (count - 1) / 2, (ORDERS, 1))
    largest: Array = _scores(random.permuted(ranks, axis=1), least).max(axis=1)
    return largest


def _jump(logs: Array, at: int) -> float:
    if not 0 < at < logs.size:
        return 0.0
    return abs(float(np.median(logs[at:]) - np.median(logs[:at])))


def _least(count: int) -> int:
    """Values on each side of a step at least: a single slow value is an outlier, not a step."""
    return 3 if count < 20 else 5


# ---------------------------------------------------------------- step or drift


def _staircase_is_better(times: Array, logs: Array, ends: list[int]) -> bool:
    """Does the staircase explain the series better than every smooth curve?"""
    levels = np.zeros((logs.size, len(ends) - 1))
    for column, (begin, end) in enumerate(itertools.pairwise(ends)):
        levels[begin:end, column] = 1
    stairs = _residuals(logs, levels)
    smooth = _smooth(times, logs)
    scale = min(_scale(residuals) for residuals, _ in ((stairs, 0), *smooth))
    worth = inefficiency(stairs)
    scores = [
        _huber(residuals / scale) / worth + knobs * math.log(logs.size / worth)
        for residuals, knobs in ((stairs, 2 * (len(ends) - 2)), *smooth)
    ]
    return scores[0] < min(scores[1:])


def _smooth(times: Array, logs: Array) -> list[tuple[Array, int]]:
    """What a line, exponential approaches and lines with one bend leave; each with the number of its knobs."""
    passed = (times - times[0]) / (times[-1] - times[0])
    flat = np.ones_like(passed)
    line = np.column_stack([flat, passed])
    approaches = [np.column_stack([flat, -np.expm1(-passed * rate)]) for rate in (4, 8, 16, 32)]
    bent = [np.column_stack([line, np.maximum(0, passed - bend)]) for bend in (0.25, 0.5, 0.75)]
    knobs = [2, *(3 for _ in approaches), *(4 for _ in bent)]
    return [(_residuals(logs, curve), number) for curve, number in zip((line, *approaches, *bent), knobs, strict=True)]


def _residuals(logs: Array, columns: Array) -> Array:
    """What a linear fit of ``columns`` leaves, by Huber's reweighting: single outliers pull little."""
    weights = np.ones_like(logs)
    for _ in range(10):
        rooted = np.sqrt(weights)
        fit, *_ = np.linalg.lstsq(columns * rooted[:, np.newaxis], logs * rooted, rcond=None)
        residuals: Array = logs - columns @ fit
        weights = 1 / np.maximum(1.0, np.abs(residuals) / (HUBER * _scale(residuals)))
    return residuals


def _huber(residuals: Array) -> float:
    """Twice the sum of Huber's loss: squares for small residuals, lines for large ones."""
    off = np.abs(residuals)
    return float(np.where(off <= HUBER, off**2, HUBER * (2 * off - HUBER)).sum())


def _scale(residuals: Array) -> float:
    """Standard deviation from the median absolute residual, as for normal noise; never zero."""
    return 1.4826 * float(np.median(np.abs(residuals))) + 1e-9


# ---------------------------------------------------------------- parts


def _checked(times_s: Numbers, values: Numbers) -> tuple[Array, Array]:
    times, figures = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if times.shape != figures.shape or times.ndim != 1:
        raise ValueError(f"{times.shape} times for {figures.shape} values")
    if not (np.isfinite(figures).all() and (figures > 0).all()):
        raise ValueError("values must be positive")
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError("times must ascend")
    return times, np.log(figures)


def _growth(log: float) -> float:
    """The relative change of a log; without bound where a minute's slope is told by milliseconds."""
    return math.expm1(log) if log < 700 else math.inf


def _bucketed(times: Array, logs: Array) -> tuple[Array, Array]:
    if logs.size <= BUCKETS:
        return times, logs
    parts = np.array_split(np.arange(logs.size), BUCKETS)
    middles = [(float(np.median(times[part])), float(np.median(logs[part]))) for part in parts]
    bucketed = np.array(middles)
    return bucketed[:, 0], bucketed[:, 1]


def _ranks(values: Array) -> Array:
    """Mid-ranks, centred at zero. (``scipy.stats`` has them too, and takes most of a command's start to import.)"""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[which] - (values.size + 1) / 2
    return ranks


def _geyer(ranks: Array) -> float:
    """1 + 2 * the sum of autocorrelations, in pairs of neighbouring lags as long as a pair's sum is positive."""
    count = ranks.size
    spectrum = np.abs(np.fft.rfft(ranks, 2 * count)) ** 2
    correlations = np.fft.irfft(spectrum)[: count // 4]
    correlations /= correlations[0]
    pairs = correlations[: 2 * (correlations.size // 2)].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    positive = pairs[: negative[0]] if negative.size else pairs
    return float(2 * positive.sum() - 1)
