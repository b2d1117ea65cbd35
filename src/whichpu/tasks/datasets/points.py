"""Point clouds from NPZ, NPY, XYZ and PLY files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.tasks import description
from whichpu.tasks.datasets import stems
from whichpu.tasks.task import BadSample

Cloud = npt.NDArray[np.float64]

SOURCES = ("clouds", "truth")
ARRAY = "points"
"""The array's name in an NPZ file that holds several."""

PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
"""Scalar types of the PLY format (Turk 1994) as NumPy's."""

PLY_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


class Data(msgspec.Struct, forbid_unknown_fields=True):
    """A folder of clouds, and one of the true ones under the same stems (default: the clouds themselves)."""

    clouds: str
    truth: str | None = None


def load(path: Path, table: Mapping[str, Any]) -> stems.Pairs:
    """The dataset of ``[data]``. Raises :class:`whichpu.errors.UserError`."""
    data = description.convert(path, table, Data)
    clouds = stems.files(path, "data.clouds", data.clouds, READERS)
    truths = clouds if data.truth is None else stems.files(path, "data.truth", data.truth, READERS)
    return stems.Pairs(clouds, truths, read, read, ("cloud", "true cloud"))


def read(path: Path) -> Cloud:
    """The points, ``[points, 3]``: x, y, z; what else a file tells of them is left. Raises :class:`BadSample`."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise BadSample(f"{path.name} is no point cloud that can be read (there are: {', '.join(READERS)})")
    try:
        points = np.asarray(reader(path), dtype=np.float64)
    except OSError as problem:
        raise BadSample(f"{path.name} can't be read: {problem.strerror or problem}") from problem
    except (ValueError, KeyError, IndexError, EOFError, TypeError) as problem:
        raise BadSample(f"{path.name} is no {path.suffix[1:].upper()} point cloud: {problem}") from problem
    if points.size == 0:
        raise BadSample(f"{path.name} holds no points")
    if points.ndim != 2 or points.shape[1] < 3:
        raise BadSample(f"{path.name} holds an array {list(points.shape)}; a cloud is [points, 3]")
    if not np.isfinite(points[:, :3]).all():
        raise BadSample(f"{path.name} has coordinates that are no numbers (NaN or infinite)")
    return points[:, :3]


def _npz(path: Path) -> npt.NDArray[Any]:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded as file:
        names = file.files
        if ARRAY not in names and len(names) != 1:
            raise ValueError(f"it holds {', '.join(names) or 'no array'}; name one of them {ARRAY}")
        array: npt.NDArray[Any] = file[ARRAY if ARRAY in names else names[0]]
        return array


def _xyz(path: Path) -> npt.NDArray[Any]:
    """A point a line, numbers apart by spaces or commas; lines that begin with # are comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.replace(",", " ").split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its lines have unequal numbers of columns")
    return np.array(rows, dtype=np.float64)


def _ply(path: Path) -> npt.NDArray[Any]:
    """The vertices of a PLY file, ASCII or binary; they have to be its first element, as almost everywhere."""
    body = path.read_bytes()
    head, found, rest = body.partition(b"end_header")
    lines = [line.split() for line in head.decode("ascii").splitlines() if line.strip()]
    if not found or lines[:1] != [["ply"]]:
        raise ValueError("it has no PLY header")
    form = next(line[1] for line in lines if line[0] == "format")
    elements = [index for index, line in enumerate(lines) if line[0] == "element"]
    if form not in PLY_ORDERS or not elements or lines[elements[0]][1] != "vertex":
        raise ValueError("its first element is not the vertices")
    end = elements[1] if len(elements) > 1 else len(lines)
    properties = [line[1:] for line in lines[elements[0] + 1 : end] if line[0] == "property"]
    if any(len(words) != 2 for words in properties):
        raise ValueError("its vertices have properties that are lists")
    kinds = [(name, PLY_ORDERS[form] + PLY_TYPES[kind]) for kind, name in properties]
    count, data = int(lines[elements[0]][2]), rest.partition(b"\n")[2]
    if form == "ascii":
        rows = np.array([line.split()[: len(kinds)] for line in data.decode("ascii").splitlines()[:count]], np.float64)
        columns = {name: rows[:, place] for place, (name, _) in enumerate(kinds)} if rows.size else {}
        held = len(rows)
    else:
        held = min(count, len(data) // np.dtype(kinds).itemsize)
        table = np.frombuffer(data, np.dtype(kinds), count=held)
        columns = {name: table[name] for name, _ in kinds}
    if held < count:
        raise ValueError(f"its header tells {count} vertices, it holds {held}")
    if not count:
        return np.zeros((0, 3))
    return np.stack([columns[name].astype(np.float64) for name in "xyz"], axis=1)


READERS: dict[str, Callable[[Path], npt.NDArray[Any]]] = {
    ".npz": _npz,
    ".npy": _npz,
    ".xyz": _xyz,
    ".txt": _xyz,
    ".csv": _xyz,
    ".ply": _ply,
}
