"""Models that are odd but not impossible, on every table: a verdict or a named refusal, never an exception."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from whichpu.errors import UserError
from whichpu.graphs import capability
from whichpu.graphs.analysis import analyse
from whichpu.graphs.readers import read
from whichpu.reports import analysis as words

SHAPE = (1, 3, 8, 8)
RELAY = "def @main(%x: Tensor[(1, 3), float32]) {\n  nn.relu(%x)\n}\n"


def node(kind, *inputs, **attributes):
    return helper.make_node(kind, ["x", *inputs], ["y"], **attributes)


def stored(name, values, dtype):
    return numpy_helper.from_array(np.array(values, dtype), name)


def written(path: Path, nodes, constants=(), shape=SHAPE, kind=TensorProto.FLOAT, functions=(), domains=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        list(constants),
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(name, 1) for name in domains)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions), path)
    return path


W = stored("w", np.ones((4, 3, 3, 3)), np.float32)
ODD = {
    "scales that are no number": ([node("Resize", "", "s")], [stored("s", [1, 1, np.nan, np.inf], np.float32)], {}),
    "strides of nothing": ([node("Conv", "w", strides=[0, 0])], [W], {}),
    "no groups": ([node("Conv", "w", group=0, strides=[2**60, 2**60])], [W], {}),
    "a size of 2^40": ([node("Conv", "w")], [W], {"shape": (1, 3, 2**40, 2**40)}),
    "a batch of nothing": ([node("Conv", "w")], [W], {"shape": (0, 3, 8, 8)}),
    "weights left out": ([node("Conv")], [], {}),
    "a window of nothing": ([node("MaxPool", kernel_shape=[0, 0])], [], {}),
    "an axis that is not there": ([node("Softmax", axis=99)], [], {}),
    "an order of axes that is none": ([node("Transpose", perm=[0, 1, 2, 9])], [], {}),
    "a scale that holds nothing": (
        [
            helper.make_node("DequantizeLinear", ["x", "s", "z"], ["a"]),
            helper.make_node("Conv", ["a", "w"], ["b"]),
            helper.make_node("QuantizeLinear", ["b", "s", "z"], ["y"]),
        ],
        [W, stored("s", [], np.float32), stored("z", 0, np.int8)],
        {"kind": TensorProto.INT8},
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_no_odd_model_is_a_bug(tmp_path, odd):
    nodes, constants, more = ODD[odd]
    found = analyse(written(tmp_path / "odd.onnx", nodes, constants, **more), capability.targets(["all"]), ask=False)
    assert not found.bugs, found.bugs
    assert words.plain([found]) or words.refusals(found)


def test_a_function_that_calls_itself(tmp_path):
    call = helper.make_node("Fused", ["x"], ["y"], domain="d")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
    itself = helper.make_function("d", "Fused", ["x"], ["y"], [call], opsets)
    path = written(tmp_path / "m.onnx", [call], functions=[itself], domains=["d"])
    with pytest.raises(UserError, match=r"m\.onnx is invalid: its functions: Cycle"):
        read(path)


def test_a_size_of_too_many_digits_is_open(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text(RELAY.replace("(1, 3)", f"(1, {'9' * 6000})"), encoding="utf-8")
    assert read(path).inputs[0].shape == (1, None)


def test_a_packed_dump(tmp_path):
    path = tmp_path / "m.txt.gz"
    packed = gzip.compress(RELAY.encode())
    path.write_bytes(packed)
    assert [one.type for one in read(path).operators] == ["nn.relu"]
    path.write_bytes(packed[:14] + b"\xff" * 8 + packed[22:])
    with pytest.raises(UserError, match="can't be read as text"):
        read(path)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        read(tmp_path)
