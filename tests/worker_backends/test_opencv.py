from __future__ import annotations

import numpy
import pytest
from conftest import SCALAR_INPUTS, check_scalars

from whichpu.worker import wire

cv2 = pytest.importorskip("cv2")
FIVE = hasattr(cv2.dnn, "ENGINE_AUTO")


def test_outputs_are_the_models_in_its_order(asked, small):
    opened = asked.ask(wire.Open("opencv", "cpu", small.path, "onnx", threads=1, inputs=small.inputs))
    assert [spec["name"] for spec in opened["outputs"]] == ["zeta", "alpha"]
    assert [spec["shape"] for spec in opened["outputs"]] == [[-1, 8], [-1, 64]]
    assert opened["precision"]["ran"] == "fp32"
    assert opened["effective"]["threads"] == "1"
    for got, expected in zip(asked.run([small.samples]), small.expected, strict=False):
        numpy.testing.assert_allclose(got, expected[0], atol=1e-4)
    for got, expected in zip(asked.run([small.samples], whole=True), small.expected, strict=False):
        numpy.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("engine", ["classic", "new"])
def test_the_engine_that_ran_is_reported(asked, small, engine):
    job = wire.Open("opencv", "cpu", small.path, "onnx", options={"engine": engine}, inputs=small.inputs)
    opened = asked.ask(job)
    if not FIVE:
        assert "OpenCV 5" in opened["failure"]["message"] and opened["failure"]["remedy"]
        return
    assert opened["effective"]["engine"] == engine
    numpy.testing.assert_allclose(asked.run([small.samples])[0], small.expected[0][0], atol=1e-4)


def test_engines_offered_are_those_in_the_wheel(asked, small):
    offered = [offer["options"].get("engine") for offer in asked.ask(wire.Describe("opencv"))["offers"]]
    assert offered[:3] == ([None, "classic", "new"] if FIVE else [None])
    if "ort" not in offered:
        job = wire.Open("opencv", "cpu", small.path, "onnx", options={"engine": "ort"}, inputs=small.inputs)
        assert asked.ask(job)["failure"]["kind"] == "refused"


def test_refusals_name_what_is_refused(asked, small, tmp_path):
    unnamed = asked.ask(wire.Open("opencv", "cpu", small.path, "onnx"))["failure"]
    assert "inputs" in unnamed["message"] and unnamed["remedy"]
    job = wire.Open("opencv", "cpu", small.path, "onnx", options={"graph": "all"}, inputs=small.inputs)
    assert "'graph'" in asked.ask(job)["failure"]["message"]
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    failure = asked.ask(wire.Open("opencv", "cpu", str(bad), "onnx", inputs=small.inputs))["failure"]
    assert failure["kind"] == "refused" and "OpenCV" in failure["message"]


def test_scalars_keep_their_shape(asked, scalars):
    asked.ask(wire.Open("opencv", "cpu", scalars, "onnx", inputs=SCALAR_INPUTS))
    check_scalars(asked)


def test_reads_the_outputs_of_a_file_by_itself(small):
    from whichpu.worker.backends import onnxbytes

    found = [(spec.name, spec.dtype, spec.shape) for spec in onnxbytes.outputs(small.path)]
    assert found == [("zeta", "float32", [-1, 8]), ("alpha", "float32", [-1, 64])]
