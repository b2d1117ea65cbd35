"""The PyTorch backend on programs exported here; ONNX Runtime says what is right for the example models."""

from __future__ import annotations

import gc
import importlib.util
import inspect
import json
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from whichpu.worker import wire
from whichpu.worker.backends import FellBack, torch_device
from whichpu.worker.backends import torch as backend
from whichpu.worker.serve import Worker

torch = pytest.importorskip("torch")

# Inductor itself still uses torch.jit, and so does one test on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")

STANDIN = Path(__file__).parents[1] / "standins" / "torch_cuda.py"
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


# ---------------------------------------------------------------- accelerators, on a stand-in for torch.cuda

CALLED = ("synchronize", "current_stream", "get_device_name", "get_device_capability", "get_arch_list")
CALLED_TOO = ("is_available", "memory_allocated", "Event", "CUDAGraph", "graph", "stream", "Stream")
METHODS = ("Event.record", "Event.elapsed_time", "Stream.wait_stream", "Stream.synchronize", "CUDAGraph.replay")


def parameters(of: Any, name: str) -> list[str]:
    found = inspect.signature(operator.attrgetter(name)(of)).parameters
    return [each for each in found if each not in ("self", "args", "kwargs")]


@pytest.fixture(scope="module")
def collected() -> None:
    """A session that a test left open would leave PyTorch's inference mode when it is collected, at any time."""
    gc.collect()


@pytest.fixture
def worker(collected: None) -> Iterator[Worker]:
    worker = Worker()
    yield worker
    ask(worker, wire.Close())


