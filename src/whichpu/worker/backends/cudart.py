"""CUDA's runtime library (``libcudart``) through ctypes: memory, streams, events, graphs.

Names and signatures: https://docs.nvidia.com/cuda/cuda-runtime-api; seen in the libraries of 11.8, 12.9 and 13.5.
Every call returns a ``cudaError_t``, 0 where all is well; :meth:`Cuda.call` makes any other a :class:`Refused`.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.util
import os
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

import numpy

from . import Refused

NAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")
TOOLKITS = ("/usr/local/cuda/lib64/libcudart.so*", "/usr/local/cuda/targets/*/lib/libcudart.so*")
TO_DEVICE, TO_HOST = 1, 2
"""``cudaMemcpyKind``."""
NON_BLOCKING = 1
"""``cudaStreamNonBlocking``: does not wait for the default stream."""
CAPTURED_IN_THREAD = 1
"""``cudaStreamCaptureModeThreadLocal``."""
MULTIPROCESSORS, MAJOR, MINOR = 16, 75, 76
"""``cudaDeviceAttr``."""
EVENTS_NS = 500
"""How coarse ``cudaEventElapsedTime`` is, by its documentation."""

number, size, handle, text = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
numbers, handles, real = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(handle), ctypes.POINTER(ctypes.c_float)
CALLS = {
    "cudaRuntimeGetVersion": (numbers,),
    "cudaGetDeviceCount": (numbers,),
    "cudaSetDevice": (number,),
    "cudaDeviceGetAttribute": (numbers, number, number),
    "cudaMalloc": (handles, size),
    "cudaFree": (handle,),
    "cudaMallocHost": (handles, size),
    "cudaFreeHost": (handle,),
    "cudaMemcpyAsync": (handle, handle, size, number, handle),
    "cudaStreamCreateWithFlags": (handles, ctypes.c_uint),
    "cudaStreamSynchronize": (handle,),
    "cudaStreamDestroy": (handle,),
    "cudaEventCreate": (handles,),
    "cudaEventRecord": (handle, handle),
    "cudaEventElapsedTime": (real, handle, handle),
    "cudaEventDestroy": (handle,),
    "cudaStreamBeginCapture": (handle, number),
    "cudaStreamEndCapture": (handle, handles),
    "cudaGraphInstantiateWithFlags": (handles, handle, ctypes.c_ulonglong),
    "cudaGraphLaunch": (handle, handle),
    "cudaGraphDestroy": (handle,),
    "cudaGraphExecDestroy": (handle,),
}
"""Every call that is used, with the types of its arguments."""


class Found(NamedTuple):
    """A library with which at least one GPU answers, or the reason why there is none."""

    cuda: "Optional[Cuda]"
    why_not: str = ""
    library: bool = False
    """Whether a library was there at all."""


@functools.lru_cache(maxsize=None)
def find() -> Found:
    """The first library with which a GPU answers: a newer one than the driver knows does not."""
    reasons = []
    for name in candidates():
        found = _tried(name)
        if found is not None and found.cuda is not None:
            return found
        reasons += [found.why_not] if found is not None else []
    if not reasons:
        return Found(None, "CUDA's runtime library (libcudart, 11.4 or newer) is not found")
    return Found(None, "no NVIDIA GPU answers: %s" % reasons[0], True)


def _tried(name: str) -> Optional[Found]:
    """``None`` where the library is not there, or too old to have every call."""
    try:
        cuda = Cuda(name)
        return Found(cuda) if cuda.devices() else Found(None, "there is none")
    except Refused as problem:
        return Found(None, str(problem))
    except (OSError, AttributeError):
        return None


def candidates() -> List[str]:
    """Where the library may be: where the system looks, in pip's wheels, in a toolkit."""
    found = list(NAMES)
    spec = importlib.util.find_spec("nvidia")
    for folder in list(spec.submodule_search_locations or []) if spec else []:
        found += sorted(glob.glob(os.path.join(folder, "*", "lib", "libcudart.so*")), reverse=True)
    return found + [path for pattern in TOOLKITS for path in sorted(glob.glob(pattern), reverse=True)]


