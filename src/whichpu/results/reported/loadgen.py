"""MLPerf LoadGen: ``mlperf_log_summary.txt`` and ``mlperf_log_detail.txt``.

Lines and keys: github.com/mlcommons/inference (Apache-2.0), ``loadgen/results.cc``, and files that LoadGen 6.0 wrote.
A percentile is the value at place floor(p n) + 1. A time is from the query (in Server: from its scheduled arrival) to
its completion; in MultiStream of a whole query, in Offline from the start of the test. An empty summary is no result.
Scenarios: https://arxiv.org/abs/1911.02549.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from whichpu.errors import UserError
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of
from whichpu.results.reported.figures import AGAIN, Figures, told, whole

TOOL = "MLPerf LoadGen"
MARK = ":::MLLOG "
TITLE = "MLPerf Results Summary"
LINE = re.compile(r"^\s*([^:\n]*?)\s*:\s*(.*?)\s*$")
BOUNDARY = "query to completion"
PERCENTILE = "nearest rank (LoadGen)"
"""As entries of our own runs of LoadGen call it: the value at place floor(p n) + 1."""

METRICS = {"min": "latency_min", "mean": "latency_mean", "max": "latency_max"}
PERCENTILES = {50.0: "latency_median", 90.0: "latency_p90", 95.0: "latency_p95", 99.0: "latency_p99",
               99.9: "latency_p99.9"}  # fmt: skip
LATENCY = re.compile(r"(?:(Min|Max|Mean)|(\d+\.\d+) percentile) latency \(ns\)")
RESULT = re.compile(r"result_(?:(min|max|mean)|(\d+\.\d+)_percentile)_latency_ns")
QUERY = re.compile(r"result_(?:(min|max|mean)|(\d+\.\d+)_percentile)_(?:per_)?query_latency_ns")
"""Of MultiStream, whose other figures are of single samples."""
RATES = {
    "QPS w/ loadgen overhead": "SingleStream",
    "Completed samples per second": "Server",
    "Samples per second": "Offline",
    "result_qps_with_loadgen_overhead": "SingleStream",
    "result_completed_samples_per_sec": "Server",
    "result_samples_per_second": "Offline",
}
"""Each scenario's own figure of throughput; MultiStream has none."""
UNMET = re.compile(r"^\s*(.+?)\s*:\s*NO\s*$", re.M)


class Cell(NamedTuple):
    """What the file says, and where."""

    told: Any
    where: str


Told = dict[str, Cell]


def recognises(head: str, name: str) -> bool:
    """Is it LoadGen's summary or its detailed log?"""
    return head.lstrip().startswith(MARK) or TITLE in head


def read(text: str, source: Source) -> Reported:
    """One entry. Raises :class:`UserError`."""
    return _detail(text, source) if text.lstrip().startswith(MARK) else _summary(text, source)


# ---------------------------------------------------------------- forms


def _summary(text: str, source: Source) -> Reported:
    found: Told = {}
    for number, line in enumerate(text.splitlines(), 1):
        said = LINE.match(line)
        if said:
            found.setdefault(said[1], Cell(said[2], f"line {number}"))
    keys = {"SUT name": "sut", "Scenario": "scenario", "Mode": "mode", "Result is": "validity",
            "samples_per_query": "per_query"}  # fmt: skip
    named = {keys.get(key, key): cell for key, cell in found.items()}
    reasons = [*dict.fromkeys(" ".join(words.split()) for words in UNMET.findall(text))]
    return _reported(named, source, LATENCY, [f"{words}: no" for words in reasons])


def _detail(text: str, source: Source) -> Reported:
    found: Told = {}
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if not line.startswith(MARK):
            continue
        try:
            body = json_of(line.removeprefix(MARK), floats=str)
        except UserError:
            if number == len(lines):  # the last line of a run that was stopped
                continue
            raise UserError(f"line {number} is cut off or damaged", AGAIN) from None
        if isinstance(body, dict) and isinstance(body.get("key"), str):
            found[body["key"]] = Cell(body.get("value"), f"line {number}, value")
    keys = {"sut_name": "sut", "effective_scenario": "scenario", "effective_test_mode": "mode",
            "result_validity": "validity", "generated_samples_per_query": "per_query",
            "result_query_count": "queries", "loadgen_version": "version"}  # fmt: skip
    named = {keys.get(key, key): cell for key, cell in found.items()}
    reasons = [key.replace("result_", "").replace("_", " ") for key, cell in found.items()
               if key.endswith("_met") and cell.told is False]  # fmt: skip
    pattern = QUERY if _said(named, "scenario") == "MultiStream" else RESULT
    return _reported(named, source, pattern, [f"{words}: no" for words in reasons])


# ---------------------------------------------------------------- the entry


def _reported(found: Told, source: Source, latency: re.Pattern[str], reasons: list[str]) -> Reported:
    scenario = _said(found, "scenario").replace(" ", "")
    if _said(found, "mode").startswith("Accuracy"):
        raise UserError("is of a test of accuracy, which measures no time", "give the log of a test of performance")
    if "validity" not in found:
        raise UserError("holds no result: LoadGen did not finish", "give the log of a test that ended")
    figures = Figures(TOOL)
    terms = told(boundary=BOUNDARY, scenario=scenario, batch=_batch(found, scenario))
    count = whole(found["queries"].told) if "queries" in found and scenario != "Offline" else None
    for key, cell in found.items():
        metric = _metric(latency.fullmatch(key))
        if metric:
            ranked = {"percentile": PERCENTILE} if metric in PERCENTILES.values() else {}
            figures.put(metric, cell.told, cell.where, 1.0, terms | ranked, count)
        elif RATES.get(key) == scenario:
            figures.put("throughput", cell.told, cell.where, 1.0, terms)
    figures.lacks("throughput", f"LoadGen gives none for {scenario or 'this scenario'}")
    version = _said(found, "version") or None
    entry = figures.entry(
        source, None, _said(found, "sut") or TOOL, tool_version=version, doubts=_doubts(found, reasons)
    )
    return Reported(format="loadgen", tool=TOOL, tool_version=version, source=source, entries=[entry])


def _metric(key: re.Match[str] | None) -> str | None:
    if key is None:
        return None
    return METRICS[key[1].lower()] if key[1] else PERCENTILES.get(float(key[2]))


def _batch(found: Told, scenario: str) -> str | None:
    """Offline sends all samples as one query, which is no batch."""
    return _said(found, "per_query") or None if scenario in ("SingleStream", "MultiStream", "Server") else None


def _doubts(found: Told, reasons: list[str]) -> list[str]:
    validity = _said(found, "validity")
    why = f": {'; '.join(reasons)}" if reasons else ""
    return [] if validity == "VALID" else [f"LoadGen calls the run {validity or 'neither valid nor invalid'}{why}"]


def _said(found: Told, key: str) -> str:
    cell = found.get(key)
    return "" if cell is None or cell.told is None else str(cell.told).strip()
