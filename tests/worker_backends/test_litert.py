from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from typing import Any

import numpy
import pytest

from whichpu.worker import wire

pytest.importorskip("ai_edge_litert")
DELEGATE = pathlib.Path(__file__).parents[1] / "standins" / "tflite_delegate.c"
GRU = pathlib.Path(__file__).parents[2] / "examples" / "apple_stock" / "gru.tflite"


def tiny(
    path: pathlib.Path, custom: str | None = None, scalar: bool = False, count: int = 1, last: str | None = None
) -> str:
    """``y = x + x`` of shape ``[n, 4]``, or of no dimension, ``count`` times; ``last`` is an operator after them.

    With ``custom``, one custom operator instead.
    """
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

    def kind(name: str) -> Any:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.customCode, code.version = code.builtinCode, custom, 1
        return code

    def operator(number: int) -> Any:
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = int(number == count), [number], [number + 1]
        if number < count:
            made.inputs = [number, number]
        if number < count and not custom:
            made.builtinOptionsType, made.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
        return made

    graph, model = schema.SubGraphT(), schema.ModelT()
    names = ["x", *(f"t{number}" for number in range(1, count + bool(last))), "y"]
    graph.tensors, graph.inputs, graph.outputs = [tensor(name) for name in names], [0], [len(names) - 1]
    graph.operators = [operator(number) for number in range(len(names) - 1)]
    codes = [kind("CUSTOM" if custom else "ADD"), *([kind(last)] if last else [])]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, codes, [graph], [schema.BufferT()]
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


@pytest.mark.parametrize(
    ("custom", "unit", "device"), [("edgetpu-custom-op", "Edge TPU", "edgetpu"), ("ethos-u", "Ethos-U", "ethosu")]
)
def test_a_model_compiled_for_a_unit_is_refused_by_name(asked, tmp_path, custom, unit, device):
    path = tiny(tmp_path / "compiled.tflite", custom=custom)
    failure = asked.ask(wire.Open("litert", "cpu", path, "tflite"))["failure"]
    assert failure["kind"] == "refused" and unit in failure["message"] and f"litert:{device}" in failure["remedy"]


def test_xnnpack_can_be_left_out(asked, tmp_path):
    path, samples = tiny(tmp_path / "add.tflite", count=3), numpy.ones((1, 1, 4), "float32")
    for asked_for, told in (("on", "3 of 3 operators"), ("off", "not used")):
        opened = asked.ask(wire.Open("litert", "cpu", path, "tflite", options={"xnnpack": asked_for}))
        assert opened["effective"]["xnnpack"] == told
        numpy.testing.assert_array_equal(asked.run([samples])[0], 8 * samples[0])
    failure = asked.ask(wire.Open("litert", "cpu", path, "tflite", options={"xnnpack": "maybe"}))["failure"]
    assert "neither on nor off" in failure["message"]


# ---------------------------------------------------------------- delegates: a real one, compiled here


