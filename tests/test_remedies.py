"""Each remedy on random models: exact ones keep the answer, inexact ones change it, all leave valid models."""

import numpy as np
import onnx
import onnxruntime
import pytest
from growth import linear
from hypothesis import given, settings
from hypothesis import strategies as st
from made_remedies import EXACT, INEXACT, Build, concat, image, quantised_leaky, quantised_pool, sppf, stem
from onnx import helper, numpy_helper

from whichpu.errors import UserError
from whichpu.graphs import remedies
from whichpu.graphs.readers.onnx import graph_of

SEEDS = range(8)
INPUTS = ((0, 1.0), (1, 5.0))
"""Seed and standard deviation of what models are fed."""
BOUND = 1e-5
CASES = [(name, made) for name, makers in EXACT.items() for made in makers]


def rewrite(model, name):
    """The model with a remedy wherever it fits, and the places."""
    remedy = remedies.table()[name]
    if opset(model) < remedy.opset:
        model = remedies.raised(model, remedy.opset)
    found = remedies.matches(graph_of(model, "model"), [remedy])[name]
    return remedies.apply(model, found), found


def opset(model):
    return next(entry.version for entry in model.opset_import if not entry.domain)


def answers(model, seed, spread):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    fed = np.random.default_rng(seed).standard_normal(shape) * spread
    return session.run(None, {"x": fed.astype(np.float32)})


def apart(model, changed):
    """Largest difference, relative to an output's largest value where that is more than 1."""
    worst = 0.0
    for seed, spread in INPUTS:
        for ours, theirs in zip(answers(changed, seed, spread), answers(model, seed, spread), strict=True):
            assert ours.shape == theirs.shape
            worst = max(worst, float(np.abs(ours - theirs).max()) / max(1.0, float(np.abs(theirs).max())))
    return worst


def test_every_remedy_has_a_model_here():
    assert {*EXACT, *INEXACT} == {*remedies.table()}
    assert {*EXACT} == {name for name, remedy in remedies.table().items() if remedy.effect == "exact"}


@pytest.mark.parametrize(("name", "made"), CASES, ids=[f"{name}-{made.__name__}" for name, made in CASES])
def test_exact_remedies_keep_the_answer(name, made):
    for seed in SEEDS:
        model = made(seed)
        before = model.SerializeToString()
        changed, found = rewrite(model, name)
        assert found, "the pattern is found"
        assert model.SerializeToString() == before, "the model given is left alone"
        onnx.checker.check_model(changed, full_check=True)
        if name != "integer-io":  # proven with quantised inputs in test_fix.py
            assert apart(model, changed) <= BOUND


@pytest.mark.parametrize("name", INEXACT)
def test_inexact_remedies_change_the_answer(name):
    model = INEXACT[name](3)
    changed, found = rewrite(model, name)
    assert found
    onnx.checker.check_model(changed, full_check=True)
    assert apart(model, changed) > BOUND


@given(st.integers(0, 10**6), st.sampled_from(["stem", "pool", "concat"]))
@settings(max_examples=25, deadline=None)
def test_rewrites_are_exact_whatever_the_sizes(seed, kind):
    made, name = {
        "stem": (stem, "conv-to-space-to-depth"),
        "pool": (sppf, "max-pool-to-3x3"),
        "concat": (concat, "pad-channels"),
    }[kind]
    model = made(seed)
    assert apart(model, rewrite(model, name)[0]) <= BOUND


# ---------------------------------------------------------------- what they do to the graph


def kinds(model):
    return [node.op_type for node in model.graph.node]


def test_an_erf_gelu_becomes_one_operator_and_the_opset_rises():
    model = EXACT["erf-gelu-to-gelu"][0](0)
    changed, _ = rewrite(model, "erf-gelu-to-gelu")
    assert kinds(changed) == ["MatMul", "Gelu"]
    assert (opset(model), opset(changed)) == (13, 20)


def test_parts_that_are_read_elsewhere_stay():
    b = Build([1, 4, 8, 8], 13)
    erf = b.op("Erf", b.op("Mul", "x", b.const(np.sqrt(0.5))), to="z")
    b.op("Mul", b.op("Mul", "x", b.op("Add", erf, b.const(1.0))), b.const(0.5), to="y")
    assert rewrite(b.model(("y", "z")), "erf-gelu-to-gelu")[1] == []


