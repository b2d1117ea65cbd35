"""A worker on this machine, in this interpreter or in the one that the target names."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, TypeVar

from whichpu.targets import bundle
from whichpu.targets.link import TAIL_BYTES, Link, WorkerTrouble

Request = TypeVar("Request")

QUIET = {
    # Telemetry and installs off before the process starts; see docs/safety.md.
    "ORT_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_INDEX": "1",
    # NumPy's own BLAS threads busy-wait into the first timings.
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


def start(
    python: str | None = None,
    *,
    threads: int = 1,
    cpus: Sequence[int] = (),
    timeout_s: float = 120.0,
    where: str = "the worker",
) -> Link:
    """Start a worker and wait for its greeting. Raises :class:`WorkerTrouble`."""
    pin = ["--cpus", ",".join(map(str, cpus))] if cpus else []
    stderr = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the link
    try:
        process = subprocess.Popen(
            [python or sys.executable, str(bundle.archive()), *pin],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **QUIET, **_own(), "OMP_NUM_THREADS": str(threads), "WHICHPU_WORKER": where},
            start_new_session=True,  # Ctrl-C reaches the host alone, which then ends its workers
        )
    except OSError as problem:
        stderr.close()
        raise WorkerTrouble("refused", f"{python or sys.executable} does not start: {problem}") from problem
    return Link(LocalProcess(process, stderr), where, timeout_s)


def _own() -> dict[str, str]:
    """Where PoCL, an OpenCL driver, keeps its kernels: else below the user's home, when it is only looked for."""
    return {"POCL_CACHE_DIR": str(bundle.writable_cache() / "pocl")}


class LocalProcess:
    """A worker on this machine (:class:`whichpu.targets.link.Process`), the leader of its process group."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.process, self.stderr, self.pid = process, stderr, process.pid
        self.requests, self.answers = process.stdin, process.stdout
        self.patience_s = 0.0

    def write(self, line: bytes) -> None:
        self.requests.write(line)
        self.requests.flush()

    def read(self, timeout_s: float) -> bytes | None:
        ready = select.select([self.answers], [], [], timeout_s)[0]
        return os.read(self.answers.fileno(), 1 << 20) if ready else None

    def stop(self) -> None:
        os.killpg(self.pid, signal.SIGSTOP)
        for _ in range(1_000 if hasattr(os, "waitid") else 0):  # macOS has none
            try:
                if os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is not None:
                    return
            except ChildProcessError:  # it died after its answer, and nobody can stop any more
                raise ProcessLookupError from None
            time.sleep(0.0002)

    def go(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.process.wait()

    def ended(self) -> int:
        try:
            self.process.wait(5.0)  # it closed its pipe; how it ends is its own to say, not our SIGKILL's
        except subprocess.TimeoutExpired:
            pass
        self.kill()
        return self.process.returncode

    def tail(self) -> str:
        self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, self.stderr.tell() - TAIL_BYTES))
        return self.stderr.read().decode(errors="replace")

    def close(self) -> None:
        self.kill()
        try:
            self.requests.close()
        except OSError:
            pass
        self.answers.close()
        self.stderr.close()

    def carry(self, request: Request) -> Request:
        return request

    def bring(self) -> None:
        pass


class Here:
    """This machine (:class:`whichpu.targets.place.Place`)."""

    name: str | None = None
    python: str | None = None
    start = staticmethod(start)

    def folder(self, *parts: str) -> str:
        """Below the cache folder. Raises :class:`UserError` where there is none to be had."""
        return str(bundle.writable_cache().joinpath(*parts))

    def own(self) -> list[int]:
        """The host itself."""
        return [os.getpid()]

    def clock_ns(self) -> int:
        """What all times of a campaign are in."""
        return time.perf_counter_ns()

    def utc_ahead_ns(self) -> int:
        """It is this machine."""
        return 0


HERE = Here()
