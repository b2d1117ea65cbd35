from __future__ import annotations

import numpy
import pytest

from whichpu.worker import wire

pytest.importorskip("openvino")


def test_outputs_are_the_models_in_its_order(asked, small):
    opened = asked.ask(wire.Open("openvino", "cpu", small.path, "onnx", threads=1, inputs=small.inputs))
    assert [spec["name"] for spec in opened["outputs"]] == ["zeta", "alpha"]
    assert [spec["shape"] for spec in opened["outputs"]] == [[3, 8], [3, 64]]  # n is now 3
    for got, expected in zip(asked.run([small.samples]), small.expected, strict=False):
        numpy.testing.assert_allclose(got, expected[0], atol=1e-4)
    for got, expected in zip(asked.run([small.samples], whole=True), small.expected, strict=False):
        numpy.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_shape_left_open_is_reported_and_runs(asked, small):
    opened = asked.ask(wire.Open("openvino", "cpu", small.path, "onnx"))
    assert opened["inputs"] == [{"name": "x", "dtype": "float32", "shape": [-1, 64]}]
    numpy.testing.assert_allclose(asked.run([small.samples])[0], small.expected[0][0], atol=1e-4)


def test_threads_and_streams_are_read_back(asked, small):
    opened = asked.ask(wire.Open("openvino", "cpu", small.path, "onnx", threads=1, inputs=small.inputs))
    effective = opened["effective"]
    assert (effective["INFERENCE_NUM_THREADS"], effective["NUM_STREAMS"]) == ("1", "1")
    assert effective["INFERENCE_PRECISION_HINT"] == "f32"


def test_fp32_is_fp32_and_the_default_is_what_the_graph_says(asked, small):
    offers = asked.ask(wire.Describe("openvino"))["offers"]
    opened = asked.ask(wire.Open("openvino", "cpu", small.path, "onnx", inputs=small.inputs))
    assert opened["precision"]["ran"] == "fp32"
    own = [offer for offer in offers if offer["device"] == "cpu" and offer["precision"] == "default"]
    if not own:
        pytest.skip("this CPU's default is fp32")
    opened = asked.ask(wire.Open("openvino", "cpu", small.path, "onnx", precision="default", inputs=small.inputs))
    ran = opened["precision"]
    assert ran["ran"] != "fp32" and ran["ran"].split("+")[0] in own[0]["note"]
    assert ran["ran"].split("+")[0].upper() in ran["evidence"]


def test_refusals_name_what_is_refused(asked, small, tmp_path):
    failure = asked.ask(wire.Open("openvino", "cpu", small.path, "onnx", options={"engine": "new"}))["failure"]
    assert "'engine'" in failure["message"]
    failure = asked.ask(wire.Open("openvino", "fpga", small.path, "onnx"))["failure"]
    assert "fpga" in failure["message"] and "cpu" in failure["message"]
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    failure = asked.ask(wire.Open("openvino", "cpu", str(bad), "onnx"))["failure"]
    assert failure["kind"] == "refused" and "Unable to read the model" in failure["message"]
