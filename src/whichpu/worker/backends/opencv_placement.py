"""Where OpenCV's layers run on a target beyond the CPU, by a look at one inference in a process of its own.

OpenCV tells it in two ways, both to be asked for before it starts: on CUDA its log names each layer without CUDA code
(net_impl.cpp, op_cuda.cpp: at level INFO), and its trace (``OPENCV_TRACE``) names the CPU functions that ran inside a
layer, which is how an OpenCL layer that took its CPU code shows, and a CUDA layer that declined without a word (there
the layer's own function runs on the CPU only: net_impl.cpp, forwardLayer). A process of its own, because both cost
time, and because the first inference, which compiles kernels, must stay the first one in the process that measures.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .. import wire
from . import FellBack
from .opencv_targets import CPU

TIMEOUT_S = 300
TRACE = {"OPENCV_TRACE": "1", "OPENCV_TRACE_DEPTH_OPENCV": "6", "OPENCV_TRACE_MAX_CHILDREN_OPENCV": "1000000"}
ALL_ON_CPU = (
    "switching to CPU",
    "Back-ends are not supported by the new graph engine",
    "Targets are not supported by the new graph engine",
    "backends support quantized networks",
    "targets are supported by quantized networks",
    "CUDA EP unavailable",
    "initCUDABackend failed",
)
"""What OpenCV logs when it puts a whole network on the CPU (4.14, 5.0, and the 5.x branch)."""
NARROWER = ("switching to FP32 target", "switching to OpenCL with fp32 precision")
ON_CPU = re.compile(r'fallback to the CPU implementation for the layer "(.*)" of type (\S+)')
PREFIX = re.compile(r"^\[[^\]]*\] global \S+ \S+ ")
NAMED = 10
NO_CUDA_CODE = "OpenCV has no CUDA code for them"
TOOK_CPU_CODE = "they took OpenCV's CPU code"

Layers = List[Tuple[str, str, bool]]
"""Name, type, and whether it ran (a layer fused into another does not)."""


def look(job: wire.Open) -> wire.Placement:
    """Raises :class:`FellBack` where OpenCV puts the whole network on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        traced = job.device.startswith(("cuda", "opencl"))
        told = _run(job, dict(TRACE, OPENCV_TRACE_LOCATION=trace) if traced else {})
        if isinstance(told, str):
            return wire.Placement(job.device, unknown="the inference to look at failed: %s" % told)
        log, layers = told
        refuse_fallen_back(job, log)
        if job.device.startswith("cuda"):
            return by_log(job.device, layers, log, _lines(trace + ".txt"), _lines(trace + "-000.txt"))
        if job.device.startswith("opencl"):
            return by_trace(job.device, layers, _lines(trace + ".txt"), _lines(trace + "-000.txt"))
    return wire.Placement(job.device, unknown="OpenCV doesn't tell which layers OpenVINO took")


def refuse_fallen_back(job: wire.Open, log: Sequence[str]) -> None:
    """Raises :class:`FellBack` with OpenCV's own line."""
    for line in log:
        if any(words in line for words in ALL_ON_CPU):
            words = "OpenCV runs all of this model on the CPU, not on %s: %s" % (job.device, PREFIX.sub("", line))
            raise FellBack(words, _remedy(line))
        if any(words in line for words in NARROWER):
            raise FellBack("OpenCV computes in fp32, not in fp16: %s" % PREFIX.sub("", line))


def by_log(
    device: str, layers: Layers, log: Sequence[str], places: Sequence[str] = (), events: Sequence[str] = ()
) -> wire.Placement:
    """Layers that the log names, fused ones left out; and those that no log names, where there is a trace: a layer that
    has CUDA code may still decline (its ``initCUDA`` gives nothing), and then its CPU code runs."""
    by = "OpenCV's log of layers without CUDA code"
    named = {found.group(1) for found in map(ON_CPU.search, log) if found}
    seen = layers_in_trace(places, events, own=True)[1:]  # without the input layer
    silent = set()
    if len(seen) >= len(layers):
        by += ", and its trace of one inference"
        silent = {layer[0] for layer, inside in zip(layers, seen) if any("::forward(" in each for each in inside)}
    away = [layer for layer in layers if layer[2] and layer[0] in named | silent]
    declined = any(layer[0] not in named for layer in away)
    return _placement(device, layers, away, by, NO_CUDA_CODE + (", or not as they are set" if declined else ""))


