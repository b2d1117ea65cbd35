"""What the placement shows: operators by kind, conversion sandwiches, the boundary's ledger, breaks, near misses.

One file a kind, one line in :data:`KINDS`. Each looks at the whole graph a fixed number of times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from whichpu.graphs.estimate import Estimate
from whichpu.graphs.placement import Placement

KINDS = (
    ".whole",  # limits over a region or the whole graph, what the compiler refuses
    ".breaks",  # host operators between two regions
    ".sandwiches",  # dequantise, operators in float, quantise
    ".gaps",  # operators that the quantiser left in float
    ".boundary",  # the ledger of crossings
    ".apart",  # what keeps two regions from merging
    ".edges",  # float inputs and outputs
    ".near",  # limits that hold by little
    ".ratio",  # what the function ratio hides
    ".open",  # what could not be told
    ".histogram",  # operators by type
)


@dataclass(frozen=True)
class Finding:
    """One thing to know. ``figures`` are plain numbers under names with units; ``operators`` are source names."""

    kind: str
    says: str
    operators: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)


def findings(placement: Placement, estimate: Estimate | None = None) -> list[Finding]:
    """All findings, the most costly kind first; ``estimate`` adds times to the boundary."""
    return [
        finding for kind in KINDS for finding in import_module(kind, __name__).findings(placement, estimate) if finding
    ]
