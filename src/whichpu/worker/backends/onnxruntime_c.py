"""ONNX Runtime through its C interface, for the native loop: what a C++ application that binds its buffers calls.

``OrtGetApiBase()->GetApi(N)`` gives a table of functions to which every version only appends, so a place in it holds
for all later ones (https://onnxruntime.ai/docs/api/c/struct_ort_api.html; the order stands in
``onnxruntime_c_api.h``). Options are those of the Python adapter; inputs are bound to memory of ours, outputs to memory
that ONNX Runtime allocates at the first inference.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.util
import os
import time
from typing import Any, List, Sequence, Tuple

import numpy

from .. import native, wire
from . import Arrays, Refused, Session, onnxruntime_parts
from . import onnxruntime_providers as providers
from .onnxruntime import LEVELS, as_declared, precision_of, versions

KNOWN = ((1, 19), (2, 0))
"""Versions from, and before, which the places below are known to hold."""
TABLE_VERSION = 16
PROVIDER = providers.CPU
GRAPH = {"disabled": 0, "basic": 1, "extended": 2, "all": 99}  # GraphOptimizationLevel
ERRORS_ONLY = 3  # ORT_LOGGING_LEVEL_ERROR
ARENA = 1  # OrtArenaAllocator
KINDS = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip  # ONNXTensorElementDataType
PLACES = {
    "GetErrorMessage": 2,
    "CreateEnv": 3,
    "DisableTelemetryEvents": 6,
    "CreateSession": 7,
    "CreateSessionOptions": 10,
    "SetSessionLogSeverityLevel": 22,
    "SetSessionGraphOptimizationLevel": 23,
    "SetIntraOpNumThreads": 24,
    "SetInterOpNumThreads": 25,
    "SessionGetInputCount": 30,
    "SessionGetOutputCount": 31,
    "SessionGetInputTypeInfo": 33,
    "SessionGetOutputTypeInfo": 34,
    "SessionGetInputName": 36,
    "SessionGetOutputName": 37,
    "CreateRunOptions": 39,
    "CreateTensorWithDataAsOrtValue": 49,
    "GetTensorMutableData": 51,
    "CastTypeInfoToTensorInfo": 55,
    "GetTensorElementType": 60,
    "GetDimensionsCount": 61,
    "GetDimensions": 62,
    "GetTensorTypeAndShape": 65,
    "CreateCpuMemoryInfo": 69,
    "AllocatorFree": 76,
    "GetAllocatorWithDefaultOptions": 78,
    "ReleaseEnv": 92,
    "ReleaseStatus": 93,
    "ReleaseMemoryInfo": 94,
    "ReleaseSession": 95,
    "ReleaseValue": 96,
    "ReleaseRunOptions": 97,
    "ReleaseTypeInfo": 98,
    "ReleaseTensorTypeAndShapeInfo": 99,
    "ReleaseSessionOptions": 100,
    "RunWithBinding": 133,
    "CreateIoBinding": 134,
    "ReleaseIoBinding": 135,
    "BindInput": 136,
    "BindOutputToDevice": 138,
    "GetBoundOutputValues": 140,
}


def devices() -> List[str]:
    """Raises :class:`Refused` with the reason where there is none."""
    native.library()
    api()
    return ["cpu"]


def open(job: wire.Open) -> "OnnxRuntimeC":
    native.library()
    if job.device != "cpu":
        raise Refused("the native loop runs ONNX Runtime on the CPU only, not on %r" % job.device)
    providers.check(job)
    return OnnxRuntimeC(job)


class OnnxRuntimeC(Session):
    def __init__(self, job: wire.Open) -> None:
        level = job.options.get("graph", "all")
        if level not in GRAPH:
            raise Refused("graph=%s is not a level; there are: %s" % (level, ", ".join(GRAPH)))
        self.job, self.model, self.level = job, job.model, level
        self.api = api()
        self.held: Arrays = []
        self.values: List[Any] = []
        self.binding: Any = None
        began = time.perf_counter_ns()
        self._create(job)
        self.load_ns = time.perf_counter_ns() - began  # without loading the library
        self.inputs = job.inputs or self._specs("Input")
        self.outputs = self._specs("Output")
        self.effective = {
            "providers": PROVIDER,
            "intra_op_num_threads": str(job.threads),
            "inter_op_num_threads": "1",
            "graph_optimization_level": LEVELS[level],
            "outputs": "bound once; ONNX Runtime allocates them (anew each time where the declared shape is wrong)",
            "loop": "native, %s" % os.path.basename(self.api.path),
        }

    @functools.cached_property
    def precision(self) -> wire.Precision:  # type: ignore[override]
        """What the Python adapter's same session would run, looked for when first asked."""
        return precision_of(self.model, PROVIDER, self.level)

    def bind(self, arrays: Arrays) -> native.NativeCall:
        self._unbind()
        self.binding = self.api.made("CreateIoBinding", self.session)
        self.held = [native.aligned(array) for array in arrays]
        for spec, array in zip(self.inputs, self.held):
            self.values.append(self._value(array))
            self.api.call("BindInput", self.binding, spec.name.encode(), self.values[-1])
        for spec in self.outputs:
            self.api.call("BindOutputToDevice", self.binding, spec.name.encode(), self.memory)
        run = self.api.address("RunWithBinding")
        return native.NativeCall(run, self._run_arguments(), self.api.refuse, self.held, pointer_status=True)

    def steady(self, call: Any) -> native.NativeCall:
        """As in the Python adapter: outputs of another shape than declared are bound anew at each inference."""
        if all(as_declared(array, spec.shape) for array, spec in zip(self.read(), self.outputs)):
            found: native.NativeCall = call
            return found
        names = [ctypes.c_char_p(spec.name.encode()) for spec in self.outputs]
        anew = self.api.address("BindOutputToDevice")
        calls: List[Tuple[Any, Sequence[Any]]] = [(anew, [self.binding, name, self.memory]) for name in names]
        calls.append((self.api.address("RunWithBinding"), self._run_arguments()))
        return native.in_turn(calls, self.api.refuse, (names, self.held))

    def read(self) -> Arrays:
        values, count = ctypes.POINTER(ctypes.c_void_p)(), ctypes.c_size_t()
        into = ctypes.byref(values), ctypes.byref(count)
        self.api.call("GetBoundOutputValues", self.binding, self.allocator, *into)
        found = [self._array(ctypes.c_void_p(values[index])) for index in range(count.value)]
        for index in range(count.value):
            self.api.release("Value", ctypes.c_void_p(values[index]))
        if values:
            self.api.call("AllocatorFree", self.allocator, ctypes.cast(values, ctypes.c_void_p))
        return found

    def parts(self, arrays: Arrays, request: wire.Parts) -> wire.Parted:
        """By the Python adapter's session: the profiler is the same."""
        return onnxruntime_parts.parts_of(self.job, providers.ON_CPU, arrays, request)

    def close(self) -> None:
        self._unbind()
        for kind, held in (("RunOptions", self.run), ("Session", self.session), ("MemoryInfo", self.memory)):
            self.api.release(kind, held)
        self.api.release("Env", self.environment)

    def _create(self, job: wire.Open) -> None:
        api = self.api
        self.environment = api.made("CreateEnv", ctypes.c_int(ERRORS_ONLY), b"whichpu")
        api.call("DisableTelemetryEvents", self.environment)
        settings = api.made("CreateSessionOptions")
        try:
            for name, value in (
                ("SetIntraOpNumThreads", job.threads),
                ("SetInterOpNumThreads", 1),
                ("SetSessionLogSeverityLevel", ERRORS_ONLY),
                ("SetSessionGraphOptimizationLevel", GRAPH[self.level]),
            ):
                api.call(name, settings, ctypes.c_int(value))
            self.session = api.made("CreateSession", self.environment, os.fsencode(job.model), settings)
        finally:
            api.release("SessionOptions", settings)
        self.run = api.made("CreateRunOptions")
        self.memory = api.made("CreateCpuMemoryInfo", ctypes.c_int(ARENA), ctypes.c_int(0))
        self.allocator = api.made("GetAllocatorWithDefaultOptions")

    def _run_arguments(self) -> Sequence[Any]:
        return [self.session, self.run, self.binding]

    def _unbind(self) -> None:
        if self.binding is not None:
            self.api.release("IoBinding", self.binding)
        for value in self.values:
            self.api.release("Value", value)
        self.binding, self.values, self.held = None, [], []

    def _value(self, array: "numpy.ndarray[Any, Any]") -> Any:
        """A tensor over the array's memory."""
        kind = next((number for number, name in KINDS.items() if name == array.dtype.name), None)
        if kind is None:
            raise Refused("the native loop can't feed values of type %s" % array.dtype)
        shape = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
        memory, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        rank = ctypes.c_size_t(array.ndim)
        return self.api.made(
            "CreateTensorWithDataAsOrtValue", self.memory, memory, size, shape, rank, ctypes.c_int(kind)
        )

    def _array(self, value: Any) -> "numpy.ndarray[Any, Any]":
        """A copy of a tensor."""
        info = self.api.made("GetTensorTypeAndShape", value)
        try:
            dtype, shape = self._type_and_shape(info)
        finally:
            self.api.release("TensorTypeAndShapeInfo", info)
        array = numpy.empty(shape, dtype)
        if array.nbytes:
            ctypes.memmove(array.ctypes.data, self.api.made("GetTensorMutableData", value), array.nbytes)
        return array

    def _specs(self, side: str) -> List[wire.TensorSpec]:
        """Names, types and declared shapes (-1 for a size that the model leaves open)."""
        count = ctypes.c_size_t()
        self.api.call("SessionGet%sCount" % side, self.session, ctypes.byref(count))
        return [self._spec(side, ctypes.c_size_t(index)) for index in range(count.value)]

    def _spec(self, side: str, index: Any) -> wire.TensorSpec:
        text = self.api.made("SessionGet%sName" % side, self.session, index, self.allocator)
        name = ctypes.string_at(text).decode()
        self.api.call("AllocatorFree", self.allocator, text)
        info = self.api.made("SessionGet%sTypeInfo" % side, self.session, index)
        try:
            tensor = self.api.made("CastTypeInfoToTensorInfo", info)
            if not tensor:
                raise Refused("WhichPU can't feed or read %s: it is no plain tensor" % name)
            dtype, shape = self._type_and_shape(tensor)
        finally:
            self.api.release("TypeInfo", info)
        return wire.TensorSpec(name, dtype, shape)

    def _type_and_shape(self, info: Any) -> "tuple[str, List[int]]":
        kind, rank = ctypes.c_int(), ctypes.c_size_t()
        self.api.call("GetTensorElementType", info, ctypes.byref(kind))
        if kind.value not in KINDS:
            raise Refused("the native loop can't feed or read values of ONNX type %d" % kind.value)
        self.api.call("GetDimensionsCount", info, ctypes.byref(rank))
        sizes = (ctypes.c_int64 * max(1, rank.value))()
        self.api.call("GetDimensions", info, sizes, rank)
        return KINDS[kind.value], list(sizes)[: rank.value]


