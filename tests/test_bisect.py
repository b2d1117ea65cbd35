"""Why did it change: planted layers are found, quantisation's causes are named, precision is told from faults."""

import json
import os
import re
import signal

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import model_file, value
from onnx import helper, numpy_helper

from whichpu import UserError
from whichpu.campaign.bisect import Asked, bisect
from whichpu.campaign.causes import causes
from whichpu.campaign.sides import Runner, Side
from whichpu.campaign.study import Study
from whichpu.campaign.watch import Silence
from whichpu.models import taps
from whichpu.reports import bisect as report
from whichpu.results import bisection
from whichpu.results.bisection import Layer, Output
from whichpu.stats.apart import apart
from whichpu.targets.link import WorkerTrouble
from whichpu.targets.target import Target
from whichpu.worker.wire import TensorSpec

node = helper.make_node


class Here:
    """ONNX Runtime in this process: quick enough for properties."""

    refuses = None

    def run(self, model, specs, arrays):
        if self.refuses is not None and self.refuses(model):
            raise WorkerTrouble("refused", "it does not like this model")
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        ran = [
            session.run(None, dict(zip(names, map(np.asarray, sample), strict=True)))
            for sample in zip(*arrays, strict=True)
        ]
        return [np.stack(column) for column in zip(*ran, strict=True)]


class Fusing(Here):
    """A runtime that computes Mul and Add as one where nobody looks between them, and does so wrongly."""

    def run(self, model, specs, arrays):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        for one in list(copy.graph.node):
            readers = [other for other in copy.graph.node if one.output[0] in other.input]
            if one.op_type == "Mul" and [other.op_type for other in readers] == ["Add"]:
                readers[0].op_type = "Sub"
        return super().run(copy, specs, arrays)


class Rounding(Here):
    """A runtime whose weights have few digits."""

    def run(self, model, specs, arrays):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        for tensor in copy.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.ndim == 2:
                tensor.CopyFrom(numpy_helper.from_array(np.round(array, 2), tensor.name))
        return super().run(copy, specs, arrays)


def chain(kinds, scaled=None, seed=0, factor=1.5):
    """A model of layers, with residual additions, whose weight ``scaled`` is ``factor`` times what it was."""
    generator = np.random.default_rng(seed)
    nodes, weights, before = [], {}, "x"
    for at, kind in enumerate(kinds):
        out = f"t{at}"
        if kind in ("MatMul", "Mul"):
            shape = (8, 8) if kind == "MatMul" else (8,)
            weights[f"w{at}"] = (generator.standard_normal(shape) * (factor if at == scaled else 1)).astype(np.float32)
            nodes.append(node(kind, [before, f"w{at}"], [out], name=f"n{at}"))
        else:
            nodes.append(node(kind, [before, "x"] if kind == "Add" else [before], [out], name=f"n{at}"))
        before = out
    graph = helper.make_graph(
        nodes,
        "chain",
        [value("x", [1, 8])],
        [value(before, [1, 8])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return taps.Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def study(ours, theirs, folder, side=None, other=None, samples=3):
    spec = [TensorSpec("x", "float32", [1, 8])]
    data = np.random.default_rng(5).standard_normal((samples, 1, 8)).astype(np.float32)
    found = bisection.Bisection(
        model="a", against="b", target="a", against_target="b", data="", samples=samples, bound=1e-3
    )
    mine = Side(ours, side or Here(), spec, [data], folder / "a")
    return Study(mine, Side(theirs, other or Here(), spec, [data], folder / "b"), Silence(), 1e-3).fill(found)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["MatMul", "Mul", "Tanh", "Sigmoid", "Add"]), min_size=1, max_size=7), st.data())
