"""Coverage: does the 95 % interval hold the truth in 93 to 97 % of simulated campaigns?

    python benchmarks/coverage.py [--draws 2000] [--output results/coverage-YYYY-MM-DD.md]

Rounds with a known truth are simulated, block by block, and judged by the code that judges real ones: the same stop
rule (looking after every round), the same ratio, the same interval. Nothing is measured, so a busy machine is no harm.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import page

from whichpu.campaign import stop
from whichpu.results import store
from whichpu.results.column import pack
from whichpu.results.latencies import median, ratio
from whichpu.results.schema import Block, Campaign, Reading, Result
from whichpu.stats import describe

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "campaign-1.json"
TRUTH = 1.03
BASE_NS = 1e6
TURNS, ROUND_S, BUDGET_S = 10, 0.5, 12.0
LOW, HIGH = 0.93, 0.97
FEW = 0.05
"""Share of draws under which a percentile counts as refused."""
Array = npt.NDArray[np.float64]


class Logs(NamedTuple):
    """Log factors on the block medians of one round, ``[turns]`` each: of the baseline, and of the contender."""

    baseline: Array
    contender: Array


class World(NamedTuple):
    """What the machine does: called with a generator and the round's number, gives the round's logs."""

    name: str
    round: Callable[[np.random.Generator, int], Logs]


def _own(generator: np.random.Generator, spread: float, tails: float | None = None) -> Array:
    """A process's own factor and its blocks' noise."""
    draw = (
        generator.standard_normal() if tails is None else generator.standard_t(tails) / math.sqrt(tails / (tails - 2))
    )
    return spread * draw + generator.normal(0, 0.008, TURNS)


def processes(spread: float, tails: float | None = None) -> Callable[[np.random.Generator, int], Logs]:
    """Processes differ by ``spread`` (standard deviation of the log), normally or with ``tails`` degrees of freedom."""
    return lambda generator, _: Logs(_own(generator, spread, tails), _own(generator, spread, tails))


def drift(generator: np.random.Generator, number: int) -> Logs:
    """The machine gets slower by 2 % a round, within the round too."""
    machine = 0.02 * (number + np.arange(TURNS) / TURNS)
    return Logs(_own(generator, 0.01) + machine, _own(generator, 0.01) + machine + 0.001)


def steps(generator: np.random.Generator, _: int) -> Logs:
    """A neighbour comes or goes in mid-round, in half of the rounds: 30 % slower for both from then on."""
    begins = generator.integers(0, 2 * TURNS)
    machine = 0.26 * (np.arange(TURNS) >= begins)
    late = 0.26 * (np.arange(TURNS) + generator.choice([-0.5, 0.5]) >= begins)
    return Logs(_own(generator, 0.01) + machine, _own(generator, 0.01) + late)


def bursts(generator: np.random.Generator, _: int) -> Logs:
    """One block in eight is hit, by up to 50 %."""

    def hit() -> Array:
        return np.where(generator.random(TURNS) < 0.125, generator.uniform(0, 0.4, TURNS), 0.0)

    return Logs(_own(generator, 0.01) + hit(), _own(generator, 0.01) + hit())


def modes(generator: np.random.Generator, _: int) -> Logs:
    """Each process runs in one of two modes, 3 % apart (addresses, say)."""
    fast, slow = (0.03 * generator.integers(0, 2) + _own(generator, 0.004) for _ in range(2))
    return Logs(fast, slow)


WORLDS = (
    World("processes differ by 0.5 %", processes(0.005)),
    World("by 1.5 %", processes(0.015)),
    World("by 3 %", processes(0.03)),
    World("by 1.5 %, heavy tails (t, 3 degrees)", processes(0.015, 3)),
    World("drift of 2 % a round", drift),
    World("steps of 30 % in mid-round", steps),
    World("bursts in one block of eight", bursts),
    World("two modes, 3 % apart", modes),
)


# ---------------------------------------------------------------- one draw


def campaign_of(world: World, seed: int) -> Campaign:
    """A campaign of two contenders in that world, run until the stop rule is content."""
    generator = np.random.default_rng(seed)
    campaign = store.load(GOLDEN)
    names = ("baseline", "contender")
    campaign.results = [Result(name=name, target=name, backend="b", device="cpu", status="pending") for name in names]
    campaign.settings = msgspec.structs.replace(
        campaign.settings, half_width=0.02, rounds_least=5, rounds_most=None, budget_s=BUDGET_S, blocks=TURNS
    )
    campaign.reference = None
    number = 0
    while stop.still_needed(campaign):
        logs = world.round(generator, number)
        for result, factors, truth in zip(campaign.results, logs, (1.0, TRUTH), strict=True):
            result.readings.append(_reading(number, BASE_NS * truth * np.exp(factors)))
            result.status = "measured"
        number += 1
    return campaign


def _reading(number: int, medians_ns: Array) -> Reading:
    blocks = [
        Block(position=turn, turn=turn, count=1, opening=0, began_ns=0, wall_ns=1, cpu_ns=1)
        for turn in range(medians_ns.size)
    ]
    return Reading(round=number, blocks=blocks, latencies_ns=pack(medians_ns.astype(np.int64)), spent_s=ROUND_S)


def ratio_draw(task: tuple[int, int]) -> tuple[bool, bool, int, float]:
    """Does the interval hold the truth, is the contender called different from its true ratio, rounds, half-width."""
    world, seed = WORLDS[task[0]], task[1]
    campaign = campaign_of(world, seed)
    found = ratio(campaign.results[1], campaign.results[0])
    assert found is not None
    estimate = found[0]
    truth = TRUTH * (math.exp(0.001) if world.round is drift else 1.0)
    assert estimate.low is not None and estimate.high is not None and estimate.half_width is not None
    alone = median(campaign.results[0])
    assert alone is not None and alone.low is not None and alone.high is not None
    return (
        estimate.low <= truth <= estimate.high,
        alone.low <= BASE_NS <= alone.high,
        estimate.rounds,
        estimate.half_width,
    )


# ---------------------------------------------------------------- percentiles


class Shape(NamedTuple):
    """Latencies within one process: called with a generator and a count, gives their logs."""

    name: str
    logs: Callable[[np.random.Generator, int], Array]


def _body(generator: np.random.Generator, count: int) -> Array:
    return generator.normal(0, 0.02, count)


def _tail(generator: np.random.Generator, count: int) -> Array:
    hit = generator.random(count) < 0.03
    return _body(generator, count) + hit * generator.exponential(0.5, count)


def _bursty(generator: np.random.Generator, count: int) -> Array:
    hit = np.repeat(generator.random(-(-count // 10)) < 0.03, 10)[:count]
    return _body(generator, count) + hit * generator.exponential(0.5, count)


def _heavy(generator: np.random.Generator, count: int) -> Array:
    return 0.02 * generator.standard_t(3, count)


SHAPES = (
    Shape("normal", _body),
    Shape("3 % of inferences slower", _tail),
    Shape("the same, in bursts of ten", _bursty),
    Shape("heavy tails (t, 3 degrees)", _heavy),
)
PERCENTS = (50.0, 95.0, 99.0)
COUNTS = (2_000, 200)
"""Inferences a round: of a model of 0.1 ms, and of 1 ms and more."""


def percentile_draw(task: tuple[int, int, int]) -> list[bool | None]:
    """Does each percentile's interval hold the truth (``None``: refused)? Five rounds; processes differ by 1.5 %."""
    shape, count, seed = SHAPES[task[0]], task[1], task[2]
    generator = np.random.default_rng([seed, count])
    rounds = [
        (BASE_NS * np.exp(generator.normal(0, 0.015) + shape.logs(generator, count))).astype(np.int64) for _ in range(5)
    ]
    held: list[bool | None] = []
    for percent in PERCENTS:
        found = describe.percentile(rounds, percent)
        assert found.low is not None and found.high is not None
        refused = percent > 50 and describe.too_few_causes(rounds, percent, found.value) is not None
        held.append(None if refused else found.low <= _true_percentile(task[0], percent) <= found.high)
    return held


