"""Q and DQ in other places: whole node units, integers at the model's edges, one scale a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from whichpu.graphs.graph import Operator, Tensor
from whichpu.graphs.placement import Placement
from whichpu.graphs.remedies.edit import Edit, Place
from whichpu.graphs.remedies.net import DEQUANTISES, QUANTISES, Net, made_by, out, values
from whichpu.graphs.remedies.pooling import grid
from whichpu.graphs.remedies.remedy import Match, Remedy, match

MOVES = (
    "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "DepthToSpace", "SpaceToDepth",
    "Gather", "Expand", "Tile",
)  # fmt: skip
"""Operators whose outputs are among their inputs' values: on the same grid without loss."""
RANGES = {"Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "HardSigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
"""Operators whose outputs lie in a range that needs no calibration."""
STEPS = 255
SIXTH = 0.05
"""A grid from 0 to about 6 is ReLU6's."""
POSITIVE = ("Relu", "Clip", "Sigmoid", "Softmax", "HardSigmoid")
BYTES = ("int8", "uint8")
CODES = (*BYTES, "int16", "uint16")
"""Types that activations are quantised to."""


def complete_moves(net: Net, operator: Operator) -> Match | None:
    """Q and DQ after an operator that moves dequantised values, where they are missing."""
    stored = _half_quantised(net, operator)
    if stored is None or stored.inputs[0] is None or stored.inputs[0].dtype not in CODES:
        return None
    if stored.inputs[1] is None or stored.inputs[1].elements != 1:
        return None

    def rewrite(edit: Edit) -> None:
        _quantised_after(edit, operator, grid(edit, stored))

    return match(f"{operator.type} gets Q and DQ of its input's scale behind it", rewrite, operator)


def complete_ranges(net: Net, operator: Operator) -> Match | None:
    """Q and DQ after an operator with a known range, where they are missing."""
    stored = _half_quantised(net, operator)
    type = stored.inputs[0].dtype if stored is not None and stored.inputs[0] is not None else None
    if stored is None or type not in BYTES:
        return None
    low, high = RANGES[operator.type]
    scale = (high - low) / STEPS
    zero = round(np.iinfo(np.dtype(type)).min - low / scale)

    def rewrite(edit: Edit) -> None:
        name = f"{operator.name}/output"
        names = [edit.constant(scale, np.float32, f"{name}_scale"), edit.constant(zero, type, f"{name}_zero_point")]
        _quantised_after(edit, operator, names)

    return match(f"{operator.type} gets Q and DQ of its range [{low:g}, {high:g}] behind it", rewrite, operator)


def _half_quantised(net: Net, operator: Operator) -> Operator | None:
    """The DequantizeLinear before an operator of one output with no QuantizeLinear behind it."""
    if len(operator.outputs) != 1 or any(one.type == QUANTISES for one in operator.outputs[0].consumers):
        return None
    return made_by(operator.input(0), DEQUANTISES)


def _quantised_after(edit: Edit, operator: Operator, scale: list[str]) -> None:
    place, node = edit.instead(operator), edit.node_of(operator)
    tensor = place.add(operator.type, list(node.input))
    place.last.attribute.extend(node.attribute)
    place.add(DEQUANTISES, [place.add(QUANTISES, [tensor, *scale]), *scale], out(operator))


def integer_edges(net: Net, operator: Operator) -> Match | None:
    """The Q at an input or the DQ at an output is left to the application."""
    if any(tensor is not None and tensor.read is None for tensor in operator.inputs[1:]):
        return None
    if values(operator.input(1)) is None or operator.inputs[1] is None or operator.inputs[1].elements != 1:
        return None
    return _integer_input(net, operator) if operator.type == QUANTISES else _integer_output(net, operator)


def _integer_input(net: Net, operator: Operator) -> Match | None:
    x, made = operator.inputs[0], operator.outputs[0]
    if x is None or x.producer is not None or x.constant or net.reader(x) is not operator or net.is_output(made):
        return None

    def rewrite(edit: Edit) -> None:
        edit.rename(made.name, x.name)
        _set_type(edit.graph.input, x.name, made.dtype or _stored_type(operator.input(2)))

    return match(f"input {x.name!r} is taken as integers", rewrite, operator)


def _integer_output(net: Net, operator: Operator) -> Match | None:
    stored, y = operator.inputs[0], operator.outputs[0]
    maker = stored.producer if stored is not None else None
    if stored is None or maker is None or maker.within or y.consumers or not net.is_output(y) or net.is_output(stored):
        return None

    def rewrite(edit: Edit) -> None:
        node = edit.makers[stored.name]
        node.output[list(node.output).index(stored.name)] = y.name
        edit.rename(stored.name, y.name)
        edit.remove(operator)
        _set_type(edit.graph.output, y.name, stored.dtype or _stored_type(operator.input(2)))

    return match(f"output {y.name!r} is given as integers", rewrite, operator)


def _stored_type(zero: Tensor | None) -> str:
    """The type of the quantised tensor; unsigned where no zero point tells it."""
    return (zero.dtype if zero is not None else None) or "uint8"


def _set_type(values: Any, name: str, type: str) -> None:
    from onnx import helper

    element = helper.np_dtype_to_tensor_dtype(np.dtype(type))
    for value in values:
        if value.name == name:
            value.type.tensor_type.elem_type = element


def to_floats(net: Net, operator: Operator) -> Match | None:
    """A DequantizeLinear, and the Q before it, left out: the network in float again."""
    stored = operator.inputs[0]
    made = made_by(stored, QUANTISES)
    source = made.inputs[0] if made is not None else None
    fixed = stored is not None and stored.constant and all(t is None or t.constant for t in operator.inputs)
    if (source is None and not fixed) or operator.attributes.get("block_size"):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.at(operator)
        if source is None:
            name = edit.constant(_real(operator), operator.outputs[0].dtype or np.float32, f"{operator.name}/values")
        else:
            name = _rectified(place, operator, source)
        if net.is_output(operator.outputs[0]):
            edit.instead(operator).add("Identity", [name], out(operator))
        else:
            edit.rename(out(operator), name)

    return match("Q and DQ are left out", rewrite, operator, *operator.outputs[0].consumers)


def _rectified(place: Place, operator: Operator, source: Tensor) -> str:
    """The tensor behind the ReLU or ReLU6 that quantisers leave out where the grid begins at zero."""
    scale, codes = values(operator.input(1)), operator.inputs[0]
    zero = values(operator.input(2)) if operator.input(2) is not None else np.zeros(1)
    if scale is None or scale.size != 1 or zero is None or codes is None or codes.dtype not in BYTES:
        return source.name
    limits = np.iinfo(np.dtype(codes.dtype))
    if int(zero.reshape(-1)[0]) != limits.min or made_by(source, *POSITIVE) is not None:
        return source.name
    if abs(STEPS * float(scale.reshape(-1)[0]) - 6) < SIXTH:
        return place.clip(source.name, 0, 6, source.dtype or "float32")
    return place.add("Relu", [source.name])


def refused_quantised(placement: Placement, found: Match) -> bool:
    """Does the accelerator take none of the quantised network's weight: neither MACs, nor the DQ, nor what reads it?"""
    if placement.figures.mac_share or len(found.indices) < 2:
        return False
    return all(placement.placed[index].fate not in ("accelerator", "folded") for index in found.indices)


def to_one_scale(net: Net, operator: Operator) -> Match | None:
    """Weights of a convolution or a matrix product with one scale in place of one a channel."""
    stored = made_by(operator.input(1), DEQUANTISES)
    if stored is None or any(tensor is None or tensor.read is None for tensor in stored.inputs[:2]):
        return None
    if stored.inputs[1] is None or (stored.inputs[1].elements or 1) == 1 or stored.attributes.get("block_size"):
        return None
    if stored.inputs[0] is None or stored.inputs[0].dtype != "int8":
        return None

    def rewrite(edit: Edit) -> None:
        place, node = edit.at(operator), edit.node_of(operator)
        old, scale = _rescaled(stored)
        node.input[1] = _weights(place, old, scale, np.int8)
        bias = made_by(operator.input(2), DEQUANTISES)
        step = values(made.inputs[1]) if (made := made_by(operator.input(0), DEQUANTISES)) is not None else None
        if bias is not None and step is not None and step.size == 1:
            node.input[2] = _weights(place, _rescaled(bias)[0], scale * float(step.reshape(())), np.int32)

    return match(f"{operator.type}'s weights get one scale instead of {stored.inputs[1].elements}", rewrite, operator)


def _real(stored: Operator) -> Any:
    """What a DequantizeLinear of a constant gives, in double precision."""
    codes, scales = (t.read() for t in stored.inputs[:2] if t is not None and t.read is not None)
    zero = stored.input(2)
    offset = zero.read().astype(np.float64) if zero is not None and zero.read is not None else np.zeros(1)
    axis = int(stored.attributes.get("axis", 1)) % max(codes.ndim, 1)
    shape = [-1 if place == axis else 1 for place in range(codes.ndim)] if scales.size > 1 else []
    spread = offset.reshape(shape) if offset.size > 1 else offset.reshape(())
    return (codes.astype(np.float64) - spread) * scales.astype(np.float64).reshape(shape)


def _rescaled(stored: Operator) -> tuple[Any, float]:
    """What a DequantizeLinear of a constant gives, and the one scale that holds all of it in 8 bits."""
    real = _real(stored)
    return real, float(np.abs(real).max()) / 127 or 1.0


def _weights(place: Place, real: Any, scale: float, type: Any) -> str:
    limits = np.iinfo(type)
    codes = place.constant(np.clip(np.round(real / scale), limits.min, limits.max), type)
    return place.add(DEQUANTISES, [codes, place.constant(scale, np.float32), place.constant(0, type)])


REMEDIES = (
    Remedy("complete-node-units", "Q and DQ behind operators that only move quantised values", "exact",
           "The same numbers: they are on the grid already.", MOVES, complete_moves, opset=10),
    Remedy("quantise-known-ranges", "Q and DQ behind Sigmoid, Softmax and Tanh, whose range is known", "approximate",
           "These outputs are rounded to 256 steps: measure the accuracy.", tuple(RANGES), complete_ranges, opset=10),
    Remedy("integer-io", "Integers in and out: Q and DQ at the edges are the application's", "exact",
           "The same numbers, but the interface changes: the application quantises and dequantises itself.",
           (QUANTISES, DEQUANTISES), integer_edges),
    Remedy("strip-qdq", "Q and DQ left out, for compilers that want the float network and a calibration table",
           "approximate", "Weights keep their rounded values, activations are no longer rounded: measure the accuracy.",
           (DEQUANTISES,), to_floats, refused_quantised, shares=True),
    Remedy("per-tensor-weights", "One scale for a layer's weights instead of one a channel", "approximate",
           "Channels with small weights lose levels: measure the accuracy.",
           ("Conv", "ConvTranspose", "MatMul", "Gemm"), to_one_scale),
)  # fmt: skip
