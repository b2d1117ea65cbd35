"""LiteRT on units other than the CPU: by a delegate's library, or by its own GPU and NPU accelerators.

A delegate is a library with ``tflite_plugin_create_delegate`` (TensorFlow Lite's external delegate interface); the
interpreter asks it which operators it takes, and runs the others itself, silently. Names of libraries: libedgetpu
(https://coral.ai/docs/edgetpu/tflite-python), NXP's eIQ (libethosu_delegate, libvx_delegate, libneutron_delegate), Arm
NN. ``CompiledModel`` is ai-edge-litert's from 2.1 on (read: 2.3.0); it runs on WebGPU and on vendors' plug-ins.
"""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import importlib
import importlib.util
import os
import re
from typing import Any, Callable, Dict, List, Tuple

import numpy

from .. import wire
from . import Arrays, FellBack, Refused, Session, litert

LIBRARIES = {
    "edgetpu": "libedgetpu.so.1",
    "ethosu": "libethosu_delegate.so",
    "gpu": "",
    "npu": "",
    "nnapi": "",
}
"""Devices, and the delegate of each that has but one."""
ACCELERATORS = {"gpu": "GPU", "npu": "NPU"}
"""Devices that LiteRT has an accelerator of its own for."""
REMEDIES = {
    "edgetpu": "give a model compiled for it: edgetpu_compiler MODEL.tflite",
    "ethosu": "give a model compiled for it: vela MODEL.tflite --accelerator-config ...",
}
NOISE = re.compile(r"(ERROR:\s*)?\[[^\]]*:\d+\]|└")
"""Where in its own source files LiteRT says something."""
PARTLY = "Some ops are not accelerated"


def offers() -> List[wire.Offer]:
    """Units whose delegate's library is here."""
    return [wire.Offer(device, "default") for device, name in LIBRARIES.items() if name and _loads(name)]


def open(job: wire.Open) -> Session:
    """The model on ``job.device``, by the delegate named or the device's own, else by LiteRT's accelerator."""
    if job.device not in LIBRARIES:
        there = ", ".join(["cpu"] + sorted(LIBRARIES))
        raise Refused("LiteRT has no device %r; it has: %s" % (job.device, there), "write litert:cpu, or one of them")
    library = job.options.get("delegate") or LIBRARIES[job.device]
    if library:
        return Delegated(litert.interpreter(job, [_delegate(library, job)]), job, library)
    if job.device in ACCELERATORS and importlib.util.find_spec("ai_edge_litert") is not None:
        return Compiled(job)
    raise Refused(
        "litert:%s needs to be told its delegate" % job.device,
        "name its library: litert:%s,delegate=/usr/lib/lib..._delegate.so" % job.device,
    )


class Delegated(litert.LiteRt):
    """A model of which a delegate runs a part; the interpreter runs the rest on the CPU."""

    def __init__(self, interpreter: Any, job: wire.Open, library: str) -> None:
        rows = _rows(interpreter, job, library)
        self.placement = placement_of(rows, job.device, os.path.basename(library))
        super().__init__(interpreter, job, frozenset(litert.taken(rows)))
        self.effective["delegate"] = library
        self.effective.update(("delegate %s" % key, value) for key, value in _options(job).items())
        if "fp" in self.precision.ran:
            evidence = "%s; the delegate doesn't tell what it computes in" % self.precision.evidence
            self.precision = wire.Precision("unknown", evidence)


def _rows(interpreter: Any, job: wire.Open, library: str) -> List[Dict[str, Any]]:
    """The operators, and what the delegate took of them, before XNNPACK takes its own.

    When an input gets another size, LiteRT asks the delegate anew, which may then take fewer without a word: so that is
    looked at in an interpreter without XNNPACK.
    """
    if not job.inputs or sorted(_shapes(interpreter)) == sorted(spec.shape for spec in job.inputs):
        return list(interpreter._get_ops_details())
    plain = dataclasses.replace(job, options=dict(job.options, xnnpack="off"))
    resized = litert.LiteRt(litert.interpreter(plain, [_delegate(library, job)]), plain)
    return list(resized.interpreter._get_ops_details())


def _shapes(interpreter: Any) -> List[List[int]]:
    return [[int(size) for size in detail["shape"]] for detail in interpreter.get_input_details()]


