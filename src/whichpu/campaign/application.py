"""What an application does before and after each inference, timed on the host with the task's own functions."""

from __future__ import annotations

import time

import numpy as np

from whichpu.results.schema import Application
from whichpu.tasks import Samples, Task

MOST = 200
"""Samples, evenly spread over the task's."""


def timed(task: Task) -> Application:
    """Median times over up to 200 samples; each is prepared and finished by itself, as one that comes alone is."""
    count = task.info.samples
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(int)).tolist()
    outputs = {index: _outputs(task, index) for index in chosen}
    task.finish(chosen[0], outputs[chosen[0]])
    task.prepare(chosen[0])  # what is done for the first time only
    now, prepare_ns, finish_ns = time.perf_counter_ns, [], []
    for index in chosen:
        began = now()
        task.prepare(index)
        prepared = now()
        task.finish(index, outputs[index])
        finish_ns.append(now() - prepared)
        prepare_ns.append(prepared - began)
    return Application(
        prepare_ns=float(np.median(prepare_ns)),
        finish_ns=float(np.median(finish_ns)),
        samples=len(chosen),
        by="NumPy on the host",
    )


def _outputs(task: Task, index: int) -> Samples:
    """A sample's outputs: the stored ones, else zeros."""
    if task.reference is not None:
        return [array[index] for array in task.reference]
    return [np.zeros(task.output_shape, np.float32)]
