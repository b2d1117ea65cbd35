"""The long form: one row for each figure of each contender, absent ones with their reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from whichpu.results.anything import File
from whichpu.results.entries import METRICS, Entry, Value
from whichpu.results.nway import keys_of


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A figure in base units (ns, 1/s, W, J, B; a share is of 1); ``low`` to ``high`` is its 95 % interval, ``terms``
    what it stands for (``batch=1; boundary=end_to_end``). Where ``value`` is ``None``, ``absent`` says why."""

    model: str
    contender: str
    metric: str
    value: float | None
    unit: str
    low: float | None
    high: float | None
    count: int | None
    better: str
    terms: str
    absent: str | None
    estimated: bool
    device: str | None
    precision: str | None
    tool: str
    tool_version: str | None
    machine: str | None
    file: str
    sha256: str
    doubts: str


COLUMNS = tuple(field.name for field in msgspec.structs.fields(Row))


def rows(files: Sequence[File]) -> list[Row]:
    """All figures of all files, in the order of the files; of each model the figures that any of its contenders has."""
    entries = [entry for file in files for entry in file.entries]
    keys = {model: keys_of(each) for model, each in _by_model(entries).items()}
    return [row for entry in entries for row in _rows(entry, keys[entry.model])]


def terms(value: Value) -> str:
    """What a figure stands for, on one line."""
    return "; ".join(f"{term}={value.terms[term]}" for term in sorted(value.terms))


def _by_model(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.model, []).append(entry)
    return found


def _rows(entry: Entry, keys: Sequence[str]) -> Iterator[Row]:
    doubts = "; ".join(entry.doubts)
    for key in keys:
        value, metric = entry.values.get(key), METRICS.get(key)
        told = value or metric
        yield Row(
            model=entry.model,
            contender=entry.contender,
            metric=key,
            value=value.value if value else None,
            unit=told.unit if told else "",
            low=value.low if value else None,
            high=value.high if value else None,
            count=value.count if value else None,
            better=told.better if told else "neither",
            terms=terms(value) if value else "",
            absent=None if value else entry.absent.get(key, "the file does not tell it"),
            estimated=entry.estimated,
            device=entry.device,
            precision=entry.precision,
            tool=entry.tool,
            tool_version=entry.tool_version,
            machine=entry.machine,
            file=entry.file,
            sha256=entry.sha256,
            doubts=doubts,
        )
