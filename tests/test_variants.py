"""Variants: fp16 and int8 made from an fp32 ONNX model, what is refused, and the table of precisions."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_metered
import msgspec
import numpy as np
import onnx
import pytest
from made import model_file
from onnx import helper
from rich.console import Console

from whichpu.campaign import plan
from whichpu.campaign.contenders import _take
from whichpu.campaign.reach import Found
from whichpu.errors import ConversionError, UserError
from whichpu.models import artefact, quantise_child, variants
from whichpu.reports import html, precision, precision_chart, terminal
from whichpu.results import precisions
from whichpu.results.schema import Accuracy, Campaign, Form, TaskInfo
from whichpu.results.summary import summarize
from whichpu.targets.target import Target
from whichpu.worker import wire

APPLE = Path(__file__).parent.parent / "examples" / "apple_stock"


def small(path: Path, opset: int = 17, weights: float = 1.0) -> Path:
    """A convolution, a ReLU, and a Gemm by way of MatMul and Add, whose bias is ``[1, channels]``."""
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["sums"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["sums"], ["features"]),
        helper.make_node("Reshape", ["features", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["scores"]),
    ]
    generator = np.random.default_rng(3)
    drawn = {
        "kernel": weights
        * generator.normal(size=(8, 1, 3, 3)).astype(np.float32)
        * np.logspace(-2, 0, 8)[:, None, None, None],
        "flat": np.array([1, 8 * 36]),
        "matrix": weights * generator.normal(size=(8 * 36, 10)),
        "bias": generator.normal(size=(1, 10)),
    }
    typed = {name: array if name == "flat" else array.astype(np.float32) for name, array in drawn.items()}
    return model_file(path, nodes, {"image": [1, 1, 8, 8]}, {"scores": [1, 10]}, typed, opset=opset)


def samples(count: int, scale: float = 1.0) -> list[list[Any]]:
    generator = np.random.default_rng(5)
    return [[(scale * generator.random((1, 1, 8, 8))).astype(np.float32)] for _ in range(count)]


def calibrated(model: artefact.Model, folder: Path, scale: float = 1.0) -> variants.Calibration:
    folder.mkdir(exist_ok=True)
    assert model.inputs is not None
    return variants.calibration(samples(4, scale), model.inputs, folder)


def made(model: artefact.Model, name: str, inputs: variants.Calibration | None, cache: Path) -> artefact.Model:
    assert model.inputs is not None
    return variants.make(model, name, model.inputs, inputs, cache)


def outputs(path: Path, sample: list[Any]) -> Any:
    ort = pytest.importorskip("onnxruntime")
    return ort.InferenceSession(str(path)).run(None, {"image": sample[0]})[0]


# ---------------------------------------------------------------- what is made


def test_fp16_halves_the_file_and_keeps_inputs_and_outputs(tmp_path: Path) -> None:
    model = artefact.load(small(tmp_path / "small.onnx"))
    before = model.path.read_bytes()
    half = made(model, "fp16", None, tmp_path / "cache")
    graph = onnx.load(half.path).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert types["matrix"] == types["kernel"] == onnx.TensorProto.FLOAT16
    assert {end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)} == {onnx.TensorProto.FLOAT}
    form = half.forms["onnx"]
    assert form.bytes < 0.6 * model.forms["onnx"].bytes
    assert (form.origin, form.precision) == ("made", "fp16+fp32") and "float16" in (form.tool or "")
    assert (
        model.path.read_bytes() == before
        and [entry.name for entry in half.path.parent.iterdir()].count("model.onnx") == 0
    )


def test_int8_is_static_qdq_with_u8_activations_and_a_scale_for_each_channel(tmp_path: Path) -> None:
    model = artefact.load(small(tmp_path / "small.onnx"))
    old = artefact.load(small(tmp_path / "old.onnx", opset=11))
    inputs = calibrated(model, tmp_path / "inputs")
    whole = made(model, "int8", inputs, tmp_path / "cache")
    one = made(old, "int8-per-tensor", inputs, tmp_path / "cache")
    for twin, scales in ((whole, 8), (one, 1)):
        graph = onnx.load(twin.path).graph
        weights = {tensor.name: tensor for tensor in graph.initializer}
        assert weights["kernel_quantized"].data_type == onnx.TensorProto.INT8
        assert int(np.prod(weights["kernel_scale"].dims)) == scales
        assert weights["image_zero_point"].data_type == onnx.TensorProto.UINT8
    form = whole.forms["onnx"]
    told = form.tool or ""
    assert "per channel" in told and "MinMax" in told and "4 calibration samples" in told
    assert form.precision == "int8 (quantised)" and "with 100 % of the weights" in form.notes[-1]
    assert "the model was brought from opset 11 to 13" in one.forms["onnx"].notes
    errors = []
    for given, twin in ((model, whole), (old, one)):
        exact, ours = (np.array([outputs(each.path, sample) for sample in samples(4)]) for each in (given, twin))
        errors.append(np.abs(ours - exact).max() / np.abs(exact).max())
    assert min(errors) > 0 and max(errors) < 0.1, "less exact, and still the same network"

    stamp, log = whole.path.stat().st_mtime_ns, whole.path.with_name("conversion.log")
    again = made(model, "int8", calibrated(model, tmp_path / "inputs"), tmp_path / "cache")
    assert again.forms == whole.forms and again.path.stat().st_mtime_ns == stamp, "made once"
    assert "whichpu:" in log.read_text()


def test_symmetric_int8_has_no_zero_points_and_leaves_biases_alone(tmp_path: Path) -> None:
    """What TensorRT's explicit quantisation takes."""
    model = artefact.load(small(tmp_path / "small.onnx"))
    one = made(model, "int8-symmetric", calibrated(model, tmp_path / "inputs"), tmp_path / "cache")
    graph = onnx.load(one.paths["onnx"]).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    points = [weights[node.input[2]] for node in pairs]
    assert pairs
    assert all(point.dtype == np.int8 and not point.any() for point in points)
    assert all(array.dtype in (np.float32, np.int8, np.int64) for array in weights.values())


