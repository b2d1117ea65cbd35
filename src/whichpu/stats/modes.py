"""Do values fall into two groups? Works on logs of figures; rare outliers are no group."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ASHMAN = 4.0
"""Least distance of two modes in units of their spreads (Ashman, Bird & Zepf, "Detecting bimodality in astronomical
datasets", AJ 108, 1994: two modes are apart from 2 on). A uniform distribution cut in halves has 3.5."""
LEAST_SHARE = 0.10
"""Share of the smaller mode: less is outliers."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Modes:
    """Medians of the two groups (in the values' own unit) and the share of values in the higher one."""

    low: float
    high: float
    share: float


def two_modes(logs: Array, smallest: float) -> Modes | None:
    """Two modes of a large sample, at least ``smallest`` (relative) apart; ``None`` for one mode, or fewer than 50."""
    if logs.size < 50:
        return None
    ordered = np.sort(logs)
    at = _otsu(ordered)
    low, high = ordered[:at], ordered[at:]
    found = Modes(float(np.median(low)), float(np.median(high)), high.size / ordered.size)
    spread = math.sqrt((_spread(low) ** 2 + _spread(high) ** 2) / 2)
    far = found.high - found.low > max(math.log1p(smallest), ASHMAN * spread)
    return found if far and LEAST_SHARE <= found.share <= 1 - LEAST_SHARE else None


def two_groups(logs: Array, smallest: float) -> Modes | None:
    """Two groups of a few values (one a round), of two values each at least: the gap between them is three times as
    wide as either group, and at least ``smallest`` (relative)."""
    ordered = np.sort(logs)
    if ordered.size < 4:
        return None
    gaps = np.diff(ordered)
    at = int(np.argmax(gaps)) + 1
    low, high = ordered[:at], ordered[at:]
    if min(low.size, high.size) < 2:
        return None
    widest = max(float(np.ptp(low)), float(np.ptp(high)))
    if gaps[at - 1] < max(math.log1p(smallest), 3 * widest):
        return None
    return Modes(float(np.median(low)), float(np.median(high)), high.size / ordered.size)


def _otsu(ordered: Array) -> int:
    """Where to cut so that the groups' means are as far apart as their sizes allow (Otsu 1979)."""
    count = np.arange(1, ordered.size)
    sums = np.cumsum(ordered)[:-1]
    between = (sums - count * ordered.mean()) ** 2 / (count * (ordered.size - count))
    return int(np.argmax(between)) + 1


def _spread(values: Array) -> float:
    """Standard deviation of normal values from their middle half: tails don't count."""
    low, high = np.percentile(values, [25, 75])
    return float(high - low) / 1.349