class Api:
    """The table of functions of one library; a status that is not null becomes :class:`Refused`."""

    def __init__(self, path: str, table: int) -> None:
        self.path = path
        last = max(PLACES.values()) + 1
        self.addresses = list((ctypes.c_void_p * last).from_address(table))

    def address(self, name: str) -> int:
        found: int = self.addresses[PLACES[name]]
        return found

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that reports a status; the arguments carry their C types."""
        status = _function(ctypes.c_void_p, self.address(name))(*arguments)
        if status:
            self.refuse(status)

    def made(self, name: str, *arguments: Any) -> Any:
        """What a function hands out through its last argument."""
        found = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(found))
        return found

    def release(self, kind: str, held: Any) -> None:
        _function(None, self.address("Release" + kind))(held)

    def refuse(self, status: int) -> None:
        """Raises :class:`Refused` with ONNX Runtime's words."""
        words = _function(ctypes.c_char_p, self.address("GetErrorMessage"))(ctypes.c_void_p(status))
        self.release("Status", ctypes.c_void_p(status))
        raise Refused((words or b"ONNX Runtime gives no reason").decode("utf-8", "replace"))


def _function(result: Any, address: int) -> Any:
    return ctypes.CFUNCTYPE(result)(address)


class _Base(ctypes.Structure):
    """``OrtApiBase``."""

    _fields_ = [
        ("get_api", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)),
        ("get_version", ctypes.CFUNCTYPE(ctypes.c_char_p)),
    ]


