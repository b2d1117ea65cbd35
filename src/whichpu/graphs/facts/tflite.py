"""Facts of TFLite operators: attributes under common names, NHWC layout. Source: TFLite schema (schema.fbs).

``shape``, ``dtype``, ``scale`` and their like are of the input that carries the data: the third of TRANSPOSE_CONV, the
second of SPLIT, else the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.facts import Facts
from whichpu.graphs.graph import Tensor, known

CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "CONV_3D", "CONV_3D_TRANSPOSE"}
DATA = {"TRANSPOSE_CONV": 2, "CONV_3D_TRANSPOSE": 2, "SPLIT": 1}
"""Position of the data where it is not the first input."""
BIAS = {"TRANSPOSE_CONV": 3, "CONV_3D_TRANSPOSE": 3}
PARAMETERS = {
    "RESHAPE": (1,), "TRANSPOSE": (1,), "PAD": (1,), "PADV2": (1, 2), "MIRROR_PAD": (1,), "SLICE": (1, 2), "MEAN": (1,),
    "STRIDED_SLICE": (1, 2, 3), "SUM": (1,), "REDUCE_MAX": (1,), "REDUCE_MIN": (1,), "REDUCE_PROD": (1,),
    "REDUCE_ANY": (1,), "REDUCE_ALL": (1,), "EXPAND_DIMS": (1,), "RESIZE_BILINEAR": (1,), "TILE": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,), "ARG_MAX": (1,), "ARG_MIN": (1,), "SPLIT": (0,), "SPLIT_V": (1, 2),
    "REVERSE_V2": (1,), "TRANSPOSE_CONV": (0,), "GATHER": (1,), "GATHER_ND": (1,), "ONE_HOT": (0, 1),
    "BROADCAST_TO": (1,), "TOPK_V2": (1,), "SCATTER_ND": (0, 2), "FILL": (0,), "CUMSUM": (1,),
    "SPACE_TO_BATCH_ND": (1, 2), "BATCH_TO_SPACE_ND": (1, 2), "PRELU": (1,),
}  # fmt: skip
"""Inputs that say how to work, not what to work on."""
LSTM_GATES, LSTM_PEEPHOLES, LSTM_PROJECTION, LSTM_NORMS = range(1, 9), (9, 10, 11), (16, 17), (20, 21, 22, 23)
CERTAIN, SYMMETRIC = 255, 128
"""No 8-bit weight is further from its zero point; none of int8 around 0."""
FAR_BELOW = 127 * 65536
"""Sums of absolute weights up to here need no look at the weights: it is the lowest limit of all."""


def data(facts: Facts) -> Tensor:
    """The tensor that is worked on."""
    return facts.tensor(DATA.get(facts.operator.type, 0))


def _shape(facts: Facts) -> tuple[int, ...]:
    return known(data(facts), facts.operator)


def _rank(facts: Facts) -> int:
    shape = data(facts).shape
    if shape is None:
        raise UnknownFactError(f"the rank of {data(facts).name!r} is not known")
    return len(shape)


def _axis_size(of: Callable[[Facts], tuple[int, ...]], position: int) -> Callable[[Facts], int]:
    """A size counted from the back (1 is the last); 1 where the shape has fewer axes, as in a shape filled up to 4."""

    def fact(facts: Facts) -> int:
        sizes = of(facts)
        return sizes[-position] if len(sizes) >= position else 1

    return fact


def _out(facts: Facts) -> tuple[int, ...]:
    return facts.out_shape(0)


def _kernel(position: int, name: str) -> Callable[[Facts], int]:
    """Height or width of a convolution's weights (OHWI) or of a pooling window."""

    def fact(facts: Facts) -> int:
        if facts.operator.type in CONVOLUTIONS:
            return facts.shape(1)[position]
        return int(facts.attribute(name, 1))

    return fact