def placement_of(rows: List[Dict[str, Any]], unit: str, library: str) -> wire.Placement:
    """Which of the model's operators the delegate took. Raises :class:`FellBack` where it took none."""
    operators = [row for row in rows if row["op_name"] != litert.DELEGATE]
    mine = litert.taken(rows)
    if not mine:
        raise FellBack(
            "%s took none of the model's %d operators: all would run on the CPU" % (library, len(operators)),
            REMEDIES.get(unit, "run it on litert:cpu, or see in the delegate's documents which operators it takes"),
        )
    rest = [row for row in operators if int(row["index"]) not in mine]
    units = {unit: len(mine)}
    if not rest:
        return wire.Placement(unit, units, "LiteRT's list of operators")
    kinds = dict(collections.Counter(str(row["op_name"]) for row in rest))
    names = ["%s %d" % (row["op_name"], row["index"]) for row in rest[:5]]
    part = wire.Elsewhere("cpu", len(rest), kinds, "%s did not take them" % library, names)
    return wire.Placement(unit, dict(units, cpu=len(rest)), "LiteRT's list of operators", [part])


def _delegate(library: str, job: wire.Open) -> Any:
    """The delegate, created. Raises :class:`Refused` in one sentence."""
    try:
        found = ctypes.PyDLL(library)
    except OSError as problem:
        remedy = "install it, or name where it is: litert:%s,delegate=/PATH/%s" % (
            job.device,
            os.path.basename(library),
        )
        raise Refused("the delegate's library can't be loaded: %s" % problem, remedy) from problem
    if not hasattr(found, "tflite_plugin_create_delegate"):
        raise Refused(
            "%s is no delegate: it has no tflite_plugin_create_delegate" % library, "name a delegate's library"
        )
    try:
        return importlib.import_module(litert._package() + ".interpreter").load_delegate(library, _options(job))
    except ValueError as problem:
        said = " ".join(str(problem).split()).rstrip(". ")
        remedy = "see whether its device is there, and whether delegate-options are what it knows"
        raise Refused("%s created no delegate: %s" % (library, said), remedy) from problem


def _options(job: wire.Open) -> Dict[str, str]:
    """``key:value+key:value``. Raises :class:`Refused` for anything else."""
    text = job.options.get("delegate-options", "")
    found = {}
    for part in text.split("+") if text else []:
        key, colon, value = part.partition(":")
        if not (key and colon and value):
            raise Refused("delegate-options=%s is not understood" % text, "write it as key:value+key:value")
        found[key] = value
    return found


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


class Compiled(Session):
    """LiteRT's ``CompiledModel`` on its GPU or NPU accelerator: inputs written, ``run_by_index``, outputs read.

    ``environment`` and the like are its defaults: it finds the GPU by WebGPU, and vendors' plug-ins in its own folder.
    """

    def __init__(self, job: wire.Open) -> None:
        self.job = job
        self.model, self.whole = _compiled(job)
        key, names = next(iter(self.model.get_signature_list().items()))
        feeds = _numbered(names["inputs"], self.model.get_input_tensor_details(key))
        if job.inputs:
            feeds = litert._as_job(feeds, job.inputs)
            self._resize(key, feeds, job.inputs)
        reads = _numbered(names["outputs"], self.model.get_output_tensor_details(key))
        self.feeds, self.reads = ([int(detail["index"]) for _, detail in each] for each in (feeds, reads))
        self.inputs = _specs(feeds) if not job.inputs else job.inputs
        self.given, self.got = self.model.create_input_buffers(0), self.model.create_output_buffers(0)
        self.outputs = _specs([(name, dict(detail, **self._now(detail))) for name, detail in reads])
        self.results: Arrays = []
        accelerators = ACCELERATORS[job.device] + ("" if self.whole else "|CPU")
        self.effective = {"accelerators": accelerators, "enforce_f32": str(_exact(job))}
        self.precision = _precision(job)

    @property
    def placement(self) -> wire.Placement:  # type: ignore[override]  # read after the load time: it loads once more
        unit = self.job.device
        if not self.whole:
            says = "LiteRT says that some operators run on the CPU, but not which"
            return wire.Placement(unit, elsewhere=[wire.Elsewhere("cpu", 0, {}, says)], unknown=says)
        count = len(litert.interpreter(self.job)._get_ops_details())
        return wire.Placement(unit, {unit: count}, "LiteRT, which refuses operators where the CPU is not allowed")

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        held = [numpy.array(array, order="C") for array in arrays]
        given = [(self.given[index], array) for index, array in zip(self.feeds, held)]
        wanted = [(self.got[index], spec) for index, spec in zip(self.reads, self.outputs)]
        told = [(buffer, int(numpy.prod(spec.shape)), numpy.dtype(spec.dtype)) for buffer, spec in wanted]
        run, inputs, outputs = self.model.run_by_index, self.given, self.got

        def call() -> None:
            for buffer, array in given:
                buffer.write(array)
            run(0, inputs, outputs)
            self.results = [buffer.read(count, dtype) for buffer, count, dtype in told]

        return call

    def read(self) -> Arrays:
        return [numpy.array(array).reshape(spec.shape) for array, spec in zip(self.results, self.outputs)]

    def close(self) -> None:
        self.given = self.got = []
        self.model.close()

    def _resize(self, key: str, feeds: litert.Named, specs: List[wire.TensorSpec]) -> None:
        for (name, detail), spec in zip(feeds, specs):
            if list(detail["shape"]) != spec.shape:
                self.model.resize_input_tensor_by_name(key, name, spec.shape)

    def _now(self, detail: Dict[str, Any]) -> Dict[str, Any]:
        """Type and shape of an output as its buffer has them, after resizing."""
        now: Dict[str, Any] = self.got[int(detail["index"])].get_tensor_details()
        return now


