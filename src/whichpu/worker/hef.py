"""A HEF, Hailo's compiled file, read without HailoRT: what the device would say of it, and the compiler's estimates.

Layout and field numbers: ``hef_internal.hpp`` of HailoRT 4.23 (header versions 0 to 3) and ``hef.proto`` of 4.18 to
4.21, github.com/hailo-ai/hailort. Standard library only, so that boards use it too. The weights are not read, and of
the checksums only version 0's MD5 is checked. Not tried on a real HEF yet: none could be had.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Tuple

from .protobuf import Message

MAGIC = 0x01484546
HEADERS: Dict[int, str] = {0: ">I16s", 1: ">IQI", 2: ">QQQQ", 3: ">QQIQQQ"}
"""What follows magic, version and the size of the protobuf, by version; all big-endian and packed."""

CHIPS = {
    0: ("HAILO8", "Hailo-8"),
    1: ("HAILO8P", "Hailo-8"),
    2: ("HAILO8R", "Hailo-8R"),
    3: ("HAILO8L", "Hailo-8L"),
    4: ("HAILO15M", "Hailo-15M"),
    5: ("HAILO10H", "Hailo-10H"),
    6: ("HAILO15L", "Hailo-15L"),
    103: ("HAILO15H", "Hailo-15H"),
}
"""``ProtoHEFHwArch``: HailoRT's name and the maker's."""

RUNS = {
    "HAILO8": ("HAILO8", "HAILO8P", "HAILO8R", "HAILO8L"),
    "HAILO8L": ("HAILO8L",),
    "HAILO15H": ("HAILO15H", "HAILO15M", "HAILO10H"),
    "HAILO10H": ("HAILO15H", "HAILO15M", "HAILO10H"),
    "HAILO15M": ("HAILO15M",),
    "HAILO15L": ("HAILO15L",),
}
"""Which HEFs a device takes, by its architecture (``DeviceBase::is_hef_compatible``). Of ``HAILO8`` HEFs HailoRT itself
is asked: they are of the first chips, and its own word is worth more."""

ORDERS = {1: "NHWC", 2: "NHCW", 3: "FCR", 4: "F8CR", 5: "NHW", 6: "NC", 7: "BAYER_RGB", 9: "NMS", 10: "RGB888"}
ORDERS.update({11: "NCHW", 12: "YUY2", 13: "NV12", 14: "NV21"})
FORMATS = {0: "NHWC", 1: "NHWC", 2: "NC", 3: "FCR", 4: "BAYER_RGB", 5: "NHW", 6: "NMS", 7: "F8CR"}
"""Orders as in ``ProtoHEFFormatOrder``, and the formats of edge layers (``HEF__net_io_formatter_type_t``)."""

NMS = {7: "YOLOv5", 8: "YOLOX", 9: "SSD", 10: "IoU", 11: "YOLOv5 segmentation", 12: "YOLOv8"}
"""``ProtoHEFNmsOp.nms_op`` by field."""

FEATURES = {
    1: "abbale",
    2: "posted_writes",
    3: "ddr",
    4: "multi_context",
    5: "compressed_params",
    6: "transpose_component",
    7: "padded_ddr_buffers",
    8: "sequencer",
}
BOUNDARY = 0
DEEPEST = 4
"""Multiplexed layers in multiplexed layers."""

AGAIN = "copy or download the file again, or compile it again with Hailo's Dataflow Compiler"
"""What to try with a file that can't be read."""


class HefError(Exception):
    """A file that is no HEF, or a damaged one; the message is for the user."""


@dataclass
class Quantisation:
    """``real = scale * (stored - zero_point)``; ``least`` and ``most`` bound the real values.

    ``per_feature`` counts the scales where each feature has its own (those here are then the first's).
    """

    scale: Optional[float]
    zero_point: Optional[float]
    least: Optional[float] = None
    most: Optional[float] = None
    per_feature: int = 0


@dataclass
class Stream:
    """An input or output of the whole network, as HailoRT feeds and gives it.

    ``shape`` is [height, width, features] without the padding, [features] for ``NC``, [classes, 5, boxes] for ``NMS``.
    ``dtype`` is what the chip moves, ``float32`` where the host computes the output. ``originals`` are the layers of
    the model that was compiled.
    """

    name: str
    shape: List[int]
    order: str
    dtype: str
    quantisation: Optional[Quantisation] = None
    originals: List[str] = field(default_factory=list)


@dataclass
class HostOperator:
    """What HailoRT computes on the host's CPU after the chip: ``kind`` is NMS, box decoding, Softmax or ArgMax."""

    name: str
    kind: str
    detail: str = ""


@dataclass
class Group:
    """A network group: what is loaded at once. More than one context: the chip is loaded anew within an inference.

    ``bottleneck_fps`` and ``simulated_latency`` are the compiler's own estimates (the file names no unit of the
    latency); ``None`` where it made none.
    """

    name: str
    networks: List[str]
    contexts: int
    inputs: List[Stream]
    outputs: List[Stream]
    host: List[HostOperator]
    bottleneck_fps: Optional[float] = None
    simulated_latency: Optional[float] = None


