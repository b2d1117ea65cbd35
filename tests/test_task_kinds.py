"""Tasks on texts, masks, clouds, sequences with carried state, and in the user's own Python."""

import base64
import itertools
import re
import struct
import sys
import time
import wave
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from whichpu.campaign import application
from whichpu.errors import UserError
from whichpu.targets import local
from whichpu.tasks import BadSample, inferences, load, recurrent
from whichpu.tasks.datasets import masks, points, wav
from whichpu.tasks.points import chamfer, chosen
from whichpu.tasks.preprocess import Geometry
from whichpu.tasks.recognition import best, edits
from whichpu.tasks.segmentation import UNSEEN, Decode, MeanIoU, classes_of
from whichpu.worker import wire

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the sample data are not beside this repository")


def task_of(folder, text):
    (folder / "task.toml").write_text(text)
    return load(folder / "task.toml", "any")


def values(task, answers):
    return {name: evidence.value() for name, evidence in task.evidence(answers).items()}


def picture(path, pixels):
    cv2 = pytest.importorskip("cv2")
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), pixels)


# ---------------------------------------------------------------- texts

SLOTS = """
kind = "recognition"
[data]
pictures = "pictures"
labels = "labels.csv"
[preprocess]
layout = "nhwc"
dtype = "uint8"
[decode]
how = "slots"
alphabet = "AB_"
blank = "_"
"""


def one_hot(text, alphabet):
    return np.eye(len(alphabet), dtype=np.float32)[[alphabet.index(sign) for sign in text]][np.newaxis]


@pytest.fixture
def plates(tmp_path):
    for name in ("1", "2", "3"):
        picture(tmp_path / "pictures" / f"{name}.png", np.full((4, 6, 3), 200, np.uint8))
    (tmp_path / "labels.csv").write_text("file,text\n1.png,AB\n2.png,BBA\n")
    return tmp_path


def test_texts_by_hand(plates):
    task = task_of(plates, SLOTS)
    assert task.prepare(0)[0].shape == (1, 4, 6, 3)
    answers = {0: task.finish(0, [one_hot("A_B_", "AB_")]), 1: task.finish(1, [one_hot("AB__", "AB_")])}
    assert answers == {0: "AB", 1: "AB"}
    assert values(task, answers) == {"exact": 0.5, "cer": 2 / 5}  # BBA from AB: one put in, one replaced
    assert task.info.better == "higher"
    assert list(task_of(plates, 'metric = "cer"\n' + SLOTS).evidence(answers)) == ["cer", "exact"]
    assert task.show(0, {"ours": "AB"}).picture.startswith("data:image/jpeg")


def test_ctc_collapses_repeats_between_blanks(plates):
    ctc = SLOTS.replace('"slots"', '"ctc"').replace('"_"\n', "-1\n")
    task = task_of(plates, ctc)
    assert task.finish(0, [one_hot("_AA_A_BB", "AB_")]) == "AAB"
    assert task.finish(0, [one_hot("___", "AB_")]) == ""
    time_first = one_hot("AAB_", "AB_").transpose(1, 0, 2)  # [steps, 1, classes]
    assert task.finish(0, [time_first]) == "AB"
    assert task.finish(0, [one_hot("AAB_", "AB_").transpose(0, 2, 1)]) == "AB"  # [1, classes, steps]
    assert task.finish(0, [np.array([[0, 0, 1, 2]])]) == "AB"


def test_signs_that_do_not_count(plates):
    (plates / "labels.csv").write_text("file,text\n1.png,a-B\n2.png,bba\n")
    task = task_of(plates, SLOTS + 'ignore = "-"\nignore_case = true\n')
    assert values(task, {0: "AB", 1: "BBA"}) == {"exact": 1.0, "cer": 0.0}
    assert task.same("a-b", "AB")
    task.prepare(0)


def test_an_alphabet_from_a_file(plates):
    (plates / "signs.txt").write_text("_\nA\nB\n\n", encoding="utf-8")
    text = SLOTS.replace('alphabet = "AB_"', 'alphabet_file = "signs.txt"').replace('blank = "_"', "blank = 0")
    task = task_of(plates, text)
    assert task.finish(0, [one_hot("A_ B", "_AB ")]) == "A B"
    assert task.info.protocol["decode.alphabet"] == "_AB "  # what it holds counts, not where it lies


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"AB_"', '"AAB_"'), "the alphabet has 'A' twice"),
        (('blank = "_"', 'blank = "-"'), "decode.blank = '-' is no sign or class"),
        (('blank = "_"', "blank = 3"), "decode.blank = 3 is no sign or class"),
        (('alphabet = "AB_"\n', ""), "alphabet or alphabet_file"),
        (("labels.csv", "nothing.csv"), "can't read"),
        (('"pictures"', '"nowhere"'), "'nowhere' is no folder"),
        (('"labels.csv"', '"labels.csv"\ntext = "plate"'), "has no column 'plate'"),
        (("[data]", "metric = 'top1'\n[data]"), "is none of this kind"),
    ],
)
def test_bad_recognition_tasks(plates, change, says):
    with pytest.raises(UserError, match=re.escape(says)):
        task_of(plates, SLOTS.replace(*change))


