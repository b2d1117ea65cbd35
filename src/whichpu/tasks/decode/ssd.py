"""Boxes in one output, class scores in another: SSD (Liu et al., arXiv 1512.02325), DETR (arXiv 2005.12872)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    if len(written) != len(scores):
        raise misfit(how, wanted, outputs)
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
    if how.outputs is not None:
        chosen = [how.outputs.get(role, -1) for role in ("boxes", "scores")]
        if not all(0 <= index < len(outputs) for index in chosen):
            return None
        arrays = [_table(outputs[index]) for index in chosen]
    else:
        arrays = [_table(output) for output in outputs]
        if len(arrays) == 2 and 4 in arrays[1].shape and 4 not in arrays[0].shape:
            arrays.reverse()
    if len(arrays) != 2 or any(array.ndim != 2 for array in arrays):
        return None
    boxes, scores = with_last(arrays[0], [4]), with_last(arrays[1], [classes, classes + 1])
    return None if boxes is None or scores is None else (boxes, scores)


def _table(output: Array) -> Array:
    """Without the axes of one that some models have between."""
    array = squeezed(output, 2)
    return array[:, 0] if array.ndim == 3 and array.shape[1] == 1 else array
