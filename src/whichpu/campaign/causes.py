"""Why does a quantised layer lose? Its scales against the numbers that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from whichpu.models.taps import Graph, Piece
from whichpu.results.bisection import Cause
from whichpu.stats.apart import apart

Array = npt.NDArray[Any]
WILD = 16.0
"""A channel that reaches so many times as far as the median one leaves that one less than 16 of 255 levels."""
LEVELS_LEAST = 16.0
CLIPPED = 0.01
OUTPUT_AXIS = {"ConvTranspose": 1, "MatMul": -1}


def causes(ours: Graph, theirs: Graph, piece: Piece, values: Array | None) -> list[Cause]:
    """What is wrong with the scales in a piece of ``ours``, the worst first.

    ``values`` are those that the piece's tensor takes in the reference, over all samples.
    """
    found = [_weights(ours, theirs, piece, at) for at in piece.nodes if ours.nodes[at].op_type == "DequantizeLinear"]
    if values is not None and values.size:
        found += [_activation(ours, at, values) for at in piece.nodes if _ends(ours, at, piece)]
    return sorted((one for one in found if one is not None), key=lambda one: one.sqnr_db or 0.0)


def _weights(ours: Graph, theirs: Graph, piece: Piece, at: int) -> Cause | None:
    """One scale for channels of very unequal range."""
    node = ours.nodes[at]
    stored, scale, zero = _stored(ours, node)
    if stored is None or scale is None or stored.ndim < 2:
        return None
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    real = (stored.astype(np.float64) - _along(zero, stored, axis)) * _along(scale, stored, axis)
    name = str(node.input[0]).removesuffix("_quantized")
    original = theirs.constant(name)
    whole = real if original is None or original.shape != real.shape else np.asarray(original, dtype=np.float64)
    reach = _reach(whole, _channel_axis(ours, node, stored.ndim))
    median = float(np.median(reach))
    noise = None if whole is real else apart([(real, whole)]).sqnr_db
    if scale.size > 1 or not median or reach.max() < WILD * median:
        return None
    levels = median / float(scale.reshape(-1)[0])
    return Cause(
        kind="weights",
        tensor=name,
        says=(
            f"the weights {name} have one scale for all {reach.size} channels; channel {int(reach.argmax())} reaches"
            f" {reach.max() / median:.0f} times as far as the median one, which is left with {levels:.1f} of 127 levels"
        ),
        advice="quantise its weights per channel, or leave this layer in floats",
        sqnr_db=noise,
    )


def _activation(ours: Graph, at: int, values: Array) -> Cause | None:
    """A range that most values use little of, or that cuts many off."""
    node = ours.nodes[at]
    scale = ours.constant(node.input[1])
    zero = ours.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.uint8(0)
    if scale is None or zero is None or np.size(scale) != 1 or np.asarray(zero).dtype.kind not in "iu":
        return None
    step, base = float(np.reshape(scale, -1)[0]), float(np.reshape(zero, -1)[0])
    limits = np.iinfo(np.asarray(zero).dtype)
    low, high = (limits.min - base) * step, (limits.max - base) * step
    flat = values.reshape(-1).astype(np.float64)
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return None
    quantised = (np.clip(np.round(flat / step) + base, limits.min, limits.max) - base) * step
    sqnr = apart([(quantised, flat)]).sqnr_db
    cut = float(((flat < low - step) | (flat > high + step)).mean())
    name = str(node.input[0])
    if cut > CLIPPED:
        says = f"the range of {name}, {low:.4g} to {high:.4g}, cuts off {100 * cut:.0f} % of its values"
        advice = "calibrate with data like these, or by another method (minimum and maximum)"
        return Cause(kind="clipped", tensor=name, says=says, advice=advice, sqnr_db=sqnr)
    inner = np.percentile(flat, [1, 99])
    levels = float(inner[1] - inner[0]) / step
    if levels >= LEVELS_LEAST or flat.min() == flat.max():
        return None
    count = limits.max - limits.min
    return Cause(
        kind="range",
        tensor=name,
        says=(
            f"the range of {name}, {low:.4g} to {high:.4g}, is wide: 98 % of its values lie between {inner[0]:.4g} and"
            f" {inner[1]:.4g}, which is {levels:.1f} of {count} levels"
        ),
        advice="calibrate by percentile or entropy, or leave this tensor in floats",
        sqnr_db=sqnr,
    )


def _stored(graph: Graph, node: Any) -> tuple[Array | None, Array | None, Array]:
    """Integers, scale and zero point of a DequantizeLinear of weights, also of floats quantised in the graph."""
    stored, scale = graph.constant(node.input[0]), graph.constant(node.input[1])
    zero = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    offset = np.zeros(1) if zero is None else np.asarray(zero, dtype=np.float64)
    return stored, None if scale is None else np.asarray(scale, dtype=np.float64), offset


def _along(values: Array, like: Array, axis: int) -> Array:
    """Scales or zero points shaped to broadcast over ``like``."""
    if values.size == 1:
        return values.reshape(-1)[0]  # type: ignore[no-any-return]
    return values.reshape([-1 if at == axis % like.ndim else 1 for at in range(like.ndim)])


def _reach(weights: Array, axis: int) -> Array:
    """The largest absolute weight of each channel."""
    channels = np.moveaxis(weights, axis, 0)
    return np.abs(channels.reshape(len(channels), -1)).max(axis=1)  # type: ignore[no-any-return]


def _channel_axis(graph: Graph, node: Any, rank: int) -> int:
    """Where the output channels of weights are, told by the operator that reads them."""
    for at in graph.readers[node.output[0]]:
        reader = graph.nodes[at]
        if reader.op_type == "Gemm":
            turned = any(attribute.name == "transB" and attribute.i for attribute in reader.attribute)
            return 0 if turned else 1
        if reader.op_type in OUTPUT_AXIS:
            return OUTPUT_AXIS[reader.op_type] % rank
    return 0


def _ends(graph: Graph, at: int, piece: Piece) -> bool:
    """Does this node quantise what the piece gives?"""
    node = graph.nodes[at]
    if node.op_type != "QuantizeLinear" or node.input[0] not in graph.live:
        return False
    return any(piece.tensor in graph.nodes[reader].output for reader in graph.readers[node.output[0]])
