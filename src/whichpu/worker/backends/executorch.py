"""ExecuTorch on the CPU: programs (.pte), or exported PyTorch programs (.pt2) lowered here first.

``delegate=xnnpack`` lowers with XNNPACK's partitioner and leaves the rest to ExecuTorch's portable kernels, which are
written to be small and right, not quick; ``delegate=portable`` leaves it all to them. Which operators the delegate
took stands in the program itself. Lowest-overhead call: ``ExecuTorchMethod.call`` with tensors made once and outputs
that are not copied; ``set_inputs`` once and ``execute`` alone would be wrong, since the memory plan may reuse the place
of an input. Read after ExecuTorch 1.5.1: extension/pybindings/pybindings.pyi, exir/__init__.py.
"""

from __future__ import annotations

import functools
import os
import pathlib
import warnings
from typing import Any, Callable, Dict, List, Optional

import numpy

from .. import wire
from . import OWN, Arrays, FellBack, Refused, Session, WhyNot, compiling, executorch_program, not_installed

FORMATS = ("pte", "pt2")
BUILDS = ("pt2",)
RARE = True
OPTIONS = {"delegate": "of a .pt2: xnnpack, or portable for ExecuTorch's own kernels alone (default: xnnpack)"}
DELEGATES = {"xnnpack": "XnnpackBackend", "portable": ""}
PORTABLE = "portable kernels"
PROGRAM = "model.pte"
SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
# ScalarType of executorch/runtime/core/portable_type/scalar_type.h, by its number.
TYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "", "", "", "bool")


def why_not() -> Optional[WhyNot]:
    return not_installed("executorch", "executorch" + OWN) or not_installed("torch", "executorch torch")


def versions() -> Dict[str, str]:
    import torch

    _library()  # the import that costs (6 s): not part of the load time
    return {"executorch": compiling.version("executorch") or "unknown", "torch": str(torch.__version__)}


def offers() -> List[wire.Offer]:
    return [wire.Offer("cpu")]


def build(job: wire.Open, folder: str) -> Dict[str, str]:
    """Lower an exported program. Raises :class:`Refused`; takes a minute for unrolled recurrent networks."""
    from . import torch as programs

    programs.refuse_other_forms(job.model)
    delegate = compiling.chosen(job, "delegate", sorted(DELEGATES), "xnnpack")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from executorch.exir import to_edge_transform_and_lower

        program = torch.export.load(job.model)
        lowered = to_edge_transform_and_lower(program, partitioner=_partitioners(delegate))
        made = lowered.to_executorch()
    pathlib.Path(folder, PROGRAM).write_bytes(made.buffer)
    told = {"delegate": delegate, "precision": _graph_types(program)}
    compiling.Facts([], [], told).save(folder)
    return dict(told, lowered_by="executorch %s" % compiling.version("executorch"))


def open(job: wire.Open) -> Session:
    if job.device != "cpu":
        raise Refused("WhichPU runs ExecuTorch on the CPU only, not on %r" % job.device, "write executorch:cpu")
    if job.format == "pt2" and job.built is None:
        return compiling.Unbuilt(_exported_inputs(job.model))
    path = job.model if job.built is None else os.path.join(job.built, PROGRAM)
    program = executorch_program.read(path)
    _refuse_unlike(job, program, os.path.basename(path))
    return ExecuTorch(job, path, program)


class ExecuTorch(Session):
    def __init__(self, job: wire.Open, path: str, program: executorch_program.Program) -> None:
        self.library = _library()
        self.library._unsafe_reset_threadpool(job.threads)
        try:
            self.program = self.library._load_program(path)
            self.method = self.program.load_method("forward")
        except RuntimeError as problem:
            raise Refused(
                "ExecuTorch can't load %s: %s" % (os.path.basename(path), compiling.one_line(problem))
            ) from problem
        facts = self.method.method_meta()
        told = [_spec("input_%d" % index, facts.input_tensor_meta(index)) for index in range(facts.num_inputs())]
        self.inputs = _named(told, job)
        self.outputs = [
            _spec("output_%d" % index, facts.output_tensor_meta(index)) for index in range(facts.num_outputs())
        ]
        self.effective = {
            "num_threads": str(self.library._threadpool_get_thread_count()),
            "delegates": ", ".join("%d x %s" % (n, name) for name, n in program.delegates.items()) or "none",
        }
        self.precision = _precision(job, told)
        self.placement = placement_of(program)
        self.result: List[Any] = []

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        import torch

        held = tuple(torch.from_numpy(numpy.array(array, order="C")) for array in arrays)
        call = functools.partial(self.method.call, held, False)

        def run() -> None:
            self.result = call()

        return run

    def read(self) -> Arrays:
        return [numpy.array(tensor.detach().numpy()) for tensor in self.result]

    def close(self) -> None:
        self.result, self.method, self.program = [], None, None


