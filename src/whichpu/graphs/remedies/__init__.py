"""What would let the accelerator take more: each remedy rewrites the model, and is judged by analysing it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.graph import Graph
from whichpu.graphs.placement import Figures, Placement, place
from whichpu.graphs.remedies import advice
from whichpu.graphs.remedies.edit import Edit
from whichpu.graphs.remedies.net import Net
from whichpu.graphs.remedies.remedy import Effect as Effect
from whichpu.graphs.remedies.remedy import Match as Match
from whichpu.graphs.remedies.remedy import Remedy as Remedy
from whichpu.graphs.remedies.remedy import Site as Site
from whichpu.graphs.remedies.remedy import troubled as troubled

FAMILIES = (
    ".activations",
    ".gelu",
    ".pooling",
    ".convolution",
    ".resize",
    ".arithmetic",
    ".layout",
    ".shuffle",
    ".channels",
    ".quantisation",
)
"""Modules with remedies; each has a literal table ``REMEDIES``."""
MOST_OPERATORS = 20_000
"""Larger graphs are not rewritten and analysed again without being asked: seconds a remedy."""
ROUTE, TRAIN = "other-route", "quantisation-aware-training"


@dataclass(frozen=True)
class Proposal:
    """A remedy for this model and target, with what it would gain: the graph rewritten and analysed again."""

    name: str
    says: str
    effect: Effect
    sites: tuple[Site, ...]
    before: Figures
    after: Figures | None
    """None where the rewrite could not be analysed; ``why_not`` says why."""
    why_not: str = ""
    answer: str = ""
    """What it does to the answer, in a sentence."""
    writes: bool = True
    """False for advice: ``whichpu fix`` can't write it into the model."""


@cache
def table() -> Mapping[str, Remedy]:
    """All remedies that rewrite, by name."""
    modules = [import_module(family, __name__) for family in FAMILIES]
    return {remedy.name: remedy for module in modules for remedy in module.REMEDIES}


def matches(graph: Graph, wanted: Sequence[Remedy]) -> dict[str, list[Match]]:
    """Where the remedies' patterns are, in one pass over the graph; matches of one remedy share no operator."""
    found: dict[str, list[Match]] = defaultdict(list)
    if graph.dialect != "onnx":
        return found
    net, claimed = Net(graph), {remedy.name: set[int]() for remedy in wanted}
    by_root: dict[str, list[Remedy]] = defaultdict(list)
    for remedy in wanted:
        for root in remedy.roots:
            by_root[root].append(remedy)
    for operator in graph.operators:
        root = f"{operator.domain}:{operator.type}" if operator.domain else operator.type
        for remedy in by_root.get(root, ()) if not operator.within else ():
            one = remedy.find(net, operator)
            if one is not None and (remedy.shares or claimed[remedy.name].isdisjoint(one.indices)):
                claimed[remedy.name].update(one.indices)
                found[remedy.name].append(one)
    return found


def propose(placement: Placement, path: Any, most: int = MOST_OPERATORS) -> list[Proposal]:
    """Remedies that apply to this placement, each analysed again; best gain first.

    ``path`` is the model's file. Graphs of more than ``most`` operators are not analysed again.
    """
    found = matches(placement.graph, list(table().values()))
    worth = {name: [one for one in where if table()[name].worth(placement, one)] for name, where in found.items()}
    model: list[Any] = []
    proposals = []
    for name, where in worth.items():
        if where:
            proposals.append(_proposal(placement, table()[name], where, Path(path), most, model))
    return sorted([p for p in proposals if p is not None] + _advice(placement, most), key=_order)


def _proposal(
    placement: Placement, remedy: Remedy, where: list[Match], path: Path, most: int, model: list[Any]
) -> Proposal | None:
    """The proposal, if it gains anything; ``model`` keeps the parsed file for the next one."""
    before, after, why_not = placement.figures, None, ""
    if len(placement.graph.operators) > most:
        why_not = f"the graph has more than {most:,} operators: `whichpu fix` analyses it again"
    else:
        try:
            if not model:
                from whichpu.models import onnx_file

                model.append(onnx_file.read(path))
            changed, _ = rewritten(model[0], placement, remedy, path.parent)
            after = changed.figures
        except UserError as problem:
            why_not = str(problem)
    hidden = not remedy.shows and not all(troubled(placement, one) for one in where)
    if after is not None and not hidden and not gains(before, after):
        return None
    return Proposal(remedy.name, remedy.says, remedy.effect, _sites(where), before, after, why_not, remedy.answer)


