"""What the harness costs: our median over that of the tightest Python loop, interleaved in the same run.

    python benchmarks/harness_tax.py [--rounds 30] [--models mlp gru] [--output results/harness-tax-YYYY-MM-DD.md]

Per model and round four fresh processes, frozen but for the one that is measured: the tight loop (``tight_loop.py``),
our worker on onnxruntime, our worker on null, and the naive loop. Blocks of 20 ms in seeded random order.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import networks
import numpy as np
import page
from loops import Loop

from whichpu.models import artefact, inputs
from whichpu.stats.intervals import Estimate, of_logs
from whichpu.targets import local
from whichpu.worker import wire

LIMIT = 1.02
SHAPE = wire.Measure()
TIGHT, OURS, NAIVE, NULL = (
    "tight Python loop, bound buffers",
    "WhichPU's worker",
    "`perf_counter` around `session.run`",
    "null",
)
KINDS = (TIGHT, OURS, NAIVE, NULL)
NATIVE = "native C loop: comes with a later issue"


@dataclass
class Subject:
    """One model and what was read of it: for each kind, one mean log block median (ns) a round."""

    name: str
    path: Path
    data: Path
    specs: list[wire.TensorSpec]
    logs: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def median(self, kind: str) -> Estimate:
        """Median latency in ns, with its interval over rounds."""
        return of_logs(self.logs[kind])

    def ratio(self, kind: str) -> Estimate:
        """Over the tight loop, with its interval over rounds."""
        return of_logs(np.subtract(self.logs[kind], self.logs[TIGHT]))


class Seat(Protocol):
    """A process in a round: ready and frozen from the start."""

    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def close(self) -> None: ...
    def steady(self) -> Sequence[int]:
        """Run one block; its steady latencies in ns."""


class LoopSeat(Loop):
    """``tight_loop.py`` in a round."""

    def __init__(self, subject: Subject, kind: Literal["bound", "naive"], cpus: Sequence[int]) -> None:
        super().__init__(subject.path, subject.data, kind, cpus=cpus)
        self.warm()
        self.freeze()

    def steady(self) -> Sequence[int]:
        return self.block(SHAPE.opening_ns, SHAPE.least_ns)


class WorkerSeat:
    """Our worker in a round, driven with the requests that a campaign sends."""

    def __init__(self, subject: Subject, backend: str, cpus: Sequence[int]) -> None:
        self.link = local.start(cpus=cpus, where=backend)
        try:
            self._prepare(subject, backend)
        except BaseException:
            self.close()
            raise

    def _prepare(self, subject: Subject, backend: str) -> None:
        job = wire.Open(backend, "cpu", str(subject.path.resolve()), "onnx", threads=1, inputs=subject.specs)
        self.link.ask(job, wire.Opened)
        outputs = subject.data.with_name("outputs.npz")
        self.link.ask(wire.Bind(str(subject.data), str(outputs)), wire.Bound)
        self.link.ask(wire.Warm(), wire.Warmed)
        self.freeze()

    def freeze(self) -> None:
        self.link.freeze()

    def thaw(self) -> None:
        self.link.thaw()

    def close(self) -> None:
        self.link.close()

    def steady(self) -> Sequence[int]:
        block = self.link.ask(SHAPE, wire.Block)
        return block.latencies_ns[block.opening :]


# ---------------------------------------------------------------- measuring


def load(name: str, number: int, folder: Path, seed: int) -> Subject:
    """A model with its inputs: random, as a campaign without data makes them."""
    path = networks.find(name, folder)
    specs = artefact.load(path, [], None, siblings=False).inputs
    assert specs is not None
    data = folder / f"inputs-{number}.npz"
    np.savez(data, **{f"input_{index}": array for index, array in enumerate(inputs.random(specs, seed))})  # type: ignore[arg-type]
    return Subject(path.stem, path, data, specs)


def run_round(subject: Subject, options: argparse.Namespace, random: np.random.Generator) -> None:
    """Four fresh processes; blocks in random order; one figure a kind."""
    with ExitStack() as stack:
        seats: dict[str, Seat] = {}
        for kind in random.permutation(KINDS):
            seats[kind] = sit_down(kind, subject, options.cpus)
            stack.callback(seats[kind].close)
        medians: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(options.blocks):
            for kind in random.permutation(KINDS):
                medians[kind].append(block_median(seats[kind]))
    for kind in KINDS:
        subject.logs[kind].append(float(np.mean(np.log(medians[kind]))))


def sit_down(kind: str, subject: Subject, cpus: Sequence[int]) -> Seat:
    """A fresh process of this kind, warm and frozen."""
    if kind in (TIGHT, NAIVE):
        return LoopSeat(subject, "bound" if kind == TIGHT else "naive", cpus)
    return WorkerSeat(subject, "onnxruntime" if kind == OURS else "null", cpus)


def block_median(seat: Seat) -> float:
    """Median of one block, in ns; a clock that shows no time at all counts as 1 ns."""
    seat.thaw()
    latencies = seat.steady()
    seat.freeze()
    return max(1.0, float(np.median(latencies)))


def run(subjects: list[Subject], options: argparse.Namespace) -> None:
    """All rounds; the models take turns in random order."""
    random = np.random.default_rng(options.seed)
    for number in range(options.rounds):
        for index in random.permutation(len(subjects)):
            subject = subjects[index]
            run_round(subject, options, random)
            tight, over = subject.median(TIGHT).value, subject.ratio(OURS)
            print(
                f"round {number + 1}/{options.rounds}: {subject.name}: tight {tight / 1e3:.2f} us, ours / tight"
                f" {_with_interval(over)}",
                flush=True,
            )


# ---------------------------------------------------------------- the page


def render(subjects: list[Subject], facts: page.Facts, options: argparse.Namespace) -> list[str]:
    """The Markdown page."""
    pinned = f"pinned to CPUs {options.cpus}" if options.cpus else "not pinned"
    done = [subject for subject in subjects if subject.logs[TIGHT]]
    return [
        "# Harness tax: our median over the tightest Python loop, ONNX Runtime CPU",
        "",
        f"Goal: ours / tight at most {LIMIT} on models of about 10 us and 100 us.",
        "",
        *facts.lines(),
        f"- Setting: 1 thread, {pinned}, {options.rounds} rounds of fresh processes, {options.blocks} blocks of"
        f" {SHAPE.least_ns / 1e6:g} ms, seed {options.seed}",
        "",
        *page.table(CHECK_HEADS, [check_row(subject) for subject in done]),
        "",
        "## All loops",
        "",
        *page.table(LOOP_HEADS, [row for subject in done for row in loop_rows(subject)]),
    ]


CHECK_HEADS = ("model", "tight median", "our median", "ours / tight (95 % interval)", "null, in the same run", "check")
LOOP_HEADS = ("model", "loop", "median (95 % interval)", "over the tight loop (95 % interval)")


def check_row(subject: Subject) -> list[str]:
    """One model's verdict."""
    medians = [f"{subject.median(kind).value / 1e3:.2f} us" for kind in (TIGHT, OURS)]
    null = f"{subject.median(NULL).value:.0f} ns"
    return [subject.name, *medians, _with_interval(subject.ratio(OURS)), null, verdict(subject.ratio(OURS))]


