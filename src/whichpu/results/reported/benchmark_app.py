"""OpenVINO's ``benchmark_app``, in C++ and in Python: its report as JSON and as CSV, its log, and its counters.

Keys: ``samples/cpp/benchmark_app/main.cpp`` and ``tools/benchmark_tool`` of github.com/openvinotoolkit/openvino, and
files that benchmark_app 2026.4 wrote. What stands as the median may be another percentile (``-latency_percentile``):
its boundary is read. In C++ it is the value at place floor(p n) + 1, in Python at place ceil(p n); a log doesn't tell
which of the two wrote it. A latency is the time of one request; with ``-api async`` several are under way at once, and
it holds the waiting for each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from whichpu.errors import UserError
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import TIMES_NS, json_of, number
from whichpu.results.reported.figures import FLOOR_RANK, NEAREST_RANK, Figures, slowest, stem, table, told, whole

TOOL = "benchmark_app"
JSON = re.compile(r'^\s*\{.*"(?:configuration_setup|execution_results|cmd_options)"\s*:', re.S)
COUNTERS_JSON = re.compile(r'"report_type"\s*:\s*"(?:average|detailed)"')
CSV = re.compile(r"^(?:Command line parameters|Configuration setup|Execution results);?\s*$", re.M)
COUNTERS = re.compile(r"^layerName[;,]execStatus[;,]layerType")
LOG = re.compile(r"^\[Step \d+/11\]|^\[ INFO \] Throughput: ", re.M)

PERCENTILE = re.compile(r"(\d+) percentile")
RESULTS = {
    "read model time (ms)": "read", "read network time (ms)": "read", "read_model_time": "read",
    "read_network_time": "read", "compile model time (ms)": "load", "load network time (ms)": "load",
    "compile_model_time": "load", "load_network_time": "load", "load_model_time": "load",
    "first inference time (ms)": "first", "first_inference_time": "first",
    "total number of iterations": "count", "iterations_num": "count",
    "latency (ms)": "median", "median latency (ms)": "median", "latency_median": "median",
    "avg latency": "mean", "average latency (ms)": "mean", "latency_avg": "mean",
    "min latency": "min", "min latency (ms)": "min", "latency_min": "min",
    "max latency": "max", "max latency (ms)": "max", "latency_max": "max",
    "throughput": "throughput", "throughput (fps)": "throughput",
    "percentile boundary": "percent", "percentile_boundary": "percent",
}  # fmt: skip
SETUP = {
    "target device": "device", "target_device": "device", "api": "api", "precision": "precision",
    "batch size": "batch", "batch_size": "batch", "inference_only": "inference_only", "topology": "topology",
    "number of parallel infer requests": "requests", "nireq": "requests",
}  # fmt: skip
METRICS = {"mean": "latency_mean", "min": "latency_min", "max": "latency_max", "load": "load", "first": "first"}

TEXTS = (
    ("build", re.compile(r"Build \.{5,} (\S+)")),
    ("load", re.compile(r"Compile model took (\S+ \S+)")),
    ("first", re.compile(r"First inference took (\S+ \S+)")),
    ("count", re.compile(r"Count:\s+(\d+) iterations")),
    ("median", re.compile(r"^\[ INFO \]\s+Median:\s+(\S+ \S+)")),
    ("mean", re.compile(r"^\[ INFO \]\s+Average:\s+(\S+ \S+)")),
    ("min", re.compile(r"^\[ INFO \]\s+Min:\s+(\S+ \S+)")),
    ("max", re.compile(r"^\[ INFO \]\s+Max:\s+(\S+ \S+)")),
    ("throughput", re.compile(r"^\[ INFO \]\s+Throughput:\s+(\S+) FPS")),
    ("devices", re.compile(r"Execution Devices: ?\[? ?'?([^\]]+?)'? ?\]?$")),
    ("batch", re.compile(r"Model batch size: (\d+)")),
    ("threads", re.compile(r"^\[ INFO \]\s+INFERENCE_NUM_THREADS: (\d+)")),
    ("precision", re.compile(r"^\[ INFO \]\s+INFERENCE_PRECISION_HINT: <Type: '(\w+)'>")),
    ("network", re.compile(r"^\[ INFO \]\s+NETWORK_NAME: (.+)")),
    ("api", re.compile(r"Start inference (a?synchronous)ly")),
    ("requests", re.compile(r"Start inference .*?(\d+) inference requests")),
    ("inference_only", re.compile(r"Benchmarking in (inference only|full) mode")),
)
NAMELESS = ("Model0", "Model1", "onnx_Frontend_IR", "main_graph", "torch_jit", "tf_frontend_IR")
ANY_PERCENTILE = re.compile(r"^\[ INFO \]\s+(\d+) percentile:\s+(\S+ \S+)")


class Cell(NamedTuple):
    """What the file says, where, and of what a time's number is so many."""

    told: object
    where: str
    scale: float = 1e6


