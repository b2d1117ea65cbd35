"""Percentiles of latencies with intervals over rounds, and the refusal of those that the sample can't support."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from whichpu.stats.intervals import Estimate, of_logs

BEYOND = 10
"""Inferences that must lie beyond a percentile for it to be given: with 10, the order-statistics interval of
the percentile stays inside the sample (its upper end needs about 2 sqrt(10) of them). p99 needs 1,000."""

STRETCHES, APART = 5, 10
"""Stretches of slow inferences that a percentile must rest on. Exceedances at most ``APART`` inferences from each
other are one stretch, one cause (runs declustering: Smith & Weissman, "Estimating the extremal index", JRSS B 56,
1994)."""

DEFINITION = "geometric mean over rounds of the round's median-unbiased sample percentile (Hyndman & Fan's type 8)"

PERCENTILE_CONFIDENCE = 0.95
"""Nominal: nothing stops when a percentile is narrow, so nothing favours percentiles that agree by luck."""


def percentile(rounds: Sequence[npt.NDArray[np.int64]], percent: float) -> Estimate:
    """A percentile of the latencies in ns of several rounds, with its t interval over rounds.

    The round is the unit, as everywhere: inferences of one process share its fate, so that an interval from order
    statistics of all inferences together would be far too narrow. Within a round the order statistic is Hyndman & Fan's
    type 8 ("Sample quantiles in statistical packages", The American Statistician 1996), whose median is right in short
    rounds too: linear interpolation (type 7) reads p99 of 200 inferences too low (``benchmarks/coverage.py``).
    """
    logs = [math.log(max(1.0, float(np.percentile(sample, percent, method="median_unbiased")))) for sample in rounds]
    return of_logs(logs, PERCENTILE_CONFIDENCE)


def unsupported(count: int, percent: float, where: str = "") -> str | None:
    """Why a sample of ``count`` can't support a percentile; ``None`` when it can."""
    needed = math.ceil(BEYOND / (1 - percent / 100) - 1e-9)
    if count >= needed:
        return None
    return f"p{percent:g} needs {needed} inferences{where}, {count} were measured"


def least_in_round(percent: float) -> int:
    """Inferences of a round from which its percentile lies within the sample: of fewer, even the largest is too low.

    Type 8 reads the value at place (n + 1/3) p + 1/3 of n.
    """
    share = percent / 100
    return math.ceil((share + 1) / 3 / (1 - share) - 1e-9)


def stretches(rounds: Sequence[npt.NDArray[np.int64]], beyond: float) -> int:
    """Separate stretches of inferences in which the latency is ``beyond`` ns or more; ``rounds`` in the order they ran.

    To half a nanosecond: a clock of coarse steps reads the percentile itself many times, and a mean of logs misses it.
    """
    found = 0
    for sample in rounds:
        places = np.flatnonzero(sample > beyond - 0.5)
        found += int(places.size > 0) + int(np.count_nonzero(np.diff(places) > APART))
    return found


def too_few_causes(rounds: Sequence[npt.NDArray[np.int64]], percent: float, value: float) -> str | None:
    """Why a percentile of ``value`` ns rests on too little although many inferences lie beyond it; else ``None``."""
    found = stretches(rounds, value)
    if found >= STRETCHES:
        return None
    all_in = f"{found} stretch{'es' * (found != 1)}"
    return f"p{percent:g} rests on {all_in} of slow inferences, too few to tell what is usual ({STRETCHES} are needed)"
