"""Figures that LiteRT, Ultralytics, AI Hub, winml, optimum-benchmark and general benchmark tools report."""

import json
import statistics
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.results.comparability import ruling
from whichpu.results.reported import parsed, read

FOLDER = Path(__file__).parent / "data" / "reported"


def entries_of(name, **told):
    return {f"{entry.model}: {entry.contender}": entry for entry in read(FOLDER / name, **told).entries}


def only(name):
    (entry,) = entries_of(name).values()
    return entry


def figure(entry, metric):
    return entry.values[metric].value


def test_litert_log_takes_the_measured_runs_and_not_the_profiler_s():
    entry = only("litert_cpu.log")
    assert (entry.model, entry.contender) == ("mobilenet_v1_1.0_224", "LiteRT (XNNPack)")
    assert figure(entry, "latency_mean") == 36218.7e3  # of 50 runs, in us; the warm-up's is 36170.5
    assert (figure(entry, "latency_min"), entry.values["latency_min"].count) == (35701e3, 50)
    assert entry.values["latency_p95"].terms["percentile"] == "rank floor(p n) + 1"
    assert entry.values["latency_mean"].terms == {"boundary": "end_to_end", "threads": "4"}
    assert figure(entry, "load") == 17187e3 and figure(entry, "first") == 38112e3
    assert figure(entry, "memory") == pytest.approx(46.0859 * 2**20)
    assert "bytes a second" in entry.absent["throughput"] and "latency_p99" in entry.absent


def test_litert_log_of_two_models_and_a_delegate_that_left_nodes():
    entries = entries_of("litert_delegate.log")
    first = entries["deeplab_v3: LiteRT (GpuDelegateV2)"]
    assert first.doubts == ["5 of 71 nodes stayed on the CPU, as the log says"]
    assert "percentile" not in first.values["latency_mean"].terms and "latency_median" in first.absent
    second = entries["mobilenet_quant: LiteRT (CPU)"]
    assert figure(second, "latency_mean") == 2.95034e9  # printed as 2.95034e+06 us
    assert second.absent["memory"] == "the file says 0: not measured on that system"


def test_litert_json_and_protobuf_text():
    entry = only("litert_model.json")
    assert entry.contender == "LiteRT (CPU)"
    assert figure(entry, "latency_p95") == 990e3 and entry.values["latency_p95"].terms["percentile"] == "linear"
    assert entry.values["latency_mean"].step == 1e4  # rounded to 0.01 ms
    entry = only("litert_result.pbtxt")
    assert figure(entry, "latency_median") == 36.044e6 and figure(entry, "memory") == 61.5 * 2**20
    text = (FOLDER / "litert_result.pbtxt").read_text()
    with pytest.raises(UserError, match="does not end"):
        parsed(text[: text.index("  p5_ms")].encode(), "cut.pbtxt")


def test_ultralytics_log_of_two_runs():
    entries = entries_of("ultralytics_benchmarks.log")
    onnx = entries["yolo26n: ONNX (Ultralytics)"]
    assert figure(onnx, "latency_mean") == 11.23e6 and figure(onnx, "score:map") == 0.47
    assert onnx.values["score:map"].terms == {"protocol": "metrics/mAP50-95(B) on coco8.yaml at imgsz=640"}
    assert onnx.absent["throughput"] == "its FPS is 1000 / the mean time, no measured rate"
    failed = entries["yolo26n: TensorRT (Ultralytics)"]
    assert not failed.values and "❌" in failed.absent["latency_mean"] and "❌" in failed.absent["score:map"]
    assert figure(entries["yolo26n: TensorFlow SavedModel (Ultralytics)"], "latency_mean") == 38.1e6
    assert figure(entries["yolo26n-cls: ONNX (Ultralytics)"], "score:accuracy") == 0.75
    other = entries["yolo26n-cls: PyTorch (Ultralytics)"]
    assert ruling("latency_mean", onnx, other).refused.startswith("other model")


