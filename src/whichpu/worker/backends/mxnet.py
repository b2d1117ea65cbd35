"""Apache MXNet, in an interpreter of its own: its last release (1.9.1, 2022) runs on Python 3.8 with numpy before 1.24.

A model is ``NAME-symbol.json`` with ``NAME-0000.params`` beside it, or an ONNX file that MXNet's own importer reads
(``mxnet.contrib.onnx``; opset 8 and thereabouts, much of later ones not). Lowest-overhead call: an executor bound once;
on the CPU its inputs are written before, and ``forward`` is waited for; on a GPU both ways of the data are in the call.
Source: the package's signatures, 1.9.1.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy

from .. import wire
from . import Arrays, Refused, Session, WhyNot, not_installed

FORMATS = ("mxnet", "onnx")
OPTIONS: Dict[str, str] = {}
RARE = True
LONGEST = 400
SHAPES = "give each input the shape that the model was trained for: --shape NAME=1x3x224x224"
SYMBOL, PARAMS = "-symbol.json", "-0000.params"
NAMES = {"float32": "fp32", "float16": "fp16", "int8": "int8", "uint8": "int8"}


def why_not() -> Optional[WhyNot]:
    return not_installed(
        "mxnet", "mxnet==1.9.1 'numpy<1.24' 'protobuf<4' onnx==1.12.0  (in an environment of Python 3.8)"
    )


def versions() -> Dict[str, str]:
    import mxnet

    return {"mxnet": str(mxnet.__version__)}


def offers() -> List[wire.Offer]:
    import mxnet

    return [wire.Offer("cpu")] + ([wire.Offer("gpu")] if mxnet.context.num_gpus() else [])


def open(job: wire.Open) -> "MxNet":
    return MxNet(job)


class MxNet(Session):
    def __init__(self, job: wire.Open) -> None:
        import mxnet

        context = _context(mxnet, job)
        symbol, arguments, auxiliary = _loaded(mxnet, job)
        held = set(arguments) | set(auxiliary)
        names = [name for name in symbol.list_inputs() if name not in held]
        self.inputs = _inputs(symbol, names, job.inputs)
        self.device, self.executor = job.device, None
        self.outputs: List[wire.TensorSpec] = []
        self.got: Arrays = []
        self.effective = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set")}
        self.effective["oneDNN"] = "on" if mxnet.runtime.Features().is_enabled("MKLDNN") else "not in this build"
        self.precision = _precision(symbol, {spec.name: spec.dtype for spec in self.inputs}, arguments)
        if any(size < 1 for spec in self.inputs for size in spec.shape):
            return  # the file tells no shapes: the host asks its user for them
        shapes = {spec.name: tuple(spec.shape) for spec in self.inputs}
        types = {spec.name: spec.dtype for spec in self.inputs}
        try:
            executor = symbol.simple_bind(context, grad_req="null", type_dict=types, **shapes)
            executor.copy_params_from(arguments, auxiliary, allow_extra_params=True)
            mxnet.nd.waitall()  # it copies later, and fails then
        except Exception as problem:
            raise Refused("MXNet can't bind the model to these inputs: %s" % _said(problem), SHAPES) from problem
        self.executor = executor
        told = zip(symbol.list_outputs(), executor.outputs)
        self.outputs = [wire.TensorSpec(name, numpy.dtype(out.dtype).name, list(out.shape)) for name, out in told]
        if job.device == "gpu":
            count = len(symbol.get_internals().list_outputs()) - len(symbol.list_inputs())
            self.placement = wire.Placement("gpu", {"gpu": count}, "MXNet, which runs an executor in one context")

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        executor: Any = self.executor
        targets = [executor.arg_dict[spec.name] for spec in self.inputs]
        held = [numpy.array(array, order="C") for array in arrays]
        for target, array in zip(targets, held):
            target[:] = array
        forward, outputs = executor.forward, executor.outputs

        def on_cpu() -> None:
            forward()
            for out in outputs:
                out.wait_to_read()

        def on_gpu() -> None:
            for target, array in zip(targets, held):
                target[:] = array
            forward()
            self.got = [out.asnumpy() for out in outputs]

        return on_cpu if self.device == "cpu" else on_gpu

    def read(self) -> Arrays:
        executor: Any = self.executor
        return [out.asnumpy() for out in executor.outputs]

    def close(self) -> None:
        self.executor = None


def _loaded(mxnet: Any, job: wire.Open) -> "Tuple[Any, Dict[str, Any], Dict[str, Any]]":
    """Symbol, parameters, auxiliary states. Raises :class:`Refused` in one sentence."""
    if job.format == "onnx":
        return _imported(job)
    try:
        symbol = mxnet.sym.load(job.model)
        saved = mxnet.nd.load(job.model.replace(SYMBOL, PARAMS))
    except Exception as problem:
        said = "its bytes are no text" if isinstance(problem, UnicodeError) else _said(problem)
        raise Refused("MXNet can't read the model: %s" % said, "save it again with save_checkpoint") from problem
    if not isinstance(saved, dict):
        raise Refused("the .params file has no names", "save it again with mxnet.model.save_checkpoint")
    parts = [(name.partition(":"), array) for name, array in saved.items()]
    arguments = {name: array for (kind, _, name), array in parts if kind == "arg"}
    return symbol, arguments, {name: array for (kind, _, name), array in parts if kind == "aux"}


def _said(problem: Exception) -> str:
    """MXNet's own sentence, from among its traceback through C++."""
    words = " ".join(str(problem).split())
    return words.rpartition("Error: ")[2].strip(" :")[:LONGEST] or type(problem).__name__


