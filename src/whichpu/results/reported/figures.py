"""How importers gather one entry's figures: numbers with their printed step, samples, reasons for what is absent."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import numpy as np

from whichpu.errors import UserError
from whichpu.results.entries import METRICS, Entry, Value
from whichpu.results.reported import Source
from whichpu.results.reported.fields import number, scaled
from whichpu.stats.describe import unsupported

NEAREST_RANK = "nearest rank"
"""The value at place ceil(p n) of n, counted from 1."""
FLOOR_RANK = "rank floor(p n) + 1"
"""The value at place floor(p n) + 1 of n, counted from 1: the larger of the two middle ones for the median."""
LINEAR = "linear"

PERCENTS = {"latency_p90": 90.0, "latency_p95": 95.0, "latency_p99": 99.0, "latency_p99.9": 99.9}
MAY_BE_ZERO = ("latency_std", "utilisation", "temperature", "memory", "device_memory")
MAY_BE_NEGATIVE = ("temperature",)
AGAIN = "let the tool write the file again"
LONGEST_NS = 1e18
"""No inference takes 30 years."""
PRINTED = re.compile(r"[+-]?\d*\.(\d*)(?:[eE]([+-]?\d{1,4}))?")


class Figures:
    """One entry's figures while its file is read. ``tool`` stands in the reasons for what is absent."""

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.values: dict[str, Value] = {}
        self.absent: dict[str, str] = {}

    def put(
        self,
        metric: str,
        told: object,
        where: str,
        scale: float = 1.0,
        terms: Mapping[str, str] | None = None,
        count: int | None = None,
    ) -> None:
        """A figure as the file tells it, a number or its text; ``scale`` is how much of the metric's unit its own is.

        What is no number, or none that this quantity can have, is absent with what the file says instead.
        """
        value = number(told)
        if value is None:
            empty = told is None or not str(told).strip()
            self.absent[metric] = "its place in the file is empty" if empty else f"the file says {str(told)[:40]!r}"
        elif not _possible(metric, value) or not math.isfinite(value * scale):
            self.absent[metric] = f"the file says {str(told)[:40]}, which can't be"
        elif value == 0 and metric not in MAY_BE_ZERO:
            self.absent[metric] = f"the file says {str(told)[:40]}: less than it can tell, or not measured"
        else:
            self._add(metric, scaled(value, scale), where, terms, count, step_of(told, scale))

    def samples(
        self,
        values_ns: Sequence[float],
        where: str,
        terms: Mapping[str, str],
    ) -> None:
        """Statistics of single latencies in ns; percentiles by linear interpolation, where there are enough of them.

        Raises :class:`UserError` for a latency that can't be one.
        """
        if not values_ns:
            return
        wrong = next((index for index, value in enumerate(values_ns) if not 0 < value < LONGEST_NS), None)
        if wrong is not None:
            raise UserError(f"{where} holds a time that can't be: number {wrong + 1}, {values_ns[wrong]:g} ns", AGAIN)
        array, count = np.asarray(values_ns, dtype=float), len(values_ns)
        plain = {"latency_mean": array.mean(), "latency_min": array.min(), "latency_max": array.max()}
        if count > 1:
            plain["latency_std"] = array.std(ddof=1)
        for metric, value in plain.items():
            self._add(metric, float(value), where, terms, count)
        ranked = dict(terms) | {"percentile": LINEAR}
        self._add("latency_median", float(np.median(array)), where, ranked, count)
        for metric, percent in PERCENTS.items():
            reason = unsupported(count, percent)
            if reason:
                self.absent[metric] = reason
            else:
                self._add(metric, float(np.percentile(array, percent)), where, ranked, count)

    def lacks(self, metric: str, reason: str) -> None:
        """Say why a figure isn't there, unless it is."""
        if metric not in self.values:
            self.absent[metric] = reason

    def entry(self, source: Source, model: str | None, contender: str, **more: object) -> Entry:
        """The entry; ``model`` is the file's name for it, ``more`` fields of :class:`Entry`."""
        reasons = dict.fromkeys(METRICS, f"{self.tool} does not report it")
        absent = {metric: why for metric, why in (reasons | self.absent).items() if metric not in self.values}
        return Entry(
            model=model or source.model or PurePath(source.name).stem,
            contender=source.contender or contender,
            file=source.name,
            sha256=source.sha256,
            tool=self.tool,
            values=self.values,
            absent=absent,
            **more,  # type: ignore[arg-type]
        )

    def _add(
        self,
        metric: str,
        value: float,
        where: str,
        terms: Mapping[str, str] | None,
        count: int | None,
        step: float | None = None,
    ) -> None:
        known = METRICS[metric]
        self.absent.pop(metric, None)
        self.values[metric] = Value(
            value=value,
            unit=known.unit,
            better=known.better,
            count=count,
            step=step,
            terms=dict(terms or {}),
            where=where,
        )


def step_of(told: object, scale: float = 1.0) -> float | None:
    """The smallest difference that a printed number shows; ``None`` for what was no text, or is whole."""
    found = PRINTED.fullmatch(told.strip()) if isinstance(told, str) else None
    if found is None:
        return None
    exponent = int(found[2] or 0) - len(found[1])
    return scale * 10.0**exponent if abs(exponent) < 200 else None


def stem(path: object) -> str | None:
    """The name of a model from its path, of this or another system; ``None`` where there is none."""
    text = str(path or "").strip().strip("'\"").replace("\\", "/")
    return PurePath(text).stem or None


def whole(told: object) -> int | None:
    """A count: a whole number above zero; else ``None``."""
    value = number(told)
    return int(value) if value is not None and value >= 1 and value == int(value) else None


def ranks(terms: Mapping[str, str], definition: str) -> dict[str, str]:
    """Terms with the definition of a percentile."""
    return {**terms, "percentile": definition}


def told(**terms: str | int | None) -> dict[str, str]:
    """Terms of those that are known."""
    return {name: str(value) for name, value in terms.items() if value is not None and value != ""}


def shares(times: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """How much of the whole each name takes, the largest first; nothing where there is no time at all."""
    sums: dict[str, float] = {}
    for name, time in times:
        sums[name] = sums.get(name, 0.0) + time
    total = sum(sums.values())
    ranked = sorted(sums.items(), key=lambda item: -item[1])
    return [(name, time / total) for name, time in ranked] if total > 0 else []


def slowest(times: Iterable[tuple[str, float]], most: int = 5) -> str:
    """The names that take most, with their shares, down to half a percent."""
    return ", ".join(f"{name} {share:.0%}" for name, share in shares(times)[:most] if share >= 0.005)


def _possible(metric: str, value: float) -> bool:
    return value >= 0 or metric in MAY_BE_NEGATIVE


def table(text: str, delimiter: str = ",") -> list[tuple[int, dict[str, str]]]:
    """Rows of a table with a header, with their lines; cells that a short row lacks are empty.

    Raises :class:`UserError` for a row with more cells than the header, and a header with a name twice.
    """
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as problem:
        raise UserError(f"is no table: {problem}", AGAIN) from problem
    header = rows[0][1] if rows else []
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"its header has {twice[:40]!r} twice", AGAIN)
    for line, row in rows[1:]:
        if len(row) > len(header):
            raise UserError(f"line {line} has {len(row)} cells, its header {len(header)}", AGAIN)
    return [(line, dict(itertools.zip_longest(header, row, fillvalue=""))) for line, row in rows[1:]]
