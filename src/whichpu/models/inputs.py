"""Data fed to a model: the user's own, or seeded random of the right range; never zeros."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.worker.wire import TensorSpec

Samples = list[npt.NDArray[Any]]
"""One array an input, in the model's order, each ``[samples, *shape]``."""

RANDOM_SAMPLES = 8


def random(specs: Sequence[TensorSpec], seed: int, samples: int = RANDOM_SAMPLES) -> Samples:
    """Seeded random data: floats uniform in [0, 1), bytes over their whole range, other integers in [0, 10)."""
    generator = np.random.default_rng(seed)
    return [_random(generator, spec, (samples, *spec.shape)) for spec in specs]


def from_npz(path: Path, specs: Sequence[TensorSpec]) -> Samples:
    """The user's samples: arrays named as the model's inputs, with or without a leading sample axis.

    Raises :class:`UserError` for a file, a name, a type or a shape that doesn't fit.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as problem:
        raise UserError(f"can't read {path} as .npz: {problem}") from problem
    names = [spec.name for spec in specs]
    for name in arrays:
        if name not in names:
            raise UserError(
                f"{path.name} holds {name!r}, but the model has no such input", f"its inputs are: {', '.join(names)}"
            )
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UserError(
            f"{path.name} has no array for input {missing[0]!r}", f"it holds: {', '.join(arrays) or 'nothing'}"
        )
    return fitted([arrays[name] for name in names], specs, path.name)


def fitted(arrays: Samples, specs: Sequence[TensorSpec], where: str) -> Samples:
    """Arrays with a sample axis and the model's types. Raises :class:`UserError` for what doesn't fit."""
    found = []
    for array, spec in zip(arrays, specs, strict=True):
        shape = tuple(spec.shape)
        if array.shape == shape:
            array = array[np.newaxis]
        if array.shape[1:] != shape or not len(array):
            raise UserError(f"{where}: {spec.name!r} has shape {array.shape}; the model takes samples of {shape}")
        if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
            raise UserError(f"{where}: {spec.name!r} is {array.dtype}; the model takes {spec.dtype}")
        found.append(np.ascontiguousarray(array, dtype=spec.dtype))
    if len({len(array) for array in found}) > 1:
        raise UserError(f"{where}: the inputs have different numbers of samples")
    return found


def _random(generator: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return generator.random(shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = (limits.min, limits.max + 1) if dtype.itemsize == 1 else (0, 10)
        return generator.integers(low, high, shape).astype(dtype)
    raise UserError(
        f"WhichPU can't make random data of type {spec.dtype} for {spec.name!r}", "give data with --data FILE.npz"
    )
