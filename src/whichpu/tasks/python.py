"""A task in Python, for what no kind describes: the user's own file, run only because a TOML file names it."""

from __future__ import annotations

import functools
import hashlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import msgspec

from whichpu.errors import UserError
from whichpu.results.schema import TaskInfo
from whichpu.stats.evidence import Evidence
from whichpu.tasks import description
from whichpu.tasks.task import Answer, BadSample, Samples, Shown, Task

NEEDED = ("info", "prepare", "finish", "evidence")
"""What an object has to have; the rest of :class:`Task` has defaults here."""


class Description(msgspec.Struct, forbid_unknown_fields=True):
    """The TOML file: a Python file beside it, the function in it that makes the task, and what that is called with."""

    kind: Literal["python"]
    file: str
    task: str = "make"
    options: dict[str, Any] = {}


class Own:
    """The user's object as a :class:`Task`: defaults for what it leaves out, and its errors told as the user's."""

    def __init__(self, made: Any, described: Description, path: Path, source: bytes) -> None:
        self.made, self.file = made, path.parent / described.file
        for name in NEEDED:
            if not hasattr(made, name):
                remedy = f"it needs {', '.join(NEEDED)}: docs/task-kinds.md"
                raise UserError(f"{self.file}: what {described.task}() gives back has no {name}", remedy)
        if not isinstance(made.info, TaskInfo):
            raise UserError(
                f"{self.file}: info is a {type(made.info).__name__}", "make it a whichpu.results.schema.TaskInfo"
            )
        told = {**made.info.protocol, "source": hashlib.sha256(source).hexdigest()}
        told |= description.protocol({"options": described.options, "own": made.info.protocol_sha256})
        self.info = msgspec.structs.replace(made.info, protocol=told, protocol_sha256=description.sha256(told))
        self.carry: Mapping[int, int] = getattr(made, "carry", {})
        self.reference: Samples | None = getattr(made, "reference", None)
        self.reference_by: str | None = getattr(made, "reference_by", None)

    def name(self, index: int) -> str:
        """The object's word, else the sample's number."""
        return str(self._call("name", index)) if hasattr(self.made, "name") else f"sample {index}"

    def prepare(self, index: int) -> Samples:
        """The object's inputs."""
        return _told(self.file, lambda: list(self.made.prepare(index)))  # type: ignore[no-any-return]

    def finish(self, index: int, outputs: Samples) -> Answer:
        """The object's answer."""
        return self._call("finish", index, outputs)

    def evidence(self, answers: Mapping[int, Answer]) -> dict[str, Evidence]:
        """The object's evidence. Raises :class:`UserError` where a metric of ``info`` is not in it."""
        found: dict[str, Evidence] = self._call("evidence", answers)
        for metric in (self.info.metric, *self.info.others):
            if metric not in found:
                raise UserError(f"{self.file}: evidence() gives {', '.join(found) or 'nothing'}; info names {metric}")
        return found

    def same(self, ours: Answer, theirs: Answer) -> bool:
        """The object's word, else whether the answers are equal."""
        if hasattr(self.made, "same"):
            return bool(self._call("same", ours, theirs))
        return bool(ours == theirs)

    def show(self, index: int, answers: Mapping[str, Answer]) -> Shown:
        """The object's word, else the answers as Python writes them."""
        if hasattr(self.made, "show"):
            shown: Shown = self._call("show", index, answers)
            return shown
        return Shown(sample=self.name(index), truth="", answers={who: str(one) for who, one in answers.items()})

    def calibration(self, count: int, seed: int) -> Iterator[Samples]:
        """The object's inputs. Raises :class:`UserError` where it has none."""
        if not hasattr(self.made, "calibration"):
            raise UserError(f"{self.file} has no samples for calibration", "give its task a method calibration")
        samples = _told(self.file, lambda: iter(self.made.calibration(count, seed)))
        while (inputs := _told(self.file, lambda: next(samples, None))) is not None:
            yield list(inputs)

    def _call(self, method: str, *arguments: Any) -> Any:
        return _told(self.file, functools.partial(getattr(self.made, method), *arguments))


def load(path: Path, body: dict[str, Any], model: str) -> Task:
    """The task of a TOML file. Raises :class:`UserError`."""
    described = description.convert(path, body, Description)
    file = path.parent / described.file
    try:
        source = file.read_bytes()
    except OSError as problem:
        raise UserError(f"can't read {file}: {problem.strerror}") from problem
    make = getattr(_told(file, lambda: _module(source, file)), described.task, None)
    if not callable(make):
        raise UserError(f"{file} has no function {described.task}", f'name another with task = "..." in {path}')
    return Own(_told(file, lambda: make(path.parent, **described.options)), described, path, source)


def _module(source: bytes, file: Path) -> ModuleType:
    """The file as a module; it may import files beside it. Nothing is written (no ``__pycache__``)."""
    module = ModuleType(f"whichpu_task_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses look for their annotations
    sys.path.insert(0, str(file.parent.resolve()))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        exec(compile(source, str(file), "exec"), module.__dict__)
    finally:
        sys.path.remove(str(file.parent.resolve()))
        sys.dont_write_bytecode = writes
    return module


def _told(file: Path, call: Callable[[], Any]) -> Any:
    """What the user's code gives. Its errors become :class:`UserError`, with the last of its lines that was run."""
    try:
        return call()
    except (BadSample, UserError):
        raise
    except Exception as problem:
        where = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(file)]
        line, says = where[-1] if where else None, str(problem)
        if isinstance(problem, SyntaxError) and problem.filename == str(file):
            line, says = problem.lineno, problem.msg
        place = f"{file}, line {line}" if line else str(file)
        raise UserError(f"{place}: {type(problem).__name__}: {says}", "mend the task's Python file") from problem
