"""Results for other tools: figures arrive whole, absent ones stay absent, raw latencies go where there is a place."""

import csv
import io
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import made_metered
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu import UserError, api
from whichpu.api.exporting import FORMATS
from whichpu.results import reported
from whichpu.results.entries import Entry, Value
from whichpu.results.exporters import pytest_benchmark
from whichpu.results.latencies import steady_blocks

DATA = Path(api.__file__).parent.parent / "studies" / "data"
STUDY = sorted(DATA.glob("*_performance_*.json"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A campaign file of three contenders, metered."""
    path = tmp_path_factory.mktemp("export") / "run.json"
    made_metered.campaign(path)
    return path


def exported(path, to, **options):
    return json.loads(api.export(path, to, **options).data)


def steady_ns(path, name):
    result = next(each for each in api.load(path).campaign.results if each.name == name)
    return np.concatenate([block for reading in result.readings for block in steady_blocks(reading)])


# ---------------------------------------------------------------- tables


def test_csv_has_every_figure_with_all_its_digits(run):
    rows = list(csv.DictReader(io.StringIO(api.export(run, "csv").data.decode())))
    figures = {row.name: row for row in api.load(run).figures}
    assert {row["contender"] for row in rows} == set(figures)
    medians = {row["contender"]: row for row in rows if row["metric"] == "latency_median"}
    for name, row in medians.items():
        assert float(row["value"]) == figures[name].median_ns
        assert (float(row["low"]), float(row["high"])) == (figures[name].median_low_ns, figures[name].median_high_ns)
        assert (row["unit"], int(row["count"]), row["absent"]) == ("ns", figures[name].count, "")
        assert "boundary=end_to_end" in row["terms"]


def test_what_a_file_does_not_hold_is_an_empty_cell_with_the_reason():
    rows = list(csv.DictReader(io.StringIO(api.export(STUDY, "csv").data.decode())))
    absent = {(row["contender"], row["metric"]): row["absent"] for row in rows if row["value"] == ""}
    assert absent["Hailo-8L", "power"] == "the file holds no power"
    assert absent["TensorRT (GPU)", "energy"] == "the file holds mean power, not energy per inference"
    assert ("TensorRT (GPU)", "power") not in absent


def test_frame_is_the_csv_with_types():
    pandas = pytest.importorskip("pandas")
    frame = api.frame(STUDY)
    told = pandas.read_csv(io.BytesIO(api.export(STUDY, "csv").data))
    assert list(frame.columns) == list(told.columns)
    assert frame["value"].isna().sum() == told["value"].isna().sum() > 0
    assert np.array_equal(frame["value"].to_numpy(), told["value"].to_numpy(), equal_nan=True)
    power = frame[frame["metric"] == "power"].set_index(["model", "contender"])["value"]
    assert power["GRU_Apple", "TensorRT (GPU)"] == 68.33


def test_parquet_is_the_frame(tmp_path):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    found = api.export(STUDY, "parquet", tmp_path / "a.parquet")
    read = pandas.read_parquet(found.path)
    assert np.array_equal(read["value"].to_numpy(), api.frame(STUDY)["value"].to_numpy(), equal_nan=True)
    assert read["absent"].notna().sum() == read["value"].isna().sum()


def test_markdown_has_a_table_a_model_and_says_why_a_dash_is_one():
    text = api.export(STUDY, "markdown").data.decode()
    assert text.count("| contender |") == 2
    tensorrt = next(line for line in text.splitlines() if line.startswith("| TensorRT (GPU) | 41 "))
    assert "24,386.91" in tensorrt and "86.93" in tensorrt
    hailo = next(line for line in text.splitlines() if line.startswith("| Hailo-8L | 999 "))
    assert hailo.count("–") == 3
    assert "- Hailo-8L: mean power, energy per inference: the file holds no power" in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_json_holds_entries_and_latencies(run):
    body = exported(run, "json")
    assert body["schema"] == "whichpu.export/1"
    one = next(each for each in body["contenders"] if each["name"] == "opencv:cpu")
    assert [each["round"] for each in one["latencies"]] == [0, 1, 2, 3, 4]
    assert np.array_equal(
        np.concatenate([each["steady_ns"] for each in one["latencies"]]), steady_ns(run, "opencv:cpu")
    )
    assert all(len(each["opening_ns"]) == 2 for each in one["latencies"])


# ---------------------------------------------------------------- benchmark suites


def test_pyperf_keeps_rounds_as_processes_and_openings_as_warmups(run):
    body = exported(run, "pyperf")
    assert (body["version"], body["metadata"]["unit"]) == ("1.0", "second")
    one = next(each for each in body["benchmarks"] if each["metadata"]["contender"] == "opencv:cpu")
    assert len(one["runs"]) == 5
    assert all(len(each["warmups"]) == 2 for each in one["runs"])
    values = np.concatenate([each["values"] for each in one["runs"]])
    assert np.allclose(values * 1e9, steady_ns(run, "opencv:cpu"), rtol=1e-15)


def test_pytest_benchmark_has_its_shape(run):
    body = exported(run, "pytest-benchmark")
    number, text = {"type": "number"}, {"type": "string"}
    stats = dict.fromkeys(("min", "max", "mean", "stddev", "median", "iqr", "q1", "q3", "ops", "total"), number)
    stats |= {"outliers": {"type": "string", "pattern": r"^\d+;\d+$"}, "rounds": {"type": "integer"}}
    one = {"name": text, "fullname": text, "group": text, "stats": {"required": list(stats), "properties": stats}}
    whole = {"properties": {"benchmarks": {"items": {"required": list(one), "properties": one}}}}
    jsonschema.validate(body, whole | {"required": ["machine_info", "commit_info", "datetime", "version"]})
    assert [each["name"] for each in body["benchmarks"]] == list(made_metered.CONTENDERS)
    first = body["benchmarks"][0]
    assert first["stats"]["median"] == pytest.approx(np.median(steady_ns(run, first["name"])) / 1e9)
    assert first["extra_info"]["figures"]["power"]["unit"] == "W"


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=40))
def test_statistics_are_within_the_data(times):
    found = pytest_benchmark.statistics(np.array(times))
    assert found["min"] <= found["q1"] <= found["median"] <= found["q3"] <= found["max"]
    assert found["min"] <= found["ld15iqr"] <= found["hd15iqr"] <= found["max"]
    assert found["rounds"] == len(times) == len(found["data"])


def test_statistics_by_hand():
    found = pytest_benchmark.statistics(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert (found["median"], found["q1"], found["q3"]) == (3.0, 1.75, 28.0)  # Wikipedia, quartile, method 3
    assert (found["outliers"], found["hd15iqr"], found["ops"]) == ("1;1", 4.0, 5 / 110)
    assert pytest_benchmark.statistics(np.array([1.0, 2.0, 3.0, 4.0]))["q1"] == 1.5  # method 2


@pytest.mark.skipif(find_spec("pyperf") is None, reason="pyperf is not installed")
def test_pyperf_compares_it(run, tmp_path):
    api.export(run, "pyperf", tmp_path / "a.json")
    shutil.copy(tmp_path / "a.json", tmp_path / "b.json")
    command = [sys.executable, "-m", "pyperf", "compare_to", tmp_path / "a.json", tmp_path / "b.json"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0 and "not significant (3)" in ran.stdout, ran.stderr


@pytest.mark.skipif(find_spec("pytest_benchmark") is None, reason="pytest-benchmark is not installed")
def test_pytest_benchmark_compares_it(run, tmp_path):
    api.export(run, "pytest-benchmark", tmp_path / "a.json")
    command = [sys.executable, "-m", "pytest_benchmark", "--storage", tmp_path.as_uri(), "compare", tmp_path / "a.json"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0 and "opencv:cpu" in ran.stdout, ran.stderr


@pytest.mark.parametrize("to", ["pyperf", "pytest-benchmark"])
def test_what_is_exported_is_read_again(run, tmp_path, to):
    api.export(run, to, tmp_path / "again.json")
    assert reported.read(tmp_path / "again.json").format == to


@pytest.mark.parametrize("to", ["pyperf", "pytest-benchmark"])
def test_a_contender_without_single_latencies_is_left_out_by_name(run, to):
    found = api.export([run, STUDY[0]], to)
    assert len(json.loads(found.data)["benchmarks"]) == 3
    assert found.left_out[0] == f"GRU_Apple, Hailo-8L: {STUDY[0].name} holds no single latencies"
    with pytest.raises(UserError, match="no file has any"):
        api.export(STUDY, to)


def test_latencies_of_contenders_called_alike(tmp_path):
    def kept(name, models, with_times):
        entries = [Entry(model=model, contender="GPU", file=name, sha256=name, tool="t",
                         values={"latency_mean": Value(value=1e6, unit="ns")}) for model in models]  # fmt: skip
        found = reported.Reported(format="trtexec", tool="t", source=reported.Source(name, name), entries=entries)
        found.samples = {"GPU": [1e6, 2e6]} if with_times else {}
        return found

    reported.save(reported.merged([kept("a", ["m"], True), kept("b", ["n"], False)]), tmp_path / "two.json")
    found = api.export([tmp_path / "two.json"], "pytest-benchmark")
    assert [each["name"] for each in json.loads(found.data)["benchmarks"]] == ["GPU"]
    assert found.left_out == ["n, GPU: b holds no single latencies"]
    both = reported.merged([kept("a", ["m", "n"], True), kept("b", ["o"], True)])
    reported.save(both, tmp_path / "both.json")
    assert "are called so" in api.export([tmp_path / "both.json"], "pytest-benchmark").left_out[0]


# ---------------------------------------------------------------- build servers, traces


def test_junit_fails_what_is_slower_and_skips_what_cannot_be_compared():
    root = ElementTree.fromstring(api.export(STUDY, "junit", baseline="TensorRT (GPU)").data)
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    slow, energy = cases["GRU_Apple.Hailo-8L", "latency_mean"], cases["GRU_Apple.Hailo-8L", "energy"]
    assert "18.42 times" in slow.find("failure").get("message")
    tie = cases["GRU_Apple.ONNX Runtime (GPU)", "score:rmse"].find("system-out").text
    assert tie.count("no difference shown") == 1
    assert "the file holds no power" in energy.find("skipped").get("message")
    assert [child.tag for child in cases["GRU_Apple.ONNX Runtime (GPU)", "score:rmse"]] == ["system-out"]
    for one in (root, *root.iter("testsuite")):
        assert int(one.get("tests")) == len(list(one.iter("testcase")))
        assert int(one.get("failures")) == len(list(one.iter("failure"))) > 0
        assert int(one.get("skipped")) == len(list(one.iter("skipped"))) > 0


def test_trace_has_each_block_where_it_ran(run):
    body = exported(run, "chrome-trace")
    events = body["traceEvents"]
    threads = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    blocks = [event for event in events if event.get("cat") == "block"]
    assert {threads[event["tid"]] for event in blocks} == set(made_metered.CONTENDERS)
    assert len(blocks) == 15
    wall = sum(block.wall_ns for each in api.load(run).campaign.results for r in each.readings for block in r.blocks)
    assert sum(event["dur"] for event in blocks) == pytest.approx(wall / 1e3)
    assert all(event["ts"] >= 0 for event in events if event["ph"] != "M")
    counters = {event["name"] for event in events if event["ph"] == "C"}
    assert "ina3221 VDD_CPU (mW)" in counters and not any("package-0" in name for name in counters)
    with pytest.raises(UserError, match="no file is one"):
        api.export(STUDY, "chrome-trace")


@pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed")
def test_mlflow_gets_a_run_for_each_contender(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    found = api.export(run, "mlflow", tmp_path / "runs")
    assert found.runs == [f"lstm, {name}" for name in made_metered.CONTENDERS]
    assert len(list((tmp_path / "runs").rglob("run.json"))) == 3


def test_mlflow_must_be_told_where(run, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="not said where"):
        api.export(run, "mlflow")


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize("to", FORMATS)
def test_its_own_file_is_replaced_and_no_other(told, run, tmp_path, to):
    mine, other = tmp_path / "mine", tmp_path / "other"
    other.write_text("something else")
    for _ in range(2):
        assert told("export", run, "--to", to, "-o", mine).status == 0
    ran = told("export", run, "--to", to, "-o", other)
    assert ran.status == 1 and "is not replaced" in ran.err
    assert other.read_text() == "something else"
    assert told("export", run, "--to", to, "-o", run).status == 1


def test_mistakes_are_sentences(told, run, tmp_path):
    for arguments, words in (
        (("--to", "excel"), "'excel' is no format to export to"),
        (("--to", "parquet"), "goes into a file"),
        (("--to", "csv", "--baseline", "x"), "only junit has a baseline"),
        (("--to", "junit", "--baseline", "x"), "no contender is called 'x'"),
        (("--to", "csv", "-o", tmp_path / "no" / "a.csv"), "there is no folder"),
        (("--to", "mlflow", "-o", run), "is a file"),
    ):
        ran = told("export", run, *arguments)
        assert ran.status == 1 and words in ran.err


def test_without_a_file_it_goes_to_the_screen(cli, run):
    ran = cli("export", run, "--to", "csv")
    assert ran.status == 0 and ran.out.startswith("model,contender,metric,value,unit")
    assert cli("export", run, "--to", "csv", "--json", "-o", "a.csv").body() == {
        "path": "a.csv", "format": "csv", "left_out": [], "runs": [],
    }  # fmt: skip
