"""Published peak figures of accelerators and of what carries data to them: ``hardware.toml``, data with sources.

A figure that no vendor publishes is absent, and what would rest on it is not estimated.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from whichpu.graphs.capability import Target

Range = tuple[float, float]
"""Low and high."""


class Fitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fit that is shipped: what :mod:`whichpu.graphs.calibrate` found in published measurements."""

    fixed_seconds: float
    seconds_per_mac: float
    seconds_per_parameter: float
    spread: Range
    error: float
    points: int
    source: str


class Hardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Peak figures per second, each a range (low, high) over power modes and configurations."""

    source: str
    macs_per_second: Range | None = None
    bandwidth_bytes_per_second: Range | None = None
    """Between the accelerator and the memory that holds activations and weights."""
    host_macs_per_second: Range | None = None
    host_bandwidth_bytes_per_second: Range | None = None
    transfer_bytes_per_second: Range | None = None
    """Over the border between host and accelerator."""
    crossing_seconds: Range | None = None
    watts: Range | None = None
    host_watts: Range | None = None
    element_bytes: float | None = None
    """Bytes of a value on the accelerator, where the model is given in float; None: as in the model."""
    calibration: Fitted | None = None


def hardware(target: Target) -> Hardware | None:
    """Figures of a target under its options; None where the file has none."""
    return named(target.capability.name, target.options)


def named(name: str, options: Mapping[str, str]) -> Hardware | None:
    """Figures by a table's name: what ``[NAME.by."option=value"]`` holds replaces the plain ones."""
    found = _tables().get(name)
    if found is None:
        return None
    figures = {key: value for key, value in found.items() if key != "by"}
    for choice, more in found.get("by", {}).items():
        wanted = [part.partition("=") for part in choice.split(",")]
        if all(options.get(option) == value for option, _, value in wanted):
            figures.update(more)
    return msgspec.convert({key: value for key, value in figures.items() if value != "none"}, Hardware)


@cache
def _tables() -> Mapping[str, dict[str, Any]]:
    file = resources.files("whichpu.graphs").joinpath("hardware.toml")
    content: dict[str, dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))
    return content
