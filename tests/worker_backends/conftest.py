"""A worker in this process, and one small ONNX model with its expected outputs."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy
import pytest

from whichpu.worker import wire
from whichpu.worker.serve import Worker


class Asked:
    """One worker; answers as plain dicts, a failure under ``failure``."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.worker, self.folder = Worker(), folder

    def ask(self, request: Any) -> dict[str, Any]:
        reply = json.loads(self.worker.answer(wire.request_line(1, request)))
        return reply["answer"] if "answer" in reply else {"failure": reply["failure"]}

    def run(self, inputs: list[Any], whole: bool = False) -> list[Any]:
        """Outputs of the first inference, or with ``whole`` of every sample. ``inputs`` carry a sample axis."""
        given, got = str(self.folder / "in.npz"), str(self.folder / "out.npz")
        numpy.savez(given, **{f"input_{index}": array for index, array in enumerate(inputs)})
        reply = self.ask(wire.Infer(given, got) if whole else wire.Bind(given, got))
        assert "failure" not in reply, reply
        with numpy.load(got) as file:
            return [file[f"output_{index}"] for index in range(len(file.files))]


@pytest.fixture
def asked(tmp_path: pathlib.Path) -> Asked:
    return Asked(tmp_path)


class Small:
    """``x [n, 64]`` to ``zeta = relu(x w) [n, 8]`` and ``alpha = sigmoid(x)``: not in the alphabet's order."""

    inputs = (wire.TensorSpec("x", "float32", [3, 64]),)

    def __init__(self, path: pathlib.Path) -> None:
        onnx = pytest.importorskip("onnx")
        make, real = onnx.helper, onnx.TensorProto.FLOAT
        chance = numpy.random.default_rng(1)
        weights = chance.standard_normal((64, 8)).astype("float32")
        value = make.make_tensor_value_info
        graph = make.make_graph(
            [
                make.make_node("MatMul", ["x", "w"], ["product"]),
                make.make_node("Relu", ["product"], ["zeta"]),
                make.make_node("Sigmoid", ["x"], ["alpha"]),
            ],
            "small",
            [value("x", real, ["n", 64])],
            [value("zeta", real, ["n", 8]), value("alpha", real, ["n", 64])],
            [onnx.numpy_helper.from_array(weights, "w")],
        )
        onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), str(path))
        self.path = str(path)
        self.samples = chance.standard_normal((2, 3, 64)).astype("float32")
        exact = self.samples.astype("float64")
        self.expected = [numpy.maximum(exact @ weights, 0), 1 / (1 + numpy.exp(-exact))]


@pytest.fixture
def small(tmp_path: pathlib.Path) -> Small:
    return Small(tmp_path / "small.onnx")