def loop_rows(subject: Subject) -> list[list[str]]:
    """One row a loop, with the place kept for the native one. Null is no loop around this model: no ratio."""
    rows = [[subject.name, f"*{NATIVE}*", "", ""]]
    for kind in KINDS:
        over = "" if kind == NULL else "1" if kind == TIGHT else _with_interval(subject.ratio(kind))
        rows.append([subject.name, kind, _with_interval(subject.median(kind), 1e3, " us"), over])
    return rows


def verdict(ratio: Estimate) -> str:
    """Pass or fail by the estimate; "not settled" while its interval holds the limit."""
    limit = LIMIT
    if ratio.value < 1 / LIMIT:
        word, limit = "**fail**: ours is quicker, so the tight loop is not the tightest", 1 / LIMIT
    else:
        word = "pass" if ratio.value <= LIMIT else "**fail**"
    settled = ratio.low is not None and ratio.high is not None and not ratio.low <= limit <= ratio.high
    return word if settled else f"{word}, not settled: the interval holds {limit:.2f}"


def _with_interval(figure: Estimate, unit: float = 1.0, name: str = "") -> str:
    digits = 3 if unit == 1.0 else 2
    text = f"{figure.value / unit:.{digits}f}{name}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({figure.low / unit:.{digits}f}..{figure.high / unit:.{digits}f})"


# ---------------------------------------------------------------- command line


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="rounds of fresh processes (default 30)")
    parser.add_argument("--blocks", type=int, default=10, help="blocks a round and loop (default 10)")
    parser.add_argument("--models", nargs="+", default=["mlp", "gru"], help="mlp, gru, lstm or ONNX files")
    parser.add_argument("--cpus", type=lambda text: [int(cpu) for cpu in text.split(",")], default=[], help="as 0,1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="write the page here too")
    return parser.parse_args()


def main() -> int:
    """Exit status 0 when every model's estimate is within the limit, 2 when not."""
    options, facts = arguments(), page.Facts()
    with tempfile.TemporaryDirectory(prefix="whichpu-tax-") as text:
        folder = Path(text)
        subjects = [load(name, number, folder, options.seed) for number, name in enumerate(options.models)]
        try:
            run(subjects, options)
        except KeyboardInterrupt:
            print("stopped; whole rounds until here count", flush=True)
    page.show(render(subjects, facts, options), options.output)
    return 0 if all(s.logs[TIGHT] and verdict(s.ratio(OURS)).startswith("pass") for s in subjects) else 2


if __name__ == "__main__":
    sys.exit(main())
