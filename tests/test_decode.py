"""Outputs to boxes: the same boxes, written as each family's outputs are, come back from each decoder."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.tasks.decode import DECODERS, Decode, Decoder, nms, yolo
from whichpu.tasks.decode.boxes import Boxes

SIZE = 64, 96
CLASSES = 3
CORNERS = np.array([[10.0, 8, 30, 28], [40, 30, 90, 60], [70, 4, 84, 20]])
SCORES = np.array([0.9, 0.75, 0.6])
LABELS = np.array([2, 0, 1])
CENTRES = np.concatenate([(CORNERS[:, :2] + CORNERS[:, 2:]) / 2, CORNERS[:, 2:] - CORNERS[:, :2]], axis=1)
RELATIVE = np.array([SIZE[1], SIZE[0], SIZE[1], SIZE[0]], dtype=float)


def logit(share):
    share = np.asarray(share, dtype=float)
    return np.log(share / (1 - share))


def decoded(outputs, size=SIZE, classes=CLASSES, roles=None, **how):
    how = how if roles is None else {**how, "outputs": roles}
    outputs = [np.asarray(output, dtype=np.float32) for output in outputs]
    return Decoder(msgspec.convert(how, Decode), Path("task.toml"))(outputs, classes, size)


def assert_found(boxes, within=1e-3):
    assert boxes.classes.tolist() == LABELS.tolist()
    assert boxes.scores == pytest.approx(SCORES, abs=1e-4)
    assert boxes.corners == pytest.approx(CORNERS, abs=within)


def shares(count, objectness):
    """Class shares ``[count, classes]`` of rows whose first ones are the boxes; nothing else is above 0."""
    table = np.zeros((count, CLASSES))
    table[np.arange(3), LABELS] = SCORES / objectness
    return table


def rows(count=20, objectness=None, boxes=CENTRES):
    table = np.zeros((count, 4))
    table[:3] = boxes
    parts = [table] if objectness is None else [table, np.full((count, 1), objectness)]
    return np.concatenate([*parts, shares(count, objectness or 1.0)], axis=1)[np.newaxis]


@pytest.mark.parametrize("format", ["yolov3", "yolov4", "yolov5", "yolov6", "yolov7", "yolox-decoded"])
def test_rows_with_an_objectness(format):
    assert_found(decoded([rows(objectness=0.95)], format=format))
    assert_found(decoded([rows(objectness=0.95).transpose(0, 2, 1)], format=format))
    relative = rows(objectness=0.95, boxes=CORNERS / RELATIVE)
    assert_found(decoded([relative], format=format, unit="relative", box="xyxy"))


@pytest.mark.parametrize("format", ["yolov6", "yolov8", "yolov9", "yolov11"])
def test_rows_without_an_objectness(format):
    assert_found(decoded([rows().transpose(0, 2, 1)], format=format))
    assert_found(decoded([rows()], format=format))


@pytest.mark.parametrize(
    ("box", "written"),
    [
        ("xyxy", CORNERS),
        ("cxcywh", CENTRES),
        ("xywh", np.concatenate([CORNERS[:, :2], CENTRES[:, 2:]], axis=1)),
        ("yxyx", CORNERS[:, [1, 0, 3, 2]]),
    ],
)
def test_boxes_are_written_in_four_ways(box, written):
    assert_found(decoded([rows(boxes=written)], format="yolov8", box=box))


@pytest.mark.parametrize("format", ["yolov3", "yolov4", "yolov5", "yolov7"])
@pytest.mark.parametrize("layout", ["a(5+c)hw", "ahw(5+c)", "hw(a(5+c))", "hwa(5+c)"])
def test_raw_heads_with_anchors(format, layout):
    """Each box is put where its centre lies: into the grid of its own, with that grid's second anchor."""
    anchors, scales = yolo.ANCHORS[format], yolo.XY_SCALES[format] * (1 if format == "yolov4" else 3)
    heads = []
    for place, stride in enumerate((8, 16, 32)):
        height, width = SIZE[0] // stride, SIZE[1] // stride
        head = np.full((3, height, width, 5 + CLASSES), -40.0)
        centre, extent = CENTRES[place, :2] / stride, CENTRES[place, 2:]
        column, row = np.floor(centre).astype(int)
        share = (centre - (column, row) + (scales[place] - 1) / 2) / scales[place]
        ratio = extent / np.array(anchors[place][1])
        raw = np.log(ratio) if format in ("yolov3", "yolov4") else logit(np.sqrt(ratio) / 2)
        if not np.isfinite(raw).all():
            pytest.skip("an anchor too small for the box")
        head[1, row, column, :5] = [*logit(share), *raw, logit(0.95)]
        head[1, row, column, 5 + LABELS[place]] = logit(SCORES[place] / 0.95)
        heads.append(laid_out(head, layout))
    assert_found(decoded([heads[2], heads[0], heads[1]], format=format))


