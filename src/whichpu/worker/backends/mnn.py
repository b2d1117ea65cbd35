"""MNN, for ``.mnn`` files.

Lowest-overhead call: the Module API with input variables written once, ``forward``, and ``read`` of every output;
MNN may compute as late as the read, so the read is part of the inference
(https://mnn-docs.readthedocs.io/en/latest/start/python.html).
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Optional

import numpy

from .. import wire
from . import Arrays, Refused, Session, WhyNot, not_installed
from .hearing import heard

FORMATS = ("mnn",)
OPTIONS: Dict[str, str] = {}
PRECISIONS = {"fp32": "high", "default": "normal"}
NAMES = {"float": "float32", "double": "float64", "int": "int32", "int32": "int32", "int64": "int64", "uint8": "uint8"}
WRITES = ("float32", "int32", "uint8")  # what Var.write takes


def why_not() -> Optional[WhyNot]:
    return not_installed("MNN", "MNN onnxslim")


def versions() -> Dict[str, str]:
    import MNN

    return {"MNN": MNN.version()}


def offers() -> List[wire.Offer]:
    return [wire.Offer("cpu")]


def open(job: wire.Open) -> "Mnn":
    if job.device != "cpu":
        raise Refused("WhichPU runs MNN on the CPU only, not on %r" % job.device)
    if not os.path.isfile(job.model):
        raise Refused("there is no file %s" % job.model)
    return Mnn(job)


class Mnn(Session):
    def __init__(self, job: wire.Open) -> None:
        precision = PRECISIONS[job.precision]
        config: Dict[str, Any] = {"backend": "CPU", "precision": precision, "numThread": job.threads}
        manager, said = _manager(config)
        self.module = _load(job.model, manager, [], [])
        facts = self.module.get_info()
        names = list(facts["inputNames"])
        if job.inputs:
            wanted = [spec.name for spec in job.inputs]
            if sorted(wanted) != sorted(names):
                words = "the MNN form has the inputs %s, the model has %s"
                raise Refused(words % (", ".join(names), ", ".join(wanted)))
            if wanted != names:  # load again, asking for the model's own order
                self.module = _load(job.model, manager, wanted, list(facts["outputNames"]))
                facts, names = self.module.get_info(), wanted
        self.variables = list(facts["inputs"])
        found = [_spec(name, variable) for name, variable in zip(names, self.variables)]
        self.types = [spec.dtype for spec in found]
        self.inputs = job.inputs or found
        self.outputs = [wire.TensorSpec(name, "float32", [-1]) for name in facts["outputNames"]]
        self.results: List[Any] = []
        self.effective = {name: str(value) for name, value in config.items()}
        self.effective["converted_by"] = str(facts.get("version", "unknown"))
        self.precision = _precision(precision, said, self.types)

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        self.held = [_variable(*parts) for parts in zip(arrays, self.types, self.variables)]
        held, forward = self.held, self.module.onForward

        def call() -> None:
            made = forward(held)
            self.results = [(output, output.read()) for output in made]  # the read array is the output's memory

        return call

    def read(self) -> Arrays:
        return [numpy.array(array) for _, array in self.results]

    def close(self) -> None:
        self.results, self.held, self.module = [], [], None


def _manager(config: Dict[str, Any]) -> Any:
    """MNN's runtime with our wishes, and what it printed about them."""
    import MNN.nn

    with heard() as words:
        manager = MNN.nn.create_runtime_manager((config,))
    return manager, words


def _load(path: str, manager: Any, inputs: List[str], outputs: List[str]) -> Any:
    """The module. Raises :class:`Refused` with what MNN printed, for its exceptions give no reason."""
    import MNN.nn

    def load() -> Any:
        try:
            return MNN.nn.load_module_from_file(path, inputs, outputs, runtime_manager=manager)
        except (SystemError, ValueError, RuntimeError):
            return None

    module = load()
    if module is None:
        with heard() as words:  # only now: had it crashed the first time, its words would be lost with the process
            load()
        raise Refused("MNN can't load %s: %s" % (path, "; ".join(words) or "it gives no reason"))
    return module


def _spec(name: str, variable: Any) -> wire.TensorSpec:
    return wire.TensorSpec(name, _type(variable), [int(size) for size in variable.shape])


def _type(variable: Any) -> str:
    """NumPy's name of an MNN variable's type (``dtype.float``)."""
    name = str(variable.dtype).split(".")[-1]
    return NAMES.get(name, name)


def _variable(array: "numpy.ndarray[Any, Any]", dtype: str, like: Any) -> Any:
    """An input variable that holds a copy of ``array``. Raises :class:`Refused` for types MNN's Python can't fill."""
    import MNN.expr

    if dtype not in WRITES:
        raise Refused(
            "MNN's Python package can't fill an input of type %s; it can fill: %s" % (dtype, ", ".join(WRITES))
        )
    variable = MNN.expr.placeholder([int(size) for size in array.shape], like.data_format, like.dtype)
    variable.write(numpy.array(array, order="C", dtype=dtype))
    return variable


def _precision(asked: str, said: List[str], types: List[str]) -> wire.Precision:
    """MNN reports nothing back but a line in print; ``normal`` may be fp16 where the CPU has it (ARMv8.2).

    ``high`` computes in fp32, yet MNN 3.6.1's Winograd form of 5x5 convolutions is off by 2e-4 of the largest value.
    """
    confirmed = [line for line in said if "precision" in line]
    words = "precision=%s, inputs are %s" % (asked, ", ".join(sorted(set(types))))
    if confirmed:
        words += "; MNN says: " + confirmed[0]
    return wire.Precision("fp32" if asked == "high" else "MNN's default", words)
