"""Train the five networks on drawn plates and export each as ONNX and as PyTorch's exported program.

    python generate.py /tmp/plates --streets 600 --plates 2280 --seed 7
    python train.py /tmp/plates

Pictures are pre-processed as the tasks' TOML files say, by WhichPU itself: what is trained on is what is measured. Mean
and standard deviation come from the training pictures and are written back into the TOML files.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import time
import tomllib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from designs import CHARACTERS, NAMES
from networks import STRIDE, Detector, ResNet
from torch import Tensor, nn
from torch.nn import functional

from whichpu.tasks import images
from whichpu.tasks.preprocess import Geometry, Preprocess

HERE = Path(__file__).parent
SEED = 0
BATCH = 8
OPSET = 17
TOLERANCE = 2e-3
"""Largest difference from PyTorch allowed in an exported file, in pixels or logits."""

Pixels = npt.NDArray[np.uint8]


class Pictures:
    """Training pictures as the network will see them, but for the normalising: ``pixels`` ``[n, 1, h, w]``."""

    def __init__(self, task: str, folder: Path, files: Sequence[str]) -> None:
        body = tomllib.loads((HERE / f"{task}.toml").read_text())["preprocess"]
        as_bytes = {key: body[key] for key in ("colour", "resize")} | {"dtype": "uint8"}
        steps = msgspec.convert(as_bytes, Preprocess)
        pairs = [steps.applied_to(images.read(folder / file)) for file in files]
        self.pixels: Pixels = np.concatenate([pixels for pixels, _ in pairs])
        self.geometry: list[Geometry] = [geometry for _, geometry in pairs]
        self.mean, self.std = self._fitted()
        _write_back(HERE / f"{task}.toml", self.mean, self.std)

    def batch(self, rows: Sequence[int]) -> Tensor:
        """Those pictures, normalised."""
        return (torch.from_numpy(self.pixels[rows]).float() / 255 - self.mean) / self.std

    def _fitted(self) -> tuple[float, float]:
        """Mean and standard deviation of what the pictures hold, without what fills the letterbox."""
        wide, high = (np.ptp(np.array(axis)) for axis in _extent(self.geometry[0]))
        left, top = int(self.geometry[0].left), int(self.geometry[0].top)
        inner = self.pixels[:, :, top : top + int(high), left : left + int(wide)] / np.float32(255)
        return round(float(inner.mean()), 4), round(float(inner.std()), 4)


def _extent(geometry: Geometry) -> tuple[list[float], list[float]]:
    """Left and right, top and bottom of the picture in the network's input, in pixels."""
    height, width = geometry.picture
    x1, y1, x2, y2 = geometry.to_network(np.array([0, 0, width, height])).tolist()
    return [x1, x2], [y1, y2]


def _write_back(path: Path, mean: float, std: float) -> None:
    text = path.read_text()
    for name, value in (("mean", mean), ("std", std)):
        text = re.sub(rf"^{name} = [\d.]+", f"{name} = {value}", text, flags=re.MULTILINE)
    path.write_text(text)


