"""The keeper: the one process of a campaign on a board that an SSH connection talks to.

It starts, stops and ends workers, passes their lines on, and holds the campaign's files. While a worker measures it
sleeps. It owns all that a campaign leaves on a board, and when its connection ends, however that happens, it ends the
workers and takes the files away. Standard library only, Python 3.8+.

Both ways a message is one line of JSON; ``bytes`` in it says how many raw bytes follow. Of the host: ``{"id", "do",
...}``, answered by ``{"id", "done"}`` or ``{"id", "failed", "remedy"}``. Of the keeper besides: ``{"worker", "line"}``,
``{"worker", "ended"}``, ``{"bytes"}`` before a file, and ``{"busy"}``, who has the board.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, List, Optional

ARCHIVE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The zipapp that this module is in."""
PIECE = 1 << 20
TAIL_BYTES = 4_000
SILENCE_S = 900.0
"""How long the host may be silent, beyond what it said it would be: a cut cable tells nobody."""
SPARE_BYTES = 64 << 20
"""Kept free on the board's disk."""
STOPS = 5_000
"""Looks at a worker that is to stop, 0.2 ms apart."""


def main(arguments: List[str]) -> int:
    """``--keep FOLDER SESSION KEEP``: serve until the connection ends; ``KEEP`` is 1 where what is sent may stay."""
    folder, session, stays = arguments[0], arguments[1], arguments[2] == "1"
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    for which in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(which, lambda *_: sys.exit(1))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    keeper = Keeper(folder, session, requests, answers, stays)
    try:
        keeper.serve()
    except OSError:  # nobody reads any more
        pass
    finally:
        with contextlib.suppress(ValueError):
            for which in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(which, signal.SIG_IGN)
        keeper.leave()
    return 0


class Trouble(Exception):
    """What a request came to; the message is for the user."""

    def __init__(self, message: str, remedy: Optional[str] = None, kind: str = "refused") -> None:
        super().__init__(message)
        self.remedy, self.kind = remedy, kind


