"""Train a GRU and an LSTM to forecast Apple's adjusted close of the next trading day, and export both.

Reads `task.toml` and the prices it names. Writes `NAME.onnx`, `NAME.pt2` and `NAME_reference.npz` for each network, and
the fitted `gain` back into `task.toml`. Every run with the same machine and versions writes the same bytes.
"""

from __future__ import annotations

import copy
import csv
import os
import re
import tomllib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HERE = Path(__file__).parent
TASK = HERE / "task.toml"

VALIDATION_FROM = "2009-01-02"  # earlier forecast days train; from here to the held-back years they say when to stop
SEED = 0
HIDDEN = 64
LAYERS = 2
BATCH = 64
LEARNING_RATE = 1e-3
MIN_EPOCHS = 20  # earlier networks only answer "as today" whatever the window holds, which would test no runtime
MAX_EPOCHS = 200
PATIENCE = 20  # epochs without a better validation error
OPSET = 17
TOLERANCE = 1e-6  # largest difference from PyTorch allowed in an exported file, on the network's scale

CELLS: dict[str, type[nn.GRU | nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
Infer = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # one scaled window [1, window, 1] to one output [1, 1]


@dataclass(frozen=True)
class Windows:
    """N forecast days, with the prices before each."""

    dates: NDArray[np.str_]  # [N], YYYY-MM-DD, ascending
    past: NDArray[np.float64]  # [N, window], US dollars, oldest first
    actual: NDArray[np.float64]  # [N], US dollars: the price to forecast

    @property
    def last(self) -> NDArray[np.float64]:
        """The newest known price [N], in US dollars; also the naive forecast."""
        return self.past[:, -1]

    @property
    def relative(self) -> NDArray[np.float64]:
        """Past prices relative to the newest [N, window], without unit: -0.1 is 10 % below it."""
        return self.past / self.last[:, None] - 1

    def between(self, first: str, end: str) -> Windows:
        """The forecast days from `first` up to, and without, `end`."""
        keep = (self.dates >= first) & (self.dates < end)
        return Windows(self.dates[keep], self.past[keep], self.actual[keep])

    def inputs(self, gain: float) -> NDArray[np.float32]:
        """What the network sees: [N, window, 1]."""
        return (self.relative * gain).astype(np.float32)[:, :, None]

    def targets(self, gain: float) -> NDArray[np.float32]:
        """What the network should answer, on its own scale: [N, 1]."""
        return ((self.actual / self.last - 1) * gain).astype(np.float32)[:, None]

    def dollars(self, outputs: NDArray[np.float32], gain: float) -> NDArray[np.float64]:
        """The network's outputs [N, 1] as forecasts [N] in US dollars."""
        return self.last * (1 + outputs[:, 0].astype(np.float64) / gain)

    def rmse(self, forecast: NDArray[np.float64]) -> float:
        """Root mean square error of a forecast [N], in US dollars."""
        return float(np.sqrt(np.mean((forecast - self.actual) ** 2)))


class Forecaster(nn.Module):
    """A recurrent network over the window, and a linear head on its last state."""

    def __init__(self, cell: type[nn.GRU | nn.LSTM]) -> None:
        """With fresh weights, from PyTorch's random generator."""
        super().__init__()
        self.rnn = cell(input_size=1, hidden_size=HIDDEN, num_layers=LAYERS, batch_first=True)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, window: Tensor) -> Tensor:
        """Scaled windows [N, window, 1] to scaled forecasts [N, 1]."""
        states, _ = self.rnn(window)
        forecast: Tensor = self.head(states[:, -1])
        return forecast


def read_task() -> dict[str, Any]:
    """The task description."""
    return tomllib.loads(TASK.read_text())


def write_gain(gain: float) -> None:
    """Put the fitted gain into the task description."""
    TASK.write_text(re.sub(r"^gain = [\d.]+", f"gain = {gain}", TASK.read_text(), flags=re.MULTILINE))


def read_windows(data: dict[str, Any]) -> Windows:
    """Every day of the task's price file that has a full window before it, none after the held-back years."""
    with (HERE / data["csv"]).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[data["date"]] <= data["to"]]
    dates = np.array([row[data["date"]] for row in rows])
    prices = np.array([float(row[data["column"]]) for row in rows])
    size = data["window"]
    return Windows(dates[size:], np.lib.stride_tricks.sliding_window_view(prices, size)[:-1], prices[size:])


