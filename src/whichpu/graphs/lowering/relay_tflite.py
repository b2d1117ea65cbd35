"""TFLite as TVM's front end imports it: each builtin becomes the Relay calls that TVM 0.12 to 0.18 write for it.

Source: apache/tvm v0.18.0, python/tvm/relay/frontend/tflite.py. Layout is NHWC, kernels HWIO. Fused activations become
``clip`` on integers. What the front end has no rule for, or asserts, stops the import: ``unimported``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.lowering.relay_builder import (
    Builder,
    affine,
    attribute,
    between,
    quantised_bounds,
    same,
    scale,
    zero_point,
)

INFINITE = float("inf")
ACTIVATIONS = {"RELU": (0.0, INFINITE), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}

Converter = Callable[[Builder, Operator], None]


class StopError(Exception):
    """The front end raises an error; the message says which."""


def imported(graph: Graph) -> Graph:
    """The Relay graph that TVM makes of a TFLite graph."""
    builder = Builder(graph)
    for operator in graph.operators:
        builder.source = operator
        converter = CONVERTERS.get(operator.type) if not operator.domain else None
        try:
            if converter is None:
                raise StopError(f"TVM's TFLite front end has no rule for {operator.type}")
            converter(builder, operator)
        except StopError as stop:
            builder.unimported(str(stop))
    return builder.finish()


def _need(holds: object, says: str) -> None:
    if not holds:
        raise StopError(says)


def _one_scale(operator: Operator, left: Tensor, right: Tensor) -> None:
    _need(
        left.quantisation is None or same(left, right),
        f"TVM's TFLite front end asserts the same scale and zero point on both sides of {operator.type}",
    )


def _data(builder: Builder, operator: Operator, position: int = 0) -> Tensor:
    tensor = operator.input(position)
    _need(tensor is not None, f"{operator.type} {operator.name!r} lacks input {position}")
    return builder.value(tensor)


def _done(builder: Builder, operator: Operator, value: Tensor) -> None:
    """The value is the operator's result: it takes the shape and quantisation that the file gives."""
    told = operator.outputs[0]
    if not value.constant:
        value.name = told.name
        value.quantisation = told.quantisation if told.dtype == value.dtype else value.quantisation
        value.shape = told.shape
    builder.become(told, value)


def _activated(builder: Builder, operator: Operator, value: Tensor) -> Tensor:
    """With the fused activation."""
    kind = operator.attributes.get("activation", "NONE")
    told = operator.outputs[0]
    if kind in (None, "NONE"):
        return value
    if told.quantisation is not None:
        _need(kind in ACTIVATIONS, f"quantised activation {kind} is not supported by TVM's TFLite front end")
        low, high = quantised_bounds(*ACTIVATIONS[kind], told)
        return builder.call("clip", [value], told, low=low, high=high)
    if kind == "RELU":
        return builder.call("nn.relu", [value])
    if kind == "TANH":
        return builder.call("tanh", [value])
    _need(kind in ACTIVATIONS, f"fused activation {kind} is not supported by TVM's TFLite front end")
    return builder.call("clip", [value], low=ACTIVATIONS[kind][0], high=ACTIVATIONS[kind][1])


def _dequantised(builder: Builder, value: Tensor) -> Tensor:
    if value.quantisation is None:
        return value
    return builder.call("qnn.dequantize", [value], Tensor("", "float32", value.shape), **affine(value, "input"))


def _quantised(builder: Builder, value: Tensor, told: Tensor) -> Tensor:
    if told.quantisation is None:
        return value
    return builder.call("qnn.quantize", [value], told, **affine(told, "output"))


def _requantised(builder: Builder, value: Tensor, left: Tensor, told: Tensor) -> Tensor:
    return builder.call("qnn.requantize", [value], told, **between(left, told))


# Convolutions, dense.


