"""Pascal VOC: an XML file for each picture (Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree

import msgspec

from whichpu.errors import UserError
from whichpu.tasks import description
from whichpu.tasks.datasets import boxes
from whichpu.tasks.datasets.boxes import Entry, Notes, One, Pictures

SIDES = ("xmin", "ymin", "xmax", "ymax")


class Voc(msgspec.Struct, forbid_unknown_fields=True):
    """The table ``[data]``: the folder of XML files, that of the pictures, and the model's classes in their order
    (needed where there are several). ``first_pixel`` is 1 for the challenge's own files, whose boxes go from pixel
    ``xmin`` to pixel ``xmax``, counted from 1, both included; 0 for edges in pixels, counted from 0, as most tools
    write."""

    voc: str
    images: str
    classes: list[str] | str | None = None
    first_pixel: Literal[0, 1] = 0


class File(NamedTuple):
    """What one XML file tells."""

    picture: str
    size: tuple[int, int] | None
    found: list[One]


def load(task: Path, table: Mapping[str, Any]) -> Pictures:
    """The pictures that have an XML file, also those without objects. Raises :class:`UserError`."""
    described = description.convert(task, table, Voc)
    folder, place = boxes.folder(task, described.voc, "voc"), boxes.folder(task, described.images, "images")
    files = [_read(path, described.first_pixel) for path in sorted(folder.glob("*.xml"))]
    if not files:
        raise UserError(f"{task}: {folder} holds no .xml file")
    labels = sorted({one.label for file in files for one in file.found})
    classes = boxes.model_classes(task, described.classes, labels, ordered=False)
    notes = Notes()
    entries = [
        Entry(place / file.picture, file.size, boxes.collected(file.found, file.size, file.picture, classes, notes))
        for file in files
    ]
    boxes.note_unlisted(place, [entry.path for entry in entries], notes, folder.name)
    return Pictures(entries, classes, notes)


def _read(path: Path, first_pixel: int) -> File:
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except ElementTree.ParseError as problem:
        raise UserError(f"{path} is not XML: {problem}") from problem
    picture = (root.findtext("filename") or "").strip()
    if root.tag != "annotation" or not picture:
        raise UserError(f"{path} is no VOC annotation: it needs <annotation> with a <filename>")
    height, width = (_number(root.findtext(f"size/{side}")) for side in ("height", "width"))
    size = (int(height), int(width)) if height > 0 and width > 0 else None
    return File(picture, size, [_one(element, first_pixel) for element in root.findall("object")])


def _one(element: ElementTree.Element, first_pixel: int) -> One:
    left, top, right, bottom = (_number(element.findtext(f"bndbox/{side}")) for side in SIDES)
    label = (element.findtext("name") or "").strip()
    difficult = _number(element.findtext("difficult")) == 1
    return One((left - first_pixel, top - first_pixel, right, bottom), label, difficult=difficult)


def _number(text: str | None) -> float:
    """NaN for what is none."""
    try:
        return float(text or "")
    except ValueError:
        return float("nan")
