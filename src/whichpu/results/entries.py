"""One contender's figures, wherever they come from: a campaign of ours, or another tool's file.

`compare`, `recommend` and `report` look at entries only. An entry says of each figure what it stands for (``terms``),
so that figures which don't mean the same are refused by name (:mod:`whichpu.results.comparability`). What a source does
not tell is absent, with the reason; nothing is derived that the source does not hold: no percentile from averages, no
throughput from a latency.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Better = Literal["lower", "higher", "neither"]


class Metric(msgspec.Struct, frozen=True):
    """A figure's name, its unit and which way is better."""

    unit: str
    better: Better
    says: str


METRICS: dict[str, Metric] = {
    "latency_mean": Metric("ns", "lower", "mean latency"),
    "latency_median": Metric("ns", "lower", "median latency"),
    "latency_min": Metric("ns", "lower", "smallest latency"),
    "latency_max": Metric("ns", "lower", "largest latency"),
    "latency_std": Metric("ns", "lower", "standard deviation of latency"),
    "latency_p90": Metric("ns", "lower", "90th percentile of latency"),
    "latency_p95": Metric("ns", "lower", "95th percentile of latency"),
    "latency_p99": Metric("ns", "lower", "99th percentile of latency"),
    "latency_p99.9": Metric("ns", "lower", "99.9th percentile of latency"),
    "throughput": Metric("1/s", "higher", "throughput"),
    "power": Metric("W", "lower", "mean power"),
    "energy": Metric("J", "lower", "energy per inference"),
    "memory": Metric("B", "lower", "memory"),
    "device_memory": Metric("B", "lower", "memory of the device"),
    "utilisation": Metric("share", "neither", "utilisation of the device"),
    "model_utilisation": Metric("share", "neither", "utilisation of the device by the model"),
    "load": Metric("ns", "lower", "time to load the model"),
    "first": Metric("ns", "lower", "first inference"),
    "size": Metric("B", "lower", "size of the model"),
    "temperature": Metric("degC", "lower", "temperature"),
}
"""Figures by key. A score stands under ``score:NAME`` (``score:rmse``) with its unit and direction in the value."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. ``low`` to ``high`` is its 95 % interval; ``step`` the smallest difference its source prints."""

    value: float
    unit: str
    better: Better = "lower"
    low: float | None = None
    high: float | None = None
    count: int | None = None
    """Inferences (or samples) behind it, where told."""
    step: float | None = None
    terms: dict[str, str] = {}
    """What it stands for, where told: boundary, percentile, scope, protocol, batch, scenario."""
    where: str = ""
    """Its place in the file: a JSON path, a line, a column."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One contender: one model in one precision on one runtime and device."""

    model: str
    contender: str
    """As shown: ``TensorRT (GPU)``, ``onnxruntime:cpu [int8]``."""
    file: str
    """The file it is from; with ``sha256`` of its bytes."""
    sha256: str
    tool: str
    tool_version: str | None = None
    device: str | None = None
    precision: str | None = None
    model_sha256: str | None = None
    machine: str | None = None
    """Tells boards apart: contenders of one machine and one campaign were interleaved, others were not."""
    campaign: str | None = None
    """The campaign's id; only contenders of one campaign have paired intervals."""
    estimated: bool = False
    """By a compiler or a model, not measured."""
    values: dict[str, Value] = {}
    absent: dict[str, str] = {}
    """Figures that are not there, with the reason: ``power``: "the file holds no power"."""
    doubts: list[str] = []
