"""Where the time of an inference goes: computing, moving data, and the rest, as the runtime told it once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from whichpu.results.column import unpack
from whichpu.results.schema import Doubt, Reading, Result
from whichpu.stats.intervals import Estimate

PARTS = ("compute", "h2d", "d2h")
NOT_ASKED = "the runtime was not asked for the parts of its latency"
SIMULATED = "simulated"
"""The boundary of a simulator's latency: it is the host CPU's, says nothing of the unit, and is ranked with none."""
OVERHEAD_NS = 20_000
"""Less time outside of computing is not worth a doubt: a call from any language costs some of it."""


class Parts(msgspec.Struct, kw_only=True, frozen=True):
    """Median times in ns over ``inferences`` that were run apart from the measured blocks, as ``by`` tells them.

    ``end_to_end_ns`` is that of these same inferences, a profiler's cost included: it is not the contender's latency.
    ``coarse_ns``: ``compute`` may be told too short by so much. ``missing`` has the reasons for what is ``None``.
    """

    end_to_end_ns: float
    compute_ns: float | None = None
    h2d_ns: float | None = None
    d2h_ns: float | None = None
    coarse_ns: float = 0.0
    inferences: int
    by: str
    missing: dict[str, str] = {}

    @property
    def moves_ns(self) -> float:
        """Moving data to the device and back, as far as it is known."""
        return (self.h2d_ns or 0.0) + (self.d2h_ns or 0.0)


def parts_of(reading: Reading) -> Parts | None:
    """What one reading tells; ``None`` where it tells nothing. Raises :class:`ValueError` for a damaged column."""
    read = reading.parts
    times = {} if read is None else {name: unpack(column) for name, column in read.ns.items()}
    if read is None or not times.get("end_to_end", np.zeros(0)).size:
        return None
    middle = {name: float(np.median(values)) for name, values in times.items() if values.size}
    return Parts(
        end_to_end_ns=middle["end_to_end"],
        compute_ns=middle.get("compute"),
        h2d_ns=middle.get("h2d"),
        d2h_ns=middle.get("d2h"),
        coarse_ns=float(read.coarse_ns),
        inferences=read.inferences,
        by=read.by,
        missing=read.missing,
    )


def parts(readings: Sequence[Reading]) -> Parts | None:
    """What the first reading tells that tells anything."""
    return next((found for found in map(parts_of, readings) if found is not None), None)


def reasons(readings: Sequence[Reading]) -> dict[str, str]:
    """For each part that is not known, why."""
    asked = next((reading.parts for reading in readings if reading.parts is not None), None)
    if asked is None:
        return dict.fromkeys(PARTS, NOT_ASKED)
    return {name: asked.missing.get(name, NOT_ASKED) for name in PARTS if name not in asked.ns}


def boundary_doubts(result: Result, median: Estimate) -> list[Doubt | None]:
    """Moving data takes longer than computing, or something else does; ``median`` is the contender's latency."""
    if result.boundary == SIMULATED:
        return [_simulated()]
    found = parts(result.readings)
    if found is None or found.compute_ns is None:
        return []
    return [_transfers(found) or _host_bound(result, found, median)]


def _simulated() -> Doubt:
    return Doubt(
        kind="simulated",
        says="its times are those of a simulator on this machine's CPU, and say nothing of the unit; it is not ranked",
        advice="take its outputs and scores from here, its times from the board",
    )


def _transfers(found: Parts) -> Doubt | None:
    assert found.compute_ns is not None
    if found.moves_ns <= found.compute_ns + found.coarse_ns:
        return None
    moves = {"h2d": found.h2d_ns, "d2h": found.d2h_ns}
    told = " + ".join(f"{name} {_us(time_ns)}" for name, time_ns in moves.items() if time_ns)
    return Doubt(
        kind="transfers",
        says=f"moving data takes longer than computing: {told} of {_us(found.end_to_end_ns)} µs,"
        f" computing {_us(found.compute_ns)} µs",
        advice="move less: several samples at once, a smaller type, or leave on the device what its next step takes",
        facts=_facts(found),
    )


def _host_bound(result: Result, found: Parts, median: Estimate) -> Doubt | None:
    """Held against the smaller of two latencies, and computing at its longest: a profiler slows down what it times."""
    assert found.compute_ns is not None
    whole_ns = min(found.end_to_end_ns, median.value)
    compute_ns = found.compute_ns + found.coarse_ns
    rest_ns = whole_ns - compute_ns - found.moves_ns
    if result.yardstick or 2 * compute_ns >= whole_ns or rest_ns < OVERHEAD_NS:
        return None
    return Doubt(
        kind="host-bound",
        says=f"less than half of its time is computing: {_us(found.compute_ns)} of {_us(whole_ns)} µs;"
        f" the runtime itself takes {_us(rest_ns)} µs or more",
        advice="a faster device won't help: try a larger batch, or a runtime that does less around each operator",
        facts={**_facts(found), "rest_ns": rest_ns},
    )


def _facts(found: Parts) -> dict[str, float | int | str]:
    times = {"end_to_end": found.end_to_end_ns, "compute": found.compute_ns, "h2d": found.h2d_ns, "d2h": found.d2h_ns}
    return {**{f"{name}_ns": value for name, value in times.items() if value is not None}, "by": found.by}


def _us(time_ns: float) -> str:
    return f"{time_ns / 1e3:.3g}"
