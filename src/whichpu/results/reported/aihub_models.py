"""``perf.yaml`` of Qualcomm AI Hub Models: a model's figures on many devices and runtimes, measured on hosted devices.

Keys: ``scorecard/perf_yaml.py`` and the files of qai-hub-models 0.65 (BSD-3-Clause): under ``precisions.P.components.C.
performance_metrics.DEVICE.RUNTIME``. The time is AI Hub's, in ms (see :mod:`.aihub`). MB are MiB. Language models
have tokens a second and no time an inference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import yaml

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.aihub import NO_MEAN, PEAK, SECOND_HAND, TOOL, elsewhere
from whichpu.results.reported.figures import AGAIN, Figures, whole
from whichpu.results.reported.rows import MIB, MS_NS, mapping, of_row, text_of

BEGINS = re.compile(r"^\s*performance_metrics\s*:", re.M)
LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Makes texts, lists and mappings only; numbers stay as they are printed."""


class Row(NamedTuple):
    """One model in one precision on one device by one runtime, and its place in the file."""

    precision: str
    component: str
    device: str
    runtime: str
    told: dict[str, Any]
    where: str


def recognises(head: str, name: str) -> bool:
    """Is it a perf.yaml of AI Hub Models?"""
    return bool(BEGINS.search(head))


def read(text: str, source: Source) -> Reported:
    """An entry a device, runtime, precision and component. Raises :class:`UserError`."""
    try:
        body = yaml.load(text, LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise UserError(f"is not whole YAML: {' '.join(str(problem).split())[:200]}", AGAIN) from problem
    rows = list(_rows(mapping(body).get("precisions")))
    if not rows:
        raise UserError(
            "has no performance_metrics under precisions and components, as perf.yaml of AI Hub Models has",
            "give one of a release from 2025 on",
        )
    timed = [row for row in rows if "llm_metrics" not in row.told]
    if not timed:
        raise UserError("holds tokens a second of a language model, which are not compared", "give another model's")
    lone = len({row.component for row in rows}) == 1
    entries = [_entry(row, source, lone) for row in timed]
    return Reported(format="aihub-models", tool=TOOL, source=source, entries=entries)


def _rows(precisions: object) -> Iterator[Row]:
    for precision, parts in mapping(precisions).items():
        for component, measured in mapping(mapping(parts).get("components")).items():
            for device, runtimes in mapping(mapping(measured).get("performance_metrics")).items():
                for runtime, told in mapping(runtimes).items():
                    where = f"precisions.{precision}.components.{component}.performance_metrics.{device}.{runtime}"
                    yield Row(precision, component, device, runtime, mapping(told), where)


def _entry(row: Row, source: Source, lone: bool) -> Entry:
    figures, told = Figures(TOOL), row.told
    figures.put("latency_min", told.get("inference_time_milliseconds"),
                f"{row.where}.inference_time_milliseconds", MS_NS)  # fmt: skip
    figures.lacks("latency_mean", NO_MEAN)
    span = mapping(told.get("estimated_peak_memory_range_mb"))
    if span:
        figures.put("memory", span.get("max"), f"{row.where}.estimated_peak_memory_range_mb.max", MIB, PEAK)
    versions = mapping(told.get("tool_versions"))
    name = f"{row.runtime} ({row.device}) [{row.precision}]"
    entry = figures.entry(
        of_row(source, name, True),
        source.model if lone and source.model else row.component,
        name,
        tool_version=", ".join(f"{tool} {version}" for tool, version in versions.items()) or None,
        device=row.device,
        precision=row.precision,
        doubts=([SECOND_HAND] if "latency_min" in figures.values else []) + _doubts(told),
    )
    status = text_of(told.get("job_status"))
    failed = status is not None and status.lower() != "passed"
    absent = dict.fromkeys(entry.absent, f"the job is {status}") if failed else entry.absent
    return msgspec.structs.replace(entry, absent=absent)


def _doubts(told: dict[str, Any]) -> list[str]:
    counts = mapping(told.get("layer_counts"))
    layers = {unit.upper(): whole(counts.get(unit)) for unit in ("npu", "gpu", "cpu")}
    return elsewhere({unit: count for unit, count in layers.items() if count})
