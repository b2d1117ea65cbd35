"""Micro models: operators that nothing takes in, exporters' spellings of one function, sizes at the limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from micro_net import (
    CHANNELS,
    OPSET,
    Body,
    Entry,
    Net,
    alone,
    convolved,
    f32,
    multiplied,
    node,
    positive,
    scalar,
    spread,
)
from micro_operators import (
    batch_norm,
    cell,
    gelu_by_erf,
    hard_swish_by_clip,
    joined,
    normal,
    parts,
    reduced,
    resize,
    silu,
    square,
    transposed,
    with_sigmoid,
)
from onnx import TensorProto


def unfused() -> Iterator[Entry]:
    """Operators behind a pooling, where no convolution can take them in."""
    for op in ("Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "LeakyRelu", "Elu", "HardSigmoid", "Abs", "Neg",
               "Exp", "Sqrt", "Floor", "Selu"):  # fmt: skip
        yield f"{op}_pooled", convolved, after_pool(node(op)), OPSET
    yield "Mish_pooled", convolved, after_pool(node("Mish")), 18
    yield "PRelu_pooled", convolved, after_pool(node("PRelu", spread(CHANNELS, 1, 1))), OPSET
    yield "Clip_pooled", convolved, after_pool(node("Clip", scalar(0), scalar(6))), OPSET
    yield "Clip_low_pooled", convolved, after_pool(node("Clip", scalar(-1), scalar(1))), OPSET
    for name, body in (
        ("SiLU", silu), ("Gelu_erf_form", gelu_by_erf), ("HardSwish_clip", hard_swish_by_clip),
        ("Mish_decomposed", lambda n, x: n("Mul", x, n("Tanh", n("Softplus", x)))),
        ("Add_scalar", node("Add", scalar(0.7))), ("Mul_channel", node("Mul", spread(1, CHANNELS, 1, 1))),
        ("Div_scalar", node("Div", scalar(0.7))), ("Sub_channel", node("Sub", spread(1, CHANNELS, 1, 1))),
        ("Add_all_axes", node("Add", spread(1, CHANNELS, 16, 16))), ("Softmax", node("Softmax", axis=1)),
        ("BatchNormalization", batch_norm),
    ):  # fmt: skip
        yield f"{name}_pooled", convolved, after_pool(body), OPSET


def after_pool(body: Body) -> Body:
    window: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    return lambda net, x: str(net("MaxPool", body(net, net("MaxPool", x, **window)), **window))


def spellings() -> Iterator[Entry]:
    """The same function as different exporters write it."""
    root, half, one = scalar(2**0.5), scalar(0.5), scalar(1)
    gelus: dict[str, Body] = {
        "half_first": lambda n, x: n("Mul", n("Mul", x, half), n("Add", n("Erf", n("Div", x, root)), one)),
        "half_inner": lambda n, x: n("Mul", x, n("Mul", n("Add", n("Erf", n("Div", x, root)), one), half)),
        "mul_root": lambda n, x: n("Mul", n("Mul", x, n("Add", n("Erf", n("Mul", x, scalar(0.5**0.5))), one)), half),
        "constants_left": lambda n, x: n("Mul", half, n("Mul", x, n("Add", one, n("Erf", n("Div", x, root))))),
        "factor_left": lambda n, x: n("Mul", n("Mul", n("Add", n("Erf", n("Div", x, root)), one), x), half),
        "half_left_first": lambda n, x: n("Mul", n("Mul", half, x), n("Add", one, n("Erf", n("Div", x, root)))),
        "mul_half_first": lambda n, x: n(
            "Mul", n("Mul", x, half), n("Add", n("Erf", n("Mul", x, scalar(0.5**0.5))), one)
        ),
        "mul_half_inner": lambda n, x: n(
            "Mul", x, n("Mul", n("Add", n("Erf", n("Mul", x, scalar(0.5**0.5))), one), half)
        ),
    }
    for name, body in gelus.items():
        yield f"Gelu_erf_{name}", convolved, body, OPSET
    yield "SiLU_left", convolved, lambda n, x: n("Mul", n("Sigmoid", x), x), OPSET
    yield "Mish_left", convolved, lambda n, x: n("Mul", n("Tanh", n("Softplus", x)), x), OPSET
    yield "Mish_exp_form", convolved, lambda n, x: n("Mul", x, n("Tanh", n("Log", n("Add", n("Exp", x), one)))), OPSET
    yield "LayerNormalization_epsilon", multiplied, layer_normalization(64, -1), OPSET
    yield "LayerNormalization_4d_last", convolved, layer_normalization(32, -1), OPSET
    yield "LayerNormalization_channels_last", convolved, channels_last_norm, OPSET
    yield "LayerNorm_mul_form", multiplied, lambda n, x: normal(n, x, [-1], squared="Mul"), OPSET
    yield "LayerNorm_pow_form", multiplied, lambda n, x: normal(n, x, [-1]), OPSET
    yield "LayerNorm_reciprocal", multiplied, lambda n, x: normal(n, x, [-1], divide="Reciprocal"), OPSET
    yield "LayerNorm_4d", convolved, lambda n, x: normal(n, x, [-1]), OPSET
    yield "LayerNorm_map", convolved, lambda n, x: normal(n, x, [1, 2, 3]), OPSET
    yield "InstanceNorm_decomposed", convolved, lambda n, x: normal(n, x, [2, 3]), OPSET
    yield "SqueezeExcite_sigmoid", convolved, lambda n, x: gated(n, x, "Sigmoid"), OPSET
    yield "SqueezeExcite_hard", convolved, lambda n, x: gated(n, x, "HardSigmoid", alpha=1 / 6, beta=0.5), OPSET
    yield "L2_clipped", convolved, l2_clipped, OPSET
    yield "RMSNorm_reciprocal", multiplied, rms_by_reciprocal, OPSET
    yield "Attention_masked", multiplied, masked_attention, OPSET
    yield "Attention_divided", multiplied, lambda n, x: dot_attention(n, x, scale="Div"), OPSET
    yield "Attention_unscaled", multiplied, lambda n, x: dot_attention(n, x, scale=None), OPSET
    yield "Attention_scaled_query", multiplied, lambda n, x: dot_attention(n, x, scale="query"), OPSET
    yield "Attention_4d", convolved, lambda n, x: dot_attention(n, x, scale="Mul"), OPSET


def layer_normalization(size: int, axis: int) -> Body:
    return node("LayerNormalization", spread(size), spread(size, low=0), axis=axis, epsilon=1e-5)


def channels_last_norm(net: Net, x: str) -> str:
    last = net("Transpose", x, perm=[0, 2, 3, 1])
    return str(net("Transpose", layer_normalization(16, -1)(net, last), perm=[0, 3, 1, 2]))


def gated(net: Net, x: str, gate: str, **attributes: Any) -> str:
    squeezed = net("Relu", net.conv(net("GlobalAveragePool", x), 4, 16, 1))
    return str(net("Mul", x, net(gate, net.conv(squeezed, 16, 4, 1), **attributes)))


def l2_clipped(net: Net, x: str) -> str:
    """As PyTorch's ``normalize`` is exported."""
    length = net("Clip", net("ReduceL2", x, axes=[1], keepdims=1), scalar(1e-12))
    return str(net("Div", x, net("Expand", length, net("Shape", x))))


