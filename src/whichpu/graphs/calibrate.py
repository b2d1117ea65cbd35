"""A roofline held to measurements: what an inference costs beside its arithmetic, and how well that predicts.

``seconds = fixed + macs * a + parameters * b``, with none below zero: a fixed cost of each inference, a rate of
arithmetic, and a rate at which parameters arrive. It is fitted to the log of the *ratio* of predicted to measured, so
that small networks count as much as large ones, and by its absolute value, so that outliers pull little. The error told
is that on points that the fit has not seen (leave one out).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whichpu.errors import UserError

FEWEST = 3
"""Points below which nothing is fitted."""
SMALL = 0.02
"""An error of 2 %, below which points weigh alike."""
COLUMNS = "columns: model,seconds (a model file beside it), or macs,parameters,seconds"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """One network measured on one accelerator."""

    name: str
    macs: float
    parameters: float
    seconds: float
    """Of one inference; or one over the throughput, where ``calibrate`` is told so in its source."""


@dataclass(frozen=True)
class Calibration:
    """What was fitted. ``spread``: measured over predicted, from the 10th to the 90th percentile of unseen points."""

    fixed_seconds: float
    seconds_per_mac: float
    seconds_per_parameter: float
    spread: tuple[float, float]
    error: float
    """Median of abs(predicted / measured - 1) over points that the fit has not seen."""
    points: int
    source: str

    def predict(self, macs: float, parameters: float) -> float:
        """Seconds of one inference, the middle of the range."""
        return self.fixed_seconds + macs * self.seconds_per_mac + parameters * self.seconds_per_parameter


def calibrate(measurements: Iterable[Measurement], source: str, least_seconds_per_mac: float = 0.0) -> Calibration:
    """Fit to measurements; ``source`` says whose. Points faster than the peak allows are left out: they are no count.

    Raises :class:`UserError` with fewer than three points left.
    """
    points = [one for one in measurements if one.seconds > one.macs * least_seconds_per_mac]
    if len(points) < FEWEST:
        raise UserError(f"{len(points)} measurements are too few to calibrate with", f"give at least {FEWEST}")
    columns = np.array([[1.0, one.macs, one.parameters] for one in points])
    seconds = np.array([one.seconds for one in points])
    fixed, mac, parameter = _fit(columns, seconds)
    unseen = leave_one_out(points)
    ratio = seconds / unseen
    low, high = np.percentile(ratio, [10, 90])
    error = float(np.median(np.abs(unseen / seconds - 1)))
    return Calibration(fixed, mac, parameter, (float(low), float(high)), error, len(points), source)


def load(path: Path) -> list[Measurement]:
    """Measurements from a CSV file: ``seconds``, and ``model`` (a file beside it) or ``macs`` and ``parameters``.

    Raises :class:`UserError` naming file, line and what is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise UserError(f"can't read the measurements in {path}: {problem}", COLUMNS) from None
    return [_measurement(path, number, row) for number, row in enumerate(rows, 2)]


def _measurement(path: Path, number: int, row: Mapping[str, str | None]) -> Measurement:
    where = f"{path}, line {number}"
    seconds = _number(row, "seconds", where)
    if seconds <= 0:
        raise UserError(f"{where}: seconds must be above 0", COLUMNS)
    model = (row.get("model") or "").strip()
    if model and not (row.get("macs") or "").strip():
        return Measurement(model, *_counted(path.parent / model), seconds)
    return Measurement(model or where, _number(row, "macs", where), _number(row, "parameters", where), seconds)


def _number(row: Mapping[str, str | None], column: str, where: str) -> float:
    text = row.get(column)
    try:
        value = float(text or "")
    except ValueError:
        value = -1.0
    if not isfinite(value) or value < 0:
        raise UserError(f"{where}: {column} is {text!r}, which is no figure", COLUMNS)
    return value


def _counted(model: Path) -> tuple[int, int]:
    """MACs and parameters of a model file."""
    from whichpu.graphs.cost import added, costs
    from whichpu.graphs.readers import read

    priced = costs(read(model))
    macs = added([cost.macs for cost in priced])
    if macs is None:
        raise UserError(f"{model}: its MACs can't be told, sizes are open", "give macs and parameters in the file")
    return macs, sum(cost.parameters for cost in priced)


def leave_one_out(points: Sequence[Measurement]) -> Array:
    """Seconds predicted for each point by a fit to all the others."""
    columns = np.array([[1.0, one.macs, one.parameters] for one in points])
    seconds = np.array([one.seconds for one in points])
    others = np.ones(len(points), bool)
    found = np.empty(len(points))
    for index in range(len(points)):
        others[index] = False
        found[index] = columns[index] @ np.array(_fit(columns[others], seconds[others]))
        others[index] = True
    return found


def _fit(columns: Array, seconds: Array, rounds: int = 12) -> tuple[float, float, float]:
    """Coefficients at or above zero with the least sum of abs(log(predicted / measured)), by reweighted least squares.

    The squared log of a ratio is close to (predicted - measured)^2 / (predicted * measured), which is linear but for
    the weights.
    """
    weight = 1 / seconds
    answer = np.zeros(columns.shape[1])
    for _ in range(rounds):
        answer = _above_zero(columns * weight[:, None], seconds * weight)
        predicted = np.maximum(columns @ answer, 1e-12)
        off = np.abs(np.log(predicted / seconds))
        weight = 1 / np.sqrt(predicted * seconds * np.maximum(off, SMALL))
    return float(answer[0]), float(answer[1]), float(answer[2])


def _above_zero(rows: Array, wanted: Array) -> Array:
    """Least squares with no coefficient below zero: with three columns, the best of all subsets that stay above it."""
    count = rows.shape[1]
    scale = np.abs(rows).max(axis=0)
    scale[scale == 0] = 1
    best, least = np.zeros(count), float(wanted @ wanted)
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            kept = list(chosen)
            found = np.linalg.lstsq(rows[:, kept] / scale[kept], wanted, rcond=None)[0]
            rest = rows[:, kept] @ (found / scale[kept]) - wanted
            if (found >= 0).all() and float(rest @ rest) < least:
                best, least = np.zeros(count), float(rest @ rest)
                best[kept] = found / scale[kept]
    return best
