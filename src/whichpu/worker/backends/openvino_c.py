"""OpenVINO through its C interface (``libopenvino_c`` in the wheel), for the native loop.

The Python adapter opens the model too, with the same settings, and is closed again: it tells the order, names and types
of inputs and outputs and, from the compiled graph, the precision that runs, which the C interface doesn't show
(https://docs.openvino.ai, "OpenVINO Runtime C API"). It does so after loading where it can, for what it frees changes
how much memory a load takes (glibc keeps chunks as large as the largest one freed: mallopt(3), M_MMAP_THRESHOLD).
Inputs go into the request's own memory; types never cross, because OpenVINO's numbers for them are not the same in
every version.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.util
import os
import time
from typing import Any, Dict, List, NamedTuple, Optional

import numpy

from .. import memory, native, wire
from . import Arrays, Refused, Session, openvino, openvino_parts

KNOWN = ((2024, 4), (2027, 0))
"""Versions from, and before, which the calls below are known."""
CALLS = (
    "ov_core_create",
    "ov_core_read_model",
    "ov_core_compile_model",
    "ov_model_is_dynamic",
    "ov_model_reshape_by_port_indexes",
    "ov_partial_shape_create_static",
    "ov_compiled_model_get_property",
    "ov_compiled_model_create_infer_request",
    "ov_tensor_data",
    "ov_tensor_get_byte_size",
    "ov_tensor_get_shape",
    "ov_tensor_set_shape",
    "ov_infer_request_get_input_tensor_by_index",
    "ov_infer_request_get_output_tensor_by_index",
    "ov_infer_request_infer",
)
RELEASES = (
    "ov_core_free",
    "ov_model_free",
    "ov_compiled_model_free",
    "ov_infer_request_free",
    "ov_tensor_free",
    "ov_partial_shape_free",
    "ov_shape_free",
    "ov_free",
)


class Shape(ctypes.Structure):
    """``ov_shape_t``."""

    _fields_ = [("rank", ctypes.c_int64), ("sizes", ctypes.POINTER(ctypes.c_int64))]


class PartialShape(ctypes.Structure):
    """``ov_partial_shape_t``: the rank's bounds, and a pointer to the sizes' bounds."""

    _fields_ = [("rank_least", ctypes.c_int64), ("rank_most", ctypes.c_int64), ("sizes", ctypes.c_void_p)]


def devices() -> List[str]:
    """Raises :class:`Refused` with the reason where there is none."""
    native.library()
    api()
    return [device.lower() for device in openvino._core().available_devices]


def open(job: wire.Open) -> "OpenVinoC":
    native.library()
    return OpenVinoC(job, api())


class Twin(NamedTuple):
    """What the Python adapter tells of a model. ``order``: where each of our inputs stands among the model's own."""

    inputs: List[wire.TensorSpec]
    outputs: List[wire.TensorSpec]
    order: List[int]
    precision: wire.Precision


