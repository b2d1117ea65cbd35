"""ONNX as TVM's front end imports it, on the routes that matter for Arm Ethos-N.

Source: apache/tvm v0.18.0, python/tvm/relay/frontend/onnx.py. Layout is NCHW, kernels OIHW. Operators that TVM writes
as several calls are written so where a pattern could meet them; others stand as calls of the host's, which is where
they stay. ``If``, ``Loop`` and ``Scan`` become control flow, which TVM does not partition: their bodies stay outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from whichpu.errors import UserError
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.facts.onnx import POOLS
from whichpu.graphs.graph import Graph, Operator, Quantisation, Shape, Tensor
from whichpu.graphs.lowering.relay_builder import Builder, affine, typed

Converter = Callable[[Builder, Operator], Tensor]
ACTIVATION = "activation"


def imported(graph: Graph, route: str, layout: str) -> Graph:
    """The Relay graph of an ONNX graph. ``route`` ``auto`` tells QOperator models from QDQ ones."""
    quantised = any(one.type.startswith("QLinear") or one.type == "QGemm" for one in graph.operators)
    if route == "onnx-qoperator" and not quantised:
        raise UserError(
            f"{graph.name} holds no QLinear operators: it can't go the route onnx-qoperator", "leave it out"
        )
    builder = Builder(graph, folds=route != "onnx-qdq-fq2i")
    for operator in graph.operators:
        builder.source = operator
        _convert(builder, operator)
    relay = builder.finish()
    if route == "onnx-qdq-fq2i":
        from whichpu.graphs.lowering.relay_fq2i import to_integer

        relay = to_integer(relay)
    if layout == "nhwc":
        from whichpu.graphs.lowering.relay_layout import to_nhwc

        relay = to_nhwc(relay)
    return relay


def _convert(builder: Builder, operator: Operator) -> None:
    converter = CONVERTERS.get(operator.type)
    if converter is None:
        _as_it_stands(builder, operator)
        return
    try:
        value = converter(builder, operator)
    except UnknownFactError as unknown:
        builder.unimported(str(unknown))
        return
    told = operator.outputs[0]
    if not value.constant:
        value.name = told.name
        value.shape = told.shape if value.shape is None else value.shape
    builder.become(told, value)


def _as_it_stands(builder: Builder, operator: Operator) -> None:
    """A call under ONNX's name in lower case: nothing that the pattern table knows."""
    inputs = [builder.value(tensor) for tensor in operator.inputs if tensor is not None]
    outputs = [Tensor(told.name, told.dtype, told.shape) for told in operator.outputs]
    if not outputs:
        return
    kind = NAMES.get(operator.type, f"onnx.{operator.type.lower()}")
    extra: dict[str, Any] = {"tuples": (len(inputs),)} if operator.type == "Concat" else {}
    builder.call(kind, inputs, outputs=outputs, **_of(operator), **extra)
    for told, value in zip(operator.outputs, outputs, strict=True):
        builder.become(told, value)


def _of(operator: Operator) -> dict[str, Any]:
    """Attributes under the names of the Relay calls."""
    given = operator.attributes
    kept = {name: given[name] for name in ("axis", "alpha") if name in given}
    if operator.type == "LeakyRelu":
        kept.setdefault("alpha", 0.01)
    if operator.type in ("Concat", "Split"):
        kept.setdefault("axis", 0)
    if operator.type == "DepthToSpace":
        kept |= {"block": given.get("blocksize"), "mode": given.get("mode", "DCR"), "data_layout": "NCHW"}
    return kept


def _input(builder: Builder, operator: Operator, position: int) -> Tensor:
    return builder.value(operator.input(position))


# Quantise and dequantise.


def constant_values(tensor: Tensor | None) -> tuple[Any, ...]:
    """Values of a constant. Raises :class:`UnknownFactError` where they are computed."""
    if tensor is None:
        return (0,)
    if tensor.read is None:
        raise UnknownFactError(f"{tensor.name!r} is computed: TVM's patterns need constant scales")
    return tuple(np.asarray(tensor.read()).reshape(-1).tolist())


def affine_of(scale: Tensor | None, zero: Tensor | None, axis: int | None) -> Quantisation:
    scales = tuple(float(value) for value in constant_values(scale))
    return Quantisation(scales, tuple(int(value) for value in constant_values(zero)), axis if len(scales) > 1 else None)