@dataclass(frozen=True)
class Rewritten:
    """A model rewritten, read again and placed again."""

    model: Any
    placement: Placement
    sites: tuple[Site, ...]
    notes: tuple[str, ...] = ()

    @property
    def figures(self) -> Figures:
        return self.placement.figures


def rewritten(
    model: Any, placement: Placement, remedy: Remedy, folder: Path, everywhere: bool = False
) -> tuple[Rewritten, Placement]:
    """The model with a remedy at the sites that are worth while (or ``everywhere``), and the placement before it.

    The model given is left alone. Raises :class:`UserError` where no site is found, or the opset can't be raised.
    """
    notes: tuple[str, ...] = ()
    opset = placement.graph.opset or 0
    if opset < remedy.opset:
        model, notes = raised(model, remedy.opset), (f"the opset is raised from {opset} to {remedy.opset}",)
        placement = read_and_place(model, placement, folder)
    where = matches(placement.graph, [remedy])[remedy.name]
    where = [one for one in where if everywhere or remedy.worth(placement, one)]
    if not where:
        raise UserError(f"{remedy.name} finds nothing to rewrite in {placement.graph.name}")
    result = apply(model, where)
    return Rewritten(result, read_and_place(result, placement, folder), _sites(where), notes), placement


def _sites(where: Sequence[Match]) -> tuple[Site, ...]:
    return tuple(one.site for one in where)


def apply(model: Any, where: Sequence[Match]) -> Any:
    """A copy of the parsed model with these sites rewritten."""
    edit = Edit(model)
    for one in where:
        one.rewrite(edit)
    return edit.finish()


def read_and_place(model: Any, like: Placement, folder: Path) -> Placement:
    """A parsed model read again with the sizes of a placement, on its target."""
    from whichpu.graphs.readers.onnx import graph_of

    names = {value.name for value in model.graph.input}
    shapes: dict[str | None, list[int]] = {
        tensor.name: [size for size in tensor.shape if size is not None]
        for tensor in like.graph.inputs
        if tensor.shape is not None and None not in tensor.shape and tensor.name in names
    }
    return place(graph_of(model, like.graph.name, shapes, folder), like.target)


def raised(model: Any, opset: int) -> Any:
    """The model in a higher opset, by ONNX's version converter. Raises :class:`UserError` where it can't."""
    import onnx.inliner
    from onnx import version_converter

    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        converted = version_converter.convert_version(model, opset)
        onnx.checker.check_model(converted)
    except Exception as problem:  # the converter raises many kinds
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise UserError(
            f"the model can't be converted to opset {opset}: {first}", "export it with that opset"
        ) from problem
    return converted


def gains(before: Figures, after: Figures) -> bool:
    """Does the accelerator take more, or is less left over? Fewer operators on a host that does all of it are none."""
    if not after.regions and (after.refused, after.unknown) == (before.refused, before.unknown):
        return False
    return _left(after) < _left(before)


def _left(figures: Figures) -> tuple[float, ...]:
    """What is wrong with a placement, the worst first; less is better."""
    boundary = figures.boundary_bytes if figures.boundary_bytes is not None else float("inf")
    share = figures.mac_share if figures.mac_share is not None else 0.0
    return (figures.refused, figures.unknown, figures.host_operators, -round(share, 9), boundary, figures.regions)


def _order(proposal: Proposal) -> tuple[Any, ...]:
    """Best gain first; exact ones before others that gain as much."""
    effects = ("exact", "approximate", "needs-fine-tuning")
    left = _left(proposal.after) if proposal.after is not None else (float("inf"),)
    return (left, effects.index(proposal.effect), not proposal.writes, proposal.name)


def _advice(placement: Placement, most: int) -> list[Proposal]:
    found = []
    few = len(placement.graph.operators) <= most
    ways = [way for way in advice.routes(placement) if gains(placement.figures, way[1])] if few else []
    if ways:
        one, figures = min(ways, key=lambda way: _left(way[1]))
        says = "Another way into the compiler"
        found.append(Proposal(ROUTE, says, "exact", (one,), placement.figures, figures, "",
                              "The same model, as it is.", writes=False))  # fmt: skip
    floats = advice.wants_integers(placement)
    if floats is not None:
        found.append(
            Proposal(TRAIN, "Quantise the network, where accuracy matters with quantisation-aware training",
                     "needs-fine-tuning", (floats,), placement.figures, None,
                     "a quantised model must be made first: `whichpu run --variants int8` makes one and measures it",
                     "Integers round: training with quantisation in the loop wins most of the loss back.", writes=False)
        )  # fmt: skip
    return found
