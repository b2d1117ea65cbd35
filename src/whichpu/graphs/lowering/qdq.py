"""ONNX's quantised networks with each quantise-dequantise group as one integer operator: a *node unit*.

A unit is an operator with the DequantizeLinear of its inputs, the QuantizeLinear of its outputs, and a Clip or Relu
between that the quantisation makes redundant. Which groups form one: :mod:`whichpu.graphs.lowering.units`. What forms
none keeps its Q and DQ as operators. QOperator forms (QLinearConv and the like) become the plain operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.graphs.capability import Target
from whichpu.graphs.graph import Graph, Operator, Quantisation, Tensor
from whichpu.graphs.lowering.none import copied
from whichpu.graphs.lowering.qoperators import plain
from whichpu.graphs.lowering.units import DQ, Q, Unit, Units, unit_of

MOST_SCALES = 1 << 16
"""Scales up to which a tensor's quantisation is told; blocked weights of large networks have more."""


def lower(graph: Graph, target: Target) -> Graph:
    """The graph of integer operators, for compilers that take any operator between DQ and Q as quantised."""
    del target
    return fold_qdq(graph)


def fold_qdq(graph: Graph, *, known_only: bool = False, qoperators: bool = True) -> Graph:
    """A copy with node units folded, in linear time.

    ``known_only`` keeps to the operators that ONNX Runtime's selectors list; else any operator whose float inputs are
    all dequantised and whose outputs are all quantised is one. ``qoperators`` turns QLinearConv and its like into the
    plain operator.
    """
    if graph.dialect != "onnx":
        return copied(graph)
    work = copied(graph)
    if not any(
        operator.type in (Q, DQ) or "Linear" in operator.type or _integer(operator) for operator in work.operators
    ):
        return work
    reading = Reading()
    if qoperators:
        work.operators = [plain(operator, reading.quantisation) for operator in work.operators]
    work.operators = [operator for operator in work.operators if not _stored(operator, reading)]
    units = Units(work)
    found = {id(unit.target): unit for unit in _selected(work, units, known_only)}
    return _rewired(work, _joined(work, found, reading))


def _integer(operator: Operator) -> bool:
    return operator.type in ("ConvInteger", "MatMulInteger", "QGemm")


@dataclass
class Reading:
    """Scales and zero points, each tensor read once."""

    known: dict[tuple[int, int], Quantisation | None] = field(default_factory=dict)

    def of(self, operator: Operator) -> Quantisation | None:
        """What a Q or DQ says; None when its scale is computed or too large to tell."""
        return self.quantisation(operator.input(1), operator.input(2), int(operator.attributes.get("axis", 1)))

    def quantisation(self, scale: Tensor | None, zero_point: Tensor | None, axis: int = 1) -> Quantisation | None:
        key = (id(scale), id(zero_point))
        if key not in self.known:
            self.known[key] = _read(scale, zero_point, axis)
        return self.known[key]


def _read(scale: Tensor | None, zero_point: Tensor | None, axis: int) -> Quantisation | None:
    if scale is None or scale.read is None or (scale.elements or 0) > MOST_SCALES:
        return None
    scales = scale.read().ravel().tolist()
    zeros = zero_point.read().ravel().tolist() if zero_point is not None and zero_point.read is not None else []
    zeros = zeros or [0] * len(scales)
    return Quantisation(tuple(scales), tuple(int(zero) for zero in zeros), axis if len(scales) > 1 else None)


def _stored(operator: Operator, reading: Reading) -> bool:
    """Turn a QuantizeLinear of a constant into the stored integers, as every runtime does before it looks further."""
    given = operator.input(0)
    if operator.type != Q or given is None or given.read is None:
        return False
    output, read, found = operator.outputs[0], given.read, reading.of(operator)
    if found is None:
        return False
    output.quantisation, output.producer = found, None
    output.shape, output.dtype = given.shape, integer_type(operator)
    output.read = lambda: quantised(read(), found, str(output.dtype))
    return True


