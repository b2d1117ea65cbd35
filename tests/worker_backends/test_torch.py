"""The PyTorch backend on programs exported here; ONNX Runtime says what is right for the example models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from whichpu.worker import wire
from whichpu.worker.backends import torch as backend
from whichpu.worker.serve import Worker

torch = pytest.importorskip("torch")

# Inductor itself still uses torch.jit, and so does one test on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")

EXAMPLES = Path(__file__).parents[2] / "examples" / "apple_stock"


class Difference(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Two inputs, one by keyword, and two outputs in a dictionary: an order that is lost shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, left: Any, *, right: Any) -> dict[str, Any]:
        difference = self.layer(left) - right
        return {"zebra": difference, "ape": torch.relu(difference)}


def ask(worker: Worker, request: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(worker.answer(wire.request_line(1, request)))
    found: dict[str, Any] = answer.get("answer", answer.get("failure"))
    return found


def saved(path: Path, dtype: Any = torch.float32) -> tuple[str, Any]:
    """A saved program, and the module it came from."""
    torch.manual_seed(0)
    module = Difference().to(dtype).eval()
    left, right = torch.zeros(1, 4, dtype=dtype), torch.zeros(1, 4, dtype=dtype)  # one tensor twice would be one input
    torch.export.save(torch.export.export(module, (left,), {"right": right}), str(path))
    return str(path), module


def samples(folder: Path, *shapes: tuple[int, ...]) -> list[Any]:
    random = numpy.random.default_rng(0)
    data = [random.random((2, *shape), dtype=numpy.float32) for shape in shapes]
    numpy.savez(folder / "in.npz", **{f"input_{index}": array for index, array in enumerate(data)})
    return data


def inferred(worker: Worker, folder: Path) -> list[Any]:
    answer = ask(worker, wire.Infer(str(folder / "in.npz"), str(folder / "out.npz")))
    assert answer.get("samples") == 2, answer
    with numpy.load(folder / "out.npz") as file:
        return [file[f"output_{index}"] for index in range(len(file.files))]


MODES = ["eager", pytest.param("compile", marks=pytest.mark.skipif(backend.compiler() is None, reason="no compiler"))]


@pytest.mark.parametrize("mode", MODES)
def test_outputs_agree_with_the_module(mode: str, tmp_path: Path) -> None:
    model, module = saved(tmp_path / "model.pt2")
    worker = Worker()
    opened = ask(worker, wire.Open("torch", "cpu", model, "pt2", options={"mode": mode}))
    assert opened["inputs"] == [{"name": name, "dtype": "float32", "shape": [1, 4]} for name in ("left", "right")]
    assert len(opened["outputs"]) == 2 and opened["effective"]["mode"] == mode
    left, right = samples(tmp_path, (1, 4), (1, 4))
    with torch.inference_mode():
        wanted = module(torch.from_numpy(left), right=torch.from_numpy(right))
    for got, name in zip(inferred(worker, tmp_path), ("zebra", "ape"), strict=True):
        numpy.testing.assert_allclose(got, wanted[name].numpy(), atol=1e-6)
    assert ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "one.npz")))["first_ns"] > 0
    assert len(ask(worker, wire.Measure(least_ns=0))["latencies_ns"]) >= 20
    ask(worker, wire.Close())
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_recurrent_nets_agree_with_onnxruntime(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    program, source = EXAMPLES / f"{name}.pt2", EXAMPLES / f"{name}.onnx"
    if not (program.exists() and source.exists()):
        pytest.skip(f"{program} is not here")
    data = samples(tmp_path, (1, 60, 1))[0]
    worker = Worker()
    opened = ask(worker, wire.Open("torch", "cpu", str(program), "pt2"))
    assert opened["inputs"] == [{"name": "window", "dtype": "float32", "shape": [1, 60, 1]}]
    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    right = numpy.stack([session.run(None, {"window": sample})[0] for sample in data])
    numpy.testing.assert_allclose(inferred(worker, tmp_path)[0], right, atol=1e-5)


def test_precision_is_read_from_the_graph(tmp_path: Path) -> None:
    torch.set_float32_matmul_precision("medium")
    model, _ = saved(tmp_path / "model.pt2")
    opened = ask(Worker(), wire.Open("torch", "cpu", model, "pt2"))
    assert opened["precision"]["ran"] == "fp32" and "'highest'" in opened["precision"]["evidence"]
    model, _ = saved(tmp_path / "half.pt2", torch.bfloat16)
    opened = ask(Worker(), wire.Open("torch", "cpu", model, "pt2"))
    assert opened["precision"]["ran"] == "bf16" and opened["inputs"][0]["dtype"] == "bfloat16"


def test_threads_are_what_was_asked(tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "model.pt2")
    for count in (2, 1):
        opened = ask(Worker(), wire.Open("torch", "cpu", model, "pt2", threads=count))
        assert opened["effective"]["num_threads"] == str(count)


def test_other_forms_are_refused_in_clear_words(tmp_path: Path) -> None:
    script, weights, junk = tmp_path / "script.pt", tmp_path / "weights.pth", tmp_path / "junk.pt2"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(script))
    torch.save(torch.nn.Linear(2, 2).state_dict(), weights)
    junk.write_bytes(b"junk")
    for path, words in ((script, "is TorchScript"), (weights, "pickle of torch.save"), (junk, "not a program saved")):
        failure = ask(Worker(), wire.Open("torch", "cpu", str(path), "pt2"))
        assert failure["kind"] == "refused" and words in failure["message"] and "torch.export" in failure["remedy"]


def test_unknown_option_mode_and_device_are_named(tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "model.pt2")
    failure = ask(Worker(), wire.Open("torch", "cpu", model, "pt2", options={"fast": "1"}))
    assert failure["kind"] == "refused" and "'fast'" in failure["message"]
    failure = ask(Worker(), wire.Open("torch", "cpu", model, "pt2", options={"mode": "script"}))
    assert failure["kind"] == "refused" and "mode=script" in failure["message"]
    failure = ask(Worker(), wire.Open("torch", "npu", model, "pt2"))
    assert failure["kind"] == "refused" and "'npu'" in failure["message"]


def test_wrong_shape_is_refused_with_the_input_s_name(tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "model.pt2")
    worker = Worker()
    ask(worker, wire.Open("torch", "cpu", model, "pt2"))
    samples(tmp_path, (1, 4), (1, 5))
    failure = ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")))
    assert failure["kind"] == "refused" and "input right" in failure["message"]


def test_compile_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    model, _ = saved(tmp_path / "model.pt2")
    failure = ask(Worker(), wire.Open("torch", "cpu", model, "pt2", options={"mode": "compile"}))
    assert failure["kind"] == "refused" and "no-such-compiler" in failure["message"] and failure["remedy"]
    offers = ask(Worker(), wire.Describe("torch"))["offers"]
    assert all(not offer["options"] for offer in offers) and "no-such-compiler" in offers[0]["note"]
