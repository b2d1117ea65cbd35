"""Relay calls as TVM's front ends write them, for :mod:`whichpu.graphs.lowering.relay`.

Scales and zero points are attributes of a call here, not inputs as in Relay: ``input_scale``, ``output_zero_point``
and the like. A call on constants alone is folded, as TVM's FoldConstant does before it partitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from whichpu.errors import UserError
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.graph import Graph, Operator, Quantisation, Shape, Tensor

RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "int32": (-(2**31), 2**31 - 1)}
UNIMPORTED = "unimported"
"""Stands for an operator at which TVM's front end stops with an error; ``why`` says which."""


class Builder:
    """Makes the Relay graph of a source graph, operator by operator."""

    def __init__(self, graph: Graph, folds: bool = True) -> None:
        self.graph = graph
        self.folds = folds
        """Calls on constants are folded at once; a pass that looks at them folds later."""
        self.operators: list[Operator] = []
        self.made: dict[int, Tensor] = {}
        self.source: Operator | None = None

    def value(self, tensor: Tensor | None) -> Tensor:
        """What stands for a source tensor."""
        if tensor is None:
            raise UserError(f"{self.graph.name}: an input that Relay needs is left out")
        found = self.made.get(id(tensor))
        if found is None:
            found = Tensor(tensor.name, tensor.dtype, tensor.shape, tensor.quantisation, tensor.read)
            self.made[id(tensor)] = found
        return found

    def become(self, tensor: Tensor, value: Tensor) -> None:
        """From here on ``value`` stands for a source tensor."""
        self.made[id(tensor)] = value

    def call(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        like: Tensor | None = None,
        *,
        dtype: str | None = None,
        shape: Shape | None = None,
        outputs: Sequence[Tensor] | None = None,
        **attributes: Any,
    ) -> Tensor:
        """Add a call; its output has the type and shape of ``like`` where none are given."""
        assert self.source is not None
        like = like or inputs[0]
        if shape is None:
            shape = like.shape
        made = list(outputs or [Tensor(f"{self.source.name}/{kind}", dtype or like.dtype, shape, like.quantisation)])
        if self.folds and inputs and all(tensor.constant for tensor in inputs):
            for tensor in made:
                tensor.read = _folded(tensor.name)
            return made[0]
        self.operators.append(
            Operator(
                len(self.operators),
                self.source.name,
                kind,
                list(inputs),
                made,
                attributes,
                within=self.source.within,
                origins=(self.source.index,),
            )
        )
        return made[0]

    def unimported(self, why: str) -> None:
        """The front end stops here."""
        assert self.source is not None
        outputs = [
            Tensor(tensor.name, tensor.dtype, tensor.shape, tensor.quantisation) for tensor in self.source.outputs
        ]
        inputs = [self.value(tensor) for tensor in self.source.inputs if tensor is not None]
        self.operators.append(
            Operator(
                len(self.operators),
                self.source.name,
                UNIMPORTED,
                list(inputs),
                outputs,
                {"why": why, "source_type": self.source.type},
                within=self.source.within,
                origins=(self.source.index,),
            )
        )
        for tensor, output in zip(self.source.outputs, outputs, strict=True):
            self.become(tensor, output)

    def finish(self, notes: Sequence[str] = ()) -> Graph:
        """The graph, without calls whose results nobody needs: Relay has none."""
        inputs = [self.value(tensor) for tensor in self.graph.inputs]
        outputs = [self.value(tensor) for tensor in self.graph.outputs]
        needed = _needed(self.operators, outputs)
        told = [*self.graph.notes, *notes]
        return Graph(self.graph.name, "relay", needed, inputs, outputs, self.graph.opset, told).connect()


def _folded(name: str) -> Any:
    def value() -> Any:
        raise UnknownFactError(f"{name} is a constant that TVM works out; its values are not worked out here")

    return value


