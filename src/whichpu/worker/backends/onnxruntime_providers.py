"""ONNX Runtime's execution providers: one line each in ``PROVIDERS``, with WhichPU's words in the provider's own.

Names and values are those of ONNX Runtime's documentation (docs/execution-providers, up to 1.31) and of what the
providers say themselves: onnxruntime-gpu 1.31.1, onnxruntime-openvino 1.24.1, onnxruntime-qnn 2.7.0.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from .. import wire
from . import FellBack, Refused, no_option, onnxbytes
from . import onnxruntime_plugins as plugins
from .hearing import heard

Words = Dict[str, str]
REMOTE = ("azure",)
"""Listed by every wheel, runs on somebody's server."""
HOST, CUDA, BOUND = "host", "cuda", "bound"
"""Where inputs lie: in host memory, in CUDA buffers that we fill, in memory that only binding copies to."""
EVERYWHERE = ("graph", "set", "library")
OPTIONS = {
    "unit": "openvino: CPU, GPU, NPU; qnn: htp, gpu, cpu; coreml: all, cpu, gpu, ane; plug-ins: cpu, gpu, npu",
    "id": "cuda, tensorrt, migraphx, rocm, dml: which GPU, from 0 (default: 0)",
    "cuda_graph": "cuda, tensorrt: on or off: replay a captured CUDA graph (default: off)",
    "fp16": "tensorrt, migraphx: on lets it compute in fp16, with precision=default (default: off)",
    "int8": "tensorrt: on lets it compute a quantised graph in int8 (default: off)",
    "dla": "tensorrt: the DLA core, 0 or 1, with fp16=on or int8=on",
    "arch": "qnn: generation of the HTP, as 73",
    "soc": "qnn: the chip by Qualcomm's number, as 43",
    "performance": "qnn: htp_performance_mode, as burst",
    "set": "options in the provider's own words, as NAME:VALUE;NAME:VALUE",
    "library": "a plug-in provider's library file",
}
PERFORMANCE = (
    "default", "burst", "balanced", "high_performance", "sustained_high_performance", "high_power_saver",
    "power_saver", "low_power_saver", "extreme_power_saver", "low_balanced",
)  # fmt: skip
COREML_UNITS = {"all": "ALL", "cpu": "CPUOnly", "gpu": "CPUAndGPU", "ane": "CPUAndNeuralEngine"}


class Provider(NamedTuple):
    """What is known of a provider. ``settings`` gives its options for a job, ``takes`` are those of ours it knows.

    ``fp32`` says what holds it to fp32 when that is asked for, ``default`` what it computes in when nothing is; empty:
    not known. ``behind`` are providers that take what it leaves, before the CPU's. ``module`` is the plug-in's package.
    """

    settings: Callable[[wire.Open], Words] = lambda job: {}
    takes: Tuple[str, ...] = ()
    memory: str = HOST
    fp32: str = ""
    default: str = ""
    install: str = ""
    behind: Tuple[str, ...] = ()
    module: str = ""


class Chosen(NamedTuple):
    """The provider of a target; ``devices`` are the plug-in's OrtEpDevices, empty where it is built in."""

    name: str
    provider: Provider
    options: Words
    devices: List[Any]

    @property
    def listed(self) -> List[Tuple[str, Words]]:
        """What a session is given: the provider, and those behind it on the same GPU."""
        same = {name: value for name, value in self.options.items() if name == "device_id"}
        return [(self.name, self.options)] + [(other, same) for other in self.provider.behind]

    @property
    def moves(self) -> bool:
        """Whether inputs are bound anew in each inference."""
        return self.provider.memory == BOUND


# ---------------------------------------------------------------- our words in each provider's


def _forbid_tf32(job: wire.Open) -> None:
    """NVIDIA's libraries obey this variable, and are not loaded yet. The CUDA provider's ``use_tf32`` does not reach
    recurrent operators (core/providers/cuda/rnn/cudnn_rnn_base.h); TensorRT's provider has no such option."""
    if job.precision == "fp32":
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def _cuda(job: wire.Open) -> Words:
    _forbid_tf32(job)
    graph = "1" if _on(job, "cuda_graph") else "0"
    tf32 = {"use_tf32": "0" if job.precision == "fp32" else "1"} if _version() >= (1, 18) else {}
    return dict({"device_id": _number(job, "id", "0"), "enable_cuda_graph": graph}, **tf32)


