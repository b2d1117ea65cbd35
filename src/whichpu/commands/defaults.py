"""Options that ``whichpu run`` takes from the ``[run]`` table of ``whichpu.toml`` where the command line is silent."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whichpu.errors import UserError

PATHS = ("model", "data", "output", "form")
"""Options that name files: from the folder of ``whichpu.toml``."""
MANY = ("form", "on", "shape")
"""Options that the command line may repeat."""


def of_run(run: Callable[..., None], arguments: list[str]) -> dict[str, dict[str, Any]]:
    """Typer's ``default_map`` for a command line. Raises :class:`UserError` for what is no option of ``run``."""
    if arguments[:1] != ["run"] or "--help" in arguments:
        return {}
    from whichpu.api.boards import run_table

    path, table = run_table()
    names = {name.removeprefix("as_"): name for name in inspect.signature(run).parameters}
    return {"run": {_named(key, names, path): _value(key, value, path) for key, value in table.items()}}


def _named(key: str, names: dict[str, str], path: Path) -> str:
    name = key.replace("-", "_")
    if name in names:
        return names[name]
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise UserError(f"{path}: `whichpu run` has no option {key!r}", f"{meant}see: whichpu run --help")


def _value(key: str, value: Any, path: Path) -> Any:
    """As the command line would have it: texts, or lists of texts, for which one text does as well."""
    if isinstance(value, list):
        return [_text(key, one, path) for one in value]
    text = _text(key, value, path)
    return [text] if key in MANY else text


def _text(key: str, value: Any, path: Path) -> Any:
    if isinstance(value, (dict, list)):
        raise UserError(
            f"{path}: {key} in [run] is a {'table' if isinstance(value, dict) else 'list of lists'}",
            "write a text, a number, true or a list of texts",
        )
    if isinstance(value, bool):
        return value
    return str(path.parent / str(value)) if key in PATHS else str(value)
