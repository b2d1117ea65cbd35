"""``whichpu fix``: remedies with their gain, the model written, exact rewrites proven by running both models."""

import json

import numpy as np
import onnx
import pytest
from made_remedies import EXACT, INEXACT, Build, activation, edges, image, stem

from whichpu import UserError
from whichpu.api.fixing import fix
from whichpu.graphs import capability, remedies
from whichpu.graphs.placement import place
from whichpu.graphs.readers.onnx import graph_of

REST = ("Conv", "Relu", "Mul", "Max", "Add", "MaxPool", "Sigmoid", "HardSwish", "MatMul", "Clip", "Concat")
NPU = "made-up"


def target(*taken, name="made-up", **limits):
    """A target that takes these operators, some within limits, and leaves the rest to the host."""
    operators = {one: capability.Rule(limits=limits.get(one, ())) for one in taken}
    table = capability.Capability(name, "Made up", "nobody", "compiler", "1", {}, "onnx", operators=operators)
    return capability.Target("made-up", table, {})


@pytest.fixture(autouse=True)
def _one_target(monkeypatch):
    monkeypatch.setattr(capability, "find", lambda text: target(*REST, "SpaceToDepth", "Gelu"))


def placed(model, on):
    return place(graph_of(model, "model"), on)


def saved(model, tmp_path, name="model.onnx"):
    path = tmp_path / name
    onnx.save(model, path)
    return path


# ---------------------------------------------------------------- proposals


def test_a_remedy_is_proposed_where_the_target_refuses_and_gains(tmp_path):
    model = activation("LeakyRelu", alpha=0.2)(0)
    path = saved(model, tmp_path)
    found = remedies.propose(placed(model, target(*REST)), path)
    assert [one.name for one in found] == ["leaky-relu-to-max", "leaky-relu-to-relu", "leaky-relu-to-relu6"]
    best = found[0]
    assert (best.effect, best.before.host_operators, best.after.host_operators) == ("exact", 1, 0)
    assert (best.before.regions, best.after.regions) == (2, 1)
    assert [site.operators for site in best.sites] == [("LeakyRelu_1",)]


def test_nothing_is_proposed_where_nothing_is_gained(tmp_path):
    model = activation("LeakyRelu", alpha=0.2)(0)
    path = saved(model, tmp_path)
    assert remedies.propose(placed(model, target(*REST, "LeakyRelu")), path) == []
    assert remedies.propose(placed(model, target("Conv")), path) == []


@pytest.mark.parametrize(("stride", "names"), [(1, []), (2, ["leaky-relu-to-relu", "leaky-relu-to-relu6"])])
def test_on_ethos_n_leaky_relu_costs_a_pass_before_strides(tmp_path, stride, names):
    b, c = image(0, even=True)
    b.conv(b.op("LeakyRelu", b.conv("x", 4, c, 3), alpha=0.1), 4, 4, 3, to="y", strides=[stride, stride])
    on = target(*REST, "LeakyRelu", name="ethos-n78")
    found = remedies.propose(placed(b.model(), on), saved(b.model(), tmp_path))
    assert [one.name for one in found] == names


def test_limits_on_windows_lead_to_smaller_ones(tmp_path):
    model = EXACT["max-pool-to-3x3"][1](0)
    small = (capability.Limit("kernel_h <= 3", "window of {kernel_h}"),)
    found = remedies.propose(placed(model, target(*REST, MaxPool=small)), saved(model, tmp_path))
    assert [one.name for one in found] == ["max-pool-to-3x3"]
    assert found[0].after.host_operators == 0


def test_large_graphs_are_not_analysed_again_unasked(tmp_path):
    model = activation("LeakyRelu", alpha=0.2)(0)
    path = saved(model, tmp_path)
    found = remedies.propose(placed(model, target(*REST)), path, most=2)
    assert all(one.after is None and "more than 2 operators" in one.why_not for one in found)
    assert len(found) == 3


