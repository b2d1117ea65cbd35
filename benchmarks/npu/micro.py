"""Small float ONNX models, one for each operator and variant, with seeded random weights: Conv -> OP -> Conv, mostly.

    python benchmarks/npu/micro.py FOLDER [NAME...]

writes them. What compilers make of them is how the capability tables are learnt and held to the truth. Operators are
those of the ONNX specification; each model passes its checker and, with ``--run``, is run once in ONNX Runtime.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

OPSET = 17
CHANNELS = 16
Body = Callable[["Net", str], str]
"""Adds operators behind a tensor; gives the name of their output."""


class Net:
    """A network being written: calling it adds a node and gives the name of its output."""

    def __init__(self, name: str, shape: tuple[int, ...], opset: int = OPSET) -> None:
        self.name, self.opset = name, opset
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.told: list[Any] = []
        self.random = np.random.default_rng(zlib.crc32(name.encode()))

    def __call__(
        self, op: str, *inputs: str | NDArray[Any] | list[int] | None, outs: int = 1, **attributes: Any
    ) -> Any:
        """Inputs that are arrays or lists become initialisers; None is an input left out."""
        names = [self._named(value) for value in inputs]
        index = len(self.nodes)
        outputs = [f"t{index}_{i}" for i in range(outs)]
        domain = attributes.pop("domain", "")
        self.nodes.append(helper.make_node(op, names, outputs, f"{op}_{index}", domain=domain, **attributes))
        return outputs[0] if outs == 1 else outputs

    def _named(self, value: str | NDArray[Any] | list[int] | None) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        self.constants.append(numpy_helper.from_array(np.asarray(value), f"c{len(self.constants)}"))
        return str(self.constants[-1].name)

    def tell(self, tensor: str, shape: tuple[int, ...]) -> str:
        """Tell a shape that inference does not work out (operators that ONNX defines as functions)."""
        self.told.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape))
        return tensor

    def weights(self, *shape: int, scale: float | None = None) -> NDArray[np.float32]:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.random.normal(0, scale or fan_in**-0.5, shape).astype(np.float32)

    def conv(self, x: str, out: int, into: int, kernel: int = 3, *, bias: bool = True, **attributes: Any) -> str:
        """A convolution of ``into`` channels to ``out`` that keeps the size unless attributes say else."""
        groups = attributes.get("group", 1)
        inputs: list[Any] = [x, self.weights(out, into // groups, kernel, kernel)]
        inputs += [self.weights(out, scale=0.1)] * bias
        attributes.setdefault("pads", [kernel // 2] * 4)
        return str(self("Conv", *inputs, kernel_shape=[kernel] * 2, **attributes))

    def model(self, output: str) -> Any:
        """The finished model, checked, with the shapes and type of its output inferred."""
        graph = helper.make_graph(self.nodes, self.name, self.inputs, [], self.constants, value_info=self.told)
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain == "com.microsoft" for node in self.nodes):
            opsets.append(helper.make_opsetid("com.microsoft", 1))
        model = shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=opsets, ir_version=8), data_prop=True
        )
        model.graph.output.extend(info for info in model.graph.value_info if info.name == output)
        del model.graph.value_info[:]
        return model

    def shape_of(self, tensor: str) -> tuple[int, list[int]]:
        """Element type and sizes of a tensor; 0 for a size that is not known."""
        inferred = self.model(tensor).graph.output[0].type.tensor_type
        return inferred.elem_type, [size.dim_value for size in inferred.shape.dim]


# Frames: what stands before and behind the operator.


def behind(net: Net, y: str) -> str:
    """A closing convolution or matrix product, where the tensor is one that can be convolved."""
    kind, shape = net.shape_of(y)
    if kind == TensorProto.BOOL:
        y, kind = net("Cast", y, to=TensorProto.FLOAT), TensorProto.FLOAT
    if kind != TensorProto.FLOAT or not all(shape):
        return y
    if len(shape) == 4:
        return str(net("Conv", y, net.weights(8, shape[1], 1, 1), kernel_shape=[1, 1]))
    return str(net("MatMul", y, net.weights(shape[-1], 8))) if len(shape) == 3 else y


def convolved(name: str, body: Body, opset: int, bias: float = 0.0) -> Any:
    """[1, 3, 32, 32] -> Conv to 16 channels -> body -> Conv; a large bias makes what the body sees positive."""
    net = Net(name, (1, 3, 32, 32), opset)
    weights, biases = net.weights(CHANNELS, 3, 3, 3), (net.weights(CHANNELS, scale=0.1) + bias).astype(np.float32)
    x = net("Conv", "x", weights, biases, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    return net.model(behind(net, body(net, x)))


def multiplied(name: str, body: Body, opset: int) -> Any:
    """[1, 32, 64] -> MatMul -> body -> MatMul."""
    net = Net(name, (1, 32, 64), opset)
    return net.model(behind(net, body(net, net("MatMul", "x", net.weights(64, 64)))))


def alone(shape: tuple[int, ...]) -> Callable[[str, Body, int], Any]:
    def frame(name: str, body: Body, opset: int) -> Any:
        net = Net(name, shape, opset)
        return net.model(body(net, "x"))

    return frame


def positive(name: str, body: Body, opset: int) -> Any:
    return convolved(name, body, opset, bias=8.0)


Frame = Callable[[str, Body, int], Any]
Entry = tuple[str, Frame, Body, int]


def node(op: str, *more: NDArray[Any] | list[int] | None, **attributes: Any) -> Body:
    """One operator with constant further inputs."""
    return lambda net, x: str(net(op, x, *more, **attributes))


def f32(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def scalar(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


def spread(*shape: int, low: float = 0.5, high: float = 1.5) -> NDArray[np.float32]:
    """Values between two bounds, the same each time."""
    return np.linspace(low, high, int(np.prod(shape)), dtype=np.float32).reshape(shape)


# Families of operators.


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
    unfused,
    spellings,
    edges,
    limits,
    blocks,
)  # fmt: skip


def entries() -> dict[str, Callable[[], Any]]:
    """What builds each model, by name."""
    return {name: partial(frame, name, body, opset) for family in FAMILIES for name, frame, body, opset in family()}


def write(folder: Path, names: list[str] | None = None) -> list[Path]:
    """Write the models, checked; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = entries()
    paths = []
    for name in names or makers:
        model = makers[name]()
        onnx.checker.check_model(model, full_check=True)
        paths.append(folder / f"{name}.onnx")
        onnx.save(model, paths[-1])
    return paths


def run(path: Path) -> None:
    """One inference in ONNX Runtime on random input."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    session.run(None, {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="models to write; all when none is named")
    parser.add_argument("--run", action="store_true", help="run each once in ONNX Runtime")
    given = parser.parse_args()
    paths = write(given.folder, given.names)
    for path in paths if given.run else ():
        run(path)
    print(f"{len(paths)} models in {given.folder}")


if __name__ == "__main__":
    main()
