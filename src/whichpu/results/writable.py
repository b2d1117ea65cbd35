"""Where a result may be written: never over what is read, and only over a file of its own kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Literal

from whichpu.errors import UserError

Kind = Literal["campaign", "scenario", "together"]
BEGINNINGS: dict[Kind, re.Pattern[bytes]] = {
    "campaign": re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.(campaign|fleet)/'),
    "scenario": re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.scenario/'),
    "together": re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.together/'),
}


def writable(
    output: str | PathLike[str],
    kind: Kind,
    example: str,
    read: Iterable[str | PathLike[str] | None],
    *,
    overwrite: bool,
    resume: bool | None = None,
) -> Path:
    """``output``, unless it must not or can't be written. Raises :class:`UserError`.

    ``example`` is a name for it, ``read`` all that the command reads. ``resume`` is ``None`` where nothing can be
    gone on with.
    """
    path = Path(output)
    if resume and overwrite:
        raise UserError("--resume goes on with a file, --overwrite replaces it", "give one of them")
    if resume and not path.exists():
        raise UserError(f"there is no {path} to go on with", "leave out --resume to begin")
    if path.is_dir():
        raise UserError(f"{path} is a folder", f"name a file in it: -o {path / example}")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}", f"mkdir -p {path.parent}")
    spare(path, read)
    if not path.exists() or resume:
        return path
    if not overwrite:
        ways = [] if resume is None else ["resume (--resume) goes on with it"]
        raise UserError(f"{path} exists", ", ".join([*ways, "overwrite (--overwrite) replaces it"]))
    if not begins(path, BEGINNINGS[kind]):
        raise UserError(f"{path} is not a {kind} file; --overwrite replaces no other", "name another file: -o FILE")
    return path


def spare(output: Path, read: Iterable[str | PathLike[str] | None]) -> None:
    """Refuse to write over what the command reads. Raises :class:`UserError`."""
    for path in read:
        try:
            same = path is not None and output.samefile(path)
        except OSError:  # one of them is not there, or can't be looked at: who reads it will say so
            continue
        if same:
            raise UserError(f"{output} would replace {path}, which this command reads", "name another file: -o FILE")


def begins(path: Path, beginning: re.Pattern[bytes]) -> bool:
    """Does a file begin so? An empty one may become anything; a device is no file. Raises :class:`UserError`."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            found = file.read(4096)
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}", "name another file: -o FILE") from problem
    return not found or beginning.match(found) is not None


def is_one(path: Path, kind: Kind) -> bool:
    """Does a file begin as one of this kind does? What can't be read is none; who loads it says why."""
    try:
        with path.open("rb") as file:
            return BEGINNINGS[kind].match(file.read(256)) is not None
    except OSError:
        return False
