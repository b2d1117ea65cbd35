"""Sessions of the native loop against those of the Python loop: same outputs, same precision, same words."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import numpy
import pytest
from conftest import BYTE_INPUTS, SCALAR_INPUTS, Asked, check_bytes, check_scalars, save_onnx

from whichpu.worker import native, wire
from whichpu.worker.backends import Refused, onnxruntime_c, openvino_c
from whichpu.worker.serve import describe

EXAMPLES = pathlib.Path(__file__).parent.parent.parent / "examples" / "apple_stock"
BACKENDS = ("onnxruntime", "openvino")
ADAPTERS = {"onnxruntime": onnxruntime_c, "openvino": openvino_c}
BLOCK = wire.Measure(least_ns=0)

pytestmark = pytest.mark.skipif(native.why_not() is not None, reason=str(native.why_not()))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


def opened(asked: Asked, backend: str, path: Any, loop: str = "native", **wishes: Any) -> dict[str, Any]:
    return asked.ask(wire.Open(backend, "cpu", str(path), "onnx", loop=loop, **wishes))


def both(asked: Asked, backend: str, path: Any, samples: list[Any], **wishes: Any) -> Any:
    """What each loop's session says when opened, and its outputs."""
    found = []
    for loop in ("python", "native"):
        says = opened(asked, backend, path, loop, **wishes)
        assert "failure" not in says, says
        found.append((says, asked.run(samples, whole=True)))
    return found


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_the_examples_models_give_the_same_in_both_loops(asked, backend, name):
    samples = numpy.random.default_rng(3).standard_normal((4, 1, 60, 1)).astype("float32")
    (_, expected), (says, got) = both(asked, backend, EXAMPLES / f"{name}.onnx", [samples])
    assert says["effective"]["loop"].startswith("native, lib")
    numpy.testing.assert_array_equal(got[0], expected[0])


def test_a_block_is_timed_by_the_native_loop(asked, backend, small):
    for loop in ("python", "native"):
        opened(asked, backend, small.path, loop, inputs=list(small.inputs))
        asked.run([small.samples])
        assert asked.ask(BLOCK)["loop"] == loop


def test_a_session_says_what_the_python_one_says(asked, backend, small):
    shapes = list(small.inputs)
    (python, expected), (says, got) = both(asked, backend, small.path, [small.samples], inputs=shapes)
    for known in ("inputs", "outputs", "precision", "versions"):
        assert says[known] == python[known]
    loop = says["effective"].pop("loop")
    assert loop.startswith("native")
    words = {"True": "YES", "False": "NO"}  # OpenVINO's C interface says it so
    assert says["effective"] == {name: words.get(value, value) for name, value in python["effective"].items()}
    assert says["load_ns"] > 0
    for ours, theirs, exact in zip(got, expected, small.expected, strict=True):
        numpy.testing.assert_array_equal(ours, theirs)
        numpy.testing.assert_allclose(ours, exact, atol=1e-4)


def test_scalars_and_small_integers(asked, backend, scalars, bytes_model):
    opened(asked, backend, scalars, inputs=SCALAR_INPUTS)
    check_scalars(asked)
    opened(asked, backend, bytes_model, inputs=BYTE_INPUTS)
    check_bytes(asked)
    assert asked.worker.session.effective["loop"].startswith("native")


def test_a_model_without_told_inputs_is_asked(asked, backend, scalars):
    says = opened(asked, backend, scalars)
    assert [(spec["name"], spec["dtype"], spec["shape"]) for spec in says["inputs"]] == [
        ("x", "float32", [1, 4]),
        ("s", "float32", []),
    ]
    check_scalars(asked)


def test_inputs_in_another_order_than_the_models(asked, backend, scalars):
    opened(asked, backend, scalars, inputs=SCALAR_INPUTS[::-1])
    x, s = numpy.arange(4, dtype="float32").reshape(1, 1, 4), numpy.array([3], dtype="float32")
    numpy.testing.assert_array_equal(asked.run([s, x])[0], 3 * x[0])


def test_half_precision_is_told_as_from_python(asked, backend, tmp_path):
    weights = numpy.random.default_rng(0).standard_normal((64, 32)).astype("float16")
    nodes = [("MatMul", ["x", "w"], ["y"], {})]
    path = save_onnx(tmp_path / "half.onnx", nodes, {"x": ("float16", [1, 64])}, {"y": ("float16", [1, 32])}, w=weights)
    samples = numpy.ones((2, 1, 64), "float16")
    (python, expected), (says, got) = both(asked, backend, path, [samples])
    assert says["precision"] == python["precision"]
    assert got[0].dtype == numpy.float16
    numpy.testing.assert_array_equal(got[0], expected[0])


