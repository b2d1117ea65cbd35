"""Operators that move values: transposes that cancel, slices with steps, softmax over another axis, flattening."""

from __future__ import annotations

import numpy as np

from whichpu.graphs.graph import Operator
from whichpu.graphs.remedies.edit import Edit
from whichpu.graphs.remedies.net import Net, fed, floating, made_by, out, settled, sizes, values
from whichpu.graphs.remedies.pooling import requantised
from whichpu.graphs.remedies.remedy import Match, Remedy, match

ELEMENTWISE = (
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "HardSwish", "HardSigmoid", "Gelu", "Elu", "Abs", "Neg", "Exp",
    "Log", "Sqrt", "Erf", "Softplus", "Mish", "Identity",
)  # fmt: skip
BYTES, BYTES_POOLED = ("int8", "uint8"), 12
"""From this opset on MaxPool takes bytes."""
SOFTMAX_PER_AXIS = 13
"""From this opset on Softmax works along one axis."""


def transpose_pair(net: Net, operator: Operator) -> Match | None:
    """Transpose, operators on single values, Transpose: one Transpose, or none. ``operator`` is the last."""
    if net.quantised(operator):
        return None
    between, first = _up_to_transpose(net, operator)
    source = first.input(0) if first is not None else None
    if first is None or source is None or net.quantised(first):
        return None
    early, late = _permutation(first), _permutation(operator)
    if early is None or late is None or len(early) != len(late):
        return None
    both = [early[axis] for axis in late]
    identity = both == sorted(both)

    def rewrite(edit: Edit) -> None:
        tensor = source.name
        for one in between:
            edit.node_of(one).input[0] = tensor
            tensor = out(one)
            edit.forget(tensor)
        place = edit.instead(operator)
        if not identity:
            place.add("Transpose", [tensor], out(operator), perm=both)
        elif net.is_output(operator.outputs[0]):
            place.add("Identity", [tensor], out(operator))
        else:
            edit.rename(out(operator), tensor)

    says = "Two Transposes cancel each other" if identity else "Two Transposes become one"
    return match(says, rewrite, first, *between, operator)


def _up_to_transpose(net: Net, operator: Operator) -> tuple[list[Operator], Operator | None]:
    """Operators on single values before a Transpose, first to last, and the Transpose before those."""
    between: list[Operator] = []
    while True:
        maker = made_by(operator.input(0), "Transpose", *ELEMENTWISE)
        if maker is None or maker.type == "Transpose":
            return between[::-1], maker
        if net.reader(maker.outputs[0]) is None:
            return between, None
        between.append(maker)
        operator = maker


def _permutation(operator: Operator) -> list[int] | None:
    given = operator.attributes.get("perm")
    if given is not None:
        return list(given)
    x = operator.input(0)
    return list(range(len(x.shape)))[::-1] if x is not None and x.shape is not None else None


def slice_to_pool(net: Net, operator: Operator) -> Match | None:
    """Every n-th row and column is a MaxPool of window 1 and stride n."""
    shape, bounds = sizes(operator.input(0)), _bounds(operator)
    if shape is None or bounds is None or len(shape) != 4 or not _pooled(net, operator):
        return None
    starts, ends, axes, steps = bounds
    axes = [axis % 4 for axis in axes]
    if not {*axes} <= {2, 3} or min(steps) < 1 or max(steps) < 2:
        return None
    strides = [steps[axes.index(axis)] if axis in axes else 1 for axis in (2, 3)]
    whole = all(start == 0 and end >= shape[axis] for start, end, axis in zip(starts, ends, axes, strict=True))

    def rewrite(edit: Edit) -> None:
        place, tensor = edit.instead(operator), fed(operator)
        if not whole:
            arguments = [place.constant(given, np.int64) for given in (starts, ends, axes)]
            tensor = requantised(place, operator, place.add("Slice", [tensor, *arguments]))
        place.add("MaxPool", [tensor], out(operator), kernel_shape=[1, 1], strides=strides)

    return match(f"Slice with steps becomes MaxPool 1x1 of stride {strides[0]}x{strides[1]}", rewrite, operator)


def _pooled(net: Net, operator: Operator) -> bool:
    """Does MaxPool take this type in the model's opset?"""
    x = operator.input(0)
    return floating(x) or (x is not None and x.dtype in BYTES and (net.graph.opset or 0) >= BYTES_POOLED)


def _bounds(operator: Operator) -> tuple[list[int], list[int], list[int], list[int]] | None:
    """Starts, ends, axes and steps, all given as constants."""
    found = [values(operator.input(position)) for position in range(1, 5)]
    if any(one is None for one in found):
        return None
    starts, ends, axes, steps = ([int(v) for v in one.reshape(-1)] for one in found if one is not None)
    return starts, ends, axes, steps


def softmax_to_last(net: Net, operator: Operator) -> Match | None:
    x = operator.input(0)
    if (net.graph.opset or 0) < SOFTMAX_PER_AXIS or x is None or x.shape is None or net.quantised(operator):
        return None
    rank = len(x.shape)
    axis = int(operator.attributes.get("axis", -1)) % rank
    if axis == rank - 1:
        return None
    swapped = [rank - 1 if a == axis else axis if a == rank - 1 else a for a in range(rank)]

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        turned = place.add("Transpose", [fed(operator)], perm=swapped)
        place.add("Transpose", [place.add("Softmax", [turned], axis=-1)], out(operator), perm=swapped)

    return match(f"Softmax over axis {axis} becomes one over the last axis between Transposes", rewrite, operator)


def to_reshape(net: Net, operator: Operator) -> Match | None:
    shape = sizes(operator.outputs[0])
    if shape is None or 0 in shape or not settled(operator):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        place.add("Reshape", [fed(operator), place.constant(shape, np.int64)], out(operator))

    return match(f"{operator.type} becomes Reshape", rewrite, operator)


REMEDIES = (
    Remedy("transpose-pairs", "Transposes that cancel each other or join", "exact", "The same function.",
           ("Transpose",), transpose_pair),
    Remedy("slice-to-max-pool", "Slice with steps as a MaxPool of window 1", "exact", "The same function.", ("Slice",),
           slice_to_pool, opset=10),
    Remedy("softmax-over-last-axis", "Softmax over the last axis between two Transposes", "exact",
           "The same function.", ("Softmax",), softmax_to_last),
    Remedy("flatten-to-reshape", "Flatten, Squeeze and Unsqueeze as Reshape", "exact", "The same function.",
           ("Flatten", "Squeeze", "Unsqueeze"), to_reshape),
)  # fmt: skip
