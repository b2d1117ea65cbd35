"""The link to one worker: requests down, answers up; death, hang and refusal are answers too."""

from __future__ import annotations

import signal
import time
from typing import Any, Protocol, TypeVar

import msgspec

from whichpu.worker import wire

Answer = TypeVar("Answer")
TAIL_BYTES = 4_000
"""Of a worker's last words."""


class WorkerTrouble(Exception):
    """Something that ends one contender's round, never the campaign. ``kind`` is the row's status.

    ``words`` are the worker's own last words: a traceback or the end of its stderr.
    """

    def __init__(self, kind: str, message: str, remedy: str | None = None, words: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.remedy = remedy
        self.words = words


class Process(Protocol):
    """A worker's process, here or on a board, and the pipes to it."""

    pid: int
    patience_s: float
    """How long it may take to answer what is written next."""

    def write(self, line: bytes) -> None:
        """Raises :class:`OSError` when it is gone."""
        ...

    def read(self, timeout_s: float) -> bytes | None:
        """What it wrote since; nothing when it ended, ``None`` when it wrote nothing in time."""
        ...

    def stop(self) -> None:
        """Stop all its threads; back when they have stopped. Raises :class:`ProcessLookupError` when it is gone."""
        ...

    def go(self) -> None:
        """Let it run again. Raises :class:`ProcessLookupError` when it is gone."""
        ...

    def kill(self) -> None:
        """End it and all that it started, at once."""
        ...

    def ended(self) -> int:
        """How a process that closed its pipe ended, as :attr:`subprocess.Popen.returncode`."""
        ...

    def tail(self) -> str:
        """The end of what it wrote to stderr."""
        ...

    def close(self) -> None:
        """Kill it, and free the pipes."""
        ...

    def carry(self, request: Any) -> Any:
        """The request as the worker can read it: files that it names are where the worker is."""
        ...

    def bring(self) -> None:
        """Bring back the files that the worker wrote for the request carried last."""
        ...


class Link:
    """One running worker. Every method raises :class:`WorkerTrouble` for the worker's troubles."""

    def __init__(self, process: Process, where: str, timeout_s: float) -> None:
        self.process = process
        self.where = where
        self.timeout_s = timeout_s
        self.number = 0
        self.phase = "start"
        self.unread = b""
        self.frozen = False
        try:
            self.hello = self._greeted()
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, request: Any, answer: type[Answer], timeout_s: float | None = None) -> Answer:
        """Send one request and wait for its answer; a silent worker is killed after ``timeout_s``."""
        self.process.patience_s = self.timeout_s if timeout_s is None else timeout_s
        self.send(request)
        return self.receive(answer, timeout_s)

    def send(self, request: Any) -> None:
        """Send one request; its answer is to be received before the next."""
        self.number += 1
        self.phase = type(request).__name__.lower()
        try:
            self.process.write(wire.request_line(self.number, self.process.carry(request)).encode())
        except OSError:
            raise self._died(self.phase, time.monotonic()) from None

    def receive(self, answer: type[Answer], timeout_s: float | None = None) -> Answer:
        """Wait for the answer to the request sent last."""
        body = self._body(self.phase, self.timeout_s if timeout_s is None else timeout_s)
        if body.get("failure") is not None:
            failure = msgspec.convert(body["failure"], wire.Failure)
            raise WorkerTrouble(failure.kind, failure.message, failure.remedy, failure.traceback)
        try:
            told = msgspec.convert(body["answer"], answer)
            self.process.bring()
            return told
        except (KeyError, msgspec.ValidationError) as problem:
            self.kill()
            raise WorkerTrouble(
                "bug", f"{self.where} answered {self.phase} with something else: {problem}"
            ) from problem

    def freeze(self) -> None:
        """Stop the worker's threads, so that it can't disturb another's block; back when they have stopped."""
        try:
            self.process.stop()
        except (ProcessLookupError, PermissionError):  # macOS says the second of a process that just died
            raise self._died("freeze", time.monotonic()) from None
        self.frozen = True

    def thaw(self) -> None:
        """Let a frozen worker run again."""
        try:
            self.process.go()
        except (ProcessLookupError, PermissionError):
            raise self._died("thaw", time.monotonic()) from None
        self.frozen = False

    def kill(self) -> None:
        """End the worker and all that it started, at once."""
        self.process.kill()

    def close(self) -> None:
        """End the worker and free the pipes. It holds nothing that would be lost."""
        self.process.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _greeted(self) -> wire.Hello:
        """The worker's first line; what an interpreter prints before it is not ours and is skipped."""
        while True:
            line = self._line("start", self.timeout_s)
            try:
                body = msgspec.json.decode(line)
                if "failure" in body:
                    failure = msgspec.convert(body["failure"], wire.Failure)
                    raise WorkerTrouble(failure.kind, failure.message, failure.remedy)
                hello = msgspec.convert(body["answer"], wire.Hello)
            except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError):
                continue
            if hello.protocol != wire.PROTOCOL:
                self.kill()
                raise WorkerTrouble("bug", f"{self.where} speaks protocol {hello.protocol}, not {wire.PROTOCOL}")
            return hello

    def _body(self, phase: str, timeout_s: float) -> dict[str, Any]:
        line = self._line(phase, timeout_s)
        try:
            body = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as problem:
            self.kill()
            raise WorkerTrouble("bug", f"{self.where} wrote to the wire what is no answer: {line[:200]!r}") from problem
        if body.get("id") not in (self.number, None):
            self.kill()
            raise WorkerTrouble("bug", f"{self.where} answered request {body.get('id')}, not {self.number}")
        return body

    def _line(self, phase: str, timeout_s: float) -> bytes:
        began = time.monotonic()
        while b"\n" not in self.unread:
            left_s = began + timeout_s - time.monotonic()
            piece = self.process.read(left_s) if left_s > 0 else None
            if piece is None:
                self.kill()
                raise WorkerTrouble(
                    "hung",
                    f"{self.where} gave no answer within {timeout_s:g} s ({phase}) and was stopped",
                    "allow more time with --timeout, if it only is slow",
                    self.process.tail(),
                )
            if not piece:
                raise self._died(phase, began)
            self.unread += piece
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _died(self, phase: str, began: float) -> WorkerTrouble:
        elapsed_s = time.monotonic() - began
        status = self.process.ended()
        words = self.process.tail()
        last = words.strip().splitlines()[-1:] if words.strip() else []
        said = f"; its last words: {last[0]}" if last else ""
        remedy = "measure without it, or with another version of the runtime"
        remedy += "; the campaign file keeps its last words" if words.strip() else ""
        if status == -signal.SIGKILL:
            remedy = "if the machine ran out of memory, the kernel's log says so: dmesg | tail"
        said = f"{self.where} {_ending(status)} after {elapsed_s:.1f} s ({phase}){said}"
        return WorkerTrouble("crashed", said, remedy, words)


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with exit status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
