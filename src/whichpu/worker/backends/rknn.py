"""Rockchip's NPUs: on the board by RKNN-Toolkit-Lite2, and the simulator of RKNN-Toolkit2 on x86.

``rknn:npu`` loads an .rknn file, or builds one of an ONNX model where RKNN-Toolkit2 is installed too. The simulator
computes what the NPU would: its outputs tell what fp16 or w8a8 cost in accuracy; its latency is this machine's CPU's,
and says nothing of the NPU (boundary ``simulated``: it is ranked with none).

Lowest-overhead call: ``inference`` with inputs as the runtime takes them: 4-D ones with channels last, turned before
the measured call. Names and signatures: rknn-toolkit2 and rknn-toolkit-lite2 2.5.0, the packages' own sources.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import inspect
import json
import os
import platform
import re
import tempfile
from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple

import numpy

from .. import wire
from . import OWN, SIMULATED, Arrays, Refused, Session, WhyNot
from .hearing import heard
from .rknn_file import RknnFile, Tensor, read

FORMATS = ("rknn", "onnx")
BUILDS = ("onnx",)
RUN_OPTIONS = ("cores",)
RARE = True
OPTIONS = {
    "cores": "NPU cores: auto, 0, 1, 2, 01, 012 or all (default: auto; RK3588 and RK3576 have several)",
    "platform": "the chip to build for: rk3588, rk3576, rk3566, ... (default: this board's; for the simulator rk3588)",
    "dataset": "quantise to w8a8 with these samples: a text file of image or .npy paths, as RKNN-Toolkit2 takes it",
}
PACKAGES = {"rknnlite": "rknn-toolkit-lite2", "rknn": "rknn-toolkit2"}
CORES = {
    "auto": "NPU_CORE_AUTO",
    "0": "NPU_CORE_0",
    "1": "NPU_CORE_1",
    "2": "NPU_CORE_2",
    "01": "NPU_CORE_0_1",
    "012": "NPU_CORE_0_1_2",
    "all": "NPU_CORE_ALL",
}
ALIKE = (("rk3566", "rk3568"), ("rk3588", "rk3588s"))
"""Chips of one NPU: a file for the one runs on the other (rknn-toolkit-lite2 2.5.0, cpu_npu_mapper.yml)."""
COMPATIBLE = "/proc/device-tree/compatible"
"""What the board is; the toolkits read it too."""
FILE, LAYERS = "model.rknn", "layers.json"
COLOUR = re.compile("\x1b\\[[0-9;]*m")
ROW = re.compile(r"D RKNN: \[[\d:.]+\] \d+ +(\S+) +\S+ +(NPU|CPU|GPU) +.*?\S+?:(.*\S)")
"""A row of the compiler's table of layers, in its verbose log: kind, unit, name."""
EDGES = ("InputOperator", "OutputOperator")
NEWER = "install the board's newest librknnrt.so, or build the .rknn with the toolkit of the board's version"


def why_not() -> Optional[WhyNot]:
    if any(importlib.util.find_spec(name) is not None for name in PACKAGES):
        return None
    board = platform.machine() in ("aarch64", "armv7l")
    package = PACKAGES["rknnlite" if board else "rknn"]
    where = "which runs models on the board" if board else "which simulates and builds them"
    remedy = "pip install %s%s" % (package, "" if board else OWN)
    return WhyNot("the Python package %r, %s, is not installed" % (package, where), remedy)


def versions() -> Dict[str, str]:
    from importlib import metadata

    here = [name for name in PACKAGES if importlib.util.find_spec(name) is not None]
    for name in here:
        importlib.import_module(name + ".api")  # the import that costs: not part of the load time
    return {PACKAGES[name]: _version(metadata, PACKAGES[name]) for name in here}


def offers() -> List[wire.Offer]:
    found = []
    if importlib.util.find_spec("rknnlite") is not None and soc():
        found.append(wire.Offer("npu", "default", note=soc()))
    if importlib.util.find_spec("rknn") is not None and platform.machine() == "x86_64":
        found.append(wire.Offer("simulator", "default", note="outputs only: its time says nothing of the NPU"))
    return found