def placement_of(program: executorch_program.Program) -> wire.Placement:
    """Operators in XNNPACK's graphs against calls of ExecuTorch's own kernels, as the program lists them."""
    left, taken = sum(program.kernels.values()), sum(program.nodes.values())
    kinds = executorch_program.counted(program.kernels)
    if program.unread:
        says = "what the delegate %s took is in a form of its own" % program.unread[0]
        rest = [wire.Elsewhere(PORTABLE, left, kinds, "no delegate took them")] if left else []
        return wire.Placement("delegate", elsewhere=rest, unknown=says)
    asked = "xnnpack" if taken else PORTABLE
    units = {name: count for name, count in (("xnnpack", taken), (PORTABLE, left)) if count}
    by = "the program's own list of instructions, and the graphs that it hands to XNNPACK"
    if not (taken and left):
        return wire.Placement(asked, units, by)
    reason = "XNNPACK's partitioner did not take them"
    elsewhere = wire.Elsewhere(PORTABLE, left, kinds, reason)
    return wire.Placement(asked, units, by, [elsewhere])


def _refuse_unlike(job: wire.Open, program: executorch_program.Program, name: str) -> None:
    """Raises :class:`Refused` where the program was made for a delegate that is not here, or not for the one asked."""
    library = _library()
    missing = [delegate for delegate in program.delegates if not library._is_available(delegate)]
    if missing:
        here = ", ".join(library._get_registered_backend_names()) or "none"
        raise Refused(
            "%s is lowered for %s, which this ExecuTorch does not have; it has: %s" % (name, missing[0], here),
            "lower it for one of these, or run it where %s is" % missing[0],
        )
    asked = compiling.chosen(job, "delegate", sorted(DELEGATES), "xnnpack")
    if job.built is None and "delegate" in job.options and bool(DELEGATES[asked]) != bool(program.delegates):
        has = ", ".join(program.delegates) or "no delegate"
        raise Refused(
            "delegate=%s, but %s was lowered with %s" % (asked, name, has), "leave delegate= out, or give the .pt2"
        )
    if job.built is not None and asked == "xnnpack" and not program.delegates:
        kinds = ", ".join(executorch_program.counted(program.kernels))
        words = "XNNPACK's partitioner took none of the %d operators (%s)" % (sum(program.kernels.values()), kinds)
        raise FellBack(compiling.shortened(words), "write executorch:cpu,delegate=portable to measure that")


def _library() -> Any:
    """The bindings, without the warnings that torchao's missing kernels cause."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from executorch.extension.pybindings import portable_lib
    return portable_lib


def _partitioners(delegate: str) -> List[Any]:
    if delegate == "portable":
        return []
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return [XnnpackPartitioner()]


def _exported_inputs(path: str) -> List[wire.TensorSpec]:
    """What a program takes that was exported and not lowered yet."""
    from . import torch as programs

    programs.refuse_other_forms(path)
    import torch

    program = torch.export.load(path)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [programs._spec(name, values[name]) for name in program.graph_signature.user_inputs if name in values]


def _graph_types(program: Any) -> str:
    """Floating-point types of an exported program's values: ``fp32``."""
    import torch

    values = [node.meta.get("val") for node in program.graph.nodes]
    types = {str(one.dtype)[6:] for one in values if isinstance(one, torch.Tensor) and one.is_floating_point()}
    return "+".join(sorted(SHORT.get(name, name) for name in types)) or "integer"


def _precision(job: wire.Open, inputs: List[wire.TensorSpec]) -> wire.Precision:
    if job.built is not None:
        ran = compiling.facts_of(job.built).told["precision"]
        return wire.Precision(ran, "types of the exported program's values, which lowering without quantisation keeps")
    types = ", ".join(sorted({spec.dtype for spec in inputs}))
    return wire.Precision(
        "not told", "a program names the types of its inputs (%s), not what its delegates compute in" % types
    )


def _spec(name: str, told: Any) -> wire.TensorSpec:
    number = told.dtype()
    dtype = TYPES[number] if number < len(TYPES) else ""
    if not dtype:
        raise Refused("WhichPU can't feed or read values of ExecuTorch's type %d (%s)" % (number, name))
    return wire.TensorSpec(name, dtype, [int(size) for size in told.sizes()])


def _named(told: List[wire.TensorSpec], job: wire.Open) -> List[wire.TensorSpec]:
    """The program's inputs under the job's names. Raises :class:`Refused` when they are others."""
    if not job.inputs:
        return told
    if len(job.inputs) != len(told):
        raise Refused("the program takes %d inputs, the job names %d" % (len(told), len(job.inputs)))
    for spec, wanted in zip(told, job.inputs):
        if spec.shape != wanted.shape:
            raise Refused("input %s has the shape %s, the data has %s" % (wanted.name, spec.shape, wanted.shape))
    return [wire.TensorSpec(wanted.name, spec.dtype, spec.shape) for spec, wanted in zip(told, job.inputs)]
