"""Logs of other programs, read into channels and times. One file per format and one line each in the table.

An importer is a module with

``recognises(head)``      does a file that begins like this (its first 4,000 characters) have this format?
``read(text, options)``   the whole file as a :class:`Log`; raises :class:`whichpu.errors.UserError` that names the line
                          which can't be read, what was expected, and what to try

A value that the log doesn't hold (``-``, ``N/A``, ``[Not Supported]``, a sensor that is off) is left out, never zero.
"""

from __future__ import annotations

import datetime

import msgspec

from whichpu.worker.wire import Channel

FORMATS: dict[str, str] = {}
"""Names of formats (``--format``) and their modules."""


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
    of times of day without one (``None``: this machine's); ``columns`` name what each column holds, for CSV."""

    period_ns: int | None = None
    zone: datetime.tzinfo | None = None
    columns: dict[str, str] = {}
    scope: str | None = None
