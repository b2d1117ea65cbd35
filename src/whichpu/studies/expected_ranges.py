"""What a comparison of an RTX 3070 Ti with a Hailo-8L expected, against what the share-price study then measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whichpu.reports.figures import alone, named
from whichpu.results import anything
from whichpu.results.entries import Entry, Value
from whichpu.studies import share_price
from whichpu.studies.share_price import HAILO, TENSORRT
from whichpu.studies.study import Asked, Statement, Study, Table, agrees, differs, open_

TITLE = "RTX 3070 Ti (TensorRT) against Hailo-8L: ranges expected of latency, throughput, RMSE, utilisation and power"
DATA = Path(__file__).parent / "data"
KEYS = {
    "latency_ms": ("latency_mean", 1e6, "ms"),
    "throughput_fps": ("throughput", 1.0, "1/s"),
    "rmse": ("score:rmse", 1.0, ""),
    "utilisation_percent": ("utilisation", 0.01, "%"),
    "power_w": ("power", 1.0, "W"),
}
"""The study's keys: our figure, its base units in one of the study's, and the study's unit."""


def reproduce(asked: Asked) -> Study:
    """Each range held against the measured figure of each model."""
    told = msgspec.json.decode((DATA / "rtx3070ti_vs_hailo8l.json").read_bytes())
    entries = anything.entries(share_price.FILES)
    ranges = told["expected_ranges"]
    return Study(
        name="rtx3070ti-vs-hailo8l",
        title=TITLE,
        tables=[_table(told["pair"], ranges)],
        statements=list(_statements(entries, ranges)),
        notes=[
            told["note"],
            "The share-price files don't tell which GPU they are from; a 3070 Ti is taken for granted here.",
        ],
        ways=["whichpu reproduce share-price"],
    )


def _table(pair: Sequence[str], ranges: dict[str, Any]) -> Table:
    rows = [[_called(key), *(f"{low:g} to {high:g}" for low, high in both)] for key, both in ranges.items()]
    return Table(title="expected", heads=["", *pair], rows=rows)


def _called(key: str) -> str:
    metric, _, unit = KEYS[key]
    return f"{named(metric)}, {unit}" if unit else named(metric)


def _statements(entries: Sequence[Entry], ranges: dict[str, Any]) -> Iterator[Statement]:
    by = share_price.figures(entries)
    for key, both in ranges.items():
        for contender, (low, high) in zip((TENSORRT, HAILO), both, strict=True):
            for model in share_price.MODELS:
                yield _statement(key, by[model, contender], low, high)


def _statement(key: str, entry: Entry, low: float, high: float) -> Statement:
    metric, size, unit = KEYS[key]
    value = entry.values.get(metric)
    says = f"{entry.contender}, {entry.model}: {named(metric)} {low:g} to {high:g} {unit}".rstrip()
    if value is None:
        return open_(says, f"that figure: {entry.absent.get(metric, 'the file does not hold it')}")
    number = value.value / size
    if low <= number <= high:
        return agrees(says, f"measured: {alone(value)}")
    return differs(says, f"measured: {alone(value)}, {_beyond(value, number, low, high)}")


def _beyond(value: Value, number: float, low: float, high: float) -> str:
    end, side = (low, "below its lower") if number < low else (high, "above its upper")
    return f"{100 * abs(number / end - 1):.2g} % {side} end"
