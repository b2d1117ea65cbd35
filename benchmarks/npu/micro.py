"""Small float ONNX models, one for each operator and variant, with seeded random weights: Conv -> OP -> Conv, mostly.

    python benchmarks/npu/micro.py FOLDER [NAME...]

writes them. What compilers make of them is how the capability tables are learnt and held to the truth. Operators are
those of the ONNX specification; each model passes its checker and, with ``--run``, is run once in ONNX Runtime.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import micro_edges
import micro_operators
import micro_variants
import numpy as np
import onnx

FAMILIES = (*micro_operators.FAMILIES, *micro_edges.FAMILIES, *micro_variants.FAMILIES, micro_operators.blocks)


def entries() -> dict[str, Callable[[], Any]]:
    """What builds each model, by name."""
    return {name: partial(frame, name, body, opset) for family in FAMILIES for name, frame, body, opset in family()}


def write(folder: Path, names: list[str] | None = None) -> list[Path]:
    """Write the models, checked; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = entries()
    paths = []
    for name in names or makers:
        model = makers[name]()
        onnx.checker.check_model(model, full_check=True)
        paths.append(folder / f"{name}.onnx")
        onnx.save(model, paths[-1])
    return paths


def run(path: Path) -> None:
    """One inference in ONNX Runtime on random input."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    session.run(None, {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="models to write; all when none is named")
    parser.add_argument("--run", action="store_true", help="run each once in ONNX Runtime")
    given = parser.parse_args()
    paths = write(given.folder, given.names)
    for path in paths if given.run else ():
        run(path)
    print(f"{len(paths)} models in {given.folder}")


if __name__ == "__main__":
    main()
