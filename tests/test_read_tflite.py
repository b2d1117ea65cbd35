"""TFLite files as graphs: options, quantisation, constants, bodies, signatures; damaged and compiled files refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.readers import read, tflite

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "npu"))

import vela_zoo
from tflite_file import Model


def opened(content, folder, **shapes):
    path = folder / "net.tflite"
    path.write_bytes(content)
    return read(path, shapes)


def test_options_quantisation_and_shapes(tmp_path):
    graph = opened(vela_zoo.convolution(stride=(2, 1), dilation=(1, 2), activation="RELU6"), tmp_path)
    (conv,) = graph.operators
    assert (conv.type, conv.name, graph.dialect) == ("CONV_2D", conv.outputs[0].name, "tflite")
    assert {key: conv.attributes[key] for key in ("stride_h", "stride_w", "dilation_h", "dilation_w", "padding")} == {
        "stride_h": 2, "stride_w": 1, "dilation_h": 1, "dilation_w": 2, "padding": "SAME"
    }  # fmt: skip
    assert conv.attributes["activation"] == "RELU6"
    data, weights, bias = conv.inputs
    assert (data.dtype, data.shape, data.constant, data.quantisation.scales) == (
        "int8", (1, 16, 16, 4), False, (pytest.approx(0.05),)
    )  # fmt: skip
    assert weights.shape == (8, 3, 3, 4)
    assert len(weights.quantisation.scales) == 8
    assert weights.quantisation.axis == 0
    assert weights.read().sum() == weights.elements
    assert bias.dtype == "int32"
    assert conv.outputs[0].producer is conv


def test_a_custom_operator_keeps_its_code(tmp_path):
    graph = opened(vela_zoo.single("MyOperator", custom=True), tmp_path)
    assert (graph.operators[0].type, graph.operators[0].domain) == ("MyOperator", "custom")


def test_packed_weights_come_one_by_one(tmp_path):
    graph = opened(vela_zoo.convolution(weight_type="int4", weights=-3), tmp_path)
    assert set(graph.operators[0].inputs[1].read().reshape(-1).tolist()) == {-3}


def test_an_open_batch_is_the_stored_one_and_other_open_sizes_are_not_known(tmp_path):
    batch = opened(vela_zoo.single("ABS", feed={"signature": [-1, 8, 8, 16]}), tmp_path)
    assert batch.inputs[0].shape == (1, 8, 8, 16)
    width = opened(vela_zoo.single("ABS", feed={"signature": [1, 8, -1, 16]}), tmp_path)
    assert width.inputs[0].shape == (1, 8, None, 16)
    assert "leaves open" in width.notes[0]


def test_sizes_may_be_given(tmp_path):
    content = vela_zoo.single("ABS")
    larger = opened(content, tmp_path, t0=(4, 8, 8, 16))
    assert larger.outputs[0].shape == (4, 8, 8, 16)
    other = opened(content, tmp_path, t0=(1, 9, 8, 16))
    assert other.outputs[0].elements is None
    with pytest.raises(UserError, match="no input 'x'"):
        opened(content, tmp_path, x=(1, 8, 8, 16))
    with pytest.raises(UserError, match="4 dimensions"):
        opened(content, tmp_path, t0=(1, 8))


@pytest.mark.parametrize(
    ("code", "words"),
    [("ethos-u", "Ethos-U"), ("edgetpu-custom-op", "Edge TPU"), ("DISPATCH_OP", "dispatch")],
)
def test_compiled_models_are_named(tmp_path, code, words):
    with pytest.raises(UserError, match=f"compiled already for .*{words}"):
        opened(vela_zoo.single(code, custom=True), tmp_path)


def test_what_is_no_tflite(tmp_path):
    with pytest.raises(UserError, match="is not a TFLite model"):
        opened(b"\x08\x07\x12\x04onnx" * 20, tmp_path)
    with pytest.raises(UserError, match="is not a TFLite model"):
        opened(b"", tmp_path)
    model = Model()
    x = vela_zoo.fed(model, (1, 2))
    with pytest.raises(UserError, match="has no operators"):
        opened(model.write([x], [x]), tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_but_never_crashes(tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from(DAMAGED)))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 5))
        content[place : place + 4] = data.draw(
            st.sampled_from([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\1\0"])
            | st.binary(min_size=4, max_size=4)
        )
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    path = tmp_path_factory.mktemp("damaged") / "net.tflite"
    path.write_bytes(content)
    try:
        graph = tflite.read(path, {})
    except UserError:
        return
    for operator in graph.operators:
        for tensor in operator.inputs:
            if tensor is not None and tensor.read is not None:
                try:
                    assert isinstance(tensor.read(), np.ndarray)
                except UnknownFactError:
                    continue


DAMAGED = [vela_zoo.convolution(channels=2, outs=2), vela_zoo.recurrent(), vela_zoo.topk()]
