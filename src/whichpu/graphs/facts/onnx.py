"""Facts of ONNX operators: attributes under common names, NCHW layout. Source: ONNX operator specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.facts import Facts
from whichpu.graphs.graph import CONVERSIONS

POOLS = ("MaxPool", "AveragePool", "LpPool")


def kernel(facts: Facts) -> tuple[int, ...]:
    """Window of a convolution or a pooling, height first; of a global pooling the whole map."""
    kind = facts.operator.type
    if kind.startswith("Global"):
        return facts.shape(0)[2:]
    given = facts.attribute("kernel_shape")
    if given:
        return tuple(given)
    if kind in POOLS:
        raise UnknownFactError(f"kernel_shape of {kind} {facts.operator.name!r} is not given")
    return facts.shape(1)[2:]


def _per_axis(name: str) -> Callable[[Facts], tuple[int, ...]]:
    return lambda facts: tuple(facts.attribute(name) or (1,) * len(facts["kernel"]))


strides, dilations = _per_axis("strides"), _per_axis("dilations")


def pads(facts: Facts) -> tuple[int, ...]:
    """Begins, then ends, per axis; for SAME, and where a ConvTranspose is given its output_shape, out of the sizes."""
    auto = facts.attribute("auto_pad", "NOTSET")
    given = facts.attribute("output_shape")
    if auto in ("NOTSET", "", None) and not given:
        return tuple(facts.attribute("pads") or (0,) * (2 * len(facts["kernel"])))
    if auto == "VALID" and not given:
        return (0,) * (2 * len(facts["kernel"]))
    begins, ends = [], []
    small_maps, large_maps = facts.out_shape(0)[2:], facts.shape(0)[2:]
    more = (0,) * len(facts["kernel"])
    if facts.operator.type == "ConvTranspose":
        small_maps, large_maps, more = large_maps, small_maps, facts["output_padding"]
    for small_map, size, k, s, d, extra in zip(
        small_maps, large_maps, facts["kernel"], facts["strides"], facts["dilations"], more, strict=True
    ):
        total = max(0, (small_map - 1) * s + (k - 1) * d + 1 + extra - size)
        small, large = total // 2, total - total // 2
        begins.append(small if auto == "SAME_UPPER" else large)
        ends.append(large if auto == "SAME_UPPER" else small)
    return (*begins, *ends)


def _from_end(name: str, position: int) -> Callable[[Facts], int]:
    """Of a fact with a value a spatial axis, one counted from the back; 1 where there are fewer."""

    def fact(facts: Facts) -> int:
        values = facts[name]
        return int(values[-position]) if len(values) >= position else 1

    return fact


def _channels(facts: Facts) -> int:
    shape = facts.shape(0)
    return shape[1] if len(shape) > 1 else shape[0]


def _out_channels(facts: Facts) -> int:
    shape = facts.out_shape(0)
    return shape[1] if len(shape) > 1 else shape[0]


def _depthwise(facts: Facts) -> bool:
    groups = int(facts.attribute("group", 1))
    return groups > 1 and groups == _channels(facts)


AXIS = {
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LayerNormalization", "RMSNormalization"), -1),
    **dict.fromkeys(("LpNormalization", "TopK", "OneHot"), -1),
    **dict.fromkeys(("Flatten", *CONVERSIONS), 1),
}
"""The axis where none is given and it is not 0."""


def axis(facts: Facts) -> int:
    """The operator's axis, counted from the front."""
    kind, rank = facts.operator.type, int(facts["rank"])
    given = facts.attribute("axis", AXIS.get(kind, 0))
    if kind in ("Softmax", "LogSoftmax", "Hardmax") and (facts.graph.opset or 13) < 13:
        given = facts.attribute("axis", 1)
    if kind == "Flatten" and int(given) == rank:  # all axes come before it
        return rank
    return int(given) % rank if rank else int(given)


