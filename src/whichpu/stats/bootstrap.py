"""Two metrics on the same samples: their difference, with an interval and a p by a paired bootstrap over samples.

Samples are drawn with replacement, the same draw for both (Efron & Tibshirani, An Introduction to the Bootstrap, 1993,
chapters 8 and 13). A plain percentile interval takes a handful of changed samples that all happen to point one way for
a shown difference. So each draw moves by (P1 - P2) times the largest influence that a sample has on the difference,
P1 and P2 Poisson(1): as if one sample more had changed for the better and one for the worse. For shares that is the
adjustment of Bonett & Price (Statistics in Medicine, 2012) within a bootstrap; with hundreds of changed samples it
vanishes. ``benchmarks/delta_coverage.py`` holds how often the interval holds the truth.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whichpu.stats.evidence import Evidence, Weights

Numbers = npt.NDArray[np.float64]
Limits = tuple[float, float]

UNLIMITED = (-math.inf, math.inf)

DRAWS, DRAWS_LEAST = 2_000, 200
CAP_S = 5.0
"""Evidence that is slow to weigh gets fewer draws."""

BLOCK = 20
"""Draws that are made at once. Each block has a generator of its own: the first draws are the same, however many."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Delta:
    """Ours less theirs; ``low`` to ``high`` is the 95 % interval and ``p`` that of "no difference", two-sided.

    ``None`` where a single sample says nothing about spread.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Paired:
    """Differences by metric, and the values of ours in each draw."""

    deltas: dict[str, Delta]
    ours: dict[str, Numbers]

    @property
    def draws(self) -> int:
        return max((values.size for values in self.ours.values()), default=0)


def paired(
    ours: Mapping[str, Evidence],
    theirs: Mapping[str, Evidence],
    samples: int,
    seed: int,
    most: int = DRAWS,
    cap_s: float = CAP_S,
    limits: Mapping[str, Limits] | None = None,
) -> Paired:
    """Differences of the metrics that both have, from evidence on the same ``samples``.

    ``most`` draws, or as many (200 at least) as ``cap_s`` seconds allow. ``limits`` are the least and the greatest
    value that a metric can have.
    """
    names = [name for name in ours if name in theirs]
    values = {name: (ours[name].value(), theirs[name].value()) for name in names}
    names = [name for name in names if all(map(math.isfinite, values[name]))]
    drawn: dict[str, tuple[list[Numbers], list[Numbers]]] = {name: ([], []) for name in names}
    began = time.monotonic()
    for number, weights in enumerate(choices(samples, seed, most) if samples > 1 else ()):
        for name in names:
            for column, evidence in zip(drawn[name], (ours[name], theirs[name]), strict=True):
                column.append(values_of(evidence, weights))
        if (number + 1) * BLOCK >= DRAWS_LEAST and time.monotonic() - began > cap_s:
            break
    deltas, kept = {}, {}
    for name in names:
        value = values[name][0] - values[name][1]
        mine, other = (np.concatenate(column) if column else np.zeros(0) for column in drawn[name])
        influence = influence_from(mine - other, samples, seed)
        deltas[name] = judged(value, mine - other, influence, seed, other, (limits or {}).get(name, UNLIMITED))
        kept[name] = mine
    return Paired(deltas, kept)


def judged(
    value: float,
    drawn: Numbers,
    influence: float,
    seed: int,
    theirs: Numbers | float = 0.0,
    limits: Limits = UNLIMITED,
) -> Delta:
    """The difference ``value``, with interval and p from its ``drawn`` values. What is ``nan`` there takes no part.

    ``theirs`` are the other's values in the same draws: none is left beyond the metric's ``limits`` by a difference.
    """
    finite = np.isfinite(drawn)
    theirs, drawn = np.broadcast_to(theirs, drawn.shape)[finite], drawn[finite]
    if not drawn.size:
        return Delta(value)
    if value == 0 and not drawn.any() and influence == 0:
        return Delta(0.0, 0.0, 0.0, 1.0)
    poisson = np.random.default_rng([seed, DRAWS]).poisson(1.0, (2, drawn.size))
    drawn = drawn + (poisson[0] - poisson[1]) * influence
    possible = np.clip(drawn, limits[0] - theirs, limits[1] - theirs)
    low, high = np.quantile(possible, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Delta(value, float(low), float(high), p_of(value, drawn))


def p_of(value: float, drawn: Numbers) -> float:
    """Twice the share of draws on the other side of 0.

    Where they are too few to count (under 10), it is the tail of a normal curve, which corrected p values need.
    """
    beyond = int(min((drawn <= 0).sum(), (drawn >= 0).sum()))
    counted = min(1.0, 2 * (beyond + 1) / (drawn.size + 1))
    spread = float(drawn.std())
    if beyond >= 10 or spread == 0:
        return counted
    return min(counted, math.erfc(abs(value) / spread / math.sqrt(2)))


def choices(samples: int, seed: int, most: int) -> Iterator[Weights]:
    """How often each sample counts in each draw, ``[BLOCK, samples]`` at a time."""
    for block in range(-(-most // BLOCK)):
        generator = np.random.default_rng([seed, block])
        picked = generator.integers(0, samples, (BLOCK, samples))
        yield np.stack([np.bincount(row, minlength=samples) for row in picked]).astype(np.float64)


class Remembering:
    """Slow evidence that is weighed by the same draws again and again, such as the reference's: it knows them."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.known: dict[bytes, float] = {}

    def value(self, weights: Weights | None = None) -> float:
        """The metric; weighed at the first time only."""
        key = b"" if weights is None else hashlib.sha256(weights.tobytes()).digest()
        if key not in self.known:
            self.known[key] = self.evidence.value(weights)
        return self.known[key]


def influence_from(drawn: Numbers, samples: int, seed: int) -> float:
    """By how much one sample moves a difference at most, from the difference's ``drawn`` values.

    By the infinitesimal jackknife (Efron, JRSS B, 2014): a sample's is the covariance of the difference with how often
    the sample was drawn, over the draws of :func:`choices`.
    """
    finite = np.isfinite(drawn)
    if samples < 2 or not finite.any():
        return 0.0
    blocks = np.zeros(-(-drawn.size // BLOCK) * BLOCK)
    blocks[: drawn.size][finite] = drawn[finite] - drawn[finite].mean()
    pairs = zip(blocks.reshape(-1, BLOCK), choices(samples, seed, drawn.size), strict=True)
    influences = np.sum([apart @ (weights - 1.0) for apart, weights in pairs], axis=0) / finite.sum()
    return float(np.abs(influences).max())


def values_of(evidence: Evidence, weights: Weights) -> Numbers:
    """The metric for each row of weights."""
    at_once = getattr(evidence, "values", None)
    found = at_once(weights) if at_once is not None else [evidence.value(row) for row in weights]
    return np.asarray(found, dtype=np.float64)
