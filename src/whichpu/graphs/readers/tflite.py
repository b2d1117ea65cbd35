"""TFLite files as graphs. Source: the TFLite schema (``schema.fbs``), through the generated classes of ``tflite``.

Operators carry their builtin names (``CONV_2D``), custom ones their custom code under ``domain="custom"``; attributes
carry the schema's names in lower case, convolutions and poolings under the common ones (``stride_h``, ``kernel_w``,
``activation``). Tensors that nothing made and that hold data are constants; their values are read when asked for.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.errors import UserError
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.graph import Graph, Operator, Quantisation, Shape, Tensor

IDENTIFIER = b"TFL3"
DTYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4",
)  # fmt: skip
PACKED = {"int4": 4, "uint4": 4, "int2": 2}
"""Types whose values share bytes, lowest bits first."""
COMPILED = {
    "ethos-u": "an Arm Ethos-U (it is what Vela writes)",
    "edgetpu-custom-op": "a Google Edge TPU (it is what edgetpu_compiler writes)",
    "DISPATCH_OP": "one vendor's NPU through LiteRT (it holds a dispatch operator)",
    "NeutronGraph": "an NXP Neutron NPU",
    "neutronGraph": "an NXP Neutron NPU",
    "vsi-npu": "a VeriSilicon NPU",
    "TfLiteQnnDelegate": "a Qualcomm HTP",
    "MTKEXT_NEURON": "a MediaTek APU",
}
BODIES = {
    "then_subgraph_index": "then_branch",
    "else_subgraph_index": "else_branch",
    "cond_subgraph_index": "cond",
    "body_subgraph_index": "body",
    "init_subgraph_index": "init",
    "decomposition_subgraph_index": "decomposition",
    "subgraph": "body",
}
"""Attributes that name another subgraph of the file."""
RENAMED = {
    "FilterHeight": "kernel_h",
    "FilterWidth": "kernel_w",
    "DilationHFactor": "dilation_h",
    "DilationWFactor": "dilation_w",
    "FusedActivationFunction": "activation",
    "DepthMultiplier": "multiplier",
}
ENUMS = {
    "Padding": ("SAME", "VALID"),
    "FusedActivationFunction": ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"),
    "Mode": ("REFLECT", "SYMMETRIC"),
    "WeightsFormat": ("DEFAULT", "SHUFFLED4x16INT8"),
}
TYPES = ("InDataType", "OutDataType", "OutType", "OutputType", "Type", "IdxOutType", "QuantizedBiasType")
DAMAGED = (struct.error, IndexError, ValueError, TypeError, OverflowError, MemoryError, UnicodeDecodeError)
"""What the generated classes raise when offsets point nowhere."""
ENTRIES_PER_BYTE = 4
"""More vector entries than this for each byte of the file: vectors overlap, which no converter writes."""


def read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The graph in a TFLite file; ``shapes`` gives the sizes of inputs (a batch size is carried through).

    Raises :class:`UserError`: no TFLite file, a damaged one, one compiled for a device already, no such input.
    """
    graph = parsed(path)
    for operator in graph.operators:
        if operator.domain and operator.type in COMPILED:
            raise UserError(
                f"{path} is compiled already for {COMPILED[operator.type]}: operator {operator.type!r} holds a "
                "device's program",
                "give the model as it was before compiling",
            )
    _give_shapes(graph, shapes)
    return graph.connect()


