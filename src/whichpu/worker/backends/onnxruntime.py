"""ONNX Runtime. The execution provider is the target's device: ``onnxruntime:cpu``, ``onnxruntime:cuda``, and so on
for all that :mod:`.onnxruntime_providers` knows, those of the installed package that it doesn't, and plug-ins.

Lowest-overhead call: IO binding with inputs and outputs bound once, then ``run_with_iobinding``
(https://onnxruntime.ai/docs/api/python/api_summary.html#iobinding). ONNX Runtime allocates the outputs at the first
inference and writes to the same memory after that; outputs allocated by us would save nothing (1.31 on a 10 us model:
ratio of medians 1.002 +- 0.009). Some models declare an output shape that is not what they compute: they run with a
warning, but not into memory of the real shape. Theirs is allocated anew at each inference after the first.

A provider that computes in host memory reads what was bound. For CUDA inputs are copied into buffers of the GPU
(:mod:`.onnxruntime_device`). For other devices binding is what copies an input (onnxruntime core/session/IOBinding.cc),
so that they are bound anew in each inference: every latency begins in host memory.

An fp16 graph does not mean that fp16 is computed: see :func:`precision_of`.
"""

from __future__ import annotations

import functools
import os
import re
import tempfile
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy

from .. import wire
from . import SIMULATED, Arrays, Refused, Session, WhyNot, not_installed, onnxbytes
from . import onnxruntime_device as on_device
from . import onnxruntime_placement as placement
from . import onnxruntime_providers as providers
from .hearing import heard
from .onnxruntime_providers import CPU

FORMATS = ("onnx",)
OPTIONS = dict(
    {"graph": "graph optimisation level: disabled, basic, extended or all (default: all)"}, **providers.OPTIONS
)
LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
# Operators that multiply and accumulate, under their names in an optimised graph too.
WEIGHTED = re.compile(r"(Conv|MatMul|Gemm|LSTM|GRU|RNN|Attention)")
QUANTISED = re.compile(r"(QLinear|QuantizeLinear|QGemm|QAttention|Integer|NBits)")
CAST = "InsertedPrecisionFreeCast_"  # what ONNX Runtime calls the values it converts for want of a kernel
LARGEST_COPY_BYTES = 256 << 20  # optimising once more takes several times the model's size in memory


def why_not() -> Optional[WhyNot]:
    return not_installed("onnxruntime", "onnxruntime")


def versions() -> Dict[str, str]:
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__}


def offers() -> List[wire.Offer]:
    import onnxruntime

    return providers.offers(onnxruntime.get_available_providers())


def open(job: wire.Open) -> "OnnxRuntime":
    return OnnxRuntime(job, providers.chosen(job))


