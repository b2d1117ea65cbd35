"""The networks as INT8 TFLite files, written with the schema's generated classes; no TensorFlow is needed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import flatbuffers
import numpy as np
from networks import Layer, Network
from tflite import ActivationFunctionType, BuiltinOperator, BuiltinOptions, Padding, TensorType

SCALE, WEIGHT_SCALE = 0.05, 0.01
SLOPE = 0.1
KINDS = ("CONV_2D", "LEAKY_RELU", "RESIZE_NEAREST_NEIGHBOR", "CONCATENATION")


class _File:
    """A flatbuffer being written: its tensors, operators and buffers."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 20)
        self.tensors: list[int] = []
        self.operators: list[int] = []
        self.buffers: list[int] = [self.table("Buffer")]

    def table(self, kind: str, **fields: Any) -> int:
        module = import_module(f"tflite.{kind}")
        getattr(module, f"{kind}Start")(self.builder)
        for name, value in fields.items():
            getattr(module, f"{kind}Add{name}")(self.builder, value)
        return int(getattr(module, f"{kind}End")(self.builder))

    def numbers(self, values: Sequence[float], dtype: str = "int32") -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, dtype)))

    def offsets(self, values: Sequence[int]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependUOffsetTRelative(value)
        return int(self.builder.EndVector())

    def tensor(self, name: str, shape: Sequence[int], kind: int, scale: float = 0.0, data: Any = None) -> int:
        """Add a tensor; its index. ``scale`` 0 leaves it without quantisation."""
        number = 0
        if data is not None:
            raw = self.numbers(np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8), "uint8")
            number = len(self.buffers)
            self.buffers.append(self.table("Buffer", Data=raw))
        fields: dict[str, Any] = {"Shape": self.numbers(shape), "Name": self.builder.CreateString(name)}
        if scale:
            scales, zeros = self.numbers([scale], "float32"), self.numbers([0], "int64")
            fields["Quantization"] = self.table("QuantizationParameters", Scale=scales, ZeroPoint=zeros)
        self.tensors.append(self.table("Tensor", Type=kind, Buffer=number, **fields))
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int, table: str, **options: Any) -> None:
        fields = {
            "Inputs": self.numbers(inputs),
            "Outputs": self.numbers([output]),
            "BuiltinOptions": self.table(table, **options),
        }
        number = getattr(BuiltinOptions, table)
        self.operators.append(
            self.table("Operator", OpcodeIndex=KINDS.index(kind), BuiltinOptionsType=number, **fields)
        )

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        lists = {
            "Tensors": self.offsets(self.tensors),
            "Operators": self.offsets(self.operators),
            "Inputs": self.numbers(inputs),
            "Outputs": self.numbers(outputs),
        }
        subgraphs = self.offsets([self.table("SubGraph", **lists)])
        codes = [getattr(BuiltinOperator, kind) for kind in KINDS]
        tables = [self.table("OperatorCode", DeprecatedBuiltinCode=code, BuiltinCode=code, Version=1) for code in codes]
        written, buffers = self.offsets(tables), self.offsets(self.buffers)
        model = self.table("Model", Version=3, OperatorCodes=written, Subgraphs=subgraphs, Buffers=buffers)
        self.builder.Finish(model, b"TFL3")
        return bytes(self.builder.Output())


def written(network: Network) -> bytes:
    """The network as an INT8 TFLite file."""
    file, random = _File(), np.random.default_rng(0)
    made = {"image": file.tensor("image", (1, *network.shape("image")), TensorType.INT8, SCALE)}
    for layer in network.layers:
        inputs = [made[name] for name in layer.inputs]
        if layer.kind == "conv":
            made[layer.name] = _conv(file, network, layer, inputs[0], random)
        else:
            made[layer.name] = _joined(file, layer, inputs)
    return file.finish([made["image"]], [made[network.layers[-1].name]])


def _joined(file: _File, layer: Layer, inputs: list[int]) -> int:
    output = file.tensor(layer.name, (1, *layer.shape), TensorType.INT8, SCALE)
    if layer.kind == "concat":
        file.operator("CONCATENATION", inputs, output, "ConcatenationOptions", Axis=3)
    else:
        size = file.tensor(f"{layer.name}_size", (2,), TensorType.INT32, data=np.asarray(layer.shape[:2], np.int32))
        options = {"AlignCorners": False, "HalfPixelCenters": False}
        file.operator("RESIZE_NEAREST_NEIGHBOR", [*inputs, size], output, "ResizeNearestNeighborOptions", **options)
    return output


def _conv(file: _File, network: Network, layer: Layer, data: int, random: np.random.Generator) -> int:
    channels = network.shape(layer.inputs[0])[2]
    shape = (layer.shape[2], layer.kernel, layer.kernel, channels)
    weights = random.integers(-127, 128, shape).astype(np.int8)
    inputs = [
        data,
        file.tensor(f"{layer.name}_w", shape, TensorType.INT8, WEIGHT_SCALE, weights),
        file.tensor(f"{layer.name}_b", shape[:1], TensorType.INT32, SCALE * WEIGHT_SCALE, np.zeros(shape[0], np.int32)),
    ]
    output = file.tensor(layer.name, (1, *layer.shape), TensorType.INT8, SCALE)
    relu = layer.active and network.activation == "relu"
    file.operator(
        "CONV_2D", inputs, output, "Conv2DOptions", Padding=Padding.SAME, StrideH=layer.stride, StrideW=layer.stride,
        DilationHFactor=1, DilationWFactor=1,
        FusedActivationFunction=ActivationFunctionType.RELU if relu else ActivationFunctionType.NONE,
    )  # fmt: skip
    if not layer.active or relu:
        return output
    active = file.tensor(f"{layer.name}_act", (1, *layer.shape), TensorType.INT8, SCALE)
    file.operator("LEAKY_RELU", [output], active, "LeakyReluOptions", Alpha=SLOPE)
    return active
