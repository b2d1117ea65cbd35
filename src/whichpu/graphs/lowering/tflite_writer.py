"""TFLite operators as a converter and its quantiser write them, for :mod:`whichpu.graphs.lowering.onnx_to_tflite`.

Every value is kept once for each form that was asked for: channels last or in ONNX's order, 8-bit or float. Asking for
another form adds the TRANSPOSE, DEQUANTIZE or QUANTIZE that the converter adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.graph import Graph, Operator, Quantisation, Shape, Tensor

SCALE = Quantisation((1.0,), (0,))
"""Stands for the scale that calibration will give: that there is one is known, its value is not."""
REAL = ("float32", "float16", "float64", "bfloat16")
FUSES = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL"}
"""Operators that take an activation in."""
FOLDS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
"""Operators whose weights take a constant factor or summand in."""
UNKNOWN, REFUSED = "UNKNOWN", "REFUSED"
CONVERTER = "onnx2tf"


@dataclass(frozen=True)
class Value:
    """A value in one form. ``last``: its channels are last, where ONNX has them second."""

    tensor: Tensor
    last: bool


def to_last(rank: int) -> tuple[int, ...]:
    """The permutation that brings ONNX's order to channels last."""
    return (0, *range(2, rank), 1)


def from_last(rank: int) -> tuple[int, ...]:
    """The permutation back."""
    return (0, rank - 1, *range(1, rank - 1))


def permuted(shape: Shape | None, perm: Sequence[int]) -> Shape | None:
    return None if shape is None else tuple(shape[axis] for axis in perm)


def integers(values: Any, name: str = "parameter") -> Tensor:
    """A constant that says how to work."""
    array = np.asarray(values, np.int32)
    return Tensor(name, "int32", array.shape, read=lambda: array)


