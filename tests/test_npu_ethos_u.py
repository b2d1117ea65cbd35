"""Ethos-U and Edge TPU: tables held to Vela's recorded answers, its runs, ONNX as its converter writes it."""

import json
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.graphs import capability, compilers
from whichpu.graphs.compilers import process, vela
from whichpu.graphs.partition import Terms, partition
from whichpu.graphs.placement import place
from whichpu.graphs.readers import read, tflite
from whichpu.graphs.readers.onnx import graph_of

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "npu"))

import micro
import vela_truth
import vela_zoo
from tflite_file import Model

RECORDED = json.loads(vela_truth.RECORD.read_text())


def network(content, folder):
    path = folder / "net.tflite"
    path.write_bytes(content)
    return tflite.read(path, {})


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Every fourth network of the zoo: all of them take half a minute."""
    folder = tmp_path_factory.mktemp("zoo")
    return {name: network(content, folder) for at, (name, content) in enumerate(vela_zoo.zoo()) if at % 4 == 0}


def test_the_zoo_is_the_one_that_was_recorded():
    names = " ".join(name for name, _ in vela_zoo.zoo())
    assert zlib.crc32(names.encode()) == RECORDED["zoo"]["crc32_of_names"], "record it anew: vela_truth.py --write"


@pytest.mark.parametrize("target", vela_truth.CONFIGURATIONS)
def test_tables_agree_with_vela(zoo, target):
    letters = RECORDED["zoo"][target].split(" ")[::4]
    said = dict(zip(zoo, letters, strict=True))
    wrong = list(vela_truth.differing(zoo, said, target))
    assert len(said) > 850
    assert len(wrong) <= 0.004 * len(said), wrong


def test_tables_agree_with_the_reference(shared_npu):
    truth = json.loads((shared_npu / "micro" / "truth.json").read_text())["rows"]
    for key in ("ethos_u55_128", "ethos_u85_256"):
        for name, entry in truth.items():
            path = shared_npu / "micro" / f"{name}_int8.tflite"
            said = entry[key]
            if not path.is_file() or "writing the report" in said.get("why", ""):
                continue
            placed = place(read(path), capability.find(key)).placed
            assert ("cpu" if any(one.where == "cpu" for one in placed) else "npu") == said["r"], name


def test_onnx_falls_back_where_its_conversion_does():
    """Whether all of it is taken, and which kinds of operators are not."""
    makers = micro.entries()
    kinds = {name: text.split() for name, text in RECORDED["converted"]["operators"].items() if name in makers}
    for target in ("ethos-u55-128", "ethos-u85-256"):
        whole, same, count = 0, 0, 0
        for name in list(kinds)[::3]:
            letters = RECORDED["converted"][target][name]
            if letters == vela_truth.REFUSED:
                continue
            placement = place(graph_of(makers[name](), f"{name}.onnx"), capability.find(target))
            pairs = zip(placement.lowered.operators, placement.verdicts, strict=True)
            ours = {operator.type for operator, verdict in pairs if verdict.status != "npu"}
            theirs = {kind for kind, letter in zip(kinds[name], letters, strict=True) if letter == "c"}
            whole += (not ours) == (not theirs)
            same += ours == theirs
            count += 1
        assert count > 150
        assert whole >= 0.99 * count
        assert same >= 0.97 * count


def verdicts(content, folder, target="ethos-u55"):
    graph = network(content, folder)
    found = capability.find(target)
    return [found.judge(graph, operator) for operator in graph.operators]


def test_reasons_name_the_figures(tmp_path):
    (verdict,) = verdicts(
        vela_zoo.single("ARG_MAX", (1, 8, 8, 200), (1, 8, 8), out_dtype="int32", parameters=[3]), tmp_path
    )
    assert (verdict.status, "200" in verdict.reason, "127" in verdict.reason) == ("host", True, True)
    assert verdict.source.startswith("Vela") or verdict.source == "ops"
    (verdict,) = verdicts(vela_zoo.single("HARD_SWISH", dtype="int16"), tmp_path)
    assert verdict.status == "refused"
    (verdict,) = verdicts(vela_zoo.single("ABS", dtype="float32"), tmp_path)
    assert "float32" in verdict.reason


def test_sums_of_weights_are_looked_at_where_they_may_be_too_large(tmp_path):
    fits = {"channels": 516, "kernel": (127, 1), "sizes": (127, 4), "outs": 1, "padding": "VALID", "weights": 127}
    assert verdicts(vela_zoo.convolution(**fits), tmp_path)[0].status == "npu"
    (verdict,) = verdicts(vela_zoo.convolution(**{**fits, "channels": 517}), tmp_path)
    assert verdict.status == "host"
    assert "8338693" in verdict.reason


@pytest.mark.parametrize("name", ["ethos_u55_128", "ethos-u65-512", "Ethos-U85-1024", "edge_tpu", "edgetpu"])
def test_names_and_options(name):
    target = capability.find(name)
    tail = name.rpartition("-")[2]
    assert not tail.isdigit() or target.options["macs"] == tail


# Runs: N on the NPU, C on the CPU.


def graph_from(links, folder):
    """Operators by name: CEIL, ABS or ADD with the inputs named; x is fed."""
    model = Model()
    tensors = {"x": vela_zoo.fed(model, (1, 4))}
    used = set()
    for name, (kind, inputs) in links.items():
        tensors[name] = vela_zoo.fed(model, (1, 4), name=name)
        model.op(kind, [tensors[one] for one in inputs], [tensors[name]])
        used.update(inputs)
    outputs = [tensors[name] for name in links if name not in used]
    return network(model.write([tensors["x"]], outputs), folder)


def runs(graph):
    terms = Terms([operator.type != "CEIL" for operator in graph.operators], lambda _: False, {})
    found = partition("vela", graph, terms).regions
    return sorted(sorted(graph.operators[index].name for index in region) for region in found)


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ({"a": ("ABS", "x"), "c": ("CEIL", "a"), "b": ("ABS", "c")}, [["a"], ["b"]]),
        # A CPU operator that needs nothing from the NPU goes first.
        ({"b": ("ABS", "x"), "c": ("CEIL", "x"), "d": ("ADD", "bc")}, [["b", "d"]]),
        # One that nothing takes goes last.
        ({"a": ("ABS", "x"), "c": ("CEIL", "a"), "b": ("ABS", "x")}, [["a", "b"]]),
        # Two CPU arms, each with an NPU operator behind: three runs, as Vela 5.2.0 makes them.
        (
            {"a": ("ABS", "x"), "b": ("CEIL", "a"), "c": ("ABS", "b"), "d": ("CEIL", "a"), "e": ("ABS", "d"),
             "f": ("ADD", "ce")},
            [["a"], ["c", "f"], ["e"]],
        ),
    ],
)  # fmt: skip
def test_runs_are_vela_s(tmp_path, links, expected):
    assert runs(graph_from(links, tmp_path)) == expected


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_runs_are_convex_and_hold_each_taken_operator_once(tmp_path_factory, data):
    names = [chr(97 + at) for at in range(data.draw(st.integers(1, 12)))]
    links = {}
    for at, name in enumerate(names):
        kind = data.draw(st.sampled_from(["CEIL", "ABS", "ADD"]))
        before = st.sampled_from(["x", *names[:at]])
        links[name] = (kind, [data.draw(before) for _ in range(1 + (kind == "ADD"))])
    graph = graph_from(links, tmp_path_factory.mktemp("runs"))
    found = runs(graph)
    flat = [name for run in found for name in run]
    assert sorted(flat) == sorted(name for name in names if links[name][0] != "CEIL")
    for run in found:
        behind: set[str] = set()
        for name in names:
            inputs = links[name][1]
            left = name not in run and (set(inputs) & set(run) or set(inputs) & behind)
            if left:
                behind.add(name)
            assert not (name in run and set(inputs) & behind), f"{run} is left and entered again"


def test_edge_tpu_takes_one_leading_section(tmp_path):
    links = {"a": ("ADD", "xx"), "c": ("CEIL", "a"), "b": ("ADD", "cc"), "d": ("ADD", "ax")}
    placed = place(graph_from(links, tmp_path), capability.find("edge-tpu")).placed
    where = {one.operator.name: one.where for one in placed}
    assert where == {"a": "npu", "c": "cpu", "b": "cpu", "d": "npu"}
    assert "CEIL 'c'" in next(one.reason for one in placed if one.operator.name == "b")


def test_edge_tpu_takes_its_reference_model_whole(shared_data):
    folder = shared_data / "tflite_int8"
    placed = place(read(folder / "mobilenet_v1_0.25_128_quant.tflite"), capability.find("edge-tpu"))
    assert (placed.figures.regions, placed.figures.host_operators) == (1, 0)
    with pytest.raises(UserError, match="Edge TPU"):
        read(folder / "mobilenet_v1_0.25_128_quant_edgetpu.tflite")


# Vela asked.

WARNED = """
Warning (supported operators) operator: CEIL, ofm: 'c'
Reason: Unsupported opType

