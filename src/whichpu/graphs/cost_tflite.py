"""Multiply-accumulates of TFLite operators: NHWC, weights OHWI. Source: the TFLite schema and operator documents."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from whichpu.graphs.cost import Count, sizes
from whichpu.graphs.graph import Operator, known


def _out(operator: Operator) -> int:
    return prod(known(operator.outputs[0], operator))


def _convolution(operator: Operator) -> int:
    """Every output element is a sum over one filter: [O, H, W, I / groups]; 3-D ones are [D, H, W, I, O]."""
    return _out(operator) * prod(sizes(operator, 1)[1:])


def _depthwise(operator: Operator) -> int:
    """Weights are [1, H, W, C * multiplier]."""
    return _out(operator) * prod(sizes(operator, 1)[1:3])


def _transposed(operator: Operator) -> int:
    """Every input element (input 2) is spread over [O, H, W] weights: [O, H, W, I]."""
    return prod(sizes(operator, 2)) * prod(sizes(operator, 1)[:3])


def _dense(operator: Operator) -> int:
    return _out(operator) * sizes(operator, 1)[-1]


def _matmul(operator: Operator) -> int:
    left = sizes(operator, 0)
    return _out(operator) * left[-2 if operator.attributes.get("adj_x") else -1]


def _per_step(*positions: int) -> Count:
    """Per time step, all weights of inputs, state and projection, which are these inputs of the operator."""

    def count(operator: Operator) -> int:
        steps = prod(sizes(operator, 0)[:-1])
        weights = [operator.input(position) for position in positions]
        return steps * sum(prod(known(tensor, operator)) for tensor in weights if tensor is not None)

    return count


def _transposed_3d(operator: Operator) -> int:
    """Weights are [D, H, W, O, I], the data is input 2."""
    return prod(sizes(operator, 2)[:-1]) * prod(sizes(operator, 1))


LSTM = _per_step(*range(1, 9), 16)
MACS: Mapping[str, Count] = {
    "CONV_2D": _convolution,
    "CONV_3D": lambda operator: _out(operator) * prod(sizes(operator, 1)[:4]),
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matmul,
    "CONV_3D_TRANSPOSE": _transposed_3d,
    "LSTM": LSTM,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": LSTM,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _per_step(*range(1, 9), 16, *range(18, 26), 33),
    "RNN": _per_step(1, 2),
    "UNIDIRECTIONAL_SEQUENCE_RNN": _per_step(1, 2),
    "BIDIRECTIONAL_SEQUENCE_RNN": _per_step(1, 2, 5, 6),
    "SVDF": _per_step(1, 2),
    "custom:TFLite_Detection_PostProcess": lambda operator: 0,
}
