"""A roofline estimate of a placement: per operator and unit, plus transfers and conversions. Never a measurement."""

from __future__ import annotations

from dataclasses import dataclass

from whichpu.graphs.placement import Placement

Range = tuple[float, float]
"""Low and high."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its source; every figure is a range, None where the sources do not carry one."""

    basis: str
    """What it rests on, in a sentence: which peak figures, which calibration, who gave them."""
    said_by: str = "estimate"
    latency_seconds: Range | None = None
    host_only_seconds: Range | None = None
    speedup: Range | None = None
    transfer_seconds: Range | None = None
    bandwidth_bytes: Range | None = None
    """Bytes moved to and from memory in one inference."""
    energy_joules: Range | None = None
    by_operator: tuple[Range | None, ...] = ()
    """Seconds of each source operator where it was placed."""
    missing: tuple[str, ...] = ()
    """What could not be told, and why."""


def estimate(placement: Placement) -> Estimate:
    """The roofline of a placement by its target's hardware figures."""
    del placement
    return Estimate("not worked out yet")