def test_other_calibration_makes_another_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "stub.py"
    stub.write_text("import json, shutil, sys\nprint(json.loads(sys.argv[1])['per_channel'])\n"
                    "shutil.copyfile('model.onnx', 'variant.onnx')\n")  # fmt: skip
    monkeypatch.setattr(variants, "CHILD", stub)
    model = artefact.load(small(tmp_path / "small.onnx"))
    first = made(model, "int8", calibrated(model, tmp_path / "inputs"), tmp_path / "cache")
    wider = made(model, "int8", calibrated(model, tmp_path / "wide", scale=9.0), tmp_path / "cache")
    tensor = made(model, "int8-per-tensor", calibrated(model, tmp_path / "inputs"), tmp_path / "cache")
    again = made(model, "int8", calibrated(model, tmp_path / "again"), tmp_path / "cache")
    assert len({twin.path for twin in (first, wider, tensor)}) == 3 and again.path == first.path


def test_recurrent_layers_stay_fp32_and_that_is_told(tmp_path: Path) -> None:
    model = artefact.load(APPLE / "gru.onnx", siblings=False)
    window = np.random.default_rng(1).normal(size=(4, 1, 60, 1)).astype(np.float32)
    assert model.inputs is not None
    inputs = variants.calibration(([each] for each in window), model.inputs, tmp_path)
    note = made(model, "int8", inputs, tmp_path / "cache").forms["onnx"].notes[-1]
    assert note.startswith("1 of 7 operators are quantised, with 0.") and note.endswith("; GRU (2) stays fp32")


def test_values_beyond_fp16_are_told(tmp_path: Path) -> None:
    model = artefact.load(small(tmp_path / "large.onnx", weights=1e6))
    notes = made(model, "fp16", None, tmp_path / "cache").forms["onnx"].notes
    assert len(notes) == 1 and notes[0].endswith(" weights are too large for fp16, and became its largest number")


def test_nncf_makes_openvinos_own(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    if variants.convert.absent(variants._converter("int8-nncf", variants.VARIANTS["int8-nncf"])):
        pytest.skip("NNCF is not here")
    model = artefact.load(small(tmp_path / "small.onnx"))
    twin = made(model, "int8-nncf", calibrated(model, tmp_path / "inputs"), tmp_path / "cache")
    assert twin.path.suffix == ".xml" and twin.path.with_suffix(".bin").is_file()
    assert set(twin.forms) == {"openvino"} and twin.forms["openvino"].notes[0].startswith("NNCF quantises in ")


def test_a_tool_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import sys\nsys.exit('the tool met an operator it does not know: Blub')\n")
    monkeypatch.setattr(variants, "CHILD", broken)
    model = artefact.load(small(tmp_path / "small.onnx"))
    with pytest.raises(ConversionError, match=r"(?s)could not make fp16 of .*small\.onnx.*Blub.*whole log") as caught:
        made(model, "fp16", None, tmp_path / "cache")
    assert "--variants" in (caught.value.remedy or "")


def test_the_share_of_quantised_weights_counts_what_is_left() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "s"], ["w"]),
        helper.make_node("Gemm", ["x", "w"], ["y"]),
        helper.make_node("LSTM", ["y", "r"], ["z"]),
    ]
    tensors = [helper.make_tensor(name, 1, [size], [0.0] * size) for name, size in (("w", 30), ("r", 10))]
    before = SimpleNamespace(initializer=tensors)
    after = SimpleNamespace(initializer=tensors[1:], node=nodes)
    assert quantise_child.quantised(before, after) == (
        "1 of 2 operators are quantised, with 75 % of the weights; LSTM stays fp32"
    )