class OnnxRuntime(Session):
    def __init__(self, job: wire.Open, choice: providers.Chosen, profile: Optional[str] = None) -> None:
        """``profile``: profile all inferences, into a file whose path begins so."""
        self.level = job.options.get("graph", "all")
        settings = _settings(self.level, job.threads)
        if profile is not None:
            settings.enable_profiling, settings.profile_file_prefix = True, profile
        self.job, self.model, self.choice, self.provider = job, job.model, choice, choice.name
        self.session, self.log = _session(job, choice, settings)
        in_use = self.session.get_providers()
        placement.check_started(in_use, choice, self.log)
        self.inputs = job.inputs or [_spec(node) for node in self.session.get_inputs()]
        self.outputs = [_spec(node) for node in self.session.get_outputs()]
        self.buffers = None
        if choice.provider.memory == providers.CUDA:
            self.buffers = self.buffers_of(job.options.get("cuda_graph") == "on")
        self.effective = {
            "providers": ",".join(in_use),
            "intra_op_num_threads": str(settings.intra_op_num_threads),
            "inter_op_num_threads": str(settings.inter_op_num_threads),
            "graph_optimization_level": LEVELS[self.level],
            "outputs": "bound once; ONNX Runtime allocates them (anew each time where the declared shape is wrong)",
        }
        if choice.name != CPU:
            self.effective.update(providers.effective(self.session, choice, job))
            if providers.simulated(choice):
                self.boundary = SIMULATED

    @functools.cached_property
    def precision(self) -> wire.Precision:  # type: ignore[override]
        """Looked for when first asked, so that it is no part of the load time."""
        if self.provider != CPU:
            return providers.precision_of(self.choice, self.job)
        return precision_of(self.model, self.provider, self.level)

    @functools.cached_property
    def placement(self) -> Optional[wire.Placement]:  # type: ignore[override]
        """Where the operators run; raises :class:`FellBack` where none runs on the provider asked for."""
        if self.provider == CPU:
            return None
        return placement.of(self.session, self.job.device, self.log, self._profiled, self.model)

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        from onnxruntime import OrtValue

        if self.buffers is not None:
            return self.buffers.bind(arrays)
        self.binding = self.session.io_binding()
        self.held = [OrtValue.ortvalue_from_numpy(numpy.array(array, order="C")) for array in arrays]
        self._bind_inputs()
        self._bind_outputs()
        if self.choice.moves:
            return self._move_and_run
        raw, binding = getattr(self.session, "_sess", None), getattr(self.binding, "_iobinding", None)
        if raw is not None and binding is not None:  # the bound C method: one Python frame less
            return functools.partial(raw.run_with_iobinding, binding, None)
        return functools.partial(self.session.run_with_iobinding, self.binding)

    def steady(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """ONNX Runtime refuses to run again into an output that turned out to have another shape than declared."""
        declared = all(as_declared(array, spec.shape) for array, spec in zip(self.read(), self.outputs))
        return call if declared else self._run_afresh

    def read(self) -> Arrays:
        if self.buffers is not None:
            return self.buffers.read()
        return [numpy.array(value.numpy()) for value in self.binding.get_outputs()]

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        from . import onnxruntime_parts

        if self.buffers is not None:
            buffers = self.buffers if self.buffers.on_device else self.buffers_of(True)
            return onnxruntime_parts.steps_of(buffers, arrays, request)
        return onnxruntime_parts.parts_of(self.job, self.choice, arrays, request)

    def _bind_inputs(self) -> None:
        for spec, value in zip(self.inputs, self.held):
            self.binding.bind_ortvalue_input(spec.name, value)

    def _move_and_run(self) -> None:
        """Binding is what copies an input to a device, so that an inference which begins in host memory binds anew."""
        self._bind_inputs()
        self.session.run_with_iobinding(self.binding)

    def _bind_outputs(self) -> None:
        for spec in self.outputs:
            self.binding.bind_output(spec.name, "cpu")

    def buffers_of(self, on_gpu: bool) -> on_device.Buffers:
        """Inputs and outputs on CUDA. ``on_gpu``: outputs stay there until they are fetched, as a CUDA graph's must."""
        number = int(self.job.options.get("id", "0"))
        return on_device.Buffers(self.session, self.inputs, self.outputs, number, on_gpu)

    def _profiled(self, path: str) -> Any:
        """The model opened once more, profiled in one inference on zeros; the session."""
        again = OnnxRuntime(self.job, self.choice, path)
        again.bind(placement.zeros(again.inputs))()
        return again.session

    def _run_afresh(self) -> None:
        if self.buffers is not None:
            self.buffers.run_afresh()
            return
        self._bind_outputs()  # drops the memory of the inference before
        if self.choice.moves:
            self._bind_inputs()
        self.session.run_with_iobinding(self.binding)


def as_declared(array: "numpy.ndarray[Any, Any]", shape: List[int]) -> bool:
    """Whether ONNX Runtime will take the array as an output's memory; an empty shape is not checked."""
    fits = len(shape) == array.ndim and all(size in (-1, real) for size, real in zip(shape, array.shape))
    return not shape or fits


def precision_of(model: str, provider: str, level: str) -> wire.Precision:
    """The graph's types, unless the graph has 16-bit floats that the provider converts to fp32 to compute.

    ONNX Runtime's CPU provider has no fp16 kernel for most operators on x86. What it made of an fp16 graph stands in
    the optimised graph, so such a model (and no other) is optimised once more, into a temporary file.
    """
    try:
        found = onnxbytes.halves(model)
    except (ValueError, IndexError, OSError):
        return wire.Precision(wire.AS_IN_THE_GRAPH, "nothing is known of casts: the file is not read as ONNX")
    if not found.kinds:
        return wire.Precision(wire.AS_IN_THE_GRAPH, "the provider keeps the graph's types, none has 16 bits")
    kinds = "+".join(found.kinds)
    if found.external or os.path.getsize(model) > LARGEST_COPY_BYTES:
        return _unconfirmed(kinds, "the model is too large, or its weights lie in other files")
    try:
        with tempfile.TemporaryDirectory(prefix="whichpu-") as folder:
            path = os.path.join(folder, "optimised.onnx")
            _optimise(model, provider, level, path)
            return _seen(kinds, onnxbytes.nodes(path), onnxbytes.halves(path))
    except Exception as problem:  # a provider may not show its graph
        return _unconfirmed(kinds, "the optimised graph can't be read: %s" % problem)


def _seen(kinds: str, nodes: List[onnxbytes.Node], left: onnxbytes.Halves) -> wire.Precision:
    """What an optimised graph tells. ``left``: what in it still has 16 bits."""
    if any(QUANTISED.search(node.kind) for node in nodes):
        return wire.Precision(wire.AS_IN_THE_GRAPH, "quantised operators stay in the optimised graph")
    cast = {name for node in nodes for name in node.reads + node.writes if name.startswith(CAST)}
    weighted = [node for node in nodes if WEIGHTED.search(node.kind)]
    kept = [node for node in weighted if set(left.weights).intersection(node.reads)]
    words = "optimised graph: %d values converted to fp32 by the provider; %d of %d operators with weights read %s" % (
        len(cast),
        len(kept),
        len(weighted),
        kinds,
    )
    if cast or not left.kinds:
        return wire.Precision("%s+fp32" % kinds if kept else "fp32 (the graph says %s)" % kinds, words)
    if kept or not weighted:
        return wire.Precision(wire.AS_IN_THE_GRAPH, words)
    return _unconfirmed(kinds, words)


def _unconfirmed(kinds: str, why: str) -> wire.Precision:
    return wire.Precision("%s in the graph; not confirmed" % kinds, why)


def _optimise(model: str, provider: str, level: str, path: str) -> None:
    import onnxruntime

    settings = _settings(level, 1)
    settings.enable_cpu_mem_arena = False
    settings.optimized_model_filepath = path
    onnxruntime.InferenceSession(model, settings, providers=[provider])


def _settings(level: str, threads: int) -> Any:
    """Session options. Raises :class:`Refused` for an unknown level."""
    import onnxruntime

    if level not in LEVELS:
        raise Refused("graph=%s is not a level; there are: %s" % (level, ", ".join(LEVELS)))
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    return settings


def _session(job: wire.Open, choice: providers.Chosen, settings: Any) -> "Tuple[Any, List[str]]":
    """The loaded model, and what ONNX Runtime printed meanwhile; for the CPU nothing is listened to."""
    import onnxruntime

    if choice.name == CPU:
        return onnxruntime.InferenceSession(job.model, settings, providers=[CPU]), []
    providers.prepare(settings, choice, job)
    log: List[str] = []
    try:
        with heard() as log:
            if choice.devices:
                settings.add_provider_for_devices(choice.devices, choice.options)
                return onnxruntime.InferenceSession(job.model, settings, enable_fallback=0), log
            return onnxruntime.InferenceSession(job.model, settings, providers=choice.listed, enable_fallback=0), log
    except Exception as problem:  # ONNX Runtime's errors are of many kinds
        raise placement.refusal(choice, problem, log) from problem


def _spec(node: Any) -> wire.TensorSpec:
    return wire.TensorSpec(node.name, _dtype(node.type), [size if isinstance(size, int) else -1 for size in node.shape])


def _dtype(ort_type: str) -> str:
    """``tensor(float)`` as NumPy's ``float32``. Raises :class:`Refused` for what is no plain tensor."""
    found = ort_type[len("tensor(") : -1] if ort_type.startswith("tensor(") else ""
    names = {"float": "float32", "double": "float64", "bool": "bool"}
    name = names.get(found, found)
    try:
        return numpy.dtype(name).name if name else _no_tensor(ort_type)
    except TypeError:
        return _no_tensor(ort_type)


def _no_tensor(ort_type: str) -> str:
    raise Refused("WhichPU can't feed or read a value of type %s" % ort_type)
