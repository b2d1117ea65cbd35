"""Micro models: every kind of operator with its common attributes, and blocks of well-known networks."""

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
    behind,
    convolved,
    f32,
    multiplied,
    node,
    positive,
    scalar,
    spread,
)
from onnx import TensorProto


def activations() -> Iterator[Entry]:
    for op in ("Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Softsign", "Erf", "Abs", "Neg", "Exp", "Sin", "Cos",
               "Floor", "Ceil", "Round", "Sign", "Identity", "Tan", "Atan", "Sinh", "Cosh", "Asinh"):  # fmt: skip
        yield op, convolved, node(op), OPSET
    for op in ("Sqrt", "Log", "Reciprocal", "Acosh"):
        yield op, positive, node(op), OPSET
    for alpha in (0.01, 0.1, 0.3, 1.5, -0.1):
        yield f"LeakyRelu_{alpha}", convolved, node("LeakyRelu", alpha=alpha), OPSET
    yield "PRelu_channel", convolved, node("PRelu", spread(CHANNELS, 1, 1)), OPSET
    yield "PRelu_scalar", convolved, node("PRelu", f32(0.25)), OPSET
    yield "PRelu_element", convolved, node("PRelu", spread(CHANNELS, 32, 32)), OPSET
    for op in ("Elu", "Selu", "Celu", "ThresholdedRelu", "HardSigmoid"):
        yield op, convolved, node(op), OPSET
    yield "Elu_0.5", convolved, node("Elu", alpha=0.5), OPSET
    yield "HardSigmoid_sixth", convolved, node("HardSigmoid", alpha=1 / 6, beta=0.5), OPSET
    yield "Mish", convolved, node("Mish"), 18
    yield "Mish_decomposed", convolved, lambda n, x: n("Mul", x, n("Tanh", n("Softplus", x))), OPSET
    yield "SiLU", convolved, lambda n, x: n("Mul", x, n("Sigmoid", x)), OPSET
    yield "QuickGelu", convolved, lambda n, x: n("Mul", x, n("Sigmoid", n("Mul", x, scalar(1.702)))), OPSET
    yield "HardSwish_decomposed", convolved, lambda n, x: n("Mul", x, n("HardSigmoid", x, alpha=1 / 6, beta=0.5)), OPSET
    yield "HardSwish_clip", convolved, hard_swish_by_clip, OPSET
    yield "Gelu", convolved, node("Gelu"), 20
    yield "Gelu_tanh", convolved, node("Gelu", approximate="tanh"), 20
    yield "Gelu_erf_form", convolved, gelu_by_erf, OPSET
    yield "Gelu_tanh_form", convolved, gelu_by_tanh, OPSET
    yield "Gelu_erf_form_matmul", multiplied, gelu_by_erf, OPSET
    for low, high in ((0, 6), (0, 1), (-1, 1), (0, None), (None, 6), (-3, 3)):
        bounds = [None if bound is None else scalar(bound) for bound in (low, high)]
        yield f"Clip_{low}_{high}", convolved, node("Clip", *bounds), OPSET
    for op in ("Relu", "Sigmoid", "Tanh", "Elu", "Softplus"):
        yield f"{op}_matmul", multiplied, node(op), OPSET
    yield "Log_softplus_form", convolved, lambda n, x: n("Log", n("Add", n("Exp", x), scalar(1))), OPSET
    yield "Relu_twice", convolved, lambda n, x: n("Relu", n("Tanh", n("Relu", x))), OPSET


def hard_swish_by_clip(net: Net, x: str) -> str:
    clipped = net("Clip", net("Add", x, scalar(3)), scalar(0), scalar(6))
    return str(net("Div", net("Mul", x, clipped), scalar(6)))


def gelu_by_erf(net: Net, x: str) -> str:
    erf = net("Erf", net("Div", x, scalar(2**0.5)))
    return str(net("Mul", net("Mul", x, net("Add", erf, scalar(1))), scalar(0.5)))


def gelu_by_tanh(net: Net, x: str) -> str:
    cubic = net("Add", x, net("Mul", net("Pow", x, scalar(3)), scalar(0.044715)))
    tanh = net("Tanh", net("Mul", cubic, scalar((2 / np.pi) ** 0.5)))
    return str(net("Mul", net("Mul", x, net("Add", tanh, scalar(1))), scalar(0.5)))


