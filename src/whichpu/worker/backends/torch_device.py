"""PyTorch's accelerators: ``torch.cuda``, ``torch.xpu`` and ``torch.mps``, from host memory to host memory.

Inputs and outputs lie in page-locked memory that is made once, are copied without blocking, and the call waits for the
stream alone (https://docs.pytorch.org/docs/stable/notes/cuda.html). A CUDA graph is captured once, after a few runs on
a side stream, and replayed on the same buffers. Read: torch 2.13, torch/cuda/{__init__,graphs,streams}.py; what MPS
sends to the CPU: aten/src/ATen/mps/MPSFallback.mm.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List, Optional

from .. import parts, wire
from . import FellBack, Refused

KEYS = {"cuda": "CUDA", "xpu": "XPU", "mps": "MPS"}
"""The dispatcher's name of each accelerator."""
COMPOSITE = ("CompositeImplicitAutograd", "CompositeExplicitAutograd")
"""Kernels made of other operators."""
WITH_EVENTS = ("cuda", "xpu")
FALLBACKS = {"mps": "PYTORCH_ENABLE_MPS_FALLBACK", "xpu": "PYTORCH_ENABLE_XPU_FALLBACK"}
WARM_UP = 3
"""Runs before a capture, as PyTorch's notes have it."""
EVENT_COARSE_NS = 500
"""CUDA's events tell about half a microsecond (CUDA Runtime API, cudaEventElapsedTime)."""
NAMED = 10
REMEDIES = {
    "cuda": "install PyTorch's build for CUDA (https://pytorch.org/get-started), and look at what nvidia-smi says",
    "xpu": "install PyTorch's build for Intel GPUs (https://pytorch.org/get-started) and Intel's driver",
    "mps": "it needs macOS on Apple silicon",
}
OTHER_BUILD = "install a build of PyTorch for this GPU: https://pytorch.org/get-started/previous-versions"


def module(name: str) -> Any:
    import torch

    return getattr(torch, name)


def place(name: str) -> str:
    """Where tensors of this accelerator lie, as PyTorch writes it."""
    return name


def here() -> List[str]:
    """The accelerators that can be used."""
    import torch

    found = [name for name in ("cuda", "xpu") if hasattr(torch, name) and module(name).is_available()]
    mps = getattr(torch.backends, "mps", None)
    return found + (["mps"] if mps is not None and mps.is_available() else [])


def refuse_unless_here(name: str) -> None:
    """Raises :class:`Refused` for a device that is not here, or for which this build has no code."""
    if name == "cpu":
        return
    found = here()
    if name not in found:
        words = "this PyTorch can't use %r here; it can use: %s" % (name, ", ".join(["cpu", *found]))
        raise Refused(words, REMEDIES.get(name, "write the target as torch:cpu"))
    if name == "cuda":
        cuda = module(name)
        capability, built_for = cuda.get_device_capability(), cuda.get_arch_list()
        if not covers(capability, built_for):
            has = "sm_%d%d; it has %s" % (*capability, ", ".join(built_for))
            raise Refused("this PyTorch has no code for the GPU here (%s)" % has, OTHER_BUILD)


def covers(capability: Any, built_for: List[str]) -> bool:
    """Does a build for these architectures (``sm_80``: binary, ``compute_90``: PTX) run on this compute capability?"""
    major, minor = capability
    known = [row.split("_") for row in built_for if row.startswith(("sm_", "compute_"))]
    for kind, text in known:
        number = int("".join(character for character in text if character.isdigit()))
        same_generation = number // 10 == major and number % 10 <= minor
        if same_generation or (kind == "compute" and number <= 10 * major + minor):
            return True
    return not known


def facts(name: str) -> Dict[str, str]:
    """The device, and its memory with the model loaded in bytes, for ``effective``."""
    if name == "cpu":
        return {}
    if name == "mps":
        fallback = os.environ.get(FALLBACKS["mps"], "0")
        return {"device_memory": str(module(name).current_allocated_memory()), FALLBACKS["mps"]: fallback}
    return {"device_name": module(name).get_device_name(), "device_memory": str(module(name).memory_allocated())}


def moved(program: Any, name: str) -> Any:
    """The exported program with its weights and constants on the device."""
    if name == "cpu":
        return program
    try:
        from torch.export.passes import move_to_device_pass
    except ImportError as problem:
        raise Refused("this PyTorch can't move an exported program", "install torch 2.7 or newer") from problem
    return move_to_device_pass(program, place(name))


def placement(program: Any, name: str) -> Optional[wire.Placement]:
    """By the program's own operators, before Inductor fuses them; ``None`` on the CPU.

    On the CPU run those whose values lie there, and, where PyTorch falls back, those without a kernel for the device.
    Raises :class:`FellBack` where these are all.
    """
    if name == "cpu":
        return None
    import torch

    nodes = [node for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]
    reasons = {node.name: _why_on_cpu(node, name) for node in nodes}
    units = {name: sum(1 for reason in reasons.values() if reason is None)}
    elsewhere = []
    words = sorted({text for text in reasons.values() if text})
    if words and not units[name]:
        told = "PyTorch would run all %d operators on the CPU, not on %s: %s" % (len(nodes), name, "; ".join(words))
        raise FellBack(told, "write the target as torch:cpu")
    for reason in words:
        group = [node for node in nodes if reasons[node.name] == reason]
        kinds: Dict[str, int] = {}
        for node in group:
            kinds[node.target.name()] = kinds.get(node.target.name(), 0) + 1
        elsewhere.append(wire.Elsewhere("cpu", len(group), kinds, reason, [node.name for node in group[:NAMED]]))
        units["cpu"] = units.get("cpu", 0) + len(group)
    return wire.Placement(name, units, "PyTorch's dispatcher, and where the program's values lie", elsewhere)


