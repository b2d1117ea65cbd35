"""The host's end of the tight loops: started, driven over a pipe, frozen and thawed like a worker."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from whichpu.targets.local import QUIET

SCRIPT = Path(__file__).parent / "tight_loop.py"
PROGRAM = Path(__file__).parent / "tight_loop.c"


class LoopTrouble(RuntimeError):
    """The loop's process died or hung; holds its last words."""


class Resident:
    """One running loop, in the environment that :func:`whichpu.targets.local.start` gives a worker."""

    def __init__(
        self, command: Sequence[str], *, threads: int = 1, cpus: Sequence[int] = (), timeout_s: float = 120.0
    ) -> None:
        self.timeout_s = timeout_s
        self.name = Path(command[0] if len(command) < 2 else command[1]).name
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        pin = ["taskset", "--cpu-list", ",".join(map(str, cpus))] if cpus else []
        self.process = subprocess.Popen(
            [*pin, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env={**os.environ, **QUIET, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,
        )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def warm(self) -> None:
        """Run until steady, by the worker's rule."""
        self._ask("warm")

    def run(self, count: int) -> list[int]:
        """Latencies in ns of ``count`` inferences."""
        return self._latencies(f"run {count}")

    def block(self, opening_ns: int, steady_ns: int) -> list[int]:
        """Latencies in ns of a block's steady part."""
        return self._latencies(f"block {opening_ns} {steady_ns}")

    def freeze(self) -> None:
        """Stop its threads."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run again."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and free the pipes."""
        self.process.kill()
        self.process.communicate()
        self.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _latencies(self, request: str) -> list[int]:
        return [int(latency) for latency in self._ask(request)["latencies_ns"]]

    def _ask(self, request: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{request}\n".encode())
            self.process.stdin.flush()
        except OSError:
            raise self._trouble("died") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        """One line; nothing is ever buffered beyond it, because each request has one answer."""
        answers = self.process.stdout
        assert answers is not None
        if not select.select([answers], [], [], self.timeout_s)[0]:
            raise self._trouble("hangs")
        line = answers.readline()
        if not line:
            raise self._trouble("died")
        body: dict[str, Any] = json.loads(line)
        return body

    def _trouble(self, what: str) -> LoopTrouble:
        self.process.kill()
        self.process.wait()
        self.stderr.seek(0)
        return LoopTrouble(f"{self.name} {what}: {self.stderr.read().decode(errors='replace')[-2000:]}")


class Loop(Resident):
    """``tight_loop.py``; ``kind`` is what its command line names."""

    def __init__(
        self,
        model: Path,
        inputs: Path,
        kind: Literal["bound", "naive", "openvino"],
        *,
        threads: int = 1,
        cpus: Sequence[int] = (),
        timeout_s: float = 120.0,
    ) -> None:
        command = [sys.executable, str(SCRIPT), str(model), str(inputs), kind, str(threads)]
        super().__init__(command, threads=threads, cpus=cpus, timeout_s=timeout_s)


def compiled(folder: Path) -> Path:
    """``tight_loop.c`` as a program."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("tight_loop.c needs a C compiler (cc, gcc or clang) in PATH")
    program = folder / "tight_loop"
    subprocess.run([compiler, "-std=gnu17", "-O2", "-o", str(program), str(PROGRAM), "-ldl"], check=True)
    return program
