"""What becomes of a contender, entered in the row of whichever file is written; warming up is the same for all."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from whichpu.campaign.outputs import outputs_of, refuse_nan
from whichpu.results.schema import Status
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.worker import wire

STATUSES: tuple[Status, ...] = ("refused", "crashed", "hung", "out-of-memory", "bad-output")
"""What a worker's trouble makes of a row; any other is our bug."""

WARM_LEAST = 10
"""Inferences that a warm-up runs at least, and some: a slow model is not a hanging one."""


class Row(Protocol):
    """Of a campaign, of a scenario, or of contenders at once."""

    status: Status
    why: str | None
    remedy: str | None
    words: str | None
    precision: wire.Precision | None
    effective: dict[str, str]
    versions: dict[str, str]


class Warm(NamedTuple):
    """``latency_ns`` is the median of the warm-up's last inferences, ``steady`` whether it settled."""

    first_ns: int
    latency_ns: float
    steady: bool
    rss_bytes: int | None


def warm_up(link: Link, inputs: Path, timeout_s: float, check: bool) -> Warm:
    """First inference, then warm up. Raises :class:`WorkerTrouble`, with ``check`` also for a NaN in the outputs."""
    outputs = inputs.with_name("outputs.npz")
    first_ns = link.ask(wire.Bind(str(inputs), str(outputs)), wire.Bound).first_ns
    if check:
        refuse_nan(outputs_of(outputs))
    warmed = link.ask(wire.Warm(), wire.Warmed, timeout_s + WARM_LEAST * first_ns / 1e9)
    return Warm(first_ns, settled_ns(warmed), warmed.steady, warmed.rss_bytes)


def settled_ns(warmed: wire.Warmed) -> float:
    """Median latency at a warm-up's end, in ns."""
    return float(np.median(warmed.latencies_ns[-20:]))


def enter_opened(row: Row, opened: wire.Opened, graph: str | None) -> None:
    """What is known of a model that is loaded. ``graph`` is the file's own precision, for runtimes that keep it."""
    row.precision, row.effective, row.versions = opened.precision, opened.effective, opened.versions
    if opened.precision.ran == wire.AS_IN_THE_GRAPH and graph is not None:
        row.precision = wire.Precision(graph, f"{opened.precision.evidence}: {graph}")


def enter_trouble(row: Row, trouble: WorkerTrouble, python: str | None) -> None:
    """Make a trouble the row's status and reason."""
    kind = "refused" if trouble.kind == "fallback" else trouble.kind
    row.status = next((status for status in STATUSES if status == kind), "bug")
    row.why, row.remedy, row.words = str(trouble), remedy_in(python, trouble.remedy), trouble.words or None


def remedy_in(python: str | None, remedy: str | None) -> str | None:
    """``pip`` of the interpreter in which the runtime is looked for."""
    return f"{python} -m {remedy}" if python is not None and (remedy or "").startswith("pip ") else remedy
