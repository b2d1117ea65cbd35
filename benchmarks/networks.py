"""The models of the checks: two from the example, small networks made here, or any ONNX file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

EXAMPLES = Path(__file__).parent.parent / "examples" / "apple_stock"
MLP_SIZES = (64, 256, 256, 256, 256, 8)


def find(name: str, folder: Path) -> Path:
    """``mlp`` and ``cnn`` are written into ``folder``, ``gru`` and ``lstm`` are the example's; else it is a path."""
    if name == "mlp":
        return mlp(folder / "mlp.onnx")
    if name == "cnn":
        return cnn(folder / "cnn.onnx")
    path = EXAMPLES / f"{name}.onnx" if name in ("gru", "lstm") else Path(name)
    if not path.is_file():
        raise SystemExit(f"no model is called {name!r}: give mlp, cnn, gru, lstm or an ONNX file")
    return path


def mlp(path: Path, sizes: tuple[int, ...] = MLP_SIZES, seed: int = 1) -> Path:
    """Fully connected layers with ReLU between them and seeded weights: about 10 us on one core."""
    generator = np.random.default_rng(seed)
    nodes, weights, current = [], [], "input"
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2
        matrix = generator.normal(0, fan_in**-0.5, (fan_in, fan_out)).astype(np.float32)
        bias = generator.normal(0, 0.1, fan_out).astype(np.float32)
        weights += [numpy_helper.from_array(matrix, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        linear = "output" if last else f"linear{index}"
        nodes.append(helper.make_node("Gemm", [current, f"w{index}", f"b{index}"], [linear]))
        current = linear
        if not last:
            current = f"hidden{index}"
            nodes.append(helper.make_node("Relu", [linear], [current]))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, sizes[0]])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, sizes[-1]])]
    graph = helper.make_graph(nodes, "mlp", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def cnn(path: Path, layers: int = 33, channels: int = 16, side: int = 24, seed: int = 1) -> Path:
    """Equal 3x3 convolutions with ReLU one after the other: 1 to 3 ms on one core; each layer is 1/``layers`` of it."""
    generator = np.random.default_rng(seed)
    shape = [1, channels, side, side]
    nodes, weights, current = [], [], "input"
    for index in range(layers):
        kernel = generator.normal(0, (2 / (9 * channels)) ** 0.5, (channels, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{index}"))
        nodes.append(helper.make_node("Conv", [current, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1]))
        current = "output" if index == layers - 1 else f"r{index}"
        nodes.append(helper.make_node("Relu", [f"c{index}"], [current]))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "cnn", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def classifier(path: Path, shape: tuple[int, int, int], widths: tuple[int, ...], seed: int = 1) -> Path:
    """A picture ``[channels, height, width]`` through 3x3 convolutions of stride 2 with ReLU to ten classes."""
    generator = np.random.default_rng(seed)
    nodes, weights, current, channels = [], [], "input", shape[0]
    for index, width in enumerate(widths):
        kernel = generator.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{index}"))
        convolution = {"pads": [1, 1, 1, 1], "strides": [2, 2]}
        nodes.append(helper.make_node("Conv", [current, f"w{index}"], [f"c{index}"], **convolution))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        current, channels = f"r{index}", width
    matrix = generator.normal(0, channels**-0.5, (channels, 10)).astype(np.float32)
    weights.append(numpy_helper.from_array(matrix, "w"))
    nodes.append(helper.make_node("GlobalAveragePool", [current], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["output"]))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *shape])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 10])]
    graph = helper.make_graph(nodes, "classifier", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
