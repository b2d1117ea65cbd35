"""Windows of a series in a CSV or Parquet file: the values before a day, and that day's value."""

from __future__ import annotations

import csv
import datetime
import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.tasks import description
from whichpu.tasks.task import BadSample

Values = npt.NDArray[np.float64]
SOURCES = ("csv", "parquet")


class Data(msgspec.Struct, rename={"first": "from", "last": "to"}, forbid_unknown_fields=True):
    """A file, its columns, the window's length, and the first and last day to forecast (both included).

    ``column`` may be several: a window then has them side by side, and the first one is forecast.
    """

    date: str
    column: str | list[str]
    window: Annotated[int, msgspec.Meta(ge=1)]
    first: datetime.date
    last: datetime.date
    csv: str | None = None
    parquet: str | None = None


class Windows:
    """Raw: a window ``[window, columns]``, float64, oldest first. Truth: the next value of the first column."""

    def __init__(self, path: Path, table: Mapping[str, Any]) -> None:
        data = description.convert(path, table, Data)
        self.columns = data.column if isinstance(data.column, list) else [data.column]
        named = data.csv or data.parquet
        if named is None or (data.csv and data.parquet) or not self.columns:
            raise UserError(f"{path}: [data] names no series", "give csv or parquet, and column")
        self.file = path.parent / named
        read = _csv if data.csv else _parquet
        self.days, self.values = read(self.file, data.date, self.columns)
        if any(later <= earlier for earlier, later in itertools.pairwise(self.days)):
            raise UserError(f"{self.file}: its days aren't in order, oldest first, each once", "sort the file")
        self.window = data.window
        self.places = [i for i, day in enumerate(self.days) if data.first <= day <= data.last and i >= data.window]
        if not self.places:
            raise UserError(f"{path}: no day from {data.first} to {data.last} has {data.window} days before it")

    def __len__(self) -> int:
        return len(self.places)

    def name(self, index: int) -> str:
        return self.days[self.places[index]].isoformat()

    def key(self, index: int) -> str:
        return f"{self.file.resolve()} {self.name(index)}"

    def raw(self, index: int) -> Values:
        place = self.places[index]
        window = self.values[place - self.window : place]
        bad = np.flatnonzero(~np.isfinite(window).all(axis=1))
        if bad.size:
            day = self.days[place - self.window + int(bad[0])]
            raise BadSample(f"{self.name(index)}: the window holds no number for {day}")
        return window

    def truth(self, index: int) -> float:
        value = float(self.values[self.places[index], 0])
        if not np.isfinite(value):
            raise BadSample(f"{self.name(index)} has no number to forecast")
        return value

    def digest(self, index: int) -> bytes:
        place = self.places[index]
        values = self.values[place - self.window : place + 1]
        return hashlib.sha256(self.name(index).encode() + values.tobytes()).digest()


def _csv(path: Path, date: str, columns: list[str]) -> tuple[list[datetime.date], Values]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _refuse_missing(path, [date, *columns], list(reader.fieldnames or []))
            days, values = [], []
            for row in reader:
                days.append(_day(row[date], path, f"line {reader.line_num}"))
                values.append([_number(row[column]) for column in columns])
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except (UnicodeDecodeError, csv.Error) as problem:
        raise UserError(f"{path} is not CSV in UTF-8: {problem}") from problem
    return days, np.array(values, np.float64).reshape(len(days), len(columns))


def _parquet(path: Path, date: str, columns: list[str]) -> tuple[list[datetime.date], Values]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as problem:
        raise UserError("reading Parquet needs pyarrow", "pip install pyarrow") from problem
    try:
        _refuse_missing(path, [date, *columns], parquet.read_schema(path).names)
        table = parquet.read_table(path, columns=[date, *columns])
        read = [np.array(_floats(table[column].to_pylist())) for column in columns]
        stamps = table[date].to_pylist()
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror or problem}") from problem
    except pyarrow.ArrowException as problem:
        raise UserError(f"{path} is not Parquet: {problem}") from problem
    days = [_day(stamp, path, f"row {row}") for row, stamp in enumerate(stamps)]
    return days, np.stack(read, axis=1).astype(np.float64)


def _floats(values: list[Any]) -> list[float]:
    return [_number(value) for value in values]


def _number(value: Any) -> float:
    """The number, or NaN for what is none: its windows are bad samples, the others go on."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _day(value: Any, path: Path, where: str) -> datetime.date:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value)[:10])
    except ValueError as problem:
        raise UserError(f"{path}, {where}: {value!r} is no date", "dates are written YYYY-MM-DD") from problem


def _refuse_missing(path: Path, wanted: list[str], there: list[str]) -> None:
    for column in wanted:
        if column not in there:
            raise UserError(f"{path} has no column {column!r}", f"it has: {', '.join(map(str, there)) or 'none'}")
