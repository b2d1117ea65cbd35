"""NVIDIA's ``trtexec``: its log, ``--exportTimes`` and ``--exportProfile``.

Keys, labels and definitions: github.com/NVIDIA/TensorRT, ``samples/common/sampleReporting.cpp``. Latency is the sum of
H2D latency, GPU compute time and D2H latency; a percentile is the nearest rank. Up to 10 data transfers are part of it
unless ``--noDataTransfers`` is given, from 11.0 they are not unless asked for (NVIDIA's page on migrating ``trtexec``
from 10.x to 11.x). A log that shows what the transfers took, or that names the option, is believed before its version.
A profile has layers only: their sum is no latency, for layers on auxiliary streams overlap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from whichpu.errors import UserError
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of, not_negative
from whichpu.results.reported.figures import AGAIN, LINEAR, NEAREST_RANK, PERCENTS, Figures, slowest, stem, told, whole

TOOL = "trtexec"
WITH, WITHOUT = "with transfers", "without transfers"
AHEAD = "async"
"""Scenario of the throughput: a query is enqueued while the one before it still runs."""
LAYERS = "sum over layers"
TIMES = re.compile(r'^\s*\[\s*\{\s*"(?:start|end)(?:Enq|H2d|In)Ms"')
PROFILE = re.compile(r'^\s*\[\s*\{\s*"count"\s*:')
LOG = re.compile(
    r"TensorRT\.trtexec|\] Host Latency$|=== (?:Performance summary|Model Options|Inference Options) ===", re.M
)

VERSION = re.compile(r"TensorRT version: (\d+(?:\.\d+)+)")
BANNER = re.compile(r"\[TensorRT v(\d{4,6})\]")
OPTION = re.compile(r"Data transfers: (Enabled|Disabled)")
FLAG = re.compile(r"TensorRT\.trtexec\b.*--(noDataTransfers|(?:enable|use)?[dD]ataTransfers)\b")
DEVICE = re.compile(r"Selected Device: ([^\n]+)")
DLA = re.compile(r"\bDLACore: ?(\d+)|--useDLACore=(\d+)")
MODEL = re.compile(r"\] Model: (\S+)|--(?:onnx|loadEngine)=(\S+)")
PRECISION = re.compile(r"\] Precision: (.+)")
QUERIES = re.compile(r"Timing trace has (\d+) queries")
ROW = re.compile(r"(?:^|\] )(Throughput|throughput|Latency|H2D Latency|D2H Latency|GPU Compute Time): (.*)")
PART = re.compile(r"(min|max|mean|median|percentile\((\d+(?:\.\d+)?)%\)) = (\S+) ms")
OLD = re.compile(r"(min|max|mean|median|percentile): (\S+) ms(?: at (\d+(?:\.\d+)?)%)?")
FELL_BACK = re.compile(r"Switching this layer's device type to GPU|Switching to GPU for layer")
WARNING = re.compile(r"\[W\] \* (.+)")
KEPT = {"min": "latency_min", "max": "latency_max", "mean": "latency_mean", "median": "latency_median"}

Rows = dict[str, tuple[int, str]]
"""Lines of the summary by their label: their numbers, and what follows."""


def recognises(head: str, name: str) -> bool:
    """Is it a log of ``trtexec``, its times, or its profile?"""
    return bool(TIMES.search(head) or PROFILE.search(head) or LOG.search(head))


def read(text: str, source: Source) -> Reported:
    """One entry. Raises :class:`UserError`."""
    if text.lstrip().startswith("["):
        body = json_of(text)
        if isinstance(body, list) and all(isinstance(item, dict) for item in body):
            return _profile(body, source) if PROFILE.search(text) else _times(body, source)
        if not LOG.search(text):
            raise UserError("is no list of times as trtexec --exportTimes writes it", AGAIN)
    return _log(text, source)


# ---------------------------------------------------------------- --exportTimes, --exportProfile


def _times(rows: list[dict[str, Any]], source: Source) -> Reported:
    latencies = [_ms(row, "latencyMs", index) for index, row in enumerate(rows)]
    moved = [not_negative(row.get(key)) for row in rows for key in ("h2dMs", "d2hMs")]
    boundary = None if None in moved else WITH if any(moved) else WITHOUT
    figures = Figures(TOOL)
    samples = [value * 1e6 for value in latencies]
    figures.samples(samples, "[*].latencyMs", told(boundary=boundary))
    figures.lacks("throughput", "trtexec --exportTimes does not write it; its log does")
    notes = ["the version of TensorRT is not in it; what its transfers took says whether they are part of the latency"]
    entry = figures.entry(source, None, "TensorRT (trtexec)")
    return Reported(
        format="trtexec", tool=TOOL, source=source, entries=[entry], samples={entry.contender: samples}, notes=notes
    )


def _ms(row: Mapping[str, Any], key: str, index: int) -> float:
    found = not_negative(row.get(key))
    if found is None:
        raise UserError(f"[{index}].{key} is no time: {str(row.get(key))[:40]!r}", AGAIN)
    return found


def _profile(rows: list[dict[str, Any]], source: Source) -> Reported:
    timed = [(index, row) for index, row in enumerate(rows) if set(row) != {"count"}]
    layers = [(str(row.get("name")), _ms(row, "averageMs", index)) for index, row in timed]
    figures = Figures(f"{TOOL} --exportProfile")
    terms = {"boundary": LAYERS}
    total = sum(time for _, time in layers)
    if layers:
        figures.put("latency_mean", total, "[*].averageMs", 1e6, terms, whole(rows[0].get("count")))
    return Reported(
        format="trtexec",
        tool=TOOL,
        source=source,
        entries=[figures.entry(source, None, "TensorRT (trtexec profile)")],
        notes=["a profile is no latency: layers on auxiliary streams overlap", f"slowest: {slowest(layers)}"],
    )


# ---------------------------------------------------------------- its log


def _log(text: str, source: Source) -> Reported:
    rows = {
        found[1].replace("throughput", "Throughput"): (number, found[2])
        for number, line in _lines(text)
        if (found := ROW.search(line))
    }
    parts = _parts(rows) or _old_parts(text)
    if not parts and "Throughput" not in rows:
        raise UserError("holds no performance summary: trtexec did not finish, or only built", "give the whole log")
    version, queries = _version(text), QUERIES.search(text)
    count = whole(queries[1]) if queries else None
    figures = Figures(TOOL)
    terms = told(boundary=_boundary(text, rows, version))
    _latencies(figures, parts, terms, count)
    number, words = rows.get("Throughput", (0, ""))
    if words:
        figures.put(
            "throughput", words.removesuffix(" qps").strip(), f"line {number}", 1.0, terms | {"scenario": AHEAD}, count
        )
    entry = figures.entry(
        source,
        _first(MODEL, text, stem),
        f"TensorRT ({'DLA' if DLA.search(text) else 'GPU'}, trtexec)",
        tool_version=version,
        device=_first(DEVICE, text),
        precision=_first(PRECISION, text, str.strip),
        doubts=_doubts(text),
    )
    notes = [f"{name}: {rows[name][1]}" for name in ("GPU Compute Time", "H2D Latency", "D2H Latency") if name in rows]
    return Reported(format="trtexec", tool=TOOL, tool_version=version, source=source, entries=[entry], notes=notes)


def _lines(text: str) -> list[tuple[int, str]]:
    return list(enumerate(text.splitlines(), 1))


def _parts(rows: Rows) -> list[tuple[str, str, str, int]]:
    """Statistics of the latency: name, percentage (empty: none), value in ms, line."""
    number, words = rows.get("Latency", (0, ""))
    return [(name, percent, value, number) for name, percent, value in PART.findall(words)]


def _old_parts(text: str) -> list[tuple[str, str, str, int]]:
    """The same of logs of TensorRT 7 and 8.0: a line each below ``Host Latency``."""
    parts, inside = [], False
    for number, line in _lines(text):
        words = line.rpartition("] ")[2].strip()
        found = OLD.match(words)
        if inside and found:
            parts.append((found[1], found[3] or "", found[2], number))
        elif not words.startswith(("throughput", "walltime")):
            inside = words == "Host Latency"
    return parts


def _latencies(
    figures: Figures, parts: list[tuple[str, str, str, int]], terms: dict[str, str], count: int | None
) -> None:
    for name, percent, value, number in parts:
        metric = f"latency_p{percent}" if percent else KEPT.get(name)
        if metric in (*KEPT.values(), *PERCENTS):
            ranked = {"percentile": NEAREST_RANK if percent else LINEAR} if percent or name == "median" else {}
            figures.put(metric, value, f"line {number}, {name}", 1e6, terms | ranked, count)


def _boundary(text: str, rows: Rows, version: str | None) -> str | None:
    moved = [not_negative(value) for name in ("H2D Latency", "D2H Latency") for value in _maxima(rows.get(name))]
    option, flag = OPTION.search(text), FLAG.search(text)
    if moved and None not in moved:
        return WITH if any(moved) else WITHOUT
    if option or flag:
        kept = option[1] == "Enabled" if option else flag is not None and flag[1] != "noDataTransfers"
        return WITH if kept else WITHOUT
    if version is None:
        return WITH if "(end to end " in text else None  # TensorRT 7 and 8.0 name no version
    return WITH if int(version.split(".")[0]) < 11 else WITHOUT


def _maxima(row: tuple[int, str] | None) -> list[str]:
    return [value for name, _, value in PART.findall(row[1]) if name == "max"] if row else []


def _version(text: str) -> str | None:
    """``8502`` in the banner is 8.5.2, ``100300`` is 10.3.0."""
    plain, banner = VERSION.search(text), BANNER.search(text)
    if plain:
        return plain[1]
    if banner is None:
        return None
    code = int(banner[1])
    big, small = (10_000, 100) if code >= 100_000 else (1000, 100)
    return f"{code // big}.{code % big // small}.{code % small}"


def _first(pattern: re.Pattern[str], text: str, change: Any = str) -> str | None:
    found = pattern.search(text)
    groups = [group for group in found.groups() if group] if found else []
    return change(groups[0]) if groups else None


def _doubts(text: str) -> list[str]:
    fallen = len(FELL_BACK.findall(text))
    doubts = [f"{fallen} layers were asked of the DLA and run on the GPU, as the log says"] if fallen else []
    return doubts + [f"trtexec warns: {words.strip()}" for words in WARNING.findall(text)]
