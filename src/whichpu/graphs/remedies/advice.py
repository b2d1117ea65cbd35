"""What can't be written into the model, but helps: another way into the compiler, training for integers."""

from __future__ import annotations

from dataclasses import replace

from whichpu.graphs.placement import Figures, Placement, place
from whichpu.graphs.remedies.net import QUANTISES
from whichpu.graphs.remedies.remedy import Site

ROUTE = "route"
"""The option of targets whose compiler has several importers."""
INTEGER = ("dtype", "quantised", "scale")
"""Facts that a limit on quantised tensors names."""


def routes(placement: Placement) -> list[tuple[Site, Figures | None, str]]:
    """The same file by another route into the compiler: what it comes to, or why it can't be told."""
    from whichpu.errors import UserError

    option = placement.target.capability.options.get(ROUTE)
    now = placement.target.options.get(ROUTE)
    found: list[tuple[Site, Figures | None, str]] = []
    for value in option.values if option is not None else ():
        if value == now:
            continue
        target = replace(placement.target, options={**placement.target.options, ROUTE: value})
        says = f"{target.capability.name}:{ROUTE}={value} instead of {ROUTE}={now}"
        try:
            found.append((Site((), says), place(placement.graph, target).figures, ""))
        except UserError:
            continue  # this route does not read such a file
    return found


def wants_integers(placement: Placement) -> Site | None:
    """A float network on a target that refuses it for its types."""
    if any(operator.type == QUANTISES or "Linear" in operator.type for operator in placement.graph.operators):
        return None
    for_type = [one for one in placement.placed if one.fate == "host" and any(fact in one.limit for fact in INTEGER)]
    if not for_type:
        return None
    names = tuple(one.operator.name for one in for_type)
    return Site(names, f"{len(names)} operators are refused for their types")
