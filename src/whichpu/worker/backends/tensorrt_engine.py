"""Engines of TensorRT: the unit they are for, its log, the folder of one built, and why one can't be loaded."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any, Dict, List, Optional

from .. import wire
from . import Refused, tensorrt_layers

ENGINE, NOTES = "model.engine", "notes.json"
"""What building leaves in its folder."""
DEVICE = re.compile(r"(gpu|dla)(\d*)")
REFUSALS = (
    ("version tag does not match", "it was built by another TensorRT than the %s here"),
    ("magic tag", "it is no engine of TensorRT, or a damaged one"),
    ("dla_standalone", "it is a DLA loadable of its own, which cuDLA runs and TensorRT does not"),
    ("compute capab", "it was built for another GPU than this one (%s here)"),
    ("incompatible device", "it was built for another GPU than this one (%s here)"),
    ("platform", "it was built for another platform than this one (%s here)"),
)
"""What TensorRT's errors at loading mean; ``%s`` is TensorRT's version."""
REBUILD = "build it on this machine: give the ONNX file instead"


class Unit:
    """``gpu``, ``gpu1``, ``dla0``. Raises :class:`Refused` for anything else."""

    def __init__(self, device: str) -> None:
        found = DEVICE.fullmatch(device)
        if found is None or (found.group(1) == "dla" and not found.group(2)):
            raise Refused(
                "TensorRT has no device %r" % device, "use gpu (gpu1 for the second), or dla0 and dla1 on a Jetson"
            )
        number = int(found.group(2) or 0)
        self.dla: Optional[int] = number if found.group(1) == "dla" else None
        self.gpu = 0 if self.dla is not None else number


class Said:
    """What TensorRT logs: ``errors``, ``warnings``, and all ``lines`` down to its information."""

    def __init__(self, trt: Any) -> None:
        severity = trt.ILogger.Severity
        kept, bad = (severity.WARNING, severity.INFO), (severity.INTERNAL_ERROR, severity.ERROR)
        errors, warnings, lines = [], [], []  # type: List[str], List[str], List[str]

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                if severity in bad:
                    errors.append(msg)
                elif severity in kept:
                    lines.append(msg)
                    if severity == kept[0]:
                        warnings.append(msg)

        self.errors, self.warnings, self.lines = errors, warnings, lines
        self.logger = Logger()

    def why(self) -> str:
        """The first error in one line: those that follow only pass it on."""
        return " ".join(self.errors[0].split()) if self.errors else "it gives no reason"


def plugins(trt: Any, said: Said) -> None:
    """Register the layers of TensorRT's own plug-in library: up to 8.x its parser needs them for some operators
    (InstanceNormalization), and engines that hold one can't be loaded without."""
    trt.init_libnvinfer_plugins(said.logger, "")


def check_core(core: int, cores: int) -> None:
    if not cores:
        raise Refused("TensorRT finds no DLA on this machine", "measure on a Jetson that has one, or use tensorrt:gpu")
    if core >= cores:
        raise Refused("this machine has %d DLA cores, no dla%d" % (cores, core), "use dla0")


def path_of(job: wire.Open) -> str:
    return job.model if job.built is None else os.path.join(job.built, ENGINE)


def notes_of(job: wire.Open) -> Dict[str, Any]:
    """What the builder left for us; empty for an engine that was given."""
    if job.built is None:
        return {}
    with open(os.path.join(job.built, NOTES), "rb") as file:
        found: Dict[str, Any] = json.loads(file.read().decode("utf-8"))
    path = job.options.get("calibration")
    if path is not None and found.get("calibration") not in (None, fingerprint(path)):
        raise Refused(
            "calibration=%s has changed since this engine was built from it" % path, "give the file another name"
        )
    return found


def fingerprint(path: str) -> Optional[str]:
    """SHA-256 of a file; ``None`` where it can't be read any more."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None


def engine_in(runtime: Any, path: str, said: Said, version: str) -> Any:
    """The engine in a file. Raises :class:`Refused` with one sentence where it does not fit this machine."""
    with open(path, "rb") as file:
        plan = file.read()
    plan = tensorrt_layers.plan_in(plan)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        name, built_by = os.path.basename(path), tensorrt_layers.version_of(plan)
        raise Refused("TensorRT can't load %s: %s" % (name, refusal(said.errors, version, built_by)), REBUILD)
    return engine


def refusal(errors: List[str], version: str, built_by: Optional[str] = None) -> str:
    """What TensorRT's errors at loading mean, in plain words; its own words where they are not known."""
    words = " ".join(" ".join(errors).split())
    for sign, meaning in REFUSALS:
        if sign in words.lower():
            says = meaning % version if "%s" in meaning else meaning
            return says + (" (by %s)" % built_by if built_by and "another TensorRT" in says else "")
    if built_by is not None and not version.startswith(built_by.rpartition(".")[0]):
        return "it was built by TensorRT %s, and %s is here: %s" % (built_by, version, words)
    return words or "it gives no reason; the file may be cut short"
