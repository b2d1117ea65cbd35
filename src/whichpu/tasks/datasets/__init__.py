"""Where samples come from. One file a source; each reads a sample when it is asked for: all need not fit in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
import numpy as np

from whichpu.errors import UserError
from whichpu.tasks.task import BadSample, Samples

AT_ONCE = 1024
"""Samples that are hashed side by side: a pool keeps all that it was given."""

Raw = TypeVar("Raw", covariant=True)
Truth = TypeVar("Truth", covariant=True)


class Dataset(Protocol[Raw, Truth]):
    """Samples with what is true of them, by indices from 0 to ``len() - 1``. Safe to call from several threads."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What people call the sample: its file, its day."""
        ...

    def key(self, index: int) -> str:
        """What tells it from every other sample of any dataset of this source: two parts share none."""
        ...

    def raw(self, index: int) -> Raw:
        """The sample as it was stored: a picture, arrays. Raises :class:`BadSample`."""
        ...

    def truth(self, index: int) -> Truth:
        """What is true of it. Raises :class:`BadSample`."""
        ...

    def digest(self, index: int) -> bytes:
        """A hash of the sample's bytes and its truth. Never raises: what can't be read has a hash too."""
        ...


class Part:
    """Some samples of a dataset, in an order, as a dataset of its own."""

    def __init__(self, whole: Dataset[Any, Any], indices: Sequence[int]) -> None:
        self.whole, self.indices = whole, list(indices)
        self.digests: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        return self.whole.name(self.indices[index])

    def key(self, index: int) -> str:
        return self.whole.key(self.indices[index])

    def raw(self, index: int) -> Any:
        return self.whole.raw(self.indices[index])

    def truth(self, index: int) -> Any:
        return self.whole.truth(self.indices[index])

    def digest(self, index: int) -> bytes:
        if index not in self.digests:
            self.digests[index] = self.whole.digest(self.indices[index])
        return self.digests[index]


class Fraction(msgspec.Struct, forbid_unknown_fields=True):
    """Calibration takes this share of the samples, drawn by seed, out of those that are scored."""

    fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    seed: int = 0


def divided(
    path: Path,
    table: Mapping[str, Any],
    calibration: Mapping[str, Any] | None,
    load: Callable[[Path, Mapping[str, Any]], Dataset[Any, Any]],
) -> tuple[Part, Part | None]:
    """The samples that are scored, and those that calibrate; never the same ones.

    ``table`` is the TOML's ``[data]``; its ``limit`` keeps so many of the scored samples, evenly spread over their
    order. ``calibration`` holds a fraction, or the fields of ``[data]`` that are others for calibration (another
    folder, other days). Raises :class:`UserError` for an empty dataset, and for parts that share a sample.
    """
    described = dict(table)
    limit = described.pop("limit", None)
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise UserError(f"{path}: data.limit = {limit!r} is no number of samples", "give one from 1, or leave it out")
    whole = load(path, described)
    if not len(whole):
        raise UserError(f"{path}: its dataset is empty", "see [data] there")
    scored, calibrating = list(range(len(whole))), None
    if calibration is not None and "fraction" in calibration:
        scored, drawn = _split(len(whole), _fraction(path, calibration))
        calibrating = Part(whole, drawn)
        if not scored or not drawn:
            raise UserError(f"{path}: {len(whole)} samples can't be divided so", "give another calibration.fraction")
    elif calibration is not None:
        other = load(path, {**described, **calibration})
        calibrating = Part(other, range(len(other)))
    part = Part(whole, _spread(scored, limit))
    if calibrating is not None:
        _refuse_shared(path, part, calibrating)
    return part, calibrating


def drawn(
    part: Part | None, scored: Part, prepare: Callable[[Part, int], Samples], count: int, seed: int, path: Path
) -> Iterator[Samples]:
    """Inputs of at most ``count`` samples of the calibration part, drawn by seed; bad ones are passed over, and so are
    copies of samples that are scored.

    Raises :class:`UserError` where there is no such part, or no good sample in it.
    """
    if part is None:
        raise UserError(
            f"{path} has no samples for calibration",
            "add [calibration] with fraction = 0.1, or with other data than [data] has (such as another folder)",
        )
    test = {scored.digest(index) for index in range(len(scored))}
    found = copies = 0
    for index in np.random.default_rng(seed).permutation(len(part)):
        if found == count:
            return
        if part.digest(int(index)) in test:
            copies += 1
            continue
        try:
            inputs = prepare(part, int(index))
        except BadSample:
            continue
        found += 1
        yield inputs
    if not found:
        same = f": {copies} of {len(part)} are copies of samples that are scored" if copies else ""
        raise UserError(f"{path}: no sample of the calibration part can be used{same}", "see [calibration] there")


def sha256(dataset: Dataset[Any, Any]) -> str:
    """The hash of all samples in their order, by their content, not by their names."""
    whole = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        for first in range(0, len(dataset), AT_ONCE):
            for digest in pool.map(dataset.digest, range(first, min(first + AT_ONCE, len(dataset)))):
                whole.update(digest)
    return whole.hexdigest()


def one_of(path: Path, table: Mapping[str, Any], sources: Iterable[str]) -> str:
    """The one source that ``[data]`` names, such as ``csv`` or ``npz``. Raises :class:`UserError`."""
    known = list(sources)
    named = [source for source in known if source in table]
    if len(named) != 1:
        said = " and ".join(named) if named else f"no source (it has: {', '.join(table) or 'nothing'})"
        raise UserError(f"{path}: [data] names {said}", f"give one of: {', '.join(known)}")
    return named[0]


def _fraction(path: Path, calibration: Mapping[str, Any]) -> Fraction:
    try:
        return msgspec.convert(dict(calibration), Fraction, strict=False)
    except msgspec.ValidationError as problem:
        raise UserError(f"{path}: [calibration]: {problem}", "such as fraction = 0.1, seed = 0") from problem


def _split(count: int, wanted: Fraction) -> tuple[list[int], list[int]]:
    mixed = np.random.default_rng(wanted.seed).permutation(count)
    taken = max(1, round(count * wanted.fraction))
    return sorted(mixed[taken:].tolist()), sorted(mixed[:taken].tolist())


def _spread(indices: list[int], limit: int | None) -> list[int]:
    if limit is None or limit >= len(indices):
        return indices
    return [indices[int((place + 0.5) * len(indices) / limit)] for place in range(limit)]


def _refuse_shared(path: Path, scored: Part, calibrating: Part) -> None:
    keys = {scored.key(index) for index in range(len(scored))}
    shared = [index for index in range(len(calibrating)) if calibrating.key(index) in keys]
    if shared:
        raise UserError(
            f"{path}: {len(shared)} samples of the calibration part are scored too, such as "
            f"{calibrating.name(shared[0])}",
            "a network calibrated on what it is scored on looks better than it is: give other data",
        )
