"""A task: samples, how one becomes the network's inputs, how outputs become an answer, and what answers are worth.

Everything here is about one sample at a time, so that a dataset may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec
import numpy.typing as npt

from whichpu.results.schema import TaskInfo
from whichpu.stats.evidence import Evidence as Evidence
from whichpu.stats.evidence import Mean as Mean
from whichpu.stats.evidence import Ratio as Ratio
from whichpu.stats.evidence import RootMean as RootMean
from whichpu.stats.evidence import Weights as Weights

Array = npt.NDArray[Any]
Samples = list[Array]
Answer = Any
"""What an application would take from the outputs of one sample: a class, boxes, a text, a number. Small."""


class BadSample(Exception):
    """One sample can't be used, and why, in a sentence that names it. Scoring leaves it out and counts it."""


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
