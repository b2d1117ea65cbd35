"""Scenarios on MLCommons' LoadGen: real tests on tiny models, LoadGen's words, the file, its reports, bad input."""

import json
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import msgspec
import pytest

import whichpu
from whichpu.campaign import scenarios as campaign
from whichpu.errors import UserError
from whichpu.models import batching
from whichpu.reports import html, scenario_charts
from whichpu.reports import scenarios as reports
from whichpu.results import scenarios as results
from whichpu.worker import scenarios as worker
from whichpu.worker import wire
from whichpu.worker.backends import Refused

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "scenario-1.json"
PUBLISHED = HERE.parent / "docs" / "schema" / "scenario-1.json"
NULL = "null,delay=200us"
GOLDEN_RATE = 3947.7963571281034
LOGS = {"mlperf_log_summary.txt", "mlperf_log_detail.txt", "mlperf_log_accuracy.json", "mlperf_log_trace.json"}


def verdict_in(folder):
    """LoadGen's own word, as anyone would read it."""
    return worker.verdict((folder / "mlperf_log_summary.txt").read_text())


# ---------------------------------------------------------------- on LoadGen


@pytest.mark.parametrize(
    ("name", "more", "least"),
    [("SingleStream", {}, 100), ("MultiStream", {"samples_per_query": 2}, 662), ("Offline", {"streams": [2]}, 1)],
)
def test_a_scenario_gives_loadgens_figures_and_keeps_its_logs(name, more, least, models, tmp_path):
    path = tmp_path / "out.json"
    done = whichpu.scenario(name, models.mlp, NULL, duration_s=0.3, seed=5, output=path, **more)
    (row,) = done.rows
    assert row.status == "measured", row.why
    assert row.answer == len(row.probes) - 1
    for probe in row.probes:
        folder = tmp_path / probe.logs
        assert {file.name for file in folder.iterdir()} >= LOGS
        assert probe.valid is verdict_in(folder)
        assert probe.settings["effective_scenario"] == name
        assert probe.settings["effective_schedule_rng_seed"] == "7"
    assert row.found.queries >= least
    assert row.found.samples == row.found.queries * int(row.found.settings["effective_samples_per_query"])
    assert row.found.latency_ns["min"] >= 200_000  # no query is quicker than the wait
    assert 0 < row.found.throughput_per_s <= 5_000 * row.streams
    assert results.load(path) == done.run
    assert name in repr(done)


def test_server_gives_a_rate_that_loadgen_itself_calls_valid(models, tmp_path):
    path = tmp_path / "server.json"
    done = whichpu.scenario("Server", models.mlp, NULL, bound_s=0.05, duration_s=0.2, output=path, budget_s=30)
    (row,) = done.rows
    assert row.found is not None, row.why
    assert row.found.purpose == "confirm"
    assert row.found.duration_s == 0.4  # longer than those of the search
    assert verdict_in(tmp_path / row.found.logs) is True
    assert row.found.latency_ns["p99"] <= 50e6
    assert [verdict_in(tmp_path / probe.logs) for probe in row.probes] == [probe.valid for probe in row.probes]
    if row.overloaded is not None:  # absent when a busy machine has spent the budget
        assert row.overloaded.rate_per_s == pytest.approx(1.3 * row.found.rate_per_s)
    (figures,) = done.figures
    assert (figures.verdict, figures.rate_per_s) == ("VALID", row.found.rate_per_s)


def test_no_rate_holds_a_bound_below_the_latency(models):
    done = whichpu.scenario("Server", models.mlp, NULL, bound_s=0.0001, duration_s=0.1)
    (row,) = done.rows
    assert (row.status, row.answer, len(row.probes)) == ("measured", None, 1)
    assert "no rate holds: the lowest tried" in row.why
    assert row.remedy


def test_batches_and_streams_are_swept(models):
    done = whichpu.scenario("Offline", models.dynamic, "onnxruntime", batches=[1, 4], streams=[1, 2], duration_s=0.1)
    assert {(row.batch, row.streams) for row in done.rows} == {(1, 1), (1, 2), (4, 1), (4, 2)}
    assert [row.status for row in done.rows] == ["measured"] * 4, done
    assert all(row.found.throughput_per_s > 0 for row in done.rows)
    assert {chart["title"] for chart in scenario_charts.charts_of(done.run)} == {"Throughput over batch"}
    page = html.page([("sweep.json", done.run)])
    assert "Throughput over batch" in page


