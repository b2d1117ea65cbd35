"""examples/licence_plates: the generator draws the same again, tasks and networks fit together, tables read results."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from whichpu import tasks
from whichpu.results.schema import Accuracy, Result

EXAMPLE = Path(__file__).parent.parent / "examples" / "licence_plates"
NETWORKS = {
    "detector": "detection",
    "characters": "characters",
    "resnet18": "states",
    "resnet34": "states",
    "resnet50": "states",
}
pytest.importorskip("cv2")


@pytest.fixture
def script(monkeypatch):
    """A module of the example, whose scripts import each other as neighbours."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(EXAMPLE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def boxes(path, pictures):
    annotations = json.loads(path.read_text())["annotations"]
    return [(one["image_id"], one["category_id"], one["bbox"]) for one in annotations if one["image_id"] <= pictures]


def score(network, part):
    """All metrics of a committed network on ONNX Runtime, over every ``part``-th test picture."""
    import onnxruntime

    pytest.importorskip("pycocotools") if NETWORKS[network] != "states" else None
    task = tasks.load(EXAMPLE / f"{NETWORKS[network]}.toml", network)
    session = onnxruntime.InferenceSession(EXAMPLE / f"{network}.onnx", providers=["CPUExecutionProvider"])
    answers = {}
    for index in range(0, task.info.samples, part):
        outputs = session.run(None, {"picture": task.prepare(index)[0]})
        answers[index] = task.finish(index, outputs)
    return {name: evidence.value() for name, evidence in task.evidence(answers).items()}


def test_the_same_seed_draws_the_same_pictures_and_another_draws_others(script, tmp_path):
    generate = script("generate")
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        generate.write(tmp_path / folder, streets=3, plates=3, seed=seed)
    a, b, c = (files(tmp_path / folder) for folder in "abc")
    assert a == b
    assert len(a) == 9 and a.keys() == c.keys()
    assert not any(a[path] == c[path] for path in a if path.suffix == ".jpg")


def test_the_committed_pictures_are_what_the_script_draws(script, tmp_path):
    generate = script("generate")
    generate.write(tmp_path, streets=5, plates=5, seed=1)
    for name in ("streets.json", "characters.json"):
        drawn, kept = boxes(tmp_path / name, 5), boxes(EXAMPLE / "data" / "test" / name, 5)
        assert [one[:2] for one in drawn] == [one[:2] for one in kept]
        np.testing.assert_allclose([one[2] for one in drawn], [one[2] for one in kept], atol=0.05)
    kept = (EXAMPLE / "data" / "test" / "states.csv").read_text()
    assert kept.startswith((tmp_path / "states.csv").read_text())


def test_boxes_are_within_their_pictures_and_hold_something(script):
    for part in ("test", "calibration"):
        for name in ("streets.json", "characters.json"):
            body = json.loads((EXAMPLE / "data" / part / name).read_text())
            sizes = {image["id"]: (image["width"], image["height"]) for image in body["images"]}
            for one in body["annotations"]:
                x, y, w, h = one["bbox"]
                assert x >= 0 and y >= 0 and w > 3 and h > 3, one
                assert x + w <= sizes[one["image_id"]][0] + 0.02 and y + h <= sizes[one["image_id"]][1] + 0.02, one


def test_every_jurisdiction_has_a_design_and_test_pictures(script):
    designs = script("designs")
    assert len(designs.DESIGNS) == len(set(designs.NAMES)) == 57
    assert (EXAMPLE / "states.txt").read_text().splitlines() == list(designs.NAMES)
    labels = [line.split(",")[1] for line in (EXAMPLE / "data" / "test" / "states.csv").read_text().splitlines()[1:]]
    assert {labels.count(name) for name in designs.NAMES} == {2}


def test_plates_of_two_jurisdictions_differ(script):
    designs = script("designs")
    flat = [designs.draw(design, design.serial.replace("A", "X").replace("0", "1"))[0] for design in designs.DESIGNS]
    gray = np.array([plate[::4, ::4].mean(axis=2) for plate in flat])
    for index in range(len(gray)):
        rest = np.delete(gray, index, axis=0)
        assert np.abs(rest - gray[index]).mean(axis=(1, 2)).min() > 1.0, designs.NAMES[index]


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_answer_well_through_their_tasks(network):
    values = score(network, part=4)
    main = values["top1"] if NETWORKS[network] == "states" else values["ap50"]
    assert main > 0.85, values


def test_files_are_small_and_come_in_both_forms():
    for network in NETWORKS:
        for form in ("onnx", "pt2"):
            assert 50_000 < (EXAMPLE / f"{network}.{form}").stat().st_size < 1_000_000
    assert sum(len(content) for content in files(EXAMPLE / "data").values()) < 1.6e6


def test_full_width_networks_have_the_papers_parameters(script):
    pytest.importorskip("torch")
    networks = script("networks")
    counts = {18: 11.69e6, 34: 21.80e6, 50: 25.56e6}  # He et al. 2015 with 3 channels in and 1000 classes
    for depth, count in counts.items():
        network = networks.ResNet(depth, 1000)
        found = sum(parameter.numel() for parameter in network.parameters()) + 2 * 64 * 49  # two channels more
        assert abs(found - count) < 0.01e6


def test_the_tables_name_metric_runtime_delta_and_interval(script):
    tables = script("tables")
    told = Accuracy(
        samples=40, values={"ap50": 0.95}, deltas={"ap50": (-0.05, -0.08, -0.02)}, verdict="worse", agreement=0.9
    )
    result = Result(
        name="onnxruntime:cpu [int8]",
        target="onnxruntime:cpu",
        backend="onnxruntime",
        device="cpu",
        variant="int8",
        accuracy=told,
    )
    campaign = SimpleNamespace(task=SimpleNamespace(metric="ap50"), results=[result])
    row = tables.accuracy_table({"detector": campaign})[-1]
    assert (
        row
        == "| Plate detection | ONNX Runtime, int8 | mAP@.5 | 0.9500 | -5.00 | -8.00 to -2.00 | worse | 90.0 % | – |"
    )
    result.accuracy, result.why = None, "no form of\n> the network for it"
    assert len(tables.accuracy_table({"detector": campaign})) == 2
    assert tables.silent({"detector": campaign}) == [
        "- Plate detection, ONNX Runtime, int8: no form of the network for it"
    ]
