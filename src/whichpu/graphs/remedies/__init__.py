"""What would let the accelerator take more: each remedy rewrites the model, and is judged by analysing it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from whichpu.graphs.placement import Figures, Placement

Effect = Literal["exact", "approximate", "needs-fine-tuning"]


@dataclass(frozen=True)
class Site:
    """One place where a remedy applies: the source operators it would replace."""

    operators: tuple[str, ...]
    says: str


class Remedy(Protocol):
    """A module in this folder. ``NAME`` is what ``whichpu fix --apply`` takes; ``EFFECT`` is on the answer."""

    NAME: str
    SAYS: str
    EFFECT: Effect

    def sites(self, placement: Placement) -> list[Site]:
        """Where it applies, and only where the target's verdicts make it worth while."""
        ...

    def apply(self, model: Any, sites: Sequence[Site]) -> Any:
        """The ONNX model rewritten; the one given is left alone."""
        ...


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


def propose(placement: Placement, path: Any) -> list[Proposal]:
    """Remedies that apply to this placement, each analysed again; best gain first."""
    del placement, path
    return []
