"""Model files as graphs: one reader a format, one line in the table. Nothing is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from whichpu.errors import UserError
from whichpu.graphs.graph import Graph

READERS = {
    ".onnx": ".onnx",
    ".tflite": ".tflite",
    ".txt": ".relay",  # TVM Relay as text
    ".relay": ".relay",
    ".txt.gz": ".relay",
    ".relay.gz": ".relay",
}


def read(path: Path, shapes: Mapping[str | None, Sequence[int]] | None = None) -> Graph:
    """The graph in a file; ``shapes`` gives sizes to inputs that leave them open (key None: the only input).

    Raises :class:`UserError`: no such file, no known format, a damaged file, a model compiled for a device already,
    sizes that stay open, an invalid graph.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a model file", f"name the files in it: {path}/*.onnx")
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    module = READERS.get("".join(path.suffixes[-2:]).lower()) or READERS.get(path.suffix.lower())
    if module is None:
        known = ", ".join(READERS)
        raise UserError(f"{path} is in no format that can be read without running it", f"formats: {known}")
    graph: Graph = import_module(module, __name__).read(path, shapes or {})
    if not graph.operators:
        raise UserError(f"{path} has no operators: there is nothing to place", "export the model again")
    return graph
