"""``onnxruntime_perf_test``: what it prints, and its result file.

Labels and columns: github.com/microsoft/onnxruntime (MIT), ``onnxruntime/test/perftest/performance_runner.cc``. The
result file has one row a run, ``model,seconds,peak working set,CPU usage,run``, without a header; P50 and so on are
the values at place floor(p n) + 1. A time is that of one ``Session::Run``. Requests ran at once where the sum of their
times is longer than the run.
"""

from __future__ import annotations

import re

from whichpu.errors import UserError
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import number
from whichpu.results.reported.figures import AGAIN, FLOOR_RANK, Figures, stem, told, whole

TOOL = "onnxruntime_perf_test"
PRINTED = re.compile(
    r"^(?:Session creation time cost|Total inference requests|Average inference time cost(?: total)?|P50 Latency): ",
    re.M,
)
ROW = re.compile(r"([^,\n]*),([0-9.eE+-]+),(\d+),(\d+),(\d+)\s*")
LABEL = re.compile(r"^\s*([A-Z][A-Za-z0-9 ]+): ?([^\s]+) ?(s|ms|%|bytes)?\b", re.M)
PROVIDER = re.compile(r"^using (\w+)ExecutionProvider", re.M)
THREADS = re.compile(r"Setting intra_op_num_threads to (\d+)")
MODEL = re.compile(r"(\S+\.(?:onnx|ort))\b")
OVERLAP = 1.02
"""Sum of times over the time of the run, from which requests must have run at once."""

LATENCIES = {
    "Average inference time cost": ("latency_mean", None),
    "Average inference time cost total": ("latency_mean", None),
    "Min Latency": ("latency_min", None),
    "Max Latency": ("latency_max", None),
    "P50 Latency": ("latency_median", FLOOR_RANK),
    "P90 Latency": ("latency_p90", FLOOR_RANK),
    "P95 Latency": ("latency_p95", FLOOR_RANK),
    "P99 Latency": ("latency_p99", FLOOR_RANK),
    "P999 Latency": ("latency_p99.9", FLOOR_RANK),
}
OTHERS = {"Session creation time cost": "load", "First inference time cost": "first"}
NS = {"s": 1e9, "ms": 1e6}


def recognises(head: str, name: str) -> bool:
    """Is it what ``onnxruntime_perf_test`` prints, or its result file?"""
    return bool(PRINTED.search(head) or ROW.fullmatch(head.lstrip().partition("\n")[0]))


def read(text: str, source: Source) -> Reported:
    """One entry. Raises :class:`UserError`."""
    return _printed(text, source) if PRINTED.search(text) and not _is_result(text) else _result_file(text, source)


def _is_result(text: str) -> bool:
    return ROW.fullmatch(text.lstrip().partition("\n")[0]) is not None


def _printed(text: str, source: Source) -> Reported:
    found: dict[str, tuple[str, str | None, str]] = {}
    for line, words in enumerate(text.splitlines(), 1):
        said = LABEL.match(words)
        if said:
            found.setdefault(said[1], (said[2], said[3], f"line {line}"))
    figures, scenario = Figures(TOOL), _scenario(found)
    count = whole(found["Total inference requests"][0]) if "Total inference requests" in found else None
    terms = told(boundary="end_to_end", scenario=scenario, threads=_first(THREADS, text))
    for label, (value, unit, where) in found.items():
        if label in LATENCIES and unit in NS:
            metric, definition = LATENCIES[label]
            figures.put(metric, value, where, NS[unit], terms | told(percentile=definition), count)
        elif label in OTHERS and unit in NS:
            figures.put(OTHERS[label], value, where, NS[unit], {"boundary": "end_to_end"} if "First" in label else None)
    _rates(figures, found, terms, count)
    provider = _first(PROVIDER, text)
    path = _first(MODEL, text)
    entry = figures.entry(source, stem(path), _contender(provider), device=provider)
    return Reported(format="onnxruntime_perf_test", tool=TOOL, source=source, entries=[entry])


def _rates(
    figures: Figures, found: dict[str, tuple[str, str | None, str]], terms: dict[str, str], count: int | None
) -> None:
    if "Number of inferences per second" in found:
        value, _, where = found["Number of inferences per second"]
        figures.put("throughput", value, where, 1.0, terms, count)
    if "Peak working set size" in found:
        value, _, where = found["Peak working set size"]
        figures.put("memory", value, where, 1.0, {"scope": "process", "statistic": "peak"})


def _scenario(found: dict[str, tuple[str, str | None, str]]) -> str | None:
    took, lasted = (
        number(found[label][0]) if label in found else None
        for label in ("Total inference time cost", "Total inference run time")
    )
    if not took or not lasted:
        return None
    return "async" if took > OVERLAP * lasted else "SingleStream"


def _contender(provider: str | None) -> str:
    return f"ONNX Runtime ({provider or 'provider not told'})"


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


# ---------------------------------------------------------------- the result file


def _result_file(text: str, source: Source) -> Reported:
    """Its rows, up to the statistics that may stand below them; several runs may have been appended."""
    models: dict[str, list[tuple[str, str]]] = {}
    for line, words in enumerate(text.splitlines(), 1):
        row = ROW.fullmatch(words.strip())
        if row:
            models.setdefault(row[1], []).append((row[2], row[3]))
        elif words.strip() and not re.match(r"(?:Min|Max|P\d+) Latency", words.strip()):
            raise UserError(f"line {line} is no row of onnxruntime_perf_test: {words.strip()[:60]!r}", AGAIN)
    entries, samples = [], {}
    for model, rows in models.items():
        times = [_seconds(value) * 1e9 for value, _ in rows]
        figures = Figures(TOOL)
        figures.samples(times, "column 2", {"boundary": "end_to_end"})
        figures.put("memory", rows[-1][1], "column 3", 1.0, {"scope": "process", "statistic": "peak"})
        figures.lacks("throughput", "the result file has latencies only; what the tool prints has a throughput")
        entry = figures.entry(source, model or None, _contender(None))
        entries.append(entry)
        samples[entry.contender if len(models) == 1 else f"{entry.contender}, {entry.model}"] = times
    return Reported(format="onnxruntime_perf_test", tool=TOOL, source=source, entries=entries, samples=samples)


def _seconds(value: str) -> float:
    """A time in seconds. Versions of 2018 wrote whole nanoseconds, which are refused."""
    found = number(value)
    if found is None or (found >= 1000 and "." not in value and "e" not in value.lower()):
        raise UserError(
            f"column 2 holds {value[:40]!r}, where seconds were expected",
            "use a perf_test of this decade: it writes seconds",
        )
    return found
