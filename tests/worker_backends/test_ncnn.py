"""The ncnn backend on models that pnnx really converts; ONNX Runtime says what is right."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import numpy
import pytest

from whichpu.worker import wire
from whichpu.worker.serve import Worker

ncnn = pytest.importorskip("ncnn")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

EXAMPLES = Path(__file__).parents[2] / "examples" / "apple_stock"


def ask(worker: Worker, request: object) -> dict:
    answer = json.loads(worker.answer(wire.request_line(1, request)))
    return answer.get("answer") if "answer" in answer else answer["failure"]


def converted(source: Path, folder: Path, shape: str, half: int = 0) -> str:
    pnnx = importlib.util.find_spec("pnnx")
    if pnnx is None:
        pytest.skip("pnnx is not installed")
    (folder / "model.onnx").write_bytes(source.read_bytes())
    binary = Path(pnnx.submodule_search_locations[0]) / "pnnx"
    command = [str(binary), "model.onnx", f"inputshape={shape}", f"fp16={half}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return str(folder / "model.ncnn.param")


def two_outputs(path: Path) -> Path:
    """5x5 planes: ncnn pads them to 28 floats, so a careless copy shows."""
    weights = numpy.random.default_rng(1).normal(size=(3, 2, 3, 3)).astype(numpy.float32)
    nodes = [
        onnx.helper.make_node("Conv", ["image", "weights"], ["sum"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Sigmoid", ["sum"], ["score"]),
        onnx.helper.make_node("ReduceMean", ["sum"], ["mean"], axes=[2, 3], keepdims=1),
    ]
    info = onnx.helper.make_tensor_value_info
    image = [info("image", onnx.TensorProto.FLOAT, [1, 2, 5, 5])]
    outputs = [info("score", onnx.TensorProto.FLOAT, [1, 3, 5, 5]), info("mean", onnx.TensorProto.FLOAT, [1, 3, 1, 1])]
    graph = onnx.helper.make_graph(nodes, "g", image, outputs, [onnx.numpy_helper.from_array(weights, "weights")])
    onnx.save_model(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def samples(folder: Path, *shape: int) -> numpy.ndarray:
    data = numpy.random.default_rng(0).random((2, *shape), dtype=numpy.float32)
    numpy.savez(folder / "in.npz", input_0=data)
    return data


def expected(source: Path, data: numpy.ndarray) -> list[numpy.ndarray]:
    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [numpy.stack(column) for column in zip(*[session.run(None, {name: sample}) for sample in data], strict=True)]


def inferred(worker: Worker, folder: Path) -> list[numpy.ndarray]:
    answer = ask(worker, wire.Infer(str(folder / "in.npz"), str(folder / "out.npz")))
    assert answer.get("samples") == 2, answer
    with numpy.load(folder / "out.npz") as file:
        return [file[f"output_{index}"] for index in range(len(file.files))]


def test_outputs_agree_with_onnxruntime(tmp_path: Path) -> None:
    source = two_outputs(tmp_path / "source.onnx")
    model = converted(source, tmp_path, "[1,2,5,5]f32")
    worker = Worker()
    opened = ask(worker, wire.Open("ncnn", "cpu", model, "ncnn"))
    assert [spec["name"] for spec in opened["outputs"]] == ["out0", "out1"]
    assert opened["inputs"] == [{"name": "in0", "dtype": "float32", "shape": [1, 2, 5, 5]}]
    assert opened["precision"]["ran"] == "fp32" and "off" in opened["precision"]["evidence"]
    assert opened["effective"]["num_threads"] == "1" and opened["effective"]["use_fp16_storage"] == "false"
    data = samples(tmp_path, 1, 2, 5, 5)
    for got, right in zip(inferred(worker, tmp_path), expected(source, data), strict=True):
        numpy.testing.assert_allclose(got.reshape(right.shape), right, atol=1e-5)
    assert ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "one.npz")))["first_ns"] > 0
    assert len(ask(worker, wire.Measure(least_ns=0))["latencies_ns"]) >= 20


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_recurrent_nets_agree_with_onnxruntime(name: str, tmp_path: Path) -> None:
    source = EXAMPLES / f"{name}.onnx"
    if not source.exists():
        pytest.skip(f"{source} is not here")
    worker = Worker()
    told = [wire.TensorSpec("window", "float32", [1, 60, 1])]
    model = converted(source, tmp_path, "[1,60,1]f32")
    assert ask(worker, wire.Open("ncnn", "cpu", model, "ncnn", inputs=told))["inputs"][0]["name"] == "window"
    right = expected(source, samples(tmp_path, 1, 60, 1))[0]
    numpy.testing.assert_allclose(inferred(worker, tmp_path)[0].reshape(right.shape), right, atol=1e-5)


def test_reduced_precision_is_not_called_fp32(tmp_path: Path) -> None:
    model = converted(two_outputs(tmp_path / "source.onnx"), tmp_path, "[1,2,5,5]f32", half=1)
    worker = Worker()
    opened = ask(worker, wire.Open("ncnn", "cpu", model, "ncnn"))
    assert opened["precision"]["ran"] == "fp32 with weights rounded to fp16"
    opened = ask(worker, wire.Open("ncnn", "cpu", model, "ncnn", precision="default"))
    assert opened["precision"]["ran"] != "fp32" and "use_fp16_storage" in opened["precision"]["evidence"]


def test_without_pnnx_script_a_leading_one_is_the_batch(tmp_path: Path) -> None:
    source = two_outputs(tmp_path / "source.onnx")
    model = converted(source, tmp_path, "[1,2,5,5]f32")
    (tmp_path / "model_ncnn.py").unlink()
    worker = Worker()
    assert ask(worker, wire.Open("ncnn", "cpu", model, "ncnn"))["inputs"][0]["shape"] == [-1]
    right = expected(source, samples(tmp_path, 1, 2, 5, 5))[0]
    numpy.testing.assert_allclose(inferred(worker, tmp_path)[0].reshape(right.shape), right, atol=1e-5)


@pytest.mark.parametrize("shape", [[1, 2, 5, 5], [2, 5, 5]], ids=["with batch", "without"])
def test_without_pnnx_script_the_user_s_shape_is_taken(shape: list[int], tmp_path: Path) -> None:
    source = two_outputs(tmp_path / "source.onnx")
    model = converted(source, tmp_path, "[1,2,5,5]f32")
    (tmp_path / "model_ncnn.py").unlink()
    worker = Worker()
    told = [wire.TensorSpec("in0", "float32", shape)]
    opened = ask(worker, wire.Open("ncnn", "cpu", model, "ncnn", inputs=told))
    assert opened["inputs"] == [{"name": "in0", "dtype": "float32", "shape": shape}]
    data = samples(tmp_path, *shape)
    right = expected(source, data.reshape(2, 1, 2, 5, 5))
    for got, wanted in zip(inferred(worker, tmp_path), right, strict=True):
        numpy.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=1e-5)
    assert ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "one.npz")))["first_ns"] > 0


def test_batches_are_refused(tmp_path: Path) -> None:
    model = converted(two_outputs(tmp_path / "source.onnx"), tmp_path, "[1,2,5,5]f32")
    worker = Worker()
    ask(worker, wire.Open("ncnn", "cpu", model, "ncnn"))
    samples(tmp_path, 4, 2, 5, 5)
    failure = ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")))
    assert failure["kind"] == "refused" and "no batch dimension" in failure["message"]


def test_bad_files_fail_with_ncnn_s_words(tmp_path: Path) -> None:
    (tmp_path / "bad.ncnn.param").write_text("7767517\n2 2\nInput in0 0 1 in0\nNoSuchLayer x 1 1 in0 out0\n")
    (tmp_path / "bad.ncnn.bin").write_bytes(b"")
    failure = ask(Worker(), wire.Open("ncnn", "cpu", str(tmp_path / "bad.ncnn.param"), "ncnn"))
    assert failure["kind"] == "refused" and "layer NoSuchLayer not exists or registered" in failure["message"]
    failure = ask(Worker(), wire.Open("ncnn", "cpu", str(tmp_path / "absent.ncnn.param"), "ncnn"))
    assert "there is no file" in failure["message"]


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    model = converted(two_outputs(tmp_path / "source.onnx"), tmp_path, "[1,2,5,5]f32")
    (tmp_path / "model.ncnn.bin").write_bytes(b"\0" * 8)
    failure = ask(Worker(), wire.Open("ncnn", "cpu", model, "ncnn"))
    assert failure["kind"] == "refused" and "can't load the weights" in failure["message"]


def test_unknown_option_and_device_are_named(tmp_path: Path) -> None:
    failure = ask(Worker(), wire.Open("ncnn", "cpu", "x.param", "ncnn", options={"winograd": "off"}))
    assert failure["kind"] == "refused" and "'winograd'" in failure["message"]
    model = converted(two_outputs(tmp_path / "source.onnx"), tmp_path, "[1,2,5,5]f32")
    failure = ask(Worker(), wire.Open("ncnn", "npu", model, "ncnn"))
    assert "'npu'" in failure["message"] and "cpu" in failure["message"]


def test_describe_offers_what_is_here() -> None:
    found = ask(Worker(), wire.Describe("ncnn"))
    devices = [offer["device"] for offer in found["offers"]]
    assert found["usable"] and found["formats"] == ["ncnn"] and found["offers"][0]["precision"] == "fp32"
    assert ("vulkan" in devices) == (ncnn.get_gpu_count() > 0)
    assert all(offer["note"] for offer in found["offers"] if offer["precision"] == "default")


def test_inputs_are_copied_while_they_are_still_there() -> None:
    """An ncnn Mat keeps no reference to the array it is made of: what a freed array held was computed with once."""
    from whichpu.worker.backends.ncnn import _mat

    for size in (4, 28, 64, 300):
        array = numpy.random.default_rng(size).standard_normal((1, 3, size, size)).astype(numpy.float32)
        held = _mat(array, 0)
        numpy.full((3, size, size), 7e27, numpy.float32)  # takes the room of what was freed
        numpy.testing.assert_array_equal(numpy.array(held), array[0])
