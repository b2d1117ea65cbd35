"""How steady power was while a contender ran."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np

from whichpu.results.energy import metered
from whichpu.results.energy.metered import Meters, Piece, Source
from whichpu.results.energy.sensor import Refused
from whichpu.stats import integrate

PERCENTILE_READINGS = 40
"""Readings of power that percentiles take: two lie beyond p5 and p95 each."""


class Steadiness(msgspec.Struct, kw_only=True, frozen=True):
    """How steady the power was while a contender ran, from all ``readings`` in its windows, in W.

    A counter's readings are its rise over four periods of its sensor. ``mean_w`` is energy over time. ``p5_w`` and
    ``p95_w`` take 40 readings. ``ramp_w_per_s`` is the steepest rise between two readings that are a sensor's period
    apart (0: it never rose); ``above_share`` the share of time above the limit that the user named.
    """

    readings: int
    mean_w: float
    least_w: float
    peak_w: float
    p5_w: float | None = None
    p95_w: float | None = None
    std_w: float | None = None
    ramp_w_per_s: float | None = None
    above_share: float | None = None


def steadiness_of(meters: Meters, source: Source, pieces: Sequence[Piece]) -> Steadiness:
    """How steady a source was in these windows. Raises :class:`Refused` where it has no course over time."""
    limit_w = meters.limit_w
    period_ns = max(meters.sensor(number).period_ns or 1 for number in source.channels)
    # Until a gauge's first news within the window, it tells what was before.
    late_ns = 0 if source.counter else period_ns
    courses = [
        metered.watts_over_time(meters, source, each.window, each.begin_ns + late_ns, each.end_ns) for each in pieces
    ]
    watts = np.array([each_w for _, found in courses for each_w in found])
    if not watts.size:
        raise Refused("no reading of power within the windows", "too-slow")
    ramps = [integrate.steepest(times, found, period_ns) for times, found in courses]
    shares = [None if limit_w is None else integrate.share_above(times, found, limit_w) for times, found in courses]
    known = [share for share in shares if share is not None]
    enough = watts.size >= PERCENTILE_READINGS
    taken_ns = sum(piece.end_ns - piece.begin_ns for piece in pieces)
    steepest = max((ramp for ramp in ramps if ramp is not None), default=None)
    return Steadiness(
        readings=int(watts.size),
        mean_w=float(sum((piece.joules for piece in pieces), Fraction(0)) * 10**9 / taken_ns),
        least_w=float(watts.min()),
        peak_w=float(watts.max()),
        p5_w=float(np.percentile(watts, 5)) if enough else None,
        p95_w=float(np.percentile(watts, 95)) if enough else None,
        std_w=float(watts.std(ddof=1)) if watts.size > 1 else None,
        ramp_w_per_s=None if steepest is None else steepest * 1e9,
        above_share=float(np.mean(known)) if known else None,
    )