def test_a_scaled_weight_anywhere_is_found(tmp_path_factory, kinds, data):
    at = data.draw(st.integers(0, len(kinds)))
    kinds = [*kinds[:at], data.draw(st.sampled_from(["MatMul", "Mul"])), *kinds[at:]]
    found = study(chain(kinds, scaled=at), chain(kinds), tmp_path_factory.mktemp("chain"))
    assert found.layers[found.first].node == f"n{at}"
    assert found.layers[found.first].own.relative_l2 == pytest.approx(0.5, rel=1e-4)
    quiet = [layer.own.relative_l2 for layer in found.layers if layer.node != f"n{at}"]
    assert all(own < 1e-6 for own in quiet)
    if any(output.error.beyond(1e-3) for output in found.outputs):
        assert (found.verdict, found.cause) == ("layer", at)
        assert found.layers[at].without.size < 1e-5
        assert found.layers[at].alone.size == pytest.approx(found.outputs[0].error.size, rel=1e-3)


def test_equal_models_are_the_same(tmp_path):
    kinds = ["MatMul", "Tanh", "MatMul"]
    found = study(chain(kinds), chain(kinds), tmp_path)
    assert found.verdict == "same"
    assert report.sentences(found)[-1] == "No layer differs beyond the bound."


def test_lower_precision_is_no_single_layer(tmp_path):
    kinds = ["MatMul", "Tanh"] * 5
    found = study(chain(kinds), chain(kinds), tmp_path, side=Rounding())
    assert (found.verdict, found.cause) == ("gradual", None)
    assert "No single layer makes it: 5 layers have own errors" in report.sentences(found)[-1]


def test_what_is_wrong_only_when_fused_is_told(tmp_path):
    kinds = ["MatMul", "Tanh", "Mul", "Add", "Tanh", "MatMul"]
    found = study(chain(kinds), chain(kinds), tmp_path, side=Fusing())
    assert found.verdict == "fused"
    assert found.fused == ["t2", "t3"]
    assert all(layer.own.size < 1e-6 for layer in found.layers)
    assert "between t2 and t3" in report.sentences(found)[-1]


def test_a_refused_tap_is_left_out_and_told(tmp_path):
    kinds = ["MatMul", "Tanh", "Mul", "Tanh", "MatMul"]
    side = Here()
    side.refuses = lambda model: any("t2" in one.input and "Identity" in one.op_type for one in model.graph.node)
    found = study(chain(kinds, scaled=4), chain(kinds), tmp_path, side=side)
    assert [layer.why_not for layer in found.layers].count("it does not like this model") == 1
    assert found.verdict == "layer"
    assert found.layers[found.cause].node == "n4"
    assert any("1 of 5 layers could not be looked at" in note for note in report.notes(found))


def test_nan_counts_as_differing_and_begins_somewhere(tmp_path):
    kinds = ["MatMul", "Mul", "Tanh"]
    found = study(chain(kinds, scaled=1, factor=np.nan), chain(kinds), tmp_path)
    assert found.layers[found.first].node == "n1"
    assert (found.verdict, found.cause) == ("layer", 1)
    assert "NaN" in report.sentences(found)[0]
    (tmp_path / "other").mkdir()
    theirs = study(chain(kinds), chain(kinds, scaled=1, factor=np.nan), tmp_path / "other")
    assert any("the reference itself gives NaN" in note for note in theirs.notes)


# ---------------------------------------------------------------- parts


def test_error_figures():
    error = apart([(np.array([1.0, 2.5]), np.array([1.0, 2.0])), (np.array([4.0]), np.array([4.0]))])
    assert error.relative_l2 == pytest.approx(0.5 / np.sqrt(21))
    assert error.sqnr_db == pytest.approx(20 * np.log10(np.sqrt(21) / 0.5))
    assert (error.max_abs, error.values, error.odd) == (0.5, 3, 0)
    nothing = np.zeros(2)
    assert apart([(nothing, nothing)]).relative_l2 == 0
    assert apart([(nothing + 1, nothing)]).beyond(1e9)
    assert apart([(np.array([np.nan, np.inf]), np.array([np.nan, np.inf]))]).beyond(0) is False
    assert apart([(np.array([np.inf]), np.array([-np.inf]))]).odd == 1
    with pytest.raises(ValueError, match="3 values; the reference has 2"):
        apart([(np.zeros(3), nothing)])


