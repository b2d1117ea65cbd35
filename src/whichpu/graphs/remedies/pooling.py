"""Poolings that a target's window limits refuse, as several smaller ones."""

from __future__ import annotations

import math

import numpy as np

from whichpu.graphs.graph import Operator
from whichpu.graphs.remedies.edit import Edit, Place, set_attribute
from whichpu.graphs.remedies.net import DEQUANTISES, Net, fed, floating, made_by, out, sizes, values
from whichpu.graphs.remedies.remedy import Match, Remedy, match

SMALL = 3
"""Window of the poolings that a larger one is made of."""


def pads_of(operator: Operator, axes: int, window: tuple[int, ...]) -> tuple[int, ...] | None:
    """Begins, then ends. SAME is worked out for strides of one only; None where it can't be told."""
    auto = operator.attributes.get("auto_pad") or "NOTSET"
    if auto == "NOTSET":
        return tuple(operator.attributes.get("pads") or (0,) * 2 * axes)
    if auto == "VALID":
        return (0,) * 2 * axes
    if set(operator.attributes.get("strides") or (1,)) != {1}:
        return None
    small = tuple((size - 1) // 2 for size in window)
    large = tuple(size // 2 for size in window)
    return (*small, *large) if auto == "SAME_UPPER" else (*large, *small)


def _ones(operator: Operator, name: str) -> bool:
    return set(operator.attributes.get(name) or (1,)) == {1}


def max_pool_to_small(net: Net, operator: Operator) -> Match | None:
    """A window of 2n + 1 at stride 1 is n windows of 3, its padding shared out among them."""
    window = tuple(operator.attributes.get("kernel_shape") or ())
    pads = pads_of(operator, len(window), window)
    if not _ones(operator, "strides") or not _ones(operator, "dilations") or len(operator.outputs) != 1:
        return None
    if pads is None or not window or max(window) <= SMALL or any(size % 2 == 0 for size in window):
        return None
    if any(pad > size // 2 for pad, size in zip(pads, window * 2, strict=True)):
        return None

    def rewrite(edit: Edit) -> None:
        place, tensor = edit.instead(operator), fed(operator)
        count = max(window) // 2
        for step in range(count):
            kernel = [SMALL if step < size // 2 else 1 for size in window]
            padding = [int(step < pad) for pad in pads]
            last = step == count - 1
            tensor = place.add("MaxPool", [tensor], out(operator) if last else "", kernel_shape=kernel, pads=padding)
            if not last:
                tensor = requantised(place, operator, tensor)

    shown = "x".join(map(str, window))
    return match(f"MaxPool {shown} becomes {max(window) // 2} of 3x3 in a row", rewrite, operator)


def requantised(place: Place, operator: Operator, tensor: str) -> str:
    """The tensor quantised and dequantised as the operator's input is, so that each node unit stays whole.

    Exact after operators that only pick values: those are on the grid already.
    """
    stored = made_by(operator.input(0), DEQUANTISES)
    if stored is None:
        return tensor
    scale = grid(place.edit, stored)
    axis = {"axis": stored.attributes["axis"]} if "axis" in stored.attributes else {}
    return place.add("DequantizeLinear", [place.add("QuantizeLinear", [tensor, *scale], **axis), *scale], **axis)


def grid(edit: Edit, stored: Operator) -> list[str]:
    """Scale and zero point of a DequantizeLinear; one left out is written, for without it Quantize gives uint8."""
    names = [one.name for one in stored.inputs[1:] if one is not None]
    codes, scale = stored.inputs[:2]
    if len(names) == 1 and codes is not None and scale is not None and codes.dtype not in ("uint8", None):
        names.append(edit.constant(np.zeros(sizes(scale) or ()), codes.dtype, f"{stored.name}/zero_point"))
    return names


def average_pool_split(net: Net, operator: Operator) -> Match | None:
    """A mean over a window of a b is the mean over b of means over a, where windows don't overlap or are padded."""
    shape = sizes(operator.input(0))
    if shape is None or len(shape) != 4 or net.quantised(operator):
        return None
    whole = operator.type == "GlobalAveragePool"
    window = shape[2:] if whole else tuple(operator.attributes.get("kernel_shape") or ())
    strides = window if whole else tuple(operator.attributes.get("strides") or (1,) * len(window))
    pads = (0,) if whole else pads_of(operator, len(window), window)
    if pads is None or any(pads) or operator.attributes.get("ceil_mode") or not _ones(operator, "dilations"):
        return None
    first = tuple(_part(size, stride) for size, stride in zip(window, strides, strict=True))
    if set(first) == {1} or first == window:
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        tensor = place.add("AveragePool", [fed(operator)], kernel_shape=first, strides=first)
        if whole:
            place.add("GlobalAveragePool", [tensor], out(operator))
            return
        rest, steps = ([a // b for a, b in zip(pair, first, strict=True)] for pair in (window, strides))
        place.add("AveragePool", [tensor], out(operator), kernel_shape=rest, strides=steps)

    shown, part = ("x".join(map(str, one)) for one in (window, first))
    return match(f"{operator.type} over {shown} begins with means over {part}", rewrite, operator)


def _part(size: int, stride: int) -> int:
    """The divisor of window and stride that is nearest to the window's root: both poolings stay small."""
    shared = math.gcd(size, stride)
    divisors = [part for part in range(1, shared + 1) if shared % part == 0]
    return min(divisors, key=lambda part: abs(math.log(part / math.sqrt(size))))


def pad_into_pool(net: Net, operator: Operator) -> Match | None:
    """Zeros put around an image by a Pad are an average pooling's own padding, counted in its means."""
    pool, given = net.next(operator, "AveragePool"), image_pads(operator)
    if pool is None or given is None or pool.attributes.get("ceil_mode"):
        return None
    window = tuple(pool.attributes.get("kernel_shape") or ())
    own = pads_of(pool, len(window), window)
    if own is None or len(window) != 2 or (any(own) and not pool.attributes.get("count_include_pad")):
        return None
    pads = [a + b for a, b in zip(own, given, strict=True)]
    if any(pad >= size for pad, size in zip(pads, window * 2, strict=True)):
        return None

    def rewrite(edit: Edit) -> None:
        node = edit.node_of(pool)
        node.input[0] = fed(operator)
        set_attribute(node, "auto_pad", None)
        set_attribute(node, "pads", pads)
        set_attribute(node, "count_include_pad", 1)

    return match("Pad becomes the padding of the average pooling after it", rewrite, operator, pool)


def image_pads(operator: Operator) -> list[int] | None:
    """What a Pad of zeros adds to height and width: begins, then ends; None for any other Pad."""
    pads = _pads_of_pad(operator)
    if pads is None or len(pads) < 6:
        return None
    rank = len(pads) // 2
    spatial = [*pads[2:rank], *pads[rank + 2 :]]
    others = [*pads[:2], *pads[rank : rank + 2]]
    return None if any(others) or min(spatial) < 0 else spatial


def _pads_of_pad(operator: Operator) -> list[int] | None:
    if operator.attributes.get("mode", "constant") != "constant" or operator.input(3) is not None:
        return None
    value = operator.input(2)
    fill = values(value) if value is not None else np.array(operator.attributes.get("value", 0.0))
    if fill is None or fill.size != 1 or float(fill.reshape(())) != 0:
        return None
    if operator.attributes.get("pads") is not None:
        return list(operator.attributes["pads"])
    given = operator.input(1)
    return [int(pad) for pad in given.read()] if given is not None and given.read is not None else None


def reduce_mean_to_pool(net: Net, operator: Operator) -> Match | None:
    """ReduceMean over height and width as GlobalAveragePool."""
    shape = sizes(operator.input(0))
    if shape is None or len(shape) != 4 or net.quantised(operator) or _axes(operator) != (2, 3):
        return None
    if not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        if operator.attributes.get("keepdims", 1):
            place.add("GlobalAveragePool", [fed(operator)], out(operator))
        else:
            place.add("Flatten", [place.add("GlobalAveragePool", [fed(operator)])], out(operator), axis=1)

    return match("ReduceMean over height and width becomes GlobalAveragePool", rewrite, operator)


def _axes(operator: Operator) -> tuple[int, ...] | None:
    given = operator.attributes.get("axes")
    second = operator.input(1)
    if given is None and second is not None and second.read is not None:
        given = second.read().tolist()
    return tuple(sorted(int(axis) % 4 for axis in given)) if given is not None else None


REMEDIES = (
    Remedy("max-pool-to-3x3", "A large MaxPool of stride 1 as several of 3x3", "exact", "The same function.",
           ("MaxPool",), max_pool_to_small),
    Remedy("average-pool-split", "A large average pooling in two stages", "exact",
           "The same mean, to rounding.", ("AveragePool", "GlobalAveragePool"), average_pool_split),
    Remedy("pad-into-pool", "Pad as the average pooling's own padding", "exact", "The same function.", ("Pad",),
           pad_into_pool),
    Remedy("reduce-mean-to-pool", "ReduceMean over height and width as GlobalAveragePool", "exact",
           "The same mean, to rounding.", ("ReduceMean",), reduce_mean_to_pool),
)  # fmt: skip