def open(job: wire.Open) -> Session:
    _check(job)
    return Npu(job) if job.device == "npu" else Simulator(job)


def _check(job: wire.Open) -> None:
    """Raises :class:`Refused` for a device or an option that nothing can be made of, before minutes are spent."""
    if job.device not in ("npu", "simulator"):
        raise Refused("rknn has no device %r" % job.device, "write rknn:npu on the board, or rknn:simulator on x86")
    needed = {"npu": "rknnlite", "simulator": "rknn"}[job.device]
    if importlib.util.find_spec(needed) is None:
        package = PACKAGES[needed]
        raise Refused("rknn:%s needs %s, which is not installed" % (job.device, package), "pip install %s" % package)
    if job.options.get("cores", "auto") not in CORES or (job.device == "simulator" and "cores" in job.options):
        takes = "use one of: %s" % ", ".join(CORES) if job.device == "npu" else "leave it out: the simulator has none"
        raise Refused("cores=%s is not known" % job.options["cores"], takes)
    dataset = job.options.get("dataset")
    if dataset is not None and not os.path.isfile(dataset):
        raise Refused("there is no dataset file %s" % dataset, "name a text file of sample paths, one sample a line")


def build(job: wire.Open, folder: str) -> Dict[str, str]:
    """An .rknn file, the compiler's table of layers beside it; facts: toolkit, chip, quantised or not."""
    _check(job)
    if importlib.util.find_spec("rknn") is None:
        raise Refused(
            "building an .rknn file takes RKNN-Toolkit2, which is not here",
            "build it on x86 (pip install rknn-toolkit2; export_rknn), and give it with --form model.rknn",
        )
    log: List[str] = []
    tool = _converted(job, log, verbose=True)
    path = os.path.join(folder, FILE)
    _toolkit(log, "export_rknn", lambda: tool.export_rknn(path))
    tool.release()
    with _file(os.path.join(folder, LAYERS), "w") as file:
        json.dump(layers("\n".join(log)), file)
    kind = "w8a8" if "dataset" in job.options else "as in the graph, floats as float16"
    return {"rknn-toolkit2": versions()["rknn-toolkit2"], "platform": _platform(job), "precision": kind}


def soc() -> str:
    """This board's chip (``rk3588``), empty where it is none of Rockchip's."""
    try:
        with _file(COMPATIBLE, "rb") as file:
            words = file.read().decode("ascii", "replace").lower()
    except OSError:
        return ""
    found = re.search(r"rockchip,((?:rk|rv)\d{4}[a-z]?)\b", words)
    return found.group(1) if found else ""


class Rknn(Session):
    """What both have: the file's inputs and outputs, in the job's order, turned as the runtime takes them."""

    def __init__(self, job: wire.Open, facts: RknnFile) -> None:
        self.facts = facts
        self.order = _order(facts.inputs, job.inputs)
        self.inputs = [facts.inputs[index].spec for index in self.order]
        self.outputs = [tensor.spec for tensor in facts.outputs]
        self.got: Any = None
        self.runtime: Any = None
        self.more: Dict[str, Any] = {}
        self.effective = {"inputs": "channels last where 4-D, turned before the measured call"}
        kind = facts.quantised.replace("asymmetric_affine", "int8") or "fp16"
        self.precision = wire.Precision(kind, "the .rknn file's tensors: %s" % (facts.quantised or "not quantised"))

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        held: List[Any] = [None] * len(arrays)
        for index, array in zip(self.order, arrays):
            turned = array.transpose(0, 2, 3, 1) if self.facts.inputs[index].nchw else array
            held[index] = numpy.array(turned, order="C")
        inference, more = self.runtime.inference, self.more

        def call() -> None:
            self.got = inference(inputs=held, **more)
            if self.got is None:
                raise Refused("the runtime failed in inference; its words are in the log")

        return call

    def read(self) -> Arrays:
        return [numpy.array(array).reshape(spec.shape) for array, spec in zip(self.got, self.outputs)]

    def close(self) -> None:
        self.runtime.release()


