"""Writes HEF files for tests: field numbers of HailoRT's ``hef.proto`` (4.18 to 4.21), headers of 4.23. No weights.

A writer of our own: no real HEF could be had. ``beside`` writes what the stand-in for HailoRT reads, next to the file.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

HAILO8P, HAILO8L, HAILO15H = 1, 3, 103
NHWC, FLAT, NMS = 1, 2, 6
"""Formats of edge layers."""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: Any) -> bytes:
    """One field: int, bool, str, bytes, or float (a double)."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(int(value))
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def single(number: int, value: float) -> bytes:
    """A float of 4 bytes."""
    return varint(number << 3 | 5) + struct.pack("<f", value)


def message(*fields: bytes) -> bytes:
    return b"".join(fields)


def numeric(scale: float = 0.5, zero_point: float = 3.0, scales: tuple[float, ...] = ()) -> bytes:
    per_feature = field(6, struct.pack(f"<{len(scales)}d", *scales)) if scales else b""
    return message(single(1, zero_point), single(2, scale), single(3, -1.5), single(4, 126.0), per_feature)


def layer(
    name: str,
    shape: tuple[int, int, int],
    output: bool = False,
    form: int = NHWC,
    data_bytes: int = 1,
    pad: int | None = None,
    connection: int = 0,
    originals: tuple[str, ...] = (),
    extra: bytes = b"",
) -> bytes:
    """``ProtoHEFEdgeLayer`` of one layer."""
    height, width, features = shape
    base = message(
        *(field(number, size) for number, size in ((1, height), (2, height), (3, width), (4, width), (5, features))),
        field(6, -(-features // 8) * 8),
        field(7, form),
        field(12, data_bytes),
        extra,
    )
    names = (field(5, one) for one in originals)
    info = message(field(1, name), field(2, base), field(3, numeric()), *names)
    index = field(7, pad) if pad is not None else b""
    return message(field(1, output), field(3, info), field(5, field(3, connection)), index)


def mux(name: str, parts: list[bytes], output: bool = True) -> bytes:
    """Layers that leave the chip as one: ``ProtoHEFEdgeLayerMux`` of ``ProtoHEFEdgeLayerInfo``."""
    return message(field(1, output), field(2, 1), field(4, message(field(1, name), *(field(5, one) for one in parts))))


def context(*layers: bytes) -> bytes:
    """``ProtoHEFContext`` with an operation, which is not to be read."""
    return message(field(2, b"\x08\x01"), field(3, message(field(1, "context"), *(field(2, one) for one in layers))))


def metadata(name: str, fps: float = 990.5, latency: float = 1.25) -> bytes:
    return message(field(1, name), field(4, fps), field(6, latency))


def core(name: str, contexts: list[bytes], order: tuple[str, ...] = (), **told: float) -> bytes:
    """``ProtoHEFCoreOp``; as fields the same as an old network group."""
    return message(
        field(1, metadata(name, **told)),
        *(field(3, one) for one in contexts),
        *(field(4, one) for one in order),
        field(6, name + "/net"),
    )


def nms(name: str, reads: int, gives: int, classes: int = 80, boxes: int = 100) -> bytes:
    """``ProtoHEFOp`` of YOLOv8's NMS: pads by their index."""
    operator = message(field(1, 0.2), field(2, 0.7), field(3, boxes), field(4, classes), field(12, b""))
    shape = message(field(1, classes), field(2, boxes))
    pad = message(field(1, gives), field(2, name + "_out"), field(3, 9), field(7, shape))
    return message(field(1, name), field(2, field(1, reads)), field(3, pad), field(5, operator))


def group(name: str, core_op: bytes, host: tuple[bytes, ...] = (), edges: tuple[tuple[int, int], ...] = ()) -> bytes:
    return message(
        field(8, field(4, core_op)),
        *(field(8, one) for one in host),
        *(field(9, message(field(1, source), field(2, to))) for source, to in edges),
        field(10, name),
    )


def proto(*groups: bytes, arch: int = HAILO8L, compiler: str = "3.31.0", features: bytes = b"") -> bytes:
    header = message(field(1, arch), field(2, 1_760_000_000), field(3, compiler), field(4, 0))
    return message(field(1, header), *(field(2, one) for one in groups), field(4, features))


def file(data: bytes, version: int = 1, weights: bytes = b"\x00" * 64) -> bytes:
    """The whole file around the protobuf."""
    head = struct.pack(">III", 0x01484546, version, len(data))
    if version == 0:
        return head + struct.pack(">I16s", 0, hashlib.md5(data).digest()) + data
    told = {
        1: struct.pack(">IQI", 0, len(weights), 0),
        2: struct.pack(">QQQQ", 0, len(weights), 0, 0),
        3: struct.pack(">QQIQQQ", 0, len(weights), 0, 0, 0, 0),
    }
    return head + told[version] + data + weights


def small(arch: int = HAILO8L, contexts: int = 1, host: bool = False) -> bytes:
    """``images`` 4x4x3 to ``conv`` 4x4x3; or with ``host`` to boxes by NMS on the host."""
    first = layer("small/input_layer1", (4, 4, 3), originals=("images",))
    last = layer("small/conv1", (4, 4, 3), output=True, pad=1 if host else None, originals=("out",))
    between = layer("small/between", (4, 4, 8), output=True, connection=1)
    held = [context(first, between), *[context() for _ in range(contexts - 2)], context(last)]
    held = [context(first, last)] if contexts == 1 else held
    body = core("small", held, ("small/conv1",))
    features = field(4, 1) if contexts > 1 else b""
    whole = group("small", body, (nms("small/nms", 2, 3),), ((1, 2),)) if host else group("small", body)
    return file(proto(whole, arch=arch, features=features))


def beside(path: Path, gain: float = 2.0, **changes: Any) -> None:
    """What the stand-in takes for the network of the HEF at ``path``: ``small``'s streams."""
    stream = {"name": "small/input_layer1", "shape": [4, 4, 3], "order": "NHWC", "scale": 0.05, "zero_point": 100.0}
    output = dict(stream, name="small/conv1", scale=0.1)
    told = {"group": "small", "inputs": [stream], "outputs": [output], "gain": gain, **changes}
    path.with_suffix(".hef.json").write_text(json.dumps(told))
