"""How outputs become a score. One file a kind of task, one line each in the table of ``load``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.results.schema import TaskInfo

Samples = list[npt.NDArray[Any]]


class Task(Protocol):
    """A dataset, its pre-processing and its metric. ``inputs`` are pre-processed, ``[samples, *shape]`` each, and
    ``output_shape`` is that of a sample's output.

    ``reference`` are the outputs that others are held against (``[samples, *shape]``), where the task has them.
    """

    info: TaskInfo
    inputs: Samples
    reference: Samples | None
    reference_by: str | None
    output_shape: tuple[int, ...]

    def prepare(self, index: int) -> Samples:
        """The inputs of one sample, pre-processed: what an application does before each inference."""
        ...

    def finish(self, index: int, outputs: Samples) -> object:
        """The answer from one sample's outputs, post-processed: what an application does after each inference."""
        ...

    def score(self, outputs: Samples) -> float:
        """The metric over all samples, in the task's unit. Raises :class:`UserError` for outputs of a wrong shape."""
        ...


def load(path: Path, model: str) -> Task:
    """The task that a TOML file describes, for the model of that name (its file's stem). Raises :class:`UserError`."""
    import tomllib

    from whichpu.tasks import forecasting

    kinds = {"forecasting": forecasting.load}
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"{path} is not TOML: {problem}") from problem
    kind = body.get("kind")
    if kind not in kinds:
        raise UserError(f"{path} names kind = {kind!r}", f"there are: {', '.join(kinds)}")
    return kinds[kind](path, body, model)