def test_labels_that_contradict_each_other(plates):
    (plates / "labels.csv").write_text("file,text\n1.png,AB\n1.png,BA\n")
    with pytest.raises(UserError, match=r"gives 1.png two texts"):
        task_of(plates, SLOTS)


def test_bad_pictures_and_labels_are_left_out_by_name(plates):
    (plates / "labels.csv").write_text("file,text\n1.png,AC\n2.png,AB\n9.png,A\n")
    (plates / "pictures" / "2.png").write_bytes(b"\x89PNG nonsense")
    task = task_of(plates, SLOTS)
    said = []
    for index in range(task.info.samples):
        with pytest.raises(BadSample) as problem:
            task.prepare(index)
        said.append(str(problem.value))
    assert "'AC' has 'C', the alphabet none" in said[0]
    assert "2.png is no picture" in said[1]
    assert "9.png can't be read" in said[2]
    assert said[3] == "3.png has no text in the list of labels"


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (np.zeros((1, 9, 37), np.float32), "an output [1, 9, 37] has no axis of 3 classes"),
        (np.zeros((2, 9, 3), np.float32), "has no axis of 3 classes"),
        (np.array([[0, 5]]), "names classes 0 to 5; the alphabet has 3"),
    ],
)
def test_an_alphabet_that_does_not_fit_the_output(output, says):
    with pytest.raises(UserError, match=re.escape(says)):
        best(output, 3)


def test_an_output_that_is_not_there(plates):
    with pytest.raises(UserError, match=r"decode.output is 1; the model gives 1 outputs"):
        task_of(plates, SLOTS + "output = 1\n").finish(0, [one_hot("A", "AB_")])


@given(some.text("ab", max_size=6), some.text("ab", max_size=6))
def test_edits_are_a_distance(ours, theirs):
    found = edits(ours, theirs)
    assert found == edits(theirs, ours)
    assert (found == 0) == (ours == theirs)
    assert abs(len(ours) - len(theirs)) <= found <= max(len(ours), len(theirs))


def test_edits_of_a_known_pair():
    assert edits("kitten", "sitting") == 3