class Worker:
    """One worker: the leader of a process group."""

    def __init__(self, process: "subprocess.Popen[bytes]", stderr: Any) -> None:
        self.process, self.stderr = process, stderr
        assert process.stdin is not None and process.stdout is not None
        self.requests, self.answers = process.stdin, process.stdout
        self.unread = b""

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGSTOP)
        for _ in range(STOPS):
            try:
                if os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOHANG) is not None:
                    return
            except ChildProcessError:
                raise ProcessLookupError() from None
            time.sleep(0.0002)

    def kill(self) -> int:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def ended(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        return self.kill()

    def tail(self) -> str:
        self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, self.stderr.tell() - TAIL_BYTES))
        return str(self.stderr.read().decode("utf-8", "replace"))

    def close(self) -> None:
        self.kill()
        for pipe in (self.requests, self.answers, self.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


class Keeper:
    """``folder`` is WhichPU's on this board; the campaign's own lies below it, under the session's name."""

    def __init__(self, folder: str, session: str, requests: int, answers: int, stays: bool) -> None:
        self.folder, self.stays = folder, stays
        self.own = os.path.join(folder, "sessions", session)
        self.store = os.path.join(folder, "store")
        self.requests, self.answers = requests, answers
        self.unread = b""
        self.workers: Dict[int, Worker] = {}
        self.started = 0
        self.lock: Optional[int] = None
        self.lock_path: Optional[str] = None
        self.deadline = time.monotonic() + SILENCE_S
        self.alive = self._begin()
        self.deeds = {
            name: getattr(self, name)
            for name in ("start", "stop", "go", "kill", "ended", "tail", "close", "have", "put", "get", "scratch")
            + ("remove", "take", "clock")
        }

    # ------------------------------------------------------------ the loop

    def serve(self) -> None:
        """Pass words on until the connection ends or the host has been silent for too long."""
        self._say({"hello": {"pid": os.getpid(), "folder": self.own, "store": self.store}})
        while True:
            pipes = {worker.answers.fileno(): number for number, worker in self.workers.items()}
            left_s = self.deadline - time.monotonic()
            ready = select.select([self.requests, *pipes], [], [], max(0.0, left_s))[0]
            if not ready:
                return
            for pipe in ready:
                if pipe != self.requests:
                    self._pass_on(pipes[pipe])
            if self.requests in ready and not self._hear():
                return

    def _hear(self) -> bool:
        """Read what the host says, and do it; ``False`` when it is gone, or says so."""
        piece = os.read(self.requests, PIECE)
        if not piece:
            return False
        self.unread += piece
        while b"\n" in self.unread:
            line, _, self.unread = self.unread.partition(b"\n")
            asked = json.loads(line.decode("utf-8"))
            self.deadline = time.monotonic() + SILENCE_S + float(asked.get("patience_s") or 0.0)
            if asked["do"] == "line":
                self._line(asked)
                continue
            try:
                done = self.deeds[asked["do"]](asked)
                self._say({"id": asked["id"], "done": done})
            except Trouble as problem:
                failed = {"id": asked["id"], "failed": str(problem), "remedy": problem.remedy, "kind": problem.kind}
                self._say(failed)
            except ProcessLookupError:
                self._say({"id": asked["id"], "failed": "the worker is gone", "kind": "gone"})
            except OSError as problem:
                self._say({"id": asked["id"], "failed": str(problem), "kind": "refused"})
        return True

    def _pass_on(self, number: int) -> None:
        worker = self.workers[number]
        piece = os.read(worker.answers.fileno(), PIECE)
        if not piece:
            self._say({"worker": number, "ended": worker.ended(), "tail": worker.tail()})
            worker.close()
            del self.workers[number]
            return
        worker.unread += piece
        while b"\n" in worker.unread:
            line, _, worker.unread = worker.unread.partition(b"\n")
            self._say({"worker": number, "line": line.decode("utf-8", "replace")})

    def _line(self, asked: Dict[str, Any]) -> None:
        worker = self.workers.get(asked["worker"])
        if worker is not None:
            with contextlib.suppress(OSError):  # that it ended is told by the end of its answers
                worker.requests.write(asked["line"].encode("utf-8"))
                worker.requests.flush()

    def _say(self, message: Dict[str, Any], raw: Any = None) -> None:
        _write(self.answers, json.dumps(message, separators=(",", ":")).encode("utf-8") + b"\n")
        if raw is not None:
            for piece in iter(lambda: raw.read(PIECE), b""):
                _write(self.answers, piece)

    # ------------------------------------------------------------ workers

    def start(self, asked: Dict[str, Any]) -> Dict[str, int]:
        """A worker, by the interpreter asked for; ``env`` is added to this process's environment."""
        pin = ["--cpus", ",".join(str(cpu) for cpu in asked["cpus"])] if asked.get("cpus") else []
        python = os.path.expanduser(asked.get("python") or sys.executable)
        if os.path.isdir(python):
            python = os.path.join(python, "bin", "python")
        stderr = tempfile.TemporaryFile(dir=self.own)  # noqa: SIM115  # lives as long as the worker
        try:
            process = subprocess.Popen(
                [python, ARCHIVE, *pin],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=dict(os.environ, **asked["env"]),
                start_new_session=True,
            )
        except OSError as problem:
            stderr.close()
            raise Trouble("%s does not start: %s" % (python, problem.strerror)) from problem
        self.started += 1
        self.workers[self.started] = Worker(process, stderr)
        return {"worker": self.started, "pid": process.pid}

    def stop(self, asked: Dict[str, Any]) -> None:
        self._worker(asked).stop()

    def go(self, asked: Dict[str, Any]) -> None:
        os.killpg(self._worker(asked).process.pid, signal.SIGCONT)

    def kill(self, asked: Dict[str, Any]) -> int:
        return self._worker(asked).kill()

    def ended(self, asked: Dict[str, Any]) -> int:
        return self._worker(asked).ended()

    def tail(self, asked: Dict[str, Any]) -> str:
        return self._worker(asked).tail()

    def close(self, asked: Dict[str, Any]) -> None:
        worker = self.workers.pop(asked["worker"], None)
        if worker is not None:
            worker.close()

    def _worker(self, asked: Dict[str, Any]) -> Worker:
        worker = self.workers.get(asked["worker"])
        if worker is None:
            raise ProcessLookupError()
        return worker

    # ------------------------------------------------------------ files

    def have(self, asked: Dict[str, Any]) -> bool:
        """Is a content here whole?"""
        return os.path.exists(os.path.join(self.store, asked["sha256"], ".whole"))

    def put(self, asked: Dict[str, Any]) -> None:
        """One file of a content; ``whole`` with the last of them."""
        folder = os.path.join(self.store, asked["sha256"])
        path, left = _below(folder, asked["name"]), int(asked["bytes"])
        problem: Optional[Exception] = self._no_room(left)
        digest = hashlib.sha256()
        with contextlib.ExitStack() as opened:
            file = None
            if problem is None:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                file = opened.enter_context(open(path, "wb"))
            while left:
                piece = self._raw(min(left, PIECE))
                left -= len(piece)
                if file is None or problem is not None:  # what was sent is read to its end in any case
                    continue
                digest.update(piece)
                try:
                    file.write(piece)
                except OSError as said:
                    problem = said
        if problem is not None:
            shutil.rmtree(folder, ignore_errors=True)
            raise _told(problem, folder) if isinstance(problem, OSError) else problem
        if digest.hexdigest() != asked["file_sha256"]:
            shutil.rmtree(folder, ignore_errors=True)
            raise Trouble("%s arrived damaged" % asked["name"], "try again; if it stays so, look at the network")
        if asked.get("whole"):
            with open(os.path.join(folder, ".whole"), "w", encoding="utf-8"):
                pass

    def _no_room(self, size: int) -> Optional[Trouble]:
        free = shutil.disk_usage(self.folder).free
        if size + SPARE_BYTES <= free:
            return None
        return Trouble(
            "the board has %.0f MB free in %s, and %.0f MB are to be sent" % (free / 1e6, self.folder, size / 1e6),
            "free some space on the board, or name another place with folder = in whichpu.toml",
        )

    def get(self, asked: Dict[str, Any]) -> None:
        """A file of this campaign, which is then gone: its raw bytes follow a message of their own."""
        path = _below(self.own, asked["name"])
        try:
            with open(path, "rb") as file:
                self._say({"bytes": os.fstat(file.fileno()).st_size}, file)
        finally:
            with contextlib.suppress(OSError):
                os.remove(path)

    def scratch(self, asked: Dict[str, Any]) -> str:
        """A path for a file that a worker will write."""
        path = _below(self.own, asked["name"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def remove(self, asked: Dict[str, Any]) -> None:
        """Take a content away."""
        shutil.rmtree(_below(self.store, asked["sha256"]), ignore_errors=True)

    def _raw(self, size: int) -> bytes:
        if self.unread:
            piece, self.unread = self.unread[:size], self.unread[size:]
            return piece
        piece = os.read(self.requests, size)
        if not piece:
            raise OSError(errno.EPIPE, "the connection ended")
        return piece

    # ------------------------------------------------------------ the board

    def take(self, asked: Dict[str, Any]) -> None:
        """Have the board alone; the answer comes when whoever has it is done. ``{"busy"}`` says who that is.

        The kernel frees the lock of a process that dies. A lock file that was taken away meanwhile is not the lock.
        """
        path = asked["lock"]
        while True:
            held = _opened(path)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say({"busy": os.pread(held, 1_000, 0).decode("utf-8", "replace").strip() or "somebody"})
                self._wait_for(held)
            try:
                if os.path.samestat(os.fstat(held), os.stat(path)):
                    break
            except FileNotFoundError:
                pass
            os.close(held)
        self.lock, self.lock_path = held, path
        with contextlib.suppress(OSError):
            os.ftruncate(held, 0)
            os.pwrite(held, asked["who"].encode("utf-8"), 0)

    def _wait_for(self, held: int) -> None:
        """Sleep until the lock is ours: whoever has it is measuring. The connection's end is heard meanwhile."""
        ours, told = os.pipe()

        def wait() -> None:
            with contextlib.suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_EX)
            os.write(told, b".")

        threading.Thread(target=wait, daemon=True).start()
        while True:
            ready = select.select([ours, self.requests], [], [])[0]
            if ours in ready:
                break
            piece = os.read(self.requests, PIECE)
            if not piece:  # the thread ends with this process, and never had the lock
                self.leave()
                os._exit(0)
            self.unread += piece
        os.close(ours)
        os.close(told)
        self.deadline = time.monotonic() + SILENCE_S

    def clock(self, asked: Dict[str, Any]) -> Dict[str, int]:
        """CLOCK_MONOTONIC and the time of day."""
        return {"clock_ns": time.perf_counter_ns(), "utc_ns": time.time_ns()}

    def _begin(self) -> int:
        """Our folder, marked as alive by a lock; the folders of those that died are taken away."""
        os.makedirs(self.own, exist_ok=True)
        alive = os.open(os.path.join(self.own, ".alive"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(alive, fcntl.LOCK_EX)
        for name in os.listdir(os.path.dirname(self.own)):
            other = os.path.join(os.path.dirname(self.own), name)
            if other != self.own and not _alive(other):
                shutil.rmtree(other, ignore_errors=True)
        return alive

    def leave(self) -> None:
        """End the workers, take away our files (and all, when nobody else is here), give the board back."""
        for worker in self.workers.values():
            worker.close()
        self.workers = {}
        if self.alive >= 0:
            shutil.rmtree(self.own, ignore_errors=True)
            os.close(self.alive)
            self.alive = -1
            if not self.stays:
                _remove_if_unused(self.folder)
        if self.lock is not None and self.lock_path is not None:
            with contextlib.suppress(OSError):
                os.remove(self.lock_path)
            os.close(self.lock)
            self.lock = None


def _remove_if_unused(folder: str) -> None:
    """Unless another campaign lives there. Folders above that were made for it go too, where they are empty."""
    sessions = os.path.join(folder, "sessions")
    with contextlib.suppress(OSError):
        if any(_alive(os.path.join(sessions, name)) for name in os.listdir(sessions)):
            return
    made = []
    with contextlib.suppress(OSError, ValueError):
        made = _made(folder)
    shutil.rmtree(folder, ignore_errors=True)
    for above in made:
        with contextlib.suppress(OSError):
            os.rmdir(above)


def _made(folder: str) -> "list[str]":
    """Folders that were made for ours, the innermost first."""
    with open(os.path.join(folder, ".made"), encoding="utf-8") as file:
        return list(json.load(file))


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


def _opened(path: str) -> int:
    """The lock's file, for all users of the board alike. Raises :class:`Trouble`."""
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        pass
    except PermissionError:
        return os.open(path, os.O_RDONLY)
    try:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as problem:
        words = "the lock %s can't be made: %s" % (path, problem.strerror)
        raise Trouble(words, "name another place with lock = in whichpu.toml") from problem
    with contextlib.suppress(OSError):
        os.fchmod(held, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH)
    return held


def _below(folder: str, name: str) -> str:
    """A path in the folder. Raises :class:`Trouble` for one that leads out of it."""
    path = os.path.normpath(os.path.join(folder, name))
    if not path.startswith(folder + os.sep):
        raise Trouble("%r leads out of the campaign's folder" % name, kind="bug")
    return path


def _told(problem: OSError, folder: str) -> Trouble:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        words = "the board ran out of space in %s" % os.path.dirname(folder)
        return Trouble(words, "free some space on the board, or name another place with folder = in whichpu.toml")
    return Trouble("the board can't keep %s: %s" % (folder, problem.strerror))


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]
