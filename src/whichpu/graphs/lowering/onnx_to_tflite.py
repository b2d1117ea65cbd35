"""ONNX as onnx2tf 1.29.24 with TensorFlow 2.19 writes it to INT8 TFLite, learned by converting some 450 small models.

What TensorFlow's quantiser has no integer form for stays in float between a DEQUANTIZE and a QUANTIZE. Activations,
BatchNormalization and constants by channel are taken into the convolution before them. A model with Q/DQ is folded
first; the converter quantises it anew, and Q and DQ left over at its edges disappear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from whichpu.graphs.capability import Target
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.facts import Facts
from whichpu.graphs.graph import Graph, Operator, Shape, Tensor
from whichpu.graphs.lowering.qdq import fold_qdq
from whichpu.graphs.lowering.tflite_writer import (
    FOLDS,
    FUSES,
    REFUSED,
    UNKNOWN,
    Writer,
    from_last,
    integers,
    permuted,
    to_last,
)

NOTE = (
    "Stands for what onnx2tf 1.29.24 with TensorFlow 2.19 writes as INT8 TFLite (-oiqt); another converter or version "
    "may write other operators. Scales are not known before it has calibrated."
)
INPUT_NOTE = "onnx2tf calibrates image inputs of 3 channels by itself; for {names} it needs samples (option -cind)"
SAME = {
    "Abs": "ABS", "Exp": "EXP", "Log": "LOG", "Tanh": "TANH", "Sigmoid": "LOGISTIC", "HardSwish": "HARD_SWISH",
    "LeakyRelu": "LEAKY_RELU", "Gelu": "GELU", "Not": "LOGICAL_NOT",
}  # fmt: skip
"""One operator for one, quantised."""
FLOAT = {
    "Sqrt": "SQRT", "Neg": "NEG", "Sin": "SIN", "Cos": "COS", "Floor": "FLOOR", "Ceil": "CEIL", "Round": "ROUND",
    "Sign": "SIGN", "Elu": "ELU", "Reciprocal": "DIV", "CumSum": "CUMSUM", "LRN": "LOCAL_RESPONSE_NORMALIZATION",
    "Mod": "FLOOR_MOD", "Erf": "FlexErf", "Atan": "FlexAtan", "Softsign": "FlexSoftsign", "Cosh": "FlexCosh",
    "Sinh": "FlexSinh", "Tan": "FlexTan", "Acos": "FlexAcos", "Asin": "FlexAsin", "Div": "DIV", "Pow": "POW",
}  # fmt: skip
"""One operator for one, left in float by the quantiser; ``Flex`` ones are TensorFlow's own."""
CHAINS = {
    "Softplus": ("EXP", "ADD", "LOG"),
    "Mish": ("EXP", "ADD", "LOG", "TANH", "MUL"),
    "Swish": ("LOGISTIC", "MUL"),
    "Celu": ("RELU", "EXP", "SUB", "MINIMUM", "ADD"),
    "HardSigmoid": ("MUL", "ADD", "RELU_0_TO_1"),
    "LpNormalization": ("MUL", "SUM", "RSQRT", "MUL"),
    "LpPool": ("ABS", "MUL", "MUL", "SQRT"),
    "GlobalLpPool": ("MUL", "SUM", "SQRT"),
    "Xor": ("LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGICAL_AND"),
    "RoiAlign": ("FlexCropAndResize", "AVERAGE_POOL_2D"),
    "ScatterND": ("SCATTER_ND", "SUB", "MUL", "SCATTER_ND", "ADD"),
}
"""Several operators for one. Where their shapes differ it makes no difference to what is taken."""
BINARY = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Max": "MAXIMUM", "Min": "MINIMUM", "Sum": "ADD"}
COMPARISONS = {
    "Greater": "GREATER", "GreaterOrEqual": "GREATER_EQUAL", "Less": "LESS", "LessOrEqual": "LESS_EQUAL",
    "Equal": "EQUAL", "And": "LOGICAL_AND", "Or": "LOGICAL_OR",
}  # fmt: skip
REDUCTIONS = {
    "ReduceMean": ("MEAN",), "ReduceSum": ("SUM",), "ReduceMax": ("REDUCE_MAX",), "ReduceMin": ("REDUCE_MIN",),
    "ReduceProd": ("REDUCE_PROD",), "ReduceL1": ("ABS", "SUM"), "ReduceL2": ("SQUARE", "SUM", "SQRT"),
    "ReduceLogSum": ("SUM", "LOG"), "ReduceSumSquare": ("SQUARE", "SUM"),
}  # fmt: skip
STILL = {"SQUARE", "SQRT"}
"""Parts of the chains above that stay in float."""
GLOBAL = {"GlobalAveragePool": "MEAN", "GlobalMaxPool": "REDUCE_MAX"}
CONVERTER_STOPS = {
    "LSTM": "onnx2tf stops: initial_state is not compatible with the cell",
    "GRU": "onnx2tf crashes",
    "RNN": "onnx2tf crashes",
    "Acosh": "TensorFlow has no TFLite operator for it",
    "Asinh": "TensorFlow has no TFLite operator for it",
    "Atanh": "TensorFlow has no TFLite operator for it",
    "GatherElements": "onnx2tf stops",
    "GatherND": "onnx2tf stops",
    "ScatterElements": "onnx2tf stops",
    "NonMaxSuppression": "onnx2tf stops",
}

Rule = Callable[[Writer, Operator, Facts], None]


def convert(graph: Graph, target: Target) -> Graph:
    """The network in TFLite operators; what the converter makes of some operators is not known, and said so."""
    folded = fold_qdq(graph)
    writer = Writer(folded, target.options.get("precision", "w8a8"))
    for tensor in folded.inputs:
        writer.fed(tensor)
    for operator in folded.operators:
        writer.source = operator
        _one(writer, operator, Facts(folded, operator, target.options))
    odd = [tensor.name for tensor in folded.inputs if not _image(tensor) and writer.is_real(tensor)]
    return writer.finish([NOTE] + [INPUT_NOTE.format(names=", ".join(map(repr, odd)))] * bool(odd))


def _image(tensor: Tensor) -> bool:
    shape = tensor.shape or ()
    return len(shape) == 4 and shape[1] in (3, None)


def _one(writer: Writer, operator: Operator, facts: Facts) -> None:
    kind = operator.type
    rule = RULES.get(kind) if operator.domain in ("", "ai.onnx", "com.microsoft") else None
    if rule is None:
        stops = CONVERTER_STOPS.get(kind)
        writer.stop(REFUSED if stops else UNKNOWN, stops or f"what onnx2tf makes of {kind} was not looked at")
        return
    written = len(writer.operators)
    try:
        rule(writer, operator, facts)
    except (UnknownFactError, IndexError, TypeError, ValueError, ArithmeticError) as problem:
        del writer.operators[written:]
        writer.stop(UNKNOWN, f"what onnx2tf makes of {kind} can't be told: {problem}")