@needs_shared
def test_the_plate_reader_reads_both_plates(tmp_path):
    pytest.importorskip("cv2")
    onnxruntime = pytest.importorskip("onnxruntime")
    ocr = SHARED / "plates" / "ocr"
    text = f"""
kind = "recognition"
[data]
pictures = "{ocr}"
labels = "{ocr / "labels.csv"}"
[preprocess]
resize = {{ size = [64, 128] }}
layout = "nhwc"
dtype = "uint8"
[decode]
how = "slots"
alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
blank = "_"
"""
    task = task_of(tmp_path, text)
    session = onnxruntime.InferenceSession(str(ocr / "cct_xs_v1_global.onnx"), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    answers = {index: task.finish(index, session.run(None, {name: task.prepare(index)[0]})) for index in range(2)}
    assert answers == {0: "AD799KB", 1: "KRW301"}
    assert values(task, answers) == {"exact": 1.0, "cer": 0.0}


# ---------------------------------------------------------------- masks

MASKS = """
kind = "segmentation"
[data]
pictures = "pictures"
masks = "masks"
[preprocess]
[decode]
classes = 3
layout = "hw"
"""


@pytest.fixture
def street(tmp_path):
    for name, mask in (("a", [[0, 1], [1, 255]]), ("b", [[2, 2], [2, 2]])):
        picture(tmp_path / "pictures" / f"{name}.png", np.zeros((2, 2, 3), np.uint8))
        picture(tmp_path / "masks" / f"{name}.png", np.array(mask, np.uint8))
    return tmp_path


def test_miou_by_hand(street):
    task = task_of(street, MASKS)
    answers = {
        0: task.finish(0, [np.array([[[0, 1], [0, 2]]])]),  # the last pixel does not count
        1: task.finish(1, [np.array([[[2, 2], [2, 1]]])]),
    }
    # Class 0: 1 of 2; class 1: 1 of 3; class 2: 3 of 4.
    assert values(task, answers) == pytest.approx({"miou": (1 / 2 + 1 / 3 + 3 / 4) / 3, "pixel-accuracy": 5 / 7})
    assert values(task, {0: answers[0]}) == pytest.approx({"miou": (1 / 2 + 1 / 2) / 2, "pixel-accuracy": 2 / 3})
    assert not task.same(answers[0], answers[1])
    assert task.same(answers[0], task.finish(0, [np.array([[0, 1], [0, 2]], np.float32)]))
    shown = task.show(0, {"ours": answers[0]})
    assert "66.7 % of the pixels right" in shown.answers["ours"]
    content = base64.b64decode(shown.picture.partition(",")[2])
    assert content[:2] == b"\xff\xd8"


def test_weights_are_repeated_samples():
    tallies = np.random.default_rng(0).integers(0, 9, (5, 3, 4))
    tallies[:, 0] = tallies.min(axis=1)
    drawn = np.array([0, 2, 2, 4, 4])
    weights = np.bincount(drawn, minlength=5).astype(float)
    assert MeanIoU(tallies).value(weights) == pytest.approx(MeanIoU(tallies[drawn]).value())
    assert MeanIoU(tallies).values(np.stack([weights, np.ones(5)])) == pytest.approx(
        [MeanIoU(tallies).value(weights), MeanIoU(tallies).value()]
    )
    assert np.isnan(MeanIoU(tallies).value(np.zeros(5)))


def test_scores_in_both_layouts_and_one_score_a_pixel():
    scores = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
    whole = Geometry((4, 5), (4, 5))
    expected = scores[0].argmax(axis=0)
    assert (classes_of(scores, Decode(classes=3), whole) == expected).all()
    assert (classes_of(scores.transpose(0, 2, 3, 1), Decode(classes=3, layout="hwc"), whole) == expected).all()
    above = Decode(classes=2, layout="hw", above=0.0)
    assert (classes_of(scores[:, :1], above, whole) == (scores[0, 0] > 0)).all()


def test_a_small_output_is_brought_to_the_masks_size():
    pytest.importorskip("cv2")
    output = np.array([[[0, 1], [2, 1]]])
    geometry = Geometry((4, 4), (8, 8), 2.0, 2.0)
    nearest = classes_of(output, Decode(classes=3, layout="hw"), geometry)
    assert nearest.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 1, 1], [2, 2, 1, 1]]
    slope = np.array([[[0.0, 1.0]]], np.float32)  # a score that rises from left to right
    for above, expected in ((0.3, [0, 0, 0, 1, 1, 1, 1, 1]), (0.7, [0, 0, 0, 0, 0, 1, 1, 1])):
        decode = Decode(classes=2, layout="hw", above=above, by="linear")
        # Centres of eight pixels in an output of two: 0, 0, 1/8, 3/8, 5/8, 7/8, 1, 1.
        assert classes_of(slope, decode, Geometry((1, 8), (1, 8))).tolist() == [expected]


def test_letterbox_and_crop_are_undone(tmp_path):
    mask = np.arange(8, dtype=np.uint8).reshape(2, 4) % 3
    picture(tmp_path / "pictures" / "a.png", np.zeros((2, 4, 3), np.uint8))
    picture(tmp_path / "masks" / "a.png", mask)
    boxed = task_of(tmp_path, MASKS.replace("[decode]", 'resize = {size = [8, 8], how = "letterbox"}\n[decode]'))
    output = np.zeros((8, 8), np.int64)
    output[2:6] = np.repeat(np.repeat(mask, 2, 0), 2, 1)  # where the picture lies; bars above and below
    assert values(boxed, {0: boxed.finish(0, [output])})["pixel-accuracy"] == 1
    cropped = task_of(tmp_path, MASKS.replace("[decode]", 'resize = {size = [2, 2], how = "crop"}\n[decode]'))
    answer = cropped.finish(0, [mask[:, 1:3].astype(np.int64)])
    assert (answer.classes()[:, [0, 3]] == UNSEEN).all()
    assert answer.tally[1].sum() == 4
    assert values(cropped, {0: answer})["miou"] == 1


def png_with_palette(path, indices, palette):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    high, wide = indices.shape
    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    head = struct.pack(">IIBBBBB", wide, high, 8, 3, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"PLTE", palette.tobytes())
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_a_palettes_places_are_classes(tmp_path):
    pytest.importorskip("cv2")
    palette = np.zeros((256, 3), np.uint8)
    palette[[1, 2, 255]] = (128, 0, 0), (0, 128, 0), (224, 224, 192)  # the rest black, as class 0
    indices = np.array([[0, 1, 2], [255, 2, 1]], np.uint8)
    png_with_palette(tmp_path / "mask.png", indices, palette)
    assert (masks.read(tmp_path / "mask.png") == indices).all()


