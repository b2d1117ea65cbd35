"""What is in a compiled file? ``whichpu.api.describing`` is ``whichpu analyze FILE.hef`` without a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from whichpu.api.measuring import Pathlike
from whichpu.graphs import compiled
from whichpu.graphs.compiled import Described


def describe(models: Pathlike | Sequence[Pathlike]) -> Described:
    """Chip, compiler, networks, streams and estimates of compiled files (HEF); neither device nor runtime is needed.

    A file that can't be read is a row with its ``refusal``. Raises :class:`whichpu.UserError` for a file that is not
    compiled.
    """
    paths = [models] if isinstance(models, str | PathLike) else models
    return compiled.describe([Path(path) for path in paths])