# Helpers: forms and shapes.


def _first(operator: Operator) -> Tensor:
    return next(tensor for tensor in operator.inputs if tensor is not None)


def _form(writer: Writer, operator: Operator) -> bool:
    """Whether channels are last in the first computed input that has more than two dimensions."""
    computed = [tensor for tensor in operator.inputs if tensor is not None and not tensor.constant]
    large = [tensor for tensor in computed if len(tensor.shape or ()) > 2]
    return any(writer.value(tensor).last for tensor in large)


def _shaped(shape: Shape | None, last: bool) -> Shape | None:
    return permuted(shape, to_last(len(shape))) if last and shape is not None and len(shape) > 2 else shape


def _axis(axis: int, rank: int, last: bool) -> int:
    """Where an axis of ONNX lies in the form at hand."""
    return to_last(rank).index(axis % rank) if last and rank > 2 else axis % rank


def _known(shape: Shape | None) -> tuple[int, ...]:
    if shape is None or None in shape:
        raise UnknownFactError("a size is not known")
    return tuple(size for size in shape if size is not None)


def _chain(writer: Writer, operator: Operator, kinds: Sequence[str], last: bool, value: Tensor | None = None) -> None:
    """Operators one after another on one shape; those of :data:`STILL` and :data:`FLOAT` in float."""
    source = _first(operator)
    found = writer.take(source, last) if value is None else value
    for kind in kinds:
        real = kind in STILL or kind in FLOAT.values() or kind.startswith("Flex")
        inputs = [writer.typed(found, real)]
        if kind in ("MUL", "ADD", "SUB", "MINIMUM", "MAXIMUM"):
            inputs.append(inputs[0])
        found = writer.add(kind, inputs, found.shape, domain=_domain(kind))
    writer.become(operator.outputs[0], found, last)


def _domain(kind: str) -> str:
    return "custom" if kind.startswith("Flex") else ""


# Rules.


def _unary(writer: Writer, operator: Operator, facts: Facts) -> None:
    last = _form(writer, operator)
    value = writer.typed(writer.take(_first(operator), last), False)
    made = writer.add(SAME[operator.type], [value], value.shape, alpha=facts.attribute("alpha"))
    writer.become(operator.outputs[0], made, last)


def _floating(writer: Writer, operator: Operator, facts: Facts) -> None:
    """Operators without an integer form: DEQUANTIZE, the operator, and QUANTIZE where an integer one follows."""
    if operator.type == "Pow" and _power(writer, operator, facts):
        return
    if operator.type == "Div" and _divided(writer, operator):
        return
    if operator.type == "Sqrt" and _root(operator):
        _chain(writer, operator, ["RSQRT"], _form(writer, operator))
        return
    if operator.type == "Elu" and facts["alpha"] != 1:
        _scaled_elu(writer, operator)
        return
    last = _form(writer, operator)
    inputs = [tensor for tensor in operator.inputs if tensor is not None]
    found = [writer.typed(writer.take(tensor, last), True) for tensor in inputs]
    kind = FLOAT[operator.type]
    made = writer.add(kind, found, _shaped(operator.outputs[0].shape, last), "float32", _domain(kind))
    writer.become(operator.outputs[0], made, last)


def _scaled_elu(writer: Writer, operator: Operator) -> None:
    """An Elu with another factor than 1: each side times a mask that comes from a comparison."""
    last = _form(writer, operator)
    value = writer.typed(writer.take(_first(operator), last), False)
    grown = writer.add("EXP", [value], value.shape)
    grown = writer.add("SUB", [grown, grown], value.shape)
    sides = []
    for kind, side in (("GREATER_EQUAL", value), ("LESS", grown)):
        mask = writer.add(kind, [value, value], value.shape, "bool")
        mask = writer.typed(writer.add("CAST", [mask], value.shape, "float32"), False)
        sides.append(writer.add("MUL", [side, mask], value.shape))
    writer.become(operator.outputs[0], writer.add("ADD", sides, value.shape), last)


def _root(operator: Operator) -> bool:
    """A square root that only divides: TensorFlow joins the two to RSQRT."""
    consumers = operator.outputs[0].consumers
    return bool(consumers) and all(one.type == "Div" and one.input(1) is operator.outputs[0] for one in consumers)


def _power(writer: Writer, operator: Operator, facts: Facts) -> bool:
    try:
        exponent = facts.value(1)
    except UnknownFactError:
        return False
    flat = exponent if isinstance(exponent, (int, float)) else (exponent[0] if len(exponent) == 1 else None)
    kinds = {2: ["MUL"], 3: ["MUL", "MUL"], 0.5: ["SQRT"], -0.5: ["RSQRT"]}.get(flat) if flat is not None else None
    if flat == 1:
        _nothing(writer, operator, facts)
        return True
    if kinds is None:
        return False
    _chain(writer, operator, kinds, _form(writer, operator))
    return True


def _divided(writer: Writer, operator: Operator) -> bool:
    """A division by a constant is a product; by a square root it is a product with RSQRT."""
    divisor = operator.input(1)
    norm = writer.made.get(id(writer.value(divisor).tensor)) if divisor is not None else None
    if divisor is not None and norm is not None and norm.type == "L2_NORMALIZATION":
        value = writer.value(divisor)
        norm.origins = (*norm.origins, *(operator.origins or (operator.index,)))
        writer.become(operator.outputs[0], value.tensor, value.last)
        return True
    root = divisor is not None and divisor.producer is not None and divisor.producer.type == "Sqrt"
    if divisor is None or not (divisor.constant or (root and _root(divisor.producer))):  # type: ignore[arg-type]
        return False
    _pair(writer, operator, "MUL")
    return True


def _binary(writer: Writer, operator: Operator, facts: Facts) -> None:
    kind = BINARY[operator.type]
    if kind == "MAXIMUM" and _is_zero(operator):
        _activated(writer, operator, "RELU")
        return
    _pair(writer, operator, kind)


def _is_zero(operator: Operator) -> bool:
    held = operator.input(1)
    return held is not None and held.read is not None and held.elements == 1 and not held.read().any()


