"""What HailoRT's streams take and give, fitted to the model's inputs: layout, types, frames of a batch.

HailoRT takes images with the features last. A model that wants them first (ONNX) has its data transposed before the
latency begins, as an application would hold them; outputs are put back after it.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy

from .. import wire
from . import Refused

TYPES = ("float32", "uint8", "uint16")
Array = Any


class Quant(NamedTuple):
    """``real = scale * (stored - zero_point)``, of a stream or of its first feature."""

    scale: float
    zero_point: float


class Take(NamedTuple):
    """One input: ``spec`` is what the worker gives, ``shape`` and ``dtype`` one frame as HailoRT takes it."""

    name: str
    spec: wire.TensorSpec
    shape: Tuple[int, ...]
    dtype: str
    transposed: bool
    quant: Quant

    @property
    def quantised(self) -> bool:
        """Is it quantised before the latency begins?"""
        return self.spec.dtype == "float32" and self.dtype != "float32"

    def frames(self, array: Array) -> Array:
        """The frames of a batch, contiguous: [frames, *shape]."""
        array = numpy.asarray(array)
        if self.transposed:
            array = numpy.moveaxis(array, 1, -1)
        array = array.reshape((-1,) + self.shape)
        if self.quantised:
            most = numpy.iinfo(self.dtype).max
            array = numpy.clip(numpy.rint(array / self.quant.scale + self.quant.zero_point), 0, most)
        return numpy.array(array, dtype=self.dtype, order="C")

    def words(self) -> str:
        how = ", transposed before the latency" if self.transposed else ""
        before = ", quantised before the latency" if self.quantised else ""
        by = ", quantised by HailoRT" if self.dtype == "float32" else ""
        return "%s %s %s%s%s%s" % (self.name, self.dtype, "x".join(map(str, self.shape)), how, before, by)


class Give(NamedTuple):
    """One output: ``shape`` and ``dtype`` of one frame as HailoRT gives it; ``nms`` are [classes, 5, boxes]."""

    name: str
    shape: Tuple[int, ...]
    dtype: str
    quantised: bool
    transposed: bool
    quant: Quant
    nms: Optional[Tuple[int, ...]]
    raw: bool
    """Boxes that HailoRT packs in bytes: they have no shape."""

    def spec(self, batch: int) -> wire.TensorSpec:
        shape = self.nms or self.shape
        if self.transposed:
            shape = (shape[-1],) + shape[:-1]
        dtype = "uint8" if self.raw else "float32"
        return wire.TensorSpec(self.name, dtype, [batch] + [int(size) for size in shape])

    def array(self, raw: Array) -> Array:
        """[frames, ...] as the model gives them, from HailoRT's."""
        array = numpy.array(raw)
        if self.quantised:
            array = ((array.astype("float32") - self.quant.zero_point) * self.quant.scale).astype("float32")
        return numpy.ascontiguousarray(numpy.moveaxis(array, -1, 1)) if self.transposed else array

    def words(self) -> str:
        if self.nms or self.raw:
            return "%s boxes after NMS on the host" % self.name
        how = "dequantised after the latency" if self.quantised else "dequantised by HailoRT"
        return "%s %s %s, %s" % (self.name, self.dtype, "x".join(map(str, self.shape)), how)


def takes_of(job: wire.Open, infos: List[Any], batch: int) -> List[Take]:
    """The inputs in the order of the job's, or in HailoRT's where the job knows none. Raises :class:`Refused`."""
    if not job.inputs:
        return [_own(info, job.options, batch) for info in infos]
    if len(job.inputs) != len(infos):
        raise Refused(
            "the HEF takes %d inputs, the model %d" % (len(infos), len(job.inputs)), "give the model's own HEF"
        )
    return [_fitted(spec, info, job.options) for spec, info in _pairs(job.inputs, infos)]


def give_of(info: Any, options: Dict[str, str], takes: List[Take]) -> Give:
    """One output; its layout is that of the inputs."""
    order = str(info.format.order).rpartition(".")[2]
    if order.startswith("HAILO_NMS"):
        raw = order not in ("HAILO_NMS", "HAILO_NMS_BY_CLASS")
        shape: Tuple[int, ...] = (-1,)  # HailoRT refuses to tell one for packed boxes
        told = info.nms_shape
        boxes = None if raw else (int(told.number_of_classes), 5, int(told.max_bboxes_per_class))
        return Give(info.name, shape, "uint8" if raw else "float32", False, False, _quant(info), boxes, raw)
    shape = tuple(int(size) for size in info.shape)
    asked = options.get("output", "float32")
    dtype = _own_type(info) if asked == "auto" else asked
    transposed = len(shape) == 3 and any(take.transposed for take in takes)
    return Give(info.name, shape, dtype, dtype != "float32", transposed, _quant(info), None, False)


def _own(info: Any, options: Dict[str, str], batch: int) -> Take:
    shape = tuple(int(size) for size in info.shape)
    dtype = options.get("input", _own_type(info))
    spec = wire.TensorSpec(info.name, dtype, [batch, *shape])
    return Take(info.name, spec, shape, dtype, False, _quant(info))


def _fitted(spec: wire.TensorSpec, info: Any, options: Dict[str, str]) -> Take:
    if spec.dtype not in TYPES:
        words = "input %r holds %s; HailoRT takes %s" % (spec.name, spec.dtype, ", ".join(TYPES))
        raise Refused(words, "give the HEF alone, without the other forms of the model")
    shape = tuple(int(size) for size in info.shape)
    dtype = options.get("input", spec.dtype)
    return Take(info.name, spec, shape, dtype, _is_transposed(spec, shape), _quant(info))


def _is_transposed(spec: wire.TensorSpec, shape: Tuple[int, ...]) -> bool:
    """Has the model the features first where the HEF has them last? Raises :class:`Refused` where neither fits."""
    frame = list(spec.shape[1:])
    if _long(frame) == _long(shape):  # the same, but for dimensions of 1
        return False
    if len(frame) == 3 and tuple(frame[1:] + frame[:1]) == shape:
        return True
    given, taken = ("x".join(map(str, sizes)) for sizes in (spec.shape, shape))
    words = "input %r is %s, the HEF's %s: neither the same nor with the features last" % (spec.name, given, taken)
    raise Refused(words, "give the HEF that was compiled from this model, or the HEF alone")


def _long(sizes: Any) -> List[int]:
    return [int(size) for size in sizes if size != 1]


def _pairs(specs: List[wire.TensorSpec], infos: List[Any]) -> "List[Tuple[wire.TensorSpec, Any]]":
    """By the end of their names (``net/images``) where all have such a one, else by their order."""
    named = {info.name.rpartition("/")[2]: info for info in infos}
    if len(named) == len(infos) and all(spec.name in named for spec in specs):
        return [(spec, named[spec.name]) for spec in specs]
    return list(zip(specs, infos))


def _own_type(info: Any) -> str:
    name = str(info.format.type).rpartition(".")[2].lower()
    return name if name in TYPES else "uint8"


def _quant(info: Any) -> Quant:
    return Quant(float(info.quant_info.qp_scale) or 1.0, float(info.quant_info.qp_zp))