def _needed(operators: list[Operator], outputs: Sequence[Tensor]) -> list[Operator]:
    wanted = {id(tensor) for tensor in outputs}
    kept: list[Operator] = []
    for operator in reversed(operators):
        if operator.within or any(id(tensor) in wanted for tensor in operator.outputs):
            kept.append(operator)
            wanted.update(id(tensor) for tensor in operator.inputs if tensor is not None)
    return kept[::-1]


def connected(graph: Graph, operators: list[Operator]) -> Graph:
    """The graph with other operators, needed ones alone, its tensors connected anew."""
    kept = _needed(operators, graph.outputs)
    for tensor in (*graph.inputs, *graph.outputs, *_tensors(graph.operators), *_tensors(kept)):
        tensor.producer = None
        tensor.consumers = []
    return Graph(graph.name, graph.dialect, kept, graph.inputs, graph.outputs, graph.opset, graph.notes).connect()


def _tensors(operators: Sequence[Operator]) -> Iterator[Tensor]:
    for operator in operators:
        yield from (tensor for tensor in operator.inputs if tensor is not None)
        yield from operator.outputs


def fold(graph: Graph) -> Graph:
    """Without the calls on constants alone."""
    kept = []
    for operator in graph.operators:
        if operator.inputs and all(tensor is not None and tensor.constant for tensor in operator.inputs):
            for tensor in operator.outputs:
                tensor.read = _folded(tensor.name)
        else:
            kept.append(operator)
    return connected(graph, kept)


# Quantisation.


def scale(tensor: Tensor) -> float | tuple[float, ...] | None:
    """The scale of a tensor; a tuple where it has one for each channel."""
    if tensor.quantisation is None:
        return None
    scales = tensor.quantisation.scales
    return scales[0] if len(scales) == 1 else scales


def zero_point(tensor: Tensor) -> int:
    """The zero point; the first of several."""
    if tensor.quantisation is None or not tensor.quantisation.zero_points:
        return 0
    return tensor.quantisation.zero_points[0]


def same(left: Tensor, right: Tensor) -> bool:
    """Scales and zero points agree, as TVM's TFLite front end compares them (within 1e-5)."""
    if left.quantisation is None or right.quantisation is None:
        return left.quantisation is right.quantisation
    return bool(
        np.allclose(scale(left), scale(right), rtol=1e-5, atol=1e-5)  # type: ignore[arg-type]
        and np.allclose(zero_point(left), zero_point(right), rtol=1e-5, atol=1e-5)
    )


def between(left: Tensor, right: Tensor, prefixes: tuple[str, str] = ("input", "output")) -> dict[str, Any]:
    """Scales and zero points of two tensors as attributes."""
    return affine(left, prefixes[0]) | affine(right, prefixes[1])


def affine(tensor: Tensor, prefix: str) -> dict[str, Any]:
    return {f"{prefix}_scale": scale(tensor), f"{prefix}_zero_point": zero_point(tensor)}


def typed(value: Tensor, quantisation: Quantisation | None, dtype: str | None = None) -> Tensor:
    """The tensor again with another quantisation (and type)."""
    return Tensor(value.name, dtype or value.dtype, value.shape, quantisation, value.read)


def quantised_bounds(low: float, high: float, tensor: Tensor) -> tuple[float, float]:
    """Bounds of a clip in stored values, within the range of the type."""
    least, most = RANGES.get(tensor.dtype or "", (-(2**31), 2**31 - 1))
    step = scale(tensor)
    step = step[0] if isinstance(step, tuple) else step or 1.0
    zero = zero_point(tensor)
    bottom = least if low == float("-inf") else max(least, round(low / step) + zero)
    top = most if high == float("inf") else min(most, round(high / step) + zero)
    return float(bottom), float(top)


def attribute(attributes: Mapping[str, Any], name: str, default: Any) -> Any:
    found = attributes.get(name)
    return default if found is None else found
