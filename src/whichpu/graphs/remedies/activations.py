"""Activations written otherwise: LeakyReLU, PReLU, SiLU, HardSwish, HardSigmoid, Mish."""

from __future__ import annotations

import numpy as np

from whichpu.graphs.graph import CONVERSIONS, Operator, Tensor
from whichpu.graphs.placement import Placement
from whichpu.graphs.remedies.edit import Edit
from whichpu.graphs.remedies.net import Net, fed, floating, kind, origin, other, out, values
from whichpu.graphs.remedies.remedy import Match, Remedy, match, troubled

LEAKY_SLOPE = 0.01
"""ONNX's default of LeakyRelu's alpha."""
SIXTH_OFF = 1e-6
"""How far from 1/6 HardSwish's slope may be written: more shows in the answer."""
LARGE_BYTES = 26_000_000
"""Feature maps from here on cost LeakyReLU a pass of its own on Ethos-N78 (Arm's estimator, driver 23.02)."""
STRIDED_COST = "ethos-n"


def slope(operator: Operator) -> float:
    return float(operator.attributes.get("alpha", LEAKY_SLOPE))


def costs_a_pass(placement: Placement, found: Match) -> bool:
    """On Ethos-N, LeakyReLU is free but before a convolution with strides (it takes the PLE's slot), or if large."""
    if troubled(placement, found):
        return True
    if not placement.target.capability.name.startswith(STRIDED_COST):
        return False
    made = placement.graph.operators[found.indices[0]].outputs[0]
    strided = any(max(one.attributes.get("strides") or (1,)) > 1 for one in _readers(made) if one.type == "Conv")
    return strided or (made.elements or 0) >= LARGE_BYTES


def _readers(tensor: Tensor) -> list[Operator]:
    """Operators that read a tensor, seen through Q/DQ."""
    found = list(tensor.consumers)
    for _ in range(2):
        found = [one for near in found for one in (near.outputs[0].consumers if near.type in CONVERSIONS else [near])]
    return found


def leaky_to_relu(net: Net, operator: Operator) -> Match | None:
    def rewrite(edit: Edit) -> None:
        edit.instead(operator).add("Relu", [fed(operator)], out(operator))

    return match(f"LeakyReLU of slope {slope(operator):g} becomes ReLU", rewrite, operator)


def leaky_to_relu6(net: Net, operator: Operator) -> Match | None:
    if not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        edit.instead(operator).clip(fed(operator), 0, 6, kind(operator), out(operator))

    return match(f"LeakyReLU of slope {slope(operator):g} becomes ReLU6", rewrite, operator)


def leaky_to_max(net: Net, operator: Operator) -> Match | None:
    if not 0 <= slope(operator) <= 1 or net.quantised(operator) or not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        scaled = place.add("Mul", [fed(operator), place.constant(slope(operator), kind(operator))])
        place.add("Max", [fed(operator), scaled], out(operator))

    return match(f"LeakyReLU of slope {slope(operator):g} becomes Max(x, {slope(operator):g} x)", rewrite, operator)


def prelu_to_leaky(net: Net, operator: Operator) -> Match | None:
    slopes = values(operator.input(1))
    if slopes is None or not slopes.size or not floating(operator.input(0)) or np.ptp(slopes.astype(np.float64)) != 0:
        return None

    def rewrite(edit: Edit) -> None:
        edit.instead(operator).add("LeakyRelu", [fed(operator)], out(operator), alpha=float(slopes.flat[0]))

    return match(f"PReLU with one slope {slopes.flat[0]:g} becomes LeakyReLU", rewrite, operator)


def prelu_to_primitive(net: Net, operator: Operator) -> Match | None:
    slopes = operator.input(1)
    if slopes is None or not slopes.constant or net.quantised(operator) or not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place, dtype = edit.instead(operator), kind(operator)
        assert slopes is not None and slopes.read is not None
        negative = place.add("Relu", [place.add("Mul", [fed(operator), place.constant(-1, dtype)])])
        scaled = place.add("Mul", [negative, place.constant(-slopes.read(), dtype)])
        place.add("Add", [place.add("Relu", [fed(operator)]), scaled], out(operator))

    return match("PReLU becomes ReLU(x) - slope ReLU(-x)", rewrite, operator)


