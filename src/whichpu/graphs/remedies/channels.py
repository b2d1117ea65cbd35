"""Channels filled up with zeros, so that a concatenation falls on the multiples that a target wants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.graphs.graph import Operator
from whichpu.graphs.remedies.edit import Edit
from whichpu.graphs.remedies.layout import ELEMENTWISE
from whichpu.graphs.remedies.net import Net, made_by, sizes
from whichpu.graphs.remedies.remedy import Match, Remedy, match

FINITE_AT_ZERO = tuple(kind for kind in ELEMENTWISE if kind != "Log")
"""What they make of zeros can be weighed by zero."""
MULTIPLE = 16
"""Channels in a block of Ethos-N's memory layout: a concatenation along channels begins on one."""


def pad_concat(net: Net, operator: Operator) -> Match | None:
    """Convolutions that a Concat joins give zero channels more, and the convolution after it weighs them by zero."""
    after, before = net.next(operator, "Conv"), [_convolution(net, tensor) for tensor in operator.inputs]
    if operator.attributes.get("axis") not in (1, -3) or after is None or any(one is None for one in before):
        return None
    convolutions = [one for one in before if one is not None]
    counts = [(sizes(tensor) or (0, 0))[1] for tensor in operator.inputs]
    if len({id(one) for one in convolutions}) < len(convolutions) or not all(map(_simple, [*convolutions, after])):
        return None
    extra = [-count % MULTIPLE for count in counts]
    if not any(extra[:-1]) or after.input(0) is not operator.outputs[0]:
        return None

    def rewrite(edit: Edit) -> None:
        for conv, more in zip(convolutions, extra, strict=True):
            _widen(edit, conv, more)
        weights = _read(after, 1)
        parts = np.split(weights, np.cumsum(counts)[:-1], axis=1)
        filled = [_zeros_behind(part, more, 1) for part, more in zip(parts, extra, strict=True)]
        name = f"{after.name}/weights"
        edit.node_of(after).input[1] = edit.constant(np.concatenate(filled, axis=1), weights.dtype, name)
        edit.forget(operator.outputs[0].name)

    shown = ", ".join(f"{count} to {count + more}" for count, more in zip(counts, extra, strict=True) if more)
    return match(f"channels before {operator.name} are filled up: {shown}", rewrite, *convolutions, operator, after)


def _convolution(net: Net, tensor: Any) -> Operator | None:
    """The convolution that makes a tensor, operators on single values between; nobody else reads either."""
    maker = made_by(tensor, "Conv", *FINITE_AT_ZERO)
    while maker is not None and net.reader(maker.outputs[0]) is not None:
        if maker.type == "Conv":
            return maker
        maker = made_by(maker.input(0), "Conv", *FINITE_AT_ZERO)
    return None


def _simple(conv: Operator) -> bool:
    parts = [tensor for tensor in conv.inputs[1:] if tensor is not None]
    return conv.attributes.get("group", 1) == 1 and all(tensor.read is not None for tensor in parts)


def _widen(edit: Edit, conv: Operator, more: int) -> None:
    """Filters of zeros behind a convolution's own."""
    if not more:
        return
    node = edit.node_of(conv)
    for position in range(1, len(conv.inputs)):
        old = _read(conv, position)
        node.input[position] = edit.constant(_zeros_behind(old, more, 0), old.dtype, f"{conv.name}/filled")
    one = conv
    while one.type != "Concat":
        edit.forget(one.outputs[0].name)
        one = one.outputs[0].consumers[0]


def _zeros_behind(array: NDArray[Any], more: int, axis: int) -> NDArray[Any]:
    return np.pad(array, [(0, more if place == axis else 0) for place in range(array.ndim)])


def _read(operator: Operator, position: int) -> NDArray[Any]:
    tensor = operator.input(position)
    assert tensor is not None and tensor.read is not None
    return tensor.read()


REMEDIES = (
    Remedy("pad-channels", f"Channels before a Concat filled up to multiples of {MULTIPLE}", "exact",
           "The same function: the new channels count nothing.", ("Concat",), pad_concat),
)  # fmt: skip
