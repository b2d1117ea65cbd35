"""The parts of an inference, asked of a worker once, after all its blocks; its trouble is never the contender's."""

from __future__ import annotations

from pathlib import Path

from whichpu.results.boundary import PARTS
from whichpu.results.column import pack
from whichpu.results.schema import Parts
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.worker import wire

AGAIN_BYTES = 256 << 20
"""A larger model is not loaded once more for its profile."""
SPAN_NS, LEAST, MOST = 300_000_000, 5, 50
"""As many inferences as fit into that time, within these bounds."""


def ask(link: Link, inputs: Path, model_bytes: int, latency_ns: float, timeout_s: float) -> Parts:
    """What the runtime tells; nothing, with the reason, where it dies of it. The worker may be gone afterwards."""
    count = int(max(LEAST, min(MOST, SPAN_NS // max(1.0, latency_ns))))
    request = wire.Parts(str(inputs), count, again=model_bytes <= AGAIN_BYTES)
    try:
        link.thaw()
        told = link.ask(request, wire.Parted, timeout_s + 10 * count * latency_ns / 1e9)
    except WorkerTrouble as trouble:
        why = f"the runtime was asked for the parts of its latency, but {trouble}"
        return Parts(missing=dict.fromkeys(PARTS, why))
    return Parts(
        ns={name: pack(values) for name, values in told.ns.items()},
        inferences=told.inferences,
        by=told.by,
        coarse_ns=told.coarse_ns,
        missing=told.missing,
    )
