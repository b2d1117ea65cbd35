"""Find objects in pictures: boxes with classes and scores, scored by COCO's average precision.

pycocotools matches boxes with objects, picture by picture; ``stats.average_precision`` sums up, with pictures weighted.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.errors import UserError
from whichpu.stats.average_precision import AveragePrecision, Ranked
from whichpu.tasks import description, images
from whichpu.tasks.datasets import Part, coco, one_of, voc
from whichpu.tasks.datasets.boxes import Objects, Pictures
from whichpu.tasks.decode import Decode, Decoder
from whichpu.tasks.decode.nms import overlaps
from whichpu.tasks.kind import Better, Described, Kind
from whichpu.tasks.preprocess import Geometry, Pixels, Preprocess
from whichpu.tasks.task import Array, BadSample, Evidence, Samples, Shown

SHOWN_ABOVE = 0.25
"""Boxes with a higher score are what an application would act on: those are drawn and told."""

SAME_IOU = 0.9
"""So much have two boxes to overlap to be the same to an application."""

THRESHOLDS = {"ap": range(10), "ap50": range(1), "ap75": range(5, 6)}
"""Of the intersections over union .50, .55, ... .95 those that a metric averages over."""

SOURCES = {"coco": coco.load, "voc": voc.load}

COLOURS = ((60, 180, 30), (220, 120, 0), (40, 40, 230), (0, 160, 230), (180, 60, 160))
"""In BGR: the truth's first, then one for each that answered."""


class Description(Described, kw_only=True, forbid_unknown_fields=True):
    """The TOML file of a detection task."""

    preprocess: Preprocess
    decode: Decode


class Found(NamedTuple):
    """An answer, best box first: ``boxes`` ``[n, 4]`` are left, top, width, height in pixels of the picture."""

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int32]

    def shown(self) -> Found:
        """Those that an application would act on."""
        which = self.scores > SHOWN_ABOVE
        return Found(self.boxes[which], self.scores[which], self.classes[which])

    def corners(self) -> npt.NDArray[np.float64]:
        """Left, top, right, bottom."""
        boxes = self.boxes.astype(np.float64)
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


class Detection(Kind):
    """Pictures with boxes. One input a picture; any outputs that a decoder reads."""

    metrics: Mapping[str, Better] = {"ap50": "higher", "ap": "higher", "ap75": "higher"}
    stands_for = ("coco", "voc", "images", "classes", "first_pixel")

    def __init__(self, described: Description, path: Path) -> None:
        self.decoder = Decoder(described.decode, path)
        self.described = msgspec.structs.replace(described, decode=self.decoder.how)
        self.geometries: dict[int, Geometry] = {}
        super().__init__(self.described, path, _load)
        self.info = msgspec.structs.replace(self.info, notes=self.pictures.notes)

    @property
    def pictures(self) -> Pictures:
        """The whole dataset, of which a part is scored."""
        pictures = self.part.whole
        assert isinstance(pictures, Pictures)
        return pictures

    def prepare(self, index: int) -> Samples:
        """One picture as the network takes it."""
        inputs, self.geometries[index] = self._laid(self.part, index)
        return [inputs]

    def prepared(self, part: Part, index: int) -> Samples:
        """The same, of any part."""
        return [self._laid(part, index)[0]]

    def finish(self, index: int, outputs: Samples) -> Found:
        """The boxes within the picture, after NMS."""
        geometry = self.geometries.get(index) or self._laid(self.part, index)[1]
        boxes = self.decoder(outputs, len(self.pictures.classes), geometry.network)
        height, width = geometry.picture
        corners = np.clip(geometry.to_picture(boxes.corners), 0.0, (width, height, width, height))
        extent = corners[:, 2:] - corners[:, :2]
        there = (extent > 0).all(axis=1)
        return Found(
            np.concatenate([corners[:, :2], extent], axis=1)[there].astype(np.float32),
            boxes.scores[there],
            boxes.classes[there].astype(np.int32),
        )

    def evidence(self, answers: Mapping[int, Found]) -> dict[str, Evidence]:
        """Average precision at IoU .50, at .50 to .95, and at .75."""
        truths = [self.part.truth(index) for index in answers]
        ranked = matched(truths, list(answers.values()), len(self.pictures.classes))
        return {name: AveragePrecision(ranked, THRESHOLDS[name]) for name in (self.info.metric, *self.info.others)}

    def same(self, ours: Found, theirs: Found) -> bool:
        """As many boxes above 0.25, each with a partner of its class that it overlaps by 0.9 or more."""
        ours, theirs = ours.shown(), theirs.shown()
        if sorted(ours.classes) != sorted(theirs.classes):
            return False
        near = overlaps(ours.corners(), theirs.corners())
        near[ours.classes[:, np.newaxis] != theirs.classes] = 0.0
        for row in near:
            partner = int(row.argmax())
            if row[partner] < SAME_IOU:
                return False
            near[:, partner] = 0.0
        return True

    def show(self, index: int, answers: Mapping[str, Found]) -> Shown:
        """The picture with the boxes of the truth and of each answer, above 0.25."""
        objects = self.part.truth(index)
        drawn = {"truth": objects.corners, **{who: found.shown().corners() for who, found in answers.items()}}
        try:
            picture = images.data_uri(draw(self.part.raw(index), drawn))
        except BadSample:
            picture = None
        return Shown(
            sample=self.name(index),
            truth=self._counted(objects.classes),
            answers={who: self._told(found.shown()) for who, found in answers.items()},
            picture=picture,
        )

    def _laid(self, part: Part, index: int) -> tuple[Array, Geometry]:
        return self.described.preprocess.applied_to(part.raw(index))

    def _counted(self, classes: Array) -> str:
        counts = Counter(self.pictures.classes[number] for number in classes.tolist())
        return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"

    def _told(self, found: Found) -> str:
        """Such as: 2 person (0.91, 0.40), 1 dog (0.33)."""
        scores = defaultdict(list)
        for number, score in zip(found.classes.tolist(), found.scores.tolist(), strict=True):
            scores[self.pictures.classes[number]].append(f"{score:.2f}")
        return ", ".join(f"{len(each)} {name} ({', '.join(each)})" for name, each in scores.items()) or "nothing"

    def _protocol(self, described: Described) -> dict[str, str]:
        told = super()._protocol(described)
        told["data.classes"] = ", ".join(self.pictures.classes)
        told["ap.matching"] = "COCO: IoU .50 to .95, 101 recalls, 100 boxes a class and picture"
        if self.decoder.how.priors is not None:
            told["decode.priors"] = hashlib.sha256(
                (self.path.parent / self.decoder.how.priors).read_bytes()
            ).hexdigest()
        return told


