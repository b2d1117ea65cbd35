"""What can't be written into the model, but helps: another way into the compiler, training for integers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from whichpu.graphs.capability import condition
from whichpu.graphs.placement import Figures, Placed, Placement, place
from whichpu.graphs.remedies.net import QUANTISES, floating
from whichpu.graphs.remedies.remedy import Site

WAYS = ("route", "layout")
"""Options that change how a file comes into the compiler, not what is on the chip."""
OF_TYPES = {"dtype", "out_dtype", "dtypes", "dtype_of", "quantised", "out_quantised"}
"""Facts that a limit on quantised tensors names."""


def routes(placement: Placement) -> list[tuple[Site, Figures]]:
    """The same file by other ways into the compiler that it can go: what each comes to."""
    from whichpu.errors import UserError

    target, found = placement.target, []
    ways = [name for name in WAYS if name in target.capability.options]
    for values in product(*(target.capability.options[name].values for name in ways)) if ways else ():
        options = {**target.options, **dict(zip(ways, values, strict=True))}
        if options == dict(target.options):
            continue
        try:
            figures = place(placement.graph, replace(target, options=options)).figures
        except UserError:
            continue  # this way does not take such a file
        written = ",".join(f"{name}={value}" for name, value in zip(ways, values, strict=True))
        now = ",".join(f"{name}={target.options[name]}" for name in ways)
        found.append((Site((), f"{target.capability.name}:{written} instead of {now}"), figures))
    return found


def wants_integers(placement: Placement) -> Site | None:
    """A float network on a target that refuses it for its types."""
    if any(operator.type == QUANTISES or "Linear" in operator.type for operator in placement.graph.operators):
        return None
    for_type = [one for one in placement.placed if one.fate == "host" and one.limit and _on_types(one)]
    if not for_type:
        return None
    names = tuple(one.operator.name for one in for_type)
    return Site(names, f"{len(names)} operators are refused for their types")


def _on_types(placed: Placed) -> bool:
    """Is a float operator refused by a limit on types?"""
    return floating(placed.operator.input(0)) and not OF_TYPES.isdisjoint(condition(placed.limit).names)
