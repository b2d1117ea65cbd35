"""Figures that other tools report, read into entries: one file per format, one line each in the table.

An importer is a module with

``recognises(head, name)``   does a file that begins like this (its first 4,000 characters) have this format?
``read(text, source)``       the file's :class:`Reported`; raises :class:`whichpu.errors.UserError` that names the place
                             which can't be read, what was expected, and what to try

What the file does not hold is absent, with that reason, never zero and never derived.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from whichpu.results.entries import Entry

FORMATS: dict[str, str] = {}
"""Names of formats (``--format``) and their modules, the more particular first."""

HEAD = 4_000


class Source(msgspec.Struct, frozen=True):
    """The file as it was found. ``model`` and ``contender`` are the user's names where the file has none."""

    name: str
    sha256: str
    model: str | None = None
    contender: str | None = None


class Reported(msgspec.Struct, kw_only=True):
    """What a file of another tool holds. ``original`` is the file itself (gzip, base64) where it is small enough."""

    schema: str = "whichpu.reported/1"
    format: str
    tool: str
    tool_version: str | None = None
    source: Source
    entries: list[Entry] = []
    samples: dict[str, list[float]] = {}
    """Single latencies in ns, by contender, where the file has them."""
    notes: list[str] = []
    original: str | None = None


class Importer(Protocol):
    """What the module of a format offers."""

    def recognises(self, head: str, name: str) -> bool: ...
    def read(self, text: str, source: Source) -> Reported: ...