def test_without_loadgen_a_row_says_what_to_install(models, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['mlperf_loadgen'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name, more in (("SingleStream", {}), ("Server", {"bound_s": 0.01})):
        (row,) = whichpu.scenario(name, models.mlp, NULL, duration_s=0.1, **more).rows
        assert (row.status, row.remedy) == ("refused", "pip install mlcommons-loadgen")


def test_ctrl_c_keeps_what_was_tested(cli, models):
    out = cli.folder / "kept.json"
    process = cli.start(
        "scenario", "Offline", models.mlp, "--on", NULL, "--streams", "1,2", "--duration", "1s", "-o", out
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and not (out.exists() and '"purpose"' in out.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    ran = cli.end(process)
    assert ran.status == 130, ran.err
    assert "kept in" in ran.err
    assert results.load(out).rows[0].probes


# ---------------------------------------------------------------- LoadGen's words


SUMMARY = """Scenario : Server
Result is : INVALID
  Performance constraints satisfied : NO
  Min duration satisfied : Yes
  Early stopping satisfied: NO
Recommendations:
 * Reduce target QPS to improve latency.
Early Stopping Result:
 * Run unsuccessful.
 * Processed 299 queries.

================================================
Additional Stats
================================================
Min latency (ns)                : 1
"""


def test_reasons_are_loadgens_own():
    assert worker.verdict(SUMMARY) is False
    assert worker.reasons(SUMMARY) == [
        "Performance constraints satisfied: NO",
        "Early stopping satisfied: NO",
        "Reduce target QPS to improve latency.",
        "Run unsuccessful. Processed 299 queries.",
    ]
    with pytest.raises(Refused, match="no verdict"):
        worker.verdict("it broke")


def test_figures_come_from_the_structured_log():
    def line(key, value):
        return f":::MLLOG {json.dumps({'key': key, 'value': value, 'time_ms': 1.0})}"

    text = "\n".join(
        (line("result_99.00_percentile_latency_ns", 7), line("result_min_latency_ns", 3), ":::MLLOG {cut", "noise")
    )
    said = worker.details(text)
    assert worker.latencies(said) == {"min": 3.0, "p99": 7.0}
    said["result_99.00_percentile_per_query_latency_ns"] = 70  # MultiStream: the query's, not the sample's
    assert worker.latencies(said) == {"p99": 70.0}
    assert worker.latencies({}) == {}


def test_a_model_that_fails_in_the_midst_does_not_leave_loadgen_waiting(tmp_path):
    calls = []

    def call():
        calls.append(1)
        if len(calls) > 5:
            raise ValueError("out of luck")

    request = wire.LoadTest("SingleStream", str(tmp_path / "logs"), "", 1e4, 50, 10, 1)
    with pytest.raises(Refused, match="in the midst of the test: ValueError: out of luck"):
        worker.run(request, worker.Alone(call, 1))
    assert len(calls) == 6


def test_a_stream_that_does_not_open_says_why():
    def refuse():
        raise Refused("no room")

    with pytest.raises(Refused, match="no room"):
        worker.Streams(refuse, 3, 1)


def test_streams_answer_every_batch():
    answered = []
    streams = worker.Streams(lambda: lambda: None, 2, 4)
    streams.lg = SimpleNamespace(
        QuerySampleResponse=lambda sample, *_: sample, QuerySamplesComplete=lambda samples: answered.append(samples)
    )
    streams.issue([SimpleNamespace(id=number) for number in range(10)])
    streams.close()
    assert sorted(answered) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


# ---------------------------------------------------------------- file and reports


@pytest.fixture
def golden():
    return results.load(GOLDEN)


def test_the_published_schema_is_the_one_in_the_code():
    assert json.loads(PUBLISHED.read_text()) == results.json_schema()
    jsonschema.validate(json.loads(GOLDEN.read_text()), json.loads(PUBLISHED.read_text()))


def test_an_old_file_gives_the_same_figures(golden):
    first, *_, last = results.summarize(golden)
    assert (first.contender, first.verdict, first.overload_verdict) == ("onnxruntime:cpu", "VALID", "INVALID")
    assert first.rate_per_s == pytest.approx(GOLDEN_RATE, rel=1e-6)
    assert first.p50_ns < first.p90_ns < first.p99_ns < golden.terms.bound_ns
    assert (last.contender, last.status, last.verdict) == ("onnxruntime:cuda", "refused", None)


def test_show_and_report_read_it(told, tmp_path):
    shown = told("show", GOLDEN)
    assert shown.status == 0
    assert "VALID" in shown.out
    assert "p99 below 50.0 ms" in shown.out
    assert "onnxruntime:cuda: refused: " in shown.out
    body = told("show", GOLDEN, "--json").body()
    assert [row["verdict"] for row in body["rows"]] == ["VALID", "VALID", None]
    page = tmp_path / "page.html"
    assert told("report", GOLDEN, HERE / "golden" / "campaign-1.json", "-o", page).status == 0
    text = page.read_text()
    assert "Latency against the offered rate" in text
    assert "holds" in text
    assert "Median latency" in text  # the campaign beside it


def test_its_rows_are_compared(told):
    rows = told("compare", GOLDEN, "--json").body()["comparisons"]
    refused = [row for row in rows if row["contender"] == "onnxruntime:cuda"]
    assert {row["verdict"] for row in refused} == {"not-comparable"}
    assert "has no provider for 'cuda'" in refused[0]["reason"]
    assert any(row["metric"] == "throughput" and row["ratio"] for row in rows)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "whichpu.scenario/9"}, "is of schema whichpu.scenario/9"),
        ({"schema": "something"}, "is not a scenario file"),
        ({"terms": 3}, "is damaged"),
    ],
)
def test_a_file_that_is_none_is_refused(change, says, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(json.loads(GOLDEN.read_text()) | change))
    with pytest.raises(UserError, match=says):
        results.load(path)