def test_values_of_masks_become_classes(street):
    task = task_of(street, MASKS + 'values = {"1" = 0, "2" = 2}\n')
    answer = task.finish(0, [np.array([[0, 0], [1, 0]])])
    assert answer.tally.tolist() == [[1, 0, 0], [2, 0, 0], [1, 1, 0]]


def test_bad_masks_are_left_out_by_name(street):
    picture(street / "masks" / "a.png", np.zeros((3, 2), np.uint8))
    picture(street / "masks" / "b.png", np.full((2, 2), 7, np.uint8))
    picture(street / "pictures" / "c.png", np.zeros((2, 2, 3), np.uint8))
    picture(street / "pictures" / "d.png", np.zeros((2, 2, 3), np.uint8))
    picture(street / "masks" / "d.png", np.zeros((2, 2, 3), np.uint8))
    picture(street / "masks" / "e.png", np.zeros((2, 2), np.uint8))
    task = task_of(street, MASKS)
    said = []
    for index in range(task.info.samples):
        with pytest.raises(BadSample) as problem:
            task.prepare(index)
        said.append(str(problem.value))
    assert said == [
        "a.png and its mask have unequal sizes: 2x2 and 2x3",
        "the mask of b.png holds class 7; the task has 0 to 2",
        "c.png has no mask",
        "d.png has 3 channels; a mask holds one number a pixel, gray or palette",
        "e has no photograph",
    ]


def test_a_list_chooses_samples(street):
    (street / "val.txt").write_text("b\n")
    task = task_of(street, MASKS.replace('masks = "masks"', 'masks = "masks"\nlist = "val.txt"'))
    assert [task.name(index) for index in range(task.info.samples)] == ["b.png"]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (np.zeros((1, 3, 2, 2), np.float32), "does not hold one value a pixel in the layout hw"),
        (np.full((2, 2), 0.5, np.float32), "the output holds 0.5 to 0.5: not the classes 0 to 2"),
        (np.full((2, 2), 3), "not the classes 0 to 2"),
    ],
)
def test_outputs_that_are_no_class_map(street, output, says):
    with pytest.raises(UserError, match=re.escape(says)):
        task_of(street, MASKS).finish(0, [output])


def test_scores_of_another_number_of_classes():
    with pytest.raises(UserError, match=r"does not hold 4 classes in the layout chw"):
        classes_of(np.zeros((1, 3, 2, 2)), Decode(classes=4), Geometry((2, 2), (2, 2)))


# ---------------------------------------------------------------- clouds

CLOUDS = """
kind = "points"
unit = "m2"
[data]
clouds = "clouds"
[preprocess]
points = 4
"""


@pytest.fixture
def clouds(tmp_path):
    (tmp_path / "clouds").mkdir()
    corners = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 4]], float)
    np.savez(tmp_path / "clouds" / "a.npz", points=corners, colours=corners)
    (tmp_path / "clouds" / "b.xyz").write_text("# x y z\n0 0 0 9\n2,0,0,9\n")
    return tmp_path


def test_a_network_that_gives_back_its_cloud_is_perfect(clouds):
    for layout, batch in itertools.product(("n3", "3n"), ("true", "false")):
        text = CLOUDS + f'layout = "{layout}"\nbatch = {batch}\n[decode]\nlayout = "{layout}"\n'
        task = task_of(clouds, text)
        answers = {index: task.finish(index, task.prepare(index)) for index in range(2)}
        assert values(task, answers) == pytest.approx({"chamfer": 0, "chamfer-l1": 0}, abs=1e-6)
        assert task.same(answers[0], answers[0]) and not task.same(answers[0], answers[1])
    assert task.info.better == "lower"
    assert "4 points" in task.show(0, answers).truth


def test_distances_are_in_the_datas_unit(clouds):
    task = task_of(clouds, CLOUDS)
    moved = task.prepare(1)[0] + np.float32([0, 1, 0])  # one radius aside, which is 1 here
    assert np.abs(task.prepare(1)[0]).max() == pytest.approx(1)
    assert values(task, {1: task.finish(1, [moved])}) == pytest.approx({"chamfer": 2, "chamfer-l1": 1})
    plain = task_of(clouds, CLOUDS + 'centre = false\nscale = "none"\n')
    assert sorted(plain.prepare(0)[0][0].sum(axis=1)) == [0, 4, 4, 4]


def test_chamfer_is_what_its_definition_says():
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(7, 3)), random.normal(size=(5, 3))
    apart = np.linalg.norm(ours[:, np.newaxis] - theirs, axis=2)
    there, back = apart.min(axis=1), apart.min(axis=0)
    expected = (there**2).mean() + (back**2).mean(), (there.mean() + back.mean()) / 2
    assert chamfer(ours, theirs) == pytest.approx(expected)
    assert chamfer(theirs, ours) == pytest.approx(expected)


