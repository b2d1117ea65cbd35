"""Greedy non-maximum suppression: the best box stays, and drops what overlaps it too much; then the next best."""

from __future__ import annotations

import numpy as np

from whichpu.tasks.decode.boxes import Boxes, Floats


def suppressed(boxes: Boxes, iou_above: float, most: int, per_class: bool) -> Boxes:
    """The boxes that stay, at most so many, best first; among equal scores the earlier is better.

    A box is dropped where its intersection over union with a better one is above ``iou_above``, within its class or
    whatever the class.
    """
    boxes = boxes.chosen(np.argsort(-boxes.scores, kind="stable"))
    left, top, right, bottom = np.ascontiguousarray(boxes.corners.T)
    areas, classes = _areas(boxes.corners), boxes.classes
    alive = np.ones(len(areas), dtype=bool)
    kept: list[int] = []
    for index in range(len(areas)):
        if not alive[index]:
            continue
        kept.append(index)
        if len(kept) == most:
            break
        after = slice(index + 1, None)
        wide = np.minimum(right[index], right[after]) - np.maximum(left[index], left[after])
        high = np.minimum(bottom[index], bottom[after]) - np.maximum(top[index], top[after])
        shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
        near = shared > iou_above * (areas[index] + areas[after] - shared)
        if per_class:
            near &= classes[after] == classes[index]
        alive[after] &= ~near
    return boxes.chosen(np.array(kept, dtype=np.int64))


def best(boxes: Boxes, most: int) -> Boxes:
    """At most so many, best first."""
    return boxes.chosen(np.argsort(-boxes.scores, kind="stable")[:most])


def overlaps(ours: Floats, theirs: Floats) -> Floats:
    """Intersection over union of each with each, ``[ours, theirs]``, from corners; 0 where both are empty."""
    left_top = np.maximum(ours[:, np.newaxis, :2], theirs[np.newaxis, :, :2])
    right_bottom = np.minimum(ours[:, np.newaxis, 2:], theirs[np.newaxis, :, 2:])
    shared = np.prod(np.clip(right_bottom - left_top, 0.0, None), axis=-1)
    union = _areas(ours)[:, np.newaxis] + _areas(theirs)[np.newaxis] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _areas(corners: Floats) -> Floats:
    return np.asarray(np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0.0, None), axis=-1))
