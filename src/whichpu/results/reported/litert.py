"""LiteRT's ``benchmark_model`` (before: TFLite's): its log, its ``BenchmarkResult`` as protobuf text, and the JSON of
``benchmark_litert_model``.

The log tells microseconds, the others milliseconds. Labels and fields: ``tensorflow/lite/tools/benchmark`` with
``proto/benchmark_result.proto`` of github.com/tensorflow/tensorflow, ``litert/python/tools`` of
github.com/google-ai-edge/LiteRT (both Apache-2.0). In C++ a percentile is the value at place floor(p n) + 1
(``stats_calculator.h``), in Python it is interpolated. Its throughput is input bytes a second, no inferences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of, number
from whichpu.results.reported.figures import AGAIN, FLOOR_RANK, LINEAR, Figures, stem, told, whole
from whichpu.results.reported.rows import KIB, MIB, MS_NS, US_NS, mapping, of_row, text_of

TOOL = "LiteRT benchmark_model"
JSON = re.compile(r'^\s*\{\s*"model"\s*:.*"latency"\s*:\s*\{\s*"init_ms"\s*:', re.S)
PROTO = re.compile(r"^\s*(?:name\s*:[^\n]*\s)?(?:latency_metrics|memory_metrics|misc_metrics)\s*:?\s*\{")
LOG = re.compile(
    r"(?:^|: )Inference timings in us: |^(?:INFO: )?count=\d+ (?:first|curr)=|(?:^|: )Loaded model \S+\.tflite", re.M
)

PRINTED = r"(?:^|(?:INFO|tflite\s*|native\s*): ?)"
WORDS = (
    ("graph", re.compile(PRINTED + r"Graph: \[(.+)\]")),
    ("graph", re.compile(PRINTED + r"Loaded model (\S+)")),
    ("threads", re.compile(PRINTED + r"#threads used for CPU inference: \[(\d+)\]")),
    ("size", re.compile(PRINTED + r"The input model file size \(MB\): (\S+)")),
    (
        "grown",
        re.compile(PRINTED + r"Memory footprint delta from the start of the tool \(MB\): init=\S+ overall=(\S+)"),
    ),
    ("peak", re.compile(PRINTED + r"Peak memory footprint \(MB\): init=\S+ overall=(\S+)")),
    ("peak", re.compile(PRINTED + r"Overall peak memory footprint \(MB\) via periodic monitoring: (\S+)")),
)
COUNTED = re.compile(PRINTED + r"count=(\d+) first=\S+ curr=\S+ min=(\S+) max=(\S+) avg=(\S+) std=(\S+)(.*)")
RANKED = re.compile(r" p5=\S+ median=(\S+) p95=(\S+)$")
TIMINGS = re.compile(
    PRINTED + r"Inference timings in us: Init: (\S+), First inference: (\S+), Warmup \(avg\): \S+, "
    r"Inference \(avg\): (\S+)$"
)
DELEGATED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(([^)]+)\)")
REFUSED = re.compile(r"will not be executed by the delegate|[Ff]ailed to apply (?:the )?\S* ?delegate")

LATENCIES = {
    "mean": "latency_mean", "min": "latency_min", "max": "latency_max", "std": "latency_std",
    "median": "latency_median", "p95": "latency_p95", "load": "load", "first": "first",
}  # fmt: skip
JSON_KEYS = {
    "avg_ms": "mean", "min_ms": "min", "max_ms": "max", "std_ms": "std", "median_ms": "median", "p95_ms": "p95",
    "init_ms": "load", "warmup_first_ms": "first",
}  # fmt: skip
PROTO_KEYS = {
    "latency_metrics.avg_ms": "mean", "latency_metrics.min_ms": "min", "latency_metrics.max_ms": "max",
    "latency_metrics.stddev_ms": "std", "latency_metrics.median_ms": "median", "latency_metrics.p95_ms": "p95",
    "latency_metrics.init_ms": "load", "latency_metrics.first_inference_ms": "first",
    "memory_metrics.overall_footprint_kb": "grown_kb", "memory_metrics.peak_mem_mb": "peak",
    "misc_metrics.model_size_mb": "size", "misc_metrics.num_runs": "count", "name": "name",
}  # fmt: skip
TOKEN = re.compile(r'\s*(?:(\w+)\s*:?\s*(\{)|(\w+)\s*:\s*("(?:[^"\\\n]|\\.)*"|[^\s{}"]+)|(\})|#[^\n]*)')
HOST = {"boundary": "end_to_end"}
"""A TFLite interpreter's inputs and outputs are in host memory; a delegate's copies are within the invocation."""
MEMORY = {"scope": "process", "statistic": "peak"}
GROWN = {"scope": "process", "statistic": "what it grew by since the tool began"}


class Cell(NamedTuple):
    """What the file says, and where."""

    told: object
    where: str


Told = dict[str, Cell]


def recognises(head: str, name: str) -> bool:
    """Does a LiteRT or TFLite benchmark write like this?"""
    return bool(JSON.search(head) or PROTO.search(head) or LOG.search(head))


def read(text: str, source: Source) -> Reported:
    """An entry a run; a log may hold several. Raises :class:`UserError`."""
    if text.lstrip().startswith("{"):
        entries = [_of_json(text, source)]
    elif PROTO.search(text):
        entries = [_of_proto(text, source)]
    else:
        entries = _of_log(text, source)
    return Reported(format="litert", tool=TOOL, source=source, entries=entries)


# ---------------------------------------------------------------- the log


def _of_log(text: str, source: Source) -> list[Entry]:
    runs = [found for found in _runs(text) if "mean" in found]
    if not runs:
        raise UserError("tells of no inference: benchmark_model did not finish", "give the whole log")
    entries = []
    for found in runs:
        model = stem(_said(found, "graph"))
        by = _said(found, "delegate") or "CPU"
        figures = _figures(found, US_NS, HOST | told(threads=_said(found, "threads")), FLOOR_RANK)
        row = of_row(source, model or by, len(runs) > 1)
        entries.append(figures.entry(row, model, f"LiteRT ({by})", device=by, doubts=_doubts(found)))
    return entries


def _runs(text: str) -> Iterator[Told]:
    """What each run of a log tells; the next one begins with its graph or its counts."""
    found: Told = {}
    for at, line in enumerate(text.splitlines(), 1):
        said = list(_words(line, f"line {at}"))
        if "finished" in found and any(key in ("graph", "count") for key, _ in said):
            yield found
            found = {}
        found.update(said)
    yield found


def _words(line: str, where: str) -> Iterator[tuple[str, Cell]]:
    counted, timings, delegated = COUNTED.search(line), TIMINGS.search(line), DELEGATED.search(line)
    if counted:
        ranked = RANKED.search(counted[6])
        names = ("count", "min", "max", "mean", "std", "median", "p95")
        values = (*counted.groups()[:5], *(ranked.groups() if ranked else ()))
        yield from ((name, Cell(value, where)) for name, value in zip(names, values, strict=False))
    elif timings:
        yield from zip(("load", "first", "mean"), (Cell(value, where) for value in timings.groups()), strict=True)
        yield "finished", Cell(None, where)
    elif delegated:
        yield "delegate", Cell(delegated[3].removeprefix("TfLite").removesuffix("Delegate"), where)
        yield "taken", Cell((int(delegated[1][:9]), int(delegated[2][:9])), where)
    elif REFUSED.search(line):
        yield "refused", Cell(line.strip(), where)
    else:
        yield from ((key, Cell(said[1], where)) for key, pattern in WORDS if (said := pattern.search(line)))


def _doubts(found: Told) -> list[str]:
    doubts = [f"the log says: {_said(found, 'refused')}"] if "refused" in found else []
    taken = found["taken"].told if "taken" in found else None
    if isinstance(taken, tuple) and taken[0] < taken[1] and "XNNPack" not in (_said(found, "delegate") or ""):
        doubts.append(f"{taken[1] - taken[0]} of {taken[1]} nodes stayed on the CPU, as the log says")
    return doubts


# ---------------------------------------------------------------- JSON and protobuf text


def _of_json(text: str, source: Source) -> Entry:
    body = mapping(json_of(text, floats=str))
    latency = mapping(body.get("latency"))
    found = {name: Cell(latency[key], f"latency.{key}") for key, name in JSON_KEYS.items() if key in latency}
    if not whole(latency.get("num_warmup_runs")):
        found.pop("first", None)
    found["count"] = Cell(latency.get("num_runs"), "latency.num_runs")
    if "model_size_mb" in body:
        found["size_mib"] = Cell(body["model_size_mb"], "model_size_mb")
    names = body.get("accelerators")
    by = "+".join(str(name) for name in names) if isinstance(names, list) and names else "device not told"
    asked_more = by not in ("CPU", "device not told")
    doubts = ["not all of it ran on the accelerator, as the file says"] \
        if asked_more and body.get("fully_accelerated") is False else []  # fmt: skip
    figures = _figures(found, MS_NS, told(threads=whole(body.get("num_threads"))), LINEAR)
    return figures.entry(source, stem(text_of(body.get("model"))), f"LiteRT ({by})", device=by, doubts=doubts)


def _of_proto(text: str, source: Source) -> Entry:
    fields = dict(_fields(text))
    found = {name: fields[key] for key, name in PROTO_KEYS.items() if key in fields}
    figures = _figures(found, MS_NS, HOST, FLOOR_RANK)
    name = (_said(found, "name") or "").strip('"')
    return figures.entry(source, None, f"LiteRT ({name})" if name else "LiteRT")


def _fields(text: str) -> Iterator[tuple[str, Cell]]:
    """Fields of protobuf text by their path, with their lines. Raises :class:`UserError` where it isn't whole."""
    path: list[str] = []
    at, line, text = 0, 1, text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None or found.end() == at or (found[5] and not path):
            raise UserError(f"line {line} is no protobuf text", AGAIN)
        line += text.count("\n", at, found.end())
        at = found.end()
        if found[2]:
            path.append(found[1])
        elif found[5]:
            path.pop()
        elif found[3]:
            yield ".".join((*path, found[3])), Cell(found[4], f"line {line}")
    if path:
        raise UserError(f"is not whole: {path[0]} does not end", AGAIN)


# ---------------------------------------------------------------- figures


def _figures(found: Told, unit_ns: float, terms: dict[str, str], rank: str) -> Figures:
    figures, count = Figures(TOOL), whole(_said(found, "count"))
    for key, metric in LATENCIES.items():
        if key in found:
            alone = key in ("load", "first")
            ranked = {"percentile": rank} if key in ("median", "p95") else {}
            kept = {"load": "from a file"} if key == "load" else terms | ranked
            figures.put(metric, *found[key], unit_ns, kept, None if alone else count)
    figures.lacks("throughput", f"{TOOL} tells bytes a second, no inferences")
    for key, scale in (("size", 1e6), ("size_mib", MIB)):
        if key in found:
            figures.put("size", *found[key], scale)
    for key, scale, kept in (("grown", MIB, GROWN), ("grown_kb", KIB, GROWN), ("peak", MIB, MEMORY)):
        if key in found and number(found[key].told) != 0:
            figures.put("memory", *found[key], scale, kept)
        elif key in found:
            figures.lacks("memory", "the file says 0: not measured on that system")
    return figures


def _said(found: Told, key: str) -> str | None:
    cell = found.get(key)
    return None if cell is None or cell.told is None else str(cell.told)