def binary() -> Iterator[Entry]:
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        yield f"{op}_scalar", convolved, node(op, scalar(0.7)), OPSET
        yield f"{op}_channel", convolved, node(op, spread(1, CHANNELS, 1, 1)), OPSET
        yield f"{op}_element", convolved, node(op, spread(1, CHANNELS, 32, 32)), OPSET
        yield f"{op}_tensor", positive, two(op), OPSET
        yield f"{op}_broadcast", positive, broadcast(op), OPSET
        yield f"{op}_matmul", multiplied, with_sigmoid(op), OPSET
    for op in ("Sub", "Div"):
        yield f"{op}_from_scalar", positive, from_one(op), OPSET
    yield "Add_self", convolved, lambda n, x: n("Add", x, x), OPSET
    yield "Mul_self", convolved, lambda n, x: n("Mul", x, x), OPSET
    yield "Mul_width", convolved, node("Mul", spread(1, 1, 1, 32)), OPSET
    yield "Add_width", convolved, node("Add", spread(1, 1, 1, 32)), OPSET
    for power in (2.0, 3.0, 0.5, -1.0):
        yield f"Pow_{power}", positive, node("Pow", scalar(power)), OPSET
    yield "Pow_tensor", positive, with_sigmoid("Pow"), OPSET
    yield "Mod", positive, node("Mod", scalar(2), fmod=1), OPSET
    yield "Sum3", convolved, lambda n, x: n("Sum", x, n("Relu", x), n("Sigmoid", x)), OPSET
    yield "Mean3", convolved, lambda n, x: n("Mean", x, n("Relu", x), n("Sigmoid", x)), OPSET
    for op in ("Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"):
        yield op, convolved, node(op, scalar(0)), OPSET
    yield "Where", convolved, lambda n, x: n("Where", n("Greater", x, scalar(0)), x, scalar(0.1)), OPSET
    yield "Where_mask", convolved, lambda n, x: n("Where", spread(1, 1, 32, 32) > 1, x, scalar(0)), OPSET
    for op in ("And", "Or", "Xor"):
        yield op, convolved, of_signs(op), OPSET
    yield "Not", convolved, lambda n, x: n("Not", n("Greater", x, scalar(0))), OPSET
    yield "IsNaN", convolved, node("IsNaN"), OPSET


def two(op: str) -> Body:
    """The operator over two convolutions of the same tensor."""
    return lambda net, x: str(net(op, net.conv(x, CHANNELS, CHANNELS), net("Sigmoid", x)))


def with_sigmoid(op: str) -> Body:
    return lambda net, x: str(net(op, x, net("Sigmoid", x)))


def from_one(op: str) -> Body:
    return lambda net, x: str(net(op, scalar(1), x))


def of_signs(op: str) -> Body:
    return lambda net, x: str(net(op, net("Greater", x, scalar(0)), net("Less", x, scalar(1))))


def broadcast(op: str) -> Body:
    return lambda net, x: str(net(op, x, net("GlobalAveragePool", x)))


def pooling() -> Iterator[Entry]:
    for kind in ("MaxPool", "AveragePool"):
        for size, stride, pad in (
            (2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 1, 2), (7, 1, 3), (7, 7, 0), (8, 8, 0), (9, 1, 4), (11, 1, 5),
            (13, 1, 6), (16, 16, 0), (2, 1, 0), (3, 3, 0), (4, 4, 0), (1, 2, 0), (3, 5, 0), (32, 1, 0),
        ):  # fmt: skip
            attributes = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
            yield f"{kind}_{size}s{stride}p{pad}", convolved, node(kind, **attributes), OPSET
        window = {"kernel_shape": [3, 3], "strides": [2, 2]}
        yield f"{kind}_ceil", convolved, node(kind, **window, ceil_mode=1), OPSET
        yield f"{kind}_1x5", convolved, node(kind, kernel_shape=[1, 5], strides=[1, 1], pads=[0, 2, 0, 2]), OPSET
        yield f"{kind}_uneven", convolved, node(kind, **window, pads=[0, 0, 1, 1]), OPSET
        yield f"{kind}_same", convolved, node(kind, **window, auto_pad="SAME_UPPER"), OPSET
    yield "MaxPool_dilated", convolved, node("MaxPool", kernel_shape=[3, 3], dilations=[2, 2], pads=[2] * 4), OPSET
    padded = {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}
    yield "AveragePool_include_pad", convolved, node("AveragePool", **padded), OPSET
    yield "AveragePool_dilated", convolved, node("AveragePool", kernel_shape=[3, 3], dilations=[2, 2]), 19
    yield "LpPool", convolved, node("LpPool", kernel_shape=[2, 2], strides=[2, 2]), OPSET
    for kind in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        yield kind, convolved, node(kind), OPSET
    yield "MaxPool_1d", alone((1, 16, 64)), node("MaxPool", kernel_shape=[2], strides=[2]), OPSET
    yield "MaxPool_3d", alone((1, 4, 8, 16, 16)), node("MaxPool", kernel_shape=[2] * 3, strides=[2] * 3), OPSET
    yield "AveragePool_3d", alone((1, 4, 8, 16, 16)), node("AveragePool", kernel_shape=[2] * 3, strides=[2] * 3), OPSET


