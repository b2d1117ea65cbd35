"""Plug-in execution providers of ONNX Runtime: packages and libraries that are registered, and the units they find.

``register_execution_provider_library(name, path)``, ``get_ep_devices()``, ``SessionOptions.add_provider_for_devices``
(1.22 and newer; read off 1.31.1). Packages have ``get_library_path()`` and ``get_ep_names()`` and are called
``onnxruntime-ep-NAME`` (docs/execution-providers/plugin-ep-libraries/packaging), or as the table of providers says.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from typing import Any, List, Optional

from . import Refused

SUFFIX = "ExecutionProvider"
ON_PLUGINS = {"htp": "NPU", "npu": "NPU", "gpu": "GPU", "cpu": "CPU"}
"""OrtHardwareDeviceType of a unit."""


def plugged(device: str, module: str, library: Optional[str]) -> List[Any]:
    """The OrtEpDevices of a plug-in provider, its library registered; none where there is no such plug-in."""
    import onnxruntime

    path = library or _path_of(device, module)
    if path is None:
        return []
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        raise Refused("plug-in providers need ONNX Runtime 1.22 or newer", "pip install -U onnxruntime")
    if not os.path.isfile(path):
        raise Refused("there is no library %s" % os.path.basename(path))
    found = _devices(onnxruntime, device)
    if not found:
        try:
            onnxruntime.register_execution_provider_library(_registered(device, module), path)
        except Exception as problem:
            raise Refused(
                "ONNX Runtime can't load %s: %s" % (os.path.basename(path), words_of(str(problem)))
            ) from problem
        found = _devices(onnxruntime, device)
    if not found:
        names = sorted({device_of(str(each.ep_name)) for each in onnxruntime.get_ep_devices()})
        raise Refused(
            "%s finds no unit for %r here; there are: %s" % (os.path.basename(path), device, ", ".join(names))
        )
    return found


def has_unit(device: str, module: str) -> bool:
    """Whether a package is here whose library loads and finds a unit, not one that the CPU only simulates."""
    try:
        return bool(_package(device, module)) and any(type_of(each) != "CPU" for each in plugged(device, module, None))
    except Exception:  # one broken package takes no other provider away
        return False


def of_unit(unit: str, devices: List[Any]) -> List[Any]:
    """Those of the unit that was asked for; all where the library knows no such unit of its own."""
    wanted = ON_PLUGINS.get(unit.lower(), "")
    return [each for each in devices if type_of(each) == wanted] or devices


def type_of(device: Any) -> str:
    """``CPU``, ``GPU`` or ``NPU``."""
    return str(device.device.type).rsplit(".", 1)[-1]


def device_of(provider: str) -> str:
    """``CUDAExecutionProvider`` as the target's ``cuda``."""
    return (provider[: -len(SUFFIX)] if provider.endswith(SUFFIX) else provider).lower()


# What ONNX Runtime puts before its words: a log's colour, time and place; a function of its sources; a status.
BEFORE = (
    r"\x1b\[[0-9;]*m",
    r"^.*?\[[EFW]:onnxruntime:[^\]]*\] ",
    r"^\S+\.(?:cc|h):\d+ .*?\)(?: const)? ",
    r".*FAIL : ",
)


def words_of(text: str) -> str:
    """ONNX Runtime's own words in an error or a line of its log, first line only; paths become names."""
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    for before in BEFORE:
        line = re.sub(before, "", line)
    line = re.sub(r"\[(?:ERROR|ONNXRuntimeError)\] (?:: \d+ : \w+ : )?", "", line)
    return re.sub(r"(?<![\w:])(?:/[\w.+-]+)+/(?=[\w.+-]+)", "", line).strip()


def _package(device: str, module: str) -> str:
    names = [name for name in (module, "onnxruntime_ep_%s" % device) if name]
    return next((name for name in names if importlib.util.find_spec(name) is not None), "")


def _path_of(device: str, module: str) -> Optional[str]:
    package = _package(device, module)
    return str(importlib.import_module(package).get_library_path()) if package else None


def _registered(device: str, module: str) -> str:
    """The name to register a plug-in under: it becomes the provider's."""
    package = _package(device, module)
    names: List[str] = importlib.import_module(package).get_ep_names() if package else []
    return str(names[0]) if names else device


def _devices(onnxruntime: Any, device: str) -> List[Any]:
    return [each for each in onnxruntime.get_ep_devices() if device_of(str(each.ep_name)) == device]