Told = dict[str, Cell]


def recognises(head: str, name: str) -> bool:
    """Does ``benchmark_app`` write like this?"""
    if head.lstrip().startswith("{"):
        return bool(JSON.search(head) or COUNTERS_JSON.search(head))
    return bool(CSV.search(head) or COUNTERS.search(head) or LOG.search(head))


def read(text: str, source: Source) -> Reported:
    """One entry. Raises :class:`UserError`."""
    if text.lstrip().startswith("{"):
        return _json(text, source)
    if COUNTERS.search(text):
        return _counters(text, source)
    return _report(_csv(text) if CSV.search(text) else _log(text), source)


# ---------------------------------------------------------------- forms


def _json(text: str, source: Source) -> Reported:
    body = json_of(text, floats=str)
    if "report_type" in body:
        raise UserError("holds counters of layers, and no latency", "give benchmark_report.json, or the log")
    setup, results = body.get("configuration_setup"), body.get("execution_results")
    if not isinstance(results, dict):
        raise UserError("has no execution_results: benchmark_app did not finish", "give the report of a run that did")
    named = {"configuration_setup": setup if isinstance(setup, dict) else {}, "execution_results": results}
    found = _named({(key, f"{part}.{key}"): value for part, items in named.items() for key, value in items.items()})
    options = body.get("cmd_options")
    path = next((options[key] for key in ("-m", "m", "--path_to_model") if options.get(key)), None) \
        if isinstance(options, dict) else None  # fmt: skip
    return _report(found | ({"model": Cell(path, "cmd_options.-m")} if path else {}), source)


def _csv(text: str) -> Told:
    pairs = {}
    for line, row in enumerate(text.splitlines(), 1):
        key, mark, value = row.partition(";")
        if mark:
            pairs[key.strip(), f"line {line}"] = value.strip().rstrip(";")
    found = _named(pairs)
    path = next(
        ((value, where) for (key, where), value in pairs.items() if key in ("-m", "m", "--path_to_model")), None
    )
    return found | ({"model": Cell(*path)} if path else {})


def _named(pairs: Mapping[tuple[str, str], object]) -> Told:
    """What keys of either language mean. A percentile may stand in the key of the median."""
    found: Told = {}
    for (key, where), value in pairs.items():
        known = RESULTS.get(key.lower()) or SETUP.get(key.lower())
        percentile = PERCENTILE.search(key)
        if known:
            found[known] = Cell(value, where)
        elif percentile and "latency" in key.lower():
            found["median"], found["percent"] = Cell(value, where), Cell(percentile[1], where)
        if key in ("latency_median", "Median latency (ms)"):
            found["c++"] = Cell("", where)
    return found


def _log(text: str) -> Told:
    found: Told = {"log": Cell("", "")}
    for number_, line in enumerate(text.splitlines(), 1):
        where = f"line {number_}"
        for key, pattern in TEXTS:
            said = pattern.search(line)
            if said and key not in found:
                found[key] = _timed(said[1], where)
        other = ANY_PERCENTILE.search(line)
        if other:
            found["percent"], found["median"] = Cell(other[1], where), _timed(other[2], where)
    return found


def _timed(text: str, where: str) -> Cell:
    value, _, unit = text.partition(" ")
    return Cell(value, where, TIMES_NS[unit]) if unit in TIMES_NS else Cell(text, where)


