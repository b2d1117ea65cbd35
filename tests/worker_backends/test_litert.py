from __future__ import annotations

import pathlib
from typing import Any

import numpy
import pytest

from whichpu.worker import wire

pytest.importorskip("ai_edge_litert")
GRU = pathlib.Path(__file__).parents[2] / "examples" / "apple_stock" / "gru.tflite"


def tiny(path: pathlib.Path, custom: str | None = None, scalar: bool = False) -> str:
    """``y = x + x`` of shape ``[n, 4]``, or of no dimension; or one custom operator."""
    flatbuffers = pytest.importorskip("flatbuffers")
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: str) -> Any:
        made = schema.TensorT()
        made.name = name
        if scalar:
            made.shape, made.hasRank = [], True
        else:
            made.shape, made.shapeSignature = [1, 4], [-1, 4]
        made.type, made.buffer = schema.TensorType.FLOAT32, 0
        return made

    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = schema.BuiltinOperator.CUSTOM if custom else schema.BuiltinOperator.ADD
    code.deprecatedBuiltinCode, code.customCode, code.version = code.builtinCode, custom, 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 0], [1]
    if not custom:
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor("x"), tensor("y")], [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return str(path)


def test_dynamic_shape_and_outputs(asked, tmp_path):
    inputs = [wire.TensorSpec("x", "float32", [3, 4])]
    opened = asked.ask(wire.Open("litert", "cpu", tiny(tmp_path / "add.tflite"), "tflite", inputs=inputs))
    assert opened["inputs"] == [{"name": "x", "dtype": "float32", "shape": [3, 4]}]
    assert opened["outputs"] == [{"name": "y", "dtype": "float32", "shape": [3, 4]}]
    samples = numpy.arange(24, dtype="float32").reshape(2, 3, 4)
    numpy.testing.assert_array_equal(asked.run([samples])[0], 2 * samples[0])
    numpy.testing.assert_array_equal(asked.run([samples], whole=True)[0], 2 * samples)


def test_scalars_keep_their_shape(asked, tmp_path):
    told = [wire.TensorSpec("x", "float32", [])]
    path = tiny(tmp_path / "add.tflite", scalar=True)
    assert asked.ask(wire.Open("litert", "cpu", path, "tflite", inputs=told))["inputs"][0]["shape"] == []
    samples = numpy.array([3, 5], "float32")
    assert asked.run([samples])[0].shape == ()
    numpy.testing.assert_array_equal(asked.run([samples], whole=True)[0], [6, 10])


def test_the_example_agrees_with_onnxruntime(asked):
    onnxruntime = pytest.importorskip("onnxruntime")
    window = numpy.random.default_rng(0).random((2, 1, 60, 1), dtype="float32")
    opened = asked.ask(wire.Open("litert", "cpu", str(GRU), "tflite", threads=1))
    assert opened["precision"]["ran"] == "fp32"
    assert (opened["effective"]["num_threads"], "xnnpack" in opened["effective"]) == ("1", True)
    session = onnxruntime.InferenceSession(str(GRU.with_suffix(".onnx")), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: window[0]})
    numpy.testing.assert_allclose(asked.run([window])[0], expected, atol=1e-5)


def test_a_model_for_the_edge_tpu_is_refused_by_name(asked, tmp_path):
    path = tiny(tmp_path / "m_edgetpu.tflite", custom="edgetpu-custom-op")
    failure = asked.ask(wire.Open("litert", "cpu", path, "tflite"))["failure"]
    assert failure["kind"] == "refused" and "Edge TPU" in failure["message"] and failure["remedy"]


def test_refusals_name_what_is_refused(asked, tmp_path):
    path = tiny(tmp_path / "add.tflite")
    job = wire.Open("litert", "cpu", path, "tflite", options={"graph": "all"})
    assert "'graph'" in asked.ask(job)["failure"]["message"]
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"not a model")
    failure = asked.ask(wire.Open("litert", "cpu", str(bad), "tflite"))["failure"]
    assert failure["kind"] == "refused" and "flatbuffer" in failure["message"].lower()


@pytest.mark.parametrize(
    ("signature", "order"),
    [({"out_1": 5, "out_0": 7}, ["out_0", "out_1"]), ({}, ["a", "b"]), ({"mask": 5, "state": 7}, ["mask", "state"])],
)
def test_numbered_signatures_set_the_order(signature, order):
    from whichpu.worker.backends.litert import _ordered

    details = [{"index": 5, "name": "a"}, {"index": 7, "name": "b"}]
    assert [name for name, _ in _ordered(details, signature)] == order
