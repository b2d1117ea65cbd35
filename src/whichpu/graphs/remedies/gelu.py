"""GELU in its forms: one operator, by Erf, by Tanh (Hendrycks and Gimpel, arXiv 1606.08415)."""

from __future__ import annotations

import math
from typing import NamedTuple

from whichpu.graphs.graph import Operator, Tensor
from whichpu.graphs.remedies.edit import Edit, Place
from whichpu.graphs.remedies.net import Net, fed, floating, kind, made_by, near, out, with_constant
from whichpu.graphs.remedies.remedy import Match, Remedy, match

CUBIC = 0.044715
ROOT = math.sqrt(2 / math.pi)


def erf_to_gelu(net: Net, operator: Operator) -> Match | None:
    found = by_erf(net, operator)
    return _fused(found, "Erf") if found is not None else None


def tanh_to_gelu(net: Net, operator: Operator) -> Match | None:
    found = by_tanh(net, operator)
    return _fused(found, "Tanh", approximate="tanh") if found is not None else None


def erf_to_tanh(net: Net, operator: Operator) -> Match | None:
    """The Erf form as the Tanh form, for targets that have Tanh."""
    found = by_erf(net, operator)
    if found is None:
        return None
    x, last = found.x, found.operators[-1]

    def rewrite(edit: Edit) -> None:
        _tanh_form(edit.instead(last), x.name, x.dtype or "float32", out(last))

    return match("GELU by Erf becomes x/2 (1 + Tanh(...))", rewrite, *found.operators)


class Form(NamedTuple):
    """A GELU in parts: what it is of, and its operators, the last one last."""

    x: Tensor
    operators: list[Operator]


def by_erf(net: Net, operator: Operator) -> Form | None:
    """0.5 x (1 + Erf(x / sqrt 2)) in any order of its products; ``operator`` is the Erf."""
    scaled = made_by(operator.input(0), "Mul", "Div")
    x = _over_root_two(scaled)
    plus = net.next(operator, "Add")
    if x is None or scaled is None or plus is None or not _adds_one(plus):
        return None
    return _form(net, x, [scaled, operator, plus])


def by_tanh(net: Net, operator: Operator) -> Form | None:
    """0.5 x (1 + Tanh(sqrt(2/pi) (x + 0.044715 x^3))); ``operator`` is the Tanh."""
    plus = net.next(operator, "Add")
    inner = _scaled_by(operator.input(0), ROOT)
    found = _cubic(inner[0]) if inner is not None else None
    if plus is None or not _adds_one(plus) or inner is None or found is None:
        return None
    return _form(net, found[0], [*found[1], inner[1], operator, plus])


def _over_root_two(operator: Operator | None) -> Tensor | None:
    """x, where the operator is x / sqrt(2)."""
    if operator is None:
        return None
    if operator.type == "Div" and near(operator.input(1), math.sqrt(2)):
        return operator.input(0)
    pair = with_constant(operator) if operator.type == "Mul" else None
    return pair[0] if pair is not None and near(pair[1], math.sqrt(0.5)) else None


def _adds_one(operator: Operator) -> bool:
    pair = with_constant(operator)
    return pair is not None and near(pair[1], 1)


def _scaled_by(tensor: Tensor | None, factor: float) -> tuple[Tensor, Operator] | None:
    """What a tensor is a multiple of, and the Mul."""
    maker = made_by(tensor, "Mul")
    pair = with_constant(maker) if maker is not None else None
    return (pair[0], maker) if pair is not None and maker is not None and near(pair[1], factor) else None


def _cubic(tensor: Tensor) -> tuple[Tensor, list[Operator]] | None:
    """x and the operators of x + 0.044715 x^3, the cube as Pow or as two products."""
    plus = made_by(tensor, "Add")
    if plus is None:
        return None
    for x, term in (tuple(plus.inputs), tuple(plus.inputs)[::-1]):
        scaled = _scaled_by(term, CUBIC)
        cube = made_by(scaled[0], "Pow", "Mul") if scaled is not None else None
        if x is None or scaled is None or cube is None:
            continue
        if cube.type == "Pow" and cube.input(0) is x and near(cube.input(1), 3):
            return x, [cube, scaled[1], plus]
        square = next((made_by(t, "Mul") for t in cube.inputs if t is not x), None)
        if cube.type == "Mul" and x in cube.inputs and square is not None and square.inputs == [x, x]:
            return x, [square, cube, scaled[1], plus]
    return None


def _form(net: Net, x: Tensor, inner: list[Operator]) -> Form | None:
    """The whole, where after the sum come products with x and 1/2 in some order."""
    tail = _products(net, x, inner[-1])
    return None if tail is None or _read_elsewhere(net, inner) else Form(x, [*inner, *tail])


def _fused(found: Form, by: str, **attributes: str) -> Match:
    last = found.operators[-1]

    def rewrite(edit: Edit) -> None:
        edit.instead(last).add("Gelu", [found.x.name], out(last), **attributes)

    return match(f"GELU by {by} becomes the Gelu operator", rewrite, *found.operators)


