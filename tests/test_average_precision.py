"""Average precision: pycocotools' own value without weights, and pictures that count twice are pictures twice."""

import contextlib
import io

import numpy as np
import pytest

from whichpu.stats.average_precision import AveragePrecision, Ranked
from whichpu.tasks.datasets.boxes import Objects
from whichpu.tasks.detection import THRESHOLDS, Found, matched

pytest.importorskip("pycocotools")
CLASSES = 4


def pictures(seed, count=12, ties=True):
    """Objects and boxes: near and far ones, equal scores, crowds, difficult objects, pictures without either."""
    random = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(count):
        objects, boxes = (0 if random.random() < 0.15 else int(random.integers(0, top)) for top in (6, 12))
        corners = np.sort(random.uniform(0, 100, (objects, 2, 2)), axis=1).reshape(-1, 4) + np.array([0, 0, 2, 2])
        truths.append(
            Objects(
                corners,
                random.integers(0, CLASSES - 1, objects),  # no picture has the last class
                random.random(objects) < 0.15,
                random.random(objects) < 0.15,
            )
        )
        near = corners[random.integers(0, objects, boxes)] if objects else np.tile([10.0, 10, 40, 40], (boxes, 1))
        near = near + random.normal(0, random.choice([0.1, 3.0, 20.0], (boxes, 1)), (boxes, 4))
        corners = np.concatenate([np.minimum(near[:, :2], near[:, 2:]), np.maximum(near[:, :2], near[:, 2:])], axis=1)
        scores = random.random(boxes)
        scores = np.sort(np.round(scores, 1) if ties else scores)[::-1]
        boxes_ = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float32)
        labels = truths[-1].classes[random.integers(0, objects, boxes)] if objects else np.zeros(boxes)
        labels = np.where(random.random(boxes) < 0.2, random.integers(0, CLASSES, boxes), labels)
        found.append(Found(boxes_, scores, labels.astype(np.int32)))
    return truths, found


def by_pycocotools(truths, found):
    """AP, AP50 and AP75 by the whole of pycocotools: loadRes, evaluate, accumulate, summarize."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for picture, (objects, answer) in enumerate(zip(truths, found, strict=True)):
        for corners, number, crowd, difficult in zip(*objects, strict=True):
            box = [*corners[:2].tolist(), *(corners[2:] - corners[:2]).tolist()]
            whose = {"id": len(annotations) + 1, "image_id": picture, "category_id": int(number)}
            kind = {"iscrowd": int(crowd), "difficult": bool(difficult)}
            annotations.append({**whose, **kind, "bbox": box, "area": box[2] * box[3]})
        for box, score, number in zip(*answer, strict=True):
            results.append(
                {"image_id": picture, "category_id": int(number), "bbox": box.tolist(), "score": float(score)}
            )
    truth = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        truth.dataset = {"info": {}, "images": [{"id": picture} for picture in range(len(truths))],
                         "annotations": annotations, "categories": [{"id": one} for one in range(CLASSES)]}  # fmt: skip
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        prepare = evaluation._prepare

        def with_difficult():  # pycocotools knows crowds only, but matches by "ignore"
            prepare()
            for objects in evaluation._gts.values():
                for one in objects:
                    one["ignore"] = one["iscrowd"] or one["difficult"]

        evaluation._prepare = with_difficult
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(("ap", "ap50", "ap75"), evaluation.stats[:3].tolist(), strict=True))


def ours(truths, found, weights=None):
    ranked = matched(truths, found, CLASSES)
    return {name: AveragePrecision(ranked, at).value(weights) for name, at in THRESHOLDS.items()}


@pytest.mark.parametrize("seed", range(20))
def test_without_weights_it_is_the_value_of_pycocotools_to_the_last_bit(seed):
    truths, found = pictures(seed)
    assert ours(truths, found) == by_pycocotools(truths, found)


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_that_counts_three_times_is_that_picture_three_times(seed):
    truths, found = pictures(seed, ties=False)
    counts = np.random.default_rng(seed).integers(0, 4, len(truths))
    repeated = [np.repeat(np.arange(len(truths)), counts)]
    again = [[each[index] for index in repeated[0]] for each in (truths, found)]
    assert ours(truths, found, counts.astype(float)) == pytest.approx(by_pycocotools(*again), abs=1e-12)


def test_by_hand():
    # Ranked: hit, miss, hit; two objects. Precision 1 up to recall 0.5 (51 recalls), then 2/3 (50 recalls).
    hits = np.array([[True, False, True]])
    ranked = Ranked(
        np.array([0.9, 0.8, 0.7]), np.arange(3), np.zeros(3, int), hits, ~hits & False, np.array([[1, 0, 1]])
    )
    evidence = AveragePrecision(ranked, [0])
    assert evidence.value() == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert evidence.value(np.array([1.0, 0.0, 1.0])) == pytest.approx(1)  # without the picture of the miss
    assert evidence.value(np.array([0.0, 1.0, 1.0])) == pytest.approx(0.5)


def test_without_any_object_there_is_no_value():
    empty = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), np.zeros(0, bool))
    none = Found(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int32))
    some = Found(np.ones((1, 4), np.float32), np.ones(1), np.zeros(1, np.int32))
    assert np.isnan(ours([empty, empty], [none, some])["ap50"])
    one = Objects(np.array([[0.0, 0, 10, 10]]), np.zeros(1, int), np.zeros(1, bool), np.zeros(1, bool))
    assert ours([one, empty], [none, none])["ap"] == 0
    assert np.isnan(ours([one, empty], [none, none], np.array([0.0, 2.0]))["ap"])
