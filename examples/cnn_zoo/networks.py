"""The networks as their papers describe them, built layer by layer, and what the papers say of their size.

Written from the papers alone. Dropout, auxiliary classifiers and the training's data augmentation are no part of a
trained network at work, and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from graph import Graph

CLASSES = 1000

RESIDUE = 0.5
"""Standard deviation of what a residual block adds, when what it adds to began with 1: so values don't grow."""


class Published(NamedTuple):
    """What is written about a network: parameters and multiply-adds, how close they can be, and where."""

    parameters: float
    macs: float
    within: tuple[float, float]
    says: str


class Network(NamedTuple):
    """How it is built at a scale, and what is published."""

    build: Callable[[float], Graph]
    published: Published


# ---------------------------------------------------------------- plain stacks


def alexnet(scale: float = 1.0) -> Graph:
    """Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012.

    Its section 3, with pictures of 227x227, which 55x55 places take, and with its two halves as two groups.
    """
    net = Graph("alexnet", 227, scale)
    x = net.conv(net.input, 96, 11, stride=4, pad=0)
    x = net.pool(net.normalise(x, 5, 1e-4, 0.75, 2.0), "MaxPool", 3, 2)
    x = net.conv(x, 256, 5, groups=2)
    x = net.pool(net.normalise(x, 5, 1e-4, 0.75, 2.0), "MaxPool", 3, 2)
    x = net.conv(x, 384, 3)
    x = net.conv(x, 384, 3, groups=2)
    x = net.conv(x, 256, 3, groups=2)
    x = net.pool(x, "MaxPool", 3, 2)
    return _classified(net, net.dense(net.dense(x, 4096), 4096))


def vgg16(scale: float = 1.0) -> Graph:
    """Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, table 1, D."""
    net = Graph("vgg16", 224, scale)
    x = net.input
    for channels, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            x = net.conv(x, channels, 3)
        x = net.pool(x, "MaxPool", 2, 2)
    return _classified(net, net.dense(net.dense(x, 4096), 4096))


# ---------------------------------------------------------------- Inception

GOOGLENET = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
"""Table 1, blocks 3, 4 and 5: channels of 1x1; before 3x3, 3x3; before 5x5, 5x5; behind the pool."""


def googlenet(scale: float = 1.0) -> Graph:
    """Szegedy et al., "Going Deeper with Convolutions", 2014, table 1.

    Pools are padded by one place on each side, which gives the table's sizes.
    """
    net = Graph("googlenet", 224, scale)
    x = net.conv(net.input, 64, 7, stride=2)
    x = net.normalise(net.pool(x, "MaxPool", 3, 2, 1), 5, 1e-4, 0.75, 1.0)
    x = net.conv(net.conv(x, 64, 1), 192, 3)
    x = net.pool(net.normalise(x, 5, 1e-4, 0.75, 1.0), "MaxPool", 3, 2, 1)
    for place, blocks in enumerate(GOOGLENET):
        x = net.pool(x, "MaxPool", 3, 2, 1) if place else x
        for one, before_three, three, before_five, five, pooled in blocks:
            x = net.concat(
                net.conv(x, one, 1),
                net.conv(net.conv(x, before_three, 1), three, 3),
                net.conv(net.conv(x, before_five, 1), five, 5),
                net.conv(net.pool(x, "MaxPool", 3, 1, 1), pooled, 1),
            )
    return _classified(net, net.mean(x))