class Writer:
    """The TFLite graph being written; ``source`` is the ONNX operator at hand."""

    def __init__(self, graph: Graph, precision: str) -> None:
        self.graph = graph
        self.real = {"w8a8": "int8", "w8a16": "int16"}.get(precision, "float32")
        """The type of values that are quantised."""
        self.operators: list[Operator] = []
        self.values: dict[int, Value] = {}
        self.forms: dict[tuple[int, bool, bool], Tensor] = {}
        self.made: dict[int, Operator] = {}
        self.source: Operator | None = None

    # Forms.

    def is_real(self, tensor: Tensor) -> bool:
        return tensor.dtype in REAL or tensor.quantisation is not None or tensor.dtype is None

    def dtype(self, tensor: Tensor) -> str | None:
        return self.real if self.is_real(tensor) else tensor.dtype

    def new(self, name: str, dtype: str | None, shape: Shape | None) -> Tensor:
        quantised = dtype in ("int8", "int16")
        return Tensor(name, dtype, shape, SCALE if quantised else None)

    def fed(self, tensor: Tensor) -> None:
        """A model input: with three dimensions and more its channels are last."""
        rank = len(tensor.shape or ())
        shape = permuted(tensor.shape, to_last(rank)) if rank > 2 else tensor.shape
        self.values[id(tensor)] = Value(self.new(tensor.name, self.dtype(tensor), shape), rank > 2)

    def value(self, tensor: Tensor) -> Value:
        """What stands for an ONNX tensor; a constant stands in ONNX's order."""
        if id(tensor) not in self.values:
            held = self.new(tensor.name, self.dtype(tensor), tensor.shape)
            held.read = _later(tensor) if self.is_real(tensor) else tensor.read
            self.values[id(tensor)] = Value(held, False)
        return self.values[id(tensor)]

    def become(self, tensor: Tensor, made: Tensor, last: bool) -> None:
        """From here on ``made`` stands for an ONNX tensor."""
        self.values[id(tensor)] = Value(made, last)

    def take(self, tensor: Tensor, last: bool, *, real: bool = False) -> Tensor:
        """An ONNX tensor in the form asked for; ``real`` is float."""
        value = self.value(tensor)
        rank = len(value.tensor.shape or ())
        last = last and rank > 2
        if value.tensor.constant:
            return value.tensor if value.last == last else self._turned_constant(value.tensor, last, rank)
        found = self.typed(value.tensor, real)
        return found if value.last == last or rank < 3 else self._turned(found, last, rank)

    def spread(self, tensor: Tensor, rank: int, last: bool) -> Tensor:
        """An operand that is broadcast: a constant gets as many dimensions as its partner before its order changes."""
        value = self.value(tensor)
        shape = value.tensor.shape
        if not value.tensor.constant or not last or shape is None or len(shape) < 2:
            return self.take(tensor, last) if not value.tensor.constant else self._channelled(value.tensor, rank, last)
        filled = (1,) * (rank - len(shape)) + shape
        return replace(value.tensor, shape=permuted(filled, to_last(rank)), consumers=[], producer=None)

    def _channelled(self, held: Tensor, rank: int, last: bool) -> Tensor:
        """One dimension of ONNX is the width: with channels last it stands before them."""
        if held.shape and len(held.shape) == 1 and last and rank > 2 and held.shape != (1,):
            return replace(held, shape=(*held.shape, 1), consumers=[], producer=None)
        return held

    def typed(self, tensor: Tensor, real: bool) -> Tensor:
        """The tensor in float or quantised, with the conversion that it takes."""
        wanted = "float32" if real else self.real
        if tensor.dtype == wanted or tensor.dtype not in ("float32", self.real):
            return tensor
        key = (id(tensor), real, True)
        if key not in self.forms:
            self.forms[key] = self.add("DEQUANTIZE" if real else "QUANTIZE", [tensor], tensor.shape, wanted)
            maker = self.made.get(id(tensor))
            if not real and maker is not None:  # it is there because of what was left in float, not of what follows
                self.operators[-1].origins = maker.origins
        return self.forms[key]

    def _turned(self, tensor: Tensor, last: bool, rank: int) -> Tensor:
        key = (id(tensor), last, False)
        if key not in self.forms:
            perm = to_last(rank) if last else from_last(rank)
            self.forms[key] = self.transpose(tensor, perm)
        return self.forms[key]

    def transpose(self, tensor: Tensor, perm: Sequence[int]) -> Tensor:
        """A TRANSPOSE; a RESHAPE where it only moves dimensions of size 1; nothing where it moves none."""
        shape = tensor.shape or ()
        if list(perm) == sorted(perm):
            return tensor
        moving = [axis for axis in perm if axis < len(shape) and shape[axis] != 1]
        out = permuted(tensor.shape, perm)
        if moving == sorted(moving) and None not in (out or ()):
            return self.add("RESHAPE", [tensor, integers(out)], out)
        return self.add("TRANSPOSE", [tensor, integers(perm)], out)

    def _turned_constant(self, held: Tensor, last: bool, rank: int) -> Tensor:
        perm = to_last(rank) if last else from_last(rank)
        return replace(held, shape=permuted(held.shape, perm), consumers=[], producer=None)

    # Operators.

    def add(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        shape: Shape | None,
        dtype: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> Tensor:
        """Add an operator with one output, of the first input's type where none is given."""
        assert self.source is not None
        first = next((tensor for tensor in inputs if tensor is not None), None)
        name = f"{self.source.name}/{kind}" if self.source.name else kind
        output = self.new(name, dtype or (first.dtype if first else self.real), shape)
        self._put(kind, inputs, [output], domain, attributes)
        return output

    def _put(
        self, kind: str, inputs: Sequence[Tensor | None], outputs: list[Tensor], domain: str, attributes: dict[str, Any]
    ) -> None:
        assert self.source is not None
        operator = Operator(
            len(self.operators),
            outputs[0].name if outputs else kind,
            kind,
            list(inputs),
            outputs,
            attributes,
            domain,
            self.source.within,
            self.source.origins or (self.source.index,),
        )
        self.operators.append(operator)
        for output in outputs:
            self.made[id(output)] = operator

    def stop(self, kind: str, why: str) -> None:
        """The operator at hand stands for itself: nobody knows what it becomes, or the converter stops at it."""
        assert self.source is not None
        inputs = [self.value(tensor) for tensor in self.source.inputs if tensor is not None]
        last = any(value.last for value in inputs)
        outputs = [
            self.new(tensor.name, self.dtype(tensor), self._shaped(tensor.shape, last))
            for tensor in self.source.outputs
        ]
        told = {"why": why, "source_type": self.source.type}
        self._put(kind, [value.tensor for value in inputs], outputs, CONVERTER, told)
        for tensor, output in zip(self.source.outputs, outputs, strict=True):
            self.become(tensor, output, last and len(output.shape or ()) > 2)

    def _shaped(self, shape: Shape | None, last: bool) -> Shape | None:
        return permuted(shape, to_last(len(shape))) if last and shape is not None and len(shape) > 2 else shape

    def alone(self, tensor: Tensor, kinds: set[str]) -> Operator | None:
        """The operator that made a value, where it is of these kinds and nothing else takes the value."""
        made = self.made.get(id(self.value(tensor).tensor))
        single = len(tensor.consumers) == 1 and not any(tensor is output for output in self.graph.outputs)
        return made if made is not None and made.type in kinds and single else None

    def join(self, operator: Operator, **attributes: Any) -> None:
        """The ONNX operator at hand becomes part of one already written."""
        assert self.source is not None
        origins = self.source.origins or (self.source.index,)
        operator.origins = tuple(dict.fromkeys((*operator.origins, *origins)))
        operator.attributes = {**operator.attributes, **attributes}
        value = self.value(next(tensor for tensor in self.source.inputs if tensor is not None and not tensor.constant))
        self.become(self.source.outputs[0], value.tensor, value.last)

    def finish(self, notes: Sequence[str]) -> Graph:
        """The graph; outputs in whatever form they were made, quantised."""
        inputs = [self.value(tensor).tensor for tensor in self.graph.inputs]
        outputs = [self._given(tensor) for tensor in self.graph.outputs]
        told = [*self.graph.notes, *notes]
        return Graph(self.graph.name, "tflite", self.operators, inputs, outputs, self.graph.opset, told).connect()

    def _given(self, tensor: Tensor) -> Tensor:
        """A model output: quantised again where it was left in float."""
        held = self.value(tensor).tensor
        self.source = tensor.producer or self.source
        return self.typed(held, False) if self.source is not None and not held.constant else held


def _later(tensor: Tensor) -> Any:
    def read() -> Any:
        raise UnknownFactError(f"{tensor.name!r} gets its values when the converter quantises it")

    return read
