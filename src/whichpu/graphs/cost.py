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
from whichpu.graphs.graph import CONVERSIONS, Graph, Operator, Tensor, known

DIALECTS = {"onnx": ".cost", "tflite": ".cost_tflite", "relay": ".cost_relay"}
Count = Callable[[Operator], int]
LISTED = ("com.microsoft", "ai.onnx")
"""Domains whose operators that multiply matrices are all in the tables: the others have no MACs."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One operator's cost for one inference; in the body of a loop, for one round."""

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
    scaled = operator.type in CONVERSIONS  # whose scales are no parameters of the network
    stored = [tensor for tensor in operator.inputs[: 1 if scaled else None] if tensor is not None and tensor.constant]
    computed = [tensor for tensor in operator.inputs if tensor is not None and not tensor.constant]
    return Cost(
        _macs(operator, table),
        sum(tensor.elements or 0 for tensor in stored if tensor.dtype != "int64"),
        added([tensor.bytes for tensor in stored]),
        added([tensor.bytes for tensor in computed]),
        added([tensor.bytes for tensor in operator.outputs]),
    )


def _macs(operator: Operator, table: Mapping[str, Count]) -> int | None:
    """Multiply-accumulates; None where a size is not known, or what an operator of somebody else's does."""
    count = table.get(f"{operator.domain}:{operator.type}" if operator.domain else operator.type)
    if count is None:
        return 0 if not operator.domain or operator.domain.startswith(LISTED) else None
    try:
        return count(operator)
    except (UnknownFactError, IndexError, ValueError):  # a size that is open, fewer axes than the operator asks for
        return None


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


def _fused_matmul(operator: Operator) -> int:
    left = sizes(operator, 0)
    return prod(known(operator.outputs[0], operator)) * left[-2 if operator.attributes.get("transA") else -1]


def _attention(operator: Operator) -> int:
    """Queries times keys, and weights times values: each element of either meets every step of the keys."""
    if any(operator.input(position) is not None for position in PAST.get(operator.type, ())):
        raise UnknownFactError(f"{operator.name!r} takes keys of steps before")
    steps = sizes(operator, 1)[-2]
    return steps * (prod(sizes(operator, 0)) + prod(known(operator.outputs[0], operator)))


def _self_attention(operator: Operator) -> int:
    """com.microsoft's Attention: x [B, S, D] times weights [D, 3 H], then attention over S steps."""
    if operator.input(4) is not None:
        raise UnknownFactError(f"{operator.name!r} takes keys of steps before")
    batch, steps, _ = sizes(operator, 0)
    width = sizes(operator, 1)[1] // 3
    return batch * steps * (prod(sizes(operator, 1)) + 2 * steps * width)


def _einsum(operator: Operator) -> int:
    """Of two terms, every combination of their letters, where any is summed over; none of one term."""
    given, arrow, result = str(operator.attributes.get("equation", "")).replace(" ", "").partition("->")
    terms = given.split(",")
    if len(terms) == 1:
        return 0
    if len(terms) > 2 or "." in given:
        raise UnknownFactError(f"the order of products of {operator.name!r} is the runtime's")
    size = {letter: s for at, term in enumerate(terms) for letter, s in zip(term, sizes(operator, at), strict=True)}
    summed = {*size} - {*result} if arrow else {letter for letter in size if given.count(letter) > 1}
    return prod(size.values()) if summed else 0


def _uncounted(operator: Operator) -> int:
    raise UnknownFactError(f"the MACs of {operator.type} are not counted")


def _recurrent(operator: Operator) -> int:
    """Per step and direction, weights of input and of state: W [D, G*H, I], R [D, G*H, H]; x is [T, B, I]."""
    steps, batch = sizes(operator, 0)[:2]
    return steps * batch * (prod(sizes(operator, 1)) + prod(sizes(operator, 2)))


PAST = {"Attention": (4, 5), "MultiHeadAttention": (6, 7)}
"""Inputs that hold keys and values of steps before."""
UNCOUNTED = (
    "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "DynamicQuantizeLSTM", "GatedRelativePositionBias",
    "GroupQueryAttention", "LongformerAttention", "MatMulBnb4", "MoE", "NhwcConv", "PackedAttention",
    "PackedMultiHeadAttention", "QAttention", "QMoE", "QOrderedAttention", "QOrderedMatMul", "SparseAttention",
    "SparseToDenseMatMul", "AttnLSTM", "FusedNhwcConv", "PagedAttention", "LinearAttention",
)  # fmt: skip
"""Operators of ONNX Runtime that multiply matrices whose sizes are not in their shapes alone, or that are rare."""
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
    "DeformConv": _convolution,
    "Einsum": _einsum,
    "Attention": _attention,
    "com.microsoft:FusedConv": _convolution,
    "com.microsoft:FusedGemm": _gemm,
    "com.microsoft:QGemm": _gemm,
    "com.microsoft:FusedMatMul": _fused_matmul,
    "com.microsoft:MatMulIntegerToFloat": _matmul,
    "com.microsoft:DynamicQuantizeMatMul": _matmul,
    "com.microsoft:MatMulNBits": _matmul,
    "com.microsoft:QLinearConv": lambda operator: (
        prod(known(operator.outputs[0], operator)) * prod(sizes(operator, 3)[1:])
    ),
    "com.microsoft:Attention": _self_attention,
    "com.microsoft:MultiHeadAttention": _attention,
    **{f"com.microsoft:{kind}": _uncounted for kind in UNCOUNTED},
}
