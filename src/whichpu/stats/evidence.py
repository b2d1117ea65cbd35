"""What the answers of one contender say, by sample, so that a metric over any choice of samples is quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
How = Literal["mean", "root-mean", "ratio", "root-ratio"]


class Evidence(Protocol):
    """Gathered once from all answers of one contender."""

    def value(self, weights: Weights | None = None) -> float:
        """The metric, in the task's unit; ``weights`` ``[samples]`` says how often each sample counts (default: once).

        A bootstrap draws samples with replacement: its weights are counts. ``nan`` where no sample that counts has
        what the metric needs.
        """
        ...


class Mean:
    """Evidence for a metric that is a mean over samples: a share of hits, a mean error."""

    how: How = "mean"

    def __init__(self, each: Sequence[float] | npt.NDArray[Any]) -> None:
        self.each = np.asarray(each, dtype=np.float64)

    def value(self, weights: Weights | None = None) -> float:
        """The weighted mean."""
        if weights is None:
            return float(self.each.mean()) if self.each.size else float("nan")
        return float(self.values(weights[np.newaxis])[0])

    def values(self, weights: Weights) -> npt.NDArray[np.float64]:
        """The weighted means of many choices at once, ``[choices]``; ``weights`` is ``[choices, samples]``."""
        return _over(weights @ self.each, weights.sum(axis=1))


class RootMean(Mean):
    """Evidence for the root of a mean of squares, such as RMSE: ``each`` are the squares."""

    how: How = "root-mean"

    def value(self, weights: Weights | None = None) -> float:
        """The root of the weighted mean."""
        return float(np.sqrt(super().value())) if weights is None else super().value(weights)

    def values(self, weights: Weights) -> npt.NDArray[np.float64]:
        """The roots of the weighted means of many choices at once."""
        roots: npt.NDArray[np.float64] = np.sqrt(super().values(weights))
        return roots


class Ratio:
    """Evidence for a ratio of two sums over samples, such as errors over characters."""

    how: How = "ratio"

    def __init__(self, above: Sequence[float] | npt.NDArray[Any], below: Sequence[float] | npt.NDArray[Any]) -> None:
        self.above = np.asarray(above, dtype=np.float64)
        self.below = np.asarray(below, dtype=np.float64)

    def value(self, weights: Weights | None = None) -> float:
        """The ratio of the weighted sums."""
        weights = np.ones(self.above.size) if weights is None else weights
        return float(self.values(weights[np.newaxis])[0])

    def values(self, weights: Weights) -> npt.NDArray[np.float64]:
        """The ratios of many choices at once, ``[choices]``; ``weights`` is ``[choices, samples]``."""
        return _over(weights @ self.above, weights @ self.below)


class RootRatio(Ratio):
    """Evidence for the root of a ratio of two sums, such as RMSE over samples of unequal length."""

    how: How = "root-ratio"

    def values(self, weights: Weights) -> npt.NDArray[np.float64]:
        """The roots of the ratios of many choices at once."""
        roots: npt.NDArray[np.float64] = np.sqrt(super().values(weights))
        return roots


def _over(above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The quotients, ``nan`` over 0."""
    found: npt.NDArray[np.float64] = np.full(above.shape, np.nan)
    np.divide(above, below, out=found, where=below != 0)
    return found
