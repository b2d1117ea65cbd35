"""The worker as one zipapp, under a name made from the hash of its sources."""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from whichpu.errors import UserError

WORKER = Path(__file__).parent.parent / "worker"
PACKAGE = "whichpu_worker"
MAIN = f"import runpy\nrunpy.run_module({PACKAGE!r}, run_name='__main__', alter_sys=True)\n"


def cache_folder() -> Path:
    """Where WhichPU keeps what it can make again: ``$WHICHPU_CACHE``, else the user's cache folder."""
    named = os.environ.get("WHICHPU_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "whichpu"


def writable_cache() -> Path:
    """The cache folder, made if need be; a folder below the temporary one where it can't be written."""
    for folder in (cache_folder(), Path(tempfile.gettempdir()) / f"whichpu-{getpass.getuser()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as problem:
            last = problem
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
        last = PermissionError(f"can't write {folder}")
    raise UserError(f"there is no folder to keep the worker in: {last}", "name one in WHICHPU_CACHE")


@cache
def archive() -> Path:
    """The zipapp's path; made on first use. Raises :class:`UserError` when there is no place for it."""
    sources = {path.relative_to(WORKER): path.read_bytes() for path in sorted(WORKER.rglob("*.py"))}
    digest = hashlib.sha256(b"".join(str(name).encode() + data for name, data in sources.items())).hexdigest()[:16]
    path = writable_cache() / f"worker-{digest}.pyz"
    if not path.exists():
        write(path, sources)
    return path


def write(path: Path, sources: dict[Path, bytes] | None = None) -> None:
    """Write the zipapp to ``path``, atomically and byte for byte reproducibly."""
    if sources is None:
        sources = {source.relative_to(WORKER): source.read_bytes() for source in sorted(WORKER.rglob("*.py"))}
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".pyz")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(b"#!/usr/bin/env python3\n")
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
                bundle.writestr(zipfile.ZipInfo("__main__.py"), MAIN)
                for name, data in sources.items():
                    bundle.writestr(zipfile.ZipInfo(f"{PACKAGE}/{name.as_posix()}"), data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
