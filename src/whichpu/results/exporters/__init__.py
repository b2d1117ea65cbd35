"""Results written for other tools: one file per format, one line each in the table of ``api/exporting.py``.

An exporter is a module with

``KIND``          what it writes, in words, and ``BEGINNING``: how such a file begins, so that no other is replaced
``write(files)``  the file's bytes and what had to be left out; raises :class:`whichpu.errors.UserError`

What is absent stays absent. Raw latencies go out where the format has a place for them. Those that put figures into
words (Markdown, JUnit) are in ``reports/``.
"""

from __future__ import annotations

from typing import NamedTuple


class Written(NamedTuple):
    """A file's bytes, and a sentence on each contender that the format has no place for."""

    data: bytes
    left_out: list[str]
