"""Relay text as its own lowering: calls under the same conventions as those that WhichPU makes itself.

What Relay passes as inputs (scales, zero points, sizes of padding) becomes attributes, and attributes that a dump
leaves out get Relay's defaults. Source: apache/tvm v0.18.0, include/tvm/relay/attrs and qnn/op registrations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whichpu.graphs.capability import Target, Verdict
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.graph import Graph, Operator, Tensor

SCALED = ("scale", "zero_point")
ARGUMENTS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "qnn.conv2d": (2, ("input_zero_point", "kernel_zero_point", "input_scale", "kernel_scale")),
    "qnn.conv2d_transpose": (2, ("input_zero_point", "kernel_zero_point", "input_scale", "kernel_scale")),
    "qnn.dense": (2, ("input_zero_point", "kernel_zero_point", "input_scale", "kernel_scale")),
    "qnn.requantize": (1, ("input_scale", "input_zero_point", "output_scale", "output_zero_point")),
    "qnn.quantize": (1, ("output_scale", "output_zero_point")),
    "qnn.dequantize": (1, ("input_scale", "input_zero_point")),
    "qnn.leaky_relu": (1, ("input_scale", "input_zero_point", "output_scale", "output_zero_point")),
    "nn.pad": (1, ("pad_value",)),
} | {
    kind: (2, tuple(f"{side}_{what}" for side in ("lhs", "rhs", "output") for what in SCALED))
    for kind in ("qnn.add", "qnn.mul", "qnn.subtract")
}
"""How many inputs are data, and the names of those that follow."""
RENAMED = {
    "kernel_size": "kernel", "pool_size": "kernel", "dilation": "dilations", "a_min": "low", "a_max": "high",
    "layout": "data_layout", "block_size": "block",
}  # fmt: skip
CONV = {"strides": (1, 1), "padding": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1, "data_layout": "NCHW"}
POOL = {"strides": (1, 1), "padding": (0, 0, 0, 0), "data_layout": "NCHW"}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "qnn.conv2d": CONV | {"kernel_layout": "OIHW"},
    "nn.conv2d": CONV | {"kernel_layout": "OIHW"},
    "qnn.conv2d_transpose": CONV | {"kernel_layout": "IOHW"},
    "nn.max_pool2d": POOL,
    "nn.avg_pool2d": POOL,
    "nn.depth_to_space": {"data_layout": "NCHW", "mode": "DCR"},
    "image.resize2d": {"method": "linear", "data_layout": "NCHW"},
    "mean": {"keepdims": False},
}


def normalised(graph: Graph) -> Graph:
    """The graph again, each call its own origin."""
    from whichpu.graphs.lowering.none import copied

    twin = copied(graph)
    twin.operators = [_normal(operator) for operator in twin.operators]
    for operator in twin.operators:
        for tensor in (*operator.inputs, *operator.outputs):
            if tensor is not None:
                tensor.producer, tensor.consumers = None, []
    for tensor in twin.inputs:
        tensor.consumers = []
    return twin.connect()


def told(graph: Graph, target: Target) -> Graph:
    """A partitioned dump tells where its operators are: that outranks the table, whose reasons are kept."""
    if not any("function" in operator.attributes for operator in graph.operators):
        return graph
    for operator in graph.operators:
        inside = "function" in operator.attributes
        if inside or target.judge(graph, operator).status == "unknown":
            reason = "" if inside else "the dump has it in the host's function"
            verdict = Verdict("npu" if inside else "host", reason, said_by="the dump")
            operator.attributes = {**operator.attributes, "told": verdict}
    return graph


def _normal(call: Operator) -> Operator:
    attributes = {RENAMED.get(name, name): value for name, value in call.attributes.items()}
    attributes = {**DEFAULTS.get(call.type, {}), **attributes}
    inputs = list(call.inputs)
    if call.type == "qnn.concatenate":
        count = (*attributes.get("tuples", ()), 0)[0]
        attributes |= {
            "tuples": (count,),
            "input_scales": tuple(_value(tensor) for tensor in inputs[count : 2 * count]),
            "input_zero_points": tuple(_value(tensor) for tensor in inputs[2 * count : 3 * count]),
        } | dict(zip(("output_scale", "output_zero_point"), map(_value, inputs[3 * count :]), strict=False))
        inputs = inputs[:count]
    elif call.type in ARGUMENTS:
        data, names = ARGUMENTS[call.type]
        attributes |= {name: _value(tensor) for name, tensor in zip(names, inputs[data:], strict=False)}
        inputs = inputs[:data]
    if len(attributes.get("padding", ())) in (1, 2):
        attributes["padding"] = tuple(attributes["padding"]) * (4 // len(attributes["padding"]))
    if "weights_shape" not in attributes and "kernel_layout" in attributes:
        attributes["weights_shape"] = _hwio(inputs[1] if len(inputs) > 1 else None, attributes["kernel_layout"])
        attributes.setdefault("kernel", (attributes["weights_shape"] or (None, None))[:2])
        attributes.setdefault("channels", (call.outputs[0].shape or (None,))[-1])
    if call.type == "qnn.dense" and inputs[1] is not None and len(inputs[1].shape or ()) == 2:
        attributes["weights_shape"] = tuple(inputs[1].shape or ())[::-1]
    if call.type == "qnn.requantize":
        attributes["accumulated"] = call.inputs[0] is not None and call.inputs[0].dtype == "int32"
    return Operator(
        call.index, call.name, call.type, list(inputs), call.outputs, attributes, call.domain, call.within, call.origins
    )


def _value(tensor: Tensor | None) -> Any:
    """A scalar's value; None for one that the text does not hold."""
    if tensor is None or tensor.read is None:
        return None
    try:
        return tensor.read().item()
    except (UnknownFactError, ValueError):
        return None


def _hwio(weights: Tensor | None, layout: str) -> tuple[int | None, ...] | None:
    """Sizes in the order HWIO (HWOI for depthwise kernels, as TVM names them)."""
    if weights is None or weights.shape is None or len(weights.shape) != len(layout):
        return None
    order = layout if layout in ("HWIO", "HWOI") else "HWIO"
    return tuple(weights.shape[layout.index(axis)] for axis in order)
