"""What a picture or an array goes through before it is a network's input: steps as data, in an order that is fixed.

Pictures: colour, resize, then numbers (scale, mean, std, quantise), then type and layout; docs/tasks-and-data.md says
each exactly.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.tasks.task import Array

Pixels = npt.NDArray[np.uint8]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Numeric = float | list[float] | None
"""One number for all channels, or one for each."""

CHANNELS = {"rgb": 3, "bgr": 3, "gray": 1}
WHOLE = {"uint8": np.uint8, "int8": np.int8}
FLOATS = {"float32": np.float32, "float16": np.float16}


class Quantise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An integer network's input: round(x / scale) + zero_point, as ONNX's QuantizeLinear (halves to even)."""

    scale: float
    zero_point: int = 0


class Resize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``size`` is ``[height, width]``. ``stretch`` changes the aspect; ``letterbox`` fits the picture in and fills the
    rest; ``crop`` covers the size (or makes the shorter side ``shorter`` pixels long) and cuts what stands out.
    """

    size: tuple[Positive, Positive]
    how: Literal["stretch", "letterbox", "crop"] = "stretch"
    by: Literal["linear", "area", "nearest", "cubic"] = "linear"
    anchor: Literal["centre", "top-left"] = "centre"
    fill: int | list[int] = 0
    shorter: Positive | None = None

    def __post_init__(self) -> None:
        if self.shorter is not None and (self.how != "crop" or self.shorter < max(self.size)):
            raise ValueError('shorter goes with how = "crop", and is at least as long as both sides of size')
        if not all(0 <= value <= 255 for value in (self.fill if isinstance(self.fill, list) else [self.fill])):
            raise ValueError("fill is from 0 to 255: it is put in before scale, mean and std")


class Geometry(msgspec.Struct, frozen=True):
    """How a picture lies in the network's input: x there = x in the picture * scale_x + left; likewise y.

    Coordinates are continuous: a picture of width w reaches from 0 to w. ``picture`` and ``network`` are
    ``(height, width)`` in pixels.
    """

    picture: tuple[int, int]
    network: tuple[int, int]
    scale_x: float = 1.0
    scale_y: float = 1.0
    left: float = 0.0
    top: float = 0.0

    def to_picture(self, corners: Array) -> npt.NDArray[np.float64]:
        """Corners ``[..., 4]`` (x1, y1, x2, y2) from pixels of the network's input to the picture's, not clipped."""
        shift = np.array([self.left, self.top, self.left, self.top])
        return np.asarray((corners - shift) / self._scales(), dtype=np.float64)

    def to_network(self, corners: Array) -> npt.NDArray[np.float64]:
        """The other way."""
        shift = np.array([self.left, self.top, self.left, self.top])
        return np.asarray(corners * self._scales() + shift, dtype=np.float64)

    def _scales(self) -> npt.NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y])


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """x = (value / scale - mean) / std in float32, each along the last axis where it is a list; then the type."""

    scale: Numeric = None
    mean: Numeric = None
    std: Numeric = None
    quantise: Quantise | None = None
    dtype: Literal["float32", "float16", "uint8", "int8"] = "float32"

    def __post_init__(self) -> None:
        for name, divisor in (("scale", self.scale), ("std", self.std)):
            if divisor is not None and not np.all(np.asarray(divisor)):
                raise ValueError(f"{name} divides: it can't be 0")
        if self.quantise is not None and (self.dtype not in WHOLE or self.quantise.scale <= 0):
            raise ValueError('quantise takes a positive scale, and dtype = "int8" or "uint8"')

    def applied(self, values: Array) -> Array:
        """Values of any shape, computed in float32 and rounded to the type; whole types saturate."""
        if self.dtype == "uint8" and values.dtype == np.uint8 and self._plain():
            return values
        x = values.astype(np.float32)
        if self.scale is not None:
            x /= np.asarray(self.scale, np.float32)
        if self.mean is not None:
            x -= np.asarray(self.mean, np.float32)
        if self.std is not None:
            x /= np.asarray(self.std, np.float32)
        return self._typed(x)

    def _plain(self) -> bool:
        return all(step is None for step in (self.scale, self.mean, self.std, self.quantise))

    def _typed(self, x: Array) -> Array:
        if self.dtype in FLOATS:
            return x.astype(FLOATS[self.dtype], copy=False)
        if self.quantise is not None:
            x = np.rint(x / np.float32(self.quantise.scale)) + self.quantise.zero_point
        limits = np.iinfo(WHOLE[self.dtype])
        return np.clip(np.rint(x), limits.min, limits.max).astype(WHOLE[self.dtype])


class Preprocess(Numbers, frozen=True, forbid_unknown_fields=True):
    """All steps for a picture. ``layout`` names the input's axes: n (one sample), c, h, w; without c for gray only."""

    colour: Literal["rgb", "bgr", "gray"] = "rgb"
    resize: Resize | None = None
    layout: str = "nchw"

    def __post_init__(self) -> None:
        super().__post_init__()
        axes, channels = set(self.layout), CHANNELS[self.colour]
        if len(axes) < len(self.layout) or not {"h", "w"} <= axes <= set("nchw"):
            raise ValueError(f'layout = "{self.layout}" is none: such as "nchw", "nhwc", "chw" or, for gray, "nhw"')
        if "c" not in axes and channels > 1:
            raise ValueError(f'layout = "{self.layout}" leaves out c, but colour = "{self.colour}" has {channels}')
        fill = [] if self.resize is None else self.resize.fill
        for name, value in (("scale", self.scale), ("mean", self.mean), ("std", self.std), ("resize.fill", fill)):
            if isinstance(value, list) and value and len(value) != channels:
                raise ValueError(f'{name} has {len(value)} numbers; colour = "{self.colour}" has {channels} channels')

    def applied_to(self, picture: Pixels) -> tuple[Array, Geometry]:
        """The network's input from a picture ``[height, width, 3]`` in BGR, and how the picture lies in it."""
        pixels, geometry = resized(coloured(picture, self.colour), self.resize)
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        return self._laid_out(self.applied(pixels)), geometry

    def _laid_out(self, values: Array) -> Array:
        at = {"h": 0, "w": 1, "c": 2}
        if "c" not in self.layout:
            values = values[:, :, 0]
        turned = values.transpose([at[axis] for axis in self.layout if axis != "n"])
        if "n" in self.layout:
            turned = np.expand_dims(turned, self.layout.index("n"))
        return np.ascontiguousarray(turned)


