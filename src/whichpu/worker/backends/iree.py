"""IREE: ``iree:cpu``, ``iree:cuda``, ``iree:hip``, ``iree:vulkan``; modules (.vmfb), or ONNX compiled here first.

On the CPU one thread runs on the caller's (driver ``local-sync``), more in IREE's pool (``local-task``).
Lowest-overhead call: ``VmContext.invoke`` with arguments and results in lists made once; the inputs lie in buffers of
the device, which on the CPU are host memory. Another device gets its inputs and gives its outputs in each call. Read
after IREE 3.13.0: iree/runtime/_binding.pyi, function.py, array_interop.py; iree-compile --help.
"""

from __future__ import annotations

import functools
import os
import pathlib
import re
import sys
import tempfile
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy

from .. import wire
from . import OWN, Arrays, Refused, Session, WhyNot, compiling, not_installed

FORMATS = ("vmfb", "onnx")
BUILDS = ("onnx",)
RARE = True
OPTIONS = {
    "opt": "optimisation level of the compiler: O0, O1, O2 or O3 (default: the compiler's own)",
    "channels_last": "on or off: compute convolutions in channels-last order (default: off, as the compiler's)",
    "target": "chip to compile for, in IREE's words: host, znver4, sm_86, gfx1100, ampere (default: host on the CPU)",
}
LEVELS = ("O0", "O1", "O2", "O3")
COMPILER = "iree-base-compiler"
RUNTIME = "iree-base-runtime"
MODULE = "model.vmfb"
OPSET = "17"  # operators older than this fail to be lowered: MaxPool 8 does
CHANNELS_LAST = "builtin.module(util.func(iree-preprocessing-convert-conv-to-channels-last))"
# Compiler: target device, and the option that names the chip; from iree-compile --help.
DEVICES = {
    "cpu": (
        ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"],
        "llvmcpu-target-cpu",
    ),
    "cuda": (["--iree-hal-target-device=cuda"], "cuda-target"),
    "hip": (["--iree-hal-target-device=hip"], "rocm-target"),
    "vulkan": (["--iree-hal-target-device=vulkan"], "vulkan-target"),
}
DECLARED = re.compile(r"tensor<([^>]*)>")
KINDS = {"f32": "float32", "f16": "float16", "f64": "float64", "i1": "bool"}
UNFIT = re.compile(r'#hal\.device\.target<"(\w+)", \[#hal\.executable\.target<"[^"]*", "([^"]+)"')
SAID = (  # what the runtime prints, and what it means
    ("required module features", "was compiled by another version of IREE than this runtime's"),
    ("version mismatch", "was compiled by another version of IREE than this runtime's"),
    ("FlatBuffer", "is damaged or truncated"),
    ("rodata", "is damaged or truncated"),
    ("archive", "is damaged or truncated"),
)


def why_not() -> Optional[WhyNot]:
    return not_installed("iree", RUNTIME + OWN) or not_installed("iree.runtime", RUNTIME)


def versions() -> Dict[str, str]:
    import iree.runtime  # noqa: F401  # the import that costs: not part of the load time

    found = {package: compiling.version(package) for package in (RUNTIME, COMPILER)}
    return {package: told for package, told in found.items() if told}


def offers() -> List[wire.Offer]:
    """Devices that answer. Where there is a compiler, the CPU with channels-last convolutions too."""
    found = [wire.Offer(device) for device in DEVICES if device == "cpu" or not _lacks(device)]
    if compiling.version(COMPILER):
        note = "convolutions in channels-last order: several times as fast as IREE's default, the same without any"
        found.append(wire.Offer("cpu", options={"channels_last": "on"}, note=note))
    return found


def build(job: wire.Open, folder: str) -> Dict[str, str]:
    """Import and compile the ONNX model. Raises :class:`Refused` with the compiler's first error."""
    _refuse_unlike()
    facts_told, words = _settings(job)
    with tempfile.TemporaryDirectory(prefix="whichpu-") as temporary:
        import onnx

        source, imported = (os.path.join(temporary, name) for name in ("model.onnx", "model.mlir"))
        model = compiling.onnx_model(job, "onnx")
        onnx.save(model, source)
        importer = [sys.executable, "-m", "iree.compiler.tools.import_onnx", source, "-o", imported]
        compiling.run(importer + ["--opset-version", OPSET], "iree-import-onnx")
        compiler = [sys.executable, "-m", "iree.compiler.tools.scripts.iree_compile", imported]
        chip = "leave target= out, or name a chip that iree-compile knows" if "target" in job.options else None
        compiling.run(compiler + words + ["-o", os.path.join(folder, MODULE)], "iree-compile", chip)
        facts = compiling.specs_of(model)
    facts.told = facts_told
    facts.save(folder)
    return dict(facts_told, compiler=compiling.version(COMPILER) or "")


