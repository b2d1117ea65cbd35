"""A network as TVM sees it before it partitions for Arm Ethos-N: imported into Relay, composites merged.

The import decides much of what the NPU gets, so it is an option: ``route=tflite`` (TFLite files), ``onnx-qoperator``
(QLinearConv and the like), ``onnx-qdq`` (dequantise, float operators, quantise, as they stand) and
``onnx-qdq-fq2i`` (with the pass FakeQuantizationToInteger). ``layout=nhwc`` adds ConvertLayout to the ONNX routes.
"""

from __future__ import annotations

from whichpu.errors import UserError
from whichpu.graphs.capability import Target
from whichpu.graphs.graph import Graph
from whichpu.graphs.lowering.relay_composites import merged

ROUTES = ("tflite", "onnx-qoperator", "onnx-qdq", "onnx-qdq-fq2i")


def lower(graph: Graph, target: Target) -> Graph:
    """The Relay graph with composites. Raises :class:`UserError` where the route can't read the model."""
    lowered = merged(imported(graph, target), target)
    if graph.dialect == "relay":
        from whichpu.graphs.lowering import relay_dump

        return relay_dump.told(lowered, target)
    return lowered


def imported(graph: Graph, target: Target) -> Graph:
    """The Relay graph as TVM's front end gives it."""
    route = target.options.get("route", "auto")
    if graph.dialect == "relay":
        from whichpu.graphs.lowering import relay_dump

        return relay_dump.normalised(graph)
    if graph.dialect == "tflite":
        if route not in ("auto", "tflite"):
            raise UserError(f"{graph.name} is TFLite: it can't go the route {route}", "leave out the route")
        from whichpu.graphs.lowering import relay_tflite

        return relay_tflite.imported(graph)
    if route == "tflite":
        raise UserError(
            f"{graph.name} is ONNX: it can't go the route tflite as it stands",
            "convert it to INT8 TFLite (onnx2tf, for instance) and analyse that file",
        )
    from whichpu.graphs.lowering import relay_onnx

    return relay_onnx.imported(graph, route, target.options.get("layout", "nchw"))