def fit_gain(train: Windows) -> float:
    """The factor that gives the training inputs unit standard deviation, rounded to a number one can write down."""
    return round(1 / float(train.relative.std()), 2)


def train_network(cell: type[nn.GRU | nn.LSTM], train: Windows, validation: Windows, gain: float) -> Forecaster:
    """Minimise the squared error on `train`, and keep the weights of the epoch with the least on `validation`."""
    torch.manual_seed(SEED)
    network = Forecaster(cell)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    x, y = torch.from_numpy(train.inputs(gain)), torch.from_numpy(train.targets(gain))
    x_val, y_val = torch.from_numpy(validation.inputs(gain)), torch.from_numpy(validation.targets(gain))
    best_error, best_epoch, best_weights = float("inf"), MIN_EPOCHS, network.state_dict()
    for epoch in range(1, MAX_EPOCHS + 1):
        for rows in torch.split(torch.randperm(len(x)), BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.mse_loss(network(x[rows]), y[rows]))
            optimizer.step()
        with torch.inference_mode():
            error = nn.functional.mse_loss(network(x_val), y_val).item()
        if epoch >= MIN_EPOCHS and error < best_error:
            best_error, best_epoch, best_weights = error, epoch, copy.deepcopy(network.state_dict())
        if epoch >= best_epoch + PATIENCE:
            break
    network.load_state_dict(best_weights)
    print(f"  kept epoch {best_epoch} of {epoch}")
    return network.eval()


def export_onnx(network: Forecaster, example: Tensor, path: Path) -> Infer:
    """Write ONNX with the TorchScript exporter, whose files every runtime reads; return it as run by ONNX Runtime."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    torch.onnx.export(
        network, (example,), path, input_names=["window"], output_names=["forecast"], opset_version=OPSET, dynamo=False
    )
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda window: np.asarray(session.run(["forecast"], {"window": window})[0])


def export_pt2(network: Forecaster, example: Tensor, path: Path) -> Infer:
    """Write PyTorch's own exported program; return it as loaded back from the file."""
    program = torch.export.export(network, (example,))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # holds the paths of this machine
    torch.export.save(program, path)
    return infer_with(torch.export.load(path).module())


def infer_with(module: Callable[[Tensor], Tensor]) -> Infer:
    """A PyTorch module as a function of arrays."""

    def infer(window: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return module(torch.from_numpy(window)).numpy()

    return infer


def outputs_of(infer: Infer, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inputs [N, window, 1] one by one, as a forecaster in use sees them, to outputs [N, 1]."""
    return np.concatenate([infer(inputs[i : i + 1]) for i in range(len(inputs))])


def check(path: Path, outputs: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    """Stop if an exported file does not answer as PyTorch did; outputs and reference are [N, 1]."""
    difference = float(np.abs(outputs - reference).max())
    print(f"  {path.name}: {path.stat().st_size} bytes, largest difference from PyTorch {difference:.1e}")
    if difference > TOLERANCE:
        raise SystemExit(f"{path.name} differs from PyTorch by {difference:.1e}; allowed is {TOLERANCE:.0e}.")


def main() -> None:
    """Train, export and check both networks."""
    warnings.simplefilter("ignore")  # the exporters warn of shapes that may change; these do not, and check() judges
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    task = read_task()
    held_back_from = task["data"]["from"]
    windows = read_windows(task["data"])
    train = windows.between("", VALIDATION_FROM)
    validation = windows.between(VALIDATION_FROM, held_back_from)
    test = windows.between(held_back_from, "9999")
    gain = fit_gain(train)
    write_gain(gain)
    print(f"days: {len(train.dates)} train, {len(validation.dates)} validate, {len(test.dates)} held back; gain {gain}")
    print(f"same as yesterday: RMSE {test.rmse(test.last):.4f} USD")
    inputs = test.inputs(gain)
    example = torch.zeros(1, task["data"]["window"], 1)
    for name, cell in CELLS.items():
        print(name)
        network = train_network(cell, train, validation, gain)
        reference = outputs_of(infer_with(network), inputs)
        np.savez(HERE / f"{name}_reference.npz", forecast=reference, dates=test.dates)
        print(f"  RMSE {test.rmse(test.dollars(reference, gain)):.4f} USD")
        for path, export in ((HERE / f"{name}.onnx", export_onnx), (HERE / f"{name}.pt2", export_pt2)):
            check(path, outputs_of(export(network, example, path), inputs), reference)


if __name__ == "__main__":
    main()
