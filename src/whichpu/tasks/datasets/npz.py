"""Arrays in an NPZ file: the inputs and what is true of them, one row a sample."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from whichpu.errors import UserError
from whichpu.tasks import description
from whichpu.tasks.task import Array, Samples

SOURCES = ("npz", "inputs", "truth")
DAMAGE = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError)


class Data(msgspec.Struct, forbid_unknown_fields=True):
    """The file and its arrays' names; ``inputs`` in the model's order (default: all but the truth, as in the file)."""

    npz: str
    inputs: list[str] | None = None
    truth: str = "truth"


class Arrays:
    """Raw: one array an input. Truth: an array, or a number of no axes. All have a leading axis of samples.

    What :func:`numpy.savez` wrote is read from the file row by row; what ``savez_compressed`` wrote has to fit in
    memory.
    """

    def __init__(self, path: Path, table: Mapping[str, Any]) -> None:
        data = description.convert(path, table, Data)
        self.file = path.parent / data.npz
        arrays = _arrays(self.file)
        inputs = data.inputs or [name for name in arrays if name != data.truth]
        for name in (*inputs, data.truth):
            if name not in arrays:
                raise UserError(f"{self.file} holds no array {name!r}", f"it holds: {', '.join(arrays) or 'none'}")
        if not inputs:
            raise UserError(f"{self.file} holds no array but the truth {data.truth!r}", "add the model's inputs")
        self.inputs, self.truths = [arrays[name] for name in inputs], arrays[data.truth]
        counts = {name: arrays[name].shape[:1] for name in (*inputs, data.truth)}
        if len(set(counts.values())) > 1 or () in counts.values():
            told = ", ".join(f"{name} {list(arrays[name].shape)}" for name in counts)
            raise UserError(f"{self.file}: its arrays have different numbers of samples: {told}")

    def __len__(self) -> int:
        return len(self.truths)

    def name(self, index: int) -> str:
        """Its number, from 0."""
        return f"sample {index}"

    def key(self, index: int) -> str:
        """The file and the row."""
        return f"{self.file.resolve()} {index}"

    def raw(self, index: int) -> Samples:
        """The rows of the inputs."""
        return [np.array(array[index]) for array in self.inputs]

    def truth(self, index: int) -> Array:
        """The row of the truth."""
        return np.array(self.truths[index])

    def digest(self, index: int) -> bytes:
        """The hash of all rows, with their types."""
        digest = hashlib.sha256()
        for array in (*self.raw(index), self.truth(index)):
            digest.update(str(array.dtype).encode() + np.ascontiguousarray(array).tobytes())
        return digest.digest()


def _arrays(path: Path) -> dict[str, Array]:
    """All arrays by name. Raises :class:`UserError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            return {member.filename.removesuffix(".npy"): _array(path, archive, member) for member in members}
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror or problem}") from problem
    except DAMAGE as problem:
        raise UserError(
            f"{path} is no .npz file, or it is damaged: {problem}", "write it with numpy.savez"
        ) from problem


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    if member.compress_type != zipfile.ZIP_STORED:
        with archive.open(member) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    with path.open("rb") as file:
        file.seek(member.header_offset)
        name, extra = struct.unpack("<26xHH", file.read(30))  # a local header is not as long as the directory's
        file.seek(name + extra, 1)
        start = file.tell()
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[np.lib.format.read_magic(file)](file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects")
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if file.tell() - start + size != member.file_size or start + member.file_size > path.stat().st_size:
            raise ValueError(f"{member.filename} is cut off")
        if not size:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")
