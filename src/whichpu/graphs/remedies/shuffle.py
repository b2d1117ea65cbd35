"""Channels that are only put in another order (ShuffleNet's shuffle), written as reshapes, transposes and gathers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichpu.graphs.graph import Operator, Tensor
from whichpu.graphs.remedies.edit import Edit
from whichpu.graphs.remedies.net import Net, floating, kind, made_by, out, sizes, values
from whichpu.graphs.remedies.remedy import Match, Remedy, match

RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
MOVES = (*RESHAPES, "Transpose", "Gather")
LONGEST = 8
MOST_ELEMENTS = 1 << 20
"""Of an image that is followed through the operators, element by element."""


def shuffle_to_conv(net: Net, operator: Operator) -> Match | None:
    """Operators that pick channels of an image, in any order, as a 1x1 convolution of zeros and ones."""
    if sizes(operator.outputs[0]) is None or any(one.type in MOVES for one in operator.outputs[0].consumers):
        return None
    for source, chain in _sources(net, operator):
        picked = _channels(source, chain)
        if picked is not None:
            return _as_conv(source, chain, picked)
    return None


def _as_conv(source: Tensor, chain: list[Operator], picked: NDArray[Any]) -> Match:
    last, count = chain[-1], (sizes(source) or (0, 0))[1]

    def rewrite(edit: Edit) -> None:
        place = edit.instead(last)
        weights = np.eye(count)[picked].reshape(len(picked), count, 1, 1)
        place.add("Conv", [source.name, place.constant(weights, kind(chain[0]))], out(last))

    return match(f"{len(picked)} of {count} channels are picked by a 1x1 convolution", rewrite, *chain)


def _sources(net: Net, operator: Operator) -> list[tuple[Tensor, list[Operator]]]:
    """Images of the same height and width before an operator, the farthest first, and the operators from there on."""
    end, found, chain = sizes(operator.outputs[0]), [], [operator]
    while len(chain) <= LONGEST:
        first, source = chain[0], chain[0].input(0)
        before = sizes(source)
        if source is None or before is None or not floating(source) or net.quantised(first):
            break
        moves = any(one.type in ("Transpose", "Gather") for one in chain)
        if end is not None and len(before) == 4 and moves and (before[0], *before[2:]) == (end[0], *end[2:]):
            found.append((source, list(chain)))
        maker = made_by(source, *MOVES)
        if maker is None:
            break
        chain.insert(0, maker)
    return [one for one in found[::-1] if len(one[1]) >= 3]


def _channels(source: Tensor, chain: list[Operator]) -> NDArray[Any] | None:
    """The channels that are picked, in order; None where the operators do more than that."""
    shape = sizes(source)
    if shape is None or not 0 < (source.elements or 0) <= MOST_ELEMENTS:
        return None
    before = np.arange(source.elements or 0).reshape(shape)
    after = before
    for operator in chain:
        moved = _moved(after, operator)
        if moved is None:
            return None
        after = moved
    picked: NDArray[Any] = after[0, :, 0, 0] // (shape[2] * shape[3])
    fits = picked.max(initial=0) < shape[1] and np.array_equal(after, before[:, picked])
    return picked if fits else None


def _moved(array: NDArray[Any], operator: Operator) -> NDArray[Any] | None:
    made = sizes(operator.outputs[0])
    if operator.type in RESHAPES:
        return array.reshape(made) if made is not None and np.prod(made) == array.size else None
    if operator.type == "Transpose":
        return array.transpose(operator.attributes.get("perm"))
    indices = values(operator.input(1))
    return np.take(array, indices, int(operator.attributes.get("axis", 0))) if indices is not None else None


REMEDIES = (
    Remedy("channel-shuffle-to-conv", "A shuffle of channels as a 1x1 convolution of zeros and ones", "exact",
           "The same function; the convolution adds MACs.", ("Reshape", "Gather", "Squeeze"), shuffle_to_conv,
           shares=True),
)  # fmt: skip
