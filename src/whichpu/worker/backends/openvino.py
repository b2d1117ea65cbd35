"""OpenVINO. The device is the target's: ``openvino:cpu``, ``openvino:gpu``, ``openvino:npu``.

On a CPU with bf16 instructions OpenVINO computes in bf16 unless told otherwise, so ``fp32`` forces
``INFERENCE_PRECISION_HINT=f32`` and what ran is read from the compiled graph, not from the request
(https://docs.openvino.ai, "Precision Control"). Lowest-overhead call: one infer request with shared
input tensors and the C++ ``infer``; ``start_async`` and ``wait`` cost 10 to 60 us more (2026.4, measured).
"""

from __future__ import annotations

import collections
import functools
import math
from typing import Any, Callable, Dict, List, Optional, Set

import numpy

from .. import wire
from . import Arrays, Refused, Session, WhyNot, not_installed

FORMATS = ("onnx", "openvino", "tflite")
OPTIONS = {"pinning": "on or off: tie threads to fixed CPUs (default: off, as other runtimes; OpenVINO's own is on)"}
READ_BACK = (
    "INFERENCE_NUM_THREADS",
    "NUM_STREAMS",
    "PERFORMANCE_HINT",
    "INFERENCE_PRECISION_HINT",
    "ENABLE_CPU_PINNING",
    "EXECUTION_DEVICES",
)
NAMES = {"i4": "int4", "u4": "int4", "i8": "int8", "u8": "int8", "bf16": "bf16", "f16": "fp16", "f32": "fp32"}
ROUNDED = "fp32 with weights rounded to fp16"
LABELS = ("int4", "int8", "bf16", "fp16", "fp32", ROUNDED)  # as many as there are are named, in this order
# Layer types of the runtime graph that multiply and accumulate. The others convert, move or scale:
# a u8 conversion of an image at the input does not make the model int8.
WEIGHTED = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNSeq", "RNNCell", "LLMMLP", "QKVProjection")
CONVERTS = ("Const", "Input", "Output", "Convert", "Reorder")
WIDER = ("f32", "bf16")  # hints under which no layer computes in fp16


def why_not() -> Optional[WhyNot]:
    return not_installed("openvino", "openvino")


def versions() -> Dict[str, str]:
    import openvino

    return {"openvino": openvino.__version__.split("-")[0]}


def offers() -> List[wire.Offer]:
    core = _core()
    return [offer for device in core.available_devices for offer in _offers_of(core, device)]


def open(job: wire.Open) -> "OpenVino":
    core = _core()
    return OpenVino(core, _device(core, job.device), job)


class OpenVino(Session):
    def __init__(self, core: Any, device: str, job: wire.Open, besides: Optional[Dict[str, Any]] = None) -> None:
        """``besides``: settings beyond those that every measured model gets."""
        self.job = job
        model = core.read_model(job.model)
        if job.inputs:
            _reshape(model, job.inputs)
        self.order = _order([port.get_names() for port in model.inputs], job.inputs)
        specs = [_spec(port, "input_%d" % index) for index, port in enumerate(model.inputs)]
        self.inputs = [specs[index] for index in self.order]
        self.outputs = [_spec(port, "output_%d" % index) for index, port in enumerate(model.outputs)]
        half = _half_weights(model)
        self.compiled = core.compile_model(model, device, dict(_settings(core, device, job), **(besides or {})))
        self.request = self.compiled.create_infer_request()
        self.effective = _effective(self.compiled)
        self.precision = precision_of(self.compiled, half)
        self.held: List[Any] = []

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        from openvino import Tensor

        # OpenVINO does not keep shared memory alive: whoever drops these tensors crashes the process.
        held = [Tensor(numpy.array(array, order="C"), shared_memory=True) for array in arrays]
        for index, tensor in zip(self.order, held):
            self.request.set_input_tensor(index, tensor)
        self.held = held
        self.request.reset_state()  # a stateful model starts each sample afresh
        return _infer(self.request)

    def read(self) -> Arrays:
        return [numpy.array(self.request.get_output_tensor(index).data) for index in range(len(self.outputs))]

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        from . import openvino_parts

        return openvino_parts.parts_of(self.job, arrays, request)

    def close(self) -> None:
        self.request = self.compiled = None
        self.held = []


