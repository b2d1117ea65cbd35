"""What a bisection found: where two models, or two runtimes on one, begin to differ, and what makes them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

from whichpu.stats.apart import Apart

Verdict = Literal["same", "layer", "gradual", "fused", "inside", "unknown"]
"""``same``: nothing differs beyond the bound; ``layer``: one layer makes most of it; ``gradual``: many do;
``fused``: only where the runtime computes several layers as one; ``inside``: layers differ, the outputs don't;
``unknown``: the outputs differ, and no layer could be looked at that does."""

MOST = 1 / 3
"""A layer is the cause when without its error at most this share of the outputs' is left.

Errors of unlike origin add up as squares: a layer that makes nine tenths of the power leaves a third."""


NEGLIGIBLE = 0.01
"""An own error this share of the largest one's is not looked at."""


SUDDEN = 4.0
"""An error so many times what a layer inherits and adds is a jump."""


class Cause(msgspec.Struct, kw_only=True):
    """Why a quantised layer loses: ``kind`` is ``weights``, ``range`` or ``clipped``; ``tensor`` which one.

    ``sqnr_db`` is that of quantising this tensor alone.
    """

    kind: str
    tensor: str
    says: str
    advice: str
    sqnr_db: float | None = None


class Layer(msgspec.Struct, kw_only=True):
    """The nodes that make one tensor from those before it. ``output`` is its number where ``node`` has several.

    ``error`` is the tensor's with the real inputs of the model: inherited and own. ``own`` is what the layer adds: its
    error when fed the reference's inputs. ``alone`` is the error of the model's outputs when only this layer is wrong;
    ``without`` when all but this one are. What could not be had is ``None``, and ``why_not`` says why.
    """

    tensor: str
    node: str
    operator: str
    output: int | None = None
    error: Apart | None = None
    own: Apart | None = None
    alone: Apart | None = None
    without: Apart | None = None
    score_alone: float | None = None
    why_not: str | None = None
    feeds_on: list[str] = []
    causes: list[Cause] = []


class Output(msgspec.Struct, kw_only=True):
    """One output of the unchanged models."""

    name: str
    error: Apart


class Bisection(msgspec.Struct, kw_only=True):
    """A bisection's outcome. ``layers`` are in topological order; ``first`` is the first whose error is beyond
    ``bound``, ``cause`` the one that makes most of the outputs' error (numbers in ``layers``).

    ``fused`` names the first and last tensor of the stretch that differs only when it is not looked into.
    """

    model: str
    against: str
    target: str
    against_target: str
    data: str
    samples: int
    bound: float
    matched_by: str = "name"
    outputs: list[Output] = []
    layers: list[Layer] = []
    verdict: Verdict = "unknown"
    first: int | None = None
    cause: int | None = None
    fused: list[str] | None = None
    metric: str | None = None
    score: float | None = None
    reference_score: float | None = None
    unmatched: list[str] = []
    notes: list[str] = []


def worst_output(outputs: list[Output]) -> Output:
    """The output whose error is the largest."""
    return max(outputs, key=lambda output: output.error.size)


def first_beyond(layers: list[Layer], bound: float) -> int | None:
    """The first layer whose error is beyond the bound."""
    beyond = (at for at, layer in enumerate(layers) if layer.error is not None and layer.error.beyond(bound))
    return next(beyond, None)


def by_own(layers: Sequence[Layer]) -> list[int]:
    """Layers whose own error is known and is one, the largest first."""
    known = [(layer.own.size, at) for at, layer in enumerate(layers) if layer.own is not None and layer.own.size]
    return [at for _, at in sorted(known, key=lambda pair: (-pair[0], pair[1]))]


def worst_own(layers: Sequence[Layer]) -> list[int]:
    """Of :func:`by_own` those that are no rounding beside the largest."""
    ranked = by_own(layers)
    sizes = {at: own.size for at in ranked if (own := layers[at].own) is not None}
    return [at for at in ranked if sizes[at] >= NEGLIGIBLE * sizes[ranked[0]]]


def suspects(layers: Sequence[Layer], most: int) -> list[int]:
    """Layers worth a look at their effect on the outputs: the largest own errors, and what feeds a layer behind which
    the error is suddenly large. (A tensor with one wild part hides the loss of its other parts until they are scaled.)
    """
    number = {layer.tensor: at for at, layer in enumerate(layers)}
    feeding: list[int] = []
    for layer in layers:
        fed = [number[name] for name in layer.feeds_on if name in number]
        explained = inherited(layer, layers) + (layer.own.size if layer.own is not None else math.inf)
        if layer.error is not None and layer.error.size > SUDDEN * explained > 0:
            feeding += fed
    own = set(by_own(layers))
    return list(dict.fromkeys([*worst_own(layers)[:most], *(at for at in feeding[:most] if at in own)]))


def inherited(layer: Layer, layers: Sequence[Layer]) -> float:
    """The largest error among the tensors that a layer reads."""
    errors = (one.error.size for one in layers if one.tensor in layer.feeds_on and one.error is not None)
    return max(errors, default=0.0)


def culprit(layers: list[Layer], outputs: list[Output], bound: float) -> int | None:
    """The one layer that makes most of the outputs' error; ``None`` where there is none.

    That is the layer without whose error the least is left, if that is at most :data:`MOST`. Where that could not be
    tried, the layer whose own error is alone in its size: four times the next one's.
    """
    tried = [at for at, layer in enumerate(layers) if layer.without is not None]
    whole = worst_output(outputs).error.size
    tried = [at for at in tried if (own := layers[at].own) is not None and own.beyond(bound)]
    if tried and whole:
        best = min(tried, key=lambda at: (_left(layers[at]), at))
        return best if _left(layers[best]) <= MOST * whole or (whole == math.inf > _left(layers[best])) else None
    ranked = by_own(layers)
    if not ranked or (own := layers[ranked[0]].own) is None or not own.beyond(bound):
        return None
    sizes = [one.size for at in ranked if (one := layers[at].own) is not None]
    return ranked[0] if len(sizes) == 1 or sizes[0] >= 4 * sizes[1] else None


def alike(layers: list[Layer], bound: float) -> tuple[int, float] | None:
    """How many nodes have own errors beyond the bound, and the median of these errors."""
    lossy = [(layer.node, layer.own.size) for layer in layers if layer.own is not None and layer.own.beyond(bound)]
    return (len({node for node, _ in lossy}), statistics.median(size for _, size in lossy)) if lossy else None


def _left(layer: Layer) -> float:
    assert layer.without is not None
    return layer.without.size