def rms_by_reciprocal(net: Net, x: str) -> str:
    mean = net("ReduceMean", net("Mul", x, x), axes=[-1])
    return str(net("Mul", net("Mul", x, net("Reciprocal", net("Sqrt", net("Add", mean, scalar(1e-6))))), spread(64)))


def dot_attention(net: Net, x: str, scale: str | None) -> str:
    """softmax(x x^T) x, with the scores scaled in one way or another."""
    rank = len(net.shape_of(x)[1])
    perm = [*range(rank - 2), rank - 1, rank - 2]
    query = net("Mul", x, scalar(0.125)) if scale == "query" else x
    scores = net("MatMul", query, net("Transpose", net("Relu", x), perm=perm))
    if scale in ("Mul", "Div"):
        scores = net(scale, scores, scalar(0.125 if scale == "Mul" else 8))
    return str(net("MatMul", net("Softmax", scores, axis=-1), x))


def masked_attention(net: Net, x: str) -> str:
    scores = net("Mul", net("MatMul", x, net("Transpose", net("Relu", x), perm=[0, 2, 1])), scalar(0.125))
    mask = np.triu(np.full((1, 32, 32), -1e4, np.float32), 1)
    return str(net("MatMul", net("Softmax", net("Add", scores, mask), axis=-1), x))