def precision_of(compiled: Any, half_weights: bool) -> wire.Precision:
    """What the plug-in compiled each layer to. Without a runtime graph (some plug-ins): the hint it reports.

    ``half_weights``: the file stores fp16, as OpenVINO's own ``save_model`` and ``ovc`` do unasked.
    """
    hint = _effective(compiled).get("INFERENCE_PRECISION_HINT", "unknown")
    try:
        layers = [_layer(operation, hint) for operation in compiled.get_runtime_model().get_ops()]
    except Exception:  # a plug-in may not implement it
        ran = NAMES.get(hint, hint)
        words = "INFERENCE_PRECISION_HINT as read back; there is no runtime graph"
        return wire.Precision(ROUNDED if half_weights and ran == "fp32" else ran, words)
    weighted = _kinds(layers, lambda layer: layer in WEIGHTED)
    others = _kinds(layers, lambda layer: layer not in WEIGHTED + ("Const",))
    words = "runtime graph: layers with weights %s; the others %s" % (_counted(weighted), _counted(others))
    if not weighted:
        words = "runtime graph: %s" % _counted(others)
    if half_weights:
        words += "; the file's weights are fp16"
    computes = weighted or _kinds(layers, lambda layer: layer not in CONVERTS) or others
    if hint in WIDER and len(computes) > 1:
        del computes["fp16"]  # under such a hint only a conversion is fp16
    return wire.Precision(_label(set(computes), half_weights), words)


def _kinds(layers: "List[tuple[str, str]]", wanted: Callable[[str], bool]) -> "collections.Counter[str]":
    return collections.Counter(NAMES[kind] for layer, kind in layers if wanted(layer) and kind in NAMES)


def _label(kinds: Set[str], half_weights: bool) -> str:
    """All kinds in the order of ``LABELS``; fp32 beside rounded weights goes without saying."""
    if half_weights and "fp32" in kinds:
        kinds = (kinds - {"fp32"}) | {ROUNDED}
    return "+".join(name for name in LABELS if name in kinds) or "none"


def _counted(layers: "collections.Counter[str]") -> str:
    return ", ".join("%d %s" % (layers[name], name.upper()) for name in LABELS if layers[name]) or "none"


def _layer(operation: Any, hint: str) -> "tuple[str, str]":
    """The layer's type and what it computes in: ``runtimePrecision``, unless that names only its stored weights.

    A layer that is fed fp32 has ``runtimePrecision`` f16 when it reads weights stored as fp16. Under an fp16 hint
    it may be an fp16 kernel all the same, so then the word stands.
    """
    facts = operation.get_rt_info()
    kind = facts["runtimePrecision"].astype(str)
    if kind == "f16" and hint in WIDER:
        fed = [port.get_element_type().get_type_name() for port in operation.inputs()[:1]]
        kind = "f32" if fed == ["f32"] else kind
    return facts["layerType"].astype(str), kind


def _half_weights(model: Any) -> bool:
    """Whether the model as read holds fp16 constants of more than one value."""
    constants = (operation for operation in model.get_ops() if operation.get_type_name() == "Constant")
    return any(
        constant.get_element_type().get_type_name() == "f16" and math.prod(constant.shape) > 1 for constant in constants
    )


def _core() -> Any:
    from openvino import Core

    return Core()


def _offers_of(core: Any, device: str) -> List[wire.Offer]:
    """fp32 where the device can do it; the plug-in's own default where that is something else."""
    name, found = device.lower(), []
    if _runs_fp32(core, device):
        found.append(wire.Offer(name))
    own = _own_precision(core, device)
    if own not in ("", "fp32") or not found:
        note = "OpenVINO's own default: %s on this %s" % (own or "unknown", device.split(".")[0])
        found.append(wire.Offer(name, precision="default", note=note))
    return found


def _own_precision(core: Any, device: str) -> str:
    """What the plug-in computes in unasked, as ``bf16``; empty when it doesn't say."""
    try:
        hint = _text(core.get_property(device, "INFERENCE_PRECISION_HINT"))
    except Exception:
        return ""
    return NAMES.get(hint, "")


