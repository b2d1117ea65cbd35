"""What a backend builds of a model, kept in a folder of its own and made once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from typing import Optional

from . import wire
from .backends import Refused, check_options, load

RECORD = "built.json"
MAKING = "making-"
"""What a folder is called while it is filled, the builder's number behind it."""
IDLE_S = 3600.0


def build(request: wire.Build) -> wire.Built:
    """Build into ``request.folder``, unless that was done before. The folder is whole or absent."""
    job, folder = request.job, request.folder
    backend = load(job.backend)
    reason = backend.why_not()
    if reason is not None:
        raise Refused(reason.reason, reason.remedy)
    check_options(job, backend.OPTIONS)
    there = _there(folder)
    if there is not None:
        return there
    above = os.path.dirname(folder)
    os.makedirs(above, exist_ok=True)
    _sweep(above)
    making = tempfile.mkdtemp(prefix="%s%d-" % (MAKING, os.getpid()), dir=above)
    try:
        began = time.perf_counter_ns()
        facts = backend.build(job, making)
        built = wire.Built(time.perf_counter_ns() - began, _files(making), facts)
        with open(os.path.join(making, RECORD), "w", encoding="utf-8") as file:
            json.dump(vars(built), file)
        _move(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return built


def _there(folder: str) -> Optional[wire.Built]:
    """What was built before; ``None`` where it is not there, or not whole: files were taken away or cut short."""
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as file:
            built = wire.Built(**dict(json.load(file), was_there=True))
        whole = all(os.path.getsize(os.path.join(folder, name)) == size for name, size in built.files.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return built if whole else None


def _move(making: str, folder: str) -> None:
    """Into its place, unless another builder was quicker; what is not whole there goes."""
    if _there(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.rename(making, folder)
        except OSError:
            if _there(folder) is None:
                raise


def _sweep(above: str) -> None:
    """Take away what builders left that were killed (Ctrl-C, a hang): they had no time to."""
    for name in os.listdir(above):
        path, number = os.path.join(above, name), name[len(MAKING) :].partition("-")[0]
        if name.startswith(MAKING) and number.isdigit() and not _alive(int(number)) and _idle_s(path) > IDLE_S:
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _idle_s(path: str) -> float:
    """How long nothing was written there: a builder in another container has a number that means nothing here."""
    try:
        return time.time() - max(os.stat(os.path.join(path, name)).st_mtime for name in [".", *os.listdir(path)])
    except OSError:
        return 0.0


def _files(folder: str) -> "dict[str, int]":
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            found[os.path.relpath(path, folder)] = os.path.getsize(path)
    return found
