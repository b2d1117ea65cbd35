"""Small TFLite networks, one operator each, on both sides of every limit that Vela names.

    python benchmarks/npu/vela_zoo.py FOLDER

writes them.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tflite_file import Model

Made = tuple[str, bytes]
UNARY = (
    "ABS", "EXP", "LOG", "RSQRT", "SQRT", "NEG", "SIN", "COS", "SQUARE", "ELU", "GELU", "HARD_SWISH", "LEAKY_RELU",
    "LOGISTIC", "TANH", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "SOFTMAX", "LOG_SOFTMAX", "QUANTIZE",
    "DEQUANTIZE", "CAST", "L2_NORMALIZATION", "FLOOR", "CEIL", "ROUND", "LOGICAL_NOT", "LOCAL_RESPONSE_NORMALIZATION",
    "ZEROS_LIKE", "SIGN", "RELU_0_TO_1",
)  # fmt: skip
BINARY = (
    "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "EQUAL", "NOT_EQUAL", "GREATER",
    "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "POW", "FLOOR_DIV", "FLOOR_MOD", "PRELU",
    "RIGHT_SHIFT", "BITWISE_XOR",
)  # fmt: skip
COMPARISONS = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR")
TYPES = ("int8", "uint8", "int16", "int32", "float32", "int64", "bool")
NUMBERS = TYPES[:-1]
MAP = (1, 8, 8, 16)
OPTIONS: dict[str, dict[str, Any]] = {"LEAKY_RELU": {"alpha": 0.1}, "SOFTMAX": {"beta": 1.0}}


def zero(dtype: str) -> int:
    return 128 if dtype == "uint8" else 0


def scale(dtype: str) -> float | None:
    return None if dtype in ("float32", "bool", "int64") else 0.05


def fed(model: Model, shape: Sequence[int], dtype: str = "int8", **more: Any) -> int:
    """A quantised feature map of this type."""
    return model.tensor(shape, dtype, **{"scale": scale(dtype), "zero": zero(dtype), **more})


def single(
    kind: str,
    shape: Sequence[int] = MAP,
    out: Sequence[int] | None = None,
    dtype: str = "int8",
    out_dtype: str | None = None,
    parameters: Sequence[Any] = (),
    feed: dict[str, Any] | None = None,
    give: dict[str, Any] | None = None,
    **options: Any,
) -> bytes:
    """One operator on one feature map; parameters are int32 constants that follow it."""
    model = Model()
    x = fed(model, shape, dtype, **(feed or {}))
    rest = [model.constant(value) for value in parameters]
    y = fed(model, shape if out is None else out, out_dtype or dtype, **(give or {}))
    model.op(kind, [x, *rest], [y], **{**OPTIONS.get(kind, {}), **options})
    return model.write([x], [y])


def unary() -> Iterator[Made]:
    for kind in UNARY:
        for dtype in TYPES if kind in ("CAST", "LOGICAL_NOT") else NUMBERS:
            yield f"{kind}-{dtype}", single(kind, dtype=dtype)
        yield f"{kind}-int8-unquantised", single(kind, feed={"scale": None}, give={"scale": None})
        yield f"{kind}-int8-out-unquantised", single(kind, give={"scale": None})
        yield f"{kind}-int8-to-int16", single(kind, out_dtype="int16")
        yield f"{kind}-int16-to-int8", single(kind, dtype="int16", out_dtype="int8")
        yield f"{kind}-int8-zero-scale", single(kind, feed={"scale": 0.0})
        yield f"{kind}-int8-batch4", single(kind, (4, 8, 8, 16))
        yield f"{kind}-int8-rank2", single(kind, (4, 16))
        yield f"{kind}-int8-rank3", single(kind, (2, 4, 16))
        yield f"{kind}-int8-rank5", single(kind, (1, 2, 4, 4, 8))
        yield f"{kind}-int8-rank6", single(kind, (2, 2, 2, 4, 4, 8))
        yield f"{kind}-int8-scalar", single(kind, ())
        yield f"{kind}-int8-per-axis", single(kind, feed={"scale": [0.1] * 16, "axis": 3})
        yield f"{kind}-int16-zero5", single(kind, dtype="int16", feed={"zero": 5})
        yield f"{kind}-int8-open-width", single(kind, feed={"signature": [1, 8, -1, 16]})
        yield f"{kind}-int8-open-batch", single(kind, feed={"signature": [-1, 8, 8, 16]})
    for alpha in (0.0, -0.5, 1.5):
        yield f"LEAKY_RELU-alpha{alpha}", single("LEAKY_RELU", alpha=alpha)
    for source, target in itertools.product(TYPES, TYPES):
        yield f"CAST-{source}-{target}", single("CAST", dtype=source, out_dtype=target)
    for source, target in itertools.product(NUMBERS, NUMBERS):
        yield f"QUANTIZE-{source}-{target}", single("QUANTIZE", dtype=source, out_dtype=target)
    for beta in (0.5, 2.0):
        yield f"SOFTMAX-beta{beta}", single("SOFTMAX", beta=beta)
    for shape in ((1, 255, 257, 4), (1, 256, 256, 4), (1, 70000), (70000, 4), (1, 4, 4, 2000), (2, 40000, 4)):
        yield f"SOFTMAX-{'x'.join(map(str, shape))}", single("SOFTMAX", shape)


def binary() -> Iterator[Made]:
    for kind in BINARY:
        for dtype in TYPES if kind in COMPARISONS else NUMBERS:
            yield f"{kind}-{dtype}", pair(kind, dtype=dtype)
            yield f"{kind}-{dtype}-constant", pair(kind, dtype=dtype, constant=True)
        yield f"{kind}-int8-first-constant", pair(kind, constant=True, swap=True)
        yield f"{kind}-int8-unquantised", pair(kind, scales=(None, None, None))
        yield f"{kind}-int8-second-unquantised", pair(kind, scales=(0.05, None, 0.05))
        yield f"{kind}-int8-other-scale", pair(kind, scales=(0.05, 0.1, 0.05))
        yield f"{kind}-int8-other-out-scale", pair(kind, scales=(0.05, 0.05, 0.1))
        yield f"{kind}-int8-broadcast", pair(kind, second=(1, 1, 1, 16))
        yield f"{kind}-int8-broadcast-both", pair(kind, (1, 8, 1, 16), (1, 1, 8, 16), (1, 8, 8, 16))
        yield f"{kind}-int8-broadcast-batch", pair(kind, (4, 8, 8, 16), (1, 8, 8, 16))
        yield f"{kind}-int8-batches", pair(kind, (4, 8, 8, 16), (4, 8, 8, 16))
        yield f"{kind}-int8-rank1", pair(kind, second=(16,))
        yield f"{kind}-int8-scalar", pair(kind, second=())
        yield f"{kind}-int8-scalar-constant", pair(kind, second=(), constant=True)
        yield f"{kind}-int8-rank5", pair(kind, (1, 2, 4, 4, 8), (1, 2, 4, 4, 8))
        yield f"{kind}-int8-rank5-broadcast", pair(kind, (3, 2, 4, 4, 8), (3, 1, 4, 1, 8))
        yield f"{kind}-int8-rank7-broadcast", pair(kind, (3, 2, 4, 4, 2, 2, 8), (3, 1, 4, 1, 2, 1, 8))
        yield f"{kind}-int8-to-int16", pair(kind, out_dtype="int16")
        yield f"{kind}-int8-to-int32", pair(kind, out_dtype="int32")
        yield f"{kind}-int16-to-int8", pair(kind, dtype="int16", out_dtype="int8")
        yield f"{kind}-int32-zero5", pair(kind, dtype="int32", zeros=(5, 5, 5))
        yield f"{kind}-int16-zero5", pair(kind, dtype="int16", zeros=(5, 5, 5))
        for activation in ("RELU", "RELU6", "RELU_N1_TO_1", "TANH"):
            if kind in ("ADD", "SUB", "MUL", "DIV"):
                yield f"{kind}-int8-{activation}", pair(kind, fused_activation_function=activation)


def masks() -> Iterator[Made]:
    """A bool between operators, and at the model's edge."""
    for last in ("SELECT_V2", "CAST-int8", "CAST-float32", "LOGICAL_NOT", "LOGICAL_AND", "edge"):
        for dtype in ("int8", "float32"):
            model = Model()
            x, z, mask = fed(model, MAP, dtype), fed(model, MAP, dtype), model.tensor(MAP, "bool", scale=None)
            model.op("GREATER", [x, z], [mask])
            if last == "edge":
                y = fed(model, MAP, dtype)
                model.op("ABS", [x], [y])
                yield f"GREATER-{dtype}-edge", model.write([x, z], [y, mask])
                continue
            if last.startswith("LOGICAL"):
                second = model.tensor(MAP, "bool", scale=None)
                model.op(last, [mask] * (1 + (last == "LOGICAL_AND")), [second])
                mask = second
            y = fed(model, MAP, last.partition("-")[2] if "CAST" in last else dtype)
            model.op("CAST", [mask], [y]) if "CAST" in last else model.op("SELECT_V2", [mask, x, z], [y])
            yield f"GREATER-{dtype}-{last}", model.write([x, z], [y])