# ---------------------------------------------------------------- what is refused


def test_unknown_names_are_refused_with_those_that_there_are() -> None:
    assert variants.asked(["int8", "fp32", "int8"]) == ["int8", "fp32"]
    with pytest.raises(UserError, match="no variant is called 'int4'") as caught:
        variants.asked(["int4"])
    assert "fp16, int8, int8-per-tensor" in (caught.value.remedy or "")


def test_models_that_are_not_fp32_or_not_onnx_are_refused(tmp_path: Path) -> None:
    model = artefact.load(small(tmp_path / "small.onnx"))
    half = made(model, "fp16", None, tmp_path / "cache")
    with pytest.raises(UserError, match=r"variants are made of an fp32 model; .* is fp16\+fp32"):
        variants.refuse_unfit(half)
    with pytest.raises(UserError, match="gru is given as tflite") as caught:
        variants.refuse_unfit(artefact.load(APPLE / "gru.tflite", siblings=False))
    assert "--form" in (caught.value.remedy or "")


def test_int8_needs_a_calibration_part(tmp_path: Path) -> None:
    model = artefact.load(small(tmp_path / "small.onnx"))
    wishes = plan.Wishes(on=("onnxruntime",), variants=("fp32", "int8"), root=str(tmp_path))
    with pytest.raises(UserError, match="int8 is calibrated with data like those it will see") as caught:
        plan.make(model, wishes, plan_silence())
    assert "[calibration]" in (caught.value.remedy or "")
    text = (APPLE / "task.toml").read_text()
    without = text[: text.index("[calibration]")] + text[text.index("[preprocess]") :]
    task = tmp_path / "task.toml"
    task.write_text(without.replace('"aapl.csv"', json.dumps(str(APPLE / "aapl.csv"))).partition("[reference]")[0])
    gru = artefact.load(APPLE / "gru.onnx", siblings=False)
    with pytest.raises(UserError, match="has no samples for calibration"):
        plan.make(gru, msgspec.structs.replace(wishes, data=task), plan_silence())


def test_calibration_samples_must_fit(tmp_path: Path) -> None:
    model = artefact.load(small(tmp_path / "small.onnx"))
    assert model.inputs is not None
    with pytest.raises(UserError, match="calibration sample 0: 'image' has shape"):
        variants.calibration([[np.zeros((1, 1, 9, 9), np.float32)]], model.inputs, tmp_path)
    with pytest.raises(UserError, match="has 2 inputs; the model takes 1"):
        variants.calibration([samples(1)[0] * 2], model.inputs, tmp_path)


def test_an_older_model_is_not_measured_in_several_precisions(tmp_path: Path) -> None:
    model, old = (artefact.load(small(tmp_path / name)) for name in ("new.onnx", "old.onnx"))
    wishes = plan.Wishes(on=("onnxruntime",), variants=("fp32", "fp16"), root=str(tmp_path))
    with pytest.raises(UserError, match="several precisions"):
        plan.make(model, wishes, plan_silence(), old)


def plan_silence() -> Any:
    from whichpu.campaign.watch import Silence

    return Silence()


# ---------------------------------------------------------------- the plan


def found(backend: str, *formats: str, precision: str = "fp32", named: bool = False, usable: bool = True) -> Found:
    said = wire.Description(
        backend=backend, usable=usable, why_not=None, remedy=None, formats=list(formats), options={}
    )
    target = Target(backend=backend, precision=precision)
    return Found(name=str(target), target=target, description=said, named=named)


