"""Raw latencies kept compactly: exact integers, a few bits each.

``encoding`` ``u4-shuffle-zlib-base64``: base64 of zlib of little-endian uint32 values whose bytes are
transposed (all lowest bytes first), which zlib packs two to three times tighter. ``u8-...`` holds
uint64, for latencies of 4.3 s and more; ``f4-...`` holds float32, for figures that are no integers.
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
FLOATS = "f4-shuffle-zlib-base64"


class Column(msgspec.Struct, frozen=True):
    """``count`` numbers, packed: non-negative integers, or float32."""

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
    return Column(int(array.size), encoding, _packed(array.astype(WIDTHS[encoding])))


def pack_floats(values: Sequence[float] | npt.NDArray[np.float64]) -> Column:
    """Pack numbers as float32: seven digits are kept."""
    array = np.asarray(values, dtype="<f4").reshape(-1)
    return Column(int(array.size), FLOATS, _packed(array))


def unpack(column: Column) -> npt.NDArray[np.int64]:
    """The integers of a column, shape ``[count]``. Raises :class:`ValueError` when it is damaged."""
    width = WIDTHS.get(column.encoding)
    if width is None:
        raise ValueError(f"unknown encoding {column.encoding!r}")
    return _unpacked(column, width).astype(np.int64)


def unpack_floats(column: Column) -> npt.NDArray[np.float64]:
    """The numbers of a column of float32, shape ``[count]``. Raises :class:`ValueError` when it is damaged."""
    if column.encoding != FLOATS:
        raise ValueError(f"unknown encoding {column.encoding!r}")
    return _unpacked(column, np.dtype("<f4")).astype(np.float64)


def _packed(array: npt.NDArray[Any]) -> str:
    transposed = array.view(np.uint8).reshape(-1, array.itemsize).T
    return base64.b64encode(zlib.compress(transposed.tobytes(), 6)).decode()


def _unpacked(column: Column, width: np.dtype[Any]) -> npt.NDArray[Any]:
    try:
        raw = zlib.decompress(base64.b64decode(column.data, validate=True))
    except (zlib.error, ValueError) as problem:
        raise ValueError(f"damaged latencies: {problem}") from problem
    if len(raw) != column.count * width.itemsize:
        raise ValueError(f"damaged latencies: {len(raw)} bytes for {column.count} values")
    transposed = np.frombuffer(raw, np.uint8).reshape(width.itemsize, -1)
    return np.ascontiguousarray(transposed.T).view(width).reshape(-1)
