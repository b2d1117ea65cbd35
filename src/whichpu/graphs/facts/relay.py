"""Facts of TVM Relay calls and composites under common names. Source: apache/tvm v0.18.0, relay attributes.

Calls carry scales and zero points as attributes (:mod:`whichpu.graphs.lowering.relay_builder`). Arm's support library
sees four sizes, filled up with ones at the end: ``dims``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.facts import Facts
from whichpu.graphs.graph import Tensor, known

SRAM_KIB = {
    "1tops-2ple": 448, "1tops-4ple": 448, "2tops-2ple": 768, "2tops-4ple": 768, "4tops-2ple": 1024,
    "4tops-4ple": 1024, "8tops-2ple": 2048,
}  # fmt: skip
"""SRAM of each Ethos-N78 variant. Source: Arm Ethos-N driver stack 23.02, support library, FirmwareAndHardware data."""
Pads = tuple[int, int, int, int]
"""Top, left, bottom, right."""


def dims(tensor: Tensor, facts: Facts) -> tuple[int, ...]:
    """Sizes as the support library gets them: four, ones at the end."""
    sizes = known(tensor, facts.operator)
    return (*sizes, *(1,) * (4 - len(sizes)))


def _attribute(name: str) -> Callable[[Facts], Any]:
    return lambda facts: facts.attribute(name)


def _pair(name: str, position: int) -> Callable[[Facts], Any]:
    def fact(facts: Facts) -> Any:
        value = facts.attribute(name)
        return None if value is None else value[position]

    return fact


def data_sizes(facts: Facts) -> tuple[tuple[int, ...], ...]:
    """Sizes of the inputs that hold activations, and of the outputs."""
    inputs = [tensor for tensor in facts.operator.inputs if tensor is not None and not tensor.constant]
    return tuple(known(tensor, facts.operator) for tensor in (*inputs, *facts.operator.outputs))


def chunk_bytes(facts: Facts) -> int:
    """The least that must fit into SRAM: 8x8 of all channels; 0 for maps one wide, which the DMA can split."""
    return max(64 * sizes[3] if len(sizes) > 3 and sizes[2] != 1 else 64 for sizes in facts["data_sizes"])


def _own_pads(facts: Facts) -> Pads | None:
    given: Pads | None = facts.attribute("padding")
    return given


def pads(facts: Facts) -> Pads | None:
    """Padding of a window: of the nn.pad in front of it, or its own."""
    widths = facts.attribute("pad_width")
    if widths is None or len(widths) != 4:
        return _own_pads(facts)
    return (widths[1][0], widths[2][0], widths[1][1], widths[2][1])


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """The larger and the smaller half of SAME padding on one axis."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total - total // 2, total // 2


def standard_pads(facts: Facts) -> bool | None:
    """No padding, or SAME with the odd row before, after, or on both sides, alike on both axes."""
    given = pads(facts)
    if given is None:
        return None
    transposed = facts.operator.type.endswith("conv2d_transpose")
    sizes = (facts.out_shape() if transposed else facts.shape(0))[1:3]
    window = zip(sizes, facts["kernel"], facts["strides"], strict=True)
    (more_y, less_y), (more_x, less_x) = (same_pads(*each) for each in window)
    top, left, bottom, right = given
    fits = [
        (0, 0, 0, 0),
        (more_y, more_x, more_y, more_x),
        (more_y, more_x, less_y, less_x),
        (less_y, less_x, more_y, more_x),
    ]
    return (top, left, bottom, right) in fits


def expected_out(facts: Facts) -> tuple[int, ...]:
    """What a convolution gives, by the support library's reckoning."""
    given = pads(facts)
    if given is None:
        raise UnknownFactError(f"the padding of {facts.operator.name!r} is not known")
    top, left, bottom, right = given
    _, height, width, *_ = facts.shape(0)
    (kernel_h, kernel_w), (stride_h, stride_w) = facts["kernel"], facts["strides"]
    if facts.operator.type.endswith("conv2d_transpose"):
        rows = (height - 1) * stride_h + kernel_h - top - bottom
        columns = (width - 1) * stride_w + kernel_w - left - right
    else:
        rows = (height + top + bottom - kernel_h) // stride_h + 1
        columns = (width + left + right - kernel_w) // stride_w + 1
    weights = facts["weights_shape"]
    return (1, rows, columns, weights[2] * weights[3] if facts["depthwise"] else weights[3])


def depthwise(facts: Facts) -> bool:
    """As TVM tells it: as many groups as output channels, and more than one."""
    groups = facts.attribute("groups", 1)
    return bool(groups != 1 and groups == facts.attribute("channels"))


def overall(least: bool) -> Callable[[Facts], float | None]:
    """Input scale times weight scale over output scale: the smallest or largest of the channels."""

    def fact(facts: Facts) -> float | None:
        given = [facts.attribute(f"{name}_scale") for name in ("input", "kernel", "output")]
        if any(value is None for value in given):
            return None
        inputs, kernels, output = (value if isinstance(value, tuple) else (value,) for value in given)
        values = [left * right / output[0] for left in inputs for right in kernels]
        return float(min(values) if least else max(values))

    return fact


def per_channel(facts: Facts) -> int | None:
    """How many scales the weights have."""
    given = facts.attribute("kernel_scale")
    return None if given is None else len(given) if isinstance(given, tuple) else 1


def largest_input_scale(facts: Facts) -> float | None:
    given = facts.attribute("input_scales") or (facts.attribute("input_scale"),)
    return None if any(value is None for value in given) else float(max(given))


