"""The road of an analysis: model and target in, placement, findings, estimate and remedies out."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from whichpu.errors import UserError
from whichpu.graphs import compilers, remedies
from whichpu.graphs.agreement import Disagreement, disagreements, heard
from whichpu.graphs.capability import Target
from whichpu.graphs.estimate import Estimate, estimate
from whichpu.graphs.findings import Finding, findings
from whichpu.graphs.graph import Graph
from whichpu.graphs.placement import Placement, place
from whichpu.graphs.readers import read


@dataclass(frozen=True)
class TargetAnalysis:
    """One model on one target. ``refusal`` stands where it could not be analysed; the rest is then empty."""

    target: Target
    placement: Placement | None = None
    """By the vendor's compiler where it answered, else by the table."""
    findings: list[Finding] = field(default_factory=list)
    estimate: Estimate | None = None
    proposals: list[remedies.Proposal] = field(default_factory=list)
    answer: compilers.Answer | None = None
    """What the vendor's compiler made of it, where it was asked."""
    not_asked: str = ""
    """Why the vendor's compiler was not asked."""
    disagreements: list[Disagreement] = field(default_factory=list)
    """Operators on which the table and the compiler differ."""
    refusal: str = ""


@dataclass(frozen=True)
class Analysis:
    """One model on all targets. ``refusal``: why the file could not be read."""

    model: Path
    graph: Graph | None
    targets: list[TargetAnalysis]
    refusal: str = ""
    remedy: str = ""


def analyse(
    path: Path,
    targets: Sequence[Target],
    *,
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    ask: bool = True,
    propose: bool = True,
) -> Analysis:
    """Analyse a model file on targets. A model or target that can't be analysed gives a refusal, never an exception."""
    with no_collection():
        try:
            graph = read(path, shapes)
        except UserError as problem:
            return Analysis(path, None, [], str(problem), problem.remedy or "")
        return Analysis(path, graph, [_on(path, graph, target, ask, propose) for target in targets])


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection meanwhile: it looks at every node again and again, twice the time at 100,000 nodes."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _on(path: Path, graph: Graph, target: Target, ask: bool, propose: bool) -> TargetAnalysis:
    try:
        placement = place(graph, target)
    except UserError as problem:
        return TargetAnalysis(target, refusal=". ".join(filter(None, (str(problem), problem.remedy))))
    why_not = "not asked: --no-ask" if not ask else compilers.why_not(target)
    answer = None
    if why_not is None:
        try:
            answer = compilers.ask(path, graph, target)
        except UserError as problem:
            why_not = str(problem)
    differing = [] if answer is None else disagreements(placement, answer)
    settled = placement if answer is None else heard(placement, answer)
    estimated = estimate(settled)
    return TargetAnalysis(
        target,
        settled,
        findings(settled, estimated),
        estimated,
        remedies.propose(placement, path) if propose else [],
        answer,
        why_not or "",
        differing,
    )
