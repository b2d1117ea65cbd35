"""Semantic segmentation: a class for each pixel of a photograph, scored by mIoU."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.stats.evidence import Evidence, Ratio, Weights
from whichpu.tasks import description, images
from whichpu.tasks.datasets import Part, masks
from whichpu.tasks.datasets.masks import Mask
from whichpu.tasks.kind import Better, Described, Kind, output_of, squeezed
from whichpu.tasks.preprocess import Geometry, Pixels, Preprocess, resized
from whichpu.tasks.task import Array, BadSample, Samples, Shown

SAME = 0.99
"""Two answers are the same where at least this share of the pixels has one class."""

UNSEEN = -1
"""The class of pixels that pre-processing cut off: no answer is given there, and none is counted."""

PANEL_WIDTH = 160


class Decode(msgspec.Struct, forbid_unknown_fields=True):
    """How an output becomes classes. ``layout``: scores ``chw`` or ``hwc``; ``hw`` holds the classes themselves, or one
    score: then class 1 is where it lies above ``above``, else 0.

    Scores are brought to the mask's size: ``nearest`` takes the class of the output's pixel there, ``linear``
    interpolates the scores first.
    """

    classes: Annotated[int, msgspec.Meta(ge=2, le=65535)]
    output: int = 0
    layout: Literal["chw", "hwc", "hw"] = "chw"
    above: float | None = None
    by: Literal["nearest", "linear"] = "nearest"
    ignore: int | None = 255
    values: dict[str, int] | None = None
    names: list[str] | None = None

    def __post_init__(self) -> None:
        if self.above is not None and (self.layout != "hw" or self.classes != 2):
            raise ValueError('above goes with layout = "hw" and classes = 2')
        if self.by == "linear" and self.layout == "hw" and self.above is None:
            raise ValueError('by = "linear" interpolates scores; an output of classes has none')
        if self.names is not None and len(self.names) != self.classes:
            raise ValueError(f"names has {len(self.names)} names; there are {self.classes} classes")


class Description(Described, forbid_unknown_fields=True, kw_only=True):
    """The TOML file of a segmentation task."""

    kind: Literal["segmentation"]
    preprocess: Preprocess
    decode: Decode
    metric: str = "miou"


class Answer(msgspec.Struct):
    """Pixels by class ``[3, classes]``: right, true, and answered; and the class map, packed."""

    tally: npt.NDArray[np.int64]
    shape: tuple[int, int]
    packed: bytes

    def classes(self) -> npt.NDArray[np.int32]:
        """The class of each pixel of the photograph, ``[height, width]``."""
        return np.frombuffer(zlib.decompress(self.packed), np.int32).reshape(self.shape)


class MeanIoU:
    """Evidence for the mean over classes of intersection over union, of all pixels of all samples.

    ``tallies`` is ``[samples, 3, classes]``: right, true, and answered pixels. A class that is neither true nor
    answered anywhere counts not.
    """

    def __init__(self, tallies: npt.NDArray[Any]) -> None:
        self.tallies = np.asarray(tallies, dtype=np.float64)

    def value(self, weights: Weights | None = None) -> float:
        """The metric for one choice of samples."""
        weights = np.ones(len(self.tallies)) if weights is None else weights
        return float(self.values(weights[np.newaxis])[0])

    def values(self, weights: Weights) -> npt.NDArray[np.float64]:
        """The metric for many choices at once, ``[choices]``; ``weights`` is ``[choices, samples]``."""
        right, true, answered = np.moveaxis(np.tensordot(weights, self.tallies, 1), 1, 0)
        union = true + answered - right
        shares = np.divide(right, union, out=np.zeros_like(right), where=union > 0)
        counted = (union > 0).sum(axis=1)
        found = np.full(len(counted), np.nan)
        np.divide(shares.sum(axis=1), counted, out=found, where=counted > 0)
        return found


class Segmentation(Kind):
    """Photographs and masks."""

    metrics: Mapping[str, Better] = {"miou": "higher", "pixel-accuracy": "higher"}
    stands_for = masks.SOURCES

    def __init__(self, described: Description, path: Path) -> None:
        self.decode, self.preprocess = described.decode, described.preprocess
        described.unit = "share"
        super().__init__(described, path, masks.load)

    def prepare(self, index: int) -> Samples:
        """The photograph as the network takes it, once its mask is known to fit."""
        picture, mask = self.part.raw(index), self._mask(index)
        if picture.shape[:2] != mask.shape:
            sizes = " and ".join(f"{wide}x{high}" for high, wide in (picture.shape[:2], mask.shape))
            raise BadSample(f"{self.name(index)} and its mask have unequal sizes: {sizes}")
        return [self.preprocess.applied_to(picture)[0]]

    def prepared(self, part: Part, index: int) -> Samples:
        """A photograph that needs no mask, as for calibration."""
        return [self.preprocess.applied_to(part.raw(index))[0]]

    def finish(self, index: int, outputs: Samples) -> Answer:
        """The class of each pixel, and how many are right."""
        mask, decode = self._mask(index), self.decode
        geometry = resized(np.zeros(mask.shape, np.uint8), self.preprocess.resize)[1]
        found = classes_of(output_of(outputs, decode.output), decode, geometry)
        counts = (mask != UNSEEN) & (found != UNSEEN)
        ours, true = found[counts], mask[counts]
        columns = (ours[ours == true], true, ours)
        tally = np.stack([np.bincount(column, minlength=decode.classes) for column in columns])
        return Answer(tally, found.shape, zlib.compress(found.astype(np.int32).tobytes(), 1))

    def evidence(self, answers: Mapping[int, Answer]) -> dict[str, Evidence]:
        """mIoU and pixel accuracy over all pixels that count."""
        tallies = np.array([answer.tally for answer in answers.values()]).reshape(-1, 3, self.decode.classes)
        both: dict[str, Evidence] = {
            "miou": MeanIoU(tallies),
            "pixel-accuracy": Ratio(tallies[:, 0].sum(axis=1), tallies[:, 1].sum(axis=1)),
        }
        return {name: both[name] for name in (self.info.metric, *self.info.others)}

    def same(self, ours: Answer, theirs: Answer) -> bool:
        """99 % of the pixels have one class."""
        return ours.shape == theirs.shape and float((ours.classes() == theirs.classes()).mean()) >= SAME

    def show(self, index: int, answers: Mapping[str, Answer]) -> Shown:
        """Panels side by side, classes in colours: the mask, then each answer."""
        picture, mask = self.part.raw(index), self._mask(index)
        maps: list[npt.NDArray[Any]] = [mask, *(answer.classes() for answer in answers.values())]
        panels = [_panel(picture, one) for one in maps]
        return Shown(
            sample=self.name(index),
            truth=f"first panel: {self._words(mask)}",
            answers={who: self._told(answer) for who, answer in answers.items()},
            picture=images.data_uri(np.hstack(panels)),
        )

    def _mask(self, index: int) -> Mask:
        """The true classes; what doesn't count is unseen. Raises :class:`BadSample`."""
        mask, decode = self.part.truth(index), self.decode
        counts = np.full(mask.shape, True) if decode.ignore is None else mask != decode.ignore
        if decode.values is not None:
            table = np.full(max(int(mask.max()), *map(int, decode.values)) + 1, UNSEEN)
            for value, one in decode.values.items():
                table[int(value)] = one
            mask = table[mask]
            counts &= mask != UNSEEN
        known = mask[counts]
        if known.size and known.max() >= decode.classes:
            last = decode.classes - 1
            raise BadSample(f"the mask of {self.name(index)} holds class {known.max()}; the task has 0 to {last}")
        return np.where(counts, mask, UNSEEN)

    def _told(self, answer: Answer) -> str:
        right, true, _ = answer.tally.sum(axis=1)
        share = f"{100 * right / true:.1f} % of the pixels right" if true else "no pixel counts"
        return f"{share}; {self._words(answer.classes())}"

    def _words(self, classes: npt.NDArray[Any]) -> str:
        """The classes that cover most, at most four."""
        counts = np.bincount(classes[classes != UNSEEN], minlength=1)
        most = [int(one) for one in np.argsort(-counts, kind="stable")[:4] if counts[one]]
        names = self.decode.names or [f"class {one}" for one in range(self.decode.classes)]
        return ", ".join(f"{names[one]} {100 * counts[one] / classes.size:.0f} %" for one in most)


