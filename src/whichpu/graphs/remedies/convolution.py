"""Convolutions in a form that a target takes: other windows, other strides, no groups, padding and BatchNorm within."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.graphs.graph import Operator, Tensor
from whichpu.graphs.remedies.edit import Edit, set_attribute
from whichpu.graphs.remedies.net import DEQUANTISES, Net, fed, floating, kind, made_by, out, sizes, values
from whichpu.graphs.remedies.pooling import image_pads, pads_of, requantised
from whichpu.graphs.remedies.remedy import Match, Remedy, match

Array = NDArray[Any]
BATCH_NORM_EPSILON = 1e-5
"""ONNX's default."""
LARGEST_STRIDE = 4


def even_to_odd(net: Net, operator: Operator) -> Match | None:
    """A window of even size gains a row or column of zeros at its end, and as much padding."""
    window, pads = _window(operator)
    if pads is None or not _plain(operator) or all(size % 2 for size in window) or _stored(operator) is None:
        return None
    extra = [1 - size % 2 for size in window]

    def rewrite(edit: Edit) -> None:
        node = edit.node_of(operator)
        node.input[1] = _changed(edit, operator, lambda w: np.pad(w, [(0, 0), (0, 0), *((0, one) for one in extra)]))
        _set_window(node, [s + e for s, e in zip(window, extra, strict=True)], None)
        set_attribute(node, "pads", [*pads[:2], *(p + e for p, e in zip(pads[2:], extra, strict=True))])

    new = "x".join(str(s + e) for s, e in zip(window, extra, strict=True))
    return match(f"Conv {_shown(window)} becomes {new} with zeros at the end", rewrite, operator)


