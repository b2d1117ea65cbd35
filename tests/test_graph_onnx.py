"""ONNX files as graphs: what is read, what is folded, and what is refused by name."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from whichpu.errors import UserError
from whichpu.graphs.cost import costs
from whichpu.graphs.readers import read
from whichpu.graphs.readers.onnx import graph_of


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def stored(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes, inputs, outputs, initializers=(), opset=17, **more):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9, **more)


def convolution(shape=(1, 3, 8, 8)):
    weights = stored("w", np.ones((4, 3, 3, 3), np.float32))
    return model([helper.make_node("Conv", ["x", "w"], ["y"])], [value("x", shape)], [value("y", None)], [weights])


def written(tmp_path, made, name="m.onnx"):
    path = tmp_path / name
    onnx.save(made, path)
    return path


def refusal(tmp_path, made, shapes=None):
    with pytest.raises(UserError) as problem:
        read(written(tmp_path, made), shapes)
    return f"{problem.value}. {problem.value.remedy}"


def test_macs_parameters_and_bytes_of_a_convolution():
    graph = graph_of(convolution(), "m")
    (cost,) = costs(graph)
    assert cost.macs == 4 * 6 * 6 * 27
    assert cost.parameters == 4 * 27
    assert cost.parameter_bytes == 4 * 27 * 4
    assert cost.read_bytes == 3 * 64 * 4
    assert cost.written_bytes == 4 * 36 * 4


def test_shape_arithmetic_is_folded_and_the_shapes_after_it_are_told():
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["batch1"]),
        helper.make_node("Concat", ["batch1", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["flat"]),
        helper.make_node("Relu", ["flat"], ["y"]),
    ]
    constants = [stored("zero", np.int64(0)), stored("axes", np.int64([0])), stored("rest", np.int64([-1, 6]))]
    graph = graph_of(model(nodes, [value("x", [2, 3, 4])], [value("y", None)], constants), "m")
    assert [operator.type for operator in graph.operators] == ["Reshape", "Relu"]
    assert graph.outputs[0].shape == (2, 2, 6)
    assert "4 operators that work on constants alone" in graph.notes[0]


def test_shapes_that_only_folding_can_tell_are_inferred_in_a_second_round():
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["count"], keepdims=1),
        helper.make_node("Reshape", ["x", "count"], ["flat"]),
        helper.make_node("Relu", ["flat"], ["y"]),
    ]
    graph = graph_of(model(nodes, [value("x", [2, 3, 4])], [value("y", [None])]), "m")
    assert graph.operators[-1].outputs[0].shape == (24,)


def test_branches_are_entered_and_told_where_they_stand():
    def branch(kind):
        return helper.make_graph(
            [helper.make_node(kind, ["x"], [f"{kind}_out"], name=kind)], kind, [], [value(f"{kind}_out", [1, 4])]
        )

    node = helper.make_node(
        "If", ["flag"], ["y"], name="choice", then_branch=branch("Relu"), else_branch=branch("Tanh")
    )
    graph = graph_of(
        model([node], [value("x", [1, 4]), value("flag", [], TensorProto.BOOL)], [value("y", [1, 4])]), "m"
    )
    assert {(operator.type, operator.within) for operator in graph.operators} == {
        ("Relu", "/choice/then_branch"),
        ("Tanh", "/choice/else_branch"),
        ("If", ""),
    }
    relu = next(operator for operator in graph.operators if operator.type == "Relu")
    assert relu.inputs[0] is graph.inputs[0]


def test_the_models_own_functions_are_inlined():
    body = helper.make_function(
        "own", "twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    made = model(
        [helper.make_node("twice", ["x"], ["y"], domain="own")], [value("x", [2])], [value("y", [2])], functions=[body]
    )
    made.opset_import.append(helper.make_opsetid("own", 1))
    graph = graph_of(made, "m")
    assert [operator.type for operator in graph.operators] == ["Add"]


def test_custom_operators_stay_with_their_domain():
    made = model([helper.make_node("Magic", ["x"], ["y"], domain="acme")], [value("x", [2])], [value("y", [2])])
    made.opset_import.append(helper.make_opsetid("acme", 1))
    (operator,) = graph_of(made, "m").operators
    assert (operator.type, operator.domain) == ("Magic", "acme")


def test_open_sizes_are_refused_and_given_ones_are_used(tmp_path):
    made = convolution(("n", 3, "height", "width"))
    assert "has a dynamic shape: [n]x3x[height]x[width]. give its sizes, for example --shape x=1x3x1x1" in refusal(
        tmp_path, made
    )
    assert read(tmp_path / "m.onnx", {None: (2, 3, 10, 10)}).outputs[0].shape == (2, 4, 8, 8)
    assert "does not fit" in refusal(tmp_path, made, {"x": (2, 1, 10, 10)})
    assert "has no input 'y'" in refusal(tmp_path, made, {"y": (1,)})


def test_an_open_batch_is_one(tmp_path):
    graph = read(written(tmp_path, convolution(("n", 3, 8, 8))))
    assert graph.outputs[0].shape == (1, 4, 6, 6)
    assert "taken as 1" in graph.notes[0]


def test_external_weights_must_be_there_and_in_the_folder(tmp_path):
    made = convolution()
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert read(tmp_path / "m.onnx").operators[0].inputs[1].read().sum() == 108
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"needs weights\.bin beside it"):
        read(tmp_path / "m.onnx")
    outside = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    outside.graph.initializer[0].external_data[0].value = "../weights.bin"
    (tmp_path / "m.onnx").write_bytes(outside.SerializeToString())
    with pytest.raises(UserError, match="outside of its folder"):
        read(tmp_path / "m.onnx")


def test_a_model_compiled_for_a_device_is_named(tmp_path):
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", source="QNN")
    made = model([node], [value("x", [2])], [value("y", [2])])
    assert "compiled for a device already, by ONNX Runtime for QNN (EPContext)" in refusal(tmp_path, made)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([], "has no operators"),
        (
            [
                helper.make_node("Add", ["x", "b"], ["a"], name="one"),
                helper.make_node("Relu", ["a"], ["b"], name="two"),
            ],
            "form a cycle",
        ),
        ([helper.make_node("Add", ["x", "nowhere"], ["a"])], "nothing produces 'nowhere'"),
        ([helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Tanh", ["x"], ["a"])], "'a' is produced twice"),
        ([helper.make_node("Relu", ["x"], ["other"])], "nothing produces its output 'a'"),
    ],
)
def test_invalid_graphs_are_refused_by_name(tmp_path, nodes, words):
    made = model(nodes, [value("x", [2])], [value("a" if nodes else "x", [2])])
    assert words in refusal(tmp_path, made)


def test_nodes_out_of_order_are_put_in_order():
    nodes = [helper.make_node("Tanh", ["a"], ["y"]), helper.make_node("Relu", ["x"], ["a"])]
    graph = graph_of(model(nodes, [value("x", [2])], [value("y", [2])]), "m")
    assert [operator.type for operator in graph.operators] == ["Relu", "Tanh"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_or_read_and_never_crash(tmp_path, data):
    raw = bytearray(convolution().SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(raw[: data.draw(st.integers(1, len(raw)))]))
    try:
        costs(read(path))
    except UserError:
        pass
