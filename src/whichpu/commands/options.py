"""What several commands share: options described once, and how their texts are read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from whichpu.errors import UserError

if TYPE_CHECKING:
    from whichpu.models.artefact import Shapes

Read = TypeVar("Read")
TARGETS = ("all", "onnxruntime:cpu", "openvino:cpu", "openvino:cpu,precision=default", "opencv:cpu", "torch:cpu",
           "litert:cpu", "ncnn:cpu", "mnn:cpu", "null:cpu")  # fmt: skip
UNITS_S = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "m": 60.0, "min": 60.0, "h": 3600.0}

# ---------------------------------------------------------------- kinds of options


def time(help: str) -> Any:
    """An option read by :func:`seconds`."""
    return typer.Option(metavar="TIME", help=help)


def power(help: str) -> Any:
    """An option read by :func:`watts`."""
    return typer.Option(metavar="POWER", help=help)


def percentage(help: str) -> Any:
    """An option read by :func:`share`."""
    return typer.Option(metavar="PERCENT", help=help)


def values(help: str) -> Any:
    """An option read by :func:`numbers`, :func:`cpu_list` or :func:`pinning`."""
    return typer.Option(metavar="LIST", help=help)


def number(help: str, least: int = 1) -> Any:
    """A whole number."""
    return typer.Option(metavar="N", help=help, min=least)


def file(help: str) -> Any:
    """A file that the command reads, or a page that it writes."""
    return typer.Option(metavar="FILE", help=help)


def output(help: str) -> Any:
    """The file in which every reading is kept."""
    return typer.Option("-o", "--output", metavar="FILE", help=help)


def file_to_write(help: str) -> Any:
    """A page that the command writes besides what it prints."""
    return typer.Option("-o", "--output", metavar="FILE", help=help)


def target(help: str) -> Any:
    """Where to run; a shell completes it."""
    return typer.Option(metavar="[NAME=]TARGET", help=help, autocompletion=lambda: list(TARGETS))


def results(help: str = "Campaign files, scenario files, other tools' results.") -> Any:
    """Files of results; many, so that each is made a path without typer's longer way."""
    return typer.Argument(metavar="RESULT...", parser=Path, help=help)


Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Data = Annotated[Path | None, file("Task (.toml) or samples (.npz). Default: seeded random.")]
Forms = Annotated[list[Path] | None, file("Another file form of the same network.")]
ShapeTexts = Annotated[
    list[str] | None, typer.Option(metavar="SIZES", help="Sizes of a dynamic input: NAME=1x3x224x224.")
]
Siblings = Annotated[bool, typer.Option(help="Use forms of the same stem beside MODEL.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the campaign file in --output.")]
Timeout = Annotated[str, time("Silence after which a worker counts as hung.")]

# ---------------------------------------------------------------- texts


def given(read: Callable[[str], Read], text: str | None) -> Read | None:
    """What ``read`` makes of an option; ``None`` where it was left out."""
    return None if text is None else read(text)


def named(option: str, texts: Sequence[str] | None, lacks: str, example: str) -> dict[str, str]:
    """``NAME=TEXT``, each name once. ``lacks`` says what is wrong with a text that is not so."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, what = text.rpartition("=")
        if not (name and equals and what):
            raise UserError(f"{option} {text} {lacks}", f"write it as {option} {example}")
        if name in found:
            raise UserError(f"{option} names {name!r} twice", "give each once")
        found[name] = what
    return found


def seconds(text: str) -> float:
    """``60s``, ``2m``, ``1.5h`` or plain seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|m|h)?", text.strip())
    if not found or float(found[1]) <= 0:
        raise UserError(f"{text!r} is not a time", "write it as 60s, 2m or 1h")
    return float(found[1]) * UNITS_S[found[2] or ""]


def watts(text: str) -> float:
    """``15W``, ``800mW`` or plain watts."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(mW|W)?", text.strip())
    if not found or float(found[1]) <= 0:
        raise UserError(f"{text!r} is not a power", "write it as 15W or 800mW")
    return float(found[1]) * (1e-3 if found[2] == "mW" else 1.0)


def share(text: str) -> float:
    """``2%`` as 0.02."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())
    if not found or not 0 < float(found[1]) < 100:
        raise UserError(f"{text!r} is not a percentage", "write it as 2%")
    return float(found[1]) / 100


def numbers(option: str, text: str) -> tuple[int, ...]:
    """``1,8,32`` as ``(1, 8, 32)``, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"0*[1-9]\d{0,5}", part) for part in parts):
        raise UserError(f"{option} {text} is not a list of positive numbers", f"write it as {option} 1,2,4")
    return tuple(dict.fromkeys(map(int, parts)))


def pinning(text: str) -> tuple[int, ...] | None:
    """CPUs to pin to: ``auto`` as ``None`` (WhichPU chooses), ``all`` as none at all, else a list."""
    return {"auto": None, "all": ()}[text] if text in ("auto", "all") else cpu_list(text, here=False)


def cpu_list(text: str | None, here: bool = True) -> tuple[int, ...]:
    """``0,2-3`` as ``(0, 2, 3)``; of this machine where they are ``here``, which another machine is asked itself."""
    if text is None:
        return ()
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not ends or (ends[2] and int(ends[2]) < int(ends[1])):
            raise UserError(f"--cpus {text} is not a list of CPUs", "write it as --cpus 0,2-3")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    absent = [cpu for cpu in found if here and cpu not in usable]
    if absent:
        raise UserError(f"--cpus {text}: CPU {absent[0]} can't be used here", f"usable: {sorted(usable)}")
    return tuple(found)


def shapes(texts: Sequence[str] | None) -> Shapes:
    """``NAME=1x3x224x224``, each input once."""
    from whichpu.models.artefact import shape_option

    return dict(shape_option(text) for text in texts or ())
