"""Triton's ``perf_analyzer -f FILE``: an inference server under load, a row a concurrency or request rate.

Columns and microseconds: docs/measurements_metrics.md and report_writer.cc of github.com/triton-inference-server
(BSD-3-Clause). A latency is the client's: there, through the server, and back. A percentile is the value at place
round(p (n - 1)) + 1 of n. Without ``--verbose-csv`` there is no mean, and none is made of the means of its parts.
"""

from __future__ import annotations

import re

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import number
from whichpu.results.reported.figures import Figures, ranks, table
from whichpu.results.reported.rows import US_NS, of_row

TOOL = "perf_analyzer"
BEGINS = re.compile(r"^\s*(?:Concurrency|Request Rate),Inferences/Second,")
BOUNDARY = "the client's: through the server and back"
RANK = "value at place round(p (n - 1)) + 1"
LATENCIES = {
    "Avg latency": "latency_mean",
    "p50 latency": "latency_median",
    "p90 latency": "latency_p90",
    "p95 latency": "latency_p95",
    "p99 latency": "latency_p99",
}
GPU = {
    "Avg GPU Utilization": ("utilisation", "mean"),
    "Avg GPU Power Usage": ("power", "mean"),
    "Max GPU Memory Usage": ("device_memory", "peak"),
}
ONE_GPU = re.compile(r"([^:;]+):([^:;]+);?")
NO_MEAN = "perf_analyzer writes it with --verbose-csv only"


def recognises(head: str, name: str) -> bool:
    """Does perf_analyzer write like this?"""
    return bool(BEGINS.search(head))


def read(text: str, source: Source) -> Reported:
    """An entry a row. Raises :class:`UserError`."""
    rows = table("\n".join(line.rstrip(", \r") for line in text.splitlines()))
    if not rows:
        raise UserError("has no rows: perf_analyzer measured nothing", "give the file of a run that was stable")
    entries = [_entry(line, row, source, len(rows) > 1) for line, row in rows]
    return Reported(format="perf_analyzer", tool=TOOL, source=source, entries=entries)


def _entry(line: int, row: dict[str, str], source: Source, several: bool) -> Entry:
    load = next((name for name in ("Concurrency", "Request Rate") if name in row), "Concurrency")
    label = f"{load.lower()} {row.get(load, '')}".strip()
    figures, terms = Figures(TOOL), {"scenario": label}
    timed = terms | {"boundary": BOUNDARY}
    figures.put("throughput", row.get("Inferences/Second"), f"line {line}, column Inferences/Second", 1.0, terms)
    for column, metric in LATENCIES.items():
        if column in row:
            of_rank = ranks(timed, RANK) if column.startswith("p") else timed
            figures.put(metric, row[column], f"line {line}, column {column}", US_NS, of_rank)
    figures.lacks("latency_mean", NO_MEAN)
    for column, (metric, statistic) in GPU.items():
        _gpu(figures, metric, row.get(column, ""), f"line {line}, column {column}", statistic)
    return figures.entry(of_row(source, label, several), None, f"Triton ({label})")


def _gpu(figures: Figures, metric: str, cell: str, where: str, statistic: str) -> None:
    """``UUID:VALUE;`` of each GPU: of one it is the device's; of several it isn't told which the model ran on."""
    if not cell:
        return
    one = ONE_GPU.fullmatch(cell)
    if one is None or number(one[2]) is None:
        figures.lacks(metric, "the file tells it of several GPUs, and not on which the model ran")
    else:
        figures.put(metric, one[2], where, 1.0, {"scope": "gpu", "statistic": statistic})
