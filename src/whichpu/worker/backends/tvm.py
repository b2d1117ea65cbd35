"""Apache TVM: ``tvm:cpu``, ``tvm:cuda``, and ``tvm:ethos-n`` by a TVM up to 0.18 with Relay (``tvm_relay``).

A current TVM reads ONNX into Relax, compiles it with its default pipeline (no tuning) and runs it in a virtual machine.
Lowest-overhead call: the machine's ``invoke_stateful`` on inputs that were set once. On CUDA each call copies the
inputs into these from host memory (half of what setting them anew costs), and the outputs back. Read after apache-tvm
0.27.0: tvm/runtime/vm.py, relax/frontend/onnx/onnx_frontend.py, relax/pipeline.py.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy

from .. import wire
from . import OWN, Arrays, Refused, Session, WhyNot, compiling, not_installed

FORMATS = ("onnx", "tflite")
BUILDS = ("onnx", "tflite")
RARE = True
OPTIONS = {
    "opt": "optimisation level: 0 to 3 (default: 3)",
    "target": "chip to compile for, in LLVM's words: host, znver4, sm_86 (default: TVM's own, on the CPU any)",
    "variant": "of ethos-n: its size as TOPS and PLE ratio, 1tops-2ple to 8tops-2ple (default: TVM's own, 1tops-2ple)",
}
LEVELS = ("0", "1", "2", "3")
LIBRARY = "model.so"


def why_not() -> Optional[WhyNot]:
    return not_installed("tvm", "apache-tvm onnx" + OWN)


def versions() -> Dict[str, str]:
    import tvm

    if not has_relay():
        from tvm import relax  # noqa: F401  # the import that costs: not part of the load time
    return {"tvm": str(tvm.__version__)}


def offers() -> List[wire.Offer]:
    if has_relay():
        from . import tvm_relay

        return tvm_relay.offers()
    import tvm

    found = [wire.Offer("cpu", note="compiled by TVM's default pipeline: not tuned")]
    return found + ([wire.Offer("cuda")] if tvm.cuda(0).exist else [])


def build(job: wire.Open, folder: str) -> Dict[str, str]:
    """Compile and link. Raises :class:`Refused` for operators that TVM's front end lacks, in its words."""
    if has_relay():
        from . import tvm_relay

        return tvm_relay.build(job, folder)
    _refuse_others(job)
    _refuse_without_linker()
    from tvm import transform

    level = compiling.chosen(job, "opt", LEVELS, "3")
    model = compiling.onnx_model(job, "onnx")
    target, chip = _target(job)
    try:
        with warnings.catch_warnings(), transform.PassContext(opt_level=int(level)):
            warnings.simplefilter("ignore")
            _compiled(model, target).export_library(os.path.join(folder, LIBRARY))
    except Exception as problem:
        raise Refused("TVM can't compile it: %s" % compiling.one_line(problem)) from problem
    facts = compiling.specs_of(model)
    facts.told = {"target": chip, "opt": level, "pipeline": "default, not tuned"}
    facts.save(folder)
    return dict(facts.told, compiler="tvm %s" % versions()["tvm"])


def open(job: wire.Open) -> Session:
    if has_relay():
        from . import tvm_relay

        return tvm_relay.open(job)
    _refuse_others(job)
    return Tvm(job)


