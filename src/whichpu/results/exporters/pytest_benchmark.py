"""pytest-benchmark's JSON, which ``pytest-benchmark compare`` and dashboards for build servers read. Times in s.

Statistics are over the steady latencies together, as pytest-benchmark defines them: ``stddev`` with n - 1; quartiles
are medians of the halves (of an odd number: the mean of those with and without the middle one); Tukey's fences at 1.5
interquartile ranges; ``ops`` is rounds over their total time, not a throughput. Source: pytest-benchmark's glossary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu import __version__
from whichpu.results.anything import File
from whichpu.results.exporters import Written
from whichpu.results.exporters.samples import Sampled, with_samples
from whichpu.results.schema import Campaign

KIND = "pytest-benchmark JSON of `whichpu export`"
BEGINNING = re.compile(rb'\s*\{\s*"machine_info"\s*:\s*\{\s*"exported_by"\s*:\s*"whichpu')
FENCE = 1.5


def write(files: Sequence[File]) -> Written:
    """A benchmark for each contender that has single latencies, all of a model in one group."""
    having, left_out = with_samples(files, "pytest-benchmark JSON")
    machines = sorted({each.entry.machine for each in having if each.entry.machine})
    created = [file.content.created for file in files if isinstance(file.content, Campaign)]
    body = {
        "machine_info": {"exported_by": f"whichpu {__version__}", "machine": ", ".join(machines)},
        "commit_info": {},
        "benchmarks": [_benchmark(each) for each in having],
        "datetime": max(created, default=None),
        "version": "5.0.0",
    }
    return Written(msgspec.json.encode(body) + b"\n", left_out)


def _benchmark(each: Sampled) -> dict[str, Any]:
    entry = each.entry
    figures = {key: {"value": value.value, "unit": value.unit} for key, value in entry.values.items()}
    about = {"file": entry.file, "sha256": entry.sha256, "precision": entry.precision, "tool": entry.tool}
    return {
        "group": entry.model,
        "name": each.name,
        "fullname": f"{entry.model}::{each.name}",
        "params": None,
        "param": None,
        "extra_info": {**about, "figures": figures, "absent": entry.absent},
        "options": {
            "disable_gc": False,
            "timer": "perf_counter",
            "min_rounds": 1,
            "max_time": 0,
            "min_time": 0,
            "warmup": True,
        },
        "stats": statistics(np.asarray(each.steady_s)),
    }


def statistics(data: npt.NDArray[np.float64]) -> dict[str, Any]:
    """The statistics that pytest-benchmark keeps of times in s, shape ``[rounds]``."""
    ordered = np.sort(data)
    count, mean, total = int(data.size), float(data.mean()), float(data.sum())
    q1, median, q3 = _middle(ordered, slice(None)), float(np.median(ordered)), _middle(ordered, slice(None, None, -1))
    spread = float(data.std(ddof=1)) if count > 1 else 0.0
    low, high = q1 - FENCE * (q3 - q1), q3 + FENCE * (q3 - q1)
    inside = ordered[(ordered >= low) & (ordered <= high)]
    beyond = int(np.sum(np.abs(data - mean) > spread))
    return {
        "min": float(ordered[0]),
        "max": float(ordered[-1]),
        "mean": mean,
        "stddev": spread,
        "rounds": count,
        "median": median,
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": count - int(inside.size),
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{count - int(inside.size)}",
        "ld15iqr": float(inside[0]),
        "hd15iqr": float(inside[-1]),
        "ops": count / total if total else 0.0,
        "total": total,
        "data": data.tolist(),
        "iterations": 1,
    }


def _middle(ordered: npt.NDArray[np.float64], way: slice) -> float:
    """The median of the half that is first that way."""
    half = ordered[way]
    sizes = {max(1, half.size // 2), (half.size + 1) // 2}
    return float(np.mean([np.median(half[:size]) for size in sizes]))
