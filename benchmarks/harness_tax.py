"""What the harness costs: our median over that of a C program on the same library, interleaved in the same run.

    python benchmarks/harness_tax.py [--rounds 30] [--models mlp lstm] [--output results/harness-tax-YYYY-MM-DD.md]

Per runtime, model and round six fresh processes, frozen but for the one that is measured: the C program
(``tight_loop.c``), our worker with its native and its Python loop, the naive loop of most scripts, and our worker on
null with both loops. Blocks of 20 ms or 1000 inferences in seeded random order.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import networks
import numpy as np
import page
from loops import Loop, Resident, compiled

from whichpu.models import artefact, inputs
from whichpu.stats.intervals import Estimate, of_logs
from whichpu.targets import local
from whichpu.worker import wire
from whichpu.worker.backends import onnxruntime_c, openvino_c

NATIVE_LIMIT = 1.02
PYTHON_LIMITS = ((50_000, 1.20), (float("inf"), 1.02))
"""The Python loop's limit, for models up to so many ns."""
SHAPE = wire.Measure()
RUNTIMES = ("onnxruntime", "openvino")
PROGRAM, NATIVE, PYTHON, NAIVE, NULL_NATIVE, NULL_PYTHON = (
    "C program, bound buffers",
    "WhichPU, native loop",
    "WhichPU, Python loop",
    "naive: `perf_counter` around the call",
    "null, native loop",
    "null, Python loop",
)
KINDS = (PROGRAM, NATIVE, PYTHON, NAIVE, NULL_NATIVE, NULL_PYTHON)
NULLS = (NULL_NATIVE, NULL_PYTHON)


@dataclass
class Subject:
    """One model on one runtime and what was read of it: for each kind, one mean log block median (ns) a round."""

    runtime: str
    name: str
    path: Path
    data: Path
    specs: list[wire.TensorSpec]
    outputs: list[wire.TensorSpec]
    logs: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def median(self, kind: str) -> Estimate:
        """Median latency in ns, with its interval over rounds."""
        return of_logs(self.logs[kind])

    def ratio(self, kind: str) -> Estimate:
        """Over the C program, with its interval over rounds."""
        return of_logs(np.subtract(self.logs[kind], self.logs[PROGRAM]))

    def limits(self) -> dict[str, float]:
        """The largest ratio allowed for each of our loops."""
        latency_ns = self.median(PROGRAM).value
        return {NATIVE: NATIVE_LIMIT, PYTHON: next(limit for most, limit in PYTHON_LIMITS if latency_ns <= most)}


class Seat(Protocol):
    """A process in a round: ready and frozen from the start."""

    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def close(self) -> None: ...
    def steady(self) -> Sequence[int]:
        """Run one block; its steady latencies in ns."""


class LoopSeat:
    """A loop of ours that is no worker, in a round."""

    def __init__(self, loop: Resident) -> None:
        self.loop = loop
        self.freeze, self.thaw, self.close = loop.freeze, loop.thaw, loop.close
        loop.warm()
        loop.freeze()

    def steady(self) -> Sequence[int]:
        return self.loop.block(SHAPE.opening_ns, SHAPE.least_ns)


class WorkerSeat:
    """Our worker in a round, driven with the requests that a campaign sends."""

    def __init__(self, subject: Subject, backend: str, loop: Literal["native", "python"], cpus: Sequence[int]) -> None:
        self.link = local.start(cpus=cpus, where=backend)
        self.freeze, self.thaw, self.close = self.link.freeze, self.link.thaw, self.link.close
        self.loop = loop
        try:
            self._prepare(subject, backend)
        except BaseException:
            self.close()
            raise

    def _prepare(self, subject: Subject, backend: str) -> None:
        model = str(subject.path.resolve())
        job = wire.Open(backend, "cpu", model, "onnx", threads=1, inputs=subject.specs, loop=self.loop)
        self.link.ask(job, wire.Opened)
        outputs = subject.data.with_name("outputs.npz")
        self.link.ask(wire.Bind(str(subject.data), str(outputs)), wire.Bound)
        self.link.ask(wire.Warm(), wire.Warmed)
        self.freeze()

    def steady(self) -> Sequence[int]:
        block = self.link.ask(SHAPE, wire.Block)
        if block.loop != self.loop:
            raise SystemExit(f"the worker ran its {block.loop} loop, not the {self.loop} one: see `whichpu run`")
        return block.latencies_ns[block.opening :]


# ---------------------------------------------------------------- measuring


