"""The link to one worker: requests down, answers up; death, hang and refusal are answers too."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from typing import IO, Any, TypeVar

import msgspec

from whichpu.worker import wire

Answer = TypeVar("Answer")
TAIL_BYTES = 4_000


class WorkerTrouble(Exception):
    """Something that ends one contender's round, never the campaign. ``kind`` is the row's status.

    ``words`` are the worker's own last words: a traceback or the end of its stderr.
    """

    def __init__(self, kind: str, message: str, remedy: str | None = None, words: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.remedy = remedy
        self.words = words


class Link:
    """One running worker process. Every method raises :class:`WorkerTrouble` and nothing else for its troubles."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: IO[bytes], where: str, timeout_s: float) -> None:
        self.process = process
        self.stderr = stderr
        self.where = where
        self.timeout_s = timeout_s
        self.number = 0
        self.phase = "start"
        self.unread = b""
        self.frozen = False
        assert process.stdin is not None and process.stdout is not None
        self.requests, self.answers = process.stdin, process.stdout
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
        self.send(request)
        return self.receive(answer, timeout_s)

    def send(self, request: Any) -> None:
        """Send one request; its answer is to be received before the next."""
        self.number += 1
        self.phase = type(request).__name__.lower()
        try:
            self.requests.write(wire.request_line(self.number, request).encode())
            self.requests.flush()
        except OSError:
            raise self._died(self.phase, time.monotonic()) from None

    def receive(self, answer: type[Answer], timeout_s: float | None = None) -> Answer:
        """Wait for the answer to the request sent last."""
        body = self._body(self.phase, self.timeout_s if timeout_s is None else timeout_s)
        if body.get("failure") is not None:
            failure = msgspec.convert(body["failure"], wire.Failure)
            raise WorkerTrouble(failure.kind, failure.message, failure.remedy, failure.traceback)
        try:
            return msgspec.convert(body["answer"], answer)
        except (KeyError, msgspec.ValidationError) as problem:
            self.kill()
            raise WorkerTrouble(
                "bug", f"{self.where} answered {self.phase} with something else: {problem}"
            ) from problem

    def freeze(self) -> None:
        """Stop the worker's threads, so that it can't disturb another's block; back when they have stopped."""
        self._signal(signal.SIGSTOP)
        self.frozen = True
        for _ in range(1_000 if hasattr(os, "waitid") else 0):  # macOS has none
            try:
                if os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is not None:
                    return
            except ChildProcessError:  # it died after its answer, and nobody can stop any more
                raise self._died("freeze", time.monotonic()) from None
            time.sleep(0.0002)

    def thaw(self) -> None:
        """Let a frozen worker run again."""
        self._signal(signal.SIGCONT)
        self.frozen = False

    def kill(self) -> None:
        """End the worker and all that it started, at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.process.wait()

    def close(self) -> None:
        """End the worker and free the pipes. It holds nothing that would be lost."""
        self.kill()
        try:
            self.requests.close()
        except OSError:
            pass
        self.answers.close()
        self.stderr.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _greeted(self) -> wire.Hello:
        """The worker's first line; what an interpreter prints before it is not ours and is skipped."""
        while True:
            line = self._line("start", self.timeout_s)
            try:
                hello = msgspec.convert(msgspec.json.decode(line)["answer"], wire.Hello)
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
            if left_s <= 0 or not select.select([self.answers], [], [], left_s)[0]:
                self.kill()
                raise WorkerTrouble(
                    "hung",
                    f"{self.where} gave no answer within {timeout_s:g} s ({phase}) and was stopped",
                    "allow more time with --timeout, if it only is slow",
                    self._tail(),
                )
            piece = os.read(self.answers.fileno(), 1 << 20)
            if not piece:
                raise self._died(phase, began)
            self.unread += piece
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _died(self, phase: str, began: float) -> WorkerTrouble:
        elapsed_s = time.monotonic() - began
        try:
            self.process.wait(5.0)  # it closed its pipe; how it ends is its own to say, not our SIGKILL's
        except subprocess.TimeoutExpired:
            pass
        self.kill()
        words = self._tail()
        last = words.strip().splitlines()[-1:] if words.strip() else []
        said = f"; its last words: {last[0]}" if last else ""
        remedy = "measure without it, or with another version of the runtime"
        remedy += "; the campaign file keeps its last words" if words.strip() else ""
        if self.process.returncode == -signal.SIGKILL:
            remedy = "if the machine ran out of memory, the kernel's log says so: dmesg | tail"
        ended = _ending(self.process.returncode)
        return WorkerTrouble("crashed", f"{self.where} {ended} after {elapsed_s:.1f} s ({phase}){said}", remedy, words)

    def _tail(self) -> str:
        self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, self.stderr.tell() - TAIL_BYTES))
        return self.stderr.read().decode(errors="replace")

    def _signal(self, which: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, which)
        except (ProcessLookupError, PermissionError):  # macOS says the second of a process that just died
            raise self._died(which.name, time.monotonic()) from None


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with exit status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
