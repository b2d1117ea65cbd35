"""The parts of an inference on OpenVINO's CPU plug-in, by its own counters, in a model compiled once more for it.

The plug-in's counters (``PERF_COUNT``) hold, for each operator, the mean over all inferences so far, in whole us
(openvino src/plugins/intel_cpu/src/perf_count.h). So the inferences after the warm-up have one mean, from two looks.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

from .. import parts, wire
from . import Arrays, Refused
from . import openvino as adapter

BY = "OpenVINO's own counters (PERF_COUNT), in runs of their own; means"


def parts_of(job: wire.Open, arrays: Arrays, request: wire.Parts) -> wire.Parted:
    """Raises :class:`Refused` for another device than the CPU, whose counters may mean something else."""
    if job.device.lower() != "cpu":
        raise Refused("WhichPU reads OpenVINO's counters on the CPU only")
    parts.once_more(request)
    core = adapter._core()
    counted = adapter.OpenVino(core, adapter._device(core, job.device), job, {"PERF_COUNT": True})
    call, count = counted.bind(arrays), request.count
    parts.end_to_end(call, parts.WARM)
    before = _means_us(counted.request)
    latencies = parts.end_to_end(call, count)
    after = _means_us(counted.request)
    compute_ns, coarse_ns = mean_of(before, parts.WARM, after, parts.WARM + count)
    counted.close()
    found = parts.in_place([sum(latencies) // count], [compute_ns], BY, coarse_ns)
    found.inferences = count
    return found


def mean_of(
    before: Dict[Tuple[int, str], int], counted: int, after: Dict[Tuple[int, str], int], in_all: int
) -> Tuple[int, int]:
    """Computing in ns as the mean of the inferences between two looks, and how much rounding may have taken off."""
    since, count = {key: after[key] * in_all - before.get(key, 0) * counted for key in after}, in_all - counted
    compute_us = sum(max(0, total_us) for total_us in since.values()) / count
    rounded_us = len(after) * (1 + in_all / count)  # each inference's time, and the mean of all of them
    return round(1_000 * compute_us), round(1_000 * rounded_us)


def _means_us(request: Any) -> Dict[Tuple[int, str], int]:
    """The mean in us of each operator that ran."""
    return {
        (index, str(info.node_name)): round(info.real_time.total_seconds() * 1e6)
        for index, info in enumerate(request.profiling_info)
        if info.status.name == "EXECUTED"
    }
