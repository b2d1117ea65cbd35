"""MXNet: what can be said without it; and with ``WHICHPU_TEST_MXNET_PYTHON``, an interpreter that has it, real runs."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy
import pytest
from conftest import save_onnx

from whichpu.models import artefact
from whichpu.worker import wire

REAL = os.environ.get("WHICHPU_TEST_MXNET_PYTHON", "")
needs_mxnet = pytest.mark.skipif(not REAL, reason="WHICHPU_TEST_MXNET_PYTHON names no interpreter with MXNet")
TINY = """
import mxnet as mx, numpy as np
x = mx.sym.Variable("data", shape=(1, 4))
y = mx.sym.FullyConnected(x, num_hidden=3, name="fc")
mx.sym.Group([mx.sym.Activation(y, act_type="relu", name="relu"), y]).save("tiny-symbol.json")
weight, bias = np.arange(12, dtype="float32").reshape(3, 4) - 6, np.array([1, -20, 3], "float32")
mx.nd.save("tiny-0000.params", {"arg:fc_weight": mx.nd.array(weight), "arg:fc_bias": mx.nd.array(bias)})
"""


def test_without_it_one_command_is_told(asked):
    if importlib.util.find_spec("mxnet") is not None:
        pytest.skip("MXNet is installed")
    told = asked.ask(wire.Describe("mxnet"))
    assert told["rare"] and "mxnet" in told["why_not"] and "Python 3.8" in told["remedy"]


def test_a_model_is_two_files(tmp_path):
    symbol = tmp_path / "net-symbol.json"
    symbol.write_text("{}")
    assert artefact.format_of(symbol) == "mxnet"
    assert artefact.files_of(symbol, "mxnet")[1].name == "net-0000.params"


def run(path: pathlib.Path | str, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    target = f"mxnet:cpu,python={REAL}"
    command = [
        sys.executable,
        "-m",
        "whichpu",
        "run",
        str(path),
        "--on",
        target,
        "--rounds",
        "1",
        "-o",
        "out.json",
        "--overwrite",
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)


@needs_mxnet
def test_its_own_format(tmp_path):
    subprocess.run([REAL, "-c", TINY], cwd=tmp_path, check=True, capture_output=True)
    ended = run("tiny-symbol.json", tmp_path)
    assert ended.returncode == 0, ended.stderr
    (result,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert (result["status"], result["precision"]["ran"]) == ("measured", "fp32")
    assert "OMP_NUM_THREADS" in result["effective"]


def conv(path: pathlib.Path, **padding: object) -> str:
    weights = numpy.random.default_rng(0).standard_normal((2, 1, 3, 3)).astype("float32")
    shape = {"x": ("float32", [1, 1, 8, 8])}
    nodes = [("Conv", ["x", "w"], ["made"], {"kernel_shape": [3, 3], **padding}), ("Relu", ["made"], ["y"], {})]
    return save_onnx(path, nodes, shape, {"y": ("float32", [1, 2, 8, 8])}, w=weights)


@needs_mxnet
def test_onnx_is_read_right_or_refused(tmp_path):
    ended = run(conv(tmp_path / "c.onnx", pads=[1, 1, 1, 1]), tmp_path)
    assert ended.returncode == 0, ended.stderr
    (result,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert result["difference"]["max_abs"] < 1e-5
    ended = run(conv(tmp_path / "same.onnx", auto_pad="SAME_UPPER"), tmp_path)
    assert ended.returncode == 1 and "ignores auto_pad=SAME_UPPER" in " ".join(ended.stdout.split())
