"""Windows that ran at once: the time that all of them share, and what each did in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Latencies = npt.NDArray[np.int64]

PERCENTILE_LEAST = 20
"""Inferences without which there is no 95th percentile."""


class Stretch(NamedTuple):
    """One window of inferences back to back, in ns on a clock that all of them share.

    ``opening_ns`` is how long it ran already before ``began_ns``. ``latencies`` are all of the ``inferences`` in
    order, or the first ones only. ``median_ns`` and ``p95_ns`` are over all of them.
    """

    began_ns: int
    wall_ns: int
    opening_ns: int
    inferences: int
    latencies: Latencies
    median_ns: float
    p95_ns: float

    @property
    def end_ns(self) -> int:
        return self.began_ns + self.wall_ns


class Counted(NamedTuple):
    """What a window did in the time that counts: inferences a second, and their percentiles.

    A percentile is ``None`` where too few inferences lie wholly in that time; ``whole`` counts them.
    """

    per_s: float
    p50_ns: float | None
    p95_ns: float | None
    whole: int


def shared(stretches: Sequence[Stretch]) -> tuple[int, int] | None:
    """From when to when all ran, openings counted in; ``None`` where that is never."""
    begin = max(stretch.began_ns - stretch.opening_ns for stretch in stretches)
    end = min(stretch.end_ns for stretch in stretches)
    return (begin, end) if begin < end else None


def counted(stretch: Stretch, span: tuple[int, int]) -> Counted | None:
    """What ``stretch`` did in ``span``; ``None`` where it has nothing in it.

    An inference that reaches over the edge counts by its part within: a slow model would else lose most of its work.
    """
    begin, end = max(span[0], stretch.began_ns), min(span[1], stretch.end_ns)
    if begin >= end:
        return None
    if stretch.latencies.size < stretch.inferences or (begin, end) == (stretch.began_ns, stretch.end_ns):
        done = stretch.inferences * (end - begin) / stretch.wall_ns
        return Counted(1e9 * done / (end - begin), *_percentiles(stretch), int(done))
    ends = stretch.began_ns + np.cumsum(stretch.latencies + _gap_ns(stretch))
    begins = np.concatenate(([stretch.began_ns], ends[:-1]))
    parts = np.clip(np.minimum(ends, end) - np.maximum(begins, begin), 0, None) / (ends - begins)
    whole = stretch.latencies[(begins >= begin) & (ends <= end)]
    p50 = float(np.median(whole)) if whole.size else None
    p95 = float(np.percentile(whole, 95)) if whole.size >= PERCENTILE_LEAST else None
    return Counted(1e9 * float(parts.sum()) / (end - begin), p50, p95, int(whole.size))


def _gap_ns(stretch: Stretch) -> float:
    """The loop's own time between two inferences."""
    return max(0.0, (stretch.wall_ns - float(stretch.latencies.sum())) / stretch.inferences)


def _percentiles(stretch: Stretch) -> tuple[float, float | None]:
    return stretch.median_ns, stretch.p95_ns if stretch.inferences >= PERCENTILE_LEAST else None
