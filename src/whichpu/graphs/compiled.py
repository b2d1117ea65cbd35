"""Models that are compiled already, described without the device: a row a file, one describer a format in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from whichpu import __version__
from whichpu.errors import UserError
from whichpu.worker import hef

VERSION = "whichpu.compiled/1"
SECONDS = range(1_400_000_000, 4_102_444_800)
"""2014 to 2100: what a HEF's timestamp has to be to be shown as a date."""


class CompiledRow(msgspec.Struct, frozen=True, kw_only=True):
    """One file. ``chip`` is the maker's name of what it was compiled for, ``runs_on`` the devices that take it.

    ``groups`` are network groups as :class:`whichpu.worker.hef.Group`; the estimates in them are the compiler's own.
    ``refusal`` says why the file could not be read, ``remedy`` what to try; all else is then empty.
    """

    file: str
    format: str
    bytes: int = 0
    weights_bytes: int | None = None
    chip: str = ""
    arch: str = ""
    runs_on: list[str] = []
    compiler: str = ""
    created: str | None = None
    features: list[str] = []
    groups: list[dict[str, Any]] = []
    refusal: str = ""
    remedy: str = ""


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What ``whichpu analyze FILE.hef --json`` prints."""

    schema: str = VERSION
    whichpu: str = __version__
    models: list[CompiledRow]


def form_of(path: Path) -> str | None:
    """The format of a compiled file, by its suffix or its first bytes; ``None`` for a model that is not compiled."""
    if path.suffix.lower() == ".hef":
        return "hef"
    try:
        with path.open("rb") as file:
            return "hef" if file.read(4) == b"\x01HEF" else None
    except OSError:
        return None


def describe(paths: Sequence[Path]) -> Described:
    """Each file, or why it could not be read. Raises :class:`UserError` where one is not compiled."""
    others = [path for path in paths if form_of(path) is None]
    if others:
        raise UserError(
            f"{others[0]} is not compiled, others here are", "analyse them apart; a compiled file takes no --npu"
        )
    return Described(models=[_row(path) for path in paths])


def _row(path: Path) -> CompiledRow:
    form = form_of(path)
    assert form is not None
    try:
        return DESCRIBERS[form](path)
    except hef.HefError as problem:
        return CompiledRow(file=str(path), format=form, refusal=str(problem), remedy=hef.AGAIN)
    except OSError as problem:
        words = f"can't read {path}: {problem.strerror}"
        return CompiledRow(file=str(path), format=form, refusal=words, remedy="see whether it is there")


def _hef(path: Path) -> CompiledRow:
    found = hef.read(str(path))
    return CompiledRow(
        file=str(path),
        format="hef",
        bytes=found.file_bytes,
        weights_bytes=found.weights_bytes,
        chip=found.chip,
        arch=found.arch,
        runs_on=[_maker(device) for device in hef.RUNS if found.runs_on(device)],
        compiler=found.compiler,
        created=_date(found.timestamp),
        features=found.features,
        groups=[asdict(group) for group in found.groups],
    )


def _maker(device: str) -> str:
    return next(name for arch, name in hef.CHIPS.values() if arch == device)


def _date(timestamp: int) -> str | None:
    """The day in UTC of seconds, or of milliseconds, since 1970."""
    for seconds in (timestamp, timestamp // 1000):
        if seconds in SECONDS:
            return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    return None


DESCRIBERS: dict[str, Callable[[Path], CompiledRow]] = {"hef": _hef}