def _runs_fp32(core: Any, device: str) -> bool:
    try:
        return "FP32" in core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    except Exception:  # the plug-in doesn't say: let it answer when the model is compiled
        return True


def _device(core: Any, wanted: str) -> str:
    for device in core.available_devices:
        if device.lower() == wanted.lower():
            return str(device)
    here = ", ".join(device.lower() for device in core.available_devices) or "none"
    raise Refused(
        "OpenVINO finds no device %r here; it finds: %s" % (wanted, here),
        "for gpu and npu install the vendor's driver libraries; OpenVINO ships only its own half",
    )


def _settings(core: Any, device: str, job: wire.Open) -> Dict[str, Any]:
    """One stream, tuned for latency; only what the plug-in knows is set. Raises :class:`Refused`."""
    settings: Dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    known = core.get_property(device, "SUPPORTED_PROPERTIES")
    if "NUM_STREAMS" in known:
        settings["NUM_STREAMS"] = "1"
    pinning = job.options.get("pinning", "off")
    if pinning not in ("on", "off"):
        raise Refused("pinning=%s is neither on nor off" % pinning)
    if "ENABLE_CPU_PINNING" in known:
        settings["ENABLE_CPU_PINNING"] = pinning == "on"  # on equal terms: the others' threads move freely
    if "INFERENCE_NUM_THREADS" in known:
        settings["INFERENCE_NUM_THREADS"] = job.threads
    if job.precision == "fp32":
        if not _runs_fp32(core, device):
            raise Refused("OpenVINO's %s can't compute in fp32" % device, "ask for its own default precision")
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    return settings


def _effective(compiled: Any) -> Dict[str, str]:
    known = compiled.get_property("SUPPORTED_PROPERTIES")
    return {name: _text(compiled.get_property(name)) for name in READ_BACK if name in known}


def _text(value: Any) -> str:
    if hasattr(value, "get_type_name"):  # an element type
        return str(value.get_type_name())
    return ",".join(value) if isinstance(value, list) else str(value)


def _reshape(model: Any, specs: List[wire.TensorSpec]) -> None:
    """Give a model of dynamic shape the job's shapes. Raises :class:`Refused` when their number is not the model's."""
    ports = model.inputs
    if len(specs) != len(ports):
        raise Refused("the model takes %d inputs, the job names %d" % (len(ports), len(specs)))
    order = _order([port.get_names() for port in ports], specs)
    wanted = {ports[index]: spec.shape for index, spec in zip(order, specs)}
    if any(port.partial_shape.is_dynamic for port in ports):
        model.reshape(wanted)


def _order(names: List[Any], specs: Optional[List[wire.TensorSpec]]) -> List[int]:
    """For each of the job's inputs the model's input: by name where every name is the model's, else by position."""
    by_name = {name: index for index, group in enumerate(names) for name in group}
    if specs and len({by_name.get(spec.name, -1) for spec in specs} - {-1}) == len(specs) == len(names):
        return [by_name[spec.name] for spec in specs]
    return list(range(len(names)))


def _spec(port: Any, unnamed: str) -> wire.TensorSpec:
    names = port.get_names()
    kind = port.get_element_type()
    try:
        dtype = numpy.dtype(kind.to_dtype()).name
    except Exception as problem:
        raise Refused("WhichPU can't feed or read values of OpenVINO's type %s" % kind) from problem
    shape = [-1 if size.is_dynamic else int(size.get_length()) for size in port.partial_shape]
    return wire.TensorSpec(min(names) if names else unnamed, dtype, shape)


def _infer(request: Any) -> Callable[[], Any]:
    """``request.infer()`` without its Python frames, where the C++ method has the signature we know."""
    try:
        from openvino._pyopenvino import InferRequest
    except ImportError:
        return functools.partial(request.infer, share_outputs=True)
    if "inputs: dict, share_outputs: bool, decode_strings: bool" not in (InferRequest.infer.__doc__ or ""):
        return functools.partial(request.infer, share_outputs=True)
    return functools.partial(InferRequest.infer, request, {}, True, False)
