"""One file per runtime and one line each in the table below; imported only when asked for.

A backend is a module with these names (see ``null.py`` for the smallest one):

``FORMATS``    model formats it takes, best first (``("*",)``: any)
``OPTIONS``    ``{name: help}`` of the ``name=value`` options a target may carry
``why_not()``  ``None`` when the runtime can run here, else a :class:`WhyNot`; must not import the runtime
               when it is merely not installed
``versions()`` ``{package: version}`` of the runtime
``offers()``   the :class:`~.wire.Offer` list: devices and precisions that can run here
``open(job)``  load ``job.model``, return a :class:`Session`; raise :class:`Refused` with the runtime's words

``RARE``       True where few machines have it: ``--on all`` then leaves it out where it can't run

Where loading is preceded by building (an engine, a compiled program) there are two more:

``BUILDS``     formats that are to be built first
``RUN_OPTIONS``  options that change nothing of what is built, if any
``build(job, folder)``  write what ``open`` will load (from ``job.built``) into the empty ``folder``; return how it was
               built as ``{fact: value}``: the builder's version, precision flags, whether a timing cache was used

Vendor errors other than :class:`Refused` are reported as the runtime's refusal too, with their traceback.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from types import ModuleType
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional

import numpy

from .. import wire

BACKENDS: Dict[str, str] = {
    "onnxruntime": ".onnxruntime",
    "openvino": ".openvino",
    "opencv": ".opencv",
    "torch": ".torch",
    "litert": ".litert",
    "ncnn": ".ncnn",
    "mnn": ".mnn",
    "tvm": ".tvm",
    "iree": ".iree",
    "executorch": ".executorch",
    "rknn": ".rknn",
    "coreml": ".coreml",
    "mxnet": ".mxnet",
    "hailo": ".hailo",
    "tensorrt": ".tensorrt",
    "null": ".null",
}

NATIVE: Dict[str, str] = {
    "onnxruntime": ".onnxruntime_c",
    "openvino": ".openvino_c",
    "null": ".null_c",
}
"""Runtimes whose C interface the native loop calls: modules with

``devices()``  devices that it can run here; raises :class:`Refused` with the reason for none
``open(job)``  like the backend's, but ``bind`` returns a :class:`~.native.NativeCall`
"""

NO_NATIVE: Dict[str, str] = {
    "opencv": "OpenCV's networks have no C interface",
    "torch": "PyTorch has no C interface for models",
    "litert": "the wheel does not export the C interface of its interpreter (TfLiteInterpreter...)",
    "ncnn": "the wheel does not export ncnn's C interface (ncnn_net_create, ...)",
    "mnn": "MNN has no C interface",
    "coreml": "coremltools has no C interface; Core ML's own is Objective-C",
    "mxnet": "the native loop does not know MXNet's C interface (c_predict_api.h)",
    "rknn": "the native loop does not know RKNN's C interface (rknn_api.h)",
    "tvm": "the native loop does not call TVM's C++ interface",
    "iree": "the wheel does not export IREE's C interface (iree_vm_invoke, ...)",
    "executorch": "the wheel does not export ExecuTorch's C++ classes",
    "hailo": "the native loop does not call HailoRT's C++ interface",
    "tensorrt": "an inference is several calls, of CUDA and of TensorRT's C++ interface",
}

NO_PARTS: Dict[str, str] = {
    "torch": "PyTorch tells computing apart only by its profiler, which costs more than a small operator",
    "litert": "LiteRT's Python interface has no profiler",
    "ncnn": "ncnn's wheels are built without its benchmark of layers (NCNN_BENCHMARK)",
    "mnn": "MNN's Python interface times no operators",
    "coreml": "coremltools' predict tells no times of its parts",
    "mxnet": "the wheels of MXNet 1.9.1 are built without its profiler's operators (PROFILER off)",
    "rknn": "RKNN-Toolkit-Lite2 tells no times of the NPU (rknn_api.h's RKNN_QUERY_PERF_RUN is not in it)",
    "tvm": "TVM's Python interface times whole calls, not their parts",
    "iree": "IREE's Python interface writes profiles that only its own tools read",
    "executorch": "the wheel of ExecuTorch is built without its event tracer (ETDump)",
}
"""Why a runtime doesn't tell the parts of an inference (:meth:`Session.parts`)."""