def _imported(job: wire.Open) -> "Tuple[Any, Dict[str, Any], Dict[str, Any]]":
    try:
        from mxnet.contrib import onnx

        with tempfile.TemporaryDirectory(prefix="whichpu-mxnet-") as folder:
            symbol, arguments, auxiliary = onnx.import_model(_as_it_was(job.model, folder))
    except Refused:
        raise
    except Exception as problem:
        words = " ".join(str(problem).split()) or "it says no more"
        raise Refused(
            "MXNet's importer does not read this ONNX model: %s: %s" % (type(problem).__name__, words),
            "export it to ONNX with opset 8, or give an MXNet form (NAME-symbol.json) with --form",
        ) from problem
    return symbol, dict(arguments), dict(auxiliary)


def _as_it_was(path: str, folder: str) -> str:
    """A copy as the importer knows ONNX: weights are listed among the inputs, as all were before ONNX 1.5.

    Raises :class:`Refused` for what it reads wrong without a word: it takes ``auto_pad`` for no padding.
    """
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "auto_pad" and attribute.s.startswith(b"SAME"):
                raise Refused(
                    "MXNet's importer ignores auto_pad=%s (of %s): outputs would be wrong"
                    % (attribute.s.decode(), node.name or node.op_type),
                    "export the model with explicit pads, or give an MXNet form (NAME-symbol.json) with --form",
                )
    listed = {value.name for value in model.graph.input}
    for weight in model.graph.initializer:
        if weight.name not in listed:
            value = onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
            model.graph.input.append(value)
    copy = os.path.join(folder, "model.onnx")
    onnx.save(model, copy)
    return copy


def _inputs(symbol: Any, names: List[str], told: Optional[List[wire.TensorSpec]]) -> List[wire.TensorSpec]:
    """The job's, where its names are the model's; else the model's own, whose shapes may not be known (``[-1]``)."""
    if told is not None:
        if {spec.name for spec in told} == set(names):
            return told
        if len(told) != len(names):
            raise Refused(
                "the model takes %d inputs (%s), the job names %d" % (len(names), ", ".join(names), len(told))
            )
        return [wire.TensorSpec(name, spec.dtype, spec.shape) for name, spec in zip(names, told)]
    known = symbol.attr_dict()
    found = []
    for name in names:
        written = known.get(name, {}).get("__shape__", "").strip("()[] ")
        shape = [int(size) if int(size) > 0 else -1 for size in written.split(",") if size.strip()]
        found.append(wire.TensorSpec(name, "float32", shape or [-1]))
    return found


def _context(mxnet: Any, job: wire.Open) -> Any:
    if job.device == "cpu":
        return mxnet.cpu()
    if job.device != "gpu":
        raise Refused("MXNet has no device %r" % job.device, "write mxnet:cpu or mxnet:gpu")
    if not mxnet.context.num_gpus():
        raise Refused("MXNet sees no GPU: its CPU build is installed, or no driver is here", "pip install mxnet-cu112")
    return mxnet.gpu()


def _precision(symbol: Any, given: Dict[str, str], arguments: Dict[str, Any]) -> wire.Precision:
    kinds = sorted({NAMES.get(numpy.dtype(array.dtype).name, str(array.dtype)) for array in arguments.values()})
    if not kinds:
        kinds = sorted({NAMES.get(kind, kind) for kind in given.values()})
    return wire.Precision(
        "+".join(kinds), "the types of the model's parameters; MXNet computes in the types of the graph"
    )