def test_a_float_network_is_told_to_quantise(tmp_path):
    model = activation("Relu")(0)
    limit = (capability.Limit("dtype in ('int8', 'uint8')", "it takes 8-bit integers, not {dtype}"),)
    found = remedies.propose(placed(model, target("Conv", "Relu", Conv=limit)), saved(model, tmp_path))
    assert [(one.name, one.writes) for one in found] == [("quantisation-aware-training", False)]


# ---------------------------------------------------------------- the rewritten model


@pytest.mark.parametrize("name", ["leaky-relu-to-max", "erf-gelu-to-gelu", "conv-to-space-to-depth", "pad-channels"])
def test_an_exact_remedy_is_proven_and_written(name, tmp_path):
    path, out = saved(EXACT[name][0](0), tmp_path), tmp_path / "out.onnx"
    found = fix(path, NPU, apply=[name], exact=True, output=out)
    assert found.written == out and found.proof.holds and not found.refused
    assert found.proof.worst.of_bound <= 1
    onnx.checker.check_model(str(out), full_check=True)


def test_integer_edges_are_proven_with_quantised_inputs(tmp_path):
    path, out = saved(edges(0), tmp_path), tmp_path / "out.onnx"
    found = fix(path, NPU, apply=["integer-io"], exact=True, output=out)
    assert found.proof.worst.largest == 0 and found.proof.worst.scale > 0
    graph = onnx.load(out).graph
    elements = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert elements == {"x": onnx.TensorProto.INT8, "y": onnx.TensorProto.INT8}


@pytest.mark.parametrize("name", INEXACT)
def test_exact_refuses_what_is_not(name, tmp_path):
    path, out = saved(INEXACT[name](0), tmp_path), tmp_path / "out.onnx"
    with pytest.raises(UserError, match=f"{name} is not exact"):
        fix(path, NPU, apply=[name], exact=True, output=out)
    assert not out.exists()


def test_a_rewrite_that_is_not_exact_after_all_is_not_written(tmp_path, monkeypatch):
    """A remedy that claims to be exact is held to it on the model itself."""
    import dataclasses

    table = dict(remedies.table())
    table["leaky-relu-to-relu"] = dataclasses.replace(table["leaky-relu-to-relu"], effect="exact")
    monkeypatch.setattr(remedies, "table", lambda: table)
    path, out = saved(activation("LeakyRelu", alpha=0.2)(0), tmp_path), tmp_path / "out.onnx"
    found = fix(path, NPU, apply=["leaky-relu-to-relu"], output=out)
    assert "did not prove exact" in found.refused and not found.proof and not out.exists()
    assert not found.applied[0].proof.holds


def test_several_remedies_one_after_the_other(tmp_path):
    b, c = image(0)
    b.op("Neg", b.op("LeakyRelu", b.conv("x", 4, c, 3), alpha=0.1), to="y")
    path, out = saved(b.model(), tmp_path), tmp_path / "out.onnx"
    found = fix(path, NPU, apply=["leaky-relu-to-max", "neg-to-mul"], output=out)
    assert [one.name for one in found.applied] == ["leaky-relu-to-max", "neg-to-mul"]
    assert [node.op_type for node in onnx.load(out).graph.node] == ["Conv", "Mul", "Max", "Mul"]


def test_weights_outside_stay_outside(tmp_path):
    model = EXACT["conv-even-to-odd"][0](0)
    path, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="model.bin", size_threshold=0)
    before = [(tmp_path / name).read_bytes() for name in ("model.onnx", "model.bin")]
    assert fix(path, NPU, apply=["conv-even-to-odd"], output=out).written == out
    assert (tmp_path / "out.onnx.data").is_file()
    onnx.checker.check_model(str(out), full_check=True)
    assert [(tmp_path / name).read_bytes() for name in ("model.onnx", "model.bin")] == before


