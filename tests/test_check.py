"""Outputs against the reference's: each output on its own scale, samples of varying shape, NaN and infinities."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import whichpu
from whichpu.campaign.outputs import difference, outputs_of, refuse_nan
from whichpu.errors import UserError
from whichpu.targets.link import WorkerTrouble

EXAMPLE = Path(__file__).parent.parent / "examples" / "apple_stock"


def test_a_small_output_is_not_hidden_by_a_large_one():
    boxes, scores = np.full((4, 10), 320.0), np.full((4, 3), 0.9)
    found = difference([boxes, scores - 0.3], [boxes, scores])
    assert found.max_abs == pytest.approx(0.3)
    assert found.relative == pytest.approx(1 / 3)
    assert found.output == 1


def test_equal_outputs_and_all_zero_references():
    same = difference([np.ones((2, 3))], [np.ones((2, 3))])
    assert (same.max_abs, same.relative, same.output) == (0.0, 0.0, None)
    off = difference([np.ones((2, 3))], [np.zeros((2, 3))])
    assert (off.max_abs, off.relative) == (1.0, None)


def test_shapes_that_depend_on_the_data_are_compared_sample_by_sample():
    ours = [[np.zeros(3), np.zeros(5), np.ones(2)]]
    theirs = [[np.zeros(3), np.zeros(4), np.zeros(2)]]
    found = difference(ours, theirs)
    assert (found.other_shapes, found.samples, found.max_abs) == (1, 3, 1.0)


def test_other_shapes_in_every_sample_and_other_outputs_are_no_answer():
    with pytest.raises(WorkerTrouble, match="3 values a sample; the reference gives 4"):
        difference([np.zeros((2, 3))], [np.zeros((2, 4))])
    with pytest.raises(WorkerTrouble, match="gives 1 outputs; the reference gives 2"):
        difference([np.zeros((2, 3))], [np.zeros((2, 3))] * 2)


def test_an_axis_of_one_more_or_less_is_no_difference():
    assert difference([np.ones((2, 1, 3))], [np.ones((2, 3))]).max_abs == 0


def test_equal_infinities_are_an_answer_and_unequal_ones_are_not():
    masked = np.array([[1.0, -np.inf]])
    assert difference([masked], [masked.copy()]).max_abs == 0
    with pytest.raises(WorkerTrouble, match="infinite in the reference or here"):
        difference([np.array([[1.0, 2.0]])], [masked])
    refuse_nan([masked])
    with pytest.raises(WorkerTrouble, match="1 of 2 values of output 0 are NaN"):
        refuse_nan([np.array([[1.0, np.nan]])])


def nonzero(path):
    """A model whose output's size depends on the data: the places of the positive values."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [8])
    output = helper.make_tensor_value_info("y", TensorProto.INT64, None)
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("NonZero", ["r"], ["y"])]
    graph = helper.make_graph(nodes, "nonzero", [value], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_outputs_of_varying_size_are_measured_and_compared(tmp_path):
    samples = np.where(np.random.default_rng(1).random((6, 8)) < 0.5, -1, 1).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=samples)
    on = ["onnxruntime:cpu"]
    campaign = whichpu.measure(nonzero(tmp_path / "m.onnx"), on=on, data=tmp_path / "d.npz", rounds_most=1).campaign
    (result,) = campaign.results
    assert result.status == "measured"
    assert (result.difference.max_abs, result.difference.other_shapes, result.difference.samples) == (0, 0, 6)


def test_outputs_files_keep_their_order(tmp_path):
    path = tmp_path / "o.npz"
    np.savez(path, output_0=np.zeros((2, 1)), output_1_0=np.zeros(1), output_1_1=np.zeros(2), output_2=np.ones((2, 3)))
    first, second, third = outputs_of(path)
    assert (first.shape, [array.size for array in second], third.shape) == ((2, 1), [1, 2], (2, 3))


def test_a_task_that_does_not_fit_the_model_is_the_users_mistake(tmp_path):
    value = helper.make_tensor_value_info("window", TensorProto.FLOAT, [1, 60, 1])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 60, 1])
    graph = helper.make_graph([helper.make_node("Relu", ["window"], ["y"])], "g", [value], [output])
    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    with pytest.raises(UserError, match="the task does not fit this model"):
        whichpu.measure(path, on=["onnxruntime"], data=EXAMPLE / "task.toml", rounds_most=1)


def test_a_model_without_inputs_is_refused(tmp_path):
    weights = onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    graph = helper.make_graph([helper.make_node("Relu", ["w"], ["y"])], "g", [], [output], [weights])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    with pytest.raises(UserError, match="takes no input"):
        whichpu.measure(path, on=["null"])


def test_a_tflite_alone_is_held_against_its_own_runtime():
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("openvino")
    on = ["openvino:cpu", "litert:cpu"]
    campaign = whichpu.measure(EXAMPLE / "gru.tflite", on=on, siblings=False, rounds_most=1).campaign
    assert campaign.reference.by == "litert:cpu"


def test_a_symlinked_model_keeps_its_weights_beside_it(tmp_path):
    real, links = tmp_path / "blobs", tmp_path / "snapshot"
    real.mkdir()
    links.mkdir()
    weights = onnx.numpy_helper.from_array(np.ones(1024, np.float32), "w")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1024])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1024])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [value], [output], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, real / "m.onnx", save_as_external_data=True, location="m.weights", size_threshold=0)
    (real / "m.onnx").rename(real / "1a2b")
    (real / "m.weights").rename(real / "3c4d")
    (links / "m.onnx").symlink_to(real / "1a2b")
    (links / "m.weights").symlink_to(real / "3c4d")
    campaign = whichpu.measure(links / "m.onnx", on=["onnxruntime:cpu", "openvino:cpu"], rounds_most=1).campaign
    assert [
        (result.name, result.status, result.why) for result in campaign.results if result.status != "measured"
    ] == []
