"""What a placement shows, on small networks where the answer can be counted by hand."""

import pytest
import toy
from growth import linear
from regions import network

from whichpu.graphs.capability import Verdict
from whichpu.graphs.estimate import Estimate
from whichpu.graphs.findings import findings
from whichpu.graphs.findings.near import bounds
from whichpu.graphs.graph import Quantisation, Tensor
from whichpu.graphs.lowering.none import copied
from whichpu.graphs.placement import place, settle
from whichpu.graphs.readers import read


def found(placement, kind, estimate=None):
    rows = [finding for finding in findings(placement, estimate) if finding.kind == kind]
    return rows[0] if rows else None


def placed(graph, target=None):
    return place(graph, target or toy.target())


def test_the_histogram_counts_types_shares_and_places(tmp_path):
    graph = read(toy.chain(tmp_path / "m.onnx", "Conv", "Relu", "Softmax", "Conv"), {})
    rows = found(placed(graph), "operators").figures["rows"]
    assert [(row["type"], row["count"], row["share"]) for row in rows] == [
        ("Conv", 2, 0.5), ("Relu", 1, 0.25), ("Softmax", 1, 0.25),
    ]  # fmt: skip
    assert (rows[0]["accelerator"], rows[2]["host"]) == (2, 1)
    assert rows[0]["macs"] == 2 * 4 * 4 * 9 * 64


def test_a_host_operator_between_two_regions_is_a_break(tmp_path):
    graph = read(toy.chain(tmp_path / "m.onnx", "Conv", "Softmax", "Exp", "Conv"), {})
    one = found(placed(graph), "pipeline-break")
    assert one.figures["count"] == 1
    row = one.figures["rows"][0]
    assert (row["operators"], row["before"], row["behind"]) == (["Softmax1", "Exp2"], [1], [2])
    assert row["bytes"] == 2 * 4 * 8 * 8 * 4


def test_host_operators_at_the_end_are_no_break(tmp_path):
    graph = read(toy.chain(tmp_path / "m.onnx", "Conv", "Softmax"), {})
    assert found(placed(graph), "pipeline-break") is None


def test_the_boundary_is_added_up(tmp_path):
    graph = read(toy.chain(tmp_path / "m.onnx", "Conv", "Softmax", "Conv"), {})
    ledger = found(placed(graph), "boundary", Estimate("made up", transfer_seconds=(1e-3, 2e-3)))
    assert (ledger.figures["crossings"], ledger.figures["bytes"]) == (2, 2 * 1024)
    assert ledger.figures["rows"][0] == {"tensor": "t0", "bytes": 1024, "out_of": "region 1", "into": "cpu"}
    assert "an estimated 1 to 2 ms" in ledger.says


def test_the_boundary_says_what_is_not_known():
    graph = network([[], [0], [1]], ["Conv", "Softmax", "Relu"])
    graph.operators[0].outputs[0].shape = (None, 4)
    target = toy.target(operators={"Conv": {}, "Relu": {}})
    ledger = found(placed(graph, target), "boundary")
    assert ledger.figures["bytes"] is None
    assert (ledger.figures["known_bytes"], ledger.figures["unknown_sizes"]) == (16, 1)
    assert "at least 16 B (1 of unknown size)" in ledger.says


def test_a_sandwich_left_outside_is_counted(tmp_path):
    types = (
        "QuantizeLinear",
        "DequantizeLinear",
        "Elu",
        "QuantizeLinear",
        "DequantizeLinear",
        "Relu",
        "QuantizeLinear",
    )
    one = found(placed(read(toy.chain(tmp_path / "m.onnx", *types), {})), "conversion-sandwich")
    assert (one.figures["count"], one.figures["extra_operators"]) == (1, 2)
    assert one.operators == ("Elu2",)
    assert one.figures["bytes"] == 2 * (256 + 1024)
    assert "the NPU does not take it" in one.says


def test_in_relay_every_sandwich_counts_even_one_that_is_taken():
    graph = network([[], [0], [1], [2]], ["qnn.conv2d", "qnn.dequantize", "nn.leaky_relu", "qnn.quantize"])
    graph.dialect = "relay"
    for index in (0, 3):
        graph.operators[index].outputs[0].dtype = "int8"
    taken = {"qnn.conv2d": {}, "qnn.dequantize": {}, "nn.leaky_relu": {}, "qnn.quantize": {}}
    one = found(placed(graph, toy.target(dialect="relay", operators=taken)), "conversion-sandwich")
    assert (one.figures["count"], one.figures["taken"], one.figures["extra_operators"]) == (1, 1, 2)