def test_an_answer_that_is_not_there_is_damage(golden, tmp_path):
    golden.rows[0].answer = 99
    path = tmp_path / "bad.json"
    path.write_bytes(msgspec.json.encode(golden))
    with pytest.raises(UserError, match="has no test 99"):
        results.load(path)


def test_what_needs_saying_is_said(golden):
    row = next(row for row in golden.rows if row.found is not None)
    row.overloaded.valid = True
    says = " ".join(reports.sentences(golden, results.summarize(golden)))
    assert "1.3 times its rate was called VALID too" in says
    row.found.valid, row.found.reasons = False, ["Min duration satisfied: NO"]
    golden.finished = None
    says = " ".join(reports.sentences(golden, results.summarize(golden)))
    assert "is INVALID: Min duration satisfied: NO." in says
    assert "not finished" in says


def test_replacing_a_file_removes_its_logs_and_no_others(golden, tmp_path):
    path = tmp_path / "run.json"
    golden.rows[0].probes[0].logs = "run.loadgen/a/b"
    golden.rows[0].probes[1].logs = "../elsewhere"
    golden.rows[0].probes[2].logs = "other"
    for folder in ("run.loadgen/a/b", "run.loadgen/mine", "other"):
        (tmp_path / folder).mkdir(parents=True)
    results.save(golden, path)
    campaign.forget(path)
    assert not (tmp_path / "run.loadgen/a/b").exists()
    assert (tmp_path / "run.loadgen/mine").exists()
    assert (tmp_path / "other").exists()
    path.write_text(path.read_text()[:500])
    campaign.forget(path)  # a damaged file may be replaced too


def test_contenders_of_like_names_get_folders_of_their_own(golden, tmp_path):
    keeper = campaign.Keeper(golden, tmp_path / "run.json")
    first, second = golden.rows[:2]
    first.contender, second.contender = "a b", "a_b"
    assert keeper.logs(first, "search", 10.0) != keeper.logs(second, "search", 10.0)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Serve", "mlp"], "is no scenario"),
        (["Server", "mlp"], "needs a latency bound"),
        (["Offline", "mlp", "--bound", "5ms"], "knows no latency bound"),
        (["Server", "dynamic", "--bound", "5ms", "--batch", "4"], "can't run batches of 4: a query is one sample"),
        (["MultiStream", "dynamic", "--batch", "3"], "has to divide the 8 samples"),
        (["SingleStream", "mlp", "--streams", "2"], "one query at a time"),
        (["Offline", "mlp", "--samples-per-query", "4"], "no number of samples"),
        (
            ["Offline", "mlp", "--batch", "1,8"],
            "can't take a batch of 8: the first dimension of input 'x' is fixed to 1",
        ),
        (["Offline", "mlp", "--batch", "0"], "not a list of positive numbers"),
        (["Offline", "mlp", "--streams", "two"], "not a list of positive numbers"),
        (["Offline", "mlp", "--duration", "soon"], "is not a time"),
        (["Offline", "nowhere"], "there is no file"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, says, told, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, model, *rest = arguments
    ran = told("scenario", name, models.folder / f"{model}.onnx", *rest)
    assert ran.status == 1
    assert says in ran.err
    assert "Try:" in ran.err
    assert list(tmp_path.iterdir()) == []  # no empty file stays behind


def test_only_a_scenario_file_is_replaced(told, models, tmp_path):
    other = tmp_path / "campaign.json"
    shutil.copyfile(HERE / "golden" / "campaign-1.json", other)
    for more in ([], ["--overwrite"]):
        ran = told("scenario", "Offline", models.mlp, "-o", other, *more)
        assert ran.status == 1
    assert "is not a scenario file" in ran.err


def test_a_free_first_dimension_takes_the_batch(models, tmp_path):
    assert batching.shapes_for([models.dynamic], {}, 8) == {"a": [8, 4], "b": [8, 4]}
    assert batching.shapes_for([models.dynamic], {"a": [1, 4]}, 2) == {"a": [2, 4], "b": [2, 4]}
    assert batching.shapes_for([models.mlp], {}, 1) == {}
    tflite = tmp_path / "model.tflite"
    tflite.write_bytes(b"\0\0\0\0TFL3 and so on")
    with pytest.raises(UserError, match="can be read from ONNX only"):
        batching.shapes_for([tflite], {}, 2)
