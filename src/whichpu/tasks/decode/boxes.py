"""Boxes as decoders give them, and what all decoders share: how boxes are written, and how outputs are laid out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Size = tuple[int, int]
"""Height and width of the network's input in pixels."""

Written = Literal["xyxy", "cxcywh", "xywh", "yxyx"]


class Boxes(NamedTuple):
    """``corners`` ``[n, 4]`` are left, top, right, bottom; ``scores`` ``[n]``; ``classes`` ``[n]`` from 0 on."""

    corners: Floats
    scores: Floats
    classes: npt.NDArray[np.int64]

    def chosen(self, which: Array) -> Boxes:
        """Some of them: by indices or flags."""
        return Boxes(self.corners[which], self.scores[which], self.classes[which])


class Decode(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How outputs become boxes: the table ``[decode]`` of a detection task. ``None``: what is usual for the format.

    ``format`` names a decoder. Boxes with a score above ``score_above`` are kept; then non-maximum suppression
    ``per-class`` or ``agnostic`` drops those that overlap a better one by more than ``nms_iou``, or none does because
    it is ``in-model``; then the ``max_detections`` best are left. ``labels`` a box has: the ``best`` class, or ``all``
    above the score. ``box`` is how boxes are written, in ``unit`` of the network's input; ``activation`` makes raw
    scores shares. The others are explained with the decoder that reads them.
    """

    format: str
    score_above: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.001
    nms: Literal["per-class", "agnostic", "in-model"] | None = None
    nms_iou: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    max_detections: Annotated[int, msgspec.Meta(ge=1)] = 300
    labels: Literal["best", "all"] = "best"
    box: Written | None = None
    unit: Literal["pixels", "relative"] | None = None
    activation: Literal["none", "sigmoid", "softmax"] | None = None
    background: Literal["first", "last"] | None = None
    anchors: list[list[tuple[float, float]]] | None = None
    xy_scale: list[float] | None = None
    strides: list[Annotated[int, msgspec.Meta(ge=1)]] | None = None
    priors: str | None = None
    variances: tuple[float, float] | None = None
    columns: list[str] | None = None
    first_class: int | None = None
    outputs: dict[str, int] | None = None


def as_corners(values: Array, written: Written, unit: str, size: Size) -> Floats:
    """Left, top, right, bottom in the input's pixels, from boxes ``[n, 4]`` as they are written."""
    a, b, c, d = np.asarray(values, dtype=np.float64).T
    if written == "xyxy":
        corners = (a, b, c, d)
    elif written == "yxyx":
        corners = (b, a, d, c)
    elif written == "xywh":
        corners = (a, b, a + c, b + d)
    else:
        corners = (a - c / 2, b - d / 2, a + c / 2, b + d / 2)
    height, width = size
    scale = np.array([width, height, width, height], dtype=np.float64) if unit == "relative" else 1.0
    return np.stack(corners, axis=1) * scale


def labelled(corners: Floats, scores: Array, how: Decode) -> Boxes:
    """Boxes with their best class, or with each class, above the score; ``scores`` is ``[n, classes]``."""
    scores = np.asarray(scores, dtype=np.float64)
    if how.labels == "all":
        rows, classes = np.nonzero(scores > how.score_above)
    else:
        classes = scores.argmax(axis=1)
        rows = np.flatnonzero(scores[np.arange(len(scores)), classes] > how.score_above)
        classes = classes[rows]
    return Boxes(corners[rows], scores[rows, classes], classes.astype(np.int64))


def sigmoid(values: Array) -> Floats:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(values, dtype=np.float64))))


def softmax(values: Array) -> Floats:
    """Along the last axis."""
    values = np.asarray(values, dtype=np.float64)
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def activated(scores: Array, activation: str | None) -> Floats:
    """Scores as shares of 1."""
    if activation == "sigmoid":
        return sigmoid(scores)
    return softmax(scores) if activation == "softmax" else np.asarray(scores, dtype=np.float64)


def cells(height: int, width: int) -> Floats:
    """Column and row of each cell of a grid, ``[height, width, 2]``."""
    rows, columns = np.indices((height, width), dtype=np.float64)
    return np.stack([columns, rows], axis=-1)


def squeezed(array: Array, axes: int) -> Array:
    """Without leading axes of one, such as the batch's, down to so many axes."""
    array = np.asarray(array)
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    return array


def with_last(array: Array, channels: Sequence[int]) -> Array | None:
    """``[n, channels]`` or ``[h, w, channels]`` from that or from channels first; ``None`` where neither fits."""
    if array.shape and array.shape[-1] in channels:
        return array
    return np.moveaxis(array, 0, -1) if array.shape and array.shape[0] in channels else None


def misfit(how: Decode, reads: str, outputs: Sequence[Array]) -> UserError:
    """The outputs are not what the format has."""
    given = ", ".join(str(list(np.shape(output))) for output in outputs) or "no outputs"
    return UserError(
        f'format = "{how.format}" reads {reads}; the model gave {given}',
        "choose another format in [decode], or correct the list of classes: docs/detection.md",
    )
