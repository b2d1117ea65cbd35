"""A quantised encoder-decoder in the study's spirit, as a list of layers that any format can be written from.

Five scales down, four up with skip connections, in NHWC: every layer is a 3x3 convolution and an activation, strided
on the way down; on the way up maps are doubled and joined with the skip. Pruning takes channels away and leaves
multiples of 16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PRUNING = {2: 1.0, 3: 0.75, 4: 0.5}
"""Share of the channels that each of the study's levels keeps."""
WIDTHS = (64, 128, 192, 256, 320)
SIDE = 128
ACTIVATIONS = ("relu", "leaky_relu")


@dataclass(frozen=True)
class Layer:
    """``kind``: conv, resize, concat. Shapes are (height, width, channels); ``inputs`` are names of earlier layers."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, int, int]
    stride: int = 1
    kernel: int = 3
    active: bool = True


@dataclass(frozen=True)
class Network:
    """An encoder-decoder; its input is named ``image``."""

    name: str
    activation: str
    layers: tuple[Layer, ...]

    def shape(self, name: str) -> tuple[int, int, int]:
        if name == "image":
            return (SIDE, SIDE, 3)
        return next(layer.shape for layer in self.layers if layer.name == name)


def network(level: int, activation: str) -> Network:
    """The encoder-decoder at a pruning level, with ReLU or LeakyReLU."""
    widths = [max(16, 16 * round(PRUNING[level] * width / 16)) for width in WIDTHS]
    return Network(f"level{level}_{activation}", activation, tuple(_layers(widths)))


def _layers(widths: list[int]) -> Iterator[Layer]:
    last, side = "image", SIDE
    skips: list[tuple[str, int]] = []
    for depth, width in enumerate(widths):
        for place in range(3):
            stride = 2 if place == 0 and depth else 1
            side //= stride
            layer = Layer(f"down{depth}_{place}", "conv", (last,), (side, side, width), stride)
            yield layer
            last = layer.name
        skips.append((last, width))
    for depth, (skip, width) in reversed(list(enumerate(skips[:-1]))):
        side *= 2
        above = widths[depth + 1]
        yield Layer(f"up{depth}_resize", "resize", (last,), (side, side, above))
        yield Layer(f"up{depth}_concat", "concat", (f"up{depth}_resize", skip), (side, side, above + width))
        last = f"up{depth}_concat"
        for place in range(3):
            yield Layer(f"up{depth}_{place}", "conv", (last,), (side, side, width))
            last = f"up{depth}_{place}"
    yield Layer("head", "conv", (last,), (side, side, 8), kernel=1, active=False)