def inception_v3(scale: float = 1.0) -> Graph:
    """Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015.

    Table 1, figures 5 to 7 and 10. The paper doesn't give the channels within blocks; they are those of the model
    that the authors published.
    """
    net = Graph("inception_v3", 299, scale)
    x = net.conv(net.input, 32, 3, stride=2, pad=0)
    x = net.pool(net.conv(net.conv(x, 32, 3, pad=0), 64, 3), "MaxPool", 3, 2)
    x = net.conv(net.conv(x, 80, 1), 192, 3, pad=0)
    x = net.pool(x, "MaxPool", 3, 2)
    for pooled in (32, 64, 64):
        x = _threes(net, x, pooled)
    x = net.concat(
        net.conv(x, 384, 3, stride=2, pad=0),
        net.conv(net.conv(net.conv(x, 64, 1), 96, 3), 96, 3, stride=2, pad=0),
        net.pool(x, "MaxPool", 3, 2),
    )
    for inner in (128, 160, 160, 192):
        x = _sevens(net, x, inner)
    x = net.concat(
        net.conv(net.conv(x, 192, 1), 320, 3, stride=2, pad=0),
        net.conv(_along(net, net.conv(x, 192, 1), (192, 192), (1, 7)), 192, 3, stride=2, pad=0),
        net.pool(x, "MaxPool", 3, 2),
    )
    for _ in range(2):
        x = _widened(net, x)
    return _classified(net, net.mean(x))


def _threes(net: Graph, x: str, pooled: int) -> str:
    """Figure 5, with the 5x5 convolution of the published model in one branch."""
    return net.concat(
        net.conv(x, 64, 1),
        net.conv(net.conv(x, 48, 1), 64, 5),
        net.conv(net.conv(net.conv(x, 64, 1), 96, 3), 96, 3),
        net.conv(net.pool(x, "AveragePool", 3, 1, 1), pooled, 1),
    )


def _sevens(net: Graph, x: str, inner: int) -> str:
    """Figure 6 with n = 7."""
    return net.concat(
        net.conv(x, 192, 1),
        _along(net, net.conv(x, inner, 1), (inner, 192), (1, 7)),
        _along(net, net.conv(x, inner, 1), (inner, inner, inner, 192), (7, 1)),
        net.conv(net.pool(x, "AveragePool", 3, 1, 1), 192, 1),
    )


def _widened(net: Graph, x: str) -> str:
    """Figure 7."""
    middle = net.conv(x, 384, 1)
    deep = net.conv(net.conv(x, 448, 1), 384, 3)
    return net.concat(
        net.conv(x, 320, 1),
        *(net.conv(middle, 384, kernel) for kernel in ((1, 3), (3, 1))),
        *(net.conv(deep, 384, kernel) for kernel in ((1, 3), (3, 1))),
        net.conv(net.pool(x, "AveragePool", 3, 1, 1), 192, 1),
    )


def _along(net: Graph, x: str, channels: tuple[int, ...], kernel: tuple[int, int]) -> str:
    """Convolutions along one axis, then the other, in turn."""
    for width in channels:
        x, kernel = net.conv(x, width, kernel), kernel[::-1]
    return x


# ---------------------------------------------------------------- residual networks


def resnet18(scale: float = 1.0) -> Graph:
    """He et al., "Deep Residual Learning for Image Recognition", 2015, table 1, 18 layers."""
    return _residual(Graph("resnet18", 224, scale), (2, 2, 2, 2), _basic, 1)


def resnet50(scale: float = 1.0) -> Graph:
    """The same, 50 layers: strides are in the first 1x1 convolution, as in the paper."""
    return _residual(Graph("resnet50", 224, scale), (3, 4, 6, 3), _bottleneck, 4)


def _residual(net: Graph, stages: tuple[int, ...], block: Callable[..., str], wider: int) -> Graph:
    x = net.pool(net.conv(net.input, 64, 7, stride=2), "MaxPool", 3, 2, 1)
    for stage, blocks in enumerate(stages):
        for number in range(blocks):
            stride = 2 if stage and number == 0 else 1
            across = x
            if number == 0 and (stage or wider > 1):
                across = net.conv(x, 64 * 2**stage * wider, 1, stride=stride, after="")
            x = net.add(across, block(net, x, 64 * 2**stage, stride), "Relu")
    return _classified(net, net.mean(x))


