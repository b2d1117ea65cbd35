"""PyTorch, for programs saved by ``torch.export.save``: eager, or compiled by Inductor (mode=compile), and on CUDA as
one CUDA graph (mode=graph), or compiled with CUDA graphs (mode=reduce-overhead, PyTorch's own name).

Lowest-overhead call: the exported module without its input guards, inside one ``torch.inference_mode`` that stays
open as long as the model (https://docs.pytorch.org/docs/stable/export.html). On accelerators (``torch_device``) the
call copies the inputs to the device and the outputs back, and waits for the device.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import zipfile
from typing import Any, Callable, Dict, List, Optional

import numpy

from .. import wire
from . import Arrays, Refused, Session, WhyNot, not_installed, torch_device

FORMATS = ("pt2",)
OPTIONS = {"mode": "eager or compile, on CUDA also graph or reduce-overhead (default: eager)"}
MODES = ("eager", "compile", "graph", "reduce-overhead")
COMPILED = ("compile", "reduce-overhead")
CUDA_ALONE = ("graph", "reduce-overhead")
SHORT = {"float32": "fp32", "float64": "fp64", "float16": "fp16", "bfloat16": "bf16"}
COMPILES = "compiled at the first inference: seconds, for unrolled recurrent nets a minute and more"
SAVE_AGAIN = "save it as: torch.export.save(torch.export.export(model.eval(), (example_input,)), 'model.pt2')"


def why_not() -> Optional[WhyNot]:
    return not_installed("torch", "torch")


def versions() -> Dict[str, str]:
    import torch

    with contextlib.suppress(ImportError):  # torch.export.load imports it late (1 s): not part of the load time
        importlib.import_module("torch._export.serde.serialize")
    return {"torch": str(torch.__version__)}


def offers() -> List[wire.Offer]:
    compiles = compiler() is not None
    lacks = "" if compiles else "mode=compile needs a C++ compiler, and %s is not here" % compiler_name()
    found = []
    for device in ["cpu", *torch_device.here()]:
        found.append(wire.Offer(device, note=lacks))
        if compiles:
            found.append(wire.Offer(device, options={"mode": "compile"}, note=COMPILES))
        if device == "cuda":
            found.append(wire.Offer(device, options={"mode": "graph"}, note="one CUDA graph, captured at first"))
            found.append(wire.Offer(device, precision="default", note="PyTorch's own: convolutions may use TF32"))
        if device == "cuda" and compiles:
            found.append(wire.Offer(device, options={"mode": "reduce-overhead"}, note="compiled, in CUDA graphs"))
    return found


def open(job: wire.Open) -> "Torch":
    mode = job.options.get("mode", "eager")
    if mode not in MODES:
        raise Refused("mode=%s is not a mode; there are: %s" % (mode, ", ".join(MODES)))
    if mode in CUDA_ALONE and job.device != "cuda":
        raise Refused("mode=%s is for CUDA graphs, which only cuda has" % mode, "leave the option away")
    if mode in COMPILED and compiler() is None:
        remedy = "install one (Debian: apt install g++), or name yours in the variable CXX"
        raise Refused("mode=%s needs a C++ compiler, and %s is not here" % (mode, compiler_name()), remedy)
    torch_device.refuse_unless_here(job.device)
    refuse_other_forms(job.model)
    return Torch(job, mode)


class Torch(Session):
    def __init__(self, job: wire.Open, mode: str) -> None:
        import torch

        _set_threads(job.threads)
        _set_precision(job.precision)
        program = torch_device.moved(torch.export.load(job.model), job.device)
        self.placement = torch_device.placement(program, job.device)
        self.device = job.device
        self.call_spec = program.call_spec.in_spec
        self.leaves = list(program.graph_signature.user_inputs)
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        known = [_spec(name, values[name]) for name in self.leaves if isinstance(name, str)]
        if job.inputs and len(job.inputs) != len(known):
            raise Refused("the program takes %d inputs, not %d" % (len(known), len(job.inputs)))
        self.known = known
        self.inputs = job.inputs or known
        made = [name for name in program.graph_signature.user_outputs if isinstance(name, str)]
        self.outputs = [_spec(name, values[name]) for name in made]
        self.effective = dict(_effective(mode), **torch_device.facts(job.device))
        self.precision = _precision(values.values(), job.device)
        self.mode = mode
        self.runner = _runner(program, mode)
        self.result: Any = None
        self.accelerated: Any = None
        self.out_spec = program.call_spec.out_spec
        self.guard = torch.inference_mode()  # once for all inferences, as a user's own loop has it
        self.guard.__enter__()

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        import torch

        _refuse_wrong_shapes(self.known, arrays)
        host = [torch.from_numpy(numpy.array(array, order="C")) for array in arrays]
        if self.device != "cpu":
            return self._on_device(host)
        args, kwargs = self._arguments(host)
        runner = self.runner

        def call() -> None:
            self.result = runner(*args, **kwargs)

        return call

    def steady(self, call: Callable[[], Any]) -> Callable[[], Any]:
        captured = self.accelerated is not None and self.accelerated.captured is not None
        return self.accelerated.call() if captured else call

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        if self.device not in torch_device.WITH_EVENTS:
            return None
        self.bind(arrays)()
        found: wire.Parted = self.accelerated.parts(request.count)
        return found

    def read(self) -> Arrays:
        if self.accelerated is not None:
            self.result = self.accelerated.results
        return [numpy.array(_host(tensor).numpy()) for tensor in _tensors(self.result)]

    def close(self) -> None:
        import torch

        self.guard.__exit__(None, None, None)
        self.result = self.runner = self.accelerated = None
        if self.mode in COMPILED:
            torch._dynamo.reset()

    def _on_device(self, host: List[Any]) -> Callable[[], Any]:
        """The buffers, and what is captured in a graph, are made once."""
        if self.accelerated is None:
            known = all(-1 not in spec.shape for spec in self.outputs)
            device = torch_device.Accelerated(
                self.device, host, [_room(spec) for spec in self.outputs] if known else None
            )
            args, kwargs = self._arguments(device.there)
            runner, flat = self.runner, _flat(self.out_spec, len(self.outputs))
            device.run = lambda: flat(runner(*args, **kwargs))
            self.accelerated = device
        self.accelerated.fill(host)
        call: Callable[[], Any] = self.accelerated.call()
        return self.accelerated.call_and_capture() if self.mode == "graph" else call

    def _arguments(self, tensors: List[Any]) -> Any:
        """Positional and keyword arguments as the program's author had them, constants put back in."""
        from torch.utils._pytree import tree_unflatten

        rest = iter(tensors)
        leaves = [next(rest) if isinstance(name, str) else name for name in self.leaves]
        return tree_unflatten(leaves, self.call_spec)


