"""The user's table of prices: what a contender, or the device that it runs on, costs."""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from whichpu.errors import UserError
from whichpu.recommend.asked import COST
from whichpu.results.entries import Entry, Value

EXAMPLE = 'write it as: currency = "EUR", then a table [prices] with lines "Hailo-8L" = 70'

TABLE = "table"
"""The term of a price that names its file."""


class Prices(msgspec.Struct, frozen=True):
    """``of`` has the price of each name: a contender's, a device's, or a pattern with ``*`` of either."""

    file: str
    sha256: str
    currency: str
    of: dict[str, float]

    def name_for(self, name: str, entry: Entry) -> str | None:
        """The line of the table for a contender: its own before its device's, a name before a pattern."""
        called = [each.lower() for each in (name, entry.contender, entry.device or "") if each]
        lines = sorted(self.of, key=lambda line: "*" in line)
        return next((line for each in called for line in lines if names(line, each)), None)

    def value_for(self, name: str, entry: Entry) -> Value | None:
        """The price of a contender, if the table has one."""
        line = self.name_for(name, entry)
        if line is None:
            return None
        price = self.of[line]
        terms = {TABLE: self.file}
        return Value(value=price, unit=self.currency, low=price, high=price, terms=terms, where=f"prices.{line!r}")


def names(pattern: str, name: str) -> bool:
    """Does a name, or a pattern with ``*``, mean this one? Capitals don't count."""
    return re.fullmatch(".*".join(map(re.escape, pattern.lower().split("*"))), name.lower()) is not None


def read(path: Path) -> Prices:
    """A table of prices. Raises :class:`UserError`."""
    try:
        data = path.read_bytes()
        body = tomllib.loads(data.decode())
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"{path} is not TOML: {problem}", EXAMPLE) from problem
    unknown = sorted(body.keys() - {"currency", "prices"})
    if unknown:
        raise UserError(f"{path} has no key {unknown[0]!r}", EXAMPLE)
    table, currency = body.get("prices"), body.get("currency", "")
    if not isinstance(table, dict) or not table or not isinstance(currency, str):
        raise UserError(f"{path} holds no table of prices", EXAMPLE)
    return Prices(path.name, hashlib.sha256(data).hexdigest(), currency, _numbers(path, table))


def _numbers(path: Path, table: Mapping[str, Any]) -> dict[str, float]:
    for name, value in table.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            raise UserError(f"{path}: the price of {name!r} is {value!r}, which is no price", EXAMPLE)
    return {name: float(value) for name, value in table.items()}


def priced(entry: Entry, name: str, prices: Prices | None) -> Entry:
    """An entry with its price as one more figure; without one it is absent, and says why."""
    value = prices.value_for(name, entry) if prices else None
    if value is not None:
        return msgspec.structs.replace(entry, values={**entry.values, COST: value})
    why = f"{prices.file} has no price for it" if prices else "no table of prices was given (--prices)"
    return msgspec.structs.replace(entry, absent={**entry.absent, COST: why})
