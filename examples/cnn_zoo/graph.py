"""A graph that grows layer by layer, counts as it grows, and gets its weights in the end.

Layers take and give the names of tensors ``[1, channels, height, width]`` (or ``[1, features]``). Nothing is computed
while a graph grows, so counting a network takes no time and no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
PICTURES = 4
"""Over so many made-up pictures each layer's mean and spread are taken."""

LOGITS_STD = 1.5
"""Spread of the scores before the softmax: the likeliest of 1000 classes then has some percent: no one-hot."""

EPSILON = 1e-5


class Layer(NamedTuple):
    """A layer with weights: ``kernel`` is their shape, ``gain`` the standard deviation of what it gives."""

    kernel: tuple[int, ...]
    gain: float

    @property
    def axes(self) -> list[int]:
        """Along which statistics are taken: each channel's own, or of all features together."""
        return [0, 2, 3] if len(self.kernel) == 4 else [0, 1]


class Graph:
    """``scale`` thins all layers: their channels are multiplied by it, and rounded to even numbers."""

    def __init__(self, name: str, side: int, scale: float = 1.0) -> None:
        self.name, self.scale = name, scale
        self.input = "input"
        self.shapes: dict[str, tuple[int, ...]] = {self.input: (3, side, side)}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.layers: dict[str, Layer] = {}
        self.outputs: list[str] = []
        self.macs = 0

    @property
    def parameters(self) -> int:
        """Weights and biases. A batch normalisation's shift and scale are folded into them."""
        return sum(int(np.prod(layer.kernel)) + layer.kernel[0] for layer in self.layers.values())

    # ---------------------------------------------------------------- layers

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        pad: int | tuple[int, int] | None = None,
        groups: int = 1,
        after: str = "Relu",
        gain: float = 1.0,
        exact: bool = False,
    ) -> str:
        """Convolution and activation. ``pad`` is kept as is (default: half the kernel); ``exact`` channels aren't
        scaled."""
        high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        pad = (high // 2, wide // 2) if pad is None else pad
        pad_y, pad_x = pad if isinstance(pad, tuple) else (pad, pad)
        width = channels if exact else self._thinned(channels)
        inside, *size = self.shapes[x]
        out = [_size(size[0], high, stride, pad_y), _size(size[1], wide, stride, pad_x)]
        attributes = {
            "kernel_shape": [high, wide], "strides": [stride, stride], "pads": [pad_y, pad_x, pad_y, pad_x],
            "group": groups,
        }  # fmt: skip
        y = self._weighted("Conv", x, (width, inside // groups, high, wide), (width, *out), gain, **attributes)
        self.macs += width * out[0] * out[1] * (inside // groups) * high * wide
        if after == "LeakyRelu":
            return self._node("LeakyRelu", [y], self.shapes[y], alpha=0.1)
        return self._node(after, [y], self.shapes[y]) if after else y

    def dense(self, x: str, features: int, after: str = "Relu", logits: bool = False) -> str:
        """A fully connected layer; ``logits`` are as many as asked for, whatever the scale."""
        inside = int(np.prod(self.shapes[x]))
        flat = x if len(self.shapes[x]) == 1 else self._node("Flatten", [x], (inside,))
        width = features if logits else self._thinned(features)
        y = self._weighted("Gemm", flat, (width, inside), (width,), LOGITS_STD if logits else 1.0, transB=1)
        self.macs += width * inside
        return self._node(after, [y], (width,)) if after else y

    def pool(self, x: str, how: str, kernel: int, stride: int, pad: int = 0) -> str:
        """``MaxPool`` or ``AveragePool``, the padding not counted."""
        channels, *size = self.shapes[x]
        shape = (channels, *(_size(one, kernel, stride, pad) for one in size))
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return self._node(how, [x], shape, **attributes)

    def mean(self, x: str) -> str:
        """The average over all places."""
        return self._node("GlobalAveragePool", [x], (self.shapes[x][0], 1, 1))

    def normalise(self, x: str, size: int, alpha: float, beta: float, bias: float) -> str:
        """Local response normalisation over ``size`` channels; ``alpha`` times the sum, as AlexNet's paper has it.

        ONNX divides its alpha by the size.
        """
        attributes = {"size": size, "alpha": alpha * size, "beta": beta, "bias": bias}
        return self._node("LRN", [x], self.shapes[x], **attributes)

    def concat(self, *parts: str) -> str:
        """All channels, one part behind the other."""
        shape = (sum(self.shapes[part][0] for part in parts), *self.shapes[parts[0]][1:])
        return self._node("Concat", list(parts), shape, axis=1)

    def add(self, x: str, y: str, after: str = "") -> str:
        """A residual connection."""
        if self.shapes[x] != self.shapes[y]:
            raise ValueError(f"{self.name}: {self.shapes[x]} and {self.shapes[y]} can't be added")
        total = self._node("Add", [x, y], self.shapes[x])
        return self._node(after, [total], self.shapes[x]) if after else total

    def twice(self, x: str) -> str:
        """Twice as high and wide, by the nearest neighbour."""
        self.constants["twice"] = np.array([1, 1, 2, 2], np.float32)
        channels, high, wide = self.shapes[x]
        attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self._node("Resize", [x, "", "twice"], (channels, 2 * high, 2 * wide), **attributes)

    def softmax(self, x: str) -> str:
        """Probabilities."""
        return self._node("Softmax", [x], self.shapes[x], axis=1)

    def give(self, x: str, name: str) -> None:
        """Make a tensor an output of that name."""
        self.nodes.append(helper.make_node("Identity", [x], [name]))
        self.shapes[name] = self.shapes[x]
        self.outputs.append(name)

    # ---------------------------------------------------------------- the model

    def model(self, seed: int = 1) -> onnx.ModelProto:
        """The graph with its weights: He's random ones (2015), then layer by layer shifted and scaled.

        What each layer gives has mean 0 and a standard deviation of its gain over made-up pictures, as if the network
        had been trained with batch normalisation and this had been folded in; the logits, one of ``LOGITS_STD``. So
        values neither die nor explode over many layers. Rounded, so that another machine gets the same file.
        """
        generator = np.random.default_rng(seed)
        kernels = {name: _he(generator, layer.kernel) for name, layer in self.layers.items()}
        biases = {name: np.zeros(layer.kernel[0], np.float32) for name, layer in self.layers.items()}
        for name, (mean, std) in self._statistics(kernels, generator).items():
            factor = _rounded(self.layers[name].gain / std)
            kernels[name] *= factor.reshape(-1, *[1] * (kernels[name].ndim - 1))
            biases[name] += _rounded(-mean * factor)
        weights = {**{f"{name}.weight": one for name, one in kernels.items()},
                   **{f"{name}.bias": one for name, one in biases.items()}}  # fmt: skip
        return self._made(self.nodes, weights, 1, self.outputs)

    def _statistics(
        self, kernels: dict[str, np.ndarray], generator: np.random.Generator
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Mean and standard deviation of each channel before each layer's shift and scale, in one run."""
        nodes = [part for node in self.nodes for part in self._standardised(node)]
        wanted = [f"{name}.{figure}" for name in self.layers for figure in ("mean", "std")]
        weights = {f"{name}.weight": one for name, one in kernels.items()}
        weights |= {f"{name}.gain": np.array(layer.gain, np.float32) for name, layer in self.layers.items()}
        made = self._made(nodes, weights | {"epsilon": np.array(EPSILON, np.float32)}, PICTURES, wanted, shaped=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # sums are taken in one order
        session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(wanted, {self.input: pictures(self.shapes[self.input], PICTURES, generator)})
        told = dict(zip(wanted, (np.asarray(one).reshape(-1) for one in found), strict=True))
        return {name: (told[f"{name}.mean"], told[f"{name}.std"]) for name in self.layers}

    def _standardised(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The node; behind one with weights, what brings its output to mean 0 and its gain."""
        name, layer = node.name, self.layers.get(node.name)
        if layer is None:
            return [node]
        raw, mean, std, centred = (f"{name}.{part}" for part in ("raw", "mean", "std", "centred"))
        alone = helper.make_node(node.op_type, [node.input[0], f"{name}.weight"], [raw])
        alone.attribute.extend(node.attribute)
        return [
            alone,
            helper.make_node("ReduceMean", [raw], [mean], axes=layer.axes, keepdims=1),
            helper.make_node("Sub", [raw, mean], [centred]),
            helper.make_node("Mul", [centred, centred], [f"{name}.squares"]),
            helper.make_node("ReduceMean", [f"{name}.squares"], [f"{name}.variance"], axes=layer.axes, keepdims=1),
            helper.make_node("Add", [f"{name}.variance", "epsilon"], [f"{name}.more"]),
            helper.make_node("Sqrt", [f"{name}.more"], [std]),
            helper.make_node("Div", [centred, std], [f"{name}.even"]),
            helper.make_node("Mul", [f"{name}.even", f"{name}.gain"], [node.output[0]]),
        ]

    def _made(
        self,
        nodes: Sequence[onnx.NodeProto],
        weights: dict[str, np.ndarray],
        batch: int,
        outputs: Sequence[str],
        shaped: bool = True,
    ) -> onnx.ModelProto:
        given = [helper.make_tensor_value_info(self.input, TensorProto.FLOAT, [batch, *self.shapes[self.input]])]
        told = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *self.shapes[name]] if shaped else None)
            for name in outputs
        ]
        tensors = [numpy_helper.from_array(one, name) for name, one in {**weights, **self.constants}.items()]
        made = helper.make_graph(list(nodes), self.name, given, told, tensors)
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="cnn_zoo"
        )

    def _weighted(
        self, kind: str, x: str, kernel: tuple[int, ...], shape: tuple[int, ...], gain: float, **attributes: Any
    ) -> str:
        name = f"{kind.lower()}{len(self.layers)}"
        self.nodes.append(
            helper.make_node(kind, [x, f"{name}.weight", f"{name}.bias"], [f"{name}.out"], name=name, **attributes)
        )
        self.layers[name] = Layer(kernel, gain)
        self.shapes[f"{name}.out"] = shape
        return f"{name}.out"

    def _node(self, kind: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self.shapes[name] = shape
        return name

    def _thinned(self, channels: int) -> int:
        return channels if self.scale == 1 else max(2, 2 * round(channels * self.scale / 2))


def pictures(shape: tuple[int, ...], count: int, generator: np.random.Generator) -> np.ndarray:
    """Made-up pictures in [0, 1): coloured patches of several sizes, and a little noise; ``[count, *shape]``."""
    channels, high, wide = shape
    sizes = [size for size in (high // 4, high // 16) if size]
    layers = []
    for size in sizes:
        grid = generator.random((count, channels, -(-high // size), -(-wide // size)))
        layers.append(grid.repeat(size, axis=2).repeat(size, axis=3)[:, :, :high, :wide])
    noise = generator.random((count, *shape))
    return ((sum(layers) + 0.2 * noise) / (len(layers) + 0.2)).astype(np.float32)


def _size(size: int, kernel: int, stride: int, pad: int) -> int:
    return (size + 2 * pad - kernel) // stride + 1


def _he(generator: np.random.Generator, kernel: tuple[int, ...]) -> np.ndarray:
    """Normal weights of variance 2 over the number of inputs (He et al. 2015, "Delving Deep into Rectifiers")."""
    std = np.float32((2 / np.prod(kernel[1:])) ** 0.5)
    return generator.standard_normal(kernel, dtype=np.float32) * std


def _rounded(values: np.ndarray) -> np.ndarray:
    """Three significant digits, which other machines' sums agree in."""
    with np.errstate(divide="ignore"):
        digits = 2 - np.floor(np.log10(np.abs(values)))
    power = np.power(10.0, np.where(np.isfinite(digits), digits, 0.0))
    return (np.round(values * power) / power).astype(np.float32)
