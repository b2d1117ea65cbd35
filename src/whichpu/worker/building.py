"""What a backend builds of a model, kept in a folder of its own and made once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time

from . import wire
from .backends import Refused, check_options, load

RECORD = "built.json"


def build(request: wire.Build) -> wire.Built:
    """Build into ``request.folder``, unless that was done before. The folder is whole or absent."""
    job, folder = request.job, request.folder
    backend = load(job.backend)
    reason = backend.why_not()
    if reason is not None:
        raise Refused(reason.reason, reason.remedy)
    check_options(job, backend.OPTIONS)
    record = os.path.join(folder, RECORD)
    if os.path.exists(record):
        with open(record, encoding="utf-8") as file:
            return wire.Built(**dict(json.load(file), was_there=True))
    above = os.path.dirname(folder)
    os.makedirs(above, exist_ok=True)
    making = tempfile.mkdtemp(prefix="making-", dir=above)
    try:
        began = time.perf_counter_ns()
        facts = backend.build(job, making)
        built = wire.Built(time.perf_counter_ns() - began, _files(making), facts)
        with open(os.path.join(making, RECORD), "w", encoding="utf-8") as file:
            json.dump(vars(built), file)
        os.rename(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return built


def _files(folder: str) -> "dict[str, int]":
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            found[os.path.relpath(path, folder)] = os.path.getsize(path)
    return found
