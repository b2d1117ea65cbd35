"""A/A: one model on one runtime under two names must be reported as "no difference shown".

    python benchmarks/aa.py [--tries 100] [--models gru cnn] [--beside 0 1] [--output results/aa-YYYY-MM-DD.md]

On a machine left alone and beside processes that load one core each. Beside each campaign, in the same run, the usual
method: 300 iterations in one fresh process, then 300 in another.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import networks
import numpy as np
import numpy.typing as npt
import page
from loops import Loop
from scipy.stats import mannwhitneyu

import whichpu
from whichpu.models import artefact, inputs

ITERATIONS = 300
WARM_UP = 10
ALPHA = 0.05
USUAL = ("Mann-Whitney", "bootstrap", "median moved over 5 %")
QUIET_VERDICTS = ("no-difference", "too-small-to-matter")
LOADS = {0: "nothing", 1: "a busy process"}
ON = ("a=onnxruntime:cpu", "b=onnxruntime:cpu")


@dataclass
class Tally:
    """What the tries on one model gave, beside so many busy processes. Ratios are b's median latency over a's."""

    model: str
    beside: int
    verdicts: Counter[str] = field(default_factory=Counter)
    ratios: list[float] = field(default_factory=list)
    half_widths: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    median_us: list[float] = field(default_factory=list)
    usual: Counter[str] = field(default_factory=Counter)
    usual_ratios: list[float] = field(default_factory=list)

    @property
    def tries(self) -> int:
        """Campaigns that ended."""
        return self.verdicts.total()

    @property
    def passed(self) -> bool:
        """At most 5 of 100 say anything but "no difference shown"."""
        return self.tries > 0 and self.verdicts["no-difference"] >= 0.95 * self.tries - 1e-9


# ---------------------------------------------------------------- one try


def campaign(tally: Tally, path: Path, options: argparse.Namespace, seed: int) -> str:
    """One campaign with the normal stop rule, entered into ``tally``; returns what to print."""
    began = time.monotonic()
    measured = whichpu.measure(path, on=ON, siblings=False, budget_s=options.budget, seed=seed)
    seconds = time.monotonic() - began
    found = measured.compare(baseline="a")[0]
    tally.verdicts[found.verdict] += 1
    tally.seconds.append(seconds)
    if found.ratio is None or found.low is None or found.high is None:
        return f"{found.verdict}: {found.reason}"
    tally.ratios.append(found.ratio)
    tally.half_widths.append((found.high / found.low) ** 0.5 - 1)
    tally.rounds.append(len(measured.campaign.results[0].readings))
    tally.median_us.append(1e-3 * (measured.figures[0].median_ns or 0.0))
    return (
        f"{found.verdict}, ratio {found.ratio:.4f} [{found.low:.4f}, {found.high:.4f}], {found.reason}, {seconds:.0f} s"
    )


def usual_pair(tally: Tally, path: Path, data: Path, options: argparse.Namespace, seed: int) -> None:
    """The usual method once: one fresh process, then another; called different or not, by each rule."""
    before, after = (_iterations(path, data) for _ in range(2))
    tally.usual_ratios.append(float(np.median(after) / np.median(before)))
    tally.usual["pairs"] += 1
    tally.usual["Mann-Whitney"] += bool(mannwhitneyu(before, after).pvalue < ALPHA)
    tally.usual["bootstrap"] += bootstrap_differs(before, after, seed)
    tally.usual["median moved over 5 %"] += abs(np.log(tally.usual_ratios[-1])) > np.log(1.05)


def _iterations(path: Path, data: Path) -> npt.NDArray[np.float64]:
    with Loop(path, data, "naive") as loop:
        loop.run(WARM_UP)
        return np.asarray(loop.run(ITERATIONS), dtype=np.float64)


def bootstrap_differs(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], seed: int, draws: int = 2_000
) -> bool:
    """Does the 95 % percentile interval of the ratio of medians leave out 1?"""
    generator = np.random.default_rng(seed)
    above, below = (
        np.median(sample[generator.integers(0, sample.size, (draws, sample.size))], axis=1)
        for sample in (after, before)
    )
    low, high = np.percentile(above / below, [2.5, 97.5])
    return not low <= 1 <= high


# ---------------------------------------------------------------- all tries


def run(tallies: list[Tally], folder: Path, options: argparse.Namespace) -> None:
    """All tries; models and loads take turns."""
    paths = {name: networks.find(name, folder) for name in options.models}
    data = {name: samples(path, folder / f"{name}.npz", options.seed) for name, path in paths.items()}
    for number in range(options.tries):
        for tally in tallies:
            with busy(tally.beside):
                said = campaign(tally, paths[tally.model], options, options.seed + number)
                for pair in range(options.pairs):
                    seed = options.seed + 1_000 * number + pair
                    usual_pair(tally, paths[tally.model], data[tally.model], options, seed)
            where = f"{tally.model} beside {tally.beside}"
            print(f"{where}, try {number + 1}/{options.tries}: {said}; usual: {_usual_so_far(tally)}", flush=True)


def samples(path: Path, data: Path, seed: int) -> Path:
    """Random inputs, as a campaign without data makes them, in the file that ``tight_loop.py`` reads."""
    specs = artefact.load(path, [], None, siblings=False).inputs
    assert specs is not None
    arrays = inputs.random(specs, seed)
    np.savez(data, **{f"input_{index}": array for index, array in enumerate(arrays)})  # type: ignore[arg-type]
    return data


def _usual_so_far(tally: Tally) -> str:
    return f"Mann-Whitney {tally.usual['Mann-Whitney']} of {tally.usual['pairs']} different"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that each load one core."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


# ---------------------------------------------------------------- the page


def render(tallies: list[Tally], facts: page.Facts, options: argparse.Namespace) -> list[str]:
    """The Markdown page."""
    return [
        "# A/A: the same model on ONNX Runtime under two names",
        "",
        "Goal: at most 5 of 100 tries give anything but `no-difference`, on each model, left alone and beside a load.",
        "",
        *facts.lines(),
        f"- Setting: 1 thread, pinned as by default, budget {options.budget:g} s a contender,"
        f" first seed {options.seed}; the usual method is not pinned",
        "",
        "## WhichPU's campaigns",
        "",
        *page.table(CAMPAIGN_HEADS, [campaign_row(tally) for tally in tallies]),
        "",
        f"## The usual method, in the same run: {ITERATIONS} iterations in one fresh process, {ITERATIONS} in another",
        "",
        *page.table(USUAL_HEADS, [usual_row(tally) for tally in tallies]),
    ]


CAMPAIGN_HEADS = (
    "model", "beside", "median", "tries", "no-difference", "too-small-to-matter", "faster", "slower", "other",
    "called different (95 % interval)", "ratio, 2.5..97.5 %", "half-width", "rounds", "seconds a try", "check",
)  # fmt: skip
USUAL_HEADS = ("model", "beside", "pairs", *(f"different by {rule}" for rule in USUAL), "ratio of medians, 2.5..97.5 %")


def campaign_row(tally: Tally) -> list[str]:
    """One model's campaigns. "Called different" is every verdict but ``no-difference``."""
    counts = [tally.verdicts[word] for word in (*QUIET_VERDICTS, "faster", "slower")]
    return [
        tally.model,
        _beside(tally),
        _middle(tally.median_us, "{:.1f} us"),
        str(tally.tries),
        *map(str, counts),
        str(tally.tries - sum(counts)),
        page.rate(sum(counts[1:]), sum(counts), digits=0),
        _spread(tally.ratios),
        _middle([100 * width for width in tally.half_widths], "{:.1f} %"),
        _middle([float(rounds) for rounds in tally.rounds], "{:.0f}"),
        _middle(tally.seconds, "{:.0f}"),
        "pass" if tally.passed else "**fail**",
    ]


