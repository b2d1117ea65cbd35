"""What a bisection found, in words and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whichpu.reports import units
from whichpu.reports.tables import Column, print_item, print_tables, safe
from whichpu.results.bisection import Bisection, Layer, alike, worst_output, worst_own
from whichpu.stats.apart import Apart

if TYPE_CHECKING:
    from rich.console import Console

AROUND = 3
"""Layers shown before and after the first that differs."""
WORST = 8
FEW = 3
CAUSES = 3
KINDS = {
    "weights": "one scale serves channels of very unequal weights",
    "range": "the range is wide for most of the values",
    "clipped": "the range cuts values off",
}
LONGEST = 44
"""Characters of a node's name; some exporters join a dozen names to one."""


def show(found: Bisection, screen: Console) -> None:
    """Print the answer, the layers around the first that differs, and those of the largest own errors."""
    screen.print(f"\n[bold]{safe(found.model)}[/bold] {safe(_setting(found))}\n")
    for sentence in sentences(found):
        print_item(screen, sentence, indent=0)
    if found.first is not None:
        first = found.first
        near = range(max(0, first - AROUND), min(len(found.layers), first + AROUND + 1))
        _table(screen, "Around the first layer beyond the bound", [found.layers[at] for at in near], found, near)
    worst = worst_own(found.layers)[:WORST]
    if worst and found.verdict != "same":
        _table(screen, "Largest own errors", [found.layers[at] for at in worst], found, worst)
    for sentence in causes(found):
        print_item(screen, sentence, indent=0)
    for note in notes(found):
        print_item(screen, note, indent=0)


def sentences(found: Bisection) -> list[str]:
    """The answer: do the outputs differ, where does it begin, and what makes it."""
    said = [_outputs(found)]
    if found.metric is not None and found.score is not None and found.reference_score is not None:
        said.append(
            f"On these {found.samples} samples {found.metric} is {units.digits(found.score, 4)},"
            f" the reference's {units.digits(found.reference_score, 4)}."
        )
    if found.first is not None:
        said.append(_first(found, found.layers[found.first]))
    said.append(_verdict(found))
    return [sentence for sentence in said if sentence]


def causes(found: Bisection) -> list[str]:
    """What is wrong with the scales of quantised layers: the worst few in full, then how many more there are."""
    said = [found.layers[found.cause]] if found.cause is not None else []
    said += [layer for layer in map(found.layers.__getitem__, worst_own(found.layers)) if layer not in said]
    pairs = [(layer, cause) for layer in said for cause in layer.causes]
    told = [f"{name(layer)}: {cause.says}. Try: {cause.advice}." for layer, cause in pairs[:CAUSES]]
    for kind, words in KINDS.items():
        more = sum(cause.kind == kind for _, cause in pairs[CAUSES:])
        if more:
            told.append(f"In {more} more layer{'s' * (more > 1)} {words}.")
    return told


def notes(found: Bisection) -> list[str]:
    """What limits the answer."""
    said = [f"Note: {note}." for note in found.notes]
    if found.matched_by == "order":
        said.append("Note: the tensors' names differ; they were matched by the order of the operators.")
    if found.unmatched:
        shown = ", ".join(map(_short, found.unmatched[:2])) + (", ..." if len(found.unmatched) > 2 else "")
        said.append(f"Note: {len(found.unmatched)} tensors have no counterpart and count to what follows ({shown}).")
    refused = [layer for layer in found.layers if layer.why_not is not None]
    if refused:
        said.append(
            f"Note: {len(refused)} of {len(found.layers)} layers could not be looked at in full;"
            f" {name(refused[0])}: {refused[0].why_not}."
        )
    return said


def name(layer: Layer) -> str:
    """A node's name, its end where it is very long."""
    return _short(layer.node) + (f" [{layer.output}]" if layer.output is not None else "")


def figure(error: Apart | None) -> str:
    """A relative L2 error; what is no number says so."""
    if error is None:
        return units.UNKNOWN
    if error.odd:
        return "NaN"
    if error.relative_l2 is None:
        return "not zero"
    return "0" if error.relative_l2 == 0 else f"{error.relative_l2:.2e}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"...{text[3 - LONGEST :]}"


def _setting(found: Bisection) -> str:
    theirs = found.against if found.against != found.model else "the same model"
    count = "1 sample" if found.samples == 1 else f"{found.samples} samples"
    return (
        f"on {found.target}, held against {theirs} on {found.against_target}; {count} ({found.data}),"
        f" bound {found.bound:g} (relative L2)"
    )


