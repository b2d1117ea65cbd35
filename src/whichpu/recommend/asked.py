"""Limits and objectives as texts, read; and the figures that they mean among those that are there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from whichpu.errors import UserError
from whichpu.recommend.advice import Limit, Side
from whichpu.results.entries import METRICS, Better, Entry

COST = "cost"
SCORE = "score:"
LATENCY, ACCURACY = "latency", "accuracy"
"""Names that stand for the statistic, or the score, that the contenders have."""

STATISTICS = ("latency_median", "latency_mean", "latency_p90", "latency_p95", "latency_p99")
"""What ``latency`` means: the first of these that all have."""

NAMES = {
    "mean": "latency_mean", "median": "latency_median", "p90": "latency_p90", "p95": "latency_p95",
    "p99": "latency_p99", "p99.9": "latency_p99.9", "max": "latency_max", "std": "latency_std",
    "fps": "throughput", "price": COST,
}  # fmt: skip
"""Other names of figures."""

SIZES: dict[str, dict[str, str]] = {
    "ns": {"ns": "1", "us": "1e3", "µs": "1e3", "ms": "1e6", "s": "1e9"},
    "W": {"": "1", "W": "1", "mW": "1e-3", "kW": "1e3"},
    "J": {"": "1", "J": "1", "mJ": "1e-3", "uJ": "1e-6", "µJ": "1e-6"},
    "B": {"B": "1", "kB": "1e3", "KB": "1e3", "MB": "1e6", "GB": "1e9", "KiB": "1024", "MiB": "1048576",
          "GiB": "1073741824"},
    "1/s": {"": "1", "/s": "1", "1/s": "1", "fps": "1", "FPS": "1", "qps": "1"},
    "degC": {"": "1", "C": "1", "°C": "1", "degC": "1"},
    "share": {"": "1", "%": "0.01"},
    "": {"": "1", "%": "0.01"},
}  # fmt: skip
"""How many of a figure's own unit a unit holds, as decimals: ``5ms`` and ``0.005s`` are then the same number."""

EXAMPLES = {"ns": "5ms", "W": "5W", "J": "2mJ", "B": "500MB", "1/s": "100", "degC": "80", "share": "0.98", "": "60"}
LIMIT = re.compile(r"\s*([A-Za-z][\w.:@ -]*?)\s*(<=|>=|<|>|≤|≥)\s*(.+?)\s*")
NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*(\S*)")


def key_of(name: str) -> str:
    """The figure that a name means: ``p99``, ``device-memory``, ``score:rmse``; other names are those of scores."""
    plain = name.strip()
    known = NAMES.get(plain.lower(), plain.lower().replace("-", "_"))
    if known in METRICS or known in (COST, LATENCY, ACCURACY):
        return known
    return plain if plain.startswith(SCORE) else f"{SCORE}{plain}"


def unit_of(key: str) -> str:
    """The unit that a figure is kept in."""
    if key == LATENCY:
        return "ns"
    return METRICS[key].unit if key in METRICS else ""


def amount(text: str, key: str) -> float:
    """``5ms`` as 5e6 (ns), ``98%`` as 0.98. Raises :class:`UserError`."""
    unit = unit_of(key)
    found = NUMBER.fullmatch(text.strip())
    size = SIZES[unit].get(found[2]) if found else None
    if found is None or size is None:
        name = key.removeprefix(SCORE)
        raise UserError(f"{text!r} is no amount of {name}", f"write it as {EXAMPLES[unit]}")
    return float(Decimal(found[1]) * Decimal(size))


def limit(name: str, side: Side, text: str) -> Limit:
    """A limit from an option: ``limit("p99", "most", "5ms")``. Raises :class:`UserError`."""
    key = key_of(name)
    sign = "<=" if side == "most" else ">="
    return Limit(key, side, amount(text, key), f"{name} {sign} {text.strip()}")


def limit_of(text: str) -> Limit:
    """A limit as one text: ``p99 <= 5ms``, ``score:map50 >= 0.5``. Raises :class:`UserError`."""
    found = LIMIT.fullmatch(text)
    if found is None:
        raise UserError(f"{text!r} is no limit", "write it as --limit 'p99 <= 5ms' or --limit 'rmse <= 60'")
    return limit(found[1], "most" if found[2] in ("<=", "<", "≤") else "least", found[3])


# ---------------------------------------------------------------- among the figures that are there


def resolved(key: str, entries: Sequence[Entry]) -> str:
    """The figure that a key means among entries: ``latency`` the statistic that all have, a score in its own spelling.

    Raises :class:`UserError` for the name of a score that no entry knows.
    """
    if key == LATENCY:
        return statistic(entries)
    if key == ACCURACY:
        return _accuracy(scores(entries))
    if not key.startswith(SCORE):
        return key
    there = scores(entries)
    found = next((each for each in there if each.lower() == key.lower()), None)
    if found is None and key != f"{SCORE}{ACCURACY}":
        known = ", ".join(each.removeprefix(SCORE) for each in there) or "none"
        raise UserError(f"no figure is called {key.removeprefix(SCORE)!r}", f"scores in these files: {known}")
    return found or key


def limit_among(limit: Limit, entries: Sequence[Entry]) -> Limit:
    """A limit on a figure of these entries. An accuracy is a score of which more is better, never an error."""
    if limit.metric == ACCURACY:
        key = _accuracy([key for key in scores(entries) if direction(key, entries) == "higher"])
    else:
        key = resolved(limit.metric, entries)
    return msgspec.structs.replace(limit, metric=key, bound=_bound(limit, key, entries))


def _bound(limit: Limit, key: str, entries: Iterable[Entry]) -> float:
    """A limit's amount in the unit of its score, which only the files tell. Raises :class:`UserError`."""
    unit = next((entry.values[key].unit for entry in entries if key in entry.values), None)
    if not key.startswith(SCORE) or unit is None:
        return limit.bound
    name, percent = key.removeprefix(SCORE), limit.given.rstrip().endswith("%")
    if unit == "share" and limit.bound > 1 and not percent:
        raise UserError(f"{name} is a share, and {limit.bound:g} is more than all", f"write it as {limit.bound:g}%")
    if percent and unit not in ("share", "%"):
        raise UserError(f"{name} is not in percent", f"write it in {unit}" if unit else "write it as a number")
    return limit.bound * 100 if percent and unit == "%" else limit.bound


def statistic(entries: Sequence[Entry]) -> str:
    """The statistic of latency that most entries have, the first of :data:`STATISTICS` among equals."""
    counts = [sum(key in entry.values for entry in entries) for key in STATISTICS]
    return STATISTICS[counts.index(max(counts))]


def scores(entries: Iterable[Entry]) -> list[str]:
    """The keys of scores that entries have, or tell to be absent."""
    return sorted({key for entry in entries for key in (*entry.values, *entry.absent) if key.startswith(SCORE)})


def _accuracy(there: Sequence[str]) -> str:
    """The score of that name; else the only one that there is."""
    named = next((key for key in there if key.lower() == f"{SCORE}{ACCURACY}"), None)
    return named or (there[0] if len(there) == 1 else f"{SCORE}{ACCURACY}")


def direction(key: str, entries: Iterable[Entry]) -> Better:
    """Which way of a figure is better."""
    if key in METRICS:
        return METRICS[key].better
    if key == COST:
        return "lower"
    return next((entry.values[key].better for entry in entries if key in entry.values), "neither")
