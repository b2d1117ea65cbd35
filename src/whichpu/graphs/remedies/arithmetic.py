"""Arithmetic and normalisation in operators that targets have: Div as Mul, LayerNormalization in parts and whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.graphs.graph import Operator, Tensor
from whichpu.graphs.remedies.edit import Edit, Place
from whichpu.graphs.remedies.net import (
    Net,
    fed,
    floating,
    kind,
    made_by,
    near,
    number,
    out,
    sizes,
    values,
    with_constant,
)
from whichpu.graphs.remedies.remedy import Match, Remedy, match

LAYER_NORM_EPSILON = 1e-5
"""ONNX's default."""
AXES_ARE_INPUT = 18
"""From this opset on ReduceMean takes its axes as an input."""


def div_to_mul(net: Net, operator: Operator) -> Match | None:
    by, divided = operator.input(1), operator.input(0)
    if by is None or by.read is None or not floating(by) or divided is None or divided.constant:
        return None
    found = values(by)
    if found is None or not _inverts(found):
        return None

    def rewrite(edit: Edit) -> None:
        assert by is not None and by.read is not None
        place = edit.instead(operator)
        inverse = place.constant(1 / by.read().astype(np.float64), kind(operator))
        place.add("Mul", [fed(operator), inverse], out(operator))

    return match("Div by a constant becomes Mul", rewrite, operator)


def _inverts(found: NDArray[Any]) -> bool:
    """Are all values other than zero, and their inverses within the type's range? That of half precision is small."""
    limits = np.finfo(found.dtype)
    with np.errstate(divide="ignore"):
        inverse = np.abs(1 / found.astype(np.float64))
    return bool(np.all((inverse >= limits.tiny) & (inverse <= limits.max)))


def sub_to_add(net: Net, operator: Operator) -> Match | None:
    taken, x = operator.input(1), operator.input(0)
    if taken is None or x is None or not floating(taken) or x.constant:
        return None
    if taken.read is None and net.quantised(operator):
        return None

    def rewrite(edit: Edit) -> None:
        assert taken is not None
        place, dtype = edit.instead(operator), kind(operator)
        if taken.read is not None:
            negative = place.constant(-taken.read(), dtype)
        else:
            negative = place.add("Mul", [taken.name, place.constant(-1, dtype)])
        place.add("Add", [fed(operator), negative], out(operator))

    return match("Sub becomes Add of the negative", rewrite, operator)


def pow_to_mul(net: Net, operator: Operator) -> Match | None:
    power = number(operator.input(1))
    if power not in (0.5, 2, 3) or net.quantised(operator) or not floating(operator.input(0)):
        return None
    if sizes(operator.input(0)) is None or sizes(operator.input(0)) != sizes(operator.outputs[0]):
        return None  # an exponent of more axes than x gives the result more

    def rewrite(edit: Edit) -> None:
        place, x = edit.instead(operator), fed(operator)
        if power == 0.5:
            place.add("Sqrt", [x], out(operator))
            return
        inner = x if power == 2 else place.add("Mul", [x, x])
        place.add("Mul", [inner, x], out(operator))

    return match(f"Pow by {power:g} becomes {'Sqrt' if power == 0.5 else 'Mul'}", rewrite, operator)


def neg_to_mul(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator) or not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        place.add("Mul", [fed(operator), place.constant(-1, kind(operator))], out(operator))

    return match("Neg becomes Mul by -1", rewrite, operator)


def abs_to_max(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator) or not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        negative = place.add("Mul", [fed(operator), place.constant(-1, kind(operator))])
        place.add("Max", [fed(operator), negative], out(operator))

    return match("Abs becomes Max(x, -x)", rewrite, operator)


def layer_norm_to_parts(net: Net, operator: Operator) -> Match | None:
    x = operator.input(0)
    if x is None or x.shape is None or x.dtype != "float32" or net.quantised(operator) or len(operator.outputs) != 1:
        return None
    rank = len(x.shape)
    axes = list(range(int(operator.attributes.get("axis", -1)) % rank, rank))
    epsilon = float(operator.attributes.get("epsilon", LAYER_NORM_EPSILON))

    def rewrite(edit: Edit) -> None:
        place, dtype = edit.instead(operator), kind(operator)
        centred = place.add("Sub", [fed(operator), _mean(place, fed(operator), axes)])
        variance = _mean(place, place.add("Mul", [centred, centred]), axes)
        spread = place.add("Sqrt", [place.add("Add", [variance, place.constant(epsilon, dtype)])])
        more = [tensor.name for tensor in operator.inputs[1:] if tensor is not None]
        tensor = place.add("Div", [centred, spread])
        for position, (type, name) in enumerate(zip(("Mul", "Add"), more, strict=False)):
            tensor = place.add(type, [tensor, name], out(operator) if position == len(more) - 1 else "")

    return match("LayerNormalization becomes means, Sub, Mul, Sqrt and Div", rewrite, operator)