@pytest.mark.parametrize("scale", [1.3, 1.5])
def test_other_constants_are_no_gelu(scale):
    b = Build([1, 4], 13)
    plus = b.op("Add", b.op("Erf", b.op("Div", "x", b.const(scale))), b.const(1.0))
    b.op("Mul", b.op("Mul", "x", plus), b.const(0.5), to="y")
    assert rewrite(b.model(), "erf-gelu-to-gelu")[1] == []


def test_leaky_relu_beyond_one_is_no_maximum():
    b, _ = image(0)
    b.op("LeakyRelu", "x", to="y", alpha=1.5)
    assert rewrite(b.model(), "leaky-relu-to-max")[1] == []


def test_quantised_groups_stay_whole():
    """A pooling in a node unit becomes poolings in node units; an operator becomes two only in float."""
    changed, _ = rewrite(quantised_pool(0), "max-pool-to-3x3")
    assert kinds(changed) == ["QuantizeLinear", "DequantizeLinear", "MaxPool"] * 2 + kinds(changed)[:2]
    assert rewrite(quantised_leaky(0), "leaky-relu-to-max")[1] == []
    one = rewrite(quantised_leaky(0), "leaky-relu-to-relu")[0]
    assert kinds(one) == ["QuantizeLinear", "DequantizeLinear", "Relu", "QuantizeLinear", "DequantizeLinear"]


def test_chains_of_poolings_are_all_rewritten():
    changed, found = rewrite(sppf(0), "max-pool-to-3x3")
    assert len(found) == 3 and kinds(changed).count("MaxPool") == 6
    windows = [list(a.ints) for n in changed.graph.node for a in n.attribute if a.name == "kernel_shape"]
    assert windows == [[3, 3]] * 6


def test_weights_that_nothing_reads_any_more_go():
    model = EXACT["batch-norm-into-conv"][0](0)
    changed, _ = rewrite(model, "batch-norm-into-conv")
    assert kinds(changed) == ["Conv"] and len(changed.graph.initializer) == 2


def test_bodies_are_read_but_not_rewritten():
    """What a body of an If reads stays, and operators in bodies are left alone."""
    b = Build([1, 4])
    t = b.op("LeakyRelu", "x", to="inner")
    out = helper.make_tensor_value_info("b", 1, [1, 4])
    body = helper.make_graph([helper.make_node("LeakyRelu", [t], ["b"])], "body", [], [out])
    b.weights.append(numpy_helper.from_array(np.array(True), "yes"))
    b.op("If", "yes", to="y", then_branch=body, else_branch=body)
    model = b.model()
    changed, found = rewrite(model, "leaky-relu-to-max")
    assert len(found) == 1
    onnx.checker.check_model(changed)
    assert apart(model, changed) == 0


def test_an_opset_that_is_out_of_reach_is_refused():
    b = Build([1, 4], 13)
    b.op("NoSuchOperator", "x", to="y")
    with pytest.raises(UserError, match="can't be converted to opset 20"):
        remedies.raised(b.model(), 20)


def test_finding_sites_is_work_that_grows_with_the_graph():
    def prepared(count):
        b = Build([1, 4, 8, 8])
        t = "x"
        for _ in range(count):
            t = b.op("LeakyRelu", b.op("Transpose", t, perm=[0, 1, 2, 3]), alpha=0.1)
        b.op("Identity", t, to="y")
        graph = graph_of(b.model(), "model")
        assert len(remedies.matches(graph, list(remedies.table().values()))["leaky-relu-to-max"]) == count
        return lambda: remedies.matches(graph, list(remedies.table().values()))

    assert linear(prepared, 200)


def test_relus_that_a_grid_stood_for_come_back():
    """A quantiser leaves out a ReLU where the grid begins at zero; floats need it again."""
    b, c = image(0)
    t = b.conv("x", 4, c, 3)
    names = b.const(0.1), b.const(0, np.uint8)
    b.op("Neg", b.op("DequantizeLinear", b.op("QuantizeLinear", t, *names), *names), to="y")
    changed, _ = rewrite(b.model(), "strip-qdq")
    assert kinds(changed) == ["Conv", "Relu", "Neg"]
    assert answers(changed, 0, 1.0)[0].max() <= 0
