"""What an ExecuTorch program (.pte) says of itself: its delegates, and which operators each of them took.

A .pte is a FlatBuffer; only the tables needed are read, by position of their fields. Read after ExecuTorch 1.5.1:
schema/program.fbs, exir/_serialize/_program.py (extended header), backends/xnnpack/serialization/runtime_schema.fbs
and xnnpack_graph_serialize.py (header of an XNNPACK graph).
"""

from __future__ import annotations

import collections
import os
import re
import struct
from typing import Counter, Dict, List, NamedTuple, Optional

from . import Refused

KERNEL, DELEGATE = 1, 2  # members of the union InstructionArguments
INLINE = 0  # member of DataLocation
MOVES = "executorch_prim"  # views and arithmetic on sizes: no tensor is computed
XNODES = """
Add FullyConnected Softmax Sigmoid StaticTranspose Clamp Conv2d Div StaticResizeBilinear2D
StaticConstantPad AvgPooling2d Minimum DepthwiseConv2d MaxPooling2d Multiply Subtract Floor Convert
GlobalAvgPooling2d StaticReshape ArgMaxPooling2d SquareRoot Ceiling Hardswish LeakyReLU Maximum Negate
Square ELU Abs PReLU Concatenate2 Concatenate3 Concatenate4 StaticSlice ScaledDotProductAttention
BatchMatrixMultiply Concatenate5 ConvTranspose2d ReciprocalSquareRoot Log Gelu Tanh Exp Sin Copy Cos
"""
"""Members of XNNPACK's union of nodes, from 1 on."""


class Program(NamedTuple):
    """``kernels`` counts ExecuTorch's own kernels by operator; ``delegates`` the calls, by name of the delegate.

    ``nodes`` counts the operators inside of XNNPACK's graphs; ``unread`` are delegates whose inside nobody reads.
    """

    kernels: Counter[str]
    delegates: Counter[str]
    nodes: Counter[str]
    unread: List[str]


class Table:
    """A table of a FlatBuffer. https://flatbuffers.dev/internals"""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.fields = at - _int(data, at)

    def place(self, field: int) -> int:
        """Where a field's value lies; 0 when it is absent."""
        offset = 4 + 2 * field
        if offset >= _short(self.data, self.fields):
            return 0
        found = _short(self.data, self.fields + offset)
        return self.at + found if found else 0

    def number(self, field: int) -> int:
        at = self.place(field)
        return _int(self.data, at) if at else 0

    def long(self, field: int) -> int:
        at = self.place(field)
        return int(struct.unpack_from("<Q", self.data, at)[0]) if at else 0

    def byte(self, field: int) -> int:
        at = self.place(field)
        return self.data[at] if at else 0

    def table(self, field: int) -> "Table":
        at = self.place(field)
        return Table(self.data, at + _int(self.data, at))

    def tables(self, field: int) -> "List[Table]":
        at = self.place(field)
        if not at:
            return []
        start = at + _int(self.data, at)
        places = range(start + 4, start + 4 + 4 * _int(self.data, start), 4)
        return [Table(self.data, place + _int(self.data, place)) for place in places]

    def data_at(self, field: int) -> bytes:
        """A string, or a vector of bytes."""
        at = self.place(field)
        if not at:
            return b""
        start = at + _int(self.data, at)
        return self.data[start + 4 : start + 4 + _int(self.data, start)]

    def text(self, field: int) -> str:
        return self.data_at(field).decode("utf-8", "replace")


def read(path: str, method: str = "forward") -> Program:
    """Raises :class:`Refused` for what is no such program, or a truncated one."""
    with open(path, "rb") as file:
        data = file.read()
    _refuse_unwhole(path, data)
    try:
        root = Table(data, _int(data, 0))
        plans = {plan.text(0): plan for plan in root.tables(1)}
        if method not in plans:
            here = ", ".join(sorted(plans)) or "none"
            raise Refused("%s has no method %r; it has: %s" % (os.path.basename(path), method, here))
        return _program(data, root, plans[method])
    except (struct.error, IndexError) as problem:
        raise Refused("%s is damaged: %s" % (os.path.basename(path), problem), "export it again") from problem


def _refuse_unwhole(path: str, data: bytes) -> None:
    name, again = os.path.basename(path), "export or copy it again"
    if data[4:8] != b"ET12":
        raise Refused("%s is not an ExecuTorch program that this version reads (no ET12)" % name, again)
    needed = 0
    if data[8:12] == b"eh00":
        length, program, base = struct.unpack_from("<IQQ", data, 12)
        size = struct.unpack_from("<Q", data, 32)[0] if length >= 32 else 0
        needed = max(program, base + size)
    if len(data) < needed:
        raise Refused("%s is truncated: %d of %d bytes" % (name, len(data), needed), again)


def _program(data: bytes, root: Table, plan: Table) -> Program:
    names = [".".join(filter(None, (one.text(0), one.text(1)))) for one in plan.tables(6)]
    delegates = plan.tables(7)
    found = Program(collections.Counter(), collections.Counter(), collections.Counter(), [])
    for chain in plan.tables(5):
        for instruction in chain.tables(2):
            kind, call = instruction.byte(0), instruction.table(1)
            if kind == KERNEL and not names[call.number(0)].startswith(MOVES):
                found.kernels[names[call.number(0)]] += 1
            elif kind == DELEGATE:
                _take(found, delegates[call.number(0)], root, data)
    return found


def _take(found: Program, delegate: Table, root: Table, data: bytes) -> None:
    """Count a call of a delegate, and what is in it."""
    name = delegate.text(0)
    found.delegates[name] += 1
    inside = xnnpack_nodes(_processed(delegate, root, data)) if name == "XnnpackBackend" else None
    if inside is None:
        found.unread.append(name)
    else:
        found.nodes.update(inside)


def _processed(delegate: Table, root: Table, data: bytes) -> bytes:
    """What the delegate compiled: in the FlatBuffer, or in a segment behind it."""
    reference = delegate.table(1)
    if reference.byte(0) == INLINE:
        return root.tables(3)[reference.number(1)].data_at(0)
    segment = root.tables(4)[reference.number(1)]
    base = struct.unpack_from("<Q", data, 24)[0]
    return data[base + segment.long(0) : base + segment.long(0) + segment.long(1)]


def xnnpack_nodes(blob: bytes) -> "Optional[Counter[str]]":
    """Operators of a graph for XNNPACK; ``None`` for one of a form that is not known here."""
    if blob[4:8] == b"XH00":
        offset, size = struct.unpack_from("<II", blob, 10)
        blob = blob[offset : offset + size]
    if not re.match(rb"XN\d\d", blob[4:8]):
        return None
    kinds = [node.byte(0) for node in Table(blob, _int(blob, 0)).tables(1)]
    names = XNODES.split()
    return collections.Counter(names[kind - 1] if 0 < kind <= len(names) else "node %d" % kind for kind in kinds)


def counted(counts: "Counter[str]") -> Dict[str, int]:
    """By operator without its namespace and overload: ``{"view_copy": 2}``."""
    found: Counter[str] = collections.Counter()
    for name, count in counts.items():
        found[name.split("::")[-1].split(".")[0]] += count
    return dict(found.most_common())


def _int(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<i", data, at)[0])


def _short(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0])
