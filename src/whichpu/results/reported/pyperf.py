"""pyperf's JSON: values in seconds of several processes, each the mean over its loops.

Keys: github.com/psf/pyperf (MIT), doc/api.rst, "JSON format"; files that 2.10 wrote. Runs without values calibrate.
"""

from __future__ import annotations

import re
from typing import Any

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of
from whichpu.results.reported.figures import Figures, whole
from whichpu.results.reported.rows import S_NS, mapping, objects, of_row, put_means, text_of, times_ns

TOOL = "pyperf"
BEGINS = re.compile(
    r'^\s*\{\s*(?:"metadata"\s*:\s*\{[^{}]*\}\s*,\s*)?"benchmarks"\s*:\s*\[\s*\{\s*"(?:metadata|runs)"\s*:'
)


def recognises(head: str, name: str) -> bool:
    """Does pyperf write like this?"""
    return bool(BEGINS.search(head))


def read(text: str, source: Source) -> Reported:
    """An entry a benchmark. Raises :class:`UserError`."""
    body = mapping(json_of(text))
    shared, rows = mapping(body.get("metadata")), objects(body.get("benchmarks"))
    if not rows:
        raise UserError("has no benchmarks", "give the file of pyperf's -o")
    version = text_of(shared.get("perf_version"))
    found = Reported(format="pyperf", tool=TOOL, tool_version=version, source=source)
    for at, row in rows:
        own = shared | mapping(row.get("metadata"))
        name = text_of(own.get("name")) or f"benchmark {at + 1}"
        entry, samples = _entry(row, own, at, of_row(source, name, len(rows) > 1), name, version)
        found.entries.append(entry)
        if samples:
            found.samples[entry.contender] = samples
    return found


def _entry(
    row: dict[str, Any], own: dict[str, Any], at: int, source: Source, name: str, version: str | None
) -> tuple[Entry, list[float]]:
    figures, place = Figures(TOOL), f"benchmarks[{at}].runs[*]"
    every = [run for _, run in objects(row.get("runs"))]
    runs = [run for run in every if run.get("values")]
    unit = own.get("unit", "second")
    samples: list[float] = []
    if unit != "second":
        figures.lacks("latency_mean", f"the file tells {str(unit)[:40]}s, no times")
    else:
        samples = [value for run in runs for value in times_ns(run["values"], f"benchmarks[{at}].runs[].values", S_NS)]
        calls = max((_calls(own | mapping(run.get("metadata"))) for run in runs), default=1)
        if calls > 1:
            put_means(figures, samples, f"{place}.values[*]", calls, {})
            samples = []
        else:
            figures.samples(samples, f"{place}.values[*]", {})
    _memory(figures, every, f"{place}.metadata.mem_max_rss")
    return figures.entry(source, text_of(own.get("model")), name, tool_version=version), samples


def _calls(metadata: dict[str, Any]) -> int:
    return (whole(metadata.get("loops")) or 1) * (whole(metadata.get("inner_loops")) or 1)


def _memory(figures: Figures, runs: list[dict[str, Any]], where: str) -> None:
    peaks = [whole(mapping(run.get("metadata")).get("mem_max_rss")) for run in runs]
    known = [peak for peak in peaks if peak is not None]
    if known:
        figures.put("memory", max(known), where, 1.0, {"scope": "process", "statistic": "peak"}, len(known))