def load(runtime: str, name: str, number: int, folder: Path, seed: int) -> Subject:
    """A model with its inputs: random, as a campaign without data makes them; a raw copy for the C program."""
    path = networks.find(name, folder)
    specs = artefact.load(path, [], None, siblings=False).inputs
    assert specs is not None
    data = folder / f"inputs-{number}.npz"
    arrays = inputs.random(specs, seed)
    np.savez(data, **{f"input_{index}": array for index, array in enumerate(arrays)})  # type: ignore[arg-type]
    with local.start() as link:
        outputs = link.ask(wire.Open("onnxruntime", "cpu", str(path), "onnx", inputs=specs), wire.Opened).outputs
    if {spec.dtype for spec in (*specs, *outputs)} != {"float32"} or any(-1 in spec.shape for spec in outputs):
        raise SystemExit(f"{name}: the C program takes models of float32 and fixed shapes only")
    data.with_suffix(".bin").write_bytes(b"".join(np.ascontiguousarray(array[0]).tobytes() for array in arrays))
    return Subject(runtime, path.stem, path, data, specs, outputs)


def run_round(
    subject: Subject, sit_down: Callable[[str, Subject], Seat], blocks: int, random: np.random.Generator
) -> None:
    """A fresh process of each kind; blocks in random order; one figure a kind."""
    with ExitStack() as stack:
        seats: dict[str, Seat] = {}
        for kind in random.permutation(KINDS):
            seats[kind] = sit_down(kind, subject)
            stack.callback(seats[kind].close)
        medians: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(blocks):
            for kind in random.permutation(KINDS):
                medians[kind].append(block_median(seats[kind]))
    for kind in KINDS:
        subject.logs[kind].append(float(np.mean(np.log(medians[kind]))))


class Table:
    """Gives each kind its fresh process, warm and frozen."""

    def __init__(self, program: Path, cpus: Sequence[int]) -> None:
        self.program, self.cpus = program, cpus

    def __call__(self, kind: str, subject: Subject) -> Seat:
        if kind == PROGRAM:
            return LoopSeat(Resident(self._command(subject), cpus=self.cpus))
        if kind == NAIVE:
            naive: Literal["naive", "openvino"] = "openvino" if subject.runtime == "openvino" else "naive"
            return LoopSeat(Loop(subject.path, subject.data, naive, cpus=self.cpus))
        backend = "null" if kind in NULLS else subject.runtime
        return WorkerSeat(subject, backend, "native" if kind in (NATIVE, NULL_NATIVE) else "python", self.cpus)

    def _command(self, subject: Subject) -> list[str]:
        given, got = (
            [f"{spec.name}={'x'.join(map(str, spec.shape))}" for spec in specs]
            for specs in (subject.specs, subject.outputs)
        )
        library = openvino_c.library_path() if subject.runtime == "openvino" else onnxruntime_c.library_path()
        raw = subject.data.with_suffix(".bin")
        return [str(self.program), subject.runtime, library, str(subject.path), str(raw), "1", *given, "--", *got]


def block_median(seat: Seat) -> float:
    """Median of one block, in ns; a clock that shows no time at all counts as 1 ns."""
    seat.thaw()
    latencies = seat.steady()
    seat.freeze()
    return max(1.0, float(np.median(latencies)))


def run(subjects: list[Subject], table: Table, options: argparse.Namespace) -> None:
    """All rounds; the subjects take turns in random order."""
    random = np.random.default_rng(options.seed)
    for number in range(options.rounds):
        for index in random.permutation(len(subjects)):
            subject = subjects[index]
            run_round(subject, table, options.blocks, random)
            ratios = [
                f"{kind.removeprefix('WhichPU, ')} {_with_interval(subject.ratio(kind))}" for kind in (NATIVE, PYTHON)
            ]
            print(
                f"round {number + 1}/{options.rounds}: {subject.runtime}, {subject.name}: C program"
                f" {subject.median(PROGRAM).value / 1e3:.2f} us; {', '.join(ratios)}",
                flush=True,
            )


# ---------------------------------------------------------------- the page


