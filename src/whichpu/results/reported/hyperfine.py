"""``hyperfine --export-json``: how long whole commands take, the start of their processes included.

Keys and seconds: github.com/sharkdp/hyperfine (MIT or Apache-2.0), README "Export results", and files that 1.15
wrote; memory (``memory_usage_byte``) since 1.19, one peak of the resident set per run.
"""

from __future__ import annotations

import re
from typing import Any

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of, number
from whichpu.results.reported.figures import Figures
from whichpu.results.reported.rows import S_NS, mapping, objects, of_row, times_ns

TOOL = "hyperfine"
BEGINS = re.compile(r'^\s*\{\s*"results"\s*:\s*\[\s*\{\s*"command"\s*:')
TERMS = {"boundary": "the whole command, with the start of its process"}
STATED = {"mean": "latency_mean", "stddev": "latency_std", "min": "latency_min", "max": "latency_max"}


def recognises(head: str, name: str) -> bool:
    """Does hyperfine write like this?"""
    return bool(BEGINS.search(head))


def read(text: str, source: Source) -> Reported:
    """An entry a command. Raises :class:`UserError`."""
    rows = objects(mapping(json_of(text)).get("results"))
    if not rows:
        raise UserError("has no results: hyperfine timed nothing", "give the file of --export-json")
    found = Reported(format="hyperfine", tool=TOOL, source=source)
    for at, row in rows:
        command = str(row.get("command") or f"command {at + 1}")
        samples = times_ns(row.get("times"), f"results[{at}].times", S_NS)
        entry = _entry(row, f"results[{at}]", of_row(source, command, len(rows) > 1), command, samples)
        found.entries.append(entry)
        if samples:
            found.samples[entry.contender] = samples
    return found


def _entry(row: dict[str, Any], place: str, source: Source, command: str, samples: list[float]) -> Entry:
    figures = Figures(TOOL)
    if samples:
        figures.samples(samples, f"{place}.times[*]", TERMS)
    else:
        for key, metric in STATED.items():
            figures.put(metric, row.get(key), f"{place}.{key}", S_NS, TERMS)
        figures.put("latency_median", row.get("median"), f"{place}.median", S_NS, TERMS | {"percentile": "linear"})
    peaks = [number(value) for value in row.get("memory_usage_byte") or ()] if "memory_usage_byte" in row else []
    known = [peak for peak in peaks if peak is not None and peak > 0]
    if known:
        terms = {"scope": "process", "statistic": "peak"}
        figures.put("memory", max(known), f"{place}.memory_usage_byte[*]", 1.0, terms, len(known))
    failed = [code for code in row.get("exit_codes") or () if code not in (0, None)]
    doubts = [f"{len(failed)} runs ended with an error (exit code {failed[0]})"] if failed else []
    return figures.entry(source, None, command, doubts=doubts)