def _counters(text: str, source: Source) -> Reported:
    """Layers' times; of several requests or their sum, whichever the file holds. Its total is no latency."""
    delimiter = ";" if text.lstrip().startswith("layerName;") else ","
    rows = [(line, row) for line, row in table(text, delimiter) if row["layerName"]]
    totals = [(line, row) for line, row in rows if row["layerName"] == "Total"]
    figures = Figures(f"{TOOL} (counters)")
    if len(totals) == 1:
        line, row = totals[0]
        where = f"line {line}, column realTime (ms)"
        figures.put("latency_mean", row.get("realTime (ms)"), where, 1e6, {"boundary": "sum over layers"})
    times = [(row["layerName"], number(row.get("realTime (ms)")) or 0.0) for _, row in rows]
    layers = slowest(item for item in times if item[0] != "Total")
    notes = ["counters are no latency: layers may overlap, and what lies between them is left out"]
    notes += [f"slowest: {layers}"] if layers else []
    entry = figures.entry(source, None, "OpenVINO (counters)")
    return Reported(format="benchmark_app", tool=TOOL, source=source, entries=[entry], notes=notes)


# ---------------------------------------------------------------- the entry


def _report(found: Told, source: Source) -> Reported:
    if not {"median", "mean", "throughput"} & set(found):
        raise UserError("has no results: benchmark_app did not finish", "give the report of a run that did")
    figures = Figures(TOOL)
    terms, count = _terms(found), whole(_said(found, "count"))
    first: dict[str, str] = {name: terms[name] for name in ("boundary", "batch") if name in terms}
    once: dict[str, dict[str, str]] = {"load": {}, "first": first}
    for key, metric in METRICS.items():
        if key in found:
            cell = found[key]
            figures.put(metric, *cell, once.get(key, terms), None if key in once else count)
    _median(figures, found, terms, count)
    if "throughput" in found:
        figures.put("throughput", *found["throughput"][:2], terms=terms, count=count)
    device = _said(found, "devices") or _said(found, "device")
    precision = _said(found, "precision")
    entry = figures.entry(
        source,
        stem(_said(found, "model")) or _network(found),
        f"OpenVINO ({device or 'device not told'})",
        device=device,
        precision=None if precision in (None, "UNSPECIFIED", "MIXED") else precision,
        tool_version=_said(found, "build"),
    )
    return Reported(format="benchmark_app", tool=TOOL, tool_version=entry.tool_version, source=source, entries=[entry])


def _network(found: Told) -> str | None:
    """The graph's own name, where it isn't one that the converter gave."""
    name = _said(found, "topology") or _said(found, "network")
    return None if name in NAMELESS else name


def _median(figures: Figures, found: Told, terms: dict[str, str], count: int | None) -> None:
    percent = number(_said(found, "percent") or "50")
    metric = "latency_median" if percent == 50 else f"latency_p{percent:g}" if percent else ""
    if "median" not in found or metric not in ("latency_median", "latency_p90", "latency_p95", "latency_p99"):
        return
    cell = found["median"]
    if metric != "latency_median":
        figures.lacks("latency_median", f"benchmark_app gave p{percent:g} instead (-latency_percentile)")
    ranked = told(percentile=None if "log" in found else FLOOR_RANK if "c++" in found else NEAREST_RANK)
    figures.put(metric, cell.told, cell.where, cell.scale, terms | ranked, count)


def _terms(found: Told) -> dict[str, str]:
    only, api, requests = (_said(found, key) for key in ("inference_only", "api", "requests"))
    filled = {"True": True, "true": True, "1": True, "inference only": True}.get(only or "", False)
    boundary = None if only is None else "end_to_end" if filled else "end_to_end, and filling the inputs"
    one = (api or "").startswith("sync")
    scenario = None if not api else "SingleStream" if one else f"async, {requests or 'several'} requests"
    threads, batch = _said(found, "threads"), _said(found, "batch")
    return told(boundary=boundary, scenario=scenario, threads=threads, batch=batch if batch != "0" else None)


def _said(found: Told, key: str) -> str | None:
    cell = found.get(key)
    text = "" if cell is None or cell.told is None else str(cell.told).strip()
    return text if text and text != "None" else None
