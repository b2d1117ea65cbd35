"""Pictures and their labels: one folder a class, or a folder and a CSV list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from whichpu.errors import UserError
from whichpu.tasks import description, images
from whichpu.tasks.datasets import texts
from whichpu.tasks.task import BadSample

SOURCES = ("pictures", "labels", "file", "label")


class Data(msgspec.Struct, forbid_unknown_fields=True):
    """The folder; with ``labels`` the list, and its columns' names."""

    pictures: str
    labels: str | None = None
    file: str = "file"
    label: str = "label"


class Folders(texts.Texts):
    """Raw: a BGR picture. Truth: the name of the folder that it lies in, directly below the dataset's.

    ``classes`` are all those folders, sorted by name.
    """

    def __init__(self, path: Path, data: Data) -> None:
        self.folder = path.parent / data.pictures
        if not self.folder.is_dir():
            raise UserError(f"{path}: data.pictures = {data.pictures!r} is no folder", "paths are relative to its file")
        self.classes = sorted(it.name for it in self.folder.iterdir() if it.is_dir() and not it.name.startswith("."))
        found = [file for file in self.folder.rglob("*") if file.suffix.lower() in images.SUFFIXES]
        self.names = sorted(file.relative_to(self.folder).as_posix() for file in found)
        self.texts = {name: name.split("/")[0] for name in self.names if "/" in name}
        if not self.texts:
            raise UserError(
                f"{self.folder} has no folders with pictures in them",
                f"one folder a class, or a list with labels; pictures end in {', '.join(images.SUFFIXES)}",
            )

    def truth(self, index: int) -> str:
        """The folder's name. Raises :class:`BadSample`."""
        name = self.names[index]
        if name not in self.texts:
            raise BadSample(f"{name} lies in no class's folder")
        return self.texts[name]


def load(path: Path, table: Mapping[str, Any]) -> texts.Texts:
    """The dataset of ``[data]``; a truth is a label as it is written. Raises :class:`UserError`."""
    data = description.convert(path, table, Data)
    if data.labels is None:
        return Folders(path, data)
    return texts.Texts(path, texts.Data(pictures=data.pictures, labels=data.labels, file=data.file, text=data.label))
