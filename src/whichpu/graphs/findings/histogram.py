"""Operators by type: count, share, and where they went; the study's table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from whichpu.graphs.cost import added
from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import plural
from whichpu.graphs.placement import Fate, Placed, Placement

FATES: tuple[Fate, ...] = ("accelerator", "host", "refused", "unknown", "folded")


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    rows = table(placement)
    top = ", ".join(f"{row['type']} {row['count']} ({100 * row['share']:.1f} %)" for row in rows[:3])
    total = len(placement.placed)
    says = f"{plural(total, 'operator')} of {plural(len(rows), 'type')}; most: {top}"
    yield Finding("operators", says, figures={"total": total, "rows": rows})


def table(placement: Placement) -> list[dict[str, Any]]:
    """A row for each type, the most frequent first: ``count``, ``share`` of all, one count a fate, ``macs``."""
    by_type: dict[str, list[Placed]] = defaultdict(list)
    for one in placement.placed:
        by_type[one.operator.type].append(one)
    rows: list[dict[str, Any]] = []
    for kind, found in sorted(by_type.items(), key=lambda item: (-len(item[1]), item[0])):
        count: dict[str, int] = dict.fromkeys(FATES, 0)
        for one in found:
            count[one.fate] += 1
        macs = added([placement.costs[one.operator.index].macs for one in found])
        share = len(found) / len(placement.placed)
        rows.append({"type": kind, "count": len(found), "share": share, **count, "macs": macs})
    return rows
