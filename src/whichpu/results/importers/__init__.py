"""Logs of other programs, read into channels and times. One file per format and one line each in the table.

An importer is a module with

``recognises(head)``      does a file that begins like this (its first 4,000 characters) have this format?
``read(text, options)``   the whole file as a :class:`Log`; raises :class:`whichpu.errors.UserError` that names the line
                          which can't be read, what was expected, and what to try

A value that the log doesn't hold (``-``, ``N/A``, ``[Not Supported]``, a sensor that is off) is left out, never zero.
"""

from __future__ import annotations

import codecs
import datetime
import importlib
from fractions import Fraction
from typing import Protocol, cast

import msgspec

from whichpu.errors import UserError
from whichpu.worker.wire import Channel

FORMATS: dict[str, str] = {
    "ptdaemon": ".ptdaemon",
    "tegrastats": ".tegrastats",
    "dmon": ".dmon",
    "nvidia-smi-csv": ".nvidia_smi_csv",
    "csv": ".meter_csv",
}
"""Names of formats (``--format``) and their modules."""

ANY_TABLE = "csv"
"""Takes any table with a header: recognised only where nothing more particular is."""

HEAD = 4_000
"""So many characters of a file say which format it has."""


class Series(msgspec.Struct, kw_only=True):
    """One channel of a log: times in ns and whole numbers in the channel's unit, in order and of one length."""

    channel: Channel
    at_ns: list[int] = []
    values: list[int] = []


class Log(msgspec.Struct, kw_only=True):
    """What a log holds. ``clock`` is what its times count from: ``utc`` (the epoch) or ``start`` (its own beginning,
    which must then be told or found by alignment). ``notes`` are what a reader of the figures should know."""

    format: str
    clock: str
    series: list[Series]
    notes: list[str] = []


class Options(msgspec.Struct, kw_only=True, frozen=True):
    """What a log doesn't say itself. ``period_ns`` is the time between its lines where they carry none; ``zone`` that
    of times of day without one (``None``: this machine's); ``columns`` name what each column holds, for CSV
    (``{"P": "power:mW"}``), and ``voltage_v`` is the supply where only the current was logged."""

    period_ns: int | None = None
    zone: datetime.tzinfo | None = None
    columns: dict[str, str] = {}
    scope: str | None = None
    voltage_v: Fraction | None = None


class Importer(Protocol):
    """What the module of a format offers."""

    def recognises(self, head: str) -> bool: ...
    def read(self, text: str, options: Options) -> Log: ...


def read(data: bytes, name: str, options: Options, format: str | None = None) -> Log:
    """The log in ``data``; ``format`` is recognised where it isn't told. Raises :class:`UserError`."""
    text = decoded(data)
    if not text.strip():
        raise UserError(f"{name} is empty", "give the log that the other program wrote")
    chosen = format or recognised(text, name)
    if chosen not in FORMATS:
        raise UserError(f"{chosen!r} is no format of logs", f"known: {', '.join(FORMATS)}")
    try:
        log = _importer(chosen).read(text, options)
    except UserError as problem:
        raise UserError(f"{name}: {problem}", problem.remedy) from problem
    if not any(series.values for series in log.series):
        raise UserError(f"{name} ({chosen}) holds no reading", "give a log with readings, or another --format")
    return log


def recognised(text: str, name: str) -> str:
    """The format of a file, by its beginning. Raises :class:`UserError`."""
    head = text[:HEAD]
    found = [format for format in FORMATS if _importer(format).recognises(head)]
    particular = [format for format in found if format != ANY_TABLE]
    if len(particular) > 1:
        raise UserError(f"{name} may be of several formats: {', '.join(particular)}", f"--format {particular[0]}")
    if not found:
        first = next(line for line in text.splitlines() if line.strip())
        raise UserError(
            f"the format of {name} is not recognised; it begins: {first.strip()[:80]!r}",
            f"name it with --format; known: {', '.join(FORMATS)}",
        )
    return (particular or found)[0]


def decoded(data: bytes) -> str:
    """Text of a log: UTF-8, UTF-16 where it says so, else Latin-1, which old meters write (µ, °)."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _importer(format: str) -> Importer:
    return cast(Importer, importlib.import_module(FORMATS[format], __name__))