def test_who_gets_a_variant() -> None:
    everything = [
        found("onnxruntime", "onnx"),
        found("openvino", "onnx", "openvino"),
        found("openvino", "onnx", "openvino", precision="default"),
        found("torch", "pt2"),
        found("ncnn", "ncnn"),
        found("opencv", "onnx", usable=False),
        found("null", "*"),
    ]
    assert [entry.name for entry in _take(everything, "int8")] == ["onnxruntime:cpu", "openvino:cpu", "ncnn:cpu"]
    assert [entry.name for entry in _take(everything, "int8-nncf")] == ["openvino:cpu"]
    named = [found("torch", "pt2", named=True), found("onnxruntime", "onnx", named=True)]
    assert [entry.name for entry in _take(named, "int8")] == ["torch:cpu", "onnxruntime:cpu"]
    assert _take(named, "int8-nncf") == []


def test_a_variant_that_can_not_be_made_is_a_row_on_each_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    broken = tmp_path / "broken.py"
    broken.write_text("import sys\nsys.exit('Blub')\n")
    monkeypatch.setattr(variants, "CHILD", broken)
    wishes = plan.Wishes(on=("onnxruntime", "null"), variants=("fp32", "fp16"), root=str(tmp_path))
    planned = plan.make(artefact.load(small(tmp_path / "small.onnx")), wishes, plan_silence())
    rows = {result.name: result for result in planned.campaign.results}
    assert list(rows) == ["onnxruntime:cpu", "null:cpu", "onnxruntime:cpu [fp16]"]
    refused = rows["onnxruntime:cpu [fp16]"]
    assert (refused.status, refused.variant) == ("refused", "fp16") and "Blub" in (refused.why or "")
    assert [contender.result.variant for contender in planned.contenders] == [None, None]


# ---------------------------------------------------------------- the whole road