def test_what_the_quantiser_left_in_float_is_named():
    graph = network([[], [0], [1]], ["CONV_2D", "ELU", "CONV_2D"])
    graph.dialect = "tflite"
    for index in (0, 2):
        tensor = graph.operators[index].outputs[0]
        tensor.dtype, tensor.quantisation = "int8", Quantisation((0.1,), (0,))
    one = found(placed(graph, toy.target(dialect="tflite", operators={"CONV_2D": {}})), "quantiser-gap")
    assert one.operators == ("n1",)
    assert (one.figures["count"], one.figures["left"]) == (1, 1)


def test_a_float_network_has_no_quantiser_gap(tmp_path):
    graph = read(toy.chain(tmp_path / "m.onnx", "Conv", "Elu"), {})
    assert found(placed(graph), "quantiser-gap") is None
    assert found(placed(graph), "float-edges") is None


def test_float_inputs_of_a_quantised_network(tmp_path):
    graph = read(toy.chain(tmp_path / "m.onnx", "QuantizeLinear", "DequantizeLinear", "Relu", "QuantizeLinear"), {})
    one = found(placed(graph), "float-edges")
    assert one.figures == {"inputs": 1, "outputs": 0, "bytes": 1024, "tensors": ["x"]}


def test_what_keeps_regions_apart(tmp_path):
    graph = read(toy.chain(tmp_path / "m.onnx", "Conv", "Softmax", "Conv"), {})
    one = found(placed(graph), "kept-apart")
    assert one.figures["rows"] == [{"out_of": 1, "into": 2, "why": "Softmax1"}]
    assert one.operators == ("Softmax1",)


def test_an_operator_on_the_edge_of_a_limit(tmp_path):
    graph = read(toy.chain(tmp_path / "m.onnx", "Conv", kernel=32, size=40), {})
    one = found(placed(graph), "near-limit")
    assert (one.figures["fact"], one.figures["limit"], one.figures["most"]) == ("kernel_h", 32, 32)


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        ("kernel_h <= 32 and kernel_w <= 32", (("kernel_h", 32), ("kernel_w", 32))),
        ("1 <= channels <= 2 ** 16", (("channels", 65536),)),
        ("kernel_h <= 32 or groups == 1", ()),
        ("rank <= 4", ()),
        ("kernel_h * kernel_w <= 256", ()),
        ("stride_h in (1, 2)", ()),
    ],
)
def test_bounds_of_a_condition(need, expected):
    assert bounds(need) == expected


def test_the_ratio_is_read_with_its_warning(tmp_path):
    whole = found(placed(read(toy.chain(tmp_path / "w.onnx", "Conv", "Relu"), {})), "function-ratio")
    cut = found(placed(read(toy.chain(tmp_path / "c.onnx", "Conv", "Softmax", "Conv"), {})), "function-ratio")
    assert "1 of 2 functions" in whole.says and "50.0 %" in whole.says
    assert "2 of 3 functions" in cut.says and "rises with fragmentation" in cut.says


def test_what_stops_the_compiler_and_what_is_unknown():
    graph = network([[], [0], [1]], ["Relu", "LSTM", "Gelu"])
    placement = placed(graph)
    assert found(placement, "compiler-stops").operators == ("n1",)
    assert found(placement, "unknown-verdicts").operators == ("n2",)


def test_open_shapes_are_told():
    graph = network([[]], ["Relu"])
    graph.operators[0].outputs[0].shape = None
    assert found(placed(graph), "open-shapes").figures == {"count": 1, "tensors": ["t0"]}


def test_findings_take_linear_work():
    """Every fifth operator stays on the host, in float."""

    def prepared(count):
        parents = [[index - 1, *([index - 4] if index % 4 == 0 else [])] if index else [] for index in range(count)]
        types = ["Relu" if index % 5 else "QuantizeLinear" if index % 2 else "Softmax" for index in range(count)]
        graph = network(parents, types)
        verdicts = [Verdict("npu" if kind == "Relu" else "host") for kind in types]
        placement = settle(graph, copied(graph), toy.target(), verdicts)
        return lambda: findings(placement)

    assert linear(prepared, 400)


def test_a_constant_behind_a_dequantise_is_no_activation():
    graph = network([[]], ["DequantizeLinear"])
    weights = Tensor("w", "int8", (4,), read=lambda: None)
    graph.operators[0].inputs = [weights]
    assert found(placed(graph), "conversion-sandwich") is None
