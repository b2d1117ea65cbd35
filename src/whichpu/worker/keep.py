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
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, List, Optional

from .session import Session, same

ARCHIVE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The zipapp that this module is in."""
PIECE = 1 << 20
TAIL_BYTES = 4_000
SILENCE_S = 3_600.0
"""How long the host may be silent, beyond what it said it would be: a cut cable tells nobody.

It may compute a reference for as long; and it ends its own sessions that it lost itself, when it comes back.
"""
SPARE_BYTES = 64 << 20
"""Kept free on the board's disk."""
MORE_ROOM = "free some space on the board, or name another place with folder = in whichpu.toml"
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
STOPS = 5_000
"""Looks at a worker that is to stop, 0.2 ms apart."""


def main(arguments: List[str]) -> int:
    """``--keep FOLDER SESSION KEEP ALIVE``: serve until the connection ends.

    ``KEEP`` is 1 where what is sent stays, ``ALIVE`` the descriptor of the session's lock.
    """
    folder, name, stays, alive = arguments[0], arguments[1], arguments[2] == "1", int(arguments[3])
    os.set_inheritable(alive, False)
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    keeper = Keeper(Session(folder, name, stays, alive), requests, answers)
    for which in ENDING:
        signal.signal(which, keeper.told_to_end)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        keeper.serve()
    except (OSError, EOFError):  # nobody is there any more
        pass
    finally:
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
    """Serves one session."""

    def __init__(self, session: Session, requests: int, answers: int) -> None:
        self.session, self.store, self.own = session, session.store, session.own
        self.requests, self.answers = requests, answers
        self.unread, self.coming = b"", 0
        self.workers: Dict[int, Worker] = {}
        self.started = 0
        self.lock: Optional[int] = None
        self.lock_path = ""
        self.leaving = False
        self.deadline = time.monotonic() + SILENCE_S
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
        """Is a content here? It comes to the store in one step, when it is whole; ``passing`` ones are not for it."""
        return os.path.isdir(os.path.join(self.own if asked.get("passing") else self.store, asked["sha256"]))

    def put(self, asked: Dict[str, Any]) -> None:
        """One file of a content; ``whole`` with the last of them. One that is ``passing`` stays out of the store."""
        folder, self.coming = os.path.join(self.own, asked["sha256"]), int(asked["bytes"])
        try:
            path = _below(folder, asked["name"])
            self._look_for_room(self.coming)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                self._receive(file, asked)
            if asked.get("whole") and not asked.get("passing"):
                self._keep(folder, asked["sha256"])
        except (OSError, Trouble) as problem:
            while self.coming:  # what was sent is read to its end in any case
                self._raw()
            shutil.rmtree(folder, ignore_errors=True)
            raise (_told(problem, folder) if isinstance(problem, OSError) else problem) from None

    def _receive(self, file: Any, asked: Dict[str, Any]) -> None:
        digest = hashlib.sha256()
        while self.coming:
            piece = self._raw()
            digest.update(piece)
            file.write(piece)
        if digest.hexdigest() != asked["file_sha256"]:
            raise Trouble("%s arrived damaged" % asked["name"], "try again; if it stays so, look at the network")
        if self.session.stays:  # a board that loses its power must not find half a model the next time
            file.flush()
            os.fsync(file.fileno())

    def _keep(self, folder: str, name: str) -> None:
        """Into the store in one step; unless another session was quicker."""
        os.makedirs(self.store, exist_ok=True)
        try:
            os.rename(folder, os.path.join(self.store, name))
        except OSError:
            if not os.path.isdir(os.path.join(self.store, name)):
                raise

    def _look_for_room(self, size: int) -> None:
        free = shutil.disk_usage(self.own).free
        if size + SPARE_BYTES > free:
            words = "the board has %.0f MB free in %s, and %.0f MB are to be sent, with %.0f MB to spare"
            raise Trouble(words % (free / 1e6, self.session.home, size / 1e6, SPARE_BYTES / 1e6), MORE_ROOM)

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
        """Take a passing content away."""
        shutil.rmtree(_below(self.own, asked["sha256"]), ignore_errors=True)

    def _raw(self) -> bytes:
        """Some of the bytes that are coming. Raises :class:`EOFError`."""
        size = min(self.coming, PIECE)
        if self.unread:
            piece, self.unread = self.unread[:size], self.unread[size:]
        else:
            piece = os.read(self.requests, size)
        if not piece:
            raise EOFError()
        self.coming -= len(piece)
        return piece

    # ------------------------------------------------------------ the board

    def take(self, asked: Dict[str, Any]) -> None:
        """Have the board alone; the answer comes when whoever has it is done. ``{"busy"}`` says who that is.

        The kernel frees the lock of a process that dies. A lock file that was taken away meanwhile is not the lock.
        """
        path = os.path.abspath(os.path.expanduser(asked["lock"]))
        while True:
            held = _opened(path)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say({"busy": os.pread(held, 1_000, 0).decode("utf-8", "replace").strip() or "somebody"})
                self._wait_for(held)
            if same(held, path):
                break
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

    def told_to_end(self, *_: Any) -> None:
        """What SIGTERM, SIGHUP and SIGINT do, the first time."""
        if not self.leaving:
            self.leaving = True
            sys.exit(1)

    def leave(self) -> None:
        """End the workers, take away our files, give the board back."""
        self.leaving = True
        for worker in self.workers.values():
            worker.close()
        self.workers = {}
        self.session.leave()
        if self.lock is not None:
            with contextlib.suppress(OSError):
                if same(self.lock, self.lock_path):
                    os.remove(self.lock_path)
            os.close(self.lock)
            self.lock = None


def _opened(path: str) -> int:
    """The lock's file, for all users of the board alike. Raises :class:`Trouble`."""
    try:
        with contextlib.suppress(FileNotFoundError):
            return _there(path)
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as problem:
        words = "the lock %s can't be taken: %s" % (path, problem.strerror)
        raise Trouble(words, "name another place with lock = in whichpu.toml") from problem
    with contextlib.suppress(OSError):  # whatever the umask says
        os.fchmod(held, 0o666)
    return held


def _there(path: str) -> int:
    """Not with O_CREAT: in /tmp the kernel may refuse that for another user's file (fs.protected_regular)."""
    try:
        return os.open(path, os.O_RDWR)
    except PermissionError:
        return os.open(path, os.O_RDONLY)


def _below(folder: str, name: str) -> str:
    """A path in the folder. Raises :class:`Trouble` for one that leads out of it."""
    path = os.path.normpath(os.path.join(folder, name))
    if not path.startswith(folder + os.sep):
        raise Trouble("%r leads out of the campaign's folder" % name, kind="bug")
    return path


def _told(problem: OSError, folder: str) -> Trouble:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return Trouble("the board ran out of space in %s" % os.path.dirname(folder), MORE_ROOM)
    return Trouble("the board can't keep %s: %s" % (folder, problem.strerror))


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]
