"""How outputs become a score. One file a kind of task, one line each in the table of ``load``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.tasks.task import Array, BadSample, Samples, Task

__all__ = ["BadSample", "Samples", "Task", "load", "prepared", "whole"]


def load(path: Path, model: str) -> Task:
    """The task that a TOML file describes, for the model of that name (its file's stem). Raises :class:`UserError`."""
    from whichpu.tasks import description, forecasting

    kinds: dict[str, Callable[[Path, dict[str, Any], str], Task]] = {
        "forecasting": forecasting.load,
    }
    body = description.read(path)
    kind = body.get("kind")
    if kind not in kinds:
        raise UserError(f"{path} names kind = {kind!r}", f"there are: {', '.join(kinds)}")
    return kinds[kind](path, body, model)


def prepared(task: Task) -> Iterator[tuple[int, Samples]]:
    """Index and inputs of each sample that can be used, in order, one at a time."""
    for index in range(task.info.samples):
        try:
            yield index, task.prepare(index)
        except BadSample:
            continue


def whole(task: Task, outputs: Sequence[Iterable[Array]]) -> float:
    """The main metric over all samples, from outputs in the model's order, each ``[samples, *shape]``.

    Raises :class:`UserError` for outputs that the task can't read.
    """
    samples = enumerate(zip(*outputs, strict=True))
    answers = {index: task.finish(index, list(sample)) for index, sample in samples}
    return task.evidence(answers)[task.info.metric].value()