def compiler_name() -> str:
    """The C++ compiler that Inductor would start (torch/_inductor/config.py: ``cpp.cxx``)."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return os.environ.get("CXX") or usual


def compiler() -> Optional[str]:
    """Where that compiler is; ``None`` when it is not here."""
    return shutil.which(compiler_name())


def refuse_other_forms(path: str) -> None:
    """Raises :class:`Refused` for files of PyTorch that hold no exported program."""
    if not os.path.exists(path):
        raise Refused("there is no file %s" % path)
    if not zipfile.is_zipfile(path):
        raise Refused("%s is not a program saved by torch.export.save (no zip archive)" % path, SAVE_AGAIN)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise Refused("%s is TorchScript; WhichPU runs programs saved by torch.export.save" % path, SAVE_AGAIN)
    if any(name.endswith("/data.pkl") for name in names):
        words = "%s is a pickle of torch.save: weights, or a module that needs its own code; it holds no program" % path
        raise Refused(words, SAVE_AGAIN)


def _set_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
    if torch.get_num_interop_threads() != 1:
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError:
            pass  # allowed once, and only before the first parallel work; what holds is reported


def _set_precision(precision: str) -> None:
    import torch

    if precision == "fp32":
        torch.set_float32_matmul_precision("highest")
    # PyTorch's own default is True: https://docs.pytorch.org/docs/stable/notes/cuda.html#tf32-on-ampere
    torch.backends.cudnn.allow_tf32 = precision != "fp32"


def _runner(program: Any, mode: str) -> Any:
    """The callable module; compiled at its first call when ``mode`` says so."""
    import torch

    try:
        module = program.module(check_guards=False)  # shapes are checked in bind, not at each inference
    except TypeError:  # before torch 2.9
        module = program.module()
    if mode not in COMPILED:
        return module
    from torch._inductor import config

    config.compile_threads = 1  # else compile helper processes stay and run beside the measurement
    return torch.compile(module, dynamic=False, mode=mode if mode == "reduce-overhead" else None)


def _effective(mode: str) -> Dict[str, str]:
    import torch

    found = {
        "mode": mode,
        "num_threads": str(torch.get_num_threads()),
        "num_interop_threads": str(torch.get_num_interop_threads()),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "mkldnn": "on" if torch.backends.mkldnn.is_available() else "not in this build",
    }
    if mode in COMPILED:
        found["compiler"] = str(compiler())
        found["load"] = "with the import of Inductor, about 1 s"
        found["compile_cache"] = "as found: a program compiled here before has a shorter first inference"
    return found


def _precision(values: Any, device: str) -> wire.Precision:
    """What the graph's own types and PyTorch's settings make run."""
    import torch

    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    types = sorted({_dtype(tensor) for tensor in tensors if tensor.is_floating_point()})
    ran = "+".join(SHORT.get(name, name) for name in types) or "integer"
    settings = "float32 matmul precision is %r" % torch.get_float32_matmul_precision()
    if device == "cuda":
        settings += ", TF32 in convolutions is %s" % ("on" if torch.backends.cudnn.allow_tf32 else "off")
        if torch.backends.cudnn.allow_tf32 and ran == "fp32":
            ran = "tf32+fp32"
    words = "floating-point parameters and values of the graph are %s; %s" % (", ".join(types) or "none", settings)
    return wire.Precision(ran, words)


def _spec(name: str, value: Any) -> wire.TensorSpec:
    """``value`` is the graph's example tensor; a size that may vary is -1. Raises :class:`Refused` for no tensor."""
    if not hasattr(value, "shape"):
        raise Refused("WhichPU can't feed or read %r: it is no tensor but %s" % (name, type(value).__name__))
    return wire.TensorSpec(name, _dtype(value), [size if isinstance(size, int) else -1 for size in value.shape])


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).replace("torch.", "")


