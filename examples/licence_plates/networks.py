"""The networks: a small one-stage detector without anchors, and residual networks, both over gray pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STRIDE = 8
"""Pixels of the picture for each cell of the detector's grid."""


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Detector(nn.Module):
    """One stage, no anchors, one grid: each cell of 8 x 8 pixels tells a box and the scores of its classes.

    Coarser features are brought back to the finer grid (Lin et al. 2017, arXiv:1612.03144); boxes are relative to their
    cell (Tian et al. 2019, arXiv:1904.01355).
    """

    grid: Tensor
    """Middle of each cell ``[1, 2, cells]`` in cells."""

    def __init__(self, classes: int, size: int = 384, width: int = 8) -> None:
        """For square pictures of ``size`` pixels; the first layer has twice ``width`` channels."""
        super().__init__()
        self.classes = classes
        self.fine = nn.Sequential(
            convolution(1, 2 * width, 5, stride=4),
            convolution(2 * width, 2 * width),
            convolution(2 * width, 4 * width, stride=2),
            convolution(4 * width, 4 * width),
        )
        self.coarse = nn.Sequential(
            convolution(4 * width, 8 * width, stride=2), convolution(8 * width, 8 * width), nn.Upsample(scale_factor=2)
        )
        self.neck = nn.Sequential(convolution(12 * width, 4 * width, 1), convolution(4 * width, 4 * width))
        self.head = nn.Conv2d(4 * width, 4 + classes, 1)
        nn.init.constant_(self.head.bias[4:], -4.6)  # scores begin at 0.01, so that empty cells don't drown the rest
        steps = torch.arange(size // STRIDE) + 0.5
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        self.register_buffer("grid", torch.stack([columns.flatten(), rows.flatten()])[None], persistent=False)

    def raw(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures ``[n, 1, size, size]`` to boxes ``[n, 4, cells]`` (middle, width and height in pixels) and logits
        ``[n, classes, cells]``.
        """
        fine = self.fine(pictures)
        told = self.head(self.neck(torch.cat([fine, self.coarse(fine)], dim=1))).flatten(2)
        middle = (told[:, :2] + self.grid) * STRIDE
        size = torch.exp(told[:, 2:4]) * (4 * STRIDE)
        return torch.cat([middle, size], dim=1), told[:, 4:]

    def forward(self, pictures: Tensor) -> Tensor:
        """Boxes and scores in one tensor ``[n, 4 + classes, cells]``: the form of YOLOv8's and later outputs."""
        boxes, logits = self.raw(pictures)
        return torch.cat([boxes, logits.sigmoid()], dim=1)


class Basic(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(convolution(inputs, width, stride=stride), *_last(width, width, 3))
        self.shortcut = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, inputs, h, w]`` to ``[n, width, h / stride, w / stride]``."""
        return torch.relu(self.path(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 around a shortcut; the stride is in the middle one, as is usual since 2016."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.path = nn.Sequential(
            convolution(inputs, width, 1), convolution(width, width, stride=stride), *_last(width, outputs, 1)
        )
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, inputs, h, w]`` to ``[n, 4 * width, h / stride, w / stride]``."""
        return torch.relu(self.path(x) + self.shortcut(x))


LAYERS: dict[int, tuple[type[Basic] | type[Bottleneck], Sequence[int]]] = {
    18: (Basic, (2, 2, 2, 2)),
    34: (Basic, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}
"""Blocks in each of the four stages, table 1 of He et al. 2015."""


class ResNet(nn.Module):
    """Residual network (He et al. 2015, arXiv:1512.03385) for gray pictures; the paper's width is 64."""

    def __init__(self, depth: int, classes: int, width: int = 64) -> None:
        super().__init__()
        block, counts = LAYERS[depth]
        stages: list[nn.Module] = []
        channels = width
        for stage, count in enumerate(counts):
            for place in range(count):
                stages.append(block(channels, width << stage, 2 if stage and not place else 1))
                channels = (width << stage) * block.expansion
        self.stem = nn.Sequential(convolution(1, width, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures ``[n, 1, 224, 224]`` to logits ``[n, classes]``."""
        scores: Tensor = self.head(self.stages(self.stem(pictures)).mean(dim=(2, 3)))
        return scores


def _last(inputs: int, outputs: int, size: int) -> tuple[nn.Module, nn.Module]:
    """The convolution before the sum: its ReLU comes after. Blocks begin as their shortcut (Goyal et al. 2017)."""
    norm = nn.BatchNorm2d(outputs)
    nn.init.zeros_(norm.weight)
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False), norm


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
