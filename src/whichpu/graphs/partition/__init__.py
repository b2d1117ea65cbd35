"""How a vendor's partitioner forms regions out of what its compiler takes; one file each, one line in the table.

A partitioner sees the operators of the lowered graph and which of them are taken. It answers with regions, and with
the operators that are taken but left to the host all the same, each with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from whichpu.graphs.graph import Graph, Operator

PARTITIONERS = {
    "maximal": ".maximal",  # connected, convex regions as large as can be
    "byoc": ".byoc",  # TVM: MergeCompilerRegions with restriction sets, light regions pulled back
    "capability": ".capability",  # ONNX Runtime: groups in Kahn's order with a border
    "dla": ".dla",  # TensorRT: consecutive DLA layers form a loadable
    "vela": ".vela",  # Vela: maximal NPU runs
    "leading": ".leading",  # Edge TPU: one leading section
    "whole": ".whole",  # Hailo: all or nothing between start and end nodes
}


@dataclass
class Partition:
    """Regions of operator indices; each operator in at most one. ``left``: taken, yet left to the host, and why."""

    regions: list[list[int]]
    left: dict[int, str] = field(default_factory=dict)
    kept_apart: list[tuple[int, int, str]] = field(default_factory=list)
    """Pairs of regions that could have been one, and what keeps them apart: an operator's name, a cycle."""


@dataclass(frozen=True)
class Terms:
    """What a partitioner may look at besides the graph: which operators are taken, which are heavy, its options."""

    taken: Sequence[bool]
    heavy: Callable[[Operator], bool]
    options: Mapping[str, Any]
    unknown: Sequence[bool] = ()
    """Operators of which the sources do not tell; empty where a partitioner need not know."""


def partition(name: str, graph: Graph, terms: Terms) -> Partition:
    """Regions that the named partitioner forms. No region spans two bodies."""
    module = import_module(PARTITIONERS[name], __name__)
    found: Partition = module.partition(graph, terms)
    return found
