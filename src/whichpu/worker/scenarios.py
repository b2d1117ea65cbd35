"""MLPerf's scenarios on MLCommons' LoadGen: it makes the queries, keeps the clock and gives the verdict.

The boundary is LoadGen's: from the query (in Server: from its scheduled arrival) to its completion, through LoadGen's
Python interface. Each stream is a session of its own in a thread of its own, with inputs bound once before the test;
every query runs them. SingleStream, and MultiStream on one stream, run in the thread that LoadGen calls.
Names and meaning: https://arxiv.org/abs/1911.02549; interface: https://github.com/mlcommons/inference/tree/master/loadgen.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import queue
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

from . import wire
from .backends import Arrays, Refused, load

SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline")
ONE_AT_A_TIME = ("SingleStream", "MultiStream")
"""Scenarios whose next query comes when the last is completed: one stream needs no thread of its own."""
SWITCH_INTERVAL_S = 0.0001
"""Python's own 5 ms would let one thread keep the interpreter from another for longer than many a latency bound."""
LIBRARY_SAMPLES = 64
WARM_CALLS = 3
MARK = ":::MLLOG "
PERCENTILES = {"50.00": "p50", "90.00": "p90", "95.00": "p95", "97.00": "p97", "99.00": "p99", "99.90": "p99.9"}

Call = Callable[[], Any]
Bound = Callable[[], Call]
"""Opens a session, binds its inputs and gives the call back; called in the thread that will use it."""


def why_not() -> Optional[str]:
    """Why LoadGen can't run here; looks, but does not import."""
    if importlib.util.find_spec("mlperf_loadgen") is None:
        return "MLCommons' LoadGen is not installed here"
    return None


def loadgen() -> Any:
    """The module. Raises :class:`Refused` when it is not installed."""
    reason = why_not()
    if reason is not None:
        raise Refused(reason, "pip install mlcommons-loadgen")
    return importlib.import_module("mlperf_loadgen")


def run(request: wire.LoadTest, player: "Player") -> wire.LoadTested:
    """One test, whole. Raises :class:`Refused` when LoadGen is absent or the model fails under it."""
    lg = loadgen()
    os.makedirs(request.logs, exist_ok=True)
    player.lg = lg
    system = lg.ConstructSUT(player.issue, _nothing)
    library = lg.ConstructQSL(LIBRARY_SAMPLES, LIBRARY_SAMPLES, _nothing_of, _nothing_of)
    interval_s = sys.getswitchinterval()
    gc.collect()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    began = time.perf_counter_ns()
    try:
        # LoadGen would read the audit.config of whatever folder this is.
        audit = os.path.join(request.logs, "audit.config")
        lg.StartTestWithLogSettings(system, library, settings(lg, request), _logs(lg, request.logs), audit)
    finally:
        wall_ns = time.perf_counter_ns() - began
        sys.setswitchinterval(interval_s)
        gc.enable()
        lg.DestroyQSL(library)
        lg.DestroySUT(system)
    if player.trouble is not None:
        raise Refused("it failed in the midst of the test: %s" % player.trouble)
    return read(request.logs, wall_ns)


def settings(lg: Any, request: wire.LoadTest) -> Any:
    """LoadGen's settings: everything that decides is set here, nothing is left to its defaults."""
    if request.scenario not in SCENARIOS:
        raise wire.WireError("%r is no scenario; there are: %s" % (request.scenario, ", ".join(SCENARIOS)))
    found = lg.TestSettings()
    found.scenario = getattr(lg.TestScenario, request.scenario)
    found.mode = lg.TestMode.PerformanceOnly
    found.min_duration_ms = request.duration_ms
    found.max_duration_ms = 0
    found.min_query_count = request.least_queries
    found.max_query_count = 0
    found.qsl_rng_seed, found.sample_index_rng_seed, found.schedule_rng_seed = (
        request.seed,
        request.seed + 1,
        request.seed + 2,
    )
    if request.scenario == "SingleStream":
        found.single_stream_expected_latency_ns = max(1, int(1e9 / request.rate_per_s))
        found.single_stream_target_latency_percentile = request.percentile
    elif request.scenario == "MultiStream":
        found.multi_stream_expected_latency_ns = max(1, int(1e9 / request.rate_per_s))
        found.multi_stream_target_latency_percentile = request.percentile
        found.multi_stream_samples_per_query = request.samples_per_query
    elif request.scenario == "Server":
        found.server_target_qps = request.rate_per_s
        found.server_target_latency_ns = request.bound_ns
        found.server_target_latency_percentile = request.percentile
        found.server_coalesce_queries = False
        found.server_max_async_queries = 0
    else:
        found.offline_expected_qps = request.rate_per_s
    return found


