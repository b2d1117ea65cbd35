"""Which operators form a node unit with the Q and DQ around them: the rules of ONNX Runtime's shared selectors.

Source: onnxruntime, ``core/optimizer/qdq_transformer/selectors_actions`` (1.26), and the same rules in onnxruntime-qnn
(``qnn_ep_utils.cc``): facts only. A unit forms when as many inputs are dequantised as the rule asks for, every output
goes to one QuantizeLinear and nowhere else, and the integer types agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whichpu.graphs.graph import Graph, Operator, Tensor

Q, DQ = "QuantizeLinear", "DequantizeLinear"
DOMAINS = ("", "com.microsoft")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a group must look like. ``dequantised`` is the number of inputs from DQs; None for every input given."""

    dequantised: tuple[int, ...] | None = (1,)
    types: int | None = None
    """So many of the first DQs share one type, which is the output's too; None for the first alone."""
    same_scale: bool = False
    """Data is moved, not computed: scale and zero point are the same on both sides."""
    without_q: bool = False
    """Forms one with outputs that are not quantised, too."""
    bias: bool = False
    """A third dequantised input must be int32, and int8 data asks for int8 weights."""
    may_clip: bool = True
    opsets: range = range(1, 99)


MOVES = Rule(same_scale=True, may_clip=False)
UNARY, BINARY = Rule(), Rule((2,), types=2)
ALL = Rule(None, types=99)
WEIGHTS = Rule(None, bias=True)

KNOWN: dict[str, Rule] = {
    **dict.fromkeys(
        ("Gather", "GatherElements", "Reshape", "Expand", "Flatten", "Transpose", "Resize", "Squeeze", "Unsqueeze",
         "Tile"), MOVES),
    "MaxPool": Rule(same_scale=True, may_clip=False, opsets=range(12, 22)),
    **dict.fromkeys(("ArgMax", "ArgMin"), Rule(without_q=True, may_clip=False)),
    **dict.fromkeys(
        ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LeakyRelu", "ReduceMean", "ReduceMin", "ReduceMax",
         "ReduceProd", "ReduceSum", "Relu", "Gelu", "Elu", "HardSigmoid", "HardSwish", "Sigmoid", "Slice", "LogSoftmax",
         "Softmax", "Sqrt", "Atan", "Asin", "Sin", "Cos", "Sign", "Tanh", "Exp", "Log", "LRN", "Ceil", "Floor", "Round",
         "Abs", "Neg", "DepthToSpace", "SpaceToDepth", "Clip", "LpNormalization", "CumSum", "Erf", "Softplus"), UNARY),
    **dict.fromkeys(("Add", "Div", "Mul", "Pow", "Sub", "PRelu", "GridSample", "ScatterElements"), BINARY),
    "Where": Rule((1, 2), types=2),
    **dict.fromkeys(("Concat", "Max", "Min"), ALL),
    "Split": Rule(may_clip=False),
    **dict.fromkeys(("Conv", "ConvTranspose"), WEIGHTS),
    **dict.fromkeys(("Einsum", "Reciprocal"), Rule(None, without_q=True)),
    "MatMul": Rule((2,)),
    "Gemm": Rule(None, without_q=True, bias=True),
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization"), Rule(None)),
    "BatchNormalization": Rule((3,)),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), Rule(None, without_q=True)),
    "Pad": Rule((1, 2)),
}  # fmt: skip
LOOSE = Rule(None)
"""For compilers that fold any operator between DQ and Q: as many dequantised inputs as are computed in float."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The members of one node unit."""

    target: Operator
    dequantises: tuple[Operator, ...]
    redundant: tuple[Operator, ...]
    quantises: tuple[Operator, ...]


class Units:
    """What selection needs of the whole graph."""

    def __init__(self, graph: Graph) -> None:
        self.outputs = {id(tensor) for tensor in graph.outputs}
        self.opset = graph.opset or 13

    def leaves(self, operator: Operator) -> bool:
        return any(id(tensor) in self.outputs for tensor in operator.outputs)


def unit_of(operator: Operator, units: Units, known_only: bool) -> Unit | None:
    """The unit around an operator; None where none forms."""
    if operator.type in (Q, DQ):
        return None
    known = KNOWN.get(operator.type) if operator.domain in DOMAINS else None
    rule = known or (None if known_only else LOOSE)
    if rule is None or units.opset not in rule.opsets:
        return None
    dequantises = _dequantises(operator)
    clip = _clip(operator, units)
    quantises = _quantises(clip or operator)
    if clip is not None and (len(quantises) != 1 or not rule.may_clip or not _redundant(clip, quantises[0])):
        if known is not None:
            return None
        clip, quantises = None, _quantises(operator)
    unit = Unit(operator, dequantises, (clip,) if clip else (), quantises)
    return unit if _forms(unit, rule, units, loose=known is None) else None


