"""OpenCV's backends and targets by the device's name, and why one can't run here.

OpenCV takes any backend and target (``Net::setPreferableBackend``, ``setPreferableTarget``); what it lacks it replaces
by its CPU code, with a line in its log at most. What it can do is told by ``cv.dnn.getAvailableTargets``, by
``cv.getBuildInformation`` and by ``cv.ocl``. Read: opencv 4.14 and 5.0, modules/dnn/src/net_impl.cpp,
net_impl_backend.cpp, registry.cpp.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple, Optional

from .. import wire
from . import FellBack, Refused

CPU = "cpu"
ALL_DEVICES = "OPENCV_DNN_OPENCL_ALLOW_ALL_DEVICES"
"""Set to 1 it lets OpenCV use OpenCL devices that are no GPU, and fp16 on other GPUs than Intel's."""
BUILD_CUDA = "build OpenCV with WITH_CUDA, WITH_CUDNN and OPENCV_DNN_CUDA on (its packages on PyPI have no CUDA)"
BUILD_OPENVINO = "measure OpenVINO itself with openvino:cpu, or build OpenCV with WITH_OPENVINO on"
CLOCK_OF_LAUNCH = "OpenCV times its layers on the CPU only: elsewhere it would be the time to start them"


class Unit(NamedTuple):
    """``backend`` and ``target`` are names in ``cv.dnn``; ``asks`` is the only precision that can be asked for."""

    backend: str
    target: str
    ran: str
    asks: str = "fp32"


UNITS: Dict[str, Unit] = {
    CPU: Unit("DNN_BACKEND_OPENCV", "DNN_TARGET_CPU", "fp32"),
    "cuda": Unit("DNN_BACKEND_CUDA", "DNN_TARGET_CUDA", "fp32"),
    "cuda-fp16": Unit("DNN_BACKEND_CUDA", "DNN_TARGET_CUDA_FP16", "fp16", "default"),
    "opencl": Unit("DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL", "fp32"),
    "opencl-fp16": Unit("DNN_BACKEND_OPENCV", "DNN_TARGET_OPENCL_FP16", "fp16", "default"),
    "openvino": Unit("DNN_BACKEND_INFERENCE_ENGINE", "DNN_TARGET_CPU", "unknown", "default"),
    "openvino-gpu": Unit("DNN_BACKEND_INFERENCE_ENGINE", "DNN_TARGET_OPENCL", "unknown", "default"),
}


def offered(cv2: Any) -> List[wire.Offer]:
    """Devices beyond the CPU that can run here; of OpenCV 5 with the engine that has them."""
    engine = {"engine": "classic"} if hasattr(cv2.dnn, "ENGINE_AUTO") else {}
    return [
        wire.Offer(device, precision=unit.asks, options=dict(engine), note=_note(cv2, device))
        for device, unit in UNITS.items()
        if device != CPU and _refusal(cv2, device) is None
    ]


def refuse_unless_here(cv2: Any, job: wire.Open) -> None:
    """Raises :class:`Refused`, and :class:`FellBack` where OpenCV would silently run all of the model on its CPU."""
    if job.device not in UNITS:
        raise Refused("OpenCV has no device %r; there are: %s" % (job.device, ", ".join(UNITS)))
    refusal = _refusal(cv2, job.device)
    if refusal is not None:
        raise refusal
    unit = UNITS[job.device]
    if unit.asks == "default" and job.precision != "default":
        does = "computes in fp16" if unit.ran == "fp16" else "takes OpenVINO's own precision, bf16 where the CPU has it"
        raise Refused(
            "opencv:%s %s, and %s was asked for" % (job.device, does, job.precision),
            "add precision=default to the target",
        )


def set_up(cv2: Any, net: Any, device: str) -> None:
    """Ask for the device, as OpenCV's users do."""
    unit = UNITS[device]
    net.setPreferableBackend(backendId=getattr(cv2.dnn, unit.backend))
    net.setPreferableTarget(targetId=getattr(cv2.dnn, unit.target))


def forbid_tf32(job: wire.Open) -> None:
    """OpenCV leaves cuDNN its default, which may be TF32 from Ampere on; NVIDIA's libraries obey this variable."""
    if job.device == "cuda" and job.precision == "fp32":
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def precision_of(job: wire.Open) -> wire.Precision:
    """For devices beyond the CPU: what the target stands for."""
    unit = UNITS[job.device]
    words = "target %s" % unit.target
    if unit.ran == "unknown":
        return wire.Precision("unknown", "%s; OpenCV doesn't tell what OpenVINO computes in" % words)
    if job.device == "cuda" and job.precision == "default":
        return wire.Precision("tf32+fp32", "%s; cuDNN may use TF32 from Ampere on" % words)
    if job.device == "cuda":
        words += "; TF32 is off by NVIDIA_TF32_OVERRIDE=0"
    return wire.Precision(unit.ran, words)