def standin_cuda() -> Any:
    spec = importlib.util.spec_from_file_location("torch_cuda", STANDIN)
    assert spec is not None and spec.loader is not None
    standin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(standin)
    return standin


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A GPU that is none: the calls of torch.cuda on tensors in host memory."""
    standin = standin_cuda()
    monkeypatch.setattr(torch_device, "module", lambda name: standin)
    monkeypatch.setattr(torch_device, "place", lambda name: "cpu")
    monkeypatch.setattr(torch_device, "here", lambda: ["cuda"])
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self.clone())
    return standin


@pytest.mark.parametrize("name", [*CALLED, *CALLED_TOO, *METHODS])
def test_the_stand_in_has_the_signatures_of_torch_cuda(name: str) -> None:
    real, ours = parameters(torch.cuda, name), parameters(standin_cuda(), name)
    assert real[: len(ours)] == ours, (real, ours)


def test_cuda_from_host_memory_to_host_memory(cuda: Any, worker: Worker, tmp_path: Path) -> None:
    model, module = saved(tmp_path / "model.pt2")
    opened = ask(worker, wire.Open("torch", "cuda", model, "pt2"))
    assert opened["effective"]["device_name"] == "stand-in GPU" and opened["effective"]["device_memory"] == "4096"
    assert opened["placement"]["asked"] == "cuda" and set(opened["placement"]["units"]) == {"cuda"}
    assert "TF32 in convolutions is off" in opened["precision"]["evidence"]
    left, right = samples(tmp_path, (1, 4), (1, 4))
    with torch.inference_mode():
        wanted = module(torch.from_numpy(left), right=torch.from_numpy(right))
    for got, name in zip(inferred(worker, tmp_path), ("zebra", "ape"), strict=True):
        numpy.testing.assert_allclose(got, wanted[name].numpy(), atol=1e-6)
    assert "first_ns" in ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "one.npz")))
    cuda.log.clear()
    inferences = len(ask(worker, wire.Measure(least_ns=0))["latencies_ns"])
    assert cuda.log == ["wait"] * inferences  # the stream alone, once each


def test_parts_are_told_by_device_events(cuda: Any, worker: Worker, tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "model.pt2")
    ask(worker, wire.Open("torch", "cuda", model, "pt2"))
    samples(tmp_path, (1, 4), (1, 4))
    told = ask(worker, wire.Parts(str(tmp_path / "in.npz"), count=3))
    assert {name: told["ns"][name] for name in ("h2d", "compute", "d2h")} == dict.fromkeys(
        ("h2d", "compute", "d2h"), [1_000_000] * 3
    )
    assert told["inferences"] == 3 == len(told["ns"]["end_to_end"]) and "torch.cuda.Event" in told["by"]


def test_a_graph_is_captured_once_and_replayed(
    cuda: Any, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, module = saved(tmp_path / "model.pt2")
    assert (
        ask(worker, wire.Open("torch", "cuda", model, "pt2", options={"mode": "graph"}))["effective"]["mode"] == "graph"
    )
    original = torch_device.Accelerated._capture

    def capture(self: Any) -> None:
        run = self.run
        kept: list[Any] = []
        kept += [output.clone() for output in run()]  # what a capture gives: outputs that stay
        self.run = lambda: kept
        cuda.graph.captures = lambda: [mine.copy_(new) for mine, new in zip(kept, run(), strict=True)]
        original(self)

    monkeypatch.setattr(torch_device.Accelerated, "_capture", capture)
    left, right = samples(tmp_path, (1, 4), (1, 4))
    with torch.inference_mode():
        wanted = module(torch.from_numpy(left), right=torch.from_numpy(right))
    for got, name in zip(inferred(worker, tmp_path), ("zebra", "ape"), strict=True):
        numpy.testing.assert_allclose(got, wanted[name].numpy(), atol=1e-6)
    ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "one.npz")))
    assert cuda.log.count("capture") == 1 and cuda.log.index("side stream") < cuda.log.index("capture")
    cuda.log.clear()
    inferences = len(ask(worker, wire.Measure(least_ns=0))["latencies_ns"])
    assert cuda.log == ["replay", "wait"] * inferences


def test_what_can_t_be_captured_is_one_sentence(
    cuda: Any, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCUDA kernel errors might be")

    monkeypatch.setattr(cuda.graph, "__enter__", fails)
    model, _ = saved(tmp_path / "model.pt2")
    ask(worker, wire.Open("torch", "cuda", model, "pt2", options={"mode": "graph"}))
    samples(tmp_path, (1, 4), (1, 4))
    failure = ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")))
    assert failure["message"].endswith("not permitted when stream is capturing") and "mode=graph" in failure["remedy"]


@pytest.mark.parametrize(
    ("was", "becomes"), [("enable_timing=False", "timing=False"), ("cuda_graph,", "graph,"), ("get_arch_list", "archs")]
)
def test_a_changed_signature_fails_the_path(cuda: Any, worker: Worker, tmp_path: Path, was: str, becomes: str) -> None:
    text = STANDIN.read_text(encoding="utf-8")
    assert was in text
    exec(compile(text.replace(was, becomes), "changed", "exec"), cuda.__dict__)
    if was == "get_arch_list":
        del cuda.get_arch_list
    model, _ = saved(tmp_path / "model.pt2")
    mode = "graph" if was == "cuda_graph," else "eager"
    opened = ask(worker, wire.Open("torch", "cuda", model, "pt2", options={"mode": mode}))
    samples(tmp_path, (1, 4), (1, 4))
    bound = ask(worker, wire.Bind(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")))
    parts = ask(worker, wire.Parts(str(tmp_path / "in.npz"), count=1)) if "kind" not in opened else {}
    said = " ".join([opened.get("message", ""), bound.get("message", ""), *parts.get("missing", {}).values()])
    assert "unexpected keyword" in said or "no attribute" in said, said


def test_builds_and_gpus_that_do_not_fit(cuda: Any, worker: Worker, tmp_path: Path) -> None:
    assert torch_device.covers((8, 6), ["sm_80", "sm_90"])
    assert torch_device.covers((12, 0), ["sm_80", "compute_90"])
    assert not torch_device.covers((3, 7), ["sm_50", "sm_80", "compute_80"])
    assert not torch_device.covers((12, 0), ["sm_90a"])
    assert torch_device.covers((9, 0), ["gfx942"])
    cuda.CAPABILITY = (3, 7)
    model, _ = saved(tmp_path / "model.pt2")
    failure = ask(worker, wire.Open("torch", "cuda", model, "pt2"))
    assert "no code for the GPU here (sm_37" in failure["message"] and failure["remedy"]


def test_graphs_are_for_cuda(tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "model.pt2")
    for mode in ("graph", "reduce-overhead"):
        failure = ask(Worker(), wire.Open("torch", "cpu", model, "pt2", options={"mode": mode}))
        assert "only cuda" in failure["message"] and failure["remedy"]


def test_operators_that_mps_leaves_to_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This wheel has no MPS kernels at all: linear is made of other operators, the rest falls back."""
    model, _ = saved(tmp_path / "model.pt2")
    program = torch.export.load(model)
    monkeypatch.setattr(torch_device, "place", lambda name: "cpu")
    told = torch_device.placement(program, "mps")
    assert told is not None and not told.elsewhere  # without the variable PyTorch refuses instead
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    told = torch_device.placement(program, "mps")
    assert told is not None and told.units["cpu"] == 2 and "no MPS kernel" in told.elsewhere[0].reason
    assert set(told.elsewhere[0].kinds) == {"aten::sub.Tensor", "aten::relu"}
    monkeypatch.undo()
    with pytest.raises(FellBack, match="all 3 operators on the CPU, not on cuda: their values lie in host memory"):
        torch_device.placement(program, "cuda")
