"""Vendors' tools as processes of their own, kept on a lead: a temporary folder, no telemetry, no pip, a time limit."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.capability import Target
from whichpu.models import lead, onnx_file

LEAD = {
    "DO_NOT_TRACK": "1",
    "PYTHONSAFEPATH": "1",  # a child beside our rknn.py must not take it for the toolkit (Python 3.11 on)
    "PYTHONUNBUFFERED": "1",
    "no_proxy": "",
    "http_proxy": "http://127.0.0.1:9",  # the discard port: what asks the network is refused at once
    "https_proxy": "http://127.0.0.1:9",
}
"""What a compiler gets besides :data:`whichpu.models.lead.GUARDS`."""


@dataclass(frozen=True)
class Ended:
    """How a tool ended. ``status`` is its exit status, negative for a signal, None when it was ended for being late."""

    status: int | None
    log: str

    @property
    def how(self) -> str:
        """In words; empty when it ended well."""
        if self.status is None:
            return "it did not end in time"
        if self.status < 0:
            return f"it crashed ({signal.Signals(-self.status).name})"
        return f"it ended with status {self.status}" if self.status else ""


def run(command: Sequence[str], folder: Path, timeout_s: float) -> Ended:
    """Run a command in ``folder``, its home and temporary folder too; all it started has ended afterwards."""
    log = folder / "tool.log"
    status = lead.run(command, folder, log, timeout_s, {**LEAD, "HOME": str(folder)})
    return Ended(status, log.read_text(errors="replace"))


def copied(path: Path, folder: Path) -> Path:
    """A copy of an ONNX file in ``folder`` with the files that hold its weights."""
    for name in onnx_file.external_files(onnx_file.read(path)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / name, folder / name)
    return Path(shutil.copyfile(path, folder / "model.onnx"))


def onnx_only(path: Path, tool: str) -> None:
    """Raises :class:`UserError` for a model that is no ONNX file."""
    if path.suffix.lower() != ".onnx":
        raise UserError(f"{tool} is asked with ONNX models only, not with {path.name}", "convert it to ONNX")


def told(folder: Path) -> dict[str, Any] | None:
    """What a child wrote into ``answer.json``; None where it wrote nothing."""
    file = folder / "answer.json"
    found: dict[str, Any] | None = json.loads(file.read_text()) if file.is_file() else None
    return found


def not_held(target: Target, package: str, called: str, install: str) -> str | None:
    """Why a package can't be asked in a target's interpreter, and how to install it; None where it is there."""
    if interpreter_holds(target.python or sys.executable, package):
        return None
    where = f"{target.python} holds no {called}" if target.python else f"{called} is not installed here"
    return f"{where}: {install}"


def interpreter_holds(python: str, package: str) -> bool:
    """Whether an interpreter finds a package, without importing it."""
    look = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    try:
        return subprocess.run([python, "-c", look], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
