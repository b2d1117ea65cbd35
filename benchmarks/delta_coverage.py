"""How often does the interval of an accuracy delta hold the truth, and how often is a difference claimed where none is?

Simulated answers of a contender and of the reference, judged by the code that judges real ones; beside it a plain
percentile interval and BCa on the same draws. Prints a Markdown page.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import page
from scipy.special import ndtr, ndtri

from whichpu.stats.bootstrap import CONFIDENCE, choices, paired
from whichpu.stats.evidence import Evidence, Mean, RootMean

Numbers = npt.NDArray[np.float64]
Pair = tuple[Evidence, Evidence, npt.NDArray[np.intp]]
HEADS = (
    "case",
    "ours holds it",
    "calls different",
    "percentile holds it",
    "calls different",
    "BCa holds it",
    "calls different",
)
TAILS = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)


def shares(samples: int, lost: float, won: float) -> tuple[Callable[[np.random.Generator], Pair], float]:
    """Top-1: of all samples, the contender loses and wins such shares; and the true delta."""

    def draw(random: np.random.Generator) -> Pair:
        theirs = (random.random(samples) < 0.8).astype(float)
        moved = random.choice([0.0, -1.0, 1.0], samples, p=[1 - lost - won, lost, won])
        ours = np.where(moved == 0, theirs, moved > 0)
        theirs = np.where(moved == 0, theirs, moved < 0)
        return Mean(ours), Mean(theirs), np.flatnonzero(moved)

    return draw, won - lost


def errors(samples: int, factor: float) -> tuple[Callable[[np.random.Generator], Pair], float]:
    """RMSE with heavy-tailed errors: the contender's are the reference's times ``factor``, and some noise."""

    def draw(random: np.random.Generator) -> Pair:
        theirs = random.standard_t(5, samples)
        ours = factor * (theirs + 0.2 * random.standard_normal(samples)) / np.sqrt(1 + 0.04 * 3 / 5)
        return RootMean(ours**2), RootMean(theirs**2), np.arange(samples)

    return draw, (factor - 1) * np.sqrt(5 / 3)


def plain(ours: Evidence, theirs: Evidence, samples: int, draws: int, seed: int) -> tuple[Numbers, Numbers]:
    """Percentile and BCa intervals (Efron 1987; acceleration from the jackknife)."""
    weights = np.concatenate(list(choices(samples, seed, draws)))
    drawn = ours.values(weights) - theirs.values(weights)  # type: ignore[attr-defined]
    value = ours.value() - theirs.value()
    without = np.ones((samples, samples)) - np.eye(samples)
    left = ours.values(without) - theirs.values(without)  # type: ignore[attr-defined]
    apart = left.mean() - left
    cube = (apart**2).sum() ** 1.5
    speed = (apart**3).sum() / (6 * cube) if cube else 0.0
    share = ((drawn < value).sum() + 0.5 * (drawn == value).sum()) / drawn.size
    shift = ndtri(np.clip(share, 1e-3, 1 - 1e-3))
    ends = [ndtr(shift + (shift + ndtri(tail)) / (1 - speed * (shift + ndtri(tail)))) for tail in TAILS]
    return np.quantile(drawn, TAILS), np.quantile(drawn, ends)


def main() -> None:
    """Simulate and print."""
    parser = page.parser(__doc__)
    parser.add_argument("--tries", type=int, default=1_000)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    facts = page.Facts()
    rows = []
    for name, (samples, draw, truth) in cases().items():
        held, called = np.zeros(3), np.zeros(3)
        for number in range(asked.tries):
            ours, theirs, _ = draw(np.random.default_rng([asked.seed, number]))
            found = paired({"m": ours}, {"m": theirs}, samples, number, asked.draws).deltas["m"]
            own = np.array([found.low, found.high])
            ends = np.stack([own, *plain(ours, theirs, samples, asked.draws, number)])
            held += (ends[:, 0] - 1e-12 <= truth) & (truth <= ends[:, 1] + 1e-12)
            called += (ends[:, 0] > 0) | (ends[:, 1] < 0)
        shares_of = [f"{100 * count / asked.tries:.1f} %" for pair in zip(held, called, strict=True) for count in pair]
        rows.append((name, *shares_of))
        print(" | ".join(rows[-1]), flush=True)
    title = f"# Intervals of accuracy deltas: {asked.tries} tries a case, {asked.draws} draws, seed {asked.seed}"
    page.show([title, "", *facts.lines(), "", *page.table(HEADS, rows)], asked.output)


def cases() -> dict[str, tuple[int, Callable[[np.random.Generator], Pair], float]]:
    """Name, number of samples, what draws both contenders' evidence, and the true delta."""
    found = {}
    for samples in (38, 200, 500, 2000):
        for lost, won in ((0.01, 0.01), (0.04, 0.04), (0.05, 0.02)):
            name = f"top-1, {samples} samples, {100 * lost:g} % lost, {100 * won:g} % won"
            found[name] = samples, *shares(samples, lost, won)
    for samples in (20, 200):
        for factor in (1.0, 1.05):
            found[f"RMSE, {samples} samples, {100 * (factor - 1):+.0f} %"] = samples, *errors(samples, factor)
    return found


if __name__ == "__main__":
    main()
