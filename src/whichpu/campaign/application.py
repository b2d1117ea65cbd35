"""What an application does before and after each inference, timed on the host with the task's own functions."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from whichpu.results.schema import Application
from whichpu.tasks import BadSample, Samples, Task

MOST = 200
"""Samples, evenly spread over those that have outputs."""


def timed(task: Task, outputs: Mapping[int, Samples]) -> Application | None:
    """Median times over up to 200 samples; each is prepared and finished by itself, as one that comes alone is.

    Of a sequence, the time of a step: the whole sequence's over its steps. What a task does only to be scored (reading
    what is true) is in it.

    ``outputs`` are a network's by sample, such as the reference's. ``None`` where there are none.
    """
    indices = sorted(outputs)
    step = max(1.0, len(indices) / MOST)
    chosen = [indices[int(place * step)] for place in range(min(len(indices), MOST))]
    for index in chosen[:1]:
        _times_ns(task, index, outputs[index])  # what is done for the first time only
    times_ns = [found for index in chosen if (found := _times_ns(task, index, outputs[index])) is not None]
    if not times_ns:
        return None
    prepare_ns, finish_ns = np.median(times_ns, axis=0)
    return Application(
        prepare_ns=float(prepare_ns), finish_ns=float(finish_ns), samples=len(times_ns), by="NumPy on the host"
    )


def _times_ns(task: Task, index: int, outputs: Samples) -> tuple[float, float] | None:
    """Times of preparing a sample and of finishing its outputs; ``None`` for a sample that can't be used."""
    try:
        began = time.perf_counter_ns()
        task.prepare(index)
        prepared = time.perf_counter_ns()
        task.finish(index, outputs)
        finished = time.perf_counter_ns()
    except BadSample:
        return None
    steps = len(outputs[0]) if task.carry else 1
    return (prepared - began) / steps, (finished - prepared) / steps
