"""The MNN backend on models that MNN's converter really makes; ONNX Runtime says what is right."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import SCALAR_INPUTS, check_scalars, save_onnx

from whichpu.models import convert
from whichpu.worker import wire
from whichpu.worker.serve import Worker

pytest.importorskip("MNN")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

EXAMPLES = Path(__file__).parents[2] / "examples" / "apple_stock"
SHAPES = {"left": [1, 2, 5, 5], "right": [1, 3, 5, 5]}
TOLD = [wire.TensorSpec(name, "float32", shape) for name, shape in SHAPES.items()]


def ask(worker: Worker, request: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(worker.answer(wire.request_line(1, request)))
    found: dict[str, Any] = answer.get("answer", answer.get("failure"))
    return found


def two_inputs(path: Path) -> Path:
    """A convolution of one input minus the other: a swap of inputs or of outputs shows."""
    weights = numpy.random.default_rng(1).normal(size=(3, 2, 3, 3)).astype(numpy.float32)
    nodes = [
        onnx.helper.make_node("Conv", ["left", "weights"], ["sum"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Sub", ["sum", "right"], ["zebra"]),
        onnx.helper.make_node("Sigmoid", ["zebra"], ["ape"]),
    ]
    info = onnx.helper.make_tensor_value_info
    inputs = [info(name, onnx.TensorProto.FLOAT, shape) for name, shape in SHAPES.items()]
    outputs = [info(name, onnx.TensorProto.FLOAT, [1, 3, 5, 5]) for name in ("zebra", "ape")]
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, [onnx.numpy_helper.from_array(weights, "weights")])
    onnx.save_model(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def converted(source: Path, folder: Path, inputs: list[wire.TensorSpec]) -> str:
    reason = convert.why_not("mnn")
    if reason:
        pytest.skip(reason[0])
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    return str(convert.convert(source, sha256, "mnn", precision="fp32", inputs=inputs, cache=folder / "cache").path)


def samples(folder: Path, inputs: list[wire.TensorSpec]) -> dict[str, Any]:
    """Two samples of each input, in a file and by name."""
    random = numpy.random.default_rng(0)
    data = {spec.name: random.random((2, *spec.shape), dtype=numpy.float32) for spec in inputs}
    numpy.savez(folder / "in.npz", **{f"input_{index}": array for index, array in enumerate(data.values())})
    return data


def expected(source: Path, data: dict[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    rows = [session.run(None, {name: array[index] for name, array in data.items()}) for index in range(2)]
    return [numpy.stack(column) for column in zip(*rows, strict=True)]


def inferred(worker: Worker, folder: Path) -> list[Any]:
    answer = ask(worker, wire.Infer(str(folder / "in.npz"), str(folder / "out.npz")))
    assert answer.get("samples") == 2, answer
    with numpy.load(folder / "out.npz") as file:
        return [file[f"output_{index}"] for index in range(len(file.files))]


@pytest.mark.parametrize("told", [None, TOLD, TOLD[::-1]], ids=["unknown", "known", "other order"])
def test_outputs_agree_with_onnxruntime(told: list[wire.TensorSpec] | None, tmp_path: Path) -> None:
    source = two_inputs(tmp_path / "source.onnx")
    worker = Worker()
    opened = ask(worker, wire.Open("mnn", "cpu", converted(source, tmp_path, TOLD), "mnn", inputs=told))
    data = samples(tmp_path, told or TOLD)
    assert [spec["name"] for spec in opened["inputs"]] == list(data)
    assert [spec["shape"] for spec in opened["inputs"]] == [SHAPES[name] for name in data]
    assert [spec["name"] for spec in opened["outputs"]] == ["zebra", "ape"]
    for got, right in zip(inferred(worker, tmp_path), expected(source, data), strict=True):
        numpy.testing.assert_allclose(got, right, atol=1e-4)
    assert ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "one.npz")))["first_ns"] > 0
    assert len(ask(worker, wire.Measure(least_ns=0))["latencies_ns"]) >= 20


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_recurrent_nets_agree_with_onnxruntime(name: str, tmp_path: Path) -> None:
    """MNN's default conversion of these is wrong without a word; ours must not be."""
    source = EXAMPLES / f"{name}.onnx"
    if not source.exists():
        pytest.skip(f"{source} is not here")
    told = [wire.TensorSpec("window", "float32", [1, 60, 1])]
    worker = Worker()
    ask(worker, wire.Open("mnn", "cpu", converted(source, tmp_path, told), "mnn", inputs=told))
    right = expected(source, samples(tmp_path, told))[0]
    numpy.testing.assert_allclose(inferred(worker, tmp_path)[0], right, atol=1e-5)


