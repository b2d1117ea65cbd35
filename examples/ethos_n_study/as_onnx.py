"""The networks as ONNX: with quantise and dequantise around float operators (QDQ), or with QLinear operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from networks import Layer, Network
from onnx import TensorProto, helper, numpy_helper

SCALE, WEIGHT_SCALE = 0.05, 0.01
SLOPE = 0.1


class _Model:
    """An ONNX model being written, NCHW."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.random = np.random.default_rng(0)
        self.made: dict[str, str] = {"image": self.quantised("image")}
        """Name of each layer's quantised result."""
        self.opened: dict[str, str] = {}

    def constant(self, name: str, values: Any) -> str:
        if all(name != made.name for made in self.constants):
            self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name, domain=domain, **attributes))
        return name

    def scales(self) -> list[str]:
        return [self.constant("scale", np.float32(SCALE)), self.constant("zero", np.int8(0))]

    def quantised(self, name: str) -> str:
        return self.node("QuantizeLinear", [name, *self.scales()], f"{name}_q")

    def dequantised(self, name: str) -> str:
        return self.node("DequantizeLinear", [name, *self.scales()], f"{name}_d")

    def real(self, layer: str) -> str:
        """A layer's result in float, dequantised once for all that take it."""
        if layer not in self.opened:
            self.opened[layer] = self.dequantised(self.made[layer])
        return self.opened[layer]

    def weights(self, layer: Layer) -> tuple[str, str, tuple[str, ...]]:
        """Names of int8 weights, int32 bias, and of the weights' scale and zero point."""
        channels = self.network.shape(layer.inputs[0])[2]
        shape = (layer.shape[2], channels, layer.kernel, layer.kernel)
        weights = self.constant(f"{layer.name}_w", self.random.integers(-127, 128, shape).astype(np.int8))
        bias = self.constant(f"{layer.name}_b", np.zeros(layer.shape[2], np.int32))
        scale = (self.constant("w_scale", np.float32(WEIGHT_SCALE)), self.constant("w_zero", np.int8(0)))
        return weights, bias, scale


def _window(layer: Layer) -> dict[str, Any]:
    pad = layer.kernel // 2
    return {"strides": [layer.stride] * 2, "pads": [pad] * 4, "kernel_shape": [layer.kernel] * 2}


def _qdq(model: _Model, layer: Layer) -> None:
    """Operators in float between dequantise and quantise; ReLU hangs on its convolution, LeakyReLU has its own pair."""
    inputs = [model.real(name) for name in layer.inputs]
    name = f"{layer.name}_float"
    if layer.kind == "conv":
        weights, bias, scale = model.weights(layer)
        bias_scale = (
            model.constant("b_scale", np.float32(SCALE * WEIGHT_SCALE)),
            model.constant("b_zero", np.int32(0)),
        )
        wide = model.node("DequantizeLinear", [weights, *scale], f"{weights}_d")
        offset = model.node("DequantizeLinear", [bias, *bias_scale], f"{bias}_d")
        name = model.node("Conv", [*inputs, wide, offset], name, **_window(layer))
        if layer.active and model.network.activation == "relu":
            name = model.node("Relu", [name], f"{layer.name}_act")
        elif layer.active:
            between = model.dequantised(model.quantised(name))
            name = model.node("LeakyRelu", [between], f"{layer.name}_act", alpha=SLOPE)
    elif layer.kind == "resize":
        twice = model.constant("twice", np.asarray([1, 1, 2, 2], np.float32))
        name = model.node("Resize", [*inputs, "", twice], name, mode="nearest", nearest_mode="floor",
                          coordinate_transformation_mode="asymmetric")  # fmt: skip
    else:
        name = model.node("Concat", inputs, name, axis=1)
    model.made[layer.name] = model.quantised(name)


def _qoperator(model: _Model, layer: Layer) -> None:
    """QLinear operators; a ReLU is in the range of its convolution's output."""
    scales = model.scales()
    inputs = [model.made[name] for name in layer.inputs]
    if layer.kind == "conv":
        weights, bias, scale = model.weights(layer)
        name = model.node("QLinearConv", [inputs[0], *scales, weights, *scale, *scales, bias], f"{layer.name}_q",
                          **_window(layer))  # fmt: skip
        if layer.active and model.network.activation == "leaky_relu":
            name = model.node("QLinearLeakyRelu", [name, *scales, *scales], f"{layer.name}_act", "com.microsoft",
                              alpha=SLOPE)  # fmt: skip
    elif layer.kind == "resize":
        twice = model.constant("twice", np.asarray([1, 1, 2, 2], np.float32))
        name = model.node("Resize", [*inputs, "", twice], f"{layer.name}_q", mode="nearest", nearest_mode="floor",
                          coordinate_transformation_mode="asymmetric")  # fmt: skip
    else:
        groups = [part for name in inputs for part in (name, *scales)]
        name = model.node("QLinearConcat", [*scales, *groups], f"{layer.name}_q", "com.microsoft", axis=1)
    model.made[layer.name] = name


def written(network: Network, form: str) -> onnx.ModelProto:
    """The network as ONNX; ``form`` is ``qdq`` or ``qoperator``."""
    model = _Model(network)
    for layer in network.layers:
        (_qdq if form == "qdq" else _qoperator)(model, layer)
    last = network.layers[-1]
    out = model.real(last.name)
    height, width, channels = network.shape("image")
    graph = helper.make_graph(
        model.nodes, network.name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, height, width])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, [1, last.shape[2], *last.shape[:2]])], model.constants,
    )  # fmt: skip
    domains = [helper.make_opsetid("", 14), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)
