"""A worker on a board, and the files of its requests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichpu.targets.ssh import LostLink
from whichpu.worker import wire

if TYPE_CHECKING:
    from whichpu.targets.board import Board


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
