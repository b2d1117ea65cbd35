"""What compilers answered, as small JSON files in ``tests/data/npu``: a letter for each source operator.

``{"tool": ..., "made_by": ..., "answers": {TARGET: {MODEL: "nnc-"}}}``: n on the accelerator, c left to the host,
- not named by the compiler; a text that begins with ``refused:`` where it made nothing of the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from whichpu.graphs.compilers import Answer
from whichpu.graphs.graph import Graph
from whichpu.graphs.placement import Placement

FOLDER = Path(__file__).parents[2] / "tests" / "data" / "npu"
LETTERS = {"npu": "n", "host": "c", "refused": "r"}
OURS = {"accelerator": "n", "folded": "n", "host": "c", "refused": "r", "unknown": "?"}
REFUSED = "refused: "


def letters(answer: Answer, graph: Graph) -> str:
    """A compiler's answer, in short."""
    if not answer.verdicts:
        return REFUSED + answer.refused[:160]
    given = {index: LETTERS.get(verdict.status, "-") for index, verdict in answer.verdicts.items()}
    return "".join(given.get(operator.index, "-") for operator in graph.operators)


@dataclass(frozen=True)
class Compared:
    """Operators that a compiler names, how many of them we place alike, and each that we do not."""

    named: int
    alike: int
    differences: tuple[str, ...] = ()


def compared(placement: Placement, said: str) -> Compared:
    """Our placement against the letters. A refused model counts as one operator: refused by us too, or not."""
    refusals = [one for one in placement.placed if one.fate == "refused"]
    if said.startswith(REFUSED):
        return Compared(1, 1) if refusals else Compared(1, 0, (f"{said}; we take it",))
    if refusals:
        first = refusals[0]
        return Compared(1, 0, (f"compiled; we say {first.operator.type} is refused: {first.reason}",))
    named = [(one, letter) for one, letter in zip(placement.placed, said, strict=True) if letter != "-"]
    wrong = [
        f"{one.operator.type} {one.operator.name}: compiler {letter}, ours {OURS[one.fate]} {one.reason}".strip()
        for one, letter in named
        if OURS[one.fate] != letter
    ]
    return Compared(len(named), len(named) - len(wrong), tuple(wrong))


def files() -> Iterator[tuple[str, Mapping[str, Mapping[str, str]]]]:
    """Name of the tool and its answers by target and model, of every file that is of this form."""
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and "answers" in content:
            yield content["tool"], content["answers"]
