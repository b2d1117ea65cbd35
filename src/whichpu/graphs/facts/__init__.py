"""Facts of an operator, under the names that the limits of the capability tables use.

Facts that any format has stand here; what depends on a dialect's attributes and layout stands in one file each. A fact
that can't be told raises :class:`~whichpu.graphs.conditions.UnknownFactError`: it is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.graph import Graph, Operator, Tensor, known

DIALECTS = {"onnx": ".onnx", "tflite": ".tflite", "relay": ".relay"}
FEW = 4096
"""Elements of a constant up to which ``value`` gives it to a condition."""


class Facts:
    """Facts of one operator, each worked out when a condition asks for it and then kept."""

    def __init__(self, graph: Graph, operator: Operator, options: Mapping[str, str]) -> None:
        self.graph = graph
        self.operator = operator
        self.options = options
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._work_out(name)
        return self._known[name]

    def _work_out(self, name: str) -> Any:
        if name in self.options:
            return self.options[name]
        fact = dialect(self.graph.dialect).get(name) or COMMON.get(name)
        if fact is None:
            raise KeyError(f"{name!r} is no fact of the {self.graph.dialect} dialect")
        try:
            value = fact(self)
        except (IndexError, ValueError, ZeroDivisionError):  # fewer axes than the fact needs, a damaged attribute
            value = None
        if value is None:
            raise UnknownFactError(f"{name} of {self.operator.type} {self.operator.name!r} is not known")
        return value

    # What the facts below are made of.

    def tensor(self, position: int) -> Tensor:
        tensor = self.operator.input(position)
        if tensor is None:
            raise UnknownFactError(f"{self.operator.type} {self.operator.name!r} has no input {position}")
        return tensor

    def shape(self, position: int) -> tuple[int, ...]:
        """Sizes of an input; all must be known."""
        return known(self.tensor(position), self.operator)

    def out_shape(self, position: int = 0) -> tuple[int, ...]:
        return known(self.operator.outputs[position], self.operator)

    def value(self, position: int) -> Any:
        """A constant input's values as (nested) lists, or a plain number. Unknown when it is computed or large."""
        tensor = self.tensor(position)
        where = f"input {position} of {self.operator.type} {self.operator.name!r}"
        if tensor.read is None:
            raise UnknownFactError(f"{where} is not constant")
        if (tensor.elements or 0) > FEW:
            raise UnknownFactError(f"{where} holds {tensor.elements} values: too many to look at")
        return tensor.read().tolist()

    def number(self, position: int) -> float:
        """The value of a constant of one element."""
        tensor = self.tensor(position)
        if tensor.read is None or tensor.elements != 1:
            raise UnknownFactError(f"input {position} of {self.operator.type} {self.operator.name!r} is no number")
        return float(tensor.read().reshape(-1)[0])

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.operator.attributes.get(name, default)


@cache
def dialect(name: str) -> Mapping[str, Callable[[Facts], Any]]:
    """The facts that one dialect defines."""
    table: Mapping[str, Callable[[Facts], Any]] = import_module(DIALECTS[name], __name__).FACTS
    return table


def _static(facts: Facts) -> bool:
    tensors = [*facts.operator.inputs, *facts.operator.outputs]
    return all(tensor is None or tensor.elements is not None for tensor in tensors)


def _dtype(tensor: Tensor) -> str:
    if tensor.dtype is None:
        raise UnknownFactError(f"the type of {tensor.name!r} is not known")
    return tensor.dtype


def _elements(tensor: Tensor) -> int:
    if tensor.elements is None:
        raise UnknownFactError(f"the shape of {tensor.name!r} is not known")
    return tensor.elements


def _data_inputs(facts: Facts) -> list[Tensor]:
    return [tensor for tensor in facts.operator.inputs if tensor is not None and not tensor.constant]


def _per_channel(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.quantisation is not None and len(tensor.quantisation.scales) > 1


def _scale(tensor: Tensor) -> float | None:
    return tensor.quantisation.scales[0] if tensor.quantisation else None


def _zero_point(tensor: Tensor) -> int | None:
    if tensor.quantisation is None:
        return None
    return tensor.quantisation.zero_points[0] if tensor.quantisation.zero_points else 0


COMMON: Mapping[str, Callable[[Facts], Any]] = {
    # The operator and its neighbours.
    "type": lambda f: f.operator.type,
    "name": lambda f: f.operator.name,
    "domain": lambda f: f.operator.domain,
    "within": lambda f: f.operator.within,
    "opset": lambda f: f.graph.opset,
    "inputs": lambda f: len([tensor for tensor in f.operator.inputs if tensor is not None]),
    "left_out": lambda f: any(tensor is None for tensor in f.operator.inputs),
    "outputs": lambda f: len(f.operator.outputs),
    "producers": lambda f: tuple(parent.type for parent in f.graph.parents(f.operator)),
    "consumers": lambda f: tuple(child.type for child in f.graph.children(f.operator)),
    "takes_input": lambda f: f.tensor(0).producer is None and not f.tensor(0).constant,
    "feeds_output": lambda f: any(tensor in f.graph.outputs for tensor in f.operator.outputs),
    # Functions of an input's position.
    "given": lambda f: lambda i: f.operator.input(i) is not None,
    "constant": lambda f: lambda i: f.tensor(i).constant,
    "value": lambda f: f.value,
    "number": lambda f: f.number,
    "size": lambda f: f.shape,
    "out_size": lambda f: f.out_shape,
    "elements": lambda f: lambda i: _elements(f.tensor(i)),
    "dtype_of": lambda f: lambda i: _dtype(f.tensor(i)),
    "rank_of": lambda f: lambda i: _rank(f.tensor(i)),
    "per_channel": lambda f: lambda i: _per_channel(f.operator.input(i)),
    "attribute": lambda f: f.attribute,
    # Types, shapes and scales of the first input and the first output.
    "dtype": lambda f: f.tensor(0).dtype,
    "out_dtype": lambda f: f.operator.outputs[0].dtype,
    "dtypes": lambda f: tuple(_dtype(tensor) for tensor in f.operator.inputs if tensor is not None),
    "data_inputs": lambda f: len(_data_inputs(f)),
    "shape": lambda f: f.shape(0),
    "out_shape": lambda f: f.out_shape(0),
    "rank": lambda f: _rank(f.tensor(0)),
    "out_rank": lambda f: _rank(f.operator.outputs[0]),
    "ranks": lambda f: tuple(_rank(t) for t in [*f.operator.inputs, *f.operator.outputs] if t is not None),
    "batch": lambda f: f.shape(0)[0] if f.shape(0) else 1,
    "static": _static,
    "inputs_fixed": lambda f: all(tensor.elements is not None for tensor in f.graph.inputs),
    "static_inputs": lambda f: all(t is None or t.elements is not None for t in f.operator.inputs),
    "scale": lambda f: _scale(f.tensor(0)),
    "out_scale": lambda f: _scale(f.operator.outputs[0]),
    "zero_point": lambda f: _zero_point(f.tensor(0)),
    "out_zero_point": lambda f: _zero_point(f.operator.outputs[0]),
    "quantised": lambda f: f.tensor(0).quantisation is not None,
    "out_quantised": lambda f: f.operator.outputs[0].quantisation is not None,
}


def _rank(tensor: Tensor) -> int:
    if tensor.shape is None:
        raise UnknownFactError(f"the rank of {tensor.name!r} is not known")
    return len(tensor.shape)
