"""Results for other tools: ``whichpu.api.export`` is ``whichpu export`` without a terminal, ``frame`` is for pandas."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from whichpu.api.measuring import Pathlike
from whichpu.errors import UserError

if TYPE_CHECKING:
    import pandas

    from whichpu.results.anything import File
    from whichpu.results.exporters import Written

FORMATS: dict[str, str] = {
    "csv": "whichpu.results.exporters.csv",
    "json": "whichpu.results.exporters.json",
    "parquet": "whichpu.results.exporters.parquet",
    "pytest-benchmark": "whichpu.results.exporters.pytest_benchmark",
    "pyperf": "whichpu.results.exporters.pyperf",
    "chrome-trace": "whichpu.results.exporters.chrome_trace",
    "markdown": "whichpu.reports.export_markdown",
    "junit": "whichpu.reports.export_junit",
}
"""Formats of files and their modules (``results/exporters/``)."""
MLFLOW = "mlflow"
"""Writes no file, but runs where MLflow keeps them."""
BINARY = ("parquet",)


class Exporter(Protocol):
    """What the module of a format offers."""

    KIND: str
    BEGINNING: re.Pattern[bytes]

    def write(self, files: Sequence[File]) -> Written: ...


@dataclass(frozen=True)
class Exported:
    """What was written: ``data`` where no file was asked for; ``runs`` are MLflow's; a sentence on each contender that
    the format has no place for."""

    path: Path | None
    data: bytes
    left_out: list[str]
    runs: list[str]


def exporter(to: str) -> Exporter:
    """The module of a format. Raises :class:`whichpu.UserError`."""
    if to not in FORMATS:
        raise UserError(f"{to!r} is no format to export to", f"choose one of: {', '.join([*FORMATS, MLFLOW])}")
    return cast("Exporter", importlib.import_module(FORMATS[to]))


def export(
    results: Pathlike | Sequence[Pathlike],
    to: str,
    output: Pathlike | None = None,
    *,
    baseline: str | None = None,
) -> Exported:
    """Campaign files, scenario files, imported and other tools' files in the format ``to``.

    ``output`` is the file (of ``mlflow`` the folder); without one, ``data`` has the bytes. An existing file is replaced
    only by its like. ``baseline`` is whom ``junit`` holds the others against. Raises :class:`whichpu.UserError`.
    """
    from whichpu.results import anything, store

    paths = _paths(results)
    if baseline is not None and to != "junit":
        raise UserError("only junit has a baseline", "leave it out, or export to junit")
    path = Path(output) if output is not None else None
    if to == MLFLOW:
        return _to_mlflow(paths, path)
    module = exporter(to)
    if path is not None:
        _replaceable(path, module, paths)
    files = anything.opened(paths)
    written = _junit(files, baseline) if to == "junit" else module.write(files)
    if path is not None:
        store.write(path, written.data)
    return Exported(path, written.data, written.left_out, [])


def frame(results: Pathlike | Sequence[Pathlike]) -> pandas.DataFrame:
    """All figures of all files as a data frame in the long form: a row for each figure of each contender, in base
    units, absent ones with NaN and their reason. Needs pandas. Raises :class:`whichpu.UserError`."""
    import msgspec
    import pandas

    from whichpu.results import anything
    from whichpu.results.exporters.rows import COLUMNS, rows

    found = [msgspec.structs.asdict(row) for row in rows(anything.opened(_paths(results)))]
    types = {"value": "float64", "low": "float64", "high": "float64", "count": "Int64"}
    return pandas.DataFrame(found, columns=list(COLUMNS)).astype(types)


def _paths(results: Pathlike | Sequence[Pathlike]) -> list[Path]:
    return [Path(path) for path in ([results] if isinstance(results, (str, PathLike)) else results)]


def _junit(files: Sequence[File], baseline: str | None) -> Written:
    from whichpu.reports import export_junit

    return export_junit.write(files, baseline)


def _to_mlflow(paths: Sequence[Path], folder: Path | None) -> Exported:
    from whichpu.results import anything
    from whichpu.results.exporters import mlflow

    if folder is not None and folder.is_file():
        raise UserError(f"{folder} is a file; MLflow keeps its runs in a folder", "name a folder: -o FOLDER")
    files = anything.opened(paths)
    where = {file.sha256: path for file, path in zip(files, paths, strict=True)}
    return Exported(folder, b"", [], mlflow.log(files, where, folder))


def _replaceable(path: Path, module: Exporter, read: Sequence[Path]) -> None:
    from whichpu.results.writable import begins, spare

    spare(path, read)
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}", f"mkdir -p {path.parent}")
    if path.is_dir() or (path.exists() and not begins(path, module.BEGINNING)):
        raise UserError(f"{path} is there and is not {module.KIND}, so it is not replaced", "name another file")
