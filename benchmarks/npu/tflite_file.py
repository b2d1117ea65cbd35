"""Small TFLite files written by hand, one operator or a few: what no converter would make of a float model too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import flatbuffers
import numpy as np
from tflite import BuiltinOperator, BuiltinOptions

DTYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4",
)  # fmt: skip
OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D", "L2_POOL_2D": "Pool2D", "MEAN": "Reducer", "SUM": "Reducer",
    "REDUCE_MAX": "Reducer", "REDUCE_MIN": "Reducer", "REDUCE_PROD": "Reducer", "REDUCE_ANY": "Reducer",
    "REDUCE_ALL": "Reducer", "MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum", "BATCH_MATMUL": "BatchMatMul",
    "CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "PADV2": "PadV2", "SPLIT_V": "SplitV",
    "SELECT_V2": "SelectV2", "REVERSE_V2": "ReverseV2", "TOPK_V2": "TopKV2", "GATHER_ND": "GatherNd",
    "SPACE_TO_BATCH_ND": "SpaceToBatchND", "BATCH_TO_SPACE_ND": "BatchToSpaceND", "LEAKY_RELU": "LeakyRelu",
    "SCATTER_ND": "ScatterNd", "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM", "SVDF": "SVDF",
    "CONV_3D": "Conv3D", "L2_NORMALIZATION": "L2Norm",
}  # fmt: skip
"""Option tables whose names don't follow from the operator's."""
ENUMS = {
    "padding": ("SAME", "VALID"),
    "fused_activation_function": ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"),
    "mode": ("REFLECT", "SYMMETRIC"),
}


@dataclass
class Model:
    """A network being written: tensors and operators of one subgraph, by index."""

    tensors: list[dict[str, Any]] = field(default_factory=list)
    operators: list[dict[str, Any]] = field(default_factory=list)

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "int8",
        *,
        scale: float | Sequence[float] | None = 0.05,
        zero: int | Sequence[int] = 0,
        axis: int = 0,
        data: Any = None,
        name: str = "",
        signature: Sequence[int] | None = None,
        variable: bool = False,
    ) -> int:
        """Add a tensor; its index. ``data`` makes it a constant."""
        scales = [] if scale is None else [scale] if isinstance(scale, (int, float)) else list(scale)
        zeros = [zero] * len(scales) if isinstance(zero, int) else list(zero)
        self.tensors.append(
            {"shape": list(shape), "dtype": dtype, "scales": scales, "zeros": zeros, "axis": axis, "data": data,
             "name": name or f"t{len(self.tensors)}", "signature": signature, "variable": variable}
        )  # fmt: skip
        return len(self.tensors) - 1

    def constant(self, values: Any, dtype: str = "int32", scale: float | Sequence[float] | None = None) -> int:
        """Add a constant of these values."""
        array = np.asarray(values, dtype)
        return self.tensor(array.shape, dtype, scale=scale, data=array)

    def op(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """Add an operator; options under the schema's names in lower case; a custom one by ``custom=True``.

        ``intermediates`` are the tensors that a recurrent operator keeps the scales of its gates in.
        """
        self.operators.append({"kind": kind, "inputs": list(inputs), "outputs": list(outputs), "options": options})

    def write(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file's bytes."""
        return _Writer(self).model(list(inputs), list(outputs))


