"""pyperf's JSON, for ``pyperf stats``, ``hist`` and ``compare_to``. Times in s.

One run for each round, which was a fresh process as pyperf's are; inferences on cold caches, which opened a block, are
its warm-ups. Source: pyperf's documentation, "pyperf JSON format".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from whichpu import __version__
from whichpu.results.anything import File
from whichpu.results.exporters import Written
from whichpu.results.exporters.samples import Round, Sampled, with_samples

KIND = "pyperf JSON of `whichpu export`"
BEGINNING = re.compile(rb'\s*\{\s*"metadata"\s*:\s*\{\s*"exported_by"\s*:\s*"whichpu')


def write(files: Sequence[File]) -> Written:
    """A benchmark for each contender that has single latencies."""
    having, left_out = with_samples(files, "pyperf JSON")
    body = {
        "metadata": {"exported_by": f"whichpu {__version__}", "unit": "second"},
        "benchmarks": [_benchmark(each) for each in having],
        "version": "1.0",
    }
    return Written(msgspec.json.encode(body) + b"\n", left_out)


def _benchmark(each: Sampled) -> dict[str, Any]:
    entry = each.entry
    told = {
        "name": f"{entry.model}, {each.name}",
        "model": entry.model,
        "contender": entry.contender,
        "precision": entry.precision,
        "tool": entry.tool,
        "tool_version": entry.tool_version,
        "result_file": entry.file,
        "result_sha256": entry.sha256,
        "loops": 1,
    }
    runs = [_run(one) for one in each.rounds if one.steady_ns]
    return {"metadata": {key: value for key, value in told.items() if value}, "runs": runs}


def _run(one: Round) -> dict[str, Any]:
    warm = [[1, latency / 1e9] for latency in one.opening_ns]
    return {
        "metadata": {"round": one.number},
        **({"warmups": warm} if warm else {}),
        "values": [latency / 1e9 for latency in one.steady_ns],
    }
