"""Data fed to a model: the user's own, or seeded random of the right range; never zeros."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.worker.wire import TensorSpec

Samples = list[npt.NDArray[Any]]
"""One array an input, in the model's order, each ``[samples, *shape]``."""

RANDOM_SAMPLES = 8
TRIED = 64
"""So many samples of a task are looked at before it counts as one for another model."""

AS_NAMED = "give each input an array [samples, *shape] of the model's type"
AS_PREPARED = "see [preprocess] in the task's file (resize, layout, dtype), or give another --data"


def random(specs: Sequence[TensorSpec], seed: int, samples: int = RANDOM_SAMPLES) -> Samples:
    """Seeded random data: floats uniform in [0, 1), bytes over their whole range, other integers in [0, 10)."""
    import psutil

    needed = samples * sum(math.prod(spec.shape) * 8 for spec in specs)
    available = psutil.virtual_memory().available
    if needed > available / 2:
        sizes = ", ".join(f"{spec.name}={'x'.join(map(str, spec.shape))}" for spec in specs)
        raise UserError(
            f"random data for {sizes} needs {needed / 1e9:.1f} GB; {available / 1e9:.1f} GB of memory are free",
            "give smaller sizes with --shape, or your own data with --data FILE.npz",
        )
    generator = np.random.default_rng(seed)
    return [_random(generator, spec, (samples, *spec.shape)) for spec in specs]


def save(samples: Sequence[npt.NDArray[Any]], path: Path) -> None:
    """Write samples as workers read them, each ``[samples, *shape]``."""
    with path.open("wb") as file:
        np.savez(file, **{f"input_{index}": array for index, array in enumerate(samples)})  # type: ignore[arg-type]


def from_npz(path: Path, specs: Sequence[TensorSpec]) -> Samples:
    """The user's samples: arrays named as the model's inputs, with or without a leading sample axis.

    Raises :class:`UserError` for a file, a name, a type or a shape that doesn't fit.
    """
    how = "write it with numpy.savez(file, NAME=array), a name for each input of the model"
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):  # numpy would speak of pickles
                raise UserError(f"{path} is no .npz file, or it is truncated", how)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror or problem}", how) from problem
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as problem:
        raise UserError(f"{path} is a damaged .npz file: {problem}", how) from problem
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


def of_task(
    prepared: Iterator[tuple[int, Samples]], specs: Sequence[TensorSpec], most: int, task: str
) -> tuple[list[int], Samples]:
    """Indices and inputs of a task's first samples that the model takes, stacked; others are passed over.

    Raises :class:`UserError` where none of the first fits, or types don't.
    """
    tried = list(islice(prepared, most))
    if not tried:
        raise UserError(f"no sample of {task} can be used")
    _, first = tried[0]
    if len(first) != len(specs):
        raise UserError(f"the task gives {len(first)} inputs, the model takes {len(specs)}")
    takes = [tuple(spec.shape) for spec in specs]
    found = [(index, sample) for index, sample in tried if [array.shape for array in sample] == takes]
    if not found:
        found = [(index, it) for index, it in islice(prepared, TRIED) if [array.shape for array in it] == takes][:most]
    if not found:
        name, given, wanted = next(
            (spec.name, array.shape, shape)
            for spec, array, shape in zip(specs, first, takes, strict=True)
            if array.shape != shape
        )
        raise UserError(
            f"samples of {task} become {_told(given)} for {name!r}; the model takes {_told(wanted)}", AS_PREPARED
        )
    columns = [np.stack(column) for column in zip(*(sample for _, sample in found), strict=True)]
    return [index for index, _ in found], fitted(columns, specs, task, AS_PREPARED)


def fitted(arrays: Samples, specs: Sequence[TensorSpec], where: str, how: str = AS_NAMED) -> Samples:
    """Arrays with a sample axis and the model's types. Raises :class:`UserError` for what doesn't fit."""
    found = []
    for array, spec in zip(arrays, specs, strict=True):
        shape = tuple(spec.shape)
        if array.shape == shape:
            array = array[np.newaxis]
        if array.shape[1:] != shape or not len(array):
            raise UserError(f"{where}: {spec.name!r} has shape {array.shape}; the model takes samples of {shape}", how)
        if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
            raise UserError(f"{where}: {spec.name!r} is {array.dtype}; the model takes {spec.dtype}", how)
        found.append(np.ascontiguousarray(array, dtype=spec.dtype))
    if len({len(array) for array in found}) > 1:
        raise UserError(f"{where}: the inputs have different numbers of samples", how)
    return found


def _told(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


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