def _outputs(found: Bisection) -> str:
    worst = worst_output(found.outputs)
    of = f"output {worst.name}" if len(found.outputs) == 1 else f"of {len(found.outputs)} outputs {worst.name} the most"
    if worst.error.odd:
        return f"The outputs differ: {of}, where {worst.error.odd} of {worst.error.values} values are NaN or infinite."
    if not worst.error.beyond(found.bound):
        return f"The outputs agree within the bound: {of}, by {figure(worst.error)}."
    decibels = "" if worst.error.sqnr_db is None else f" (SQNR {worst.error.sqnr_db:.1f} dB)"
    largest = units.digits(worst.error.max_abs)
    return f"The outputs differ: {of}, by {figure(worst.error)}{decibels}; the largest difference is {largest}."


def _first(found: Bisection, layer: Layer) -> str:
    own = "" if layer.own is None else f", {figure(layer.own)} of it its own"
    if layer.own is not None and layer.own.size == 0:
        own = ", none of it its own"
    return f"First layer beyond the bound: {name(layer)} ({layer.operator}), {figure(layer.error)}{own}."


def _verdict(found: Bisection) -> str:
    if found.verdict == "same":
        return "No layer differs beyond the bound."
    if found.verdict == "inside":
        return "Layers differ inside, but what reaches the outputs is within the bound."
    if found.verdict == "fused" and found.fused is not None:
        return (
            f"It differs only where the runtime computes several layers as one: between {found.fused[0]} and"
            f" {found.fused[1]}. Looked into there, or layer by layer, it is right."
        )
    if found.verdict == "layer" and found.cause is not None:
        return _cause(found, found.layers[found.cause])
    if found.verdict == "gradual":
        return _gradual(found)
    return "Which layer makes it could not be told: what could be looked at alone agrees."


def _cause(found: Bisection, layer: Layer) -> str:
    said = f"The cause is {name(layer)} ({layer.operator}): its own error is {figure(layer.own)}"
    if layer.alone is not None:
        said += f"; wrong alone, it makes the outputs differ by {figure(layer.alone)}"
    if layer.without is not None:
        said += f"; without its error {figure(layer.without)} is left"
    return f"{said}."


def _gradual(found: Bisection) -> str:
    like = alike(found.layers, found.bound)
    if like is None:
        return "No single layer makes it: each one's own error is within the bound, and they add up."
    count, median = like
    lossy = any(layer.causes for layer in found.layers)
    if count <= FEW:
        nodes = [name(layer) for layer in found.layers if layer.own is not None and layer.own.beyond(found.bound)]
        have = "has an own error" if count == 1 else "have own errors"
        return f"No single layer makes all of it: {units.joined(list(dict.fromkeys(nodes)))} {have} beyond the bound."
    so = (
        "Some of their scales serve badly, as told below." if lossy else "A lower precision looks so, a fault does not."
    )
    return (
        f"No single layer makes it: {count} layers have own errors beyond the bound (median {median:.2e}), and without"
        f" any of the worst most of the difference is left. {so}"
    )


def _table(screen: Console, title: str, layers: list[Layer], found: Bisection, numbers: object) -> None:
    at = [str(number + 1) for number in numbers]  # type: ignore[attr-defined]
    names = Column("layer", [f"{number}. {name(layer)}" for number, layer in zip(at, layers, strict=True)], folds=True)
    errors = [
        Column("operator", [layer.operator for layer in layers], folds=True),
        Column("error", [figure(layer.error) for layer in layers]),
        Column("own error", [figure(layer.own) for layer in layers]),
    ]
    effects = []
    if any(layer.alone is not None for layer in layers):
        effects.append(Column("outputs, only it wrong", [figure(layer.alone) for layer in layers]))
    if any(layer.without is not None for layer in layers):
        effects.append(Column("outputs, all but it wrong", [figure(layer.without) for layer in layers]))
    if found.metric is not None and any(layer.score_alone is not None for layer in layers):
        effects.append(Column(f"{found.metric}, only it wrong", [units.digits(one.score_alone, 4) for one in layers]))
    screen.print()
    print_tables(screen, names, {title: errors, **({"Effect on the outputs": effects} if effects else {})}, whole=title)