class OpenVinoC(Session):
    def __init__(self, job: wire.Open, api: "Api") -> None:
        core = openvino._core()
        device = openvino._device(core, job.device)
        settings = openvino._settings(core, device, job)
        del core
        self.api, self.job = api, job
        self.request: Any = None
        self.twin_ns = 0
        began = time.perf_counter_ns()
        self._compile(job, device, settings)
        self.load_ns = time.perf_counter_ns() - began - self.twin_ns
        self.effective = dict(self._effective(openvino.READ_BACK), loop="native, %s" % api.name)

    @functools.cached_property
    def twin(self) -> "Twin":
        """What the Python adapter tells of the model; asked for after loading, unless a dynamic model is reshaped."""
        began = time.perf_counter_ns()
        core = openvino._core()
        twin = openvino.OpenVino(core, openvino._device(core, self.job.device), self.job)
        found = Twin(twin.inputs, twin.outputs, twin.order, twin.precision)
        twin.close()
        del twin, core
        memory.give_back()  # else what it leaves is counted as the model's
        self.twin_ns = time.perf_counter_ns() - began
        return found

    @property
    def inputs(self) -> List[wire.TensorSpec]:  # type: ignore[override]
        return self.twin.inputs

    @property
    def outputs(self) -> List[wire.TensorSpec]:  # type: ignore[override]
        return self.twin.outputs

    @property
    def precision(self) -> wire.Precision:  # type: ignore[override]
        return self.twin.precision

    def bind(self, arrays: Arrays) -> native.NativeCall:
        self._unbind()
        self.request = self.api.made("ov_compiled_model_create_infer_request", self.compiled)  # its state is fresh
        for index, array, spec in zip(self.twin.order, arrays, self.inputs):
            self._fill(index, array, spec)
        return native.NativeCall(self.api.library.ov_infer_request_infer, [self.request], self.api.refuse)

    def read(self) -> Arrays:
        return [self._output(index, spec) for index, spec in enumerate(self.outputs)]

    def parts(self, arrays: Arrays, request: wire.Parts) -> wire.Parted:
        """By the Python adapter's model: the counters are the same."""
        return openvino_parts.parts_of(self.job, arrays, request)

    def close(self) -> None:
        self._unbind()
        for kind, held in (("compiled_model", self.compiled), ("core", self.core)):
            self.api.release(kind, held)

    def _compile(self, job: wire.Open, device: str, settings: Dict[str, Any]) -> None:
        api = self.api
        self.core = api.made("ov_core_create")
        model = api.made("ov_core_read_model", self.core, os.fsencode(job.model), None)
        try:
            if job.inputs and api.library.ov_model_is_dynamic(model):
                self._reshape(model, job.inputs)
            texts = [text for name, value in settings.items() for text in (name, _said(value))]
            # Variadic in C: name, value, name, value, ... after the place for the result.
            self.compiled = ctypes.c_void_p()
            words = [ctypes.c_char_p(text.encode()) for text in texts]
            into = ctypes.byref(self.compiled)
            api.call(
                "ov_core_compile_model", self.core, model, device.encode(), ctypes.c_size_t(len(words)), into, *words
            )
        finally:
            api.release("model", model)

    def _reshape(self, model: Any, specs: List[wire.TensorSpec]) -> None:
        shapes, places = (PartialShape * len(specs))(), (ctypes.c_size_t * len(specs))(*self.twin.order)
        for shape, spec in zip(shapes, specs):
            sizes = (ctypes.c_int64 * max(1, len(spec.shape)))(*spec.shape)
            rank = ctypes.c_int64(len(spec.shape))
            self.api.call("ov_partial_shape_create_static", rank, sizes, ctypes.byref(shape))
        try:
            self.api.call("ov_model_reshape_by_port_indexes", model, places, shapes, ctypes.c_size_t(len(specs)))
        finally:
            for shape in shapes:
                self.api.release("partial_shape", ctypes.byref(shape))

    def _fill(self, index: int, array: "numpy.ndarray[Any, Any]", spec: wire.TensorSpec) -> None:
        """Copy into the request's own input memory."""
        if array.dtype.name != spec.dtype:
            raise Refused("%s takes %s, not %s" % (spec.name, spec.dtype, array.dtype.name))
        api, source = self.api, numpy.array(array, order="C")
        tensor = api.made("ov_infer_request_get_input_tensor_by_index", self.request, ctypes.c_size_t(index))
        try:
            if -1 in spec.shape:
                sizes = (ctypes.c_int64 * source.ndim)(*source.shape)
                api.call("ov_tensor_set_shape", tensor, Shape(source.ndim, sizes))
            size = ctypes.c_size_t()
            api.call("ov_tensor_get_byte_size", tensor, ctypes.byref(size))
            if size.value != source.nbytes:
                raise Refused("%s takes %d bytes, the data has %d" % (spec.name, size.value, source.nbytes))
            if size.value:
                ctypes.memmove(api.made("ov_tensor_data", tensor), source.ctypes.data, size.value)
        finally:
            api.release("tensor", tensor)

    def _output(self, index: int, spec: wire.TensorSpec) -> "numpy.ndarray[Any, Any]":
        """A copy of an output."""
        tensor = self.api.made("ov_infer_request_get_output_tensor_by_index", self.request, ctypes.c_size_t(index))
        try:
            array = numpy.empty(self._shape(tensor) if -1 in spec.shape else spec.shape, spec.dtype)
            if array.nbytes:
                ctypes.memmove(array.ctypes.data, self.api.made("ov_tensor_data", tensor), array.nbytes)
        finally:
            self.api.release("tensor", tensor)
        return array

    def _shape(self, tensor: Any) -> List[int]:
        """Not for scalars: OpenVINO's C interface refuses to tell theirs."""
        shape = Shape()
        self.api.call("ov_tensor_get_shape", tensor, ctypes.byref(shape))
        sizes = [int(shape.sizes[axis]) for axis in range(shape.rank)]
        self.api.release("shape", ctypes.byref(shape))
        return sizes

    def _effective(self, names: Any) -> Dict[str, str]:
        found = {name: self._property(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def _property(self, name: str) -> Optional[str]:
        """What the compiled model reports, ``None`` where it doesn't know the property."""
        try:
            text = self.api.made("ov_compiled_model_get_property", self.compiled, name.encode())
        except Refused:
            return None
        value = ctypes.string_at(text).decode()
        self.api.release("", text)
        return value

    def _unbind(self) -> None:
        if self.request is not None:
            self.api.release("infer_request", self.request)
        self.request = None


class Api:
    """The C library; a status that is not 0 becomes :class:`Refused`."""

    def __init__(self, path: str) -> None:
        self.name = os.path.basename(path)
        self.library = ctypes.CDLL(path)
        missing = [name for name in (*CALLS, *RELEASES) if not hasattr(self.library, name)]
        if missing:
            raise Refused("%s does not export %s" % (self.name, ", ".join(missing)))
        self.library.ov_model_is_dynamic.restype = ctypes.c_bool
        for name in RELEASES:
            release = getattr(self.library, name)
            release.restype, release.argtypes = None, [ctypes.c_void_p]

    def call(self, name: str, *arguments: Any) -> None:
        """The arguments carry their C types."""
        status = getattr(self.library, name)(*arguments)
        if status:
            self.refuse(status)

    def made(self, name: str, *arguments: Any) -> Any:
        """What a function hands out through its last argument."""
        found = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(found))
        return found

    def release(self, kind: str, held: Any) -> None:
        getattr(self.library, "ov_%s_free" % kind if kind else "ov_free")(held)

    def refuse(self, status: int) -> None:
        """Raises :class:`Refused` with OpenVINO's words."""
        words = []
        for name, arguments in (("ov_get_last_err_msg", ()), ("ov_get_error_info", (ctypes.c_int(status),))):
            says = getattr(self.library, name, None)
            if says is not None:
                says.restype = ctypes.c_char_p
                words.append((says(*arguments) or b"").decode("utf-8", "replace").strip())
        raise Refused(next((text for text in words if text), "OpenVINO reports status %d" % status))


def known(version: str) -> bool:
    """Whether the calls above are known for ``version``."""
    numbers = tuple(int(part) if part.isdigit() else -1 for part in version.split(".")[:2])
    return KNOWN[0] <= numbers < KNOWN[1]


@functools.lru_cache(maxsize=None)
def api() -> Api:
    """The installed wheel's library. Raises :class:`Refused` for none, and for a version that is not known."""
    version = openvino.versions()["openvino"]
    if not known(version):
        span = "from %s to before %s" % tuple(".".join(map(str, bound)) for bound in KNOWN)
        raise Refused("the native loop knows OpenVINO %s, not %s" % (span, version))
    return Api(library_path())


def library_path() -> str:
    """``libopenvino_c`` in the wheel. Raises :class:`Refused`."""
    spec = importlib.util.find_spec("openvino")
    for folder in list(spec.submodule_search_locations or []) if spec else []:
        for pattern in ("libopenvino_c.so*", "libopenvino_c*.dylib"):
            for path in sorted(glob.glob(os.path.join(glob.escape(folder), "libs", pattern))):
                return path
    raise Refused("this OpenVINO comes without libopenvino_c, the library with its C interface")


def _said(value: Any) -> str:
    """A setting as the C interface takes it."""
    return {True: "YES", False: "NO"}[value] if isinstance(value, bool) else str(value)