class _Writer:
    def __init__(self, model: Model) -> None:
        self.source = model
        self.b = flatbuffers.Builder(4096)
        self.buffers: list[bytes] = [b""]
        self.codes: list[tuple[str, bool]] = []

    def model(self, inputs: list[int], outputs: list[int]) -> bytes:
        tensors = [self._tensor(tensor) for tensor in self.source.tensors]
        operators = [self._operator(operator) for operator in self.source.operators]
        subgraph = self._table(
            "SubGraph", Tensors=self._offsets(tensors), Inputs=self._numbers(inputs), Outputs=self._numbers(outputs),
            Operators=self._offsets(operators), Name=self.b.CreateString("main"),
        )  # fmt: skip
        codes = self._offsets([self._code(kind, custom) for kind, custom in self.codes])
        buffers = self._offsets([self._buffer(raw) for raw in self.buffers])
        root = self._table("Model", Version=3, OperatorCodes=codes, Subgraphs=self._offsets([subgraph]),
                           Buffers=buffers, Description=self.b.CreateString("made by hand"))  # fmt: skip
        self.b.Finish(root, b"TFL3")
        return bytes(self.b.Output())

    def _table(self, kind: str, **fields: Any) -> int:
        module = import_module(f"tflite.{kind}")
        getattr(module, f"{kind}Start")(self.b)
        for name, value in fields.items():
            if value is not None:
                getattr(module, f"{kind}Add{name}")(self.b, value)
        return int(getattr(module, f"{kind}End")(self.b))

    def _offsets(self, offsets: list[int]) -> int:
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return int(self.b.EndVector())

    def _numbers(self, values: Sequence[float], dtype: str = "int32") -> int:
        return int(self.b.CreateNumpyVector(np.asarray(values, dtype)))

    def _buffer(self, raw: bytes) -> int:
        data = self._numbers(list(raw), "uint8") if raw else None
        return self._table("Buffer", Data=data)

    def _tensor(self, tensor: dict[str, Any]) -> int:
        number = 0
        if tensor["data"] is not None:
            number = len(self.buffers)
            values = tensor["data"]
            self.buffers.append(values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes())
        quantisation = None
        if tensor["scales"]:
            quantisation = self._table(
                "QuantizationParameters", Scale=self._numbers(tensor["scales"], "float32"),
                ZeroPoint=self._numbers(tensor["zeros"], "int64"), QuantizedDimension=tensor["axis"],
            )  # fmt: skip
        signature = None if tensor["signature"] is None else self._numbers(tensor["signature"])
        return self._table(
            "Tensor", Shape=self._numbers(tensor["shape"]), Type=DTYPES.index(tensor["dtype"]), Buffer=number,
            Name=self.b.CreateString(tensor["name"]), Quantization=quantisation, ShapeSignature=signature,
            IsVariable=tensor["variable"] or None,
        )  # fmt: skip

    def _operator(self, operator: dict[str, Any]) -> int:
        options = dict(operator["options"])
        within = options.pop("intermediates", None)
        custom = options.pop("custom", False)
        code = (operator["kind"], custom)
        if code not in self.codes:
            self.codes.append(code)
        kind = OPTIONS.get(operator["kind"]) or operator["kind"].title().replace("_", "")
        number = None if custom else getattr(BuiltinOptions, f"{kind}Options", None)
        table = self._options(f"{kind}Options", options) if number is not None else None
        return self._table(
            "Operator", OpcodeIndex=self.codes.index(code), Inputs=self._numbers(operator["inputs"]),
            Outputs=self._numbers(operator["outputs"]), BuiltinOptions=table, BuiltinOptionsType=number,
            Intermediates=None if within is None else self._numbers(within),
        )  # fmt: skip

    def _options(self, kind: str, options: dict[str, Any]) -> int:
        fields = {}
        for name, value in options.items():
            plain = ENUMS[name].index(value) if name in ENUMS and isinstance(value, str) else value
            if isinstance(plain, (list, tuple)):
                plain = self._numbers(plain)
            fields["".join(part.capitalize() for part in name.split("_"))] = plain
        return self._table(kind, **fields)

    def _code(self, kind: str, custom: bool) -> int:
        number = BuiltinOperator.CUSTOM if custom else getattr(BuiltinOperator, kind)
        return self._table(
            "OperatorCode", DeprecatedBuiltinCode=min(number, 127), BuiltinCode=number, Version=1,
            CustomCode=self.b.CreateString(kind) if custom else None,
        )  # fmt: skip
