"""Time to verdict: seconds until a ratio is known to +-2 %, against fixed sweeps of 1,000 iterations.

    python benchmarks/time_to_verdict.py [--tries 10] [--output results/time-to-verdict-YYYY-MM-DD.md]

One model on ONNX Runtime under two names. A sweep is what scripts do: 1,000 iterations in one fresh process, then 1,000
in another. A single sweep says nothing about how far off it is, so sweeps are repeated until the t interval over
them is as narrow, by the same rule as WhichPU's rounds. Both in the same run, taking turns, pinned to the same CPU.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import networks
import numpy as np
import page
from aa import ON, WARM_UP, samples
from loops import Loop

import whichpu
from whichpu.stats.intervals import of_logs
from whichpu.worker import machine

ITERATIONS = 1_000
WIDTH, LEAST, MOST = 0.02, 5, 60


@dataclass
class Tally:
    """Seconds and units (rounds or sweeps) until the width was reached, try by try; ``None``: never."""

    model: str
    ours: list[tuple[float, int, bool]] = field(default_factory=list)
    sweeps: list[tuple[float, int, bool]] = field(default_factory=list)
    first_off: list[float] = field(default_factory=list)

    def row(self) -> list[str]:
        """A line of the table."""
        ours, sweeps = ([row[0] for row in rows] for rows in (self.ours, self.sweeps))
        logs = [math.log(sweep / our) for our, sweep in zip(ours, sweeps, strict=True)]
        estimate = of_logs(logs, 0.95)
        interval = f" ({estimate.low:.2f}..{estimate.high:.2f})" if estimate.low and estimate.high else ""
        return [
            self.model,
            str(len(ours)),
            f"{np.median(ours):.1f}",
            _units(self.ours),
            f"{np.median(sweeps):.1f}",
            _units(self.sweeps),
            f"{estimate.value:.2f}{interval}",
            f"{100 * max(self.first_off):.1f} %",
        ]


HEADS = ("model", "tries", "WhichPU, s", "rounds", "sweeps, s", "sweeps", "sweeps' time / ours (95 %)",
         "a single sweep was off by up to")  # fmt: skip


def _units(rows: list[tuple[float, int, bool]]) -> str:
    missed = sum(not reached for *_, reached in rows)
    return f"{np.median([count for _, count, _ in rows]):.0f}" + (f", {missed} never" if missed else "")


def ours(path: Path, seed: int, budget_s: float) -> tuple[float, int, bool]:
    """One campaign with its own stop rule."""
    began = time.monotonic()
    measured = whichpu.measure(path, ON, siblings=False, seed=seed, budget_s=budget_s, loop="python")
    took_s = time.monotonic() - began
    found = measured.compare(baseline="a")[0]
    width = math.sqrt(found.high / found.low) - 1 if found.low and found.high else float("inf")
    return took_s, len(measured.campaign.results[0].readings), width <= WIDTH


def sweeps(path: Path, data: Path, cpus: list[int]) -> tuple[float, int, bool, float]:
    """Sweeps until their interval is as narrow; and how far the first was off."""
    began = time.monotonic()
    logs: list[float] = []
    while len(logs) < MOST:
        medians = [_median(path, data, cpus) for _ in range(2)]
        logs.append(math.log(medians[1] / medians[0]))
        if len(logs) >= LEAST and (of_logs(logs).half_width or 1.0) <= WIDTH:
            return time.monotonic() - began, len(logs), True, abs(math.expm1(logs[0]))
    return time.monotonic() - began, len(logs), False, abs(math.expm1(logs[0]))


def _median(path: Path, data: Path, cpus: list[int]) -> float:
    with Loop(path, data, "bound", cpus=cpus) as loop:
        loop.run(WARM_UP)
        return float(np.median(loop.run(ITERATIONS)))


def main() -> int:
    """Always 0: there is no goal but to know."""
    parser = page.parser(__doc__)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--models", nargs="+", default=["gru", "cnn"], help="mlp, cnn, gru, lstm or ONNX files")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a contender (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    options, facts = parser.parse_args(), page.Facts()
    tallies = [Tally(name) for name in options.models]
    cpus = (machine.cpus_preferred() or [])[:1]
    with tempfile.TemporaryDirectory(prefix="whichpu-ttv-") as name:
        for number in range(options.tries):
            for tally in tallies:
                path = networks.find(tally.model, Path(name))
                data = samples(path, Path(name) / "inputs.npz", options.seed)
                tally.ours.append(ours(path, options.seed + number, options.budget))
                took_s, count, reached, off = sweeps(path, data, cpus)
                tally.sweeps.append((took_s, count, reached))
                tally.first_off.append(off)
                print(f"{tally.model} try {number + 1}: {tally.ours[-1]}, sweeps {tally.sweeps[-1]}", flush=True)
    page.show(render(tallies, facts, options), options.output)
    return 0


def render(tallies: list[Tally], facts: page.Facts, options: argparse.Namespace) -> list[str]:
    """The Markdown page."""
    return [
        "# Time to verdict: until a ratio is known to +-2 %",
        "",
        *facts.lines(),
        f"- Setting: 1 thread, pinned to one CPU, at least {LEAST} rounds or sweeps, first seed {options.seed}",
        "",
        *page.table(HEADS, [tally.row() for tally in tallies]),
        "",
        f"A sweep: {WARM_UP} + {ITERATIONS:,} iterations in one fresh process, then in another. WhichPU's seconds are",
        "those of a whole campaign: looking at the runtimes, the reference's outputs and their check included.",
    ]


if __name__ == "__main__":
    sys.exit(main())
