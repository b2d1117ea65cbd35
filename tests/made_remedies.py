"""Small random models, one for each remedy's pattern: a seed gives sizes, weights and attributes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference

Random = np.random.Generator
OPSET = 17


class Build:
    """A model being put together: nodes in order, constants as they come; ``x`` is the input, ``y`` the output."""

    def __init__(self, shape: list[int], opset: int = OPSET, seed: int = 0) -> None:
        self.shape, self.opset, self.random = shape, opset, np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def const(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def normal(self, *shape: int) -> str:
        return self.const(self.random.standard_normal(shape) / math.sqrt(max(1, np.prod(shape[1:], dtype=int))))

    def op(self, type: str, *inputs: str, to: str = "", domain: str = "", **attributes: Any) -> str:
        to = to or f"t{len(self.nodes)}"
        name = f"{type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(type, list(inputs), [to], name=name, domain=domain, **attributes))
        return to

    def conv(self, x: str, out: int, channels: int, size: int, to: str = "", **attributes: Any) -> str:
        weights, bias = self.normal(out, channels // attributes.get("group", 1), size, size), self.normal(out)
        return self.op("Conv", x, weights, bias, to=to, **attributes)

    def qdq(self, x: str, scale: float = 0.05, zero: int = 3, to: str = "") -> str:
        names = self.const(scale), self.const(zero, np.int8)
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *names), *names, to=to)

    def model(self, outputs: tuple[str, ...] = ("y",)) -> ModelProto:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        ys = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph(self.nodes, "graph", [x], ys, self.weights)
        model = shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=8))
        for output in model.graph.output:
            if not output.type.tensor_type.HasField("shape"):  # an operator of Microsoft's before it
                output.type.tensor_type.shape.CopyFrom(helper.make_tensor_type_proto(1, list("nchw")).tensor_type.shape)
        return model


def pick(b: Build, *choices: Any) -> Any:
    return choices[int(b.random.integers(len(choices)))]


def image(seed: int, opset: int = OPSET, even: bool = False) -> tuple[Build, int]:
    random = np.random.default_rng(seed)
    channels, height, width = (int(n) for n in random.integers((1, 6, 6), (6, 14, 14)))
    if even:
        height, width = 2 * height, 2 * width
    return Build([1, channels, height, width], opset, seed), channels


def activation(type: str, opset: int = OPSET, **attributes: Any) -> Callable[[int], ModelProto]:
    """Conv, an activation, Conv: the activation sees both signs."""

    def made(seed: int) -> ModelProto:
        b, c = image(seed, opset)
        domain = "com.microsoft" if type == "QuickGelu" else ""
        own = {name: value(b) if callable(value) else value for name, value in attributes.items()}
        t = b.op(type, b.conv("x", 4, c, 3), domain=domain, **own)
        b.conv(t, 3, 4, 1, to="y")
        return b.model()

    return made


def slope(b: Build) -> float:
    return float(b.random.uniform(0, 1))


def prelu(low: float, high: float, one: bool = False) -> Callable[[int], ModelProto]:
    def made(seed: int) -> ModelProto:
        b, c = image(seed)
        slopes = b.random.uniform(low, high, (1 if one else 4, 1, 1))
        b.op("PRelu", b.conv("x", 4, c, 3), b.const(slopes), to="y")
        return b.model()

    return made


def silu(seed: int) -> ModelProto:
    b, c = image(seed)
    t = b.conv("x", 4, c, 3)
    pair = [t, b.op("Sigmoid", t)]
    b.op("Mul", *(pair if seed % 2 else pair[::-1]), to="y")
    return b.model()


def hard_swish_parts(seed: int) -> ModelProto:
    b, c = image(seed)
    t = b.conv("x", 4, c, 3)
    b.op("Mul", t, b.op("HardSigmoid", t, alpha=1 / 6, beta=0.5), to="y")
    return b.model()


def erf_gelu(seed: int) -> ModelProto:
    b = Build([2, 5, 16], 13, seed)
    x = b.op("MatMul", "x", b.normal(16, 16))
    inner = pick(b, lambda: b.op("Div", x, b.const(math.sqrt(2))), lambda: b.op("Mul", x, b.const(math.sqrt(0.5))))()
    plus = b.op("Add", b.op("Erf", inner), b.const(pick(b, 1.0, [1.0])))
    form = seed % 4
    if form == 0:
        b.op("Mul", b.op("Mul", x, plus), b.const(0.5), to="y")
    elif form == 1:
        b.op("Mul", b.op("Mul", b.const(0.5), x), plus, to="y")
    elif form == 2:
        b.op("Mul", x, b.op("Mul", plus, b.const(0.5)), to="y")
    else:
        b.op("Div", b.op("Mul", plus, x), b.const(2.0), to="y")
    return b.model()


def tanh_gelu(seed: int) -> ModelProto:
    b = Build([2, 5, 16], 13, seed)
    x = b.op("MatMul", "x", b.normal(16, 16))
    cube = b.op("Pow", x, b.const(3.0)) if seed % 2 else b.op("Mul", b.op("Mul", x, x), x)
    inner = b.op("Add", x, b.op("Mul", b.const(0.044715), cube))
    gate = b.op("Tanh", b.op("Mul", inner, b.const(math.sqrt(2 / math.pi))))
    b.op("Mul", b.op("Mul", x, b.const(0.5)), b.op("Add", b.const(1.0), gate), to="y")
    return b.model()


def max_pool(seed: int) -> ModelProto:
    b, _ = image(seed)
    height, width = pick(b, (5, 5), (7, 7), (5, 3), (3, 5))
    pads = [int(b.random.integers(0, size // 2 + 1)) for size in (height, width) * 2]
    given = pick(b, {"pads": pads}, {"auto_pad": "SAME_UPPER"}, {})
    b.op("MaxPool", "x", to="y", kernel_shape=[height, width], strides=[1, 1], **given)
    return b.model()


def sppf(seed: int) -> ModelProto:
    b, _ = image(seed)
    parts = ["x"]
    for _ in range(3):
        parts.append(b.op("MaxPool", parts[-1], kernel_shape=[5, 5], pads=[2] * 4))
    b.op("Concat", *parts, to="y", axis=1)
    return b.model()


def average_pool(seed: int) -> ModelProto:
    b = Build([1, 3, 48, 32], seed=seed)
    if seed % 2:
        b.op("GlobalAveragePool", "x", to="y")
    else:
        stride = pick(b, [16, 16], [8, 8], [12, 16])
        b.op("AveragePool", "x", to="y", kernel_shape=pick(b, [24, 16], [24, 32]), strides=stride)
    return b.model()


def reduce_mean(seed: int) -> ModelProto:
    b, _ = image(seed, 18 if seed % 2 else 13)
    axes = pick(b, [2, 3], [-1, -2])
    keep = pick(b, 0, 1)
    if b.opset >= 18:
        b.op("ReduceMean", "x", b.const(axes, np.int64), to="y", keepdims=keep)
    else:
        b.op("ReduceMean", "x", to="y", axes=axes, keepdims=keep)
    return b.model()


def batch_norm(with_conv: bool) -> Callable[[int], ModelProto]:
    def made(seed: int) -> ModelProto:
        b, c = image(seed)
        x, count = ("x", c) if not with_conv else (b.conv("x", 4, c, 3, strides=[2, 2], pads=[1] * 4), 4)
        if with_conv and seed % 2:
            b.nodes[-1].input.pop()  # without a bias
        parts = [b.normal(count), b.normal(count), b.normal(count), b.const(b.random.uniform(0.1, 2, count))]
        b.op("BatchNormalization", x, *parts, to="y", epsilon=1e-3)
        return b.model()

    return made


def stem(seed: int) -> ModelProto:
    b, c = image(seed, even=True)
    size = pick(b, 6, 4, 6)
    pad = size // 2 - 1
    b.conv("x", 4, c, size, to="y", strides=[2, 2], pads=[pad] * 4)
    return b.model()


def strided(seed: int) -> ModelProto:
    random = np.random.default_rng(seed)
    step = int(random.integers(2, 5))
    b = Build([1, 3, 8 * step, 6 * step], seed=seed)
    size = int(random.integers(step, 3 * step))
    begins = [int(n) for n in random.integers(0, size, 2)]
    # Padding at the end that uses the image up: what a network does.
    made = [-(-length // step) for length in b.shape[2:]]
    ends = [max(0, (n - 1) * step + size - length - p) for n, length, p in zip(made, b.shape[2:], begins, strict=True)]
    b.conv("x", 4, 3, size, to="y", strides=[step, step], pads=[*begins, *ends])
    return b.model()


def pad_conv(seed: int) -> ModelProto:
    b, c = image(seed, 10 if seed % 3 == 0 else 13)
    pads = [0, 0, 1, 2, 0, 0, 2, 1]
    if b.opset < 11:
        t = b.op("Pad", "x", pads=pads)
    else:
        t = b.op("Pad", "x", b.const(pads, np.int64), *([b.const(0.0)] if seed % 2 else []))
    b.conv(t, 4, c, 3, to="y", **({"pads": [1] * 4} if seed % 2 else {}))
    return b.model()


def grouped(seed: int) -> ModelProto:
    b = Build([1, 8, 9, 7], pick(Build([1], seed=seed), 11, 13), seed)
    b.conv("x", 12, 8, 3, to="y", group=4, pads=[1] * 4)
    return b.model()


def resize(**given: Any) -> Callable[[int], ModelProto]:
    def made(seed: int) -> ModelProto:
        b, _ = image(seed)
        attributes = {name: value(b) if callable(value) else value for name, value in given.items()}
        scale, by_sizes = attributes.pop("scale"), attributes.pop("by_sizes", seed % 2)
        if by_sizes:
            sizes = [*b.shape[:2], *(int(size * scale) for size in b.shape[2:])]
            b.op("Resize", "x", "", "", b.const(sizes, np.int64), to="y", **attributes)
        else:
            b.op("Resize", "x", "", b.const([1, 1, scale, scale]), to="y", **attributes)
        return b.model()

    return made


def nearest(**given: Any) -> Callable[[int], ModelProto]:
    def made(seed: int) -> ModelProto:
        centred = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor"}
        plain = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return resize(mode="nearest", **(centred if seed // 2 % 2 else plain), **given)(seed)

    return made


def with_constant(type: str, low: float = -2.0, high: float = 2.0) -> Callable[[int], ModelProto]:
    def made(seed: int) -> ModelProto:
        b, c = image(seed)
        shape = pick(b, (), (c, 1, 1))
        values = b.random.uniform(low, high, shape)
        b.op(type, "x", b.const(values), to="y")
        return b.model()

    return made


def sub_computed(seed: int) -> ModelProto:
    b, _ = image(seed)
    b.op("Sub", "x", b.op("Sigmoid", "x"), to="y")
    return b.model()


def power(seed: int) -> ModelProto:
    b, _ = image(seed)
    exponent = pick(b, 2.0, 3.0, 0.5)
    x = b.op("Abs", "x") if exponent == 0.5 else "x"
    b.op("Pow", x, b.const(exponent), to="y")
    return b.model()


def unary(type: str) -> Callable[[int], ModelProto]:
    def made(seed: int) -> ModelProto:
        b, _ = image(seed)
        b.op(type, "x", to="y")
        return b.model()

    return made


def layer_norm(seed: int) -> ModelProto:
    b = Build([2, 6, 24], 18 if seed % 2 else 17, seed)
    more = [b.normal(24)] if seed % 3 else []
    b.op("LayerNormalization", "x", b.normal(24), *more, to="y", axis=-1, epsilon=1e-5)
    return b.model()


def layer_norm_parts(seed: int) -> ModelProto:
    b = Build([2, 6, 24], 18 if seed % 2 else 14, seed)

    def mean(x: str) -> str:
        if b.opset >= 18:
            return b.op("ReduceMean", x, b.const([-1], np.int64), keepdims=1)
        return b.op("ReduceMean", x, axes=[-1], keepdims=1)

    centred = b.op("Sub", "x", mean("x"))
    square = b.op("Pow", centred, b.const(2.0)) if seed % 3 else b.op("Mul", centred, centred)
    spread = b.op("Sqrt", b.op("Add", mean(square), b.const(1e-5)))
    scaled = b.op("Mul", b.op("Div", centred, spread), b.normal(24))
    b.op("Add", scaled, b.normal(24), to="y")
    return b.model()


def transposes(seed: int) -> ModelProto:
    b, _ = image(seed)
    forth, back = [0, 2, 3, 1], pick(b, [0, 3, 1, 2], [0, 1, 3, 2])
    t = b.op("Transpose", "x", perm=forth)
    for type in pick(b, (), ("Relu",), ("Sigmoid", "Tanh")):
        t = b.op(type, t)
    t = b.op("Transpose", t, perm=back)
    b.op("Relu", t, to="y") if seed % 2 else b.op("Identity", t, to="y")
    if seed % 3 == 0:  # the Transpose makes the output itself
        b.nodes.pop()
        b.nodes[-1].output[0] = "y"
    return b.model()


def stepped_slice(seed: int) -> ModelProto:
    b, _ = image(seed)
    axes, steps = pick(b, ([2, 3], [2, 2]), ([3], [2]), ([-1, -2], [3, 2]))
    starts = [int(n) for n in b.random.integers(0, 2, len(axes))]
    parts = [b.const(given, np.int64) for given in (starts, [2**31] * len(axes), axes, steps)]
    b.op("Slice", "x", *parts, to="y")
    return b.model()


def softmax(seed: int) -> ModelProto:
    b, _ = image(seed)
    b.op("Softmax", "x", to="y", axis=pick(b, 1, 2, -3))
    return b.model()


def flatten(seed: int) -> ModelProto:
    b, _ = image(seed)
    if seed % 3 == 0:
        b.op("Flatten", "x", to="y", axis=1)
    else:
        b.op(("Squeeze", "Unsqueeze")[seed % 3 - 1], "x", b.const([0], np.int64), to="y")
    return b.model()


def concat(seed: int) -> ModelProto:
    b, c = image(seed)
    parts = [b.conv("x", int(n), c, 1) for n in b.random.integers(3, 40, 3)]
    counts = [b.weights[int(node.input[1][1:])].dims[0] for node in b.nodes]
    parts = [b.op("Relu", parts[0]), b.op("Sigmoid", parts[1]), parts[2]]
    b.conv(b.op("Concat", *parts, axis=1), 5, sum(counts), 3, to="y")
    return b.model()


def moved(seed: int) -> ModelProto:
    """A quantised network in which an operator that moves values lost its QuantizeLinear."""
    b, _ = image(seed)
    x = b.qdq("x")
    t = pick(
        b,
        lambda: b.op("MaxPool", x, kernel_shape=[2, 2]),
        lambda: b.op("Transpose", x, perm=[0, 2, 3, 1]),
        lambda: b.op("Flatten", x),
    )()
    b.op("Relu", t, to="y")
    return b.model()


def edges(seed: int) -> ModelProto:
    b, _ = image(seed)
    b.qdq(b.op("Relu", b.qdq("x")), to="y")
    return b.model()


def quantised_pool(seed: int) -> ModelProto:
    b, _ = image(seed)
    b.qdq(b.op("MaxPool", b.qdq("x"), kernel_shape=[5, 5], pads=[2] * 4), to="y")
    return b.model()


def quantised_stem(seed: int) -> ModelProto:
    b, c = image(seed, even=True)
    codes = b.const(b.random.integers(-127, 128, (4, c, 6, 6)), np.int8)
    scales, zeros = b.const(b.random.uniform(0.01, 0.02, 4)), b.const(np.zeros(4), np.int8)
    weights = b.op("DequantizeLinear", codes, scales, zeros, axis=0)
    b.qdq(b.op("Conv", b.qdq("x"), weights, strides=[2, 2], pads=[2] * 4), 0.2, to="y")
    return b.model()


def quantised_leaky(seed: int) -> ModelProto:
    b, _ = image(seed)
    b.qdq(b.op("LeakyRelu", b.qdq("x"), alpha=0.2), to="y")
    return b.model()


def pad_pool(seed: int) -> ModelProto:
    b, _ = image(seed)
    t = b.op("Pad", "x", b.const([0, 0, 1, 1, 0, 0, 1, 0], np.int64))
    b.op("AveragePool", t, to="y", kernel_shape=[3, 3], strides=pick(b, [1, 1], [2, 2]))
    return b.model()


def shuffle(seed: int) -> ModelProto:
    """ShuffleNet's shuffle: whole, or split in two by Gather as PyTorch exports it."""
    groups, each = 2 + seed % 2, 3 + seed % 4
    b = Build([1, groups * each, 6, 5], seed=seed)
    t = b.op("Relu", "x")
    if seed % 3:
        t = b.op("Reshape", t, b.const([1, groups, each, 6, 5], np.int64))
        t = b.op("Transpose", t, perm=[0, 2, 1, 3, 4])
        t = b.op("Reshape", t, b.const([1, groups * each, 6, 5], np.int64))
        b.op("Relu", t, to="y")
        return b.model()
    t = b.op("Reshape", t, b.const([each, groups, 30], np.int64))
    t = b.op("Transpose", t, perm=[1, 0, 2])
    t = b.op("Reshape", t, b.const([groups, -1, each, 6, 5], np.int64))
    first, second = (b.op("Gather", t, b.const(place, np.int64), axis=0) for place in (0, 1))
    b.op("Sub", first, second, to="y")
    return b.model()