def convolutions() -> Iterator[Entry]:
    for size in (1, 2, 3, 4, 5, 6, 7, 9, 11, 13):
        yield f"Conv_{size}x{size}", convolved, square(size), OPSET
    for stride in (2, 3, 4, 5, 8):
        yield f"Conv_stride{stride}", convolved, square(max(3, stride), strides=[stride] * 2), OPSET
    for dilation in (2, 3, 4, 8):
        yield f"Conv_dilated{dilation}", convolved, square(3, dilations=[dilation] * 2, pads=[dilation] * 4), OPSET
    for groups in (2, 4, 8):
        yield f"Conv_group{groups}", convolved, square(3, group=groups), OPSET
    yield "Conv_depthwise", convolved, square(3, group=CHANNELS), OPSET
    yield "Conv_depthwise_5x5s2", convolved, square(5, group=CHANNELS, strides=[2, 2]), OPSET
    yield "Conv_depthwise_7x7", convolved, square(7, group=CHANNELS), OPSET
    yield "Conv_depthwise_dilated", convolved, square(3, group=CHANNELS, dilations=[2, 2], pads=[2] * 4), OPSET
    yield "Conv_depthwise_x2", convolved, lambda n, x: n.conv(x, 2 * CHANNELS, CHANNELS, group=CHANNELS), OPSET
    yield "Conv_no_bias", convolved, lambda n, x: n.conv(x, CHANNELS, CHANNELS, bias=False), OPSET
    yield "Conv_uneven_pads", convolved, square(3, pads=[0, 0, 1, 1], strides=[2, 2]), OPSET
    yield "Conv_same_upper", convolved, lambda n, x: n("Conv", x, n.weights(16, 16, 3, 3), auto_pad="SAME_UPPER"), OPSET
    yield "Conv_1x7", convolved, lambda n, x: n("Conv", x, n.weights(16, 16, 1, 7), pads=[0, 3, 0, 3]), OPSET
    yield "Conv_large_pads", convolved, square(3, pads=[4] * 4), OPSET
    yield "Conv_stride_1x2", convolved, square(3, strides=[1, 2]), OPSET
    yield (
        "Conv_dynamic",
        convolved,
        lambda n, x: n("Conv", x, n("Reshape", n("Slice", x, [0], [9], [3]), [32, 16, 3, 3])),
        OPSET,
    )
    yield "Conv_relu_bn", convolved, lambda n, x: batch_norm(n, n("Relu", x)), OPSET
    yield "Conv_1d", alone((1, 16, 64)), lambda n, x: n("Conv", x, n.weights(16, 16, 3), pads=[1, 1]), OPSET
    yield "Conv_3d", alone((1, 4, 8, 16, 16)), lambda n, x: n("Conv", x, n.weights(8, 4, 3, 3, 3), pads=[1] * 6), OPSET
    yield "Conv_batch2", alone((2, 3, 32, 32)), lambda n, x: n.conv(x, 16, 3), OPSET
    for size, stride, pad in ((2, 2, 0), (3, 2, 1), (4, 2, 1), (4, 4, 0), (3, 1, 1), (5, 3, 1), (8, 8, 0)):
        yield f"ConvTranspose_{size}s{stride}p{pad}", convolved, transposed(size, stride, pad), OPSET
    yield "ConvTranspose_output_padding", convolved, transposed(3, 2, 1, output_padding=[1, 1]), OPSET
    yield "ConvTranspose_group", convolved, transposed(4, 2, 1, group=4), OPSET
    yield "ConvTranspose_depthwise", convolved, transposed(4, 2, 1, group=CHANNELS), OPSET
    yield "ConvTranspose_dilated", convolved, transposed(3, 2, 1, dilations=[2, 2]), OPSET
    yield (
        "ConvTranspose_1d",
        alone((1, 16, 64)),
        lambda n, x: n("ConvTranspose", x, n.weights(16, 16, 4), strides=[2]),
        OPSET,
    )


def square(size: int, **attributes: Any) -> Body:
    return lambda net, x: net.conv(x, CHANNELS, CHANNELS, size, **attributes)


