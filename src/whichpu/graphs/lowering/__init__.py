"""The network as a vendor's compiler sees it: another dialect, or operators joined into the compiler's units.

A lowering takes a graph and a target and gives a new graph whose operators name, in ``origins``, the source operators
they were made from. Source operators that no lowered operator names were folded away (constants, shape arithmetic).
"""

from __future__ import annotations

from importlib import import_module

from whichpu.errors import UserError
from whichpu.graphs.capability import Target
from whichpu.graphs.graph import Graph

LOWERINGS = {
    "none": ".none",  # operators as they stand
    "qdq": ".qdq",  # ONNX: a quantise-dequantise group is one integer operator
    "node-units": ".node_units",  # the same by ONNX Runtime's selectors alone, as its execution providers see it
    "rknn": ".rknn",  # the same, and the groups that RKNN-Toolkit2 joins
    "tflite": ".tflite",  # TFLite as it stands; ONNX as its converter writes it
    "relay": ".relay",  # TFLite or ONNX as TVM imports it, composites merged
}

NAMES = {"onnx": "ONNX", "tflite": "TFLite", "relay": "Relay"}


def lower(graph: Graph, target: Target) -> Graph:
    """The graph that the target's table judges. Raises :class:`UserError` where the tool chain can't read it."""
    module = import_module(LOWERINGS[target.capability.lowering], __name__)
    lowered: Graph = module.lower(graph, target)
    if lowered.dialect != target.capability.dialect:
        raise UserError(
            f"{target.capability.title}: {target.capability.tool} reads no {NAMES[graph.dialect]} model",
            f"give the {NAMES[target.capability.dialect]} form of {graph.name}",
        )
    return lowered