def _mean(place: Place, tensor: str, axes: list[int]) -> str:
    if place.edit.opset < AXES_ARE_INPUT:
        return place.add("ReduceMean", [tensor], axes=axes, keepdims=1)
    return place.add("ReduceMean", [tensor, place.constant(axes, np.int64)], keepdims=1)


def layer_norm_from_parts(net: Net, operator: Operator) -> Match | None:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), times scale, plus shift; ``operator`` is the Sqrt."""
    plus, divided = made_by(operator.input(0), "Add"), net.next(operator, "Div")
    if plus is None or divided is None or divided.input(1) is not operator.outputs[0]:
        return None
    pair, centred = with_constant(plus), made_by(divided.input(0), "Sub")
    inner = _variance(pair[0] if pair is not None else None, divided.input(0))
    if pair is None or centred is None or inner is None or number(pair[1]) is None:
        return None
    x, mean = centred.input(0), made_by(centred.input(1), "ReduceMean")
    if x is None or mean is None or mean.input(0) is not x or not (_over_last(mean) and _over_last(inner[-1])):
        return None
    scaled = net.next(divided, "Mul")
    shifted = net.next(scaled, "Add") if scaled is not None else None
    factors = [_channelled(one, x) for one in (scaled, shifted)]
    if scaled is None or shifted is None or factors[0] is None or factors[1] is None:
        return None
    names, epsilon = [one.name for one in factors if one is not None], number(pair[1])

    def rewrite(edit: Edit) -> None:
        place = edit.instead(shifted)
        place.add("LayerNormalization", [x.name, *names], out(shifted), axis=-1, epsilon=epsilon)

    parts = (mean, centred, *inner, plus, operator, divided, scaled, shifted)
    return match("A layer's normalisation in parts becomes LayerNormalization", rewrite, *parts)


def _variance(tensor: Tensor | None, centred: Tensor | None) -> list[Operator] | None:
    """The square and its mean."""
    mean = made_by(tensor, "ReduceMean")
    square = made_by(mean.input(0), "Pow", "Mul") if mean is not None else None
    if mean is None or square is None or square.input(0) is not centred:
        return None
    squares = near(square.input(1), 2) if square.type == "Pow" else square.input(1) is centred
    return [square, mean] if squares else None


def _over_last(mean: Operator) -> bool:
    x, given = mean.input(0), values(mean.input(1))
    axes = mean.attributes.get("axes", ()) if given is None else given.reshape(-1)
    rank = len(x.shape) if x is not None and x.shape is not None else 0
    return bool(rank and mean.attributes.get("keepdims", 1)) and [int(a) % rank for a in axes] == [rank - 1]


def _channelled(operator: Operator | None, x: Tensor) -> Tensor | None:
    """The constant vector over the last axis that an operator of two takes."""
    pair = with_constant(operator) if operator is not None else None
    if pair is None or x.shape is None or pair[1].shape != x.shape[-1:]:
        return None
    return pair[1]


ROUNDING = "The same function, to rounding."
REMEDIES = (
    Remedy("div-to-mul", "Div by a constant as Mul", "exact", ROUNDING, ("Div",), div_to_mul),
    Remedy("sub-to-add", "Sub as Add of the negative", "exact", "The same function.", ("Sub",), sub_to_add),
    Remedy("pow-to-mul", "Pow by 2, 3 or 1/2 as Mul or Sqrt", "exact", ROUNDING, ("Pow",), pow_to_mul),
    Remedy("neg-to-mul", "Neg as Mul by -1", "exact", "The same function.", ("Neg",), neg_to_mul),
    Remedy("abs-to-max", "Abs as Max(x, -x)", "exact", "The same function.", ("Abs",), abs_to_max, opset=8),
    Remedy("layer-norm-to-parts", "LayerNormalization in primitive operators", "exact", ROUNDING,
           ("LayerNormalization",), layer_norm_to_parts),
    Remedy("layer-norm-from-parts", "A normalisation in parts as LayerNormalization", "exact", ROUNDING, ("Sqrt",),
           layer_norm_from_parts, opset=17),
)  # fmt: skip