@given(some.integers(1, 9), some.integers(1, 30))
def test_points_are_drawn_evenly(count, wanted):
    drawn = np.bincount(chosen(count, wanted, 0), minlength=count)
    assert drawn.sum() == wanted and drawn.max() - drawn.min() <= 1


PLY = "ply\nformat {form} 1.0\ncomment made\nelement vertex 2\nproperty uchar red\nproperty float z\nproperty float x\n"
PLY += "property float y\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"


def test_all_formats_of_clouds(tmp_path):
    expected = [[1, 2, 3], [4, 5, 6]]
    (tmp_path / "a.ply").write_text(PLY.format(form="ascii") + "255 3 1 2\n0 6 4 5\n3 0 1 0\n")
    for name, order in (("little", "<"), ("big", ">")):
        body = b"".join(struct.pack(f"{order}Bfff", *row) for row in ((255, 3, 1, 2), (0, 6, 4, 5)))
        head = PLY.format(form=f"binary_{name}_endian").encode()
        (tmp_path / f"{name}.ply").write_bytes(head + body + b"\x03\0\0\0\0\0\0\0\0\0\0\0\0")
    np.save(tmp_path / "a.npy", np.array(expected, np.float32))
    np.savez(tmp_path / "a.npz", anything=np.array(expected))
    (tmp_path / "a.csv").write_text("1,2,3\n4,5,6\n")
    for path in tmp_path.iterdir():
        assert points.read(path).tolist() == expected, path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.xyz", "", "a.xyz holds no points"),
        ("a.xyz", "1 2\n3 4\n", "holds an array [2, 2]; a cloud is [points, 3]"),
        ("a.xyz", "1 2 3\n1 2\n", "unequal numbers of columns"),
        ("a.xyz", "1 2 x\n", "is no XYZ point cloud"),
        ("a.xyz", "1 2 nan\n", "coordinates that are no numbers"),
        ("a.npz", "nonsense", "is no NPZ point cloud"),
        ("a.ply", "ply\n", "it has no PLY header"),
        ("a.ply", PLY.format(form="ascii") + "255 3 1 2\n", "its header tells 2 vertices, it holds 1"),
        ("a.ply", PLY.format(form="binary_little_endian") + "255", "its header tells 2 vertices, it holds 0"),
        ("a.ply", PLY.format(form="ascii").replace("property float z\n", ""), "is no PLY point cloud"),
        ("a.ply", PLY.format(form="ascii").replace("element vertex 2", "element vertex 0"), "holds no points"),
        ("a.pcd", "", "is no point cloud that can be read (there are: .npz"),
    ],
)
def test_bad_clouds(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(BadSample, match=re.escape(says)):
        points.read(tmp_path / name)


def test_clouds_without_their_truth(clouds):
    (clouds / "truth").mkdir()
    (clouds / "truth" / "a.xyz").write_text("0 0 0\n")
    task = task_of(clouds, CLOUDS.replace('"clouds"', '"clouds"\ntruth = "truth"'))
    task.prepare(0)
    with pytest.raises(BadSample, match=r"b.xyz has no true cloud"):
        task.prepare(1)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (np.zeros((1, 4, 2)), "an output [1, 4, 2] is no cloud of the layout n3"),
        (np.full((1, 4, 3), np.nan), "coordinates that are no numbers"),
    ],
)
def test_outputs_that_are_no_cloud(clouds, output, says):
    with pytest.raises(UserError, match=re.escape(says)):
        task_of(clouds, CLOUDS).finish(0, [output])


def test_two_files_of_one_stem(clouds):
    (clouds / "clouds" / "a.xyz").write_text("0 0 0\n")
    with pytest.raises(UserError, match="one stem is one sample"):
        task_of(clouds, CLOUDS)


# ---------------------------------------------------------------- sound


def sound_file(path, samples, width=2, channels=1, rate=16000):
    scaled = np.round(np.asarray(samples) * 2.0 ** (8 * width - 1)).astype(np.int64)
    raw = (scaled + (128 if width == 1 else 0)).astype("<i8").reshape(-1, 1).view(np.uint8)[:, :width]
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(raw.tobytes())


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_of_all_widths(tmp_path, width):
    samples = [0.0, 0.5, -0.5, -1.0, 0.25]
    sound_file(tmp_path / "a.wav", samples, width)
    assert wav.read(tmp_path / "a.wav", 16000).tolist() == samples


def test_a_channel_is_chosen(tmp_path):
    sound_file(tmp_path / "a.wav", [0.0, 0.5, 0.25, -0.5], channels=2)
    assert wav.read(tmp_path / "a.wav", 16000, 1).tolist() == [0.5, -0.5]
    with pytest.raises(BadSample, match=r"has 2 channels; choose one"):
        wav.read(tmp_path / "a.wav", 16000)
    with pytest.raises(BadSample, match="has no channel 2"):
        wav.read(tmp_path / "a.wav", 16000, 2)


