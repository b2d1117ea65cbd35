"""What importers share: JSON, numbers and units as tools write them. What is no number is absent, not zero."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from whichpu.errors import UserError

TIMES_NS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "sec": 1e9, "seconds": 1e9}
BYTES = {"b": 1.0, "bytes": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
POWERS_W = {"w": 1.0, "watts": 1.0, "watt": 1.0, "mw": 1e-3, "milliwatts": 1e-3}
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


def json_of(text: str, floats: Callable[[str], Any] | None = None) -> Any:
    """A JSON text, its floats read by ``floats``; NaN and Infinity, which some tools write, are ``None``.

    Raises :class:`UserError`.
    """
    try:
        return json.loads(text, parse_float=floats, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as problem:
        raise UserError(f"is not whole JSON: {problem}", "let the tool write the file again") from problem


def number(value: object) -> float | None:
    """A finite number, or a text that is one; else ``None``."""
    if isinstance(value, str):
        value = float(value) if NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def positive(value: object) -> float | None:
    """A number above zero; else ``None``."""
    found = number(value)
    return found if found is not None and found > 0 else None


def not_negative(value: object) -> float | None:
    """A number that is zero or above; else ``None``."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def scaled(value: float, factor: float) -> float:
    """A figure in another unit, rounded once: 1.003 ms are 1,003,000 ns, to the last digit."""
    return float(Decimal(repr(float(value))) * Decimal(repr(float(factor))))