Warning (supported operators) operator: ABS, ofm: 'b'
Reason: Unsupported dataType Int64
64-bit feature-maps are not supported.

Network summary for net
"""


def test_vela_s_reasons_and_what_it_left(tmp_path):
    source = graph_from({"a": ("ABS", "x"), "c": ("CEIL", "a"), "b": ("ABS", "c"), "d": ("ABS", "b")}, tmp_path)
    model = Model()
    x, a, c, b, d = (vela_zoo.fed(model, (1, 4), name=name) for name in "xacbd")
    model.op("ethos-u", [x], [a], custom=True)
    model.op("CEIL", [a], [c])
    model.op("ABS", [c], [b])
    model.op("ethos-u", [b], [d], custom=True)
    written = tmp_path / "model_vela.tflite"
    written.write_bytes(model.write([x], [d]))
    (tmp_path / "model_summary_x.csv").write_text(
        "system_config,memory_mode,inference_time,sram_memory_used,cycles_total\nHigh,Shared,0.5,2.0,7\n"
    )
    answer = vela.answer(written, process.Ended(0, WARNED), source, "vela 5.2.0")
    assert [answer.verdicts[at].status for at in range(4)] == ["npu", "host", "host", "npu"]
    assert answer.verdicts[2].reason == "Unsupported dataType Int64"
    assert answer.regions == 2
    assert answer.figures["npu_seconds_estimated"] == 0.5
    assert answer.figures["sram_bytes_used"] == 2048
    assert "0 cycles" in answer.figures["not_in_the_estimate"]
    assert not any("percent" in key or "operators_on" in key for key in answer.figures)


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (
            process.Ended(
                1, "Traceback\nRuntimeError: Compilation failed: Error: ABS 't1' is not valid.\n - types\n\n"
            ),
            "types",
        ),
        (process.Ended(-11, "Warning: x\n"), "crashed"),
        (process.Ended(None, ""), "in time"),
    ],
)
def test_a_crash_is_an_answer_in_words(tmp_path, ended, words):
    source = graph_from({"a": ("ABS", "x")}, tmp_path)
    answer = vela.answer(tmp_path / "none_vela.tflite", ended, source, "vela 5.2.0")
    assert not answer.verdicts
    assert words in answer.refused


def test_vela_is_asked_with_tflite_only(tmp_path):
    target = capability.find("ethos-u55-64")
    assert vela.words(target)[1] == "ethos-u55-64"
    with pytest.raises(UserError, match="TFLite models only"):
        vela.ask(tmp_path / "net.onnx", graph_from({"a": ("ABS", "x")}, tmp_path), target)
    nowhere = capability.find(f"ethos-u55:python={tmp_path / 'python'}")
    assert "holds no ethos-u-vela" in (compilers.why_not(nowhere) or "")
