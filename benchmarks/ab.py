"""A/B: how often a contender that is truly slower by 2, 3 or 5 % is found, and after how many seconds.

    python benchmarks/ab.py [--tries 100] [--null-tries 100] [--output results/ab-YYYY-MM-DD.md]

First the null backend: a busy wait of 200 us against one that is longer by just that much. Then a real one: a network
of equal convolutions on ONNX Runtime against the same with one layer more (50, 33 or 20 layers: 2, 3 or 5 % more work),
two models in one campaign as ``whichpu check --against`` runs them. Its true ratio is the mean over all campaigns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import networks
import numpy as np
import page
from aa import busy

import whichpu
from whichpu.results.latencies import ratio
from whichpu.results.schema import Result
from whichpu.stats.intervals import p_value
from whichpu.stats.verdicts import verdict

DELAY_NS = 200_000
PERCENTS = (2, 3, 5)
LAYERS = {2: 50, 3: 33, 5: 20}
GOAL, GOAL_PERCENT, GOAL_S = 0.90, 3, 30.0


@dataclass
class Tally:
    """What the tries at one difference gave."""

    backend: str
    percent: int
    beside: int
    said: list[str] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    half_widths: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def found(self, within_s: float = float("inf")) -> int:
        """Tries that called the slower one slower, within a time."""
        return sum(word == "slower" and took <= within_s for word, took in zip(self.said, self.seconds, strict=True))

    def row(self) -> list[str]:
        """A line of the table."""
        wrong = sum(word == "faster" for word in self.said)
        small = sum(word == "too-small-to-matter" for word in self.said)
        low, middle, high = np.percentile(self.seconds, [5, 50, 95])
        return [
            self.backend,
            f"{self.percent} %",
            "a busy process" if self.beside else "nothing",
            f"{100 * (np.exp(np.mean(np.log(self.ratios))) - 1):+.2f} %",
            str(len(self.said)),
            page.rate(self.found(GOAL_S), len(self.said)),
            str(len(self.said) - self.found() - wrong - small),
            str(small),
            str(wrong),
            f"{100 * np.median(self.half_widths):.1f} %",
            f"{middle:.1f} ({low:.1f}..{high:.1f})",
            self.check(),
        ]

    def check(self) -> str:
        """The goal is set for 3 % alone."""
        if self.percent != GOAL_PERCENT:
            return ""
        return "pass" if self.passed else "**fail**"

    @property
    def passed(self) -> bool:
        """Found in 90 of 100 within 30 s, where that is asked."""
        return self.percent != GOAL_PERCENT or self.found(GOAL_S) >= GOAL * len(self.said)


HEADS = (
    "backend", "slower by", "beside", "measured, mean", "tries", f"found within {GOAL_S:g} s",
    "no difference shown", "too small to matter", "called faster", "half-width", "seconds (5..95 %)", "check",
)  # fmt: skip


def null_campaign(tally: Tally, folder: Path, options: argparse.Namespace, seed: int) -> None:
    """Two busy waits; the model is only a name to the null backend."""
    slower_ns = DELAY_NS * (100 + tally.percent) // 100
    on = (f"a=null:cpu,delay={DELAY_NS}ns", f"b=null:cpu,delay={slower_ns}ns")
    began = time.monotonic()
    measured = whichpu.measure(
        networks.mlp(folder / "mlp.onnx"), on, siblings=False, seed=seed, budget_s=options.budget
    )
    took_s = time.monotonic() - began
    quicker, slower = measured.campaign.results
    enter(tally, quicker, slower, took_s)


def real_campaign(tally: Tally, folder: Path, options: argparse.Namespace, seed: int) -> None:
    """One layer more against the network as it was."""
    layers = LAYERS[tally.percent]
    old, new = (networks.cnn(folder / f"cnn-{count}.onnx", layers=count) for count in (layers, layers + 1))
    began = time.monotonic()
    measured = whichpu.measure(
        new, "onnxruntime:cpu", against=old, siblings=False, seed=seed, budget_s=options.budget, loop="python"
    )
    took_s = time.monotonic() - began
    slower = next(result for result in measured.campaign.results if result.baseline is not None)
    quicker = next(result for result in measured.campaign.results if result.name == slower.baseline)
    enter(tally, quicker, slower, took_s)


def enter(tally: Tally, quicker: Result, slower: Result, took_s: float) -> None:
    """Judge as ``compare`` does."""
    found = ratio(slower, quicker)
    assert found is not None, (slower.why, quicker.why)
    estimate, logs = found
    tally.said.append(verdict(estimate, p_value(logs), 0.02))
    tally.ratios.append(estimate.value)
    tally.half_widths.append(float("nan") if estimate.half_width is None else estimate.half_width)
    tally.seconds.append(took_s)


def main() -> int:
    """Exit status 0 when 3 % is found in 90 of 100 within 30 s, 2 when not."""
    parser = page.parser(__doc__)
    parser.add_argument("--tries", type=int, default=100, help="campaigns for each difference on the real backend")
    parser.add_argument("--null-tries", type=int, default=100, help="the same on the null backend")
    parser.add_argument("--percents", type=int, nargs="+", default=list(PERCENTS), choices=PERCENTS)
    parser.add_argument("--beside", type=int, default=0, help="busy processes beside it (default 0)")
    parser.add_argument("--budget", type=float, default=15.0, help="seconds a contender (default 15: 30 s for the two)")
    parser.add_argument("--seed", type=int, default=1)
    options, facts = parser.parse_args(), page.Facts()
    null = [Tally("null (a busy wait)", percent, options.beside) for percent in options.percents]
    real = [Tally("onnxruntime (one layer more)", percent, options.beside) for percent in options.percents]
    with tempfile.TemporaryDirectory(prefix="whichpu-ab-") as name, busy(options.beside), page.stoppable():
        for number in range(max(options.tries, options.null_tries)):
            for run, tallies, tries in (
                (null_campaign, null, options.null_tries),
                (real_campaign, real, options.tries),
            ):
                for tally in tallies if number < tries else ():
                    run(tally, Path(name), options, options.seed + number)
                    print(f"{tally.backend} {tally.percent} %, try {number + 1}: {tally.said[-1]},"
                          f" {tally.ratios[-1]:.4f} in {tally.seconds[-1]:.1f} s", flush=True)  # fmt: skip
    ran = [tally for tally in (*null, *real) if tally.said]
    page.show(render(ran, facts, options), options.output)
    return 0 if all(tally.passed for tally in ran) else 2


def render(tallies: list[Tally], facts: page.Facts, options: argparse.Namespace) -> list[str]:
    """The Markdown page."""
    return [
        "# A/B: a contender that is truly slower",
        "",
        f"Goal: {GOAL_PERCENT} % is found in at least 90 of 100 tries, within {GOAL_S:g} s each.",
        "",
        *facts.lines(),
        f"- Setting: 1 thread, pinned as by default, +-2 % asked, budget {options.budget:g} s a contender,"
        f" first seed {options.seed}",
        "",
        *page.table(HEADS, [tally.row() for tally in tallies]),
        "",
        "Seconds are those of a whole campaign: looking at the runtimes, loading, the check of outputs and all rounds.",
    ]


if __name__ == "__main__":
    sys.exit(main())
