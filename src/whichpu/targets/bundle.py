"""The worker as one zipapp, under a name made from the hash of its sources."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import os
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from whichpu.errors import UserError

WORKER = Path(__file__).parent.parent / "worker"
PACKAGE = "whichpu_worker"
CARRIED = ("*.py", "loop.c", "loop-*.so")
"""Modules, the native loop, and that loop prebuilt where a wheel has it."""
MAIN = f"""\
import sys
missing = None
if sys.version_info < (3, 8):
    missing = ("is Python %d.%d, and the worker needs 3.8 or newer" % sys.version_info[:2], "name a newer one")
elif sys.argv[1:2] != ["--keep"]:
    import importlib.util
    if importlib.util.find_spec("numpy") is None:
        missing = ("has no NumPy, which the worker needs", sys.executable + " -m pip install numpy")
if missing is None:
    import runpy
    runpy.run_module({PACKAGE!r}, run_name="__main__", alter_sys=True)
else:
    import json
    failure = dict(kind="refused", type="Refused", message=sys.executable + " " + missing[0], traceback="")
    sys.stdout.write("\\n" + json.dumps(dict(id=0, failure=dict(failure, remedy=missing[1]))) + "\\n")
"""
"""Any Python can read it, and tells in words why it can't run the worker."""


def cache_folder() -> Path:
    """Where WhichPU keeps what it can make again: ``$WHICHPU_CACHE``, else the user's cache folder; absolute."""
    named = os.environ.get("WHICHPU_CACHE")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "whichpu"


def writable_cache() -> Path:
    """The cache folder, made if need be; a folder of ours below the temporary one where it can't be written."""
    said = []
    for folder in (cache_folder(), Path(tempfile.gettempdir()) / f"whichpu-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK | os.X_OK):
                return folder  # what others own could hold a worker of theirs
            said.append(f"{folder} is not ours to write")
        except OSError as problem:
            said.append(f"{folder}: {problem.strerror}")
    raise UserError(f"there is no folder to keep the worker in: {'; '.join(said)}", "name one in WHICHPU_CACHE")


@cache
def archive() -> Path:
    """The zipapp's path; made on first use, and anew when its bytes are not ours. Raises :class:`UserError`."""
    data = zipapp()
    path = writable_cache() / f"worker-{hashlib.sha256(data).hexdigest()[:16]}.pyz"
    if not path.exists() or path.read_bytes() != data:
        write(path, data)
    return path


def zipapp() -> bytes:
    """The worker as a zipapp: its sources, and what this Python compiles them to, which others pass over.

    The same bytes from the same sources and Python.
    """
    held = io.BytesIO()
    held.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(zipfile.ZipInfo("__main__.py"), MAIN)
        for source in sorted(path for glob in CARRIED for path in WORKER.rglob(glob)):
            name = f"{PACKAGE}/{source.relative_to(WORKER).as_posix()}"
            bundle.writestr(zipfile.ZipInfo(name), source.read_bytes(), zipfile.ZIP_DEFLATED)
            if source.suffix == ".py":  # a zipapp is else compiled anew at each start: half of the time that takes
                bundle.writestr(zipfile.ZipInfo(name + "c"), _compiled(source, name))
    return held.getvalue()


def _compiled(source: Path, name: str) -> bytes:
    """An unchecked ``.pyc`` (PEP 552). Marshal's version 2, for later ones tell how often an object is referred to."""
    code = compile(source.read_bytes(), name, "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code, 2)


def write(path: Path, data: bytes | None = None) -> None:
    """Write the zipapp to ``path``, atomically."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".pyz")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(zipapp() if data is None else data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
