"""How outputs become a score. One file a kind of task, one line each in the table of ``load``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from whichpu.errors import UserError
from whichpu.tasks.task import BadSample, Samples, Task

__all__ = ["BadSample", "Samples", "Task", "inferences", "load", "prepared"]


KINDS = {
    "classification": "classification",
    "detection": "detection",
    "forecasting": "forecasting",
    "points": "points",
    "python": "python",
    "recognition": "recognition",
    "regression": "regression",
    "segmentation": "segmentation",
    "sequences": "recurrent",
}
"""The file of each kind; only the one that is asked for is imported."""


def load(path: Path, model: str) -> Task:
    """The task that a TOML file describes, for the model of that name (its file's stem). Raises :class:`UserError`."""
    from whichpu.tasks import description

    body = description.read(path)
    kind = body.get("kind")
    if kind not in KINDS:
        raise UserError(f"{path} names kind = {kind!r}", f"there are: {', '.join(KINDS)}")
    task: Task = import_module(f"whichpu.tasks.{KINDS[kind]}").load(path, body, model)
    return task


def prepared(task: Task) -> Iterator[tuple[int, Samples]]:
    """Index and inputs of each sample that can be used, in order, one at a time."""
    for index in range(task.info.samples):
        try:
            yield index, task.prepare(index)
        except BadSample:
            continue


def inferences(task: Task) -> Iterator[Samples]:
    """The inputs of each inference, in order: of each sample that can be used, or of each step of the first sequence.

    Inputs that carry a state are zeros at every step: only running the network tells the later ones.
    """
    for _, sample in prepared(task):
        if not task.carry:
            yield sample
        else:
            yield from ([array[step] for array in sample] for step in range(len(sample[0])))
            return