@pytest.fixture(scope="session")
def delegate(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the test's delegate with")
    library = tmp_path_factory.mktemp("delegate") / "libtest_delegate.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, DELEGATE], check=True)
    return str(library)


def through(library: str, path: str, more: str = "", device: str = "npu") -> wire.Open:
    options = {"delegate": library, **({"delegate-options": more} if more else {})}
    return wire.Open("litert", device, path, "tflite", precision="default", options=options)


def test_a_delegate_that_takes_all_runs_all(asked, tmp_path, delegate):
    opened = asked.ask(through(delegate, tiny(tmp_path / "add.tflite", count=3)))
    placement = opened["placement"]
    assert (placement["asked"], placement["units"], placement["elsewhere"]) == ("npu", {"npu": 3}, [])
    assert opened["effective"]["delegate"] == delegate and opened["effective"]["xnnpack"] == "not used"
    assert opened["precision"]["ran"] == "unknown"
    samples = numpy.ones((1, 1, 4), "float32")
    numpy.testing.assert_array_equal(asked.run([samples])[0], 8 * samples[0])


def test_what_a_delegate_leaves_is_told(asked, tmp_path, delegate):
    opened = asked.ask(through(delegate, tiny(tmp_path / "add.tflite", count=3, last="RELU"), "take:2"))
    placement = opened["placement"]
    assert placement["units"] == {"npu": 2, "cpu": 2}
    (rest,) = placement["elsewhere"]
    assert rest["kinds"] == {"ADD": 1, "RELU": 1} and rest["names"] == ["ADD 2", "RELU 3"]
    assert opened["effective"]["xnnpack"] == "2 of 4 operators" and opened["effective"]["delegate take"] == "2"
    samples = numpy.ones((1, 1, 4), "float32")
    numpy.testing.assert_array_equal(asked.run([samples])[0], 8 * samples[0])


def test_a_delegate_is_asked_again_for_other_sizes(asked, tmp_path, delegate):
    """LiteRT does so when an input is resized, and tells nobody that the delegate then takes none."""
    path = tiny(tmp_path / "add.tflite", count=3, last="RELU")
    job = through(delegate, path, "widest:2+take:2")
    job.inputs = [wire.TensorSpec("x", "float32", [2, 4])]
    opened = asked.ask(job)
    assert opened["placement"]["units"] == {"npu": 2, "cpu": 2}
    assert opened["effective"]["xnnpack"] == "2 of 4 operators"
    numpy.testing.assert_array_equal(asked.run([numpy.ones((1, 2, 4), "float32")])[0], numpy.full((2, 4), 8.0))
    job.inputs = [wire.TensorSpec("x", "float32", [3, 4])]
    failure = asked.ask(job)["failure"]
    assert failure["kind"] == "fallback" and "took none of the model's 4 operators" in failure["message"]


def test_a_delegate_that_takes_nothing_fell_back(asked, tmp_path, delegate):
    path = tiny(tmp_path / "add.tflite")
    failure = asked.ask(through(delegate, path, "take:0"))["failure"]
    assert failure["kind"] == "fallback" and "took none of the model's 1 operators" in failure["message"]
    failure = asked.ask(through(delegate, path, "take:0", "edgetpu"))["failure"]
    assert "edgetpu_compiler" in failure["remedy"]


def test_a_real_delegate_fails_on_fallback_through_the_whole_path(tmp_path, delegate):
    path = tiny(tmp_path / "add.tflite", count=2)
    target = f"litert:npu,delegate={delegate},delegate-options=take:1,precision=default"
    command = [sys.executable, "-m", "whichpu", "run", path, "--on", target, "--rounds", "1", "--fail-on-fallback"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert ended.returncode == 2 and "1 of 2 operators runs on cpu, not on npu" in " ".join(ended.stdout.split())


@pytest.mark.parametrize(
    ("library", "more", "message"),
    [
        ("/nowhere/libnone.so", "", "the delegate's library can't be loaded"),
        ("libc.so.6", "", "libc.so.6 is no delegate"),
        ("", "fail:no device is plugged in", "no device is plugged in"),
        ("", "speed:high", "unknown option"),
        ("", "speed", "write it as key:value"),
    ],
)
def test_trouble_with_a_delegate_is_one_sentence(asked, tmp_path, delegate, library, more, message):
    failure = asked.ask(through(library or delegate, tiny(tmp_path / "add.tflite"), more))["failure"]
    assert failure["kind"] == "refused" and message in f"{failure['message']} {failure['remedy']}"
    assert "\n" not in failure["message"]


def test_devices_need_what_they_need(asked, tmp_path):
    path = tiny(tmp_path / "add.tflite")
    assert "edgetpu" in asked.ask(wire.Open("litert", "vpu", path, "tflite"))["failure"]["message"]
    assert (
        "needs to be told its delegate" in asked.ask(wire.Open("litert", "nnapi", path, "tflite"))["failure"]["message"]
    )
    job = wire.Open("litert", "cpu", path, "tflite", options={"delegate": "libx.so"})
    assert "litert:npu" in asked.ask(job)["failure"]["remedy"]
    assert asked.ask(wire.Open("litert", "npu", path, "tflite"))["failure"]["kind"] == "fallback"


def test_compiled_models_compute_and_say_what_they_leave(asked, tmp_path, monkeypatch):
    """LiteRT's accelerators by its CPU accelerator, which refuses to be called an accelerator of everything."""
    from whichpu.worker.backends import litert_delegates

    monkeypatch.setitem(litert_delegates.ACCELERATORS, "gpu", "CPU")
    opened = asked.ask(wire.Open("litert", "gpu", str(GRU), "tflite"))
    assert opened["effective"]["enforce_f32"] == "True" and opened["placement"]["units"] == {"gpu": 2280}
    window = numpy.random.default_rng(0).random((2, 1, 60, 1), dtype="float32")
    got = asked.run([window], whole=True)[0]
    asked.ask(wire.Open("litert", "cpu", str(GRU), "tflite"))
    numpy.testing.assert_allclose(got, asked.run([window], whole=True)[0], atol=1e-6)


def test_an_accelerator_that_takes_a_part_is_known_to_leave_some(tmp_path, monkeypatch):
    """So ``--fail-on-fallback`` refuses it, though nobody tells how many."""
    from whichpu.worker.backends import litert_delegates

    partly = object.__new__(litert_delegates.Compiled)
    partly.job, partly.whole = wire.Open("litert", "gpu", "m.tflite", "tflite"), False
    (rest,) = partly.placement.elsewhere
    assert (rest.unit, rest.operators) == ("cpu", 0) and "not which" in partly.placement.unknown


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