def _compiled(job: wire.Open) -> Tuple[Any, bool]:
    """The model on the accelerator, and whether all of it is. Raises :class:`Refused` in one sentence.

    The accelerator is asked for alone first: only then does LiteRT say that it can't take all. With the CPU beside it,
    a machine without an NPU would run everything on the CPU and tell nobody (2.3.0).
    """
    kinds = importlib.import_module("ai_edge_litert.hardware_accelerator").HardwareAccelerator
    alone = getattr(kinds, ACCELERATORS[job.device])
    try:
        return _from_file(job, alone), True
    except RuntimeError as problem:
        words = " ".join(NOISE.sub(" ", str(problem)).split())
        if PARTLY in words and job.device == "gpu":
            return _from_file(job, alone | kinds.CPU), False
        if PARTLY in words:
            raise FellBack(
                "LiteRT's NPU accelerator is not here, or does not take all operators: they would run on the CPU",
                "run it on litert:cpu, or name the NPU's delegate: litert:npu,delegate=/usr/lib/lib..._delegate.so",
            ) from problem
        raise Refused(
            "LiteRT's %s accelerator does not start%s" % (job.device.upper(), words and ": " + words),
            "install the %s's driver (for a GPU, Vulkan), or run it on litert:cpu" % job.device.upper(),
        ) from problem


def _from_file(job: wire.Open, accelerators: Any) -> Any:
    package = importlib.import_module("ai_edge_litert.compiled_model")
    gpu = package.GpuOptions(enforce_f32=_exact(job))
    cpu = package.CpuOptions(num_threads=job.threads)
    options = package.Options(hardware_accelerators=accelerators, gpu_options=gpu, cpu_options=cpu)
    return package.CompiledModel.from_file(job.model, options=options)


def _exact(job: wire.Open) -> bool:
    return job.device == "gpu" and job.precision == "fp32"


def _precision(job: wire.Open) -> wire.Precision:
    found = litert.precision_of(litert.interpreter(job))
    if "fp" not in found.ran or _exact(job):
        return found
    return wire.Precision("unknown", "%s; the accelerator doesn't tell what it computes in" % found.evidence)


def _numbered(names: List[str], details: Dict[str, Any]) -> litert.Named:
    """A signature's tensors in the order of :func:`litert._ordered`; ``index`` is the number of their buffer."""
    found = [dict(details[name], index=number, name=name) for number, name in enumerate(names)]
    return litert._ordered(found, {name: number for number, name in enumerate(names)})


def _specs(named: litert.Named) -> List[wire.TensorSpec]:
    return [
        wire.TensorSpec(name, str(numpy.dtype(detail["dtype"])), [int(size) for size in detail["shape"]])
        for name, detail in named
    ]
