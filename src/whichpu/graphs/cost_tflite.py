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


def _lstm(operator: Operator) -> int:
    """Per time step, all weights of inputs and state: inputs 1 to 8 of the operator."""
    data = sizes(operator, 0)
    steps = prod(data[:-1])
    weights = [operator.input(position) for position in range(1, 9)]
    return steps * sum(prod(known(tensor, operator)) for tensor in weights if tensor is not None)


MACS: Mapping[str, Count] = {
    "CONV_2D": _convolution,
    "CONV_3D": lambda operator: _out(operator) * prod(sizes(operator, 1)[:4]),
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matmul,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}