def load(path: Path, body: dict[str, Any], model: str) -> Segmentation:
    """The task of a TOML file. Raises :class:`UserError`."""
    return Segmentation(description.convert(path, body, Description), path)


def classes_of(output: Array, decode: Decode, geometry: Geometry) -> npt.NDArray[np.int64]:
    """The class of each pixel of the photograph ``[height, width]``, from one sample's output.

    A pixel's centre is looked up in the output, which covers the network's input whatever its own size. Pixels that
    the input doesn't hold (cut off by a crop) are :data:`UNSEEN`. Raises :class:`UserError` for another shape.
    """
    scores = _scores(output, decode)
    high, wide = geometry.picture
    x = ((np.arange(wide) + 0.5) * geometry.scale_x + geometry.left) / geometry.network[1]
    y = ((np.arange(high) + 0.5) * geometry.scale_y + geometry.top) / geometry.network[0]
    seen = ((y >= 0) & (y <= 1))[:, np.newaxis] & (x >= 0) & (x <= 1)
    x, y = x * scores.shape[1], y * scores.shape[0]
    if decode.by == "linear":
        return np.where(seen, _best(_interpolated(scores, x, y), decode), UNSEEN)
    down, along = (
        np.clip(np.floor(at), 0, most - 1).astype(int) for at, most in zip((y, x), scores.shape[:2], strict=True)
    )
    return np.where(seen, _best(scores, decode)[down[:, np.newaxis], along], UNSEEN)


