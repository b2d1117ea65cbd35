"""ncnn, for the ``X.ncnn.param`` and ``X.ncnn.bin`` that pnnx writes.

Lowest-overhead call: input ``Mat`` objects made once, blobs by index, a new ``Extractor`` for each inference (it
caches what it computed: https://github.com/Tencent/ncnn/wiki/faq). ncnn drops the batch dimension; which axis that
is stands in the ``X_ncnn.py`` that pnnx writes too, else it is a leading 1. Without that file the inputs' shapes are
unknown, their number of dimensions too (``[-1]``): the job names them in full, as ``1x3x224x224``.
"""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy

from .. import wire
from . import Arrays, Refused, Session, WhyNot, not_installed
from .hearing import heard

FORMATS = ("ncnn",)
OPTIONS: Dict[str, str] = {}
REDUCED = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
NO_BATCH = 233  # ncnn's and pnnx's own word for it
FP16_TAG = 0x01306B47  # stands before weights stored as fp16 (ncnn src/modelbin.cpp); as a float it would be 3e-38
TAG_SEARCH_BYTES = 4 << 20
PROBE = "7767517\n2 2\nInput in0 0 1 in0\nInnerProduct product 1 1 in0 out0 0=64 1=0 2=4096\n"


def why_not() -> Optional[WhyNot]:
    return not_installed("ncnn", "ncnn")


def versions() -> Dict[str, str]:
    import ncnn

    return {"ncnn": ncnn.__version__}


def offers() -> List[wire.Offer]:
    import ncnn

    found = [wire.Offer("cpu")]
    error = default_error()
    if error:
        note = "ncnn's own default: 16-bit weights or values (a 64x64 product is off by %.0e here)" % error
        found.append(wire.Offer("cpu", precision="default", note=note))
    count = ncnn.get_gpu_count()
    return found + [wire.Offer("vulkan" if index == 0 else "vulkan%d" % index) for index in range(count)]


def open(job: wire.Open) -> "Ncnn":
    if not job.model.endswith(".param"):
        raise Refused("ncnn takes the path of a .param file, with the .bin beside it; %s is none" % job.model)
    weights = job.model[: -len(".param")] + ".bin"
    for path in (job.model, weights):
        if not os.path.isfile(path):
            raise Refused("there is no file %s; ncnn needs the .param and the .bin" % path)
    return Ncnn(job, weights)


class Ncnn(Session):
    def __init__(self, job: wire.Open, weights: str) -> None:
        import ncnn

        self.net = ncnn.Net()
        gpu = _gpu(job.device)
        self.net.opt.num_threads = job.threads
        self.net.opt.use_vulkan_compute = gpu is not None
        if job.precision == "fp32":
            _full_precision(self.net.opt)
        if gpu is not None:
            self.net.set_vulkan_device(gpu)
        _load(self.net, job.model, weights)
        feeds, gives = _ordered(self.net, "in"), _ordered(self.net, "out")
        if job.inputs and len(job.inputs) != len(feeds):
            words = "the ncnn form has the inputs %s, the model has %d: pnnx dropped or renamed some"
            raise Refused(words % (", ".join(name for name, _ in feeds) or "none", len(job.inputs)))
        told = _told_by_pnnx(job.model, len(feeds))
        self.batch_axes = [axis for axis, _ in told] if told else None
        self.inputs = job.inputs or [
            wire.TensorSpec(name, "float32", told[index][1] if told else [-1]) for index, (name, _) in enumerate(feeds)
        ]
        self.outputs = [wire.TensorSpec(name, "float32", [-1]) for name, _ in gives]  # known after an inference only
        self.feeds, self.gives = [blob for _, blob in feeds], [blob for _, blob in gives]
        self.results: List[Any] = []
        self.effective = _effective(self.net.opt)
        self.precision = _precision(self.net.opt, weights)

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        axes: List[Optional[int]] = [None] * len(arrays) if self.batch_axes is None else list(self.batch_axes)
        self.held = [_mat(array, axis) for array, axis in zip(arrays, axes)]
        fed, gives, begin = list(zip(self.feeds, self.held)), self.gives, self.net.create_extractor

        def call() -> None:
            extractor = begin()
            for blob, mat in fed:
                extractor.input(blob, mat)
            self.results = [extractor.extract(blob) for blob in gives]

        return call

    def read(self) -> Arrays:
        for spec, (status, _) in zip(self.outputs, self.results):
            if status != 0:
                raise Refused("ncnn could not compute %s (status %d): often too little memory" % (spec.name, status))
        return [numpy.array(mat) for _, mat in self.results]

    def close(self) -> None:
        self.results, self.held = [], []
        self.net.clear()


def default_error() -> float:
    """Largest error that ncnn's default settings make on this CPU in one 64x64 product of values near 1."""
    return float(numpy.abs(_probe(False) - _probe(True)).max())


def _probe(full: bool) -> "numpy.ndarray[Any, Any]":
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    if full:
        _full_precision(net.opt)
    net.load_param_mem(PROBE)
    weights = numpy.full(1 + 64 * 64, 0.1, numpy.float32)
    weights[0] = 0  # the tag of plain fp32 weights
    net.load_model_mem(weights.tobytes())
    extractor = net.create_extractor()
    extractor.input("in0", _cloned(numpy.full(64, 0.3, numpy.float32)))
    return numpy.array(extractor.extract("out0")[1])


