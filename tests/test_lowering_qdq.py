"""Q/DQ node units: which groups are one integer operator, and what stays."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from whichpu.graphs.capability import find
from whichpu.graphs.lowering import lower
from whichpu.graphs.lowering.qdq import fold_qdq
from whichpu.graphs.readers.onnx import graph_of

FLOAT = TensorProto.FLOAT


class Net:
    """A network under construction."""

    def __init__(self, opset=17):
        self.nodes, self.stored, self.opset = [], [], opset

    def add(self, op, *inputs, domain="", **attributes):
        output = f"{op}_{len(self.nodes)}_out"
        self.nodes.append(
            helper.make_node(op, inputs, [output], f"{op}_{len(self.nodes)}", domain=domain, **attributes)
        )
        return output

    def const(self, values, dtype=np.float32):
        self.stored.append(numpy_helper.from_array(np.asarray(values, dtype), f"c{len(self.stored)}"))
        return self.stored[-1].name

    def q(self, tensor, scale=0.1, zero=0, dtype=np.uint8):
        return self.add("QuantizeLinear", tensor, self.const(scale), self.const(zero, dtype))

    def dq(self, tensor, scale=0.1, zero=0, dtype=np.uint8, **attributes):
        return self.add("DequantizeLinear", tensor, self.const(scale), self.const(zero, dtype), **attributes)

    def weights(self, values, dtype=np.uint8, scale=0.1, zero=0, **attributes):
        return self.dq(self.const(values, dtype), scale, zero, dtype, **attributes)

    def graph(self, *outputs, shape=(1, 3, 8, 8)):
        body = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", FLOAT, shape)],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            self.stored,
        )
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return graph_of(onnx.shape_inference.infer_shapes(helper.make_model(body, opset_imports=imports)), "net.onnx")


def kinds(graph):
    return [operator.type for operator in graph.operators]


def one(graph, kind):
    return next(operator for operator in graph.operators if operator.type == kind)


def test_a_convolution_with_its_q_and_dq_is_one_integer_operator():
    net = Net()
    x = net.dq(net.q("x"))
    w, b = net.weights(np.ones((4, 3, 3, 3))), net.weights(np.ones(4), np.int32)
    graph = net.graph(net.dq(net.q(net.add("Conv", x, w, b))))
    folded = fold_qdq(graph)
    assert kinds(folded) == ["QuantizeLinear", "Conv", "DequantizeLinear"]
    unit = one(folded, "Conv")
    assert [tensor.dtype for tensor in unit.inputs] == ["uint8", "uint8", "int32"]
    assert unit.outputs[0].dtype == "uint8" and unit.outputs[0].quantisation.scales == pytest.approx((0.1,))
    assert unit.inputs[1].constant and unit.inputs[1].read().shape == (4, 3, 3, 3)
    named = {graph.operators[index].type for index in unit.origins}
    assert named == {"DequantizeLinear", "Conv", "QuantizeLinear"} and len(unit.origins) == 5
    assert [child.type for child in folded.children(folded.operators[0])] == ["Conv"]


def test_scales_per_channel_keep_their_axis():
    net = Net()
    w = net.weights(np.ones((4, 3, 1, 1)), scale=[0.1, 0.2, 0.3, 0.4], zero=[0] * 4, axis=0)
    graph = net.graph(net.q(net.add("Conv", net.dq(net.q("x")), w)))
    assert one(fold_qdq(graph), "Conv").inputs[1].quantisation.axis == 0
    assert len(one(fold_qdq(graph), "Conv").inputs[1].quantisation.scales) == 4


def test_a_dq_that_several_units_share_belongs_to_each():
    net = Net()
    x = net.dq(net.q("x"))
    graph = net.graph(net.q(net.add("Relu", x)), net.q(net.add("Sigmoid", x)))
    folded = fold_qdq(graph)
    assert sorted(kinds(folded)) == ["QuantizeLinear", "Relu", "Sigmoid"]
    assert set(one(folded, "Relu").origins) & set(one(folded, "Sigmoid").origins) == {1}


def test_a_dq_that_another_operator_takes_too_stays():
    net = Net()
    x = net.dq(net.q("x"))
    graph = net.graph(net.q(net.add("Relu", x)), net.add("Sigmoid", x))
    assert sorted(kinds(fold_qdq(graph))) == ["DequantizeLinear", "QuantizeLinear", "Relu", "Sigmoid"]


@pytest.mark.parametrize(("scale", "forms"), [(0.1, True), (0.2, False)])
def test_data_that_is_only_moved_keeps_its_scale(scale, forms):
    net = Net()
    moved = net.add("Transpose", net.dq(net.q("x")), perm=[0, 2, 3, 1])
    folded = fold_qdq(net.graph(net.q(moved, scale)))
    assert (len(folded.operators) == 2) == forms


@pytest.mark.parametrize(("zero", "forms"), [(0, True), (128, False)])
def test_a_relu_that_the_zero_point_makes_redundant_joins_the_unit(zero, forms):
    net = Net()
    conv = net.add("Conv", net.dq(net.q("x")), net.weights(np.ones((4, 3, 1, 1))))
    folded = fold_qdq(net.graph(net.q(net.add("Relu", conv), zero=zero)), known_only=True)
    assert ("Relu" not in kinds(folded)) == forms


def test_a_clip_wider_than_the_integers_joins_the_unit():
    for high, forms in ((30.0, True), (6.0, False)):
        net = Net()
        conv = net.add("Conv", net.dq(net.q("x")), net.weights(np.ones((4, 3, 1, 1))))
        clip = net.add("Clip", conv, net.const(0.0), net.const(high))
        assert ("Clip" not in kinds(fold_qdq(net.graph(net.q(clip)), known_only=True))) == forms


@pytest.mark.parametrize("case", ["two takers", "model output", "other type"])
def test_a_unit_does_not_form(case):
    net = Net()
    relu = net.add("Relu", net.dq(net.q("x")))
    quantised = net.q(relu, dtype=np.int8 if case == "other type" else np.uint8)
    extra = {"two takers": lambda: [net.add("Sigmoid", relu)], "model output": lambda: [relu]}.get(case, list)()
    folded = fold_qdq(net.graph(quantised, *extra), known_only=True)
    assert "DequantizeLinear" in kinds(folded) and one(folded, "Relu").inputs[0].dtype == "float32"


def test_selectors_know_their_operators_and_others_fold_where_asked():
    net = Net()
    graph = net.graph(net.q(net.add("Selu", net.dq(net.q("x")))))
    assert kinds(fold_qdq(graph)) == ["QuantizeLinear", "Selu"]
    assert kinds(fold_qdq(graph, known_only=True)).count("QuantizeLinear") == 2


def test_a_quantised_constant_is_stored():
    net = Net()
    weights = net.dq(net.q(net.const(np.full((4, 3, 1, 1), 0.34))))
    folded = fold_qdq(net.graph(net.q(net.add("Conv", net.dq(net.q("x")), weights))))
    assert kinds(folded) == ["QuantizeLinear", "Conv"]
    assert np.all(one(folded, "Conv").inputs[1].read() == 3)


def test_qoperators_are_the_plain_operator():
    net = Net()
    scale, zero = net.const(0.1), net.const(0, np.uint8)
    w = net.const(np.ones((4, 3, 1, 1)), np.uint8)
    conv = net.add("QLinearConv", net.q("x"), scale, zero, w, scale, zero, scale, zero)
    twice = net.add("QLinearAdd", conv, scale, zero, conv, scale, zero, scale, zero, domain="com.microsoft")
    folded = fold_qdq(net.graph(net.dq(twice)))
    assert kinds(folded) == ["QuantizeLinear", "Conv", "Add", "DequantizeLinear"]
    assert one(folded, "Add").domain == "" and one(folded, "Add").inputs[0].quantisation is not None
    assert "QLinearConv" in kinds(fold_qdq(net.graph(net.dq(twice)), qoperators=False))


def test_a_float_network_is_left_alone():
    graph = Net()
    relu = graph.add("Relu", "x")
    folded = fold_qdq(graph.graph(relu))
    assert kinds(folded) == ["Relu"] and folded.operators[0].origins == (0,)


def test_identity_is_dropped_and_origins_stay_the_sources():
    net = Net()
    inner = net.add("Identity", net.dq(net.q("x")))
    graph = net.graph(net.q(net.add("Relu", inner)))
    lowered = lower(graph, find("htp-v73"))
    assert kinds(lowered) == ["QuantizeLinear", "Relu"]
    assert [graph.operators[index].type for index in one(lowered, "Relu").origins] == [
        "DequantizeLinear",
        "Relu",
        "QuantizeLinear",
    ]


def test_a_float_network_is_judged_as_if_quantised_and_says_so():
    net = Net()
    lowered = lower(net.graph(net.add("Relu", "x")), find("htp-v73:precision=w8a8"))
    assert lowered.operators[0].inputs[0].dtype == "uint8"
    assert any("as its quantised form" in note for note in lowered.notes)


def test_quantised_micro_models_fold(shared_npu: Path):
    from whichpu.graphs.readers import read

    graph = read(shared_npu / "micro" / "Sub_qdq.onnx")
    folded = fold_qdq(graph, known_only=True)
    assert kinds(folded)[:5] == ["QuantizeLinear", "Conv", "Conv", "Sub", "Conv"]
    assert {origin for operator in folded.operators for origin in operator.origins} == set(range(len(graph.operators)))
