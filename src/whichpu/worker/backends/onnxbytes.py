"""The few facts of an ONNX file that backends need, read without the ``onnx`` package: it is not on the board.

Field numbers are those of onnx.proto3; bytes of weights are skipped, never read. Every function raises
``ValueError`` or ``IndexError`` for a file that is no ONNX. Subgraphs and functions are not looked into.
"""

from __future__ import annotations

import mmap
import pathlib
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple

from .. import wire
from . import Refused

# TensorProto.DataType; what NumPy has no name for is left out.
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
HALVES = {10: "fp16", 16: "bf16"}


class Node(NamedTuple):
    """One operator and the names of the values it reads and writes."""

    kind: str
    reads: List[str]
    writes: List[str]


class Halves(NamedTuple):
    """Values of 16-bit floating types: which types there are, the weights among them, whether any lies in another file.

    A ``Cast`` to such a type counts, for its result is one.
    """

    kinds: List[str]
    weights: List[str]
    external: bool


Span = Tuple[int, int]


def outputs(path: str) -> List[wire.TensorSpec]:
    """The graph's outputs in the file's order and with the file's types; -1 for a size that is not fixed.

    Raises :class:`Refused` for a type NumPy has no name for.
    """
    with pathlib.Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return [_output_spec(data, span) for number, span in _graph(data) if number == 12]


def halves(path: str) -> Halves:
    """What in the graph is fp16 or bf16."""
    codes: Set[int] = set()
    weights, external = [], False
    with pathlib.Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, span in _graph(data):
            if number == 1:  # node
                codes.update(_codes_of_node(data, span))
            elif number == 5:  # initializer: data_type 2, name 8, data_location 14
                fields = _last(data, span)
                code = fields.get(2, (0, 0))[0]
                codes.add(code)
                if code in HALVES:
                    weights.append(_text(data, fields.get(8, (0, 0))))
                    external = external or fields.get(14, (0, 0))[0] == 1
            elif number in (11, 12):  # input, output
                codes.add(_only(data, _only(data, _only(data, span, 2), 1), 1)[0])
    return Halves([name for code, name in HALVES.items() if code in codes], weights, external)


def symbols(path: str, specs: List[wire.TensorSpec]) -> Dict[str, int]:
    """Names of sizes that the file leaves open in its inputs, and what they are in ``specs`` of these names."""
    shapes, found = {spec.name: spec.shape for spec in specs}, {}
    with pathlib.Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, span in _graph(data):
            if number != 11:  # input
                continue
            tensor = _only(data, _only(data, span, 2), 1)
            dims = [dim for field, dim in _fields(data, _only(data, tensor, 2)) if field == 1]
            for dim, size in zip(dims, shapes.get(_text(data, _only(data, span, 1)), [])):
                symbol = _text(data, _only(data, dim, 2))  # TensorShapeProto.Dimension.dim_param
                if symbol:
                    found[symbol] = size
    return found


def nodes(path: str) -> List[Node]:
    """The graph's operators, in order: ``input`` 1, ``output`` 2, ``op_type`` 4."""
    with pathlib.Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return [_node(data, span) for number, span in _graph(data) if number == 1]


def _graph(data: mmap.mmap) -> Iterator[Tuple[int, Span]]:
    return _fields(data, _only(data, (0, len(data)), 7))  # ModelProto.graph


def _node(data: mmap.mmap, node: Span) -> Node:
    fields = list(_fields(data, node))
    reads, writes = ([_text(data, span) for number, span in fields if number == wanted] for wanted in (1, 2))
    return Node(_text(data, dict(fields).get(4, (0, 0))), reads, writes)


def _codes_of_node(data: mmap.mmap, node: Span) -> Iterator[int]:
    """Types that a node brings in: a ``Constant``'s tensor, a ``Cast``'s ``to`` (AttributeProto: ``t`` 5, ``i`` 3)."""
    kind = _text(data, _only(data, node, 4))
    if kind not in ("Constant", "Cast"):
        return
    for number, span in _fields(data, node):
        if number == 5:
            yield _only(data, _only(data, span, 5), 2)[0] if kind == "Constant" else _only(data, span, 3)[0]


def _output_spec(data: mmap.mmap, value: Span) -> wire.TensorSpec:
    """A ValueInfoProto: ``name`` 1, ``type`` 2, in it ``tensor_type`` 1 with ``elem_type`` 1 and ``shape`` 2."""
    name = _text(data, _only(data, value, 1))
    tensor = _only(data, _only(data, value, 2), 1)
    code = _only(data, tensor, 1)[0]
    if code not in DTYPES:
        raise Refused("WhichPU can't read the output %r: its type is number %d of ONNX's" % (name, code))
    dims = [span for number, span in _fields(data, _only(data, tensor, 2)) if number == 1]
    sizes = [_only(data, dim, 1)[0] for dim in dims]  # TensorShapeProto.Dimension.dim_value
    return wire.TensorSpec(name, DTYPES[code], [size or -1 for size in sizes])


def _text(data: mmap.mmap, span: Span) -> str:
    return data[slice(*span)].decode("utf-8")


def _only(data: mmap.mmap, inside: Span, wanted: int) -> Span:
    """The last field ``wanted`` (protobuf's rule), or an empty span: a value of 0, a text of nothing."""
    return _last(data, inside).get(wanted, (0, 0))


def _last(data: mmap.mmap, inside: Span) -> Dict[int, Span]:
    return dict(_fields(data, inside))


def _fields(data: mmap.mmap, inside: Span) -> Iterator[Tuple[int, Span]]:
    """A protobuf message's fields: number and where it lies; for an integer, the value itself comes first.

    https://protobuf.dev/programming-guides/encoding/
    """
    at, end = inside
    while at < end:
        tag, at = _varint(data, at)
        wire_type = tag & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield tag >> 3, (value, value)
            continue
        size = {1: 8, 5: 4}.get(wire_type)
        if wire_type == 2:
            size, at = _varint(data, at)
        if size is None:
            raise ValueError("not a protobuf message: wire type %d" % wire_type)
        yield tag >> 3, (at, at + size)
        at += size


def _varint(data: mmap.mmap, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at
