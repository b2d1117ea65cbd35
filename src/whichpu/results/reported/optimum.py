"""Hugging Face's optimum-benchmark: ``benchmark_report.json``, or ``benchmark.json`` with the configuration.

Keys and units: optimum-benchmark 0.6 (Apache-2.0), ``trackers/`` and ``benchmark/report.py``; each stage (``forward``,
``prefill``, ``decode``, ...) has latencies with their single values in s, memory in MB (1e6 bytes), and energy in kWh,
which CodeCarbon estimates. Its throughput is batch / mean latency, so no measured rate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import BYTES, TIMES_NS, json_of
from whichpu.results.reported.figures import LINEAR, Figures, ranks, told, whole
from whichpu.results.reported.rows import mapping, model_named, of_row, text_of, times_ns

TOOL = "optimum-benchmark"
REPORT = re.compile(r'^\s*\{\s*"\w+"\s*:\s*\{\s*"memory"\s*:\s*(?:null|\{\s*"unit"\s*:)')
CONFIG = re.compile(r'"_target_"\s*:\s*"optimum_benchmark\.')
LOADS = ("load_model", "load")
FIRSTS = ("first_forward", "first_prefill", "first_generate", "first_call")
LATENCIES = {
    "mean": "latency_mean", "stdev": "latency_std", "p50": "latency_median", "p90": "latency_p90",
    "p95": "latency_p95", "p99": "latency_p99",
}  # fmt: skip
KWH_J = 3.6e6
NO_RATE = "its throughput is batch / mean latency, no measured rate"


def recognises(head: str, name: str) -> bool:
    """Does optimum-benchmark write like this?"""
    return bool(REPORT.search(head)) or (head.lstrip().startswith("{") and bool(CONFIG.search(head)))


def read(text: str, source: Source) -> Reported:
    """An entry a stage; loading stands with the first of them. Raises :class:`UserError`."""
    body = mapping(json_of(text))
    config, place = mapping(body.get("config")), "report." if "report" in body else ""
    report = {name: mapping(stage) for name, stage in mapping(body.get("report") or body).items()}
    stages = {name: stage for name, stage in report.items() if name not in (*LOADS, *FIRSTS) and stage.get("latency")}
    if not stages:
        raise UserError("has no latency of any stage: only a configuration, or a run that failed", "give the report")
    version = text_of(mapping(config.get("environment")).get("optimum_benchmark_version"))
    found = Reported(format="optimum-benchmark", tool=TOOL, tool_version=version, source=source)
    for name, stage in stages.items():
        figures = Figures(TOOL)
        samples = _latency(figures, mapping(stage["latency"]), f"{place}{name}", config)
        _memory(figures, mapping(stage.get("memory")), f"{place}{name}.memory")
        _energy(figures, mapping(stage.get("energy")), f"{place}{name}.energy")
        _once(figures, report, place, name)
        entry = _entry(figures, config, name, of_row(source, name, len(stages) > 1), version)
        found.entries.append(entry)
        if samples:
            found.samples[entry.contender] = samples
    return found


def _entry(figures: Figures, config: dict[str, Any], stage: str, source: Source, version: str | None) -> Entry:
    backend = mapping(config.get("backend"))
    device, kind = text_of(backend.get("device")), text_of(backend.get("name"))
    where = f"{kind or TOOL} ({device or 'device not told'})"
    figures.lacks("throughput", NO_RATE)
    precision = text_of(backend.get("torch_dtype")) or text_of(backend.get("dtype"))
    model = model_named(backend.get("model"))
    name = where if stage == "forward" else f"{where} {stage}"
    return figures.entry(source, model, name, tool_version=version, device=device, precision=precision)


def _latency(figures: Figures, told_: Mapping[str, Any], place: str, config: Mapping[str, Any]) -> list[float]:
    """Puts the figures; returns the single latencies in ns."""
    scale = TIMES_NS.get(str(told_.get("unit", "s")))
    if scale is None:
        raise UserError(f"{place}.latency.unit is {str(told_.get('unit'))[:20]!r}, no unit of time", "give it in s")
    shapes = mapping(mapping(config.get("scenario")).get("input_shapes"))
    terms = told(batch=whole(shapes.get("batch_size")))
    samples = times_ns(told_.get("values"), f"{place}.latency.values", scale)
    if samples:
        figures.samples(samples, f"{place}.latency.values[*]", terms)
        return samples
    for key, metric in LATENCIES.items():
        kept = ranks(terms, LINEAR) if key.startswith("p") else terms
        figures.put(metric, told_.get(key), f"{place}.latency.{key}", scale, kept, whole(told_.get("count")))
    return []


def _memory(figures: Figures, told_: Mapping[str, Any], place: str) -> None:
    scale = BYTES.get(str(told_.get("unit", "MB")).lower())
    for key, metric, scope in (("max_ram", "memory", "process"), ("max_process_vram", "device_memory", "process")):
        if scale is not None and told_.get(key) is not None:
            figures.put(metric, told_[key], f"{place}.{key}", scale, {"scope": scope, "statistic": "peak"})


def _energy(figures: Figures, told_: Mapping[str, Any], place: str) -> None:
    if told_.get("unit") == "kWh":
        terms = {"scope": "CPU, RAM and GPU, as CodeCarbon estimates them", "statistic": "gross"}
        figures.put("energy", told_.get("total"), f"{place}.total", KWH_J, terms)


def _once(figures: Figures, report: Mapping[str, dict[str, Any]], place: str, stage: str) -> None:
    """Loading the model, and the first time through this stage: where each was timed once."""
    for name, metric, terms in (
        *((name, "load", {"load": "from a file"}) for name in LOADS),
        (f"first_{stage}", "first", {}),
    ):
        latency = mapping(report.get(name, {}).get("latency"))
        scale = TIMES_NS.get(str(latency.get("unit", "s")))
        if scale is not None and latency.get("mean") is not None:
            figures.put(
                metric, latency["mean"], f"{place}{name}.latency.mean", scale, terms, whole(latency.get("count"))
            )