def _quantise(builder: Builder, operator: Operator) -> Tensor:
    data, told = _input(builder, operator, 0), operator.outputs[0]
    quantisation = affine_of(operator.input(1), operator.input(2), operator.attributes.get("axis", 1))
    made = Tensor(told.name, told.dtype, told.shape, quantisation)
    return builder.call("qnn.quantize", [data], made, **affine(made, "output"))


def _dequantise(builder: Builder, operator: Operator) -> Tensor:
    data = _input(builder, operator, 0)
    quantisation = affine_of(operator.input(1), operator.input(2), operator.attributes.get("axis", 1))
    source = typed(data, quantisation)
    made = Tensor(operator.outputs[0].name, "float32", data.shape)
    return builder.call("qnn.dequantize", [data], made, **affine(source, "input"))


# Convolutions, matrix products, poolings.


def _window(operator: Operator, kernel: tuple[int, ...]) -> dict[str, Any]:
    given = operator.attributes
    pads = tuple(given.get("pads") or (0, 0, 0, 0))
    automatic = given.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        pads = _same(operator, kernel, automatic == "SAME_UPPER")
    return {
        "kernel": tuple(kernel),
        "strides": tuple(given.get("strides") or (1, 1)),
        "dilations": tuple(given.get("dilations") or (1, 1)),
        "padding": pads,
        "data_layout": "NCHW",
    }


