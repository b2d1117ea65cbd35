"""Detection tasks: labels read and doubted, boxes mapped back, answers compared, and FastestDet's known figures."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from whichpu.errors import UserError
from whichpu.tasks import load
from whichpu.tasks.detection import Found
from whichpu.tasks.task import BadSample

cv2 = pytest.importorskip("cv2")
pytest.importorskip("pycocotools")
SAMPLES = Path(__file__).parents[2] / "shared" / "data"

TASK = """
kind = "detection"
metric = "ap50"
[data]
{data}
[preprocess]
resize = {{size = [64, 96], how = "letterbox", fill = 114}}
[decode]
format = "end-to-end"
{decode}
"""
COCO = 'coco = "labels.json"\nimages = "pictures"'
VOC = 'voc = "xml"\nimages = "pictures"'


def samples(*parts):
    """A file of the project's sample data; skips the test where they are not."""
    path = SAMPLES.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)} of the sample data")
    return path


def annotation(picture, box, category=1, **more):
    return {"id": 1, "image_id": picture, "category_id": category, "bbox": box, "area": 1, "iscrowd": 0, **more}


class Folder:
    """Two pictures of 120x60, a.png and b.png, with labels and a task."""

    def __init__(self, path):
        self.path = path
        (path / "pictures").mkdir()
        for name in "ab":
            picture = np.full((60, 120, 3), ord(name), np.uint8)
            cv2.imwrite(str(path / "pictures" / f"{name}.png"), picture)
        self.body = {
            "images": [{"id": 7, "file_name": "b.png", "height": 60, "width": 120},
                       {"id": 9, "file_name": "a.png", "height": 60, "width": 120}],
            "annotations": [annotation(7, [10, 5, 40, 30]), annotation(7, [60, 20, 50, 30], category=4)],
            "categories": [{"id": 4, "name": "dog"}, {"id": 1, "name": "cat"}],
        }  # fmt: skip

    def task(self, data=COCO, decode="", text=None):
        (self.path / "labels.json").write_text(json.dumps(self.body))
        (self.path / "task.toml").write_text(text or TASK.format(data=data, decode=decode))
        return load(self.path / "task.toml", "any")

    def voc(self, name, objects, size=(120, 60), data=VOC, picture=None):
        (self.path / "xml").mkdir(exist_ok=True)
        told = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
        found = "".join(
            f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}"
            f"</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
            for label, box, difficult in objects
        )
        body = f"<annotation><filename>{picture or name + '.png'}</filename>{told}{found}</annotation>"
        (self.path / "xml" / f"{name}.xml").write_text(body)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def outputs(rows, count=10):
    """Rows of left, top, right, bottom, score, class, as an end-to-end model gives them."""
    table = np.zeros((1, count, 6), np.float32)
    table[0, : len(rows)] = rows
    return [table]


def found(boxes, scores, classes):
    return Found(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, float), np.array(classes, np.int32))


def test_boxes_come_back_through_the_letterbox_and_are_cut_at_the_edge(folder):
    task = folder.task()
    (array,) = task.prepare(1)
    assert array.shape == (1, 3, 64, 96)
    # 120x60 fits into 96x64 as 96x48, 8 pixels from the top: a scale of 0.8.
    answer = task.finish(1, outputs([[8, 12, 40, 36, 0.9, 0], [48, 24, 200, 200, 0.8, 1], [0, 0, 96, 7, 0.7, 1]]))
    assert answer.boxes == pytest.approx(np.array([[10, 5, 40, 30], [60, 20, 60, 40]]), abs=1e-4)
    assert answer.classes.tolist() == [0, 1]  # the third lies in the fill above the picture