def prelu_to_max(net: Net, operator: Operator) -> Match | None:
    slopes = values(operator.input(1))
    if slopes is None or net.quantised(operator) or not floating(operator.input(0)):
        return None
    if not slopes.size or slopes.min() < 0 or slopes.max() > 1:
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        scaled = place.add("Mul", [fed(operator), place.constant(slopes, kind(operator))])
        place.add("Max", [fed(operator), scaled], out(operator))

    return match("PReLU with slopes in [0, 1] becomes Max(x, slope x)", rewrite, operator)


def silu_to_hard_swish(net: Net, operator: Operator) -> Match | None:
    found = _silu(net, operator)
    if found is None:
        return None
    x, parts = found

    def rewrite(edit: Edit) -> None:
        edit.instead(operator).add("HardSwish", [x.name], out(operator))

    return match("SiLU becomes HardSwish", rewrite, *parts)


def _silu(net: Net, operator: Operator) -> tuple[Tensor, tuple[Operator, ...]] | None:
    """What SiLU is of, and its operators: x Sigmoid(x), or one operator."""
    if operator.type != "Mul":
        fits = abs(float(operator.attributes.get("alpha", 1.0)) - 1) < 1e-6
        return (operator.inputs[0], (operator,)) if fits and operator.inputs[0] is not None else None
    for gate in operator.inputs:
        sigmoid = _maker_through(gate, "Sigmoid")
        x = other(operator, gate)
        if sigmoid is not None and x is not None and origin(sigmoid.input(0)) is origin(x):
            return x, (sigmoid, operator)
    return None


def _maker_through(tensor: Tensor | None, type: str) -> Operator | None:
    """The operator that makes a tensor, seen through Q/DQ."""
    before = origin(tensor)
    maker = before.producer if before is not None else None
    return maker if maker is not None and maker.type == type and not (maker.within or maker.domain) else None


def hard_swish_to_clip(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator) or not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place, dtype = edit.instead(operator), kind(operator)
        gate = place.clip(place.add("Add", [fed(operator), place.constant(3, dtype)]), 0, 6, dtype)
        place.add("Mul", [fed(operator), place.add("Mul", [gate, place.constant(1 / 6, dtype)])], out(operator))

    return match("HardSwish becomes x Clip(x + 3, 0, 6) / 6", rewrite, operator)