def pooled_bytes(facts: Facts) -> int:
    """What a 3x3 average pooling holds in each SRAM bank: maps in and out, twice where depth is split, and its kernel.

    Source: support library 22.05, IsAvgPool_3x3_1_1_FitSram; 16 banks, 4096 bytes of PLE kernel, bricks of 8x8.
    """
    _, height, width, channels = dims(facts.tensor(0), facts)
    bricks = -(-height // 8) * 8 * (-(-width // 8) * 8)
    return (2 if channels > 16 else 1) * 2 * bricks + 4096


# A constant operand.


def _sides(facts: Facts) -> tuple[str, str, int]:
    """Prefix of the data operand, of the constant one, and the position of the latter."""
    return ("rhs", "lhs", 0) if facts.tensor(0).constant else ("lhs", "rhs", 1)


def constant_elements(facts: Facts) -> int | None:
    return facts.tensor(_sides(facts)[2]).elements


def _constant_real(facts: Facts) -> float:
    """The one value of a constant operand, as a real number."""
    _, prefix, position = _sides(facts)
    tensor = facts.tensor(position)
    stored = facts.value(position)
    while isinstance(stored, list):
        stored = stored[0]
    step, zero = facts.attribute(f"{prefix}_scale"), facts.attribute(f"{prefix}_zero_point", 0)
    if step is None:
        raise UnknownFactError(f"the scale of {tensor.name!r} is not known")
    return float((stored - zero) * step)


def identity_error(facts: Facts) -> float:
    """How far a product or sum by a constant is from the same stored values: by scale, or in zero points."""
    data = _sides(facts)[0]
    step, zero = facts.attribute(f"{data}_scale"), facts.attribute(f"{data}_zero_point", 0)
    out_step, out_zero = facts.attribute("output_scale"), facts.attribute("output_zero_point", 0)
    if step is None or out_step is None:
        raise UnknownFactError(f"the scales of {facts.operator.name!r} are not known")
    if "mul" in facts.operator.type:
        return float(abs(step * _constant_real(facts) - out_step))
    return float(zero - _constant_real(facts) / step - out_zero)


def data_operand(facts: Facts) -> tuple[int, ...]:
    """Sizes of the operand that is not constant."""
    return facts.shape(1 - _sides(facts)[2])


def product_scale(facts: Facts) -> float | None:
    """Input times constant over output scale of a product by a constant."""
    data, constant, _ = _sides(facts)
    given = [facts.attribute(f"{name}_scale") for name in (data, constant, "output")]
    return None if any(value is None for value in given) else given[0] * given[1] / given[2]


def gap(facts: Facts) -> str:
    """Why a quantised convolution or dense layer stayed without its composite."""
    after = facts["consumers"]
    if "nn.bias_add" not in after:
        return "no nn.bias_add follows it"
    if len(after) > 1:
        return "its result is used outside of the pattern too"
    before = facts.tensor(0).producer
    if before is not None and before.type == "nn.pad" and len(before.outputs[0].consumers) > 1:
        return "the nn.pad before it is used elsewhere too"
    return "its weights or bias are computed, or no single qnn.requantize follows the bias"


FACTS: Mapping[str, Callable[[Facts], Any]] = {
    "dims": lambda f: dims(f.tensor(0), f),
    "out_dims": lambda f: dims(f.operator.outputs[0], f),
    "all_dims": lambda f: tuple(dims(t, f) for t in f.operator.inputs if t is not None),
    "out_sizes": lambda f: tuple(dims(t, f) for t in f.operator.outputs),
    "data_sizes": data_sizes,
    "data_ranks": lambda f: tuple(map(len, f["data_sizes"])),
    "batches": lambda f: tuple(sizes[0] if sizes else 1 for sizes in f["data_sizes"]),
    "chunk_bytes": chunk_bytes,
    "sram_bytes": lambda f: 1024 * SRAM_KIB[f.options["variant"]],
    "kernel": _attribute("kernel"),
    "kernel_h": _pair("kernel", 0),
    "kernel_w": _pair("kernel", 1),
    "strides": _attribute("strides"),
    "stride_h": _pair("strides", 0),
    "stride_w": _pair("strides", 1),
    "dilations": _attribute("dilations"),
    "pads": pads,
    "both_pads": lambda f: f.attribute("pad_width") is not None and any(_own_pads(f) or ()),
    "standard_pads": standard_pads,
    "expected_out": expected_out,
    "groups": lambda f: f.attribute("groups", 1),
    "depthwise": depthwise,
    "weights_shape": _attribute("weights_shape"),
    "data_layout": _attribute("data_layout"),
    "least_scale": overall(True),
    "most_scale": overall(False),
    "weight_scales": per_channel,
    "channels": lambda f: f.shape(0)[-1],
    "height": lambda f: dims(f.tensor(0), f)[1],
    "width": lambda f: dims(f.tensor(0), f)[2],
    "out_height": lambda f: dims(f.operator.outputs[0], f)[1],
    "out_width": lambda f: dims(f.operator.outputs[0], f)[2],
    "alpha": _attribute("alpha"),
    "low": _attribute("low"),
    "high": _attribute("high"),
    "axis": _attribute("axis"),
    "axes": _attribute("axes"),
    "method": _attribute("method"),
    "mode": _attribute("mode"),
    "block": _attribute("block"),
    "input_scale": _attribute("input_scale"),
    "input_zero": lambda f: f.attribute("input_zero_point", 0),
    "output_scale": _attribute("output_scale"),
    "output_zero": lambda f: f.attribute("output_zero_point", 0),
    "largest_input_scale": largest_input_scale,
    "constant_elements": constant_elements,
    "identity_error": identity_error,
    "data_operand": data_operand,
    "product_scale": product_scale,
    "gap": gap,
    "pooled_bytes": pooled_bytes,
    "output_zero_point_needed": lambda f: -128 if f.tensor(0).dtype == "int8" else 0,
    "why": _attribute("why"),
    "source_type": _attribute("source_type"),
}
