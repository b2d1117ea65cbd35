"""Figures that other tools report, read into entries: one file per format, one line each in the table.

An importer is a module with

``recognises(head, name)``   does a file that begins like this (its first 4,000 characters) have this format?
``read(text, source)``       the file's :class:`Reported`; raises :class:`whichpu.errors.UserError` that names the place
                             which can't be read, what was expected, and what to try

What the file does not hold is absent, with that reason, never zero and never derived. What a figure stands for goes
into its ``terms``, in the words of :data:`whichpu.results.comparability.TERMS`. ``fields`` reads numbers and JSON.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib
import math
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from whichpu.errors import UserError
from whichpu.results import store
from whichpu.results.entries import Entry
from whichpu.results.importers import decoded

VERSION = "whichpu.reported/1"

FORMATS: dict[str, str] = {
    "hailortcli": ".hailo",
    "loadgen": ".loadgen",
    "tegrastats": ".tegrastats",
    "vela": ".vela",
    "trtexec": ".trtexec",
    "benchmark_app": ".benchmark_app",
    "onnxruntime_profile": ".ort_profile",
    "onnxruntime_perf_test": ".ort_perf_test",
    "litert": ".litert",
    "ultralytics": ".ultralytics",
    "aihub": ".aihub",
    "aihub-models": ".aihub_models",
    "winml": ".winml",
    "optimum-benchmark": ".optimum",
    "perf_analyzer": ".perf_analyzer",
    "pytest-benchmark": ".pytest_benchmark",
    "pyperf": ".pyperf",
    "hyperfine": ".hyperfine",
    "study-scores": ".study_scores",
    "study": ".study",
}
"""Names of formats (``--format``) and their modules, the more particular first."""

HEAD = 4_000
KEPT_MOST = 4_000_000
"""Bytes of a file up to which it is kept whole."""
WHAT_TO_GIVE = "give a file that a benchmark tool wrote; docs/import.md lists which"


class Source(msgspec.Struct, frozen=True):
    """The file as it was found. ``model`` and ``contender`` are the user's names where the file has none."""

    name: str
    sha256: str
    model: str | None = None
    contender: str | None = None


class Reported(msgspec.Struct, kw_only=True):
    """What a file of another tool holds. ``original`` is the file itself (gzip, base64) where it is small enough."""

    schema: str = VERSION
    format: str
    tool: str
    tool_version: str | None = None
    source: Source
    entries: list[Entry] = []
    samples: dict[str, list[float]] = {}
    """Single latencies in ns, by contender, where the file has them."""
    notes: list[str] = []
    original: str | None = None
    parts: list[Reported] = []
    """Of several files imported into one: each of them, less its entries, samples and notes, which stand above."""


class Importer(Protocol):
    """What the module of a format offers."""

    def recognises(self, head: str, name: str) -> bool: ...
    def read(self, text: str, source: Source) -> Reported: ...


def read(path: Path, format: str | None = None, model: str | None = None, contender: str | None = None) -> Reported:
    """What a file of another tool holds, or what ``whichpu import`` made of one. Raises :class:`UserError`.

    ``format`` is recognised where it isn't told; ``model`` and ``contender`` are names where the file has none.
    """
    data = bytes_of(path)
    found = parsed(data, str(path), format, model, contender)
    if not is_saved(data) and len(data) <= KEPT_MOST:
        found.original = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    return found


def bytes_of(path: Path) -> bytes:
    """A file's bytes. Raises :class:`UserError`."""
    try:
        return path.read_bytes()
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem


def parsed(
    data: bytes, name: str, format: str | None = None, model: str | None = None, contender: str | None = None
) -> Reported:
    """What a file called ``name`` holds, without its original. Raises :class:`UserError`."""
    if is_saved(data):
        return loaded(data, name)
    text = _text(data, name)
    chosen = format or recognised(text, name)
    if chosen not in FORMATS:
        raise UserError(f"{chosen!r} is no format of results", f"known: {', '.join(FORMATS)}")
    source = Source(Path(name).name, hashlib.sha256(data).hexdigest(), model, contender)
    try:
        found = _importer(chosen).read(text, source)
    except UserError as problem:
        raise UserError(f"{name}: {problem}", problem.remedy) from problem
    if not any(entry.values for entry in found.entries):
        raise UserError(f"{name} ({chosen}) holds no figure", "give a file with results, or another --format")
    return found