def axes(facts: Facts) -> tuple[int, ...]:
    """Axes that a reduction, a slice or a squeeze works on, counted from the front; all where none are named.

    Where none are named a Squeeze takes those of size 1, a Slice as many as it has starts.
    """
    kind = facts.operator.type
    given = facts.attribute("axes")
    position = {"Slice": 3, "Pad": 3, "Resize": None}.get(kind, 1)
    if given is None and position is not None and facts.operator.input(position) is not None:
        given = facts.value(position)
    if given or (given is not None and kind == "Unsqueeze"):
        rank = facts["rank"] + (len(given) if kind == "Unsqueeze" else 0)
        return tuple(int(a) % rank for a in given)
    if kind == "Squeeze":
        return tuple(place for place, size in enumerate(facts.shape(0)) if size == 1)
    if kind == "Slice":
        starts = facts.attribute("starts") or facts.value(1)
        return tuple(range(len(starts)))
    return () if facts.attribute("noop_with_empty_axes") else tuple(range(facts["rank"]))


def steps(facts: Facts) -> tuple[int, ...]:
    """Steps of a Slice, in the order of its axes."""
    if facts.operator.input(4) is not None:
        return tuple(facts.value(4))
    return (1,) * len(axes(facts))


def scales(facts: Facts) -> tuple[float, ...]:
    """Out size over in size of each axis of a Resize or Upsample; the scales as given where they are constant."""
    position = {"Upsample": 1, "Resize": 2 if (facts.graph.opset or 11) >= 11 else 1}.get(facts.operator.type)
    given = facts.operator.input(position) if position is not None else None
    if given is not None and given.constant and given.elements:
        told = facts.value(position or 0)
        of = dict(zip(facts["axes"], told, strict=True))
        return tuple(of.get(place, 1.0) for place in range(facts["rank"]))
    if facts.attribute("scales"):
        return tuple(facts.attribute("scales"))
    return tuple(out / size for size, out in zip(facts.shape(0), facts.out_shape(0), strict=True))


def _permutation(facts: Facts) -> tuple[int, ...]:
    given = facts.attribute("perm")
    return tuple(given) if given is not None else tuple(reversed(range(facts["rank"])))


def _bound(name: str, position: int) -> Callable[[Facts], float | None]:
    """A bound of Clip: attribute up to opset 10, input from 11."""

    def fact(facts: Facts) -> float:
        infinite = float("-inf") if name == "min" else float("inf")
        if facts.operator.input(position) is None:
            return float(facts.attribute(name, infinite))
        value = facts.value(position)
        return float(value[0] if isinstance(value, list) else value)

    return fact


def _gelu_form(facts: Facts) -> bool:
    """Whether an Erf stands in x * 0.5 * (1 + erf(x / sqrt(2))), whatever the order of the products."""
    before = facts.tensor(0).producer
    after = list(facts.graph.children(facts.operator))
    if before is None or before.type not in ("Div", "Mul") or [child.type for child in after] != ["Add"]:
        return False
    return [child.type for child in facts.graph.children(after[0])] == ["Mul"]


def _length_form(facts: Facts) -> str:
    """``divisor`` where a norm's length goes on as what a Div divides by, ``expanded divisor`` where by way of Expand;
    else empty. Clip, Max and Min may stand between."""
    operator, form = facts.operator, "divisor"
    while True:
        tensor = operator.outputs[0]
        after = list(facts.graph.children(operator))
        if any(child.type == "Div" and child.input(1) is tensor for child in after):
            return form
        if len(after) != 1 or after[0].type not in ("Clip", "Max", "Min", "Expand"):
            return ""
        operator = after[0]
        form = "expanded divisor" if operator.type == "Expand" else form


def _moved_axes(facts: Facts) -> int:
    """Axes that a Transpose moves, those of size 1 left out and those that stay side by side counted as one."""
    shape = facts.shape(0)
    order = [axis for axis in _permutation(facts) if shape[axis] != 1]
    wide = sorted(order)
    after = {axis: wide[place + 1] for place, axis in enumerate(wide[:-1])}
    return len(order) - sum(after.get(left) == right for left, right in pairwise(order))


def _taken_as(facts: Facts) -> tuple[int, ...]:
    """As which input each operator behind takes the first output."""
    tensor = facts.operator.outputs[0]
    return tuple(child.inputs.index(tensor) for child in tensor.consumers)


def _used_ranks(facts: Facts) -> tuple[int, ...]:
    """Ranks of the outputs that something takes."""
    used = [tensor for tensor in facts.operator.outputs if tensor.consumers or tensor in facts.graph.outputs]
    if any(tensor.shape is None for tensor in used):
        raise UnknownFactError(f"the shapes that {facts.operator.type} {facts.operator.name!r} gives are not known")
    return tuple(len(tensor.shape or ()) for tensor in used)