def _read_elsewhere(net: Net, inner: list[Operator]) -> bool:
    """Does anything else read what is inside the pattern?"""
    return any(net.is_output(one.outputs[0]) or {*one.outputs[0].consumers} - {*inner} for one in inner[:-1])


def _products(net: Net, x: Tensor, plus: Operator) -> list[Operator] | None:
    """Operators that multiply the sum by x and by 1/2: (x/2) s, (x s)/2 or x (s/2)."""
    first = net.next(plus, "Mul")
    if first is None:
        return None
    factor = next((t for t in first.inputs if t is not plus.outputs[0]), None)
    halved = _scaled_by(factor, 0.5)
    if halved is not None and halved[0] is x:
        return [*([halved[1]] if net.reader(halved[1].outputs[0]) is first else []), first]
    second = net.next(first, "Mul", "Div")
    if second is None:
        return None
    if factor is x and (_halves(second)):
        return [first, second]
    return [first, second] if near(factor, 0.5) and second.type == "Mul" and x in second.inputs else None


def _halves(operator: Operator) -> bool:
    if operator.type == "Div":
        return near(operator.input(1), 2)
    pair = with_constant(operator)
    return pair is not None and near(pair[1], 0.5)


def gelu_to_erf(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator) or not floating(operator.input(0)) or _is_tanh(operator):
        return None

    def rewrite(edit: Edit) -> None:
        place, x, dtype = edit.instead(operator), fed(operator), kind(operator)
        gate = place.add("Erf", [place.add("Mul", [x, place.constant(math.sqrt(0.5), dtype)])])
        _half_times(place, x, gate, dtype, out(operator))

    return match("Gelu becomes x/2 (1 + Erf(x / sqrt 2))", rewrite, operator)


def gelu_to_tanh(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator) or not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        _tanh_form(edit.instead(operator), fed(operator), kind(operator), out(operator))

    return match("Gelu becomes x/2 (1 + Tanh(...))", rewrite, operator)


def exact_gelu_to_tanh(net: Net, operator: Operator) -> Match | None:
    return None if _is_tanh(operator) else gelu_to_tanh(net, operator)


def tanh_gelu_to_parts(net: Net, operator: Operator) -> Match | None:
    biased = operator.type == "FastGelu" and operator.input(1) is not None
    return gelu_to_tanh(net, operator) if _is_tanh(operator) and not biased else None


def gelu_to_sigmoid(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator) or not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place, x = edit.instead(operator), fed(operator)
        gate = place.add("Sigmoid", [place.add("Mul", [x, place.constant(1.702, kind(operator))])])
        place.add("Mul", [x, gate], out(operator))

    return match("Gelu becomes x Sigmoid(1.702 x)", rewrite, operator)


def _is_tanh(operator: Operator) -> bool:
    return operator.type == "FastGelu" or operator.attributes.get("approximate", "none") == "tanh"


def _tanh_form(place: Place, x: str, dtype: str, output: str) -> None:
    """x/2 (1 + Tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    cube = place.add("Mul", [place.add("Mul", [x, x]), x])
    inner = place.add("Add", [x, place.add("Mul", [cube, place.constant(CUBIC, dtype)])])
    gate = place.add("Tanh", [place.add("Mul", [inner, place.constant(ROOT, dtype)])])
    _half_times(place, x, gate, dtype, output)


def _half_times(place: Place, x: str, gate: str, dtype: str, output: str) -> None:
    """x/2 (1 + gate)."""
    half = place.add("Mul", [x, place.constant(0.5, dtype)])
    place.add("Mul", [half, place.add("Add", [gate, place.constant(1, dtype)])], output)


OPERATORS = ("Gelu", "com.microsoft:Gelu")
REMEDIES = (
    Remedy("erf-gelu-to-gelu", "GELU written with Erf as the Gelu operator", "exact", "The same function.", ("Erf",),
           erf_to_gelu, opset=20),
    Remedy("tanh-gelu-to-gelu", "GELU written with Tanh as the Gelu operator", "exact", "The same function.", ("Tanh",),
           tanh_to_gelu, opset=20),
    Remedy("gelu-to-erf", "The Gelu operator as Mul, Erf and Add", "exact", "The same function.", OPERATORS,
           gelu_to_erf, opset=9),
    Remedy("tanh-gelu-to-parts", "The tanh form of the Gelu operator as Mul, Add and Tanh", "exact",
           "The same function.", (*OPERATORS, "com.microsoft:FastGelu"), tanh_gelu_to_parts),
    Remedy("gelu-to-tanh", "GELU by Tanh in place of the exact one", "approximate",
           "Each GELU differs by at most 0.0005; most networks do not notice.", OPERATORS, exact_gelu_to_tanh),
    Remedy("erf-gelu-to-tanh", "GELU by Tanh in place of the one by Erf", "approximate",
           "Each GELU differs by at most 0.0005; most networks do not notice.", ("Erf",), erf_to_tanh),
    Remedy("gelu-to-sigmoid", "x Sigmoid(1.702 x) in place of GELU", "approximate",
           "Each GELU differs by at most 0.021: measure the accuracy.", OPERATORS, gelu_to_sigmoid),
)  # fmt: skip
