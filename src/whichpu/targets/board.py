"""A board over SSH: a place where workers run, whose files go there once and are gone afterwards."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import getpass
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from whichpu.errors import UserError
from whichpu.targets.inventory import BoardEntry
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.local import QUIET
from whichpu.targets.ssh import Connection, LostLink
from whichpu.worker import wire

ANSWER_S = 60.0
"""How long the keeper may take for what takes it no time; a loaded board is slow."""
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Pauses between tries at a lost link; the last one is repeated."""
LARGE_BYTES = 10_000_000
"""Files from here on are told of while they are sent."""


class Clock(msgspec.Struct, kw_only=True, frozen=True):
    """A board's clocks beside ours, read together: ``ahead_s`` by the time of day, and both monotonic ones in ns.

    ``known_to_s`` is how exact that is: half of what asking took.
    """

    ahead_s: float
    theirs_ns: int
    ours_ns: int
    known_to_s: float


class Board:
    """One board (:class:`whichpu.targets.place.Place`), held alone from :meth:`connect` to :meth:`close`.

    A method that finds the link gone raises :class:`LostLink`; :meth:`recover` then connects anew.
    """

    def __init__(self, name: str, entry: BoardEntry, tell: Callable[[str], None] = lambda words: None) -> None:
        """``tell`` hears what takes its time."""
        self.name: str | None = name
        self.python: str | None = entry.python
        self.entry, self.tell = entry, tell
        self.purpose = "a campaign"
        self.link: Connection | None = None
        self.number = 0
        self.lines: dict[int, collections.deque[bytes]] = {}
        self.ends: dict[int, tuple[int, str]] = {}
        self.hashes: dict[tuple[str, int, int], str] = {}
        self.first: Clock | None = None
        self.sessions: list[str] = []
        """Ours, that may still be there."""
        self.given_up = False
        self.lost = 0
        self.waited_s = 0.0

    # ------------------------------------------------------------ the link

    def connect(self) -> None:
        """Connect, and wait until the board is ours alone. Raises :class:`UserError`."""
        self.tell(f"connecting to {self.name}")
        try:
            session, before = secrets.token_hex(8), self.sessions
            self.sessions = [*before, session]
            self.link = Connection(str(self.name), self.entry, session, before)
            self.sessions = [session]
            began = time.monotonic()
            who = f"{_user()}@{socket.gethostname()}, since {time.strftime('%H:%M')}: {self.purpose}"
            self._ask("take", timeout_s=None, lock=self.entry.lock, who=who)
            self.waited_s += time.monotonic() - began
            self.first = self.first or self.clock()
        except LostLink as problem:
            self.close()
            raise UserError(str(problem), f"ssh {self.entry.host}, by hand") from problem
        except Refused as problem:
            self.close()
            raise UserError(str(problem), problem.remedy) from problem
        except BaseException:
            self.close()
            raise

    def recover(self, problem: LostLink) -> None:
        """Connect anew, again and again. Raises :class:`UserError` when the board's patience is over."""
        if self.given_up:
            raise KeyboardInterrupt
        self.lost += 1
        self._drop()
        deadline, tries = time.monotonic() + self.entry.patience_s, 0
        while True:
            pause_s = AGAIN_S[min(tries, len(AGAIN_S) - 1)]
            self.tell(f"{problem}; trying again in {pause_s:g} s")
            time.sleep(pause_s)
            tries += 1
            if self.given_up:
                raise KeyboardInterrupt
            try:
                self.connect()
                return
            except UserError as last:
                if time.monotonic() > deadline or "host key" in str(last):
                    raise UserError(
                        f"{problem}, and did not come back in {self.entry.patience_s:g} s: {last}", last.remedy
                    ) from last

    def close(self) -> None:
        """End every worker, take all files away, give the board back."""
        link, self.link = self.link, None
        if link is not None:
            link.close()

    def give_up(self) -> None:
        """End the link from another thread; the one that works with the board finds it lost."""
        self.given_up = True
        link = self.link
        if link is not None:
            link.process.terminate()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ a place

    def start(
        self,
        python: str | None = None,
        *,
        threads: int = 1,
        cpus: Sequence[int] = (),
        timeout_s: float = 120.0,
        where: str = "the worker",
    ) -> Link:
        """Start a worker on the board and wait for its greeting. Raises :class:`WorkerTrouble`."""
        env = {**QUIET, "OMP_NUM_THREADS": str(threads), "WHICHPU_WORKER": where, "TMPDIR": self._own()}
        env |= {"XDG_CACHE_HOME": self._own(), **self.entry.env}
        told = self._ask("start", python=python, env=env, cpus=list(cpus))
        return Link(BoardProcess(self, int(told["worker"]), int(told["pid"])), where, timeout_s)

    def folder(self, *parts: str) -> str:
        """Below what is sent: gone after the campaign, unless the inventory says ``keep``."""
        return "/".join([self._connection().hello["store"], *parts])

    def own(self) -> list[int]:
        """The keeper."""
        return [int(self._connection().hello["pid"])]

    def clock_ns(self) -> int:
        """The board's CLOCK_MONOTONIC, at some time while it is asked."""
        return int(self._ask("clock")["clock_ns"])

    def clock(self) -> Clock:
        """Both clocks, by the quickest of a few answers (as NTP does)."""
        return min((self._clock_once() for _ in range(5)), key=lambda read: read.known_to_s)

    def utc_ahead_ns(self) -> int:
        """How far the board's time of day is ahead of ours."""
        return round(1e9 * self.first.ahead_s) if self.first is not None else 0

    # ------------------------------------------------------------ files

    def send(self, files: Sequence[tuple[str, Path]], passing: bool = False) -> str:
        """Files of one content, under their names; the folder in which they are, on the board.

        What is there goes no second time. What is ``passing`` never stays longer than the campaign, whatever the
        inventory says. Raises :class:`WorkerTrouble` where the board can't keep them.
        """
        hashes = [(name, _hash(path) if passing else self._known(path)) for name, path in files]
        content = hashlib.sha256(repr(sorted(hashes)).encode()).hexdigest()
        if not self._ask("have", sha256=content, passing=passing):
            self._send(content, files, dict(hashes), passing)
        return f"{self._own()}/{content}" if passing else self.folder(content)

    def remove(self, folder: str) -> None:
        """Take passing files away."""
        self._ask("remove", sha256=folder.rsplit("/", 1)[-1])

    def scratch(self) -> tuple[str, str]:
        """The name and path of a file that a worker will write."""
        name = f"out-{secrets.token_hex(8)}"
        return name, str(self._ask("scratch", name=name))

    def fetch(self, name: str, path: Path) -> None:
        """Bring a file of the campaign here; it is gone there."""
        with tempfile.TemporaryFile(dir=path.parent) as file:
            self._ask("get", name=name, file=file)
            file.seek(0)
            with path.open("wb") as kept:
                shutil.copyfileobj(file, kept)

    def _send(self, content: str, files: Sequence[tuple[str, Path]], hashes: dict[str, str], passing: bool) -> None:
        total = sum(path.stat().st_size for _, path in files)
        if total > LARGE_BYTES:
            self.tell(f"sending {files[0][0]} ({total / 1e6:.0f} MB) to {self.name}")
        for number, (name, path) in enumerate(files, 1):
            size = path.stat().st_size
            more = {"name": name, "bytes": size, "file_sha256": hashes[name], "whole": number == len(files)}
            with path.open("rb") as file:
                self._ask("put", ANSWER_S + size / 1e5, file, sha256=content, passing=passing, **more)

    def _known(self, path: Path) -> str:
        """The hash of a file that stays as it is."""
        facts = path.stat()
        key = (str(path), facts.st_mtime_ns, facts.st_size)
        if key not in self.hashes:
            self.hashes[key] = _hash(path)
        return self.hashes[key]

    # ------------------------------------------------------------ messages

    def say_line(self, worker: int, line: bytes, patience_s: float) -> None:
        """A line to a worker."""
        self._connection().say({"do": "line", "worker": worker, "line": line.decode(), "patience_s": patience_s})

    def wait_for(self, worker: int, timeout_s: float) -> bytes | None:
        """What a worker wrote; nothing when it ended, ``None`` when it wrote nothing in time."""
        deadline, queue = time.monotonic() + timeout_s, self.lines.setdefault(worker, collections.deque())
        while not queue:
            if worker in self.ends:
                return b""
            with self._unbroken():
                message = self._connection().hear(max(0.0, deadline - time.monotonic()))
            if message is None:
                self._ask("clock")  # a worker that hangs, or a link that is gone?
                break
            self._keep(message)
        lines = b"".join(queue)
        queue.clear()
        return lines or None

    def order(self, what: str, worker: int) -> Any:
        """Have something done to a worker. Raises :class:`ProcessLookupError` when it is gone."""
        try:
            return self._ask(what, worker=worker)
        except Refused as problem:
            raise ProcessLookupError(str(problem)) from problem

    def _ask(
        self, what: str, timeout_s: float | None = ANSWER_S, raw: Any = None, file: Any = None, **more: Any
    ) -> Any:
        """``timeout_s`` is the longest silence; ``None``: the board may be in use for hours."""
        with self._unbroken():
            link = self._connection()
            self.number += 1
            link.say({"id": self.number, "do": what, **more}, raw)
            while True:
                message = link.hear(3600.0 if timeout_s is None else timeout_s)
                if message is None:
                    if timeout_s is None:
                        continue
                    raise LostLink(f"{self.name} gave no word for {timeout_s:g} s")
                if message.get("id") == self.number:
                    break
                if "bytes" in message and file is not None:
                    link.take(message["bytes"], file, ANSWER_S)
                self._keep(message)
        if "failed" in message:
            raise Refused(f"{self.name}: {message['failed']}", message.get("remedy"))
        return message["done"]

    @contextlib.contextmanager
    def _unbroken(self) -> Iterator[None]:
        """Nobody can go on with a link that was lost, or left in the middle of a message by Ctrl-C."""
        try:
            yield
        except LostLink:
            self._drop()
            raise
        except BaseException as problem:
            self.given_up |= isinstance(problem, KeyboardInterrupt)
            self.close()
            raise

    def _keep(self, message: dict[str, Any]) -> None:
        """What a worker says, until it is asked for."""
        if "line" in message:
            self.lines.setdefault(message["worker"], collections.deque()).append(message["line"].encode() + b"\n")
        elif "ended" in message:
            self.ends[message["worker"]] = (message["ended"], message["tail"])
        elif "busy" in message:
            self.tell(f"{self.name} is in use by {message['busy']}; waiting for it")

    def _clock_once(self) -> Clock:
        asked_ns, asked_utc_ns = time.perf_counter_ns(), time.time_ns()
        told = self._ask("clock")
        took_ns = time.perf_counter_ns() - asked_ns
        ahead_ns = told["utc_ns"] - (asked_utc_ns + took_ns // 2)
        return Clock(
            ahead_s=ahead_ns / 1e9,
            theirs_ns=told["clock_ns"],
            ours_ns=asked_ns + took_ns // 2,
            known_to_s=took_ns / 2e9,
        )

    def _connection(self) -> Connection:
        if self.link is None:
            raise LostLink(f"the link to {self.name} was lost")
        return self.link

    def _own(self) -> str:
        return str(self._connection().hello["folder"])

    def _drop(self) -> None:
        """Forget a link that is gone, and what was said on it."""
        link, self.link = self.link, None
        if link is not None:
            link.close(0.0)
        self.lines, self.ends = {}, {}


class Refused(WorkerTrouble):
    """The keeper says no."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__("refused", message, remedy)


class BoardProcess:
    """A worker on a board (:class:`whichpu.targets.link.Process`)."""

    def __init__(self, board: Board, number: int, pid: int) -> None:
        self.board, self.number, self.pid = board, number, pid
        self.patience_s = 0.0
        self.expected: list[tuple[str, Path]] = []
        self.used_up: list[str] = []

    def write(self, line: bytes) -> None:
        self.board.say_line(self.number, line, self.patience_s)

    def read(self, timeout_s: float) -> bytes | None:
        return self.board.wait_for(self.number, timeout_s)

    def stop(self) -> None:
        self.board.order("stop", self.number)

    def go(self) -> None:
        self.board.order("go", self.number)

    def kill(self) -> None:
        try:
            self.board.order("kill", self.number)
        except ProcessLookupError:
            pass

    def ended(self) -> int:
        if self.number in self.board.ends:
            return self.board.ends[self.number][0]
        try:
            return int(self.board.order("ended", self.number))
        except ProcessLookupError:
            return self.board.ends.get(self.number, (0, ""))[0]

    def tail(self) -> str:
        if self.number in self.board.ends:
            return self.board.ends[self.number][1]
        try:
            return str(self.board.order("tail", self.number))
        except ProcessLookupError:
            return self.board.ends.get(self.number, (0, ""))[1]

    def close(self) -> None:
        try:
            self.board.order("close", self.number)
        except (LostLink, ProcessLookupError):  # the keeper ends its workers when it loses us
            pass
        self.board.lines.pop(self.number, None)

    def carry(self, request: Any) -> Any:
        self.expected, self.used_up = [], []
        if isinstance(request, wire.Build):
            return dataclasses.replace(request, job=self.carry(request.job))
        if isinstance(request, wire.Open):
            return dataclasses.replace(request, model=self._model(request))
        changed: dict[str, str] = {}
        for field in dataclasses.fields(request) if type(request) in wire.WITH_FILES else ():
            if field.name == "inputs":
                changed["inputs"] = self._inputs(Path(request.inputs), isinstance(request, wire.Infer))
            elif field.name == "outputs":
                name, changed["outputs"] = self.board.scratch()
                self.expected.append((name, Path(request.outputs)))
        return dataclasses.replace(request, **changed) if changed else request

    def bring(self) -> None:
        for name, path in self.expected:
            self.board.fetch(name, path)
        for folder in self.used_up:
            self.board.remove(folder)
        self.expected, self.used_up = [], []

    def _model(self, job: wire.Open) -> str:
        path = Path(job.model)
        above = path.parent
        files = [(path.name, path)] if path.is_file() else []
        files += [(name, above / name) for name in job.beside]
        return f"{self.board.send(files)}/{path.name}"

    def _inputs(self, path: Path, once: bool) -> str:
        """Samples as a file, or as a folder of files. A dataset's are used once, and would fill the board."""
        files = [(path.name, path)] if path.is_file() else [(file.name, file) for file in sorted(path.iterdir())]
        folder = self.board.send(files, passing=True)
        if once:
            self.used_up.append(folder)
        return f"{folder}/{path.name}" if path.is_file() else folder


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
