"""Pre-processing as data: each step by hand, and where a picture lies in the network's input."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from whichpu.errors import UserError
from whichpu.tasks import description, images
from whichpu.tasks.preprocess import Geometry, Numbers, Preprocess, Quantise, Resize, resized
from whichpu.tasks.task import BadSample

RNG = np.random.default_rng(3)


def picture(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def steps(**table):
    return msgspec.convert(table, Preprocess)


def test_colour_and_layout_by_hand():
    bgr = picture(2, 3)
    for colour, order in (("bgr", [0, 1, 2]), ("rgb", [2, 1, 0])):
        x, _ = steps(colour=colour).applied_to(bgr)
        assert (x.shape, x.dtype) == ((1, 3, 2, 3), np.float32)
        np.testing.assert_array_equal(x[0], bgr[:, :, order].transpose(2, 0, 1))
        np.testing.assert_array_equal(steps(colour=colour, layout="hwc").applied_to(bgr)[0], bgr[:, :, order])
    gray = np.rint(bgr @ np.array([0.114, 0.587, 0.299]))
    for layout, shape in (
        ("nchw", (1, 1, 2, 3)),
        ("nhwc", (1, 2, 3, 1)),
        ("nhw", (1, 2, 3)),
        ("hw", (2, 3)),
        ("nwh", (1, 3, 2)),
    ):
        x, _ = steps(colour="gray", layout=layout).applied_to(bgr)
        assert x.shape == shape
    assert np.abs(steps(colour="gray", layout="hw").applied_to(bgr)[0] - gray).max() <= 1  # OpenCV's are fixed-point


def test_numbers_by_hand():
    x = np.array([[0, 51, 255], [10, 100, 200]], np.uint8)
    channels = Numbers(scale=255.0, mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 4.0]).applied(x)
    expected = (x / 255 - [0.1, 0.2, 0.3]) / [1.0, 2.0, 4.0]
    np.testing.assert_allclose(channels, expected.astype(np.float32), rtol=1e-6)
    assert channels.dtype == np.float32
    np.testing.assert_array_equal(Numbers(mean=128.0, dtype="int8").applied(x), x.astype(int) - 128)
    assert Numbers(dtype="uint8").applied(x) is x
    np.testing.assert_array_equal(Numbers(scale=2.0, dtype="uint8").applied(x[0]), [0, 26, 128])  # 127.5 to even
    np.testing.assert_array_equal(Numbers(scale=0.5, dtype="uint8").applied(x[0]), [0, 102, 255])  # saturates
    quantised = Numbers(scale=255.0, quantise=Quantise(scale=0.05, zero_point=-10), dtype="int8").applied(x[0])
    np.testing.assert_array_equal(quantised, [-10, -6, 10])
    assert Numbers(dtype="float16").applied(x).dtype == np.float16


def test_stretch_is_opencvs_resize():
    bgr = picture(13, 29)
    ways = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST, "cubic": cv2.INTER_CUBIC}
    for by, way in ways.items():
        ours, geometry = resized(bgr, Resize((7, 11), by=by))
        np.testing.assert_array_equal(ours, cv2.resize(bgr, (11, 7), interpolation=way))
    assert geometry == Geometry((13, 29), (7, 11), 11 / 29, 7 / 13)


@pytest.mark.parametrize(("anchor", "top"), [("centre", 2), ("top-left", 0)])
def test_letterbox_fills_around_the_picture(anchor, top):
    bgr = picture(50, 100)
    ours, geometry = resized(bgr, Resize((9, 10), how="letterbox", anchor=anchor, fill=[1, 2, 3]))
    assert ours.shape == (9, 10, 3)
    np.testing.assert_array_equal(ours[top : top + 5], cv2.resize(bgr, (10, 5)))
    for filled in (ours[:top], ours[top + 5 :]):
        assert (filled == [1, 2, 3]).all()
    assert (geometry.left, geometry.top, geometry.scale_x, geometry.scale_y) == (0, top, 0.1, 0.1)


def test_crop_covers_the_size_and_cuts_the_rest():
    bgr = picture(50, 100)
    ours, geometry = resized(bgr, Resize((5, 4), how="crop"))
    np.testing.assert_array_equal(ours, cv2.resize(bgr, (10, 5))[:, 3:7])
    assert geometry.left == -3
    ours, geometry = resized(bgr, Resize((5, 4), how="crop", shorter=10, anchor="top-left"))
    np.testing.assert_array_equal(ours, cv2.resize(bgr, (20, 10))[:5, :4])
    same, _ = resized(bgr, None)
    assert same is bgr


@pytest.mark.parametrize("how", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("anchor", ["centre", "top-left"])
def test_boxes_find_their_way_back(how, anchor):
    for height, width in ((37, 91), (91, 37), (640, 480), (1, 500)):
        _, geometry = resized(np.zeros((height, width, 3), np.uint8), Resize((32, 48), how=how, anchor=anchor))
        corners = RNG.uniform(0, 1, (20, 4)) * [width, height, width, height]
        back = geometry.to_picture(geometry.to_network(corners))
        np.testing.assert_allclose(back, corners, atol=1e-9)


def test_what_is_bright_stays_where_the_geometry_says():
    bgr = np.zeros((120, 200, 3), np.uint8)
    bgr[30:60, 80:140] = 255
    for how in ("stretch", "letterbox", "crop"):
        ours, geometry = resized(bgr, Resize((64, 64), how=how, by="area"))
        rows, columns = np.nonzero(ours[:, :, 0] > 127)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        expected = geometry.to_network(np.array([80, 30, 140, 60]))
        assert np.abs(found - np.clip(expected, 0, 64)).max() <= 1, how


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"layout": "nchh"}, "layout"),
        ({"layout": "nhw"}, "leaves out c"),
        ({"mean": [1.0, 2.0]}, "mean has 2 numbers"),
        ({"scale": 0.0}, "it can't be 0"),
        ({"std": [1.0, 0.0, 1.0]}, "it can't be 0"),
        ({"resize": {"size": [0, 4]}}, ">= 1"),
        ({"resize": {"size": [4, 4], "how": "squash"}}, "squash"),
        ({"resize": {"size": [4, 4], "how": "crop", "shorter": 3}}, "shorter"),
        ({"resize": {"size": [4, 4], "fill": 256}}, "fill is from 0 to 255"),
        ({"resize": {"size": [4, 4], "fill": [0, 0]}}, "resize.fill has 2 numbers"),
        ({"quantise": {"scale": 0.1}}, "quantise takes"),
        ({"color": "rgb"}, "color"),
    ],
)
def test_steps_that_are_wrong_say_so(table, says):
    with pytest.raises(msgspec.ValidationError, match=says):
        steps(**table)


def test_files_that_are_no_pictures_are_named(tmp_path):
    good = cv2.imencode(".png", picture(4, 5))[1].tobytes()
    path = tmp_path / "a.png"
    for content, says in ((b"", "a.png is no picture"), (b"hello", "a.png is no picture"), (good[:40], "damaged")):
        path.write_bytes(content)
        with pytest.raises(BadSample, match=says):
            images.read(path)
    with pytest.raises(BadSample, match=r"b\.png can't be read"):
        images.read(tmp_path / "b.png")
    gray = cv2.imencode(".png", np.full((4, 5), 7, np.uint8))[1].tobytes()
    assert (images.decoded(gray, "gray") == 7).all()
    assert images.decoded(gray, "gray").shape == (4, 5, 3)


def test_pictures_in_reports_are_small():
    noise = picture(900, 1300)
    uri = images.data_uri(noise)
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < 60_000


def test_a_protocol_is_told_field_by_field():
    told = description.protocol(
        {"preprocess": steps(resize={"size": [2, 3]}, mean=[1, 2, 3]), "limit": 5, "none": None}
    )
    assert told["preprocess.resize.size"] == "2, 3"
    assert told["preprocess.mean"] == "1.0, 2.0, 3.0"
    assert told["limit"] == "5"
    assert "none" not in told
    assert description.sha256(told) == description.sha256(dict(reversed(told.items())))
    assert description.sha256(told) != description.sha256({**told, "limit": "6"})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"color": "bgr"}, r"\[preprocess\]: .*`color`$"),
        ({"resize": {"width": 3}}, r"\[preprocess.resize\]: .*`width`$"),
    ],
)
def test_a_field_that_there_is_not_is_told_with_its_table(table, words):
    with pytest.raises(UserError, match=words):
        description.convert(Path("task.toml"), {"preprocess": table}, dict[str, Preprocess])