def test_bad_sounds(tmp_path):
    path = tmp_path / "a.wav"
    sound_file(path, np.zeros(100))
    whole = path.read_bytes()
    for content, says in (
        (whole[:-60], "is cut short: it holds 70 of the 100 samples"),
        (whole[:20], "ends within its header"),
        (b"ID3 nonsense", "is no WAV file of integer PCM"),
        (whole.replace(b"fmt \x10\0\0\0\1\0", b"fmt \x10\0\0\0\3\0"), "unknown format: 3"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadSample, match=re.escape(says)):
            wav.read(path, 16000)
    path.write_bytes(whole)
    with pytest.raises(BadSample, match="has 16000 samples a second; the task takes 44100"):
        wav.read(path, 44100)


def test_windows_by_hand():
    signal = np.arange(10, dtype=np.float32)
    cut = recurrent.windows(signal, recurrent.Sound(rate_hz=1, window=4, hop=3))
    assert cut.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    sine = np.sin(2 * np.pi * np.arange(16) / 4).astype(np.float32)
    magnitude = recurrent.windows(sine, recurrent.Sound(rate_hz=1, window=16, hop=16, transform="magnitude"))
    assert magnitude.shape == (1, 9) and magnitude[0].argmax() == 4 and magnitude[0, 4] == pytest.approx(8)
    power = recurrent.windows(sine, recurrent.Sound(rate_hz=1, window=16, hop=16, transform="power", taper="hann"))
    expected = np.abs(np.fft.rfft(sine * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / 15)))) ** 2
    assert power[0] == pytest.approx(expected, rel=1e-4, abs=1e-4)


# ---------------------------------------------------------------- sequences

STEPS = """
kind = "sequences"
unit = "V"
[data]
arrays = "given"
expected = "expected"
[[state]]
output = 1
input = 1
shape = [1]
"""


@pytest.fixture
def sequences(tmp_path):
    for name in ("given", "expected"):
        (tmp_path / name).mkdir()
    for stem, steps in (("a", 3), ("b", 5)):
        np.save(tmp_path / "given" / f"{stem}.npy", np.arange(steps, dtype=np.float32)[:, np.newaxis])
        np.save(tmp_path / "expected" / f"{stem}.npy", np.zeros((steps, 1), np.float32))
    return tmp_path


def test_errors_count_each_step_alike(sequences):
    task = task_of(sequences, STEPS)
    answers = {0: task.finish(0, [np.full((3, 1), 2.0)]), 1: task.finish(1, [np.full((5, 1, 1), 1.0)])}
    assert values(task, answers) == pytest.approx({"rmse": np.sqrt((3 * 4 + 5) / 8), "mae": (3 * 2 + 5) / 8})
    assert task.evidence(answers)["rmse"].value(np.array([0.0, 2.0])) == pytest.approx(1)
    assert task.same(answers[0], task.finish(0, [np.full((3, 1), 2.01)]))
    assert not task.same(answers[0], task.finish(0, [np.full((3, 1), 2.1)]))
    assert task.show(0, answers).truth == "3 steps"


def test_inputs_have_steps_and_a_state_of_zeros(sequences):
    task = task_of(sequences, STEPS)
    steps, state = task.prepare(1)
    assert steps.shape == state.shape == (5, 1) and not state.any()
    assert task.carry == {1: 1}
    assert [one[0].tolist() for one in inferences(task)] == [[0], [1], [2]]  # latency is a step's


def test_a_worker_runs_a_sequence_step_by_step(sequences, tmp_path):
    """The null backend gives back its inputs: fed back one to the other, a step's output is the next one's state."""
    task = task_of(sequences, STEPS.replace("output = 1", "output = 0"))
    given, got = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(given, **{f"input_{number}": array for number, array in enumerate(task.prepare(1))})
    specs = [wire.TensorSpec("x", "float32", [1]), wire.TensorSpec("state", "float32", [1])]
    with local.start(sys.executable, timeout_s=60, where="null") as link:
        link.ask(wire.Open("null", "cpu", "", "*", inputs=specs), wire.Opened)
        assert link.ask(wire.Infer(str(given), str(got), dict(task.carry)), wire.Inferred, 60).samples == 5
    with np.load(got) as outputs:
        assert outputs["output_0"].ravel().tolist() == [0, 1, 2, 3, 4]
        assert outputs["output_1"].ravel().tolist() == [0, 0, 1, 2, 3]