def pair(
    kind: str,
    first: Sequence[int] = MAP,
    second: Sequence[int] = MAP,
    out: Sequence[int] | None = None,
    *,
    dtype: str = "int8",
    out_dtype: str | None = None,
    scales: Sequence[float | None] = (),
    zeros: Sequence[int] = (),
    constant: bool = False,
    swap: bool = False,
    **options: Any,
) -> bytes:
    """One operator of two feature maps."""
    model = Model()
    scales = scales or (scale(dtype),) * 2 + (scale(out_dtype or dtype),)
    zeros = zeros or (zero(dtype), zero(dtype), zero(out_dtype or dtype))
    second = (1, 1, second[-1]) if kind == "PRELU" and second == MAP else second
    x = model.tensor(first, dtype, scale=scales[0], zero=zeros[0])
    data = np.ones(second, dtype) if constant else None
    z = model.tensor(second, dtype, scale=scales[1], zero=zeros[1], data=data)
    given = "bool" if kind in COMPARISONS and out_dtype is None else out_dtype or dtype
    y_scale, y_zero = (None, 0) if given == "bool" else (scales[2], zeros[2])
    y = model.tensor(out or first, given, scale=y_scale, zero=y_zero)
    model.op(kind, [z, x] if swap else [x, z], [y], **options)
    return model.write([x] if constant else [x, z], [y])


def convolution(
    kind: str = "CONV_2D",
    size: int = 16,
    channels: int = 4,
    outs: int = 8,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "SAME",
    dtype: str = "int8",
    *,
    weights: Any = 1,
    weight_type: str | None = None,
    weight_scale: float | None = 0.01,
    bias_type: str = "int32",
    bias: Any = 0,
    bias_shape: Sequence[int] | None = None,
    with_bias: bool = True,
    dynamic: str = "",
    activation: str = "NONE",
    multiplier: int = 1,
    group_channels: int | None = None,
    sizes: tuple[int, int] | None = None,
    batch: int = 1,
) -> bytes:
    """One convolution."""
    model = Model()
    h, w = sizes or (size, size)
    depthwise = kind == "DEPTHWISE_CONV_2D"
    outs = channels * multiplier if depthwise else outs
    shape = (1, *kernel, outs) if depthwise else (outs, *kernel, group_channels or channels)
    weight_type = weight_type or ("uint8" if dtype == "uint8" else "int8")
    x = fed(model, (batch, h, w, channels), dtype)
    data = None if "weights" in dynamic else np.full(shape, weights, weight_type if weight_type != "int4" else "int8")
    stored = data
    if weight_type == "int4" and data is not None:
        flat = data.reshape(-1).astype(np.uint8) & 15
        flat = np.pad(flat, (0, len(flat) % 2))
        stored = (flat[::2] | (flat[1::2] << 4)).astype(np.uint8)
    scales = [weight_scale] * outs if weight_scale is not None and dtype != "uint8" else weight_scale
    k = model.tensor(shape, weight_type, scale=scales, zero=zero(dtype), axis=3 if depthwise else 0, data=stored)
    inputs = [x, k]
    fed_too = [k] if data is None else []
    if with_bias:
        held = None if "bias" in dynamic else np.full(bias_shape or (outs,), bias, bias_type)
        b = model.tensor(bias_shape or (outs,), bias_type, scale=scales if bias_type != "float32" else None, data=held)
        inputs.append(b)
        fed_too += [b] if held is None else []
    reach = [(kernel[i] - 1) * dilation[i] + 1 for i in range(2)]
    out = [
        -(-n // stride[i]) if padding == "SAME" else max(1, -(-(n - reach[i] + 1) // stride[i]))
        for i, n in enumerate((h, w))
    ]
    y = fed(model, (batch, *out, outs), dtype)
    options = {"padding": padding, "stride_h": stride[0], "stride_w": stride[1], "dilation_h_factor": dilation[0],
               "dilation_w_factor": dilation[1], "fused_activation_function": activation}  # fmt: skip
    model.op(kind, inputs, [y], **options, **({"depth_multiplier": multiplier} if depthwise else {}))
    return model.write([x, *fed_too], [y])


def convolutions() -> Iterator[Made]:
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        for dtype in NUMBERS:
            yield f"{kind}-{dtype}", convolution(kind, dtype=dtype)
        for padding, stride in itertools.product(("SAME", "VALID"), ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (1, 4),
                                                                     (4, 1), (2, 1), (8, 8))):  # fmt: skip
            yield (
                f"{kind}-{padding}-stride{stride[0]}x{stride[1]}",
                convolution(kind, 32, stride=stride, padding=padding),
            )
            yield (f"{kind}-{padding}-stride{stride[0]}x{stride[1]}-dilated",
                   convolution(kind, 32, stride=stride, padding=padding, dilation=(2, 2)))  # fmt: skip
        for kernel in ((1, 1), (5, 5), (6, 6), (11, 11), (64, 64), (65, 64), (64, 65), (65, 1), (1, 65), (128, 1),
        (1, 4097),
                       (2, 2048), (2, 2049), (256, 256), (257, 1)):  # fmt: skip
            w = max(8, kernel[1])
            yield (f"{kind}-kernel{kernel[0]}x{kernel[1]}",
                   convolution(kind, kernel=kernel, sizes=(max(8, kernel[0]), w), padding="VALID"))  # fmt: skip
        for dilation in ((2, 2), (7, 7), (16, 1), (21, 21), (32, 32), (64, 64)):
            yield (
                f"{kind}-dilation{dilation[0]}x{dilation[1]}",
                convolution(kind, 130, dilation=dilation, channels=1, outs=1),
            )
        for weight_type in ("int16", "uint8", "int4", "float32"):
            yield f"{kind}-weights-{weight_type}", convolution(kind, weight_type=weight_type)
            yield f"{kind}-int16-weights-{weight_type}", convolution(kind, dtype="int16", weight_type=weight_type)
        yield f"{kind}-weights-unquantised", convolution(kind, weight_scale=None)
        for bias_type in ("int64", "int16", "int8", "float32"):
            yield f"{kind}-bias-{bias_type}", convolution(kind, bias_type=bias_type)
            yield f"{kind}-int16-bias-{bias_type}", convolution(kind, dtype="int16", bias_type=bias_type)
        for bias in (2**39 - 1, 2**40 - 2, 2**40 - 1, 2**40, -(2**39), -(2**40), 2**48 - 2, 2**48 - 1, 2**48, -(2**48)):
            yield f"{kind}-bias{bias}", convolution(kind, dtype="int16", bias_type="int64", bias=bias)
        for dynamic in ("weights", "bias", "weights bias"):
            yield f"{kind}-dynamic-{dynamic.replace(' ', '-')}", convolution(kind, dynamic=dynamic)
        yield f"{kind}-bias-1x8", convolution(kind, channels=8, bias_shape=(1, 8))
        yield f"{kind}-bias-8x1", convolution(kind, channels=8, bias_shape=(8, 1))
        yield f"{kind}-bias-1", convolution(kind, bias_shape=(1,))
        yield f"{kind}-no-bias", convolution(kind, with_bias=False)
        yield f"{kind}-batch4", convolution(kind, batch=4)
        for activation in ("RELU", "RELU6", "RELU_N1_TO_1", "TANH", "SIGN_BIT"):
            yield f"{kind}-{activation}", convolution(kind, activation=activation)
    for channels in (515, 516, 517):  # 127 x 65536 is 516.03 x 127 x 127
        for dtype in ("int8", "int16", "uint8"):
            w = 127 if dtype != "uint8" else 255
            yield (f"CONV_2D-{dtype}-sum{channels}",
                   convolution(channels=channels, kernel=(127, 1), sizes=(127, 4), outs=1, padding="VALID", weights=w,
                               dtype=dtype))  # fmt: skip
    yield "CONV_2D-negative-sum", convolution(channels=8200, kernel=(8, 1), outs=1, weights=-128)
    yield "CONV_2D-groups4", convolution(channels=16, outs=16, group_channels=4)
    yield "CONV_2D-groups16", convolution(channels=16, outs=16, group_channels=1)
    yield "CONV_2D-groups2-int16", convolution(channels=16, outs=16, group_channels=8, dtype="int16")
    yield "DEPTHWISE_CONV_2D-one-channel-x8", convolution("DEPTHWISE_CONV_2D", channels=1, multiplier=8)
    yield "DEPTHWISE_CONV_2D-4-channels-x2", convolution("DEPTHWISE_CONV_2D", channels=4, multiplier=2)
    yield "DEPTHWISE_CONV_2D-4-channels-x4", convolution("DEPTHWISE_CONV_2D", channels=4, multiplier=4)
    yield "CONV_2D-1d", convolution(sizes=(1, 64), kernel=(1, 3))
    yield "CONV_2D-wide", convolution(sizes=(1, 70000), kernel=(1, 3), channels=1, outs=1)
    yield "CONV_2D-deep", convolution(sizes=(1, 1), kernel=(1, 1), channels=70000, outs=1)
    yield "CONV_2D-deep-out", convolution(sizes=(1, 1), kernel=(1, 1), channels=1, outs=70000)


