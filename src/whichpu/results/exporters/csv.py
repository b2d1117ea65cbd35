"""CSV in the long form (RFC 4180, line feeds): every number with all its digits, an empty cell for what is absent."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import msgspec

from whichpu.results.anything import File
from whichpu.results.exporters import Written
from whichpu.results.exporters.rows import COLUMNS, rows

KIND = "CSV of `whichpu export`"
BEGINNING = re.compile(",".join(COLUMNS[:4]).encode())


def write(files: Sequence[File]) -> Written:
    """One line for each figure."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    out.writerows(msgspec.structs.astuple(row) for row in rows(files))
    return Written(text.getvalue().encode(), [])