class Player:
    """What LoadGen calls. A failing model must not leave it waiting: its queries are completed, the trouble is kept."""

    lg: Any = None
    trouble: Optional[str] = None

    def issue(self, samples: List[Any]) -> None:
        """Take a query from LoadGen."""
        raise NotImplementedError

    def close(self) -> None:
        """End the threads."""

    def answer(self, call: Call, samples: List[int]) -> None:
        """One runtime call for these samples, unless an earlier one failed."""
        if self.trouble is None:
            try:
                call()
            except Exception as problem:
                self.trouble = "%s: %s" % (type(problem).__name__, problem)
        response = self.lg.QuerySampleResponse
        self.lg.QuerySamplesComplete([response(sample, 0, 0) for sample in samples])


class Alone(Player):
    """One stream in LoadGen's own thread: nothing is handed over."""

    def __init__(self, call: Call, batch: int) -> None:
        self.call, self.batch = call, batch

    def issue(self, samples: List[Any]) -> None:
        for batch in batches([sample.id for sample in samples], self.batch):
            self.answer(self.call, batch)


class Streams(Player):
    """Threads with a session each; one queue feeds them all."""

    def __init__(self, open_one: Bound, count: int, batch: int) -> None:
        self.batch = batch
        self.failed: Optional[Exception] = None
        self.waiting: "queue.SimpleQueue[Optional[List[int]]]" = queue.SimpleQueue()
        ready = [threading.Event() for _ in range(count)]
        self.threads = [threading.Thread(target=self._stream, args=(open_one, event), daemon=True) for event in ready]
        for thread, event in zip(self.threads, ready):  # one after another: not every runtime loads side by side
            thread.start()
            event.wait()
        if self.failed is not None:
            failed = self.failed
            self.close()
            raise failed

    def issue(self, samples: List[Any]) -> None:
        for batch in batches([sample.id for sample in samples], self.batch):
            self.waiting.put(batch)

    def close(self) -> None:
        for _ in self.threads:
            self.waiting.put(None)
        for thread in self.threads:
            thread.join()

    def _stream(self, open_one: Bound, ready: threading.Event) -> None:
        try:
            call = open_one()
            for _ in range(WARM_CALLS):
                call()
        except Exception as problem:
            self.failed = problem
            return
        finally:
            ready.set()
        take = self.waiting.get
        batch = take()
        while batch is not None:
            self.answer(call, batch)
            batch = take()


def opener(job: wire.Open, inputs: Arrays) -> Bound:
    """Opens one more session of a model. Some runtimes keep settings with the thread, so each stream opens its own."""

    def open_one() -> Call:
        session = load(job.backend).open(job)
        call = session.bind(inputs)
        call()
        steady: Call = session.steady(call)
        return steady

    return open_one


def batches(samples: List[int], size: int) -> Iterator[List[int]]:
    """Samples in groups of ``size``; the last group may be smaller (its call then runs as many all the same)."""
    for begin in range(0, len(samples), size):
        yield samples[begin : begin + size]


# ---------------------------------------------------------------- LoadGen's logs


def _logs(lg: Any, folder: str) -> Any:
    found = lg.LogSettings()
    output = lg.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    found.log_output = output
    found.enable_trace = False  # gigabytes for a quick model
    return found


