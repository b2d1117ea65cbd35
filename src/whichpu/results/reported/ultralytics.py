"""The table of Ultralytics' ``benchmark``: its ``benchmarks.log``, the console, CSV or Markdown made of it.

Columns: docs.ultralytics.com/modes/benchmark. The time is the mean of the forward pass over the validation images,
without pre- and post-processing; one mean a row, no distribution. Its FPS is 1000 / that mean, so no measured
throughput. The name of the score is its column's; the data stand in the sentence above the table. MB are MiB.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from whichpu.errors import UserError
from whichpu.results.entries import Entry, Value
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import number
from whichpu.results.reported.figures import Figures, stem, step_of, told
from whichpu.results.reported.rows import MIB, MS_NS, of_row
from whichpu.results.reported.study import SCORES, score_named, words_of

TOOL = "Ultralytics benchmark"
TIME = "Inference time (ms/im)"
COLUMN = re.compile(r"Format|Status[^\s|,│┆]*|Size \(MB\)|metrics/[^\s|,│┆\"]+|Inference time \(ms/im\)|FPS")
TITLE = re.compile(r"Benchmarks complete for (\S+)(?: on (\S+))?(?: at imgsz=(\d+))?")
VERSION = re.compile(r"Ultralytics (?:YOLOv)?(\d+\.\d+\.\d+)")
BOUNDARY = "the forward pass, between pre- and post-processing"
NO_RATE = "its FPS is 1000 / the mean time, no measured rate"


class Table(NamedTuple):
    """Where a table begins: what its columns are, how its cells are kept apart, and the sentence above it."""

    columns: list[str]
    delimiter: str
    model: str | None
    data: str | None
    size: str | None


def recognises(head: str, name: str) -> bool:
    """Does Ultralytics write like this?"""
    return TIME in head or bool(TITLE.search(head))


def read(text: str, source: Source) -> Reported:
    """An entry a row, of all tables: ``benchmarks.log`` grows with each run. Raises :class:`UserError`."""
    version = VERSION.search(text)
    rows = list(_rows(text))
    if not rows:
        raise UserError(f"has no table with rows under {TIME!r}", "give benchmarks.log whole")
    entries = [_entry(*row, source, len(rows) > 1, version[1] if version else None) for row in rows]
    notes = [] if version else ["the version of Ultralytics is not in it"]
    return Reported(
        format="ultralytics",
        tool=TOOL,
        tool_version=version and version[1],
        source=source,
        entries=entries,
        notes=notes,
    )


def _rows(text: str) -> Iterator[tuple[Table, int, dict[str, str]]]:
    table: Table | None = None
    model = data = size = None
    for line_number, line in enumerate(text.splitlines(), 1):
        title = TITLE.search(line)
        if title:
            (model, data, size), table = title.groups(), None
        elif TIME in line:
            table = _header(line, model, data, size)
        elif table is not None:
            cells = _cells(line, table)
            if cells.get("Format"):
                yield table, line_number, cells


def _header(line: str, model: str | None, data: str | None, size: str | None) -> Table:
    delimiter = next((mark for mark in "┆│|," if mark in line), " ")
    if delimiter == " ":
        return Table(COLUMN.findall(line), delimiter, model, data, size)
    named = [COLUMN.search(cell) for cell in _split(line, delimiter)]
    return Table([found[0] if found else "" for found in named], delimiter, model, data, size)


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == ",":
        try:
            return [cell.strip() for cell in next(csv.reader([line]), [])]
        except csv.Error:
            return []
    if delimiter == "|":
        return [cell.strip().strip("*`") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
    return [cell.strip() for cell in re.split("[┆│]", line.strip().strip("│"))]


def _cells(line: str, table: Table) -> dict[str, str]:
    """A row's cells by column; none where the line is no row."""
    if table.delimiter != " ":
        cells = _split(line, table.delimiter)
        bare = set("".join(cells)) <= set("-:= ─╌")
        return {} if bare or len(cells) != len(table.columns) else dict(zip(table.columns, cells, strict=True))
    cells = line.rsplit(maxsplit=len(table.columns) - 1)
    if len(cells) != len(table.columns) or not re.match(r"\s*\d+\s", line):
        return {}
    cells[0] = re.sub(r"^\s*\d+\s+", "", cells[0])
    return dict(zip(table.columns, cells, strict=True))


def _entry(table: Table, line: int, cells: dict[str, str], source: Source, several: bool, version: str | None) -> Entry:
    figures, kind = Figures(TOOL), cells["Format"]
    terms = told(boundary=BOUNDARY, batch="1" if table.model else None)
    figures.put("latency_mean", cells.get(TIME), f"line {line}, column {TIME}", MS_NS, terms)
    if "Size (MB)" in cells:
        figures.put("size", cells["Size (MB)"], f"line {line}, column Size (MB)", MIB)
    figures.lacks("throughput", NO_RATE)
    status = next((cell for name, cell in cells.items() if name.startswith("Status")), "")
    model = stem(table.model)
    entry = figures.entry(of_row(source, kind, several), model, f"{kind} (Ultralytics)", tool_version=version)
    scores = dict(found for name, cell in cells.items() if (found := _score(name, cell, line, table)))
    kept = {key: score for key, score in scores.items() if score is not None}
    failed = any(mark in status for mark in "❌❎")
    reason = f"its status is {status}: the export or the run failed" if failed else "its place in the file is empty"
    missing = [key for key in (*scores, *(("latency_mean", "size") if failed else ())) if key not in kept]
    absent = entry.absent | {key: reason for key in missing if key not in entry.values}
    return msgspec.structs.replace(entry, values=entry.values | kept, absent=absent)


def _score(column: str, cell: str, line: int, table: Table) -> tuple[str, Value | None] | None:
    """The score that a column tells, with its name; without a value where the cell has none."""
    words = words_of(column) if column.startswith("metrics/") else ()
    name, value = "top5" if "top5" in words else score_named(words), number(cell)
    if name is None:
        return None
    if value is None or not 0 <= value <= 1:
        return f"score:{name}", None
    unit, better = SCORES[name]
    told_ = (column, table.data and f"on {table.data}", table.size and f"at imgsz={table.size}")
    terms = {"protocol": " ".join(part for part in told_ if part)}
    where = f"line {line}, column {column}"
    score = Value(value=value, unit=unit, better=better, step=step_of(cell), terms=terms, where=where)
    return f"score:{name}", score
