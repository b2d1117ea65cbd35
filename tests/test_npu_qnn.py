"""Qualcomm HTP, Core ML, NNAPI and Intel NPU: tables held to recorded answers, and what their compilers say, read."""

import json
import sys
from pathlib import Path

import pytest

from whichpu.graphs.capability import find
from whichpu.graphs.compilers import mobile_checker, openvino, process, qnn
from whichpu.graphs.placement import place
from whichpu.graphs.readers.onnx import graph_of

DATA = Path(__file__).parent / "data" / "npu"
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "npu"))
import micro  # noqa: E402
import recorded  # noqa: E402

SAID = {
    (file, target): answers
    for file in ("qnn", "mobile")
    for target, answers in json.loads((DATA / f"{file}.json").read_text())["answers"].items()
}


@pytest.fixture(scope="module")
def zoo():
    """Graphs of the micro models, made when asked for."""
    makers, made = micro.entries(), {}

    def graph(name):
        if name not in made:
            made[name] = graph_of(makers[name](), f"{name}.onnx")
        return made[name]

    return graph


@pytest.mark.parametrize(("file", "target"), SAID)
def test_tables_agree_with_the_recorded_answers(zoo, file, target):
    found = [recorded.compared(place(zoo(name), find(target)), said) for name, said in SAID[file, target].items()]
    wrong = [each for one in found for each in one.differences]
    assert sum(one.alike for one in found) >= 0.99 * sum(one.named for one in found), wrong


def where(graph, target):
    return {one.operator.type: one for one in place(graph, find(target)).placed}


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("htp-v73", "qnn_htp_v73_w8a8"),
        ("htp-v68", "QNN-HTP-v68-w8a8"),
        ("htp-v73", "qnn-htp-v73-fp16"),
        ("coreml", "coreml_mlprogram_checker"),
        ("nnapi", "nnapi_checker"),
        ("intel-npu", "intel_npu"),
    ],
)
def test_aliases(name, alias):
    assert find(alias).capability.name == name
    if "fp16" in alias:
        assert find(alias).options["precision"] == "fp16"
    if "checker" in alias:
        assert find(alias).options["rule"] == "checker"


def test_a_refusal_names_what_it_needs(zoo):
    refused = where(zoo("LSTM"), "htp-v73")["LSTM"]
    assert refused.where == "refused" and "soc=given" in refused.reason
    assert "onnxruntime-qnn 2.7.0" in find("htp-v73").source(refused.source)
    assert where(zoo("LSTM"), "htp-v73:soc=given")["LSTM"].where == "npu"


def test_resize_of_core_ml_is_its_own_rule_and_the_checkers_is_the_checkers(zoo):
    resize = zoo("Resize_linear_half_pixel_x2.0")
    assert where(resize, "coreml")["Resize"].where == "npu"
    checked = where(resize, "coreml:rule=checker")["Resize"]
    assert checked.where == "cpu" and "left out" in checked.reason
    assert "nearest_mode floor" in where(zoo("Resize_nearest_half_pixel"), "coreml")["Resize"].reason


def test_intel_npu_is_unknown_and_says_whom_to_ask(zoo):
    relu = where(zoo("Relu"), "intel-npu")["Relu"]
    assert relu.where == "unknown" and "ask it" in relu.reason


def test_edges_of_a_quantised_model_stay_on_the_cpu(shared_npu):
    from whichpu.graphs.readers import read

    graph = read(shared_npu / "micro" / "Relu_qdq.onnx")
    edges = [one for one in place(graph, find("htp-v73")).placed if one.operator.name == "x_QuantizeLinear"]
    assert [one.where for one in edges] == ["cpu"] and "offload_graph_io" in edges[0].reason
    inside = [
        one for one in place(graph, find("htp-v73:graph_io=npu")).placed if one.operator.name == "x_QuantizeLinear"
    ]
    assert [one.where for one in inside] == ["npu"]


# ---------------------------------------------------------------- what compilers say

ENDED = process.Ended(0, "")


def told(graph, parts, providers=(qnn.PROVIDER, "CPUExecutionProvider")):
    names = {f"n{one.index}": one.outputs[0].name for one in graph.operators}
    record = {"onnxruntime": "1.31.1", "onnxruntime_qnn": "2.7.0", "parts": parts, "providers": providers}
    return qnn.answer(record, ENDED, graph, names)


def test_the_assignment_is_told_by_source_operator(zoo):
    parts = [
        {"provider": qnn.PROVIDER, "nodes": [["n0_token_1", "Conv"], ["Transpose_token_4", "Transpose"]]},
        {"provider": "CPUExecutionProvider", "nodes": [["n1", "Erf"]]},
        {"provider": qnn.PROVIDER, "nodes": [["n2/Fusion/", "Conv"]]},
    ]
    answer = told(zoo("Erf"), parts)
    assert {index: verdict.status for index, verdict in answer.verdicts.items()} == {0: "npu", 1: "host", 2: "npu"}
    assert answer.regions == 2 and answer.tool == "onnxruntime-qnn 2.7.0"


def test_a_silent_fallback_is_no_success(zoo):
    answer = told(
        zoo("Relu"), [{"provider": "CPUExecutionProvider", "nodes": [["n0", "Conv"]]}], ("CPUExecutionProvider",)
    )
    assert not answer.verdicts and "fell back to the CPU" in answer.refused


def test_a_refusal_and_a_crash_are_answers(zoo):
    graph = zoo("Relu")
    assert "1002" in qnn.answer({"error": "Code: 1002"}, ENDED, graph, {}).refused
    assert "SIGSEGV" in qnn.answer({}, process.Ended(-11, ""), graph, {}).refused


def test_options_name_the_chip_for_float_only():
    assert "soc_model" not in qnn.options(find("htp-v73"))
    assert qnn.options(find("htp-v73:precision=fp16"))["soc_model"] == "43"
    assert qnn.options(find("htp-v68:graph_io=npu")) == {"htp_arch": "68", "offload_graph_io_quantization": "0"}


def test_the_provider_that_is_not_here_says_how_to_get_it():
    assert "htp-v73:python=PATH" in (qnn.why_not(find(f"htp-v73:python={sys.executable}")) or "")


def test_the_mobile_checker_is_asked_only_where_it_is_the_question(zoo, tmp_path):
    file = tmp_path / "erf.onnx"
    file.write_bytes(micro.entries()["Erf"]().SerializeToString())
    assert "rule=checker" in (mobile_checker.why_not(find("nnapi")) or "")
    target = find("nnapi:rule=checker")
    assert mobile_checker.why_not(target) is None
    answer = mobile_checker.ask(file, zoo("Erf"), target)
    assert [answer.verdicts[index].status for index in range(3)] == ["npu", "host", "npu"] and answer.regions == 2


def test_openvino_names_its_operators_and_a_missing_npu_compiler(zoo, tmp_path):
    (tmp_path / "relu.onnx").write_bytes(micro.entries()["Relu"]().SerializeToString())
    if not process.interpreter_holds(sys.executable, "openvino"):
        pytest.skip("needs openvino")
    answer = openvino.answer(*openvino.queried(sys.executable, "CPU", tmp_path, "relu.onnx"), zoo("Relu"), "CPU")
    assert {verdict.status for verdict in answer.verdicts.values()} == {"npu"} and len(answer.verdicts) >= 2
    assert openvino.answer({"error": "a\nno device"}, ENDED, zoo("Relu"), "NPU").refused == "no device"
    why = openvino.why_not(find("intel-npu"))
    assert why is None or "NPU compiler" in why
