"""Questions that patterns ask of a graph: who alone reads a tensor, what a constant holds, what is quantised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.graphs.graph import Graph, Operator, Tensor

FLOATS = ("float16", "float32", "float64")
QUANTISES, DEQUANTISES = "QuantizeLinear", "DequantizeLinear"
FEW = 1 << 16
"""Elements of a constant that a pattern looks at."""


class Net:
    """A graph in ONNX's dialect, as patterns see it. Only operators of the main graph match."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outputs = {id(tensor) for tensor in graph.outputs}

    def is_output(self, tensor: Tensor) -> bool:
        return id(tensor) in self.outputs

    def reader(self, tensor: Tensor) -> Operator | None:
        """The only operator that reads a tensor, in the main graph; None for several, or an output of the model."""
        if len(tensor.consumers) != 1 or self.is_output(tensor) or tensor.consumers[0].within:
            return None
        return tensor.consumers[0]

    def next(self, operator: Operator, *types: str) -> Operator | None:
        """The only reader of an operator's only output, if it is of one of these types."""
        if len(operator.outputs) != 1:
            return None
        reader = self.reader(operator.outputs[0])
        return reader if reader is not None and not reader.domain and reader.type in types else None

    def quantised(self, operator: Operator) -> bool:
        """Is the operator in a quantise-dequantise group, on either side?"""
        fed = any(t is not None and not t.constant and made_by(t, DEQUANTISES) for t in operator.inputs)
        return fed or any(one.type == QUANTISES for tensor in operator.outputs for one in tensor.consumers)


def made_by(tensor: Tensor | None, *types: str) -> Operator | None:
    """The operator of the main graph that makes a tensor, if it is of one of these types."""
    maker = tensor.producer if tensor is not None else None
    return maker if maker is not None and maker.type in types and not (maker.domain or maker.within) else None


def values(tensor: Tensor | None) -> NDArray[Any] | None:
    """What a constant holds, one behind a DequantizeLinear in real numbers; None for what is computed, or large."""
    if tensor is None:
        return None
    if tensor.read is not None:
        return tensor.read() if (tensor.elements or 0) <= FEW else None
    stored = made_by(tensor, DEQUANTISES)
    return _dequantised(stored) if stored is not None else None


def _dequantised(stored: Operator) -> NDArray[Any] | None:
    parts = [values(tensor) if tensor is not None and tensor.constant else None for tensor in stored.inputs]
    if parts[0] is None or parts[1] is None or parts[1].size != 1 or stored.attributes.get("block_size"):
        return None
    zero = parts[2].astype(np.float32) if len(parts) > 2 and parts[2] is not None else np.float32(0)
    found: NDArray[Any] = (parts[0].astype(np.float32) - zero) * parts[1].reshape(())
    return found


def number(tensor: Tensor | None) -> float | None:
    """The value of a constant that is one number."""
    if tensor is None or tensor.elements not in (1, None):
        return None
    found = values(tensor)
    return float(found.reshape(())) if found is not None and found.size == 1 else None


def near(tensor: Tensor | None, wanted: float, tolerance: float = 1e-4) -> bool:
    """Is it a constant of about this value? Half-precision exports round them."""
    found = number(tensor)
    return found is not None and abs(found - wanted) <= tolerance * abs(wanted)


def floating(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.dtype in FLOATS


def sizes(tensor: Tensor | None) -> tuple[int, ...] | None:
    """The tensor's shape where all of it is known."""
    if tensor is None or tensor.shape is None:
        return None
    known = tuple(size for size in tensor.shape if size is not None)
    return known if len(known) == len(tensor.shape) else None


def settled(operator: Operator) -> bool:
    """Are all inputs but the first constants, so that its shapes do not depend on what is fed?"""
    return all(tensor is None or tensor.constant for tensor in operator.inputs[1:])


def other(operator: Operator, one: Tensor | None) -> Tensor | None:
    """The other input of an operator of two."""
    if len(operator.inputs) != 2:
        return None
    left, right = operator.inputs
    return right if left is one else left if right is one else None


def with_constant(operator: Operator) -> tuple[Tensor, Tensor] | None:
    """The computed and the constant input of an operator of two that does not mind their order."""
    if len(operator.inputs) != 2:
        return None
    left, right = operator.inputs
    if left is None or right is None or left.constant == right.constant:
        return None
    return (right, left) if left.constant else (left, right)


def origin(tensor: Tensor | None) -> Tensor | None:
    """The tensor before it was quantised and dequantised; itself where it was not."""
    stored = made_by(tensor, DEQUANTISES)
    if stored is None or stored.inputs[0] is None:
        return tensor
    made = made_by(stored.inputs[0], QUANTISES)
    return made.inputs[0] if made is not None else stored.inputs[0]


def fed(operator: Operator) -> str:
    """The name of the first input."""
    first = operator.inputs[0]
    assert first is not None
    return first.name


def out(operator: Operator) -> str:
    """The name of the first output."""
    return operator.outputs[0].name


def kind(operator: Operator) -> str:
    """The type of the first input; float32 where it is not known."""
    first = operator.inputs[0]
    return (first.dtype if first is not None else None) or "float32"