@pytest.mark.parametrize(("name", "mean"), [("ultralytics_table.csv", 11.23e6), ("ultralytics_table.md", 197.76e6)])
def test_ultralytics_tables(name, mean):
    found = read(FOLDER / name, model="yolo")
    assert [entry.model for entry in found.entries] == ["yolo"] * 3
    assert figure(found.entries[1], "latency_mean") == mean
    assert found.tool_version == ("8.3.40" if name.endswith("md") else None)


def test_aihub_profile():
    entry = only("aihub_profile.json")
    times = [1311, 1153, 1127, 1140, 1135, 1162, 1129, 1138, 1130, 1204]
    assert figure(entry, "latency_median") == pytest.approx(statistics.median(times) * 1e3)
    assert figure(entry, "load") == 1.824e9 and entry.values["load"].terms == {"load": "from a file"}
    assert figure(entry, "memory") == 10739712 and "upper bound" in entry.values["memory"].terms["statistic"]
    assert entry.doubts == ["its layers ran on NPU (2), CPU (1), as AI Hub tells"]
    assert not entry.estimated and entry.absent["latency_p99"] == "p99 needs 1000 inferences, 10 were measured"
    alone = only("aihub_profile_no_times.json")
    assert figure(alone, "latency_min") == 1127e3 and "smallest" in alone.absent["latency_mean"]
    assert "second hand" in alone.doubts[0]


def test_aihub_models_perf():
    entries = entries_of("aihub_models_perf.yaml")
    assert len(entries) == 4
    tflite = entries["Person-Foot-Detection: tflite (Dragonwing IQ-9075 EVK) [float]"]
    assert "second hand" in tflite.doubts[0]
    assert figure(tflite, "latency_min") == 6.99e6 and tflite.values["latency_min"].step == 1e4
    assert figure(tflite, "memory") == 20 * 2**20
    assert tflite.tool_version == "qairt 2.50.0.260828221209"
    failed = entries["Person-Foot-Detection: qnn_dlc (Samsung Galaxy S24) [float]"]
    assert not failed.values and failed.absent["latency_min"] == "the job is Failed"
    told = {"performance_metrics": {"D": {"R": {"llm_metrics": [{"tokens_per_second": 68.2}]}}}}
    text = yaml.safe_dump({"precisions": {"w4": {"components": {"L": told}}}})
    with pytest.raises(UserError, match="tokens a second"):
        parsed(text.encode(), "perf.yaml")


def test_winml():
    entry = only("winml_perf.json")
    samples = json.loads((FOLDER / "winml_perf.json").read_text())["raw_samples_ms"]
    assert (entry.model, entry.contender, entry.precision) == ("resnet-18", "QNNExecutionProvider (npu)", "w8a16")
    assert figure(entry, "latency_median") == pytest.approx(statistics.median(samples) * 1e6)
    assert "batch / mean time" in entry.absent["throughput"]
    parts = entries_of("winml_components.json")
    text = parts["text-encoder: CPUExecutionProvider (cpu)"]
    assert figure(text, "latency_median") == 9.45e6
    assert text.values["latency_median"].terms["percentile"] == "rank floor(p n) + 1"
    with pytest.raises(UserError, match="schema 3"):
        parsed(b'{"schema_version": 3, "benchmark_info": {}}', "p.json")


@pytest.mark.parametrize("name", ["optimum_benchmark.json", "optimum_report.json"])
def test_optimum_benchmark(name):
    entry = only(name)
    body = json.loads((FOLDER / name).read_text())
    forward = body.get("report", body)["forward"]
    assert figure(entry, "latency_mean") == pytest.approx(forward["latency"]["mean"] * 1e9)
    assert figure(entry, "memory") == pytest.approx(forward["memory"]["max_ram"] * 1e6)
    assert "load" in entry.values and "first" in entry.values and "throughput" in entry.absent
    if "report" in body:
        assert (entry.model, entry.contender) == ("tiny-bert", "pytorch (cpu)")
        assert entry.values["latency_mean"].terms["batch"] == "2"