def test_open_sizes_become_those_that_were_analysed(tmp_path):
    model = stem(0)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    path, out = saved(model, tmp_path), tmp_path / "out.onnx"
    found = fix(path, NPU, apply=["conv-even-to-odd"], output=out)
    assert any("x has fixed sizes now: 1x" in note for note in found.notes)
    assert onnx.load(out).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_own_samples_are_held_against_each_other(tmp_path):
    b = Build([1, 4])
    b.op("LeakyRelu", "x", to="y", alpha=0.5)
    path, out, data = saved(b.model(), tmp_path), tmp_path / "out.onnx", tmp_path / "data.npz"
    np.savez(data, x=np.full((3, 1, 4), -100, np.float32))
    found = fix(path, NPU, apply=["leaky-relu-to-relu"], output=out, data=data)
    assert (found.proof.real_samples, found.proof.worst.largest) == (3, 50.0)


def test_a_task_tells_what_a_remedy_costs(shared_data, task_file, tmp_path):
    out = tmp_path / "out.onnx"
    model = onnx.load(shared_data / "digits" / "mnist.onnx")
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "LeakyRelu"
            node.attribute.append(onnx.helper.make_attribute("alpha", 0.05))
    path = saved(model, tmp_path, "mnist.onnx")
    found = fix(path, NPU, apply=["leaky-relu-to-relu"], output=out, data=task_file("digits"))
    assert found.delta.samples == 500 and found.delta.metric == "top1"
    assert found.delta.after == pytest.approx(0.986)
    assert found.delta.low <= found.delta.delta <= found.delta.high


# ---------------------------------------------------------------- the command


def test_the_command_lists_and_applies(told, tmp_path):
    path, out = saved(EXACT["erf-gelu-to-gelu"][0](1), tmp_path), tmp_path / "out.onnx"
    listed = told("fix", path, "--npu", NPU)
    assert listed.status == 0 and "erf-gelu-to-gelu" in listed.out and "Apply one: whichpu fix" in listed.out
    done = told("fix", path, "--npu", NPU, "--apply", "erf-gelu-to-gelu", "--exact", "-o", out, "--json")
    body = json.loads(done.out)
    assert done.status == 0 and out.is_file() and body["holds"] and body["written"] == str(out)
    assert body["applied"][0]["name"] == "erf-gelu-to-gelu" and body["proof"]["random_samples"] == 12
    listed = told("fix", path, "--npu", NPU, "--json").body()
    assert listed["proposals"][0]["sites"][0]["operators"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--apply", "leaky-relu-to-max"], "no place for the rewritten model"),
        (["-o", "out.onnx"], "no remedy is named"),
        (["--apply", "nope", "-o", "out.onnx"], "no remedy is called 'nope'"),
        (["--apply", "other-route", "-o", "out.onnx"], "advice"),
        (["--apply", "erf-gelu-to-gelu", "-o", "out.onnx"], "finds nothing to rewrite"),
        (["--apply", "leaky-relu-to-max", "-o", "model.onnx", "--overwrite"], "which this command reads"),
        (["--apply", "leaky-relu-to-max", "-o", "there.onnx"], "there.onnx exists"),
        (["--apply", "leaky-relu-to-max", "-o", "no/out.onnx"], "there is no folder"),
        (["--apply", "leaky-relu-to-max", "-o", "out.tflite"], "no name for an ONNX model"),
        (["--apply", "leaky-relu-to-max", "-o", "out.onnx", "--data", "none.npz"], "can't read none.npz"),
    ],
)
def test_mistakes_are_named(told, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    saved(activation("LeakyRelu")(0), tmp_path)
    (tmp_path / "there.onnx").write_bytes(b"mine")
    ran = told("fix", "model.onnx", "--npu", NPU, *options)
    assert ran.status == 1 and says in ran.err
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"


def test_only_onnx_is_rewritten(shared_data, told, tmp_path):
    model = next((shared_data / "int8_qdq").glob("*.tflite"))
    ran = told("fix", model, "--npu", NPU, "--apply", "neg-to-mul", "-o", tmp_path / "out.onnx")
    assert ran.status == 1 and "only ONNX models are rewritten" in ran.err


def test_every_remedy_is_described():
    from pathlib import Path

    page = (Path(__file__).parent.parent / "docs" / "fix.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in (*remedies.table(), remedies.ROUTE, remedies.TRAIN))