def test_a_perfect_answer_scores_1_and_a_box_too_many_costs(folder):
    task = folder.task()
    assert [task.name(index) for index in range(2)] == ["a.png", "b.png"]
    truth = found([[10, 5, 40, 30], [60, 20, 50, 30]], [0.9, 0.8], [0, 1])
    none = found([], [], [])
    evidence = task.evidence({0: none, 1: truth})
    assert list(evidence) == ["ap50", "ap", "ap75"] == [task.info.metric, *task.info.others]
    assert [one.value() for one in evidence.values()] == pytest.approx([1, 1, 1])
    ghost = found([[0, 0, 5, 5]], [0.95], [0])
    assert task.evidence({0: ghost, 1: truth})["ap50"].value() == pytest.approx(0.75)
    assert task.evidence({1: truth})["ap50"].value() == pytest.approx(
        1
    )  # the picture that was left out counts for nothing


def test_finish_does_not_need_prepare_first(folder):
    one, other = folder.task(), folder.task()
    one.prepare(1)
    row = outputs([[8, 12, 40, 36, 0.9, 0]])
    assert np.array_equal(one.finish(1, row).boxes, other.finish(1, row).boxes)


def test_the_same_answer_for_an_application(folder):
    task = folder.task()
    one = found([[10, 10, 40, 40], [60, 20, 40, 30]], [0.9, 0.3], [0, 1])
    assert task.same(one, found([[60, 20, 40, 30], [10, 10, 41, 40], [0, 0, 9, 9]], [0.5, 0.4, 0.2], [1, 0, 0]))
    assert not task.same(one, found([[10, 10, 40, 40]], [0.9], [0]))
    assert not task.same(one, found([[10, 10, 40, 40], [60, 20, 40, 30]], [0.9, 0.3], [0, 0]))
    assert not task.same(one, found([[14, 14, 40, 40], [60, 20, 40, 30]], [0.9, 0.3], [0, 1]))
    twice = found([[10, 10, 40, 40], [10, 10, 40, 40]], [0.9, 0.8], [0, 0])
    assert not task.same(twice, found([[10, 10, 40, 40], [70, 10, 40, 40]], [0.9, 0.8], [0, 0]))
    assert task.same(found([], [], []), found([], [], []))


def test_a_picture_with_boxes_and_words_is_shown(folder):
    task = folder.task()
    answers = {"reference": found([[10, 5, 40, 30]], [0.875], [0]), "ours": found([], [], [])}
    shown = task.show(1, answers)
    assert (shown.sample, shown.truth) == ("b.png", "1 cat, 1 dog")
    assert shown.answers == {"reference": "1 cat (0.88)", "ours": "nothing"}
    kind, _, body = shown.picture.partition(",")
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR)
    assert kind == "data:image/jpeg;base64" and picture.shape == (60 + 3 * 16 + 4, 240, 3)
    (folder.path / "pictures" / "b.png").unlink()
    assert task.show(1, answers).picture is None


def test_categories_become_the_models_classes(folder):
    assert folder.task().part.truth(1).classes.tolist() == [0, 1]  # by id: cat, dog
    assert folder.task(COCO + '\nclasses = ["dog", "cow", "cat"]').part.truth(1).classes.tolist() == [2, 0]
    (folder.path / "classes.txt").write_text("dog\ncat\n\n")
    by_file = folder.task(COCO + '\nclasses = "classes.txt"')
    assert by_file.part.truth(1).classes.tolist() == [1, 0]
    assert by_file.info.protocol["data.classes"] == "dog, cat"


def test_what_is_wrong_with_labels_is_told_in_a_sentence_each(folder):
    folder.body["annotations"] += [
        annotation(9, [100, 10, 50, 20]),
        annotation(9, [100, 10, 20.5, 20]),  # half a pixel: rounding
        annotation(9, [200, 10, 50, 20]),
        annotation(9, [float("nan"), 10, 50, 20]),
        annotation(9, [10, 10, 0, 20]),
        annotation(9, "nothing"),
        annotation(9, [10, 10, 20, 20], category=77),
        annotation(1000, [10, 10, 20, 20]),
    ]
    shutil.copy(folder.path / "pictures" / "a.png", folder.path / "pictures" / "c.png")
    task = folder.task(COCO + '\nclasses = ["cat"]')
    assert task.info.notes == [
        "1 × an object of class 'dog' is left out: the model's classes don't have it (first in b.png)",
        "1 × a box reaches outside its picture: it is cut at the edge (first in a.png)",
        "1 × a box lies outside its picture: it is left out (first in a.png)",
        "2 × a box has a coordinate that is no number: it is left out (first in a.png)",
        "1 × a box has no width or no height: it is left out (first in a.png)",
        "1 × an object of class 'category_id 77' is left out: the model's classes don't have it (first in a.png)",
        "1 × an annotation is for a picture that is not listed: it is left out (first in image_id 1000)",
        "1 × a picture has no labels in labels.json: it is not scored (first in c.png)",
    ]
    assert task.part.truth(0).corners.tolist() == [[100, 10, 120, 30], [100, 10, 120.5, 30]]


