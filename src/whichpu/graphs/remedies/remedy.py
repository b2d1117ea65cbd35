"""What a remedy is: a pattern, the rewrite of each place where it is found, and what that does to the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whichpu.graphs.graph import Operator
from whichpu.graphs.placement import Placement
from whichpu.graphs.remedies.edit import Edit
from whichpu.graphs.remedies.net import Net

Effect = Literal["exact", "approximate", "needs-fine-tuning"]
OPSET_LEAST = 7
"""From here on operators broadcast as they do today."""


@dataclass(frozen=True)
class Site:
    """One place where a remedy applies: the source operators it would replace."""

    operators: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Match:
    """A site, the indices of its operators in the source graph, and how it is rewritten."""

    site: Site
    indices: tuple[int, ...]
    rewrite: Callable[[Edit], None]


def match(says: str, rewrite: Callable[[Edit], None], *operators: Operator) -> Match:
    """A match of these operators."""
    return Match(Site(tuple(one.name for one in operators), says), tuple(one.index for one in operators), rewrite)


def troubled(placement: Placement, found: Match) -> bool:
    """Does any of the site's operators stay off the accelerator?"""
    return any(placement.placed[index].fate not in ("accelerator", "folded") for index in found.indices)


@dataclass(frozen=True)
class Remedy:
    """One remedy. ``name`` is what ``whichpu fix --apply`` takes; ``effect`` and ``answer`` are on the answer."""

    name: str
    says: str
    effect: Effect
    answer: str
    """What it does to the answer, in a sentence."""
    roots: tuple[str, ...]
    """Types of operator at which :attr:`find` begins: ``Gelu``, ``com.microsoft:Gelu``."""
    find: Callable[[Net, Operator], Match | None]
    """The site that begins at an operator, if there is one."""
    worth: Callable[[Placement, Match], bool] = troubled
    """Do the target's verdicts make it worth while there?"""
    opset: int = OPSET_LEAST
    """The lowest opset of the rewritten model."""
    shows: bool = True
    """False where what is gained may not be among the placement's figures: a pass of the NPU."""
    shares: bool = False
    """True where sites may share operators that other sites still need."""
