"""What importers of files with several rows share: names, places in JSON, values that are means already."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from whichpu.errors import UserError
from whichpu.results.reported import Source
from whichpu.results.reported.fields import number, scaled
from whichpu.results.reported.figures import AGAIN, PERCENTS, Figures

S_NS, MS_NS, US_NS = 1e9, 1e6, 1e3
KIB, MIB = 2.0**10, 2.0**20


def of_row(source: Source, label: str, several: bool) -> Source:
    """The source of one row: the user's name for the contender tells several rows apart by their labels."""
    if not several or source.contender is None:
        return source
    return msgspec.structs.replace(source, contender=f"{source.contender} ({label})")


def mapping(value: object) -> dict[str, Any]:
    """A JSON object; an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a list, with their places."""
    return [(at, each) for at, each in enumerate(value) if isinstance(each, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str | None:
    """A text that says something; else ``None``."""
    text = str(value).strip() if isinstance(value, (str, int, float)) else ""
    return text if text and text.lower() not in ("none", "null", "unknown", "auto") else None


def model_named(value: object) -> str | None:
    """A model's name from its path or its place on a hub: the last part, less the suffix of a file."""
    name = (text_of(value) or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    return re.sub(r"\.(?:onnx|tflite|pt|pth|xml|hef|engine|safetensors)$", "", name) or None


def times_ns(values: object, where: str, unit_ns: float) -> list[float]:
    """Single times in ns, of a list in another unit; none where there is no list. Raises :class:`UserError`."""
    if not isinstance(values, list):
        return []
    found = [number(value) for value in values]
    if None in found:
        at = found.index(None)
        raise UserError(f"{where} holds what is no time: number {at + 1}, {str(values[at])[:40]!r}", AGAIN)
    return [scaled(value, unit_ns) for value in found if value is not None]


def put_means(figures: Figures, values_ns: Sequence[float], where: str, calls: int, terms: Mapping[str, str]) -> None:
    """Of values which are means over ``calls`` calls each only the mean is that of single calls."""
    reason = f"each value of the file is the mean of {calls} calls: single ones are not in it"
    for metric in ("latency_median", "latency_min", "latency_max", "latency_std", *PERCENTS):
        figures.lacks(metric, reason)
    if not values_ns:
        return
    if not all(0 < value < math.inf for value in values_ns):
        raise UserError(f"{where} holds a time that can't be", AGAIN)
    mean = float(np.mean(values_ns))
    figures.put("latency_mean", mean, where, 1.0, terms, len(values_ns) * calls)