def load(path: Path, body: dict[str, Any], model: str) -> Detection:
    """The task of a TOML file. Raises :class:`UserError`."""
    return Detection(description.convert(path, body, Description), path)


def matched(truths: Sequence[Objects], found: Sequence[Found], classes: int) -> Ranked:
    """Which boxes hit an object at each threshold, by pycocotools; truths and found are by picture.

    Boxes of classes that no picture has are left out: they are in no average. Raises :class:`UserError` where
    pycocotools is missing.
    """
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError as problem:
        raise UserError("average precision needs pycocotools", "pip install 'whichpu[tasks]'") from problem
    counts = np.zeros((classes, len(truths)), dtype=np.int64)
    for picture, objects in enumerate(truths):
        np.add.at(counts[:, picture], objects.classes[~(objects.crowd | objects.difficult)], 1)
    evaluation = COCOeval(iouType="bbox")
    judged = [
        _judged(evaluation, picture, number, objects, answer)
        for picture, (objects, answer) in enumerate(zip(truths, found, strict=True))
        for number in np.unique(answer.classes).tolist()
        if counts[number].any()
    ]
    thresholds = len(evaluation.params.iouThrs)
    scores, pictures, numbers, hits, ignored = (
        [np.concatenate(column, axis=-1) for column in zip(*judged, strict=True)]
        if judged
        else [np.zeros(0), *np.zeros((2, 0), np.int64), *np.zeros((2, thresholds, 0), bool)]
    )
    return Ranked(scores, pictures, numbers, hits, ignored, counts)


def _judged(evaluation: Any, picture: int, number: int, objects: Objects, answer: Found) -> tuple[Array, ...]:
    """Scores, pictures and classes ``[n]``, hits and ignored ``[thresholds, n]``, of one class in one picture."""
    here, mine = _places(objects.classes, number), _places(answer.classes, number)
    key = picture, number
    evaluation._gts[key] = [_object(objects, index, place + 1) for place, index in enumerate(here)]
    evaluation._dts[key] = [_detection(answer, index, place + 1) for place, index in enumerate(mine)]
    evaluation.ious[key] = evaluation.computeIoU(*key)
    told = evaluation.evaluateImg(*key, evaluation.params.areaRng[0], evaluation.params.maxDets[-1])
    for store in (evaluation._gts, evaluation._dts, evaluation.ious):
        del store[key]
    count, ignored = len(told["dtScores"]), told["dtIgnore"].astype(bool)
    hits = (told["dtMatches"] > 0) & ~ignored
    return np.array(told["dtScores"]), np.full(count, picture), np.full(count, number), hits, ignored


def _places(classes: Array, number: int) -> list[int]:
    return [int(place) for place in np.flatnonzero(classes == number)]


def _object(objects: Objects, index: int, identity: int) -> dict[str, Any]:
    left, top, right, bottom = objects.corners[index].tolist()
    crowd, difficult = bool(objects.crowd[index]), bool(objects.difficult[index])
    box = [left, top, right - left, bottom - top]
    return {"id": identity, "bbox": box, "area": box[2] * box[3], "iscrowd": int(crowd), "ignore": crowd or difficult}


def _detection(answer: Found, index: int, identity: int) -> dict[str, Any]:
    box = answer.boxes[index].tolist()
    return {"id": identity, "bbox": box, "area": box[2] * box[3], "score": float(answer.scores[index])}


def draw(picture: Pixels, boxes: Mapping[str, Array]) -> Pixels:
    """The picture, at most 480 pixels wide, with boxes in a colour for each who, and a line below that says whose."""
    import cv2

    scale = min(1.0, images.SHOWN_WIDTH / picture.shape[1])
    width, height = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    line = 16
    canvas = np.full((height + line * len(boxes) + 4, max(width, 240), 3), 255, np.uint8)
    canvas[:height, :width] = small
    for place, (who, corners) in enumerate(boxes.items()):
        colour = COLOURS[place % len(COLOURS)]
        for left, top, right, bottom in np.rint(np.asarray(corners) * scale).astype(int).tolist():
            cv2.rectangle(
                canvas, (left, top), (min(right, width - 1), min(bottom, height - 1)), colour, 1 + (place == 0)
            )
        words = f"{who} ({len(corners)})".encode("ascii", "replace").decode()
        baseline = height + line * (place + 1) - 3
        cv2.rectangle(canvas, (4, baseline - 9), (14, baseline), colour, -1)
        cv2.putText(canvas, words, (20, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def _load(path: Path, table: Mapping[str, Any]) -> Pictures:
    return SOURCES[one_of(path, table, SOURCES)](path, table)