_TRUTHS: dict[tuple[int, float], float] = {}


def _true_percentile(shape: int, percent: float) -> float:
    """Of the median process, from four million draws."""
    if (shape, percent) not in _TRUTHS:
        logs = SHAPES[shape].logs(np.random.default_rng(0), 4_000_000)
        for each in PERCENTS:
            _TRUTHS[shape, each] = BASE_NS * math.exp(float(np.percentile(logs, each)))
    return _TRUTHS[shape, percent]


# ---------------------------------------------------------------- the page


def within(hits: int, count: int) -> str:
    """Pass, or which side it misses."""
    share = hits / count
    return "pass" if LOW <= share <= HIGH else f"**{'low' if share < LOW else 'high'}**"


def percentile_cell(column: tuple[bool | None, ...]) -> str:
    """Coverage of those that were given, and how many were refused."""
    given = [held for held in column if held is not None]
    refused = f", {100 * (1 - len(given) / len(column)):.0f} % refused" if len(given) < len(column) else ""
    if len(given) < FEW * len(column):
        return f"refused in {100 * (1 - len(given) / len(column)):.0f} %"
    return f"{page.rate(sum(given), len(given))} {within(sum(given), len(given))}{refused}"


def main() -> int:
    """Exit status 0 when every coverage is within 93 to 97 %, 2 when not."""
    parser = page.parser(__doc__)
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options, facts = parser.parse_args(), page.Facts()
    seeds = range(options.seed, options.seed + options.draws)
    missed = 0
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        rows = []
        for index, world in enumerate(WORLDS):
            found = pool.map(ratio_draw, [(index, seed) for seed in seeds], chunksize=20)
            held, alone = sum(row[0] for row in found), sum(row[1] for row in found)
            missed += within(held, len(found)) != "pass"
            rounds, width = np.mean([row[2] for row in found]), np.median([row[3] for row in found])
            rows.append(
                [
                    world.name,
                    page.rate(held, len(found)),
                    within(held, len(found)),
                    page.rate(alone, len(found)),
                    f"{rounds:.1f}",
                    f"{100 * width:.1f} %",
                ]
            )
            print(*rows[-1], sep=" | ", flush=True)
        percentiles = []
        for index, shape in enumerate(SHAPES):
            for count in COUNTS:
                table = pool.map(percentile_draw, [(index, count, seed) for seed in seeds], chunksize=20)
                cells = [percentile_cell(column) for column in zip(*table, strict=True)]
                missed += sum("**" in cell for cell in cells)
                percentiles.append([shape.name, f"{count:,}", *cells])
                print(*percentiles[-1], sep=" | ", flush=True)
    page.show(render(rows, percentiles, facts, options), options.output)
    return 2 if missed else 0


def render(
    rows: list[list[str]], percentiles: list[list[str]], facts: page.Facts, options: argparse.Namespace
) -> list[str]:
    """The Markdown page."""
    return [
        "# Coverage: how often the 95 % interval holds the truth",
        "",
        f"Goal: in 93 to 97 % of {options.draws:,} simulated campaigns of each kind.",
        "",
        *facts.lines(),
        f"- Setting: first seed {options.seed}; a true ratio of {TRUTH}; the stop rule looks after every round,"
        f" asks for +-2 % and at least 5 rounds, and gives up after {BUDGET_S / ROUND_S:.0f}",
        "",
        "## Ratios",
        "",
        *page.table(
            (
                "rounds in which",
                "interval of the ratio holds it",
                "check",
                "that of the median alone does",
                "rounds",
                "half-width",
            ),
            rows,
        ),
        "",
        "Drift, steps and bursts hit the median alone: there is no one true figure to hold, and no goal for it.",
        "",
        "## Percentiles",
        "",
        "Five rounds of so many inferences; processes differ by 1.5 %; the truth is that of the median process.",
        "",
        *page.table(
            ("latencies of a process", "inferences a round", *(f"p{each:g}" for each in PERCENTS)), percentiles
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
