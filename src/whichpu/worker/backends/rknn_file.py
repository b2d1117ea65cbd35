"""What an .rknn file says of itself, read without the toolkit: for which chips it is, its inputs and outputs.

Layout (files made by RKNN-Toolkit2 2.5.0): ``RKNN``; at byte 8 the format's version, at 16 the length of the compiled
network, which stands from 64 on; after that a length and a JSON text. Within the network lies a Python literal
(``{'attrs': ...``, its length before it) with the tensors' types and layouts; older files may have none.
"""

from __future__ import annotations

import ast
import json
import struct
from typing import Any, Dict, List, NamedTuple

from .. import wire
from . import Refused

HEADER = 64
ATTRIBUTES = b"{'attrs': "
AGAIN = "build it again with RKNN-Toolkit2 (export_rknn), or copy it again"


class Tensor(NamedTuple):
    """``spec`` is as in the model that was converted; ``nchw``: the runtime wants this input's channels last."""

    spec: wire.TensorSpec
    nchw: bool


class RknnFile(NamedTuple):
    """``platforms`` in lower case (``rk3588``); ``quantised`` is the type of quantised tensors, empty for none."""

    toolkit: str
    format: int
    platforms: List[str]
    inputs: List[Tensor]
    outputs: List[Tensor]
    quantised: str


def read(path: str) -> RknnFile:
    """The file's facts. Raises :class:`Refused` for what is no whole .rknn file."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] == b"RKCE":
        raise Refused("the .rknn file is encrypted", "give the plain one")
    if data[:4] != b"RKNN" or len(data) < HEADER:
        raise Refused("it is no .rknn file: it begins with %r" % data[:4], AGAIN)
    version, length = struct.unpack_from("<QQ", data, 8)
    try:
        (size,) = struct.unpack_from("<Q", data, HEADER + length)
        told = json.loads(data[HEADER + length + 8 : HEADER + length + 8 + size].decode("utf-8"))
        tensors = {row["tensor_id"]: row for row in told["norm_tensor"]}
        sides = [(row["left"], tensors[row["right_tensor"]["tensor_id"]]) for row in told["connection"]]
    except (struct.error, ValueError, KeyError, TypeError) as problem:
        raise Refused("the .rknn file is truncated or damaged (%d bytes)" % len(data), AGAIN) from problem
    known = _attributes(data)
    kinds = sorted({str(row["dtype"].get("qnt_type") or "") for _, row in sides} - {""})
    return RknnFile(
        str(told.get("version", "")),
        int(version),
        [str(name).lower() for name in told.get("target_platform", [])],
        [_tensor(row, known) for side, row in sides if side == "input"],
        [_tensor(row, known) for side, row in sides if side == "output"],
        "+".join(kinds),
    )


def _tensor(row: Dict[str, Any], known: Dict[str, Any]) -> Tensor:
    name, told = str(row["url"]), known.get(str(row["url"]), {})
    shape = [int(size) for size in told.get("shape", row["size"])]
    layout = told.get("layout_ori", told.get("layout", "nchw"))
    return Tensor(wire.TensorSpec(name, str(told.get("dtype", "float32")), shape), len(shape) == 4 and layout == "nchw")


def _attributes(data: bytes) -> Dict[str, Any]:
    """Types and layouts by tensor; empty where the file has none that can be read."""
    begin = data.find(ATTRIBUTES)
    if begin < 4:
        return {}
    (length,) = struct.unpack_from("<I", data, begin - 4)
    try:
        found = ast.literal_eval(data[begin : begin + length].decode("utf-8"))["attrs"]
        return dict(found)
    except (ValueError, SyntaxError, KeyError, TypeError):
        return {}