def quantised(values: NDArray[Any], by: Quantisation, dtype: str) -> NDArray[Any]:
    """Stored integers of real ``values``. Source: ONNX, QuantizeLinear. Raises :class:`ValueError` for 4-bit types."""
    bounds = np.iinfo(dtype)
    form = [1] * values.ndim
    if by.axis is not None:
        form[by.axis] = -1
    scale, zero = np.reshape(by.scales, form), np.reshape(by.zero_points, form)
    stored: NDArray[Any] = np.clip(np.rint(values / scale) + zero, bounds.min, bounds.max).astype(dtype)
    return stored


def integer_type(operator: Operator) -> str:
    """Type that a QuantizeLinear writes: its zero point's, else the attribute's, else uint8."""
    zero = operator.input(2)
    if zero is not None and zero.dtype is not None:
        return zero.dtype
    return operator.outputs[0].dtype or "uint8"


def _selected(graph: Graph, units: Units, known_only: bool) -> list[Unit]:
    found = (unit_of(operator, units, known_only) for operator in graph.operators)
    return [unit for unit in found if unit is not None]


def _joined(graph: Graph, found: dict[int, Unit], reading: Reading) -> list[Operator]:
    """The operators of the new graph: each unit stands where its target stood."""
    inside = {id(member) for unit in found.values() for member in (*unit.quantises, *unit.redundant)}
    kept = {id(tensor) for tensor in graph.outputs}
    operators: list[Operator] = []
    for operator in graph.operators:
        if id(operator) in found:
            operators.append(_integer_operator(found[id(operator)], reading))
        elif operator.type == DQ and operator.outputs[0].consumers and id(operator.outputs[0]) not in kept:
            if any(not _takes(found.get(id(taker)), operator) for taker in operator.outputs[0].consumers):
                operators.append(_marked(operator, reading))
        elif id(operator) not in inside:
            operators.append(_marked(operator, reading))
    return operators


def _takes(unit: Unit | None, dequantise: Operator) -> bool:
    return unit is not None and any(member is dequantise for member in unit.dequantises)


def _integer_operator(unit: Unit, reading: Reading) -> Operator:
    by_output = {id(member.outputs[0]): member for member in unit.dequantises}
    inputs: list[Tensor | None] = []
    for tensor in unit.target.inputs:
        member = by_output.get(id(tensor)) if tensor is not None else None
        inputs.append(_quantised(member.input(0), member, reading) if member is not None else tensor)
    outputs = [_quantised(member.outputs[0], member, reading) for member in unit.quantises] or unit.target.outputs
    members = (*unit.dequantises, unit.target, *unit.redundant, *unit.quantises)
    origins = tuple(sorted({origin for member in members for origin in member.origins}))
    return replace(unit.target, inputs=inputs, outputs=[o for o in outputs if o is not None], origins=origins)


def _quantised(tensor: Tensor | None, by: Operator, reading: Reading) -> Tensor | None:
    if tensor is not None and tensor.quantisation is None:
        tensor.quantisation = reading.of(by)
    return tensor


def _marked(operator: Operator, reading: Reading) -> Operator:
    """A Q or DQ that stays: its integer side is known as quantised all the same."""
    if operator.type == Q:
        _quantised(operator.outputs[0], operator, reading)
    elif operator.type == DQ:
        _quantised(operator.input(0), operator, reading)
    return operator


def _rewired(graph: Graph, operators: list[Operator]) -> Graph:
    for operator in (*graph.operators, *operators):
        for tensor in (*operator.inputs, *operator.outputs):
            if tensor is not None:
                tensor.producer, tensor.consumers = None, []
    for tensor in (*graph.inputs, *graph.outputs):
        tensor.producer, tensor.consumers = None, []
    notes = list(graph.notes)
    return Graph(graph.name, graph.dialect, operators, graph.inputs, graph.outputs, graph.opset, notes).connect()