def parsed(path: Path) -> Graph:
    """The graph in any TFLite file, not connected yet: what a compiler wrote may be looked at too."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    if content[4:8] != IDENTIFIER:
        raise UserError(
            f"{path} is not a TFLite model: its identifier is {content[4:8]!r}, not {IDENTIFIER!r}",
            "export or download it again, and compare its size and hash with the original",
        )
    try:
        return _File(path, content).graph()
    except DAMAGED as problem:
        raise UserError(
            f"{path} is a damaged or truncated TFLite model ({len(content)} bytes): {problem}",
            "export or download it again, and compare its size and hash with the original",
        ) from problem


class _File:
    """One file being read: its tables, what was met in it, and how much of it was read."""

    def __init__(self, path: Path, content: bytes) -> None:
        from tflite import Model

        self.path = path
        self.content = content
        self.left = ENTRIES_PER_BYTE * len(content)
        self.model = Model.GetRootAs(content)
        self.codes = [self._code(code) for code in self.each(self.model, "OperatorCodes")]
        self.operators: list[Operator] = []
        self.notes: list[str] = []
        self.entered: set[int] = set()

    def graph(self) -> Graph:
        """The main subgraph and all bodies and further signatures, operators in the order of the file."""
        if not self._count(self.model, "Subgraphs"):
            raise ValueError("it has no subgraph")
        inputs, outputs = self._subgraph(0, "")
        for index, key in self._signatures():
            if index not in self.entered:
                self._subgraph(index, f"/{key}")
        return Graph(self.path.stem, "tflite", self.operators, inputs, outputs, notes=self._told())

    # Vectors, with a limit on how much is read.

    def _count(self, table: Any, field: str) -> int:
        length = int(getattr(table, field + "Length")())
        self.left -= length
        if self.left < 0:
            raise ValueError("its tables overlap")
        return length

    def each(self, table: Any, field: str) -> Iterator[Any]:
        """Tables of a vector."""
        element = getattr(table, field)
        return (element(position) for position in range(self._count(table, field)))

    def numbers(self, table: Any, field: str) -> tuple[Any, ...]:
        """A vector of numbers; empty where it is left out."""
        if not self._count(table, field):
            return ()
        return tuple(getattr(table, field + "AsNumpy")().tolist())

    def text(self, raw: bytes | None) -> str:
        self.left -= len(raw or b"") // 8
        if self.left < 0:
            raise ValueError("its tables overlap")
        return (raw or b"").decode("utf-8", "replace")

    # Operator codes, signatures.

    def _code(self, code: Any) -> tuple[str, str]:
        """Type and domain of an operator code. The old field holds codes below 127 (schema version 3a)."""
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        if number == 32:  # CUSTOM
            return self.text(code.CustomCode()), "custom"
        return builtins().get(number, f"BUILTIN_{number}"), ""

    def _signatures(self) -> list[tuple[int, str]]:
        """Subgraph and key of each signature, then the subgraphs that nothing names."""
        named = [
            (int(signature.SubgraphIndex()), self.text(signature.SignatureKey()))
            for signature in self.each(self.model, "SignatureDefs")
        ]
        return named + [(index, f"subgraph{index}") for index in range(self._count(self.model, "Subgraphs"))]

    def _told(self) -> list[str]:
        named = sorted({kind for kind, domain in self.codes if not domain and kind.startswith("BUILTIN_")})
        if named:
            self.notes.append(f"operators newer than the schema known here: {', '.join(named)}")
        return self.notes

    # Subgraphs.

    def _subgraph(self, index: int, within: str) -> tuple[list[Tensor], list[Tensor]]:
        """Read one subgraph; its inputs and outputs."""
        self.entered.add(index)
        if not 0 <= index < self.model.SubgraphsLength():
            raise ValueError(f"there is no subgraph {index}")
        table = self.model.Subgraphs(index)
        tensors = [self._tensor(tensor) for tensor in self.each(table, "Tensors")]
        chosen = _chooser(tensors)
        for operator in self.each(table, "Operators"):
            self._operator(operator, chosen, within)
        fed = [tensor for tensor in map(chosen, self.numbers(table, "Inputs")) if tensor is not None]
        inputs = [tensor for tensor in fed if tensor.read is None]  # one that holds data is a constant all the same
        outputs = [tensor for tensor in map(chosen, self.numbers(table, "Outputs")) if tensor is not None]
        self._note_open(tensors)
        return inputs, outputs

    def _operator(self, table: Any, chosen: Callable[[int], Tensor | None], within: str) -> None:
        kind, domain = self.codes[table.OpcodeIndex()]
        outputs = [tensor for tensor in map(chosen, self.numbers(table, "Outputs")) if tensor is not None]
        name = outputs[0].name if outputs else f"{kind}_{len(self.operators)}"
        attributes = self._attributes(table)
        self._bodies(attributes, f"{within}/{name}")
        inputs = [chosen(position) for position in self.numbers(table, "Inputs")]
        for output in outputs:
            output.read = None
        self.operators.append(
            Operator(len(self.operators), name, kind, inputs, outputs, attributes, domain, within),
        )

    def _bodies(self, attributes: Mapping[str, Any], within: str) -> None:
        """Read the subgraphs that an operator names, each once."""
        for attribute, body in BODIES.items():
            index = attributes.get(attribute)
            if isinstance(index, int) and index not in self.entered:
                self._subgraph(index, f"{within}/{body}")

    def _attributes(self, table: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for suffix in ("", "2"):
            number = getattr(table, f"BuiltinOptions{suffix}Type")()
            options = getattr(table, f"BuiltinOptions{suffix}")()
            if number and options is not None:
                found |= self._options(number, suffix, options)
        return found

    def _options(self, number: int, suffix: str, union: Any) -> dict[str, Any]:
        """An option table's fields under plain names."""
        plan = fields(number, suffix)
        if plan is None:
            return {}
        table = plan[0]()
        table.Init(union.Bytes, union.Pos)
        found: dict[str, Any] = {}
        for method, name, vector in plan[1]:
            value = self.numbers(table, method) if vector else getattr(table, method)()
            found[name] = value if vector else _plain(method, value)
        return found

    # Tensors.

    def _tensor(self, table: Any) -> Tensor:
        number = table.Type()
        dtype = DTYPES[number] if 0 <= number < len(DTYPES) else None
        sizes = self.numbers(table, "Shape")
        if len(sizes) > 64 or any(size < -1 for size in sizes):
            raise ValueError(f"a tensor has the shape {sizes[:8]}")
        shape = _open(sizes, self.numbers(table, "ShapeSignature"))
        quantisation = self._quantisation(table.Quantization())
        tensor = Tensor(self.text(table.Name()), dtype, shape, quantisation)
        if not table.IsVariable():
            tensor.read = self._reader(table, dtype, sizes)
        return tensor

    def _quantisation(self, table: Any) -> Quantisation | None:
        if table is None:
            return None
        scales = self.numbers(table, "Scale")
        if not scales:
            return None
        axis = int(table.QuantizedDimension()) if len(scales) > 1 else None
        return Quantisation(scales, self.numbers(table, "ZeroPoint"), axis)

    def _reader(self, table: Any, dtype: str | None, sizes: tuple[int, ...]) -> Callable[[], NDArray[Any]] | None:
        """What reads a constant's values; None where the file holds none."""
        index = table.Buffer()
        if not 0 < index < self.model.BuffersLength():
            return None
        buffer = self.model.Buffers(index)
        outside = buffer.Offset() > 1
        if not outside and not buffer.DataLength():
            return None
        name, sparse, content = self.text(table.Name()), table.Sparsity() is not None, self.content

        def values() -> NDArray[Any]:
            if sparse or dtype in (None, "string", "resource", "variant"):
                raise UnknownFactError(f"the values of {name!r} ({'sparse' if sparse else dtype}) can't be read")
            try:
                at = slice(buffer.Offset(), buffer.Offset() + buffer.Size())
                raw = np.frombuffer(content[at], np.uint8) if outside else buffer.DataAsNumpy()
                return unpacked(raw, str(dtype))[: math.prod(sizes)].reshape(sizes)
            except DAMAGED as problem:
                raise UnknownFactError(f"the values of {name!r} don't fill its shape {sizes}") from problem

        return values

    def _note_open(self, tensors: list[Tensor]) -> None:
        names = [tensor.name for tensor in tensors if tensor.shape is not None and None in tensor.shape]
        if names:
            self.notes.append(f"{len(names)} tensors have sizes that the file leaves open; the first is {names[0]!r}")