def _same(operator: Operator, kernel: tuple[int, ...], upper: bool) -> tuple[int, ...]:
    sizes = operator.inputs[0].shape if operator.inputs[0] is not None else None
    if sizes is None or len(sizes) != 4 or None in sizes:
        raise UnknownFactError(f"the sizes that {operator.name!r} pads are not known")
    strides = operator.attributes.get("strides") or (1, 1)
    totals = [
        max(0, (-(-int(size or 0) // stride) - 1) * stride + extent - int(size or 0))
        for size, extent, stride in zip(sizes[2:], kernel, strides, strict=True)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (*small, *large) if upper else (*large, *small)


def _conv_attributes(operator: Operator, weights: Tensor, transposed: bool = False) -> dict[str, Any]:
    sizes = weights.shape
    if sizes is None or len(sizes) != 4 or None in sizes:
        raise UnknownFactError(f"{operator.name!r} has no two-dimensional kernel of known sizes")
    first, second, *kernel = (int(size or 0) for size in sizes)
    groups = int(operator.attributes.get("group", 1))
    inner, outer = (first, second * groups) if transposed else (second, first)
    return _window(operator, tuple(kernel)) | {
        "groups": groups,
        "channels": outer,
        "weights_shape": (*kernel, inner, outer) if not transposed else (*kernel, first, second),
        "kernel_layout": "IOHW" if transposed else "OIHW",
    }


def _convolution(kind: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> Tensor:
        data, weights = _input(builder, operator, 0), _input(builder, operator, 1)
        told = Tensor("", "float32", operator.outputs[0].shape)
        if weights.shape is None or len(weights.shape) != 4:
            return builder.call(kind.replace("2d", "1d"), [data, weights], told)
        attributes = _conv_attributes(operator, weights, "transpose" in kind)
        value = builder.call(kind, [data, weights], told, **attributes)
        if operator.input(2) is not None:
            value = builder.call("nn.bias_add", [value, _input(builder, operator, 2)], told, axis=1)
        return value

    return convert


def _gemm(builder: Builder, operator: Operator) -> Tensor:
    data, weights = _input(builder, operator, 0), _input(builder, operator, 1)
    told = Tensor("", "float32", operator.outputs[0].shape)
    sizes = weights.shape or (None, None)
    turned = bool(operator.attributes.get("transB"))
    if not turned:
        weights = builder.call("transpose", [weights], Tensor("", "float32", sizes[::-1]))
    value = builder.call("nn.dense", [data, weights], told, weights_shape=sizes[::-1] if turned else sizes)
    if operator.input(2) is not None:
        value = builder.call("add", [value, _input(builder, operator, 2)], told)
    return value


def _matmul(builder: Builder, operator: Operator) -> Tensor:
    left, right = _input(builder, operator, 0), _input(builder, operator, 1)
    told = Tensor("", "float32", operator.outputs[0].shape)
    if len(left.shape or ()) == 2 and len(right.shape or ()) == 2:
        turned = builder.call("transpose", [right], Tensor("", "float32", (right.shape or ())[::-1]))
        return builder.call("nn.dense", [left, turned], told, weights_shape=right.shape)
    flat = [builder.call("reshape", [side], Tensor("", "float32", _batched(told, side))) for side in (left, right)]
    value = builder.call("nn.batch_matmul", flat, Tensor("", "float32", _batched(told, told)))
    return builder.call("reshape", [value], told)


def _batched(told: Tensor, side: Tensor) -> Shape | None:
    """Sizes of one side of a batched product: all leading dimensions of the result as one."""
    if told.shape is None or side.shape is None or None in told.shape or len(side.shape) < 2:
        return None
    return (math.prod(size or 0 for size in told.shape[:-2]), *side.shape[-2:])


def _pool(kind: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> Tensor:
        data, told = _input(builder, operator, 0), operator.outputs[0]
        kernel = tuple(operator.attributes.get("kernel_shape") or ())
        if operator.type in POOLS and len(kernel) == 2:
            return builder.call(kind, [data], Tensor("", data.dtype, told.shape), **_window(operator, kernel))
        return builder.call(kind, [data], Tensor("", data.dtype, told.shape), data_layout="NCHW")

    return convert


# QLinear operators.


def _scales(operator: Operator, places: Mapping[str, int]) -> dict[str, Any]:
    """Scale and zero point attributes: each name's scale stands at its place, the zero point after it."""
    found: dict[str, Any] = {}
    for name, place in places.items():
        made = affine_of(operator.input(place), operator.input(place + 1), 0)
        found[f"{name}_scale"] = made.scales[0] if len(made.scales) == 1 else made.scales
        found[f"{name}_zero_point"] = made.zero_points[0]
    return found


def _qlinear_conv(builder: Builder, operator: Operator) -> Tensor:
    data, weights = _input(builder, operator, 0), _input(builder, operator, 3)
    told = operator.outputs[0]
    scales = _scales(operator, {"input": 1, "kernel": 4, "output": 6})
    inner = {name: value for name, value in scales.items() if not name.startswith("output")}
    wide = Tensor("", "int32", told.shape)
    value = builder.call("qnn.conv2d", [data, weights], wide, **_conv_attributes(operator, weights), **inner)
    if operator.input(8) is not None:
        value = builder.call("nn.bias_add", [value, _input(builder, operator, 8)], wide, axis=1)
    outer = {name: value for name, value in scales.items() if name.startswith("output")}
    return builder.call("qnn.requantize", [value], told, accumulated=True, **outer)


def _qgemm(builder: Builder, operator: Operator) -> Tensor:
    data, weights = _input(builder, operator, 0), _input(builder, operator, 3)
    told = operator.outputs[0]
    places = {"input": 1, "kernel": 4} | ({"output": 7} if operator.input(7) is not None else {})
    scales = _scales(operator, places)
    inner = {name: value for name, value in scales.items() if not name.startswith("output")}
    sizes = weights.shape or (None, None)
    wide = Tensor("", "int32", told.shape)
    shape = sizes[::-1] if operator.attributes.get("transB") else sizes
    value = builder.call("qnn.dense", [data, weights], wide, weights_shape=shape, **inner)
    if operator.input(6) is not None:
        value = builder.call("nn.bias_add", [value, _input(builder, operator, 6)], wide)
    outer = {name: value for name, value in scales.items() if name.startswith("output")}
    return builder.call("qnn.requantize", [value], told, accumulated=True, **outer)


def _qlinear_unary(kind: str) -> Converter:
    """Dequantise, one call in float, quantise: sigmoid, leaky_relu, poolings, softmax."""

    def convert(builder: Builder, operator: Operator) -> Tensor:
        data, told = _input(builder, operator, 0), operator.outputs[0]
        scales = _scales(operator, {"input": 1, "output": 3})
        real = Tensor("", "float32", data.shape)
        inner = {name: value for name, value in scales.items() if name.startswith("input")}
        outer = {name: value for name, value in scales.items() if name.startswith("output")}
        value = builder.call("qnn.dequantize", [data], real, **inner)
        own = _window(operator, tuple(operator.attributes["kernel_shape"])) if kind == "nn.avg_pool2d" else {}
        alpha = {"alpha": operator.attributes.get("alpha", 0.01)} if kind == "nn.leaky_relu" else {}
        value = builder.call(kind, [value], Tensor("", "float32", told.shape), **own, **alpha)
        return builder.call("qnn.quantize", [value], told, **outer)

    return convert


def _qlinear_binary(kind: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> Tensor:
        scales = _scales(operator, {"lhs": 1, "rhs": 4, "output": 6})
        sides = [_input(builder, operator, 0), _input(builder, operator, 3)]
        return builder.call(kind, sides, operator.outputs[0], **scales)

    return convert


def _qlinear_concat(builder: Builder, operator: Operator) -> Tensor:
    groups = range(2, len(operator.inputs), 3)
    data = [_input(builder, operator, place) for place in groups]
    made = [affine_of(operator.input(place + 1), operator.input(place + 2), None) for place in groups]
    return builder.call(
        "qnn.concatenate", data, operator.outputs[0], axis=operator.attributes.get("axis", 0), tuples=(len(data),),
        input_scales=tuple(one.scales[0] for one in made), **_scales(operator, {"output": 0}),
        input_zero_points=tuple(one.zero_points[0] for one in made),
    )  # fmt: skip


# The rest.


def _through(*kinds: str | tuple[str, float], last_takes_data: bool = False) -> Converter:
    """One call after another on the first input, with a constant where one is named; some end with the input again."""

    def convert(builder: Builder, operator: Operator) -> Tensor:
        data = _input(builder, operator, 0)
        told = Tensor("", data.dtype, operator.outputs[0].shape)
        value = data
        for number, step in enumerate(kinds):
            kind, constant = step if isinstance(step, tuple) else (step, None)
            inputs = [value] if constant is None else [value, _number(constant)]
            if last_takes_data and number == len(kinds) - 1:
                inputs = [data, value]
            value = builder.call(kind, inputs, told, **(_bounds(operator) if kind == "clip" else _of(operator)))
        return value

    return convert


def _number(value: float) -> Tensor:
    """A scalar constant that the front end writes itself."""
    return Tensor(f"{value:g}", "float32", (), read=lambda: np.asarray(value, np.float32))


def _bounds(operator: Operator) -> dict[str, float]:
    if operator.type != "Clip":
        return {"low": 0.0, "high": 1.0}
    found = {"low": float("-inf"), "high": float("inf")}
    for name, attribute, place in (("low", "min", 1), ("high", "max", 2)):
        if operator.input(place) is not None:
            found[name] = float(constant_values(operator.input(place))[0])
        elif attribute in operator.attributes:
            found[name] = float(operator.attributes[attribute])
    return found


def _binary(kind: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> Tensor:
        inputs = [builder.value(tensor) for tensor in operator.inputs if tensor is not None]
        told = Tensor("", inputs[0].dtype, operator.outputs[0].shape)
        value = inputs[0]
        for other in inputs[1:]:
            value = builder.call(kind, [value, other], told)
        return value if len(inputs) > 1 else builder.call("copy", [value], told)

    return convert


def _resize(builder: Builder, operator: Operator) -> Tensor:
    data = _input(builder, operator, 0)
    method = {"nearest": "nearest_neighbor", "linear": "linear", "cubic": "cubic"}
    mode = method.get(str(operator.attributes.get("mode", "nearest")), "linear")
    kind = "image.resize2d" if len(data.shape or ()) == 4 else "image.resize1d"
    told = Tensor("", data.dtype, operator.outputs[0].shape)
    return builder.call(kind, [data], told, method=mode, data_layout="NCHW")


def _shaped(kind: str) -> Converter:
    """Calls that keep the values of the first input: what else an operator takes is constant."""

    def convert(builder: Builder, operator: Operator) -> Tensor:
        data = _input(builder, operator, 0)
        return builder.call(kind, [data], Tensor("", data.dtype, operator.outputs[0].shape), **_of(operator))

    return convert


def _pad(builder: Builder, operator: Operator) -> Tensor:
    data = _input(builder, operator, 0)
    told = Tensor("", data.dtype, operator.outputs[0].shape)
    if operator.attributes.get("mode", "constant") != "constant":
        return builder.call("nn.mirror_pad", [data], told)
    pads = operator.attributes.get("pads") or (constant_values(operator.input(1)) if operator.input(1) else None)
    half = len(pads) // 2 if pads else 0
    widths = tuple(zip(pads[:half], pads[half:], strict=True)) if pads else None
    return builder.call("nn.pad", [data], told, pad_width=widths)


def _reduced(kind: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> Tensor:
        data = _input(builder, operator, 0)
        keeps = bool(operator.attributes.get("keepdims", 1))
        return builder.call(kind, [data], Tensor("", data.dtype, operator.outputs[0].shape), keepdims=keeps)

    return convert


NAMES = {
    "Split": "split", "Concat": "concatenate", "Gather": "take", "TopK": "topk", "ArgMax": "argmax", "ArgMin": "argmin",
    "Where": "where", "Cast": "cast", "Softmax": "nn.softmax", "LogSoftmax": "nn.log_softmax", "Expand": "broadcast_to",
    "PRelu": "nn.prelu", "Pow": "power", "Tile": "tile", "BatchNormalization": "nn.batch_norm", "Shape": "shape_of",
    "InstanceNormalization": "nn.instance_norm", "Greater": "greater", "Less": "less", "Equal": "equal", "Not": "not",
}  # fmt: skip
UNARY = {
    "Abs": "abs", "Ceil": "ceil", "Floor": "floor", "Round": "round", "Exp": "exp", "Log": "log", "Neg": "negative",
    "Sqrt": "sqrt", "Erf": "erf", "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "nn.relu", "LeakyRelu": "nn.leaky_relu",
    "Sin": "sin", "Cos": "cos", "Sign": "sign", "Clip": "clip",
}  # fmt: skip
BINARY = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Max": "maximum", "Min": "minimum"}
SHAPED = {
    "Reshape": "reshape", "Flatten": "nn.batch_flatten", "Squeeze": "squeeze", "Unsqueeze": "expand_dims",
    "Transpose": "transpose", "Slice": "strided_slice", "DepthToSpace": "nn.depth_to_space",
    "SpaceToDepth": "nn.space_to_depth", "Identity": "copy", "Dropout": "nn.dropout",
}  # fmt: skip
REDUCED = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod"}

CONVERTERS: Mapping[str, Converter] = (
    {name: _through(kind) for name, kind in UNARY.items()}
    | {name: _binary(kind) for name, kind in BINARY.items()}
    | {name: _shaped(kind) for name, kind in SHAPED.items()}
    | {name: _reduced(kind) for name, kind in REDUCED.items()}
    | {
        "QuantizeLinear": _quantise,
        "DequantizeLinear": _dequantise,
        "Conv": _convolution("nn.conv2d"),
        "ConvTranspose": _convolution("nn.conv2d_transpose"),
        "Gemm": _gemm,
        "MatMul": _matmul,
        "MaxPool": _pool("nn.max_pool2d"),
        "AveragePool": _pool("nn.avg_pool2d"),
        "GlobalAveragePool": _pool("nn.global_avg_pool2d"),
        "GlobalMaxPool": _pool("nn.global_max_pool2d"),
        "QLinearConv": _qlinear_conv,
        "QGemm": _qgemm,
        "QLinearAdd": _qlinear_binary("qnn.add"),
        "QLinearMul": _qlinear_binary("qnn.mul"),
        "QLinearConcat": _qlinear_concat,
        "QLinearSigmoid": _qlinear_unary("sigmoid"),
        "QLinearLeakyRelu": _qlinear_unary("nn.leaky_relu"),
        "QLinearAveragePool": _qlinear_unary("nn.avg_pool2d"),
        "QLinearGlobalAveragePool": _qlinear_unary("nn.global_avg_pool2d"),
        "QLinearSoftmax": _qlinear_unary("nn.softmax"),
        "HardSigmoid": lambda b, o: _through(
            ("multiply", o.attributes.get("alpha", 0.2)), ("add", o.attributes.get("beta", 0.5)), "clip"
        )(b, o),
        "HardSwish": _through(("multiply", 1 / 6), ("add", 0.5), "clip", "multiply", last_takes_data=True),
        "Softplus": _through("exp", ("add", 1.0), "log"),
        "Mish": _through("exp", ("add", 1.0), "log", "tanh", "multiply", last_takes_data=True),
        "Elu": _through("exp", ("subtract", 1.0), "nn.relu", ("multiply", -1.0), "add", last_takes_data=True),
        "Gelu": _through(
            ("multiply", 0.5**0.5), "erf", ("multiply", 0.5), ("add", 0.5), "multiply", last_takes_data=True
        ),
        "Resize": _resize,
        "Upsample": _resize,
        "Pad": _pad,
    }
)
