"""The YOLO families: rows of decoded boxes, raw heads with anchors, raw heads without.

Formulas: anchors and ``exp``: Redmon and Farhadi, "YOLOv3" (arXiv 1804.02767); the scaled sigmoid: Bochkovskiy et al.,
"YOLOv4" (arXiv 2004.10934); ``(2 sigmoid)²``: Wang et al., "Scaled-YOLOv4" (arXiv 2011.08036) and "YOLOv7" (arXiv
2207.02696), as ncnn's examples for v5 and v7 (BSD-3-Clause) have it; grids without anchors: Ge et al., "YOLOX" (arXiv
2107.08430, Apache-2.0); distances from distributions: Li et al., "Generalized Focal Loss" (arXiv 2006.04388), as v8, v9
and v11 use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whichpu.errors import UserError
from whichpu.tasks.decode.boxes import (
    Array,
    Boxes,
    Decode,
    Floats,
    Size,
    activated,
    as_corners,
    cells,
    labelled,
    misfit,
    sigmoid,
    squeezed,
    with_last,
)

V3_ANCHORS = [
    [(10, 13), (16, 30), (33, 23)],
    [(30, 61), (62, 45), (59, 119)],
    [(116, 90), (156, 198), (373, 326)],
]
"""In pixels of the input, from the finest grid to the coarsest; YOLOv5 has the same."""

V4_ANCHORS = [
    [(12, 16), (19, 36), (40, 28)],
    [(36, 75), (76, 55), (72, 146)],
    [(142, 110), (192, 243), (459, 401)],
]
"""YOLOv7 has the same."""

ANCHORS: dict[str, list[list[Any]]] = {
    "yolov3": V3_ANCHORS,
    "yolov4": V4_ANCHORS,
    "yolov5": V3_ANCHORS,
    "yolov7": V4_ANCHORS,
}
XY_SCALES = {"yolov3": [1.0], "yolov4": [1.2, 1.1, 1.05], "yolov5": [2.0], "yolov7": [2.0]}


def rows(outputs: Sequence[Array], how: Decode, classes: int, size: Size) -> Boxes:
    """From one output of decoded boxes, ``[1, n, 4 + classes]`` or ``[1, 4 + classes, n]``, or 5 with an objectness.

    Scores are shares, times the objectness where there is one. v8, v9 and v11 have none; v6 may.
    """
    widths = {"yolov6": [5 + classes, 4 + classes], "yolov8": [4 + classes]}
    widths["yolov9"] = widths["yolov11"] = widths["yolov8"]
    allowed = widths.get(how.format, [5 + classes])
    table = with_last(squeezed(outputs[0], 2), allowed) if len(outputs) == 1 else None
    if table is None or table.ndim != 2:
        wanted = " or ".join(f"[1, {width}, n] or [1, n, {width}]" for width in allowed)
        raise misfit(how, f"one output {wanted} for {classes} classes", outputs)
    scores = activated(table[:, -classes:], how.activation)
    if table.shape[1] == 5 + classes:
        scores = scores * activated(table[:, 4:5], how.activation)
    return labelled(as_corners(table[:, :4], how.box or "cxcywh", how.unit or "pixels", size), scores, how)


def anchored(outputs: Sequence[Array], how: Decode, classes: int, size: Size) -> Boxes:
    """v3, v4, v5 and v7: rows where there is one output of them, else raw heads, one a grid, of 5 + classes logits.

    A head is ``[1, anchors · (5 + classes), h, w]`` or ``[1, anchors, h, w, 5 + classes]``, or either with channels
    last. Centre = (cell + s · sigmoid - (s - 1) / 2) · stride, with ``xy_scale`` s by head; size = anchor · exp (v3,
    v4), or anchor · (2 sigmoid)² (v5, v7). ``anchors`` are lists of (width, height) in pixels by head, finest first.
    """
    if len(outputs) == 1 and squeezed(outputs[0], 2).ndim == 2:
        return rows(outputs, how, classes, size)
    anchors = how.anchors or ANCHORS[how.format]
    scales = how.xy_scale or XY_SCALES[how.format]
    scales = scales if len(scales) > 1 else scales * len(anchors)
    if not len(outputs) == len(anchors) == len(scales):
        raise misfit(how, f"{len(anchors)} heads ({len(anchors)} lists of anchors, {len(scales)} xy_scale)", outputs)
    heads = [_head(output, len(anchors[0]), classes, how, outputs) for output in outputs]
    heads.sort(key=lambda head: -head.shape[1])
    found = [
        _anchored_head(head, np.array(boxes, dtype=np.float64), scale, how.format in ("yolov3", "yolov4"), size)
        for head, boxes, scale in zip(heads, anchors, scales, strict=True)
    ]
    written, logits = (np.concatenate([one[part] for one in found]) for part in (0, 1))
    scores = sigmoid(logits[:, 1:]) * sigmoid(logits[:, :1])
    return labelled(as_corners(written, "cxcywh", "pixels", size), scores, how)


def yolox(outputs: Sequence[Array], how: Decode, classes: int, size: Size) -> Boxes:
    """From one output ``[1, n, 5 + classes]`` in units of the grids, finest first, whose cells are ``strides`` apart.

    Centre = (cell + value) · stride, size = exp(value) · stride; objectness and classes are shares already.
    """
    strides = how.strides or [8, 16, 32]
    table = with_last(squeezed(outputs[0], 2), [5 + classes]) if len(outputs) == 1 else None
    grids = [(size[0] // stride, size[1] // stride, stride) for stride in strides]
    count = sum(height * width for height, width, _ in grids)
    if table is None or table.ndim != 2 or len(table) != count:
        raise misfit(
            how, f"one output [1, {count}, {5 + classes}] for strides {strides} and {classes} classes", outputs
        )
    table = table.astype(np.float64)
    places = np.concatenate([cells(height, width).reshape(-1, 2) for height, width, _ in grids])
    steps = np.concatenate([np.full((height * width, 1), float(stride)) for height, width, stride in grids])
    written = np.concatenate([(places + table[:, :2]) * steps, np.exp(table[:, 2:4]) * steps], axis=1)
    return labelled(as_corners(written, "cxcywh", "pixels", size), table[:, 5:] * table[:, 4:5], how)


def distances(outputs: Sequence[Array], how: Decode, classes: int, size: Size) -> Boxes:
    """Raw heads of v6, v8, v9 and v11: how far left, top, right and bottom of a cell's middle lie, and class logits.

    A grid has one output ``[1, 4 · bins + classes, h, w]``, or two, ``[1, 4 · bins, h, w]`` and ``[1, classes, h, w]``
    (other outputs are left out). A distance is the mean of its distribution over the bins (softmax), or the value
    itself where there is one bin, in units of the grid. ``activation = "none"``: classes are shares already.
    """
    wanted = f"heads [1, 4 · bins + {classes}, h, w], or [1, 4 · bins, h, w] and [1, {classes}, h, w] in turn"
    grids: dict[tuple[int, int], list[Array]] = {}
    for output in outputs:
        array = squeezed(output, 3)
        if array.ndim != 3:
            raise misfit(how, wanted, outputs)
        grids.setdefault((array.shape[1], array.shape[2]), []).append(array)
    corners, scores = [], []
    for (height, width), parts in grids.items():
        apart, shares = _sides(parts, classes)
        if apart is None or shares is None:
            raise misfit(how, wanted, outputs)
        stride = np.array([size[1] / width, size[0] / height])
        middles = cells(height, width).reshape(-1, 2) + 0.5
        near, far = (middles - apart[:, :2]) * stride, (middles + apart[:, 2:]) * stride
        corners.append(np.concatenate([near, far], axis=1))
        scores.append(activated(shares, how.activation or "sigmoid"))
    return labelled(np.concatenate(corners), np.concatenate(scores), how)


def _sides(parts: list[Array], classes: int) -> tuple[Floats | None, Floats | None]:
    """Distances ``[cells, 4]`` in units of the grid, and classes ``[cells, classes]``, of one grid's outputs."""
    flat = [part.reshape(len(part), -1).T.astype(np.float64) for part in parts]
    if len(flat) == 1:
        flat = [flat[0][:, :-classes], flat[0][:, -classes:]]
    boxes = next((part for part in flat if part.shape[1] and part.shape[1] % 4 == 0), None)
    shares = next((part for part in flat if part is not boxes and part.shape[1] == classes), None)
    if boxes is None or shares is None:
        return None, None
    bins = boxes.shape[1] // 4
    if bins == 1:
        return boxes, shares
    by_side = boxes.reshape(-1, 4, bins)
    return activated(by_side, "softmax") @ np.arange(bins, dtype=np.float64), shares