def fit(network: nn.Module, loss: Callable[[list[int]], Tensor], count: int, epochs: int, rate: float) -> None:
    """Minimise the loss of batches of row numbers, the rate rising and falling once (Smith 2018, arXiv:1803.09820)."""
    steps = -(-count // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps * epochs, pct_start=0.2)
    network.train()
    begun = time.monotonic()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for rows in torch.split(torch.randperm(count), BATCH):
            optimizer.zero_grad()
            value = loss(rows.tolist())
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            total += value.item()
        print(f"  epoch {epoch} of {epochs}: loss {total / steps:.4f}, {time.monotonic() - begun:.0f} s", flush=True)
    network.eval()


def train_detector(task: str, folder: Path, annotations: Path, classes: int, epochs: int, width: int) -> Detector:
    """A detector from COCO boxes."""
    body = json.loads(annotations.read_text())
    boxes: dict[int, list[tuple[int, list[float]]]] = {image["id"]: [] for image in body["images"]}
    for one in body["annotations"]:
        boxes[one["image_id"]].append((one["category_id"] - 1, one["bbox"]))
    pictures = Pictures(task, folder, [image["file_name"] for image in body["images"]])
    network = Detector(classes, pictures.pixels.shape[-1], width)
    cells = network.grid[0].T.numpy() * STRIDE
    targets = [
        _assigned(boxes[image["id"]], geometry, cells)
        for image, geometry in zip(body["images"], pictures.geometry, strict=True)
    ]

    def loss(rows: list[int]) -> Tensor:
        found, logits = network.raw(pictures.batch(rows))
        return detector_loss(found, logits, *(torch.stack([targets[row][part] for row in rows]) for part in (0, 1)))

    fit(network, loss, len(targets), epochs, rate=4e-3)
    return network


def _assigned(
    boxes: list[tuple[int, list[float]]], geometry: Geometry, cells: npt.NDArray[np.float32]
) -> tuple[Tensor, Tensor]:
    """Class ``[cells]`` and corners ``[cells, 4]`` that each cell is to tell; -1 where it is in no box's middle part.

    The middle part is 0.4 of the box's sides, and one cell at least; of several boxes the smallest counts.
    """
    kinds = np.full(len(cells), -1, np.int64)
    corners = np.zeros((len(cells), 4), np.float32)
    for kind, (x, y, w, h) in sorted(boxes, key=lambda one: -one[1][2] * one[1][3]):
        moved = geometry.to_network(np.array([x, y, x + w, y + h]))
        middle, reach = (moved[:2] + moved[2:]) / 2, np.maximum(0.2 * (moved[2:] - moved[:2]), STRIDE / 2)
        inside = (np.abs(cells - middle) <= reach).all(axis=1)
        kinds[inside], corners[inside] = kind, moved
    return torch.from_numpy(kinds), torch.from_numpy(corners)


def detector_loss(boxes: Tensor, logits: Tensor, kinds: Tensor, corners: Tensor) -> Tensor:
    """Focal loss of the scores (Lin et al. 2017, arXiv:1708.02002) and GIoU of the boxes (Rezatofighi et al. 2019,
    arXiv:1902.09630), each over the number of cells that have a box.
    """
    taken = kinds >= 0
    count = taken.sum().clamp(min=1)
    wanted = functional.one_hot(kinds.clamp(min=0), logits.shape[1]).movedim(2, 1) * taken[:, None]
    wrong = torch.abs(wanted - logits.sigmoid())
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted.float(), reduction="none")
    focal = (wrong**2 * entropy * torch.where(wanted > 0, 0.75, 0.25)).sum() / count
    ours = boxes.movedim(1, 2)[taken]
    ours = torch.cat([ours[:, :2] - ours[:, 2:] / 2, ours[:, :2] + ours[:, 2:] / 2], dim=1)
    return 2 * focal + (1 - giou(ours, corners[taken])).sum() / count


def giou(ours: Tensor, theirs: Tensor) -> Tensor:
    """Generalised intersection over union of pairs of corners ``[n, 4]``."""

    def area(left_top: Tensor, right_bottom: Tensor) -> Tensor:
        return (right_bottom - left_top).clamp(min=0).prod(dim=1)

    shared = area(torch.maximum(ours[:, :2], theirs[:, :2]), torch.minimum(ours[:, 2:], theirs[:, 2:]))
    hull = area(torch.minimum(ours[:, :2], theirs[:, :2]), torch.maximum(ours[:, 2:], theirs[:, 2:])) + 1e-6
    union = area(ours[:, :2], ours[:, 2:]) + area(theirs[:, :2], theirs[:, 2:]) - shared + 1e-6
    return shared / union - (hull - union) / hull


