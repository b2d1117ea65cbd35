"""A task: samples, how one becomes the network's inputs, how outputs become an answer, and what answers are worth.

Everything here is about one sample at a time, so that a dataset may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.results.schema import TaskInfo

Array = npt.NDArray[Any]
Samples = list[Array]
Answer = Any
"""What an application would take from the outputs of one sample: a class, boxes, a text, a number. Small."""

Weights = npt.NDArray[np.float64]


class BadSample(Exception):
    """One sample can't be used, and why, in a sentence that names it. Scoring leaves it out and counts it."""


class Evidence(Protocol):
    """What the answers of one contender say, gathered once, so that a metric over any choice of samples is quick."""

    def value(self, weights: Weights | None = None) -> float:
        """The metric, in the task's unit; ``weights`` ``[samples]`` says how often each sample counts (default: once).

        A bootstrap draws samples with replacement: its weights are counts. ``nan`` where no sample that counts has
        what the metric needs.
        """
        ...


class Shown(msgspec.Struct, kw_only=True):
    """A sample as people see it: the answers in words, and a picture as a data URI where there is one to draw."""

    sample: str
    truth: str
    answers: dict[str, str]
    picture: str | None = None


class Task(Protocol):
    """One kind of task on one dataset. Indices run from 0 to ``info.samples - 1``.

    ``carry`` names outputs that are fed back as inputs of the next step (output index to input index), for networks
    that carry their state; then a sample is a sequence, its inputs have a leading axis of steps, and so have outputs.
    ``reference`` are outputs that others are held against (``[samples, *shape]``), where the task brings them.
    """

    info: TaskInfo
    carry: Mapping[int, int]
    reference: Samples | None
    reference_by: str | None

    def name(self, index: int) -> str:
        """What a sample is called: its file's name, its day."""
        ...

    def prepare(self, index: int) -> Samples:
        """The inputs of one sample, pre-processed: what an application does before each inference.

        Raises :class:`BadSample`. Safe to call from several threads.
        """
        ...

    def finish(self, index: int, outputs: Samples) -> Answer:
        """The answer from one sample's outputs, post-processed: what an application does after each inference.

        Raises :class:`whichpu.errors.UserError` for outputs that this task can't read (wrong shape or number).
        """
        ...

    def evidence(self, answers: Mapping[int, Answer]) -> dict[str, Evidence]:
        """Evidence for each metric of ``info`` (the main one first) from answers by sample, in the order of samples."""
        ...

    def same(self, ours: Answer, theirs: Answer) -> bool:
        """Would an application do the same with both answers?"""
        ...

    def show(self, index: int, answers: Mapping[str, Answer]) -> Shown:
        """One sample with the answers of several contenders, for people to look at."""
        ...

    def calibration(self, count: int, seed: int) -> Iterator[Samples]:
        """Inputs of at most ``count`` samples from the part of the dataset that is for calibration, drawn by seed.

        Never from the samples that are scored. Raises :class:`whichpu.errors.UserError` where there is no such part.
        """
        ...


class Mean:
    """Evidence for a metric that is a mean over samples: a share of hits, a mean error."""

    def __init__(self, each: Sequence[float]) -> None:
        self.each = np.asarray(each, dtype=np.float64)

    def value(self, weights: Weights | None = None) -> float:
        """The weighted mean."""
        if weights is None:
            return float(self.each.mean()) if self.each.size else float("nan")
        total = float(weights.sum())
        return float(self.each @ weights) / total if total else float("nan")


class RootMean(Mean):
    """Evidence for the root of a mean of squares, such as RMSE: ``each`` are the squares."""

    def value(self, weights: Weights | None = None) -> float:
        """The root of the weighted mean."""
        return float(np.sqrt(super().value(weights)))


class Ratio:
    """Evidence for a ratio of two sums over samples, such as errors over characters."""

    def __init__(self, above: Sequence[float], below: Sequence[float]) -> None:
        self.above = np.asarray(above, dtype=np.float64)
        self.below = np.asarray(below, dtype=np.float64)

    def value(self, weights: Weights | None = None) -> float:
        """The ratio of the weighted sums."""
        above, below = (float(part.sum() if weights is None else part @ weights) for part in (self.above, self.below))
        return above / below if below else float("nan")