class Cuda:
    """The library. Raises OSError where it is not, AttributeError where it lacks a call."""

    def __init__(self, name: str) -> None:
        self.library = ctypes.CDLL(name)
        for call, arguments in CALLS.items():
            function = getattr(self.library, call)
            function.argtypes, function.restype = arguments, number
        self.library.cudaGetErrorString.argtypes, self.library.cudaGetErrorString.restype = (number,), text

    def call(self, name: str, *arguments: Any) -> None:
        """Raises :class:`Refused` with CUDA's own words."""
        self.check(getattr(self.library, name)(*arguments), name)

    def check(self, status: int, name: str) -> None:
        """Raises :class:`Refused` for a status that is not success."""
        if status:
            words = self.library.cudaGetErrorString(status).decode("utf-8", "replace")
            raise Refused("CUDA's %s says: %s (error %d)" % (name, words, status))

    def made(self, name: str, *arguments: Any) -> Any:
        """The handle that a call writes to its first argument."""
        place = handle()
        self.call(name, ctypes.byref(place), *arguments)
        return place

    def _told(self, name: str, *arguments: int) -> int:
        place = number()
        self.call(name, ctypes.byref(place), *arguments)
        return place.value

    def devices(self) -> int:
        """How many GPUs there are."""
        return self._told("cudaGetDeviceCount")

    def version(self) -> str:
        """``12.6``."""
        told = self._told("cudaRuntimeGetVersion")
        return "%d.%d" % (told // 1000, told % 1000 // 10)

    def gpu(self, device: int = 0) -> str:
        """What an engine is built for: ``sm_87 with 16 multiprocessors``."""
        asked = (MAJOR, MINOR, MULTIPROCESSORS)
        return "sm_%d%d with %d multiprocessors" % tuple(
            self._told("cudaDeviceGetAttribute", one, device) for one in asked
        )

    def stream(self) -> Any:
        """A stream of our own; it is what TensorRT asks for, and what a graph can be captured from."""
        return self.made("cudaStreamCreateWithFlags", NON_BLOCKING)


class Buffer:
    """A tensor's memory: pinned on the host (``array``), which a device copies from without the CPU, and on the device.

    ``on_host``: the runtime wants it in host memory.
    """

    def __init__(self, cuda: Cuda, dtype: str, shape: Sequence[int], on_host: bool = False) -> None:
        self.cuda, self.on_host = cuda, on_host
        kind = numpy.dtype(dtype)
        count = int(numpy.prod(shape, dtype=numpy.int64))
        self.nbytes = count * kind.itemsize
        self.host = cuda.made("cudaMallocHost", max(1, self.nbytes))
        self.device = self.host if on_host else cuda.made("cudaMalloc", max(1, self.nbytes))
        memory = (ctypes.c_char * max(1, self.nbytes)).from_address(self.host.value)
        self.array = numpy.frombuffer(memoryview(memory), dtype=kind, count=count).reshape(tuple(shape))

    def to_device(self, stream: Any) -> Callable[[], int]:
        """The call that copies it to the device, asynchronously; it returns CUDA's status."""
        return self._copy(self.device, self.host, TO_DEVICE, stream)

    def to_host(self, stream: Any) -> Callable[[], int]:
        return self._copy(self.host, self.device, TO_HOST, stream)

    def _copy(self, to: Any, of: Any, kind: int, stream: Any) -> Callable[[], int]:
        function = self.cuda.library.cudaMemcpyAsync
        return functools.partial(function, to, of, size(self.nbytes), number(kind), stream)

    def close(self) -> None:
        if not self.on_host:
            self.cuda.call("cudaFree", self.device)
        self.cuda.call("cudaFreeHost", self.host)


class Graph:
    """What ``work`` puts on a stream, captured once; launched by one call."""

    def __init__(self, cuda: Cuda, stream: Any, work: Callable[[], None]) -> None:
        """Raises :class:`Refused` where something in it can't be captured."""
        self.cuda = cuda
        cuda.call("cudaStreamBeginCapture", stream, CAPTURED_IN_THREAD)
        try:
            work()
        finally:
            graph = handle()
            status = cuda.library.cudaStreamEndCapture(stream, ctypes.byref(graph))
        cuda.check(status, "cudaStreamEndCapture")
        self.ready = cuda.made("cudaGraphInstantiateWithFlags", graph, 0)
        cuda.call("cudaGraphDestroy", graph)
        self.launch = functools.partial(cuda.library.cudaGraphLaunch, self.ready, stream)

    def close(self) -> None:
        self.cuda.call("cudaGraphExecDestroy", self.ready)


class Marks:
    """Events between the parts of an inference; times are the device's own."""

    def __init__(self, cuda: Cuda, stream: Any, count: int) -> None:
        self.cuda, self.stream = cuda, stream
        self.events = [cuda.made("cudaEventCreate") for _ in range(count)]

    def mark(self, index: int) -> None:
        self.cuda.call("cudaEventRecord", self.events[index], self.stream)

    def between_ns(self) -> List[int]:
        """Times in ns from each event to the next, after the stream was waited for."""
        found = []
        for begin, end in zip(self.events, self.events[1:]):
            told_ms = ctypes.c_float()
            self.cuda.call("cudaEventElapsedTime", ctypes.byref(told_ms), begin, end)
            found.append(round(told_ms.value * 1e6))
        return found

    def close(self) -> None:
        for event in self.events:
            self.cuda.call("cudaEventDestroy", event)
