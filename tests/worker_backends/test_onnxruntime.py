from __future__ import annotations

from typing import Any

import numpy
import pytest
from conftest import BYTE_INPUTS, SCALAR_INPUTS, check_bytes, check_scalars, save_onnx

from whichpu.worker import wire
from whichpu.worker.backends import onnxbytes, onnxruntime

pytest.importorskip("onnxruntime")


def halves(path: Any, dtype: str = "float16") -> str:
    """Two products of fp16 with a Relu between."""
    chance = numpy.random.default_rng(0)
    weights = {"w": chance.standard_normal((64, 32)), "v": chance.standard_normal((32, 8))}
    nodes = [
        ("MatMul", ["x", "w"], ["product"], {}),
        ("Relu", ["product"], ["kept"], {}),
        ("MatMul", ["kept", "v"], ["y"], {}),
    ]
    made = {name: array.astype(dtype) for name, array in weights.items()}
    return save_onnx(path, nodes, {"x": (dtype, [1, 64])}, {"y": (dtype, [1, 8])}, **made)


def opened(asked: Any, path: str, **options: str) -> dict[str, Any]:
    return asked.ask(wire.Open("onnxruntime", "cpu", path, "onnx", options=options))


def test_outputs_are_the_models_in_its_order(asked, small):
    found = opened(asked, small.path)
    assert [spec["name"] for spec in found["outputs"]] == ["zeta", "alpha"]
    assert found["precision"]["ran"] == wire.AS_IN_THE_GRAPH
    for got, expected in zip(asked.run([small.samples], whole=True), small.expected, strict=True):
        numpy.testing.assert_allclose(got, expected, atol=1e-4)
    assert asked.ask(wire.Measure(least_ns=0))["failure"]["kind"] == "bad-request"  # infer unbinds
    asked.run([small.samples])
    assert len(asked.ask(wire.Measure(least_ns=0))["latencies_ns"]) >= 20


def test_a_wrong_declared_output_shape_runs_as_it_does_without_us(asked, tmp_path):
    """ONNX Runtime only warns of such models, yet refuses them when the outputs are allocated for it."""
    given, wrong = {"x": ("float32", [1, 4])}, {"y": ("int64", [2, 1])}
    path = save_onnx(tmp_path / "wrong.onnx", [("NonZero", ["x"], ["y"], {})], given, wrong)
    found = opened(asked, path)
    assert found["outputs"][0]["shape"] == [2, 1] and "ONNX Runtime" in found["effective"]["outputs"]
    samples = numpy.array([[[1, 0, 2, 3]], [[0, 5, 1, 6]]], "float32")
    numpy.testing.assert_array_equal(asked.run([samples])[0], [[0, 0, 0], [0, 2, 3]])
    assert len(asked.ask(wire.Measure(least_ns=0))["latencies_ns"]) >= 20
    numpy.testing.assert_array_equal(asked.worker.session.read()[0], [[0, 0, 0], [0, 2, 3]])
    numpy.testing.assert_array_equal(asked.run([samples], whole=True)[0][1], [[0, 0, 0], [1, 2, 3]])


def test_right_models_keep_the_bare_call(asked, small, scalars):
    for path, inputs in ((small.path, [small.samples]), (scalars, [numpy.ones((1, 1, 4), "f4"), numpy.ones(1, "f4")])):
        opened(asked, path)
        asked.run(inputs)
        assert asked.worker.call.func == asked.worker.session.session._sess.run_with_iobinding
        assert len(asked.ask(wire.Measure(least_ns=0))["latencies_ns"]) >= 20


def test_scalars_and_bytes_keep_shape_and_type(asked, scalars, bytes_model):
    asked.ask(wire.Open("onnxruntime", "cpu", scalars, "onnx", inputs=SCALAR_INPUTS))
    check_scalars(asked)
    asked.ask(wire.Open("onnxruntime", "cpu", bytes_model, "onnx", inputs=BYTE_INPUTS))
    check_bytes(asked)


