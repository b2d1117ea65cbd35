"""ConvertLayout to NHWC and HWIO: convolutions and poolings change, ``layout_transform`` is put where layouts meet.

Source: apache/tvm v0.18.0, relay.transform.ConvertLayout with ``qnn.conv2d``, ``nn.conv2d``, their transposed forms,
``nn.max_pool2d``, ``nn.avg_pool2d`` and ``image.resize2d`` asked for in NHWC. Element-wise calls follow their inputs.
"""

from __future__ import annotations

from typing import Any

from whichpu.graphs.graph import Graph, Operator, Shape, Tensor
from whichpu.graphs.lowering.relay_builder import connected

TURNED = {
    "nn.conv2d", "qnn.conv2d", "nn.conv2d_transpose", "qnn.conv2d_transpose", "nn.max_pool2d", "nn.avg_pool2d",
    "nn.global_avg_pool2d", "nn.global_max_pool2d", "image.resize2d",
}  # fmt: skip
FOLLOWING = {
    "nn.bias_add", "qnn.requantize", "qnn.quantize", "qnn.dequantize", "clip", "nn.relu", "nn.leaky_relu", "sigmoid",
    "tanh", "qnn.leaky_relu", "qnn.sigmoid", "qnn.tanh", "qnn.add", "qnn.mul", "qnn.subtract", "add", "multiply",
    "subtract", "maximum", "minimum", "cast", "concatenate", "qnn.concatenate", "nn.pad", "copy", "exp", "erf", "sqrt",
    "abs", "negative", "divide", "split",
}  # fmt: skip
PLACES = (0, 3, 1, 2)
"""Where the axes N, C, H, W stand in NHWC."""


def to_nhwc(graph: Graph) -> Graph:
    """The graph with its four-dimensional tensors in NHWC wherever a call was asked to be."""
    turned: dict[int, Tensor] = {}
    plain: dict[int, Tensor] = {}
    made: list[Operator] = []

    def transformed(tensor: Tensor, operator: Operator, store: dict[int, Tensor], shape: Shape | None) -> Tensor:
        if tensor.constant:
            return Tensor(tensor.name, tensor.dtype, shape, tensor.quantisation, tensor.read)
        if id(tensor) not in store:
            store[id(tensor)] = Tensor(tensor.name, tensor.dtype, shape, tensor.quantisation)
            made.append(
                Operator(0, tensor.name, "layout_transform", [tensor], [store[id(tensor)]], within=operator.within)
            )
        return store[id(tensor)]

    for operator in graph.operators:
        if _follows(operator, turned):
            made.append(_nhwc(operator, turned, transformed))
            for old, new in zip(operator.outputs, made[-1].outputs, strict=True):
                turned[id(old)] = new
            continue
        inputs = [
            transformed(turned[id(tensor)], operator, plain, tensor.shape) if id(tensor) in turned else tensor
            for tensor in operator.inputs
            if tensor is not None
        ]
        made.append(_copy(operator, inputs, operator.outputs, operator.attributes))
    outputs = [
        transformed(turned[id(tensor)], made[-1], plain, tensor.shape) if id(tensor) in turned else tensor
        for tensor in graph.outputs
    ]
    graph.outputs = outputs
    return connected(graph, made)


def _follows(operator: Operator, turned: dict[int, Tensor]) -> bool:
    if len(operator.outputs[0].shape or ()) != 4:
        return False
    if operator.type in TURNED:
        return True
    return operator.type in FOLLOWING and any(id(tensor) in turned for tensor in operator.inputs)


def _nhwc(operator: Operator, turned: dict[int, Tensor], transformed: Any) -> Operator:
    inputs = []
    for position, tensor in enumerate(operator.inputs):
        if tensor is None:
            continue
        weights = position == 1 and "conv2d" in operator.type
        if weights or len(tensor.shape or ()) != 4:
            inputs.append(_hwio(tensor, operator) if weights else tensor)
        else:
            inputs.append(turned.get(id(tensor)) or transformed(tensor, operator, turned, _turned(tensor.shape)))
    attributes = dict(operator.attributes)
    if "data_layout" in attributes:
        attributes["data_layout"] = "NHWC"
    if "conv2d" in operator.type and "kernel_layout" in attributes:
        attributes |= _kernel(attributes)
    if "axis" in attributes and attributes["axis"] is not None:
        attributes["axis"] = PLACES[int(attributes["axis"]) % 4]
    widths = attributes.get("pad_width")
    if widths is not None and len(widths) == 4:
        attributes["pad_width"] = tuple(widths[place] for place in (0, 2, 3, 1))
    outputs = [Tensor(old.name, old.dtype, _turned(old.shape), old.quantisation) for old in operator.outputs]
    return _copy(operator, inputs, outputs, attributes)


def _kernel(attributes: dict[str, Any]) -> dict[str, Any]:
    """Kernels in HWIO; depthwise ones in HWOI, as TVM has them."""
    sizes = attributes["weights_shape"]
    depthwise = attributes["groups"] not in (1, None) and attributes["groups"] == attributes["channels"]
    if depthwise and len(sizes) == 4:
        return {"kernel_layout": "HWOI", "weights_shape": (*sizes[:2], sizes[3], sizes[2])}
    return {"kernel_layout": "HWIO"}


def _hwio(tensor: Tensor, operator: Operator) -> Tensor:
    sizes = _kernel(dict(operator.attributes)).get("weights_shape") or operator.attributes.get("weights_shape")
    return Tensor(tensor.name, tensor.dtype, sizes, tensor.quantisation, tensor.read)


def _turned(shape: Shape | None) -> Shape | None:
    return shape if shape is None or len(shape) != 4 else (shape[0], shape[2], shape[3], shape[1])


def _copy(operator: Operator, inputs: list[Tensor], outputs: list[Tensor], attributes: Any) -> Operator:
    return Operator(
        0, operator.name, operator.type, list(inputs), outputs, attributes, operator.domain, operator.within,
        operator.origins,
    )  # fmt: skip