def facts(cv2: Any, device: str) -> Dict[str, str]:
    """What is in force, for ``effective``."""
    unit = UNITS[device]
    found = {"backend": unit.backend, "target": unit.target}
    if device.startswith("opencl"):
        found["opencl_device"] = _device_in_words(cv2.ocl.Device.getDefault(), cv2)
    return found


def _refusal(cv2: Any, device: str) -> Optional[Refused]:
    if device.startswith("cuda"):
        return _no_cuda(cv2, device)
    if device.startswith("opencl"):
        return _no_opencl(cv2, device)
    if device.startswith("openvino") and not _available(cv2, device):
        return Refused("this OpenCV %s has no OpenVINO for %r" % (cv2.__version__, device), BUILD_OPENVINO)
    return None


def _no_cuda(cv2: Any, device: str) -> Optional[Refused]:
    if _available(cv2, device):
        return None
    if not (_built_with(cv2, "NVIDIA CUDA") and _built_with(cv2, "cuDNN")):
        words = "this OpenCV %s was built without CUDA or cuDNN: it would run all on the CPU" % cv2.__version__
        return FellBack(words, BUILD_CUDA)
    count = cv2.cuda.getCudaEnabledDeviceCount()
    if count < 0:
        return Refused("NVIDIA's driver is missing, or too old for this OpenCV's CUDA", "look at what nvidia-smi says")
    if count == 0:
        return Refused("OpenCV finds no CUDA device here", "look at what nvidia-smi says")
    if device == "cuda-fp16" and _available(cv2, "cuda"):
        return Refused("this GPU has no fp16 in OpenCV, which would compute in fp32", "write the target as opencv:cuda")
    words = "this OpenCV %s was built without code for the GPU here" % cv2.__version__
    return Refused(words, "build OpenCV with the GPU's compute capability in CUDA_ARCH_BIN")


def _no_opencl(cv2: Any, device: str) -> Optional[Refused]:
    if not cv2.ocl.haveOpenCL():
        words = "OpenCV finds no OpenCL here: it would run all on the CPU"
        return FellBack(words, "install the GPU's OpenCL driver; clinfo lists what there is")
    found = cv2.ocl.Device.getDefault()
    if not (cv2.ocl.useOpenCL() and found.available() and _available(cv2, device)):
        words = "OpenCV uses none of the OpenCL devices here: it would run all on the CPU"
        return FellBack(words, "choose one with the variable OPENCV_OPENCL_DEVICE; clinfo lists what there is")
    anything = _is_set(ALL_DEVICES)
    if found.type() != cv2.ocl.Device_TYPE_GPU and not anything:
        words = "the OpenCL device %s is no GPU: OpenCV would run all on the CPU" % _device_in_words(found, cv2)
        return FellBack(words, "set the variable %s=1 to use it all the same" % ALL_DEVICES)
    half = found.isExtensionSupported("cl_khr_fp16") and (found.isIntel() or anything)
    if device == "opencl-fp16" and not half:
        return Refused("OpenCV would compute in fp32 on this OpenCL device", "write the target as opencv:opencl")
    return None


def _note(cv2: Any, device: str) -> str:
    if device.startswith("opencl"):
        return _device_in_words(cv2.ocl.Device.getDefault(), cv2)
    return "OpenVINO inside OpenCV" if device.startswith("openvino") else ""


def _device_in_words(device: Any, cv2: Any) -> str:
    kinds = {cv2.ocl.Device_TYPE_GPU: "a GPU", cv2.ocl.Device_TYPE_CPU: "a CPU"}
    return "%s (%s, %s)" % (device.name(), kinds.get(device.type(), "neither GPU nor CPU"), device.version())


def _available(cv2: Any, device: str) -> bool:
    unit = UNITS[device]
    there = cv2.dnn.getAvailableTargets(be=getattr(cv2.dnn, unit.backend))
    return getattr(cv2.dnn, unit.target) in list(there)


def _built_with(cv2: Any, name: str) -> bool:
    rows = [row.split(":", 1) for row in cv2.getBuildInformation().splitlines() if row.strip().startswith(name + ":")]
    return any(row[1].strip().startswith("YES") for row in rows)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "on")