def transposed(size: int, stride: int, pad: int, group: int = 1, **attributes: Any) -> Body:
    def body(net: Net, x: str) -> str:
        weights = net.weights(CHANNELS, CHANNELS // group, size, size)
        window: dict[str, Any] = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return str(
            net("ConvTranspose", x, weights, net.weights(CHANNELS, scale=0.1), **window, group=group, **attributes)
        )

    return body


def products() -> Iterator[Entry]:
    yield "Gemm", convolved, lambda n, x: n("Gemm", pooled(n, x), n.weights(16, 10), n.weights(10)), OPSET
    yield (
        "Gemm_transB",
        convolved,
        lambda n, x: n("Gemm", pooled(n, x), n.weights(10, 16), n.weights(10), transB=1),
        OPSET,
    )
    yield "Gemm_no_bias", convolved, lambda n, x: n("Gemm", pooled(n, x), n.weights(16, 10)), OPSET
    yield (
        "Gemm_alpha",
        convolved,
        lambda n, x: n("Gemm", pooled(n, x), n.weights(16, 10), n.weights(10), alpha=0.5, beta=2.0),
        OPSET,
    )
    yield "Gemm_large", alone((1, 2048)), lambda n, x: n("Gemm", x, n.weights(2048, 1000), n.weights(1000)), OPSET
    yield "Gemm_batch8", alone((8, 64)), lambda n, x: n("Gemm", x, n.weights(64, 32), n.weights(32)), OPSET
    yield "MatMul_2d", alone((1, 64)), lambda n, x: n("MatMul", x, n.weights(64, 32)), OPSET
    yield "MatMul_3d", multiplied, lambda n, x: n("MatMul", x, n.weights(64, 48)), OPSET
    yield "MatMul_3d_bias", multiplied, lambda n, x: n("Add", n("MatMul", x, n.weights(64, 48)), n.weights(48)), OPSET
    yield "MatMul_4d", convolved, lambda n, x: n("MatMul", x, n.weights(32, 32)), OPSET
    yield "MatMul_4d_batched", convolved, lambda n, x: n("MatMul", x, n.weights(1, 16, 32, 32)), OPSET
    yield "MatMul_dynamic", multiplied, lambda n, x: n("MatMul", x, n("Transpose", n("Relu", x), perm=[0, 2, 1])), OPSET
    yield "MatMul_dynamic_4d", convolved, lambda n, x: n("MatMul", x, n("Relu", x)), OPSET
    yield "Einsum_matmul", multiplied, lambda n, x: n("Einsum", x, n.weights(64, 48), equation="bij,jk->bik"), OPSET
    yield "Einsum_attention", multiplied, lambda n, x: n("Einsum", x, n("Relu", x), equation="bid,bjd->bij"), OPSET


def pooled(net: Net, x: str) -> str:
    return str(net("Flatten", net("GlobalAveragePool", x)))


def resizing() -> Iterator[Entry]:
    for scale in (2.0, 1.5, 3.0, 4.0, 0.5, 8.0):
        for mode, coordinates in (("nearest", "asymmetric"), ("linear", "half_pixel"), ("linear", "align_corners")):
            yield f"Resize_{mode}_{coordinates}_x{scale}", convolved, resize(mode, coordinates, scale), OPSET
    for mode in ("nearest", "linear", "cubic"):
        for coordinates in ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"):
            if not (mode == "linear" and coordinates in ("half_pixel", "align_corners")):
                yield f"Resize_{mode}_{coordinates}", convolved, resize(mode, coordinates, 2.0), OPSET
    yield "Resize_nearest_floor", convolved, resize("nearest", "asymmetric", 2.0, nearest_mode="floor"), OPSET
    yield "Resize_nearest_ceil", convolved, resize("nearest", "half_pixel", 2.0, nearest_mode="ceil"), OPSET
    yield "Resize_uneven", convolved, node("Resize", None, f32(1, 1, 2, 3), mode="linear"), OPSET
    yield "Resize_to_size", convolved, node("Resize", None, None, [1, CHANNELS, 48, 40], mode="linear"), OPSET
    yield "Resize_to_size_nearest", convolved, node("Resize", None, None, [1, CHANNELS, 64, 64], mode="nearest"), OPSET
    for mode in ("nearest", "linear"):
        yield f"Upsample_{mode}", alone((1, 16, 16, 16)), node("Upsample", f32(1, 1, 2, 2), mode=mode), 9


def resize(mode: str, coordinates: str, scale: float, **attributes: Any) -> Body:
    scales = f32(1, 1, scale, scale)
    return node("Resize", None, scales, mode=mode, coordinate_transformation_mode=coordinates, **attributes)


def moving() -> Iterator[Entry]:
    for mode in ("constant", "reflect", "edge"):
        yield f"Pad_{mode}", convolved, node("Pad", [0, 0, 1, 1, 0, 0, 1, 1], mode=mode), OPSET
    yield "Pad_value", convolved, node("Pad", [0, 0, 1, 1, 0, 0, 1, 1], scalar(1)), OPSET
    yield "Pad_channels", convolved, node("Pad", [0, 0, 0, 0, 0, 8, 0, 0]), OPSET
    yield "Pad_uneven", convolved, node("Pad", [0, 0, 0, 0, 0, 0, 3, 1]), OPSET
    for name, starts, ends, axes, steps in (
        ("channels", [0], [8], [1], [1]), ("channels_odd", [3], [10], [1], [1]), ("width", [4], [20], [3], [1]),
        ("height", [4], [20], [2], [1]), ("step2", [0, 0], [32, 32], [2, 3], [2, 2]),
        ("step2_width", [0], [32], [3], [2]), ("step2_channels", [0], [16], [1], [2]),
        ("negative", [-1], [-33], [3], [-1]), ("last", [-8], [2**31], [1], [1]), ("whole", [0], [16], [1], [1]),
    ):  # fmt: skip
        yield f"Slice_{name}", convolved, node("Slice", starts, ends, axes, steps), OPSET
    yield "Split_channels", convolved, parts(1, [8, 8]), OPSET
    yield "Split_uneven", convolved, parts(1, [4, 12]), OPSET
    yield "Split_width", convolved, parts(3, [16, 16]), OPSET
    yield (
        "Split_three",
        convolved,
        lambda n, x: n("Concat", *n("Split", x, [4, 4, 8], outs=3, axis=1)[::-1], axis=1),
        OPSET,
    )
    for axis in (1, 2, 3):
        yield f"Concat_axis{axis}", convolved, joined(axis), OPSET
    yield "Concat_constant", convolved, lambda n, x: n("Concat", x, spread(1, 4, 32, 32), axis=1), OPSET
    yield "Concat_three", convolved, lambda n, x: n("Concat", x, n("Relu", x), n("Sigmoid", x), axis=1), OPSET
    for perm in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 2, 1, 3), (1, 0, 2, 3), (0, 3, 2, 1)):
        yield f"Transpose_{''.join(map(str, perm))}", convolved, node("Transpose", perm=perm), OPSET
    yield "Transpose_3d", multiplied, node("Transpose", perm=[0, 2, 1]), OPSET
    yield "Transpose_5d", convolved, shuffle, OPSET
    yield from reshaping()


