"""A board over SSH: a place where workers run, whose files go there once and are gone afterwards."""

from __future__ import annotations

import getpass
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from whichpu.errors import UserError
from whichpu.targets.board_process import BoardProcess
from whichpu.targets.inventory import BoardEntry
from whichpu.targets.link import Link
from whichpu.targets.local import QUIET
from whichpu.targets.ssh import Connection, LostLink
from whichpu.targets.talk import ANSWER_S, Refused, Talk

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


class Board(Talk):
    """One board (:class:`whichpu.targets.place.Place`), held alone from :meth:`connect` to :meth:`close`.

    A method that finds the link gone raises :class:`LostLink`; :meth:`recover` then connects anew.
    """

    def __init__(self, name: str, entry: BoardEntry, tell: Callable[[str], None] = lambda words: None) -> None:
        """``tell`` hears what takes its time."""
        super().__init__(name, tell)
        self.python: str | None = entry.interpreter
        self.entry = entry
        self.purpose = "a campaign"
        self.hashes: dict[tuple[str, int, int], str] = {}
        self.first: Clock | None = None
        self.sessions: list[str] = []
        """Ours, that may still be there."""
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

    def _own(self) -> str:
        return str(self._connection().hello["folder"])


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