def read(folder: str, wall_ns: int) -> wire.LoadTested:
    """LoadGen's verdict, its words and its figures, from a test's logs. Raises :class:`Refused` when it gave none."""
    with open(os.path.join(folder, "mlperf_log_summary.txt"), encoding="utf-8") as file:
        summary = file.read()
    with open(os.path.join(folder, "mlperf_log_detail.txt"), encoding="utf-8") as file:
        detail = file.read()
    said = details(detail)
    queries = int(said.get("result_query_count") or 0)
    samples = queries * int(said.get("generated_samples_per_query") or 1)
    valid, throughput = verdict(summary), _throughput(said, samples, detail)
    return wire.LoadTested(
        valid=valid,
        reasons=[] if valid else reasons(summary),
        queries=queries,
        samples=samples,
        wall_ns=wall_ns,
        throughput_per_s=throughput,
        latency_ns=latencies(said),
        over_bound=said.get("result_overlatency_query_count"),
        loadgen=str(said.get("loadgen_version", "unknown")),
        settings={name: str(value) for name, value in said.items() if name.startswith("effective_")},
    )


def verdict(summary: str) -> bool:
    """Whether the summary says VALID. Raises :class:`Refused` when it says neither."""
    for line in summary.splitlines():
        if line.startswith("Result is"):
            return line.split(":", 1)[1].strip() == "VALID"
    raise Refused("LoadGen gave no verdict; its summary says: %s" % summary[:500])


def reasons(summary: str) -> List[str]:
    """LoadGen's own lines on what was not satisfied, what it recommends, and why it would not stop early."""
    found: List[str] = []
    blocks: Dict[str, List[str]] = {}
    block: List[str] = []
    for line in summary.splitlines():
        if line.rstrip().endswith(": NO"):
            found.append(" ".join(line.replace(" :", ":").split()))
        if not line.startswith(" "):
            block = blocks.setdefault(line.rstrip(" :"), [])
        elif ": " not in line or line.startswith(" *"):
            block.append(line.strip().lstrip("* "))
    said = blocks.get("Recommendations", []) + [" ".join(blocks.get("Early Stopping Result", []))]
    return found + [line for line in said if line]


def _throughput(said: Dict[str, Any], samples: int, detail: str) -> Optional[float]:
    """Completed samples a second: LoadGen's own figure; in MultiStream, which has none, over the time its log spans."""
    for key in ("result_completed_samples_per_sec", "result_samples_per_second", "result_qps_with_loadgen_overhead"):
        if said.get(key) is not None:
            return float(said[key])
    times_ms = [float(entry["time_ms"]) for entry in _entries(detail) if entry["key"] == "generic_message"]
    return samples * 1e3 / (times_ms[-1] - times_ms[0]) if len(times_ms) > 1 and times_ms[-1] > times_ms[0] else None


def _entries(text: str) -> Iterator[Dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith(MARK):
            try:
                entry = json.loads(line[len(MARK) :])
            except ValueError:  # a test that was cut short
                continue
            if "key" in entry:
                yield entry


def details(text: str) -> Dict[str, Any]:
    """Keys and values of LoadGen's structured log; the last value of a key holds."""
    return {entry["key"]: entry.get("value") for entry in _entries(text)}


def latencies(said: Dict[str, Any]) -> Dict[str, float]:
    """Latencies in ns by name: the query's where a query holds several samples, else the sample's."""
    for of, between in (("_query", "_per_query"), ("", "")):
        names = {"result_%s%s_latency_ns" % (name, of): name for name in ("min", "mean", "max")}
        names.update(("result_%s_percentile%s_latency_ns" % pair, name) for pair, name in _percentiles(between))
        found = {name: float(said[key]) for key, name in names.items() if said.get(key) is not None}
        if found:
            return found
    return {}


def _percentiles(between: str) -> Iterator[Any]:
    for percent, name in PERCENTILES.items():
        yield (percent, between), name


def _nothing() -> None:
    pass


def _nothing_of(samples: List[int]) -> None:
    """All samples are in memory already."""