def _tensorrt(job: wire.Open) -> Words:
    _forbid_tf32(job)
    words = {"device_id": _number(job, "id", "0"), "trt_cuda_graph_enable": "1" if _on(job, "cuda_graph") else "0"}
    words.update({"trt_fp16_enable": _lower(job, "fp16"), "trt_int8_enable": "1" if _on(job, "int8") else "0"})
    if "dla" in job.options:
        if "1" not in (words["trt_fp16_enable"], words["trt_int8_enable"]):
            raise Refused("a DLA computes in fp16 or int8 only", "add fp16=on,precision=default or int8=on")
        words.update({"trt_dla_enable": "1", "trt_dla_core": _number(job, "dla", "0")})
    return words


def _openvino(job: wire.Open) -> Words:
    unit = job.options.get("unit", "CPU").upper()
    words = {"device_type": unit}
    if unit.startswith("CPU"):
        words["num_of_threads"] = str(job.threads)
    if job.precision == "fp32":
        if unit.startswith("NPU"):
            raise Refused("OpenVINO's NPU does not compute in fp32", "ask for its own choice: precision=default")
        words["precision"] = "FP32"
    return words


def _qnn(job: wire.Open) -> Words:
    words = {"backend_type": _one_of(job, "unit", ("htp", "gpu", "cpu"))}
    if words["backend_type"] == "htp":
        words["enable_htp_fp16_precision"] = "1"  # 0 changes nothing of what comes out (2.7.0, simulated HTP)
        if job.precision == "fp32" and not _quantised(job.model):
            raise Refused("a Qualcomm HTP computes in fp16, not in fp32", "ask for its own choice: precision=default")
    if "arch" in job.options:
        words["htp_arch"] = _number(job, "arch", "")
    if "soc" in job.options:
        words["soc_model"] = _number(job, "soc", "")
    if "performance" in job.options:
        words["htp_performance_mode"] = _one_of(job, "performance", PERFORMANCE)
    return words


def _coreml(job: wire.Open) -> Words:
    words = {"MLComputeUnits": COREML_UNITS[_one_of(job, "unit", tuple(COREML_UNITS))]}
    if job.precision == "fp32":  # the older NeuralNetwork format, its default, computes in fp16 off the CPU
        words["ModelFormat"] = "MLProgram"
    return words


def _migraphx(job: wire.Open) -> Words:
    return {"device_id": _number(job, "id", "0"), "migraphx_fp16_enable": _lower(job, "fp16")}


def _device(job: wire.Open) -> Words:
    return {"device_id": _number(job, "id", "0")}


def _xnnpack(job: wire.Open) -> Words:
    return {"intra_op_num_threads": str(job.threads)}


def _acl(job: wire.Open) -> Words:
    return {"enable_fast_math": "0" if job.precision == "fp32" else "1"}


GRAPH_TYPES = "it keeps the graph's types"
GPU_PACKAGE = "pip install 'onnxruntime-gpu[cuda,cudnn]' in an environment of its own"
PROVIDERS: Dict[str, Provider] = {
    "cpu": Provider(fp32=GRAPH_TYPES),
    "cuda": Provider(
        _cuda,
        ("id", "cuda_graph"),
        CUDA,
        "NVIDIA_TF32_OVERRIDE=0",
        "as in the graph, fp32 as TF32 where the GPU can",
        GPU_PACKAGE,
    ),
    "tensorrt": Provider(
        _tensorrt,
        ("id", "cuda_graph", "fp16", "int8", "dla"),
        CUDA,
        "NVIDIA_TF32_OVERRIDE=0, trt_fp16_enable=0",
        "as in the graph, fp32 as TF32 where the GPU can",
        GPU_PACKAGE + ", and TensorRT's libraries",
        ("CUDAExecutionProvider",),
    ),
    "openvino": Provider(
        _openvino,
        ("unit",),
        fp32="precision=FP32",
        default="OpenVINO's choice for the unit",
        install="pip install onnxruntime-openvino in an environment of its own",
    ),
    "qnn": Provider(
        _qnn,
        ("unit", "arch", "soc", "performance"),
        fp32="its quantised operators; on an HTP its floats are fp16",
        default="as in the graph; fp16 for fp32 on an HTP",
        install="pip install onnxruntime-qnn",
        module="onnxruntime_qnn",
    ),
    "coreml": Provider(
        _coreml,
        ("unit",),
        fp32="ModelFormat=MLProgram with fp32 types",
        default="Core ML's choice: fp32 on the CPU, fp16 elsewhere",
        install="pip install onnxruntime on macOS",
    ),
    "dml": Provider(
        _device, ("id",), BOUND, GRAPH_TYPES, "as in the graph", "pip install onnxruntime-directml on Windows"
    ),
    "migraphx": Provider(
        _migraphx,
        ("id", "fp16"),
        BOUND,
        "migraphx_fp16_enable=0",
        "as in the graph",
        "pip install onnxruntime-migraphx",
    ),
    "rocm": Provider(_device, ("id",), BOUND, GRAPH_TYPES, "as in the graph", "use migraphx from ONNX Runtime 1.23 on"),
    "xnnpack": Provider(_xnnpack, fp32=GRAPH_TYPES, default="as in the graph"),
    "acl": Provider(_acl, fp32="enable_fast_math=0", default="as in the graph, convolutions with fast math"),
    "dnnl": Provider(fp32=GRAPH_TYPES, default="as in the graph"),
    "nnapi": Provider(default="the device's choice"),
    "vitisai": Provider(default="what its compiler chose", install="AMD's Ryzen AI software"),
}
BUILD = "build ONNX Runtime with it: https://onnxruntime.ai/docs/build/eps.html"


