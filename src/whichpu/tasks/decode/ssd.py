"""Boxes in one output, class scores in another: SSD (Liu et al., arXiv 1512.02325), DETR (arXiv 2005.12872)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whichpu.errors import UserError
from whichpu.tasks.decode.boxes import (
    Array,
    Boxes,
    Decode,
    Floats,
    Size,
    Written,
    activated,
    as_corners,
    labelled,
    misfit,
    squeezed,
    with_last,
)

USUAL: dict[str, tuple[Written, str, str]] = {"ssd": ("xyxy", "none", "first"), "detr": ("cxcywh", "softmax", "last")}
"""How boxes are written, what makes scores shares, and where the class for "nothing" is."""


def decode(outputs: Sequence[Array], how: Decode, classes: int, size: Size, priors: Floats | None = None) -> Boxes:
    """From boxes ``[1, n, 4]`` and scores ``[1, n, classes]``, or one more with the class for "nothing".

    ``outputs = {boxes = 0, scores = 1}`` says which is which where shapes don't. With ``priors`` (a ``.npy`` file,
    ``[n, 4]``, centre and size, relative) boxes are offsets: centre = prior + v₀ · offset · size, size = size ·
    exp(v₁ · offset), with ``variances`` v.
    """
    box, activation, background = USUAL[how.format]
    wanted = f"boxes [1, n, 4] and scores [1, n, {classes} or {classes + 1}] for {classes} classes"
    found = _roles(outputs, how, classes)
    if found is None:
        raise misfit(how, wanted, outputs)
    written, scores = found
    shares = activated(scores, how.activation or activation)
    if shares.shape[1] == classes + 1:
        shares = shares[:, 1:] if (how.background or background) == "first" else shares[:, :-1]
    unit = how.unit or "relative"
    if priors is None:
        return labelled(as_corners(written, how.box or box, unit, size), shares, how)
    if len(priors) != len(written):
        raise misfit(how, f"{len(priors)} boxes, one a prior", outputs)
    centre, extent = how.variances or (0.1, 0.2)
    offsets = written.astype(np.float64)
    middles = priors[:, :2] + centre * offsets[:, :2] * priors[:, 2:]
    moved = np.concatenate([middles, priors[:, 2:] * np.exp(extent * offsets[:, 2:])], axis=1)
    return labelled(as_corners(moved, "cxcywh", unit, size), shares, how)


def _roles(outputs: Sequence[Array], how: Decode, classes: int) -> tuple[Array, Array] | None:
    """Boxes ``[n, 4]`` and scores ``[n, ...]``; ``None`` where the outputs are not that."""
    roles = how.outputs or {"boxes": 0, "scores": 1}
    if set(roles) != {"boxes", "scores"} or not all(0 <= index < len(outputs) for index in roles.values()):
        return None
    arrays = [_table(outputs[roles[role]]) for role in ("boxes", "scores")]
    found = _fitting(arrays[0], arrays[1], classes)
    if how.outputs is not None:
        return found
    if len(outputs) != 2:
        return None
    other = _fitting(arrays[1], arrays[0], classes)
    if found is not None and other is not None:
        raise UserError(
            f"with {classes} classes, shapes don't tell which output is boxes and which is scores",
            "say it in [decode]: outputs = {boxes = 0, scores = 1}",
        )
    return found or other


def _fitting(boxes: Array, scores: Array, classes: int) -> tuple[Array, Array] | None:
    if boxes.ndim != 2 or scores.ndim != 2:
        return None
    written, shares = with_last(boxes, [4]), with_last(scores, [classes, classes + 1])
    return None if written is None or shares is None or len(written) != len(shares) else (written, shares)


def _table(output: Array) -> Array:
    """Without the axes of one that some models have between."""
    array = squeezed(output, 2)
    return array[:, 0] if array.ndim == 3 and array.shape[1] == 1 else array
