"""What the micro models are written with: a network under construction, and what stands around the operator."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
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
