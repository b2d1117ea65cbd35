"""Apple's Core ML, by coremltools on macOS: CPU, GPU and Neural Engine.

Core ML chooses the unit of each operator among those that it may use: ``gpu`` and ``ane`` mean "and the CPU", as
``ComputeUnit`` has it. ``MLComputePlan`` tells which it prefers (coremltools 8 and later, macOS 14.4 and later).
Lowest-overhead call: ``predict`` with a ready dictionary; inputs and outputs are copied within it. Source:
coremltools 9.0, the package's signatures and https://apple.github.io/coremltools/docs-guides. Not run on a Mac yet.
"""

from __future__ import annotations

import functools
import importlib
import platform
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy

from .. import wire
from . import Arrays, FellBack, Refused, Session, WhyNot, not_installed

FORMATS = ("mlpackage", "mlmodel")
OPTIONS: Dict[str, str] = {}
RARE = True
SYSTEM = sys.platform
UNITS = {"cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "ane": "CPU_AND_NE", "all": "ALL"}
"""Devices, and which ``ComputeUnit`` each is."""
DEVICES = {"MLCPUComputeDevice": "cpu", "MLGPUComputeDevice": "gpu", "MLNeuralEngineComputeDevice": "ane"}
TYPES = {"INT32": "int32", "FLOAT32": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "INT8": "int8"}
"""Array types of ``FeatureTypes.proto`` by name."""
EDGES = ("const",)
"""Operations of an ML program that compute nothing."""


def why_not() -> Optional[WhyNot]:
    if SYSTEM != "darwin":
        words = "Core ML runs on macOS alone, and this is %s" % platform.system()
        return WhyNot(words, "measure it on a Mac that has coremltools")
    return not_installed("coremltools", "coremltools")


def versions() -> Dict[str, str]:
    import coremltools

    return {"coremltools": str(coremltools.__version__), "macOS": platform.mac_ver()[0]}


def offers() -> List[wire.Offer]:
    return [wire.Offer(device, "default", note=unit) for device, unit in UNITS.items()]


def open(job: wire.Open) -> "CoreMl":
    if job.device not in UNITS:
        raise Refused("Core ML has no device %r" % job.device, "write one of: coreml:%s" % ", coreml:".join(UNITS))
    return CoreMl(job)


class CoreMl(Session):
    def __init__(self, job: wire.Open) -> None:
        import coremltools

        self.job, self.units = job, getattr(coremltools.ComputeUnit, UNITS[job.device])
        self.model = coremltools.models.MLModel(job.model, compute_units=self.units)
        description = self.model.get_spec().description
        own = [_spec(feature) for feature in description.input]
        self.inputs = _ordered(own, job.inputs)
        self.outputs = [_spec(feature) for feature in description.output]
        self.effective = {"compute_units": str(self.model.compute_unit.name)}
        self.precision = wire.Precision(
            "unknown", "Core ML computes in fp16 off the CPU, and tells no precision that ran"
        )
        self.results: Dict[str, Any] = {}

    @functools.cached_property
    def placement(self) -> wire.Placement:  # type: ignore[override]  # read after the load time: it compiles once more
        unit = self.job.device
        try:
            rows = list(planned(self.model.get_compiled_model_path(), self.units))
        except Exception as problem:
            words = str(problem) or type(problem).__name__
            return wire.Placement(unit, unknown="MLComputePlan needs coremltools 8 and macOS 14.4: %s" % words)
        return placement_of(rows, unit)

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        fed = {spec.name: numpy.array(array, order="C") for spec, array in zip(self.inputs, arrays)}
        predict = self.model.predict

        def call() -> None:
            self.results = predict(fed)

        return call

    def read(self) -> Arrays:
        return [numpy.array(self.results[spec.name]) for spec in self.outputs]

    def close(self) -> None:
        self.model = None


def planned(path: str, units: Any) -> Iterator[Tuple[str, str]]:
    """(kind, device that Core ML prefers) of each operation of a compiled model; ``unknown`` where it prefers none."""
    plan = importlib.import_module("coremltools.models.compute_plan").MLComputePlan.load_from_path(path, units)
    structure = plan.model_structure
    if structure.program is not None:
        for function in structure.program.functions.values():
            for operation in _operations(function.block):
                usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
                yield operation.operator_name.partition(".")[2] or operation.operator_name, _device(usage)
    elif structure.neuralnetwork is not None:
        for layer in structure.neuralnetwork.layers:
            yield layer.type, _device(plan.get_compute_device_usage_for_neuralnetwork_layer(layer))
    else:
        raise Refused("a pipeline's parts have no common plan")


def placement_of(rows: "List[Tuple[str, str]]", asked: str) -> wire.Placement:
    """``all`` leaves the choice to Core ML: nothing is elsewhere then. Raises :class:`FellBack` where all is."""
    units: Dict[str, int] = {}
    for _, device in rows:
        units[device] = units.get(device, 0) + 1
    by = "MLComputePlan: what Core ML prefers"
    if asked == "all" or not rows:
        return wire.Placement(asked, units, by, unknown=None if rows else "its plan names no operation")
    if asked not in units and "unknown" not in units:
        where = " and ".join(sorted(units))
        raise FellBack(
            "Core ML prefers %s for all %d operations, not %s" % (where, len(rows), asked), "run it on coreml:all"
        )
    elsewhere = [_elsewhere(unit, [kind for kind, device in rows if device == unit]) for unit in sorted(units)]
    return wire.Placement(asked, units, by, [part for part in elsewhere if part.unit != asked])


def _elsewhere(unit: str, names: List[str]) -> wire.Elsewhere:
    kinds: Dict[str, int] = {}
    for name in names:
        kinds[name] = kinds.get(name, 0) + 1
    return wire.Elsewhere(unit, len(names), kinds, "Core ML prefers it there")


def _operations(block: Any) -> Iterator[Any]:
    """Those that compute, of nested blocks (loops, conditionals) too."""
    for operation in block.operations:
        if operation.operator_name.rpartition(".")[2] not in EDGES:
            yield operation
        for nested in operation.blocks:
            yield from _operations(nested)


def _device(usage: Any) -> str:
    preferred = None if usage is None else usage.preferred_compute_device
    return DEVICES.get(type(preferred).__name__, "unknown")


def _spec(feature: Any) -> wire.TensorSpec:
    """Name, type and shape of an input or output; ``[-1]`` where the model tells no shape (some outputs)."""
    kind = feature.type.WhichOneof("Type")
    if kind != "multiArrayType":
        raise Refused(
            "%r is of Core ML's %s, not an array" % (feature.name, kind),
            "convert the model with coremltools.TensorType inputs, without a classifier's labels",
        )
    array = feature.type.multiArrayType
    name = array.ArrayDataType.Name(array.dataType)
    return wire.TensorSpec(feature.name, TYPES.get(name, "float32"), [int(size) for size in array.shape] or [-1])


def _ordered(own: List[wire.TensorSpec], told: Optional[List[wire.TensorSpec]]) -> List[wire.TensorSpec]:
    """In the job's order, where its names are the model's; else the model's own."""
    if told is None:
        return own
    if len(told) != len(own):
        raise Refused("the model takes %d inputs, the job names %d" % (len(own), len(told)))
    named = {spec.name: spec for spec in own}
    return [named[spec.name] for spec in told] if {spec.name for spec in told} == set(named) else own
