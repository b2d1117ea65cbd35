"""Classification and regression: datasets, calibration, bad input; and the sample data's known scores."""

import csv
import hashlib
import json
import shutil
import weakref

import cv2
import numpy as np
import pytest

from whichpu.errors import UserError
from whichpu.models import inputs
from whichpu.tasks import BadSample, datasets, images, load, prepared
from whichpu.worker.wire import TensorSpec

PICTURES = """
kind = "classification"
[data]
pictures = "pictures"
[preprocess]
colour = "gray"
"""


def draw(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((2, 3, 3), shade, np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Ten pictures: five cats, three dogs, two eels."""
    for number, kind in enumerate(["cat"] * 5 + ["dog"] * 3 + ["eel"] * 2):
        draw(tmp_path / "pictures" / kind / f"{number}.png", 10 * number)
    return tmp_path


def task_of(folder, text=PICTURES):
    (folder / "task.toml").write_text(text)
    return load(folder / "task.toml", "any")


def scores(*classes, count=10):
    """An output whose classes rank in this order."""
    output = np.zeros((1, count), np.float32)
    output[0, list(classes)] = np.arange(len(classes), 0, -1)
    return [output]


# ---------------------------------------------------------------- pictures


def test_folders_are_classes_in_the_order_of_their_names(folder):
    task = task_of(folder)
    assert [task.name(index) for index in (0, 9)] == ["cat/0.png", "eel/9.png"]
    assert [sorted(task.right(index)) for index in (0, 5, 9)] == [[0], [1], [2]]
    assert task.info.protocol["classes"] == "cat, dog, eel"
    assert (task.prepare(3)[0] == 30).all()
    assert task.prepare(3)[0].shape == (1, 1, 2, 3)
    answers = {index: task.finish(index, scores(1, 0, 2, count=3)) for index in range(10)}
    assert answers[0] == [1, 0, 2]
    evidence = task.evidence(answers)
    assert list(evidence) == ["top1", "top5"]
    assert (evidence["top1"].value(), evidence["top5"].value()) == (0.3, 1.0)
    shown = task.show(0, {"ours": answers[0]})
    assert (shown.truth, shown.answers) == ("cat (0)", {"ours": "dog (1)"})
    assert shown.picture.startswith("data:image/jpeg")
    assert task.same([1, 0], [1, 2])
    assert not task.same([1, 0], [0, 1])


def test_folders_named_by_numbers_are_those_classes(folder):
    shutil.move(folder / "pictures" / "cat", folder / "pictures" / "7")
    assert sorted(task_of(folder).right(0)) == [0]  # not all are numbers: by name, "7" comes first
    for name, number in (("dog", "2"), ("eel", "10")):
        shutil.move(folder / "pictures" / name, folder / "pictures" / number)
    task = task_of(folder)
    assert {min(task.right(index)) for index in range(10)} == {7, 2, 10}


def test_a_list_gives_labels_by_number_or_name_and_several_may_count(folder):
    rows = ["file,label", "cat/0.png,0|2", "dog/5.png,dog", "eel/8.png,lion", "gone.png,1", "cat/1.png,cat|eel"]
    (folder / "labels.csv").write_text("\n".join(rows))
    text = PICTURES.replace("[data]", 'classes = ["cat", "dog", "eel"]\n[data]\nlabels = "labels.csv"')
    task = task_of(folder, text)
    assert sorted(task.right(0)) == sorted(task.right(4)) == [0, 2]
    assert sorted(task.right(1)) == [1]
    assert [index for index, _ in prepared(task)] == [0, 1, 4]
    with pytest.raises(BadSample, match=r"eel/8\.png: its label 'lion' is not a known class"):
        task.prepare(2)
    with pytest.raises(BadSample, match=r"gone\.png can't be read: No such file"):
        task.prepare(3)


def test_pictures_that_cant_be_used_are_left_out_and_named(folder):
    (folder / "pictures" / "dog" / "5.png").write_bytes(b"")
    (folder / "pictures" / "cat" / "0.png").write_bytes(b"GIF89a")
    draw(folder / "pictures" / "stray.png", 0)
    task = task_of(folder)
    assert task.info.samples == 11
    assert len(list(prepared(task))) == 8
    with pytest.raises(BadSample, match=r"cat/0\.png is no picture"):
        task.prepare(0)
    with pytest.raises(BadSample, match=r"stray\.png lies in no class's folder"):
        task.prepare(10)


def test_classes_that_the_model_doesnt_know(folder):
    task = task_of(folder)
    with pytest.raises(BadSample, match=r"eel/9\.png is of class 2; the model has 2 classes"):
        task.finish(9, scores(0, count=2))
    assert task.finish(0, scores(1, count=2)) == [1, 0]
    with pytest.raises(UserError, match=r"\[1, 2, 3\] is not one score for each class"):
        task.finish(0, [np.zeros((1, 2, 3))])
    with pytest.raises(UserError, match=r"decode.output is 1; the model gives 1"):
        task_of(folder, PICTURES + "[decode]\noutput = 1").finish(0, scores(0))
    background = task_of(folder, PICTURES.replace("[data]", "classes = 3\n[data]") + "[decode]\nskip = 1")
    assert background.finish(0, scores(0, 2, 1, 3, count=4)) == [1, 0, 2]
    with pytest.raises(UserError, match="the model scores 4 classes; the task has 3"):
        background.finish(0, scores(0, count=5))


def test_equal_scores_rank_by_number(folder):
    assert task_of(folder).finish(0, [np.full((1, 1, 4, 1), 7, np.int8)]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"pictures"', '"nowhere"'), "'nowhere' is no folder"),
        (('"pictures"', '"empty"'), "has no folders with pictures"),
        (("pictures = ", "picture = "), r"\[data\] names no source"),
        (("[data]", '[data]\nnpz = "x.npz"'), "pictures and npz"),
        (("[data]", '[data]\nlabels = "gone.csv"'), "can't read"),
        (("[data]", '[data]\nlabels = "wrong.csv"'), "has no column 'file'"),
        (("[data]", '[data]\nlabels = "words.csv"'), "no sample can be used, such as cat/0.png: its label 'cat'"),
        (("[data]", "[data]\nlimit = 0"), "limit"),
        (("[data]", "[data]\nnonsense = 1"), "nonsense"),
        (("[preprocess]", "[preprocess]\nnonsense = 1"), "nonsense"),
        (('"gray"', '"grey"'), "grey"),
        (("[data]", "classes = 0\n[data]"), "classes"),
        (("[data]", 'classes = "gone.txt"\n[data]'), "can't read the classes' names"),
        (("[data]", "classes = []\n[data]"), "classes names none"),
        (("[data]", 'metric = "top3"\n[data]'), "top3"),
        (("[data]", '[calibration]\npictures = "pictures"\n[data]'), "10 samples of the calibration part are scored"),
        (("[data]", "[calibration]\nfraction = 1.5\n[data]"), "fraction"),
        (("[data]", "[calibration]\nfraction = 0.999\n[data]"), "can't be divided so"),
    ],
)
def test_a_task_that_is_wrong_says_where(folder, change, says):
    (folder / "empty").mkdir()
    (folder / "wrong.csv").write_text("name,label\na,1\n")
    (folder / "words.csv").write_text("file,label\ncat/0.png,cat\n")
    with pytest.raises(UserError, match=says):
        task_of(folder, PICTURES.replace(*change))


# ---------------------------------------------------------------- parts


def test_a_limit_is_spread_over_all_classes(folder):
    task = task_of(folder, PICTURES.replace("[data]", "[data]\nlimit = 5"))
    assert [task.name(index) for index in range(5)] == [
        "cat/1.png", "cat/3.png", "dog/5.png", "dog/7.png", "eel/9.png",
    ]  # fmt: skip


def test_calibration_takes_its_samples_out_of_the_scored_ones(folder):
    divided = "[calibration]\nfraction = 0.3\nseed = {}\n[data]"
    task = task_of(folder, PICTURES.replace("[data]", divided.format(1)))
    assert task.info.samples == 7
    scored = {float(task.prepare(index)[0].max()) for index in range(7)}
    calibrating = {float(inputs[0].max()) for inputs in task.calibration(100, 0)}
    assert len(calibrating) == 3
    assert not scored & calibrating
    assert len(list(task.calibration(2, 0))) == 2
    drawn = [[float(inputs[0].max()) for inputs in task.calibration(3, seed)] for seed in (5, 5, 6, 7, 8)]
    assert drawn[0] == drawn[1]
    assert len({tuple(order) for order in drawn}) > 1
    other = task_of(folder, PICTURES.replace("[data]", divided.format(2)))
    assert other.info.protocol_sha256 != task.info.protocol_sha256


def test_calibration_from_a_folder_of_its_own_is_no_part_of_the_protocol(folder):
    plain = task_of(folder)
    for number in range(4):
        draw(folder / "more" / "cat" / f"{number}.png", 200 + number)
    (folder / "more" / "cat" / "bad.png").write_bytes(b"")
    task = task_of(folder, PICTURES.replace("[data]", '[calibration]\npictures = "more"\n[data]'))
    assert task.info == plain.info
    assert {float(inputs[0].max()) for inputs in task.calibration(100, 0)} == {200, 201, 202, 203}
    with pytest.raises(UserError, match="no samples for calibration"):
        next(plain.calibration(1, 0))


def test_the_protocol_covers_pictures_labels_and_steps_but_no_names(folder):
    first = task_of(folder).info
    shutil.move(folder / "pictures", folder / "moved")
    assert task_of(folder, PICTURES.replace('"pictures"', '"moved"')).info == first
    shutil.move(folder / "moved", folder / "pictures")
    changes = {
        "preprocess.colour": ('"gray"', '"bgr"'),
        "data.limit": ("[data]", "[data]\nlimit = 9"),
        "metric": ("[data]", 'metric = "top5"\n[data]'),
    }
    for field, change in changes.items():
        other = task_of(folder, PICTURES.replace(*change)).info
        assert other.protocol_sha256 != first.protocol_sha256
        assert field in {name for name, value in other.protocol.items() if first.protocol.get(name) != value}
    shutil.move(folder / "pictures" / "cat" / "0.png", folder / "pictures" / "dog" / "0.png")
    assert task_of(folder).info.protocol["data.sha256"] != first.protocol["data.sha256"]


# ---------------------------------------------------------------- arrays

ARRAYS = """
kind = "regression"
unit = "mm"
[data]
npz = "data.npz"
truth = "y"
"""


@pytest.fixture
def arrays(tmp_path):
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((6, 1, 4)).astype(np.float32), generator.standard_normal((6, 2))
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path, x, y


def test_regression_is_scored_in_the_datas_unit(arrays):
    folder, x, y = arrays
    task = task_of(folder, ARRAYS)
    np.testing.assert_array_equal(task.prepare(4)[0], x[4])
    answers = {index: task.finish(index, [(y[index] + [3, 0])[np.newaxis]]) for index in range(6)}
    evidence = task.evidence(answers)
    assert list(evidence) == ["rmse", "mae"]
    assert evidence["rmse"].value() == pytest.approx(np.sqrt(9 / 2))
    assert evidence["mae"].value() == pytest.approx(1.5)
    assert task.info.better == "lower"
    scaled = task_of(folder, ARRAYS + "[decode]\nstd = 10\nmean = [1, 2]")
    np.testing.assert_allclose(scaled.finish(0, [np.array([[0.5, 0.25]])]), [6, 4.5])
    with pytest.raises(UserError, match="gives 3 numbers a sample; the truth has 2"):
        task.finish(0, [np.zeros((1, 3))])
    assert task.same(np.array([1.0, 100.0]), np.array([1.05, 100.0]))
    assert not task.same(np.array([1.0, 100.0]), np.array([1.2, 100.0]))
    assert task.show(0, {"ours": np.array([1.0, 2.0])}).answers == {"ours": "1, 2 mm"}


def test_arrays_are_read_row_by_row_and_compressed_ones_are_the_same(arrays):
    folder, x, y = arrays
    plain = task_of(folder, ARRAYS)
    assert isinstance(plain.part.whole.inputs[0], np.memmap)
    np.savez_compressed(folder / "data.npz", x=x, y=y)
    packed = task_of(folder, ARRAYS)
    assert not isinstance(packed.part.whole.inputs[0], np.memmap)
    assert packed.info == plain.info
    np.savez(folder / "data.npz", x=np.asfortranarray(x), y=y)
    turned = task_of(folder, ARRAYS)
    np.testing.assert_array_equal(turned.prepare(5)[0], x[5])
    assert turned.info == plain.info


def test_numbers_of_pre_processing_hold_for_arrays_too(arrays):
    folder, x, _ = arrays
    task = task_of(folder, ARRAYS + "[preprocess]\nscale = 2\nmean = 1")
    np.testing.assert_allclose(task.prepare(0)[0], x[0] / 2 - 1, rtol=1e-6)
    with pytest.raises(UserError, match="colour"):
        task_of(folder, ARRAYS + '[preprocess]\ncolour = "rgb"')


def test_arrays_may_be_classified_and_pictures_regressed(folder):
    np.savez(folder / "data.npz", x=np.zeros((3, 1, 4), np.float32), label=np.array([2, 0, 1]))
    text = 'kind = "classification"\n[data]\nnpz = "data.npz"\ntruth = "label"\n'
    task = task_of(folder, text)
    answers = {index: task.finish(index, scores(2, 0)) for index in range(3)}
    assert task.evidence(answers)["top1"].value() == pytest.approx(1 / 3)
    (folder / "ages.csv").write_text("file,label\ncat/0.png,12.5\ncat/1.png,old\n")
    text = 'kind = "regression"\nunit = "years"\n[data]\npictures = "pictures"\nlabels = "ages.csv"\n'
    task = task_of(folder, text)
    assert task.evidence({0: task.finish(0, [np.array([[13.0]])])})["rmse"].value() == 0.5
    with pytest.raises(BadSample, match=r"cat/1\.png: its label 'old' is no number"):
        task.prepare(1)


def test_archives_that_are_none(arrays):
    folder, x, y = arrays
    path = folder / "data.npz"
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"data\.npz"):
            task_of(folder, ARRAYS)
    for made, says in (
        ({"x": x}, "holds no array 'y'"),
        ({"y": y}, "no array but the truth"),
        ({"x": x[:5], "y": y}, "different numbers of samples"),
        ({"x": np.float32(3), "y": y}, "different numbers of samples"),
        ({"x": x[:0], "y": y[:0]}, "its dataset is empty"),
        ({"x": x, "y": np.array([{}] * 6, dtype=object)}, "Python objects"),
    ):
        np.savez(path, **made)
        with pytest.raises(UserError, match=says):
            task_of(folder, ARRAYS)
    path.unlink()
    with pytest.raises(UserError, match="can't read"):
        task_of(folder, ARRAYS)


def test_pictures_are_decoded_when_they_are_asked_for_and_not_kept(folder, monkeypatch):
    read, alive = images.read, []

    def watched(path, name=None):
        alive.append(weakref.ref(picture := read(path, name)))
        return picture

    monkeypatch.setattr(images, "read", watched)
    task = task_of(folder)
    assert alive == []
    for _ in prepared(task):
        assert sum(reference() is not None for reference in alive) <= 1
    assert len(alive) == 10


def test_the_hash_of_many_samples_is_that_of_all_in_order():
    class Many:
        def __len__(self):
            return 2500

        def digest(self, index):
            return index.to_bytes(4, "big")

    together = b"".join(index.to_bytes(4, "big") for index in range(2500))
    assert datasets.sha256(Many()) == hashlib.sha256(together).hexdigest()


# ---------------------------------------------------------------- the sample data


def through_onnxruntime(task, model):
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return {index: task.finish(index, session.run(None, {name: inputs[0]})) for index, inputs in prepared(task)}


def through_litert(task, model, order=None, afresh=True):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(model))
    interpreter.allocate_tensors()
    feed, read = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = {}
    for index in order or range(task.info.samples):
        if afresh:
            interpreter.reset_all_variables()
        interpreter.set_tensor(feed, task.prepare(index)[0])
        interpreter.invoke()
        answers[index] = task.finish(index, [interpreter.get_tensor(read)])
    return answers


@pytest.mark.parametrize("model", ["mnist.onnx", "mnist_int8_qdq.onnx"])
def test_digits_score_what_is_expected(shared_data, task_file, model):
    task = load(task_file("digits"), model)
    expected = json.loads((shared_data / "digits" / "expected.json").read_text())["results"][model]
    answers = through_onnxruntime(task, shared_data / "digits" / model)
    assert task.evidence(answers)["top1"].value() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("form", ["float", "int8"])
def test_the_lstm_scores_what_is_expected_where_its_state_is_kept_and_more_where_it_starts_afresh(
    shared_data, task_file, form
):
    """The expected 0.926 comes from a state carried from digit to digit, in the order of the digits' numbers."""
    model = shared_data / "digits" / f"mnist_lstm_{form}.tflite"
    task = load(task_file(f"digits_lstm_{form}"), model.stem)
    by_number = sorted(range(task.info.samples), key=lambda index: task.name(index).split("/")[1])
    carried = task.evidence(through_litert(task, model, by_number, afresh=False))["top1"].value()
    expected = json.loads((shared_data / "digits" / "expected.json").read_text())["results"][model.name]
    assert carried == pytest.approx(expected, abs=0.0021)
    assert task.evidence(through_litert(task, model))["top1"].value() == pytest.approx(0.976, abs=0.0021)


def test_mobilenet_ranks_what_is_expected(shared_data, task_file):
    task = load(task_file("mobilenet"), "mobilenet")
    expected = json.loads((shared_data / "tflite_int8" / "expected.json").read_text())
    answers = through_litert(task, shared_data / "tflite_int8" / "mobilenet_v1_0.25_128_quant.tflite")
    assert [[task.name(index), ranked] for index, ranked in answers.items()] == [
        [file, ranked] for file, _, ranked in expected["top5"]
    ]
    evidence = task.evidence(answers)
    assert (evidence["top1"].value(), evidence["top5"].value()) == (expected["top1"], expected["top5_hit"])
    assert (evidence["top1"].value(), evidence["top5"].value()) == (6 / 8, 7 / 8)


def test_resnet_gives_the_patterns_outputs(shared_data, tmp_path):
    """A conformance test as a task: an input of known bytes, the stored outputs as the truth."""
    stored = json.loads((shared_data / "int8_qdq" / "expected_patterns.json").read_text())["results"]
    pattern = (37 * np.arange(32 * 32 * 3) % 256).reshape(1, 1, 32, 32, 3)
    for model, x, decode in (
        ("resnet8_cifar10_float.onnx", (pattern - 128) / np.float32(128), 1e-5),
        ("resnet8_cifar10_int8_qdq.onnx", (pattern - 128).astype(np.int8), 0),
    ):
        truth = np.array([stored[model][0][0]["first8"]])
        np.savez(tmp_path / "data.npz", x=x.astype(np.float32 if decode else np.int8), y=truth)
        task = task_of(tmp_path, ARRAYS)
        session = pytest.importorskip("onnxruntime").InferenceSession(shared_data / "int8_qdq" / model)
        output = session.run(None, {session.get_inputs()[0].name: task.prepare(0)[0]})[0]
        answer = task.finish(0, [output.reshape(-1)[:8]])
        assert task.evidence({0: answer})["rmse"].value() <= decode


def test_the_list_and_the_folders_of_the_digits_are_the_same_dataset(shared_data, task_file):
    path = task_file("digits")
    with (shared_data / "digits" / "labels.csv").open() as file:
        rows = [row["file"] for row in csv.DictReader(file)]
    by_folder = load(path, "any")
    listed = path.read_text().replace('"digits/images"', '"digits"\nlabels = "digits/labels.csv"')
    path.write_text(listed)
    by_list = load(path, "any")
    assert [by_list.name(index) for index in range(500)] == rows
    assert by_list.info.protocol["data.sha256"] == by_folder.info.protocol["data.sha256"]


# ---------------------------------------------------------------- a model that takes other shapes


def spec(*shape):
    return [TensorSpec("x", "float32", list(shape))]


def test_pictures_of_other_sizes_are_passed_over_and_another_model_is_refused(folder):
    draw_size(folder / "pictures" / "cat" / "0.png", 5, 5)
    task = task_of(folder)
    indices, (stacked,) = inputs.of_task(prepared(task), spec(1, 1, 2, 3), 4, "digits")
    assert indices == [1, 2, 3] and stacked.shape == (3, 1, 1, 2, 3)
    with pytest.raises(UserError, match="samples of digits become 1x1x5x5 for 'x'; the model takes 1x3x9x9") as found:
        inputs.of_task(prepared(task), spec(1, 3, 9, 9), 4, "digits")
    assert "[preprocess]" in found.value.remedy


def test_when_the_first_samples_are_of_other_sizes_later_ones_are_taken(folder):
    for number in range(5):
        draw_size(folder / "pictures" / "cat" / f"{number}.png", 5, 5)
    indices, _ = inputs.of_task(prepared(task_of(folder)), spec(1, 1, 2, 3), 4, "digits")
    assert indices == [5, 6, 7, 8]


def test_a_misspelt_source_is_told(folder):
    with pytest.raises(UserError, match=r"names no source \(it has: pictuers\)"):
        task_of(folder, PICTURES.replace("pictures =", "pictuers ="))


def draw_size(path, height, width):
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))
