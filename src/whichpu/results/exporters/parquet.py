"""Parquet in the long form, the columns of the CSV with their types; absent figures are nulls."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from whichpu import __version__
from whichpu.errors import UserError
from whichpu.results.anything import File
from whichpu.results.exporters import Written
from whichpu.results.exporters.rows import Row, rows

KIND = "Parquet"
BEGINNING = re.compile(rb"PAR1")


def write(files: Sequence[File]) -> Written:
    """One row for each figure. Raises :class:`UserError` where pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as problem:
        raise UserError("Parquet takes pyarrow, which is not installed here", "pip install pyarrow") from problem
    columns = {"value": "float64", "low": "float64", "high": "float64", "count": "int64", "estimated": "bool_"}
    fields: list[tuple[str, Any]] = [
        (field.name, getattr(pyarrow, columns.get(field.name, "string"))()) for field in msgspec.structs.fields(Row)
    ]
    schema = pyarrow.schema(fields, metadata={"whichpu": __version__})
    table = pyarrow.Table.from_pylist([msgspec.structs.asdict(row) for row in rows(files)], schema=schema)
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return Written(sink.getvalue(), [])