@dataclass
class Hef:
    """A whole file. ``arch`` is HailoRT's name of the chip, ``chip`` the maker's.

    ``compiler`` is the Dataflow Compiler's version, ``timestamp`` as it stands in the file; ``weights_bytes`` is
    ``None`` where the protobuf holds them.
    """

    header_version: int
    file_bytes: int
    weights_bytes: Optional[int]
    arch: str
    chip: str
    compiler: str
    timestamp: int
    groups: List[Group]
    features: List[str]

    def runs_on(self, architecture: str) -> Optional[bool]:
        """Does a device of this architecture (``HAILO8L``) take it? ``None``: not known here."""
        return None if architecture not in RUNS else self.arch in RUNS[architecture]


def read(path: str) -> Hef:
    """What a HEF tells. Raises :class:`HefError` in one sentence, :class:`OSError` where it can't be read at all."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        version, begins, proto_bytes, weights, digest = _header(file.read(64), size)
        file.seek(begins)
        proto = file.read(proto_bytes)
    if digest is not None and hashlib.md5(proto).digest() != digest:  # no security: HailoRT's own checksum
        raise HefError("the HEF is damaged: its checksum (MD5) is another")
    try:
        return _file(Message(proto), version, size, weights)
    except (ValueError, IndexError, struct.error) as problem:
        raise HefError("the HEF is damaged: %s" % problem) from None


def _header(head: bytes, size: int) -> "Tuple[int, int, int, Optional[int], Optional[bytes]]":
    """Version, where the protobuf begins, its bytes, the weights' bytes and the MD5. Raises :class:`HefError`."""
    if len(head) < 12 or struct.unpack(">I", head[:4])[0] != MAGIC:
        raise HefError("it is no HEF: it begins with %r" % head[:4])
    version, proto_bytes = struct.unpack(">II", head[4:12])
    if version not in HEADERS:
        known = ", ".join(map(str, sorted(HEADERS)))
        raise HefError("the HEF has header version %d; versions %s are known (HailoRT 4)" % (version, known))
    begins = 12 + struct.calcsize(HEADERS[version])
    told = struct.unpack(HEADERS[version], head[12:begins]) if len(head) >= begins else (0,) * 6
    weights = None if version == 0 else int(told[1])
    expected = begins + proto_bytes + (weights or 0)
    if size < expected:
        words = "the HEF is cut short: its header speaks of %s bytes, the file has %s"
        raise HefError(words % (format(expected, ","), format(size, ",")))
    return version, begins, proto_bytes, weights, told[1] if version == 0 else None


def _file(top: Message, version: int, size: int, weights: Optional[int]) -> Hef:
    header = top.message(1)
    code = header.whole(1)
    arch, chip = CHIPS.get(code, ("ARCH_%d" % code, "a chip with number %d, which WhichPU does not know" % code))
    groups = [_group(one) for one in top.messages(2)]
    if not groups:
        raise HefError("the HEF holds no network")
    included = top.message(4)
    return Hef(
        header_version=version,
        file_bytes=size,
        weights_bytes=weights,
        arch=arch,
        chip=chip,
        compiler=header.text(3),
        timestamp=header.whole(2),
        groups=groups,
        features=[name for number, name in FEATURES.items() if included.whole(number)],
    )


# ---------------------------------------------------------------- a network group


def _group(group: Message) -> Group:
    """``ProtoHEFNetworkGroup``. Since HailoRT 4.12's compiler the core is one of its operators; before it was the group
    itself. For chips with partial clusters (8L) the contexts may stand in the first layout only."""
    operators = group.messages(8)
    cores = [one.message(4) for one in operators if one.has(4)]
    core = _with_contexts(cores[0] if cores else group, bool(cores))
    metadata = core.message(1)
    edges = [(edge.whole(1), edge.whole(2)) for edge in group.messages(9)]
    inputs, outputs = _streams(core)
    host = [one for one in operators if one.has(5) or one.has(6)]
    return Group(
        name=group.text(10) or metadata.text(1),
        networks=core.texts(6) or group.texts(6),
        contexts=core.count(3),
        inputs=[stream for _, stream in inputs],
        outputs=_outputs(outputs, host, {source for source, _ in edges}),
        host=[_host_operator(one) for one in host],
        bottleneck_fps=_told(metadata, 4),
        simulated_latency=_told(metadata, 6),
    )


def _with_contexts(core: Message, is_operator: bool) -> Message:
    if core.count(3) or not core.count(7):
        return core
    partial = core.messages(7)[0].message(1)  # ProtoHEFPartialCoreOp.core_op, ProtoHEFPartialNetworkGroup.network_group
    nested = [one.message(4) for one in partial.messages(8) if one.has(4)]
    return nested[0] if nested and not is_operator else partial


def _told(metadata: Message, number: int) -> Optional[float]:
    """An estimate; 0 is none."""
    value = metadata.real(number)
    return value if math.isfinite(value) and value > 0 else None


Padded = Tuple[Optional[int], Stream]
"""A stream, with the index of its pad where the core has one."""