EXACT: dict[str, tuple[Callable[[int], ModelProto], ...]] = {
    "leaky-relu-to-max": (activation("LeakyRelu", alpha=slope), activation("LeakyRelu", 9)),
    "prelu-to-leaky-relu": (prelu(0, 0.5, one=True),),
    "prelu-to-max": (prelu(0, 1),),
    "prelu-to-primitive": (prelu(-2, 2),),
    "hard-swish-to-clip": (activation("HardSwish"),),
    "hard-swish-to-hard-sigmoid": (activation("HardSwish"),),
    "hard-swish-from-parts": (hard_swish_parts,),
    "hard-sigmoid-to-clip": (activation("HardSigmoid", alpha=slope, beta=slope), activation("HardSigmoid", 9)),
    "mish-to-primitive": (activation("Mish", 18),),
    "swish-to-sigmoid": (activation("QuickGelu", alpha=slope),),
    "erf-gelu-to-gelu": (erf_gelu,),
    "tanh-gelu-to-gelu": (tanh_gelu,),
    "gelu-to-erf": (activation("Gelu", 20),),
    "tanh-gelu-to-parts": (activation("Gelu", 20, approximate="tanh"),),
    "max-pool-to-3x3": (max_pool, sppf, quantised_pool),
    "average-pool-split": (average_pool,),
    "reduce-mean-to-pool": (reduce_mean,),
    "batch-norm-into-conv": (batch_norm(True),),
    "batch-norm-to-mul-add": (batch_norm(False),),
    "conv-even-to-odd": (stem, quantised_stem),
    "conv-to-space-to-depth": (stem, strided, quantised_stem),
    "pad-into-conv": (pad_conv,),
    "pad-into-pool": (pad_pool,),
    "channel-shuffle-to-conv": (shuffle,),
    "grouped-conv-to-split": (grouped,),
    "resize-sizes-to-scales": (
        resize(scale=2, mode="linear", by_sizes=True),
        nearest(scale=3, by_sizes=True),
    ),
    "resize-nearest-form": (nearest(scale=lambda b: pick(b, 2, 3, 4, 5, 7)),),
    "resize-to-doublings": (nearest(scale=lambda b: pick(b, 4, 8)),),
    "resize-to-conv-transpose": (nearest(scale=lambda b: pick(b, 2, 3, 4)),),
    "div-to-mul": (with_constant("Div", 0.3, 4),),
    "sub-to-add": (with_constant("Sub"), sub_computed),
    "pow-to-mul": (power,),
    "neg-to-mul": (unary("Neg"),),
    "abs-to-max": (unary("Abs"),),
    "layer-norm-to-parts": (layer_norm,),
    "layer-norm-from-parts": (layer_norm_parts,),
    "transpose-pairs": (transposes,),
    "slice-to-max-pool": (stepped_slice,),
    "softmax-over-last-axis": (softmax,),
    "flatten-to-reshape": (flatten,),
    "pad-channels": (concat,),
    "complete-node-units": (moved,),
    "integer-io": (edges,),
}
"""Models with the pattern of each exact remedy."""


def quantised_sigmoid(seed: int) -> ModelProto:
    b, _ = image(seed)
    b.op("Relu", b.op(pick(b, "Sigmoid", "Tanh", "Softmax"), b.qdq("x")), to="y")
    return b.model()


INEXACT: dict[str, Callable[[int], ModelProto]] = {
    "leaky-relu-to-relu": activation("LeakyRelu", alpha=0.2),
    "leaky-relu-to-relu6": activation("LeakyRelu", 9, alpha=0.2),
    "silu-to-hard-swish": silu,
    "gelu-to-tanh": activation("Gelu", 20),
    "erf-gelu-to-tanh": erf_gelu,
    "gelu-to-sigmoid": activation("Gelu", 20),
    "resize-align-corners-to-half-pixel": resize(
        scale=2, mode="linear", coordinate_transformation_mode="align_corners", by_sizes=True
    ),
    "resize-cubic-to-linear": resize(scale=2, mode="cubic"),
    "quantise-known-ranges": quantised_sigmoid,
    "strip-qdq": quantised_stem,
    "per-tensor-weights": quantised_stem,
}
"""A model with the pattern of each inexact remedy."""
