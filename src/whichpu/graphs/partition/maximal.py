"""Connected, convex regions as large as can be: merge neighbours that are both taken, unless that makes a cycle."""

from __future__ import annotations

from whichpu.graphs.graph import Graph
from whichpu.graphs.partition import Partition, Terms


def partition(graph: Graph, terms: Terms) -> Partition:
    """Regions by depth: an operator joins a parent's region when no path from that region to it leaves the region."""
    raise NotImplementedError  # being written
