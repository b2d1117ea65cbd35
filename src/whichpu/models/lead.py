"""Tools of others, kept on a lead: pip guarded, telemetry off, a folder and a time limit, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

GUARDS = {
    "ORT_DISABLE_TELEMETRY": "1",  # some carry ONNX Runtime inside
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_INDEX": "1",  # the first does nothing in a virtual environment
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


def run(
    command: Sequence[str], folder: Path, log: Path, timeout_s: float, more: Mapping[str, str] | None = None
) -> int | None:
    """The exit status of the command, negative for a signal; ``None`` when it was ended for being late.

    It runs in ``folder``, its temporary one too, with ``more`` in its environment; what it prints goes to ``log``.
    """
    environment = {**os.environ, **GUARDS, "TMPDIR": str(folder), **(more or {})}
    with log.open("wb") as words:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all it started; harmless when they have ended."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    else:
        process.kill()
    process.wait()
