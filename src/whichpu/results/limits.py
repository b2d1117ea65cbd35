"""How much worse is too much: the ``[check]`` table of the project's ``whichpu.toml``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from whichpu.errors import UserError

FILE = "whichpu.toml"
TABLES = ("boards", "check", "run")
"""Of which only one is read here; ``targets/inventory.py`` reads the others."""


class Limits(msgspec.Struct, kw_only=True, frozen=True):
    """Relative changes (0.02 is 2 %). ``latency_median`` and ``score``: a shown change for the worse beyond it fails.

    ``day_to_day`` is by how much an unchanged latency is taken to move between two campaigns.
    """

    latency_median: float = 0.02
    score: float = 0.01
    day_to_day: float = 0.05


class Override(msgspec.Struct, kw_only=True, frozen=True):
    """Other limits for one model, one target (or contender's name), or one model on one target."""

    model: str | None
    target: str | None
    limits: dict[str, float]


class Config(msgspec.Struct, kw_only=True, frozen=True):
    """Limits for all, and the exceptions in the order of the file: later ones win."""

    limits: Limits = Limits()
    overrides: list[Override] = []

    def of(self, model: str, *targets: str) -> Limits:
        """The limits for a model on a target, which may have several names."""
        found = self.limits
        for override in self.overrides:
            if override.model in (None, model) and override.target in (None, *targets):
                found = msgspec.structs.replace(found, **override.limits)
        return found


def find(folder: Path) -> Path | None:
    """``whichpu.toml`` in ``folder`` or the nearest folder above it."""
    folder = folder.absolute()
    return next((place / FILE for place in (folder, *folder.parents) if (place / FILE).is_file()), None)


def load(path: Path | None) -> Config:
    """The limits of a file; ``None``: the defaults. Raises :class:`UserError` for what is not a known key or share."""
    if path is None:
        return Config()
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UserError(
            f"can't read {path}: {problem.strerror}", "name a file that is there: --config FILE"
        ) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"{path} is not TOML: {problem}") from problem
    _known(path, "the file", body, TABLES)
    check = body.get("check", {})
    if not isinstance(check, dict):
        raise UserError(f"{path}: check is not a table", "write [check] above its keys")
    names = Limits.__struct_fields__
    _known(path, "[check]", check, (*names, "override"))
    entries = check.get("override", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path}: override is not a list of tables", "write [[check.override]] above each")
    limits = Limits(**_shares(path, "[check]", check))
    return Config(limits=limits, overrides=[_override(path, entry) for entry in entries])


def _override(path: Path, entry: dict[str, Any]) -> Override:
    where = "[[check.override]]"
    _known(path, where, entry, (*Limits.__struct_fields__, "model", "target"))
    for name in ("model", "target"):
        if not isinstance(entry.get(name, ""), str):
            raise UserError(f"{path}: {name} in {where} is not a name", f'write {name} = "..."')
    if "model" not in entry and "target" not in entry:
        raise UserError(f"{path}: an entry of {where} names neither model nor target", "put what is for all in [check]")
    return Override(model=entry.get("model"), target=entry.get("target"), limits=_shares(path, where, entry))


def _known(path: Path, where: str, table: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in table:
        if name not in names:
            raise UserError(f"{path}: {where} has no key {name!r}", f"there are: {', '.join(names)}")


def _shares(path: Path, where: str, table: dict[str, Any]) -> dict[str, float]:
    return {name: _share(path, where, name, table[name]) for name in Limits.__struct_fields__ if name in table}


def _share(path: Path, where: str, name: str, value: Any) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip()) if isinstance(value, str) else None
    if found is None or float(found[1]) > 1000:
        raise UserError(f"{path}: {name} = {value!r} in {where} is not a percentage", f'write it as {name} = "2%"')
    return float(found[1]) / 100