def edges() -> Iterator[Entry]:
    """More sizes and attributes near the limits that compilers name."""
    for size, stride, pad in ((2, 1, 0), (3, 2, 0), (4, 1, 1), (5, 1, 2), (5, 2, 2), (6, 2, 2),
                              (6, 3, 1), (7, 2, 3), (3, 3, 0), (4, 3, 1), (9, 4, 3), (16, 8, 4),
                              (16, 16, 0), (5, 5, 0), (4, 3, 0), (5, 4, 1), (5, 2, 1)):  # fmt: skip
        yield f"ConvTranspose_{size}s{stride}p{pad}_edge", convolved, transposed(size, stride, pad), OPSET
    for mode, coordinates, scale in (
        ("linear", "half_pixel", 2.5), ("linear", "half_pixel", 16.0), ("linear", "half_pixel", 0.25),
        ("linear", "half_pixel", 5.0),
        ("linear", "pytorch_half_pixel", 1.5), ("linear", "asymmetric", 1.5), ("linear", "asymmetric", 3.0),
        ("linear", "asymmetric", 0.5), ("nearest", "half_pixel", 0.75), ("nearest", "half_pixel", 16.0),
        ("linear", "asymmetric", 8.0),
        ("linear", "half_pixel", 6.0), ("linear", "half_pixel", 7.0), ("linear", "half_pixel", 1.25),
    ):  # fmt: skip
        yield f"Resize_{mode}_{coordinates}_x{scale}_edge", convolved, resize(mode, coordinates, scale), OPSET
    for power in (1.0, 1.5, 4.0, -0.5, 0.0):
        yield f"Pow_{power}_edge", positive, node("Pow", scalar(power)), OPSET
    for axes, keep in (([1, 2], 1), ([2, 3], 1), ([1, 2, 3], 0), ([1], 0), ([3], 0), ([0], 1)):
        name = "".join(map(str, axes))
        for op in ("ReduceMean", "ReduceSum", "ReduceMax"):
            yield f"{op}_{name}_keep{keep}_edge", convolved, reduced(op, axes, keep), OPSET
    for perm in ((2, 0, 1, 3), (3, 0, 1, 2), (0, 3, 2, 1), (2, 3, 0, 1), (0, 1, 2, 3)):
        yield f"Transpose_{''.join(map(str, perm))}_edge", convolved, node("Transpose", perm=perm), OPSET
    for turn in ((1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
        yield f"Transpose_3d_{''.join(map(str, turn))}", multiplied, node("Transpose", perm=turn), OPSET
    yield from edges_of_moving()
    yield from edges_of_shapes()


def edges_of_moving() -> Iterator[Entry]:
    one = [0, 0, 1, 1, 0, 0, 1, 1]
    yield "Pad_then_relu", convolved, lambda n, x: n("Relu", n("Pad", x, one)), OPSET
    yield "Pad_then_conv_pads", convolved, lambda n, x: n.conv(n("Pad", x, one), 16, 16), OPSET
    yield "Pad_then_conv_valid", convolved, lambda n, x: n.conv(n("Pad", x, one), 16, 16, pads=[0] * 4), OPSET
    yield "Pad_then_conv_unset", convolved, lambda n, x: n("Conv", n("Pad", x, one), n.weights(16, 16, 3, 3)), OPSET
    yield (
        "Pad_then_pool",
        convolved,
        lambda n, x: n("MaxPool", n("Pad", x, one), kernel_shape=[3, 3], strides=[2, 2]),
        OPSET,
    )
    yield (
        "Pad_then_average",
        convolved,
        lambda n, x: n("AveragePool", n("Pad", x, one), kernel_shape=[3, 3], strides=[2, 2]),
        OPSET,
    )
    yield "Pad_zero_given", convolved, lambda n, x: n("Relu", n("Pad", x, one, scalar(0))), OPSET
    yield "Pad_negative", convolved, lambda n, x: n("Relu", n("Pad", x, [0, 0, -1, -1, 0, 0, -1, -1])), OPSET
    yield "Pad_edge_large", convolved, node("Pad", [0, 0, 8, 8, 0, 0, 8, 8], mode="edge"), OPSET
    yield "Pad_channels_then_relu", convolved, lambda n, x: n("Relu", n("Pad", x, [0, 0, 0, 0, 0, 8, 0, 0])), OPSET
    yield (
        "Gather_scalar_pooled",
        convolved,
        after_pool(lambda n, x: n("Unsqueeze", n("Gather", x, np.array(3), axis=1), [1])),
        OPSET,
    )
    yield "Gather_pooled", convolved, after_pool(node("Gather", [0, 2, 4, 6], axis=1)), OPSET
    yield "Gather_matmul", multiplied, node("Gather", [0, 2, 4, 6], axis=1), OPSET
    yield "Gather_first_token", multiplied, node("Gather", np.array(0), axis=1), OPSET
    yield from edges_of_parts()


def edges_of_parts() -> Iterator[Entry]:
    """Tiles, splits, slices and joins."""
    yield "Tile_width", convolved, node("Tile", [1, 1, 1, 2]), OPSET
    yield "Tile_height", convolved, node("Tile", [1, 1, 2, 1]), OPSET
    yield "Expand_channels", convolved, lambda n, x: n("Expand", n("ReduceMean", x, axes=[1]), [1, 16, 32, 32]), OPSET
    yield "Where_tensors", convolved, lambda n, x: n("Where", n("Greater", x, scalar(0)), x, n("Sigmoid", x)), OPSET
    yield (
        "Cast_int64",
        convolved,
        lambda n, x: n("Cast", n("Cast", x, to=TensorProto.INT64), to=TensorProto.FLOAT),
        OPSET,
    )
    yield "Split_one_used", convolved, lambda n, x: n("Split", x, [8, 8], outs=2, axis=1)[0], OPSET
    yield "Split_pooled", convolved, after_pool(parts(1, [8, 8])), OPSET
    yield "Split_height", convolved, parts(2, [16, 16]), OPSET
    yield "Slice_matmul", multiplied, node("Slice", [0], [16], [1], [1]), OPSET
    yield "Slice_matmul_step2", multiplied, node("Slice", [0], [32], [1], [2]), OPSET
    yield "Slice_negative_height", convolved, node("Slice", [-1], [-33], [2], [-1]), OPSET
    yield "Slice_negative_channels", convolved, node("Slice", [-1], [-17], [1], [-1]), OPSET
    yield "Slice_step3", convolved, node("Slice", [0], [30], [3], [3]), OPSET
    yield "Concat_last_matmul", multiplied, joined(2), OPSET
    yield "Concat_middle_matmul", multiplied, joined(1), OPSET
    yield "Concat_axis0", convolved, lambda n, x: n("ReduceMean", n("Concat", x, n("Relu", x), axis=0), axes=[0]), OPSET
    yield "Softmax_height_width", convolved, lambda n, x: n("Softmax", n("Reshape", x, [1, 16, 1024]), axis=2), OPSET
    yield "Softmax_large", alone((1, 64, 80, 80)), node("Softmax", axis=1), OPSET


def edges_of_shapes() -> Iterator[Entry]:
    for op, constant in (
        ("Max", scalar(0.7)),
        ("Max", f32(0.7)),
        ("Min", scalar(0.7)),
        ("Max", scalar(0.0)),
        ("Min", scalar(6)),
    ):
        yield f"{op}_{constant.ndim}d_{float(constant.ravel()[0])}", convolved, node(op, constant), OPSET
    yield "LeakyRelu_by_max", convolved, lambda n, x: n("Max", x, n("Mul", x, scalar(0.1))), OPSET
    yield "Relu6_by_min", convolved, lambda n, x: n("Min", n("Relu", x), scalar(6)), OPSET
    yield "Max_three", convolved, lambda n, x: n("Max", x, n("Relu", x), n("Sigmoid", x)), OPSET
    yield "Add_matmul_bias", multiplied, node("Add", spread(64)), OPSET
    yield "Mul_matmul_scale", multiplied, node("Mul", spread(64)), OPSET
    yield "Max_matmul_constant", multiplied, node("Max", spread(64)), OPSET
    yield "Div_matmul_constant", multiplied, node("Div", spread(64)), OPSET
    yield "Sub_reversed", convolved, lambda n, x: n("Sub", spread(1, CHANNELS, 32, 32), x), OPSET
    yield "Conv_wide", alone((1, 512, 16, 16)), lambda n, x: n.conv(x, 512, 512), OPSET
    yield "Conv_first_640", alone((1, 3, 640, 640)), lambda n, x: n.conv(x, 16, 3, strides=[2, 2]), OPSET
    yield (
        "Conv_first_6x6",
        alone((1, 3, 320, 320)),
        lambda n, x: n.conv(x, 16, 3, 6, strides=[2, 2], pads=[2] * 4),
        OPSET,
    )
    yield "Conv_31x31_depthwise", convolved, square(31, group=CHANNELS), OPSET
    yield "Conv_1_channel", alone((1, 1, 28, 28)), lambda n, x: n.conv(x, 8, 1), OPSET
    yield (
        "ConvTranspose_3d",
        alone((1, 4, 8, 8, 8)),
        lambda n, x: n("ConvTranspose", x, n.weights(4, 4, 2, 2, 2), strides=[2] * 3),
        OPSET,
    )
    yield "GlobalAveragePool_3d", alone((1, 4, 8, 8, 8)), node("GlobalAveragePool"), OPSET
    yield "Resize_1d", alone((1, 16, 64)), node("Resize", None, f32(1, 1, 2), mode="nearest"), OPSET
    for batch in (2, 4):
        for op in ("Relu", "Softmax", "MaxPool", "AveragePool", "GlobalAveragePool"):
            more: dict[str, Any] = {"kernel_shape": [2, 2]} if op in ("MaxPool", "AveragePool") else {}
            yield f"{op}_batch{batch}", alone((batch, 16, 32, 32)), node(op, **more), OPSET
    yield from edges_of_sequences()


def edges_of_sequences() -> Iterator[Entry]:
    """Batches and longer sequences."""
    yield (
        "Gemm_batch1_relu",
        alone((1, 64)),
        lambda n, x: n("Relu", n("Gemm", x, n.weights(64, 32), n.weights(32))),
        OPSET,
    )
    yield "Softmax_batch8", alone((8, 64)), node("Softmax", axis=1), OPSET
    yield "LSTM_batch2", alone((2, 16, 8)), cell("LSTM", 4, 1), OPSET
    yield "GRU_batch2", alone((2, 16, 8)), cell("GRU", 3, 1), OPSET
    yield "LSTM_long", alone((1, 64, 32)), cell("LSTM", 4, 1, 32), OPSET
    yield "GRU_long", alone((1, 64, 32)), cell("GRU", 3, 1, 32), OPSET
    yield "LSTM_convolved", convolved, lambda n, x: cell("LSTM", 4, 1, 512)(n, n("Reshape", x, [1, 32, 512])), OPSET


def limits() -> Iterator[Entry]:
    """Where one attribute or size decides."""
    for name, shape in (
        ("map", (1, 1, 1, 1)),
        ("channel3", (CHANNELS, 1, 1)),
        ("width", (32,)),
        ("row", (1, 1, 1, 32)),
    ):
        yield f"Max_constant_{name}", convolved, node("Max", spread(*shape)), OPSET
    yield (
        "Max_matmul_tensors",
        multiplied,
        lambda n, x: n("Max", n("Relu", x), n("MatMul", x, n.weights(64, 64))),
        OPSET,
    )
    for size, stride, pad in ((6, 6, 0), (7, 7, 0), (10, 10, 0), (6, 4, 1), (4, 2, 0)):
        yield f"ConvTranspose_{size}s{stride}p{pad}_limit", convolved, transposed(size, stride, pad), OPSET
    for scale in (0.75, 0.125, 1 / 3, 32.0):
        yield f"Resize_linear_x{scale:.3g}_limit", convolved, resize("linear", "half_pixel", scale), OPSET
    yield "Resize_to_same", convolved, resize("linear", "half_pixel", 1.0), OPSET
    pool: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    yield "AveragePool_ceil_exact", convolved, node("AveragePool", **pool, ceil_mode=1), OPSET
    odd: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "count_include_pad": 1}
    yield "AveragePool_ceil_include", convolved, node("AveragePool", **odd, ceil_mode=1), OPSET
    yield "AveragePool_uneven_include", convolved, node("AveragePool", **odd, pads=[0, 0, 1, 1]), OPSET
    yield "AveragePool_same_exact", convolved, node("AveragePool", **pool, auto_pad="SAME_UPPER"), OPSET
    for repeats in ([1, 2, 2, 1], [1, 1, 3, 3], [2, 1, 1, 1], [1, 1, 4, 1]):
        yield f"Tile_{''.join(map(str, repeats))}", convolved, node("Tile", repeats), OPSET
    yield "HardSwish_default_hard", convolved, lambda n, x: n("Mul", x, n("HardSigmoid", x)), OPSET
    yield "HardSigmoid_alpha_only", convolved, lambda n, x: n("Mul", x, n("HardSigmoid", x, alpha=0.25)), OPSET
    yield "LayerNormalization_bare", multiplied, node("LayerNormalization", spread(64), axis=-1, epsilon=1e-5), OPSET
    scale4 = spread(16, 32, 32), spread(16, 32, 32, low=0)
    yield "LayerNormalization_map", convolved, node("LayerNormalization", *scale4, axis=1, epsilon=1e-5), OPSET
    for axis, start, end, step in ((3, -1, -33, -2), (3, 15, -33, -1), (2, 0, 32, 4)):
        name = f"Slice_{axis}_{start}_{end}_{step}"
        yield name, convolved, node("Slice", [start], [end], [axis], [step]), OPSET
    yield from limits_of_axes()


def limits_of_axes() -> Iterator[Entry]:
    """Tensors of three axes, and what an axis decides."""
    for op in ("Greater", "Equal"):
        yield f"{op}_tensors", convolved, with_sigmoid(op), OPSET
    yield "Greater_matmul", multiplied, lambda n, x: n("Where", n("Greater", x, scalar(0)), x, scalar(0.5)), OPSET
    yield "Add_three_dims", multiplied, lambda n, x: n("Add", x, n("ReduceMean", x, axes=[1])), OPSET
    yield "Mul_three_dims", multiplied, lambda n, x: n("Mul", x, n("ReduceMean", x, axes=[2])), OPSET
    for axis in (1, 2):
        yield f"Softmax_three_dims_{axis}", multiplied, node("Softmax", axis=axis), OPSET
        yield f"ReduceMean_three_dims_{axis}", multiplied, reduced("ReduceMean", [axis], 0), OPSET
        yield f"Concat_three_dims_{axis}", multiplied, joined(axis), OPSET
    yield "ArgMax_matmul", multiplied, node("ArgMax", axis=-1), OPSET
    yield "Transpose_large", alone((1, 256, 64, 64)), node("Transpose", perm=[0, 2, 3, 1]), OPSET
    yield "MatMul_5d", convolved, lambda n, x: n("MatMul", n("Reshape", x, [1, 4, 4, 32, 32]), n.weights(32, 32)), OPSET
    yield "Gather_axis0", alone((8, 16)), node("Gather", [1, 3], axis=0), OPSET
    yield "Gather_indices_2d", convolved, node("Gather", np.array([[0, 1], [2, 3]]), axis=1), OPSET
    yield (
        "Div_expanded",
        convolved,
        lambda n, x: n("Div", x, n("Sqrt", n("ReduceMean", n("Mul", x, x), axes=[1]))),
        OPSET,
    )
    yield "Erf_matmul", multiplied, node("Erf"), OPSET
    yield "Pad_one_sided", convolved, lambda n, x: n("Relu", n("Pad", x, [0, 0, 0, 0, 0, 0, 1, 1])), OPSET
    yield "Pad_reflect_large", convolved, node("Pad", [0, 0, 4, 4, 0, 0, 4, 4], mode="reflect"), OPSET
    yield "Clip_matmul", multiplied, node("Clip", scalar(-1), scalar(1)), OPSET
    yield "Two_outputs", convolved, lambda n, x: n("Add", n("Exp", x), n("Relu", x)), OPSET


FAMILIES = (unfused, spellings, edges, limits)