def parts(axis: int, sizes: list[int]) -> Body:
    def body(net: Net, x: str) -> str:
        left, right = net("Split", x, sizes, outs=2, axis=axis)
        return str(net("Add", left, right) if len(set(sizes)) == 1 else net("Concat", right, left, axis=axis))

    return body


def joined(axis: int) -> Body:
    return lambda net, x: str(net("Concat", x, net("Relu", x), axis=axis))


def shuffle(net: Net, x: str) -> str:
    """ShuffleNet's channel shuffle."""
    grouped = net("Reshape", x, [1, 2, 8, 32, 32])
    return str(net("Reshape", net("Transpose", grouped, perm=[0, 2, 1, 3, 4]), [1, 16, 32, 32]))


def reshaping() -> Iterator[Entry]:
    for name, shape in (
        ("3d", [1, 16, 1024]),
        ("back", [1, 32, 16, 32]),
        ("2d", [1, 16384]),
        ("minus1", [1, 64, -1, 16]),
    ):
        yield f"Reshape_{name}", convolved, node("Reshape", shape), OPSET
    yield "Reshape_matmul", multiplied, node("Reshape", [1, 32, 8, 8]), OPSET
    yield "Flatten", convolved, node("Flatten"), OPSET
    yield "Flatten_2", convolved, node("Flatten", axis=2), OPSET
    yield "Squeeze", convolved, lambda n, x: n("Squeeze", n("GlobalAveragePool", x), [2, 3]), OPSET
    yield "Unsqueeze", multiplied, node("Unsqueeze", [1]), OPSET
    yield "DepthToSpace_DCR", convolved, node("DepthToSpace", blocksize=2), OPSET
    yield "DepthToSpace_CRD", convolved, node("DepthToSpace", blocksize=2, mode="CRD"), OPSET
    yield "DepthToSpace_4", convolved, node("DepthToSpace", blocksize=4, mode="CRD"), OPSET
    yield "SpaceToDepth", convolved, node("SpaceToDepth", blocksize=2), OPSET
    yield "Tile", convolved, node("Tile", [1, 1, 2, 2]), OPSET
    yield "Tile_channels", convolved, node("Tile", [1, 2, 1, 1]), OPSET
    yield "Expand", convolved, lambda n, x: n("Expand", n("GlobalAveragePool", x), [1, 16, 8, 8]), OPSET
    yield "Expand_same", convolved, node("Expand", [1, 16, 32, 32]), OPSET
    yield "Focus", convolved, focus, OPSET
    yield "Identity_end", convolved, lambda n, x: n("Identity", behind(n, x)), OPSET
    yield "Dropout", convolved, node("Dropout"), OPSET
    yield (
        "Shape_chain",
        convolved,
        lambda n, x: n("Reshape", x, n("Concat", n("Slice", n("Shape", x), [0], [2]), [-1], axis=0)),
        OPSET,
    )
    yield (
        "Cast_int32",
        convolved,
        lambda n, x: n("Cast", n("Cast", x, to=TensorProto.INT32), to=TensorProto.FLOAT),
        OPSET,
    )
    yield (
        "Cast_float16",
        convolved,
        lambda n, x: n("Cast", n("Cast", x, to=TensorProto.FLOAT16), to=TensorProto.FLOAT),
        OPSET,
    )


def focus(net: Net, x: str) -> str:
    """YOLOv5's first stem: four slices of step 2, joined."""
    ends, axes, steps = [32, 32], [2, 3], [2, 2]
    quarters = [net("Slice", x, [h, w], ends, axes, steps) for w in (0, 1) for h in (0, 1)]
    return str(net("Concat", *quarters, axis=1))