@pytest.mark.parametrize("level", ["all", "disabled"])
def test_fp16_that_is_computed_in_fp32_is_called_so(asked, tmp_path, level):
    path = halves(tmp_path / "half.onnx")
    precision = opened(asked, path, graph=level)["precision"]
    cast = "converted to fp32" in precision["evidence"]
    assert cast and precision["ran"] in ("fp32 (the graph says fp16)", "fp16+fp32", wire.AS_IN_THE_GRAPH)
    x = numpy.random.default_rng(1).standard_normal((1, 1, 64)).astype("float16")
    got = asked.run([x])[0].astype("float64")
    weights = numpy.random.default_rng(0)
    w, v = (weights.standard_normal(shape).astype("float16").astype("float64") for shape in ((64, 32), (32, 8)))
    exact = numpy.maximum(x[0].astype("float64") @ w, 0) @ v
    if precision["ran"] == "fp32 (the graph says fp16)":  # the only rounding is that of the result
        numpy.testing.assert_array_equal(got, exact.astype("float16").astype("float64"))


def test_graphs_that_only_move_fp16_stay_fp16(asked, tmp_path):
    given, made = {"x": ("float16", [2, 3])}, {"y": ("float16", [3, 2])}
    path = save_onnx(tmp_path / "move.onnx", [("Transpose", ["x"], ["y"], {})], given, made)
    assert opened(asked, path)["precision"]["ran"] == wire.AS_IN_THE_GRAPH


def test_what_an_optimised_graph_tells():
    matmul = onnxbytes.Node("MatMul", ["a", "w"], ["b"])
    cast = onnxbytes.Node("Cast", ["a"], [onnxruntime.CAST + "a"])
    plain, half = onnxbytes.Halves([], [], False), onnxbytes.Halves(["fp16"], ["w"], False)
    cases = [
        ([cast, matmul], plain, "fp32 (the graph says fp16)"),
        ([matmul], plain, "fp32 (the graph says fp16)"),
        ([cast, matmul], half, "fp16+fp32"),
        ([matmul], half, wire.AS_IN_THE_GRAPH),
        ([matmul], onnxbytes.Halves(["fp16"], [], False), "fp16 in the graph; not confirmed"),
        ([cast, onnxbytes.Node("MatMulNBits", ["a", "w"], ["b"])], half, wire.AS_IN_THE_GRAPH),
    ]
    for nodes, left, ran in cases:
        assert onnxruntime._seen("fp16", nodes, left).ran == ran


def test_large_or_divided_models_are_not_optimised_twice(tmp_path, monkeypatch):
    path = halves(tmp_path / "half.onnx")
    monkeypatch.setattr(onnxruntime, "_optimise", lambda *_: pytest.fail("optimised"))
    monkeypatch.setattr(onnxruntime, "LARGEST_COPY_BYTES", 100)
    assert onnxruntime.precision_of(path, "CPUExecutionProvider", "all").ran == "fp16 in the graph; not confirmed"


def test_the_look_at_fp16_is_no_part_of_the_load(asked, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(onnxruntime, "precision_of", lambda *_: order.append("looked") or wire.Precision("x", "y"))
    job = wire.Open("onnxruntime", "cpu", halves(tmp_path / "half.onnx"), "onnx")
    session = onnxruntime.open(job)
    assert order == []
    assert session.precision.ran == session.precision.ran == "x" and order == ["looked"]


def test_halves_are_found_in_the_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    assert onnxbytes.halves(halves(tmp_path / "half.onnx")) == onnxbytes.Halves(["fp16"], ["w", "v"], False)
    assert onnxbytes.halves(halves(tmp_path / "full.onnx", "float32")) == onnxbytes.Halves([], [], False)
    nodes = [("Cast", ["x"], ["h"], {"to": 16}), ("Cast", ["h"], ["y"], {"to": 1})]
    given, made = {"x": ("float32", [4])}, {"y": ("float32", [4])}
    assert onnxbytes.halves(save_onnx(tmp_path / "cast.onnx", nodes, given, made)).kinds == ["bf16"]
    model = onnx.load(halves(tmp_path / "far.onnx"))
    onnx.save(model, str(tmp_path / "far.onnx"), save_as_external_data=True, location="far.data", size_threshold=0)
    assert onnxbytes.halves(str(tmp_path / "far.onnx")).external
    read = [(node.op_type, list(node.input), list(node.output)) for node in model.graph.node]
    assert [tuple(node) for node in onnxbytes.nodes(str(tmp_path / "half.onnx"))] == read


def test_refusals_name_what_is_refused(asked, small):
    assert "graph=fast" in opened(asked, small.path, graph="fast")["failure"]["message"]
    failure = asked.ask(wire.Open("onnxruntime", "npu", small.path, "onnx"))["failure"]
    assert "'npu'" in failure["message"]
