"""What a scenario file holds. Version 1; published as JSON Schema in ``docs/schema/scenario-1.json``.

Every test that LoadGen ran is kept with its verdict, its figures and the folder of its logs. A row's figures are those
of the probe that answers it; they are LoadGen's own, nothing is computed from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from whichpu.results import store
from whichpu.results.schema import ModelInfo, Status
from whichpu.worker.wire import Machine, Precision

VERSION: Literal["whichpu.scenario/1"] = "whichpu.scenario/1"

Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]
Purpose = Literal["measure", "search", "confirm", "overload"]
BOUNDARY = "end to end through LoadGen's Python interface; each stream's inputs are bound once, before the test"


class Terms(msgspec.Struct, kw_only=True, frozen=True):
    """What was asked for. ``bound_ns`` is Server's latency bound, held by ``percentile`` of the queries.

    ``percentile`` is also the one that LoadGen judges in SingleStream (0.9, as MLPerf's) and MultiStream (0.99).
    ``budget_s`` is the time after which Server goes on to confirm what it has found (``None`` in other scenarios).
    ``samples_per_query`` is 1 except in MultiStream. ``tolerance`` is how closely the highest rate is bracketed.
    """

    scenario: Scenario
    seed: int
    percentile: float
    bound_ns: int | None
    samples_per_query: int
    duration_s: float
    least_queries: int
    tolerance: float
    budget_s: float | None
    batches: list[int]
    threads: list[int]
    streams: list[int]
    cpus: list[int]
    timeout_s: float
    data: str
    boundary: str = BOUNDARY


class Probe(msgspec.Struct, kw_only=True):
    """One test by LoadGen. ``rate_per_s`` was offered (Server) or expected (samples in Offline, else queries).

    ``latency_ns`` has ``min``, ``mean``, ``p50`` to ``p99.9`` and ``max``: of queries in MultiStream, else of samples
    (in Offline a sample waits for those before it). ``throughput_per_s`` are completed samples over the test's time.
    ``over_bound`` counts queries above Server's bound. ``logs`` is relative to the scenario file's folder; ``None``
    when nothing was kept.
    """

    purpose: Purpose
    rate_per_s: float
    duration_s: float
    valid: bool
    reasons: list[str] = []
    queries: int
    samples: int
    throughput_per_s: float | None
    latency_ns: dict[str, float]
    over_bound: int | None = None
    spent_s: float = 0.0
    logs: str | None = None
    settings: dict[str, str] = {}


class Row(msgspec.Struct, kw_only=True):
    """One contender at one batch size and numbers of threads and streams: its probes, in order.

    ``answer`` is the index of the probe that answers: in Server that of the highest rate that LoadGen calls VALID in a
    confirming test, else the last. ``None`` comes with ``why``. ``overload`` is the index of the test at 1.3 times it.
    ``spent`` says that the search was stopped because its budget was spent.
    """

    contender: str
    target: str
    backend: str
    device: str
    batch: int
    threads: int
    streams: int
    status: Status = "pending"
    why: str | None = None
    remedy: str | None = None
    words: str | None = None
    form_sha256: str | None = None
    precision: Precision | None = None
    versions: dict[str, str] = {}
    effective: dict[str, str] = {}
    alone_ns: float | None = None
    """Median latency in ns of one call after warming up, without LoadGen; one call runs a whole batch."""
    probes: list[Probe] = []
    answer: int | None = None
    overload: int | None = None
    spent: bool = False

    @property
    def found(self) -> Probe | None:
        """The probe that answers."""
        return None if self.answer is None else self.probes[self.answer]

    @property
    def overloaded(self) -> Probe | None:
        """The probe at 1.3 times the rate found."""
        return None if self.overload is None else self.probes[self.overload]


class ScenarioRun(msgspec.Struct, kw_only=True):
    """One file: one model in one scenario, with the machine, the terms and the seed behind the figures."""

    schema: Literal["whichpu.scenario/1"] = VERSION
    whichpu: str
    created: str
    model: ModelInfo
    machine: Machine
    terms: Terms
    loadgen: str | None = None
    finished: str | None = None
    rows: list[Row] = []


class Summary(msgspec.Struct, kw_only=True):
    """A row's figures: those of the test that answers. Latencies in ns, rates in queries/s, throughput in samples/s.

    ``verdict`` is LoadGen's own on that test, ``overload_verdict`` that on the test at ``overload_rate_per_s``.
    """

    contender: str
    target: str
    batch: int
    threads: int
    streams: int
    status: str
    why: str | None = None
    remedy: str | None = None
    ran_precision: str | None = None
    verdict: Literal["VALID", "INVALID"] | None = None
    reasons: list[str] = []
    rate_per_s: float | None = None
    throughput_per_s: float | None = None
    mean_ns: float | None = None
    p50_ns: float | None = None
    p90_ns: float | None = None
    p99_ns: float | None = None
    queries: int | None = None
    samples: int | None = None
    overload_rate_per_s: float | None = None
    overload_verdict: Literal["VALID", "INVALID"] | None = None
    tests: int = 0
    spent: bool = False
    logs: str | None = None


def summarize(run: ScenarioRun) -> list[Summary]:
    """Figures of all rows: the largest throughput first, those without figures last, in the order they ran."""
    rows = [_summary(row, run.terms.scenario == "Server") for row in run.rows]
    return sorted(rows, key=lambda row: -(row.throughput_per_s or 0.0))


def _summary(row: Row, served: bool) -> Summary:
    summary = Summary(
        contender=row.contender,
        target=row.target,
        batch=row.batch,
        threads=row.threads,
        streams=row.streams,
        status=row.status,
        why=row.why,
        remedy=row.remedy,
        ran_precision=row.precision.ran if row.precision else None,
        tests=len(row.probes),
        spent=row.spent,
    )
    if row.found is not None:
        found = row.found
        summary.verdict, summary.reasons, summary.logs = verdict(found), found.reasons, found.logs
        summary.rate_per_s = found.rate_per_s if served else None
        summary.throughput_per_s, summary.queries, summary.samples = (
            found.throughput_per_s,
            found.queries,
            found.samples,
        )
        for name in ("mean", "p50", "p90", "p99"):
            setattr(summary, f"{name}_ns", found.latency_ns.get(name))
    if row.overloaded is not None:
        summary.overload_rate_per_s, summary.overload_verdict = row.overloaded.rate_per_s, verdict(row.overloaded)
    return summary


def verdict(probe: Probe) -> Literal["VALID", "INVALID"]:
    """LoadGen's word."""
    return "VALID" if probe.valid else "INVALID"


def json_schema() -> dict[str, object]:
    """The published JSON Schema of a scenario file."""
    schema = msgspec.json.schema(ScenarioRun)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": VERSION, **schema}


def save(run: ScenarioRun, path: Path) -> None:
    """Replace ``path`` whole or not at all. Raises :class:`UserError` for a full or forbidden disk."""
    store.write(path, msgspec.json.encode(run) + b"\n")


def load(path: Path) -> ScenarioRun:
    """Read a scenario file. Raises :class:`UserError` when it is missing, damaged, foreign or too new."""
    return store.read(path, "scenario", ScenarioRun, VERSION, _check)


def _check(run: ScenarioRun) -> None:
    """Raises :class:`ValueError` for a row whose answer is not there."""
    for row in run.rows:
        for index in (row.answer, row.overload):
            if index is not None and not 0 <= index < len(row.probes):
                raise ValueError(f"{row.contender} has no test {index}")
