"""Micro models: forms that a held-out set brought up, each on both sides of the rule that was learnt from it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from micro_net import Body, Entry, Net, alone, convolved, f32, multiplied, node, scalar, spread
from micro_operators import transposed

LATER = 18
"""Opset from which on axes of a Pad and of reductions are inputs."""


def gelus() -> Iterator[Entry]:
    """Orders of the factors in x * 0.5 * (1 + erf(x / sqrt(2)))."""
    half, one, root = scalar(0.5), scalar(1), scalar(2**0.5)

    def total(net: Net, x: str) -> str:
        return str(net("Add", net("Erf", net("Div", x, root)), one))

    orders: dict[str, Body] = {
        "x_ha": lambda n, x: n("Mul", x, n("Mul", half, total(n, x))),
        "ha_x": lambda n, x: n("Mul", n("Mul", half, total(n, x)), x),
        "ah_x": lambda n, x: n("Mul", n("Mul", total(n, x), half), x),
        "h_xa": lambda n, x: n("Mul", half, n("Mul", x, total(n, x))),
        "h_ax": lambda n, x: n("Mul", half, n("Mul", total(n, x), x)),
        "xh_a": lambda n, x: n("Mul", n("Mul", x, half), total(n, x)),
        "hx_a": lambda n, x: n("Mul", n("Mul", half, x), total(n, x)),
        "a_xh": lambda n, x: n("Mul", total(n, x), n("Mul", x, half)),
    }
    for name, body in orders.items():
        yield f"Gelu_order_{name}", convolved, body, LATER


def norms() -> Iterator[Entry]:
    def power_norm(exponent: float, epsilon: float | None, centred: bool = False) -> Body:
        def body(net: Net, x: str) -> str:
            x = net("Sub", x, net("ReduceMean", x, [-1])) if centred else x
            mean = net("ReduceMean", net("Mul", x, x), [-1])
            mean = mean if epsilon is None else net("Add", mean, scalar(epsilon))
            return str(net("Mul" if exponent < 0 else "Div", x, net("Pow", mean, scalar(exponent))))

        return body

    yield "RMSNorm_pow_mul", multiplied, power_norm(-0.5, 1e-6), LATER
    yield "RMSNorm_pow_div", multiplied, power_norm(0.5, 1e-6), LATER
    yield "RMSNorm_pow_no_epsilon", multiplied, power_norm(-0.5, None), LATER
    yield "LayerNorm_pow", multiplied, power_norm(-0.5, 1e-6, centred=True), LATER
    for axis in (1, 3):
        for between in ("", "Clip", "Expand"):
            yield f"Length_{axis}_{between or 'plain'}", convolved, length(axis, between), LATER
    yield "Length_of_half", convolved, lambda n, x: n("Div", n("ReduceL2", x, [1]), scalar(2)), LATER


def length(axis: int, between: str) -> Body:
    def body(net: Net, x: str) -> str:
        norm = net("ReduceL2", x, [axis])
        if between:
            norm = net("Clip", norm, scalar(1e-12)) if between == "Clip" else net("Expand", norm, [1, 16, 32, 32])
        return str(net("Div", x, norm))

    return body


def focuses() -> Iterator[Entry]:
    """Space to depth by slices: the order of the parts, one step or two, channels first or last."""
    columns_later, columns_first = ((0, 0), (1, 0), (0, 1), (1, 1)), ((0, 0), (0, 1), (1, 0), (1, 1))
    for twice in (False, True):
        word = "twice" if twice else "once"
        for name, order in (("rows", columns_later), ("columns", columns_first)):
            yield f"Focus_{name}_{word}", convolved, in_parts(order, twice), LATER
        yield f"Focus_relu_{word}", convolved, in_parts(columns_later, twice, then="Relu"), LATER
        yield (
            f"Focus_last_{word}",
            convolved,
            in_parts(columns_later, twice, last=True),
            LATER,
        )


def in_parts(order: tuple[tuple[int, int], ...], twice: bool, *, last: bool = False, then: str = "") -> Body:
    def body(net: Net, x: str) -> str:
        made = parts(net, net("Transpose", x, perm=[0, 2, 3, 1]) if last else x, order, twice, 1 if last else 2)
        return str(net(then, made)) if then else made

    return body


def parts(net: Net, x: str, order: tuple[tuple[int, int], ...], twice: bool, first: int = 2) -> str:
    ends, axes = [32, 32], [first, first + 1]
    cut = []
    for row, column in order:
        if twice:
            rows = net("Slice", x, [row], [32], [first], [2])
            cut.append(net("Slice", rows, [column], [32], [first + 1], [2]))
        else:
            cut.append(net("Slice", x, [row, column], ends, axes, [2, 2]))
    return str(net("Concat", *cut, axis=1 if first == 2 else 3))


def sizes() -> Iterator[Entry]:
    for way, targets in (
        ("align_corners", (63, 94, 16, 32, 1)),
        ("half_pixel", (96, 16, 8, 1)),
        ("asymmetric", (96, 48, 16, 24)),
    ):
        for size in targets:
            yield f"Resize_{way}_to_{size}", convolved, resized(way, size), LATER
    yield (
        "Resize_from_one",
        convolved,
        lambda n, x: resized("align_corners", 32)(n, n("GlobalAveragePool", x)),
        LATER,
    )
    for block in (3, 4, 8):
        channels = 2 * block * block
        yield (
            f"DepthToSpace_{block}",
            alone((1, 3, 16, 16)),
            between(channels, 2, node("DepthToSpace", blocksize=block)),
            LATER,
        )
    for channels in (8, 24, 48):
        yield (
            f"Tile_{channels}_channels",
            alone((1, 3, 16, 16)),
            between(channels, 2 * channels, node("Tile", [1, 2, 1, 1])),
            LATER,
        )
    yield "Tile_three_dims", multiplied, node("Tile", [1, 2, 1]), LATER
    for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield f"ConvTranspose_{auto}", convolved, automatic(auto), LATER
    yield "ConvTranspose_5s3_output_padding", convolved, transposed(5, 3, 2, output_padding=[1, 1]), LATER
    yield "Pad_axes_some", convolved, lambda n, x: n("Relu", n("Pad", x, [1, 1, 1, 1], None, [2, 3])), LATER
    yield (
        "Pad_axes_all",
        convolved,
        lambda n, x: n("Relu", n("Pad", x, [0, 0, 1, 1, 0, 0, 1, 1], None, [0, 1, 2, 3])),
        LATER,
    )


def between(channels: int, made: int, body: Body) -> Body:
    """Behind a convolution to some channels, and before one of those that it makes of them."""
    return lambda n, x: n.conv(body(n, n.conv(x, channels, 3)), 8, made)


def resized(way: str, size: int) -> Body:
    def body(net: Net, x: str) -> str:
        sizes = [1, 16, size, size]
        return str(net("Resize", x, None, None, sizes, mode="linear", coordinate_transformation_mode=way))

    return body


def automatic(auto: str) -> Body:
    return lambda n, x: str(n("ConvTranspose", x, n.weights(16, 16, 3, 3), strides=[2, 2], auto_pad=auto))


def moves() -> Iterator[Entry]:
    """Transposes of many axes, and blocks that they stand in."""
    for name, split, perm, back in (
        ("PixelShuffle_parts", [1, 4, 2, 2, 32, 32], [0, 1, 4, 2, 5, 3], [1, 4, 64, 64]),
        ("PixelUnshuffle_parts", [1, 16, 16, 2, 16, 2], [0, 1, 3, 5, 2, 4], [1, 64, 16, 16]),
        ("Transpose_side_by_side", [2, 8, 8, 4, 32], [1, 0, 4, 2, 3], [1, 16, 32, 32]),
        ("Transpose_five_moved", [2, 8, 8, 4, 32], [0, 2, 1, 4, 3], [1, 16, 32, 32]),
    ):
        yield (
            name,
            convolved,
            moved(split, perm, back),
            LATER,
        )
    for heads in (2, 8):
        yield f"Attention_{heads}_heads", multiplied, partial(attention, heads=heads), LATER
    yield "Attention_constant_keys", multiplied, partial(attention, heads=4, constant=True), LATER


def moved(split: list[int], perm: list[int], back: list[int]) -> Body:
    return lambda n, x: str(n("Reshape", n("Transpose", n("Reshape", x, split), perm=perm), back))


def attention(net: Net, x: str, heads: int, *, constant: bool = False) -> str:
    """softmax(q k^T) v over heads; with constant keys what a decoder does with an encoder's."""

    def head(perm: list[int]) -> str:
        split = net("Reshape", net("MatMul", x, net.weights(64, 64)), [1, 32, heads, 64 // heads])
        return str(net("Transpose", split, perm=perm))

    keys = spread(1, heads, 64 // heads, 32) if constant else head([0, 2, 3, 1])
    weights = net("Softmax", net("MatMul", head([0, 2, 1, 3]), keys), axis=-1)
    joined = net("Transpose", net("MatMul", weights, head([0, 2, 1, 3])), perm=[0, 2, 1, 3])
    return str(net("Reshape", joined, [1, 32, 64]))


def cells() -> Iterator[Entry]:
    for kind, gates in (("LSTM", 4), ("GRU", 3)):
        weights = f"{kind}_variant"
        yield f"{weights}_layout", alone((14, 1, 10)), recurrent(kind, gates, layout=0), OPSET_OF_LAYOUT
        yield f"{weights}_no_bias", alone((14, 1, 10)), recurrent(kind, gates, bias=False), LATER
        yield f"{weights}_state", alone((14, 1, 10)), recurrent(kind, gates, state=True), LATER
        yield f"{weights}_last", alone((14, 1, 10)), recurrent(kind, gates, last=True), LATER


OPSET_OF_LAYOUT = 14


def recurrent(
    kind: str, gates: int, *, bias: bool = True, state: bool = False, last: bool = False, layout: int | None = None
) -> Body:
    def body(net: Net, x: str) -> str:
        biases = net.weights(1, 24 * gates) if bias else None
        zeros = [None, *[np.zeros((1, 1, 12), np.float32)] * (2 if kind == "LSTM" else 1)] if state else []
        more = {} if layout is None else {"layout": layout}
        inputs = [
            x,
            net.weights(1, 12 * gates, 10),
            net.weights(1, 12 * gates, 12),
            *([biases] if bias else []),
            *zeros,
        ]
        if state and not bias:
            raise ValueError("a state stands behind the bias")
        made = net(kind, *inputs, hidden_size=12, outs=2, **more)
        return str(net("Squeeze", made[1], [0]) if last else net("Squeeze", made[0], [1]))

    return body


def others() -> Iterator[Entry]:
    yield "Clip_left_out", convolved, node("Clip", scalar(-1), None), LATER
    yield "Max_then_divide", convolved, lambda n, x: n("Div", x, n("Max", n("ReduceL2", x, [1]), f32(1e-6))), LATER


FAMILIES = (gelus, norms, focuses, sizes, moves, cells, others)
