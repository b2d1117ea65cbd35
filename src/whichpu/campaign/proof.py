"""Do two models give the same answer? Both run in ONNX Runtime on the same inputs, random ones and real ones.

An output of a sample may differ by ``BOUND`` times its largest value, at least by ``BOUND`` itself: an output of
thousands is held to as many digits as one of ones. Half precision is held to four of its own steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whichpu.campaign.accuracy import Judge
from whichpu.campaign.scoring import Scorer
from whichpu.campaign.sides import Runner
from whichpu.errors import UserError
from whichpu.models import inputs, taps
from whichpu.models.inputs import Samples
from whichpu.targets import local
from whichpu.targets.link import WorkerTrouble
from whichpu.targets.target import Target
from whichpu.tasks import Task, prepared
from whichpu.tasks import load as load_task
from whichpu.worker import wire

BOUND = 1e-5
"""Of an output's largest value, or of 1 where that is less."""
HALF_STEPS = 4
"""Steps of half precision that rounding in another order may cost."""
SEEDS = 3
SPREADS = (0.0, 1.0, 4.0, 30.0)
"""Standard deviations of random inputs, to reach all branches; 0 stands for uniform in [0, 1)."""
REAL_SAMPLES = 32
"""So many samples of a task are held against each other; its metric is over all of them."""


class Gap(msgspec.Struct, frozen=True):
    """How far apart two models are in one output, over all samples."""

    output: str
    largest: float
    """Largest absolute difference; infinite where one gives a number and the other none."""
    scale: float
    """Largest absolute value of the model that was given."""
    of_bound: float
    """Largest share of what a sample's output may differ by; more than 1 is beyond the bound."""

    @property
    def holds(self) -> bool:
        return self.of_bound <= 1


class Proof(msgspec.Struct, frozen=True):
    """What running both models showed."""

    gaps: list[Gap]
    random_samples: int
    real_samples: int = 0

    @property
    def holds(self) -> bool:
        """Is every output within its bound?"""
        return all(gap.holds for gap in self.gaps)

    @property
    def worst(self) -> Gap:
        """The output that comes nearest to its bound, or goes farthest beyond."""
        return max(self.gaps, key=lambda gap: gap.of_bound)


class Delta(msgspec.Struct, frozen=True):
    """A task's metric with both models; the interval (95 %, paired) is on the difference."""

    metric: str
    before: float
    after: float
    delta: float
    low: float | None = None
    high: float | None = None
    samples: int = 0


@dataclass(frozen=True)
class Data:
    """The user's own inputs: samples of a file, or a task with the first of its samples."""

    samples: Samples
    task: Task | None = None


def specs(tensors: Iterable[tuple[str, str | None, Sequence[int | None] | None]]) -> list[wire.TensorSpec]:
    """Inputs by name, type and sizes, as workers take them."""
    return [
        wire.TensorSpec(name, dtype or "float32", [size or 1 for size in shape or ()]) for name, dtype, shape in tensors
    ]


def data_of(path: Path, specs: Sequence[wire.TensorSpec], model: str) -> Data:
    """What ``--data`` names. Raises :class:`UserError`."""
    if path.suffix != ".toml":
        return Data(inputs.from_npz(path, specs))
    task = load_task(path, model)
    if task.carry:
        raise UserError(
            f"{task.info.name} feeds outputs back as inputs, step by step; models are held against each other on single"
            " inferences",
            "give the inputs of some steps as --data FILE.npz",
        )
    return Data(inputs.of_task(prepared(task), specs, REAL_SAMPLES, task.info.name)[1], task)