class Tvm(Session):
    def __init__(self, job: wire.Open) -> None:
        set_threads(job.threads)
        import tvm
        from tvm import relax

        folder = str(job.built)
        facts = compiling.facts_of(folder)
        self.device = tvm.cuda(0) if job.device == "cuda" else tvm.cpu(0)
        self.machine = relax.VirtualMachine(tvm.runtime.load_module(os.path.join(folder, LIBRARY)), self.device)
        self.order = compiling.ordered(facts.inputs, job)
        self.inputs = [facts.inputs[index] for index in self.order]
        self.outputs = facts.outputs
        self.effective = dict(facts.told, num_threads=str(tvm.get_global_func("runtime.NumThreads")()))
        self.precision = wire.Precision(wire.AS_IN_THE_GRAPH, "TVM's default pipeline changes no types")
        self.moved: Optional[Arrays] = None
        if job.device == "cuda":
            self.placement = wire.Placement("cuda", unknown="TVM compiles all of a graph for CUDA, and lists nothing")

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        slots = dict(zip(self.order, arrays))
        self.held = [numpy.array(slots[index], order="C") for index in range(len(arrays))]
        self.run = functools.partial(self.machine.module["invoke_stateful"], "main")
        import tvm

        given = [tvm.runtime.tensor(array, self.device) for array in self.held]
        self.machine.set_input("main", *given)  # it keeps tensors that are on its device, and copies others
        self.moves = [functools.partial(tensor.copyfrom, array) for tensor, array in zip(given, self.held)]
        return self.run if self.placement is None else self._move_and_run

    def read(self) -> Arrays:
        return [array.copy() for array in (self.moved if self.moved is not None else self._fetched())]

    def close(self) -> None:
        self.machine, self.held, self.moves, self.moved = None, [], [], None

    def _move_and_run(self) -> None:
        """Host memory to host memory; copying an output waits for the device."""
        for move in self.moves:
            move()
        self.run()
        self.moved = self._fetched()

    def _fetched(self) -> Arrays:
        return [tensor.numpy() for tensor in flat(self.machine.get_outputs("main"))]


def flat(outputs: Any) -> List[Any]:
    """The tensors of one output, or of several in tuples."""
    if hasattr(outputs, "numpy"):
        return [outputs]
    return [tensor for one in outputs for tensor in flat(one)]


def has_relay() -> bool:
    """Whether this TVM is one of those up to 0.19 that have Relay; they are run by it."""
    return importlib.util.find_spec("tvm.relay") is not None


def _refuse_others(job: wire.Open) -> None:
    """Raises :class:`Refused` for devices, formats and options that this TVM has not."""
    import tvm

    if job.device == "ethos-n":
        raise Refused(
            "TVM %s has no Ethos-N: it left TVM with Relay, after 0.18" % tvm.__version__,
            "build TVM 0.18 with USE_ETHOSN, and name its interpreter with python=",
        )
    if job.device not in ("cpu", "cuda"):
        raise Refused("WhichPU runs TVM on cpu, cuda and ethos-n, not on %r" % job.device, "write tvm:cpu")
    if job.device == "cuda" and not tvm.cuda(0).exist:
        raise Refused("TVM finds no CUDA device here", "install NVIDIA's driver, or write tvm:cpu")
    if job.format != "onnx":
        raise Refused("WhichPU gives TVM %s ONNX models only, not %s" % (tvm.__version__, job.format))
    if "variant" in job.options:
        raise Refused("variant= is an option of tvm:ethos-n, not of tvm:%s" % job.device, "leave it out")


def _refuse_without_linker() -> None:
    from tvm.support import cc

    if cc.get_cc() is None:
        raise Refused("TVM links what it compiles with a C++ compiler, and none is here", "install g++ or clang")


def _target(job: wire.Open) -> "Tuple[Any, str]":
    """What to compile for, and its name. TVM's own ``llvm`` is any CPU; wider vectors often slow untuned code."""
    from tvm.target import Target, codegen

    chip = job.options.get("target")
    if job.device == "cuda":
        return (Target({"kind": "cuda", "arch": chip}), chip) if chip else (Target.from_device("cuda"), "this device")
    if chip is None:
        return Target("llvm"), "llvm (any CPU of this architecture)"
    name = str(codegen.llvm_get_system_cpu()) if chip == "host" else chip
    if name not in [str(one) for one in codegen.llvm_get_cpu_archlist(Target("llvm"))]:
        raise Refused("target=%s is no CPU that TVM's LLVM knows" % chip, "write host, or leave it out")
    return Target({"kind": "llvm", "mcpu": name}), name


def _compiled(model: Any, target: Any) -> Any:
    import tvm
    from tvm.relax.frontend.onnx import from_onnx

    return tvm.compile(from_onnx(model), target=target)


def set_threads(count: int) -> None:
    """TVM's pool reads these when it is first used; bound threads would leave the CPUs that they were given."""
    os.environ["TVM_NUM_THREADS"] = str(count)
    os.environ["TVM_BIND_THREADS"] = "0"
