"""A plan of several models on several units, as the user writes it in TOML."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from whichpu.errors import UserError
from whichpu.recommend.advice import Limit
from whichpu.recommend.asked import amount, limit_of

Goal = Literal["power", "load"]
GOALS = ("power", "load")

HOW = """write it as:
    max_power = "15W"
    [[model]]
    name = "GoogleNet"
    rate = 30              # inferences per second
    [[unit]]
    name = "DLA"
    contenders = ["tensorrt:dla0*"]"""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A model that has to run ``rate_per_s`` times a second, within its own ``limits``."""

    name: str
    rate_per_s: float
    limits: tuple[Limit, ...] = ()


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A processing unit: the contenders that run on it (names, devices, or patterns with ``*``).

    ``capacity`` is how many inferences it runs side by side at full speed (2 for two cores), ``slowdown`` by what
    factor they last longer there than measured alone, ``idle_w`` what it draws when it has nothing to do.
    """

    name: str
    contenders: tuple[str, ...]
    capacity: float = 1.0
    slowdown: float = 1.0
    idle_w: float | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What has to run, on what, under which power. ``goal`` is made as small as possible (default: power where it is
    known, else the largest load of a unit)."""

    file: str
    models: tuple[Need, ...]
    units: tuple[Unit, ...]
    max_power_w: float | None = None
    goal: Goal | None = None


def read(path: Path) -> Plan:
    """A plan. Raises :class:`UserError` for what can't be read, is unknown, missing or no positive number."""
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"{path} is not TOML: {problem}", HOW) from problem
    _only(path, "the plan", body, {"model", "unit", "max_power", "objective"})
    goal = body.get("objective")
    if goal is not None and goal not in GOALS:
        raise UserError(f"{path}: objective {goal!r} is not known", f"choose one of: {', '.join(GOALS)}")
    return Plan(
        file=path.name,
        models=_once(path, "model", [_need(path, each) for each in _tables(path, body, "model")]),
        units=_once(path, "unit", [_unit(path, each) for each in _tables(path, body, "unit")]),
        max_power_w=_power(path, body, "max_power"),
        goal=goal,
    )


def _need(path: Path, table: dict[str, Any]) -> Need:
    name = _name(path, "model", table)
    _only(path, f"model {name!r}", table, {"name", "rate", "limits"})
    limits = table.get("limits", [])
    if not isinstance(limits, list):
        raise UserError(f"{path}: limits of model {name!r} are no list", 'write it as limits = ["p99 <= 20ms"]')
    rate = _number(path, f"rate of model {name!r}", table.get("rate"))
    return Need(name=name, rate_per_s=rate, limits=tuple(limit_of(str(each)) for each in limits))


def _unit(path: Path, table: dict[str, Any]) -> Unit:
    name = _name(path, "unit", table)
    _only(path, f"unit {name!r}", table, {"name", "contenders", "capacity", "slowdown", "idle"})
    patterns = table.get("contenders", [name])
    if not isinstance(patterns, list) or not patterns or not all(isinstance(each, str) for each in patterns):
        raise UserError(f"{path}: contenders of unit {name!r} are no list of names", HOW)
    return Unit(
        name=name,
        contenders=tuple(patterns),
        capacity=_number(path, f"capacity of unit {name!r}", table.get("capacity", 1.0)),
        slowdown=_number(path, f"slowdown of unit {name!r}", table.get("slowdown", 1.0)),
        idle_w=_power(path, table, "idle"),
    )


# ---------------------------------------------------------------- parts


def _tables(path: Path, body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = body.get(key)
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise UserError(f"{path} has no [[{key}]]", HOW)
    return found


Named = Any


def _once(path: Path, kind: str, found: list[Named]) -> tuple[Named, ...]:
    names = [each.name for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path}: {kind} {twice!r} is there twice", "give each its own name")
    return tuple(found)


def _only(path: Path, where: str, table: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(table.keys() - known)
    if unknown:
        raise UserError(f"{path}: {where} has no key {unknown[0]!r}", f"there are: {', '.join(sorted(known))}")


def _name(path: Path, kind: str, table: dict[str, Any]) -> str:
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise UserError(f"{path}: a [[{kind}]] has no name", HOW)
    return name


def _number(path: Path, what: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise UserError(f"{path}: {what} is {value!r}, which is no positive number", HOW)
    return float(value)


def _power(path: Path, table: dict[str, Any], key: str) -> float | None:
    if key not in table:
        return None
    try:
        return amount(str(table[key]), "power")
    except UserError as problem:
        raise UserError(f"{path}: {key}: {problem}", problem.remedy) from problem
