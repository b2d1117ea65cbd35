"""How probable it is that each contender is the best, given what the rounds showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

DRAWS = 20_000


Drawn = npt.NDArray[np.float64]


def probabilities(logs: Sequence[Mapping[int, float]], draws: int = DRAWS, seed: int = 0) -> list[float] | None:
    """Probability that each contender has the smallest figure; ``None`` when some have fewer than two rounds.

    ``logs`` hold for each contender the log of its figure in each round.
    """
    found = drawn(logs, draws, seed)
    if found is None:
        return None
    best = np.argmin(found, axis=0)
    return [float(np.mean(best == row)) for row in range(len(logs))]


def drawn(logs: Sequence[Mapping[int, float]], draws: int = DRAWS, seed: int = 0) -> Drawn | None:
    """Draws of the contenders' mean logs, ``[contenders, draws]``; ``None`` when some have fewer than two rounds.

    They come from the means' posterior under a flat prior, a multivariate t: one weight a round, shared by all
    contenders of that round, keeps what rounds do to all alike (Gelman et al., Bayesian Data Analysis, 3rd ed., section
    3.6). A contender that ran in fewer rounds is held against those of the others.
    """
    if any(len(rounds) < 2 for rounds in logs) or not logs:
        return None
    generator = np.random.default_rng(seed)
    numbers = sorted({number for rounds in logs for number in rounds})
    weights = generator.standard_normal((draws, len(numbers)))
    means = np.empty((len(logs), draws))
    for row, rounds in enumerate(logs):
        at = [numbers.index(number) for number in sorted(rounds)]
        values = np.array([rounds[numbers[index]] for index in at])
        count = len(values)
        spread = weights[:, at] @ (values - values.mean()) / np.sqrt(count * (count - 1))
        means[row] = values.mean() + spread
    fewest = min(len(rounds) for rounds in logs)
    tails = np.sqrt((fewest - 1) / generator.chisquare(fewest - 1, draws))
    centre = np.array([np.mean(list(rounds.values())) for rounds in logs])[:, None]
    found: Drawn = centre + (means - centre) * tails
    return found