OFFERED = {"qnn": "default", "openvino": "fp32"}
"""One offer where the other is refused for most models, or comes to the same (on OpenVINO's CPU)."""
CPU = "CPUExecutionProvider"
ON_CPU = Chosen(CPU, PROVIDERS["cpu"], {}, [])

# ---------------------------------------------------------------- finding one


def chosen(job: wire.Open) -> Chosen:
    """The provider that the job names, and its options.

    Raises :class:`Refused`; of a provider that is not there :class:`FellBack`.
    """
    import onnxruntime

    check(job)
    known = PROVIDERS.get(job.device, Provider())
    available = [name for name in onnxruntime.get_available_providers() if plugins.device_of(name) not in REMOTE]
    here = {plugins.device_of(name): name for name in available}
    if job.device in here and "library" not in job.options:
        return Chosen(here[job.device], known, _settings_of(known, job), [])
    devices = plugins.plugged(job.device, known.module, job.options.get("library"))
    if not devices:
        words = "this ONNX Runtime has no provider for %r; it has: %s" % (job.device, ", ".join(here))
        if job.device in PROVIDERS:  # asked for it by name, ONNX Runtime warns and runs all on the CPU
            raise FellBack(words + "; by itself it would run all on the CPU", known.install or BUILD)
        raise Refused(words, known.install or BUILD)
    unit = job.options.get("unit", "htp" if job.device == "qnn" else "")
    return Chosen(str(devices[0].ep_name), known, _settings_of(known, job), plugins.of_unit(unit, devices))


def check(job: wire.Open) -> None:
    """Raises :class:`Refused` for an option that the job's provider doesn't take, and for one against its precision."""
    own = PROVIDERS[job.device].takes if job.device in PROVIDERS else ("unit",)
    takes = ("graph",) if job.device == "cpu" else EVERYWHERE + own
    for name in job.options:
        if name not in takes:
            raise no_option("onnxruntime:%s" % job.device, name, takes)
    if job.precision == "fp32" and job.options.get("fp16") == "on":
        raise Refused("fp16=on against precision=fp32, the default", "add precision=default")


def prepare(settings: Any, choice: Chosen, job: wire.Open) -> None:
    """Session options that a provider other than the CPU's needs, or profits from."""
    import onnxruntime

    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for symbol, size in fixed_sizes(job).items():
        settings.add_free_dimension_override_by_name(symbol, size)
    if job.device == "xnnpack":  # it has threads of its own, which ONNX Runtime's spinning ones would disturb
        settings.intra_op_num_threads = 1
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if job.device == "dml":
        settings.enable_mem_pattern = False
    if choice.provider.memory == CUDA and hasattr(onnxruntime, "preload_dlls"):
        with heard():  # CUDA and cuDNN as pip packages; what it doesn't find it prints
            onnxruntime.preload_dlls()


def fixed_sizes(job: wire.Open) -> Dict[str, int]:
    """Sizes that the model leaves open and the job's inputs fix: compilers for NPUs take no open ones."""
    try:
        return onnxbytes.symbols(job.model, job.inputs or [])
    except (ValueError, IndexError, OSError):  # ONNX Runtime itself will say what is wrong with the file
        return {}


def effective(session: Any, choice: Chosen, job: wire.Open) -> Words:
    """The provider's options as it reports them, or as given; and where its inputs lie."""
    told = session.get_provider_options().get(choice.name, {})
    found = {name: told.get(name, "%s (given; not read back)" % value) for name, value in choice.options.items()}
    inputs = {
        CUDA: "copied into buffers of the GPU, allocated once",
        BOUND: "bound anew in each inference, which copies them",
    }
    found["inputs"] = inputs.get(choice.provider.memory, "bound once, in host memory")
    sizes = fixed_sizes(job)
    if sizes:
        found["sizes fixed"] = ",".join("%s=%d" % pair for pair in sorted(sizes.items()))
    if simulated(choice):
        found["simulated"] = "the HTP, by this processor: its times say nothing of a chip's"
    if job.options.get("cuda_graph") == "on":
        found["outputs"] = "in buffers of the GPU, allocated once; fetched after each inference"
    return found


