"""A task's TOML file: read strictly, and told field by field, so that two unequal protocols differ by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from whichpu.errors import UserError

Described = TypeVar("Described")


def read(path: Path) -> dict[str, Any]:
    """The file's content. Raises :class:`UserError`."""
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"{path} is not TOML: {problem}") from problem


def convert(path: Path, body: Mapping[str, Any], kind: type[Described]) -> Described:
    """The content as a struct of that type. Raises :class:`UserError` that names file and field."""
    try:
        return msgspec.convert(body, kind, strict=False)
    except msgspec.ValidationError as problem:
        raise UserError(
            f"{path}: {_placed(problem, body)}", "docs/tasks-and-data.md lists the fields of each kind"
        ) from problem


def _placed(problem: msgspec.ValidationError, body: Mapping[str, Any]) -> str:
    """``[preprocess.resize]: ...`` for ``... - at `$.preprocess.resize```, where the library names no keys of maps."""
    says, _, place = str(problem).partition(" - at `")
    names = [name for name in re.findall(r"[\w-]+", place) if not name.isdigit()]
    if place.startswith("$[...]") and len(body) == 1:
        names = [*body, *names]
    return f"[{'.'.join(names)}]: {says}" if names else says


def protocol(fields: Mapping[str, Any]) -> dict[str, str]:
    """Structs, tables and values as words, one for each field that is set: ``preprocess.resize.size`` = ``384, 384``.

    What has its default is left out when that is ``None``: a field that is added later doesn't change old protocols.
    """
    told: dict[str, str] = {}
    for name, value in msgspec.to_builtins(fields).items():
        _flatten(name, value, told)
    return told


def sha256(told: Mapping[str, str]) -> str:
    """The hash of a protocol: of its fields and words, in the order of the names."""
    return hashlib.sha256(msgspec.json.encode(sorted(told.items()))).hexdigest()


def _flatten(name: str, value: Any, told: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, told)
    elif isinstance(value, list | tuple):
        told[name] = ", ".join(map(str, value))
    elif value is not None:
        told[name] = str(value)
