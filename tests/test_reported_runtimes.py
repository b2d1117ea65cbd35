"""Figures that the runtimes' own tools report, read into entries: what they are, what they aren't, where they stand."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.results.comparability import ruling
from whichpu.results.entries import METRICS
from whichpu.results.entries_of import LOADGEN_PERCENTILE
from whichpu.results.reported import Source, parsed, read
from whichpu.results.reported.figures import Figures, step_of, table

FOLDER = Path(__file__).parent / "data" / "reported"
SOURCE = Source("made.txt", "0" * 64)


def entries_of(name, **told):
    return read(FOLDER / name, **told).entries


def only(name):
    (entry,) = entries_of(name)
    return entry


def figure(entry, metric):
    value = entry.values[metric]
    return value.value, value.terms


FORMATS = {
    "trtexec_10.log": "trtexec",
    "trtexec_11.log": "trtexec",
    "trtexec_8_dla.log": "trtexec",
    "trtexec_7.log": "trtexec",
    "trtexec_times.json": "trtexec",
    "trtexec_profile.json": "trtexec",
    "hailortcli_run.csv": "hailortcli",
    "hailortcli_benchmark.csv": "hailortcli",
    "hailortcli_benchmark.txt": "hailortcli",
    "hailortcli_run.txt": "hailortcli",
    "hailortcli_run2.json": "hailortcli",
    "hailortcli_run2.txt": "hailortcli",
    "benchmark_app.csv": "benchmark_app",
    "benchmark_app.json": "benchmark_app",
    "benchmark_app.log": "benchmark_app",
    "benchmark_app_counters.csv": "benchmark_app",
    "onnxruntime_perf_test.txt": "onnxruntime_perf_test",
    "onnxruntime_perf_test.csv": "onnxruntime_perf_test",
    "onnxruntime_profile.json": "onnxruntime_profile",
    "loadgen_single.txt": "loadgen",
    "loadgen_multi.txt": "loadgen",
    "loadgen_multi_detail.txt": "loadgen",
    "loadgen_server.txt": "loadgen",
    "loadgen_offline.txt": "loadgen",
    "tegrastats_orin.log": "tegrastats",
    "tegrastats_xavier.log": "tegrastats",
    "vela_summary.csv": "vela",
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_told_by_its_content_alone(name):
    data = (FOLDER / name).read_bytes()
    found = parsed(data, "results.dat")
    assert found.format == FORMATS[name]
    assert parsed(data.replace(b"\n", b"\r\n"), "results.dat").entries[0].values == found.entries[0].values
    for entry in found.entries:
        assert set(entry.values) | set(entry.absent) == set(METRICS)
        assert not set(entry.values) & set(entry.absent)
        assert all(value.where for value in entry.values.values())


# ---------------------------------------------------------------- trtexec


def test_trtexec_10_times_transfers_and_11_does_not():
    ten, eleven = only("trtexec_10.log"), only("trtexec_11.log")
    assert (ten.tool_version, eleven.tool_version) == ("10.7.0", "11.0.0")
    assert figure(ten, "latency_mean") == (30_806_600, {"boundary": "with transfers"})
    assert figure(eleven, "latency_mean") == (30_210_800, {"boundary": "without transfers"})
    assert figure(ten, "latency_p99") == (31_544_400, {"boundary": "with transfers", "percentile": "nearest rank"})
    assert ten.values["latency_mean"].count == 101 and ten.values["latency_mean"].step == pytest.approx(100)
    assert figure(ten, "throughput") == (32.7494, {"boundary": "with transfers", "scenario": "async"})
    assert ruling("throughput", eleven, ten).refused == "trtexec 10 times transfers, 11 does not"
    assert ten.device == "NVIDIA GeForce RTX 4090" and ten.precision == "FP32+FP16"
    assert "unstable" in ten.doubts[0]


def test_what_trtexec_says_of_transfers_is_believed_before_its_version():
    log = (FOLDER / "trtexec_11.log").read_text()
    asked = log.replace("=== Performance", "Data transfers: Enabled\n=== Performance")
    assert figure(parsed(asked.encode(), "log").entries[0], "latency_mean")[1] == {"boundary": "with transfers"}
    timed = log.replace("Latency: min", "H2D Latency: min = 0.1 ms, max = 0.2 ms\n[I] Latency: min")
    assert figure(parsed(timed.encode(), "log").entries[0], "latency_mean")[1] == {"boundary": "with transfers"}
    silent = log.replace(" [TensorRT v110000] [b12]", "")
    assert figure(parsed(silent.encode(), "log").entries[0], "latency_mean")[1] == {}
    ssd = only("trtexec_8_dla.log")
    assert figure(ssd, "latency_median")[1]["boundary"] == "without transfers"
    assert ssd.contender == "TensorRT (DLA, trtexec)" and "2 layers were asked of the DLA" in ssd.doubts[0]
    assert ssd.absent["latency_p90"] == "trtexec does not report it"


def test_trtexec_7_has_a_line_a_statistic():
    entry = only("trtexec_7.log")
    found = {metric: value.value for metric, value in entry.values.items()}
    assert found == {
        "latency_min": 2_380_860,
        "latency_max": 7_181_640,
        "latency_mean": 2_568_690,
        "latency_median": 2_503_910,
        "latency_p99": 3_178_710,
        "throughput": 383.698,
    }
    assert entry.values["latency_p99"].where == "line 14, percentile" and entry.model == "resnet34"
    assert entry.values["latency_mean"].terms == {"boundary": "with transfers"}


def test_exported_times_are_samples_and_have_no_throughput():
    found = read(FOLDER / "trtexec_times.json", model="ssd")
    (entry,) = found.entries
    samples = found.samples[entry.contender]
    assert entry.model == "ssd" and len(samples) == 12
    assert entry.values["latency_mean"].value == pytest.approx(sum(samples) / 12)
    assert figure(entry, "latency_median")[1] == {"boundary": "with transfers", "percentile": "linear"}
    assert entry.absent["latency_p99"] == "p99 needs 1000 inferences, 12 were measured"
    assert "throughput" in entry.absent
    still = (FOLDER / "trtexec_times.json").read_text()
    for key in ("h2dMs", "d2hMs"):
        still = still.replace(f'"{key}" : 0.', f'"{key}" : 0e0, "was" : 0.')
    assert figure(parsed(still.encode(), "x").entries[0], "latency_mean")[1] == {"boundary": "without transfers"}


def test_a_profile_is_a_sum_over_layers_and_says_so():
    found = read(FOLDER / "trtexec_profile.json")
    assert figure(found.entries[0], "latency_mean") == (pytest.approx(60_000), {"boundary": "sum over layers"})
    assert "conv2 + relu 69%" in found.notes[1]


# ---------------------------------------------------------------- hailortcli


def test_hailo_rates_of_both_modes_and_latencies_of_both_places_are_kept_apart():
    host, device = entries_of("hailortcli_benchmark.csv")
    assert (host.contender, device.contender) == ("HailoRT", "HailoRT (hw_only)")
    assert figure(host, "throughput") == (324.718, {"boundary": "end_to_end", "scenario": "streaming"})
    assert figure(device, "throughput") == (326.567, {"boundary": "the device alone", "scenario": "hw_only"})
    assert figure(device, "latency_mean") == (7_495_880, {"boundary": "the device alone"})
    assert "the device alone" in host.absent["latency_mean"]
    assert figure(host, "power") == (3.43733, {"statistic": "mean", "scope": "npu"})
    assert [entry.values for entry in entries_of("hailortcli_benchmark.txt")][1].keys() == device.values.keys()


def test_hailo_latency_is_a_mean_only():
    for name in ("hailortcli_run.csv", "hailortcli_run2.json", "hailortcli_run.txt", "hailortcli_run2.txt"):
        for entry in entries_of(name):
            assert {key for key in entry.values if key.startswith("latency")} <= {"latency_mean"}
            assert entry.absent["latency_p99"] == "hailortcli does not report it" or "failed" in entry.absent["energy"]


def test_hailo_run_has_an_entry_a_network_and_says_which_failed():
    entries = entries_of("hailortcli_run.csv")
    assert [entry.model for entry in entries] == ["yolov8s", "yolov8s", "resnet_v1_50", "resnet_v1_50", "lstm"]
    assert entries[0].values["throughput"].count == 605
    assert entries[2].absent["power"] == "its place in the file is empty"
    assert entries[4].absent["throughput"] == "the run failed: HAILO_INVALID_OPERATION(6)" and not entries[4].values


def test_hailo_run2_gives_units_in_texts_and_prints_its_last_lines_last():
    host, device = entries_of("hailortcli_run2.json")
    assert host.values["power"].value == 1.4 and host.values["temperature"].value == 46.2
    assert figure(host, "throughput") == (120.512345, {"boundary": "end_to_end", "scenario": "full_async"})
    assert figure(device, "latency_mean")[0] == 7_901_200
    watts = (FOLDER / "hailortcli_run2.json").read_text()
    milli = parsed(watts.replace('"1.400000 W"', '"1400.0 mW"').encode(), "x").entries[0]
    assert milli.values["power"].value == 1.4
    horses = parsed(watts.replace('"1.400000 W"', '"0.002 hp"').encode(), "x").entries[0]
    assert horses.absent["power"] == "the file gives it in 'hp'"
    live = entries_of("hailortcli_run2.txt")
    assert live[0].values["throughput"].value == 120.51 and live[2].values["throughput"].value == 641.73
    assert "latency_mean" not in live[2].values  # NaN (err)


def test_hailo_pipeline_statistics_are_refused_for_they_name_no_unit():
    with pytest.raises(UserError, match="no unit"):
        read(FOLDER / "hailortcli_pipeline.csv")


# ---------------------------------------------------------------- benchmark_app


def test_benchmark_app_forms_agree_on_what_they_hold():
    csv, log = only("benchmark_app.csv"), only("benchmark_app.log")
    assert csv.model == "mnist" and csv.device == "CPU" and csv.precision is None and log.precision == "bfloat16"
    assert csv.values["throughput"].terms == {"boundary": "end_to_end", "scenario": "async, 2 requests", "batch": "1"}
    assert log.values["throughput"].terms["scenario"] == "SingleStream" and log.values["throughput"].value == 9351.67
    assert figure(csv, "latency_median")[1]["percentile"] == "nearest rank"
    assert "percentile" not in figure(log, "latency_median")[1]
    assert csv.values["latency_mean"].value == 60_000 and csv.values["latency_mean"].step == pytest.approx(10_000)
    assert log.values["latency_mean"].value == 102_500 and log.values["latency_mean"].step == pytest.approx(10)
    assert csv.values["load"].value == 93_090_000 and csv.values["first"].value == 10_130_000


def test_benchmark_app_percentile_is_no_median():
    entry = only("benchmark_app.json")
    assert entry.values["latency_p90"].value == 80_000
    assert entry.absent["latency_median"] == "benchmark_app gave p90 instead (-latency_percentile)"
    body = """{"configuration_setup": {"target_device": "GPU", "api": "sync", "batch_size": "4"},
      "execution_results": {"load_network_time": "12.5", "latency_median": "2.5", "percentile_boundary": "99",
      "latency_avg": "2.25", "throughput": "1700.1", "iterations_num": "1000"}}"""
    (found,) = parsed(body.encode(), "benchmark_report.json").entries
    value, terms = figure(found, "latency_p99")
    assert value == 2_500_000 and terms["percentile"] == "rank floor(p n) + 1" and terms["batch"] == "4"
    assert found.values["load"].value == 12_500_000 and "latency_median" not in found.values


def test_benchmark_app_counters_are_a_sum_over_layers():
    assert figure(only("benchmark_app_counters.csv"), "latency_mean") == (10_000, {"boundary": "sum over layers"})


def test_benchmark_app_that_did_not_finish_is_no_result():
    log = (FOLDER / "benchmark_app.log").read_text().partition("[Step 11/11]")[0]
    with pytest.raises(UserError, match="did not finish"):
        parsed(log.encode(), "ov.log")
    with pytest.raises(UserError, match="no execution_results"):
        parsed(b'{"cmd_options": {"-m": "a.xml"}, "configuration_setup": {}}', "x.json")


# ---------------------------------------------------------------- ONNX Runtime


def test_perf_test_prints_and_writes():
    printed = only("onnxruntime_perf_test.txt")
    assert printed.values["load"].value == 217_932_000 and printed.values["first"].value == 196_000_000
    assert printed.values["latency_mean"].value == 98_961_997 and printed.values["latency_mean"].count == 5
    assert figure(printed, "throughput") == (
        10.104,
        {"boundary": "end_to_end", "scenario": "SingleStream", "threads": "1"},
    )
    assert printed.values["memory"].value == 271_122_432
    busy = (FOLDER / "onnxruntime_perf_test.txt").read_text().replace("run time: 0.494854", "run time: 0.25")
    assert parsed(busy.encode(), "x").entries[0].values["throughput"].terms["scenario"] == "async"
    found = read(FOLDER / "onnxruntime_perf_test.csv")
    assert found.entries[0].model == "resnet50" and next(iter(found.samples.values()))[1] == pytest.approx(95_820_400)


def test_perf_test_of_whole_nanoseconds_is_refused():
    with pytest.raises(UserError, match="seconds were expected"):
        parsed(b"resnet50,95820400,1,2,0\nresnet50,95820400,1,2,1\n", "result.csv")


def test_a_profile_tells_the_first_run_apart_and_who_ran_the_operators():
    found = read(FOLDER / "onnxruntime_profile.json")
    (entry,) = found.entries
    assert entry.values["first"].value == 251_000 and len(found.samples[entry.contender]) == 5
    assert entry.values["load"].value == 8_144_000 and entry.values["load"].where == "[0].dur + [1].dur"
    assert found.notes[0] == "CPUExecutionProvider ran 8 of 8 operators, 100% of their time"
    assert "throughput" in entry.absent and "profiler on" in entry.doubts[0]
    text = (FOLDER / "onnxruntime_profile.json").read_text()
    mixed = text.replace('"Conv", "provider": "CPU', '"Conv", "provider": "QNN')
    notes = parsed(mixed.encode(), "x").notes
    assert notes[0].startswith("QNNExecutionProvider ran 2 of 8 operators, 66%")
    assert notes[1].startswith("CPUExecutionProvider ran 6 of 8 operators, 34%")


# ---------------------------------------------------------------- LoadGen


def test_loadgen_gives_each_scenario_its_own_throughput():
    for name, rate, scenario in (("single", 1571.47, "SingleStream"), ("server", 295.06, "Server"),
                                 ("offline", 1612.6, "Offline")):  # fmt: skip
        value, terms = figure(only(f"loadgen_{name}.txt"), "throughput")
        assert (value, terms["scenario"]) == (rate, scenario)
    assert only("loadgen_multi.txt").absent["throughput"] == "LoadGen gives none for MultiStream"


def test_loadgen_summary_and_detail_agree_and_keep_the_verdict():
    summary, detail = only("loadgen_multi.txt"), only("loadgen_multi_detail.txt")
    assert {k: v.value for k, v in summary.values.items()} == {k: v.value for k, v in detail.values.items()}
    assert detail.tool_version == "6.0.17 @ d6147c7eb7" and detail.values["latency_p99"].count == 303
    assert summary.doubts == ["LoadGen calls the run INVALID: Early stopping satisfied: no"]
    assert not only("loadgen_single.txt").doubts
    assert summary.values["latency_p99"].terms["percentile"] == LOADGEN_PERCENTILE


def test_loadgen_without_a_result_is_no_zero():
    for data in (b"", b"\n \n"):  # an empty summary, as one stands in public submissions
        with pytest.raises(UserError, match="is empty"):
            parsed(data, "mlperf_log_summary.txt")
    half = (FOLDER / "loadgen_single.txt").read_text().partition("Result is")[0]
    with pytest.raises(UserError, match="did not finish"):
        parsed(half.encode(), "mlperf_log_summary.txt")
    accuracy = (FOLDER / "loadgen_single.txt").read_text().replace("PerformanceOnly", "AccuracyOnly")
    with pytest.raises(UserError, match="measures no time"):
        parsed(accuracy.encode(), "mlperf_log_summary.txt")


# ---------------------------------------------------------------- tegrastats, Vela


def test_tegrastats_power_has_the_scope_of_its_rail():
    module, *rails = entries_of("tegrastats_orin.log")
    assert figure(module, "power") == (4.85, {"scope": "module", "statistic": "mean"})
    assert figure(module, "utilisation")[0] == 0.25 and module.values["utilisation"].unit == "share"
    assert [figure(rail, "power")[1]["scope"] for rail in rails] == ["rail VDD_CPU_GPU_CV", "rail VDD_SOC"]
    summed, *six = entries_of("tegrastats_xavier.log")
    assert figure(summed, "power") == (pytest.approx(sum(figure(rail, "power")[0] for rail in six)),
                                       {"scope": "rails", "statistic": "mean"})  # fmt: skip
    assert not any(rail.contender.endswith("CV") for rail in six)  # which read 0 mW: it was off


def test_vela_is_an_estimate_without_throughput():
    entry = only("vela_summary.csv")
    assert entry.estimated and entry.device == "Ethos_U55_128"
    assert figure(entry, "latency_mean")[0] == 1_343_898
    assert figure(entry, "device_memory") == (131_696, {"scope": "SRAM", "statistic": "peak"})
    assert "no throughput" in entry.absent["throughput"]


# ---------------------------------------------------------------- shared


@pytest.mark.parametrize(
    ("metric", "told", "reason"),
    [
        ("latency_mean", "-", "the file says '-'"),
        ("latency_mean", "n/a", "the file says 'n/a'"),
        ("latency_mean", "", "its place in the file is empty"),
        ("latency_mean", None, "its place in the file is empty"),
        ("latency_mean", "-3.5", "the file says -3.5, which can't be"),
        ("latency_mean", "1e305", "the file says 1e305, which can't be"),
        ("latency_mean", "inf", "the file says 'inf'"),
        ("throughput", "0.00", "the file says 0.00: less than it can tell, or not measured"),
    ],
)
def test_what_is_no_figure_is_absent_with_what_the_file_says(metric, told, reason):
    figures = Figures("tool")
    figures.put(metric, told, "line 1", 1e6)
    entry = figures.entry(SOURCE, None, "it")
    assert metric not in entry.values and entry.absent[metric] == reason


@given(digits=st.integers(0, 6), whole=st.integers(0, 10**6), scale=st.sampled_from([1.0, 1e3, 1e6, 1e9]))
def test_a_step_is_that_of_the_last_digit(digits, whole, scale):
    text = f"{whole}.{'7' * digits}"
    assert step_of(text, scale) == pytest.approx(scale * 10.0**-digits)
    assert step_of(text + "e3", scale) == pytest.approx(scale * 10.0 ** (3 - digits))
    assert step_of(str(whole)) is None and step_of(float(whole)) is None


@settings(deadline=None)
@given(st.lists(st.lists(st.text('ab,;" \n1.', max_size=4), min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_table_is_read_or_refused(rows):
    text = "\n".join(";".join(row) for row in rows)
    with contextlib.suppress(UserError):
        assert all(isinstance(value, str) for _, row in table(text, ";") for value in row.values())
