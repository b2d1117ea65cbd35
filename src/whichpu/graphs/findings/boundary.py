"""The ledger of the boundary: each tensor that leaves one side and enters the other."""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import FEW, plural, size, span
from whichpu.graphs.placement import Crossing, Placement


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    crossings = placement.crossings
    if not crossings:
        return
    total = placement.figures.boundary_bytes
    known = sum(crossing.bytes or 0 for crossing in crossings)
    unknown = sum(crossing.bytes is None for crossing in crossings)
    moved = size(total) if total is not None else f"at least {size(known)} ({unknown} of unknown size)"
    top = sorted(crossings, key=lambda crossing: -(crossing.bytes or 0))[:FEW]
    first = top[0]
    seconds = estimate.transfer_seconds if estimate else None
    time = f", an estimated {span(seconds)}" if seconds else ""
    says = (
        f"{plural(len(crossings), 'tensor crosses', 'tensors cross')} the boundary in each inference, {moved}{time};"
        f" the largest is {first.tensor.name} ({size(first.bytes)}, {_way(first, placement)})"
    )
    rows = [
        {"tensor": one.tensor.name, "bytes": one.bytes, "out_of": side(one.out_of, placement),
         "into": side(one.into, placement)} for one in top
    ]  # fmt: skip
    figures = {
        "crossings": len(crossings), "bytes": total, "known_bytes": known, "unknown_sizes": unknown,
        "transfer_seconds": seconds, "rows": rows,
    }  # fmt: skip
    yield Finding("boundary", says, figures=figures)


def side(number: int, placement: Placement) -> str:
    """``region 3``, counted from 1, or the host's name."""
    return placement.target.capability.host if number < 0 else f"region {number + 1}"


def _way(crossing: Crossing, placement: Placement) -> str:
    return f"{side(crossing.out_of, placement)} to {side(crossing.into, placement)}"