def hard_swish_to_hard_sigmoid(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        gate = place.add("HardSigmoid", [fed(operator)], alpha=1 / 6, beta=0.5)
        place.add("Mul", [fed(operator), gate], out(operator))

    return match("HardSwish becomes x HardSigmoid(x)", rewrite, operator)


def hard_sigmoid_to_clip(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator) or not floating(operator.input(0)):
        return None

    def rewrite(edit: Edit) -> None:
        place, dtype = edit.instead(operator), kind(operator)
        alpha, beta = (operator.attributes.get(name, value) for name, value in (("alpha", 0.2), ("beta", 0.5)))
        scaled = place.add("Mul", [fed(operator), place.constant(alpha, dtype)])
        place.clip(place.add("Add", [scaled, place.constant(beta, dtype)]), 0, 1, dtype, out(operator))

    return match("HardSigmoid becomes Clip(alpha x + beta, 0, 1)", rewrite, operator)


def mish_to_primitive(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator):
        return None

    def rewrite(edit: Edit) -> None:
        place = edit.instead(operator)
        gate = place.add("Tanh", [place.add("Softplus", [fed(operator)])])
        place.add("Mul", [fed(operator), gate], out(operator))

    return match("Mish becomes x Tanh(Softplus(x))", rewrite, operator)


def swish_to_sigmoid(net: Net, operator: Operator) -> Match | None:
    if net.quantised(operator) or not floating(operator.input(0)):
        return None
    alpha = float(operator.attributes.get("alpha", 1.702 if operator.domain else 1.0))

    def rewrite(edit: Edit) -> None:
        place, x = edit.instead(operator), fed(operator)
        inner = x if alpha == 1 else place.add("Mul", [x, place.constant(alpha, kind(operator))])
        place.add("Mul", [x, place.add("Sigmoid", [inner])], out(operator))

    return match(f"{operator.type} becomes x Sigmoid({'' if alpha == 1 else f'{alpha:g} '}x)", rewrite, operator)


def hard_swish_from_parts(net: Net, operator: Operator) -> Match | None:
    """x HardSigmoid(x, 1/6, 1/2) as one operator: quantised, it is one node unit and not two."""
    for gate in operator.inputs:
        hard = _maker_through(gate, "HardSigmoid")
        x = other(operator, gate)
        if hard is None or x is None or gate is not hard.outputs[0] or hard.input(0) is not x:
            continue
        slope, middle = hard.attributes.get("alpha", 0.2), hard.attributes.get("beta", 0.5)
        if abs(slope - 1 / 6) < SIXTH_OFF and abs(middle - 0.5) < SIXTH_OFF:

            def rewrite(edit: Edit, x: Tensor = x) -> None:
                edit.instead(operator).add("HardSwish", [x.name], out(operator))

            return match("x HardSigmoid(x) becomes HardSwish", rewrite, hard, operator)
    return None


RETRAIN = "It is another function: the network must be fine-tuned, or the loss of accuracy measured and accepted."
SAME = "The same function."
PASS = " (saves a pass on Ethos-N before a convolution with strides, or on large maps)"
REMEDIES = (
    Remedy("leaky-relu-to-relu", f"ReLU in place of LeakyReLU{PASS}", "needs-fine-tuning", RETRAIN, ("LeakyRelu",),
           leaky_to_relu, costs_a_pass, shows=False),
    Remedy("leaky-relu-to-relu6", f"ReLU6 in place of LeakyReLU{PASS}", "needs-fine-tuning", RETRAIN, ("LeakyRelu",),
           leaky_to_relu6, costs_a_pass, shows=False),
    Remedy("leaky-relu-to-max", "LeakyReLU as Max(x, a x)", "exact", SAME, ("LeakyRelu",), leaky_to_max, opset=8),
    Remedy("prelu-to-leaky-relu", "PReLU with equal slopes as LeakyReLU", "exact", SAME, ("PRelu",), prelu_to_leaky),
    Remedy("prelu-to-max", "PReLU as Max(x, a x)", "exact", SAME, ("PRelu",), prelu_to_max, opset=8),
    Remedy("prelu-to-primitive", "PReLU as ReLU, Mul and Add", "exact", SAME, ("PRelu",), prelu_to_primitive),
    Remedy("silu-to-hard-swish", "HardSwish in place of SiLU", "needs-fine-tuning", RETRAIN,
           ("Mul", "Swish", "com.microsoft:QuickGelu"), silu_to_hard_swish, opset=14),
    Remedy("hard-swish-to-clip", "HardSwish as Add, Clip and Mul", "exact", SAME, ("HardSwish",), hard_swish_to_clip),
    Remedy("hard-swish-to-hard-sigmoid", "HardSwish as HardSigmoid and Mul", "exact", SAME, ("HardSwish",),
           hard_swish_to_hard_sigmoid),
    Remedy("hard-swish-from-parts", "x HardSigmoid(x) as HardSwish", "exact", SAME, ("Mul",), hard_swish_from_parts,
           opset=14),
    Remedy("hard-sigmoid-to-clip", "HardSigmoid as Mul, Add and Clip", "exact", SAME, ("HardSigmoid",),
           hard_sigmoid_to_clip),
    Remedy("mish-to-primitive", "Mish as Softplus, Tanh and Mul", "exact", SAME, ("Mish",), mish_to_primitive),
    Remedy("swish-to-sigmoid", "Swish as Sigmoid and Mul", "exact", SAME, ("Swish", "com.microsoft:QuickGelu"),
           swish_to_sigmoid),
)  # fmt: skip
