"""What the function ratio hides: it rises when a network is cut into more pieces."""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import Finding
from whichpu.graphs.findings.words import host, plural, unit
from whichpu.graphs.placement import Placement


def findings(placement: Placement, estimate: Estimate | None) -> Iterator[Finding]:
    del estimate
    figures = placement.figures
    count = figures.regions
    if not count:
        return
    says = (
        f"{count} of {count + 1} functions are on the {unit(placement)} ({100 * figures.function_ratio:.1f} %), but"
        " this ratio, n / (n + 1), rises with fragmentation: a network taken whole scores 50 %, one cut into 104 pieces"
        f" 99 %. Read it as {plural(count, 'region')}"
        + (f", cut from one another by the {host(placement)}" if count > 1 else "")
        + f"; {_share(figures.operator_share)} of the operators and {_share(figures.mac_share)} of the MACs are on it"
    )
    yield Finding("function-ratio", says, figures={"functions": count + 1, "regions": count})


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{100 * value:.1f} %".replace(".0 %", " %")
