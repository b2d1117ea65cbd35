"""Figures of different campaigns: the machine's own change from day to day belongs into the interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from whichpu.stats.intervals import CONFIDENCE, Estimate, Numbers, t_quantile, t_two_sided

CAMPAIGNS_LEAST = 3
"""Campaigns of one model from which the spread between campaigns is estimated; fewer hardly have one."""

ENDLESS = 1e9
"""Degrees of freedom of a spread that is taken as known."""


def across_days(
    new: Numbers, olds: Sequence[Numbers], day_to_day: float, confidence: float = CONFIDENCE
) -> tuple[Estimate, float | None]:
    """Ratio of a new campaign to older ones with its interval, and the two-sided p of "no change".

    ``new`` and each of ``olds`` are a campaign's logs, one a round. From three older campaigns on, their means give the
    spread between campaigns, and the interval is that of one further draw. With fewer, ``day_to_day`` (0.05 is 5 %) is
    taken as the half-width by which an unchanged figure moves between two campaigns, and added in quadrature.
    ``p`` and the interval are ``None`` when a campaign of one round leaves its spread unknown.
    """
    means = [float(np.mean(logs)) for logs in olds]
    distance = float(np.mean(new)) - float(np.mean(means))
    rounds = len(new)
    spread = _estimated(new, means) if len(olds) >= CAMPAIGNS_LEAST else _assumed(new, olds, day_to_day, confidence)
    if spread is None:
        return Estimate(math.exp(distance), None, None, rounds), None
    error, degrees = spread
    reach = t_quantile(0.5 + confidence / 2, degrees) * error
    estimate = Estimate(math.exp(distance), math.exp(distance - reach), math.exp(distance + reach), rounds)
    if error == 0:
        return estimate, 1.0 if distance == 0 else 0.0
    return estimate, t_two_sided(distance / error, degrees)


def _estimated(new: Numbers, means: Sequence[float]) -> tuple[float, float] | None:
    """Error and degrees of freedom of a further draw; a new campaign that is itself less certain counts as it is."""
    own = _variance_of_mean(new)
    if own is None:
        return None
    between = float(np.var(means, ddof=1))
    return math.sqrt(max(between, own) + between / len(means)), len(means) - 1


def _assumed(new: Numbers, olds: Sequence[Numbers], day_to_day: float, confidence: float) -> tuple[float, float] | None:
    """Welch's error and degrees of freedom (Welch 1947) with one more part, which is taken as known."""
    parts = [(new, 1.0), *((logs, 1 / len(olds) ** 2) for logs in olds)]
    total, squares = 0.0, 0.0
    for logs, weight in parts:
        variance = _variance_of_mean(logs)
        if variance is None:
            return None
        total += weight * variance
        squares += (weight * variance) ** 2 / (len(logs) - 1)
    total += (math.log1p(day_to_day) / t_quantile(0.5 + confidence / 2, ENDLESS)) ** 2
    return math.sqrt(total), min(ENDLESS, total**2 / squares) if squares else ENDLESS


def _variance_of_mean(logs: Numbers) -> float | None:
    return float(np.var(logs, ddof=1)) / len(logs) if len(logs) > 1 else None
