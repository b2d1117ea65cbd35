"""Photographs and their masks: a folder each, by stem; a mask's pixels are numbers of classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.tasks import description, images
from whichpu.tasks.datasets import stems
from whichpu.tasks.task import BadSample

Mask = npt.NDArray[np.int64]

SOURCES = ("pictures", "masks", "list")
SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".pgm")
"""Formats without loss."""


class Data(msgspec.Struct, forbid_unknown_fields=True):
    """Two folders; ``list`` is a text file of stems, where not all of them are meant."""

    pictures: str
    masks: str
    list: str | None = None


def load(path: Path, table: Mapping[str, Any]) -> stems.Pairs:
    """The dataset of ``[data]``. Raises :class:`whichpu.errors.UserError`."""
    data = description.convert(path, table, Data)
    return stems.Pairs(
        stems.files(path, "data.pictures", data.pictures, images.SUFFIXES),
        stems.files(path, "data.masks", data.masks, SUFFIXES),
        images.read,
        read,
        ("photograph", "mask"),
        stems.listed(path, "data.list", data.list),
    )


def read(path: Path) -> Mask:
    """The numbers of a mask, ``[height, width]``: gray values (8 or 16 bits), or the places in a PNG's palette.

    Raises :class:`BadSample`: not there, doesn't decode, or in colours.
    """
    import cv2

    try:
        content = path.read_bytes()
    except OSError as problem:
        raise BadSample(f"{path.name} can't be read: {problem.strerror}") from problem
    palette = palette_of(content)
    way = cv2.IMREAD_UNCHANGED if palette is None else cv2.IMREAD_COLOR
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), way) if content else None
    if decoded is None:
        raise BadSample(f"{path.name} is no picture that OpenCV can decode, or it is damaged")
    if palette is not None:
        return _places(np.asarray(decoded), palette)
    if decoded.ndim != 2:
        raise BadSample(
            f"{path.name} has {decoded.shape[2]} channels; a mask holds one number a pixel, gray or palette"
        )
    return np.asarray(decoded, np.int64)


def palette_of(content: bytes) -> npt.NDArray[np.uint8] | None:
    """The colours of a PNG file with a palette, ``[colours, 3]`` in RGB (chunks as in the PNG specification, 5.3)."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    place, coloured = 8, False
    while place + 8 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        body = content[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            coloured = body[9:10] == b"\x03"
        if kind == b"PLTE" and coloured:
            return np.frombuffer(body[: length - length % 3], np.uint8).reshape(-1, 3)
        if kind == b"IDAT":
            return None
        place += 12 + length
    return None


def _places(picture: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> Mask:
    """Each BGR pixel's place in the palette; of equal colours the first."""
    table = np.zeros(1 << 24, np.uint8)
    for place in range(len(palette) - 1, -1, -1):
        table[_code(palette[place, ::-1])] = place
    return table[_code(picture)].astype(np.int64)


def _code(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    wide = colours.astype(np.int32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])