def recognised(text: str, name: str) -> str:
    """The format of a text, by its beginning. Raises :class:`UserError`."""
    head, plain = text[:HEAD], Path(name).name
    found = next((format for format in FORMATS if _importer(format).recognises(head, plain)), None)
    if found is not None:
        return found
    first = " ".join(head.split())
    raise UserError(
        f"{name} is not a campaign file, nor of a tool whose results are known; it begins: {first[:80]!r}",
        f"name its format with --format (known: {', '.join(FORMATS)}), or {WHAT_TO_GIVE}",
    )


def merged(several: Sequence[Reported]) -> Reported:
    """Several files as one; a single one as it is."""
    if len(several) == 1:
        return several[0]
    hashes = hashlib.sha256("".join(each.source.sha256 for each in several).encode())
    tools = list(dict.fromkeys(each.tool for each in several))
    names = [name for each in several for name in {entry.contender for entry in each.entries}]
    return Reported(
        format="several",
        tool=", ".join(tools),
        source=Source(", ".join(each.source.name for each in several), hashes.hexdigest()),
        entries=[entry for each in several for entry in each.entries],
        samples={
            name if names.count(name) == 1 else f"{name} ({each.source.name})": values
            for each in several
            for name, values in each.samples.items()
        },
        notes=[f"{each.source.name}: {note}" for each in several for note in each.notes],
        parts=[msgspec.structs.replace(each, entries=[], samples={}, notes=[]) for each in several],
    )


# ---------------------------------------------------------------- our own file


def is_saved(data: bytes) -> bool:
    """Do bytes begin as a file does that ``whichpu import`` wrote?"""
    return data[:200].lstrip().replace(b" ", b"").startswith(b'{"schema":"whichpu.reported/')


def save(reported: Reported, path: Path) -> None:
    """Replace ``path`` whole or not at all. Raises :class:`UserError`."""
    store.write(path, msgspec.json.encode(reported) + b"\n")


def loaded(data: bytes, name: str) -> Reported:
    """What ``whichpu import`` wrote, read strictly. Raises :class:`UserError` for what is damaged or too new."""
    how = "import the tool's own file again"
    try:
        body: Any = msgspec.json.decode(data)
        version = body["schema"]
        if version != VERSION:
            raise UserError(f"{name} is of schema {version}; this WhichPU reads {VERSION}", "upgrade WhichPU")
        found = msgspec.convert(body, Reported)
        for each in (found, *found.parts):
            _check(each)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError, ValueError) as problem:
        raise UserError(f"{name} is damaged: {problem}", how) from problem
    return found


def original_of(reported: Reported) -> bytes | None:
    """The file itself; ``None`` where it was too large to be kept. Raises :class:`ValueError` when it is damaged."""
    if reported.original is None:
        return None
    try:
        packed = base64.b64decode(reported.original, validate=True)
        data = zlib.decompressobj(wbits=31).decompress(packed, KEPT_MOST + 1)
    except zlib.error as problem:
        raise ValueError(f"its original: {problem}") from problem
    return data


def json_schema() -> dict[str, object]:
    """The published JSON Schema of what ``whichpu import`` writes."""
    schema = msgspec.json.schema(Reported)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": VERSION, **schema}


def _check(reported: Reported) -> None:
    """Raises :class:`ValueError` for an original that isn't the file imported, and an interval that is turned round."""
    data = original_of(reported)
    if data is not None and hashlib.sha256(data).hexdigest() != reported.source.sha256:
        raise ValueError(f"the original of {reported.source.name} has another hash than its source")
    for entry in reported.entries:
        for key, value in entry.values.items():
            low, high = value.low, value.high
            if not math.isfinite(value.value) or (low is not None and high is not None and low > high):
                raise ValueError(f"{entry.contender}: {key} is no figure")


def _text(data: bytes, name: str) -> str:
    """The decoded text. Raises :class:`UserError` for what is empty or no text."""
    text = decoded(data)
    if not text.strip():
        raise UserError(f"{name} is empty: it is not a campaign file, nor another tool's result", WHAT_TO_GIVE)
    if "\0" in text:
        raise UserError(f"{name} is not a campaign file: it is binary", WHAT_TO_GIVE)
    return text


@cache
def _importer(format: str) -> Importer:
    return cast(Importer, importlib.import_module(FORMATS[format], __name__))
