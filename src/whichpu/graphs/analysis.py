"""The road of an analysis: model and target in, placement, findings, estimate and remedies out."""

from __future__ import annotations

import errno
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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

BUG_MOST = 200
"""Characters of an exception's words that a refusal repeats; the log has them all."""


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
    failed: str = ""
    """A part that is missing by a fault of ours, in words."""
    bug: Exception | None = None
    """That fault."""


@dataclass(frozen=True)
class Analysis:
    """One model on all targets. ``refusal``: why the file could not be read."""

    model: Path
    graph: Graph | None
    targets: list[TargetAnalysis]
    refusal: str = ""
    remedy: str = ""
    bug: Exception | None = None
    """Why the file could not be read, where that is our fault."""
    folders: int = 0
    """How many folders its name needs, to be told from others."""

    @property
    def name(self) -> str:
        """What the model is called where it is told: its file's name, with folders where others have the same."""
        return "/".join(self.model.parts[-1 - self.folders :])

    @property
    def bugs(self) -> list[Exception]:
        """What failed that should not, here or on a target."""
        return [bug for bug in (self.bug, *(one.bug for one in self.targets)) if bug is not None]


def analyse(
    path: Path,
    targets: Sequence[Target],
    *,
    shapes: Mapping[str | None, Sequence[int]] | None = None,
    ask: bool = True,
    propose: bool = True,
) -> Analysis:
    """Analyse a model file on targets. A model or target that can't be analysed gives a refusal, a bug of ours one too.

    Only what would stop every other model as well is raised: no memory, a full disk.
    """
    with no_collection():
        try:
            graph = read(path, shapes)
        except UserError as problem:
            return Analysis(path, None, [], str(problem), problem.remedy or "")
        except Exception as bug:
            return Analysis(path, None, [], _ours(bug), bug=bug)
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


def _ours(bug: Exception) -> str:
    """A bug as a refusal. Raises what is none: the machine's trouble, which is told once for all models."""
    if isinstance(bug, MemoryError) or getattr(bug, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        raise bug
    said = " ".join(str(bug).split())[:BUG_MOST]
    return f"a bug in WhichPU, not your mistake ({type(bug).__name__}{': ' + said if said else ''})"


def _on(path: Path, graph: Graph, target: Target, ask: bool, propose: bool) -> TargetAnalysis:
    try:
        placement = place(graph, target)
        found = _told(path, placement, ask)
    except UserError as problem:
        return TargetAnalysis(target, refusal="; ".join(filter(None, (str(problem), problem.remedy))))
    except Exception as bug:
        return TargetAnalysis(target, refusal=_ours(bug), bug=bug)
    if not propose:
        return found
    try:
        return replace(found, proposals=remedies.propose(placement, path))
    except Exception as bug:
        return replace(found, failed=f"No remedies: {_ours(bug)}.", bug=bug)


def _told(path: Path, placement: Placement, ask: bool) -> TargetAnalysis:
    """What the table and the compiler say; no remedies yet."""
    answer, why_not, bug = _asked(path, placement, ask)
    settled = placement if answer is None else heard(placement, answer)
    estimated = estimate(settled)
    return TargetAnalysis(
        placement.target,
        settled,
        findings(settled, estimated),
        estimated,
        answer=answer,
        not_asked=why_not,
        disagreements=[] if answer is None else disagreements(placement, answer),
        bug=bug,
    )


def _asked(path: Path, placement: Placement, ask: bool) -> tuple[compilers.Answer | None, str, Exception | None]:
    """The compiler's answer, or why there is none, and the bug if that is why."""
    target = placement.target
    try:
        why_not = "not asked: --no-ask" if not ask else compilers.why_not(target)
        return (None, why_not, None) if why_not else (compilers.ask(path, placement.graph, target), "", None)
    except UserError as problem:
        return None, str(problem), None
    except Exception as bug:
        return None, _ours(bug), bug
