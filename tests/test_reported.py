"""Other tools' files read and kept: recognising, decoding, our own file, and the two forms of a study's JSON."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.results import anything, reported
from whichpu.results.entries import METRICS
from whichpu.results.reported import Reported, parsed
from whichpu.results.reported.study import words_of

HERE = Path(__file__).parent
STUDIES = HERE / "data" / "studies"
NPU = STUDIES / "npu_performance_20250528_132327.json"
PLATES = STUDIES / "licence_plate_runtimes.json"
PUBLISHED = HERE.parent / "docs" / "schema" / "reported-1.json"


def of(body: object, name: str = "study.json", **more: Any) -> Reported:
    return parsed(json.dumps(body).encode(), name, **more)


def figures(found: Reported, at: int = 0) -> dict[str, float]:
    return {key: value.value for key, value in found.entries[at].values.items()}


# ---------------------------------------------------------------- reading, whatever the format


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding(encoding: str) -> None:
    data = NPU.read_text().encode(encoding)
    assert figures(parsed(data, "npu.json")) == figures(parsed(NPU.read_bytes(), "npu.json"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"\x7fELF\0\0\0", "is binary"),
        (gzip.compress(b"{}"), "is not a campaign file"),
        (b"hello there", "is not a campaign file"),
        (NPU.read_bytes()[:-40], "is not whole JSON"),
        (b'{"platform": "x", "models": {"m": {"latency_ms": {"mean": null}, "rmse": null}}}', "no model with a figure"),
        (b'{"platform": "x", "models": {"m": {"latency_ms": {"mean": NaN}}}}', "no model with a figure"),
        (b'{"platform": "x", "latency_ms": ' + b"[" * 50_000, "is not whole JSON"),
    ],
)
def test_what_is_no_result_is_told(data: bytes, says: str) -> None:
    with pytest.raises(UserError, match=says) as told:
        parsed(data, "file.json")
    assert "file.json" in str(told.value) and told.value.remedy


def test_a_format_may_be_named(told: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'hieroglyphs' is no format of results"):
        parsed(NPU.read_bytes(), "npu.json", "hieroglyphs")
    ran = told("import", NPU, "-o", tmp_path / "x.json", "--format", "study", "--json")
    assert ran.status == 0 and ran.body()["format"] == "study"


# ---------------------------------------------------------------- our own file


def test_what_import_writes_holds_the_original(told: Any, tmp_path: Path) -> None:
    path = tmp_path / "npu.json"
    ran = told("import", NPU, "-o", path)
    assert ran.status == 0 and "Hailo-8L" in ran.out and f"Wrote {path}" in ran.out
    found = anything.load(path)
    assert isinstance(found, Reported)
    assert reported.original_of(found) == NPU.read_bytes()
    assert {entry.sha256 for entry in found.entries} == {found.source.sha256}
    assert "1.326 ms" in told("show", path).out
    assert told("show", path, "--json").body()["entries"][0]["contender"] == "Hailo-8L"
    assert told("show", NPU, "--json").body()["entries"] == told("show", path, "--json").body()["entries"]


def test_what_import_writes_is_as_published(tmp_path: Path) -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json.loads(json.dumps(reported.json_schema()))
    path = tmp_path / "both.json"
    reported.save(reported.merged([reported.read(NPU), reported.read(PLATES)]), path)
    body = json.loads(path.read_text())
    jsonschema.validate(body, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    assert [part["source"]["name"] for part in body["parts"]] == [NPU.name, PLATES.name]
    found = anything.load(path)
    assert isinstance(found, Reported) and len(found.entries) == 2 + 28
    assert [reported.original_of(part) for part in found.parts] == [NPU.read_bytes(), PLATES.read_bytes()]


def test_our_own_file_is_read_strictly(told: Any, tmp_path: Path) -> None:
    path = tmp_path / "npu.json"
    reported.save(reported.read(NPU), path)
    body = json.loads(path.read_text())
    other = base64.b64encode(gzip.compress(b"something else")).decode()
    values = body["entries"][0]["values"]
    for change, says in (
        ({"schema": "whichpu.reported/9"}, "this WhichPU reads whichpu.reported/1"),
        ({"entries": 3}, "is damaged"),
        ({"entries": [body["entries"][0] | {"values": {"power": {"value": "high"}}}]}, "is damaged"),
        (
            {"entries": [body["entries"][0] | {"values": {"x": values["throughput"] | {"low": 2, "high": 1}}}]},
            "damaged",
        ),
        ({"original": other}, "has another hash"),
        ({"original": "!"}, "is damaged"),
        ({"original": base64.b64encode(b"plain").decode()}, "is damaged"),
    ):
        path.write_text(json.dumps(body | change))
        for command in ("show", "compare"):
            ran = told(command, path)
            assert ran.status == 1 and says in ran.err and str(path) in ran.err, change


def test_import_spares_other_files(told: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text('{"my": "settings"}')
    ran = told("import", NPU, "-o", mine)
    assert ran.status == 1 and "is not a file that `whichpu import` wrote" in ran.err
    assert mine.read_text() == '{"my": "settings"}'
    copy = tmp_path / "npu.json"
    copy.write_bytes(NPU.read_bytes())
    assert told("import", copy, "-o", copy).status == 1 and copy.read_bytes() == NPU.read_bytes()
    assert told("import", tmp_path / "absent.json", "-o", tmp_path / "x.json").status == 1


# ---------------------------------------------------------------- the share-price study's form


def test_figures_of_the_study_to_the_last_digit() -> None:
    found = reported.read(NPU)
    assert [(entry.model, entry.contender) for entry in found.entries] == [
        ("GRU_Apple", "Hailo-8L"),
        ("LSTM_Apple", "Hailo-8L"),
    ]
    body = json.loads(NPU.read_text())["models"]
    for entry in found.entries:
        there = body[entry.model]
        for name, number in there["latency_ms"].items():
            assert entry.values[f"latency_{name}"].value == round(number * 1e6)
            assert entry.values[f"latency_{name}"].step == 1e3
        assert entry.values["throughput"].value == there["throughput_fps"]
        assert entry.values["score:rmse"].value == there["rmse"]
        assert entry.values["utilisation"].value == pytest.approx(there["avg_device_utilization"] / 100)
        assert entry.values["latency_p99"].where == f"$.models.{entry.model}.latency_ms.p99"
        assert entry.absent["power"] == entry.absent["energy"] == "the file holds no power"
        assert not entry.values.keys() & entry.absent.keys()
        assert METRICS.keys() <= entry.values.keys() | entry.absent.keys()
    assert not found.notes


@pytest.mark.parametrize(
    "body",
    [
        {"device": "NPU", "results": [{"model": "m", "meanLatencyMs": 2.5, "fps": 400}]},
        {"NPU": {"m": {"latency": {"mean_ms": 2.5}, "throughput": 400}}},
        {"m": {"Hailo NPU": {"inference_time_avg_us": 2500, "throughput_fps": 400}}},
        [{"hardware": "NPU", "model_name": "m", "avg_inference_time_ms": 2.5, "inferences_per_second": 400}],
        {"platforms": {"NPU": {"models": {"m": {"latency_s": {"average": 0.0025}, "qps": 400}}}}},
        {"runtime": "NPU", "model": {"name": "m"}, "data": {"name": "m", "Latency (ms)": {"Mean": 2.5}, "FPS": 400}},
        {"backend": "NPU", "models": {"m": {"mean_latency_ms": 2.5, "throughput": {"inf_per_s": 400}}}},
    ],
)
def test_any_spelling(body: object) -> None:
    found = of(body)
    (entry,) = found.entries
    assert (entry.model, entry.contender.removeprefix("Hailo ")) == ("m", "NPU")
    assert figures(found) == {"latency_mean": 2.5e6, "throughput": 400.0}


@pytest.mark.parametrize(
    ("key", "value", "key_of_ours", "expected"),
    [
        ("avg_gpu_power_watts", 27.57, "power", 27.57),
        ("power_mw", 2757, "power", 2.757),
        ("energy_per_inference_mj", 12, "energy", 0.012),
        ("avg_gpu_memory_mb", 1387.19, "device_memory", 1_387_190_000.0),
        ("memory_mib", 2, "memory", 2.0**21),
        ("model_load_time_s", 1.5, "load", 1.5e9),
        ("99th_percentile_latency_ms", 3, "latency_p99", 3e6),
        ("cpu_usage_percent", 50, "utilisation", 0.5),
        ("mAP@.5", 0.99, "score:map50", 0.99),
        ("mAP50-95", 0.7, "score:map", 0.7),
        ("accuracy", 98.5, "score:accuracy", 0.985),
        ("top1_accuracy", 0.7, None, None),
    ],
)
def test_keys_say_what_a_number_is(key: str, value: float, key_of_ours: str | None, expected: float | None) -> None:
    found = figures(of({"platform": "x", "model": "m", "fps": 100, key: value}))
    assert found.get(key_of_ours or "") == expected and len(found) == 1 + (key_of_ours is not None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latency", 1.5),
        ("power", 5),
        ("memory", 100),
        ("latency_ms_delta", 1.0),
        ("latency_ms", -1.0),
        ("mean_latency_ms", 0.0),
        ("power_watts", 0),
        ("energy_wh", 3),
        ("accuracy", 400),
        ("latency_p42_ms", 3),
        ("rmse_improvement", 3),
    ],
)
def test_what_is_not_understood_is_left_out_with_a_note(key: str, value: float) -> None:
    found = of({"platform": "x", "model": "m", "fps": 100, key: value})
    assert figures(found) == {"throughput": 100.0}
    (note,) = found.notes
    assert f"$.{key}: " in note


def test_a_bare_latency_is_taken_as_the_mean_and_said_so() -> None:
    found = of({"platform": "x", "model": "m", "latency_ms": 2.0})
    assert figures(found) == {"latency_mean": 2e6} and "which latency isn't told" in found.notes[0]


def test_names_where_the_file_has_none() -> None:
    found = of({"devices": [{"latency_ms": {"mean": 1.0}}]}, model="net", contender="board")
    assert (found.entries[0].model, found.entries[0].contender) == ("net", "board")
    found = of({"platform": "NPU", "models": {"m": {"fps": 1}}}, model="net", contender="board")
    assert (found.entries[0].model, found.entries[0].contender) == ("m", "NPU")


def test_words_of_keys() -> None:
    for key in ("avgGpuPowerWatts", "avg_gpu_power_watts", "Avg GPU power (watts)", "avg-gpu-power-watts"):
        assert words_of(key) == ("avg", "gpu", "power", "watts")


NAMES = st.sampled_from(
    ["latency_ms", "mean", "p99", "fps", "rmse", "platform", "model", "models", "power_w", "GRU", "NPU", "unit", ""]
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def numbers_in(body: object) -> set[float]:
    if isinstance(body, dict):
        body = list(body.values())
    if isinstance(body, list):
        return {number for each in body for number in numbers_in(each)}
    return (
        {float(body)} if isinstance(body, (int, float)) and not isinstance(body, bool) and abs(body) < 1e300 else set()
    )


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_any_json_is_read_or_refused_and_nothing_is_invented(body: object) -> None:
    try:
        found = of(body, format="study")
    except UserError:
        return
    there = numbers_in(body)
    for entry in found.entries:
        for value in entry.values.values():
            factors = {"ns": (1e6,), "share": (1.0, 0.01)}.get(value.unit, (1.0,))
            assert any(value.value == pytest.approx(number * factor) for number in there for factor in factors)


# ---------------------------------------------------------------- the licence-plate study's form


def test_deltas_are_recomputed_and_the_misprint_is_flagged(told: Any) -> None:
    found = reported.read(PLATES)
    assert len(found.entries) == 28
    doubted = [entry for entry in found.entries if entry.doubts]
    assert [(entry.model, entry.contender) for entry in doubted] == [("YOLOv7 (characters)", "OpenCV DNN")]
    (doubt,) = doubted[0].doubts
    assert "0.9900 less 0.9980 of PyTorch is -0.80 points" in doubt and "delta of 0.00 points" in doubt
    assert "misprint" in told("show", PLATES).out
    rows = told("compare", PLATES, "--baseline", "PyTorch", "--json").body()["comparisons"]
    deltas = {(row["model"], row["contender"]): row["delta"] for row in rows}
    assert len(deltas) == 21
    assert deltas["YOLOv7 (characters)", "OpenCV DNN"] == pytest.approx(-0.008)
    assert deltas["YOLOv7 (characters)", "TensorRT"] == 0.0
    assert deltas["ResNet50 (state)", "ONNX Runtime"] == pytest.approx(-0.0206)
    assert "-0.80 points" in told("compare", PLATES, "--baseline", "PyTorch").out


@pytest.mark.parametrize(("delta", "flagged"), [(0.0, True), (-0.8, False), (-0.6, True), (0.8, True)])
def test_printed_deltas(delta: float, flagged: bool) -> None:
    table = {"YOLOv7": {"OpenCV DNN": {"value": 0.99, "delta": delta}, "PyTorch": 0.998}}
    found = of({"characters_map50": table})
    assert [bool(entry.doubts) for entry in found.entries] == [flagged, False]


def test_scores_that_are_none() -> None:
    found = of({"accuracy": {"net": {"PyTorch": 98.5, "a": "n/a", "b": -3, "c": None, "d": 0.98}}})
    assert [(entry.contender, entry.values["score:accuracy"].value) for entry in found.entries] == [
        ("PyTorch", 0.985),
        ("d", 0.98),
    ]
    assert len(found.notes) == 3
