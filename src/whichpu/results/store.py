"""Campaign files: written atomically, read strictly."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from whichpu.errors import UserError
from whichpu.results.boundary import parts_of
from whichpu.results.column import unpack
from whichpu.results.schema import VERSION, Campaign, Reading
from whichpu.results.sustained import windows_of
from whichpu.results.writable import Kind

MODE = 0o644
Content = TypeVar("Content")


def save(campaign: Campaign, path: Path) -> None:
    """Replace ``path`` whole or not at all. Raises :class:`UserError` for a full or forbidden disk."""
    write(path, msgspec.json.encode(campaign) + b"\n")


def write(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path``, flush it to the disk, then rename. Raises :class:`UserError`."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, MODE)
        os.replace(temporary, path)
    except OSError as problem:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise _disk_trouble(path, problem) from problem


def load(path: Path) -> Campaign:
    """Read a campaign file. Raises :class:`UserError` when it is missing, damaged, foreign or too new."""
    return checked(_body(path, "campaign", "run"), path)


def read(path: Path, kind: Kind, content: type[Content], version: str, check: Callable[[Content], None]) -> Content:
    """A file that the command called ``kind`` wrote. Raises :class:`UserError`, as :func:`load` does.

    ``check`` raises :class:`ValueError` for a file of which no figures can be made.
    """
    body = _body(path, kind, kind)
    found = body.get("schema") if isinstance(body, dict) else None
    if found != version:
        if isinstance(found, str) and found.startswith(f"whichpu.{kind}/"):
            raise UserError(f"{path} is of schema {found}; this WhichPU reads {version}", "upgrade WhichPU")
        raise UserError(f"{path} is not a {kind} file", f"give a file that `whichpu {kind}` wrote")
    try:
        whole = msgspec.convert(body, content)
        check(whole)
        return whole
    except (msgspec.ValidationError, ValueError) as problem:
        raise UserError(f"{path} is damaged: {problem}", f"run `whichpu {kind}` again") from problem


def _body(path: Path, kind: Kind, command: str) -> Any:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UserError(
            f"{path} is not a {kind} file: {problem}", f"give a file that `whichpu {command}` wrote"
        ) from problem


def checked(body: Any, path: Path) -> Campaign:
    """A campaign from decoded JSON; every column is whole. Raises :class:`UserError`."""
    _check_version(path, body)
    try:
        campaign = msgspec.convert(body, Campaign)
        for result in campaign.results:
            for reading in result.readings:
                _whole(f"{result.name}, round {reading.round + 1}", reading)
                parts_of(reading)
            if result.sustained is not None:
                windows_of(result.sustained)
        return campaign
    except (msgspec.ValidationError, ValueError) as problem:
        raise UserError(f"{path} is damaged: {problem}", "measure again, or repair it by hand") from problem


def _check_version(path: Path, body: Any) -> None:
    found = body.get("schema") if isinstance(body, dict) else None
    if found == VERSION:
        return
    if isinstance(found, str) and found.startswith("whichpu.campaign/"):
        raise UserError(f"{path} is of schema {found}; this WhichPU reads {VERSION}", "upgrade WhichPU")
    if isinstance(found, str) and found.startswith("whichpu.fleet/"):
        raise UserError(f"{path} holds campaigns of several boards", "`whichpu show`, `compare` and `report` read it")
    if isinstance(found, str) and found.startswith("whichpu.scenario/"):
        raise UserError(
            f"{path} is a scenario file, not a campaign file", "`whichpu show` and `whichpu report` read it"
        )
    raise UserError(
        f"{path} is not a campaign file: it names no whichpu.campaign schema", "give a file that `whichpu run` wrote"
    )


def _whole(where: str, reading: Reading) -> None:
    """Raises :class:`ValueError` when blocks and latencies don't belong together."""
    count = 0 if reading.latencies_ns is None else len(unpack(reading.latencies_ns))
    if sum(block.count for block in reading.blocks) != count:
        raise ValueError(f"{where}: its blocks do not hold its {count} latencies")
    if any(not 0 <= block.opening <= block.count for block in reading.blocks):
        raise ValueError(f"{where}: a block has more opening inferences than inferences")


def _disk_trouble(path: Path, problem: OSError) -> UserError:
    before = f"{path} still holds what was saved before" if path.exists() else None
    if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(f"the disk of {path} is full", "free some space; a run then goes on with --resume", before)
    return UserError(f"can't write {path}: {problem.strerror}", "choose another place with -o", before)
