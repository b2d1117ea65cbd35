"""Sound from WAV files: integer PCM of 8, 16, 24 or 32 bits, read by the standard library."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whichpu.tasks.task import BadSample

Sound = npt.NDArray[np.float32]


def read(path: Path, rate_hz: int, channel: int | None = None) -> Sound:
    """The samples of one channel, ``[samples]``, full scale being 1 (a 16-bit value over 32768).

    Raises :class:`BadSample`: no WAV, cut short, another rate than ``rate_hz`` (nothing is resampled), no such channel,
    or several channels where none is chosen.
    """
    name = path.name
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, frames = file.getparams()[:4]
            body = file.readframes(frames)
    except OSError as problem:
        raise BadSample(f"{name}: can't be read: {problem.strerror}") from problem
    except EOFError as problem:
        raise BadSample(f"{name} ends within its header") from problem
    except wave.Error as problem:
        raise BadSample(f"{name} is no WAV file of integer PCM: {problem}") from problem
    held = len(body) // (channels * width)
    if held < frames:
        raise BadSample(f"{name} is cut short: it holds {held} of the {frames} samples that its header tells")
    if rate != rate_hz:
        raise BadSample(f"{name} has {rate} samples a second; the task takes {rate_hz}")
    if channel is None and channels > 1:
        raise BadSample(f"{name} has {channels} channels; choose one with preprocess.channel")
    if (channel or 0) >= channels:
        raise BadSample(f"{name} has no channel {channel}: it has {channels}")
    return _values(body, width).reshape(-1, channels)[:, channel or 0]


def _values(body: bytes, width: int) -> npt.NDArray[Any]:
    """Integers of ``width`` bytes, little-endian (those of one byte unsigned), over full scale."""
    raw = np.frombuffer(body, np.uint8)
    if width == 1:
        return ((raw.astype(np.int16) - 128) / 128).astype(np.float32)
    wide = np.zeros((raw.size // width, 4), np.uint8)
    wide[:, 4 - width :] = raw.reshape(-1, width)  # into the upper bytes: the sign comes with them
    return (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