def laid_out(head, layout):
    """``[anchors, h, w, 5 + classes]`` as runtimes and converters have it, with a batch of one."""
    count, height, width, channels = head.shape
    turned = {
        "a(5+c)hw": head.transpose(0, 3, 1, 2).reshape(count * channels, height, width),
        "ahw(5+c)": head,
        "hw(a(5+c))": head.transpose(1, 2, 0, 3).reshape(height, width, count * channels),
        "hwa(5+c)": head.transpose(1, 2, 0, 3),
    }
    return turned[layout][np.newaxis]


def test_yolox_grids():
    strides, tables = (8, 16, 32), []
    for place, stride in enumerate(strides):
        height, width = SIZE[0] // stride, SIZE[1] // stride
        table = np.zeros((height, width, 5 + CLASSES))
        column, row = np.floor(CENTRES[place, :2] / stride).astype(int)
        table[row, column, :2] = CENTRES[place, :2] / stride - (column, row)
        table[row, column, 2:5] = [*np.log(CENTRES[place, 2:] / stride), 0.95]
        table[row, column, 5 + LABELS[place]] = SCORES[place] / 0.95
        tables.append(table.reshape(-1, 5 + CLASSES))
    output = np.concatenate(tables)[np.newaxis]
    assert_found(decoded([output], format="yolox"))
    with pytest.raises(UserError, match=r"strides \[8, 16\]"):
        decoded([output], format="yolox", strides=[8, 16])


@pytest.mark.parametrize("bins", [1, 16])
@pytest.mark.parametrize("parts", ["together", "apart"])
def test_distances_from_the_middle_of_a_cell(bins, parts):
    outputs = []
    for place, stride in enumerate((8, 16, 32)):
        height, width = SIZE[0] // stride, SIZE[1] // stride
        sides, labels = np.zeros((4, bins, height, width)), np.full((CLASSES, height, width), -40.0)
        column, row = np.floor(CENTRES[place, :2] / stride).astype(int)
        middle = np.array([column + 0.5, row + 0.5])
        near, far = middle - CORNERS[place, :2] / stride, CORNERS[place, 2:] / stride - middle
        for side, distance in enumerate([*near, *far]):
            if bins == 1:
                sides[side, 0, row, column] = distance
                continue
            low = int(distance)
            sides[side, :, row, column] = -40.0
            sides[side, low, row, column] = np.log(low + 1 - distance)
            sides[side, low + 1, row, column] = np.log(max(distance - low, 1e-30))
        labels[LABELS[place], row, column] = logit(SCORES[place])
        boxes = sides.reshape(4 * bins, height, width)
        outputs += [np.concatenate([boxes, labels])[np.newaxis]] if parts == "together" else [boxes[None], labels[None]]
    assert_found(decoded(outputs, format="yolo-heads"))


def test_ssd_boxes_scores_and_priors():
    boxes = np.zeros((20, 4))
    boxes[:3] = CORNERS / RELATIVE
    with_background = np.concatenate([np.zeros((20, 1)), shares(20, 1.0)], axis=1)
    with pytest.raises(UserError, match="with 3 classes, shapes don't tell which output is boxes"):
        decoded([with_background[None], boxes[None]], format="ssd")
    told = {"boxes": 1, "scores": 0}
    assert_found(decoded([with_background[None], boxes[None]], format="ssd", roles=told))
    assert_found(decoded([boxes[None], shares(20, 1.0)[None]], format="ssd"))
    assert_found(decoded([shares(20, 1.0)[None], boxes[None]], format="ssd"))
    # pytorch-YOLOv4's own outputs: an axis of one between, pixels relative, no background
    assert_found(decoded([boxes[None, :, None], shares(20, 1.0)[None]], format="ssd"))