def test_the_applications_work_is_told_for_a_step(sequences, monkeypatch):
    task, prepare = task_of(sequences, STEPS), recurrent.Recurrent.prepare
    monkeypatch.setattr(recurrent.Recurrent, "prepare", lambda self, index: (time.sleep(0.04), prepare(self, index))[1])
    timed = application.timed(task, {1: [np.zeros((5, 1))]})
    assert 8e6 <= timed.prepare_ns < 30e6  # 40 ms for five steps


def test_states_do_not_calibrate(sequences):
    with pytest.raises(UserError, match="its states are not known"):
        task_of(sequences, STEPS).calibration(1, 0)


def test_calibration_is_never_scored(clouds):
    task = task_of(clouds, CLOUDS + "[calibration]\nfraction = 0.5\n")
    (sample,) = task.calibration(5, 0)
    assert task.info.samples == 1
    assert np.abs(sample[0] - task.prepare(0)[0]).max() > 0.1
    with pytest.raises(UserError, match="has no samples for calibration"):
        next(task_of(clouds, CLOUDS).calibration(1, 0))
    with pytest.raises(UserError, match="are scored too"):
        task_of(clouds, CLOUDS + '[calibration]\nclouds = "clouds"\n')


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("input = 1", "input = 2"), "number the model's inputs 0 to 1, each once"),
        (('arrays = "given"', ""), "as wav or as arrays"),
        (('arrays = "given"', 'wav = "given"'), "[sound] says how windows are made"),
        (("[[state]]", "[sound]\nrate_hz = 1\nwindow = 0\nhop = 1\n[[state]]"), "are at least 1"),
        (('"expected"\n', '"nowhere"\n'), "'nowhere' is no folder"),
    ],
)
def test_bad_sequence_tasks(sequences, change, says):
    with pytest.raises(UserError, match=re.escape(says)):
        task_of(sequences, STEPS.replace(*change))


def test_sequences_that_can_not_be_used(sequences):
    np.save(sequences / "expected" / "a.npy", np.zeros((4, 1)))
    np.savez(sequences / "given" / "c.npz", one=np.zeros(2), two=np.zeros(2))
    np.save(sequences / "expected" / "c.npy", np.zeros((2, 1)))
    task = task_of(sequences, STEPS)
    with pytest.raises(BadSample, match=r"a.npy has 3 steps, what is expected of it 4"):
        task.prepare(0)
    with pytest.raises(BadSample, match=r"c.npz holds one, two; the task names none"):
        task.prepare(2)
    shaped = task_of(sequences, STEPS.replace("[[state]]", "[steps]\nshape = [2, -1]\n[[state]]"))
    with pytest.raises(BadSample, match=r"a step of \[1\] can't take steps.shape"):
        shaped.prepare(1)
    with pytest.raises(UserError, match=r"expected is \[1\] at each of 5 steps; the model gave \[5, 2\]"):
        task.finish(1, [np.zeros((5, 2))])


DTLN = """
kind = "sequences"
[data]
wav = "sound"
expected = "expected"
expected_array = "mask_onnx"
[sound]
rate_hz = 16000
window = 512
hop = 128
transform = "magnitude"
[steps]
shape = [1, 1, 257]
[[state]]
output = 1
input = 1
shape = [1, 2, 128, 2]
"""