def train_classifier(depth: int, folder: Path, labels: Path, epochs: int, width: int) -> ResNet:
    """A residual network from a list of files and names."""
    with labels.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pictures = Pictures("states", folder, [row["file"] for row in rows])
    truth = torch.tensor([NAMES.index(row["label"]) for row in rows])
    network = ResNet(depth, len(NAMES), width)

    def loss(chosen: list[int]) -> Tensor:
        logits = network(pictures.batch(chosen))
        return functional.cross_entropy(logits, truth[chosen], label_smoothing=0.05)

    fit(network, loss, len(rows), epochs, rate=6e-3)
    return network


def export(network: nn.Module, name: str, size: int, folder: Path) -> None:
    """Write ``name.onnx`` and ``name.pt2``, and stop if either doesn't answer as the network did."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    example = torch.randn(1, 1, size, size)
    with torch.inference_mode():
        truth = network(example).numpy()
    onnx_path, pt2_path = folder / f"{name}.onnx", folder / f"{name}.pt2"
    torch.onnx.export(
        network,
        (example,),
        onnx_path,
        input_names=["picture"],
        output_names=["output"],
        opset_version=OPSET,
        dynamo=False,
    )
    program = torch.export.export(network, (example,))
    for node in program.graph.nodes:  # all but shapes and types tells of this machine's paths
        node.meta = {key: value for key, value in node.meta.items() if key == "val"}
    program.example_inputs = None  # a picture of noise, larger than the weights
    torch.export.save(program, pt2_path)
    session = ort.InferenceSession(onnx_path, providers=["CPUExecutionProvider"])
    answers = {
        onnx_path: session.run(None, {"picture": example.numpy()})[0],
        pt2_path: torch.export.load(pt2_path).module()(example).detach().numpy(),
    }
    for path, answer in answers.items():
        difference = float(np.abs(answer - truth).max())
        print(f"  {path.name}: {path.stat().st_size} bytes, largest difference from PyTorch {difference:.1e}")
        if difference > TOLERANCE:
            raise SystemExit(f"{path.name} differs from PyTorch by {difference:.1e}; allowed is {TOLERANCE:.0e}.")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder that generate.py wrote")
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--width", type=int, help="channels of the residual networks' first stage (the paper: 64)")
    parser.add_argument("--out", type=Path, default=HERE, help="where the networks go (default: beside this script)")
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")  # the exporters warn of shapes that may change; these do not, and export() judges
    torch.set_num_threads(1)  # threads wait for each other where others compute too; one of them sums in one order
    torch.use_deterministic_algorithms(True)
    wanted.out.mkdir(parents=True, exist_ok=True)
    for name in wanted.only:
        print(name, flush=True)
        torch.manual_seed(SEED)
        network, size = NETWORKS[name](wanted.data, wanted.width)
        export(network, name, size, wanted.out)


def _plates(data: Path, width: int | None) -> tuple[nn.Module, int]:
    return train_detector("detection", data / "streets", data / "streets.json", 1, epochs=20, width=8), 384


def _characters(data: Path, width: int | None) -> tuple[nn.Module, int]:
    return train_detector("characters", data / "plates", data / "characters.json", len(CHARACTERS), 6, width=8), 384


def _resnet(depth: int, narrow: int, epochs: int) -> Callable[[Path, int | None], tuple[nn.Module, int]]:
    return lambda data, width: (
        train_classifier(depth, data / "plates", data / "states.csv", epochs, width or narrow),
        224,
    )


NETWORKS: dict[str, Callable[[Path, int | None], tuple[nn.Module, int]]] = {
    "detector": _plates,
    "characters": _characters,
    "resnet18": _resnet(18, narrow=6, epochs=14),
    "resnet34": _resnet(34, narrow=4, epochs=30),
    "resnet50": _resnet(50, narrow=4, epochs=14),
}
"""How each network is made: from the data's folder and, for the residual ones, the width asked for."""


if __name__ == "__main__":
    main()