def padded_convolution(stride: int, amount: int, kernel: int = 3, twice: bool = False) -> bytes:
    """A PAD, and a convolution that takes it; with ``twice`` another operator takes it too."""
    model = Model()
    size = 16 + 2 * amount
    x, padded = fed(model, (1, 16, 16, 4)), fed(model, (1, size, size, 4))
    model.op("PAD", [x, model.constant([[0, 0], [amount, amount], [amount, amount], [0, 0]])], [padded])
    out = (size - kernel) // stride + 1
    weights = model.constant(np.ones((8, kernel, kernel, 4)), "int8", [0.01] * 8)
    y = fed(model, (1, out, out, 8))
    model.op("CONV_2D", [padded, weights, model.constant(np.zeros(8), "int32", [0.0005] * 8)], [y], padding="VALID",
             stride_h=stride, stride_w=stride, dilation_h_factor=1, dilation_w_factor=1)  # fmt: skip
    outputs = [y]
    if twice:
        outputs.append(fed(model, (1, size, size, 4)))
        model.op("ABS", [padded], [outputs[-1]])
    return model.write([x], outputs)


def padded_convolutions() -> Iterator[Made]:
    for stride, amount in itertools.product((1, 3, 4, 5), (1, 2, 4)):
        yield f"PAD-then-CONV_2D-stride{stride}-pad{amount}", padded_convolution(stride, amount)
    yield "PAD-then-CONV_2D-stride4-kernel4", padded_convolution(4, 2, 4)
    yield "PAD-then-CONV_2D-stride4-twice", padded_convolution(4, 1, twice=True)


def transposed(
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (2, 2),
    padding: str = "SAME",
    sizes: tuple[int, int] = (8, 8),
    out: tuple[int, int] | None = None,
    dtype: str = "int8",
    *,
    with_bias: bool = True,
    bias_type: str = "int32",
    batch: int = 1,
    constant: bool = True,
    channels: int = 4,
) -> bytes:
    """One TRANSPOSE_CONV."""
    model = Model()
    whole = [
        n * s if padding == "SAME" else n * s + max(k - s, 0) for n, s, k in zip(sizes, stride, kernel, strict=True)
    ]
    shape = [batch, *(out or whole), 8]
    given = model.constant(shape) if constant else model.tensor([4], "int32", scale=None)
    weights = model.constant(np.ones((8, *kernel, channels)), "uint8" if dtype == "uint8" else "int8",
                             [0.01] * 8 if dtype != "uint8" else 0.01)  # fmt: skip
    x = fed(model, (batch, *sizes, channels), dtype)
    inputs = [given, weights, x] + ([model.constant(np.zeros(8), bias_type, [0.001] * 8)] if with_bias else [])
    y = fed(model, shape, dtype)
    model.op("TRANSPOSE_CONV", inputs, [y], padding=padding, stride_h=stride[0], stride_w=stride[1])
    return model.write([x] if constant else [given, x], [y])


def transposeds() -> Iterator[Made]:
    for dtype in NUMBERS:
        yield f"TRANSPOSE_CONV-{dtype}", transposed(dtype=dtype)
    strides = ((1, 1), (2, 2), (2, 1), (1, 2), (3, 3), (4, 4))
    for padding, stride, kernel in itertools.product(("SAME", "VALID"), strides, ((2, 2), (3, 3), (4, 4), (1, 1))):
        yield (f"TRANSPOSE_CONV-{padding}-stride{stride[0]}x{stride[1]}-kernel{kernel[0]}",
               transposed(kernel, stride, padding))  # fmt: skip
    yield "TRANSPOSE_CONV-row-1x2", transposed((1, 3), (1, 2), sizes=(1, 8))
    yield "TRANSPOSE_CONV-column-2x1", transposed((3, 1), (2, 1), sizes=(8, 1))
    yield "TRANSPOSE_CONV-row-2x1", transposed((1, 3), (2, 1), sizes=(1, 8))
    yield "TRANSPOSE_CONV-column-1x2", transposed((3, 1), (1, 2), sizes=(8, 1))
    yield "TRANSPOSE_CONV-row-kernel3-1x2", transposed((3, 3), (1, 2), sizes=(1, 8))
    yield "TRANSPOSE_CONV-smaller", transposed(out=(15, 15))
    yield "TRANSPOSE_CONV-valid-smaller", transposed(padding="VALID", out=(16, 16))
    yield "TRANSPOSE_CONV-valid-larger", transposed(padding="VALID", out=(18, 18))
    yield "TRANSPOSE_CONV-no-bias", transposed(with_bias=False)
    yield "TRANSPOSE_CONV-bias64", transposed(dtype="int16", bias_type="int64")
    yield "TRANSPOSE_CONV-batch2", transposed(batch=2)
    yield "TRANSPOSE_CONV-open-shape", transposed(constant=False)