def _pads(operator: Operator, sizes: tuple[int | None, ...] | None, kernel: tuple[int, ...]) -> tuple[int, ...] | None:
    """Top, left, bottom, right; None where the sizes are not known."""
    if operator.attributes.get("padding") != "SAME":
        return (0, 0, 0, 0)
    if sizes is None or len(sizes) != 4 or sizes[1] is None or sizes[2] is None:
        return None
    strides = (attribute(operator.attributes, "stride_h", 1), attribute(operator.attributes, "stride_w", 1))
    dilations = (attribute(operator.attributes, "dilation_h", 1), attribute(operator.attributes, "dilation_w", 1))
    begins, ends = [], []
    for size, extent, stride, dilation in zip(sizes[1:3], kernel, strides, dilations, strict=True):
        total = max(0, (-(-int(size or 0) // stride) - 1) * stride + dilation * (extent - 1) + 1 - int(size or 0))
        begins.append(total // 2)
        ends.append(total - total // 2)
    return (*begins, *ends)


def _windows(operator: Operator) -> dict[str, Any]:
    given = operator.attributes
    return {
        "strides": (attribute(given, "stride_h", 1), attribute(given, "stride_w", 1)),
        "dilations": (attribute(given, "dilation_h", 1), attribute(given, "dilation_w", 1)),
    }


def _weighted(builder: Builder, operator: Operator, data: Tensor, kind: str, **attributes: Any) -> None:
    """A convolution or dense call with its bias, requantise and activation. Inputs 0, 1, 2: data, weights, bias."""
    shift = 2 if operator.type == "TRANSPOSE_CONV" else 0
    weights = builder.value(operator.inputs[1])
    told = operator.outputs[0]
    shape = attributes.pop("shape", told.shape)
    if data.quantisation is None:
        value = builder.call(kind, [data, weights], Tensor("", data.dtype, shape), **attributes)
    else:
        _need(weights.quantisation is not None, f"{operator.type} {operator.name!r} has quantised data, float weights")
        wide = "int64" if told.dtype == "int16" else "int32"
        scales = affine(data, "input") | affine(weights, "kernel")
        value = builder.call(f"qnn.{kind[3:]}", [data, weights], Tensor("", wide, shape), **attributes, **scales)
    bias = operator.input(2 + (shift and 1))
    if bias is not None:
        value = builder.call("nn.bias_add", [value, builder.value(bias)], bias_constant=bias.constant)
    if told.quantisation is not None:
        sized = Tensor(told.name, told.dtype, shape, told.quantisation)
        value = builder.call("qnn.requantize", [value], sized, **affine(told, "output"), accumulated=True)
    if kind != "nn.conv2d_transpose":
        value = _activated(builder, operator, value)
    if kind == "nn.dense" and operator.attributes.get("keep_num_dims"):
        value = builder.call("reshape", [value], told)
    _done(builder, operator, value)


def _conv2d(builder: Builder, operator: Operator) -> None:
    data = _data(builder, operator)
    sizes = _known(operator.inputs[1], 4)
    channels_in = data.shape[3] if data.shape and len(data.shape) == 4 else None
    groups = 1 if channels_in in (None, sizes[3]) else int(channels_in or 1) // sizes[3]
    kernel = sizes[1:3]
    _weighted(
        builder, operator, data, "nn.conv2d", kernel=kernel, groups=groups, channels=sizes[0],
        weights_shape=(*kernel, sizes[3], sizes[0]), padding=_pads(operator, data.shape, kernel),
        data_layout="NHWC", kernel_layout="HWIO", **_windows(operator),
    )  # fmt: skip


def _depthwise(builder: Builder, operator: Operator) -> None:
    data = _data(builder, operator)
    sizes = _known(operator.inputs[1], 4)
    channels_in = data.shape[3] if data.shape and len(data.shape) == 4 else None
    _need(channels_in, f"the shape of {data.name!r} is not known")
    kernel, groups = sizes[1:3], int(channels_in or 1)
    _weighted(
        builder, operator, data, "nn.conv2d", kernel=kernel, groups=groups, channels=sizes[3],
        weights_shape=(*kernel, groups, sizes[3] // groups), padding=_pads(operator, data.shape, kernel),
        data_layout="NHWC", kernel_layout="HWIO" if groups == 1 else "HWOI", **_windows(operator),
    )  # fmt: skip


def _transpose_conv(builder: Builder, operator: Operator) -> None:
    data = _data(builder, operator, 2)
    sizes = _known(operator.inputs[1], 4)
    kernel = sizes[1:3]
    _weighted(
        builder, operator, data, "nn.conv2d_transpose", kernel=kernel, groups=1, channels=sizes[0],
        weights_shape=(*kernel, sizes[3], sizes[0]), padding=_pads(operator, operator.outputs[0].shape, kernel),
        data_layout="NHWC", kernel_layout="IOHW", **_windows(operator),
    )  # fmt: skip


def _fully_connected(builder: Builder, operator: Operator) -> None:
    data = _data(builder, operator)
    sizes = _known(operator.inputs[1], 2)
    rows = None if data.elements is None else data.elements // sizes[1]
    flat = builder.call("reshape", [data], Tensor("", data.dtype, (rows, sizes[1]), data.quantisation))
    flat.quantisation = data.quantisation
    _weighted(builder, operator, flat, "nn.dense", weights_shape=(sizes[1], sizes[0]), shape=(rows, sizes[0]))


def _known(tensor: Tensor | None, rank: int) -> tuple[int, ...]:
    sizes = tensor.shape if tensor is not None else None
    if sizes is None or len(sizes) != rank or None in sizes:
        raise StopError(f"TVM's TFLite front end needs weights of {rank} known sizes")
    return tuple(size for size in sizes if size is not None)


# Activations and element-wise operators.


def _through_float(*kinds: str) -> Converter:
    """Dequantise, calls in float, quantise."""

    def convert(builder: Builder, operator: Operator) -> None:
        value = _dequantised(builder, _data(builder, operator))
        for kind in kinds:
            value = builder.call(kind, [value], **_of_float(operator))
        _done(builder, operator, _quantised(builder, value, operator.outputs[0]))

    return convert


def _of_float(operator: Operator) -> dict[str, Any]:
    return {"alpha": operator.attributes.get("alpha")} if operator.type == "LEAKY_RELU" else {}


def _bounded(kind: str) -> Converter:
    """RELU, RELU6, RELU_N1_TO_1 that stand alone: a clip, then a requantise."""

    def convert(builder: Builder, operator: Operator) -> None:
        data, told = _data(builder, operator), operator.outputs[0]
        if data.quantisation is None:
            low, high = ACTIVATIONS[kind]
            value = builder.call("nn.relu" if kind == "RELU" else "clip", [data], low=low, high=high)
        else:
            low, high = quantised_bounds(*ACTIVATIONS[kind], data)
            value = builder.call("clip", [data], low=low, high=high)
        if told.quantisation is not None:
            value = _requantised(builder, value, data, told)
        _done(builder, operator, value)

    return convert


def _binary(plain: str, quantised: str = "") -> Converter:
    """An element-wise operator of two inputs; ``quantised`` is the qnn call that TVM has for it."""

    def convert(builder: Builder, operator: Operator) -> None:
        left, right, told = _data(builder, operator), _data(builder, operator, 1), operator.outputs[0]
        if left.quantisation is not None and quantised:
            _need(right.quantisation is not None, "TVM's TFLite front end asserts that both inputs are quantised")
            scales = affine(left, "lhs") | affine(right, "rhs") | affine(told, "output")
            value = builder.call(quantised, [left, right], told, **scales)
        else:
            if left.quantisation is not None:
                _one_scale(operator, left, told)
                _one_scale(operator, right, told)
            value = builder.call(plain, [left, right], told)
        _done(builder, operator, _activated(builder, operator, value))

    return convert


def _compared(kind: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> None:
        inputs = [_data(builder, operator, position) for position in range(len(operator.inputs))]
        _done(builder, operator, builder.call(kind, inputs, operator.outputs[0]))

    return convert


def _only_float(operator_name: str, *kinds: str) -> Converter:
    """Operators that the front end takes in float alone."""

    def convert(builder: Builder, operator: Operator) -> None:
        data = _data(builder, operator)
        _need(data.quantisation is None, f"TVM's TFLite front end takes no quantised {operator_name}")
        inputs = [builder.value(tensor) for tensor in operator.inputs if tensor is not None]
        for kind in kinds:
            inputs = [builder.call(kind, inputs, operator.outputs[0])]
        _done(builder, operator, inputs[0])

    return convert


def _hard_swish(builder: Builder, operator: Operator) -> None:
    data = _dequantised(builder, _data(builder, operator))
    value = builder.call("add", [data])
    value = builder.call("clip", [value], low=0.0, high=6.0)
    value = builder.call("multiply", [data, value])
    value = builder.call("divide", [value])
    _done(builder, operator, _quantised(builder, value, operator.outputs[0]))


def _elu(builder: Builder, operator: Operator) -> None:
    data = _data(builder, operator)
    _need(data.quantisation is None, "TVM's TFLite front end takes no quantised ELU")
    value = builder.call("nn.relu", [builder.call("subtract", [builder.call("exp", [data])])])
    value = builder.call("add", [builder.call("multiply", [value]), builder.call("nn.relu", [data])])
    _done(builder, operator, value)


def _squared_difference(builder: Builder, operator: Operator) -> None:
    left, right = _data(builder, operator), _data(builder, operator, 1)
    if left.quantisation is None:
        value = builder.call("power", [builder.call("subtract", [left, right], operator.outputs[0])])
    else:
        sides = [_dequantised(builder, left), _dequantised(builder, right)]
        floated = Tensor("", "float32", operator.outputs[0].shape)
        value = builder.call("subtract", sides, floated)
        value = _quantised(builder, builder.call("multiply", [value, value]), operator.outputs[0])
    _done(builder, operator, value)


def _prelu(builder: Builder, operator: Operator) -> None:
    data, alpha = _data(builder, operator), _data(builder, operator, 1)
    flat = Tensor("", data.dtype, (data.elements,), data.quantisation)
    value = builder.call("reshape", [data], flat)
    value = builder.call("nn.prelu", [value, alpha], flat)
    _done(builder, operator, builder.call("reshape", [value], operator.outputs[0]))


# Poolings, reductions, resizing.


def _pool(kind: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> None:
        data, told = _data(builder, operator), operator.outputs[0]
        given = operator.attributes
        kernel = (attribute(given, "kernel_h", 1), attribute(given, "kernel_w", 1))
        window: dict[str, Any] = {
            "kernel": kernel,
            "strides": (attribute(given, "stride_h", 1), attribute(given, "stride_w", 1)),
            "padding": _pads(operator, data.shape, kernel),
            "data_layout": "NHWC",
        }
        _one_scale(operator, data, told)
        if kind == "max":
            value = builder.call("nn.max_pool2d", [data], told, **window)
        elif data.quantisation is None:
            value = builder.call("nn.avg_pool2d", [data], told, **window)
        else:
            value = builder.call("cast", [data], dtype="int32", to="int32")
            value = builder.call("nn.avg_pool2d", [value], shape=told.shape, **window)
            value = builder.call("cast", [value], told, to=told.dtype)
        _done(builder, operator, _activated(builder, operator, value))

    return convert


def _reduced(kind: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> None:
        data, told = _data(builder, operator), operator.outputs[0]
        keeps = bool(operator.attributes.get("keep_dims"))
        axes = _values(operator.input(1))
        value = data
        if data.quantisation is not None:
            value = builder.call("cast", [value], dtype="int32", to="int32")
        value = builder.call(kind, [value], shape=told.shape, axes=axes, keepdims=keeps)
        if told.quantisation is not None and data.quantisation is not None:
            value = _requantised(builder, value, data, told)
        _done(builder, operator, value)

    return convert


def _values(tensor: Tensor | None) -> tuple[int, ...] | None:
    if tensor is None or tensor.read is None:
        return None
    return tuple(int(value) for value in tensor.read().reshape(-1))


def _resize(method: str) -> Converter:
    def convert(builder: Builder, operator: Operator) -> None:
        data, told = _data(builder, operator), operator.outputs[0]
        _need(operator.input(1) is not None and operator.inputs[1].constant, "the size of a resize must be constant")  # type: ignore[union-attr]
        linear = method == "linear"
        value = _dequantised(builder, data) if linear else data
        value = builder.call("image.resize2d", [value], shape=told.shape, method=method, data_layout="NHWC")
        _done(builder, operator, _quantised(builder, value, told) if linear else value)

    return convert


# Shapes.


def _reshape(builder: Builder, operator: Operator) -> None:
    data, told = _data(builder, operator), operator.outputs[0]
    if data.dtype == "int8":
        _one_scale(operator, data, told)
    value = builder.call("reshape", [data], told)
    if data.dtype == "uint8" and data.quantisation is not None and not same(data, told):
        value = _requantised(builder, value, data, told)
    _done(builder, operator, value)


def _kept(*kinds: str, one_scale: bool = False) -> Converter:
    """Calls on the first input alone that keep its values: transpose, squeeze, slices."""

    def convert(builder: Builder, operator: Operator) -> None:
        value, told = _data(builder, operator), operator.outputs[0]
        if one_scale:
            _one_scale(operator, value, told)
        for kind in kinds:
            value = builder.call(kind, [value], told)
        _done(builder, operator, value)

    return convert


def _pad(builder: Builder, operator: Operator) -> None:
    data, told = _data(builder, operator), operator.outputs[0]
    _one_scale(operator, data, told)
    widths = _values(operator.input(1))
    pairs = tuple(zip(widths[::2], widths[1::2], strict=True)) if widths else None
    _done(builder, operator, builder.call("nn.pad", [data], told, pad_width=pairs))


def _concatenation(builder: Builder, operator: Operator) -> None:
    inputs = [builder.value(tensor) for tensor in operator.inputs if tensor is not None]
    told, axis = operator.outputs[0], attribute(operator.attributes, "axis", 0)
    joined: dict[str, Any] = {"axis": axis, "tuples": (len(inputs),)}
    if inputs[0].quantisation is None:
        value = builder.call("concatenate", inputs, told, **joined)
    else:
        scales = tuple(scale(tensor) for tensor in inputs)
        zeros = tuple(zero_point(tensor) for tensor in inputs)
        joined |= {"input_scales": scales, "input_zero_points": zeros, **affine(told, "output")}
        value = builder.call("qnn.concatenate", inputs, told, **joined)
    _done(builder, operator, _activated(builder, operator, value))


def _split(data_at: int, axis_at: int) -> Converter:
    def convert(builder: Builder, operator: Operator) -> None:
        data = _data(builder, operator, data_at)
        axis = _values(operator.input(axis_at))
        outputs = [Tensor(told.name, told.dtype, told.shape, told.quantisation) for told in operator.outputs]
        if len(outputs) > 1:
            builder.call("split", [data], outputs=outputs, axis=axis[0] if axis else None)
        else:
            outputs = [data]
        for told, value in zip(operator.outputs, outputs, strict=True):
            builder.become(told, value)

    return convert


def _pack(builder: Builder, operator: Operator) -> None:
    inputs = [builder.value(tensor) for tensor in operator.inputs if tensor is not None]
    told = operator.outputs[0]
    for tensor in inputs:
        _one_scale(operator, tensor, told)
    raised = [builder.call("expand_dims", [tensor]) for tensor in inputs]
    _done(builder, operator, builder.call("concatenate", raised, told, tuples=(len(raised),)))


def _unpack(builder: Builder, operator: Operator) -> None:
    data = _data(builder, operator)
    pieces = [Tensor(told.name, data.dtype, None, data.quantisation) for told in operator.outputs]
    if len(pieces) > 1:
        builder.call("split", [data], outputs=pieces, axis=operator.attributes.get("axis"))
    else:
        pieces = [data]
    for told, piece in zip(operator.outputs, pieces, strict=True):
        builder.become(told, builder.call("squeeze", [piece], told))


def _quantize(builder: Builder, operator: Operator) -> None:
    data, told = _data(builder, operator), operator.outputs[0]
    value = _quantised(builder, data, told) if data.dtype == "float32" else _requantised(builder, data, data, told)
    _done(builder, operator, value)


def _dequantize(builder: Builder, operator: Operator) -> None:
    data = _data(builder, operator)
    if data.dtype == "float16":
        _done(builder, operator, builder.call("cast", [data], operator.outputs[0], to="float32"))
        return
    _need(data.quantisation is not None, "TVM's TFLite front end asserts a scale on the input of DEQUANTIZE")
    _done(builder, operator, _dequantised(builder, data))


def _batch_matmul(builder: Builder, operator: Operator) -> None:
    sides = [_data(builder, operator), _data(builder, operator, 1)]
    told = operator.outputs[0]
    flat = []
    for side, wants in zip(sides, ("adj_x", "adj_y"), strict=True):
        value = side
        if side.shape is None or len(side.shape) != 3:
            value = builder.call("reshape", [value], Tensor("", value.dtype, None, value.quantisation))
        if bool(operator.attributes.get(wants)) == (wants == "adj_x"):
            value = builder.call("transpose", [value], Tensor("", value.dtype, None, value.quantisation))
        flat.append(value)
    quantised = sides[0].quantisation is not None
    kind, dtype = ("qnn.batch_matmul", "int32") if quantised else ("nn.batch_matmul", told.dtype)
    value = builder.call(kind, flat, Tensor("", dtype, None))
    value = builder.call("reshape", [value], Tensor("", dtype, told.shape))
    if quantised:
        value = builder.call("qnn.requantize", [value], told, input_scale=1.0, output_scale=1.0)
    _done(builder, operator, value)


def _listed(kind: str) -> Converter:
    """Calls of all inputs with one or more outputs, none of which the NPU knows."""

    def convert(builder: Builder, operator: Operator) -> None:
        inputs = [builder.value(tensor) for tensor in operator.inputs if tensor is not None]
        outputs = [Tensor(told.name, told.dtype, told.shape, told.quantisation) for told in operator.outputs]
        builder.call(kind, inputs, outputs=outputs)
        for told, value in zip(operator.outputs, outputs, strict=True):
            builder.become(told, value)

    return convert


UNARY = {
    "ABS": "abs", "CEIL": "ceil", "FLOOR": "floor", "ROUND": "round", "EXP": "exp", "LOG": "log", "SIN": "sin",
    "TAN": "tan", "COS": "cos", "SQRT": "sqrt", "RSQRT": "rsqrt", "NEG": "negative", "LOGISTIC": "sigmoid",
    "TANH": "tanh", "SOFTMAX": "nn.softmax", "LOG_SOFTMAX": "nn.log_softmax", "LEAKY_RELU": "nn.leaky_relu",
}  # fmt: skip
COMPARED = {
    "GREATER_EQUAL": "greater_equal", "GREATER": "greater", "LESS": "less", "LESS_EQUAL": "less_equal",
    "EQUAL": "equal", "NOT_EQUAL": "not_equal", "LOGICAL_AND": "logical_and", "LOGICAL_OR": "logical_or",
    "LOGICAL_NOT": "logical_not", "SELECT": "where", "SELECT_V2": "where",
}  # fmt: skip
LISTED = {
    "ARG_MAX": "argmax", "CAST": "cast", "TILE": "tile", "GATHER": "take", "TOPK_V2": "topk", "FILL": "full",
    "RANGE": "arange", "SHAPE": "shape_of", "ZEROS_LIKE": "zeros_like", "BATCH_TO_SPACE_ND": "nn.batch_to_space_nd",
    "SPACE_TO_BATCH_ND": "nn.space_to_batch_nd", "REVERSE_V2": "reverse", "MATRIX_DIAG": "matrix_set_diag",
    "MATRIX_SET_DIAG": "matrix_set_diag", "DENSIFY": "sparse_to_dense", "WHERE": "argwhere",
    "NON_MAX_SUPPRESSION_V5": "vision.non_max_suppression", "FAKE_QUANT": "qnn.simulated_quantize", "SQUARE": "power",
}  # fmt: skip
FLOAT_ONLY: dict[str, tuple[str, ...]] = {
    "POW": ("power",), "L2_NORMALIZATION": ("nn.l2_normalize",), "LOCAL_RESPONSE_NORMALIZATION": ("nn.lrn",),
    "ARG_MIN": ("argmin",), "MIRROR_PAD": ("nn.mirror_pad",), "REVERSE_SEQUENCE": ("reverse_sequence",),
    "L2_POOL_2D": ("power", "nn.avg_pool2d", "sqrt"), "GATHER_ND": ("transpose", "gather_nd"),
    "ONE_HOT": ("one_hot",), "SPARSE_TO_DENSE": ("sparse_to_dense",), "ADD_N": ("add",),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": ("lstm_cell",),
}  # fmt: skip
REDUCED = {"MEAN": "mean", "SUM": "sum", "REDUCE_MAX": "max", "REDUCE_MIN": "min", "REDUCE_PROD": "prod"}

CONVERTERS: Mapping[str, Converter] = (
    {name: _through_float(kind) for name, kind in UNARY.items()}
    | {name: _compared(kind) for name, kind in COMPARED.items()}
    | {name: _listed(kind) for name, kind in LISTED.items()}
    | {name: _only_float(name, *kinds) for name, kinds in FLOAT_ONLY.items()}
    | {name: _reduced(kind) for name, kind in REDUCED.items()}
    | {kind: _bounded(kind) for kind in ACTIVATIONS}
    | {
        "CONV_2D": _conv2d,
        "DEPTHWISE_CONV_2D": _depthwise,
        "TRANSPOSE_CONV": _transpose_conv,
        "FULLY_CONNECTED": _fully_connected,
        "BATCH_MATMUL": _batch_matmul,
        "ADD": _binary("add", "qnn.add"),
        "SUB": _binary("subtract", "qnn.subtract"),
        "MUL": _binary("multiply", "qnn.mul"),
        "DIV": _binary("divide"),
        "MAXIMUM": _binary("maximum"),
        "MINIMUM": _binary("minimum"),
        "FLOOR_DIV": _binary("floor_divide"),
        "FLOOR_MOD": _binary("floor_mod"),
        "HARD_SWISH": _hard_swish,
        "ELU": _elu,
        "PRELU": _prelu,
        "SQUARED_DIFFERENCE": _squared_difference,
        "MAX_POOL_2D": _pool("max"),
        "AVERAGE_POOL_2D": _pool("average"),
        "RESIZE_NEAREST_NEIGHBOR": _resize("nearest_neighbor"),
        "RESIZE_BILINEAR": _resize("linear"),
        "RESHAPE": _reshape,
        "SQUEEZE": _kept("squeeze"),
        "EXPAND_DIMS": _kept("expand_dims", one_scale=True),
        "TRANSPOSE": _kept("transpose"),
        "SLICE": _kept("strided_slice"),
        "STRIDED_SLICE": _kept("strided_slice", "reshape"),
        "SPACE_TO_DEPTH": _kept("nn.space_to_depth"),
        "DEPTH_TO_SPACE": lambda b, o: _done(
            b, o, b.call("nn.depth_to_space", [_data(b, o)], o.outputs[0], block=o.attributes.get("block_size"),
                         mode="DCR", data_layout="NHWC"),
        ),
        "PAD": _pad,
        "PADV2": _pad,
        "CONCATENATION": _concatenation,
        "SPLIT": _split(1, 0),
        "SPLIT_V": _split(0, 2),
        "PACK": _pack,
        "UNPACK": _unpack,
        "QUANTIZE": _quantize,
        "DEQUANTIZE": _dequantize,
    }
)  # fmt: skip
