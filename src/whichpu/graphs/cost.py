"""What an operator costs, from its shapes alone: multiply-accumulates, parameters, bytes read and written.

A multiply-accumulate (MAC) is counted for convolutions, matrix products and recurrent cells, as in the papers' tables;
other operators have 0 MACs, which is known, not unknown. ``None`` is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

from whichpu.graphs.graph import Graph


@dataclass(frozen=True, slots=True)
class Cost:
    """One operator's cost for one inference."""

    macs: int | None
    parameters: int
    parameter_bytes: int | None
    read_bytes: int | None
    """Bytes of computed inputs; parameters are told apart."""
    written_bytes: int | None


def costs(graph: Graph) -> list[Cost]:
    """The cost of each operator, in the order of ``graph.operators``."""
    raise NotImplementedError  # being written
