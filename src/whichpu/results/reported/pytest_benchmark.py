"""pytest-benchmark's JSON (``--benchmark-json``, ``--benchmark-save``): seconds a call, of rounds of calls.

Keys: pytest-benchmark's documentation (BSD-2-Clause), and files that 5.3 wrote. A round of several iterations tells
their mean. Where rounds are single calls, their statistics are those of calls; ``data`` holds them, if it was saved.
"""

from __future__ import annotations

import re
from typing import Any

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of
from whichpu.results.reported.figures import LINEAR, Figures, ranks, whole
from whichpu.results.reported.rows import S_NS, mapping, objects, of_row, put_means, text_of, times_ns

TOOL = "pytest-benchmark"
BEGINS = re.compile(r'^\s*\{\s*"machine_info"\s*:|"benchmarks"\s*:\s*\[\s*\{\s*"group"\s*:')
STATED = {"mean": "latency_mean", "stddev": "latency_std", "min": "latency_min", "max": "latency_max"}


def recognises(head: str, name: str) -> bool:
    """Does pytest-benchmark write like this?"""
    return bool(BEGINS.search(head))


def read(text: str, source: Source) -> Reported:
    """An entry a benchmark; ``extra_info`` may name its ``model`` and ``contender``. Raises :class:`UserError`."""
    body = mapping(json_of(text))
    rows = objects(body.get("benchmarks"))
    if not rows:
        raise UserError("has no benchmarks: no test used the benchmark fixture", "give the file of --benchmark-json")
    version = text_of(body.get("version"))
    found = Reported(format="pytest-benchmark", tool=TOOL, tool_version=version, source=source)
    for at, row in rows:
        stats, place = mapping(row.get("stats")), f"benchmarks[{at}].stats"
        calls = whole(stats.get("iterations")) or 1
        samples = times_ns(stats.get("data"), f"{place}.data", S_NS)
        entry = _entry(row, stats, place, calls, samples, source, len(rows) > 1, version)
        found.entries.append(entry)
        if samples and calls == 1:
            found.samples[entry.contender] = samples
    return found


def _entry(
    row: dict[str, Any],
    stats: dict[str, Any],
    place: str,
    calls: int,
    samples: list[float],
    source: Source,
    several: bool,
    version: str | None,
) -> Entry:
    figures, rounds = Figures(TOOL), whole(stats.get("rounds"))
    if calls > 1:
        put_means(figures, samples, f"{place}.data[*]", calls, {})
        if not samples:
            count = rounds and rounds * calls
            figures.put("latency_mean", stats.get("mean"), f"{place}.mean", S_NS, None, count)
    elif samples:
        figures.samples(samples, f"{place}.data[*]", {})
    else:
        for key, metric in STATED.items():
            figures.put(metric, stats.get(key), f"{place}.{key}", S_NS, None, rounds)
        figures.put("latency_median", stats.get("median"), f"{place}.median", S_NS, ranks({}, LINEAR), rounds)
    extra = mapping(row.get("extra_info"))
    name = text_of(extra.get("contender")) or text_of(row.get("name")) or "benchmark"
    return figures.entry(
        of_row(source, name, several),
        text_of(extra.get("model")),
        name,
        tool_version=version,
        device=text_of(extra.get("device")),
        precision=text_of(extra.get("precision")),
    )