def test_pictures_that_cannot_be_used_are_left_out(folder):
    (folder.path / "pictures" / "a.png").write_bytes(b"no picture")
    (folder.path / "pictures" / "b.png").unlink()
    folder.body["images"].append({"id": 11, "file_name": "turned.png", "height": 120, "width": 60})
    cv2.imwrite(str(folder.path / "pictures" / "turned.png"), np.zeros((60, 120, 3), np.uint8))
    task = folder.task()
    for index, said in enumerate(
        ("a.png is no picture", "b.png can't be read", "is 120x60 pixels; its labels tell of 60x")
    ):
        with pytest.raises(BadSample, match=said):
            task.prepare(index)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", 'needs a list "images"'),
        ('{"images": [{"id": 1}]}', 'list "images" of objects with file_name, id'),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}', "dataset is empty"),
        ('{"images": [], "annotations": [], "categories": []}', "no classes are named"),
        ("{", "is not JSON"),
    ],
)
def test_a_file_that_is_no_coco_json(folder, body, said):
    folder.task()
    (folder.path / "labels.json").write_text(body)
    with pytest.raises(UserError, match=said):
        load(folder.path / "task.toml", "any")


def test_other_mistakes_in_the_description(folder):
    for data, said in (
        ('coco = "nothing.json"\nimages = "pictures"', "can't read"),
        ('coco = "labels.json"\nimages = "photos"', "'photos' is no folder"),
        ('coco = "labels.json"', "images"),
        (COCO + "\ndepth = 3", "depth"),
        ('images = "pictures"', "names no source"),
    ):
        with pytest.raises(UserError, match=said):
            folder.task(data)
    for decode, said in (
        ("max_detections = 0", "max_detections"),
        ("score_above = 1.5", "score_above"),
        ("x = 1", "`x`"),
    ):
        with pytest.raises(UserError, match=said):
            folder.task(decode=decode)
    with pytest.raises(UserError, match="ap90"):
        folder.task(text=TASK.format(data=COCO, decode="").replace("ap50", "ap90"))


def test_voc_files(folder):
    folder.voc("a", [("cat", (1, 1, 40, 30), 0), ("cat", (50, 10, 70, 30), 1)])
    folder.voc("b", [])
    task = folder.task(VOC)
    objects = task.part.truth(0)
    assert task.info.samples == 2 and task.info.protocol["data.classes"] == "cat"
    assert objects.corners.tolist() == [[1, 1, 40, 30], [50, 10, 70, 30]]
    assert objects.difficult.tolist() == [False, True]
    easy = found([[1, 1, 39, 29]], [0.9], [0])
    both = found([[1, 1, 39, 29], [50, 10, 20, 20]], [0.8, 0.9], [0, 0])
    none = found([], [], [])
    for answer in (easy, both):  # a difficult object has not to be found, and may be
        assert task.evidence({0: answer, 1: none})["ap"].value() == pytest.approx(1)
    assert folder.task(VOC + "\nfirst_pixel = 1").part.truth(0).corners[0].tolist() == [0, 0, 40, 30]