def by_trace(device: str, layers: Layers, places: Sequence[str], events: Sequence[str]) -> wire.Placement:
    """Layers in which the trace saw a function of the CPU; OpenCL's own and those of ``UMat`` are not."""
    seen = layers_in_trace(places, events)[1:]  # without the input layer
    if len(seen) < len(layers):
        return wire.Placement(device, unknown="this OpenCV writes no trace, and tells it in no other way")
    away = [layer for layer, inside in zip(layers, seen) if layer[2] and any(map(_of_the_cpu, inside))]
    return _placement(device, layers, away, "OpenCV's trace of one inference: functions of the CPU", TOOK_CPU_CODE)


def layers_in_trace(places: Sequence[str], events: Sequence[str], own: bool = False) -> List[List[str]]:
    """For each layer of the last inference, in order, the functions that ran beneath its own; with ``own`` that too.

    Lines are ``l,PLACE,"file",line,"function",flags`` in the one file, and ``b,thread,time,PLACE,region`` and
    ``e,...`` in the other (opencv modules/core/src/trace.cpp, format 1.0).
    """
    rows = [re.match(r'l,(\d+),"[^"]*",\d+,"([^"]*)"', line) for line in list(places) + list(events)]
    names = {row.group(1): row.group(2) for row in rows if row}
    found: List[List[str]] = []
    stack: List[str] = []
    for line in events:
        if line.startswith("e,"):
            del stack[-1:]
        if not line.startswith("b,"):
            continue
        name = names.get(line.split(",")[3], "")
        if "::forwardToLayer(" in name:
            found = []
        elif "::forwardLayer(" in name:
            found.append([])
        elif found and any("::forwardLayer(" in above for above in (stack if own else stack[:-1])):
            found[-1].append(name)
        stack.append(name)
    return found


def _of_the_cpu(function: str) -> bool:
    return "cv::ocl::" not in function and "cv::UMat::" not in function


def _placement(device: str, layers: Layers, away: Layers, by: str, reason: str) -> wire.Placement:
    ran = sum(1 for layer in layers if layer[2])
    if not away:
        return wire.Placement(device, {device: ran}, by)
    kinds: Dict[str, int] = {}
    for _, kind, _ in away:
        kinds[kind] = kinds.get(kind, 0) + 1
    if len(away) == ran:
        raise FellBack("OpenCV runs all %d layers of this model on the CPU, not on %s: %s" % (ran, device, reason))
    units = {device: ran - len(away), CPU: len(away)}
    names = [name for name, _, _ in away[:NAMED]]
    return wire.Placement(device, units, by, [wire.Elsewhere(CPU, len(away), kinds, reason, names)])


def _run(job: wire.Open, variables: Dict[str, str]) -> Any:
    """OpenCV's log, a line each, and the layers; in words why not."""
    package = __name__.rpartition(".")[0]
    code = "from %s.opencv_probe import main; main()" % package
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), **variables)
    wish: Dict[str, Any] = {
        "model": job.model,
        "device": job.device,
        "engine": job.options.get("engine"),
        "threads": job.threads,
    }
    wish["inputs"] = [[spec.name, spec.dtype, spec.shape] for spec in job.inputs or []]
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(wish).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    lines = [line.strip() for line in ran.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("{")]
    if ran.returncode or not told:
        return lines[-1] if lines else "exit status %d" % ran.returncode
    return lines, [(name, kind, ran_here) for name, kind, ran_here in json.loads(told[-1])["layers"]]


def _lines(path: str) -> List[str]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def _remedy(line: str) -> Optional[str]:
    if "new graph engine" in line:
        return "add engine=classic to the target: OpenCV 5's new engine runs on the CPU only"
    if "quantized networks" in line:
        return "give OpenCV the model in fp32, or measure the quantised one on another runtime"
    return None
