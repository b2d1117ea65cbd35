"""FastestDet (dog-qiuqiu/FastestDet, BSD-3-Clause): one grid, one box a cell, no anchors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whichpu.tasks.decode.boxes import (
    Array,
    Boxes,
    Decode,
    Size,
    as_corners,
    cells,
    labelled,
    misfit,
    sigmoid,
    squeezed,
)
from whichpu.tasks.decode.boxes import with_last as with_channels_last


def decode(outputs: Sequence[Array], how: Decode, classes: int, size: Size) -> Boxes:
    """From one output ``[1, 5 + classes, h, w]``: objectness, x, y, width, height, classes (shares already).

    Score = objectness^0.6 · class^0.4; centre = (cell + tanh) / grid; size = sigmoid, relative to the input.
    """
    grid = with_channels_last(squeezed(outputs[0], 3), [5 + classes]) if len(outputs) == 1 else None
    if grid is None or grid.ndim != 3:
        raise misfit(how, f"one output [1, {5 + classes}, h, w] for {classes} classes", outputs)
    grid = grid.astype(np.float64)
    height, width = grid.shape[:2]
    centres = (cells(height, width) + np.tanh(grid[..., 1:3])) / (width, height)
    written = np.concatenate([centres, sigmoid(grid[..., 3:5])], axis=-1).reshape(-1, 4)
    scores = np.clip(grid[..., :1], 0.0, None) ** 0.6 * np.clip(grid[..., 5:], 0.0, None) ** 0.4
    return labelled(as_corners(written, "cxcywh", "relative", size), scores.reshape(-1, classes), how)