def _pair(writer: Writer, operator: Operator, kind: str) -> None:
    """An operator on two values or more; one with a constant by channel goes into the convolution before it."""
    computed = [tensor for tensor in operator.inputs if tensor is not None and not tensor.constant]
    if len(computed) == 1 and kind in ("ADD", "SUB", "MUL") and _by_channel(operator):
        made = writer.alone(computed[0], FOLDS)
        if made is not None and made.attributes.get("activation", "NONE") == "NONE":
            writer.join(made)
            return
    last = _form(writer, operator)
    shape = _shaped(operator.outputs[0].shape, last)
    rank = len(operator.outputs[0].shape or ())
    real = writer.is_real(operator.outputs[0])
    inputs = [writer.spread(tensor, rank, last) for tensor in operator.inputs if tensor is not None]
    left = kind == "ADD" and len(computed) > 2  # ADD_N
    kept = left or (len(computed) == 1 and _in_float(writer, computed[0]))
    found = [writer.typed(tensor, kept) if real else tensor for tensor in inputs]
    if left:
        made_ = writer.add("ADD_N", found, shape, "float32")
        writer.become(operator.outputs[0], made_, last)
        return
    made_ = found[0]
    for other in found[1:] or [found[0]]:
        made_ = writer.add(kind, [made_, other], shape, found[0].dtype if real else None)
    writer.become(operator.outputs[0], made_, last)


def _in_float(writer: Writer, tensor: Tensor) -> bool:
    """Whether a value was left in float by a builtin operator: one with a constant then stays there too."""
    made = writer.made.get(id(writer.value(tensor).tensor))
    return made is not None and made.outputs[0].dtype == "float32" and not made.domain and made.type != "CAST"


def _by_channel(operator: Operator) -> bool:
    """Whether the constant of a pair has one value, or one for each channel."""
    held = next((tensor for tensor in operator.inputs if tensor is not None and tensor.constant), None)
    shape = held.shape if held is not None else None
    if held is None or shape is None or (operator.type in ("Sub", "Div") and operator.input(0) is held):
        return False
    rank = len(operator.outputs[0].shape or ())
    filled = (1,) * (rank - len(shape)) + tuple(shape)
    channel = 1 if rank > 3 else rank - 1
    return all(size == 1 for axis, size in enumerate(filled) if axis != channel)


def _compared(writer: Writer, operator: Operator, facts: Facts) -> None:
    last = _form(writer, operator)
    rank = len(operator.outputs[0].shape or ())
    inputs = [writer.spread(tensor, rank, last) for tensor in operator.inputs if tensor is not None]
    found = [writer.typed(tensor, False) for tensor in inputs]
    made = writer.add(COMPARISONS[operator.type], found, _shaped(operator.outputs[0].shape, last), "bool")
    writer.become(operator.outputs[0], made, last)


def _where(writer: Writer, operator: Operator, facts: Facts) -> None:
    last = _form(writer, operator)
    rank = len(operator.outputs[0].shape or ())
    inputs = [writer.spread(tensor, rank, last) for tensor in operator.inputs if tensor is not None]
    found = [inputs[0], *(writer.typed(tensor, False) for tensor in inputs[1:])]
    shape = _shaped(operator.outputs[0].shape, last)
    made = writer.add("SELECT_V2", found, shape, writer.dtype(operator.outputs[0]))
    writer.become(operator.outputs[0], made, last)


def _cast(writer: Writer, operator: Operator, facts: Facts) -> None:
    source, output = _first(operator), operator.outputs[0]
    if writer.is_real(source) and writer.is_real(output):
        _nothing(writer, operator, facts)
        return
    value = writer.value(source)
    held = writer.typed(value.tensor, True) if writer.is_real(source) else value.tensor
    made = writer.add("CAST", [held], held.shape, "float32" if writer.is_real(output) else output.dtype)
    writer.become(output, made, value.last)


def _nothing(writer: Writer, operator: Operator, facts: Facts) -> None:
    """The operator goes into the one before it, or disappears."""
    source = _first(operator)
    made = writer.made.get(id(writer.value(source).tensor))
    if made is not None and made.within == operator.within:
        writer.join(made)
        return
    value = writer.value(source)
    writer.become(operator.outputs[0], value.tensor, value.last)


def _normalised(writer: Writer, operator: Operator, facts: Facts) -> None:
    """BatchNormalization: into the convolution before it, else a product and a sum."""
    made = writer.alone(_first(operator), FOLDS | {"TRANSPOSE_CONV"})
    if made is not None and made.attributes.get("activation", "NONE") == "NONE":
        writer.join(made)
        return
    last = _form(writer, operator)
    found = writer.typed(writer.take(_first(operator), last), False)
    for kind in ("MUL", "ADD"):
        held = writer.new(f"{operator.name}/{kind}", writer.real, (facts["channels"],))
        held.read = writer.value(_constant(operator)).tensor.read
        found = writer.add(kind, [found, held], found.shape)
    writer.become(operator.outputs[0], found, last)


def _constant(operator: Operator) -> Tensor:
    found = next((tensor for tensor in operator.inputs if tensor is not None and tensor.constant), None)
    if found is None:
        raise UnknownFactError("its weights are computed")
    return found


def _activated(writer: Writer, operator: Operator, kind: str) -> None:
    """An activation: into the operator before it where that takes one in."""
    made = writer.alone(_first(operator), FUSES)
    if made is not None and made.attributes.get("activation", "NONE") == "NONE":
        writer.join(made, activation=kind)
        return
    last = _form(writer, operator)
    value = writer.typed(writer.take(_first(operator), last), False)
    writer.become(operator.outputs[0], writer.add(kind, [value], value.shape), last)


def _relu(writer: Writer, operator: Operator, facts: Facts) -> None:
    _activated(writer, operator, "RELU")


def _clip(writer: Writer, operator: Operator, facts: Facts) -> None:
    low, high = facts["low"], facts["high"]
    single = {(0, 6): "RELU6", (-1, 1): "RELU_N1_TO_1", (0, float("inf")): "RELU"}.get((low, high))
    if single:
        _activated(writer, operator, single)
        return
    kinds = ["MINIMUM"] * (high != float("inf")) + (["RELU"] if low == 0 else ["MAXIMUM"] * (low != float("-inf")))
    if not kinds:
        _nothing(writer, operator, facts)
        return
    _chain(writer, operator, kinds, _form(writer, operator))


def _selu(writer: Writer, operator: Operator, facts: Facts) -> None:
    last = _form(writer, operator)
    value = writer.take(_first(operator), last)
    found = writer.typed(value, True)
    for kind in ("ELU", "MUL"):
        found = writer.add(kind, [found, found][: 1 + (kind == "MUL")], found.shape)
    mask = writer.add("GREATER", [writer.typed(value, False)] * 2, value.shape, "bool")
    made = writer.add("SELECT", [mask, writer.typed(value, True), found], value.shape, "float32")
    writer.become(operator.outputs[0], made, last)


def _thresholded(writer: Writer, operator: Operator, facts: Facts) -> None:
    _chain(writer, operator, ["SUB", "SIGN", "MUL", "RELU", "SUB"], _form(writer, operator))


def _prelu(writer: Writer, operator: Operator, facts: Facts) -> None:
    last = _form(writer, operator)
    value = writer.typed(writer.take(_first(operator), last), False)
    slope = writer.spread(facts.tensor(1), facts["rank"], last)
    writer.become(operator.outputs[0], writer.add("PRELU", [value, slope], value.shape), last)