@needs_shared
@pytest.mark.parametrize(
    ("backend", "format", "model", "expected", "most"),
    [
        ("onnxruntime", "onnx", "dtln_model_1.onnx", "mask_onnx", 2e-6),
        ("openvino", "onnx", "dtln_model_1.onnx", "mask_onnx", 2e-6),
        ("litert", "tflite", "dtln_model_1.tflite", "mask_onnx", 2e-6),
        ("litert", "tflite", "dtln_model_1_quant.tflite", "mask_tflite_quant", 1e-5),
    ],
)
def test_the_noise_suppressors_masks(tmp_path, backend, format, model, expected, most):
    pytest.importorskip({"litert": "ai_edge_litert"}.get(backend, backend))
    for name, file in (("sound/yes.wav", "yes_1000ms.wav"), ("expected/yes.npz", "expected_yes.npz")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((SHARED / "recurrent" / file).read_bytes())
    task = task_of(tmp_path, DTLN.replace("mask_onnx", expected))
    with np.load(tmp_path / "expected" / "yes.npz") as stored:
        assert task.prepare(0)[0][:, 0, 0] == pytest.approx(stored["frames"], abs=1e-5)
    given, got = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(given, **{f"input_{number}": array for number, array in enumerate(task.prepare(0))})
    with local.start(sys.executable, timeout_s=60, where=backend) as link:
        link.ask(wire.Open(backend, "cpu", str(SHARED / "recurrent" / model), format), wire.Opened)
        link.ask(wire.Infer(str(given), str(got), dict(task.carry)), wire.Inferred, 60)
    with np.load(got) as outputs:
        answer = task.finish(0, [outputs["output_0"], outputs["output_1"]])
    assert values(task, {0: answer})["rmse"] < most
    other = task_of(tmp_path, DTLN.replace("mask_onnx", {"mask_onnx": "mask_tflite_quant"}.get(expected, "mask_onnx")))
    with np.load(got) as outputs:  # the dynamic-range model is 0.012 away on average
        away = values(other, {0: other.finish(0, [outputs["output_0"]])})
    assert away["mae"] == pytest.approx(0.0125, abs=0.001)


# ---------------------------------------------------------------- Python

OWN = 'kind = "python"\nfile = "my_task.py"\n[options]\ncount = 4\n'


def code_of_the_docs():
    page = (ROOT / "docs" / "task-kinds.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]


@pytest.fixture
def own(tmp_path):
    (tmp_path / "my_task.py").write_text(code_of_the_docs())
    return tmp_path


def test_the_docs_task_in_python_runs(own):
    task = task_of(own, OWN)
    assert task.info.samples == 4 and task.carry == {} and task.reference is None
    answers = {index: task.finish(index, [task.prepare(index)[0].sum(keepdims=True) % 2]) for index in range(4)}
    assert values(task, answers) == {"right": 1.0}
    assert task.name(1) == "sample 1" and task.same(True, True)
    assert task.show(0, {"ours": True}).answers == {"ours": "True"}
    assert not list(own.glob("__pycache__"))
    with pytest.raises(UserError, match="has no samples for calibration"):
        list(task.calibration(1, 0))


def test_source_and_options_are_in_the_protocol(own):
    first = task_of(own, OWN).info
    assert task_of(own, OWN).info.protocol_sha256 == first.protocol_sha256
    assert first.protocol["options.count"] == "4"
    assert task_of(own, OWN.replace("4", "5")).info.protocol_sha256 != first.protocol_sha256
    (own / "my_task.py").write_text(code_of_the_docs() + "\n# changed\n")
    other = task_of(own, OWN).info
    assert {name for name in other.protocol if other.protocol[name] != first.protocol[name]} == {"source"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("import numpy", "import nampy"), "my_task.py, line 1: ModuleNotFoundError: No module named 'nampy'"),
        (("class Parity:", "class Parity"), "my_task.py, line 7: SyntaxError"),
        (("return Parity(count)", "return count / 0"), "ZeroDivisionError: division by zero"),
        (("return Parity(count)", "return 5"), "what make() gives back has no info"),
        (("def make", "def made"), "has no function make"),
        (("TaskInfo(", "dict("), "info is a dict"),
        (("def make(folder, count)", "def make(folder)"), "TypeError: make() got an unexpected keyword argument"),
    ],
)
def test_errors_in_the_users_python_are_the_users(own, change, says):
    (own / "my_task.py").write_text(code_of_the_docs().replace(*change))
    with pytest.raises(UserError, match=re.escape(says)):
        task_of(own, OWN)


def test_errors_later_on_tell_their_line_too(own):
    code = code_of_the_docs().replace(
        "        return [self.bits[",
        "        if index:\n            raise BadSample('torn')\n        return [self.nothing[",
    )
    (own / "my_task.py").write_text(code.replace('{"right"', '{"wrong"'))
    task = task_of(own, OWN)
    line = next(number for number, text in enumerate(code.splitlines(), 1) if "nothing" in text)
    with pytest.raises(UserError, match=rf"my_task.py, line {line}: AttributeError"):
        task.prepare(0)
    with pytest.raises(BadSample, match="torn"):
        task.prepare(1)
    with pytest.raises(UserError, match=r"evidence\(\) gives wrong; info names right"):
        task.evidence({0: True})


def test_a_file_beside_it_can_be_imported_and_calibrates(own):
    (own / "beside.py").write_text("import dataclasses\nWORD = 'kept'\n")
    code = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom beside import WORD\n"
    code += "@dataclass\nclass Two:\n    word: str = WORD\n" + code_of_the_docs()
    code += "\nParity.calibration = lambda self, count, seed: ([self.bits[0]] for _ in range(count))\n"
    (own / "my_task.py").write_text(code)
    assert len(list(task_of(own, OWN).calibration(3, 0))) == 3


def test_only_a_task_that_names_it_runs_python(own):
    (own / "my_task.py").write_text("raise SystemError('it ran')\n")
    (own / "task.toml").write_text('kind = "recognition"\nfile = "my_task.py"\n')
    with pytest.raises(UserError) as problem:
        load(own / "task.toml", "any")
    assert "it ran" not in str(problem.value)