class Npu(Rknn):
    """An .rknn file on this board's NPU."""

    def __init__(self, job: wire.Open) -> None:
        path = job.model if job.built is None else os.path.join(job.built, FILE)
        super().__init__(job, read(path))
        check_chip(self.facts, soc())
        kind = importlib.import_module("rknnlite.api").RKNNLite
        self.runtime, log = kind(), []  # type: ignore[var-annotated]
        _toolkit(log, "load_rknn", lambda: self.runtime.load_rknn(path))
        mask = _mask(kind, job)
        _toolkit(log, "init_runtime", lambda: self.runtime.init_runtime(core_mask=mask), self.facts)
        if "reuse_outputs" in inspect.signature(self.runtime.inference).parameters:
            self.more["reuse_outputs"] = True  # from 2.5 on: outputs are views, made without copies
        with heard():
            version = self.runtime.get_sdk_version()
        told = {"cores": job.options.get("cores", "auto"), "runtime": " ".join(str(version or "").split())}
        self.effective.update(told, toolkit=self.facts.toolkit, platform="+".join(self.facts.platforms))
        self.placement = _placement(job.built)


class Simulator(Rknn):
    """RKNN-Toolkit2's simulator: converts the ONNX model again, for it runs none that was built before."""

    boundary = SIMULATED

    def __init__(self, job: wire.Open) -> None:
        if job.format != "onnx" or job.built is None:
            raise Refused(
                "the simulator runs no .rknn file, only models that it converts itself",
                "give the ONNX model, or rknn:npu",
            )
        super().__init__(job, read(os.path.join(job.built, FILE)))
        log: List[str] = []
        self.runtime = _converted(job, log)
        _toolkit(log, "init_runtime", lambda: self.runtime.init_runtime())
        self.effective.update(platform=_platform(job), dataset=job.options.get("dataset", "none"))
        self.placement = _placement(job.built)


def check_chip(facts: RknnFile, board: str) -> None:
    """Raises :class:`Refused` for a file made for other chips than the board's (where that is known)."""
    fits = {board}.union(*(group for group in ALIKE if board in group))
    if board and facts.platforms and not fits & set(facts.platforms):
        made = "+".join(facts.platforms)
        raise Refused(
            "the .rknn file is made for %s, this board is an %s" % (made, board),
            "build it for this chip: RKNN().config(target_platform=%r), or rknn:npu,platform=%s" % (board, board),
        )


def layers(log: str) -> List[Tuple[str, str, str]]:
    """(kind, unit, name) of each layer in the compiler's verbose log; the model's inputs and outputs left out."""
    rows = (match.groups() for match in ROW.finditer(COLOUR.sub("", log)))
    return [(kind, unit.lower(), name) for kind, unit, name in rows if kind not in EDGES]


def _placement(built: Optional[str]) -> wire.Placement:
    """By the compiler's table of layers where we built; else nothing tells."""
    rows = []
    if built is not None:
        with _file(os.path.join(built, LAYERS), "r") as file:
            rows = json.load(file)
    if not rows:
        return wire.Placement("npu", unknown="an .rknn file doesn't tell which of its layers run on the CPU")
    units: Dict[str, int] = {}
    for _, unit, _ in rows:
        units[unit] = units.get(unit, 0) + 1
    rest = [_elsewhere(unit, [row for row in rows if row[1] == unit]) for unit in sorted(units) if unit != "npu"]
    return wire.Placement("npu", units, "the compiler's table of layers, for the NPU", rest)


def _elsewhere(unit: str, rows: List[Any]) -> wire.Elsewhere:
    kinds: Dict[str, int] = {}
    for kind, _, _ in rows:
        kinds[kind] = kinds.get(kind, 0) + 1
    return wire.Elsewhere(unit, len(rows), kinds, "by RKNN-Toolkit2's compiler", [name for _, _, name in rows[:5]])