def gathering() -> Iterator[Entry]:
    for axis in (1, 2, 3):
        yield f"Gather_axis{axis}", convolved, node("Gather", [0, 2, 4, 6], axis=axis), OPSET
    yield "Gather_scalar", convolved, node("Gather", np.array(3), axis=1), OPSET
    yield "Gather_reverse", convolved, node("Gather", list(range(15, -1, -1)), axis=1), OPSET
    yield "Gather_embedding", multiplied, embedding, OPSET
    yield "GatherElements", convolved, node("GatherElements", np.zeros((1, 16, 32, 8), np.int64), axis=3), OPSET
    yield "GatherND", convolved, node("GatherND", np.array([[0, 1], [0, 3]])), OPSET
    yield "ScatterND", convolved, node("ScatterND", np.array([[0, 1]]), np.zeros((1, 32, 32), np.float32)), OPSET
    updates = np.zeros((1, 16, 32, 8), np.float32)
    yield "ScatterElements", convolved, node("ScatterElements", updates.astype(np.int64), updates, axis=3), OPSET
    yield "TopK", convolved, lambda n, x: n("TopK", x, [4], outs=2, axis=1)[0], OPSET
    yield "TopK_last", convolved, lambda n, x: n("TopK", x, [4], outs=2, axis=-1)[0], OPSET
    for op in ("ArgMax", "ArgMin"):
        for axis in (1, 3):
            yield f"{op}_axis{axis}", convolved, node(op, axis=axis), OPSET
    yield "ArgMax_flat", convolved, node("ArgMax", axis=1, keepdims=0), OPSET
    yield "NonMaxSuppression", alone((1, 64, 4)), suppression, OPSET
    yield (
        "OneHot",
        convolved,
        lambda n, x: n("OneHot", n("ArgMax", x, axis=1, keepdims=0), [16], f32(0, 1), axis=1),
        OPSET,
    )
    yield "CumSum", convolved, node("CumSum", np.array(1)), OPSET
    yield "Trilu", convolved, node("Trilu"), OPSET
    yield "Hardmax", convolved, node("Hardmax", axis=1), OPSET
    yield "GridSample", convolved, lambda n, x: n("GridSample", x, spread(1, 16, 16, 2, low=-1, high=1)), OPSET
    yield "GridSample_dynamic", convolved, sample_where, OPSET
    yield (
        "GridSample_nearest",
        convolved,
        node("GridSample", spread(1, 16, 16, 2, low=-1, high=1), mode="nearest"),
        OPSET,
    )
    boxes = f32(0, 0, 16, 16).reshape(1, 4)
    yield "RoiAlign", convolved, node("RoiAlign", boxes, np.zeros(1, np.int64), output_height=7, output_width=7), OPSET


def embedding(net: Net, x: str) -> str:
    index = net(
        "Cast", net("Clip", net("ReduceMax", x, axes=[2], keepdims=0), scalar(0), scalar(9)), to=TensorProto.INT64
    )
    return str(net("Gather", net.weights(10, 64), index, axis=0))


def suppression(net: Net, x: str) -> str:
    scores = net("Transpose", net("ReduceMax", x, axes=[2], keepdims=1), perm=[0, 2, 1])
    return str(net("NonMaxSuppression", x, scores, [10], f32(0.5), f32(0.1)))


def sample_where(net: Net, x: str) -> str:
    grid = net("Transpose", net("Tanh", net.conv(x, 2, CHANNELS)), perm=[0, 2, 3, 1])
    return str(net("GridSample", x, grid))


def reducing() -> Iterator[Entry]:
    for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ReduceL2", "ReduceL1"):
        for axes in ([2, 3], [1], [3]):
            yield f"{op}_{''.join(map(str, axes))}", convolved, reduced(op, axes, 1), OPSET
        yield f"{op}_flat", convolved, reduced(op, [2, 3], 0), OPSET
    for op in ("ReduceLogSumExp", "ReduceSumSquare", "ReduceLogSum"):
        yield op, positive, reduced(op, [2, 3], 1), OPSET
    yield "ReduceMean_all", convolved, reduced("ReduceMean", [1, 2, 3], 1), OPSET
    yield "ReduceMean_2", convolved, reduced("ReduceMean", [2], 1), OPSET
    for op in ("ReduceMean", "ReduceMax", "ReduceSum"):
        yield f"{op}_matmul", multiplied, reduced(op, [2], 1), OPSET
    for op in ("Softmax", "LogSoftmax"):
        for axis in (1, 2, 3):
            yield f"{op}_axis{axis}", convolved, node(op, axis=axis), OPSET
        yield f"{op}_matmul", multiplied, node(op, axis=-1), OPSET
    yield "Softmax_opset11", convolved, node("Softmax", axis=1), 11
    yield "Softmax_2d", alone((1, 1000)), node("Softmax", axis=1), OPSET


def reduced(op: str, axes: list[int], keepdims: int) -> Body:
    if op == "ReduceSum":
        return node(op, axes, keepdims=keepdims)
    return node(op, axes=axes, keepdims=keepdims)


def normalising() -> Iterator[Entry]:
    yield "LayerNormalization", multiplied, node("LayerNormalization", spread(64), spread(64, low=0), axis=-1), OPSET
    yield "LayerNormalization_no_bias", multiplied, node("LayerNormalization", spread(64), axis=-1), OPSET
    yield "LayerNormalization_4d", convolved, node("LayerNormalization", spread(16, 32, 32), axis=1), OPSET
    yield "LayerNorm_decomposed", multiplied, layer_norm, OPSET
    yield "LayerNorm_channels_first", convolved, channel_norm, OPSET
    yield "InstanceNormalization", convolved, node("InstanceNormalization", spread(16), spread(16, low=0)), OPSET
    yield "GroupNormalization", convolved, group_normalization, 21
    yield "GroupNorm_decomposed", convolved, group_norm, OPSET
    yield "BatchNormalization", convolved, batch_norm, OPSET
    yield (
        "BatchNormalization_pooled",
        convolved,
        lambda n, x: batch_norm(n, n("MaxPool", x, kernel_shape=[2, 2])),
        OPSET,
    )
    yield "LpNormalization", convolved, node("LpNormalization", axis=1, p=2), OPSET
    yield "LRN", convolved, node("LRN", size=5), OPSET
    yield "RMSNorm_decomposed", multiplied, rms_norm, OPSET
    yield "L2_normalised", convolved, lambda n, x: n("Div", x, n("ReduceL2", x, axes=[1], keepdims=1)), OPSET