def test_one_command_gives_the_table_of_precisions(inside: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    ran = inside(
        "run", APPLE / "gru.onnx", "--no-siblings", "--data", APPLE / "task.toml", "--variants", "fp32,fp16,int8",
        "--on", "onnxruntime", "--rounds", 1, "--budget", "1s", "-o", "r.json",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    campaign = msgspec.json.decode((tmp_path / "r.json").read_bytes(), type=Campaign)
    rows = {result.variant: result for result in campaign.results}
    assert set(rows) == {None, "fp16", "int8"} and rows["int8"].name == "onnxruntime:cpu [int8]"
    assert all(result.status == "measured" and result.accuracy is not None for result in rows.values())
    rmse = {variant: result.accuracy.values["rmse"] for variant, result in rows.items() if result.accuracy}
    assert rmse[None] == pytest.approx(8.9583, abs=1e-4) and rmse["fp16"] == pytest.approx(rmse[None], abs=0.01)
    assert rmse["int8"] != pytest.approx(rmse[None], abs=1e-4), "int8 really ran"
    assert campaign.reference is not None and "[" not in campaign.reference.by, "no variant is the reference"
    assert "onnxruntime:cpu [int8]" in ran.out and "GRU (2) stays fp32" in ran.out
    assert "fp16 is not what ran on onnxruntime:cpu" in ran.out
    resumed = inside(
        "run", APPLE / "gru.onnx", "--no-siblings", "--data", APPLE / "task.toml", "--variants", "fp32,fp16,int8",
        "--on", "onnxruntime", "--rounds", 2, "--budget", "2s", "-o", "r.json", "--resume",
    )  # fmt: skip
    assert resumed.status == 0, resumed.err
    campaign = msgspec.json.decode((tmp_path / "r.json").read_bytes(), type=Campaign)
    assert [len(result.readings) for result in campaign.results] == [2, 2, 2]


# ---------------------------------------------------------------- the table


def campaign_of_variants() -> Campaign:
    """int8 twice as fast on the first runtime, as fast on the second; half a point and 30 points less right."""
    contenders = {
        "fast:cpu": made_metered.Made(1_000_000, 20.0, 10.0),
        "slow:cpu": made_metered.Made(3_000_000, 20.0, 10.0),
        "fast:cpu [int8]": made_metered.Made(500_000, 20.0, 10.0),
        "slow:cpu [int8]": made_metered.Made(3_000_000, 20.0, 10.0),
    }
    built = made_metered.campaign(contenders=contenders)
    built.metered = None
    built.task = TaskInfo(name="digits", kind="classification", metric="top1", unit="share", samples=400,
                          protocol_sha256="0" * 64, better="higher")  # fmt: skip
    form = Form(format="onnx", file="variant.onnx", sha256="a" * 64, bytes=400, origin="made",
                tool="a quantiser (1.0): QDQ", notes=["LSTM stays fp32"])  # fmt: skip
    built.model.forms.append(form)
    told = {
        "fast:cpu": (0.98, (0.0, 0.0, 0.0), "no-difference"),
        "slow:cpu": (0.98, (0.0, 0.0, 0.0), "no-difference"),
        "fast:cpu [int8]": (0.975, (-0.005, -0.012, 0.002), "no-difference"),
        "slow:cpu [int8]": (0.68, (-0.3, -0.35, -0.25), "worse"),
    }
    for result in built.results:
        value, delta, verdict = told[result.name]
        result.accuracy = Accuracy(samples=400, values={"top1": value}, deltas={"top1": delta}, verdict=verdict)
        if result.name.endswith("[int8]"):
            result.variant, result.form_sha256 = "int8", "a" * 64
            result.precision = wire.Precision("int8+fp32" if result.name.startswith("fast") else "fp32", "")
    return built


def test_each_variant_is_held_against_the_same_runtime() -> None:
    compared = precisions.to_own(campaign_of_variants())
    assert {name: row.baseline for name, row in compared.items()} == {
        "fast:cpu [int8]": "fast:cpu",
        "slow:cpu [int8]": "slow:cpu",
    }
    assert compared["fast:cpu [int8]"].ratio == pytest.approx(0.5, rel=0.05)
    assert [row.verdict for row in compared.values()] == ["faster", "no-difference"]


def test_without_the_model_as_given_there_is_no_ratio_but_a_reason() -> None:
    built = campaign_of_variants()
    built.results = [result for result in built.results if result.variant is not None]
    row = precisions.to_own(built)["fast:cpu [int8]"]
    assert row.ratio is None and row.reason == "fast:cpu was not measured beside it"
    grid = precision.grid(built, summarize(built))
    assert grid.rows[0][0].text == "fast:cpu [int8]" and ("to fp32", "latency") not in grid.heads


def test_a_precision_that_did_not_run_is_told() -> None:
    built = campaign_of_variants()
    assert [result.name for result in precisions.run_otherwise(built.results)] == ["slow:cpu [int8]"]
    said = precision.sentences(built)
    assert said == [
        "int8: made by a quantiser (1.0): QDQ. LSTM stays fp32.",
        "int8 is not what ran on slow:cpu (fp32).",
    ]


def test_the_table_stands_in_the_terminal_and_on_the_page() -> None:
    built = campaign_of_variants()
    grid = precision.grid(built, summarize(built))
    assert [row[0].text for row in grid.rows] == ["fast:cpu", "fast:cpu [int8]", "slow:cpu", "slow:cpu [int8]"]
    cells = {head: cell for (head, _), cell in zip(grid.heads, grid.rows[3], strict=True)}
    assert (cells["delta"].text, cells["delta"].sub) == ("-30.00", "-35.00 to -25.00")
    assert cells["accuracy"].text == "worse" and ("delta", "points") in grid.heads
    stream = io.StringIO()
    precision.show(built, summarize(built), Console(file=stream, width=200, highlight=False))
    assert "precisions: each precision on the same runtime" in stream.getvalue()
    assert "-30.00 (-35.00 to -25.00)" in stream.getvalue()
    page = html.page([("made.json", built)])
    assert "Precisions" in page and "Speed against accuracy" in page
    assert "precisions:" in terminal.plain(built)


def test_campaigns_without_variants_have_no_such_table() -> None:
    built = made_metered.campaign()
    assert precision.lines(built, summarize(built)) == [] and precision.dots(built, summarize(built)) == []
    stream = io.StringIO()
    precision.show(built, summarize(built), Console(file=stream, width=200))
    assert stream.getvalue() == ""


def test_the_chart_has_a_letter_for_each_variant() -> None:
    built = campaign_of_variants()
    dots = precision.dots(built, summarize(built))
    assert [dot.name for dot in dots] == ["fast:cpu [int8]", "slow:cpu [int8]"]
    assert dots[0].speed == pytest.approx(2.0, rel=0.05) and dots[1].delta == pytest.approx(-30.0)
    for width in html.WIDTHS:
        drawn = precision_chart.trade(dots, "top1, points", width)
        assert drawn.startswith("<svg") and ">A<" in drawn and ">B<" in drawn and "30.00 points" in drawn
    near = [dots[0], dots[0]._replace(name="twin")]
    assert ">A B<" in precision_chart.trade(near, "top1, points")


def test_the_child_runs_alone() -> None:
    """It is started by its path: nothing of ours may be imported."""
    names = {
        line.split()[1].split(".")[0]
        for line in variants.CHILD.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert names <= {*sys.stdlib_module_names, "numpy"}