Arrays = List["numpy.ndarray[Any, Any]"]


SIMULATED = "simulated"
"""The boundary of what a simulator computed: its outputs count, its times don't, and it is ranked with none."""


class WhyNot(NamedTuple):
    """Why a backend can't run here, and the one command that would change it."""

    reason: str
    remedy: Optional[str]


class Refused(Exception):
    """The runtime, or the adapter on its behalf, says no; the message is for the user."""

    def __init__(self, message: str, remedy: Optional[str] = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class FellBack(Refused):
    """The runtime took the model, but would run all of it on another unit than the one asked for."""


class Session:
    """A loaded model. Subclasses set the first four attributes and implement the methods.

    ``effective`` holds the options the runtime reports (or was given) after loading: threads, providers, hints.
    ``load_ns`` is set where opening holds more than loading the model; else the worker times it. ``boundary`` is what
    the bound call holds; one that leaves transfers out must say so. ``placement`` tells where the operators run;
    ``None`` where the target has one unit only. It may be a property: it is read after the load time.
    """

    inputs: List[wire.TensorSpec]
    outputs: List[wire.TensorSpec]
    effective: Dict[str, str]
    precision: wire.Precision
    load_ns: Optional[int] = None
    boundary = "end_to_end"
    placement: Optional[wire.Placement] = None

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        """Copy ``arrays`` (in the order of ``inputs``) into buffers the runtime reads without further copies.

        Returns the zero-argument call that runs one inference, synchronously, with the least overhead that
        the runtime's API offers. Called again, it replaces what was bound.
        """
        raise NotImplementedError

    def steady(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """The call for all inferences after the first: the same, unless the first has shown that another is needed."""
        return call

    def read(self) -> Arrays:
        """Copies of the outputs of the last inference, in the order of ``outputs``."""
        raise NotImplementedError

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        """How long the parts of an inference take, where the runtime tells; it may replace what was bound.

        Never called between measured blocks, so a profiler may run.
        """
        return None

    def close(self) -> None:
        """Release what the runtime holds."""


def load(name: str) -> ModuleType:
    """The backend's module. Raises :class:`Refused` for a name that is not in the table."""
    if name not in BACKENDS:
        raise Refused("no backend is called %r; there are: %s" % (name, ", ".join(sorted(BACKENDS))))
    return importlib.import_module(BACKENDS[name], __name__)


def load_native(name: str) -> ModuleType:
    """The module that opens this backend for the native loop. Raises :class:`Refused` with the reason for none."""
    if name not in NATIVE:
        raise Refused(NO_NATIVE.get(name, "%s has no native loop" % name))
    return importlib.import_module(NATIVE[name], __name__)


def check_options(job: wire.Open, known: Dict[str, str]) -> None:
    """Raises :class:`Refused` for an option that the backend doesn't have."""
    for name in job.options:
        if name not in known:
            raise no_option(job.backend, name, known)


OF_ALL = ("precision", "python", "threads")
"""Options of every target, which no backend sees."""


def no_option(target: str, name: str, known: Iterable[str]) -> Refused:
    """What to raise for an option that ``target`` doesn't have; its remedy names the nearest that it has."""
    takes = ", ".join(sorted(known)) or "none"
    close = difflib.get_close_matches(name, [*known, *OF_ALL], n=1)
    remedy = "did you mean %s=?" % close[0] if close else "leave it out; docs/measure.md lists the options"
    return Refused("%s has no option %r; it takes: %s" % (target, name, takes), remedy)


OWN = " (in an environment of its own, which python= then names)"
"""Beside a command that installs what does not get on with other runtimes' packages."""


def not_installed(module: str, packages: str) -> Optional[WhyNot]:
    """A :class:`WhyNot` when ``module`` can't be found; looks, but does not import."""
    if importlib.util.find_spec(module) is not None:
        return None
    return WhyNot("the Python package %r is not installed" % module, "pip install %s" % packages)


def spec_of(name: str, array: "numpy.ndarray[Any, Any]") -> wire.TensorSpec:
    """The :class:`~.wire.TensorSpec` of an array."""
    return wire.TensorSpec(name, str(array.dtype), [int(size) for size in array.shape])
