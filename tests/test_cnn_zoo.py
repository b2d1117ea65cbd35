"""examples/cnn_zoo: sizes as published, weights that keep values alive, and runtimes that agree."""

import importlib
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "cnn_zoo"
NAMES = ("alexnet", "googlenet", "inception_v3", "resnet18", "resnet50", "vgg16", "yolov3")
SCALE = 0.0625


@pytest.fixture(scope="module")
def zoo():
    """The example's scripts, which import each other as neighbours."""
    sys.path.insert(0, str(EXAMPLE))
    before = set(sys.modules)
    yield importlib.import_module("build")
    sys.path.remove(str(EXAMPLE))
    for name in set(sys.modules) - before:
        if str(EXAMPLE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="module")
def small(zoo, tmp_path_factory):
    """The path of a thin network by its name, built once."""
    folder, made = tmp_path_factory.mktemp("zoo"), {}

    def path(name):
        if name not in made:
            made[name] = zoo.write(name, folder, SCALE)
        return made[name]

    return path


@pytest.fixture(scope="module")
def asked(zoo):
    """Pictures for a network, and what ONNX Runtime makes of each."""

    def run(path, count=2):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        made = sys.modules["graph"].pictures(tuple(given.shape[1:]), count, np.random.default_rng(9))
        return made, [session.run(None, {given.name: made[at : at + 1]}) for at in range(count)]

    return run


def furthest(ours, theirs):
    return max(np.abs(one - two).max() / np.abs(two).max() for one, two in zip(ours, theirs, strict=True))


def test_there_are_tests_for_all(zoo):
    assert sorted(zoo.NETWORKS) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_full_size_is_as_published(zoo, name):
    built, published = zoo.NETWORKS[name].build(1.0), zoo.NETWORKS[name].published
    assert built.parameters == pytest.approx(published.parameters, rel=published.within[0])
    assert built.macs == pytest.approx(published.macs, rel=published.within[1])


def test_counts_are_exact_where_exact_ones_are_known(zoo):
    sizes = {name: zoo.NETWORKS[name].build(1.0) for name in ("alexnet", "vgg16", "googlenet")}
    assert sizes["alexnet"].parameters == 60_965_224
    assert sizes["vgg16"].parameters == 138_357_544
    assert sizes["googlenet"].parameters == 6_998_552
    assert sizes["alexnet"].macs == 724_406_816


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_those_of_the_file(zoo, small, name):
    built, made = zoo.NETWORKS[name].build(SCALE), onnx.load(small(name))
    sizes = [int(np.prod(one.dims)) for one in made.graph.initializer if one.name.endswith((".weight", ".bias"))]
    assert built.parameters == sum(sizes)
    shapes = {one.name: one for one in onnx.shape_inference.infer_shapes(made, strict_mode=True).graph.output}
    assert set(shapes) == set(built.outputs)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_alive(small, asked, name):
    _, (first, second) = asked(small(name))
    assert all(np.isfinite(one).all() for one in first)
    assert furthest(first, second) > 0.01, "another picture, another answer"
    if name == "yolov3":
        assert [one.shape for one in first] == [(1, 255, 13, 13), (1, 255, 26, 26), (1, 255, 52, 52)]
        assert 0.1 < np.std(first[0]) < 10
    else:
        assert first[0].shape == (1, 1000) and first[0].sum() == pytest.approx(1, abs=1e-4)
        assert 0.005 < first[0].max() < 0.8, "neither flat nor one-hot"


@pytest.mark.parametrize("name", NAMES)
def test_openvino_and_opencv_agree(small, asked, name):
    openvino, cv2 = pytest.importorskip("openvino"), pytest.importorskip("cv2")
    made, (expected,) = asked(small(name), 1)
    compiled = openvino.Core().compile_model(str(small(name)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled(made)
    assert furthest([answer[at] for at in range(len(expected))], expected) < 1e-3
    net = cv2.dnn.readNetFromONNX(str(small(name)))
    net.setInput(made)
    names = ["probabilities"] if name != "yolov3" else ["stride32", "stride16", "stride8"]
    assert furthest(net.forward(names), expected) < 1e-3


def test_one_seed_one_file(zoo, small, tmp_path):
    again, other = zoo.write("resnet18", tmp_path / "a", SCALE), zoo.write("resnet18", tmp_path / "b", SCALE, seed=2)
    assert again.read_bytes() == small("resnet18").read_bytes() != other.read_bytes()


def test_command_builds_and_tells(zoo, tmp_path, capsys):
    assert zoo.main(["alexnet", "--scale", str(SCALE), "-o", str(tmp_path)]) == 0
    assert (tmp_path / "alexnet.onnx").is_file() and "multiply-adds" in capsys.readouterr().out
    assert zoo.main(["--list"]) == 0
    assert capsys.readouterr().out.count("published") == len(NAMES)


@pytest.mark.parametrize("wrong", [[], ["lenet"], ["alexnet", "--scale", "0"]])
def test_command_refuses(zoo, wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        zoo.main(wrong)
    assert ended.value.code == 2 and "error:" in capsys.readouterr().err
