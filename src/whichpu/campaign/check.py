"""Outputs against the reference's: a runtime that computes something else is fast for nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from whichpu.campaign.plan import Plan
from whichpu.errors import UserError
from whichpu.models.inputs import Samples
from whichpu.results.schema import Difference, Reference, Result
from whichpu.targets import local
from whichpu.targets.link import WorkerTrouble
from whichpu.targets.target import Target
from whichpu.worker import wire

REFERENCE = "onnxruntime"


class Check:
    """Holds the samples and the reference's outputs of one campaign."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.reference = plan.reference
        if self.reference is not None and plan.task is not None:
            self._keep(plan.task.reference_by or "the task's reference", self.reference)
        else:
            self._run_reference()

    def save_inputs(self, path: Path) -> None:
        """Write the samples as workers read them."""
        with path.open("wb") as file:
            np.savez(file, **{f"input_{index}": array for index, array in enumerate(self.plan.samples)})  # type: ignore[arg-type]

    def timeout_s(self, latencies_ns: Sequence[int]) -> float:
        """Time allowed for running all samples: generous, from the latency seen."""
        per_inference_s = float(np.median(latencies_ns)) / 1e9 if latencies_ns else 0.1
        return self.plan.campaign.settings.timeout_s + 10 * per_inference_s * len(self.plan.samples[0])

    def first(self, path: Path, result: Result) -> None:
        """Refuse a contender whose first outputs are not finite. Raises :class:`WorkerTrouble`."""
        if not result.yardstick:
            _finite(outputs_of(path))

    def all(self, path: Path, result: Result) -> None:
        """Store difference and score over all samples. Raises :class:`WorkerTrouble` for outputs that are no answer."""
        outputs = outputs_of(path)
        _finite(outputs)
        if self.reference is not None:
            result.difference = difference(outputs, self.reference)
        result.score = self._score(outputs)

    def _keep(self, by: str, outputs: Samples) -> None:
        self.reference = outputs
        samples = len(self.plan.samples[0]) if self.plan.samples else 0
        self.plan.campaign.reference = Reference(by=by, samples=samples, score=self._score(outputs))

    def _score(self, outputs: Samples) -> float | None:
        if self.plan.task is None:
            return None
        try:
            return self.plan.task.score(outputs)
        except UserError as problem:
            raise WorkerTrouble("bad-output", str(problem), problem.remedy) from problem

    def _run_reference(self) -> None:
        """The ONNX model on ONNX Runtime's CPU provider; else the first contender, fp32 ones first, that answers."""
        said = []
        for target, format, path, by in self._candidates():
            try:
                outputs = self._outputs(target, format, path)
                _finite(outputs)
            except WorkerTrouble as trouble:
                said.append(f"{by}: {trouble}")
                continue
            self._keep(f"{by} (because of {'; '.join(said)})" if said else by, outputs)
            return

    def _candidates(self) -> Iterator[tuple[Target, str, Path, str]]:
        if "onnx" in self.plan.model.paths:
            yield Target(backend=REFERENCE), "onnx", self.plan.model.paths["onnx"], "ONNX Runtime, CPU, the ONNX model"
        rivals = [contender for contender in self.plan.contenders if not contender.result.yardstick]
        for contender in sorted(rivals, key=lambda each: each.target.precision != "fp32"):
            yield contender.target, contender.format, contender.path, contender.result.name

    def _outputs(self, target: Target, format: str, path: Path) -> Samples:
        """Outputs of all samples. Raises :class:`WorkerTrouble`."""
        job = wire.Open(target.backend, target.device, str(path.resolve()), format, target.precision)
        job.options, job.inputs = target.options, self.plan.campaign.model.inputs
        timeout_s = self.plan.campaign.settings.timeout_s
        with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
            inputs, outputs = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
            self.save_inputs(inputs)
            with local.start(target.python, timeout_s=timeout_s, where=f"the reference ({target})") as link:
                link.ask(job, wire.Opened)
                link.ask(wire.Infer(str(inputs), str(outputs)), wire.Inferred, 10 * timeout_s)
            return outputs_of(outputs)


def outputs_of(path: Path) -> Samples:
    """The arrays of an outputs file, in the model's order."""
    with np.load(path, allow_pickle=False) as file:
        return [file[f"output_{index}"] for index in range(len(file.files))]


def difference(outputs: Samples, reference: Samples) -> Difference:
    """Largest and mean absolute difference over all outputs. Raises :class:`WorkerTrouble` for other sizes."""
    sizes, wanted = [array.size for array in outputs], [array.size for array in reference]
    if sizes != wanted:
        raise WorkerTrouble(
            "bad-output",
            f"gives outputs of shapes {[array.shape for array in outputs]}; the reference gives"
            f" {[array.shape for array in reference]} (samples first)",
        )
    ours = np.concatenate([array.reshape(-1).astype(np.float64) for array in outputs])
    theirs = np.concatenate([array.reshape(-1).astype(np.float64) for array in reference])
    apart = np.abs(ours - theirs)
    largest = float(np.abs(theirs).max(initial=0.0))
    max_abs = float(apart.max(initial=0.0))
    return Difference(
        max_abs=max_abs,
        mean_abs=float(apart.mean()) if apart.size else 0.0,
        relative=max_abs / largest if largest else None,
        samples=len(reference[0]) if reference else 0,
    )


def _finite(outputs: Samples) -> None:
    for index, array in enumerate(outputs):
        if array.dtype.kind != "f":
            continue
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            raise WorkerTrouble(
                "bad-output",
                f"{bad} of {array.size} values of output {index} are NaN or infinite",
                "see whether the reference gives them too: then it is the model, or the data",
            )