def test_voc_files_that_cannot_be_read(folder):
    folder.voc("a", [("cat", (1, 1, 40, 30), 0), ("dog", (1, 1, 40, 30), 0), ("dog", ("", 1, 40, 30), 0)])
    with pytest.raises(UserError, match="the labels name 2 classes") as caught:
        folder.task(VOC)
    assert "classes = ['cat', 'dog', ...]" in caught.value.remedy
    task = folder.task(VOC + '\nclasses = ["dog", "cat"]')
    assert task.part.truth(0).classes.tolist() == [1, 0]
    assert task.info.notes == [
        "1 × a box has a coordinate that is no number: it is left out (first in a.png)",
        "1 × a picture has no labels in xml: it is not scored (first in b.png)",
    ]
    (folder.path / "xml" / "a.xml").write_text("<annotation>")
    with pytest.raises(UserError, match="is not XML"):
        folder.task(VOC)
    (folder.path / "xml" / "a.xml").write_text("<annotation></annotation>")
    with pytest.raises(UserError, match="needs <annotation> with a <filename>"):
        folder.task(VOC)
    (folder.path / "xml" / "a.xml").unlink()
    with pytest.raises(UserError, match=r"holds no \.xml"):
        folder.task(VOC)


def test_the_protocol_names_what_changed(folder):
    before = folder.task()
    for change, field in (
        ("nms = 'agnostic'", "decode.nms"),
        ("score_above = 0.3", "decode.score_above"),
        ("max_detections = 10", "decode.max_detections"),
    ):
        after = folder.task(decode=change).info
        assert after.protocol_sha256 != before.info.protocol_sha256
        differ = {
            name
            for name in before.info.protocol | after.protocol
            if before.info.protocol.get(name) != after.protocol.get(name)
        }
        assert field in differ and differ <= {"decode.nms", "decode.nms_iou", field}
    folder.body["annotations"][0]["bbox"][0] += 1
    assert folder.task().info.protocol["data.sha256"] != before.info.protocol["data.sha256"]


def test_coco_and_voc_of_the_same_boxes_are_the_same_protocol(folder):
    folder.body["annotations"].append(annotation(7, [1.25, 2.1, 30.7, 40.3]))
    by_coco = folder.task(COCO)
    folder.voc("a", [])
    folder.voc("b", [("cat", (1.25, 2.1, 31.95, 42.4), 0), ("dog", (60, 20, 110, 50), 0), ("cat", (10, 5, 50, 35), 0)])
    by_voc = folder.task(VOC + '\nclasses = ["cat", "dog"]')
    assert by_coco.info == by_voc.info


def test_coco_and_voc_of_the_same_frames_have_the_same_boxes(tmp_path):
    plates = samples("plates")
    tasks = []
    for source in ('coco = "instances.json"', 'voc = "voc"'):
        for name in ("instances.json", "voc", "images"):
            (tmp_path / name).unlink(missing_ok=True)
            (tmp_path / name).symlink_to(plates / name)
        (tmp_path / "task.toml").write_text(TASK.format(data=f'{source}\nimages = "images"', decode=""))
        tasks.append(load(tmp_path / "task.toml", "any"))
    by_coco, by_voc = tasks
    assert by_coco.info.samples == by_voc.info.samples == 20
    assert by_coco.info.notes == by_voc.info.notes == []
    for index in range(20):
        assert by_coco.name(index) == by_voc.name(index)
        one, other = by_coco.part.truth(index), by_voc.part.truth(index)
        assert one.classes.tolist() == other.classes.tolist()
        assert one.corners == pytest.approx(
            other.corners, abs=0.011
        )  # the files round to 0.01 pixels, each its own way


def test_fastestdet_reproduces_its_known_figures(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = samples("detect_coco", "FastestDet.onnx")
    for name in ("instances.json", "images"):
        (tmp_path / name).symlink_to(samples("detect_coco", name))
    shutil.copy(Path(__file__).parent / "data" / "tasks" / "fastestdet.toml", tmp_path / "task.toml")
    task = load(tmp_path / "task.toml", "FastestDet")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())
    answers = {
        index: task.finish(index, session.run(None, {name: task.prepare(index)[0]}))
        for index in range(task.info.samples)
    }
    values = {name: evidence.value() for name, evidence in task.evidence(answers).items()}
    expected = json.loads(samples("detect_coco", "expected.json").read_text())["results"]["FastestDet.onnx"]
    assert task.info.samples == 38
    assert values == pytest.approx({name.lower(): value for name, value in expected.items()}, abs=0.005)