def test_control_flow_is_one_node_that_reads_from_outside(tmp_path):
    inner = helper.make_graph([node("Add", ["a", "x"], ["r"])], "then", [], [value("r", [1, 8])])
    other = helper.make_graph([node("Sub", ["a", "x"], ["s"])], "else", [], [value("s", [1, 8])])
    nodes = [
        node("Tanh", ["x"], ["a"], name="tanh"),
        node("ReduceSum", ["a"], ["sum"], keepdims=0, name="sum"),
        node("Greater", ["sum", "limit"], ["yes"], name="greater"),
        node("If", ["yes"], ["b"], then_branch=inner, else_branch=other, name="if"),
        node("MatMul", ["b", "w"], ["y"], name="last"),
    ]
    weights = {"w": np.eye(8, dtype=np.float32), "limit": np.float32(0)}
    path = model_file(tmp_path / "if.onnx", nodes, {"x": [1, 8]}, {"y": [1, 8]}, weights)
    graph = taps.read(path)
    assert set(taps.reads(graph.nodes[3])) == {"yes", "a", "x"}
    found = study(graph, graph, tmp_path)
    assert [layer.node for layer in found.layers] == ["tanh", "sum", "if", "last"]
    assert all(layer.own.size == 0 for layer in found.layers)  # the If was run alone too
    assert set(found.layers[2].feeds_on) == {"a", "sum"}


def test_renamed_models_are_matched_by_order_or_refused():
    kinds = ["MatMul", "Tanh", "MatMul"]
    ours, theirs = chain(kinds), chain(kinds)
    for one in ours.model.graph.node:
        one.output[0] = f"other_{one.output[0]}"
        one.input[0] = one.input[0] if one.input[0] == "x" else f"other_{one.input[0]}"
    ours.model.graph.output[0].name = "other_t2"
    renamed = taps.Graph(ours.model)
    match = taps.match(renamed, theirs)
    assert match.by == "order"
    assert [(point.ours, point.theirs) for point in match.points] == [(f"other_t{at}", f"t{at}") for at in range(3)]
    with pytest.raises(UserError, match="no tensor inside"):
        taps.match(renamed, chain(["MatMul", "Sigmoid", "Tanh", "MatMul"]))


def test_a_model_of_one_operator_is_one_layer(tmp_path):
    found = study(chain(["Tanh"]), chain(["Tanh"]), tmp_path)
    assert [layer.node for layer in found.layers] == ["n0"]
    assert found.verdict == "same"
    nodes = [node("ArgMax", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "graph", [value("x", [1, 8])], [value("y", [1, 8])])
    graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    whole = taps.Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), "argmax.onnx")
    with pytest.raises(UserError, match="computes no floats"):
        taps.match(whole, whole)


def test_a_cause_needs_most_of_the_error_to_go():
    def layer(own, without):
        return Layer(tensor="t", node="n", operator="o", own=error(own), without=error(without))

    def error(size):
        return apart([(np.array([1 + size]), np.array([1.0]))])

    whole = [Output(name="y", error=error(0.3))]
    assert bisection.culprit([layer(0.1, 0.29), layer(0.05, 0.08)], whole, 1e-3) == 1
    assert bisection.culprit([layer(0.1, 0.2), layer(0.1, 0.21)], whole, 1e-3) is None


# ---------------------------------------------------------------- quantised models


