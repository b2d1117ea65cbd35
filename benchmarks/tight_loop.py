"""Loops that scripts in Python run, as a resident process; imports nothing of WhichPU.

    python tight_loop.py MODEL INPUTS.npz {bound,naive,openvino} THREADS [CPUS]

``bound`` is the tightest loop that Python allows on ONNX Runtime: inputs and outputs bound once to preallocated values,
the clock read directly before and after the lowest-level call, latencies written into a preallocated list, garbage
collector off. ``naive`` is what most scripts do: ``perf_counter`` around ``session.run(None, feeds)``; ``openvino`` is
the same around OpenVINO's ``compiled(feeds)``. (``tight_loop.c`` is the tightest loop of all.)

One request a line on stdin, one JSON answer a line on stdout: ``warm`` (run until steady), ``run N`` (N inferences)
or ``block OPENING_NS STEADY_NS`` (the opening inferences are run and left out).
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

Loop = Callable[[int], list[int]]
"""Runs so many inferences and gives their latencies in ns."""

OPENING_LEAST, STEADY_LEAST, MOST = 2, 20, 1_000
"""The worker's block: at least so many inferences, never more than ``MOST`` (``wire.Measure``)."""


def main(arguments: list[str]) -> int:
    """Answer requests until stdin closes."""
    _die_with_parent()
    model, inputs, kind, threads, *cpus = arguments
    if cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in cpus[0].split(",")})
    loop = {"bound": bound, "naive": naive, "openvino": naive_openvino}[kind](model, inputs, int(threads))
    loop(1)
    latency_ns = 0.0
    gc.collect()
    gc.disable()
    _answer({"ready": True})
    for line in sys.stdin:
        request, *numbers = line.split()
        if request == "warm":
            latency_ns = warm(loop)
            _answer({"latency_ns": latency_ns})
        elif request == "run":
            _answer({"latencies_ns": loop(int(numbers[0]))})
        else:
            opening_ns, steady_ns = map(int, numbers)
            loop(count(opening_ns, latency_ns, OPENING_LEAST))
            _answer({"latencies_ns": loop(count(steady_ns, latency_ns, STEADY_LEAST))})
    return 0


def bound(model: str, inputs: str, threads: int) -> Loop:
    """The lowest-level call, in a loop that holds nothing else."""
    import onnxruntime

    session = _session(model, threads)
    feeds = _feeds(session, inputs)
    binding = session.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for node in session.get_outputs():  # static shapes only: the buffers are preallocated
        values[node.name] = onnxruntime.OrtValue.ortvalue_from_shape_and_type(node.shape, np.float32, "cpu")
        binding.bind_ortvalue_output(node.name, values[node.name])
    run, raw = session._sess.run_with_iobinding, binding._iobinding

    def loop(
        times: int,
        held: Any = (binding, values),
        now: Callable[[], int] = time.perf_counter_ns,
        run: Any = run,
        raw: Any = raw,
    ) -> list[int]:
        latencies = [0] * times
        for index in range(times):
            began = now()
            run(raw, None)
            latencies[index] = now() - began
        return latencies

    return loop


def naive(model: str, inputs: str, threads: int) -> Loop:
    """The usual script."""
    session = _session(model, threads)
    return _around(session.run, None, _feeds(session, inputs))


def naive_openvino(model: str, inputs: str, threads: int) -> Loop:
    """The usual script on OpenVINO, with the worker's options."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it reports when it is imported
    import openvino

    options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "ENABLE_CPU_PINNING": False}
    options |= {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    with np.load(inputs, allow_pickle=False) as file:
        feeds = [np.ascontiguousarray(file[f"input_{index}"][0]) for index in range(len(compiled.inputs))]
    return _around(compiled, feeds)


def _around(call: Callable[..., Any], *arguments: Any) -> Loop:
    def loop(times: int) -> list[int]:
        latencies = []
        for _ in range(times):
            began = time.perf_counter()
            call(*arguments)
            latencies.append(time.perf_counter() - began)
        return [round(1e9 * latency) for latency in latencies]

    return loop


def warm(loop: Loop, window_ns: int = 3_000_000, limit_ns: int = 2_000_000_000, tolerance: float = 0.05) -> float:
    """The worker's rule: windows of 3 ms until the medians of the last three agree. Returns the last median."""
    began = time.perf_counter_ns()
    medians: list[float] = [median(loop(2))]
    while len(medians) < 4 or time.perf_counter_ns() - began < limit_ns:
        medians.append(median(loop(count(window_ns, medians[-1], 2))))
        last = medians[-3:]
        if len(medians) >= 4 and max(last) - min(last) <= tolerance * min(last):
            break
    return medians[-1]


def count(wall_ns: int, latency_ns: float, least: int) -> int:
    """Inferences that fill ``wall_ns``."""
    return min(MOST, max(least, round(wall_ns / max(1.0, latency_ns))))


def _session(model: str, threads: int) -> Any:
    """A session with the worker's options."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def _feeds(session: Any, path: str) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {
            node.name: np.ascontiguousarray(file[f"input_{index}"][0])
            for index, node in enumerate(session.get_inputs())
        }


def _answer(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


def _die_with_parent() -> None:
    """On Linux: a frozen process can't see its stdin close."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
