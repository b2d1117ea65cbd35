"""What is said with a board's keeper: questions and their answers, and what workers say meanwhile."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from whichpu.targets.link import WorkerTrouble
from whichpu.targets.ssh import Connection, LostLink

ANSWER_S = 60.0
"""How long the keeper may take for what takes it no time; a loaded board is slow."""


class Refused(WorkerTrouble):
    """The keeper says no."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__("refused", message, remedy)


class Talk:
    """Messages on one link at a time; what was said on one that was lost is forgotten."""

    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        self.name: str | None = name
        self.tell = tell
        self.link: Connection | None = None
        self.number = 0
        self.lines: dict[int, collections.deque[bytes]] = {}
        self.ends: dict[int, tuple[int, str]] = {}
        self.given_up = False

    def close(self) -> None:
        """End every worker, take all files away, give the board back."""
        link, self.link = self.link, None
        if link is not None:
            link.close()

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

    def _connection(self) -> Connection:
        if self.link is None:
            raise LostLink(f"the link to {self.name} was lost")
        return self.link

    def _drop(self) -> None:
        """Forget a link that is gone, and what was said on it."""
        link, self.link = self.link, None
        if link is not None:
            link.close(0.0)
        self.lines, self.ends = {}, {}
