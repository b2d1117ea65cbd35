"""What keeps two regions from being one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import FEW, plural
from whichpu.graphs.partition.between import Pair, kept_apart
from whichpu.graphs.placement import Placement


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    pairs = placement.partition.kept_apart or kept_apart(placement.lowered, placement.partition.regions)
    if not pairs:
        return
    by_why: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_why[pair[2]].append(pair)
    ranked = sorted(by_why.items(), key=lambda item: -len(item[1]))
    types = {operator.name: operator.type for operator in placement.lowered.operators}
    shown = [f"{types[why]} {why}" if why in types else why for why, _ in ranked[:3]]
    says = f"{plural(len(pairs), 'pair')} of regions could be one but for what stands between: {'; '.join(shown)}"
    rows = [{"out_of": out_of + 1, "into": into + 1, "why": why} for out_of, into, why in pairs[:FEW]]
    operators = tuple(why for why, _ in ranked if why in types)[:FEW]
    yield Finding(
        "kept-apart", says + (" ..." if len(ranked) > 3 else ""), operators, {"pairs": len(pairs), "rows": rows}
    )
