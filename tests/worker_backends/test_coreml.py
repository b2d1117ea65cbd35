"""Core ML through a stand-in with coremltools' signatures; a Mac has not run it yet.

``WHICHPU_TEST_COREML_PYTHON`` names an interpreter with coremltools (Linux too): its signatures are then compared.
"""

from __future__ import annotations

import inspect
import json
import os
import pathlib
import subprocess
import sys

import numpy
import pytest

from whichpu.models import artefact
from whichpu.worker import wire
from whichpu.worker.backends import coreml

STANDINS = pathlib.Path(__file__).parents[1] / "standins"
REAL = os.environ.get("WHICHPU_TEST_COREML_PYTHON", "")
ARGUMENTS = {
    "coremltools.models.MLModel.__init__": "self model is_temp_package mil_program skip_model_load compute_units"
    " weights_dir function_name optimization_hints",
    "coremltools.models.MLModel.predict": "self data state",
    "coremltools.models.MLModel.get_spec": "self",
    "coremltools.models.MLModel.get_compiled_model_path": "self",
    "coremltools.models.compute_plan.MLComputePlan.load_from_path": "path compute_units",
    "coremltools.models.compute_plan.MLComputePlan.get_compute_device_usage_for_mlprogram_operation": "self operation",
}
"""Of coremltools 9.0."""
SHOW = """
import importlib, inspect, json, sys
told = {}
for name in json.loads(sys.argv[1]):
    module, kind, method = name.rsplit(".", 2)
    found = getattr(getattr(importlib.import_module(module), kind), method)
    told[name] = " ".join(inspect.signature(found).parameters)
print(json.dumps(told))
"""


@pytest.fixture
def mac(monkeypatch):
    monkeypatch.syspath_prepend(str(STANDINS))
    for name in [name for name in sys.modules if name.partition(".")[0] == "coremltools"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(coreml, "SYSTEM", "darwin")


def model(folder: pathlib.Path, plan: list[list[str]] | None, shape: tuple[int, ...] = (1, 4)) -> str:
    package = folder / "m.mlpackage"
    package.mkdir()
    told = {"inputs": {"x": list(shape)}, "outputs": {"y": [4, 1]}, "plan": plan}
    (package / "model.json").write_text(json.dumps(told))
    return str(package)


PLAN = [["const", ""], ["ios17.conv", "ane"], ["ios17.relu", "ane"], ["ios17.topk", "cpu"]]


def test_elsewhere_than_macos_it_says_so(asked):
    if sys.platform == "darwin":
        pytest.skip("this is macOS")
    told = asked.ask(wire.Describe("coreml"))
    assert not told["usable"] and told["rare"] and "macOS alone" in told["why_not"]


def test_on_the_neural_engine(mac, asked, tmp_path):
    opened = asked.ask(wire.Open("coreml", "ane", model(tmp_path, PLAN), "mlpackage"))
    assert opened["effective"] == {"compute_units": "CPU_AND_NE"}
    placement = opened["placement"]
    assert placement["units"] == {"ane": 2, "cpu": 1, "unknown": 1}  # topk, within a conditional of no known unit
    assert {part["unit"]: part["kinds"] for part in placement["elsewhere"]} == {
        "cpu": {"topk": 1},
        "unknown": {"cond": 1},
    }
    samples = numpy.arange(4, dtype="float32").reshape(1, 1, 4)
    numpy.testing.assert_array_equal(asked.run([samples])[0], 2 * samples.reshape(4, 1))


def test_all_on_the_cpu_is_a_fallback(mac, asked, tmp_path):
    path = model(tmp_path, [["ios17.conv", "cpu"], ["ios17.relu", "cpu"]])
    failure = asked.ask(wire.Open("coreml", "gpu", path, "mlpackage"))["failure"]
    assert failure["kind"] == "fallback" and "cpu for all 2 operations" in failure["message"]
    assert asked.ask(wire.Open("coreml", "all", path, "mlpackage"))["placement"]["elsewhere"] == []
    assert asked.ask(wire.Open("coreml", "cpu", path, "mlpackage"))["placement"]["units"] == {"cpu": 2}


def test_without_a_plan_placement_is_unknown(mac, asked, tmp_path):
    opened = asked.ask(wire.Open("coreml", "gpu", model(tmp_path, None), "mlpackage"))
    assert "not supported" in opened["placement"]["unknown"] and not opened["placement"]["units"]


def test_refusals_are_one_sentence(mac, asked, tmp_path):
    path = model(tmp_path, PLAN, shape=())
    assert "imageType, not an array" in asked.ask(wire.Open("coreml", "all", path, "mlpackage"))["failure"]["message"]
    assert "coreml:ane" in asked.ask(wire.Open("coreml", "npu", path, "mlpackage"))["failure"]["remedy"]


def test_packages_are_folders(tmp_path):
    path = pathlib.Path(model(tmp_path, PLAN))
    assert artefact.format_of(path) == "mlpackage"
    assert artefact.files_of(path, "mlpackage") == [path / "model.json"]


def test_the_stand_in_has_coremltools_signatures(mac):
    import importlib

    for name, arguments in ARGUMENTS.items():
        module, kind, method = name.rsplit(".", 2)
        found = getattr(getattr(importlib.import_module(module), kind), method)
        assert " ".join(inspect.signature(found).parameters) == arguments


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("predict", lambda self, features: {}),
        ("get_spec", None),
        ("__init__", lambda self, model, units=None: None),
    ],
)
def test_a_changed_signature_fails(mac, asked, tmp_path, monkeypatch, name, changed):
    from coremltools.models import MLModel

    if name == "predict":  # positional: a dictionary without the outputs is what a change would give
        monkeypatch.setattr(MLModel, name, changed)
    elif changed is None:
        monkeypatch.delattr(MLModel, name)
    else:
        monkeypatch.setattr(MLModel, name, changed)
    reply = asked.ask(wire.Open("coreml", "cpu", model(tmp_path, [["ios17.conv", "cpu"]]), "mlpackage"))
    if "failure" not in reply:
        numpy.savez(tmp_path / "in.npz", input_0=numpy.zeros((1, 1, 4), "float32"))
        reply = asked.ask(wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")))
    assert "failure" in reply


@pytest.mark.skipif(not REAL, reason="WHICHPU_TEST_COREML_PYTHON names no interpreter with coremltools")
def test_the_real_signatures():
    command = [REAL, "-c", SHOW, json.dumps(list(ARGUMENTS))]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(told.stdout.splitlines()[-1]) == ARGUMENTS
