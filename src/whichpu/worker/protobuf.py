"""Protobuf messages read by hand: https://protobuf.dev/programming-guides/encoding. Standard library only."""

from __future__ import annotations

import struct
from typing import Iterator, List, Tuple, Union

Value = Union[int, memoryview]
"""A whole number, or the bytes of anything else; slices are not copied."""


def fields(message: Union[bytes, memoryview]) -> "Iterator[Tuple[int, Value]]":
    """Numbers and values of a message's fields, in order.

    Raises :class:`ValueError` for what is none, :class:`IndexError` for a number cut short.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = _varint(view, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(view, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("wire type %d" % kind)
        if at + size > len(view):
            raise ValueError("cut short")
        yield key >> 3, view[at : at + size]
        at += size


class Message:
    """A message's fields by number. Each accessor raises :class:`ValueError` where the field is of another kind.

    As in proto3, what is left out is 0, empty or false; of a field that stands more than once the last counts.
    """

    def __init__(self, data: Union[bytes, memoryview]) -> None:
        self.held: "dict[int, List[Value]]" = {}
        for number, value in fields(data):
            self.held.setdefault(number, []).append(value)

    def has(self, number: int) -> bool:
        return number in self.held

    def whole(self, number: int) -> int:
        """A varint: an integer, an enumeration or a boolean."""
        value = self.held.get(number, [0])[-1]
        if not isinstance(value, int):
            raise ValueError("bytes where field %d is a number" % number)
        return value

    def real(self, number: int) -> float:
        """A float or a double, by its size."""
        value = _bytes(self.held.get(number, [memoryview(bytes(8))])[-1], number)
        if len(value) not in (4, 8):
            raise ValueError("%d bytes where field %d is a real number" % (len(value), number))
        (found,) = struct.unpack("<f" if len(value) == 4 else "<d", value)
        return float(found)

    def text(self, number: int) -> str:
        return _text(self.held.get(number, [memoryview(b"")])[-1], number)

    def texts(self, number: int) -> List[str]:
        return [_text(value, number) for value in self.held.get(number, [])]

    def messages(self, number: int) -> "List[Message]":
        return [Message(_bytes(value, number)) for value in self.held.get(number, [])]

    def message(self, number: int) -> "Message":
        """The message in a field; an empty one where there is none."""
        return ([Message(b"")] + self.messages(number))[-1]

    def reals(self, number: int) -> List[float]:
        """Repeated doubles, packed or not."""
        packed = b"".join(bytes(_bytes(value, number)) for value in self.held.get(number, []))
        return [found for (found,) in struct.iter_unpack("<d", packed)] if len(packed) % 8 == 0 else []

    def count(self, number: int) -> int:
        return len(self.held.get(number, []))


def _varint(message: memoryview, at: int) -> Tuple[int, int]:
    """A whole number, seven bits a byte, the lowest first; and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")


def _bytes(value: Value, number: int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where field %d holds bytes" % number)
    return value


def _text(value: Value, number: int) -> str:
    return bytes(_bytes(value, number)).decode(errors="replace")
