"""What stops the compiler, and what it stops at: without a fallback one operator keeps the whole network off."""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import counted, names, plural
from whichpu.graphs.placement import Placement


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    refused = [one.operator for one in placement.placed if one.fate == "refused"]
    if refused:
        tool = placement.target.capability.tool
        says = (
            f"{tool} stops with an error at {plural(len(refused), 'operator')}"
            f" ({counted(one.type for one in refused)}): nothing compiles until"
            f" {'it is' if len(refused) == 1 else 'they are'} replaced or cut off"
        )
        yield Finding("compiler-stops", says, names(refused), {"count": len(refused)})