def open(job: wire.Open) -> "Iree":
    if job.device not in DEVICES:
        raise Refused("IREE runs on %s here, not on %r" % (", ".join(DEVICES), job.device), "write iree:cpu")
    lacks = _lacks(job.device)
    if lacks:
        raise Refused("IREE finds no device %r here: %s" % (job.device, lacks), "install the driver of the device")
    if job.built is None and job.options:
        given = ", ".join("%s=" % name for name in sorted(job.options))
        raise Refused("%s is for compiling, and %s is compiled" % (given, os.path.basename(job.model)), "leave it out")
    return Iree(job)


class Iree(Session):
    def __init__(self, job: wire.Open) -> None:
        import iree.runtime

        self.runtime, self.device_name = iree.runtime, job.device
        driver = _driver(job)
        _set_threads(job)
        self.config = iree.runtime.Config(driver)
        path = job.model if job.built is None else os.path.join(job.built, MODULE)
        self.context, self.function = _loaded(iree.runtime, self.config, path)
        facts = compiling.facts_of(job.built) if job.built is not None else _told(self.function, job)
        self.order = compiling.ordered(facts.inputs, job)
        self.inputs = [facts.inputs[index] for index in self.order]
        self.outputs = facts.outputs
        self.effective = dict(facts.told, driver=driver)
        if driver == "local-task":
            self.effective["task_topology_max_group_count"] = str(job.threads)
        self.precision = _precision(job)
        self.placement = None if job.device == "cpu" else placement_of(job.device, path)
        self.results = iree.runtime.VmVariantList(len(self.outputs))

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        slots: Dict[int, Any] = dict(zip(self.order, arrays))
        self.held = [numpy.array(slots[index], order="C") for index in range(len(arrays))]
        self.moved: Optional[Arrays] = None
        if self.device_name != "cpu":
            return self._move_and_run
        return functools.partial(self.context.invoke, self.function, self._arguments(), self.results)

    def read(self) -> Arrays:
        """A mapped output lives as long as its list of results, so it is copied here."""
        return [array.copy() for array in (self.moved if self.moved is not None else self._fetched())]

    def close(self) -> None:
        self.results = self.function = self.context = self.config = None
        self.held, self.moved = [], None

    def _arguments(self) -> Any:
        """A list of views of device buffers that hold the inputs."""
        runtime, device = self.runtime, self.config.device
        from iree.runtime.dtypes import map_dtype_to_hal_element_type

        found = runtime.VmVariantList(len(self.held))
        for array in self.held:
            stored = array.astype(numpy.int8) if array.dtype == bool else array
            found.push_ref(
                device.allocator.allocate_buffer_copy(
                    memory_type=runtime.MemoryType.DEVICE_LOCAL,
                    allowed_usage=runtime.BufferUsage.DEFAULT,
                    device=device,
                    buffer=stored,
                    element_type=map_dtype_to_hal_element_type(array.dtype),
                )
            )
        return found

    def _move_and_run(self) -> None:
        """Host memory to host memory: inputs copied to the device, run, outputs copied back."""
        self.context.invoke(self.function, self._arguments(), self.results)
        self.moved = self._fetched()

    def _fetched(self) -> Arrays:
        runtime, found = self.runtime, []
        for index in range(len(self.results)):
            view = self.results.get_as_object(index, runtime.HalBufferView)
            found.append(runtime.DeviceArray(self.config.device, view).to_host())
        return found


def placement_of(device: str, path: str) -> wire.Placement:
    """IREE compiles each operator for the one device it was given: nothing is left to fall back."""
    names = set(re.findall(rb"[\w$.]+_dispatch_\d+", pathlib.Path(path).read_bytes()))
    if not names:
        return wire.Placement(device, unknown="the module does not name its dispatches")
    return wire.Placement(device, {device: len(names)}, "dispatches that the module holds, all for this device")


def _settings(job: wire.Open) -> "Tuple[Dict[str, str], List[str]]":
    """What the compiler is told, as facts and as its options. Raises :class:`Refused`."""
    if job.device not in DEVICES:
        raise Refused("IREE compiles for %s, not for %r" % (", ".join(DEVICES), job.device), "write iree:cpu")
    device, chip = DEVICES[job.device]
    words, told = (
        list(device),
        {"target": job.options.get("target", "host" if job.device == "cpu" else "IREE's default")},
    )
    if job.device == "cpu" or "target" in job.options:
        words.append("--iree-%s=%s" % (chip, told["target"]))
    if "opt" in job.options:
        told["opt"] = compiling.chosen(job, "opt", LEVELS, "O1")
        words.append("--iree-opt-level=%s" % told["opt"])
    told["channels_last"] = job.options.get("channels_last", "off")
    if compiling.switch(job, "channels_last"):
        words.append("--iree-preprocessing-pass-pipeline=%s" % CHANNELS_LAST)
    return told, words