def _padded(facts: Facts) -> bool:
    """Whether SAME padding adds anything here: strides may divide the map without a rest."""
    if facts.attribute("padding") != "SAME":
        return False
    for axis, side in ((1, "h"), (2, "w")):
        size, stride = _shape(facts)[axis], max(1, facts[f"stride_{side}"])
        reach = (facts[f"kernel_{side}"] - 1) * facts[f"dilation_{side}"] + 1
        if (-(-size // stride) - 1) * stride + reach > size:
            return True
    return False


def _joins_pad(facts: Facts) -> bool:
    """Whether a PAD before it, feeding nothing else, can be told as the convolution's own padding."""
    padded = data(facts)
    pad = padded.producer
    if pad is None or pad.type != "PAD" or len(padded.consumers) != 1:
        return False
    amounts = pad.input(1)
    if amounts is None or amounts.read is None or amounts.elements != 8:
        return False
    batch, high, wide, deep = amounts.read().tolist()
    fits = max(high) < facts["kernel_h"] and max(wide) < facts["kernel_w"]
    return fits and not any(batch) and not any(deep) and any((*high, *wide))


def _at_edge(facts: Facts) -> Callable[[str], bool]:
    """Whether an input or output of this type is one of the model's own."""
    operator = facts.operator
    edges = [t for t in operator.inputs if t is not None and t.producer is None and not t.constant]
    edges += [t for t in operator.outputs if any(t is output for output in facts.graph.outputs)]
    return lambda dtype: any(tensor.dtype == dtype for tensor in edges)


def _multiplier(facts: Facts) -> int:
    return facts.shape(1)[-1] // max(1, _shape(facts)[-1])


def _weights(facts: Facts) -> Tensor:
    return facts.tensor(1)


def _dynamic_weights(facts: Facts) -> bool:
    weights = facts.operator.input(1)
    return weights is not None and not weights.constant


def _weight_sum(facts: Facts) -> int:
    """The largest sum of |weight - zero point| over one output channel; a bound above it where that is small."""
    weights = _weights(facts)
    sizes = known(weights, facts.operator)
    axis = 3 if facts.operator.type == "DEPTHWISE_CONV_2D" else 0
    each = int(np.prod(sizes)) // max(1, sizes[axis]) if sizes else 1
    points = weights.quantisation.zero_points if weights.quantisation else ()
    bound = each * (SYMMETRIC if weights.dtype == "int8" and not any(points) else CERTAIN)
    if bound <= FAR_BELOW:
        return bound
    if weights.read is None:
        raise UnknownFactError(f"the weights of {facts.operator.name!r} are computed")
    values = weights.read().astype(np.int64)
    zero = np.array(points or (0,), np.int64)
    around = zero.reshape([-1 if a == axis else 1 for a in range(len(sizes))]) if len(zero) > 1 else zero
    return int(np.abs(values - around).sum(axis=tuple(a for a in range(len(sizes)) if a != axis)).max())


def _bias(facts: Facts) -> Tensor | None:
    return facts.operator.input(BIAS.get(facts.operator.type, 2))


def _bias_most(facts: Facts) -> int:
    """The largest bias."""
    bias = _bias(facts)
    if bias is None or not bias.elements:
        return 0
    if bias.read is None:
        raise UnknownFactError(f"the bias of {facts.operator.name!r} is computed")
    return int(bias.read().max())


def _bias_by_channel(facts: Facts) -> bool:
    """Whether the bias lies along its last axis alone."""
    bias = _bias(facts)
    return bias is None or bias.shape is None or all(size == 1 for size in bias.shape[:-1])


def _parameters(facts: Facts) -> list[Tensor]:
    found = (facts.operator.input(position) for position in PARAMETERS.get(facts.operator.type, ()))
    return [tensor for tensor in found if tensor is not None]


def features(facts: Facts) -> list[Tensor]:
    """Feature maps: inputs that are worked on (weights and biases too, parameters not), and outputs."""
    skip = PARAMETERS.get(facts.operator.type, ())
    inputs = [tensor for at, tensor in enumerate(facts.operator.inputs) if tensor is not None and at not in skip]
    return inputs + facts.operator.outputs


def maps(facts: Facts) -> list[Tensor]:
    """Feature maps without weights and biases."""
    with_weights = facts.operator.type in CONVOLUTIONS | {"FULLY_CONNECTED", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
    return [data(facts), *facts.operator.outputs] if with_weights else features(facts)


def _quantised(facts: Facts) -> bool:
    """Whether each feature map and weight carries a scale; biases, bools and integers of 32 bits and more need none."""
    bias = _bias(facts) if facts.operator.type in CONVOLUTIONS | {"FULLY_CONNECTED"} else None
    whole = ("int32", "uint32", "int64", "bool")
    return all(t.quantisation is not None or t.dtype in whole for t in features(facts) if t is not bias)


def _same_quantisation(facts: Facts) -> bool:
    """Whether all feature maps share one scale and zero point."""
    found = {
        (t.quantisation.scales, t.quantisation.zero_points or (0,)) if t.quantisation else None for t in maps(facts)
    }
    return len(found) == 1


def _axes(facts: Facts) -> tuple[int, ...]:
    """Axes an operator works along, counted from the front: of a reduction, a reversal, ARG_MAX, SPLIT, softmax."""
    kind, rank = facts.operator.type, facts["rank"]
    position = {"SPLIT": 0, "SPLIT_V": 2}.get(kind, 1)
    if facts.attribute("axis") is not None:
        given: Any = facts.attribute("axis")
    elif kind in ("SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION"):
        given = -1
    elif facts.attribute("squeeze_dims"):
        given = facts.attribute("squeeze_dims")
    else:
        given = facts.value(position)
    flat = given if isinstance(given, (list, tuple)) else [given]
    return tuple(int(axis) % rank if rank else int(axis) for axis in flat)


def _perm_inner(facts: Facts) -> bool:
    """Whether only height, width and depth change places, and all axes before them are 1."""
    perm, outer = tuple(facts.value(1)), max(0, facts["rank"] - 3)
    return perm[:outer] == tuple(range(outer)) and all(size == 1 for size in _shape(facts)[:outer])


def _begins(facts: Facts) -> tuple[int, ...]:
    return tuple(facts.value(1))


def _steps(facts: Facts) -> tuple[int, ...]:
    """Steps of a STRIDED_SLICE; 1 for each axis of a SLICE."""
    return tuple(facts.value(3)) if facts.operator.type == "STRIDED_SLICE" else (1,) * facts["rank"]


def _inner_steps(facts: Facts) -> tuple[int, ...]:
    """Steps over other axes than height and width, where the shape is filled up to NHWC."""
    steps = _steps(facts)
    return tuple(step for axis, step in enumerate(steps) if axis - len(steps) not in (-3, -2))


def _depth(facts: Facts) -> int:
    """How many products a matrix product sums up."""
    if facts.operator.type == "FULLY_CONNECTED":
        return facts.shape(1)[-1]
    return facts.shape(0)[-2 if facts.attribute("adj_x") else -1]


def _paddings(facts: Facts) -> tuple[tuple[int, int], ...]:
    """(before, after) of each axis of a PAD."""
    return tuple((int(before), int(after)) for before, after in facts.value(1))


def _scale_of(position: int) -> Callable[[Facts], float]:
    """How many times higher (position 1) or wider (2) a resized map is; by steps where corners are aligned."""

    def fact(facts: Facts) -> float:
        size, out = _shape(facts)[position], facts.out_shape(0)[position]
        if facts.attribute("align_corners"):
            size, out = size - 1, out - 1
        return out / size if size else 1.0

    return fact


FACTS: Mapping[str, Callable[[Facts], Any]] = {
    # The data and its like.
    "shape": _shape,
    "rank": _rank,
    "dtype": lambda f: data(f).dtype,
    "scale": lambda f: q.scales[0] if (q := data(f).quantisation) else None,
    "zero_point": lambda f: (q.zero_points or (0,))[0] if (q := data(f).quantisation) else None,
    "quantised": lambda f: data(f).quantisation is not None,
    "batch": lambda f: _shape(f)[0] if _rank(f) > 3 else 1,
    "height": _axis_size(_shape, 3),
    "width": _axis_size(_shape, 2),
    "channels": _axis_size(_shape, 1),
    "out_height": _axis_size(_out, 3),
    "out_width": _axis_size(_out, 2),
    "out_channels": _axis_size(_out, 1),
    "map_dtypes": lambda f: tuple(str(tensor.dtype) for tensor in maps(f)),
    "map_shapes": lambda f: tuple(known(tensor, f.operator) for tensor in maps(f)),
    "map_zero_points": lambda f: tuple(
        (str(t.dtype), (t.quantisation.zero_points or (0,))[0]) for t in maps(f) if t.quantisation is not None
    ),
    "in_zero_points": lambda f: tuple(
        (str(t.dtype), (t.quantisation.zero_points or (0,))[0])
        for t in maps(f)
        if t.quantisation is not None and not any(t is made for made in f.operator.outputs)
    ),
    "all_quantised": _quantised,
    "same_quantisation": _same_quantisation,
    "any_per_axis": lambda f: any(len(t.quantisation.scales) > 1 for t in features(f) if t.quantisation),
    "at_edge": _at_edge,
    "scalar": lambda f: any(tensor.shape == () and not tensor.constant for tensor in features(f)),
    "empty": lambda f: any(tensor is not None and tensor.elements == 0 for tensor in f.operator.inputs),
    # Convolutions and poolings.
    "kernel_h": _kernel(1, "kernel_h"),
    "kernel_w": _kernel(2, "kernel_w"),
    "stride_h": lambda f: int(f.attribute("stride_h", 1)),
    "stride_w": lambda f: int(f.attribute("stride_w", 1)),
    "dilation_h": lambda f: int(f.attribute("dilation_h", 1)) or 1,
    "dilation_w": lambda f: int(f.attribute("dilation_w", 1)) or 1,
    "padded": _padded,
    "joins_pad": _joins_pad,
    "padding": lambda f: f.attribute("padding"),
    "activation": lambda f: f.attribute("activation", "NONE"),
    "multiplier": _multiplier,
    "groups": lambda f: max(1, _shape(f)[-1] // max(1, f.shape(1)[-1])) if f.operator.type == "CONV_2D" else 1,
    "weight_dtype": lambda f: _weights(f).dtype,
    "weight_sum": _weight_sum,
    "dynamic_weights": _dynamic_weights,
    "bias": lambda f: _bias(f) is not None,
    "bias_constant": lambda f: b is None or b.constant if (b := _bias(f)) is not None else True,
    "bias_dtype": lambda f: b.dtype if (b := _bias(f)) is not None else None,
    "bias_most": _bias_most,
    "bias_by_channel": _bias_by_channel,
    # Other operators.
    "parameters_constant": lambda f: all(tensor.constant for tensor in _parameters(f)),
    "parameter_dtypes": lambda f: tuple(str(tensor.dtype) for tensor in _parameters(f)),
    "axes": _axes,
    "axis": lambda f: _axes(f)[0],
    "perm": lambda f: tuple(f.value(1)),
    "perm4": lambda f: (*range(lead := max(0, 4 - len(f["perm"]))), *(a + lead for a in f["perm"])),
    "shape4": lambda f: (*(1,) * (4 - _rank(f)), *_shape(f)),
    "perm_moves": lambda f: list(f["perm"]) != list(range(_rank(f))),
    "perm_inner": _perm_inner,
    "most_product": lambda f: math.prod(sorted(_shape(f))[2:]) if _rank(f) > 2 else 1,
    "begins": _begins,
    "steps": _steps,
    "paddings": _paddings,
    "reduced": lambda f: math.prod(_shape(f)[axis] for axis in set(_axes(f))),
    "reduced_most": lambda f: max((_shape(f)[axis] for axis in _axes(f)), default=1),
    "map_batch": lambda f: _shape(f)[-4] if _rank(f) > 3 else 1,
    "rows": lambda f: math.prod(_shape(f)[:-1]),
    "depth": _depth,
    "volume": lambda f: 0 not in f.out_shape(0),
    "inner_steps": _inner_steps,
    "mode": lambda f: f.attribute("mode"),
    "keepdims": lambda f: bool(f.attribute("keep_dims", False)),
    "alpha": lambda f: f.attribute("alpha"),
    "block": lambda f: f.attribute("block_size"),
    "align_corners": lambda f: bool(f.attribute("align_corners", False)),
    "half_pixel": lambda f: bool(f.attribute("half_pixel_centers", False)),
    "scale_h": _scale_of(1),
    "scale_w": _scale_of(2),
    "splits": lambda f: int(f.attribute("num_splits", 0)),
    "batch_dims": lambda f: int(f.attribute("batch_dims", 0)),
    "why": lambda f: f.attribute("why"),
    "source_type": lambda f: f.attribute("source_type"),
    "gates": lambda f: all(f.operator.input(at) is not None for at in LSTM_GATES),
    "peephole": lambda f: any(f.operator.input(at) is not None for at in LSTM_PEEPHOLES),
    "projection": lambda f: any(f.operator.input(at) is not None for at in LSTM_PROJECTION),
    "gate_norm": lambda f: any(f.operator.input(at) is not None for at in LSTM_NORMS),
}
