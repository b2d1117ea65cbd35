"""How fast is a dataset scored, against the slower of its two stages alone: preparing the samples, and inference?

Three cases: small pictures as handwritten digits (both stages take microseconds), 640x480 JPEG files to 320x320 with a
network that takes longer than preparing, and with one that takes less. Measured side by side, in random order, in every
round: preparing alone (as many threads as scoring uses; nothing is written), inference alone (the worker's time in the
network, without reading or writing files), and scoring. The pictures are in the file cache.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import networks
import numpy as np
import page

from whichpu.campaign import scoring
from whichpu.models import artefact
from whichpu.targets import local
from whichpu.targets.link import Link
from whichpu.tasks import Task, load
from whichpu.worker import wire

cv2.setNumThreads(1)  # its own threads would take the CPU that the network has

GOAL = 0.9
THREADS = 1
"""Of the network."""

TASK = """kind = "classification"
classes = 10
[data]
pictures = "pictures"
[preprocess]
{steps}
"""
DIGITS = 'colour = "gray"'
PHOTOGRAPHS = 'colour = "rgb"\nscale = 255\nresize = { size = [320, 320], how = "letterbox" }'


class Case(NamedTuple):
    """Work to score: the task's steps, its pictures, and the network's size."""

    name: str
    steps: str
    size: tuple[int, int]
    suffix: str
    samples: int
    shape: tuple[int, int, int]
    widths: tuple[int, ...]


CASES = (
    Case("28x28 PNG, small network", DIGITS, (28, 28), ".png", 10_000, (1, 28, 28), (8, 16)),
    Case("640x480 JPEG, larger network", PHOTOGRAPHS, (480, 640), ".jpg", 600, (3, 320, 320), (24, 64, 96, 160)),
    Case("640x480 JPEG, smaller network", PHOTOGRAPHS, (480, 640), ".jpg", 600, (3, 320, 320), (8, 16, 32)),
)


def main() -> None:
    """Measure and print."""
    parser = page.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the samples: less is quicker, and less exact")
    asked = parser.parse_args()
    facts, rows, ratios = page.Facts(), [], []
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
            found = measured(case, Path(folder), asked.rounds, asked.seed, asked.share)
        rates = {name: max(1, int(asked.share * case.samples)) / np.median(times) for name, times in found.items()}
        both = np.array([max(pair) for pair in zip(found["preparing"], found["inference"], strict=True)])
        ratio = float(np.median(both / np.array(found["scoring"])))
        ratios.append(ratio)
        rows.append((case.name, *(f"{rates[name]:,.0f}" for name in found), f"{ratio:.3f}"))
        print(" | ".join(rows[-1]), flush=True)
    heads = ("case", "preparing alone, samples/s", "inference alone", "scoring", "scoring over the slower stage")
    threads = scoring.spare_threads(THREADS)
    lines = [
        "# Speed of scoring",
        "",
        *facts.lines(),
        f"- Threads: {threads} prepare, {THREADS} in the network; {asked.rounds} rounds, medians;"
        " the ratio is the median over rounds",
        "",
        *page.table(heads, rows),
        "",
        f"Goal: at least {GOAL}. {'Reached.' if min(ratios) >= GOAL else 'Not reached.'}",
    ]
    page.show(lines, asked.output)
    raise SystemExit(0 if min(ratios) >= GOAL else 2)


def measured(case: Case, folder: Path, rounds: int, seed: int, share: float) -> dict[str, list[float]]:
    """Seconds of each stage alone, and of scoring, in each round."""
    task = made(case, folder, max(1, int(share * case.samples)))
    model = artefact.load(networks.classifier(folder / "model.onnx", case.shape, case.widths))
    specs = model.inputs
    assert specs is not None
    path = str(model.paths["onnx"])
    random, times = np.random.default_rng(seed), {"preparing": [], "inference": [], "scoring": []}  # type: ignore[var-annotated]
    with local.start(threads=THREADS) as link:
        link.ask(wire.Open("onnxruntime", "cpu", path, "onnx", threads=THREADS, inputs=specs), wire.Opened)
        stages: dict[str, Callable[[], float]] = {
            "preparing": lambda: prepared(task, specs),
            "inference": lambda: inferred(task, specs, link),
            "scoring": lambda: scored(task, specs, link),
        }
        for number in range(rounds + 1):
            for name in random.permutation(list(stages)):
                took = stages[name]()
                if number:  # the first round warms file cache, threads and network
                    times[name].append(took)
    return times


def made(case: Case, folder: Path, samples: int) -> Task:
    """A task on pictures of blurred noise and lines: JPEG files of the size of photographs'. 64 differ."""
    random = np.random.default_rng(1)
    for label in range(10):
        (folder / "pictures" / str(label)).mkdir(parents=True)
    files = []
    for index in range(samples):
        path = folder / "pictures" / str(index % 10) / f"{index:06}{case.suffix}"
        if index < 64:
            noise = random.integers(0, 256, (*case.size, 3), dtype=np.uint8)
            picture = cv2.GaussianBlur(noise, (0, 0), 2)
            cv2.line(picture, (0, 0), (case.size[1], case.size[0]), (255, 255, 255), 2)
            cv2.imwrite(str(path), picture)
            files.append(path)
        else:
            os.link(files[index % 64], path)
    (folder / "task.toml").write_text(TASK.format(steps=case.steps))
    return load(folder / "task.toml", "model")


def prepared(task: Task, specs: list[wire.TensorSpec]) -> float:
    """Seconds to prepare all samples, without writing them as workers read them."""
    scorer = scoring.Scorer(task, specs)
    size = scorer.size
    scorer.close()
    starts = range(0, task.info.samples, size)

    def chunk(first: int) -> None:
        for index in range(first, min(first + size, task.info.samples)):
            task.prepare(index)

    began = time.perf_counter()
    with ThreadPoolExecutor(scoring.spare_threads(THREADS)) as pool:
        list(pool.map(chunk, starts))
    return time.perf_counter() - began


def inferred(task: Task, specs: list[wire.TensorSpec], link: Link) -> float:
    """Seconds that the worker spends in the network, one sample after the other."""
    scorer, spent_ns = scoring.Scorer(task, specs, scoring.spare_threads(THREADS)), 0
    for chunk in scorer.chunks():
        request = wire.Infer(str(chunk.path), str(chunk.path.with_suffix(".npz")))
        spent_ns += link.ask(request, wire.Inferred).wall_ns
    scorer.close()
    return spent_ns / 1e9


def scored(task: Task, specs: list[wire.TensorSpec], link: Link) -> float:
    """Seconds of scoring, from the first sample to the last answer."""
    scorer = scoring.Scorer(task, specs, scoring.spare_threads(THREADS))
    took = scorer.run(link, lambda _: 60.0).wall_s
    scorer.close()
    return took


if __name__ == "__main__":
    main()
