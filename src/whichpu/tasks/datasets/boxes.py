"""Pictures with boxes around the objects in them: what COCO JSON and VOC XML have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.tasks import images
from whichpu.tasks.preprocess import Pixels
from whichpu.tasks.task import BadSample

TOLERATED = 1.0
"""So many pixels may a box reach outside its picture: annotation tools round."""

Floats = npt.NDArray[np.float64]


class Objects(NamedTuple):
    """What is in a picture: ``corners`` ``[n, 4]`` (left, top, right, bottom, in pixels), ``classes`` ``[n]`` (the
    model's), and two kinds that are neither to be found nor wrong to find: ``crowd`` regions, ``difficult`` objects."""

    corners: Floats
    classes: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    difficult: npt.NDArray[np.bool_]


class One(NamedTuple):
    """An object as a file tells of it; ``label`` is the class's name."""

    corners: tuple[float, float, float, float]
    label: str
    crowd: bool = False
    difficult: bool = False


class Notes:
    """What was wrong with labels, a sentence each kind: how often, and where first."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}

    def add(self, what: str, where: str) -> None:
        """``what`` begins with a noun and goes on as a sentence."""
        self.seen.setdefault(what, []).append(where)

    def sentences(self) -> list[str]:
        """Such as: 3 × a box reaches outside its picture: it was cut at the edge (first in street.jpg)."""
        return [f"{len(where)} × {what} (first in {where[0]})" for what, where in self.seen.items()]


class Entry(NamedTuple):
    """A picture, its ``size`` as the labels tell it (height, width), and its objects."""

    path: Path
    size: tuple[int, int] | None
    objects: Objects


class Pictures:
    """The dataset: pictures in the order of their files' names. ``notes`` are sentences about labels that were wrong,
    ``classes`` the names of the model's classes."""

    def __init__(self, entries: Sequence[Entry], classes: Sequence[str], notes: Notes) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.path.as_posix())
        self.classes, self.notes = list(classes), notes.sentences()

    def __len__(self) -> int:
        return len(self.entries)

    def name(self, index: int) -> str:
        return self.entries[index].path.name

    def key(self, index: int) -> str:
        return str(self.entries[index].path.resolve())

    def raw(self, index: int) -> Pixels:
        """The picture in BGR. Raises :class:`BadSample`, too, for one of another size than its labels tell."""
        entry = self.entries[index]
        picture = images.read(entry.path)
        height, width = picture.shape[:2]
        if entry.size is not None and entry.size != (height, width):
            told = f"its labels tell of {entry.size[1]}x{entry.size[0]}"
            raise BadSample(f"{entry.path.name} is {width}x{height} pixels; {told}")
        return picture

    def truth(self, index: int) -> Objects:
        return self.entries[index].objects

    def digest(self, index: int) -> bytes:
        path, _, objects = self.entries[index]
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        columns = (np.round(objects.corners, 3), objects.classes, objects.crowd, objects.difficult)
        rows = np.column_stack([np.asarray(column, np.float64) for column in columns]) + 0.0  # no negative zeros
        ordered = rows[np.lexsort(rows.T[::-1])]
        return hashlib.sha256(hashlib.sha256(content).digest() + ordered.tobytes()).digest()


def collected(
    found: Sequence[One], size: tuple[int, int] | None, where: str, classes: Sequence[str], notes: Notes
) -> Objects:
    """The objects of one picture that can be used; the notes tell of the others."""
    numbers = {name: number for number, name in reversed(list(enumerate(classes)))}
    kept = []
    for one in found:
        if one.label not in numbers:
            notes.add(f"an object of class {one.label!r} is left out: the model's classes don't have it", where)
            continue
        corners = _inside(np.array(one.corners, dtype=np.float64), size, where, notes)
        if corners is not None:
            kept.append((corners, numbers[one.label], one.crowd, one.difficult))
    return Objects(
        np.array([row[0] for row in kept], dtype=np.float64).reshape(-1, 4),
        np.array([row[1] for row in kept], dtype=np.int64),
        np.array([row[2] for row in kept], dtype=bool),
        np.array([row[3] for row in kept], dtype=bool),
    )


def model_classes(task: Path, given: list[str] | str | None, labels: Sequence[str], ordered: bool) -> list[str]:
    """The names of the model's classes: as given, from a text file (one a line), or as the labels have them.

    Labels whose order means nothing (``ordered`` is false) do only where there is one. Raises :class:`UserError`.
    """
    if given is None and not ordered and len(labels) > 1:
        raise UserError(
            f"{task}: the labels name {len(labels)} classes; the order in which the model has them is not known",
            f"name them in [data]: classes = [{', '.join(repr(name) for name in labels[:3])}, ...]",
        )
    if isinstance(given, str):
        try:
            given = [line.strip() for line in (task.parent / given).read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as problem:
            raise UserError(f"{task}: can't read data.classes = {given!r}: {problem}") from problem
        while given and not given[-1]:
            given.pop()
    classes = list(labels) if given is None else given
    if not classes:
        raise UserError(f"{task}: no classes are named", "name the model's in [data]: classes = [...]")
    return classes


def folder(task: Path, name: str, field: str) -> Path:
    """A folder beside the task's file. Raises :class:`UserError`."""
    place = task.parent / name
    if not place.is_dir():
        raise UserError(f"{task}: data.{field} = {name!r} is no folder", "paths are relative to the task's file")
    return place


def note_unlisted(place: Path, listed: Sequence[Path], notes: Notes, labels: str) -> None:
    """Tell of pictures in a folder that no label speaks of."""
    known = {path.name for path in listed}
    for path in sorted(place.iterdir()):
        if path.suffix.lower() in images.SUFFIXES and path.name not in known:
            notes.add(f"a picture has no labels in {labels}: it is not scored", path.name)


def _inside(corners: Floats, size: tuple[int, int] | None, where: str, notes: Notes) -> Floats | None:
    """The box within its picture, or ``None`` where there is none."""
    if not np.isfinite(corners).all():
        notes.add("a box has a coordinate that is no number: it is left out", where)
        return None
    if (corners[2:] <= corners[:2]).any():
        notes.add("a box has no width or no height: it is left out", where)
        return None
    if size is None:
        return corners
    limits = np.array([size[1], size[0], size[1], size[0]], dtype=np.float64)
    cut = np.clip(corners, 0.0, limits)
    if (cut[2:] <= cut[:2]).any():
        notes.add("a box lies outside its picture: it is left out", where)
        return None
    if np.abs(cut - corners).max() <= TOLERATED:
        return corners
    notes.add("a box reaches outside its picture: it is cut at the edge", where)
    return cut
