"""Figures of a sample of latencies, and the refusal of percentiles that it can't support."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BEYOND = 10
"""Inferences that must lie beyond a percentile for it to be given: with 10, the order-statistics interval of
the percentile stays inside the sample (its upper end needs about 2 sqrt(10) of them). p99 needs 1,000."""


def percentile(sample: npt.NDArray[np.int64], percent: float) -> float:
    """Linear interpolation between order statistics, as NumPy's default (Hyndman & Fan's type 7)."""
    return float(np.percentile(sample, percent))


def unsupported(count: int, percent: float) -> str | None:
    """Why a sample of ``count`` can't support a percentile; ``None`` when it can."""
    needed = math.ceil(BEYOND / (1 - percent / 100) - 1e-9)
    if count >= needed:
        return None
    return f"p{percent:g} needs {needed} inferences, {count} were measured"
