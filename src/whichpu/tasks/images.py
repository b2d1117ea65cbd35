"""Pictures: read from files, and made small enough to be shown in a report."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from whichpu.errors import UserError
from whichpu.tasks.preprocess import Pixels
from whichpu.tasks.task import BadSample

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files that count as pictures in a folder; a list of labels may name others."""

SHOWN_WIDTH = 480
SHOWN_BYTES = 40_000


@cache
def opencv() -> Any:
    """OpenCV with one thread a call: several pictures are prepared side by side, and the network wants a CPU too.

    Raises :class:`UserError` where it is not installed.
    """
    try:
        import cv2
    except ImportError as problem:
        raise UserError("reading pictures needs OpenCV", "pip install opencv-python-headless") from problem
    cv2.setNumThreads(1)
    return cv2


def read(path: Path, name: str | None = None) -> Pixels:
    """A picture as 8-bit BGR ``[height, width, 3]``, turned as its EXIF tag says; transparency is dropped.

    Raises :class:`BadSample` for what is not there or doesn't decode.
    """
    name = name or path.name
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise BadSample(f"{name} can't be read: {problem.strerror}") from problem
    return decoded(content, name)


def decoded(content: bytes, name: str) -> Pixels:
    """The picture in a file's bytes, as :func:`read` gives it."""
    cv2 = opencv()
    picture = None
    if content:
        try:
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as problem:  # more pixels than it allows
            raise BadSample(f"{name} doesn't decode: {problem}") from problem
    if picture is None:
        raise BadSample(f"{name} is no picture that OpenCV can decode, or it is damaged")
    return np.asarray(picture, np.uint8)


def data_uri(picture: Pixels) -> str:
    """The BGR picture as a JPEG data URI, at most 480 pixels wide and about 40 kB long."""
    import cv2

    height, width = picture.shape[:2]
    if width > SHOWN_WIDTH:
        smaller = SHOWN_WIDTH, max(1, round(height * SHOWN_WIDTH / width))
        picture = np.asarray(cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA))
    content = b""
    for quality in (85, 70, 50, 30, 10):
        content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(content) <= SHOWN_BYTES * 3 / 4:  # base64 makes four characters of three bytes
            break
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