def _converted(job: wire.Open, log: List[str], verbose: bool = False) -> Any:
    """The toolkit with the model loaded and built. It leaves files where it stands: in a folder that is gone after."""
    dataset = os.path.abspath(job.options["dataset"]) if "dataset" in job.options else None
    specs, model = job.inputs or [], os.path.abspath(job.model)
    sizes = {"inputs": [spec.name for spec in specs], "input_size_list": [spec.shape for spec in specs]}
    kind, back = importlib.import_module("rknn.api").RKNN, os.getcwd()
    with tempfile.TemporaryDirectory(prefix="whichpu-rknn-") as folder:
        os.chdir(folder)
        try:
            with heard():
                tool = kind(verbose=verbose)
            _toolkit(log, "config", lambda: tool.config(target_platform=_platform(job)))
            _toolkit(log, "load_onnx", lambda: tool.load_onnx(model=model, **(sizes if specs else {})))
            _toolkit(log, "build", lambda: tool.build(do_quantization=dataset is not None, dataset=dataset))
        finally:
            os.chdir(back)
    return tool


def _toolkit(log: List[str], step: str, call: Callable[[], Any], facts: Optional[RknnFile] = None) -> None:
    """One step of a toolkit, which answers 0 where it succeeds. Raises :class:`Refused` with its words."""
    status, trouble = -1, None  # type: Any, Optional[BaseException]
    with heard() as said:
        try:
            status = call()
        except Exception as problem:
            trouble = problem
    log.extend(said)
    if status != 0:
        _refuse(step, said, trouble, facts)


def _refuse(step: str, said: List[str], trouble: Optional[BaseException], facts: Optional[RknnFile]) -> NoReturn:
    text = "\n".join(said)
    words = errors(said) or errors(str(trouble or "").splitlines()) or ["it says no more"]
    runtime = re.search(r"librknnrt version: (\S+)", text)
    if facts is not None and "model version" in text:
        board = runtime.group(1) if runtime else "an older version"
        raise Refused(
            "the .rknn file is of RKNN-Toolkit2 %s, and this board's librknnrt (%s) does not take it: %s"
            % (facts.toolkit, board, words[0]),
            NEWER,
        ) from trouble
    remedy = "write a chip that this RKNN-Toolkit2 knows, as platform=rk3588" if step == "config" else None
    if facts is not None and re.search("librknnrt|dynamic library|rknpu|/dev/", text):
        remedy = "see that librknnrt.so lies in /usr/lib, and that the NPU's driver is loaded and may be used by you"
    raise Refused("RKNN's %s fails: %s" % (step, "; ".join(words)), remedy) from trouble


def errors(lines: List[str]) -> List[str]:
    """A log's own error sentences, first ones first, two at most; those of a traceback where there are no others."""
    plain = [COLOUR.sub("", line).strip() for line in lines]
    found = [
        match.group(1) for match in map(re.compile(r"E (?:RKNN: \[[\d:.]+\] |\w+: )?(.*[a-z].*)").match, plain) if match
    ]
    noise = re.compile(r"Traceback|Catch exception|rknn-toolkit|^Unkown op target|^$")
    found = [line for line in found if not noise.search(line)]
    raised = [match.group(1) for match in map(re.compile(r"\w*(?:Error|Exception): (.*)").match, plain) if match]
    return list(dict.fromkeys(found or raised))[:2]


def _mask(kind: Any, job: wire.Open) -> int:
    name = CORES[job.options.get("cores", "auto")]
    if not hasattr(kind, name):
        raise Refused("this version of RKNN-Toolkit-Lite2 has no %s" % name, "give other cores, or install a newer one")
    return int(getattr(kind, name))


def _platform(job: wire.Open) -> str:
    return job.options.get("platform") or soc() or "rk3588"


def _order(tensors: List[Tensor], specs: Optional[List[wire.TensorSpec]]) -> List[int]:
    """For each of the job's inputs which of the file's it is, by name; by position where names are others."""
    if specs is not None and len(specs) != len(tensors):
        raise Refused("the .rknn file takes %d inputs, the model %d" % (len(tensors), len(specs)))
    names = [tensor.spec.name for tensor in tensors]
    if specs is None or {spec.name for spec in specs} != set(names):
        return list(range(len(names)))
    return [names.index(spec.name) for spec in specs]


def _version(metadata: Any, package: str) -> str:
    try:
        return str(metadata.version(package))
    except metadata.PackageNotFoundError:
        return "unknown"


def _file(path: str, mode: str) -> Any:
    """The built-in ``open``; this module has its own."""
    return builtins.open(path, mode)