def offers(available: List[str]) -> List[wire.Offer]:
    """Of the providers that are built in, and of plug-in packages that find a unit here."""
    built_in = [name for name in map(plugins.device_of, available) if name not in REMOTE]
    others = [name for name in PROVIDERS if name not in built_in and plugins.has_unit(name, PROVIDERS[name].module)]
    return [offer for name in built_in + others for offer in offers_of(name)]


def offers_of(device: str) -> List[wire.Offer]:
    """fp32, and the provider's own default where that is something else."""
    known = PROVIDERS.get(device, Provider())
    found = [wire.Offer(device)] if known.fp32 else []
    if known.default != "as in the graph" and (known.default or not known.fp32):
        note = known.default or "its own default; not known to WhichPU"
        found.append(wire.Offer(device, precision="default", note=note))
    return [offer for offer in found if offer.precision == OFFERED.get(device, offer.precision)]


def simulated(choice: Chosen) -> bool:
    """Whether the unit is one that Qualcomm's library for x86 simulates."""
    htp = choice.options.get("backend_type") == "htp"
    return htp and bool(choice.devices) and plugins.type_of(choice.devices[0]) == "CPU"


def in_place(job: wire.Open) -> bool:
    """Whether the provider computes on the CPU, where nothing is moved."""
    units = {"openvino": job.options.get("unit", "CPU").upper(), "qnn": job.options.get("unit", "htp").upper()}
    return job.device in ("cpu", "xnnpack", "acl", "dnnl") or units.get(job.device) == "CPU"


def precision_of(choice: Chosen, job: wire.Open) -> wire.Precision:
    """What the options of a provider other than the CPU's make it compute in."""
    lower = [name for name in ("fp16", "int8") if job.options.get(name) == "on"]
    given = ", ".join("%s=%s" % pair for pair in sorted(choice.options.items())) or "no options"
    if lower:
        return wire.Precision("%s where it is faster, else as in the graph" % "+".join(lower), "options: %s" % given)
    if job.precision == "fp32" and choice.provider.fp32:
        besides = "; besides, set=%s" % job.options["set"] if "set" in job.options else ""
        return wire.Precision(wire.AS_IN_THE_GRAPH, "held to it by %s%s" % (choice.provider.fp32, besides))
    ran = choice.provider.default if job.precision != "fp32" else ""
    return wire.Precision(ran or "as in the graph; not confirmed", "the provider's own default (%s)" % given)


def _quantised(model: str) -> bool:
    try:
        return any(node.kind.startswith(("QLinear", "QuantizeLinear")) for node in onnxbytes.nodes(model))
    except (ValueError, IndexError, OSError):
        return False


def _settings_of(known: Provider, job: wire.Open) -> Words:
    ours, theirs = known.settings(job), _own_words(job)
    twice = sorted(set(ours) & set(theirs))
    if twice:
        raise Refused("set= names %s, which WhichPU sets itself" % ", ".join(twice), "use the target's options")
    return dict(ours, **theirs)


def _own_words(job: wire.Open) -> Words:
    """``set=NAME:VALUE;NAME:VALUE``. Raises :class:`Refused`."""
    found = {}
    for part in filter(None, job.options.get("set", "").split(";")):
        name, colon, value = part.partition(":")
        if not (name and colon and value):
            raise Refused("set=%s: %r is not NAME:VALUE" % (job.options["set"], part))
        found[name] = value
    return found


def _on(job: wire.Open, name: str) -> bool:
    return _one_of(job, name, ("off", "on")) == "on"


def _lower(job: wire.Open, name: str) -> str:
    return "1" if _on(job, name) else "0"


def _one_of(job: wire.Open, name: str, choices: Tuple[str, ...]) -> str:
    """The option's value, the first choice where it is not given. Raises :class:`Refused`."""
    value = job.options.get(name, choices[0])
    if value.lower() not in choices:
        raise Refused("onnxruntime:%s,%s=%s: it takes %s" % (job.device, name, value, ", ".join(choices)))
    return value.lower()


def _number(job: wire.Open, name: str, default: str) -> str:
    value = job.options.get(name, default)
    if not value.isdigit():
        raise Refused("onnxruntime:%s,%s=%s: it takes a number from 0" % (job.device, name, value))
    return value


def _version() -> "Tuple[int, ...]":
    import onnxruntime

    return tuple(int(part) for part in re.findall(r"\d+", onnxruntime.__version__)[:2])
