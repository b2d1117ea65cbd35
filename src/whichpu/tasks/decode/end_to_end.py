"""Boxes that the model has chosen itself: NMS is inside it, or it needs none (YOLOv10, arXiv 2405.14458)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whichpu.errors import UserError
from whichpu.tasks.decode.boxes import Array, Boxes, Decode, Size, Written, as_corners, misfit, squeezed

COLUMNS = ["x1", "y1", "x2", "y2", "score", "class"]
KNOWN = [*COLUMNS, "picture"]
ROLES = {"boxes": 0, "classes": 1, "scores": 2, "count": 3}


def rows(outputs: Sequence[Array], how: Decode, classes: int, size: Size) -> Boxes:
    """From one output of rows ``[1, n, 6]``, one a box; ``columns`` names what stands where.

    Rows whose ``picture`` column is not 0 are padding. ``first_class`` is the number of the first class.
    """
    columns = how.columns or COLUMNS
    if not set(COLUMNS) <= set(columns) or not set(columns) <= set(KNOWN):
        raise UserError(f"columns = {columns} in [decode] needs {', '.join(COLUMNS)}, and may have picture")
    table = squeezed(outputs[0], 2) if len(outputs) == 1 else None
    if table is None or table.ndim != 2 or table.shape[1] != len(columns):
        raise misfit(how, f"one output [1, n, {len(columns)}]: {', '.join(columns)}", outputs)
    named = dict(zip(columns, table.T, strict=True))
    corners = as_corners(np.stack([named[name] for name in COLUMNS[:4]], axis=1), "xyxy", how.unit or "pixels", size)
    found = _boxes(corners, named["score"], named["class"], how, classes)
    return (
        found
        if "picture" not in named
        else _boxes(
            corners[named["picture"] == 0],
            named["score"][named["picture"] == 0],
            named["class"][named["picture"] == 0],
            how,
            classes,
        )
    )


def lists(outputs: Sequence[Array], how: Decode, classes: int, size: Size) -> Boxes:
    """From boxes ``[1, n, 4]``, classes ``[1, n]``, scores ``[1, n]`` and a count ``[1]`` of those that hold.

    ``outputs`` says which is where (``count`` may be absent); without it: in that order, as TFLite's detection
    post-processing has them, whose boxes are top, left, bottom, right, relative.
    """
    usual = ("yxyx", "relative") if how.format == "ssd-lists" else ("xyxy", "pixels")
    box: Written = how.box or ("yxyx" if how.format == "ssd-lists" else "xyxy")
    roles = how.outputs or {role: index for role, index in ROLES.items() if index < len(outputs)}
    if not {"boxes", "classes", "scores"} <= set(roles) or not all(0 <= at < len(outputs) for at in roles.values()):
        raise misfit(how, "outputs boxes, classes, scores and a count", outputs)
    written = squeezed(outputs[roles["boxes"]], 2)
    scores, numbers = (np.asarray(outputs[roles[role]]).reshape(-1) for role in ("scores", "classes"))
    if written.ndim != 2 or written.shape[1] != 4 or not len(written) == len(scores) == len(numbers):
        raise misfit(how, "boxes [1, n, 4], classes [1, n], scores [1, n] and a count [1]", outputs)
    count = len(scores)
    if "count" in roles:
        count = int(np.asarray(outputs[roles["count"]]).reshape(-1)[0])
    corners = as_corners(written[:count], box, how.unit or usual[1], size)
    return _boxes(corners, scores[:count], numbers[:count], how, classes)


def _boxes(corners: Array, scores: Array, numbers: Array, how: Decode, classes: int) -> Boxes:
    found = np.rint(np.nan_to_num(numbers, nan=-1.0)).astype(np.int64) - (how.first_class or 0)
    right = (scores > how.score_above) & (found >= 0) & (found < classes)
    return Boxes(corners, np.asarray(scores, dtype=np.float64), found).chosen(right)
