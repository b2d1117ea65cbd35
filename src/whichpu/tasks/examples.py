"""Samples that are pictures with labels, or arrays with their truth: what classification and regression share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.tasks import datasets, description, images
from whichpu.tasks.datasets import Dataset, Part, folder, npz
from whichpu.tasks.kind import Described, Kind, refuse_nan
from whichpu.tasks.preprocess import Numbers, Preprocess
from whichpu.tasks.task import Array, Samples

SOURCES: Mapping[str, Callable[[Path, Mapping[str, Any]], Dataset[Any, Any]]] = {
    "pictures": folder.load,
    "npz": npz.Arrays,
}


class Examples(Kind):
    """A task on one of these sources; ``[preprocess]`` has all steps for pictures, those on numbers for arrays."""

    stands_for = (*folder.SOURCES, *npz.SOURCES)

    def __init__(self, described: Described, path: Path) -> None:
        source = datasets.one_of(path, described.data, SOURCES)
        self.numbers, self.steps = _steps(path, source, getattr(described, "preprocess", None))
        described.preprocess = self.steps or self.numbers  # type: ignore[attr-defined]
        super().__init__(described, path, SOURCES[source])

    def prepared(self, part: Part, index: int) -> Samples:
        """The picture, or the arrays, as the network takes them."""
        raw = part.raw(index)
        if self.steps is not None:
            return [self.steps.applied_to(raw)[0]]
        arrays: list[Array] = raw
        refuse_nan(arrays, part.name(index))
        return arrays if self.numbers is None else [self.numbers.applied(array) for array in arrays]

    def picture(self, index: int) -> str | None:
        """The sample as a data URI, where it is a picture."""
        return None if self.steps is None else images.data_uri(self.part.raw(index))


def _steps(path: Path, source: str, table: Any) -> tuple[Numbers | None, Preprocess | None]:
    if table is not None and not isinstance(table, dict):
        raise UserError(f"{path}: [preprocess] is a table")
    if source == "pictures":
        return None, description.convert(path, {"preprocess": table or {}}, dict[str, Preprocess])["preprocess"]
    if table is None:
        return None, None
    return description.convert(path, {"preprocess": table}, dict[str, Numbers])["preprocess"], None