class Bench:
    """ONNX Runtime in a worker, on which models are run and held against each other."""

    def __init__(self, specs: Sequence[wire.TensorSpec], seed: int, timeout_s: float, data: Data | None) -> None:
        self.specs, self.timeout_s, self.data = list(specs), timeout_s, data
        self.folder = tempfile.TemporaryDirectory(prefix="whichpu-", ignore_cleanup_errors=True)
        self.runner = Runner(Target(backend="onnxruntime"), Path(self.folder.name), timeout_s)
        self.random = _random(specs, seed)

    def close(self) -> None:
        """End the worker."""
        self.runner.close()
        self.folder.cleanup()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prove(self, given: Any, changed: Any) -> Proof:
        """Both models on all inputs. Raises :class:`UserError` where one does not run."""
        sets = [self.random, *([self.data.samples] if self.data is not None else [])]
        pairs = [(self._run(given, given, arrays), self._run(changed, given, arrays)) for arrays in sets]
        gaps = [
            _gap(output.name, [(ours[at], theirs[at]) for theirs, ours in pairs])
            for at, output in enumerate(given.graph.output)
        ]
        return Proof(gaps, len(self.random[0]), len(self.data.samples[0]) if self.data is not None else 0)

    def delta(self, given: Path, changed: Path) -> Delta | None:
        """The task's metric with both; None without a task. Raises :class:`UserError`."""
        task = self.data.task if self.data is not None else None
        if task is None:
            return None
        scorer = Scorer(task, self.specs)
        try:
            reference, scored = (self._scored(scorer, path) for path in (given, changed))
        finally:
            scorer.close()
        before, metric = Judge(task, None).accuracy(reference), task.info.metric
        after = Judge(task, reference.answers).accuracy(scored)
        values = before.values.get(metric, float("nan")), after.values.get(metric, float("nan"))
        told = after.deltas.get(metric)
        low, high = (told[1], told[2]) if told is not None else (None, None)
        return Delta(metric, *values, values[1] - values[0], low, high, after.samples)

    def _scored(self, scorer: Scorer, path: Path) -> Any:
        job = wire.Open("onnxruntime", "cpu", str(path), "onnx", "fp32")
        job.threads, job.inputs = 1, self.specs
        with local.start(timeout_s=self.timeout_s) as link:
            try:
                link.ask(job, wire.Opened)
                return scorer.run(link, lambda inferences: self.timeout_s * max(1, inferences))
            except WorkerTrouble as trouble:
                raise UserError(f"{path.name} can't be scored in ONNX Runtime: {trouble}", trouble.remedy) from trouble

    def _run(self, model: Any, given: Any, arrays: Samples) -> list[Any]:
        """Outputs of a model; one whose edges are integers is fed and read as the model that was given."""
        edges = _edges(given) if model is not given else {}
        types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
        own = {value.name: value.type.tensor_type.elem_type for value in (*given.graph.input, *given.graph.output)}
        edges = {name: edge for name, edge in edges.items() if types.get(name) != own.get(name)}
        specs, fed = [], []
        for spec, array in zip(self.specs, arrays, strict=True):
            edge = edges.get(spec.name)
            specs.append(spec if edge is None else wire.TensorSpec(spec.name, str(edge.zero.dtype), spec.shape))
            fed.append(array if edge is None else edge.quantised(array))
        try:
            outputs = self.runner.run(model, specs, fed)
        except WorkerTrouble as trouble:
            whose = "the model" if model is given else "the rewritten model"
            raise UserError(f"{whose} does not run in ONNX Runtime: {trouble}", trouble.remedy) from trouble
        names = [value.name for value in model.graph.output]
        return [edges[name].real(array) if name in edges else array for name, array in zip(names, outputs, strict=True)]


@dataclass(frozen=True)
class Edge:
    """Quantisation of an input or an output: scale, and zero point in the stored type."""

    scale: float
    zero: Any

    def quantised(self, array: Any) -> Any:
        """As QuantizeLinear does: ties to even, saturated."""
        limits = np.iinfo(self.zero.dtype)
        steps = np.rint(array.astype(np.float32) / np.float32(self.scale)) + float(self.zero)
        return np.clip(steps, limits.min, limits.max).astype(self.zero.dtype)

    def real(self, array: Any) -> Any:
        """As DequantizeLinear does."""
        return (array.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)


def _edges(model: Any) -> Mapping[str, Edge]:
    """Quantisation at a model's inputs and outputs, by the name of either, where Q or DQ stands there."""
    graph, found = taps.Graph(model), {}
    for node in graph.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        edge = node.input[0] if node.op_type == "QuantizeLinear" else node.output[0]
        if edge not in graph.inputs and edge not in graph.outputs:
            continue
        scale, zero = (graph.constant(name) for name in (*node.input[1:], "")[:2])
        if scale is not None and scale.size == 1:
            point = np.zeros(1, np.uint8) if zero is None else zero.reshape(-1)
            found[edge] = Edge(float(scale.reshape(-1)[0]), point[0])
    return found


def _random(specs: Sequence[wire.TensorSpec], seed: int) -> Samples:
    """Samples of every spread with several seeds, stacked."""
    parts = []
    for number in range(SEEDS):
        generator = np.random.default_rng([seed, number])
        for spread in SPREADS:
            plain = inputs.random(specs, seed * SEEDS + number, 1)
            parts.append([
                (generator.standard_normal(array.shape) * spread).astype(array.dtype)
                if spread and array.dtype.kind == "f"
                else array
                for array in plain
            ])  # fmt: skip
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _gap(name: str, pairs: Sequence[tuple[Any, Any]]) -> Gap:
    gap = Gap(name, 0.0, 0.0, 0.0)
    for ours, theirs in pairs:
        for one, other in zip(ours, theirs, strict=True):
            a, b = np.asarray(one), np.asarray(other)
            apart, scale = _difference(a, b), _largest(b)
            step = HALF_STEPS * float(np.finfo(np.float16).eps) if b.dtype == np.float16 else BOUND
            share = apart / (step * max(1.0, scale))
            gap = Gap(name, max(gap.largest, apart), max(gap.scale, scale), max(gap.of_bound, share))
    return gap


def _difference(ours: Any, theirs: Any) -> float:
    """Largest absolute difference; infinite where shapes differ, or only one is a finite number."""
    if ours.shape != theirs.shape:
        return float("inf")
    if ours.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(ours, theirs) else float("inf")
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    return float(np.abs(a - b)[finite].max(initial=0.0))


def _largest(array: Any) -> float:
    if array.dtype.kind not in "fiub":
        return 0.0
    values = np.abs(array.astype(np.float64))
    return float(values[np.isfinite(values)].max(initial=0.0))
