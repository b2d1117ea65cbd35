"""Raw latencies kept compactly: exact integers, a few bits each.

``encoding`` ``u4-shuffle-zlib-base64``: base64 of zlib of little-endian uint32 values whose bytes are
transposed (all lowest bytes first), which zlib packs two to three times tighter. ``u8-...`` holds
uint64, for latencies of 4.3 s and more.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

WIDTHS: dict[str, np.dtype[Any]] = {
    "u4-shuffle-zlib-base64": np.dtype("<u4"),
    "u8-shuffle-zlib-base64": np.dtype("<u8"),
}


class Column(msgspec.Struct, frozen=True):
    """``count`` non-negative integers, packed."""

    count: int
    encoding: str
    data: str


def pack(values: Sequence[int] | npt.NDArray[np.int64]) -> Column:
    """Pack non-negative integers. Raises :class:`ValueError` for a negative one."""
    array = np.asarray(values, dtype=np.int64)
    if array.size and int(array.min()) < 0:
        raise ValueError("a latency can't be negative")
    small = not array.size or int(array.max()) < 2**32
    encoding = "u4-shuffle-zlib-base64" if small else "u8-shuffle-zlib-base64"
    width = WIDTHS[encoding]
    transposed = array.astype(width).view(np.uint8).reshape(-1, width.itemsize).T
    data = base64.b64encode(zlib.compress(transposed.tobytes(), 6)).decode()
    return Column(int(array.size), encoding, data)


def unpack(column: Column) -> npt.NDArray[np.int64]:
    """The integers of a column, shape ``[count]``. Raises :class:`ValueError` when it is damaged."""
    width = WIDTHS.get(column.encoding)
    if width is None:
        raise ValueError(f"unknown encoding {column.encoding!r}")
    try:
        raw = zlib.decompress(base64.b64decode(column.data, validate=True))
    except (zlib.error, ValueError) as problem:
        raise ValueError(f"damaged latencies: {problem}") from problem
    if len(raw) != column.count * width.itemsize:
        raise ValueError(f"damaged latencies: {len(raw)} bytes for {column.count} values")
    transposed = np.frombuffer(raw, np.uint8).reshape(width.itemsize, -1)
    return np.ascontiguousarray(transposed.T).view(width).reshape(-1).astype(np.int64)