def test_each_sample_is_bound_anew(asked, backend, small):
    opened(asked, backend, small.path, inputs=list(small.inputs))
    for sample, exact in zip(small.samples, zip(*small.expected, strict=True), strict=True):
        numpy.testing.assert_allclose(asked.run([sample[None]])[0], exact[0], atol=1e-4)
    asked.ask(wire.Close())
    assert asked.ask(BLOCK)["failure"]["kind"] == "bad-request"


def out_of_range(tmp_path: pathlib.Path) -> str:
    """``y = x[i]``, with an index that data may hold and the model can't."""
    nodes = [("Gather", ["x", "i"], ["y"], {})]
    given = {"x": ("float32", [4]), "i": ("int64", [1])}
    return save_onnx(tmp_path / "gather.onnx", nodes, given, {"y": ("float32", [1])})


def test_an_error_in_the_loop_is_the_runtimes_refusal(asked, tmp_path):
    pytest.importorskip("onnxruntime")
    opened(asked, "onnxruntime", out_of_range(tmp_path))
    x, index = numpy.arange(4, dtype="float32")[None], numpy.array([[2]])
    assert asked.run([x, index])[0] == [2]
    asked.worker.session.held[1][:] = 99  # the buffer that ONNX Runtime reads
    failure = asked.ask(BLOCK)["failure"]
    assert failure["kind"] == "refused"
    assert "idx=99 must be within the inclusive range" in failure["message"]
    asked.worker.session.held[1][:] = 3
    assert len(asked.ask(BLOCK)["latencies_ns"]) >= 20  # it goes on


def test_a_wrong_declared_output_shape_runs_in_the_native_loop_too(asked, tmp_path):
    pytest.importorskip("onnxruntime")
    given, wrong = {"x": ("float32", [1, 4])}, {"y": ("int64", [2, 1])}
    path = save_onnx(tmp_path / "wrong.onnx", [("NonZero", ["x"], ["y"], {})], given, wrong)
    opened(asked, "onnxruntime", path)
    samples = numpy.array([[[1, 0, 2, 3]], [[0, 5, 1, 6]]], "float32")
    numpy.testing.assert_array_equal(asked.run([samples])[0], [[0, 0, 0], [0, 2, 3]])
    block = asked.ask(BLOCK)
    assert len(block["latencies_ns"]) >= 20 and block["loop"] == "native"
    numpy.testing.assert_array_equal(asked.worker.session.read()[0], [[0, 0, 0], [0, 2, 3]])
    numpy.testing.assert_array_equal(asked.run([samples], whole=True)[0][1], [[0, 0, 0], [1, 2, 3]])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("version", ["1.18.9", "2.0.0", "2024.3.0", "2027.0.1", "nightly", "0"])
def test_versions_outside_the_known_range_are_not_known(backend, version):
    assert not ADAPTERS[backend].known(version)


def test_a_version_that_is_not_known_is_refused_by_name_and_python_runs(asked, backend, small, monkeypatch):
    python = importlib.import_module(f"whichpu.worker.backends.{backend}")
    ADAPTERS[backend].api.cache_clear()
    for module in (python, ADAPTERS[backend]):
        if hasattr(module, "versions"):
            monkeypatch.setattr(module, "versions", lambda: {backend: "3000.7"})
    says = opened(asked, backend, small.path, inputs=list(small.inputs))
    assert says["effective"]["loop"].startswith("python, because the native loop knows ")
    assert says["effective"]["loop"].endswith(", not 3000.7")
    asked.run([small.samples])
    assert asked.ask(BLOCK)["loop"] == "python"
    found = describe(wire.Describe(backend))
    assert found.usable and found.native == []
    assert "3000.7" in str(found.native_why_not)


def test_a_library_without_the_calls_is_refused_by_their_names(backend, monkeypatch):
    adapter = ADAPTERS[backend]
    adapter.api.cache_clear()
    path = native._path()  # a library, but not this runtime's
    if backend == "onnxruntime":
        monkeypatch.setattr(adapter, "library_path", lambda: path)
        with pytest.raises(Refused, match="does not export OrtGetApiBase"):
            adapter.api()
    else:
        with pytest.raises(Refused, match="does not export ov_core_create, ov_core_read_model"):
            adapter.Api(path)


def test_other_devices_of_onnxruntime_are_refused(asked, small):
    pytest.importorskip("onnxruntime")
    with pytest.raises(Refused, match="on the CPU only, not on 'cuda'"):
        onnxruntime_c.open(wire.Open("onnxruntime", "cuda", small.path, "onnx"))


def test_a_file_that_is_no_model_is_refused_in_the_runtimes_words(asked, backend, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    path = tmp_path / "bad.onnx"
    words = [opened(asked, backend, path, loop)["failure"]["message"] for loop in ("python", "native")]
    assert words[0] == words[1]


def test_description_names_the_devices(backend):
    found = describe(wire.Describe(backend))
    assert "cpu" in found.native and found.native_why_not is None
