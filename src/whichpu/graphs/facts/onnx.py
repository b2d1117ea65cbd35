"""Facts of ONNX operators: attributes under common names, NCHW layout. Source: ONNX operator specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.facts import Facts

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
    return lambda facts: tuple(facts.attribute(name) or (1,) * len(kernel(facts)))


strides, dilations = _per_axis("strides"), _per_axis("dilations")


def pads(facts: Facts) -> tuple[int, ...]:
    """Begins, then ends, per axis. SAME padding is worked out from the sizes."""
    auto = facts.attribute("auto_pad", "NOTSET")
    if auto in ("NOTSET", "", None):
        return tuple(facts.attribute("pads") or (0,) * (2 * len(kernel(facts))))
    if auto == "VALID":
        return (0,) * (2 * len(kernel(facts)))
    begins, ends = [], []
    for size, out, k, s, d in zip(
        facts.shape(0)[2:], facts.out_shape(0)[2:], kernel(facts), strides(facts), dilations(facts), strict=True
    ):
        total = max(0, (out - 1) * s + (k - 1) * d + 1 - size)
        small, large = total // 2, total - total // 2
        begins.append(small if auto == "SAME_UPPER" else large)
        ends.append(large if auto == "SAME_UPPER" else small)
    return (*begins, *ends)


def _at(of: Callable[[Facts], tuple[int, ...]], position: int, otherwise: int = 1) -> Callable[[Facts], int]:
    def fact(facts: Facts) -> int:
        values = of(facts)
        return values[position] if -len(values) <= position < len(values) else otherwise

    return fact


def _height(of: Callable[[Facts], tuple[int, ...]]) -> Callable[[Facts], int]:
    """The second-last spatial axis; 1 where there is only one."""
    return lambda facts: of(facts)[-2] if len(of(facts)) > 1 else 1


def _channels(facts: Facts) -> int:
    shape = facts.shape(0)
    return shape[1] if len(shape) > 1 else shape[0]


def _out_channels(facts: Facts) -> int:
    shape = facts.out_shape(0)
    return shape[1] if len(shape) > 1 else shape[0]


def _depthwise(facts: Facts) -> bool:
    groups = int(facts.attribute("group", 1))
    return groups > 1 and groups == _channels(facts)


def axis(facts: Facts) -> int:
    """The operator's axis, counted from the front."""
    default = {"Softmax": -1, "LogSoftmax": -1, "Hardmax": -1, "Flatten": 1, "LayerNormalization": -1}
    given = facts.attribute("axis", default.get(facts.operator.type, 0))
    if facts.operator.type in ("Softmax", "LogSoftmax", "Hardmax") and (facts.graph.opset or 13) < 13:
        given = facts.attribute("axis", 1)
    rank: int = facts["rank"]
    return int(given) % rank if rank else int(given)


def axes(facts: Facts) -> tuple[int, ...]:
    """Axes that a reduction, a slice or a squeeze works on, counted from the front; all where none are named."""
    kind = facts.operator.type
    given = facts.attribute("axes")
    position = 3 if kind == "Slice" else 1
    if given is None and facts.operator.input(position) is not None:
        given = facts.value(position)
    rank = facts["rank"] + (len(given) if kind == "Unsqueeze" and given else 0)
    if given is None:
        starts = facts.value(1) if kind == "Slice" and facts.operator.input(1) is not None else range(rank)
        return tuple(range(len(starts)))
    return tuple(int(a) % rank for a in given)


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
        return tuple(facts.value(position or 0))
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


def _terms(facts: Facts) -> tuple[str, ...]:
    """The terms of an Einsum's equation, the result last: ``("bij", "bjk", "bik")``."""
    given, _, result = str(facts.attribute("equation", "")).replace(" ", "").partition("->")
    return (*given.split(","), result)


ALPHAS = {"LeakyRelu": 0.01, "Elu": 1.0, "HardSigmoid": 0.2, "Selu": 1.67326, "ThresholdedRelu": 1.0, "Celu": 1.0}

FACTS: Mapping[str, Callable[[Facts], Any]] = {
    "kernel": kernel,
    "kernel_h": _height(kernel),
    "kernel_w": _at(kernel, -1),
    "spatial": lambda f: len(kernel(f)),
    "strides": strides,
    "stride_h": _height(strides),
    "stride_w": _at(strides, -1),
    "dilations": dilations,
    "dilation_h": _height(dilations),
    "dilation_w": _at(dilations, -1),
    "pads": pads,
    "auto_pad": lambda f: f.attribute("auto_pad", "NOTSET") or "NOTSET",
    "output_padding": lambda f: tuple(f.attribute("output_padding") or (0,) * len(kernel(f))),
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
    "mode": lambda f: f.attribute("mode", {"Pad": "constant", "DepthToSpace": "DCR"}.get(f.operator.type, "nearest")),
    "coordinates": lambda f: f.attribute("coordinate_transformation_mode", "half_pixel"),
    "nearest_mode": lambda f: f.attribute("nearest_mode", "round_prefer_floor"),
    "alpha": lambda f: f.attribute("alpha", ALPHAS.get(f.operator.type)),
    "low": _bound("min", 1),
    "high": _bound("max", 2),
    "ceil_mode": lambda f: bool(f.attribute("ceil_mode", 0)),
    "count_include_pad": lambda f: bool(f.attribute("count_include_pad", 0)),
    "block": lambda f: f.attribute("blocksize"),
    "direction": lambda f: f.attribute("direction", "forward"),
    "to": lambda f: f.attribute("to"),
    "terms": _terms,
    "gelu_form": _gelu_form,
    "approximate": lambda f: f.attribute("approximate", "none"),
}
