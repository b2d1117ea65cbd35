"""RK3588 and RK3566: tables held to RKNN-Toolkit2's recorded answers, groups joined as it joins them, its log read."""

import json
import random
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from whichpu.errors import UserError
from whichpu.graphs import capability, compilers
from whichpu.graphs.compilers import process, rknn
from whichpu.graphs.lowering import lower
from whichpu.graphs.placement import place
from whichpu.graphs.readers import read
from whichpu.graphs.readers.onnx import graph_of

BENCHMARKS = Path(__file__).parent.parent / "benchmarks" / "npu"
RECORDED = Path(__file__).parent / "data" / "npu" / "rknn.json"
sys.path.insert(0, str(BENCHMARKS))

import micro  # noqa: E402
import micro_edges  # noqa: E402
import micro_net  # noqa: E402
import micro_operators  # noqa: E402
import recorded  # noqa: E402

GOAL = {"rk3588:precision=w8a8": 0.999, "rk3588:precision=fp16": 0.999, "rk3566:precision=w8a8": 0.991}
LINE = "D RKNN: [21:09:57.325] "
LOG = (
    "I rknn-toolkit2 version: 2.5.0\n"
    "D     convert_softmax_to_exsoftmax13: remove node = ['Softmax_1'], add node = ['Softmax_1']\n"
    "D     fuse_sigmoid_mul_to_exswish: remove node = ['Sigmoid_3', 'Mul_4'], add node = ['Sigmoid_3_swish']\n"
    f"{LINE}ID   OpType        DataType Target InputShape   OutputShape  Cycles(DDR/NPU/Total) RW(KB) FullName\n"
    f"{LINE}0    InputOperator INT8     CPU    \\ (1,3,8,8) 0/0/0 0 InputOperator:x\n"
    f"{LINE}1    Conv          INT8     NPU    (1,3,8,8) (1,3,8,8) 931/9216/9300         5      Conv:Conv_0\n"
    f"{LINE}2    exSoftmax13   INT8     CPU    (1,3,8,8) (1,3,8,8) 0/0/0 16 exSoftmax13:Softmax_1\n"
    f"{LINE}3    Conv          INT8     NPU    (1,3,8,8) (1,3,8,8) 9/16/100              7      Conv:Conv_2\n"
    f"{LINE}4    Reshape       INT8     CPU    (1,3,8,8) (1,192) 0/0/0 1 Reshape:Flatten_5_2rs\n"
)


@pytest.fixture(scope="module")
def zoo():
    makers = micro.entries()
    return {name: graph_of(make(), f"{name}.onnx") for name, make in makers.items()}


@pytest.mark.parametrize("target", GOAL)
def test_tables_agree_with_the_compiler(zoo, target):
    """On every micro model, operator for operator, and no model is left out."""
    answers = json.loads(RECORDED.read_text())["answers"][target]
    assert set(answers) == set(zoo)
    found = [recorded.compared(place(zoo[name], capability.find(target)), said) for name, said in answers.items()]
    named, alike = sum(each.named for each in found), sum(each.alike for each in found)
    assert named > 2400
    assert alike / named >= GOAL[target], [line for each in found for line in each.differences]


def test_tables_agree_with_the_reference(shared_npu):
    """Which reference models fall back and which are refused, on each of the three targets."""
    truth = json.loads((shared_npu / "micro" / "truth.json").read_text())["rows"]
    words = {"npu": "npu", "cpu": "cpu", "fail": "refused"}
    for target in ("rk3588_w8a8", "rk3566_w8a8", "rk3588_fp16"):
        for name, entry in truth.items():
            placed = place(read(shared_npu / "micro" / f"{name}.onnx"), capability.find(target)).placed
            where = {one.where for one in placed}
            ours = next((word for word in ("refused", "unknown", "cpu") if word in where), "npu")
            assert ours == words[entry[target]["r"]], f"{name} on {target}"


def fates(body, target="rk3588", opset=17, frame=micro_net.convolved):
    graph = graph_of(frame("net", body, opset), "net.onnx")
    return {one.operator.type: one for one in place(graph, capability.find(target)).placed}


def test_a_reason_names_figure_and_way_out():
    placed = fates(micro_net.node("Pad", [0, 0, 1, 1, 0, 0, 1, 1]))
    assert placed["Pad"].where == "refused"
    assert "disable_rules" in placed["Pad"].reason
    placed = fates(micro_operators.resize("linear", "half_pixel", 1.5))
    assert placed["Resize"].where == "cpu"
    assert "1.5" in placed["Resize"].reason
    assert placed["Resize"].source.startswith("RKNN") or placed["Resize"].source == "compiler"


