"""Samples that are two files of one stem in two folders: a photograph and its mask, a cloud and the true cloud."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.tasks.task import BadSample

Files = dict[str, Path]


class Pairs:
    """What is given and what is true, by stem. A stem that one of the folders lacks is a bad sample, not left silently.

    ``says`` names both in sentences, such as ``("photograph", "mask")``.
    """

    def __init__(
        self,
        given: Files,
        truths: Files,
        read: Callable[[Path], Any],
        read_truth: Callable[[Path], Any],
        says: tuple[str, str],
        listed: Collection[str] | None = None,
    ) -> None:
        self.given, self.truths, self.read, self.read_truth, self.says = given, truths, read, read_truth, says
        self.stems = sorted(set(given) | set(truths)) if listed is None else list(listed)

    def __len__(self) -> int:
        return len(self.stems)

    def name(self, index: int) -> str:
        """The given file's name."""
        stem = self.stems[index]
        return self.given[stem].name if stem in self.given else stem

    def key(self, index: int) -> str:
        """The path of the given file."""
        stem = self.stems[index]
        return str(self.given[stem].resolve()) if stem in self.given else stem

    def raw(self, index: int) -> Any:
        """What is given. Raises :class:`BadSample`."""
        return self.read(self._path(index, self.given, self.says[0]))

    def truth(self, index: int) -> Any:
        """What is true of it. Raises :class:`BadSample`."""
        return self.read_truth(self._path(index, self.truths, self.says[1]))

    def digest(self, index: int) -> bytes:
        """The hash of both files."""
        digest, stem = hashlib.sha256(), self.stems[index]
        for files in (self.given, self.truths):
            try:
                digest.update(hashlib.sha256(files[stem].read_bytes()).digest())
            except (KeyError, OSError):
                digest.update(b"missing")
        return digest.digest()

    def _path(self, index: int, files: Files, what: str) -> Path:
        try:
            return files[self.stems[index]]
        except KeyError:
            raise BadSample(f"{self.name(index)} has no {what}") from None


def files(task: Path, field: str, folder: str, suffixes: Collection[str]) -> Files:
    """Files of a folder by stem, those with one of ``suffixes``; ``folder`` is relative to the file ``task``.

    Raises :class:`UserError`: no such folder, nothing in it, or two files of one stem.
    """
    place = task.parent / folder
    if not place.is_dir():
        raise UserError(f"{task}: {field} = {folder!r} is no folder", "paths are relative to the task's file")
    found: Files = {}
    for path in sorted(place.iterdir()):
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in found:
            raise UserError(f"{place} holds {found[path.stem].name} and {path.name}: one stem is one sample")
        found[path.stem] = path
    if not found:
        raise UserError(f"{place} holds no file that ends in {', '.join(suffixes)}")
    return found


def listed(task: Path, field: str, name: str | None) -> list[str] | None:
    """The stems in a text file, one a line (as Pascal VOC's lists). Raises :class:`UserError`."""
    if name is None:
        return None
    try:
        stems = (task.parent / name).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{task}: {field} = {name!r} can't be read: {problem}") from problem
    if len(set(stems)) < len(stems):
        raise UserError(f"{task.parent / name} names a sample twice")
    return stems
