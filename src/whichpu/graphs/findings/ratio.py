"""What the function ratio hides: it rises when a network is cut into more pieces."""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import unit
from whichpu.graphs.placement import Placement


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    figures = placement.figures
    count = figures.regions
    if not count:
        return
    says = f"{count} of {count + 1} functions are on the {unit(placement)} ({100 * figures.function_ratio:.1f} %)"
    if count == 1:
        says += "; a network taken whole scores 50 %"
    else:
        says += "; the ratio rises with fragmentation: whole 50 %, cut into 104 pieces 99 %"
    yield Finding("function-ratio", says, figures={"functions": count + 1, "regions": count})