def test_an_opset_too_new_refuses_the_whole_model():
    placed = fates(micro_net.node("Gelu"), opset=20)
    assert {one.where for one in placed.values()} == {"refused"}
    assert "opset is 20" in placed["Conv"].reason


def test_int8_and_fp16_differ_where_the_compiler_does():
    assert fates(micro_net.node("Sqrt"))["Sqrt"].where == "cpu"
    assert fates(micro_net.node("Sqrt"), "rk3588-fp16")["Sqrt"].where == "npu"


def test_the_older_chip_has_no_softmax():
    assert fates(micro_net.node("Softmax", axis=1))["Softmax"].where == "npu"
    assert fates(micro_net.node("Softmax", axis=1), "rk3566")["Softmax"].where == "cpu"


def kinds(body, frame=micro_net.convolved):
    graph = graph_of(frame("net", body, 17), "net.onnx")
    return [operator.type for operator in lower(graph, capability.find("rk3588")).operators]


@pytest.mark.parametrize(
    ("body", "frame", "kind"),
    [
        (micro_operators.gelu_by_erf, micro_net.convolved, "exGelu"),
        (micro_operators.layer_norm, micro_net.multiplied, "exNorm"),
        (micro_operators.rms_norm, micro_net.multiplied, "exNorm"),
        (micro_edges.l2_clipped, micro_net.convolved, "exNorm"),
        (micro_operators.focus, micro_net.convolved, "exFocus"),
        (lambda n, x: n("Log", n("Add", n("Exp", x), micro_net.scalar(1))), micro_net.convolved, "exSoftplus"),
    ],
)
def test_groups_are_joined(body, frame, kind):
    assert kind in kinds(body, frame)


def test_what_is_spelt_otherwise_or_looked_into_is_not_joined():
    scaled = lambda n, x: n("Mul", x, n("Add", n("Erf", n("Mul", x, micro_net.scalar(0.5**0.5))), micro_net.scalar(1)))  # noqa: E731
    assert "exGelu" not in kinds(scaled)

    def tapped(net, x):
        add = net("Add", net("Exp", x), micro_net.scalar(1))
        return net("Mul", net("Log", add), add)

    assert "exSoftplus" not in kinds(tapped)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_lowering_keeps_every_operator_once(seed):
    choice = random.Random(seed)
    parts = [
        micro_operators.gelu_by_erf,
        micro_operators.focus,
        micro_net.node("Relu"),
        micro_net.node("Exp"),
        micro_operators.channel_norm,
        micro_operators.silu,
    ]

    def body(net, x):
        for _ in range(choice.randint(1, 5)):
            part = choice.choice(parts)
            y = part(net, x)
            if part is micro_operators.focus:
                y = net.conv(y, 16, 64, 1)
            elif choice.random() < 0.3:
                y = net("Add", x, y)
            x = y
            if part is micro_operators.focus:
                break
        return x

    graph = graph_of(micro_net.convolved("net", body, 17), "net.onnx")
    lowered = lower(graph, capability.find("rk3588"))
    origins = sorted(origin for operator in lowered.operators for origin in operator.origins)
    assert origins == [operator.index for operator in graph.operators]
    assert all(parent.index < operator.index for operator in lowered.operators for parent in lowered.parents(operator))


def small_graph():
    def body(net, x):
        x = net("Softmax", x, axis=1)
        x = net.conv(x, 16, 16)
        x = net("Mul", x, net("Sigmoid", x))
        return net("Flatten", x)

    return graph_of(micro_net.convolved("net", body, 17), "net.onnx")


def test_layers_are_traced_to_their_operators():
    graph = small_graph()
    names = {operator.name: operator.outputs[0].name for operator in graph.operators}
    found = rknn.answer(process.Ended(0, LOG), graph, names)
    where = {graph.operators[index].name: verdict.status for index, verdict in found.verdicts.items()}
    assert found.tool == "rknn-toolkit2 2.5.0"
    assert where["Softmax_1"] == "host"
    assert where["Conv_0"] == where["Conv_2"] == where["Sigmoid_3"] == where["Mul_4"] == "npu"
    assert found.regions == 2
    assert found.figures["cycles"] == 9400


