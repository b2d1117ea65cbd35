"""Remedies and a rewritten model, told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from whichpu.graphs.findings.words import plural
from whichpu.graphs.remedies import Proposal, Site
from whichpu.reports.analysis import remedy, share
from whichpu.reports.tables import print_item

if TYPE_CHECKING:
    from rich.console import Console

NAMES_SHOWN = 3


def show(found: Any, screen: Console) -> None:
    """Print a :class:`whichpu.api.fixing.Fixed`."""
    screen.print(f"{found.model.name} on {found.npu}: {figures(found.before)}.", markup=False)
    for line in lines(found):
        print_item(screen, line, indent=2)
    if found.written is not None:
        screen.print(f"{found.written} is written; {found.model} is as it was.", markup=False)
    elif found.proposals and any(one.writes for one in found.proposals):
        best = next(one for one in found.proposals if one.writes)
        screen.print(
            f"Apply one: whichpu fix {found.model} --npu {found.npu} --apply {best.name} -o OUT.onnx", markup=False
        )


def lines(found: Any) -> list[str]:
    """Each proposal, or each remedy applied and what both models' outputs showed, in words."""
    if not found.applied:
        return [_proposal(one) for one in found.proposals] or ["No remedy is known to gain anything here."]
    told = []
    for one in found.applied:
        told.append(f"{one.name}: {_places(one.sites)}. {one.answer}")
        told += [f"{one.name}: {note}." for note in one.notes]
        told.append(f"{one.name}: {proof(one.proof, one.effect)}")
    if found.proof is not None and len(found.applied) > 1:
        inexact = any(one.effect != "exact" for one in found.applied)
        told.append(f"All together: {proof(found.proof, 'approximate' if inexact else 'exact')}")
    if found.delta is not None:
        told.append(metric(found.delta))
    return [*told, *(f"{note}." for note in found.notes), f"Now: {figures(found.after)}."]


def figures(of: Any) -> str:
    """The figures of a placement in a sentence."""
    part = "an unknown share" if of.mac_share is None else share(of.mac_share)
    macs = "no MACs" if of.macs == 0 else f"{part} of the MACs"
    more = [f"{count} {word}" for count, word in ((of.refused, "refused"), (of.unknown, "unknown")) if count]
    rest = f", {', '.join(more)}" if more else ""
    where = plural(of.regions, "region")
    return f"{macs} in {where}, {of.host_operators} of {of.operators} operators left{rest}"


def proof(of: Any, effect: str) -> str:
    """What running both models showed."""
    worst, count = of.worst, of.random_samples + of.real_samples
    real = f", {of.real_samples} of them real" if of.real_samples else ""
    measured = f"largest difference {worst.largest:.3g} in {worst.output} (values up to {worst.scale:.3g})"
    bound = f", {100 * worst.of_bound:.2g} % of what is allowed" if effect == "exact" else ""
    return f"{measured}{bound}; {count} samples{real}."


def metric(delta: Any) -> str:
    """A task's metric with both models."""
    interval = "" if delta.low is None else f" (95 % interval {delta.low:+.4g} to {delta.high:+.4g})"
    moved = f"{delta.before:.4g} before, {delta.after:.4g} after: {delta.delta:+.4g}"
    return f"{delta.metric} on {delta.samples} samples: {moved}{interval}."


def _proposal(one: Proposal) -> str:
    return f"{remedy(one)} Where: {_places(one.sites)}."


def _places(sites: Sequence[Site]) -> str:
    """What happens, and the last operator of each place where it does."""
    ends: dict[str, list[str]] = defaultdict(list)
    for site in sites:
        ends[site.says].append(site.operators[-1] if site.operators else "")
    return "; ".join(f"{says}{_named(names)}" for says, names in ends.items())


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(filter(None, names[:NAMES_SHOWN]))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f" ({shown}{more})" if shown else ""
