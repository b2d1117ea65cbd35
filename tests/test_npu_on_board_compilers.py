"""Compilers that this machine can't hold, asked through stand-ins with their exact signatures: TensorRT, TVM."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from whichpu.errors import UserError
from whichpu.graphs import compilers
from whichpu.graphs.capability import find
from whichpu.graphs.compilers import tensorrt, tvm
from whichpu.graphs.readers import read

STANDINS = Path(__file__).parent / "standins"


@pytest.fixture
def model(tmp_path):
    """Relu, Erf, Add of a constant; nodes without names, as exporters leave them."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Erf", ["a"], ["b"]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in "xy"]
    constant = numpy_helper.from_array(np.ones((1, 4, 1, 1), np.float32), "c")
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], [constant])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def standin(monkeypatch):
    """Puts the stand-ins before the children's eyes; called, it tells TensorRT's what to answer."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(STANDINS / one) for one in ("npu", "tensorrt")))
    return lambda **told: monkeypatch.setenv("TENSORRT_STANDIN", json.dumps(told))


def asked(model, npu=f"dla-orin:python={sys.executable}"):
    target = find(npu)
    assert compilers.why_not(target) is None
    return compilers.ask(model, read(model), target)


@pytest.mark.parametrize("metadata", [True, False])
def test_each_operator_gets_can_run_on_dlas_answer(model, standin, metadata):
    standin(off={"Erf": "Activation type: ERF is not supported on DLA.", "constant": ""}, metadata=metadata)
    told = asked(model)
    assert told.tool == "TensorRT 10.3.0"
    assert {index: verdict.status for index, verdict in told.verdicts.items()} == {0: "npu", 1: "host", 2: "npu"}
    assert told.verdicts[1].reason == "Activation type: ERF is not supported on DLA."
    assert told.verdicts[1].said_by == "TensorRT 10.3.0"


def test_a_layer_without_words_is_told_by_its_type(model, standin):
    standin(off={"Add": ""})
    assert asked(model).verdicts[2].reason == "can_run_on_DLA says no to its ELEMENTWISE layer"


def test_without_fallback_a_no_stops_the_build(model, standin):
    standin(off={"Erf": "no"})
    told = asked(model, f"dla-orin:fallback=none,precision=int8,python={sys.executable}")
    assert told.verdicts[1].status == "refused"


def test_a_machine_without_a_dla_is_not_asked(model, standin):
    standin(cores=0)
    with pytest.raises(UserError, match="finds no DLA on this machine"):
        asked(model)


def test_a_model_tensorrt_cant_parse_is_its_answer(model, standin):
    standin(parse_error="No importer registered for op: Erf")
    told = asked(model)
    assert (told.refused, told.verdicts) == ("No importer registered for op: Erf", {})


def test_the_users_model_is_left_alone(model, standin):
    before = model.read_bytes()
    standin()
    asked(model)
    assert model.read_bytes() == before


def test_a_child_that_dies_is_told(model, standin):
    standin(metadata=3, off=[1])
    with pytest.raises(UserError, match="gave no answer"):
        asked(model)


def test_why_not_says_what_to_do(tmp_path):
    assert "on the Jetson" in (tensorrt.why_not(find(f"dla-orin:python={sys.executable}")) or "")
    assert "build TVM 0.18" in (tvm.why_not(find("dla-orin")) or "")


def test_other_formats_are_refused(tmp_path):
    for module, suffix in ((tensorrt, "tflite"), (tvm, "relay")):
        with pytest.raises(UserError, match="is asked with"):
            module.ask(tmp_path / f"net.{suffix}", None, find("dla-orin"))


def test_tvm_tells_functions_and_calls(model, standin):
    target = find(f"dla-orin:python={sys.executable}")
    assert tvm.why_not(target) is None
    told = tvm.ask(model, read(model), target)
    assert told.tool == "TVM 0.18.0"
    assert (told.regions, told.figures["functions"]) == (1, 2)
    assert (told.figures["calls"]["erf"], told.figures["calls"]["add"]) == (1, 1)


@pytest.mark.parametrize(("how", "words"), [("refuses", "ValueError: Driver stack version 5.0.0 is unsupported.")])
def test_tvms_refusal_is_its_answer(model, standin, monkeypatch, how, words):
    monkeypatch.setenv("TVM_STANDIN", how)
    assert tvm.ask(model, None, find(f"dla-orin:python={sys.executable}")).refused == words


def test_a_tvm_without_ethos_n_is_not_asked(model, standin, monkeypatch):
    monkeypatch.setenv("TVM_STANDIN", "not built")
    with pytest.raises(UserError, match="without Ethos-N"):
        tvm.ask(model, None, find(f"dla-orin:python={sys.executable}"))


def test_a_variant_is_tops_and_ple_ratio():
    assert tvm.compiler_options({"variant": "8tops-2ple"}) == {"variant": "n78", "tops": "8", "ple_ratio": "2"}
    assert tvm.compiler_options({}) == {"variant": "n78"}