def test_ssd_offsets_from_priors(tmp_path):
    priors = np.tile([0.5, 0.5, 0.2, 0.2], (20, 1))
    wanted = CENTRES / RELATIVE
    offsets = np.zeros((20, 4))
    offsets[:3, :2] = (wanted[:, :2] - priors[:3, :2]) / priors[:3, 2:] / 0.1
    offsets[:3, 2:] = np.log(wanted[:, 2:] / priors[:3, 2:]) / 0.2
    np.save(tmp_path / "priors.npy", priors)
    decoder = Decoder(Decode(format="ssd", priors="priors.npy"), tmp_path / "task.toml")
    assert_found(decoder([offsets[None].astype(np.float32), shares(20, 1.0)[None]], CLASSES, SIZE))
    with pytest.raises(UserError, match="20 boxes, one a prior"):
        decoder([offsets[None, :10], shares(10, 1.0)[None]], CLASSES, SIZE)
    np.save(tmp_path / "priors.npy", priors[:, :3])
    with pytest.raises(UserError, match=r"holds \[20, 3\]; priors are"):
        Decoder(Decode(format="ssd", priors="priors.npy"), tmp_path / "task.toml")


def test_detr_logits_with_nothing_as_the_last_class():
    boxes = np.zeros((20, 4))
    boxes[:3] = CENTRES / RELATIVE
    table = np.full((20, CLASSES + 1), 1e-12)
    table[:3, :CLASSES] += shares(20, 1.0)[:3]
    table[:, CLASSES] = 1 - table[:, :CLASSES].sum(axis=1)
    logits = np.log(table) + 7.0
    assert_found(decoded([logits[None], boxes[None]], format="detr", score_above=0.1, roles={"scores": 0, "boxes": 1}))


@pytest.mark.parametrize("format", ["end-to-end", "yolov10"])
def test_rows_that_the_model_has_chosen(format):
    table = np.zeros((1, 20, 6))
    table[0, :3] = np.column_stack([CORNERS, SCORES, LABELS])
    assert_found(decoded([table], format=format))


def test_rows_with_named_columns_and_padding():
    table = np.zeros((1, 1, 5, 7))
    table[0, 0, :3] = np.column_stack([np.zeros(3), LABELS + 1, SCORES, CORNERS / RELATIVE])
    table[0, 0, 3] = [-1, 1, 0.9, 0, 0, 1, 1]  # what follows the last box belongs to no picture
    columns = ["picture", "class", "score", "x1", "y1", "x2", "y2"]
    assert_found(decoded([table], format="end-to-end", columns=columns, unit="relative", first_class=1))
    with pytest.raises(UserError, match=r"columns = .* needs x1"):
        decoded([table], format="end-to-end", columns=["x1", "score"])


def test_lists_that_the_model_has_chosen():
    boxes = np.tile([0.0, 0, 1, 1], (10, 1))
    boxes[:3] = (CORNERS / RELATIVE)[:, [1, 0, 3, 2]]
    scores, labels = np.full(10, 0.99), np.zeros(10)
    scores[:3], labels[:3] = SCORES, LABELS
    assert_found(decoded([boxes[None], labels[None], scores[None], [3.0]], format="ssd-lists"))
    boxes[:3] = CORNERS
    roles = {"count": 0, "boxes": 1, "scores": 2, "classes": 3}
    assert_found(decoded([[[3]], boxes[None], scores[None], labels[None]], format="lists", roles=roles))


def test_fastestdet():
    height, width = 8, 12
    grid = np.zeros((5 + CLASSES, height, width))
    for place in range(3):
        centre = CENTRES[place, :2] / RELATIVE[:2] * (width, height)
        column, row = np.floor(centre).astype(int)
        share = SCORES[place] ** (1 / 0.4) / 0.95 ** (0.6 / 0.4)
        grid[:5, row, column] = [0.95, *np.arctanh(centre - (column, row)), *logit(CENTRES[place, 2:] / RELATIVE[:2])]
        grid[5 + LABELS[place], row, column] = share
    assert_found(decoded([grid[None]], format="fastestdet"))
    assert_found(decoded([grid.transpose(1, 2, 0)[None]], format="fastestdet"))


