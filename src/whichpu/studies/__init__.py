"""The studies that WhichPU began with, each in one file: their figures imported, their statements checked by code.

A study is a module with ``TITLE`` and ``reproduce(asked) -> Study``. Its figures are in ``data/``, as printed.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from whichpu.errors import UserError
from whichpu.studies.study import Asked, Study

STUDIES: dict[str, str] = {
    "share-price": ".share_price",
    "rtx3070ti-vs-hailo8l": ".expected_ranges",
    "licence-plates": ".licence_plates",
    "jetson-gpu-vs-dla": ".jetson",
    "ethos-n78": ".ethos_n",
}
"""Names of studies and their modules."""

DATA = Path(__file__).parent / "data"


class Module(Protocol):
    """What the module of a study offers."""

    TITLE: str

    def reproduce(self, asked: Asked) -> Study: ...


def module(name: str) -> Module:
    """The module of a study. Raises :class:`UserError`."""
    if name not in STUDIES:
        raise UserError(f"no study is called {name!r}", f"choose one of: {', '.join(STUDIES)}")
    return cast(Module, importlib.import_module(STUDIES[name], __name__))


def titles() -> dict[str, str]:
    """What each study is about."""
    return {name: module(name).TITLE for name in STUDIES}
