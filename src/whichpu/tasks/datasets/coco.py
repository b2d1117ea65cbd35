"""COCO JSON: pictures, boxes and categories in one file (the format of Lin et al., "Microsoft COCO", 2014)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from whichpu.errors import UserError
from whichpu.tasks import description
from whichpu.tasks.datasets import boxes
from whichpu.tasks.datasets.boxes import Entry, Notes, One, Pictures

NOWHERE = (float("nan"),) * 4


class Coco(msgspec.Struct, forbid_unknown_fields=True):
    """The table ``[data]``: the file, the folder of its pictures, and the model's classes in their order (names, or a
    text file with one a line; default: the categories, by their ids)."""

    coco: str
    images: str
    classes: list[str] | str | None = None


def load(task: Path, table: Mapping[str, Any]) -> Pictures:
    """The pictures that the file lists, also those without annotations. Raises :class:`UserError`."""
    described = description.convert(task, table, Coco)
    path, place = task.parent / described.coco, boxes.folder(task, described.images, "images")
    body = _read(path)
    categories = sorted(body["categories"], key=lambda category: category["id"])
    labels = {category["id"]: str(category["name"]) for category in categories}
    classes = boxes.model_classes(task, described.classes, list(labels.values()), ordered=True)
    notes, by_picture = Notes(), _by_picture(body)
    entries = []
    for picture in body["images"]:
        file = place / str(picture["file_name"])
        found = [_one(annotation, labels) for annotation in by_picture.pop(picture["id"], [])]
        size = (int(picture["height"]), int(picture["width"])) if {"height", "width"} <= set(picture) else None
        entries.append(Entry(file, size, boxes.collected(found, size, file.name, classes, notes)))
    for orphan, found_there in by_picture.items():
        for _ in found_there:
            notes.add("an annotation is for a picture that is not listed: it is left out", f"image_id {orphan}")
    boxes.note_unlisted(place, [entry.path for entry in entries], notes, path.name)
    return Pictures(entries, classes, notes)


def _one(annotation: Mapping[str, Any], labels: Mapping[Any, str]) -> One:
    """The object; what is no box becomes one without numbers, which is noted."""
    category = annotation.get("category_id")
    try:
        left, top, width, height = (float(value) for value in annotation["bbox"])
        corners = (left, top, left + width, top + height)
    except (KeyError, TypeError, ValueError):
        corners = NOWHERE
    crowd = bool(annotation.get("iscrowd", 0))
    return One(corners, labels.get(category, f"category_id {category}"), crowd, bool(annotation.get("ignore", 0)))


def _by_picture(body: Mapping[str, Any]) -> dict[Any, list[Mapping[str, Any]]]:
    by_picture: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in body["annotations"]:
        by_picture.setdefault(annotation.get("image_id"), []).append(annotation)
    return by_picture


def _read(path: Path) -> dict[str, Any]:
    """The file. Raises :class:`UserError` for what is no COCO JSON of boxes."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))  # takes NaN, which msgspec refuses: a box's, not the file's
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}") from problem
    except ValueError as problem:
        raise UserError(f"{path} is not JSON: {problem}") from problem
    needed = {"images": {"id", "file_name"}, "annotations": set(), "categories": {"id", "name"}}
    for part, fields in needed.items():
        rows = body.get(part) if isinstance(body, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and fields <= set(row) for row in rows):
            inside = f" of objects with {', '.join(sorted(fields))}" if fields else ""
            raise UserError(f'{path} is no COCO JSON: it needs a list "{part}"{inside}')
    if len({row["id"] for row in body["images"]}) < len(body["images"]):
        raise UserError(f"{path} gives two pictures the same id")
    return dict(body)
