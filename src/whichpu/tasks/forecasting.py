"""Forecast the next value of a series from the past ones, scored by RMSE in the data's own unit."""

from __future__ import annotations

import csv
import datetime
import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.results.schema import TaskInfo

Samples = list[npt.NDArray[Any]]


class Data(msgspec.Struct, rename={"first": "from", "last": "to"}, forbid_unknown_fields=True):
    """A CSV column, the window's length, and the first and last day to forecast (both included)."""

    csv: str
    date: str
    column: str
    window: int
    first: datetime.date
    last: datetime.date


class Preprocess(msgspec.Struct, forbid_unknown_fields=True):
    """``relative-to-last``: each value over the window's last one, minus 1, times ``gain``."""

    scale: Literal["relative-to-last"]
    gain: float


class Reference(msgspec.Struct, forbid_unknown_fields=True):
    """Whose predictions are stored, and where for each model (by its file's stem)."""

    by: str
    outputs: dict[str, str]


class Description(msgspec.Struct, forbid_unknown_fields=True):
    """The TOML file of a forecasting task."""

    kind: Literal["forecasting"]
    metric: Literal["rmse"]
    unit: str
    data: Data
    preprocess: Preprocess
    reference: Reference | None = None


class Forecasting:
    """Windows of a series. ``inputs`` is one array ``[samples, 1, window, 1]``, float32, scaled."""

    output_shape: tuple[int, ...] = (1,)

    def __init__(self, description: Description, path: Path, model: str) -> None:
        data = description.data
        series_path = path.parent / data.csv
        days, values = _series(series_path, data)
        chosen = [i for i, day in enumerate(days) if data.first <= day <= data.last and i >= data.window]
        if not chosen:
            raise UserError(f"{path}: no day from {data.first} to {data.last} has {data.window} days before it")
        self.windows = np.stack([values[i - data.window : i] for i in chosen])
        self.gain = description.preprocess.gain
        self.last, self.truth = self.windows[:, -1], values[chosen]
        self.inputs: Samples = [np.stack([self.prepare(index)[0] for index in range(len(chosen))])]
        self.reference, self.reference_by = _reference(description, path, model, len(chosen))
        self.info = TaskInfo(
            name=path.resolve().parent.name,
            kind=description.kind,
            metric=description.metric,
            unit=description.unit,
            samples=len(chosen),
            protocol_sha256=_protocol(description, series_path),
            naive=_rmse(self.last, self.truth),
            naive_says="same as yesterday",
        )

    def prepare(self, index: int) -> Samples:
        """One window, scaled as the network takes it: ``[1, window, 1]``."""
        window = self.windows[index]
        scaled = (window / window[-1] - 1.0) * self.gain
        return [scaled.astype(np.float32)[np.newaxis, :, np.newaxis]]

    def finish(self, index: int, outputs: Samples) -> float:
        """The forecast in the series' unit."""
        return float(self.last[index] * (1.0 + float(outputs[0].reshape(-1)[0]) / self.gain))

    def score(self, outputs: Samples) -> float:
        """RMSE in the series' unit of one scaled forecast a sample."""
        if not outputs or outputs[0].size != self.truth.size:
            shape = outputs[0].shape if outputs else ()
            raise UserError(f"a forecast is one number a sample; the model gave {shape} for {self.truth.size} samples")
        forecasts = outputs[0].reshape(len(self.truth), 1)
        return _rmse(np.array([self.finish(index, [one]) for index, one in enumerate(forecasts)]), self.truth)


def load(path: Path, body: dict[str, Any], model: str) -> Forecasting:
    """The task of a TOML file. Raises :class:`UserError`."""
    try:
        description = msgspec.convert(body, Description, strict=False)
    except msgspec.ValidationError as problem:
        raise UserError(f"{path}: {problem}") from problem
    return Forecasting(description, path, model)


def _series(path: Path, data: Data) -> tuple[list[datetime.date], npt.NDArray[np.float64]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        days = [datetime.date.fromisoformat(row[data.date]) for row in rows]
        values = np.array([float(row[data.column]) for row in rows])
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except KeyError as problem:
        raise UserError(f"{path} has no column {problem}", f"it has: {', '.join(rows[0])}") from problem
    except (ValueError, TypeError) as problem:
        raise UserError(f"{path}: {problem}") from problem
    return days, values


def _reference(description: Description, path: Path, model: str, samples: int) -> tuple[Samples | None, str | None]:
    reference = description.reference
    if reference is None or model not in reference.outputs:
        return None, None
    stored = path.parent / reference.outputs[model]
    try:
        with np.load(stored, allow_pickle=False) as file:
            outputs = file["forecast"]
    except (OSError, ValueError, KeyError) as problem:
        raise UserError(f"can't read the reference outputs {stored}: {problem}") from problem
    if len(outputs) != samples:
        raise UserError(f"{stored} holds {len(outputs)} forecasts; the task has {samples} days")
    return [outputs], reference.by


def _protocol(description: Description, series: Path) -> str:
    described = msgspec.json.encode(
        {"data": description.data, "preprocess": description.preprocess, "metric": description.metric}
    )
    return hashlib.sha256(described + series.read_bytes()).hexdigest()


def _rmse(forecast: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((forecast - truth) ** 2)))