def _scores(output: Array, decode: Decode) -> Array:
    """Scores ``[height, width, classes]``, or ``[height, width]`` for the layout ``hw``."""
    axes = len(decode.layout)
    scores = squeezed(output, axes)
    if scores.ndim == axes and decode.layout == "chw":
        scores = scores.transpose(1, 2, 0)
    if scores.ndim != axes or (axes == 3 and scores.shape[2] != decode.classes):
        wanted = f"{decode.classes} classes" if axes == 3 else "one value a pixel"
        says = f"an output {list(output.shape)} does not hold {wanted} in the layout {decode.layout}"
        raise UserError(says, "see decode.layout, decode.classes and decode.output")
    return scores


def _best(scores: Array, decode: Decode) -> npt.NDArray[np.int64]:
    if scores.ndim == 3:
        return np.asarray(np.argmax(scores, axis=2))
    if decode.above is not None:
        return np.asarray(scores > decode.above, np.int64)
    classes = np.asarray(scores, np.float64).astype(np.int64)
    if not (classes == scores).all() or classes.min() < 0 or classes.max() >= decode.classes:
        says = f"the output holds {scores.min():.4g} to {scores.max():.4g}: not the classes 0 to {decode.classes - 1}"
        raise UserError(says, "where it holds scores: see decode.layout and decode.above")
    return classes


def _interpolated(scores: Array, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Array:
    """Scores at these places (continuous: the first pixel's centre lies at 0.5), bilinear; edges go on outside."""
    import cv2

    across, down = (grid.astype(np.float32) - 0.5 for grid in np.meshgrid(x, y))
    planes = [scores] if scores.ndim == 2 else list(np.moveaxis(scores, 2, 0))
    found = [
        cv2.remap(plane.astype(np.float32), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for plane in planes
    ]
    return np.asarray(found[0]) if scores.ndim == 2 else np.stack(found, axis=2)


def _panel(picture: Pixels, classes: npt.NDArray[Any]) -> Pixels:
    """The photograph small, with each class in a colour of its own laid over it; class 0 and what is unseen bare."""
    import cv2

    high, wide = picture.shape[:2]
    size = PANEL_WIDTH, max(1, round(high * PANEL_WIDTH / wide))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    lain = cv2.resize(classes.astype(np.int16), size, interpolation=cv2.INTER_NEAREST)
    table = np.array([_colour(one) for one in range(int(lain.max(initial=0)) + 1)])
    over = table[np.maximum(lain, 0)]
    mixed = np.where((lain > 0)[:, :, np.newaxis], small // 2 + over // 2, small)
    return mixed.astype(np.uint8)


def _colour(one: int) -> list[int]:
    """BGR colours far apart: hues by the golden ratio."""
    return [round(255 * part) for part in colorsys.hsv_to_rgb(one * 0.618034 % 1.0, 0.85, 0.95)][::-1]
