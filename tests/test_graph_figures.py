"""Figures held to other counts than their own: a compiler's word, ONNX Runtime's answers, costs of equal networks."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from whichpu.graphs import remedies
from whichpu.graphs.agreement import heard
from whichpu.graphs.capability import Verdict, find
from whichpu.graphs.compilers import Answer
from whichpu.graphs.conditions import UnknownFactError
from whichpu.graphs.cost import added, costs
from whichpu.graphs.estimate import estimate
from whichpu.graphs.facts import Facts
from whichpu.graphs.graph import Graph, Operator, Tensor
from whichpu.graphs.placement import place, settle
from whichpu.graphs.readers.onnx import graph_of


def model(nodes, shapes, opset=17, stored=(), outputs=("y",), kind=TensorProto.FLOAT):
    """Nodes as (type, inputs, outputs, attributes), inputs by name and shape."""
    made = [
        helper.make_node(type.split(":")[-1], inputs.split(), outs.split(), name=outs.split()[0],
                         domain="com.microsoft" if ":" in type else "", **more)
        for type, inputs, outs, more in nodes
    ]  # fmt: skip
    given = [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]
    ends = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    weights = [numpy_helper.from_array(array, name) for name, array in dict(stored).items()]
    graph = helper.make_graph(made, "graph", given, ends, weights)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(made, **fed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # which has errors of its own
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, fed)[0]


def facts(made, at=0):
    graph = graph_of(made, "m")
    return Facts(graph, graph.operators[at], {})


def macs(made):
    return added([cost.macs for cost in costs(graph_of(made, "m"))])


# ---------------------------------------------------------------- facts


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("stride", "size"), [(1, 4), (2, 3), (2, 4), (3, 4)])
def test_padding_of_a_transposed_convolution_gives_the_same_answer_when_written_out(auto, stride, size):
    weights = {"w": np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32)}
    strides = {"strides": [stride] * 2}
    given = model([("ConvTranspose", "x w", "y", {"auto_pad": auto, **strides})], {"x": [1, 2, 5, 5]}, stored=weights)
    pads = list(facts(given)["pads"])
    if min(pads) < 0:
        pytest.skip("ONNX pads its output there")
    written = model([("ConvTranspose", "x w", "y", {"pads": pads, **strides})], {"x": [1, 2, 5, 5]}, stored=weights)
    x = np.random.default_rng(1).standard_normal((1, 2, 5, 5)).astype(np.float32)
    assert np.array_equal(run(given, x=x), run(written, x=x))


def resized(opset, **attributes):
    inputs = "x scales" if opset == 10 else "x roi scales"
    stored = {"scales": np.array([1, 1, 1.5, 1.5], np.float32), "roi": np.zeros(0, np.float32)}
    return model([("Resize", inputs, "y", attributes)], {"x": [1, 1, 4, 4]}, opset, stored)


def test_the_first_resize_has_the_coordinates_that_are_told():
    told = facts(resized(10))
    names = {"coordinate_transformation_mode": told["coordinates"], "nearest_mode": told["nearest_mode"]}
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert np.array_equal(run(resized(10), x=x), run(resized(13, **names), x=x))


def test_scales_of_some_axes_are_told_of_all():
    stored = {"scales": np.array([2, 3], np.float32)}
    made = model([("Resize", "x  scales", "y", {"axes": [3, 2]})], {"x": [1, 1, 4, 4]}, 18, stored)
    made.graph.node[0].input[:] = ["x", "", "scales"]
    assert facts(made)["scales"] == (1.0, 1.0, 3.0, 2.0)


@pytest.mark.parametrize(
    ("node", "opset", "stored", "axes"),
    [
        (("Squeeze", "x", "y", {}), 13, {}, (0, 2)),
        (("Squeeze", "x", "y", {"axes": [-2]}), 11, {}, (2,)),
        (("Unsqueeze", "x a", "y", {}), 13, {"a": np.array([-1, 0])}, (5, 0)),
        (("Slice", "x", "y", {"starts": [0, 1], "ends": [1, 3]}), 9, {}, (0, 1)),
        (("Slice", "x s e", "y", {}), 13, {"s": np.array([0, 1]), "e": np.array([1, 3])}, (0, 1)),
        (("ReduceMean", "x a", "y", {}), 18, {"a": np.array([-1])}, (3,)),
        (("ReduceMean", "x", "y", {}), 18, {}, (0, 1, 2, 3)),
        (("ReduceMean", "x", "y", {"noop_with_empty_axes": 1}), 18, {}, ()),
        (("Pad", "x p v a", "y", {}), 18, {"p": np.array([1, 1]), "v": np.float32(0), "a": np.array([3])}, (3,)),
    ],
)  # fmt: skip
def test_axes_stand_where_the_opset_has_them(node, opset, stored, axes):
    stored = {name: np.asarray(array) for name, array in stored.items()}
    assert facts(model([node], {"x": [1, 4, 1, 6]}, opset, stored))["axes"] == axes


@pytest.mark.parametrize(("opset", "axis"), [(11, 1), (13, 3)])
def test_softmax_without_an_axis(opset, axis):
    assert facts(model([("Softmax", "x", "y", {})], {"x": [1, 4, 5, 6]}, opset))["axis"] == axis


def test_flatten_may_name_the_axis_behind_the_last():
    assert facts(model([("Flatten", "x", "y", {"axis": 4})], {"x": [1, 4, 5, 6]}))["axis"] == 4


def test_an_equation_without_a_result_sums_what_stands_twice():
    assert facts(model([("Einsum", "x x", "y", {"equation": "ab,bc"})], {"x": [4, 4]}))["terms"][-1] == "ac"


@pytest.mark.parametrize("fact", ["dtypes", "dtype_of", "elements"])
def test_an_unknown_type_or_size_is_no_type_and_no_size(fact):
    x, y = Tensor("x"), Tensor("y")
    graph = Graph("g", "onnx", [Operator(0, "a", "Relu", [x], [y])], [x], [y], 17).connect()

    def told():
        found = Facts(graph, graph.operators[0], {})[fact]
        return found(0)

    with pytest.raises(UnknownFactError):
        told()


# ---------------------------------------------------------------- costs


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [
        ("bij,bjk->bik", [2, 3, 4], [2, 4, 5]),
        ("ij,jk", [3, 4], [4, 5]),
        ("bhid,bhjd->bhij", [1, 2, 3, 4], [1, 2, 5, 4]),
    ],
)
def test_an_einsum_costs_what_its_matrix_product_does(equation, left, right):
    found = macs(model([("Einsum", "a b", "y", {"equation": equation})], {"a": left, "b": right}))
    turned = [*right[:-2], right[-1], right[-2]] if equation.endswith("hij") else right
    assert found == macs(model([("MatMul", "a b", "y", {})], {"a": left, "b": turned}))


def test_products_of_single_values_are_no_macs():
    assert macs(model([("Einsum", "a b", "y", {"equation": "i,j->ij"})], {"a": [3], "b": [4]})) == 0


def test_attention_costs_its_two_products():
    shapes = {"q": [1, 2, 6, 8], "k": [1, 2, 10, 8], "v": [1, 2, 10, 8]}
    fused = Graph("g", "onnx", [], [], [], 23)
    q, k, v = (Tensor(name, "float32", tuple(shape)) for name, shape in shapes.items())
    fused.operators.append(Operator(0, "a", "Attention", [q, k, v], [Tensor("y", "float32", (1, 2, 6, 8))]))
    parts = model(
        [("Transpose", "k", "t", {"perm": [0, 1, 3, 2]}), ("MatMul", "q t", "s", {}), ("MatMul", "s v", "y", {})],
        shapes,
    )
    assert added([cost.macs for cost in costs(fused.connect())]) == macs(parts)


@pytest.mark.parametrize(("domain", "type"), [("com.microsoft", "GroupQueryAttention"), ("some.vendor", "Anything")])
def test_what_is_not_counted_is_not_zero(domain, type):
    x = Tensor("x", "float32", (1, 4))
    graph = Graph("g", "onnx", [Operator(0, "a", type, [x], [Tensor("y", "float32", (1, 4))], domain=domain)], [x], [])
    assert costs(graph.connect())[0].macs is None


# ---------------------------------------------------------------- placement, a compiler's answer, the estimate


def chain(*kinds, within=""):
    shape = (1, 8, 16, 16)
    tensors = [Tensor(f"t{n}", "float32", shape) for n in range(len(kinds) + 1)]
    operators = [
        Operator(n, f"{kind}{n}", kind, [tensors[n]], [tensors[n + 1]], within=within) for n, kind in enumerate(kinds)
    ]
    return Graph("net", "onnx", operators, tensors[:1], tensors[-1:], 17).connect()


def test_what_enters_and_leaves_a_body_crosses_the_boundary():
    graph = chain("Relu", "Sigmoid", within="/loop/body")
    graph.inputs, graph.outputs = [], []
    found = place(graph, find("dla-xavier"))
    size = 8 * 16 * 16 * 4
    assert (found.figures.regions, found.figures.crossings, found.figures.boundary_bytes) == (1, 2, 2 * size)
    assert found.figures.io_bytes == 0


def test_an_output_that_the_host_reads_too_is_carried_over_once():
    once, graph = chain("Relu", "Gelu"), chain("Relu", "Gelu")
    graph.outputs.insert(0, graph.operators[0].outputs[0])
    seconds = [estimate(place(one, find("dla-xavier"))).transfer_seconds for one in (once, graph)]
    assert seconds[0] == seconds[1]


def quantised_chain():
    codes = {"s": np.float32(0.1), "z": np.int8(0), "w": np.ones((8, 8, 1, 1), np.int8)}
    nodes = [
        ("QuantizeLinear", "x s z", "q0", {}), ("DequantizeLinear", "q0 s z", "d0", {}),
        ("DequantizeLinear", "w s z", "dw", {}), ("Conv", "d0 dw", "c", {}),
        ("QuantizeLinear", "c s z", "q1", {}), ("DequantizeLinear", "q1 s z", "d1", {}),
        ("Relu", "d1", "r", {}), ("QuantizeLinear", "r s z", "q2", {}), ("DequantizeLinear", "q2 s z", "y", {}),
    ]  # fmt: skip
    return graph_of(model(nodes, {"x": [1, 8, 16, 16]}, 13, codes), "m")


def test_q_and_dq_inside_of_an_operator_move_no_bytes():
    graph = quantised_chain()
    placement = place(graph, find("htp-v73"))
    most = estimate(placement).bandwidth_bytes
    assert most is not None
    activations, weights = 8 * 16 * 16, 64
    separate = sum("Linear" in kind for one in placement.placed for kind in one.lowered)
    assert most[1] <= 4 * activations + weights + separate * 5 * activations + 64  # two operators, int8 in and out
    assert most[0] <= most[1]


def test_a_compiler_that_told_its_regions_is_not_overruled_by_a_partitioner():
    graph = chain("Relu", "Gelu", "Relu")
    placement = place(graph, find("hailo-8"))
    told = {index: Verdict("host" if index == 1 else "npu", said_by="tool") for index in range(3)}
    kept = heard(placement, Answer("tool", told, regions=2))
    assert [one.fate for one in kept.placed] == ["accelerator", "host", "accelerator"]
    assert kept.figures.crossings == 2
    free = heard(placement, Answer("tool", told))
    assert [one.fate for one in free.placed] == ["accelerator", "host", "host"]


def test_a_dq_that_another_operator_shares_does_not_decide_for_this_one():
    placement = place(quantised_chain(), find("htp-v73"))
    conv = next(one.operator for one in placement.placed if one.operator.type == "Conv")
    shared = conv.inputs[0].producer
    told = {conv.index: Verdict("npu", said_by="tool"), shared.index: Verdict("host", said_by="tool")}
    found = heard(placement, Answer("tool", told, regions=1))
    assert found.placed[conv.index].fate == "accelerator"


# ---------------------------------------------------------------- remedies that would not be exact


def sites(made, name):
    return remedies.matches(graph_of(made, "m"), [remedies.table()[name]])[name]


def test_a_divisor_whose_inverse_half_precision_does_not_hold_stays():
    for value, fits in ((1e-5, 0), (2.0, 1)):
        by = {"b": np.array(value, np.float16)}
        assert len(sites(model([("Div", "x b", "y", {})], {"x": [4]}, stored=by, kind=10), "div-to-mul")) == fits


def test_scales_that_are_not_out_over_in_are_no_whole_factor():
    for scale, fits in ((2.1, 0), (2.0, 1)):
        stored = {"r": np.zeros(0, np.float32), "s": np.array([1, 1, scale, scale], np.float32)}
        made = model([("Resize", "x r s", "y", {})], {"x": [1, 2, 3, 3]}, 13, stored)
        assert len(sites(made, "resize-nearest-form")) == fits


def test_the_bias_of_a_fast_gelu_is_not_forgotten():
    bias = {"b": np.ones(4, np.float32)}
    made = model([("ms:FastGelu", "x b", "t", {}), ("Relu", "t", "y", {})], {"x": [2, 4]}, stored=bias)
    assert not sites(made, "tanh-gelu-to-parts")


def test_codes_below_zero_survive_a_quantisation_without_a_zero_point():
    stored = {"s": np.float32(0.1), "z": np.int8(0)}
    nodes = [
        ("QuantizeLinear", "x s z", "q", {}), ("DequantizeLinear", "q s", "d", {}),
        ("MaxPool", "d", "y", {"kernel_shape": [1, 2], "strides": [1, 2]}),
    ]  # fmt: skip
    made = model(nodes, {"x": [1, 1, 4, 4]}, 13, stored)
    (found,) = sites(made, "complete-node-units")
    x = -np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4) / 8
    assert np.array_equal(run(made, x=x), run(remedies.apply(made, [found]), x=x))


def test_a_logarithm_of_zeros_is_not_weighed_by_zero():
    weights = {
        name: np.ones(shape, np.float32)
        for name, shape in (("a", (10, 3, 1, 1)), ("b", (12, 3, 1, 1)), ("c", (4, 22, 1, 1)))
    }
    for kind, fits in (("Log", 0), ("Relu", 1)):
        nodes = [
            ("Conv", "x a", "ca", {}), (kind, "ca", "ra", {}), ("Conv", "x b", "cb", {}), ("Relu", "cb", "rb", {}),
            ("Concat", "ra rb", "t", {"axis": 1}), ("Conv", "t c", "y", {}),
        ]  # fmt: skip
        assert len(sites(model(nodes, {"x": [1, 3, 4, 4]}, stored=weights), "pad-channels")) == fits


# ---------------------------------------------------------------- costs held to equal networks


def zeros(*shape):
    return np.zeros(shape, np.float32)


def test_a_convolution_in_groups_costs_what_one_a_group_does():
    whole = model([("Conv", "x w", "y", {"group": 4})], {"x": [1, 8, 9, 9]}, stored={"w": zeros(12, 2, 3, 3)})
    part = model([("Conv", "x w", "y", {})], {"x": [1, 2, 9, 9]}, stored={"w": zeros(3, 2, 3, 3)})
    assert macs(whole) == 4 * macs(part)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_costs_what_its_gradient_does(groups):
    back = {"w": zeros(4, 6 // groups, 3, 3)}
    there = model([("Conv", "x w", "y", {"group": groups})], {"x": [1, 6, 7, 7]}, stored=back)
    again = model([("ConvTranspose", "x w", "y", {"group": groups})], {"x": [1, 4, 5, 5]}, stored=back)
    assert macs(there) == macs(again)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_gemm_costs_the_same_whichever_side_is_turned(left, right):
    shapes = {"a": [5, 3] if left else [3, 5], "b": [7, 5] if right else [5, 7]}
    turned = model([("Gemm", "a b", "y", {"transA": left, "transB": right})], shapes)
    assert macs(turned) == macs(model([("MatMul", "a b", "y", {})], {"a": [3, 5], "b": [5, 7]}))


def test_a_batched_product_costs_its_products_broadcast_or_not():
    wide = model([("MatMul", "a b", "y", {})], {"a": [2, 1, 3, 4], "b": [5, 4, 6]})
    assert macs(wide) == 10 * macs(model([("MatMul", "a b", "y", {})], {"a": [3, 4], "b": [4, 6]}))


@pytest.mark.parametrize(("type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("layout", [0, 1])
def test_a_recurrent_layer_costs_its_products_in_each_step_and_direction(type, gates, layout):
    steps, batch, wide, hidden = 5, 2, 7, 3
    weights = {"w": zeros(2, gates * hidden, wide), "r": zeros(2, gates * hidden, hidden)}
    shape = [batch, steps, wide] if layout else [steps, batch, wide]
    more = {"hidden_size": hidden, "direction": "bidirectional", "layout": layout}
    layer = model([(type, "x w r", "y", more)], {"x": shape}, stored=weights)
    step = model(
        [("MatMul", "x w", "a", {}), ("MatMul", "h r", "y", {})],
        {"x": [batch, wide], "h": [batch, hidden]},
        stored={"w": zeros(wide, gates * hidden), "r": zeros(hidden, gates * hidden)},
    )
    assert macs(layer) == 2 * steps * macs(step)


@pytest.mark.parametrize(
    ("tflite", "inputs", "out", "onnx", "shapes", "weights"),
    [
        ("CONV_2D", [(1, 9, 9, 6), (8, 3, 3, 6)], (1, 7, 7, 8), "Conv", {"x": [1, 6, 9, 9]}, (8, 6, 3, 3)),
        ("TRANSPOSE_CONV", [(4,), (6, 3, 3, 4), (1, 5, 5, 4)], (1, 7, 7, 6), "ConvTranspose", {"x": [1, 4, 5, 5]},
         (4, 6, 3, 3)),
        ("FULLY_CONNECTED", [(2, 5), (7, 5)], (2, 7), "MatMul", {"x": [2, 5]}, (5, 7)),
        ("BATCH_MATMUL", [(3, 2, 5), (3, 5, 7)], (3, 2, 7), "MatMul", {"x": [3, 2, 5]}, (3, 5, 7)),
    ],
)  # fmt: skip
def test_a_tflite_operator_costs_what_its_onnx_twin_does(tflite, inputs, out, onnx, shapes, weights):
    tensors = [Tensor(f"i{n}", "int8", shape) for n, shape in enumerate(inputs)]
    operator = Operator(0, "a", tflite, [*tensors], [Tensor("y", "int8", out)])
    graph = Graph("g", "tflite", [operator], tensors, operator.outputs).connect()
    twin = model([(onnx, "x w", "y", {})], shapes, stored={"w": zeros(*weights)})
    assert added([cost.macs for cost in costs(graph)]) == macs(twin)


def test_the_speed_up_is_from_the_worst_to_the_best_of_both():
    found = estimate(place(chain("Relu", "Gelu", "Relu"), find("dla-xavier")))
    alone, latency = found.host_only_seconds, found.latency_seconds
    assert found.speedup == (alone[0] / latency[1], alone[1] / latency[0])


@pytest.mark.parametrize("order", [("npu", "host"), ("host", "npu")])
def test_the_worst_of_what_an_operator_became_is_its_fate(order):
    graph, lowered = chain("Softplus"), chain("Exp", "Log")
    for operator in lowered.operators:
        operator.origins = (0,)
    found = settle(graph, lowered, find("dla-xavier"), [Verdict(status, f"it is {status}") for status in order])
    assert (found.placed[0].fate, found.placed[0].lowered) == ("host", ("Exp", "Log"))
    assert found.placed[0].reason == ("Log: it is host" if order[1] == "host" else "Exp: it is host")
