"""What an application does before and after each inference, timed on the host with the task's own functions."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from whichpu.results.schema import Application
from whichpu.tasks import Samples, Task

MOST = 200
"""Samples, evenly spread over those that have outputs."""


def timed(task: Task, outputs: Mapping[int, Samples]) -> Application | None:
    """Median times over up to 200 samples; each is prepared and finished by itself, as one that comes alone is.

    Of a sequence, the time of a step: the whole sequence's over its steps. What a task does only to be scored (reading
    what is true) is in it.

    ``outputs`` are a network's by sample, such as the reference's. ``None`` where there are none.
    """
    if not outputs:
        return None
    indices = sorted(outputs)
    spread = np.unique(np.linspace(0, len(indices) - 1, min(len(indices), MOST)).astype(int))
    chosen = [indices[place] for place in spread]
    task.finish(chosen[0], outputs[chosen[0]])
    task.prepare(chosen[0])  # what is done for the first time only
    now, prepare_ns, finish_ns = time.perf_counter_ns, [], []
    for index in chosen:
        began = now()
        task.prepare(index)
        prepared = now()
        task.finish(index, outputs[index])
        steps = len(outputs[index][0]) if task.carry else 1
        finish_ns.append((now() - prepared) / steps)
        prepare_ns.append((prepared - began) / steps)
    return Application(
        prepare_ns=float(np.median(prepare_ns)),
        finish_ns=float(np.median(finish_ns)),
        samples=len(chosen),
        by="NumPy on the host",
    )
