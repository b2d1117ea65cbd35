"""Average precision of ranked detections, with samples weighted by counts: what a bootstrap over pictures needs.

The definition is that of the COCO evaluation (Lin et al., "Microsoft COCO", 2014, and the reference ``COCOeval``):
precision, made non-increasing, at 101 recalls from 0 to 1, averaged over recalls, classes that have truth, and
thresholds. Counts are whole numbers, so sums are exact in any order, and without weights the value is COCOeval's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

RECALLS = np.linspace(0.0, 1.0, 101)

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Ranked:
    """Detections of all samples, ranked within each class by falling score; among equal scores the earlier comes first.

    ``scores``, ``samples`` and ``classes`` are ``[detections]``; ``hits`` and ``ignored`` are
    ``[thresholds, detections]``: matched to an object that counts, and neither right nor wrong. ``truths`` is
    ``[classes, samples]``: how many objects that count a sample has.
    """

    def __init__(
        self, scores: Floats, samples: Whole, classes: Whole, hits: Flags, ignored: Flags, truths: npt.NDArray[Any]
    ) -> None:
        ranks = np.lexsort((-scores, classes))
        self.samples, self.classes = samples[ranks], classes[ranks]
        self.hits, self.ignored = hits[:, ranks], ignored[:, ranks]
        self.truths = np.asarray(truths, dtype=np.float64)


class AveragePrecision:
    """Mean average precision at some of the thresholds (``at``: their indices), over the classes that have truth."""

    def __init__(self, ranked: Ranked, at: Sequence[int]) -> None:
        hits, ignored = ranked.hits[list(at)], ranked.ignored[list(at)]
        # Precision only peaks where something was hit: those places are few, and all that the curve needs.
        places = np.flatnonzero((hits | ignored).any(axis=0))
        self.truths, self.samples, self.places = ranked.truths, ranked.samples, places
        self.place_samples, self.place_classes = ranked.samples[places], ranked.classes[places]
        self.hits, self.ignored = hits[:, places], ignored[:, places]
        self.firsts = np.searchsorted(ranked.classes, self.place_classes)
        self.first_places = np.searchsorted(self.place_classes, self.place_classes)

    def value(self, weights: Floats | None = None) -> float:
        """The mean over thresholds, recalls and classes in [0, 1]; ``nan`` where no sample that counts has truth.

        ``weights`` ``[samples]`` says how often each sample counts.
        """
        weights = np.ones(self.truths.shape[1]) if weights is None else weights
        truths = self.truths @ weights
        if not (truths > 0).any():
            return float("nan")
        precisions = self._precisions(weights, truths)[:, truths > 0]
        return float(precisions.transpose(0, 2, 1).ravel().mean())

    def _precisions(self, weights: Floats, truths: Floats) -> Floats:
        """Precision by threshold, class and recall."""
        here = weights[self.place_samples]
        right = _from_first(_sums(self.hits * here), self.first_places)
        neither = _from_first(_sums(self.ignored * here), self.first_places)
        seen = _sums(weights[self.samples])
        wrong = seen[self.places + 1] - seen[self.firsts] - right - neither
        precision = right / (wrong + right + np.spacing(1))
        recall = right / np.where(truths > 0, truths, 1.0)[self.place_classes]
        reached = np.searchsorted(RECALLS, recall, side="right") - 1
        best = np.zeros((len(self.hits), len(truths), len(RECALLS)))
        rows = np.arange(len(self.hits))[:, np.newaxis]
        np.maximum.at(best, (rows, self.place_classes, reached), precision)
        return np.maximum.accumulate(best[..., ::-1], axis=2)[..., ::-1]


def _sums(values: Floats) -> Floats:
    """Cumulative sums along the last axis, from 0 on: one longer than the values."""
    return np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)


def _from_first(sums: Floats, firsts: Whole) -> Floats:
    """Sums up to and with each place, from the first place of its class on."""
    return sums[:, 1:] - sums[:, firsts]
