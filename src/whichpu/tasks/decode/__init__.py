"""Outputs to boxes. One file a family, one line each format in ``DECODERS``; NMS follows where the model has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from whichpu.errors import UserError
from whichpu.tasks.decode import end_to_end, fastestdet, nms, ssd, yolo
from whichpu.tasks.decode.boxes import Array, Boxes, Decode, Size

__all__ = ["DECODERS", "Boxes", "Decode", "Decoder"]

Reads = Callable[[Sequence[Array], Decode, int, Size], Boxes]
PER_CLASS, IN_MODEL = "per-class", "in-model"
NO_NUMBERS: set[str] = set()

DECODERS: dict[str, tuple[Reads, str, set[str]]] = {
    "yolov3": (yolo.anchored, PER_CLASS, {"anchors", "xy_scale", "box", "unit", "activation"}),
    "yolov4": (yolo.anchored, PER_CLASS, {"anchors", "xy_scale", "box", "unit", "activation"}),
    "yolov5": (yolo.anchored, PER_CLASS, {"anchors", "xy_scale", "box", "unit", "activation"}),
    "yolov7": (yolo.anchored, PER_CLASS, {"anchors", "xy_scale", "box", "unit", "activation"}),
    "yolov6": (yolo.rows, PER_CLASS, {"box", "unit", "activation"}),
    "yolov8": (yolo.rows, PER_CLASS, {"box", "unit", "activation"}),
    "yolov9": (yolo.rows, PER_CLASS, {"box", "unit", "activation"}),
    "yolov11": (yolo.rows, PER_CLASS, {"box", "unit", "activation"}),
    "yolo-heads": (yolo.distances, PER_CLASS, {"activation"}),
    "yolox": (yolo.yolox, PER_CLASS, {"strides"}),
    "yolox-decoded": (yolo.rows, PER_CLASS, {"box", "unit", "activation"}),
    "ssd": (ssd.decode, PER_CLASS, {"box", "unit", "activation", "background", "priors", "variances", "outputs"}),
    "detr": (ssd.decode, IN_MODEL, {"box", "unit", "activation", "background", "outputs"}),
    "fastestdet": (fastestdet.decode, PER_CLASS, NO_NUMBERS),
    "yolov10": (end_to_end.rows, IN_MODEL, {"columns", "unit", "first_class"}),
    "end-to-end": (end_to_end.rows, IN_MODEL, {"columns", "unit", "first_class"}),
    "ssd-lists": (end_to_end.lists, IN_MODEL, {"box", "unit", "first_class", "outputs"}),
    "lists": (end_to_end.lists, IN_MODEL, {"box", "unit", "first_class", "outputs"}),
}
"""A format's reader, where its NMS is, and the fields that it knows besides those of every format."""

EVERY = {"format", "score_above", "nms", "nms_iou", "max_detections", "labels"}


NMS_IOU = 0.45


class Decoder:
    """Boxes in pixels of the network's input from the outputs of one sample. ``how`` has what is usual filled in."""

    def __init__(self, how: Decode, task: Path) -> None:
        """``task`` is the TOML file. Raises :class:`UserError` for fields that don't go together."""
        if how.format not in DECODERS:
            raise UserError(f"{task}: [decode] names format = {how.format!r}", f"there are: {', '.join(DECODERS)}")
        self.reads, where, known = DECODERS[how.format]
        foreign = [name for name, value in msgspec.structs.asdict(how).items() if value and name not in known | EVERY]
        if foreign:
            raise UserError(f'{task}: format = "{how.format}" in [decode] has no {", ".join(foreign)}')
        if how.labels == "all" and self.reads in (end_to_end.rows, end_to_end.lists):
            raise UserError(f'{task}: labels = "all" in [decode] needs scores of all classes; {how.format} has one')
        if how.priors is not None:
            self.reads = partial(ssd.decode, priors=_priors(task.parent / how.priors))
        where = how.nms or where
        if where == IN_MODEL and how.nms_iou is not None:
            raise UserError(
                f"{task}: nms_iou in [decode] has no effect: NMS is in the model", 'or give nms = "per-class"'
            )
        iou = None if where == IN_MODEL else how.nms_iou or NMS_IOU
        self.how = msgspec.structs.replace(how, nms=where, nms_iou=iou)

    def __call__(self, outputs: Sequence[Array], classes: int, size: Size) -> Boxes:
        """The boxes, best first; the model knows so many ``classes``, and its input has that ``size``.

        Raises :class:`UserError` for outputs that are not what the format has.
        """
        how = self.how
        with np.errstate(over="ignore", invalid="ignore"):  # a broken contender's numbers may be anything
            boxes = self.reads(outputs, how, classes, size)
        boxes = boxes.chosen(np.isfinite(boxes.corners).all(axis=1) & np.isfinite(boxes.scores))
        if how.nms_iou is None:
            return nms.best(boxes, how.max_detections)
        return nms.suppressed(boxes, how.nms_iou, how.max_detections, how.nms == PER_CLASS)


def _priors(path: Path) -> Array:
    try:
        priors = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as problem:
        raise UserError(f"can't read the priors {path}: {problem}") from problem
    if priors.ndim != 2 or priors.shape[1] != 4 or not np.isfinite(priors).all():
        raise UserError(f"{path} holds {list(priors.shape)}; priors are [n, 4]: centre and size, relative to the input")
    return np.asarray(priors, dtype=np.float64)