def _head(output: Array, anchors: int, classes: int, how: Decode, outputs: Sequence[Array]) -> Floats:
    """``[anchors, h, w, 5 + classes]``."""
    width = 5 + classes
    array = np.asarray(output, dtype=np.float64)
    array = array[0] if array.ndim in (4, 5) and array.shape[0] == 1 else array
    if array.ndim == 4 and array.shape[0] == anchors and array.shape[3] == width:
        return array
    if array.ndim == 4 and array.shape[2:] == (anchors, width):
        return np.moveaxis(array, 2, 0)
    last = with_last(array, [anchors * width]) if array.ndim == 3 else None
    if last is None:
        raise misfit(how, f"heads [1, {anchors} · {width}, h, w] for {classes} classes", outputs)
    return np.moveaxis(last.reshape(*last.shape[:2], anchors, width), 2, 0)


def _anchored_head(head: Floats, anchors: Floats, scale: float, exp: bool, size: Size) -> tuple[Floats, Floats]:
    """Boxes ``[n, 4]`` as centre and size in pixels, and the logits ``[n, 1 + classes]``."""
    count, height, width, channels = head.shape
    if len(anchors) != count:
        raise UserError(f"a head has {count} anchors, and another list in [decode] has {len(anchors)}")
    stride = np.array([size[1] / width, size[0] / height])
    centres = (cells(height, width) + scale * sigmoid(head[..., :2]) - (scale - 1.0) / 2.0) * stride
    factors = np.exp(head[..., 2:4]) if exp else (2.0 * sigmoid(head[..., 2:4])) ** 2
    sizes = factors * anchors[:, np.newaxis, np.newaxis, :]
    return np.concatenate([centres, sizes], axis=-1).reshape(-1, 4), head[..., 4:].reshape(-1, channels - 4)