def coloured(picture: Pixels, colour: str) -> Pixels:
    """A BGR picture in that order, or gray: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded, as OpenCV does."""
    import cv2

    if colour == "gray":
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    return picture if colour == "bgr" else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def resized(picture: Pixels, resize: Resize | None) -> tuple[Pixels, Geometry]:
    """The picture in its new size, and where it lies there. ``None`` leaves it as it is."""
    height, width = picture.shape[:2]
    if resize is None:
        return picture, Geometry((height, width), (height, width))
    high, wide = _inner(height, width, resize)
    top, left = (
        (out - inner) // 2 if resize.anchor == "centre" else 0
        for out, inner in zip(resize.size, (high, wide), strict=True)
    )
    inner = _interpolated(picture, (high, wide), resize.by)
    geometry = Geometry((height, width), resize.size, wide / width, high / height, left, top)
    return _placed(inner, top, left, resize), geometry


def _inner(height: int, width: int, resize: Resize) -> tuple[int, int]:
    """Height and width of the whole picture in pixels of the network's input."""
    if resize.how == "stretch":
        return resize.size
    if resize.shorter is not None:
        ratio = resize.shorter / min(height, width)
    else:
        ratios = resize.size[0] / height, resize.size[1] / width
        ratio = min(ratios) if resize.how == "letterbox" else max(ratios)
    return max(1, round(height * ratio)), max(1, round(width * ratio))


def _interpolated(picture: Pixels, size: tuple[int, int], by: str) -> Pixels:
    import cv2

    ways = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST, "cubic": cv2.INTER_CUBIC}
    if picture.shape[:2] == size:
        return picture
    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=ways[by]))


def _placed(inner: Pixels, top: int, left: int, resize: Resize) -> Pixels:
    """The picture on a canvas of the network's size: filled around it, cut where it stands out."""
    if inner.shape[:2] == resize.size:
        return inner
    canvas = np.empty((*resize.size, *inner.shape[2:]), np.uint8)
    canvas[...] = np.asarray(resize.fill, np.uint8)
    onto, cut = [], []
    for at, side, whole in zip((top, left), inner.shape[:2], resize.size, strict=True):
        long = min(side, whole)
        onto.append(slice(max(0, at), max(0, at) + long))
        cut.append(slice(max(0, -at), max(0, -at) + long))
    canvas[tuple(onto)] = inner[tuple(cut)]
    return canvas