def _dequantises(operator: Operator) -> tuple[Operator, ...]:
    producers = (tensor.producer for tensor in operator.inputs if tensor is not None)
    return tuple(p for p in producers if p is not None and p.type == DQ and p.within == operator.within)


def _quantises(operator: Operator) -> tuple[Operator, ...]:
    takers = (taker for tensor in operator.outputs for taker in tensor.consumers)
    return tuple(taker for taker in takers if taker.type == Q and taker.within == operator.within)


def _clip(operator: Operator, units: Units) -> Operator | None:
    """A Clip or Relu that is the only one to take the operator's only output, and is taken by one operator itself."""
    takers = [taker for tensor in operator.outputs for taker in tensor.consumers]
    if len(takers) != 1 or takers[0].type not in ("Clip", "Relu") or units.leaves(operator):
        return None
    clip = takers[0]
    return clip if len(clip.outputs[0].consumers) == 1 and not units.leaves(clip) else None


def _redundant(clip: Operator, quantise: Operator) -> bool:
    """Whether the integers that ``quantise`` writes can't leave the Clip's bounds anyway."""
    scale, zero = _scalar(quantise.input(1)), _scalar(quantise.input(2)) or 0
    dtype = element_type(quantise)
    if scale is None or dtype is None or not dtype.endswith(("int8", "int16")):
        return False
    bounds = np.iinfo(dtype)
    low, high = 0.0, float("inf")
    if clip.type == "Clip":
        low = _bound(clip, 1, "min", float("-inf"))
        high = _bound(clip, 2, "max", float("inf"))
    return low <= scale * (bounds.min - zero) and scale * (bounds.max - zero) <= high


def _bound(clip: Operator, position: int, name: str, otherwise: float) -> float:
    if clip.input(position) is None:
        return float(clip.attributes.get(name, otherwise))
    given = _scalar(clip.input(position))
    return float("nan") if given is None else given


def _scalar(tensor: Tensor | None) -> float | None:
    """A constant's only value."""
    if tensor is None or tensor.read is None or tensor.elements != 1:
        return None
    return float(tensor.read().reshape(()))


def element_type(operator: Operator) -> str | None:
    """The integer type on the quantised side of a Q or DQ."""
    side = operator.outputs[0] if operator.type == Q else operator.input(0)
    zero = operator.input(2)
    return (zero.dtype if zero is not None else None) or (side.dtype if side is not None else None)


def _forms(unit: Unit, rule: Rule, units: Units, *, loose: bool) -> bool:
    wanted = (_floats(unit.target),) if loose else rule.dequantised
    if wanted is None:
        wanted = (sum(tensor is not None for tensor in unit.target.inputs),)
    if not unit.dequantises or len(unit.dequantises) not in wanted:
        return False
    if not unit.quantises:
        return rule.without_q
    if not _all_quantised(unit, units):
        return False
    return _types_agree(unit, rule) and (not rule.same_scale or _same_scale(unit))


def _floats(operator: Operator) -> int:
    """Inputs that are computed in float, or are dequantised weights."""
    return sum(
        t is not None
        and (t.producer is not None or not t.constant)
        and (t.dtype or "float").startswith(("float", "bf"))
        for t in operator.inputs
    )


def _all_quantised(unit: Unit, units: Units) -> bool:
    takers = sum(len(tensor.consumers) for tensor in unit.target.outputs)
    count = len(unit.quantises)
    return count == len(unit.target.outputs) == takers and not units.leaves(unit.target)


def _types_agree(unit: Unit, rule: Rule) -> bool:
    given = [element_type(member) for member in unit.dequantises]
    written = {element_type(member) for member in unit.quantises}
    if written != {given[0]} or (rule.types and len(set(given[: rule.types])) > 1):
        return False
    if not rule.bias:
        return True
    return (given[0] != "int8" or given[1] == "int8") and (len(given) < 3 or given[2] == "int32")


def _same_scale(unit: Unit) -> bool:
    given, written = unit.dequantises[0], unit.quantises[0]
    return all(_equal(given.input(place), written.input(place)) for place in (1, 2))


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is other:
        return True
    sides = [0.0 if tensor is None else _scalar(tensor) for tensor in (one, other)]
    return None not in sides and sides[0] == sides[1]