def known(version: str) -> bool:
    """Whether the places above hold for ``version``."""
    numbers = tuple(int(part) if part.isdigit() else -1 for part in version.split(".")[:2])
    return KNOWN[0] <= numbers < KNOWN[1]


@functools.lru_cache(maxsize=None)
def api() -> Api:
    """The installed wheel's table. Raises :class:`Refused` for none, and for a version that is not known."""
    package = versions()["onnxruntime"]
    span = "from %s to before %s" % tuple(".".join(map(str, version)) for version in KNOWN)
    if not known(package):
        raise Refused("the native loop knows ONNX Runtime %s, not %s" % (span, package))
    path = library_path()
    loaded = ctypes.CDLL(path)
    if not hasattr(loaded, "OrtGetApiBase"):
        raise Refused("%s does not export OrtGetApiBase" % os.path.basename(path))
    loaded.OrtGetApiBase.restype = ctypes.POINTER(_Base)
    base = loaded.OrtGetApiBase().contents
    version = (base.get_version() or b"").decode()
    if not known(version):
        raise Refused("the native loop knows ONNX Runtime %s; %s is %s" % (span, os.path.basename(path), version))
    table = base.get_api(TABLE_VERSION)
    if not table:
        raise Refused("ONNX Runtime %s does not give version %d of its C interface" % (version, TABLE_VERSION))
    return Api(path, table)


def library_path() -> str:
    """``libonnxruntime`` in the wheel. Raises :class:`Refused`."""
    spec = importlib.util.find_spec("onnxruntime")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for pattern in ("libonnxruntime.so*", "libonnxruntime*.dylib"):
        for folder in folders:
            for path in sorted(glob.glob(os.path.join(glob.escape(folder), "capi", pattern))):
                return path
    raise Refused("this ONNX Runtime comes without libonnxruntime, the library with its C interface")
