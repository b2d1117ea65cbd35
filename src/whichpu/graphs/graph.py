"""One view of a network for every format: operators, the tensors between them, and nothing of how it was stored.

A *dialect* is the set of operator names a graph speaks: ``onnx`` (ONNX's operators), ``tflite`` (TFLite's builtin
names), ``relay`` (TVM Relay's). A lowered graph is the same network in another dialect, or with operators joined as a
vendor's compiler joins them; its operators name the source operators they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.graphs.conditions import UnknownFactError

Shape = tuple[int | None, ...]
"""Sizes of a tensor; ``None`` where a size is not known."""

BITS = {"bool": 8, "int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "bfloat16": 16, "string": 0} | {
    f"float8{kind}": 8 for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")
}

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
"""ONNX's operators between real and stored values."""


@cache
def _bits(dtype: str) -> int:
    return BITS[dtype] if dtype in BITS else np.dtype(dtype).itemsize * 8


@dataclass(frozen=True, slots=True)
class Quantisation:
    """``real = scale * (stored - zero_point)``; ``axis`` is the axis of per-channel scales, None for one scale."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None = None


@dataclass(slots=True, eq=False)
class Tensor:
    """A value between operators. ``dtype`` is NumPy's name (``float32``, ``int8``), None when not known."""

    name: str
    dtype: str | None = None
    shape: Shape | None = None
    quantisation: Quantisation | None = None
    read: Callable[[], NDArray[Any]] | None = None
    """Gives the stored values of a constant; None for what is computed or fed."""
    producer: Operator | None = field(default=None, repr=False)
    consumers: list[Operator] = field(default_factory=list, repr=False)

    @property
    def constant(self) -> bool:
        return self.read is not None

    @property
    def elements(self) -> int | None:
        """Number of elements; None when a size is not known."""
        if self.shape is None:
            return None
        count = 1
        for size in self.shape:
            if size is None:
                return None
            count *= size
        return count

    @property
    def bytes(self) -> int | None:
        """Bytes the values take in memory; None when type or a size is not known."""
        elements = self.elements
        if elements is None or self.dtype is None:
            return None
        return (elements * _bits(self.dtype) + 7) // 8


@dataclass(slots=True, eq=False)
class Operator:
    """One node. ``type`` is its name in the graph's dialect; an input left out is None."""

    index: int
    name: str
    type: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    """Empty for the dialect's own operators; else who defined it (``com.microsoft``, ``custom``)."""
    within: str = ""
    """The body it stands in: empty for the main graph, else ``/name_of_If/then_branch``."""
    origins: tuple[int, ...] = ()
    """Indices of the source graph's operators that became this one; empty in a source graph."""

    def input(self, position: int) -> Tensor | None:
        return self.inputs[position] if position < len(self.inputs) else None


@dataclass(slots=True, eq=False)
class Graph:
    """A network: operators in an order in which producers come before consumers, sub-graphs' among them."""

    name: str
    dialect: str
    operators: list[Operator]
    inputs: list[Tensor]
    outputs: list[Tensor]
    opset: int | None = None
    notes: list[str] = field(default_factory=list)
    """What reading found and the user should know: shapes that stay unknown, functions inlined, and the like."""

    def connect(self) -> Graph:
        """Set each tensor's producer and consumers, each operator's index; return the graph itself."""
        for position, operator in enumerate(self.operators):
            operator.index = position
            for output in operator.outputs:
                output.producer = operator
        for operator in self.operators:
            for tensor in operator.inputs:
                if tensor is not None:
                    tensor.consumers.append(operator)
        return self

    def parents(self, operator: Operator) -> Iterator[Operator]:
        """Operators whose outputs this one takes, in the order of its inputs; one may come twice."""
        for tensor in operator.inputs:
            if tensor is not None and tensor.producer is not None:
                yield tensor.producer

    def children(self, operator: Operator) -> Iterator[Operator]:
        """Operators that take this one's outputs; one may come twice."""
        for tensor in operator.outputs:
            yield from tensor.consumers


def known(tensor: Tensor, operator: Operator) -> tuple[int, ...]:
    """The tensor's sizes. Raises :class:`UnknownFactError` when one is not known."""
    if tensor.shape is None or None in tensor.shape:
        raise UnknownFactError(f"the shape of {tensor.name!r} at {operator.type} {operator.name!r} is not known")
    return tuple(size for size in tensor.shape if size is not None)
