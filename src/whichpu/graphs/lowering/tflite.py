"""The network as TFLite: a TFLite file as it stands, ONNX as its converter writes it (:mod:`.onnx_to_tflite`)."""

from __future__ import annotations

from whichpu.graphs.capability import Target
from whichpu.graphs.graph import Graph
from whichpu.graphs.lowering.none import copied


def lower(graph: Graph, target: Target) -> Graph:
    """TFLite operators; anything else than ONNX is left in its dialect, and refused by the caller."""
    if graph.dialect != "onnx":
        return copied(graph)
    from whichpu.graphs.lowering.onnx_to_tflite import convert

    return convert(graph, target)