def group_normalization(net: Net, x: str) -> str:
    y = net("GroupNormalization", x, spread(16), spread(16, low=0), num_groups=4)
    return net.tell(y, (1, CHANNELS, 32, 32))


def batch_norm(net: Net, x: str) -> str:
    return str(net("BatchNormalization", x, spread(16), spread(16, low=-1), spread(16, low=-1), spread(16)))


def normal(net: Net, x: str, axes: list[int], squared: str = "Pow", divide: str = "Div") -> str:
    """(x - mean) / sqrt(variance + epsilon), as exporters write it."""
    centred = net("Sub", x, net("ReduceMean", x, axes=axes))
    square = net("Pow", centred, scalar(2)) if squared == "Pow" else net("Mul", centred, centred)
    deviation = net("Sqrt", net("Add", net("ReduceMean", square, axes=axes), scalar(1e-5)))
    if divide == "Div":
        return str(net("Div", centred, deviation))
    return str(net("Mul", centred, net("Reciprocal", deviation)))


def layer_norm(net: Net, x: str) -> str:
    return str(net("Add", net("Mul", normal(net, x, [-1]), spread(64)), spread(64, low=0)))


def channel_norm(net: Net, x: str) -> str:
    return str(net("Add", net("Mul", normal(net, x, [1]), spread(1, 16, 1, 1)), spread(1, 16, 1, 1, low=0)))


def group_norm(net: Net, x: str) -> str:
    """As PyTorch's exporter writes it: an InstanceNormalization over reshaped groups."""
    grouped = net("InstanceNormalization", net("Reshape", x, [0, 4, -1]), spread(4), spread(4, low=0))
    return str(net("Add", net("Mul", net("Reshape", grouped, [1, 16, 32, 32]), spread(16, 1, 1)), spread(16, 1, 1)))


def rms_norm(net: Net, x: str) -> str:
    mean = net("ReduceMean", net("Pow", x, scalar(2)), axes=[-1])
    return str(net("Mul", net("Div", x, net("Sqrt", net("Add", mean, scalar(1e-6)))), spread(64)))


def recurrent() -> Iterator[Entry]:
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        yield op, alone((1, 16, 8)), cell(op, gates, 1), OPSET
        yield f"{op}_bidirectional", alone((1, 16, 8)), cell(op, gates, 2), OPSET
        yield f"{op}_reverse", alone((1, 16, 8)), cell(op, gates, 1, direction="reverse"), OPSET
        yield (
            f"{op}_stacked",
            alone((1, 16, 16)),
            stacked(op, gates),
            OPSET,
        )
    yield "GRU_linear_first", alone((1, 16, 8)), cell("GRU", 3, 1, linear_before_reset=1), OPSET
    yield "LSTM_last", alone((1, 16, 8)), last_state, OPSET


def cell(op: str, gates: int, ways: int, features: int = 8, **attributes: Any) -> Body:
    """A recurrent layer over [batch 1, 16 steps, features], 16 units, as exporters of batch-first layers write it."""

    def body(net: Net, x: str) -> str:
        weights = (
            net.weights(ways, gates * 16, features),
            net.weights(ways, gates * 16, 16),
            net.weights(ways, gates * 32),
        )
        if ways == 2:
            attributes["direction"] = "bidirectional"
        steps = net("Transpose", x, perm=[1, 0, 2])
        y = net(op, steps, *weights, outs=2, hidden_size=16, **attributes)[0]
        if ways == 1:
            return str(net("Transpose", net("Squeeze", y, [1]), perm=[1, 0, 2]))
        return str(net("Reshape", net("Transpose", y, perm=[2, 0, 1, 3]), [1, 16, 32]))

    return body


def stacked(op: str, gates: int) -> Body:
    layer = cell(op, gates, 1, 16)
    return lambda net, x: layer(net, layer(net, x))


def last_state(net: Net, x: str) -> str:
    weights = net.weights(1, 64, 8), net.weights(1, 64, 16), net.weights(1, 128)
    _, state = net("LSTM", net("Transpose", x, perm=[1, 0, 2]), *weights, outs=2, hidden_size=16)
    return str(net("Gemm", net("Squeeze", state, [0]), net.weights(16, 4), net.weights(4)))


def blocks() -> Iterator[Entry]:
    yield "Attention", multiplied, lambda n, x: attention(n, x, 1), OPSET
    yield "Attention_heads", multiplied, lambda n, x: attention(n, x, 4), OPSET
    yield "Transformer_layer", multiplied, transformer, OPSET
    yield "SqueezeExcite", convolved, squeeze_excite, OPSET
    yield "InvertedResidual", convolved, inverted_residual, OPSET
    yield "SPPF", convolved, sppf, OPSET
    yield "CSP", convolved, csp, OPSET
    yield (
        "Residual",
        convolved,
        lambda n, x: n("Relu", n("Add", x, n.conv(n("Relu", n.conv(x, 16, 16)), 16, 16))),
        OPSET,
    )
    yield "UNet", convolved, unet, OPSET
    yield "ConvNeXt", convolved, convnext, OPSET
    yield "WindowPartition", convolved, windows, OPSET
    yield "DetectHead", convolved, detect_head, OPSET
    yield "ChannelShuffle", convolved, lambda n, x: shuffle(n, n.conv(x, 16, 16, group=2)), OPSET
    yield "Classifier", convolved, classifier, OPSET