def test_rules_pass_their_sources_on():
    log = (
        "D     one: remove node = ['a', 'b'], add node = ['c', 'd']\n"
        "D     two: remove node = ['c'], add node = ['c#1']\nD     three: remove node = ['d']\n"
    )
    assert rknn.sources(log, ["a", "b"])["c#1"] == {"a", "b"}


@pytest.mark.parametrize(
    ("status", "log", "said"),
    [
        (-11, "D base_optimize ...", "it crashed (SIGSEGV)"),
        (None, "", "it did not end in time"),
        (1, "ValueError: Unsupport onnx opset 20, need <= 19!\n", "Unsupport onnx opset 20"),
        (1, "W disable_rules=['fuse_x'] \nKeyError: 'Y'\n", "KeyError: 'Y', in its rule fuse_x"),
        (0, "", "it made no layers"),
    ],
)
def test_crashes_hangs_and_refusals_are_answers(status, log, said):
    found = rknn.answer(process.Ended(status, log), small_graph(), {})
    assert said in found.refused
    assert not found.verdicts


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_log_is_read(text):
    rknn.answer(process.Ended(0, LOG[: len(text)] + text), small_graph(), {"Conv_0": "t0_0"})


def stand_in(folder, body):
    """An interpreter with a package in place of the toolkit."""
    package = folder / "packages" / "rknn"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "api.py").write_text(textwrap.dedent(body))
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder / "packages"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


TOOLKIT = """
    class RKNN:
        def __init__(self, verbose): pass
        def config(self, target_platform): print("platform", target_platform)
        def load_onnx(self, model): return 0
        def build(self, do_quantization, dataset):
            print("quantise", do_quantization, dataset and open(dataset).read())
            print({log!r})
            return 0
"""


def test_a_compiler_is_asked_on_a_copy(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(
        micro_net.convolved("net", lambda n, x: n.conv(n("Softmax", x, axis=1), 16, 16), 17).SerializeToString()
    )
    before = model.read_bytes()
    python = stand_in(tmp_path, TOOLKIT.format(log=LOG))
    target = capability.find(f"rk3566:python={python}")
    assert compilers.why_not(target) is None
    found = compilers.ask(model, read(model), target)
    assert "platform rk3566" in found.log
    assert "quantise True sample0_0.npy" in found.log
    assert {verdict.said_by for verdict in found.verdicts.values()} == {"rknn-toolkit2 2.5.0"}
    assert model.read_bytes() == before


def test_open_sizes_are_given_to_the_compiler(tmp_path):
    made = micro_net.convolved("net", micro_net.node("Relu"), 17)
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    del made.graph.output[0].type.tensor_type.shape.dim[:]
    model = tmp_path / "model.onnx"
    model.write_bytes(made.SerializeToString())
    body = """
        import onnx
        class RKNN:
            def __init__(self, verbose): pass
            def config(self, target_platform): pass
            def load_onnx(self, model):
                shape = onnx.load(model).graph.input[0].type.tensor_type.shape
                raise ValueError("sizes " + str([size.dim_value for size in shape.dim]))
    """
    target = capability.find(f"rk3588:python={stand_in(tmp_path, body)}")
    found = compilers.ask(model, read(model, {"x": (4, 3, 32, 32)}), target)
    assert "sizes [4, 3, 32, 32]" in found.refused


def test_where_no_toolkit_is_the_way_to_it_is_told(tmp_path):
    assert "pip install rknn-toolkit2" in (compilers.why_not(capability.find(f"rk3588:python={sys.executable}")) or "")
    with pytest.raises(UserError, match="ONNX models only"):
        rknn.ask(tmp_path / "model.tflite", small_graph(), capability.find("rk3588"))


def test_names_of_the_reference_are_known():
    for name in ("rk3588_w8a8", "RK3588-FP16", "rk3566_w8a8", "rockchip_rknpu2", "rk3568"):
        assert capability.find(name).capability.vendor == "Rockchip"
    assert capability.find("rk3588_fp16").options["precision"] == "fp16"


def test_a_shape_that_is_not_known_is_refused():
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["i"]), helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT)],
        "net",
        [value("x", TensorProto.FLOAT, [4])],
        [value("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    placed = place(graph_of(model, "net.onnx"), capability.find("rk3588")).placed
    assert {one.where for one in placed} == {"refused"}