def quantised(per_channel=False, wild=200.0, reach=4.0):
    """x -> Q -> DQ -> MatMul (int8 weights, channel 3 ``wild`` times the others) -> Mul (undoes it) -> Q -> DQ."""
    generator = np.random.default_rng(1)
    w = generator.standard_normal((8, 8)).astype(np.float32)
    w[:, 3] *= wild
    back = np.ones(8, np.float32)
    back[3] = 1 / wild
    second = generator.standard_normal((8, 8)).astype(np.float32)
    reaches = np.abs(w).max(axis=0) if per_channel else np.abs(w).max()
    scale = (reaches / 127).astype(np.float32)
    floats = [
        node("MatMul", ["x", "w"], ["a"], name="first"),
        node("Mul", ["a", "back"], ["b"], name="back"),
        node("MatMul", ["b", "v"], ["y"], name="second"),
    ]
    step = np.float32(reach / 127)
    ints = [
        node("QuantizeLinear", ["x", "xs", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "xs", "z"], ["xd"]),
        node("DequantizeLinear", ["w_quantized", "ws", "wz"], ["wd"], axis=1),
        node("MatMul", ["xd", "wd"], ["a"], name="first"),
        node("Mul", ["a", "back"], ["b"], name="back"),
        node("QuantizeLinear", ["b", "bs", "z"], ["bq"]),
        node("DequantizeLinear", ["bq", "bs", "z"], ["bd"]),
        node("MatMul", ["bd", "v"], ["y"], name="second"),
    ]
    stored = np.clip(np.round(w / scale), -127, 127).astype(np.int8)
    scales = {"xs": np.float32(4 / 127), "bs": np.float32(16 / 127) if reach == 4.0 else step, "z": np.int8(0)}
    scales |= {"w_quantized": stored, "ws": scale, "wz": np.zeros_like(scale, dtype=np.int8)}
    graphs = []
    for nodes, weights in (
        (ints, {**scales, "back": back, "v": second}),
        (floats, {"w": w, "back": back, "v": second}),
    ):
        graph = helper.make_graph(
            nodes,
            "graph",
            [value("x", [1, 8])],
            [value("y", [1, 8])],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
        )
        graphs.append(taps.Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)))
    return graphs


def test_one_scale_for_a_wild_channel_is_the_cause(tmp_path):
    ours, theirs = quantised()
    found = study(ours, theirs, tmp_path)
    assert [layer.tensor for layer in found.layers] == ["x", "a", "b", "y"]
    assert found.unmatched == []
    assert found.verdict == "layer"
    cause = found.layers[found.cause]
    assert cause.node == "first"
    assert cause.own.size < found.outputs[0].error.size / 4  # the wild channel's norm hides the others' loss
    assert [one.kind for one in cause.causes] == ["weights"]
    assert "channel 3 reaches" in cause.causes[0].says
    (tmp_path / "good").mkdir()
    good = study(*quantised(per_channel=True), tmp_path / "good")
    assert good.verdict == "gradual"
    assert good.outputs[0].error.size < found.outputs[0].error.size / 4
    assert not any(layer.causes for layer in good.layers)


@pytest.mark.parametrize(("reach", "kind"), [(2000.0, "range"), (1.0, "clipped")])
def test_a_bad_range_is_the_cause(tmp_path, reach, kind):
    found = study(*quantised(per_channel=True, wild=1.0, reach=reach), tmp_path)
    assert found.verdict == "layer"
    assert found.layers[found.cause].node == "back"
    assert [one.kind for one in found.layers[found.cause].causes] == [kind]


def test_causes_without_values_look_at_weights_only():
    ours, theirs = quantised(reach=2000.0)
    piece = taps.piece(ours, "bd", {"a"})
    assert causes(ours, theirs, piece, None) == []


# ---------------------------------------------------------------- on real workers


def scaled(source, target, operator, which, factor=2.0):
    """A copy of a model with a part of one weight scaled; returns the node's name."""
    model = onnx.load(source)
    wanted = [one for one in model.graph.node if one.op_type == operator][which]
    for tensor in model.graph.initializer:
        if tensor.name == wanted.input[1]:
            array = numpy_helper.to_array(tensor).copy()
            array[0] *= factor
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, target)
    return wanted.name


def test_the_command_finds_a_planted_layer(models, told, tmp_path):
    planted = tmp_path / "planted.onnx"
    scaled(models.mlp, planted, "MatMul", 1)
    ran = told("bisect", planted, "--against", models.mlp, "--json")
    assert ran.status == 0, ran.err
    body = json.loads(ran.out)
    assert (body["verdict"], body["cause"], body["first"]) == ("layer", 2, 2)
    assert body["layers"][2]["tensor"] == "y"
    ran = told("bisect", planted, "--against", models.mlp)
    assert "The cause is y (MatMul)" in ran.out


