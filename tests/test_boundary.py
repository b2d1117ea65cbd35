"""What a latency holds: its parts as the runtimes tell them, the application's own step, and unequal boundaries."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import score

from whichpu.campaign import application
from whichpu.campaign import parts as asking
from whichpu.errors import UserError
from whichpu.reports import boundary as words
from whichpu.results import store
from whichpu.results.boundary import NOT_ASKED, OVERHEAD_NS, boundary_doubts, parts, reasons
from whichpu.results.column import Column, pack
from whichpu.results.comparison import compare
from whichpu.results.latencies import median
from whichpu.results.limits import Config
from whichpu.results.regression import across
from whichpu.results.schema import Application, Block, Parts, Reading, Result
from whichpu.results.summary import summarize
from whichpu.targets.link import WorkerTrouble
from whichpu.tasks import BadSample
from whichpu.tasks import load as load_task
from whichpu.worker import native, wire
from whichpu.worker import parts as told
from whichpu.worker.backends import (
    NATIVE,
    NO_PARTS,
    Refused,
    load,
    load_native,
    null,
    onnxruntime,
    onnxruntime_providers,
)
from whichpu.worker.backends.onnxruntime_parts import Run, runs
from whichpu.worker.backends.openvino_parts import mean_of

GOLDEN = Path(__file__).parent / "golden" / "campaign-1.json"
EXAMPLE = Path(__file__).parent.parent / "examples" / "apple_stock"
US = 1_000


def session(backend, model, loop="python", **options):
    inputs = [wire.TensorSpec("x", "float32", [1, 16])]
    job = wire.Open(backend, "cpu", str(model), "onnx", inputs=inputs, options=options)
    return (load_native if loop == "native" else load)(backend).open(job)


def asked(opened, backend, count=8, again=True):
    sample = [np.full((1, 16), 0.5, np.float32)]
    return told.told(opened, backend, sample, wire.Parts("", count, again))


# ---------------------------------------------------------------- runtimes


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "opencv"])
@pytest.mark.parametrize("loop", ["python", "native"])
def test_a_runtime_tells_computing_from_the_rest(backend, loop, models):
    pytest.importorskip({"opencv": "cv2"}.get(backend, backend))
    if loop == "native" and (backend not in NATIVE or native.why_not()):
        pytest.skip(f"{backend} has no native loop here: {native.why_not() or 'its wheel exports no C interface'}")
    opened = session(backend, models.mlp, loop)
    found = asked(opened, backend)
    assert set(found.ns) == {"end_to_end", "compute"}, found
    assert found.inferences == 8
    assert len(found.ns["compute"]) == len(found.ns["end_to_end"]) in (1, 8)
    assert min(found.ns["compute"]) >= 0
    assert np.median(found.ns["compute"]) < np.median(found.ns["end_to_end"]) + found.coarse_ns
    assert found.missing == {"h2d": told.IN_PLACE, "d2h": told.IN_PLACE}
    opened.close()


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_large_model_is_not_loaded_once_more(backend, models):
    pytest.importorskip(backend)
    found = asked(session(backend, models.mlp), backend, again=False)
    assert found.ns == {}
    assert set(found.missing.values()) == {told.TOO_LARGE}


def test_a_runtime_that_cannot_tell_gives_its_reason(models):
    for backend, reason in NO_PARTS.items():
        found = told.told(null.Loop([], 10), backend, [], wire.Parts("", 5))  # any session without parts
        assert found.missing == {"compute": reason, "h2d": reason, "d2h": reason}


@pytest.mark.parametrize("loop", ["python", "native"])
def test_the_null_backend_tells_what_it_was_asked_for(loop, models):
    if loop == "native" and native.why_not():
        pytest.skip(f"no native loop here: {native.why_not()}")
    found = asked(session("null", models.mlp, loop, delay="20us", h2d="120us", d2h="60us"), "null")
    assert {name: set(found.ns[name]) for name in ("compute", "h2d", "d2h")} == {
        "compute": {20 * US},
        "h2d": {120 * US},
        "d2h": {60 * US},
    }
    assert min(found.ns["end_to_end"]) >= 200 * US
    assert found.missing == {}


def test_only_a_move_that_was_asked_for_is_known(models):
    found = asked(session("null", models.mlp, h2d="5us"), "null")
    assert set(found.ns) == {"end_to_end", "compute", "h2d"}
    assert found.missing == {"d2h": told.IN_PLACE}


def test_a_step_moves_nothing_away(models):
    opened = session("null", models.mlp, delay="1us", step="1us@1s", h2d="200us")
    assert min(told.end_to_end(opened.bind([]), 3)) >= 200 * US


def test_a_move_that_is_no_time_is_refused(models):
    with pytest.raises(Refused, match="h2d=soon is not a time; write it as h2d=50us"):
        session("null", models.mlp, h2d="soon")


def test_a_provider_with_its_own_memory_gets_its_inputs_in_each_inference(models, monkeypatch):
    pytest.importorskip("onnxruntime")
    job = wire.Open("onnxruntime", "cpu", str(models.mlp), "onnx", inputs=[wire.TensorSpec("x", "float32", [1, 16])])
    opened = onnxruntime.open(job)
    sample = [np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16)]
    opened.bind(sample)()
    expected = opened.read()[0]
    provider = opened.choice.provider._replace(memory=onnxruntime_providers.BOUND)  # one with memory of its own
    opened.choice = opened.choice._replace(provider=provider)
    bound = []
    bind = opened._bind_inputs
    monkeypatch.setattr(opened, "_bind_inputs", lambda: bound.append(bind()))
    call = opened.bind(sample)
    call()
    call()
    assert len(bound) == 3  # once to begin with, and in each inference
    np.testing.assert_array_equal(opened.read()[0], expected)


# ---------------------------------------------------------------- their profiles


def event(name, ts, dur, cat="Node"):
    return {"cat": cat, "name": name, "ts": ts, "dur": dur}


def test_a_profile_by_hand():
    events = [
        event("session_initialization", 0, 90, "Session"),
        event("body_kernel_time", 104, 5),  # within the loop, and told before it
        event("loop_kernel_time", 102, 20),
        event("loop_fence_before", 101, 1),
        event("gemm_kernel_time", 122, 8),
        event("SequentialExecutor::Execute", 101, 30, "Session"),
        event("model_run", 100, 40, "Session"),
        event("gemm_kernel_time", 203, 7),
        event("model_run", 200, 15, "Session"),
        event("model_run", 300, 15, "Session"),
    ]
    assert runs(events) == [Run(28 * US, 3), Run(7 * US, 1), Run(0, 0)]


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), max_size=6), min_size=1, max_size=6))
def test_operators_in_a_row_are_summed_within_their_own_inference(inferences):
    events, now = [], 0
    for operators in inferences:
        began = now
        for gap, took in operators:
            events.append(event("op_kernel_time", now + gap, took))
            now += gap + took
        events.append(event("model_run", began, now - began, "Session"))
        now += 100
    assert runs(events) == [Run(US * sum(took for _, took in one), len(one)) for one in inferences]


@given(st.lists(st.integers(0, 500), min_size=12, max_size=60), st.integers(1, 10))
def test_a_running_mean_gives_the_mean_of_the_later_ones_within_its_rounding(times_us, warm):
    before = {(0, "a"): sum(times_us[:warm]) // warm}
    after = {(0, "a"): sum(times_us) // len(times_us)}
    found, coarse = mean_of(before, warm, after, len(times_us))
    later = US * np.mean(times_us[warm:])
    assert found - 1 <= later + coarse * warm / len(times_us) + US
    assert later <= found + coarse + 1


# ---------------------------------------------------------------- doubts


def result(latency_us, name="x", **told_parts):
    """A contender of so long a latency, whose runtime tells these parts in us."""
    latencies = [round(latency_us * US)] * 40
    block = Block(position=0, count=40, opening=0, began_ns=0, wall_ns=1, cpu_ns=1)
    coarse_ns = round(US * told_parts.pop("coarse", 0))
    columns = {part: pack([round(US * value)] * 3) for part, value in told_parts.items()}
    read = Parts(ns=columns, inferences=3, by="somebody", coarse_ns=coarse_ns) if told_parts else None
    readings = [
        Reading(round=number, blocks=[block], latencies_ns=pack(latencies), parts=read if number == 0 else None)
        for number in range(3)
    ]
    return Result(name=name, target=name, backend=name, device="cpu", status="measured", readings=readings)


def doubts(made):
    return {doubt.kind: doubt for doubt in boundary_doubts(made, median(made)) if doubt is not None}


def test_transfers_longer_than_computing_are_told_with_their_times():
    found = doubts(result(200, end_to_end=200, compute=20, h2d=120, d2h=60))
    assert set(found) == {"transfers"}
    assert "h2d 120 + d2h 60 of 200 µs" in found["transfers"].says
    assert found["transfers"].facts["h2d_ns"] == 120 * US


@pytest.mark.parametrize(
    ("latency", "told_parts", "kinds"),
    [
        (200, {"end_to_end": 200, "compute": 150, "h2d": 20, "d2h": 20}, set()),
        (200, {"end_to_end": 210, "compute": 60}, {"host-bound"}),
        (200, {"end_to_end": 210, "compute": 60, "coarse": 60}, set()),  # its rounding may hide the rest
        (70, {"end_to_end": 400, "compute": 60}, set()),  # the profiler's own cost
        (30, {"end_to_end": 30, "compute": 14}, set()),  # too little to speak of
        (200, {"end_to_end": 200}, set()),
        (200, {}, set()),
    ],
)
def test_a_host_bound_contender_is_told_from_a_profilers_cost(latency, told_parts, kinds):
    assert set(doubts(result(latency, **told_parts))) == kinds


def test_no_yardstick_is_host_bound():
    made = result(200, end_to_end=200, compute=0)
    made.yardstick = True
    assert doubts(made) == {}


@given(st.floats(1, 1e4), st.floats(1, 1e4), st.floats(0, 1e4), st.floats(0, 100))
def test_host_bound_means_less_than_half_and_at_least_20_us(latency, whole, compute, coarse):
    made = result(latency, end_to_end=whole, compute=min(compute, whole), coarse=coarse)
    for doubt in doubts(made).values():
        told_parts = parts(made.readings)
        longest = told_parts.compute_ns + told_parts.coarse_ns
        assert 2 * longest < latency * US + US
        assert doubt.facts["rest_ns"] >= OVERHEAD_NS


# ---------------------------------------------------------------- the campaign


class Dying:
    """A link whose worker dies of being asked."""

    def thaw(self):
        pass

    def ask(self, request, answer, timeout_s):
        raise WorkerTrouble("crashed", "it crashed")


def test_a_worker_that_dies_of_the_question_only_leaves_a_reason():
    found = asking.ask(Dying(), Path("in.npz"), 0, 1e5, 1.0)
    assert found.ns == {}
    assert all("it crashed" in reason for reason in found.missing.values())


@pytest.mark.parametrize(("latency_ns", "count"), [(1e3, 50), (20e6, 15), (5e9, 5)])
def test_slow_models_are_asked_for_fewer_and_large_ones_not_loaded_again(latency_ns, count):
    class Noting(Dying):
        def ask(self, request, answer, timeout_s):
            assert (request.count, request.again) == (count, False)
            assert timeout_s > count * latency_ns / 1e9
            return wire.Parted({"end_to_end": [5]}, 1, "x")

    assert asking.ask(Noting(), Path("in.npz"), 1 << 40, latency_ns, 1.0).inferences == 1


def test_parts_and_the_applications_step_are_in_file_and_reports(inside):
    run = [
        "run",
        EXAMPLE / "gru.onnx",
        "--no-siblings",
        "--data",
        EXAMPLE / "task.toml",
        "--budget",
        "2s",
        "--rounds",
        "2",
    ]
    ran = inside(*run, "--on", "onnxruntime", "--on", "moved=null,h2d=120us,delay=20us,d2h=60us", "-o", "x.json")
    assert ran.status == 0, ran.err
    assert "Where its time goes (onnxruntime:cpu): computing" in ran.out
    assert "One step of the application (onnxruntime:cpu): prepare" in ran.out
    assert "moved: moving data" not in ran.out  # yardsticks' doubts are not shown
    assert "Not given for onnxruntime:cpu: nothing is moved" not in ran.out
    campaign = store.load(inside.folder / "x.json")
    assert campaign.application.samples == 200
    rows = {row.name: row for row in summarize(campaign)}
    moved, ort = rows["moved"], rows["onnxruntime:cpu"]
    assert (moved.compute_ns, moved.h2d_ns, moved.d2h_ns) == (20 * US, 120 * US, 60 * US)
    assert moved.boundary == "end_to_end"
    assert [doubt.kind for doubt in moved.doubts if doubt.kind == "transfers"]
    assert 0 < ort.compute_ns < ort.parts_of_ns
    assert ort.missing["h2d"] == told.IN_PLACE
    only_first = [reading.parts is not None for result in campaign.results for reading in result.readings]
    assert only_first == [True, False, True, False]
    assert inside("report", "x.json", "-o", "x.html").status == 0
    page = (inside.folder / "x.html").read_text()
    assert "Where the time goes" in page
    assert "One step of the application" in page
    before = (inside.folder / "x.json").read_text()
    assert inside(*run[:-1], "3", "--on", "onnxruntime", "--resume", "-o", "y.json").status == 1  # not there
    (inside.folder / "y.json").write_text(before)
    again = ["--on", "onnxruntime", "--on", "moved=null,h2d=120us,delay=20us,d2h=60us", "--resume", "-o", "y.json"]
    assert inside(*run[:-1], "3", *again).status == 0
    assert json.loads((inside.folder / "y.json").read_text())["application"] == json.loads(before)["application"]


def test_a_file_from_before_says_that_nobody_asked():
    rows = summarize(store.load(GOLDEN))
    assert all(row.missing["compute"] == NOT_ASKED for row in rows if row.median_ns is not None)
    assert words.sentences(rows, store.load(GOLDEN)) == []
    assert reasons([]) == dict.fromkeys(("compute", "h2d", "d2h"), NOT_ASKED)


def test_a_damaged_part_makes_the_file_damaged(tmp_path):
    campaign = store.load(GOLDEN)
    reading = next(reading for result in campaign.results for reading in result.readings)
    reading.parts = Parts(ns={"end_to_end": Column(3, "u4-shuffle-zlib-base64", "AAAA")}, inferences=3, by="x")
    store.save(campaign, tmp_path / "x.json")
    with pytest.raises(UserError, match="damaged"):
        store.load(tmp_path / "x.json")


# ---------------------------------------------------------------- the application's step


@pytest.fixture(scope="module")
def task():
    return load_task(EXAMPLE / "task.toml", "gru")


def test_what_is_timed_is_what_is_used(task):
    forecasts = [task.finish(index, [outputs]) for index, outputs in enumerate(task.reference[0])]
    truth = [task.part.truth(index) for index in range(task.info.samples)]
    by_hand = np.sqrt(np.mean((np.array(forecasts) - np.array(truth)) ** 2))
    assert score(task, task.reference) == pytest.approx(by_hand, rel=1e-12)


def test_a_slow_step_is_timed_as_slow(task, monkeypatch):
    outputs = {index: [row] for index, row in enumerate(task.reference[0])}
    plain = application.timed(task, outputs)
    prepare, finish = task.prepare, task.finish
    monkeypatch.setattr(task, "prepare", lambda index: [prepare(index) for _ in range(200)][-1])
    slow = application.timed(task, outputs)
    assert slow.prepare_ns > 20 * plain.prepare_ns
    monkeypatch.setattr(task, "prepare", prepare)
    monkeypatch.setattr(task, "finish", lambda index, outputs: [finish(index, outputs) for _ in range(200)][-1])
    assert application.timed(task, outputs).finish_ns > 20 * plain.finish_ns
    assert (plain.samples, plain.by) == (200, "NumPy on the host")


def test_only_samples_with_outputs_are_timed(task):
    assert application.timed(task, {}) is None
    assert application.timed(task, {5: [task.reference[0][5]]}).samples == 1


def test_the_step_adds_up():
    campaign = store.load(GOLDEN)
    campaign.application = Application(prepare_ns=9_000, finish_ns=2_000, samples=200, by="NumPy on the host")
    row = next(row for row in summarize(campaign) if row.median_ns is not None)
    row.median_ns, row.opening_ratio, row.load_ns, row.first_ns = 85_000, 1.4, 5e6, 3e5
    (said,) = words.sentences([row], campaign)
    assert "prepare 9.00 µs + inference 85.0 µs (times 1.4 after a pause) + finish 2.00 µs" in said
    assert "Load 5.00 ms and first inference 0.300 ms come once." in said
    (grid,) = words.grids([row], campaign)
    cells = {head: cell.text for (head, _), cell in zip(grid.heads, grid.rows[0], strict=True)}
    assert (cells["one step"], cells["after a pause"]) == ("96.0", "130")
    row.opening_ratio = None
    assert "pause" not in words.sentences([row], campaign)[0]
    assert words.grids([row], campaign)[0].rows[0][5].reason == words.NO_OPENING


def test_a_profiler_that_slows_down_is_not_believed_silently():
    campaign = store.load(GOLDEN)
    row = next(row for row in summarize(campaign) if row.median_ns is not None)
    row.median_ns, row.compute_ns, row.parts_of_ns, row.parts_by = 20_000, 33_000, 57_000, "its profiler"
    (said,) = words.sentences([row], campaign)
    assert said.endswith("computing 33.0 of 57.0 µs, by its profiler; these took 2.9 times the median.")
    row.parts_of_ns = row.compute_ns = 21_000
    assert "times" not in words.sentences([row], campaign)[0]
    (grid,) = words.grids([row], campaign)
    assert len(grid.heads) == len(grid.rows[0])
    row.compute_ns = row.parts_of_ns = None
    other = next(other for other in summarize(campaign) if other.median_ns is not None)
    other.compute_ns, other.parts_of_ns = 1_000, 2_000
    (grid,) = words.grids([row, other], campaign)
    assert {len(line) for line in grid.rows} == {len(grid.heads)}
    assert grid.rows[0][1].reason == NOT_ASKED


# ---------------------------------------------------------------- unequal boundaries


def two(boundary):
    campaign = store.load(GOLDEN)
    campaign.results = [result(100, "a"), result(150, "b")]
    campaign.reference = None
    campaign.results[1].boundary = boundary
    return campaign


def test_compare_refuses_another_boundary_by_name():
    assert compare(two("end_to_end"))[0].verdict != "not-comparable"
    (row,) = compare(two("without transfers"))
    assert (row.verdict, row.ratio) == ("not-comparable", None)
    assert row.reason == "other boundary (without transfers; the baseline's is end_to_end)"
    assert all(row.best is None for row in summarize(two("without transfers")))


def test_check_refuses_another_boundary_by_name():
    rows = {row.contender: row for row in across(two("compute"), [("old.json", two("end_to_end"))], Config())}
    assert rows["b"].verdict == "not-comparable"
    assert rows["b"].reason == "other boundary (end_to_end, now compute)"
    assert rows["a"].verdict != "not-comparable"


def test_samples_that_cant_be_used_are_not_timed(task, monkeypatch):
    outputs = {index: [task.reference[0][index]] for index in range(4)}
    finish = task.finish

    def refusing(index, outputs):
        if index in (0, 2):
            raise BadSample("of a class that the model doesn't have")
        return finish(index, outputs)

    monkeypatch.setattr(task, "finish", refusing)
    assert application.timed(task, outputs).samples == 2
    assert application.timed(task, {0: outputs[0]}) is None
