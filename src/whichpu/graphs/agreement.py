"""The vendor's compiler beside our table: its verdicts outrank the table's, and where the two differ is listed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from whichpu.graphs.capability import Verdict
from whichpu.graphs.compilers import Answer
from whichpu.graphs.graph import CONVERSIONS, Graph, Operator
from whichpu.graphs.placement import Placed, Placement, settle

WORST_FIRST = ("refused", "unknown", "host", "npu")


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An operator on which table and compiler differ; the words are those of ``placed``."""

    operator: Operator
    table: str
    compiler: str
    table_says: str
    compiler_says: str


def heard(placement: Placement, answer: Answer) -> Placement:
    """The placement by the compiler's verdicts; operators that it does not name keep the table's.

    A compiler that tells its regions has formed them: what it takes is not pulled back by our partitioner.
    """
    if not answer.verdicts:
        return placement
    heard_of = [_verdict(placement.graph, operator, answer) for operator in placement.lowered.operators]
    verdicts = [own or told for own, told in zip(heard_of, placement.verdicts, strict=True)]
    final = {index for index, own in enumerate(heard_of) if own is not None} if answer.regions is not None else set()
    found = settle(placement.graph, placement.lowered, placement.target, verdicts, final)
    if answer.regions is None:
        return found
    ratio = answer.regions / (answer.regions + 1)
    return replace(found, figures=replace(found.figures, regions=answer.regions, function_ratio=ratio))


def _verdict(graph: Graph, operator: Operator, answer: Answer) -> Verdict | None:
    """The worst that the compiler said of the source operators that this one was made from.

    Of Q and DQ around an operator only where it said nothing of that: another operator may share them.
    """
    named = [origin for origin in operator.origins if origin in answer.verdicts]
    core = [origin for origin in named if graph.operators[origin].type not in CONVERSIONS]
    said = [answer.verdicts[origin] for origin in core or named]
    return min(said, key=lambda verdict: WORST_FIRST.index(verdict.status), default=None)


def disagreements(placement: Placement, answer: Answer) -> list[Disagreement]:
    """Where the table's ``placement`` and the compiler's answer differ, in the order of the operators."""
    capability = placement.target.capability
    words = {"npu": capability.unit, "host": capability.host}
    found = []
    for one in placement.placed:
        said = answer.verdicts.get(one.operator.index)
        if said is not None and one.fate != "folded" and words.get(said.status, said.status) != one.where:
            found.append(_row(one, said, words.get(said.status, said.status)))
    return found


def _row(one: Placed, said: Verdict, where: str) -> Disagreement:
    return Disagreement(one.operator, one.where, where, one.reason, said.reason)
