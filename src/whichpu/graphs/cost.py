"""What an operator costs, from its shapes alone: multiply-accumulates, parameters, bytes read and written.

A multiply-accumulate (MAC) is counted for convolutions, matrix products and recurrent cells, as in the papers' tables;
other operators have 0 MACs, which is known, not unknown. ``None`` is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import prod

from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.graph import Graph, Operator, Tensor, known

DIALECTS = {"onnx": ".cost", "tflite": ".cost_tflite", "relay": ".cost_relay"}
Count = Callable[[Operator], int]


@dataclass(frozen=True, slots=True)
class Cost:
    """One operator's cost for one inference."""

    macs: int | None
    parameters: int
    parameter_bytes: int | None
    read_bytes: int | None
    """Bytes of computed inputs; parameters are told apart."""
    written_bytes: int | None


def costs(graph: Graph) -> list[Cost]:
    """The cost of each operator, in the order of ``graph.operators``."""
    table: Mapping[str, Count] = import_module(DIALECTS[graph.dialect], __package__).MACS
    return [_cost(operator, table) for operator in graph.operators]


def _cost(operator: Operator, table: Mapping[str, Count]) -> Cost:
    scaled = operator.type in ("QuantizeLinear", "DequantizeLinear")  # whose scales are no parameters of the network
    stored = [tensor for tensor in operator.inputs[: 1 if scaled else None] if tensor is not None and tensor.constant]
    computed = [tensor for tensor in operator.inputs if tensor is not None and not tensor.constant]
    macs: int | None = 0
    if operator.type in table and not operator.domain:
        try:
            macs = table[operator.type](operator)
        except UnknownFactError:
            macs = None
    return Cost(
        macs,
        sum(tensor.elements or 0 for tensor in stored if tensor.dtype != "int64"),
        added([tensor.bytes for tensor in stored]),
        added([tensor.bytes for tensor in computed]),
        added([tensor.bytes for tensor in operator.outputs]),
    )


def added(values: list[int | None]) -> int | None:
    """The sum; None when one is not known."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def sizes(operator: Operator, position: int) -> tuple[int, ...]:
    """Sizes of an input. Raises :class:`UnknownFactError` when one is not known."""
    return known(_given(operator, position), operator)


def _given(operator: Operator, position: int) -> Tensor:
    tensor = operator.input(position)
    if tensor is None:
        raise UnknownFactError(f"{operator.type} {operator.name!r} has no input {position}")
    return tensor


def _convolution(operator: Operator) -> int:
    """Every output element is a sum over the weights of one filter: [M, C / groups, *kernel]."""
    return prod(known(operator.outputs[0], operator)) * prod(sizes(operator, 1)[1:])


def _transposed(operator: Operator) -> int:
    """Every input element is spread over the weights of one filter: [C, M / groups, *kernel]."""
    return prod(sizes(operator, 0)) * prod(sizes(operator, 1)[1:])


def _matmul(operator: Operator) -> int:
    """Every output element is a sum over the inner size."""
    return prod(known(operator.outputs[0], operator)) * sizes(operator, 0)[-1]


def _gemm(operator: Operator) -> int:
    left = sizes(operator, 0)
    return prod(known(operator.outputs[0], operator)) * left[0 if operator.attributes.get("transA") else 1]


def _recurrent(operator: Operator) -> int:
    """Per step and direction, weights of input and of state: W [D, G*H, I], R [D, G*H, H]; x is [T, B, I]."""
    steps, batch = sizes(operator, 0)[:2]
    return steps * batch * (prod(sizes(operator, 1)) + prod(sizes(operator, 2)))


MACS: Mapping[str, Count] = {
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "ConvTranspose": _transposed,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "Gemm": _gemm,
    "QLinearConv": lambda operator: prod(known(operator.outputs[0], operator)) * prod(sizes(operator, 3)[1:]),
    "QLinearMatMul": _matmul,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