def _chooser(tensors: list[Tensor]) -> Callable[[int], Tensor | None]:
    """Tensors by their index; -1 is an input left out."""

    def chosen(index: int) -> Tensor | None:
        if index == -1:
            return None
        if index < 0:
            raise ValueError(f"there is no tensor {index}")
        return tensors[index]

    return chosen


def _open(sizes: tuple[int, ...], signature: tuple[int, ...]) -> Shape:
    """The stored sizes, None for those that the signature leaves open; an open first one is taken as stored (batch)."""
    if len(signature) != len(sizes):
        return tuple(None if size < 0 else size for size in sizes)
    return tuple(
        None if size < 0 or (said < 0 and position > 0) else size
        for position, (size, said) in enumerate(zip(sizes, signature, strict=True))
    )


def _plain(method: str, value: Any) -> Any:
    """A field's value: enumerations by name, bytes as text."""
    if method in ENUMS:
        names = ENUMS[method]
        return names[value] if 0 <= value < len(names) else str(value)
    if method in TYPES and isinstance(value, int):
        return DTYPES[value] if 0 <= value < len(DTYPES) else str(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def unpacked(raw: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """Stored bytes as values; 4- and 2-bit values come as int8 (uint8), one each, padding among them."""
    bits = PACKED.get(dtype)
    if bits is None:
        if dtype == "bfloat16":
            return (raw.view("<u2").astype("<u4") << 16).view("<f4")
        return raw.view(np.dtype(dtype).newbyteorder("<"))
    parts = np.stack([(raw >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)], axis=-1).reshape(-1)
    if dtype.startswith("u"):
        return parts
    return ((parts.astype(np.int8) << (8 - bits)).astype(np.int8) >> (8 - bits)).astype(np.int8)


@cache
def builtins() -> Mapping[int, str]:
    """Names of builtin operators by code."""
    from tflite import BuiltinOperator

    return {code: name for name, code in vars(BuiltinOperator).items() if isinstance(code, int)}


@cache
def fields(number: int, suffix: str) -> tuple[type[Any], list[tuple[str, str, bool]]] | None:
    """The class of an option table, and its fields: method, plain name, whether it is a vector of numbers."""
    union = import_module(f"tflite.BuiltinOptions{suffix}")
    kinds = vars(getattr(union, f"BuiltinOptions{suffix}"))
    name = next((name for name, code in kinds.items() if code == number and name != "NONE"), None)
    if name is None:
        return None
    table = getattr(import_module(f"tflite.{name}"), name)
    methods = [method for method in vars(table) if method[0].isupper() and not method.startswith("GetRootAs")]
    plan = []
    for method in methods:
        if method == "Init" or method.endswith(("BufferHasIdentifier", "Length", "IsNone", "AsNumpy")):
            continue
        if method + "Length" in methods and method + "AsNumpy" not in methods:
            continue  # vectors of tables: nothing here asks for them
        if method.startswith("CompositeAttributes") or method in ("Value", "CustomAttributes"):
            continue
        plain = RENAMED.get(method) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", method).lower()
        plan.append((method, plain, method + "Length" in methods))
    return table, plan


def _give_shapes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Set the sizes of inputs; a new batch size is carried to all tensors that had the old one."""
    inputs = {tensor.name: tensor for tensor in graph.inputs}
    for name, sizes in shapes.items():
        tensor = inputs.get(name)
        if tensor is None:
            raise UserError(f"{graph.name} has no input {name!r}", f"its inputs: {', '.join(inputs)}")
        if tensor.shape is not None and len(tensor.shape) != len(sizes):
            raise UserError(f"input {name!r} has {len(tensor.shape)} dimensions, but {len(sizes)} sizes are given")
        if tensor.shape != tuple(sizes):
            _spread(graph, tensor, tuple(sizes))


def _spread(graph: Graph, tensor: Tensor, sizes: tuple[int, ...]) -> None:
    """Other sizes for one input. Only a batch size can be carried on; else computed sizes are not known any more."""
    old, tensor.shape = tensor.shape or (), sizes
    only_batch = bool(old) and old[1:] == sizes[1:]
    for operator in graph.operators:
        for output in operator.outputs:
            if output.shape and only_batch and output.shape[0] == old[0]:
                output.shape = (sizes[0], *output.shape[1:])
            elif output.shape and not only_batch:
                output.shape = (None,) * len(output.shape)
    if not only_batch:
        graph.notes.append(
            f"with {tensor.name!r} as {sizes} the sizes that follow are not known: TFLite stores them fixed"
        )
