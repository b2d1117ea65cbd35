"""ONNX to TFLite by onnx2tf in a Python of its own: what its child does, with stand-ins for the tools."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from made import model_file
from onnx import helper

from whichpu.errors import ConversionError
from whichpu.models import convert, onnx2tf_child
from whichpu.worker.wire import TensorSpec

IMAGE = [TensorSpec("image", "float32", [1, 2, 5, 5])]
STANDINS = {
    "onnxsim": "def simplify(model, overwrite_input_shapes):\n    print(overwrite_input_shapes)\n    return model, 1\n",
    "onnx2tf": f"""
import os

def convert(input_onnx_file_path, output_folder_path, **options):
    print("told:", sorted(options), os.path.exists("{onnx2tf_child.SAMPLES}"), os.getcwd())
    with open(input_onnx_file_path, "rb") as file:
        data = file.read()
    with open(input_onnx_file_path, "wb") as file:
        file.write(b"overwritten")
    if os.environ.get("STANDIN_FAILS"):
        raise ValueError("unsupported operator: Einsum")
    os.mkdir(output_folder_path)
    with open(output_folder_path + "/plain_float32.tflite", "wb") as file:
        file.write(data)
""",
}


def model(path: Path) -> Path:
    """Two outputs, whose names sort the other way round: features of four axes, and their means."""
    nodes = [
        helper.make_node("Relu", ["image"], ["z_features"]),
        helper.make_node("ReduceMean", ["z_features"], ["a_means"], axes=[1, 2, 3], keepdims=0),
    ]
    return model_file(path, nodes, {"image": [1, 2, 5, 5]}, {"z_features": [1, 2, 5, 5], "a_means": [1]})


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python that finds stand-ins of onnx2tf and onnxsim; ONNX itself is this one's."""
    tools = tmp_path / "tools"
    for name, source in {**STANDINS, "tensorflow": ""}.items():
        (tools / name).mkdir(parents=True)
        (tools / name / "__init__.py").write_text(source)
        told = tools / f"{name}-1.2.3.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tools}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(convert.ONNX2TF, str(python))
    return python


def converted(source: Path, cache: Path) -> convert.Converted:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return convert.convert(source, digest, "tflite", precision="fp32", inputs=IMAGE, cache=cache)


def test_it_runs_in_the_python_that_is_named_on_a_copy(interpreter: Path, tmp_path: Path) -> None:
    source = model(tmp_path / "small.onnx")
    before = source.read_bytes()
    made = converted(source, tmp_path / "cache")
    assert source.read_bytes() == before
    assert (made.format, made.path.name) == ("tflite", "model.tflite")
    assert made.tool_version == "onnx2tf 1.2.3, tensorflow 1.2.3, onnxsim 1.2.3"
    told = made.log.read_text()
    assert "{'image': [1, 2, 5, 5]}" in told and "keep_shape_absolutely_input_names" in told
    assert " True " in told, "the samples are there: nothing is downloaded"
    assert str(tmp_path / "cache" / "converting-") in told, "in a folder of its own"
    stamp = made.path.stat().st_mtime_ns
    assert converted(source, tmp_path / "cache").path.stat().st_mtime_ns == stamp


def test_outputs_keep_their_layout_and_their_order(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    source = model(tmp_path / "small.onnx")
    plain = onnx.load(source)
    onnx2tf_child.keep_layouts(plain)
    onnx.checker.check_model(plain)
    assert [output.name for output in plain.graph.output] == ["whichpu_output_0", "whichpu_output_1"]
    assert [node.op_type for node in plain.graph.node[-2:]] == ["Reshape", "Reshape"]
    image = np.random.default_rng(0).standard_normal((1, 2, 5, 5)).astype(np.float32)
    ours, theirs = (
        ort.InferenceSession(each.SerializeToString()).run(None, {"image": image})
        for each in (plain, onnx.load(source))
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert np.array_equal(mine, other)


def test_its_failure_is_told_without_the_stack(
    interpreter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAILS", "1")
    with pytest.raises(ConversionError, match=r"exit code 1") as caught:
        converted(model(tmp_path / "small.onnx"), tmp_path / "cache")
    words = str(caught.value)
    assert "ValueError: unsupported operator: Einsum" in words and "The whole log" in words
    assert "^^^" not in words and "File " not in words and "Traceback" not in words
    assert "--form" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("named", "words"),
    [(None, "names none"), ("/no/such/python", "is no program"), (sys.executable, "can't run onnx2tf")],
)
def test_without_it_a_sentence_says_what_to_do(
    named: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named is None:
        monkeypatch.delenv(convert.ONNX2TF, raising=False)
    else:
        monkeypatch.setenv(convert.ONNX2TF, named)
    with pytest.raises(ConversionError, match=words) as caught:
        converted(model(tmp_path / "small.onnx"), tmp_path / "cache")
    assert convert.ONNX2TF in str(caught.value.remedy) and "docs/install.md" in str(caught.value.remedy)


def test_the_real_one(tmp_path: Path) -> None:
    if not os.environ.get(convert.ONNX2TF):
        pytest.skip(f"{convert.ONNX2TF} names no Python that has onnx2tf")
    pytest.importorskip("ai_edge_litert")
    import whichpu

    campaign = whichpu.measure(
        model(tmp_path / "small.onnx"), on=["litert:cpu"], budget_s=1.0, rounds_most=1, loop="python"
    ).campaign
    (result,) = campaign.results
    assert result.status == "measured" and result.difference is not None
    assert result.difference.relative is not None and result.difference.relative < 1e-5