def test_perf_analyzer():
    one, two = entries_of("perf_analyzer.csv").values()
    assert (figure(one, "throughput"), figure(one, "latency_p99")) == (69.2, 21018e3)
    assert one.absent["latency_mean"] == "perf_analyzer writes it with --verbose-csv only"
    assert ruling("latency_p99", one, two).refused.startswith("other scenario")
    verbose, shared = entries_of("perf_analyzer_verbose.csv").values()
    assert figure(verbose, "latency_mean") == 4795e3 and figure(verbose, "power") == 50.879
    assert "several GPUs" in shared.absent["power"]


def test_pytest_benchmark():
    single, looped = entries_of("pytest_benchmark.json").values()
    rows = json.loads((FOLDER / "pytest_benchmark.json").read_text())["benchmarks"]
    assert figure(single, "latency_median") == pytest.approx(rows[0]["stats"]["median"] * 1e9)
    assert figure(looped, "latency_mean") == pytest.approx(rows[1]["stats"]["mean"] * 1e9)
    assert looped.values["latency_mean"].count == 250 and list(looped.values) == ["latency_mean"]
    assert "the mean of 25 calls" in looped.absent["latency_median"]
    stated, _ = entries_of("pytest_benchmark_no_data.json").values()
    assert figure(stated, "latency_std") == pytest.approx(figure(single, "latency_std"))
    assert read(FOLDER / "pytest_benchmark.json").samples.keys() == {"test_small"}


def test_pyperf():
    busy, _ = entries_of("pyperf.json").values()
    runs = json.loads((FOLDER / "pyperf.json").read_text())["benchmarks"][0]["runs"]
    values = [value for run in runs for value in run["values"]]
    assert figure(busy, "latency_mean") == pytest.approx(statistics.mean(values) * 1e9)
    assert figure(busy, "latency_std") == pytest.approx(statistics.stdev(values) * 1e9)
    assert figure(busy, "memory") == 19468288
    looped = (FOLDER / "pyperf.json").read_text().replace('"inner_loops":1', '"inner_loops":1,"loops":64')
    add = parsed(looped.encode(), "pyperf.json").entries[1]
    assert list(add.values) == ["latency_mean", "memory"] and "64 calls" in add.absent["latency_max"]
    other = looped.replace('"unit":"second"', '"unit":"byte"').encode()
    assert parsed(other, "p.json").entries[0].absent["latency_mean"] == "the file tells bytes, no times"


def test_hyperfine():
    sleep, _ = entries_of("hyperfine.json").values()
    row = json.loads((FOLDER / "hyperfine.json").read_text())["results"][0]
    for metric, key in {"latency_mean": "mean", "latency_median": "median", "latency_std": "stddev"}.items():
        assert figure(sleep, metric) == pytest.approx(row[key] * 1e9)
    assert sleep.values["latency_mean"].terms["boundary"].startswith("the whole command")
    row.update(exit_codes=[0, 1], memory_usage_byte=[1000, 3000])
    entry = parsed(json.dumps({"results": [row]}).encode(), "h.json").entries[0]
    assert entry.doubts == ["1 runs ended with an error (exit code 1)"] and figure(entry, "memory") == 3000


def test_names_of_the_user_tell_rows_apart():
    found = read(FOLDER / "hyperfine.json", model="net", contender="board")
    assert next((entry.model, entry.contender) for entry in found.entries) == ("net", "board (sleep 0.002)")
    assert len({entry.contender for entry in found.entries}) == 2


@given(st.lists(st.floats(1e-7, 10), min_size=2, max_size=60))
def test_single_times_give_their_own_statistics(times):
    body = {"results": [{"command": "x", "times": times}]}
    entry = parsed(json.dumps(body).encode(), "h.json").entries[0]
    assert figure(entry, "latency_mean") == pytest.approx(statistics.fmean(times) * 1e9)
    assert figure(entry, "latency_median") == pytest.approx(statistics.median(times) * 1e9)
    assert figure(entry, "latency_min") == pytest.approx(min(times) * 1e9)
