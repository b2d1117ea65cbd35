"""Outputs against the reference's: a runtime that computes something else is fast for nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whichpu.campaign.plan import Contender, Plan
from whichpu.errors import UserError
from whichpu.models.inputs import Samples
from whichpu.results.schema import Difference, Reference, Result
from whichpu.targets import local
from whichpu.targets.link import WorkerTrouble
from whichpu.targets.target import Target
from whichpu.tasks import whole
from whichpu.worker import wire

REFERENCE = "onnxruntime"
NATIVE = {"tflite": "litert", "pt2": "torch", "openvino": "openvino", "ncnn": "ncnn", "mnn": "mnn"}
"""The runtime that a form was made for: its word counts before that of one that also reads the form."""


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
        """Refuse a contender whose first outputs hold NaN. Raises :class:`WorkerTrouble`."""
        if not result.yardstick:
            refuse_nan(outputs_of(path))

    def all(self, path: Path, result: Result) -> None:
        """Store difference and score over all samples. Raises :class:`WorkerTrouble` for outputs that are no answer.

        Another model's outputs get no difference: the reference's are the campaign's model's.
        """
        outputs = outputs_of(path)
        refuse_nan(outputs)
        if self.reference is not None and result.model_sha256 is None:
            result.difference = difference(outputs, self.reference)
        result.score = self._score(outputs)

    def _keep(self, by: str, outputs: Samples) -> None:
        """Make these outputs the reference. Raises :class:`UserError` when the task can't score them."""
        self.reference = outputs
        samples = len(self.plan.samples[0]) if self.plan.samples else 0
        self.plan.campaign.reference = Reference(by=by, samples=samples, score=self._reference_score(outputs))

    def _score(self, outputs: Samples) -> float | None:
        if self.plan.task is None:
            return None
        try:
            return whole(self.plan.task, outputs)
        except UserError as problem:
            raise WorkerTrouble("bad-output", str(problem), problem.remedy) from problem

    def _reference_score(self, outputs: Samples) -> float | None:
        try:
            return self._score(outputs)
        except WorkerTrouble as trouble:
            raise UserError(f"the task does not fit this model: {trouble}", "give another --data, or none") from trouble

    def _run_reference(self) -> None:
        """The ONNX model on ONNX Runtime's CPU provider; else the first contender, fp32 ones first, that answers."""
        said = []
        for target, format, path, by in self._candidates():
            try:
                outputs = self._outputs(target, format, path)
                refuse_nan(outputs)
            except WorkerTrouble as trouble:
                said.append(f"{by}: {trouble}")
                continue
            self._keep(f"{by} (because of {'; '.join(said)})" if said else by, outputs)
            return

    def _candidates(self) -> Iterator[tuple[Target, str, Path, str]]:
        if self.plan.onnx is not None:
            yield Target(backend=REFERENCE), "onnx", self.plan.onnx, "ONNX Runtime, CPU, the ONNX model"
        ours = [contender for contender in self.plan.contenders if contender.result.model_sha256 is None]
        rivals = [contender for contender in ours if not contender.result.yardstick]
        for contender in sorted(rivals, key=_unfit_as_reference):
            yield contender.target, contender.format, contender.path, contender.result.name

    def _outputs(self, target: Target, format: str, path: Path) -> Samples:
        """Outputs of all samples. Raises :class:`WorkerTrouble`."""
        job = wire.Open(target.backend, target.device, str(path.absolute()), format, target.precision)
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
    """The outputs in the model's order, each ``[samples, *shape]``, or a list of arrays where shapes vary."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    outputs: list[Any] = []
    while len(outputs) <= len(arrays):
        index = len(outputs)
        if f"output_{index}" in arrays:
            outputs.append(arrays[f"output_{index}"])
        elif f"output_{index}_0" in arrays:
            count = sum(name.startswith(f"output_{index}_") for name in arrays)
            outputs.append([arrays[f"output_{index}_{sample}"] for sample in range(count)])
        else:
            break
    return outputs


def difference(outputs: Samples, reference: Samples) -> Difference:
    """Differences over all outputs and samples. Raises :class:`WorkerTrouble` for outputs that are no answer."""
    if len(outputs) != len(reference):
        raise WorkerTrouble("bad-output", f"gives {len(outputs)} outputs; the reference gives {len(reference)}")
    apart: list[float] = []
    relative: list[float] = []
    mean, values, other = 0.0, 0, set()
    for index, (ours, theirs) in enumerate(zip(outputs, reference, strict=True)):
        pairs = [(flat(a), flat(b)) for a, b in zip(ours, theirs, strict=True)]
        other |= {sample for sample, (a, b) in enumerate(pairs) if a.size != b.size}
        same = [(a, b) for a, b in pairs if a.size == b.size]
        if pairs and not same:
            shapes = f"{pairs[0][0].size} values a sample; the reference gives {pairs[0][1].size}"
            raise WorkerTrouble("bad-output", f"output {index} has {shapes}")
        a, b = (np.concatenate([pair[side] for pair in same]) if same else np.zeros(0) for side in (0, 1))
        gaps = _gaps(a, b, index)
        largest = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
        apart.append(float(gaps.max(initial=0.0)))
        relative.append(apart[-1] / largest if largest else 0.0)
        mean, values = mean + float(gaps.sum()), values + gaps.size
    worst = int(np.argmax(relative)) if any(relative) else None
    return Difference(
        max_abs=max(apart, default=0.0),
        mean_abs=mean / values if values else 0.0,
        relative=relative[worst] if worst is not None else (0.0 if not any(apart) else None),
        samples=len(reference[0]) if reference else 0,
        output=worst,
        other_shapes=len(other),
    )


def flat(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """All values of an output in a row: shapes may differ between runtimes by axes of one."""
    return np.asarray(array).reshape(-1).astype(np.float64)


def refuse_nan(outputs: Samples) -> None:
    """Raises :class:`WorkerTrouble` when a value is NaN."""
    for index, output in enumerate(outputs):
        values = np.concatenate([np.zeros(0), *map(flat, output if isinstance(output, list) else [output])])
        bad = int(np.isnan(values).sum())
        if bad:
            raise WorkerTrouble(
                "bad-output",
                f"{bad} of {values.size} values of output {index} are NaN",
                "see whether the reference gives them too: then it is the model, or the data",
            )


def _gaps(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], index: int) -> npt.NDArray[np.float64]:
    """Absolute differences; equal infinities differ by nothing. Raises :class:`WorkerTrouble` for unequal ones."""
    finite = np.isfinite(a) & np.isfinite(b)
    unequal = int((~finite & (a != b)).sum())
    if unequal:
        raise WorkerTrouble(
            "bad-output",
            f"{unequal} of {a.size} values of output {index} are infinite in the reference or here, but not in both",
        )
    gaps: npt.NDArray[np.float64] = np.abs(np.where(finite, a, 0.0) - np.where(finite, b, 0.0))
    return gaps


def _unfit_as_reference(contender: Contender) -> tuple[bool, bool]:
    return contender.target.precision != "fp32", NATIVE.get(contender.format) != contender.target.backend