def attention(net: Net, x: str, heads: int) -> str:
    def split(y: str, perm: list[int]) -> Any:
        return net("Transpose", net("Reshape", y, [1, 32, heads, 64 // heads]), perm=perm)

    query, key, value = (
        net("Add", net("MatMul", x, net.weights(64, 64)), net.weights(64, scale=0.1)) for _ in range(3)
    )
    scores = net("MatMul", split(query, [0, 2, 1, 3]), split(key, [0, 2, 3, 1]))
    weights = net("Softmax", net("Mul", scores, scalar((64 / heads) ** -0.5)), axis=-1)
    mixed = net("Transpose", net("MatMul", weights, split(value, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    return str(net("MatMul", net("Reshape", mixed, [1, 32, 64]), net.weights(64, 64)))


def transformer(net: Net, x: str) -> str:
    x = net("Add", x, attention(net, layer_norm(net, x), 4))
    hidden = gelu_by_erf(net, net("Add", net("MatMul", layer_norm(net, x), net.weights(64, 128)), net.weights(128)))
    return str(net("Add", x, net("MatMul", hidden, net.weights(128, 64))))


def squeeze_excite(net: Net, x: str) -> str:
    squeezed = net("Relu", net.conv(net("GlobalAveragePool", x), 4, 16, 1))
    return str(net("Mul", x, net("HardSigmoid", net.conv(squeezed, 16, 4, 1))))


def silu(net: Net, x: str) -> str:
    return str(net("Mul", x, net("Sigmoid", x)))


def inverted_residual(net: Net, x: str) -> str:
    six = scalar(0), scalar(6)
    wide = net("Clip", net.conv(x, 64, 16, 1), *six)
    deep = net("Clip", net.conv(wide, 64, 64, group=64), *six)
    return str(net("Add", x, net.conv(deep, 16, 64, 1)))


def sppf(net: Net, x: str) -> str:
    stages = [silu(net, net.conv(x, 16, 16, 1))]
    for _ in range(3):
        stages.append(net("MaxPool", stages[-1], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4))
    return silu(net, net.conv(net("Concat", *stages, axis=1), 16, 64, 1))


def csp(net: Net, x: str) -> str:
    left, right = net("Split", silu(net, net.conv(x, 16, 16, 1)), [8, 8], outs=2, axis=1)
    inner = net("Add", right, silu(net, net.conv(right, 8, 8)))
    return silu(net, net.conv(net("Concat", left, right, inner, axis=1), 16, 24, 1))


def unet(net: Net, x: str) -> str:
    down = net("Relu", net.conv(net("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 32, 16))
    up = resize("linear", "half_pixel", 2.0)(net, down)
    return str(net("Relu", net.conv(net("Concat", x, up, axis=1), 16, 48)))


def convnext(net: Net, x: str) -> str:
    last = net("Transpose", net.conv(x, 16, 16, 7, group=16), perm=[0, 2, 3, 1])
    wide = gelu_by_erf(net, net("Add", net("MatMul", normal(net, last, [-1]), net.weights(16, 64)), net.weights(64)))
    return str(net("Add", x, net("Transpose", net("MatMul", wide, net.weights(64, 16)), perm=[0, 3, 1, 2])))


def windows(net: Net, x: str) -> str:
    """Swin's windows of 8 x 8 and back."""
    tiles = net("Transpose", net("Reshape", x, [1, 16, 4, 8, 4, 8]), perm=[0, 2, 4, 3, 5, 1])
    rows = net("MatMul", net("Reshape", tiles, [16, 64, 16]), net.weights(16, 16))
    return str(
        net(
            "Reshape",
            net("Transpose", net("Reshape", rows, [1, 4, 4, 8, 8, 16]), perm=[0, 5, 1, 3, 2, 4]),
            [1, 16, 32, 32],
        )
    )


def detect_head(net: Net, x: str) -> str:
    """Boxes and scores as YOLOv8 gives them, without the anchors."""
    flat = net("Reshape", net.conv(x, 68, 16, 1), [1, 68, 1024])
    boxes, scores = net("Split", flat, [64, 4], outs=2, axis=1)
    bins = net("Softmax", net("Transpose", net("Reshape", boxes, [1, 4, 16, 1024]), perm=[0, 2, 1, 3]), axis=1)
    places = net("Reshape", net("Conv", bins, np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1)), [1, 4, 1024])
    return str(net("Concat", places, net("Sigmoid", scores), axis=1))


def classifier(net: Net, x: str) -> str:
    flat = net("Flatten", net("GlobalAveragePool", net("Relu", x)))
    return str(net("Softmax", net("Gemm", flat, net.weights(16, 10), net.weights(10)), axis=1))


FAMILIES = (
    activations, binary, pooling, convolutions, products, resizing, moving, gathering, reducing, normalising, recurrent,
)  # fmt: skip
