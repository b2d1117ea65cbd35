"""What the placement shows: operators by kind, conversion sandwiches, the boundary's ledger, breaks, near misses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from whichpu.graphs.placement import Placement


@dataclass(frozen=True)
class Finding:
    """One thing to know. ``figures`` are plain numbers under names with units; ``operators`` are source names."""

    kind: str
    says: str
    operators: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)


def findings(placement: Placement) -> list[Finding]:
    """All findings, the most costly first."""
    del placement
    return []