@pytest.mark.parametrize(
    ("name", "operator", "which"),
    [("digits/mnist.onnx", "Conv", 1), ("int8_qdq/resnet8_cifar10_float.onnx", "Conv", 4)],
)
def test_a_planted_layer_of_a_real_model_is_found(shared_data, tmp_path, name, operator, which):
    wanted = scaled(shared_data / name, tmp_path / "planted.onnx", operator, which)
    shapes = {None: [1, 32, 32, 3]} if "resnet" in name else {}
    asked = Asked(model=tmp_path / "planted.onnx", against=shared_data / name, shapes=shapes, samples=2)
    found = bisect(asked, Silence())
    assert found.verdict == "layer"
    assert found.cause == found.first
    assert found.layers[found.cause].node == wanted


def test_bf16_of_openvino_is_gradual(shared_data):
    pytest.importorskip("openvino")
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    model = shared_data / "int8_qdq" / "resnet8_cifar10_float.onnx"
    asked = Asked(model=model, on=("openvino:cpu,precision=default",), shapes={None: [1, 32, 32, 3]}, samples=2)
    found = bisect(asked, Silence())
    assert found.verdict in ("gradual", "inside")
    assert found.cause is None
    assert sum(layer.own.beyond(1e-4) for layer in found.layers if layer.own is not None) > 3


def test_fp16_is_matched_by_name_with_its_casts(models, tmp_path):
    model = onnx.load(models.mlp)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    model.graph.node.insert(0, node("Cast", ["x"], ["x16"], to=onnx.TensorProto.FLOAT16))
    model.graph.node[1].input[0] = "x16"
    model.graph.node[-1].output[0] = "y16"
    model.graph.node.append(node("Cast", ["y16"], ["y"], to=onnx.TensorProto.FLOAT))
    onnx.save(model, tmp_path / "fp16.onnx")
    found = bisect(Asked(model=tmp_path / "fp16.onnx", against=models.mlp, bound=1e-6), Silence())
    assert [layer.tensor for layer in found.layers] == ["a", "b", "y"]
    assert 1e-5 < found.layers[0].own.relative_l2 < 1e-3
    assert found.layers[0].why_not is None


def test_a_crash_is_an_answer_and_the_next_model_runs(models, tmp_path):
    runner = Runner(Target(backend="onnxruntime"), tmp_path, 60.0)
    model, spec = onnx.load(models.mlp), [TensorSpec("x", "float32", [1, 16])]
    data = [np.ones((2, 1, 16), np.float32)]
    try:
        first = runner.run(model, spec, data)[0]
        os.kill(runner.link.pid, signal.SIGKILL)
        with pytest.raises(WorkerTrouble) as caught:
            runner.run(model, spec, data)
        assert caught.value.kind == "crashed"
        assert np.array_equal(runner.run(model, spec, data)[0], first)
    finally:
        runner.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mlp"], "there is nothing to hold the model against"),
        (["mlp", "--on", "null:cpu"], "null does not read ONNX"),
        (["mlp", "--on", "litert:cpu"], "does not read ONNX|can't run here"),
        (["mlp", "--against", "dynamic", "--shape", "a=2x4"], "mlp.onnx has no input 'a'"),
        (["mlp", "--against", "gru"], "there is no file"),
        (["mlp", "--on", "onnxruntime", "--on", "onnxruntime", "--on", "openvino"], "3 targets are given"),
        (["unknown", "--on", "onnxruntime"], "unknown.onnx does not run on onnxruntime:cpu"),
    ],
)
def test_bad_wishes_get_a_sentence(models, told, arguments, says):
    paths = [getattr(models, one, one) for one in arguments]
    ran = told("bisect", *paths)
    assert ran.status == 1, ran.out
    assert re.search(says, ran.err), ran.err