def pooling(
    kind: str,
    kernel: tuple[int, int] = (2, 2),
    stride: tuple[int, int] = (2, 2),
    padding: str = "VALID",
    sizes: tuple[int, int] = (16, 16),
    channels: int = 4,
    dtype: str = "int8",
    batch: int = 1,
    activation: str = "NONE",
    **more: Any,
) -> bytes:
    """One pooling."""
    out = [
        -(-n // s) if padding == "SAME" else max(1, (n - k) // s + 1)
        for n, s, k in zip(sizes, stride, kernel, strict=True)
    ]
    return single(kind, (batch, *sizes, channels), (batch, *out, channels), dtype, padding=padding, stride_h=stride[0],
                  stride_w=stride[1], filter_height=kernel[0], filter_width=kernel[1],
                  fused_activation_function=activation, **more)  # fmt: skip


def poolings() -> Iterator[Made]:
    for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
        for dtype in NUMBERS:
            yield f"{kind}-{dtype}", pooling(kind, dtype=dtype)
        for padding, stride in itertools.product(("SAME", "VALID"), ((1, 1), (3, 3), (4, 4), (4, 1), (1, 4), (8, 8))):
            yield f"{kind}-{padding}-stride{stride[0]}x{stride[1]}", pooling(kind, (3, 3), stride, padding, (32, 32))
        for kernel in (
            (5, 5),
            (8, 8),
            (9, 8),
            (8, 9),
            (9, 9),
            (16, 16),
            (256, 1),
            (257, 1),
            (1, 257),
            (256, 256),
            (256, 257),
        ):
            for padding in ("SAME", "VALID"):
                yield (f"{kind}-{padding}-kernel{kernel[0]}x{kernel[1]}",
                       pooling(kind, kernel, (1, 1), padding, (max(8, kernel[0]), max(8, kernel[1])), 1))  # fmt: skip
        yield f"{kind}-global", pooling(kind, (16, 16), (16, 16))
        yield f"{kind}-global-56", pooling(kind, (56, 56), (56, 56), sizes=(56, 56))
        yield f"{kind}-batch4", pooling(kind, batch=4)
        yield f"{kind}-rescaled", pooling(kind, give={"scale": 0.1})
        yield f"{kind}-unquantised", pooling(kind, feed={"scale": None}, give={"scale": None})
        yield f"{kind}-RELU6", pooling(kind, activation="RELU6")
        yield f"{kind}-int16-zero5", pooling(kind, dtype="int16", feed={"zero": 5}, give={"zero": 5})


def dense(
    rows: int = 1,
    depth: int = 16,
    outs: int = 8,
    dtype: str = "int8",
    *,
    weight_type: str | None = None,
    bias_type: str = "int32",
    bias: int = 0,
    dynamic: str = "",
    with_bias: bool = True,
    per_channel: bool = False,
    shape: Sequence[int] | None = None,
    weights: int = 1,
    activation: str = "NONE",
    keep: bool = False,
    out_dtype: str | None = None,
) -> bytes:
    """One FULLY_CONNECTED."""
    model = Model()
    weight_type = weight_type or ("uint8" if dtype == "uint8" else "int8")
    x = fed(model, shape or (rows, depth), dtype)
    fed_too = []
    data = (
        None
        if "weights" in dynamic
        else np.full((outs, depth), weights, "int8" if weight_type == "int4" else weight_type)
    )
    if weight_type == "int4" and data is not None:
        data = np.full((outs * depth // 2,), 0x11, np.uint8)
    w = model.tensor((outs, depth), weight_type, scale=[0.01] * outs if per_channel else 0.01, zero=zero(weight_type),
                     data=data)  # fmt: skip
    inputs = [x, w]
    fed_too += [w] if data is None else []
    if with_bias:
        held = None if "bias" in dynamic else np.full((outs,), bias, bias_type)
        b = model.tensor((outs,), bias_type, scale=0.0005, data=held)
        inputs.append(b)
        fed_too += [b] if held is None else []
    elif "missing" in dynamic:
        inputs.append(-1)
    y = fed(model, (*(shape[:-1] if keep and shape else (rows,)), outs), out_dtype or dtype)
    model.op("FULLY_CONNECTED", inputs, [y], keep_num_dims=keep, fused_activation_function=activation)
    return model.write([x, *fed_too], [y])


def denses() -> Iterator[Made]:
    for dtype in NUMBERS:
        yield f"FULLY_CONNECTED-{dtype}", dense(dtype=dtype)
        yield (
            f"FULLY_CONNECTED-{dtype}-dynamic",
            dense(dtype=dtype, weight_type=dtype, dynamic="weights", with_bias=False),
        )
    for weight_type in ("int16", "int4", "uint8", "float32"):
        yield f"FULLY_CONNECTED-weights-{weight_type}", dense(weight_type=weight_type)
        yield f"FULLY_CONNECTED-int16-weights-{weight_type}", dense(dtype="int16", weight_type=weight_type)
    for bias_type in ("int64", "int16", "int8"):
        yield f"FULLY_CONNECTED-bias-{bias_type}", dense(bias_type=bias_type)
        yield f"FULLY_CONNECTED-int16-bias-{bias_type}", dense(dtype="int16", bias_type=bias_type)
    yield "FULLY_CONNECTED-bias-large", dense(dtype="int16", bias_type="int64", bias=2**40)
    yield "FULLY_CONNECTED-dynamic-bias", dense(dynamic="bias")
    yield "FULLY_CONNECTED-dynamic-both", dense(dynamic="weights bias")
    yield "FULLY_CONNECTED-no-bias", dense(with_bias=False)
    yield "FULLY_CONNECTED-left-out-bias", dense(with_bias=False, dynamic="missing")
    yield "FULLY_CONNECTED-per-channel", dense(per_channel=True)
    yield "FULLY_CONNECTED-rows64", dense(64)
    yield "FULLY_CONNECTED-rank3", dense(8, shape=(1, 8, 16), keep=True)
    yield "FULLY_CONNECTED-rank4", dense(8, shape=(1, 2, 4, 16), keep=True)
    yield "FULLY_CONNECTED-flattened", dense(1, 64, shape=(1, 4, 4, 4))
    yield "FULLY_CONNECTED-batch-flattened", dense(3, 64, shape=(3, 4, 4, 4))
    yield "FULLY_CONNECTED-sum", dense(depth=66100, outs=1, weights=127)
    yield "FULLY_CONNECTED-sum-fits", dense(depth=65500, outs=1, weights=127)
    yield "FULLY_CONNECTED-to-int16", dense(out_dtype="int16")
    for activation in ("RELU", "RELU6", "TANH"):
        yield f"FULLY_CONNECTED-{activation}", dense(activation=activation)


def product(
    first: Sequence[int] = (1, 4, 8),
    second: Sequence[int] = (1, 8, 6),
    dtype: str = "int8",
    *,
    constant: bool = False,
    other: str | None = None,
    out_dtype: str | None = None,
    **options: Any,
) -> bytes:
    """One BATCH_MATMUL."""
    model = Model()
    x = fed(model, first, dtype)
    data = np.ones(second, other or dtype) if constant else None
    z = fed(model, second, other or dtype, data=data)
    rows = first[-1] if options.get("adj_x") else first[-2]
    columns = second[-2] if options.get("adj_y") else second[-1]
    batch = first[:-2] if len(first) >= len(second) else second[:-2]
    y = fed(model, (*batch, rows, columns), out_dtype or dtype)
    model.op("BATCH_MATMUL", [x, z], [y], **options)
    return model.write([x] if constant else [x, z], [y])


def products() -> Iterator[Made]:
    for dtype in NUMBERS:
        yield f"BATCH_MATMUL-{dtype}", product(dtype=dtype)
        yield f"BATCH_MATMUL-{dtype}-constant", product(dtype=dtype, constant=True)
    yield "BATCH_MATMUL-rank2", product((4, 8), (8, 6))
    yield "BATCH_MATMUL-heads", product((1, 3, 4, 8), (1, 3, 8, 6))
    yield "BATCH_MATMUL-batches", product((2, 3, 4, 8), (2, 3, 8, 6))
    yield "BATCH_MATMUL-broadcast", product((3, 4, 8), (1, 8, 6))
    yield "BATCH_MATMUL-broadcast-rank", product((3, 4, 8), (8, 6))
    yield "BATCH_MATMUL-broadcast-first", product((1, 4, 8), (3, 8, 6))
    yield "BATCH_MATMUL-adj-y", product((1, 4, 8), (1, 6, 8), adj_y=True)
    yield "BATCH_MATMUL-adj-x", product((1, 8, 4), (1, 8, 6), adj_x=True)
    yield "BATCH_MATMUL-adj-y-constant", product((1, 4, 8), (1, 6, 8), adj_y=True, constant=True)
    yield "BATCH_MATMUL-adj-x-constant", product((1, 8, 4), (1, 8, 6), adj_x=True, constant=True)
    yield "BATCH_MATMUL-deep", product((1, 1, 65537), (1, 65537, 2))
    yield "BATCH_MATMUL-deep-fits", product((1, 1, 65536), (1, 65536, 2))
    yield "BATCH_MATMUL-wide", product((1, 1, 2), (1, 2, 65537))
    yield "BATCH_MATMUL-wide-fits", product((1, 1, 2), (1, 2, 65536))
    yield "BATCH_MATMUL-mixed", product(dtype="int16", other="int8")
    yield "BATCH_MATMUL-to-int16", product(out_dtype="int16")
    yield "BATCH_MATMUL-to-int32", product(out_dtype="int32")


def reduced(
    kind: str,
    shape: Sequence[int],
    axes: Any,
    keep: bool = True,
    dtype: str = "int8",
    out_dtype: str | None = None,
    **more: Any,
) -> bytes:
    """One reduction."""
    named = [a % len(shape) for a in np.asarray(axes).reshape(-1).tolist()]
    out = [1 if a in named else n for a, n in enumerate(shape) if keep or a not in named]
    return single(kind, shape, out, dtype, out_dtype, [axes], keep_dims=keep, **more)


def reductions() -> Iterator[Made]:
    kinds = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL")
    for kind in kinds:
        for dtype in TYPES:
            yield f"{kind}-{dtype}", reduced(kind, MAP, [1, 2], dtype=dtype)
        for axes in ([1], [2], [3], [0], [1, 2, 3], [1, 3], [2, 3], [0, 1], [0, 1, 2, 3], [-1], [], [-2, -3]):
            for keep in (True, False):
                said = "_".join(map(str, axes)) or "none"
                yield f"{kind}-axes{said}-{'keep' if keep else 'drop'}", reduced(kind, MAP, axes, keep)
            yield f"{kind}-int16-axes{said}", reduced(kind, MAP, axes, dtype="int16")
        yield f"{kind}-scalar-axis", reduced(kind, MAP, 3)
        for shape, axes in (
            ((1, 8, 16), [1]), ((1, 8, 16), [2]), ((8, 16), [1]), ((8, 16), [0]), ((16,), [0]), ((4, 8, 8, 16), [1, 2]),
            ((4, 8, 8, 16), [3]), ((4, 8, 16), [2]), ((4, 8, 16), [1]), ((1, 8, 1, 16), [3]), ((1, 1, 8, 16), [3]),
            ((1, 1, 8, 16), [2, 3]), ((1, 8, 8, 1), [3]), ((1, 8, 8, 1), [1, 2, 3]), ((1, 1, 1, 16), [3]),
            ((1, 64, 64, 2), [1, 2]), ((1, 65, 64, 2), [1, 2]), ((1, 4095, 2, 2), [1]), ((1, 4096, 2, 2), [1]),
            ((1, 4097, 2, 2), [1]), ((1, 2, 4096, 2), [2]), ((1, 2, 1, 4096), [3]), ((1, 2, 1, 4095), [3]),
            ((1, 256, 256, 1), [1, 2]), ((1, 256, 257, 1), [1, 2]),
            ((1, 2, 4, 4, 8), [2, 3]), ((1, 2, 4, 4, 8), [4]), ((1, 1, 4, 4, 8), [2, 3]),
            ((1, 2, 4, 4, 8), [1]), ((2, 2, 4, 4, 8), [2, 3]), ((70000, 2), [0]), ((2, 70000), [1]),
            ((1, 300, 300, 2), [1, 2]),
            ((1, 128, 64), [2]), ((1, 10, 512), [2]), ((1, 10, 10, 512), [3]),
        ):  # fmt: skip
            said = "x".join(map(str, shape)) + "-" + "_".join(map(str, axes))
            yield f"{kind}-{said}", reduced(kind, shape, axes)
            if kind == "MEAN":
                for dtype in ("uint8", "int16"):
                    yield f"{kind}-{said}-{dtype}", reduced(kind, shape, axes, dtype=dtype)
        for shape, axes in (
            ((3, 8, 8, 16), [0]),
            ((3, 1, 8, 8, 16), [0]),
            ((3, 1, 8, 8, 16), [2, 3]),
            ((3, 2, 8, 8, 16), [0]),
        ):
            yield f"{kind}-{'x'.join(map(str, shape))}-{axes[0]}-outer", reduced(kind, shape, axes)
        yield f"{kind}-rescaled", reduced(kind, MAP, [1, 2], give={"scale": 0.1})
        yield f"{kind}-unquantised", reduced(kind, MAP, [1, 2], feed={"scale": None}, give={"scale": None})
        model = Model()
        x, axes_, y = fed(model, MAP), model.tensor([2], "int32", scale=None), fed(model, (1, 1, 1, 16))
        model.op(kind, [x, axes_], [y], keep_dims=True)
        yield f"{kind}-open-axes", model.write([x, axes_], [y])


def resizes() -> Iterator[Made]:
    for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        for dtype in TYPES:
            yield f"{kind}-{dtype}", resize(kind, (8, 8), (16, 16), dtype=dtype)
        sizes = (
            ((8, 8), (16, 16)), ((8, 8), (32, 32)), ((8, 8), (64, 64)), ((8, 8), (128, 128)), ((8, 8), (24, 24)),
            ((8, 8), (12, 12)), ((8, 8), (4, 4)), ((8, 8), (8, 8)), ((8, 8), (16, 32)), ((8, 8), (16, 8)), ((8, 8),
            (15, 15)),
            ((8, 8), (29, 29)), ((8, 8), (57, 57)), ((9, 9), (17, 17)), ((1, 1), (7, 7)), ((1, 1), (16, 16)),
            ((1, 8), (1, 16)),
            ((8, 1), (16, 1)), ((1, 8), (2, 16)), ((1, 8), (4, 16)), ((8, 1), (8, 4)), ((8, 8), (256, 256)),
            ((2, 2), (20, 20)),
            ((5, 7), (10, 14)), ((2, 2), (4096, 4096)), ((1, 2), (1, 4096)), ((1, 2), (1, 2048)), ((8, 8), (1, 1)),
            ((8, 1), (16, 2)), ((8, 16), (16, 16)), ((16, 16), (8, 16)), ((1, 2), (1, 8192)), ((1, 2), (2, 2)),
            ((1, 1), (1, 4)),
            ((8, 8), (17, 17)), ((8, 8), (11, 13)), ((8, 8), (10, 10)), ((3, 3), (1030, 1030)), ((1, 2), (1, 2050)),
            ((1, 2), (1, 1025)),
        )  # fmt: skip
        for (size, out), corners, half in itertools.product(sizes, (False, True), (False, True)):
            said = f"{size[0]}x{size[1]}-{out[0]}x{out[1]}" + "-corners" * corners + "-half" * half
            yield f"{kind}-{said}", resize(kind, size, out, align_corners=corners, half_pixel_centers=half)
        yield f"{kind}-batch2", resize(kind, (8, 8), (16, 16), batch=2)
        yield f"{kind}-int16-half", resize(kind, (8, 8), (16, 16), dtype="int16", half_pixel_centers=True)
        yield f"{kind}-rescaled", resize(kind, (8, 8), (16, 16), give={"scale": 0.1})
        yield f"{kind}-unquantised", resize(kind, (8, 8), (16, 16), feed={"scale": None}, give={"scale": None})


def resize(
    kind: str, size: tuple[int, int], out: tuple[int, int], dtype: str = "int8", batch: int = 1, **options: Any
) -> bytes:
    return single(kind, (batch, *size, 4), (batch, *out, 4), dtype, parameters=[out], **options)


def moves() -> Iterator[Made]:
    """Operators that move values without changing them."""
    for dtype in TYPES:
        yield f"RESHAPE-{dtype}", single("RESHAPE", MAP, (1, 1024), dtype, parameters=[[1, 1024]])
        yield f"SQUEEZE-{dtype}", single("SQUEEZE", (1, 8, 1, 16), (8, 16), dtype, squeeze_dims=[0, 2])
        yield f"EXPAND_DIMS-{dtype}", single("EXPAND_DIMS", (8, 16), (1, 8, 16), dtype, parameters=[0])
        yield f"TRANSPOSE-{dtype}", single("TRANSPOSE", MAP, (1, 8, 8, 16), dtype, parameters=[[0, 2, 1, 3]])
        yield f"SLICE-{dtype}", single("SLICE", MAP, (1, 4, 4, 8), dtype, parameters=[[0, 1, 1, 2], [1, 4, 4, 8]])
        yield f"STRIDED_SLICE-{dtype}", strided([0, 1, 1, 0], [1, 5, 5, 16], [1, 1, 1, 1], (1, 4, 4, 16), dtype=dtype)
        yield f"PAD-{dtype}", single("PAD", MAP, (1, 10, 10, 16), dtype, parameters=[[[0, 0], [1, 1], [1, 1], [0, 0]]])
        yield f"MIRROR_PAD-{dtype}", mirrored(1, dtype=dtype)
        yield f"TILE-{dtype}", single("TILE", MAP, (1, 16, 8, 16), dtype, parameters=[[1, 2, 1, 1]])
        yield f"REVERSE_V2-{dtype}", single("REVERSE_V2", dtype=dtype, parameters=[[1]])
        yield f"GATHER-{dtype}", gathered(MAP, (3,), 0, dtype=dtype)
        yield f"DEPTH_TO_SPACE-{dtype}", single("DEPTH_TO_SPACE", MAP, (1, 16, 16, 4), dtype, block_size=2)
        yield f"SPACE_TO_DEPTH-{dtype}", single("SPACE_TO_DEPTH", MAP, (1, 4, 4, 64), dtype, block_size=2)
        yield f"BROADCAST_TO-{dtype}", single("BROADCAST_TO", (1, 8, 1, 16), MAP, dtype, parameters=[MAP])
        yield f"CONCATENATION-{dtype}", joined("CONCATENATION", (MAP, MAP), (1, 8, 8, 32), 3, dtype=dtype)
        yield f"PACK-{dtype}", joined("PACK", (MAP, MAP), (2, *MAP), 0, dtype=dtype)
        yield f"SPLIT-{dtype}", divided("SPLIT", MAP, [(1, 8, 8, 8)] * 2, 3, dtype=dtype)
        yield f"SPLIT_V-{dtype}", divided("SPLIT_V", MAP, [(1, 8, 8, 4), (1, 8, 8, 12)], 3, dtype=dtype)
        yield f"UNPACK-{dtype}", divided("UNPACK", (2, 8, 16), [(8, 16)] * 2, 0, dtype=dtype)
        yield f"SELECT-{dtype}", chosen("SELECT", dtype=dtype)
        yield f"SELECT_V2-{dtype}", chosen("SELECT_V2", dtype=dtype)
        yield f"SCATTER_ND-{dtype}", scattered([[1], [3]], dtype=dtype)
        yield f"ARG_MAX-{dtype}", single("ARG_MAX", MAP, (1, 8, 8), dtype, "int32", [3], output_type=2)
        yield f"ARG_MIN-{dtype}", single("ARG_MIN", MAP, (1, 8, 8), dtype, "int32", [3], output_type=2)
        yield f"PADV2-{dtype}", padded_with(dtype)
    quant: dict[str, Any] = {"feed": {"scale": None}, "give": {"scale": None}}
    yield "RESHAPE-unquantised", single("RESHAPE", MAP, (1, 1024), parameters=[[1, 1024]], **quant)
    yield "TRANSPOSE-unquantised", single("TRANSPOSE", MAP, MAP, parameters=[[0, 2, 1, 3]], **quant)
    yield "PAD-unquantised", single("PAD", MAP, (1, 10, 8, 16), parameters=[[[0, 0], [1, 1], [0, 0], [0, 0]]], **quant)
    yield "SLICE-unquantised", single("SLICE", MAP, (1, 4, 8, 16), parameters=[[0, 1, 0, 0], [1, 4, 8, 16]], **quant)
    yield "EXPAND_DIMS-unquantised", single("EXPAND_DIMS", (8, 16), (1, 8, 16), parameters=[0], **quant)
    for dtype in ("int16", "uint8", "int32", "int64"):
        yield f"ADD-{dtype}-unquantised", pair("ADD", dtype=dtype, scales=(None, None, None))
        yield f"RESHAPE-{dtype}-unquantised", single("RESHAPE", MAP, (1, 1024), dtype, parameters=[[1, 1024]], **quant)
    yield "RESHAPE-rescaled", single("RESHAPE", MAP, (1, 1024), parameters=[[1, 1024]], give={"scale": 0.1})
    yield "RESHAPE-no-parameter", single("RESHAPE", MAP, (1, 1024), new_shape=[1, 1024])
    yield "RESHAPE-batch", single("RESHAPE", (4, 8, 16), (32, 16), parameters=[[32, 16]])
    yield from transposes()
    yield from slices()
    yield from pads()
    yield from indices()
    yield from joins()


def transposes() -> Iterator[Made]:
    for perm in itertools.permutations(range(4)):
        for dtype in ("int8", "int16", "int32"):
            for batch in (1, 2):
                shape: tuple[int, ...] = (batch, 4, 6, 8)
                said = "".join(map(str, perm)) + ("-batch2" if batch == 2 else "") + f"-{dtype}"
                yield (
                    f"TRANSPOSE-{said}",
                    single("TRANSPOSE", shape, [shape[a] for a in perm], dtype, parameters=[perm]),
                )
    for shape, perm in (
        ((4, 6), (1, 0)), ((2, 4, 6), (0, 2, 1)), ((2, 4, 6), (1, 0, 2)), ((2, 4, 6), (2, 1, 0)), ((2, 4, 6),
        (1, 2, 0)),
        ((1, 2, 4, 6, 8), (0, 1, 3, 2, 4)), ((2, 2, 4, 6, 8), (0, 2, 1, 4, 3)), ((2, 2, 4, 6, 8), (4, 3, 2, 1, 0)),
        ((1, 2, 3, 2, 3, 4), (0, 1, 4, 2, 5, 3)), ((1, 2, 1, 2, 3, 2, 2, 2), (0, 2, 1, 3, 4, 5, 7, 6)),
        ((1, 2, 1, 2, 3, 2, 2, 2, 2), (0, 2, 1, 3, 4, 5, 7, 6, 8)), ((70000, 4), (1, 0)), ((4, 70000), (1, 0)),
        ((1, 70000, 2, 2), (0, 2, 1, 3)), ((2, 40000, 2, 2), (0, 2, 1, 3)), ((2, 40000, 2, 2), (3, 2, 1, 0)),
        ((300, 300, 2), (2, 1, 0)), ((2, 300, 300, 2), (0, 3, 1, 2)), ((1, 300, 300, 2), (0, 3, 1, 2)),
        ((2, 300, 300, 2), (3, 0, 1, 2)), ((4, 300, 2, 300), (2, 1, 0, 3)), ((1, 2, 2, 20000), (0, 2, 1, 3)),
        ((1, 2, 2, 16384), (0, 2, 1, 3)), ((1, 2, 2, 70000), (0, 1, 3, 2)), ((1, 4, 16, 16, 4), (0, 3, 1, 4, 2)),
        ((1, 16, 8, 8), (0, 2, 3, 1)), ((1, 2, 8, 4, 4), (0, 2, 1, 3, 4)), ((1, 256, 257, 2), (0, 3, 2, 1)),
        ((256, 257, 2, 2), (3, 2, 1, 0)), ((2, 256, 257, 2), (3, 2, 1, 0)), ((2, 2, 256, 257), (3, 2, 1, 0)),
        ((1, 2, 70000, 2), (0, 1, 3, 2)), ((70000, 2, 2, 2), (0, 1, 3, 2)), ((70000, 2, 2, 2), (0, 2, 1, 3)),
        ((70000, 2, 2, 2), (1, 0, 2, 3)), ((3, 70000, 2), (1, 0, 2)), ((3, 2, 70000), (1, 0, 2)), ((3, 70000, 2),
        (0, 2, 1)),
    ):  # fmt: skip
        for dtype in ("int8", "int16", "int32"):
            said = f"{'x'.join(map(str, shape))}-{''.join(map(str, perm))}-{dtype}"
            yield f"TRANSPOSE-{said}", single("TRANSPOSE", shape, [shape[a] for a in perm], dtype, parameters=[perm])
    model = Model()
    x, p, y = fed(model, MAP), model.tensor([4], "int32", scale=None), fed(model, MAP)
    model.op("TRANSPOSE", [x, p], [y])
    yield "TRANSPOSE-open", model.write([x, p], [y])


def strided(
    begin: Any, end: Any, steps: Any, out: Sequence[int], shape: Sequence[int] = MAP, dtype: str = "int8", **masks: Any
) -> bytes:
    return single("STRIDED_SLICE", shape, out, dtype, parameters=[begin, end, steps], **masks)


def slices() -> Iterator[Made]:
    full = [1, 8, 8, 16]
    for steps in (
        [1, 2, 1, 1],
        [1, 1, 2, 1],
        [1, 2, 2, 1],
        [1, 1, 1, 2],
        [1, 3, 3, 1],
        [1, 4, 1, 1],
        [1, 1, 1, 4],
        [1, 2, 2, 2],
    ):
        out = [-(-n // s) for n, s in zip(full, steps, strict=True)]
        for dtype in ("int8", "int16"):
            yield (
                f"STRIDED_SLICE-steps{'_'.join(map(str, steps))}-{dtype}",
                strided([0] * 4, full, steps, out, dtype=dtype),
            )
    yield "STRIDED_SLICE-back", strided([0, 7, 0, 0], [1, -9, 8, 16], [1, -1, 1, 1], full)
    yield "STRIDED_SLICE-back-depth", strided([0, 0, 0, 15], [1, 8, 8, -17], [1, 1, 1, -1], full)
    yield "STRIDED_SLICE-back-width", strided([0, 0, 7, 0], [1, 8, -9, 16], [1, 1, -1, 1], full)
    yield "STRIDED_SLICE-negative-ends", strided([0, -4, 0, 0], [1, -1, 8, 16], [1] * 4, (1, 3, 8, 16))
    yield "STRIDED_SLICE-masks", strided([0, 2, 0, 0], [0, 0, 0, 0], [1] * 4, (1, 6, 8, 16), begin_mask=13, end_mask=15)
    yield "STRIDED_SLICE-shrink", strided([0, 2, 0, 0], [1, 3, 8, 16], [1] * 4, (1, 8, 16), shrink_axis_mask=2)
    yield "STRIDED_SLICE-shrink-all", strided([0, 2, 0, 0], [1, 3, 1, 16], [1] * 4, (16,), shrink_axis_mask=7)
    yield "STRIDED_SLICE-ellipsis", strided([0, 2], [0, 6], [1, 1], (1, 8, 8, 4), ellipsis_mask=1)
    yield (
        "STRIDED_SLICE-new-axis",
        strided([0, 0, 0, 0, 0], [1, 1, 8, 8, 16], [1] * 5, (1, 1, 8, 8, 16), new_axis_mask=2),
    )
    yield "STRIDED_SLICE-empty", strided([0, 4, 0, 0], [1, 4, 8, 16], [1] * 4, (1, 0, 8, 16))
    yield "STRIDED_SLICE-offset", strided([0, 4, 0, 0], [1, 2, 8, 16], [1] * 4, (1, 2, 8, 16), offset=True)
    yield "STRIDED_SLICE-batch", strided([1, 0, 0, 0], [3, 8, 8, 16], [1] * 4, (2, 8, 8, 16), (4, 8, 8, 16))
    yield "STRIDED_SLICE-batch-step", strided([0] * 4, [4, 8, 8, 16], [2, 1, 1, 1], (2, 8, 8, 16), (4, 8, 8, 16))
    yield "STRIDED_SLICE-rank2", strided([0, 4], [8, 12], [1, 1], (8, 8), (8, 16))
    yield "STRIDED_SLICE-rank2-step", strided([0, 0], [8, 16], [1, 2], (8, 8), (8, 16))
    yield "STRIDED_SLICE-rank2-row-step", strided([0, 0], [8, 16], [2, 1], (4, 16), (8, 16))
    yield "STRIDED_SLICE-rank3-step", strided([0] * 3, [4, 8, 16], [1, 2, 1], (4, 4, 16), (4, 8, 16))
    yield "STRIDED_SLICE-rank3-first-step", strided([0] * 3, [4, 8, 16], [2, 1, 1], (2, 8, 16), (4, 8, 16))
    yield "STRIDED_SLICE-rank5", strided([0] * 5, [1, 2, 4, 4, 4], [1] * 5, (1, 2, 4, 4, 4), (1, 2, 4, 4, 8))
    yield (
        "STRIDED_SLICE-rank5-step",
        strided([0] * 5, [1, 2, 4, 4, 8], [1, 1, 2, 1, 1], (1, 2, 2, 4, 8), (1, 2, 4, 4, 8)),
    )
    yield "STRIDED_SLICE-vector", strided([2], [10], [1], (8,), (16,))
    yield "STRIDED_SLICE-vector-step", strided([0], [16], [2], (8,), (16,))
    yield "SLICE-rest", single("SLICE", MAP, (1, 7, 8, 16), parameters=[[0, 1, 0, 0], [-1, -1, -1, -1]])
    yield (
        "SLICE-rank5",
        single("SLICE", (1, 2, 4, 4, 8), (1, 1, 4, 4, 8), parameters=[[0, 1, 0, 0, 0], [1, 1, 4, 4, 8]]),
    )
    model = Model()
    x, b, e, y = (
        fed(model, MAP),
        model.tensor([4], "int32", scale=None),
        model.constant([1, 4, 4, 8]),
        fed(model, (1, 4, 4, 8)),
    )
    model.op("SLICE", [x, b, e], [y])
    yield "SLICE-open", model.write([x, b], [y])


def mirrored(
    amount: int, mode: str = "REFLECT", dtype: str = "int8", axes: Sequence[int] = (1, 2), shape: Sequence[int] = MAP
) -> bytes:
    pad = [[amount, amount] if a in axes else [0, 0] for a in range(len(shape))]
    out = [n + 2 * amount * (a in axes) for a, n in enumerate(shape)]
    return single("MIRROR_PAD", shape, out, dtype, parameters=[pad], mode=mode)


def padded_with(dtype: str) -> bytes:
    model = Model()
    x = fed(model, MAP, dtype)
    pad = model.constant([[0, 0], [1, 1], [1, 1], [0, 0]])
    value = model.tensor([1], dtype, scale=scale(dtype), zero=zero(dtype), data=np.ones(1, dtype))
    y = fed(model, (1, 10, 10, 16), dtype)
    model.op("PADV2", [x, pad, value], [y])
    return model.write([x], [y])


def pads() -> Iterator[Made]:
    for mode, amount in itertools.product(("REFLECT", "SYMMETRIC"), (1, 3, 7)):
        yield f"MIRROR_PAD-{mode}-{amount}", mirrored(amount, mode)
    yield "MIRROR_PAD-depth", mirrored(1, axes=(3,))
    yield "MIRROR_PAD-all", mirrored(1, axes=(1, 2, 3))
    yield "MIRROR_PAD-batch", mirrored(1, axes=(0,), shape=(4, 8, 8, 16))
    yield "MIRROR_PAD-rank3", mirrored(1, axes=(1,), shape=(4, 8, 16))
    yield "MIRROR_PAD-rank2", mirrored(1, axes=(1,), shape=(8, 16))
    for name, pad in {
        "depth": [[0, 0], [0, 0], [0, 0], [2, 2]], "batch": [[1, 1], [0, 0], [0, 0], [0, 0]], "uneven": [[0, 0], [0,
        3], [2, 0], [0, 0]],
        "none": [[0, 0]] * 4, "large": [[0, 0], [40, 40], [40, 40], [0, 0]], "all": [[1, 1]] * 4,
    }.items():  # fmt: skip
        out = [n + sum(p) for n, p in zip(MAP, pad, strict=True)]
        yield f"PAD-{name}", single("PAD", MAP, out, parameters=[pad])
    yield "PAD-rank2", single("PAD", (8, 16), (10, 16), parameters=[[[1, 1], [0, 0]]])
    yield (
        "PAD-rank5",
        single("PAD", (1, 2, 4, 4, 8), (1, 2, 6, 4, 8), parameters=[[[0, 0], [0, 0], [1, 1], [0, 0], [0, 0]]]),
    )
    for dtype in ("int8", "int64", "int16"):
        model = Model()
        x, y = fed(model, MAP), fed(model, (1, 10, 8, 16))
        model.op("PAD", [x, model.constant([[0, 0], [1, 1], [0, 0], [0, 0]], dtype)], [y])
        yield f"PAD-parameter-{dtype}", model.write([x], [y])
    model = Model()
    x, p, y = fed(model, MAP), model.tensor([4, 2], "int32", scale=None), fed(model, (1, 10, 8, 16))
    model.op("PAD", [x, p], [y])
    yield "PAD-open", model.write([x, p], [y])


def gathered(
    shape: Sequence[int], indices_: Sequence[int], axis: int, batch_dims: int = 0, dtype: str = "int8",
    constant: bool = False,
    index_type: str = "int32", swap: bool = False,
) -> bytes:  # fmt: skip
    model = Model()
    x = fed(model, shape, dtype, data=np.ones(shape, dtype) if swap else None)
    i = model.constant(np.zeros(indices_), index_type) if constant else model.tensor(indices_, index_type, scale=None)
    y = fed(model, (*shape[:axis], *indices_[batch_dims:], *shape[axis + 1 :]), dtype)
    model.op("GATHER", [x, i], [y], axis=axis, batch_dims=batch_dims)
    return model.write(([] if swap else [x]) + ([] if constant else [i]), [y])


def scattered(index: Any, dtype: str = "int8", shape: Sequence[int] = (8, 16), constant: bool = True) -> bytes:
    model = Model()
    index = np.asarray(index)
    i = model.constant(index) if constant else model.tensor(index.shape, "int32", scale=None)
    x = fed(model, (*index.shape[:-1], *shape[index.shape[-1] :]), dtype)
    y = fed(model, shape, dtype)
    model.op("SCATTER_ND", [i, x, model.constant(shape)], [y])
    return model.write([x] if constant else [i, x], [y])


def chosen(
    kind: str,
    dtype: str = "int8",
    condition: Sequence[int] = MAP,
    second: Sequence[int] = MAP,
    scales: Any = (0.05, 0.05),
) -> bytes:
    model = Model()
    c = model.tensor(condition, "bool", scale=None)
    a = fed(model, MAP, dtype, **({} if dtype != "int8" else {"scale": scales[0]}))
    b = fed(model, second, dtype, **({} if dtype != "int8" else {"scale": scales[1]}))
    y = fed(model, MAP, dtype)
    model.op(kind, [c, a, b], [y])
    return model.write([c, a, b], [y])


def indices() -> Iterator[Made]:
    for axis in (0, 1, 2, 3):
        yield f"GATHER-axis{axis}", gathered(MAP, (3,), axis)
        yield f"GATHER-axis{axis}-constant", gathered(MAP, (3,), axis, constant=True)
    yield "GATHER-table", gathered((100, 16), (1, 8), 0, swap=True)
    yield "GATHER-table-int64", gathered((100, 16), (1, 8), 0, swap=True, index_type="int64")
    yield "GATHER-int16-index", gathered((100, 16), (1, 8), 0, index_type="int16")
    yield "GATHER-scalar", gathered((8, 16), (), 0, constant=True)
    yield "GATHER-batch1-axis1", gathered((2, 8, 16), (2, 3), 1, 1)
    yield "GATHER-batch1-axis2", gathered((2, 8, 16), (2, 3), 2, 1)
    yield "SCATTER_ND-twice", scattered([[1], [1]])
    yield "SCATTER_ND-deep-index", scattered([[1, 2], [3, 4]])
    yield "SCATTER_ND-open", scattered([[1], [3]], constant=False)
    yield "SELECT_V2-broadcast", chosen("SELECT_V2", second=(1, 1, 1, 16))
    yield "SELECT_V2-broadcast-condition", chosen("SELECT_V2", condition=(1, 8, 8, 1))
    yield "SELECT_V2-other-scale", chosen("SELECT_V2", scales=(0.05, 0.1))
    yield "SELECT-vector-condition", chosen("SELECT", condition=(1,))
    for depth in (16, 126, 127, 128, 200):
        yield (
            f"ARG_MAX-depth{depth}",
            single("ARG_MAX", (1, 8, 8, depth), (1, 8, 8), out_dtype="int32", parameters=[3], output_type=2),
        )
        yield (
            f"ARG_MAX-depth{depth}-int64",
            single("ARG_MAX", (1, 8, 8, depth), (1, 8, 8), out_dtype="int64", parameters=[-1], output_type=4),
        )
    for axis in (0, 1, 2):
        out = [n for a, n in enumerate(MAP) if a != axis]
        yield f"ARG_MAX-axis{axis}", single("ARG_MAX", MAP, out, out_dtype="int32", parameters=[axis], output_type=2)
    yield "ARG_MAX-rank2", single("ARG_MAX", (1, 10), (1,), out_dtype="int32", parameters=[1], output_type=2)
    yield "ARG_MAX-batch", single("ARG_MAX", (4, 8, 8, 16), (4, 8, 8), out_dtype="int32", parameters=[3], output_type=2)
    yield "REVERSE_V2-axis2", single("REVERSE_V2", parameters=[[2]])
    yield "REVERSE_V2-axis3", single("REVERSE_V2", parameters=[[3]])
    yield "REVERSE_V2-axes", single("REVERSE_V2", parameters=[[1, 2]])
    yield "REVERSE_V2-axis0", single("REVERSE_V2", (4, 8, 8, 16), parameters=[[0]])
    yield "REVERSE_V2-rank2", single("REVERSE_V2", (8, 16), parameters=[[1]])
    yield "REVERSE_V2-rank2-rows", single("REVERSE_V2", (8, 16), parameters=[[0]])
    yield "TILE-depth", single("TILE", MAP, (1, 8, 8, 32), parameters=[[1, 1, 1, 2]])
    yield "TILE-batch", single("TILE", MAP, (3, 8, 8, 16), parameters=[[3, 1, 1, 1]])
    yield "TILE-all", single("TILE", MAP, (2, 16, 24, 32), parameters=[[2, 2, 3, 2]])
    yield "TILE-rank2", single("TILE", (8, 16), (16, 32), parameters=[[2, 2]])
    model = Model()
    x, m, y = fed(model, MAP), model.tensor([4], "int32", scale=None), fed(model, (1, 16, 8, 16))
    model.op("TILE", [x, m], [y])
    yield "TILE-open", model.write([x, m], [y])
    yield "TOPK_V2", topk()
    yield "ONE_HOT", one_hot()
    yield "SPACE_TO_BATCH_ND", single("SPACE_TO_BATCH_ND", MAP, (4, 4, 4, 16), parameters=[[2, 2], [[0, 0], [0, 0]]])
    yield "BATCH_TO_SPACE_ND", single("BATCH_TO_SPACE_ND", (4, 4, 4, 16), MAP, parameters=[[2, 2], [[0, 0], [0, 0]]])
    yield "CUMSUM", single("CUMSUM", parameters=[3])
    yield "GATHER_ND", gather_nd()
    yield "SHAPE", single("SHAPE", MAP, (4,), out_dtype="int32", give={"scale": None}, out_type=2)
    yield "CUSTOM", single("MyOperator", custom=True)


def topk() -> bytes:
    model = Model()
    x, k = fed(model, (1, 16)), model.constant(4)
    values, index = fed(model, (1, 4)), model.tensor((1, 4), "int32", scale=None)
    model.op("TOPK_V2", [x, k], [values, index])
    return model.write([x], [values, index])


def one_hot() -> bytes:
    model = Model()
    x, depth = model.tensor((4,), "int32", scale=None), model.constant(8)
    on, off = model.constant(1, "int8", 0.05), model.constant(0, "int8", 0.05)
    y = fed(model, (4, 8))
    model.op("ONE_HOT", [x, depth, on, off], [y], axis=-1)
    return model.write([x], [y])


def gather_nd() -> bytes:
    model = Model()
    x, i, y = fed(model, (8, 16)), model.tensor((3, 1), "int32", scale=None), fed(model, (3, 16))
    model.op("GATHER_ND", [x, i], [y])
    return model.write([x, i], [y])


def joined(
    kind: str, shapes: Sequence[Sequence[int]], out: Sequence[int], axis: int, dtype: str = "int8",
    scales: Sequence[float] = (),
    activation: str = "",
) -> bytes:  # fmt: skip
    model = Model()
    inputs = [fed(model, shape, dtype, **({"scale": scales[at]} if scales else {})) for at, shape in enumerate(shapes)]
    y = fed(model, out, dtype)
    options: dict[str, Any] = {"axis": axis} | ({"values_count": len(shapes)} if kind == "PACK" else {})
    if activation:
        options["fused_activation_function"] = activation
    model.op(kind, inputs, [y], **options)
    return model.write(inputs, [y])


def divided(
    kind: str, shape: Sequence[int], outs: Sequence[Sequence[int]], axis: int, dtype: str = "int8",
    scales: Sequence[float] = (),
    claimed: int | None = None,
) -> bytes:  # fmt: skip
    model = Model()
    x = fed(model, shape, dtype)
    outputs = [fed(model, out, dtype, **({"scale": scales[at]} if scales else {})) for at, out in enumerate(outs)]
    count = len(outs) if claimed is None else claimed
    if kind == "SPLIT":
        model.op(kind, [model.constant(axis), x], outputs, num_splits=count)
    elif kind == "SPLIT_V":
        model.op(
            kind, [x, model.constant([out[axis] for out in outs]), model.constant(axis)], outputs, num_splits=count
        )
    else:
        model.op(kind, [x], outputs, num=count, axis=axis)
    return model.write([x], outputs)


def joins() -> Iterator[Made]:
    for axis in (0, 1, 2, 3, -1):
        out = [2 * n if a == axis % 4 else n for a, n in enumerate(MAP)]
        yield f"CONCATENATION-axis{axis}", joined("CONCATENATION", (MAP, MAP), out, axis)
        yield f"PACK-axis{axis}", joined("PACK", (MAP, MAP), [*MAP[: axis % 5], 2, *MAP[axis % 5 :]], axis)
    yield "CONCATENATION-three", joined("CONCATENATION", (MAP,) * 3, (1, 8, 8, 48), 3)
    yield "CONCATENATION-one", joined("CONCATENATION", (MAP,), MAP, 3)
    yield "CONCATENATION-rescaled", joined("CONCATENATION", (MAP, MAP), (1, 8, 8, 32), 3, scales=(0.05, 0.1))
    yield "CONCATENATION-RELU", joined("CONCATENATION", (MAP, MAP), (1, 8, 8, 32), 3, activation="RELU")
    yield "CONCATENATION-rank2", joined("CONCATENATION", ((4, 8), (4, 8)), (4, 16), 1)
    yield "CONCATENATION-rank5", joined("CONCATENATION", ((1, 2, 4, 4, 8),) * 2, (1, 4, 4, 4, 8), 1)
    yield "CONCATENATION-rank5-batch", joined("CONCATENATION", ((3, 2, 4, 4, 8),) * 2, (3, 2, 4, 4, 16), 4)
    yield "CONCATENATION-constant", with_constant()
    yield "PACK-rank4", joined("PACK", (MAP, MAP), (1, 2, 8, 8, 16), 1)
    yield "PACK-rank2", joined("PACK", ((4, 8), (4, 8)), (4, 2, 8), 1)
    yield "PACK-rescaled", joined("PACK", ((4, 8), (4, 8)), (2, 4, 8), 0, scales=(0.05, 0.1))
    yield "SPLIT-height", divided("SPLIT", MAP, [(1, 4, 8, 16)] * 2, 1)
    yield "SPLIT-batch", divided("SPLIT", (4, 8, 8, 16), [(2, 8, 8, 16)] * 2, 0)
    yield "SPLIT-claims", divided("SPLIT", MAP, [(1, 8, 8, 8)] * 2, 3, claimed=3)
    yield "SPLIT-negative-axis", divided("SPLIT", MAP, [(1, 8, 8, 8)] * 2, -1)
    yield "SPLIT-rank2", divided("SPLIT", (4, 16), [(4, 8)] * 2, 1)
    yield "SPLIT-rank5", divided("SPLIT", (1, 2, 4, 4, 8), [(1, 1, 4, 4, 8)] * 2, 1)
    yield "SPLIT-rescaled", divided("SPLIT", MAP, [(1, 8, 8, 8)] * 2, 3, scales=(0.05, 0.1))
    yield "SPLIT_V-height", divided("SPLIT_V", MAP, [(1, 3, 8, 16), (1, 5, 8, 16)], 1)
    yield "SPLIT_V-claims", divided("SPLIT_V", MAP, [(1, 3, 8, 16), (1, 5, 8, 16)], 1, claimed=3)
    yield "UNPACK-axis1", divided("UNPACK", (4, 2, 16), [(4, 16)] * 2, 1)
    yield "UNPACK-rank4", divided("UNPACK", (1, 2, 8, 16), [(1, 8, 16)] * 2, 1)
    yield "UNPACK-rank5", divided("UNPACK", (1, 2, 8, 8, 16), [(1, 8, 8, 16)] * 2, 1)


def with_constant() -> bytes:
    model = Model()
    x, c, y = fed(model, MAP), model.tensor(MAP, scale=0.05, data=np.ones(MAP, np.int8)), fed(model, (1, 8, 8, 32))
    model.op("CONCATENATION", [x, c], [y], axis=3)
    return model.write([x], [y])


def recurrent(
    dtype: str = "int8", *, cell: str = "int16", leave: Sequence[int] = (), give: Sequence[int] = (), batch: int = 1,
    time_major: bool = False, state_type: str | None = None,
) -> bytes:  # fmt: skip
    """One UNIDIRECTIONAL_SEQUENCE_LSTM: 6 steps of 8 features, 4 units. ``leave`` and ``give`` are input positions."""
    model = Model()
    steps, features, units = 6, 8, 4
    first = (steps, batch, features) if time_major else (batch, steps, features)
    x = fed(model, first, dtype)
    weight = "int8" if dtype != "float32" else dtype
    gates = [model.constant(np.ones((units, features)), weight, 0.01) for _ in range(4)]
    loops = [model.constant(np.ones((units, units)), weight, 0.01) for _ in range(4)]
    holes = [model.constant(np.ones(units), "int16", 0.01) if at in give else -1 for at in (9, 10, 11)]
    biases = [model.constant(np.zeros(units), "int32" if dtype != "float32" else dtype, 0.0005) for _ in range(4)]
    projection = [
        model.constant(np.ones((units, units)), weight, 0.01) if 16 in give else -1,
        model.constant(np.zeros(units), "int32", 0.0005) if 17 in give else -1,
    ]
    state = fed(model, (batch, units), state_type or dtype, variable=True)
    memory = model.tensor((batch, units), cell, scale=0.001, variable=True)
    norms = [model.constant(np.ones(units), "int16", 0.01) if at in give else -1 for at in (20, 21, 22, 23)]
    inputs = [x, *gates, *loops, *holes, *biases, *projection, state, memory, *norms]
    inputs = [-1 if at in leave else tensor for at, tensor in enumerate(inputs)]
    y = fed(model, (*first[:2], units), dtype)
    gate = [model.tensor((0,), "float32", scale=None) for _ in range(4)] + [model.tensor((0,), "int8", scale=0.008)]
    model.op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y], intermediates=gate, fused_activation_function="TANH",
    cell_clip=10.0,
             time_major=time_major)  # fmt: skip
    return model.write([x], [y])


def recurrents() -> Iterator[Made]:
    kind = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    for dtype in ("int8", "int16", "float32", "uint8"):
        yield f"{kind}-{dtype}", recurrent(dtype)
    yield f"{kind}-peephole", recurrent(give=(9, 10, 11))
    yield f"{kind}-projection", recurrent(give=(16, 17))
    yield f"{kind}-norm", recurrent(give=(20, 21, 22, 23))
    yield f"{kind}-implicit-gate", recurrent(leave=(1, 5, 12))
    yield f"{kind}-batch3", recurrent(batch=3)
    yield f"{kind}-time-major", recurrent(time_major=True)
    yield f"{kind}-cell-int8", recurrent(cell="int8")
    yield f"{kind}-no-loops", recurrent(leave=(6,))


FAMILIES = (
    unary, binary, masks, convolutions, padded_convolutions, transposeds, poolings, denses, products, reductions,
    resizes, moves, recurrents,
)  # fmt: skip


def zoo() -> Iterator[Made]:
    """Name and bytes of each network; a name comes once."""
    seen: set[str] = set()
    for family in FAMILIES:
        for name, content in family():
            if name not in seen:
                seen.add(name)
                yield name, content


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for stem, held in zoo():
        (folder / f"{stem}.tflite").write_bytes(held)