def render(subjects: list[Subject], facts: page.Facts, options: argparse.Namespace) -> list[str]:
    """The Markdown page."""
    pinned = f"pinned to CPU {', '.join(map(str, options.cpus))}" if options.cpus else "not pinned"
    done = [subject for subject in subjects if subject.logs[PROGRAM]]
    return [
        "# Harness tax: our median over that of a C program on the same library",
        "",
        f"Goal: native loop at most {NATIVE_LIMIT:.2f}; Python loop at most"
        f" {PYTHON_LIMITS[0][1]:.2f} on models of about 10 us and {PYTHON_LIMITS[1][1]:.2f} on models of about 100 us.",
        "",
        *facts.lines(),
        f"- Setting: 1 thread, {pinned}, {options.rounds} rounds of fresh processes, {options.blocks} blocks of"
        f" {SHAPE.least_ns / 1e6:g} ms or {SHAPE.most_count} inferences, seed {options.seed}",
        "",
        *page.table(CHECK_HEADS, [row for subject in done for row in check_rows(subject)]),
        "",
        "## All loops",
        "",
        *page.table(LOOP_HEADS, [row for subject in done for row in loop_rows(subject)]),
    ]


CHECK_HEADS = ("runtime", "model", "loop", "its median", "over the C program (95 % interval)", "goal", "check")
LOOP_HEADS = ("runtime", "model", "loop", "median (95 % interval)", "over the C program (95 % interval)")


def check_rows(subject: Subject) -> list[list[str]]:
    """The verdicts on one model and runtime."""
    return [
        [
            subject.runtime,
            subject.name,
            kind.removeprefix("WhichPU, "),
            f"{subject.median(kind).value / 1e3:.2f} us",
            _with_interval(subject.ratio(kind)),
            f"{limit:.2f}",
            verdict(subject.ratio(kind), limit),
        ]
        for kind, limit in subject.limits().items()
    ]


def loop_rows(subject: Subject) -> list[list[str]]:
    """One row a loop. Null is no loop around this model: no ratio."""
    rows = []
    for kind in KINDS:
        over = "" if kind in NULLS else "1" if kind == PROGRAM else _with_interval(subject.ratio(kind))
        rows.append([subject.runtime, subject.name, kind, _with_interval(subject.median(kind), 1e3, " us"), over])
    return rows


def verdict(ratio: Estimate, limit: float) -> str:
    """Pass or fail by the estimate; "not settled" while its interval holds the limit."""
    if ratio.value < 1 / NATIVE_LIMIT:
        limit = 1 / NATIVE_LIMIT
        word = "**fail**: ours is quicker, so the C program is not the tightest"
    else:
        word = "pass" if ratio.value <= limit else "**fail**"
    settled = ratio.low is not None and ratio.high is not None and not ratio.low <= limit <= ratio.high
    return word if settled else f"{word}, not settled: the interval holds {limit:.2f}"


def passed(subject: Subject) -> bool:
    """Both loops within their limits, by the estimates."""
    limits = subject.limits() if subject.logs[PROGRAM] else {}
    return bool(limits) and all(
        verdict(subject.ratio(kind), limit).startswith("pass") for kind, limit in limits.items()
    )


def _with_interval(figure: Estimate, unit: float = 1.0, name: str = "") -> str:
    digits = 3 if unit == 1.0 else 2
    text = f"{figure.value / unit:.{digits}f}{name}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({figure.low / unit:.{digits}f}..{figure.high / unit:.{digits}f})"


# ---------------------------------------------------------------- command line


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = page.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="rounds of fresh processes (default 30)")
    parser.add_argument("--blocks", type=int, default=10, help="blocks a round and loop (default 10)")
    parser.add_argument("--models", nargs="+", default=["mlp", "lstm"], help="mlp, cnn, gru, lstm or ONNX files")
    parser.add_argument("--runtimes", nargs="+", default=RUNTIMES, choices=RUNTIMES)
    parser.add_argument("--cpus", type=_cpus, default=_last_cpu(), help="as 0,1; none: not pinned (default: the last)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _cpus(text: str) -> list[int]:
    return [] if text == "none" else [int(cpu) for cpu in text.split(",")]


def _last_cpu() -> list[int]:
    """The last usable CPU: the first one has most of the system's own work."""
    return [max(os.sched_getaffinity(0))]


def main() -> int:
    """Exit status 0 when every estimate is within its limit, 2 when not."""
    options, facts = arguments(), page.Facts()
    with tempfile.TemporaryDirectory(prefix="whichpu-tax-") as text:
        folder = Path(text)
        pairs = [(runtime, name) for runtime in options.runtimes for name in options.models]
        subjects = [load(*pair, number, folder, options.seed) for number, pair in enumerate(pairs)]
        with page.stoppable():
            run(subjects, Table(compiled(folder), options.cpus), options)
    page.show(render(subjects, facts, options), options.output)
    return 0 if all(passed(subject) for subject in subjects) else 2


if __name__ == "__main__":
    sys.exit(main())
