"""The vendors' own compilers, asked where they are installed: one file each, one line in the table.

A compiler often needs versions of its own, so it runs in an interpreter of its own: ``rk3588:python=PATH`` names it;
else it is looked for in this environment and on PATH.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.graph import Graph

COMPILERS: dict[str, str] = {
    "vela": ".vela",
    "rknn": ".rknn",
    "qnn": ".qnn",
    "mobile_checker": ".mobile_checker",
    "openvino": ".openvino",
    "tensorrt": ".tensorrt",
    "tvm": ".tvm",
}


@dataclass(frozen=True)
class Answer:
    """What a compiler made of a model."""

    tool: str
    """Name and version, as ``said_by`` shows it: ``vela 5.2.0``."""
    verdicts: dict[int, Verdict]
    """By index of the source graph's operator; operators the compiler does not name are absent."""
    regions: int | None = None
    refused: str = ""
    """The compiler's own words where it made nothing of the model."""
    figures: dict[str, Any] = field(default_factory=dict)
    """The compiler's own estimates, under names with units."""
    log: str = ""


def why_not(target: Target) -> str | None:
    """Why the target's compiler can't be asked here; None when it can. Cheap: compiles nothing."""
    if not target.capability.compiler:
        return f"{target.capability.tool} can't be asked: WhichPU has no adapter to it"
    reason: str | None = _module(target).why_not(target)
    return reason


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """Compile the model with the vendor's tool, on a copy, kept on a lead; raises UserError when it can't start."""
    answer: Answer = _module(target).ask(path, graph, target)
    return answer


def _module(target: Target) -> Any:
    return import_module(COMPILERS[target.capability.compiler], __name__)
