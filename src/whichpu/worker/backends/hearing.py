"""What vendors' C code prints: some runtimes return a number and print the reason."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
import threading
from typing import Iterator, List

ONE_AT_A_TIME = threading.RLock()
"""There is one stderr, and models may be opened in threads."""


@contextlib.contextmanager
def heard() -> Iterator[List[str]]:
    """What C code prints meanwhile: lines in the list after the block, and still on stderr."""
    with ONE_AT_A_TIME, _heard() as lines:
        yield lines


@contextlib.contextmanager
def _heard() -> Iterator[List[str]]:
    lines: List[str] = []
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            _flush_c()
            for number, copy in zip((1, 2), kept):
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            text = file.read()
            os.write(2, text)
            lines += [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip()]


def _flush_c() -> None:
    try:
        ctypes.CDLL(None).fflush(None)
    except (OSError, AttributeError, TypeError):  # Windows: its C library is not found this way
        pass
