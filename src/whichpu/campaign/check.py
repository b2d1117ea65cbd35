"""Outputs and answers against the reference's: a runtime that computes something else is fast for nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from whichpu.campaign.accuracy import Judge
from whichpu.campaign.contenders import Contender
from whichpu.campaign.outputs import difference, outputs_of, refuse_nan
from whichpu.campaign.plan import Plan
from whichpu.campaign.scoring import Kept, Scored, Scorer, Tell, spare_threads
from whichpu.campaign.watch import Silence, Watch
from whichpu.errors import UserError
from whichpu.models.inputs import Samples, save
from whichpu.results.accuracy import settle
from whichpu.results.schema import Reference, Result
from whichpu.targets import local
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.target import Target
from whichpu.worker import wire

REFERENCE = "onnxruntime"
BECAUSE = " (because of "
NATIVE = {"tflite": "litert", "pt2": "torch", "openvino": "openvino", "ncnn": "ncnn", "mnn": "mnn"}
"""The runtime that a form was made for: its word counts before that of one that also reads the form."""


class Check:
    """Holds the samples and the reference's outputs or answers of one campaign. Close it: it keeps files."""

    def __init__(self, plan: Plan, watch: Watch | None = None) -> None:
        self.plan, self.watch = plan, watch or Silence()
        self.reference: Samples | None = None
        self.scorer: Scorer | None = None
        self.kept: Kept | None = None
        if plan.task is None:
            self._run_reference()
            return
        threads = spare_threads(plan.campaign.settings.threads)
        self.scorer, self.kept = Scorer(plan.task, plan.campaign.model.inputs, threads), Kept(plan.task)
        try:
            self._score_reference()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove what was kept of the samples and of the reference's outputs."""
        if self.scorer is not None:
            self.scorer.close()

    def __enter__(self) -> Check:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save_inputs(self, path: Path) -> None:
        """Write the samples that latencies are measured with, as workers read them."""
        save(self.plan.samples, path)

    def first(self, path: Path, result: Result) -> None:
        """Refuse a contender whose first outputs hold NaN. Raises :class:`WorkerTrouble`."""
        if not result.yardstick:
            refuse_nan(outputs_of(path))

    def outputs(self, link: Link, inputs: Path, result: Result, latencies_ns: Sequence[int], tell: Tell) -> None:
        """Run all samples and store difference and accuracy. Raises :class:`WorkerTrouble` for what is no answer.

        ``inputs`` are those of :meth:`save_inputs`; ``tell`` hears how far a task's samples are. Another model's
        outputs are not held against the reference's: that is the campaign's model's.
        """
        settings = self.plan.campaign.settings
        per_inference_s = float(np.median(latencies_ns)) / 1e9 if len(latencies_ns) else 0.1

        def timeout_s(inferences: int) -> float:
            return settings.timeout_s + 10 * per_inference_s * inferences

        ours = result.model_sha256 is None
        if self.scorer is not None and result.accuracy is not None:
            return  # known from a round that broke off afterwards
        if self.scorer is None:
            outputs = inputs.with_name(f"all-{id(result)}.npz")
            link.ask(wire.Infer(str(inputs), str(outputs)), wire.Inferred, timeout_s(len(self.plan.samples[0])))
            self._hold(outputs_of(outputs), result, ours)
            return
        scored = self.scorer.run(link, timeout_s, self.kept if ours else None, tell=tell)
        if scored.differences.samples:
            result.difference = scored.differences.told()
        self._judge(scored, result, ours)

    def outputs_by_sample(self, most: int) -> dict[int, Samples]:
        """The reference's outputs of some samples of the task."""
        return self.kept.first(most) if self.kept is not None else {}

    # ---------------------------------------------------------------- one contender

    def _hold(self, outputs: Samples, result: Result, ours: bool) -> None:
        refuse_nan(outputs)
        if self.reference is not None and ours:
            result.difference = difference(outputs, self.reference)

    def _judge(self, scored: Scored, result: Result, ours: bool) -> None:
        task, campaign = self.plan.task, self.plan.campaign
        assert task is not None
        try:
            result.accuracy = self.judge.accuracy(scored, against_reference=ours)
        except UserError as problem:
            raise WorkerTrouble("bad-output", str(problem), problem.remedy) from problem
        result.score = result.accuracy.values.get(task.info.metric)
        settle(campaign)

    # ---------------------------------------------------------------- the reference

    def _score_reference(self) -> None:
        """The outputs that the task brings; else of the first that answers: PyTorch, the ONNX model, a contender."""
        task, scorer, kept = self.plan.task, self.scorer, self.kept
        assert task is not None and scorer is not None and kept is not None
        self.judge = Judge(task, None)
        if self._all_known():
            return
        if kept.brought is not None:
            self._take(scorer.brought(kept.brought), task.reference_by or "the task's reference")
            return
        said = []

        def tell(done: int, of: int) -> None:
            self.watch.phase(f"computing the reference's outputs: {done:,} of {of:,} samples")

        for target, format, path, by in self._candidates():
            try:
                with self._opened(target, format, path) as link:
                    patience_s = 10 * self.plan.campaign.settings.timeout_s
                    scored = scorer.run(link, lambda _, allowed=patience_s: allowed, keep=kept, tell=tell)  # type: ignore[misc]
            except WorkerTrouble as trouble:
                if isinstance(trouble.__cause__, UserError):
                    raise _unfit(trouble) from trouble
                said.append(f"{by}: {trouble}")
                kept.forget()
                continue
            self._take(scored, f"{by}{BECAUSE}{'; '.join(said)})" if said else by)
            return

    def _all_known(self) -> bool:
        """Does a campaign that goes on know the accuracy of all its contenders?"""
        rivals = [contender.result for contender in self.plan.contenders if not contender.result.yardstick]
        return self.plan.campaign.reference is not None and all(result.accuracy is not None for result in rivals)

    def _take(self, scored: Scored, by: str) -> None:
        """Make these answers the reference. Raises :class:`UserError` when the task can't score them."""
        task = self.plan.task
        assert task is not None
        self.judge = Judge(task, scored.answers)
        answered = sorted(scored.answers)
        try:
            evidence = task.evidence({index: scored.answers[index] for index in answered})
        except UserError as problem:
            raise _unfit(problem) from problem
        score = evidence[task.info.metric].value()
        self._name(Reference(by=by, samples=len(answered), score=score if np.isfinite(score) else None))

    def _name(self, reference: Reference) -> None:
        """Raises :class:`UserError` where a campaign that goes on was held against another's answers before."""
        campaign = self.plan.campaign
        held = any(result.difference is not None or result.accuracy is not None for result in campaign.results)
        before = campaign.reference.by if campaign.reference is not None and held else reference.by
        if _who(before) != _who(reference.by):
            raise UserError(
                f"can't go on: the reference was {before}, and is now {reference.by}",
                "go on where the first can run, or measure anew into another file",
            )
        campaign.reference = reference

    def _run_reference(self) -> None:
        """Without a task: the ONNX model on ONNX Runtime's CPU provider; else the first contender that answers."""
        said = []
        for target, format, path, by in self._candidates():
            try:
                outputs = self._outputs(target, format, path)
                refuse_nan(outputs)
            except WorkerTrouble as trouble:
                said.append(f"{by}: {trouble}")
                continue
            self.reference = outputs
            by = f"{by}{BECAUSE}{'; '.join(said)})" if said else by
            self._name(Reference(by=by, samples=len(self.plan.samples[0])))
            return

    def _candidates(self) -> Iterator[tuple[Target, str, Path, str]]:
        exported = self.plan.model.paths.get("pt2")
        if exported is not None and self.plan.task is not None:
            yield Target(backend="torch"), "pt2", exported, "PyTorch, eager, CPU, fp32"
        if self.plan.onnx is not None:
            yield Target(backend=REFERENCE), "onnx", self.plan.onnx, "ONNX Runtime, CPU, the ONNX model"
        ours = [contender for contender in self.plan.contenders if contender.result.model_sha256 is None]
        given = [contender for contender in ours if contender.result.variant is None]
        rivals = [contender for contender in given if not contender.result.yardstick]
        for contender in sorted(rivals, key=_unfit_as_reference):
            yield contender.target, contender.format, contender.path, contender.result.name

    def _opened(self, target: Target, format: str, path: Path) -> Link:
        """A worker with the model loaded; the caller closes it. Raises :class:`WorkerTrouble`."""
        job = wire.Open(target.backend, target.device, str(path.absolute()), format, target.precision)
        job.options, job.inputs = target.options, self.plan.campaign.model.inputs
        timeout_s = self.plan.campaign.settings.timeout_s
        link = local.start(target.python, timeout_s=timeout_s, where=f"the reference ({target})")
        try:
            link.ask(job, wire.Opened)
        except BaseException:
            link.close()
            raise
        return link

    def _outputs(self, target: Target, format: str, path: Path) -> Samples:
        """Outputs of all samples. Raises :class:`WorkerTrouble`."""
        with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
            inputs, outputs = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
            self.save_inputs(inputs)
            with self._opened(target, format, path) as link:
                patience_s = 10 * self.plan.campaign.settings.timeout_s
                link.ask(wire.Infer(str(inputs), str(outputs)), wire.Inferred, patience_s)
            return outputs_of(outputs)


def _who(by: str) -> str:
    """The reference's name, without why those before it were none."""
    return by.partition(BECAUSE)[0]


def _unfit(problem: Exception) -> UserError:
    return UserError(f"the task does not fit this model: {problem}", "give another --data, or none")


def _unfit_as_reference(contender: Contender) -> tuple[bool, bool]:
    return contender.target.precision != "fp32", NATIVE.get(contender.format) != contender.target.backend
