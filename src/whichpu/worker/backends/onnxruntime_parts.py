"""The parts of an inference: on providers that compute on the CPU by ONNX Runtime's profiler, in a session of its own.

``end_profiling`` names a file of events in the Trace Event Format, times in whole us: ``model_run`` is an inference,
``..._kernel_time`` an operator (https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html).
Computing is the sum of operators; those within another's time (the body of a ``Loop``) count once.

For CUDA the profiler tells when work was handed to the GPU, not how long it took. There the three steps are called one
after the other, outputs on the GPU: each of the calls waits for the GPU, so the host's clock tells them apart.
"""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
import time
from typing import Any, Dict, List, NamedTuple

from .. import parts, wire
from . import Arrays, Refused
from . import onnxruntime as adapter
from . import onnxruntime_device as on_device
from . import onnxruntime_providers as providers

BY = "ONNX Runtime's own profiler, in runs of their own"
BY_STEPS = "the host's clock around ONNX Runtime's calls, each of which waits for the GPU, in runs of their own"


class Run(NamedTuple):
    """One inference: time of its operators in ns, and how many there were, those within others too."""

    compute_ns: int
    operators: int


def parts_of(job: wire.Open, choice: providers.Chosen, arrays: Arrays, request: wire.Parts) -> wire.Parted:
    """Raises :class:`Refused` where the profiler's times are not those of computing."""
    if not providers.in_place(job):
        raise Refused("in ONNX Runtime's profile the operators of %s hold the moves of data too" % choice.name)
    parts.once_more(request)
    with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
        profiled = adapter.OnnxRuntime(job, choice, os.path.join(folder, "profile"))
        call = profiled.bind(arrays)
        call()
        call = profiled.steady(call)
        latencies = parts.end_to_end(call, parts.WARM + request.count)
        events = json.loads(pathlib.Path(profiled.session.end_profiling()).read_text(encoding="utf-8"))
    found = runs(events)[-request.count :]
    if len(found) < request.count:
        raise Refused("ONNX Runtime's profile holds %d of %d inferences" % (len(found), request.count))
    coarse_ns = 1_000 * max(run.operators for run in found)  # each time is rounded down to whole us
    return parts.in_place(latencies[-request.count :], [run.compute_ns for run in found], BY, coarse_ns)


def steps_of(buffers: on_device.Buffers, arrays: Arrays, request: wire.Parts) -> wire.Parted:
    """Copying in, running and copying out on CUDA; ``buffers`` keep the outputs on the GPU."""
    buffers.bind(arrays)()
    stages, now = buffers.stages(), time.perf_counter_ns
    times: Dict[str, List[int]] = {"end_to_end": [], "h2d": [], "compute": [], "d2h": []}
    for _ in range(parts.WARM + request.count):
        began = now()
        stages.fill()
        filled = now()
        stages.run()
        ran = now()
        stages.fetch()
        ended = now()
        for name, took in zip(times, (ended - began, filled - began, ran - filled, ended - ran)):
            times[name].append(took)
    last = {name: found[-request.count :] for name, found in times.items()}
    return wire.Parted(last, request.count, BY_STEPS)


def runs(events: List[Dict[str, Any]]) -> List[Run]:
    """All inferences of a profile, in order."""
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    nodes.sort(key=lambda event: (event["ts"], -event["dur"]))
    whole = [event for event in events if event.get("cat") == "Session" and event["name"] == "model_run"]
    found, at = [], 0
    for run in sorted(whole, key=lambda event: int(event["ts"])):
        end, until, compute_us, operators = run["ts"] + run["dur"], 0, 0, 0
        while at < len(nodes) and nodes[at]["ts"] <= end:
            began, took = nodes[at]["ts"], nodes[at]["dur"]
            if began >= max(until, run["ts"]):
                until, compute_us = began + took, compute_us + took
            at, operators = at + 1, operators + 1
        found.append(Run(1_000 * compute_us, operators))
    return found
