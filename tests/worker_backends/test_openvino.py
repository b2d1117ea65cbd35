from __future__ import annotations

import numpy
import pytest
from conftest import BYTE_INPUTS, SCALAR_INPUTS, check_bytes, check_scalars, save_onnx

from whichpu.worker import wire

openvino = pytest.importorskip("openvino")


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


def test_ir_that_stores_fp16_is_not_called_fp16(asked, small, tmp_path):
    """``save_model`` rounds the weights unasked; what is computed in fp32 with them is no fp16."""
    path = str(tmp_path / "small.xml")
    openvino.save_model(openvino.Core().read_model(small.path), path)
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.to_array(onnx.load(small.path).graph.initializer[0]).astype("float16").astype("float64")
    opened = asked.ask(wire.Open("openvino", "cpu", path, "openvino", inputs=small.inputs))
    assert opened["precision"]["ran"] == "fp32 with weights rounded to fp16"
    exact = numpy.maximum(small.samples[0].astype("float64") @ weights, 0)
    numpy.testing.assert_allclose(asked.run([small.samples])[0], exact, atol=1e-5)
    own = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
    opened = asked.ask(wire.Open("openvino", "cpu", path, "openvino", precision="default", inputs=small.inputs))
    wanted = {"bf16": "bf16", "f32": "fp32 with weights rounded to fp16", "f16": "fp16"}[own]
    assert opened["precision"]["ran"] == wanted
    openvino.save_model(openvino.Core().read_model(small.path), path, compress_to_fp16=False)
    opened = asked.ask(wire.Open("openvino", "cpu", path, "openvino", inputs=small.inputs))
    assert opened["precision"]["ran"] == "fp32"


def test_int8_stays_int8_with_rounded_weights_beside_it(asked, tmp_path):
    """A quantised convolution, saved as IR: the scales may be fp16, the work is int8."""
    weights = numpy.random.default_rng(0).integers(-127, 128, (3, 2, 3, 3)).astype("int8")
    nodes = [
        ("QuantizeLinear", ["x", "step", "zero"], ["q"], {}),
        ("DequantizeLinear", ["q", "step", "zero"], ["near"], {}),
        ("DequantizeLinear", ["w", "step", "none"], ["kernel"], {}),
        ("Conv", ["near", "kernel"], ["y"], {}),
    ]
    source = save_onnx(
        tmp_path / "int8.onnx",
        nodes,
        {"x": ("float32", [1, 2, 8, 8])},
        {"y": ("float32", [1, 3, 6, 6])},
        w=weights,
        step=numpy.array(0.01, "float32"),
        zero=numpy.array(128, "uint8"),
        none=numpy.array(0, "int8"),
    )
    openvino.save_model(openvino.Core().read_model(source), str(tmp_path / "int8.xml"))
    for path, kind in ((source, "onnx"), (str(tmp_path / "int8.xml"), "openvino")):
        assert asked.ask(wire.Open("openvino", "cpu", path, kind))["precision"]["ran"] == "int8"


def test_scalars_and_bytes_keep_shape_and_type(asked, scalars, bytes_model):
    asked.ask(wire.Open("openvino", "cpu", scalars, "onnx", inputs=SCALAR_INPUTS))
    check_scalars(asked)
    asked.ask(wire.Open("openvino", "cpu", bytes_model, "onnx", inputs=BYTE_INPUTS))
    check_bytes(asked)


def test_refusals_name_what_is_refused(asked, small, tmp_path):
    failure = asked.ask(wire.Open("openvino", "cpu", small.path, "onnx", options={"engine": "new"}))["failure"]
    assert "'engine'" in failure["message"]
    failure = asked.ask(wire.Open("openvino", "fpga", small.path, "onnx"))["failure"]
    assert "fpga" in failure["message"] and "cpu" in failure["message"]
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    failure = asked.ask(wire.Open("openvino", "cpu", str(bad), "onnx"))["failure"]
    assert failure["kind"] == "refused" and "Unable to read the model" in failure["message"]
