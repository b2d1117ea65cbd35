"""ONNX Runtime. The execution provider is the target's device: ``onnxruntime:cpu``, ``onnxruntime:cuda``.

Lowest-overhead call: IO binding with inputs and outputs bound once, then ``run_with_iobinding``
(https://onnxruntime.ai/docs/api/python/api_summary.html#iobinding).
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, List, Optional

import numpy

from .. import wire
from . import Arrays, Refused, Session, WhyNot, not_installed

FORMATS = ("onnx",)
OPTIONS = {"graph": "graph optimisation level: disabled, basic, extended or all (default: all)"}
LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
REMOTE = ("AzureExecutionProvider",)  # listed by every wheel, runs on somebody's server


def why_not() -> Optional[WhyNot]:
    return not_installed("onnxruntime", "onnxruntime")


def versions() -> Dict[str, str]:
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__}


def offers() -> List[wire.Offer]:
    import onnxruntime

    providers = [name for name in onnxruntime.get_available_providers() if name not in REMOTE]
    return [wire.Offer(_device(name)) for name in providers]


def open(job: wire.Open) -> "OnnxRuntime":
    import onnxruntime

    return OnnxRuntime(job, _provider(job.device, onnxruntime.get_available_providers()))


class OnnxRuntime(Session):
    def __init__(self, job: wire.Open, provider: str) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = job.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        level = job.options.get("graph", "all")
        if level not in LEVELS:
            raise Refused("graph=%s is not a level; there are: %s" % (level, ", ".join(LEVELS)))
        settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
        self.session = onnxruntime.InferenceSession(job.model, settings, providers=[provider])
        in_use = self.session.get_providers()
        if in_use[0] != provider:
            raise Refused("ONNX Runtime could not start %s and fell back to %s" % (provider, ", ".join(in_use)))
        self.inputs = job.inputs or [_spec(node) for node in self.session.get_inputs()]
        self.outputs = [_spec(node) for node in self.session.get_outputs()]
        self.effective = {
            "providers": ",".join(in_use),
            "intra_op_num_threads": str(settings.intra_op_num_threads),
            "inter_op_num_threads": str(settings.inter_op_num_threads),
            "graph_optimization_level": LEVELS[level],
            "outputs": "bound once" if self._static() else "allocated at each inference (their shape is dynamic)",
        }
        self.precision = wire.Precision(wire.AS_IN_THE_GRAPH, "the provider keeps the graph's types")

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        from onnxruntime import OrtValue

        self.binding = self.session.io_binding()
        self.held = [OrtValue.ortvalue_from_numpy(numpy.array(array, order="C")) for array in arrays]
        for spec, value in zip(self.inputs, self.held):
            self.binding.bind_ortvalue_input(spec.name, value)
        for spec in self.outputs:
            if self._static():
                buffer = OrtValue.ortvalue_from_shape_and_type(spec.shape, numpy.dtype(spec.dtype).type, "cpu")
                self.binding.bind_ortvalue_output(spec.name, buffer)
            else:
                self.binding.bind_output(spec.name, "cpu")
        raw, binding = getattr(self.session, "_sess", None), getattr(self.binding, "_iobinding", None)
        if raw is not None and binding is not None:  # the bound C method: one Python frame less
            return functools.partial(raw.run_with_iobinding, binding, None)
        return functools.partial(self.session.run_with_iobinding, self.binding)

    def read(self) -> Arrays:
        return [numpy.array(value.numpy()) for value in self.binding.get_outputs()]

    def _static(self) -> bool:
        return all(size >= 0 for spec in self.outputs for size in spec.shape)


def _device(provider: str) -> str:
    return provider[: -len("ExecutionProvider")].lower()


def _provider(device: str, available: List[str]) -> str:
    for name in available:
        if _device(name) == device and name not in REMOTE:
            return name
    here = ", ".join(_device(name) for name in available if name not in REMOTE)
    raise Refused("this ONNX Runtime has no provider for %r; it has: %s" % (device, here))


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
