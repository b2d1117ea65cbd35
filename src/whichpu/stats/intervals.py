"""Intervals over rounds. The round is the unit: iterations of one process are not independent observations.

Sources: Kalibera & Jones, "Rigorous benchmarking in reasonable time" (ISMM 2013); Georges, Buytaert &
Eeckhout, "Statistically rigorous Java performance evaluation" (OOPSLA 2007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.955
"""Nominal confidence of the t intervals that are called 95 % ones. A campaign looks after every round and stops at the
first narrow interval, which favours rounds that agree by luck and costs up to 2 points; heavy tails make t intervals
hold the truth more often than their name says. Simulated with that rule, these hold it in 93 to 97 %
(``benchmarks/coverage.py``)."""

Numbers = Sequence[float] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A positive figure with its interval; ``low`` and ``high`` are ``None`` when one round says nothing of spread."""

    value: float
    low: float | None
    high: float | None
    rounds: int

    @property
    def half_width(self) -> float | None:
        """Relative half-width of the interval (0.02 is 2 %)."""
        if self.low is None or self.high is None:
            return None
        return math.sqrt(self.high / self.low) - 1


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def t_two_sided(statistic: float, degrees: float) -> float:
    """Two-sided p-value of a t statistic."""
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(statistic)))


def of_logs(logs: Numbers, confidence: float = CONFIDENCE) -> Estimate:
    """Geometric mean and t interval of positive figures given by their logs, one a round."""
    values = np.asarray(logs, dtype=np.float64)
    mean = float(values.mean())
    if values.size < 2:
        return Estimate(math.exp(mean), None, None, int(values.size))
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    reach = t_quantile(0.5 + confidence / 2, values.size - 1) * error
    return Estimate(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), int(values.size))


def p_value(logs: Numbers, against: float = 1.0) -> float | None:
    """Two-sided p of "the ratio is ``against``", from one log ratio a round; ``None`` for fewer than two rounds."""
    values = np.asarray(logs, dtype=np.float64)
    if values.size < 2:
        return None
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    distance = float(values.mean()) - math.log(against)
    if error == 0:
        return 1.0 if distance == 0 else 0.0
    return t_two_sided(distance / error, values.size - 1)


def holm(p_values: Sequence[float], family: int | None = None) -> list[float]:
    """Holm's step-down adjustment for a family of tests (Holm 1979); same order, monotone, at most 1.

    ``family`` is the number of tests that could have been asked, where that is more than the p values given.
    """
    tests = max(len(p_values), family or 0)
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (tests - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def of_values(values: Numbers, confidence: float = CONFIDENCE) -> tuple[float, float | None, float | None]:
    """Arithmetic mean and t interval of figures of either sign, one a round; of one round without an interval."""
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if sample.size < 2:
        return mean, None, None
    reach = t_quantile(0.5 + confidence / 2, sample.size - 1) * float(sample.std(ddof=1)) / math.sqrt(sample.size)
    return mean, mean - reach, mean + reach