def usual_row(tally: Tally) -> list[str]:
    """One model's pairs by the usual method."""
    pairs = tally.usual["pairs"]
    return [
        tally.model,
        _beside(tally),
        str(pairs),
        *(page.rate(tally.usual[rule], pairs, digits=0) for rule in USUAL),
        _spread(tally.usual_ratios),
    ]


def _beside(tally: Tally) -> str:
    return LOADS.get(tally.beside, f"{tally.beside} busy processes")


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return "-"
    low, high = np.percentile(ratios, [2.5, 97.5])
    return f"{low:.3f}..{high:.3f}"


def _middle(values: list[float], form: str) -> str:
    return form.format(float(np.median(values))) if values else "-"


# ---------------------------------------------------------------- command line


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = page.parser(__doc__)
    parser.add_argument("--tries", type=int, default=100, help="campaigns a model and load (default 100)")
    parser.add_argument("--models", nargs="+", default=["gru", "cnn"], help="mlp, cnn, gru, lstm or ONNX files")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a contender, as whichpu's (default 60)")
    parser.add_argument("--pairs", type=int, default=1, help="pairs by the usual method beside each try (default 1)")
    parser.add_argument("--beside", type=int, nargs="+", default=[0, 1], help="busy processes beside it (default 0 1)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    """Exit status 0 when the check passes on every model, 2 when not."""
    options, facts = arguments(), page.Facts()
    tallies = [Tally(name, beside) for beside in options.beside for name in options.models]
    with tempfile.TemporaryDirectory(prefix="whichpu-aa-") as folder, page.stoppable():
        run(tallies, Path(folder), options)
    page.show(render(tallies, facts, options), options.output)
    return 0 if all(tally.passed for tally in tallies) else 2


if __name__ == "__main__":
    sys.exit(main())
