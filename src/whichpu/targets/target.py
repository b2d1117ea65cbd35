"""A target's text: ``backend[:device][@board][,option=value]...`` and ``NAME=`` before it to name a contender."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from whichpu.errors import UserError

NAMED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9 _.+/-]*)=(.+)$")
PART = re.compile(r"^[A-Za-z0-9_.-]+$")
PRECISIONS = ("fp32", "default")
ALL = "all"
CPU = "cpu"
DEFAULT_DEVICE = {"coreml": "all", "hailo": "npu", "rknn": "npu", "tensorrt": "gpu"}
"""The device of a target that names none, of backends that have no CPU to run on; of all others it is the CPU."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a model runs. ``options`` belong to the backend; ``python`` names another interpreter.

    ``precision`` is what is asked for: ``fp32``, or ``default`` for the runtime's own choice.
    ``threads`` is ``None`` when the campaign's number holds. ``board`` is the machine's name in ``whichpu.toml``
    (``None``: this one), on which ``python`` then is.
    """

    backend: str
    device: str = CPU
    precision: str = "fp32"
    threads: int | None = None
    python: str | None = None
    options: dict[str, str] = {}
    board: str | None = None

    def __str__(self) -> str:
        parts = [f"{self.backend}:{self.device}" + (f"@{self.board}" if self.board is not None else "")]
        if self.precision != "fp32":
            parts.append(f"precision={self.precision}")
        if self.threads is not None:
            parts.append(f"threads={self.threads}")
        parts += [f"{name}={value}" for name, value in sorted(self.options.items())]
        if self.python is not None:
            parts.append(f"python={self.python}")
        return ",".join(parts)


def parse(text: str) -> tuple[str | None, Target]:
    """The contender's name, if one was given, and the target. Raises :class:`UserError`."""
    named = NAMED.match(text)
    name, rest = (named.group(1).strip(), named.group(2)) if named else (None, text)
    head, *options = rest.split(",")
    unit, at, board = (word.strip() for word in head.partition("@"))
    backend, _, device = unit.partition(":")
    backend, device = backend.strip(), device.strip()
    if not PART.match(backend) or (":" in unit and not PART.match(device)) or (at and not PART.match(board)):
        raise UserError(
            f"{text!r} is not a target",
            "write it as BACKEND[:DEVICE][@BOARD][,OPTION=VALUE], for example onnxruntime:cpu, hailo@pi5 or"
            " fast=openvino:cpu,threads=2",
        )
    given = _options(text, options)
    return name, Target(
        backend=backend,
        device=device.lower() or default_device(backend),
        precision=_precision(text, given.pop("precision", "fp32")),
        threads=_threads(text, given.pop("threads", None)),
        python=_python(given.pop("python", None), board),
        options=given,
        board=board or None,
    )


def refuse_boards(on: Sequence[str], what: str) -> None:
    """Raises :class:`UserError` for targets on boards, where ``what`` runs on this machine only."""
    there = next((board for board in map(board_of, on) if board is not None), None)
    if there is not None:
        raise UserError(
            f"{what} runs on this machine only, not on {there}",
            f"install WhichPU on {there} and run it there; `whichpu run` and `together` reach boards from here",
        )


def board_of(text: str) -> str | None:
    """The board that a target, or ``all@BOARD``, is on."""
    rest = text.strip()
    if rest.startswith(f"{ALL}@") and PART.match(rest[len(ALL) + 1 :]):
        return rest[len(ALL) + 1 :]
    return None if rest == ALL else parse(text)[1].board


def _python(value: str | None, board: str) -> str | None:
    """An interpreter on a board is looked for there."""
    return value if value is None or board else interpreter(value)


def default_device(backend: str) -> str:
    """The device of a target that names none."""
    return DEFAULT_DEVICE.get(backend, CPU)


def _options(text: str, parts: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in parts:
        key, equals, value = (word.strip() for word in part.partition("="))
        if not (key and equals and value):
            raise UserError(f"in target {text!r}, {part!r} is not an option", "write options as NAME=VALUE")
        if key in given:
            raise UserError(f"in target {text!r}, option {key!r} stands twice", "keep one of them")
        given[key] = value
    return given


def _precision(text: str, value: str) -> str:
    if value not in PRECISIONS:
        raise UserError(
            f"in target {text!r}, precision={value} is not known",
            f"use one of: {', '.join(PRECISIONS)} (others are variants of the model, not options of a target)",
        )
    return value


def _threads(text: str, value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or int(value) < 1:
        raise UserError(f"in target {text!r}, threads={value} is not a positive number")
    return int(value)


def interpreter(value: str) -> str:
    """An interpreter's path: ``value`` itself, or ``bin/python`` in the environment that it names.

    Raises :class:`UserError` when there is none.
    """
    path = Path(value).expanduser()
    found = [path] if path.is_file() else [path / "bin" / "python", path / "Scripts" / "python.exe"]
    for candidate in found:
        if candidate.is_file():
            return str(candidate)
    raise UserError(
        f"there is no Python interpreter at {value}",
        f"create the environment (python3 -m venv {value}) and install the runtime in it",
    )
