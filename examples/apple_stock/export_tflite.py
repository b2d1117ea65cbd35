"""Convert both trained networks to TFLite: `NAME.pt2` to `NAME.tflite`. Needs litert-torch; run `train.py` first."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from torch import Tensor, nn
from train import CELLS, HERE, Infer, check, outputs_of, read_task, read_windows


class Named(nn.Module):
    """A network that names its output: the TFLite signature then reads `window` to `forecast`, as in ONNX."""

    def __init__(self, network: Callable[[Tensor], Tensor]) -> None:
        """Around a network that has its weights."""
        super().__init__()
        self.network = network

    def forward(self, window: Tensor) -> dict[str, Tensor]:
        """A scaled window [1, window, 1] to a scaled forecast [1, 1]."""
        return {"forecast": self.network(window)}


def export_tflite(program: torch.export.ExportedProgram, example: Tensor, path: Path) -> Infer:
    """Write TFLite; return it as run by LiteRT's interpreter."""
    litert_torch.convert(Named(program.module()), sample_kwargs={"window": example}).export(str(path))
    runner = Interpreter(str(path), num_threads=1).get_signature_runner("serving_default")

    def infer(window: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(runner(window=window)["forecast"])

    return infer


def main() -> None:
    """Convert and check both networks."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    task = read_task()
    test = read_windows(task["data"]).between(task["data"]["from"], "9999")
    inputs = test.inputs(task["preprocess"]["gain"])
    example = torch.zeros(1, task["data"]["window"], 1)
    for name in CELLS:
        path = HERE / f"{name}.tflite"
        infer = export_tflite(torch.export.load(HERE / f"{name}.pt2"), example, path)
        check(path, outputs_of(infer, inputs), np.load(HERE / f"{name}_reference.npz")["forecast"])


if __name__ == "__main__":
    main()