def _why_on_cpu(node: Any, name: str) -> Optional[str]:
    import torch

    value = node.meta.get("val")
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    if isinstance(first, torch.Tensor) and first.device.type == "cpu" != place(name):
        return "their values lie in host memory"
    falls_back = name in FALLBACKS and os.environ.get(FALLBACKS[name], "0") not in ("", "0")
    keys = (KEYS[name], *COMPOSITE)
    kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    if falls_back and not any(kernel(node.target.name(), key) for key in keys):
        return "PyTorch has no %s kernel for them" % KEYS[name]
    return None


class Accelerated:
    """Buffers of one program on an accelerator, and the call on them; ``run`` gives the outputs on the device.

    ``shapes`` are the outputs' tensors where they are known beforehand; then page-locked memory for them is made once.
    """

    def __init__(self, name: str, inputs: List[Any], outputs: Optional[List[Any]]) -> None:
        import torch

        self.name, self.module = name, module(name)
        self.given = [self._locked(tensor) for tensor in inputs]
        self.there = [torch.empty_like(tensor, device=place(name)) for tensor in inputs]
        self.back = [self._locked(tensor) for tensor in outputs] if outputs is not None and name != "mps" else None
        self.results: List[Any] = self.back or []
        self.run: Callable[[], Any] = tuple
        self.captured: Any = None

    def fill(self, inputs: List[Any]) -> None:
        """New inputs, in the buffers that the call reads."""
        for mine, tensor in zip(self.given, inputs):
            mine.copy_(tensor)

    def call(self) -> Callable[[], None]:
        """Host memory to host memory; it waits."""
        pairs, run, back, wait = list(zip(self.there, self.given)), self.run, self.back, self._wait()

        def fixed() -> None:
            for there, given in pairs:
                there.copy_(given, non_blocking=True)
            for mine, output in zip(back or (), run()):
                mine.copy_(output, non_blocking=True)
            wait()

        def of_any_size() -> None:
            for there, given in pairs:
                there.copy_(given, non_blocking=True)
            self.results = [output.cpu() for output in run()]
            wait()

        return of_any_size if back is None else fixed

    def call_and_capture(self) -> Callable[[], None]:
        """The first inference in a CUDA graph; those after it replay the graph."""

        def first() -> None:
            if self.captured is None:
                for there, given in zip(self.there, self.given):
                    there.copy_(given)
                self._capture()
            self.call()()

        return first

    def parts(self, count: int) -> wire.Parted:
        """By events on the device's clock; raises :class:`Refused` where there are none."""
        if self.name not in WITH_EVENTS:
            raise Refused("PyTorch tells no times of %s's queue apart" % self.name)
        marks = [self.module.Event(enable_timing=True) for _ in range(4)]
        times: Dict[str, List[int]] = {"end_to_end": [], "h2d": [], "compute": [], "d2h": []}
        wait = self._wait()
        for _ in range(parts.WARM + count):
            began = time.perf_counter_ns()
            self._marked(marks)
            wait()
            times["end_to_end"].append(time.perf_counter_ns() - began)
            for name, start, end in zip(("h2d", "compute", "d2h"), marks, marks[1:]):
                times[name].append(round(1e6 * start.elapsed_time(end)))
        kept = {name: values[parts.WARM :] for name, values in times.items()}
        by = "PyTorch's events on the device (torch.%s.Event), in runs of their own" % self.name
        return wire.Parted(kept, count, by, coarse_ns=EVENT_COARSE_NS)

    def _marked(self, marks: List[Any]) -> None:
        marks[0].record()
        for there, given in zip(self.there, self.given):
            there.copy_(given, non_blocking=True)
        marks[1].record()
        outputs = self.run()
        marks[2].record()
        if self.back is None:
            self.results = [output.cpu() for output in outputs]
        for mine, output in zip(self.back or (), outputs):
            mine.copy_(output, non_blocking=True)
        marks[3].record()

    def _capture(self) -> None:
        cuda, run = self.module, self.run
        try:
            side = cuda.Stream()
            side.wait_stream(cuda.current_stream())
            with cuda.stream(side):
                for _ in range(WARM_UP):
                    run()
            cuda.current_stream().wait_stream(side)
            self.captured = cuda.CUDAGraph()
            with cuda.graph(cuda_graph=self.captured):
                outputs = run()
        except RuntimeError as problem:
            words = "the program can't be captured as one CUDA graph: %s" % str(problem).strip().split("\n")[0]
            raise Refused(words, "leave mode=graph away, or use mode=reduce-overhead") from problem
        replay = self.captured.replay

        def replayed() -> Any:
            replay()
            return outputs

        self.run = replayed

    def _wait(self) -> Callable[[], Any]:
        if self.name in WITH_EVENTS:
            wait: Callable[[], Any] = self.module.current_stream().synchronize
            return wait
        synchronize: Callable[[], Any] = self.module.synchronize
        return synchronize

    def _locked(self, tensor: Any) -> Any:
        return tensor if self.name == "mps" else tensor.pin_memory()
