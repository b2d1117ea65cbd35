"""``winml perf``'s JSON, version 2: ONNX Runtime on Windows ML's execution providers, with the single times.

Keys and milliseconds: winml-cli 0.4 (MIT), ``commands/perf.py``; of composite models a part each under ``components``.
A percentile of its own is the value at place floor(p n) + 1. Its samples a second are batch / mean time, so no measured
throughput. MB are MiB.
"""

from __future__ import annotations

import re
from typing import Any

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of
from whichpu.results.reported.figures import FLOOR_RANK, Figures, ranks, told, whole
from whichpu.results.reported.rows import MIB, MS_NS, mapping, model_named, of_row, text_of, times_ns

TOOL = "winml perf"
BEGINS = re.compile(r'"benchmark_info"\s*:\s*\{')
LATENCIES = {
    "mean": "latency_mean", "min": "latency_min", "max": "latency_max", "std": "latency_std",
    "p50": "latency_median", "p90": "latency_p90", "p95": "latency_p95", "p99": "latency_p99",
}  # fmt: skip
PROCESS = {"scope": "process", "statistic": "peak of the points looked at"}
NO_RATE = "its samples_per_sec is batch / mean time, no measured rate"


def recognises(head: str, name: str) -> bool:
    """Does ``winml perf`` write like this?"""
    return head.lstrip().startswith("{") and bool(BEGINS.search(head))


def read(text: str, source: Source) -> Reported:
    """An entry, or one a component. Raises :class:`UserError`."""
    body = mapping(json_of(text, floats=str))
    parts = mapping(body.get("components"))
    named = {f"components.{name}.": mapping(part) for name, part in parts.items()} or {"": body}
    found = Reported(format="winml", tool=TOOL, source=source)
    for place, part in named.items():
        version = part.get("schema_version")
        if version not in (2, None):
            raise UserError(f"is of schema {str(version)[:20]}; 2 is known", "write it with winml-cli 0.3 or 0.4")
        samples = times_ns(part.get("raw_samples_ms"), f"{place}raw_samples_ms", MS_NS)
        component = place.removeprefix("components.").rstrip(".")
        entry = _entry(part, place, source, samples, component)
        found.entries.append(entry)
        if samples:
            found.samples[f"{entry.contender} {component}".rstrip()] = samples
    return found


def _entry(part: dict[str, Any], place: str, source: Source, samples: list[float], component: str) -> Entry:
    info, latency = mapping(part.get("benchmark_info")), mapping(part.get("latency_ms"))
    figures = Figures(TOOL)
    terms = told(batch=whole(info.get("effective_batch_size")) or whole(info.get("batch_size")))
    if samples:
        figures.samples(samples, f"{place}raw_samples_ms[*]", terms)
    else:
        for key, metric in LATENCIES.items():
            kept = ranks(terms, FLOOR_RANK) if key.startswith("p") else terms
            where = f"{place}latency_ms.{key}"
            figures.put(metric, latency.get(key), where, MS_NS, kept, whole(info.get("iterations")))
    figures.lacks("throughput", NO_RATE)
    memory = mapping(part.get("memory"))
    if "rss_checkpoint_peak_mb" in memory:
        figures.put("memory", memory["rss_checkpoint_peak_mb"], f"{place}memory.rss_checkpoint_peak_mb", MIB, PROCESS)
    device, provider = text_of(info.get("device")), text_of(info.get("ep"))
    label = f"{provider or 'execution provider not told'} ({device or 'device not told'})"
    return figures.entry(
        of_row(source, component, bool(component)),
        component or model_named(info.get("model_id")),
        label,
        device=device,
        precision=text_of(info.get("precision")) or text_of(mapping(part.get("model_info")).get("precision")),
    )