def test_scalars_keep_their_shape(asked: Any, scalars: str, tmp_path: Path) -> None:
    model = converted(Path(scalars), tmp_path, SCALAR_INPUTS)
    asked.ask(wire.Open("mnn", "cpu", model, "mnn", inputs=SCALAR_INPUTS))
    check_scalars(asked)


def test_uint8_in_and_out(asked: Any, tmp_path: Path) -> None:
    nodes = [
        ("Cast", ["u"], ["wide"], {"to": 1}),
        ("Clip", ["wide", "", "top"], ["low"], {}),
        ("Cast", ["low"], ["y"], {"to": 2}),
    ]
    given = [wire.TensorSpec("u", "uint8", [1, 4])]
    specs = {"u": ("uint8", [1, 4])}, {"y": ("uint8", [1, 4])}
    source = save_onnx(tmp_path / "bytes.onnx", nodes, *specs, top=numpy.array(100, "float32"))
    asked.ask(wire.Open("mnn", "cpu", converted(Path(source), tmp_path, given), "mnn", inputs=given))
    (got,) = asked.run([numpy.array([[[1, 99, 101, 255]]], "uint8")])
    assert got.dtype == numpy.uint8
    numpy.testing.assert_array_equal(got, [[1, 99, 100, 100]])


def test_precision_and_threads_are_what_was_asked(tmp_path: Path) -> None:
    model = converted(two_inputs(tmp_path / "source.onnx"), tmp_path, TOLD)
    opened = ask(Worker(), wire.Open("mnn", "cpu", model, "mnn", threads=2))
    assert opened["precision"]["ran"] == "fp32" and "precision=high" in opened["precision"]["evidence"]
    assert opened["effective"]["numThread"] == "2" and opened["effective"]["backend"] == "CPU"
    opened = ask(Worker(), wire.Open("mnn", "cpu", model, "mnn", precision="default"))
    assert opened["precision"]["ran"] != "fp32" and "precision=normal" in opened["precision"]["evidence"]


def test_bad_file_fails_with_mnn_s_words(tmp_path: Path) -> None:
    (tmp_path / "bad.mnn").write_bytes(b"this is no model" * 9)
    failure = ask(Worker(), wire.Open("mnn", "cpu", str(tmp_path / "bad.mnn"), "mnn"))
    assert failure["kind"] == "refused" and "Invalidate buffer to create MNN Module" in failure["message"]
    failure = ask(Worker(), wire.Open("mnn", "cpu", str(tmp_path / "absent.mnn"), "mnn"))
    assert "there is no file" in failure["message"]


def test_unknown_option_device_and_inputs_are_named(tmp_path: Path) -> None:
    model = converted(two_inputs(tmp_path / "source.onnx"), tmp_path, TOLD)
    failure = ask(Worker(), wire.Open("mnn", "cpu", model, "mnn", options={"memory": "low"}))
    assert failure["kind"] == "refused" and "'memory'" in failure["message"]
    assert "'vulkan'" in ask(Worker(), wire.Open("mnn", "vulkan", model, "mnn"))["message"]
    failure = ask(Worker(), wire.Open("mnn", "cpu", model, "mnn", inputs=TOLD[:1]))
    assert failure["kind"] == "refused" and "left, right" in failure["message"]


def test_describe_offers_the_cpu() -> None:
    found = ask(Worker(), wire.Describe("mnn"))
    assert found["usable"] and found["formats"] == ["mnn"] and found["offers"][0]["device"] == "cpu"