def _gpu(device: str) -> Optional[int]:
    """The Vulkan device's number, ``None`` for the CPU. Raises :class:`Refused` for what is not here."""
    import ncnn

    if device == "cpu":
        return None
    count = ncnn.get_gpu_count()
    here = ["vulkan" if index == 0 else "vulkan%d" % index for index in range(count)]
    if device not in here:
        raise Refused("ncnn can't use %r here; it can use: %s" % (device, ", ".join(["cpu"] + here)))
    return here.index(device)


def _full_precision(options: Any) -> None:
    for name in REDUCED:
        if hasattr(options, name):  # older versions lack some
            setattr(options, name, False)


def _load(net: Any, param: str, weights: str) -> None:
    """Raises :class:`Refused` with what ncnn printed, for it returns no more than a number."""
    failed = _load_both(net, param, weights)
    if failed is None:
        return
    net.clear()
    with heard() as words:  # only now: had it crashed the first time, its words would be lost with the process
        _load_both(net, param, weights)
    raise Refused("ncnn can't load %s: %s" % (failed, "; ".join(words) or "it gives no reason"))


def _load_both(net: Any, param: str, weights: str) -> Optional[str]:
    """What could not be loaded, ``None`` when all is well."""
    if net.load_param(param) != 0:
        return "the network of " + param
    if net.load_model(weights) != 0:
        return "the weights of " + weights
    return None


def _ordered(net: Any, prefix: str) -> List[Tuple[str, int]]:
    """Names and blob numbers of the inputs (``in``) or outputs (``out``), in the order of the converted model's.

    pnnx calls them in0, in1, ..., out0, ...; other blobs that nothing reads (an LSTM's last state) are no outputs.
    """
    names = net.input_names() if prefix == "in" else net.output_names()
    blobs = net.input_indexes() if prefix == "in" else net.output_indexes()
    pairs = list(zip(names, blobs))
    numbered = [pair for pair in pairs if re.match(prefix + r"\d+$", pair[0])]
    return sorted(numbered, key=lambda pair: int(pair[0][len(prefix) :])) or pairs


def _told_by_pnnx(param: str, count: int) -> List[Tuple[int, List[int]]]:
    """Batch axis and full shape of each input from the ``X_ncnn.py`` of pnnx; empty when it is not there."""
    script = re.sub(r"\.ncnn\.param$", "_ncnn.py", param)
    if script == param or not os.path.isfile(script):
        return []
    text = pathlib.Path(script).read_text(encoding="utf-8")
    told = []
    for index in range(count):
        shape = re.search(r"in%d = torch\.rand(?:int)?\((?:10, \()?([\d, ]+)" % index, text)
        axis = re.search(r"in%d\.numpy\(\), batch_index=(\d+)" % index, text)
        squeezed = re.search(r"in%d\.squeeze\((\d+)\)" % index, text)  # versions before 2026-10
        if shape is None:
            return []
        sizes = [int(size) for size in shape.group(1).split(",") if size.strip()]
        found = axis or squeezed
        told.append((int(found.group(1)) if found else NO_BATCH, sizes))
    return told


def _mat(array: "numpy.ndarray[Any, Any]", batch_axis: Optional[int]) -> Any:
    """The array as ncnn's own memory. Raises :class:`Refused` for what ncnn can't hold."""
    if array.dtype == numpy.int64:
        array = array.astype(numpy.int32)  # ncnn's integers have 32 bits
    if array.dtype not in (numpy.float32, numpy.int32):
        raise Refused("ncnn takes float32 or int32 inputs, not %s" % array.dtype)
    axis = 0 if batch_axis is None else batch_axis
    if axis != NO_BATCH and array.ndim > 1:
        if array.shape[axis] == 1:
            array = array.squeeze(axis)
        elif batch_axis is not None or array.ndim > 4:
            raise Refused("ncnn has no batch dimension: it runs one sample, not %d at once" % array.shape[axis])
    if array.ndim > 4:
        raise Refused("ncnn holds 4 dimensions at most, the input has %d" % array.ndim)
    return _cloned(numpy.array(array, order="C", ndmin=1))  # ncnn has no scalars


def _cloned(array: "numpy.ndarray[Any, Any]") -> Any:
    """The array as ncnn's own memory. A Mat of an array keeps no reference to it: here the argument does."""
    import ncnn

    return ncnn.Mat(array).clone()


def _effective(options: Any) -> Dict[str, str]:
    names = ("num_threads", "use_vulkan_compute", "use_winograd_convolution", "use_packing_layout") + REDUCED
    return {name: str(getattr(options, name)).lower() for name in names if hasattr(options, name)}


def _precision(options: Any, weights: str) -> wire.Precision:
    half = _half_weights(weights)
    reduced = [name for name in REDUCED if getattr(options, name, False)]
    file = "weights are stored as %s" % ("fp16" if half else "fp32")
    if reduced:
        ran = "fp16" if any("fp16" in name for name in reduced) else "bf16"
        return wire.Precision(ran + " where supported", "%s are on; %s" % (", ".join(reduced), file))
    words = "all fp16 and bf16 options are off; " + file
    return wire.Precision("fp32 with weights rounded to fp16" if half else "fp32", words)


def _half_weights(path: str) -> bool:
    """Whether ncnn's mark of fp16 weights is in the first 4 MiB (weights of a layer start on 4 bytes)."""
    count = min(os.path.getsize(path), TAG_SEARCH_BYTES) // 4
    return bool((numpy.fromfile(path, "<u4", count) == FP16_TAG).any())
