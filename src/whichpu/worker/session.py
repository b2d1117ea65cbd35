"""Where campaigns live on a board: one folder of ours, and in it one for each session.

All that WhichPU writes on a board lies below a folder of its own name, so nothing else can be taken away with it.
This module's text also goes ahead of the worker, as the first words to a board's Python: :func:`boot` takes the worker
and becomes the keeper (``keep.py``). It therefore imports the standard library alone. Python 3.8+.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
import time
from typing import Any, Dict, Iterator, List, Sequence

OURS = "whichpu-board"
"""Our folder's name, in the folder that the inventory names."""
SPARE_BYTES = 8 << 20
"""To be free on the board's disk beside the worker."""
TURNS = 100
"""Looks for a folder that others take away again and again."""
ENDS_S = 20.0
"""How long a session may take to end whose connection was lost."""


class Session:
    """One campaign's connection: its folder, and a lock that tells others that it lives."""

    def __init__(self, folder: str, name: str, stays: bool, alive: int = -1) -> None:
        """``stays``: what was sent is there for the next campaign. ``alive``: the lock, where it is entered already."""
        self.home = os.path.join(os.path.abspath(os.path.expanduser(folder)), OURS)
        self.sessions, self.store = os.path.join(self.home, "sessions"), os.path.join(self.home, "store")
        self.own = os.path.join(self.sessions, name)
        self.stays, self.alive = stays, alive

    def enter(self, instead: Sequence[str] = ()) -> None:
        """Make the folder; take away those of the dead. ``instead`` are sessions of ours whose connections were lost.

        Raises :class:`OSError`.
        """
        for name in instead:
            _end(os.path.join(self.sessions, name))
        with _alone(self.home):
            os.makedirs(self.own)
            self.alive = os.open(os.path.join(self.own, ".alive"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self.alive, fcntl.LOCK_EX)
            os.write(self.alive, b"%d" % os.getpid())
            for name in os.listdir(self.sessions):
                if not _alive(os.path.join(self.sessions, name)):
                    shutil.rmtree(os.path.join(self.sessions, name), ignore_errors=True)

    def leave(self) -> None:
        """Take away our files, and all of WhichPU's where nobody else is here and nothing is to stay."""
        with contextlib.suppress(OSError), _alone(self.home):
            shutil.rmtree(self.own, ignore_errors=True)
            if self.alive >= 0:
                os.close(self.alive)
                self.alive = -1
            if not self.stays and not any(_alive(os.path.join(self.sessions, name)) for name in _names(self.sessions)):
                made = _made(self.home)
                shutil.rmtree(self.home, ignore_errors=True)
                _unmake(made)


@contextlib.contextmanager
def _alone(home: str) -> Iterator[None]:
    """Nobody else enters or leaves meanwhile. A lock whose file was taken away with the folder is none."""
    path = os.path.join(home, ".lock")
    made: List[str] = []
    for turn in itertools.count():
        made += [folder for folder in _missing(home) if folder not in made]
        held = -1
        try:
            os.makedirs(home, mode=0o700, exist_ok=True)
            if os.stat(home).st_uid != os.getuid():  # another could have put a worker of theirs there
                raise PermissionError(errno.EPERM, "%s belongs to another user" % home)
            held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX)
            if same(held, path):
                break
        except OSError as problem:
            if not isinstance(problem, FileNotFoundError) or turn > TURNS:  # else whoever left just took it away
                _unmake(made)
                raise
        if held >= 0:
            os.close(held)
    try:
        above = [folder for folder in made if folder != home]
        if above:
            with open(os.path.join(home, ".made"), "w", encoding="utf-8") as file:
                json.dump(above, file)
        yield
    finally:
        os.close(held)


def same(held: int, path: str) -> bool:
    """Is an open file the one that is at a path now?"""
    try:
        return os.path.samestat(os.fstat(held), os.stat(path))
    except FileNotFoundError:
        return False


def _missing(folder: str) -> List[str]:
    """Folders that are to be made for this one, the innermost first."""
    found = []
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        found.append(folder)
        folder = os.path.dirname(folder)
    return found


def _made(home: str) -> List[str]:
    """Folders that were made for ours, the innermost first."""
    try:
        with open(os.path.join(home, ".made"), encoding="utf-8") as file:
            return [str(folder) for folder in json.load(file)]
    except (OSError, ValueError):
        return []


def _unmake(folders: Sequence[str]) -> None:
    """Those of them that are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _names(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _alive(session: str) -> bool:
    """Has a session's folder an owner?"""
    try:
        held = os.open(os.path.join(session, ".alive"), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(held)


def _end(session: str) -> None:
    """End a session that does not know yet that its connection is gone: it would hold the board against us."""
    deadline = time.monotonic() + ENDS_S
    while _alive(session):
        late = time.monotonic() > deadline
        with contextlib.suppress(OSError, ValueError), open(os.path.join(session, ".alive"), encoding="utf-8") as file:
            os.kill(int(file.read()), signal.SIGKILL if late else signal.SIGTERM)
        if late:
            return
        time.sleep(0.1)


# ---------------------------------------------------------------- the first words


def boot(asked: Dict[str, Any]) -> None:
    """Enter, take the worker where it isn't here, and become the keeper. Comes back only where that can't be."""
    session = Session(asked["folder"], asked["session"], asked["keep"])
    worker = os.path.join(session.home, asked["worker"])
    try:
        session.enter(asked["instead"])
        have = _hash(worker) == asked["sha256"]
        if not have and shutil.disk_usage(session.home).free < asked["bytes"] + SPARE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _say({"have": have})
        if not have and not _received(worker, os.path.join(session.own, "worker"), asked["bytes"]):
            session.leave()
            return
    except OSError as problem:
        session.leave()
        _say({"failed": problem.strerror or str(problem), "folder": session.home})
        return
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.set_inheritable(session.alive, True)
    words = ["--keep", asked["folder"], asked["session"], "1" if asked["keep"] else "0", str(session.alive)]
    os.execv(sys.executable, [sys.executable, worker, *words])


def _received(path: str, partial: str, size: int) -> bool:
    """Has the worker come whole?"""
    with open(partial, "wb") as file:
        while size:
            piece = os.read(0, min(size, 1 << 20))
            if not piece:
                return False
            file.write(piece)
            size -= len(piece)
    os.replace(partial, path)
    return True


def _hash(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except FileNotFoundError:
        return ""


def _say(message: Dict[str, Any]) -> None:
    """On a line of its own, whatever a shell printed before it."""
    sys.stdout.write("\n" + json.dumps(message) + "\n")
    sys.stdout.flush()