def test_all_labels_or_the_best_one():
    table = rows()
    table[0, 0, 4] = 0.5
    assert len(decoded([table], format="yolov8").scores) == 3
    assert decoded([table], format="yolov8", labels="all").classes.tolist() == [2, 0, 1, 0]
    with pytest.raises(UserError, match="needs scores of all classes"):
        decoded([np.zeros((1, 4, 6))], format="yolov10", labels="all")


def test_scores_below_the_threshold_and_boxes_beyond_the_most_are_left_out():
    assert len(decoded([rows()], format="yolov8", score_above=0.7).scores) == 2
    assert decoded([rows()], format="yolov8", max_detections=1).scores == pytest.approx([0.9])
    broken = rows()
    broken[0, 0, 2] = np.nan
    broken[0, 1, 4:] = np.nan
    assert decoded([broken], format="yolov8").scores == pytest.approx([0.6])


@pytest.mark.parametrize("format", [name for name in DECODERS if name not in ("ssd-lists", "lists")])
def test_outputs_of_another_model_are_refused_with_their_shapes(format):
    with pytest.raises(UserError, match=r"the model gave \[1, 1000\]") as caught:
        decoded([np.zeros((1, 1000))], format=format)
    assert format in str(caught.value)


def test_a_wrong_number_of_classes_is_told():
    with pytest.raises(UserError, match=r"\[1, 84, n\] .* for 80 classes; the model gave \[1, 7, 20\]"):
        decoded([rows().transpose(0, 2, 1)], format="yolov8", classes=80)


def test_fields_that_a_format_does_not_know_are_refused():
    for how, said in (
        ({"format": "yolo9000"}, "there are: yolov3"),
        ({"format": "yolov8", "anchors": [[(1, 2)]]}, "has no anchors"),
        ({"format": "yolov10", "nms_iou": 0.5}, "NMS is in the model"),
    ):
        with pytest.raises(UserError) as caught:
            decoded([], **how)
        assert said in f"{caught.value} {caught.value.remedy}"


def test_nms_by_hand():
    corners = np.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5], [100, 0, 110, 10]])
    boxes = Boxes(corners, np.array([0.5, 0.9, 0.8, 0.1]), np.array([0, 0, 0, 0]))
    # The second is best: it drops the first (IoU 0.9), and the third (5/9) where that is too much.
    assert nms.suppressed(boxes, 0.6, 10, True).scores.tolist() == [0.9, 0.8, 0.1]
    assert nms.suppressed(boxes, 0.5, 10, True).scores.tolist() == [0.9, 0.1]
    assert nms.suppressed(boxes, 0.5, 1, True).scores.tolist() == [0.9]
    others = Boxes(corners, boxes.scores, np.array([0, 1, 0, 0]))
    assert nms.suppressed(others, 0.45, 10, True).scores.tolist() == [0.9, 0.8, 0.1]
    assert nms.suppressed(others, 0.45, 10, False).scores.tolist() == [0.9, 0.1]


@given(st.integers(0, 10_000), st.booleans())
def test_nms_keeps_no_rivals_and_drops_nothing_without_one(seed, per_class):
    random = np.random.default_rng(seed)
    corners = np.sort(random.uniform(0, 20, (25, 2, 2)), axis=1).reshape(-1, 4)
    boxes = Boxes(corners, np.round(random.random(25), 1), random.integers(0, 2, 25))
    kept = nms.suppressed(boxes, 0.3, 25, per_class)
    rivals = nms.overlaps(boxes.corners, kept.corners) > 0.3
    if per_class:
        rivals &= boxes.classes[:, None] == kept.classes
    among = nms.overlaps(kept.corners, kept.corners) > 0.3
    among &= kept.classes[:, None] == kept.classes if per_class else True
    assert not (among & ~np.eye(len(kept.scores), dtype=bool)).any()
    stays = (boxes.corners[:, None] == kept.corners).all(axis=2).any(axis=1)
    better = (kept.scores >= boxes.scores[:, None]) & rivals
    assert (stays | better.any(axis=1)).all()
    assert (np.diff(kept.scores) <= 0).all()
