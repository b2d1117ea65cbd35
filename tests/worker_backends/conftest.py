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


def save_onnx(
    path: pathlib.Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], **weights: Any
) -> str:
    """An ONNX file of ``(operator, reads, writes, attributes)``; inputs and outputs are ``{name: (dtype, shape)}``."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper

    def values(specs: dict[str, Any]) -> list[Any]:
        kinds = {name: make.np_dtype_to_tensor_dtype(numpy.dtype(dtype)) for name, (dtype, _) in specs.items()}
        return [make.make_tensor_value_info(name, kinds[name], shape) for name, (_, shape) in specs.items()]

    graph = make.make_graph(
        [make.make_node(kind, reads, writes, **attributes) for kind, reads, writes, attributes in nodes],
        "made",
        values(inputs),
        values(outputs),
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 14)], ir_version=8), str(path))
    return str(path)


@pytest.fixture
def scalars(tmp_path: pathlib.Path) -> str:
    """``scaled = x * s`` and ``double = s + s``, where ``s`` has no dimension."""
    nodes = [("Mul", ["x", "s"], ["scaled"], {}), ("Add", ["s", "s"], ["double"], {})]
    inputs = {"x": ("float32", [1, 4]), "s": ("float32", [])}
    outputs = {"scaled": ("float32", [1, 4]), "double": ("float32", [])}
    return save_onnx(tmp_path / "scalars.onnx", nodes, inputs, outputs)


SCALAR_INPUTS = [wire.TensorSpec("x", "float32", [1, 4]), wire.TensorSpec("s", "float32", [])]


def check_scalars(asked: Asked) -> None:
    """An open model of :func:`scalars` computes right, and keeps the shapes."""
    x, s = numpy.arange(8, dtype="float32").reshape(2, 1, 4), numpy.array([3, 5], dtype="float32")
    got = asked.run([x, s])
    assert [array.shape for array in got] == [(1, 4), ()]
    numpy.testing.assert_array_equal(got[0], 3 * x[0])
    assert got[1] == 6
    numpy.testing.assert_array_equal(asked.run([x, s], whole=True)[1], [6, 10])


@pytest.fixture
def bytes_model(tmp_path: pathlib.Path) -> str:
    """uint8 and int8 in and out: ``zip = u with a ceiling of 100``, ``neg = int8(-i)``."""
    nodes = [
        ("Cast", ["u"], ["wide"], {"to": 1}),
        ("Clip", ["wide", "", "top"], ["clipped"], {}),
        ("Cast", ["clipped"], ["zip"], {"to": 2}),
        ("Cast", ["i"], ["broad"], {"to": 1}),
        ("Neg", ["broad"], ["turned"], {}),
        ("Cast", ["turned"], ["neg"], {"to": 3}),
    ]
    inputs, outputs = (
        {"u": ("uint8", [1, 4]), "i": ("int8", [1, 4])},
        {"zip": ("uint8", [1, 4]), "neg": ("int8", [1, 4])},
    )
    return save_onnx(tmp_path / "bytes.onnx", nodes, inputs, outputs, top=numpy.array(100, "float32"))


BYTE_INPUTS = [wire.TensorSpec("u", "uint8", [1, 4]), wire.TensorSpec("i", "int8", [1, 4])]


def check_bytes(asked: Asked) -> None:
    """An open model of :func:`bytes_model` computes right, in the right types."""
    u, i = numpy.array([[[1, 99, 101, 255]]], "uint8"), numpy.array([[[-128 + 1, -1, 0, 127]]], "int8")
    clipped, negative = asked.run([u, i])
    assert (clipped.dtype, negative.dtype) == (numpy.uint8, numpy.int8)
    numpy.testing.assert_array_equal(clipped, [[1, 99, 100, 100]])
    numpy.testing.assert_array_equal(negative, [[127, 1, 0, -127]])