def _streams(core: Message) -> Tuple[List[Padded], List[Padded]]:
    """Inputs and outputs of the core: boundary layers of all contexts; fused outputs in place of their parts."""
    inputs: List[Padded] = []
    outputs: List[Padded] = []
    for context in core.messages(3):
        for layer in context.message(3).messages(2):
            if layer.message(5).whole(3) != BOUNDARY:
                continue
            pad = layer.whole(7) if layer.has(7) else None
            found = [(pad, stream) for stream in _leaves(layer, (3, 4, 8))]
            (outputs if layer.whole(1) else inputs).extend(found)
    order = core.texts(4)
    outputs = _fused(core.message(5), outputs)
    return inputs, sorted(outputs, key=lambda one: order.index(one[1].name) if one[1].name in order else len(order))


def _leaves(edge: Message, places: Tuple[int, int, int], depth: int = 0) -> Iterator[Stream]:
    """Layers of an edge: the layer itself, or those that are multiplexed in it, or the planes of an image."""
    info, mux, planes = places
    if edge.has(info):
        yield _stream(edge.message(info))
    if depth > DEEPEST:
        raise ValueError("layers are nested too deep")
    for holder, number in ((mux, 5), (planes, 3)):
        for part in edge.message(holder).messages(number) if edge.has(holder) else []:
            yield from _leaves(part, (1, 2, 3), depth + 1)


def _stream(layer: Message) -> Stream:
    """``ProtoHEFEdgeLayerInfo``."""
    base = layer.message(2)
    order = FORMATS.get(base.whole(7), "format %d" % base.whole(7))
    shape = [base.whole(1), base.whole(3), base.whole(5)]
    if order == "NMS":
        nms = base.message(11).message(1)
        shape = [nms.whole(2), 5, nms.whole(3)]
    dtype = {1: "uint8", 2: "uint16"}.get(base.whole(12) or 1, "%d bytes" % base.whole(12))
    numeric = _quantisation(layer.message(3)) if layer.has(3) else None
    return Stream(layer.text(1), _shape(shape, order), order, dtype, numeric, layer.texts(5))


def _shape(shape: List[int], order: str) -> List[int]:
    """As HailoRT tells shapes: without what the order leaves out."""
    return {"NC": shape[2:], "NHW": shape[:2]}.get(order, shape)


def _quantisation(numeric: Message) -> Quantisation:
    scales, zeros = numeric.reals(6), numeric.reals(5)
    return Quantisation(
        scale=_finite(scales[0] if scales else numeric.real(2)),
        zero_point=_finite(zeros[0] if zeros else numeric.real(1)),
        least=_finite(numeric.real(3)),
        most=_finite(numeric.real(4)),
        per_feature=len(scales) if len(scales) > 1 else 0,
    )


def _finite(value: float) -> Optional[float]:
    return value if math.isfinite(value) else None


def _fused(fused: Message, outputs: List[Padded]) -> List[Padded]:
    """Outputs that the chip gives in parts, joined by the host (NMS of many classes)."""
    if not fused.whole(1):
        return outputs
    joined: List[Padded] = [(None, _stream(one.message(1))) for one in fused.messages(3)]
    parts = {name for one in fused.messages(3) for name in one.texts(2)}
    return joined + [one for one in outputs if one[1].name not in parts]


# ---------------------------------------------------------------- operators on the host


def _outputs(core: List[Padded], host: List[Message], sources: "set[int]") -> List[Stream]:
    """The group's outputs: the core's that no operator reads, and those of the operators on the host."""
    found = [stream for pad, stream in core if pad is None or pad not in sources]
    if host and len(found) == len(core):  # no pads told: what an operator reads has the layer's name
        read = {pad.text(2) for one in host for pad in one.messages(2)}
        found = [stream for stream in found if stream.name not in read]
    pads = [pad for one in host for pad in one.messages(3)]
    return found + [_of_pad(pad) for pad in pads if pad.whole(1) not in sources]


def _of_pad(pad: Message) -> Stream:
    """``ProtoHEFPad`` of an operator that the host computes."""
    order = ORDERS.get(pad.whole(3), "order %d" % pad.whole(3))
    if pad.has(7):
        nms = pad.message(7)
        return Stream(pad.text(2), [nms.whole(1), 5, nms.whole(2)], "NMS", "float32")
    size = pad.message(6)
    return Stream(pad.text(2), _shape([size.whole(1), size.whole(3), size.whole(5)], order), order, "float32")


def _host_operator(operator: Message) -> HostOperator:
    if operator.has(6):
        return HostOperator(operator.text(1), "Softmax" if operator.message(6).whole(1) else "ArgMax")
    nms = operator.message(5)
    family = next((name for number, name in NMS.items() if nms.has(number)), "unknown")
    words = "%s, %d classes, at most %d boxes each, score over %g, IoU over %g"
    detail = words % (family, nms.whole(4), nms.whole(3), nms.real(1), nms.real(2))
    return HostOperator(operator.text(1), "box decoding" if nms.whole(13) else "NMS", detail)