def _refuse_wrong_shapes(specs: List[wire.TensorSpec], arrays: Arrays) -> None:
    for spec, array in zip(specs, arrays):
        fits = len(spec.shape) == array.ndim and all(want in (-1, have) for want, have in zip(spec.shape, array.shape))
        if not fits:
            raise Refused("input %s has the shape %s, the data has %s" % (spec.name, spec.shape, list(array.shape)))


def _tensors(result: Any) -> List[Any]:
    import torch
    from torch.utils._pytree import tree_flatten

    return [leaf for leaf in tree_flatten(result)[0] if isinstance(leaf, torch.Tensor)]


def _room(spec: wire.TensorSpec) -> Any:
    """A tensor in host memory for an output."""
    import torch

    return torch.empty(spec.shape, dtype=getattr(torch, spec.dtype))


def _flat(out_spec: Any, outputs: int) -> Callable[[Any], Any]:
    """Makes the program's result its outputs in order; a tensor, or a tuple of them, needs no walk."""
    leaves = out_spec.num_leaves == outputs
    if leaves and out_spec.is_leaf():
        return lambda result: (result,)
    if leaves and out_spec.type in (tuple, list) and out_spec.num_children == outputs:
        return lambda result: result
    return _tensors


def _host(tensor: Any) -> Any:
    import torch

    plain = tensor.detach().cpu()
    return plain.float() if plain.dtype is torch.bfloat16 else plain  # NumPy has no bfloat16