def strided_to_depth(net: Net, operator: Operator) -> Match | None:
    """A convolution of stride s over blocks of s x s pixels that SpaceToDepth makes channels of: stride 1."""
    window, pads = _window(operator)
    strides, shape = tuple(operator.attributes.get("strides") or (1, 1)), sizes(operator.input(0))
    if pads is None or not _plain(operator) or len(set(strides)) != 1 or _stored(operator) is None or shape is None:
        return None
    step = strides[0]
    if not 2 <= step <= LARGEST_STRIDE or any(size % step for size in shape[2:]) or max(window) < step:
        return None
    before = [-begin % step for begin in pads[:2]]
    blocks = [-(-(wide + add) // step) for wide, add in zip(window, before, strict=True)]
    begins = [(begin + add) // step for begin, add in zip(pads[:2], before, strict=True)]
    made = sizes(operator.outputs[0])
    if made is None:
        return None
    ends = [made[2 + a] - 1 + blocks[a] - begins[a] - shape[2 + a] // step for a in (0, 1)]
    if min(ends) < 0:
        return None

    def spread(weights: Array) -> Array:
        after = [b * step - w - a for b, w, a in zip(blocks, window, before, strict=True)]
        padded = np.pad(weights, [(0, 0), (0, 0), *zip(before, after, strict=True)])
        o, i = weights.shape[:2]
        parts = padded.reshape(o, i, blocks[0], step, blocks[1], step).transpose(0, 3, 5, 1, 2, 4)
        return parts.reshape(o, step * step * i, *blocks)

    def rewrite(edit: Edit) -> None:
        place, node = edit.at(operator), edit.node_of(operator)
        deep = place.add("SpaceToDepth", [fed(operator)], blocksize=step)
        node.input[0] = requantised(place, operator, deep)
        node.input[1] = _changed(edit, operator, spread)
        _set_window(node, blocks, [1, 1])
        set_attribute(node, "pads", [*begins, *ends])

    says = f"Conv {_shown(window)} of stride {step} becomes SpaceToDepth and {_shown(tuple(blocks))} of stride 1"
    return match(says, rewrite, operator)


def pad_into_conv(net: Net, operator: Operator) -> Match | None:
    """Zeros put around an image by a Pad are the next convolution's own padding."""
    conv, given = net.next(operator, "Conv"), image_pads(operator)
    if conv is None or given is None or conv.attributes.get("auto_pad", "NOTSET") not in ("", "NOTSET"):
        return None
    own = tuple(conv.attributes.get("pads") or (0,) * len(given))

    def rewrite(edit: Edit) -> None:
        node = edit.node_of(conv)
        node.input[0] = fed(operator)
        set_attribute(node, "pads", [a + b for a, b in zip(own, given, strict=True)])

    return match("Pad becomes the padding of the convolution after it", rewrite, operator, conv)


def batch_norm_into_conv(net: Net, operator: Operator) -> Match | None:
    """Scale and shift of each channel go into the weights of the convolution before it."""
    conv = made_by(operator.input(0), "Conv")
    parts = _scale_and_shift(operator)
    if conv is None or parts is None or net.reader(conv.outputs[0]) is not operator:
        return None
    weights, bias = conv.input(1), conv.input(2)
    if weights is None or weights.read is None or not floating(weights) or (bias is not None and bias.read is None):
        return None

    def rewrite(edit: Edit) -> None:
        assert weights is not None and weights.read is not None
        scale, shift = parts()
        old = weights.read()
        new = old.astype(np.float64) * scale.reshape(-1, *[1] * (old.ndim - 1))
        moved = shift + scale * (bias.read().astype(np.float64) if bias is not None and bias.read is not None else 0)
        place = edit.instead(operator)
        named = edit.node_of(conv)
        attributes = {attribute.name: attribute for attribute in named.attribute}
        inputs = [fed(conv), place.constant(new, old.dtype), place.constant(moved, old.dtype)]
        place.add("Conv", inputs, out(operator))
        place.last.attribute.extend(attributes.values())

    return match("BatchNormalization goes into the convolution before it", rewrite, conv, operator)


def batch_norm_to_mul_add(net: Net, operator: Operator) -> Match | None:
    parts, x = _scale_and_shift(operator), operator.input(0)
    if parts is None or net.quantised(operator) or x is None or x.shape is None:
        return None
    rank = len(x.shape)

    def rewrite(edit: Edit) -> None:
        place, dtype = edit.instead(operator), kind(operator)
        scale, shift = (part.reshape(-1, *[1] * (rank - 2)) for part in parts())
        scaled = place.add("Mul", [fed(operator), place.constant(scale, dtype)])
        place.add("Add", [scaled, place.constant(shift, dtype)], out(operator))

    return match("BatchNormalization becomes Mul and Add", rewrite, operator)


def _scale_and_shift(operator: Operator) -> Callable[[], tuple[Array, Array]] | None:
    """What a BatchNormalization multiplies by and adds, in double precision; None while training."""
    given = operator.inputs[1:5]
    if len(operator.outputs) != 1 or operator.attributes.get("training_mode"):
        return None
    if len(given) != 4 or any(tensor is None or tensor.read is None for tensor in given):
        return None

    def parts() -> tuple[Array, Array]:
        gamma, beta, mean, variance = (t.read().astype(np.float64) for t in given if t is not None and t.read)
        scale = gamma / np.sqrt(variance + operator.attributes.get("epsilon", BATCH_NORM_EPSILON))
        return scale, beta - mean * scale

    return parts


def groups_to_split(net: Net, operator: Operator) -> Match | None:
    """A convolution in groups as one convolution a group."""
    groups, weights, bias = int(operator.attributes.get("group", 1)), operator.input(1), operator.input(2)
    shape = sizes(operator.input(0))
    if not 1 < groups <= 32 or shape is None or groups == shape[1] or net.quantised(operator):
        return None
    if weights is None or weights.read is None or (bias is not None and bias.read is None):
        return None

    def rewrite(edit: Edit) -> None:
        assert weights is not None and weights.read is not None
        place, node = edit.instead(operator), edit.node_of(operator)
        parts = _split(edit, place, operator, groups, shape[1] // groups)
        filters = np.split(weights.read(), groups)
        biases = np.split(bias.read(), groups) if bias is not None and bias.read is not None else [None] * groups
        made = []
        for part, own, shift in zip(parts, filters, biases, strict=True):
            more = [] if shift is None else [place.constant(shift, shift.dtype)]
            made.append(place.add("Conv", [part, place.constant(own, own.dtype), *more]))
            place.last.attribute.extend(a for a in node.attribute if a.name != "group")
        place.add("Concat", made, out(operator), axis=1)

    return match(f"Conv of {groups} groups becomes {groups} convolutions", rewrite, operator)


def _split(edit: Edit, place: Any, operator: Operator, parts: int, size: int) -> list[str]:
    """Split over channels in the form that the opset has."""
    if edit.opset < 13:
        found = place.many("Split", [fed(operator)], [""] * parts, axis=1, split=[size] * parts)
    else:
        lengths = place.constant([size] * parts, np.int64)
        found = place.many("Split", [fed(operator), lengths], [""] * parts, axis=1)
    return list(found)


def _plain(operator: Operator) -> bool:
    """A convolution over two axes, without groups or dilations."""
    dilated = set(operator.attributes.get("dilations") or (1,)) != {1}
    weights = operator.input(1)
    flat = weights is not None and weights.shape is not None and len(weights.shape) == 4
    return flat and not dilated and operator.attributes.get("group", 1) == 1


def _window(operator: Operator) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    shape = sizes(operator.input(1))
    window = tuple(shape[2:]) if shape is not None else ()
    return window, pads_of(operator, len(window), window)


def _set_window(node: Any, window: list[int], strides: list[int] | None) -> None:
    set_attribute(node, "kernel_shape", window)
    set_attribute(node, "auto_pad", None)
    if strides is not None:
        set_attribute(node, "strides", strides)


def _shown(window: tuple[int, ...]) -> str:
    return "x".join(map(str, window))


def _stored(operator: Operator) -> Tensor | None:
    """The constant that holds the weights: theirs, or what a DequantizeLinear without offset reads."""
    weights = operator.input(1)
    if weights is not None and weights.read is not None:
        return weights
    stored = made_by(weights, DEQUANTISES)
    if stored is None or stored.inputs[0] is None or stored.inputs[0].read is None:
        return None
    zero = values(stored.input(2)) if stored.input(2) is not None else np.zeros(1)
    on_axis = stored.attributes.get("axis", 1) == 0 or (stored.inputs[1] is not None and stored.inputs[1].elements == 1)
    return stored.inputs[0] if zero is not None and not zero.any() and on_axis else None


def _changed(edit: Edit, operator: Operator, change: Callable[[Array], Array]) -> str:
    """The weights changed, where need be behind a DequantizeLinear of their own; the name to read."""
    tensor, weights = _stored(operator), operator.input(1)
    assert tensor is not None and tensor.read is not None and weights is not None
    old = tensor.read()
    new = edit.constant(change(old), old.dtype, f"{operator.name}/weights")
    stored = made_by(weights, DEQUANTISES)
    if stored is None:
        return new
    place, node = edit.at(operator), edit.node_of(stored)
    named = place.add("DequantizeLinear", [new, *node.input[1:]])
    place.last.attribute.extend(node.attribute)
    return named


REMEDIES = (
    Remedy("batch-norm-into-conv", "BatchNormalization folded into the convolution", "exact",
           "The same function, to rounding.", ("BatchNormalization",), batch_norm_into_conv),
    Remedy("batch-norm-to-mul-add", "BatchNormalization as Mul and Add", "exact", "The same function, to rounding.",
           ("BatchNormalization",), batch_norm_to_mul_add),
    Remedy("conv-even-to-odd", "A window of even size (a 6x6 stem) padded with zeros to an odd one", "exact",
           "The same function.", ("Conv",), even_to_odd),
    Remedy("conv-to-space-to-depth", "A strided convolution (a 6x6 stem) as SpaceToDepth and a smaller one", "exact",
           "The same function.", ("Conv",), strided_to_depth),
    Remedy("pad-into-conv", "Pad as the convolution's own padding", "exact", "The same function.", ("Pad",),
           pad_into_conv),
    Remedy("grouped-conv-to-split", "A convolution in groups as one a group", "exact", "The same function.", ("Conv",),
           groups_to_split),
)  # fmt: skip