def _basic(net: Graph, x: str, channels: int, stride: int) -> str:
    return net.conv(net.conv(x, channels, 3, stride=stride), channels, 3, after="", gain=RESIDUE)


def _bottleneck(net: Graph, x: str, channels: int, stride: int) -> str:
    inner = net.conv(net.conv(x, channels, 1, stride=stride), channels, 3)
    return net.conv(inner, 4 * channels, 1, after="", gain=RESIDUE)


# ---------------------------------------------------------------- detection

ANCHORS_EACH, COCO_CLASSES = 3, 80


def yolov3(scale: float = 1.0) -> Graph:
    """Redmon & Farhadi, "YOLOv3: An Incremental Improvement", 2018: Darknet-53 (table 1) and three grids of boxes.

    Outputs ``[1, 255, n, n]`` for strides 32, 16 and 8, before any sigmoid: for each of three anchors x, y, w, h,
    objectness and 80 classes.
    """
    net = Graph("yolov3", 416, scale)
    x = _leaky(net, net.input, 32, 3)
    kept = []
    for channels, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        x = _leaky(net, x, channels, 3, stride=2)
        for _ in range(blocks):
            inner = _leaky(net, x, channels // 2, 1)
            x = net.add(x, net.conv(inner, channels, 3, after="LeakyRelu", gain=RESIDUE))
        kept.append(x)
    for stride, channels, before in ((32, 512, None), (16, 256, kept[3]), (8, 128, kept[2])):
        if before is not None:
            x = net.concat(net.twice(_leaky(net, x, channels, 1)), before)
        for _ in range(2):
            x = _leaky(net, _leaky(net, x, channels, 1), 2 * channels, 3)
        x = _leaky(net, x, channels, 1)
        boxes = ANCHORS_EACH * (5 + COCO_CLASSES)
        net.give(net.conv(_leaky(net, x, 2 * channels, 3), boxes, 1, after="", exact=True), f"stride{stride}")
    return net


def _leaky(net: Graph, x: str, channels: int, kernel: int, stride: int = 1) -> str:
    return net.conv(x, channels, kernel, stride=stride, after="LeakyRelu")


def _classified(net: Graph, x: str) -> Graph:
    net.give(net.softmax(net.dense(x, CLASSES, after="", logits=True)), "probabilities")
    return net


SZE = "Sze et al. 2017, table II"
TORCHVISION = "torchvision's documentation"

NETWORKS: Mapping[str, Network] = {
    "alexnet": Network(
        alexnet, Published(60e6, 724e6, (0.03, 0.01), f"60 M (its abstract), 0.724 G multiply-adds ({SZE})")
    ),
    "googlenet": Network(
        # Table 1 counts 34 M multiply-adds for the first convolution, which has 118 M: that is the difference.
        googlenet,
        Published(6.8e6, 1.5e9, (0.04, 0.06), "6.8 M (table 1, summed), 1.5 G multiply-adds (introduction)"),
    ),
    "vgg16": Network(vgg16, Published(138e6, 15.5e9, (0.01, 0.01), f"138 M (table 2), 15.5 G multiply-adds ({SZE})")),
    "inception_v3": Network(
        inception_v3, Published(25e6, 5e9, (0.06, 0.15), "less than 25 M, 5 G multiply-adds (both: abstract)")
    ),
    "resnet18": Network(
        resnet18, Published(11.69e6, 1.8e9, (0.01, 0.02), f"11.69 M ({TORCHVISION}), 1.8 G multiply-adds (table 1)")
    ),
    "resnet50": Network(
        resnet50, Published(25.56e6, 3.8e9, (0.01, 0.02), f"25.56 M ({TORCHVISION}), 3.8 G multiply-adds (table 1)")
    ),
    "yolov3": Network(
        yolov3,
        Published(62.0e6, 65.86e9 / 2, (0.01, 0.01), "248 MB of weights, 65.86 G operations (both: the authors' page)"),
    ),
}
