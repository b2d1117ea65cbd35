"""Pictures and their texts: a folder of pictures and a CSV list of names and texts."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from whichpu.errors import UserError
from whichpu.tasks import description, images
from whichpu.tasks.preprocess import Pixels
from whichpu.tasks.task import BadSample

SOURCES = ("pictures", "labels")


class Data(msgspec.Struct, forbid_unknown_fields=True):
    """The folder, the list, and its columns' names; the file's name may have folders in it."""

    pictures: str
    labels: str
    file: str = "file"
    text: str = "text"


class Texts:
    """Raw: a BGR picture. Truth: its text. Pictures that the list doesn't name are bad samples, and told."""

    def __init__(self, path: Path, data: Data) -> None:
        self.folder = path.parent / data.pictures
        if not self.folder.is_dir():
            raise UserError(f"{path}: data.pictures = {data.pictures!r} is no folder", "paths are relative to its file")
        self.texts = _texts(path.parent / data.labels, data)
        here = (file.name for file in self.folder.iterdir() if file.suffix.lower() in images.SUFFIXES)
        self.names = [*self.texts, *sorted(name for name in here if name not in self.texts)]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The picture's file."""
        return self.names[index]

    def key(self, index: int) -> str:
        """Its path."""
        return str((self.folder / self.names[index]).resolve())

    def raw(self, index: int) -> Pixels:
        """The picture. Raises :class:`BadSample`."""
        return images.read(self.folder / self.names[index], self.names[index])

    def truth(self, index: int) -> str:
        """The text. Raises :class:`BadSample`."""
        try:
            return self.texts[self.names[index]]
        except KeyError:
            raise BadSample(f"{self.names[index]} has no text in the list of labels") from None

    def digest(self, index: int) -> bytes:
        """The hash of picture and text."""
        name = self.names[index]
        try:
            content = hashlib.sha256((self.folder / name).read_bytes()).digest()
        except OSError:
            content = b"missing"
        return hashlib.sha256(content + self.texts.get(name, "\0").encode()).digest()


def load(path: Path, table: Mapping[str, Any]) -> Texts:
    """The dataset of ``[data]``. Raises :class:`UserError`."""
    return Texts(path, description.convert(path, table, Data))


def _texts(file: Path, data: Data) -> dict[str, str]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            rows, columns = list(reader), reader.fieldnames or []
    except OSError as problem:
        raise UserError(f"can't read {file}: {problem.strerror}") from problem
    except (UnicodeDecodeError, csv.Error) as problem:
        raise UserError(f"{file} is no list in CSV: {problem}") from problem
    for column in (data.file, data.text):
        if column not in columns:
            raise UserError(f"{file} has no column {column!r}", f"it has: {', '.join(columns) or 'none'}")
    found: dict[str, str] = {}
    for row in rows:
        name, text = row[data.file], row[data.text]
        if name is None or text is None:
            raise UserError(f"{file}: a line has no {data.text if name else data.file}: {row}")
        if found.get(name, text) != text:
            raise UserError(f"{file} gives {name} two texts: {found[name]!r} and {text!r}")
        found[name] = text
    if not found:
        raise UserError(f"{file} names no picture")
    return found
