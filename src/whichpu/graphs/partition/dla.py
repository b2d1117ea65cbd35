"""TensorRT's rule for the DLA: connected DLA layers form one loadable, a layer on the GPU between them splits it.

A core holds 16 loadables at once; TensorRT switches what comes after to the GPU ("DLA supports only N subgraphs per
DLA core" in its build log). Which ones it keeps is not documented: here it is the first in order of execution.
Source: NVIDIA, DLA Supported Layers and Restrictions.
"""

from __future__ import annotations

from whichpu.graphs.graph import Graph
from whichpu.graphs.partition import Partition, Terms, maximal


def partition(graph: Graph, terms: Terms) -> Partition:
    """Loadables; those past the core's limit are left to the GPU."""
    found = maximal.partition(graph, terms)
    most = int(terms.options.get("loadables", 16)) * int(terms.options.get("cores", 1))
    for region in found.regions[most:]:
        why = f"it is in one of {len(found.regions)} loadables, and a DLA core holds {most}: the rest runs on the GPU"
        found.left.update(dict.fromkeys(region, why))
    kept = [pair for pair in found.kept_apart if max(pair[0], pair[1]) < most]
    return Partition(found.regions[:most], found.left, kept)
