"""Batches: a model whose first dimension is free takes several samples in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whichpu.errors import UserError
from whichpu.models import onnx_file
from whichpu.models.artefact import Shapes, format_of
from whichpu.models.inputs import Samples

AGAIN = "export the model with a free batch dimension, or leave out --batch"


def shapes_for(paths: Sequence[Path], asked: Shapes, batch: int) -> Shapes:
    """``asked`` with the first dimension of every input set to ``batch``, where it is free.

    Raises :class:`UserError` when ``batch`` is more than 1 and an input's first dimension is fixed, or not known.
    """
    onnx = next((path for path in paths if format_of(path) == "onnx"), None)
    if onnx is None:
        if batch > 1:
            raise UserError(
                f"whether {paths[0].name} takes a batch of {batch} is not known: its shapes can be read from ONNX only",
                "give the ONNX model, or leave out --batch",
            )
        return asked
    shapes = dict(asked)
    for name, _, sizes in onnx_file.inputs(onnx_file.read(onnx)):
        given = list(asked.get(name) or asked.get(None) or [])
        free = bool(sizes) and isinstance(sizes[0], str)
        if batch > 1 and not free:
            fixed = f"fixed to {sizes[0]}" if sizes else "not there: it is a scalar"
            raise UserError(
                f"{onnx.name} can't take a batch of {batch}: the first dimension of input {name!r} is {fixed}", AGAIN
            )
        rest = given[1:] if given else sizes[1:]
        if free and (batch > 1 or not given) and all(isinstance(size, int) for size in rest):
            shapes.pop(None, None)
            shapes[name] = [batch, *(int(size) for size in rest)]
    return shapes


def stacked(samples: Samples, batch: int) -> Samples:
    """One sample of ``batch`` rows an input, from samples of one row each; too few begin again."""
    return [np.ascontiguousarray(array[np.arange(batch) % len(array), 0][np.newaxis]) for array in samples]