# Convolutions and poolings.


def _conv(writer: Writer, operator: Operator, facts: Facts) -> None:
    spatial = facts["spatial"]
    if spatial == 3:
        _volume(writer, operator)
        return
    if not facts.tensor(1).constant:
        writer.stop(REFUSED, "onnx2tf stops at a convolution whose weights are computed")
        return
    if facts["auto_pad"] == "SAME_LOWER":
        writer.stop(REFUSED, "onnx2tf knows no auto_pad SAME_LOWER of a Conv: write pads")
        return
    if max(facts["strides"]) > 1 and max(facts["dilations"]) > 1 and facts["groups"] == 1:
        writer.stop(REFUSED, "TensorFlow has no convolution with strides and dilations at once")
        return
    value = _plane(writer, writer.typed(writer.take(_first(operator), True), False), spatial)
    value, padding = _padded(writer, value, facts, "Conv")
    groups, outs = facts["groups"], facts["out_channels"]
    kernel = (facts["kernel_h"], facts["kernel_w"])
    deep = groups > 1 and groups == facts["channels"]
    shape = (1, *kernel, outs) if deep else (outs, *kernel, facts["channels"] // groups)
    inputs = [value, _weights(writer, operator, 1, shape), _bias(writer, operator, outs)]
    steps: dict[str, Any] = {"stride_h": facts["stride_h"], "stride_w": facts["stride_w"]}
    wide = {"dilation_h": facts["dilation_h"], "dilation_w": facts["dilation_w"]}
    out = _flat(_shaped(operator.outputs[0].shape, True), spatial)
    kind = "DEPTHWISE_CONV_2D" if deep else "CONV_2D"
    made = writer.add(kind, inputs, out, padding=padding, activation="NONE", **steps, **wide)
    writer.become(operator.outputs[0], _line(writer, made, operator, spatial), True)


def _volume(writer: Writer, operator: Operator) -> None:
    value = writer.typed(writer.take(_first(operator), True), True)
    made = writer.add("CONV_3D", [value], _shaped(operator.outputs[0].shape, True), "float32")
    writer.become(operator.outputs[0], made, True)


def _weights(writer: Writer, operator: Operator, position: int, shape: tuple[int, ...]) -> Tensor:
    held = operator.input(position)
    assert held is not None
    dtype = "int8" if writer.real != "float32" else "float32"
    weights = writer.new(held.name, dtype, shape)
    weights.read = writer.value(held).tensor.read or held.read
    return weights


def _bias(writer: Writer, operator: Operator, outs: int) -> Tensor:
    """The bias, which the converter adds where the model has none."""
    dtype = {"int8": "int32", "int16": "int64"}.get(writer.real, "float32")
    bias = Tensor(f"{operator.name}/bias", dtype, (outs,), None)
    bias.read = _zeros(outs)
    return bias


def _zeros(count: int) -> Any:
    return lambda: np.zeros(count, np.int64)


def _plane(writer: Writer, value: Tensor, spatial: int) -> Tensor:
    """A line as a plane one high."""
    if spatial != 1 or value.shape is None:
        return value
    shape = (value.shape[0], 1, *value.shape[1:])
    return writer.add("RESHAPE", [value, integers(_known(shape))], shape)


def _flat(shape: Shape | None, spatial: int) -> Shape | None:
    return shape if spatial != 1 or shape is None else (shape[0], 1, *shape[1:])


def _line(writer: Writer, made: Tensor, operator: Operator, spatial: int) -> Tensor:
    shape = _shaped(operator.outputs[0].shape, True)
    return made if spatial != 1 else writer.add("RESHAPE", [made, integers(_known(shape))], shape)


def _padded(writer: Writer, value: Tensor, facts: Facts, kind: str) -> tuple[Tensor, str]:
    """SAME where the pads are those of SAME, VALID without any, else a PAD and VALID. Three sizes at most."""
    if facts["auto_pad"] == "SAME_UPPER":
        return value, "SAME"
    pads = tuple(facts["pads"])
    half = len(pads) // 2
    sizes, outs = facts.shape(0)[2:], facts.out_shape(0)[2:]
    if kind != "TRANSPOSE" and any(pads) and all(_same(facts, axis, sizes[axis], outs[axis]) for axis in range(half)):
        return value, "SAME"
    more = [_reach(facts, axis, sizes[axis], outs[axis], pads[axis], pads[axis + half]) for axis in range(half)]
    if not any(pads) and not any(more):
        return value, "VALID"
    amounts = [(pads[axis], pads[axis + half] + more[axis]) for axis in range(half)]
    if half == 1:
        amounts = [(0, 0), *amounts]
    table = [(0, 0), *amounts, (0, 0)]
    shape = _known(value.shape)
    out = tuple(size + sum(pair) for size, pair in zip(shape, table, strict=True))
    return writer.add("PAD", [value, integers(table)], out), "VALID"


def _same(facts: Facts, axis: int, size: int, out: int) -> bool:
    """Whether an axis is padded as TensorFlow pads it for SAME: the odd one at the end."""
    from whichpu.graphs.facts.onnx import strides

    pads = facts["pads"]
    before, after = pads[axis], pads[axis + len(pads) // 2]
    total = _reach(facts, axis, size, out, 0, 0)
    return out == math.ceil(size / strides(facts)[axis]) and (before, after) == (total // 2, total - total // 2)


def _steps(facts: Facts) -> tuple[int, int]:
    return facts["stride_h"], facts["stride_w"]


def _reach(facts: Facts, axis: int, size: int, out: int, before: int, after: int) -> int:
    """What rounding the output size up needs beyond the pads."""
    from whichpu.graphs.facts.onnx import dilations, kernel, strides

    window = (kernel(facts)[axis] - 1) * dilations(facts)[axis] + 1
    return max(0, (out - 1) * strides(facts)[axis] + window - size - before - after)


def _transposed(writer: Writer, operator: Operator, facts: Facts) -> None:
    """TRANSPOSE_CONV without padding, one for each group, and a STRIDED_SLICE that cuts the pads off."""
    if facts["spatial"] != 2:
        writer.stop(REFUSED, f"onnx2tf stops at a ConvTranspose over {facts['spatial']} dimensions")
        return
    if facts.attribute("output_shape"):
        writer.stop(REFUSED, "onnx2tf stops at a ConvTranspose with output_shape: write pads and output_padding")
        return
    if facts["dilation_h"] > 1 or facts["dilation_w"] > 1:
        writer.stop(REFUSED, "TensorFlow can't calibrate a dilated ConvTranspose")
        return
    value = writer.typed(writer.take(_first(operator), True), False)
    groups, outs, kernel = facts["groups"], facts["out_channels"], (facts["kernel_h"], facts["kernel_w"])
    batch, high, wide, deep = _known(value.shape)
    whole = [
        size * step + max(window - step, 0) + extra
        for size, step, window, extra in zip((high, wide), _steps(facts), kernel, facts["output_padding"], strict=True)
    ]
    parts = [value]
    if groups > 1:
        parts = _split(writer, value, groups)
    made = []
    for part in parts:
        weights = _weights(writer, operator, 1, (outs // groups, *kernel, deep // groups))
        shape = (batch, *whole, outs // groups)
        inputs = [integers(shape), weights, part, _bias(writer, operator, outs // groups)]
        steps: dict[str, Any] = {"stride_h": facts["stride_h"], "stride_w": facts["stride_w"]}
        made.append(writer.add("TRANSPOSE_CONV", inputs, shape, writer.real, padding="VALID", **steps))
    joined = made[0] if groups == 1 else writer.add("CONCATENATION", made, (batch, *whole, outs), axis=3)
    if any(facts["pads"]):
        joined = _sliced(writer, joined, _shaped(operator.outputs[0].shape, True), (1, 1, 1, 1))
    writer.become(operator.outputs[0], joined, True)


def _split(writer: Writer, value: Tensor, parts: int) -> list[Tensor]:
    assert writer.source is not None
    shape = _known(value.shape)
    outputs = [
        writer.new(f"{writer.source.name}/SPLIT:{part}", value.dtype, (*shape[:-1], shape[-1] // parts))
        for part in range(parts)
    ]
    writer._put("SPLIT", [integers(len(shape) - 1), value], outputs, "", {"num_splits": parts})
    return outputs


def _sliced(writer: Writer, value: Tensor, shape: Shape | None, steps: Sequence[int]) -> Tensor:
    rank = len(shape or ())
    begins, ends = integers([0] * rank), integers([1] * rank)
    return writer.add("STRIDED_SLICE", [value, begins, ends, integers(steps)], shape)


def _pooled(writer: Writer, operator: Operator, facts: Facts) -> None:
    kind = {"MaxPool": "MAX_POOL_2D", "AveragePool": "AVERAGE_POOL_2D"}[operator.type]
    spatial = facts["spatial"]
    if spatial == 3:
        writer.stop(UNKNOWN, "what onnx2tf makes of a pooling in three dimensions was not looked at")
        return
    value = _plane(writer, writer.typed(writer.take(_first(operator), True), False), spatial)
    dilated = operator.type == "MaxPool" and (facts["dilation_h"] > 1 or facts["dilation_w"] > 1)
    value, padding = _padded(writer, value, facts, "Pool")
    out = _flat(_shaped(operator.outputs[0].shape, True), spatial)
    window = {"kernel_h": facts["kernel_h"], "kernel_w": facts["kernel_w"]}
    steps: dict[str, Any] = {"stride_h": facts["stride_h"], "stride_w": facts["stride_w"]}
    if dilated:
        made = writer.add("FlexDilation2D", [writer.typed(value, True)], out, "float32", "custom")
    else:
        made = writer.add(kind, [value], out, padding=padding, **window, **steps)
    if operator.type == "AveragePool" and any(facts["pads"]) and (padding == "VALID" or facts["count_include_pad"]):
        made = _corrected(writer, made)
    writer.become(operator.outputs[0], _line(writer, made, operator, spatial), True)


def _corrected(writer: Writer, made: Tensor) -> Tensor:
    """The rim of an average over pads: slices multiplied by what they lack, and joined again."""
    for axis in (1, 2):
        cut = _sliced(writer, made, made.shape, (1, 1, 1, 1))
        scaled = writer.add("MUL", [cut, cut], cut.shape)
        made = writer.add("CONCATENATION", [scaled], made.shape, axis=axis)
    return made


def _global(writer: Writer, operator: Operator, facts: Facts) -> None:
    value = writer.typed(writer.take(_first(operator), True), False)
    axes = list(range(1, facts["rank"] - 1))
    shape = _shaped(operator.outputs[0].shape, True)
    made = writer.add(GLOBAL[operator.type], [value, integers(axes)], shape, keep_dims=True)
    writer.become(operator.outputs[0], made, True)


def _reduced(writer: Writer, operator: Operator, facts: Facts) -> None:
    last, rank = _form(writer, operator), facts["rank"]
    axes = [_axis(axis, rank, last) for axis in facts["axes"]]
    found = writer.take(_first(operator), last)
    output = operator.outputs[0]
    keep = facts["keepdims"]
    left = [axis for axis in range(rank) if axis not in facts["axes"]]
    stays = last and (keep or (len(left) > 2 and left[:2] == [0, 1]))
    shape = _shaped(output.shape, stays)
    if last and not keep and not stays and len(left) > 1 and 1 in left and left != [0, 1]:
        found, axes, last = writer.take(_first(operator), False), list(facts["axes"]), False
    for kind in REDUCTIONS[operator.type]:
        found = writer.typed(found, kind in STILL)
        if kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
            found = writer.add(kind, [found, integers(axes)], shape, keep_dims=keep)
        else:
            found = writer.add(kind, [found, found][: 1 + (kind == "MUL")], found.shape)
    writer.become(output, found, stays)


# Products.


def _dense(writer: Writer, operator: Operator, facts: Facts) -> None:
    """MatMul and Gemm: FULLY_CONNECTED with constant weights of two dimensions, else BATCH_MATMUL."""
    first, second = facts.tensor(0), facts.tensor(1)
    output = operator.outputs[0]
    constant = second.constant and len(second.shape or ()) == 2 and not first.constant
    left = writer.typed(writer.take(first, False), False)
    if not constant:
        right = writer.typed(writer.take(second, False), False)
        inputs = [left, right]
        writer.become(output, writer.add("BATCH_MATMUL", inputs, output.shape, writer.real), False)
        return
    depth, outs = _known(second.shape) if not facts.attribute("transB") else _known(second.shape)[::-1]
    held: list[Tensor | None] = [left, _weights(writer, operator, 1, (outs, depth))]
    held.append(_bias(writer, operator, outs) if operator.input(2) is not None else None)
    made = writer.add("FULLY_CONNECTED", held, output.shape, writer.real, activation="NONE")
    writer.become(output, made, False)


def _einsum(writer: Writer, operator: Operator, facts: Facts) -> None:
    inputs = [writer.typed(writer.take(tensor, False), False) for tensor in operator.inputs if tensor is not None]
    if len(inputs) != 2:
        raise UnknownFactError("an Einsum of other than two values")
    writer.become(operator.outputs[0], writer.add("BATCH_MATMUL", inputs, operator.outputs[0].shape), False)


# Moves.


def _turned(writer: Writer, operator: Operator, facts: Facts) -> None:
    last, perm = _form(writer, operator), tuple(facts["perm"])
    rank = len(perm)
    held = writer.value(_first(operator))
    view = {True: to_last, False: from_last}[held.last](rank) if rank > 2 else None
    if perm == view and not held.tensor.constant:
        writer.become(operator.outputs[0], held.tensor, not held.last)
        return
    value = writer.take(_first(operator), last)
    if last and rank > 2:
        inside, out = from_last(rank), to_last(rank)
        perm = tuple(inside[perm[axis]] for axis in out)
    made = writer.transpose(value, perm)
    if made is value:
        _nothing(writer, operator, facts)
        return
    writer.become(operator.outputs[0], made, last)


def _reshaped(writer: Writer, operator: Operator, facts: Facts) -> None:
    """In ONNX's order, which the meaning of a reshape hangs on."""
    value, shape = writer.take(_first(operator), False), operator.outputs[0].shape
    if value.shape == shape and len(shape or ()) < 3:
        _nothing(writer, operator, facts)
        return
    writer.become(operator.outputs[0], writer.add("RESHAPE", [value, integers(_known(shape))], shape), False)


def _joined(writer: Writer, operator: Operator, facts: Facts) -> None:
    last, rank = _form(writer, operator), facts["rank"]
    real = writer.is_real(operator.outputs[0])
    found = [writer.take(tensor, last) for tensor in operator.inputs if tensor is not None]
    inputs = [writer.typed(tensor, False) if real else tensor for tensor in found]
    axis = _axis(facts["axis"], rank, last)
    made = writer.add("CONCATENATION", inputs, _shaped(operator.outputs[0].shape, last), axis=axis, activation="NONE")
    writer.become(operator.outputs[0], made, last)


def _cut(writer: Writer, operator: Operator, facts: Facts) -> None:
    last, rank = _form(writer, operator), facts["rank"]
    value = writer.take(_first(operator), last)
    shape = _shaped(operator.outputs[0].shape, last)
    steps = [1] * rank
    for axis, step in zip(facts["axes"], facts["steps"], strict=True):
        steps[_axis(axis, rank, last)] = step
    if shape == value.shape:  # a reversal of a whole axis goes lost, too
        _nothing(writer, operator, facts)
        return
    writer.become(operator.outputs[0], _sliced(writer, value, shape, steps), last)


def _parted(writer: Writer, operator: Operator, facts: Facts) -> None:
    """A STRIDED_SLICE for each output that is used."""
    last = _form(writer, operator)
    value = writer.take(_first(operator), last)
    for output in operator.outputs:
        shape = _shaped(output.shape, last)
        writer.become(output, _sliced(writer, value, shape, [1] * len(shape or ())), last)


def _grown(writer: Writer, operator: Operator, facts: Facts) -> None:
    """Pad: PAD with zeros, PADV2 with another value, MIRROR_PAD of a reflection, one for each step of an edge."""
    last, rank = _form(writer, operator), facts["rank"]
    value = writer.take(_first(operator), last)
    given = facts.attribute("pads") or facts.value(1)
    if len(given) != 2 * rank:
        writer.stop(REFUSED, "onnx2tf stops at a Pad of some axes only (opset 18): give the pads of all axes")
        return
    order = to_last(rank) if last and rank > 2 else tuple(range(rank))
    table = [(given[axis], given[axis + rank]) for axis in order]
    shape, mode = _shaped(operator.outputs[0].shape, last), facts["mode"]
    if any(amount < 0 for pair in table for amount in pair):
        writer.become(operator.outputs[0], _sliced(writer, value, shape, [1] * rank), last)
        return
    if mode == "constant" and not any(amount for pair in table for amount in pair):
        _nothing(writer, operator, facts)
        return
    kind = {"reflect": "MIRROR_PAD", "edge": "MIRROR_PAD"}.get(mode, "PADV2" if _fills(facts) else "PAD")
    made = writer.add(kind, [value, integers(table)], shape, mode="REFLECT")
    writer.become(operator.outputs[0], made, last)


def _fills(facts: Facts) -> bool:
    """Whether a Pad writes another value than 0."""
    given = facts.operator.input(2)
    if given is None or given.read is None:
        return bool(facts.attribute("value"))
    return bool(given.read().any())


def _spread(writer: Writer, operator: Operator, facts: Facts) -> None:
    """Expand: a product with ones."""
    if operator.outputs[0].shape == _first(operator).shape:
        _nothing(writer, operator, facts)
        return
    last = _form(writer, operator)
    value = writer.take(_first(operator), last)
    shape = _shaped(operator.outputs[0].shape, last)
    writer.become(operator.outputs[0], writer.add("MUL", [value, value], shape), last)


def _tiled(writer: Writer, operator: Operator, facts: Facts) -> None:
    last, rank = _form(writer, operator), facts["rank"]
    value, shape = writer.take(_first(operator), last), _shaped(operator.outputs[0].shape, last)
    repeats = permuted(tuple(facts.value(1)), to_last(rank) if last and rank > 2 else range(rank))
    writer.become(operator.outputs[0], writer.add("TILE", [value, integers(repeats)], shape), last)


def _gathered(writer: Writer, operator: Operator, facts: Facts) -> None:
    data, index = facts.tensor(0), facts.tensor(1)
    rank, last = len(data.shape or ()), _form(writer, operator) and len(facts.tensor(0).shape or ()) > 2
    single = len(index.shape or ()) == 1
    if last and not single:
        last = False
    value = writer.take(data, last)
    where = writer.value(index).tensor
    output = operator.outputs[0]
    if not where.constant:
        where = _wrapped(writer, where)
    axis = _axis(int(facts.attribute("axis", 0)), rank, last)
    made = writer.add(
        "GATHER", [value, where], _shaped(output.shape, last), writer.dtype(data), axis=axis, batch_dims=0
    )
    writer.become(output, made, last)


def _wrapped(writer: Writer, where: Tensor) -> Tensor:
    """Indices that may be negative, counted from the front."""
    mask = writer.add("LESS", [where, where], where.shape, "bool")
    back = writer.add("CAST", [mask], where.shape, where.dtype)
    back = writer.add("MUL", [back, back], where.shape)
    return writer.add("ADD", [where, back], where.shape)


def _blocks(writer: Writer, operator: Operator, facts: Facts) -> None:
    value = writer.take(_first(operator), True)
    shape, block = _shaped(operator.outputs[0].shape, True), facts["block"]
    if operator.type == "SpaceToDepth" or facts["mode"] == "DCR":
        kind = "SPACE_TO_DEPTH" if operator.type == "SpaceToDepth" else "DEPTH_TO_SPACE"
        writer.become(operator.outputs[0], writer.add(kind, [value], shape, block_size=block), True)
        return
    batch, high, wide, deep = _known(value.shape)
    inner = (batch, high, wide, deep // block**2, block, block)
    made = writer.add("RESHAPE", [value, integers(inner)], inner)
    made = writer.transpose(made, (0, 1, 4, 2, 5, 3))
    writer.become(operator.outputs[0], writer.add("RESHAPE", [made, integers(_known(shape))], shape), True)


def _softmax(writer: Writer, operator: Operator, facts: Facts) -> None:
    """Along the last axis; else between two TRANSPOSEs."""
    kind = {"Softmax": "SOFTMAX", "LogSoftmax": "LOG_SOFTMAX"}[operator.type]
    last, rank = _form(writer, operator), facts["rank"]
    value = writer.typed(writer.take(_first(operator), last), False)
    axis = _axis(facts["axis"], rank, last)
    perm = list(range(rank))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    moved = writer.transpose(value, perm)
    made = writer.add(kind, [moved], moved.shape)
    writer.become(operator.outputs[0], writer.transpose(made, perm), last)


def _resized(writer: Writer, operator: Operator, facts: Facts) -> None:
    mode, coordinates = facts["mode"], facts["coordinates"] if operator.type == "Resize" else "asymmetric"
    if facts.attribute("antialias"):
        writer.stop(REFUSED, "TensorFlow Lite's converter fails at a Resize with antialias")
        return
    value, shape = writer.take(_first(operator), True), _shaped(operator.outputs[0].shape, True)
    if mode == "cubic":
        made = writer.add("FlexResizeBicubic", [writer.typed(value, True)], shape, "float32", "custom")
        writer.become(operator.outputs[0], made, True)
        return
    if facts["rank"] == 3 and mode == "nearest":
        plane = _plane(writer, writer.typed(value, False), 1)
        wide = _flat(shape, 1)
        found = writer.add("RESIZE_NEAREST_NEIGHBOR", [plane, integers(_known(wide)[1:3])], wide)
        found = writer.add("GATHER", [found, integers(0)], shape, axis=1, batch_dims=0)
        writer.become(operator.outputs[0], found, True)
        return
    if facts["rank"] != 4 or "crop" in coordinates:
        raise UnknownFactError(f"a {mode} Resize with {coordinates} over {facts['rank'] - 2} dimensions")
    kind = "RESIZE_BILINEAR" if mode == "linear" else "RESIZE_NEAREST_NEIGHBOR"
    later = (facts.graph.opset or 0) >= 18  # the converter heeds the coordinates up to opset 17 only
    flags: dict[str, Any] = {
        "align_corners": coordinates == "align_corners" and not later,
        "half_pixel_centers": "half_pixel" in coordinates or later,
    }
    value = writer.typed(value, False)
    made = writer.add(kind, [value, integers(_known(shape)[1:3])], shape, **flags)
    writer.become(operator.outputs[0], made, True)


def _searched(writer: Writer, operator: Operator, facts: Facts) -> None:
    """ArgMax gives int64, and a RESHAPE where the axis is kept."""
    last, rank = _form(writer, operator), facts["rank"]
    kind = "ARG_MAX" if operator.type == "ArgMax" else "ARG_MIN"
    value = writer.typed(writer.take(_first(operator), last), False)
    axis = _axis(facts["axis"], rank, last)
    shape = value.shape
    rest = None if shape is None else tuple(size for at, size in enumerate(shape) if at != axis)
    made = writer.add(kind, [value, integers(axis)], rest, "int64")
    output = operator.outputs[0]
    if facts["keepdims"] and kind == "ARG_MAX":
        made = writer.add("RESHAPE", [made, integers(_known(_shaped(output.shape, last)))], _shaped(output.shape, last))
    writer.become(output, made, last and facts["keepdims"])


def _best(writer: Writer, operator: Operator, facts: Facts) -> None:
    last, rank = _form(writer, operator), facts["rank"]
    axis = _axis(int(facts.attribute("axis", -1)), rank, last)
    value = writer.typed(writer.take(_first(operator), last), False)
    perm = list(range(rank))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    moved = writer.transpose(value, perm)
    shapes = [permuted(_shaped(output.shape, last), perm) for output in operator.outputs]
    outputs = [
        writer.new(f"{operator.name}/TOPK_V2:{at}", moved.dtype if at == 0 else "int32", shape)
        for at, shape in enumerate(shapes)
    ]
    writer._put("TOPK_V2", [moved, writer.value(facts.tensor(1)).tensor], outputs, "", {})
    for output, made in zip(operator.outputs, outputs, strict=True):
        writer.become(output, writer.transpose(made, perm), last)


# Normalisations.


def _layer(writer: Writer, operator: Operator, facts: Facts) -> None:
    """LayerNormalization and InstanceNormalization: means, squared differences, RSQRT, products."""
    last, rank = _form(writer, operator), facts["rank"]
    value = writer.typed(writer.take(_first(operator), last), False)
    named = range(2, rank) if operator.type == "InstanceNormalization" else range(facts["axis"], rank)
    axes = integers([_axis(axis, rank, last) for axis in named])
    inside = axes.read().tolist() if axes.read else []
    small = None if value.shape is None else tuple(1 if a in inside else n for a, n in enumerate(value.shape))
    mean = writer.add("MEAN", [value, axes], small, keep_dims=True)
    spread = writer.add("SQUARED_DIFFERENCE", [value, mean], value.shape)
    found = writer.add("MEAN", [spread, axes], small, keep_dims=True)
    for kind in ("ADD", "RSQRT"):
        found = writer.add(kind, [found, found][: 1 + (kind == "ADD")], small)
    for kind in ("MUL", "MUL", "MUL", "SUB", "ADD"):
        found = writer.add(kind, [value, found], value.shape)
    writer.become(operator.outputs[0], found, last)


def _grouped(writer: Writer, operator: Operator, facts: Facts) -> None:
    """GroupNormalization over five dimensions; its squares stay in float."""
    value = writer.typed(writer.take(_first(operator), True), False)
    shape = _known(value.shape)
    groups = int(facts.attribute("num_groups", 1))
    inner = (*shape[:-1], groups, shape[-1] // groups)
    axes = integers([*range(1, len(shape) - 1), len(shape)])
    small = (shape[0], *(1 for _ in shape[1:-1]), groups, 1)
    found = writer.add("RESHAPE", [value, integers(inner)], inner)
    mean = writer.add("MEAN", [found, axes], small, keep_dims=True)
    centred = writer.add("SUB", [found, mean], inner)
    square = writer.add("SQUARE", [writer.typed(centred, True)], inner, "float32")
    var = writer.add("MEAN", [writer.typed(square, False), axes], small, keep_dims=True)
    for kind in ("ADD", "RSQRT"):
        var = writer.add(kind, [var, var][: 1 + (kind == "ADD")], small)
    found = writer.add("MUL", [centred, var], inner)
    found = writer.add("RESHAPE", [found, integers(shape)], shape)
    for kind in ("MUL", "ADD"):
        found = writer.add(kind, [found, found], shape)
    writer.become(operator.outputs[0], found, True)


def _averaged(writer: Writer, operator: Operator, facts: Facts) -> None:
    """Mean of several values: PACK and MEAN."""
    last = _form(writer, operator)
    inputs = [writer.typed(writer.take(tensor, last), False) for tensor in operator.inputs if tensor is not None]
    shape = _known(_shaped(operator.outputs[0].shape, last))
    packed = writer.add("PACK", inputs, (len(inputs), *shape), axis=0)
    writer.become(operator.outputs[0], writer.add("MEAN", [packed, integers([0])], shape, keep_dims=False), last)


def _exponents(writer: Writer, operator: Operator, facts: Facts) -> None:
    """ReduceLogSumExp, kept in range by its largest value where that is finite."""
    last, shape = _form(writer, operator), None
    value = writer.typed(writer.take(_first(operator), last), False)
    axes = integers([_axis(axis, facts["rank"], last) for axis in facts["axes"]])
    inside = axes.read().tolist() if axes.read else []
    shape = tuple(1 if axis in inside else size for axis, size in enumerate(_known(value.shape)))
    most = writer.add("REDUCE_MAX", [value, axes], shape, keep_dims=True)
    least = writer.add("SUB", [most, most], shape)
    mask = writer.add("EQUAL", [least, least], shape, "bool")
    most = writer.add("SELECT_V2", [mask, most, most], shape, writer.real)
    found = writer.add("EXP", [writer.add("SUB", [value, most], value.shape)], value.shape)
    found = writer.add("LOG", [writer.add("SUM", [found, axes], shape, keep_dims=True)], shape)
    found = writer.add("ADD", [found, most], shape)
    writer.become(operator.outputs[0], found, last and facts["keepdims"])


def _unnumbered(writer: Writer, operator: Operator, facts: Facts) -> None:
    """IsNaN: a value in float that is not equal to itself."""
    last = _form(writer, operator)
    value = writer.typed(writer.take(_first(operator), last), True)
    made = writer.add("NOT_EQUAL", [value, value], value.shape, "bool")
    writer.become(operator.outputs[0], made, last)


def _hottest(writer: Writer, operator: Operator, facts: Facts) -> None:
    """Hardmax: ARG_MAX and ONE_HOT."""
    last = _form(writer, operator)
    value = writer.typed(writer.take(_first(operator), last), False)
    axis = _axis(facts["axis"], facts["rank"], last)
    rest = tuple(size for at, size in enumerate(_known(value.shape)) if at != axis)
    found = writer.add("ARG_MAX", [value, integers(axis)], rest, "int64")
    writer.become(operator.outputs[0], writer.add("ONE_HOT", [found], value.shape, writer.real, axis=axis), last)


def _coded(writer: Writer, operator: Operator, facts: Facts) -> None:
    """OneHot: negative indices brought round by FLOOR_MOD, and ONE_HOT."""
    value = writer.value(_first(operator))
    found = value.tensor
    for kind in ("CAST", "ADD", "FLOOR_MOD", "CAST"):
        found = writer.add(kind, [found, found][: 1 + (kind != "CAST")], found.shape)
    output = operator.outputs[0]
    writer.become(output, writer.add("ONE_HOT", [found], output.shape, writer.dtype(output)), False)


def _sampled(writer: Writer, operator: Operator, facts: Facts) -> None:
    """GridSample: GATHERs of a flattened map, weighted; of computed places, which are worked out in float."""
    value = writer.typed(writer.take(_first(operator), True), False)
    shape = _known(_shaped(operator.outputs[0].shape, True))
    flat = (math.prod(_known(value.shape)[:3]), shape[3])
    table = writer.add("RESHAPE", [value, integers(flat)], flat)
    places = integers(np.zeros((math.prod(shape[1:3]),)))
    if not facts.tensor(1).constant:
        grid = writer.typed(writer.take(facts.tensor(1), False), True)
        places = writer.add("CAST", [writer.add("FLOOR", [grid], grid.shape)], places.shape, "int64")
    found = writer.add("GATHER", [table, places], shape, axis=0, batch_dims=0)
    if "nearest" not in str(facts.attribute("mode", "linear")):
        for kind in ("MUL", "ADD"):
            found = writer.add(kind, [found, found], shape)
    writer.become(operator.outputs[0], found, True)


def _normed(writer: Writer, operator: Operator, facts: Facts) -> None:
    """ReduceL2; with the division by it that follows one L2_NORMALIZATION."""
    consumers = operator.outputs[0].consumers
    whole = len(consumers) == 1 and consumers[0].type == "Div" and consumers[0].input(0) is _first(operator)
    if not whole:
        _reduced(writer, operator, facts)
        return
    last = _form(writer, operator)
    value = writer.typed(writer.take(_first(operator), last), False)
    writer.become(operator.outputs[0], writer.add("L2_NORMALIZATION", [value], value.shape), last)


def _chained(writer: Writer, operator: Operator, facts: Facts) -> None:
    _chain(writer, operator, CHAINS[operator.type], _form(writer, operator))


RULES: dict[str, Rule] = {
    **dict.fromkeys(SAME, _unary),
    **dict.fromkeys(FLOAT, _floating),
    **dict.fromkeys(CHAINS, _chained),
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(COMPARISONS, _compared),
    **dict.fromkeys(REDUCTIONS, _reduced),
    **dict.fromkeys(GLOBAL, _global),
    **dict.fromkeys(("Identity", "Dropout", "QuantizeLinear", "DequantizeLinear"), _nothing),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshaped),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization"), _layer),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pooled),
    **dict.fromkeys(("MatMul", "Gemm"), _dense),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _blocks),
    **dict.fromkeys(("Resize", "Upsample"), _resized),
    **dict.fromkeys(("ArgMax", "ArgMin"), _searched),
    "BatchNormalization": _normalised,
    "GridSample": _sampled,
    "Hardmax": _hottest,
    "IsNaN": _unnumbered,
    "Mean": _averaged,
    "ReduceL2": _normed,
    "ReduceLogSumExp": _exponents,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _joined,
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "Einsum": _einsum,
    "Expand": _spread,
    "Gather": _gathered,
    "GroupNormalization": _grouped,
    "OneHot": _coded,
    "PRelu": _prelu,
    "Pad": _grown,
    "Relu": _relu,
    "Selu": _selu,
    "Slice": _cut,
    "Split": _parted,
    "ThresholdedRelu": _thresholded,
    "Tile": _tiled,
    "TopK": _best,
    "Transpose": _turned,
    "Where": _where,
}
"""What becomes of each ONNX operator."""
