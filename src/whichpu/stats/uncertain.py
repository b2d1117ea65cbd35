"""A figure known by its 95 % interval: how probable it is to keep a bound, and draws of it.

A positive figure is taken as log-normal, any other as normal, of the spread that the interval has.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

REACH = 1.959964
"""Half of a 95 % interval, in standard deviations."""

Draws = npt.NDArray[np.float64]


def chance_below(bound: float, value: float, low: float, high: float) -> float:
    """The probability that a figure is at most ``bound``."""
    from scipy.special import ndtr

    if low > 0 and value > 0:
        if bound <= 0:
            return 0.0
        distance, spread = math.log(bound / value), math.log(high / low) / (2 * REACH)
    else:
        distance, spread = bound - value, (high - low) / (2 * REACH)
    if spread == 0:
        return 1.0 if distance >= 0 else 0.0
    return float(ndtr(distance / spread))


def draws(value: float, low: float, high: float, count: int, generator: np.random.Generator) -> Draws:
    """``count`` draws of a figure."""
    normal = generator.standard_normal(count)
    if low > 0 and value > 0:
        found: Draws = value * np.exp(normal * math.log(high / low) / (2 * REACH))
    else:
        found = value + normal * (high - low) / (2 * REACH)
    return found
