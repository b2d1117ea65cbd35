"""``whichpu.toml``: the boards within reach, and what ``whichpu run`` does here unless it is told otherwise.

[boards.pi5]
host = "pi@raspberrypi.local"        # what you would type after ssh; your ssh config holds
python = "~/hailo/bin/python"        # or the environment's folder; python3
env = { HAILO_MONITOR = "1" }
folder = "~/.cache"                  # in which a folder whichpu-board holds what is sent; gone after the campaign,
keep = false                         # unless keep = true: models stay for the next time
lock = "/tmp/whichpu.lock"           # whoever holds it has the board alone
ssh = ["-p", "2222"]                 # more options of ssh

[run]
model = "gru.onnx"                   # and long options of `whichpu run`; paths are from this file's folder
on = ["hailo@pi5", "onnxruntime:cpu@pi5"]
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from whichpu.errors import UserError

NAME = "whichpu.toml"
NAMED = "WHICHPU_TOML"
"""The environment variable that names the file."""
INTERPRETER = re.compile(r"(python|pypy)[\d.]*(\.exe)?$")


class BoardEntry(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a board is reached, and where things lie on it."""

    host: str
    python: str = "python3"
    env: dict[str, str] = {}
    folder: str = "~/.cache"
    keep: bool = False
    lock: str = "/tmp/whichpu.lock"
    ssh: list[str] = []
    patience_s: float = 300.0
    """How long a lost link is tried again."""

    @property
    def interpreter(self) -> str:
        """``python``, or by its name the interpreter in the environment that it names."""
        folder = PurePosixPath(self.python)
        return self.python if INTERPRETER.match(folder.name) else str(folder / "bin" / "python")


class Inventory(msgspec.Struct, kw_only=True):
    """What a ``whichpu.toml`` says; empty where there is none."""

    path: Path | None = None
    boards: dict[str, BoardEntry] = {}
    run: dict[str, Any] = {}
    """Options of ``whichpu run``."""

    def board(self, name: str) -> BoardEntry:
        """Raises :class:`UserError` for a board that is not in it."""
        if name in self.boards:
            return self.boards[name]
        where = str(self.path) if self.path is not None else f"a {NAME} beside your models"
        close = difflib.get_close_matches(name, self.boards, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"no board is called {name!r}", f'{meant}name it in {where}: [boards.{name}] with host = "user@address"'
        )


def find(start: Path | None = None) -> Path | None:
    """The file that ``$WHICHPU_TOML`` names; else the nearest, from this folder up; else the user's own."""
    named = os.environ.get(NAMED)
    if named:
        return Path(named)
    here = (start or Path.cwd()).absolute()
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "whichpu" / NAME
    candidates = [folder / NAME for folder in (here, *here.parents)] + [own]
    return next((path for path in candidates if path.is_file()), None)


def load(path: Path | None = None) -> Inventory:
    """Read the file (default: the one that :func:`find` finds). Raises :class:`UserError`."""
    path = path or find()
    if path is None:
        return Inventory()
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}", f"see what {NAMED} names") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"{path} is no TOML: {problem}", "docs/boards.md shows one") from problem
    boards = _tables(path, "boards", tables.pop("boards", {}))
    run = tables.pop("run", {})
    if not isinstance(run, dict):
        raise UserError(f"{path}: run is not a table", "write [run] above its keys")
    if stray := sorted(set(tables) - {"check"}):  # [check] is another's to read
        raise UserError(f"{path}: the file has no key {stray[0]!r}", "there are: boards, check, run")
    return Inventory(path=path, boards={name: _entry(path, name, boards[name]) for name in boards}, run=run)


def _tables(path: Path, name: str, found: object) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise UserError(f"{path}: [{name}] holds tables, one a board", f'[{name}.pi5] with host = "user@address"')
    return found


def _entry(path: Path, name: str, table: dict[str, Any]) -> BoardEntry:
    try:
        entry = msgspec.convert(table, BoardEntry)
    except msgspec.ValidationError as problem:
        keys = ", ".join(BoardEntry.__struct_fields__)
        raise UserError(f"{path}, [boards.{name}]: {problem}", f"its keys are: {keys}") from problem
    wrong = _wrong(entry)
    if wrong is not None:
        raise UserError(f"{path}, [boards.{name}]: {wrong[0]}", wrong[1])
    return entry


def _wrong(entry: BoardEntry) -> tuple[str, str] | None:
    """What no connection can be made with, and what to try."""
    if not entry.host.strip() or entry.host.startswith("-"):
        return f"{entry.host!r} is no host", "write what you would type after ssh"
    for key in ("python", "folder", "lock"):
        if not getattr(entry, key).strip():
            return f"{key} is empty", f"leave {key} out, or name one"
    words = [entry.host, entry.python, entry.folder, entry.lock, *entry.ssh, *entry.env, *entry.env.values()]
    if odd := [word for word in words if not word.replace("\t", " ").isprintable()]:
        return f"{odd[0]!r} holds characters that no command line takes", "leave them out"
    if bad := [key for key in entry.env if not key or "=" in key]:
        return f"{bad[0]!r} is no environment variable", 'write env = { NAME = "value" }'
    if not 0.0 <= entry.patience_s < math.inf:
        return f"patience_s = {entry.patience_s} is no time", "give seconds: 300"
    return None
