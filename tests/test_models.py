"""Models as files: told by content, hashed whole, and refused with words."""

import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from whichpu.errors import UserError
from whichpu.models import artefact
from whichpu.models.inputs import from_npz
from whichpu.worker.wire import TensorSpec

EXAMPLE = Path(__file__).parent.parent / "examples" / "apple_stock"


def model_file(path, shape, names=("x",)):
    """An ONNX model that adds its inputs up; sizes may be strings (dynamic)."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Sum", list(names), ["y"])], "sum", inputs, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_forms_beside_the_model_are_found_and_hashed():
    model = artefact.load(EXAMPLE / "gru.onnx")
    assert model.name == "gru"
    assert {form: found.origin for form, found in model.forms.items()} == {
        "onnx": "given",
        "pt2": "beside",
        "tflite": "beside",
    }
    readme = (EXAMPLE / "README.md").read_text()
    for form in model.forms.values():
        assert form.sha256 in readme, f"the example's README states another hash for {form.file}"
    assert model.inputs == [TensorSpec("window", "float32", [1, 60, 1])]


def test_siblings_can_be_left_out():
    assert set(artefact.load(EXAMPLE / "gru.onnx", siblings=False).forms) == {"onnx"}


def test_two_forms_of_one_format_are_refused():
    with pytest.raises(UserError, match="two onnx forms"):
        artefact.load(EXAMPLE / "gru.onnx", [EXAMPLE / "lstm.onnx"])


def test_the_format_is_told_by_content_not_by_name(tmp_path):
    renamed = tmp_path / "model.bin"
    renamed.write_bytes((EXAMPLE / "gru.tflite").read_bytes())
    assert artefact.format_of(renamed) == "tflite"
    renamed.write_bytes((EXAMPLE / "gru.pt2").read_bytes())
    assert artefact.format_of(renamed) == "pt2"


def test_dynamic_shapes_ask_for_their_sizes(tmp_path):
    path = model_file(tmp_path / "m.onnx", ["batch", 3, "height"])
    with pytest.raises(UserError, match=r"dynamic shape: \[batch\]x3x\[height\]") as told:
        artefact.load(path)
    assert told.value.remedy == "give its sizes, for example --shape x=1x3x1"
    assert artefact.load(path, shapes={"x": [2, 3, 5]}).inputs[0].shape == [2, 3, 5]
    assert artefact.load(path, shapes={None: [2, 3, 5]}).inputs[0].shape == [2, 3, 5]
    for wrong in ([2, 4, 5], [2, 3]):
        with pytest.raises(UserError, match="does not fit"):
            artefact.load(path, shapes={"x": wrong})
    with pytest.raises(UserError, match="has no input 'z'"):
        artefact.load(path, shapes={"z": [2, 3, 5]})


def test_a_nameless_shape_needs_a_lone_input(tmp_path):
    path = model_file(tmp_path / "m.onnx", ["n", 3], names=("a", "b"))
    with pytest.raises(UserError, match="has 2 inputs"):
        artefact.load(path, shapes={None: [1, 3]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x=1x3x4", ("x", [1, 3, 4])), ("1,60,1", (None, [1, 60, 1])), ("a=b=2x2", ("a=b", [2, 2])), ("7", (None, [7]))],
)
def test_shape_options(text, expected):
    assert artefact.shape_option(text) == expected


@pytest.mark.parametrize("text", ["", "x=", "=1x2", "x=1xx2", "x=-1", "x=1.5", "x=a"])
def test_shape_options_that_are_none(text):
    with pytest.raises(UserError, match="is not a shape"):
        artefact.shape_option(text)


def test_weights_beside_the_file_count(tmp_path):
    path = tmp_path / "m.onnx"
    weights = numpy_helper.from_array(np.ones(1024, dtype=np.float32), "w")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1024])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1024])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "add", [value], [output], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path, save_as_external_data=True, location="m.weights", size_threshold=0)
    before = artefact.load(path).forms["onnx"]
    assert before.bytes == path.stat().st_size + 4096
    (tmp_path / "m.weights").write_bytes(np.zeros(1024, dtype=np.float32).tobytes())
    assert artefact.load(path).forms["onnx"].sha256 != before.sha256
    (tmp_path / "m.weights").unlink()
    with pytest.raises(UserError, match=r"needs m.weights beside it"):
        artefact.load(path)


def test_pickled_weights_are_refused_with_the_way_out(tmp_path):
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("archive/data.pkl", b"")
    with pytest.raises(UserError, match="pickled PyTorch weights") as told:
        artefact.load(path)
    assert "torch.export.save" in told.value.remedy


SPECS = [TensorSpec("a", "float32", [1, 2]), TensorSpec("b", "int64", [3])]


def test_samples_come_with_or_without_a_sample_axis(tmp_path):
    np.savez(tmp_path / "d.npz", a=np.ones((4, 1, 2), np.float32), b=np.ones((4, 3), np.int32))
    a, b = from_npz(tmp_path / "d.npz", SPECS)
    assert (a.shape, b.shape, b.dtype) == ((4, 1, 2), (4, 3), np.int64)
    np.savez(tmp_path / "d.npz", a=np.ones((1, 2), np.float32), b=np.ones(3, np.int64))
    assert [array.shape for array in from_npz(tmp_path / "d.npz", SPECS)] == [(1, 1, 2), (1, 3)]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"a": np.ones((1, 2)), "c": np.ones(3)}, "holds 'c', but the model has no such input"),
        ({"a": np.ones((1, 2), np.float32)}, "no array for input 'b'"),
        ({"a": np.ones((9, 9), np.float32), "b": np.ones(3, np.int64)}, "the model takes samples of"),
        ({"a": np.ones((1, 2), np.float32), "b": np.ones(3, np.float32)}, "'b' is float32; the model takes int64"),
        ({"a": np.ones((5, 1, 2), np.float32), "b": np.ones((4, 3), np.int64)}, "different numbers of samples"),
    ],
)
def test_samples_that_do_not_fit_are_refused_by_name(tmp_path, arrays, says):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(UserError, match=says):
        from_npz(tmp_path / "d.npz", SPECS)