def _refuse_unlike() -> None:
    """Raises :class:`Refused` where there is no compiler, or one that this runtime does not follow."""
    runtime, compiler = compiling.version(RUNTIME), compiling.version(COMPILER)
    if compiler is None:
        raise Refused("IREE's compiler is not installed", "pip install '%s[onnx]==%s'" % (COMPILER, runtime))
    if compiler != runtime:
        words = "IREE's compiler is %s and its runtime %s: what one compiles the other can't run" % (compiler, runtime)
        raise Refused(words, "pip install '%s[onnx]==%s'" % (COMPILER, runtime))


def _driver(job: wire.Open) -> str:
    return job.device if job.device != "cpu" else "local-sync" if job.threads == 1 else "local-task"


def _lacks(device: str) -> Optional[str]:
    """Why the driver gives no device; ``None`` when it does."""
    import iree.runtime

    driver = "local-sync" if device == "cpu" else device
    if driver not in iree.runtime.query_available_drivers():
        return "this wheel has no such driver"
    try:
        found = iree.runtime.get_driver(driver).query_available_devices()
    except Exception as problem:
        return compiling.shortened(str(problem).split(";", 1)[-1].strip().splitlines()[0])
    return None if found else "the driver lists none"


def _set_threads(job: wire.Open) -> None:
    """The pool's size is a flag of the process, read when the driver is made."""
    import iree.runtime

    if job.device == "cpu" and job.threads > 1:
        iree.runtime.flags.parse_flags("--task_topology_max_group_count=%d" % job.threads)


def _loaded(runtime: Any, config: Any, path: str) -> "Tuple[Any, Any]":
    """The context and the function to call. Raises :class:`Refused` for a module that this runtime can't run."""
    try:
        module = runtime.VmModule.mmap(config.vm_instance, path)
        context = runtime.SystemContext(vm_modules=(module,), config=config)
    except Exception as problem:
        raise Refused(_in_our_words(path, str(problem)), "compile it again for this device and runtime") from problem
    names = [name for name in module.function_names if "$async" not in name and not name.startswith("__")]
    if len(names) != 1:
        raise Refused("%s has %d functions to call: %s" % (os.path.basename(path), len(names), ", ".join(names)))
    return context.vm_context, module.lookup_function(names[0])


def _in_our_words(path: str, said: str) -> str:
    name, unfit = os.path.basename(path), UNFIT.search(said)
    if unfit is not None:
        return "%s is compiled for another device or processor: %s, %s" % (name, unfit.group(1), unfit.group(2))
    meaning = next((words for sign, words in SAID if sign in said), "can't be loaded by this runtime")
    return "%s %s (IREE: %s)" % (name, meaning, compiling.shortened(said.split("; ", 1)[-1].splitlines()[0]))


def _told(function: Any, job: wire.Open) -> compiling.Facts:
    """Inputs and outputs as the module declares them; a module made of ONNX declares none, so the job must know."""
    declared = function.reflection.get("iree.abi.declaration", "")
    takes, _, gives = declared.partition("->")
    inputs = [_declared("input_%d" % index, text) for index, text in enumerate(DECLARED.findall(takes))]
    outputs = [_declared("output_%d" % index, text) for index, text in enumerate(DECLARED.findall(gives))]
    if not inputs and not job.inputs:
        raise Refused(
            "%s does not tell what it takes, as no module does that was made of ONNX" % os.path.basename(job.model),
            "give the ONNX model too: whichpu run MODEL.onnx --form %s" % os.path.basename(job.model),
        )
    known = outputs or [wire.TensorSpec("output_0", "float32", [-1])]  # known after an inference only
    return compiling.Facts(job.inputs or inputs, known)


def _declared(name: str, text: str) -> wire.TensorSpec:
    *sizes, kind = text.split("x")
    dtype = KINDS.get(kind, re.sub(r"^[su]?i", "uint" if kind.startswith("u") else "int", kind))
    return wire.TensorSpec(name, dtype, [int(size) if size.isdigit() else -1 for size in sizes])


def _precision(job: wire.Open) -> wire.Precision:
    if job.built is None:
        return wire.Precision("not told", "a module does not say what types it was compiled to compute in")
    return wire.Precision(wire.AS_IN_THE_GRAPH, "iree-compile was given no option that demotes or promotes types")