def _terms(facts: Facts) -> tuple[str, ...]:
    """The terms of an Einsum's equation, the result last: ``("bij", "bjk", "bik")``."""
    given, arrow, result = str(facts.attribute("equation", "")).replace(" ", "").partition("->")
    if not arrow:  # the letters that stand once, in their order
        result = "".join(letter for letter in sorted({*given} - {","}) if given.count(letter) == 1)
    return (*given.split(","), result)


def _mode(facts: Facts) -> str:
    default = {"Pad": "constant", "DepthToSpace": "DCR", "RoiAlign": "avg"}.get(facts.operator.type, "nearest")
    if facts.operator.type == "GridSample":
        default = "linear" if (facts.graph.opset or 20) >= 20 else "bilinear"
    return str(facts.attribute("mode", default))


def _old_resize(facts: Facts) -> bool:
    """Upsample, and Resize of opset 10: coordinates are not named, but divided by the scale and rounded down."""
    kind = facts.operator.type
    return kind == "Upsample" or (kind == "Resize" and (facts.graph.opset or 11) < 11)


def _coordinates(facts: Facts) -> str:
    default = "asymmetric" if _old_resize(facts) else "half_pixel"
    return str(facts.attribute("coordinate_transformation_mode", default))


def _nearest_mode(facts: Facts) -> str:
    return str(facts.attribute("nearest_mode", "floor" if _old_resize(facts) else "round_prefer_floor"))


ALPHAS = {"LeakyRelu": 0.01, "Elu": 1.0, "HardSigmoid": 0.2, "Selu": 1.67326, "ThresholdedRelu": 1.0, "Celu": 1.0}

FACTS: Mapping[str, Callable[[Facts], Any]] = {
    "kernel": kernel,
    "kernel_h": _from_end("kernel", 2),
    "kernel_w": _from_end("kernel", 1),
    "spatial": lambda f: len(f["kernel"]),
    "strides": strides,
    "stride_h": _from_end("strides", 2),
    "stride_w": _from_end("strides", 1),
    "dilations": dilations,
    "dilation_h": _from_end("dilations", 2),
    "dilation_w": _from_end("dilations", 1),
    "pads": pads,
    "auto_pad": lambda f: f.attribute("auto_pad", "NOTSET") or "NOTSET",
    "output_padding": lambda f: tuple(f.attribute("output_padding") or (0,) * len(f["kernel"])),
    "groups": lambda f: int(f.attribute("group", 1)),
    "depthwise": _depthwise,
    "multiplier": lambda f: _out_channels(f) // _channels(f),
    "channels": _channels,
    "out_channels": _out_channels,
    "height": lambda f: f.shape(0)[-2],
    "width": lambda f: f.shape(0)[-1],
    "out_height": lambda f: f.out_shape(0)[-2],
    "out_width": lambda f: f.out_shape(0)[-1],
    "bias": lambda f: f.operator.input(2) is not None,
    "axis": axis,
    "axes": axes,
    "steps": steps,
    "scales": scales,
    "perm": _permutation,
    "keepdims": lambda f: bool(f.attribute("keepdims", 1)),
    "mode": _mode,
    "coordinates": _coordinates,
    "nearest_mode": _nearest_mode,
    "alpha": lambda f: f.attribute("alpha", ALPHAS.get(f.operator.type)),
    "low": _bound("min", 1),
    "high": _bound("max", 2),
    "ceil_mode": lambda f: bool(f.attribute("ceil_mode", 0)),
    "count_include_pad": lambda f: bool(f.attribute("count_include_pad", 0)),
    "block": lambda f: f.attribute("blocksize"),
    "direction": lambda f: f.attribute("direction", "forward"),
    "to": lambda f: f.attribute("to"),
    "terms": _terms,
    "length_form": _length_form,
    "moved_axes": _moved_axes,
    "used_ranks": _used_ranks,
    "taken_as": _taken_as,
    "ends": lambda f: f["feeds_output"] or f["consumers"] == ("Identity",),
    "gelu_form": _gelu_form,
}
