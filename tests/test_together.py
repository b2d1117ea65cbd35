"""Contenders at once: the time they share, figures of made windows, real runs, the file, its reports, bad input."""

import json
import math
import os
import signal
import time
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tensorrt import around, libraries, model  # noqa: F401

from whichpu import api
from whichpu.campaign import members, rows
from whichpu.campaign import together as campaign
from whichpu.campaign.lookout import Lookout
from whichpu.errors import UserError
from whichpu.reports import decision_files, together_chart
from whichpu.reports import together as reports
from whichpu.results import joint
from whichpu.results import together as results
from whichpu.results.column import pack
from whichpu.results.schema import Look, Watched
from whichpu.stats.overlap import Stretch, counted, shared
from whichpu.targets.link import WorkerTrouble
from whichpu.worker import endure, wire

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "together-1.json"
SCHEMAS = HERE.parent / "docs" / "schema"
SECOND = 1_000_000_000
SLOWDOWNS, OVER_BEST = [1.0365701286807045, 0.8384650809981802], 1.6619219459824035
PAIR = ("--on", "a=null:cpu,delay=200us", "--on", "b=null:cpu,delay=300us")
QUICK = ("--window", "30ms", "--rounds", "1")


# ---------------------------------------------------------------- the time that all share


def stretch(began, latencies, opening=0, gap=0):
    latencies = np.array(latencies, dtype=np.int64)
    wall = int(latencies.sum()) + gap * len(latencies)
    return Stretch(began, wall, opening, len(latencies), latencies, float(np.median(latencies)), float(latencies.max()))


def test_only_the_time_in_which_all_ran_counts():
    early, late = stretch(0, [100] * 10), stretch(500, [100] * 10)
    assert shared([early, late]) == (500, 1000)
    assert counted(early, (500, 1000)).per_s == pytest.approx(1e7)
    assert counted(early, (500, 1000)).whole == 5
    assert shared([early, stretch(1000, [100])]) is None
    assert counted(early, (2000, 3000)) is None


def test_the_opening_before_a_window_is_time_that_it_ran():
    assert shared([stretch(0, [100] * 10), stretch(40, [100] * 10, opening=50)]) == (0, 1000)


def test_an_inference_over_the_edge_counts_by_its_part():
    slow = stretch(0, [400, 400])
    found = counted(slow, (0, 600))
    assert found.per_s == pytest.approx(1.5 / 600e-9)
    assert (found.p50_ns, found.p95_ns, found.whole) == (400.0, None, 1)
    assert counted(slow, (100, 300)).p50_ns is None  # none lies wholly in it


def test_of_a_quick_model_the_first_latencies_stand_for_all():
    quick = Stretch(0, 1000, 0, 100, np.array([9, 9]), 9.5, 12.0)
    found = counted(quick, (0, 500))
    assert found.per_s == pytest.approx(1e8)
    assert (found.p50_ns, found.p95_ns, found.whole) == (9.5, 12.0, 50)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.integers(0, 20), st.data())
def test_parts_of_a_window_make_the_whole(latencies, gap, data):
    one = stretch(7, latencies, gap=gap)
    middle = data.draw(st.integers(8, max(8, one.end_ns - 1)))
    spans = [(7, middle), (middle, one.end_ns)]
    parts = [(counted(one, span), span) for span in spans if span[0] < span[1]]
    done = sum(part.per_s * (span[1] - span[0]) / 1e9 for part, span in parts if part is not None)
    assert done == pytest.approx(len(latencies))


def test_a_window_opens_before_it_counts():
    began, calls = time.perf_counter_ns(), []

    def call():
        calls.append(1)
        time.sleep(0.001)

    window = endure.window(call, wire.Endure(20_000_000, 50, 30_000_000))
    assert window.began_ns - began >= 30_000_000
    assert window.count < len(calls)


# ---------------------------------------------------------------- figures of made windows


def window(turn, began, latency_ns, seconds=1.0):
    count = max(1, round(seconds * SECOND / latency_ns))
    return results.Window(
        turn=turn, position=turn, began_ns=began, wall_ns=count * latency_ns, count=count,
        median_ns=latency_ns, p95_ns=latency_ns, min_ns=latency_ns, max_ns=latency_ns, loop="python",
        latencies_ns=pack([latency_ns] * count),
    )  # fmt: skip


def reading(number, alone_ns, together_ns, turns=2):
    """A round in which each turn is as the one before; all at once begin together."""
    return results.Reading(
        round=number,
        warm_steady=True,
        alone=[window(turn, (100 * number + 4 * turn) * SECOND, round(alone_ns)) for turn in range(turns)],
        together=[window(turn, (100 * number + 4 * turn + 2) * SECOND, round(together_ns)) for turn in range(turns)],
    )


@pytest.fixture
def golden():
    return results.load(GOLDEN)


@pytest.fixture
def made(golden):
    """A run of contenders by their latencies alone and together in ns; rounds differ by ``noise``."""

    def make(*pairs, rounds=5, noise=0.0, models=("m", "m")):
        run = msgspec.structs.replace(golden, watched=None, ended=None)
        run.rows = [
            results.Row(
                name=name, target="null:cpu", backend="null", device="cpu", model=network,
                model_sha256=network, cpus=[cpu],
                threads=1, status="measured",
                readings=[
                    reading(number, alone, together * (1 + noise * (-1) ** number))
                    for number in range(rounds)
                ],
            )
            for cpu, (name, network, (alone, together)) in enumerate(zip("abc", models, pairs, strict=False))
        ]  # fmt: skip
        return run

    return make


def test_slow_downs_and_joint_throughput_are_what_they_were_made(made):
    found = joint.outcome(made((1e6, 1.5e6), (2e6, 2e6), noise=0.001))
    first, second = found.contenders
    assert first.slowdown.value == pytest.approx(1.5, rel=2e-3)
    assert (first.verdict, second.verdict) == ("slower", "no-difference")
    assert first.alone_per_s.value == pytest.approx(1000, rel=2e-3)
    assert first.together_p50_ns.value == pytest.approx(1.5e6, rel=2e-3)
    assert found.joint.per_s.value == pytest.approx(666.7 + 500, rel=5e-3)
    assert (found.joint.best, found.joint.verdict) == ("a", "pays")
    assert found.joint.over_best.value == pytest.approx(1.1667, rel=5e-3)
    assert found.joint.efficiency.value == pytest.approx(1166.7 / 1500, rel=5e-3)
    assert found.joint.work.value == pytest.approx(1 / 1.5 + 1, rel=5e-3)
    assert found.joint.shared == pytest.approx(1, rel=2e-3)
    assert not any(doubt.kind == "few-rounds" for doubt in found.doubts)


@pytest.mark.parametrize(
    ("pairs", "noise", "verdict"),
    [
        (((1e6, 2e6), (1e6, 2e6)), 0.001, "does-not-pay"),
        (((1e6, 3e6), (1e6, 3e6)), 0.001, "costs"),
        (((1e6, 1e6), (1e6, 1e6)), 0.001, "pays"),
        (((1e6, 1.9e6), (1e6, 1.9e6)), 0.2, "not-shown"),
    ],
)
def test_whether_it_pays(pairs, noise, verdict, made):
    run = made(*pairs, noise=noise)
    assert joint.outcome(run).joint.verdict == verdict
    said = " ".join(reports.sentences(run, joint.outcome(run)))
    words = {"does-not-pay": "does not pay", "costs": "costs", "pays": "pays", "not-shown": "It is not shown that"}
    assert words[verdict] in said


def test_inferences_of_different_models_are_not_added(made):
    run = made((1e6, 1.25e6), (8e6, 1e7), noise=0.001, models=("m", "n"))
    found = joint.outcome(run)
    assert (found.joint.per_s, found.joint.over_best, found.joint.efficiency) == (None, None, None)
    assert found.joint.work.value == pytest.approx(1.6, rel=5e-3)
    assert found.joint.verdict == "pays"
    assert "the work that they would do in turns" in reports.pays(found.joint, found.contenders)
    (chart,) = together_chart.charts_of(found)
    assert "1.60 times" in chart["alt"]


def test_one_round_has_figures_and_no_interval(made):
    run = made((1e6, 1.5e6), (1e6, 1e6), rounds=1)
    found = joint.outcome(run)
    assert (found.contenders[0].slowdown.low, found.contenders[0].verdict) == (None, "not-comparable")
    assert found.joint.verdict == "not-known"
    assert {doubt.kind for doubt in found.doubts} >= {"few-rounds"}
    assert not joint.known(run)
    assert "not known yet" in reports.plain(run)


def test_known_is_when_every_slow_down_is_narrow(made):
    assert joint.known(made((1e6, 1.5e6), (1e6, 1e6), noise=0.001))
    assert not joint.known(made((1e6, 1.5e6), (1e6, 1e6), noise=0.1))


def test_turns_and_rounds_without_all_windows_are_left_out(made):
    run = made((1e6, 1.5e6), (1e6, 1e6), rounds=3)
    run.rows[0].readings[0].together.clear()
    del run.rows[1].readings[1].alone[0]
    found = joint.rounds_of(run)
    assert {number: len(turns) for number, turns in found.items()} == {1: 1, 2: 2}
    for row in run.rows:
        row.readings.clear()
    nothing = joint.outcome(run)
    assert (nothing.joint, nothing.contenders[0].slowdown) == (None, None)
    assert "nothing is known of what they cost each other" in reports.plain(run)


def test_windows_that_hardly_overlap_are_doubted(made):
    run = made((1e6, 1e6), (1e6, 1e6))
    for each in run.rows[1].readings:
        each.together = [window(one.turn, one.began_ns + SECOND // 2, 1_000_000) for one in each.together]
    found = joint.outcome(run)
    assert found.joint.shared == pytest.approx(0.5, rel=0.15)
    assert "short-overlap" in {doubt.kind for doubt in found.doubts}


def test_doubts_are_data(made):
    run = made((1e6, 1e6), (3e8, 3e8), rounds=2, noise=0.3)
    run.rows[0].cpus = run.rows[1].cpus = [0]
    run.rows[0].placement = wire.Placement("dla", {"dla": 1, "gpu": 1}, "me", [wire.Elsewhere("gpu", 1, {"Relu": 1})])
    for each in run.rows[1].readings:
        each.warm_steady = False
    looks = [Look(round=0, turn=1, at_ns=1, span_s=1.0, busy_s=2.0, own_s=1.0)]
    run.watched = Watched(cpus=2, looks=looks)
    found = joint.outcome(run)
    assert [doubt.kind for doubt in found.doubts] == ["shared-cpus", "few-rounds", "wide-interval", "other-load"]
    assert "cpus=" in found.doubts[-1].advice
    assert [doubt.kind for doubt in found.contenders[0].doubts] == ["fallback"]
    assert [doubt.kind for doubt in found.contenders[1].doubts] == ["never-steady", "few-inferences"]
    assert found.contenders[1].together_p95_ns is None
    run.rows[1].cpus, run.one_core = [1], [[0, 1]]
    assert "threads of one core" in joint.outcome(run).doubts[0].says
    run.rows[1].cpus, run.rows[1].threads = [], 1_000
    assert "same CPUs" in joint.outcome(run).doubts[0].says


def test_waits_that_a_median_does_not_see_are_told(made):
    run = made((1e6, 1e6), (1e6, 1e6))
    found = joint.outcome(run)
    found.contenders[0].slowdown = joint.of_logs([math.log(2)] * 5)
    assert "stays at 1.00 ms" in reports.losses(found.contenders[0])


# ---------------------------------------------------------------- what is asked for


def test_windows_fit_the_slowest_model_and_the_budget(golden):
    terms = msgspec.structs.replace(golden.terms, budget_s=120.0, rounds_least=5, turns=4, window_s=0.25)
    assert campaign.fitted(terms, 1e5, 2) == terms
    slow = campaign.fitted(terms, 5e7, 2)
    assert (slow.turns, slow.window_s) == (4, 2.0)
    slower = campaign.fitted(terms, 3e8, 2)
    assert (slower.turns, slower.window_s) == (1, 8.0)
    assert campaign.fitted(terms, 1e10, 2).window_s == 60.0  # three inferences at least, whatever the budget


def wanted(*on, **more):
    return members.wanted(members.Asked(on=on, **more), Path("m.onnx"))


def test_cpus_and_models_belong_to_contenders():
    first, second = wanted("a=onnxruntime:cpu,cpus=0+2-3", "null,cpus=all,delay=1ms", models={"a": Path("o.onnx")})
    assert (first.name, first.cpus, first.model, str(first.target)) == (
        "a",
        (0, 2, 3),
        Path("o.onnx"),
        "onnxruntime:cpu",
    )
    assert (second.cpus, second.model, str(second.target)) == ((), Path("m.onnx"), "null:cpu,delay=1ms")
    assert [one.name for one in wanted("null", "null", "null:cpu")] == ["null", "null (2)", "null:cpu"]


def test_each_gets_cpus_of_its_own_where_there_are_enough(golden):
    machine = msgspec.convert(msgspec.to_builtins(golden.machine) | {"cpus_preferred": [3, 1, 2, 0]}, wire.Machine)
    pairs = wanted("a=null", "b=null,threads=2")
    assert members._pins(pairs, machine, golden.terms) == [[3], [1, 2]]
    assert members._pins(wanted("a=null,cpus=1", "b=null"), machine, golden.terms) == [[1], [3]]
    assert members._pins(wanted("a=null,threads=3", "b=null,threads=2"), machine, golden.terms) == [[], []]
    assert members._pins(wanted("a=null,cpus=all", "b=null"), machine, golden.terms) == [[], [3]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--on", "a=null:cpu"], "no other to run with"),
        (["--on", "all", "--on", "null"], "named one by one"),
        (["--on", "a=null", "--on", "a=null"], "two contenders are called 'a'"),
        (["--on", "a=null,cpus=x", "--on", "null"], "no list of CPUs"),
        (["--on", "a=null,cpus=9999", "--on", "null"], "CPU 9999 can't be used here"),
        (["--on", "a=null", "--on", "b=null@pi5"], "contenders on this machine and pi5 don't run together"),
        ([*PAIR, "--model", "c=x.onnx"], "no contender is called 'c'"),
        ([*PAIR, "--model", "x.onnx"], "names no contender and its model"),
        ([*PAIR, "--model", "a=x.onnx", "--model", "a=y.onnx"], "names 'a' twice"),
        ([*PAIR, "--model", "a=x.onnx", "--model", "b=x.onnx"], "no contender runs mlp.onnx"),
        ([*PAIR, "--loop", "round"], "no loop is called"),
        (["--on", "a=nope", "--on", "b=null"], "no backend is called 'nope'"),
        (["--on", "a=null,delay=soon", "--on", "b=null"], "delay=soon is not a time"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, says, inside, models):
    ran = inside("together", models.mlp, *arguments, "--budget", "1s", *QUICK)
    assert ran.status == 1
    assert says in ran.err + ran.out
    left = list(inside.folder.iterdir())
    assert left == [] or "delay=soon" in says  # what was refused by its runtime is kept, with the reason


# ---------------------------------------------------------------- real runs


def test_two_contenders_run_alone_and_at_once(inside, models):
    ran = inside(
        "together", models.mlp, *PAIR, "--window", "30ms", "--rounds", "2", "-o", "o.json", "--seed", "5", "--json"
    )
    assert ran.status == 0, ran.err
    body = ran.body()
    jsonschema.validate(body, json.loads((SCHEMAS / "together-figures-1.json").read_text()))
    assert [row["name"] for row in body["contenders"]] == ["a", "b"]
    assert body["joint"]["rounds"] == 2
    run = results.load(inside.folder / "o.json")
    jsonschema.validate(
        json.loads((inside.folder / "o.json").read_text()), json.loads((SCHEMAS / "together-1.json").read_text())
    )
    assert [row.status for row in run.rows] == ["measured"] * 2
    for row in run.rows:
        assert [each.round for each in row.readings] == [0, 1]
        for each in row.readings:
            assert [len(each.alone), len(each.together)] == [run.terms.turns] * 2
            assert all(one.wall_ns >= 30e6 and one.min_ns >= 200_000 for one in (*each.alone, *each.together))
    first, second = (row.readings[0] for row in run.rows)
    spans = [(one.began_ns, one.began_ns + one.wall_ns) for each in (first, second) for one in each.alone]
    assert all(a[1] <= b[0] for a, b in zip(sorted(spans), sorted(spans)[1:], strict=False))  # alone is alone
    pairs = list(zip(first.together, second.together, strict=True))
    assert all(one.position == other.position for one, other in pairs)
    assert any(
        one.began_ns < other.began_ns + other.wall_ns and other.began_ns < one.began_ns + one.wall_ns
        for one, other in pairs
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to CPUs")
def test_two_on_one_cpu_halve_each_other(models):
    cpu = max(os.sched_getaffinity(0))
    pair = [f"{name}=null:cpu,delay=100us,cpus={cpu}" for name in "ab"]
    done = api.together(models.mlp, pair, window_s=0.06, rounds_most=1)
    found = done.outcome
    assert sum(row.slowdown.value for row in found.contenders) > 2.1  # 4, on a machine that does nothing else
    assert "shared-cpus" in {doubt.kind for doubt in found.doubts}
    assert "same CPUs" in repr(done)


def test_each_may_run_its_own_model(models):
    pair = ["a=onnxruntime:cpu", "b=onnxruntime:cpu"]
    done = api.together(models.mlp, pair, models={"b": models.dynamic}, window_s=0.02, rounds_most=1)
    assert [row.model for row in done.run.rows] == ["mlp", "dynamic"]
    assert [each.name for each in done.run.other_models] == ["dynamic"]
    assert not done.outcome.joint.one_model
    assert {row.readings[0].alone[0].loop for row in done.run.rows} in ({"native"}, {"python"})


def test_a_contender_that_dies_ends_the_run_and_what_was_measured_is_kept(models, tmp_path, monkeypatch):
    look = Lookout.look

    def deadly(self, number, turn, pids):
        look(self, number, turn, pids)
        if (number, turn) == (1, 1):
            os.kill(pids[1], signal.SIGKILL)

    monkeypatch.setattr(Lookout, "look", deadly)
    path = tmp_path / "o.json"
    done = api.together(models.mlp, PAIR[1::2], window_s=0.02, output=path)
    assert "b: b was killed by SIGKILL" in done.run.ended
    assert [row.status for row in done.run.rows] == ["measured", "crashed"]
    assert results.load(path) == done.run
    assert [len(each.together) for each in done.run.rows[0].readings] == [4, 1]
    assert done.outcome.joint.rounds == 2
    assert "The run ended early: b: b was killed" in repr(done)


def test_ctrl_c_keeps_what_was_measured(models, tmp_path, monkeypatch):
    look = Lookout.look

    def stopped(self, number, turn, pids):
        look(self, number, turn, pids)
        if (number, turn) == (1, 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(Lookout, "look", stopped)
    path = tmp_path / "o.json"
    with pytest.raises(KeyboardInterrupt):
        api.together(models.mlp, PAIR[1::2], window_s=0.02, output=path)
    run = results.load(path)
    assert (run.ended, run.finished) == ("it was stopped by the user", None)
    assert len(joint.rounds_of(run)) == 2


@pytest.mark.usefixtures("around")
def test_a_gpu_and_a_dla_run_at_once_on_a_stand_in(model, tmp_path, monkeypatch):  # noqa: F811
    """Contract-tested: TensorRT's stand-in builds an engine for each, and each is told apart."""
    monkeypatch.setenv("WHICHPU_CACHE", str(tmp_path / "cache"))
    pair = ["gpu=tensorrt:gpu,engine=fp16", "dla=tensorrt:dla0,engine=fp16"]
    done = api.together(
        model, pair, shapes={"x": [1, 1, 2, 2]}, window_s=0.02, rounds_most=1, output=tmp_path / "o.json"
    )
    gpu, dla = done.run.rows
    assert [gpu.status, dla.status] == ["measured"] * 2, done
    assert gpu.built.files and dla.built.files
    assert (gpu.placement.asked, dla.placement.asked) == ("gpu", "dla0")
    assert done.outcome.joint.one_model


def test_nothing_measured_is_the_users_to_know(inside, models):
    ran = inside("together", models.unknown, "--on", "a=onnxruntime:cpu", "--on", "b=null:cpu", *QUICK)
    assert ran.status == 1
    assert "The run ended early: a: " in ran.out


# ---------------------------------------------------------------- file and reports


def test_the_published_schemas_are_those_in_the_code(golden):
    assert json.loads((SCHEMAS / "together-1.json").read_text()) == results.json_schema()
    assert json.loads((SCHEMAS / "together-figures-1.json").read_text()) == reports.json_schema()
    jsonschema.validate(json.loads(GOLDEN.read_text()), results.json_schema())


def test_an_old_file_gives_the_same_figures(golden):
    found = joint.outcome(golden)
    assert [row.name for row in found.contenders] == ["a", "b"]
    assert [row.slowdown.value for row in found.contenders] == pytest.approx(SLOWDOWNS, rel=1e-9)
    assert found.joint.over_best.value == pytest.approx(OVER_BEST, rel=1e-9)


def test_show_and_report_read_it(inside):
    shown = inside("show", GOLDEN)
    assert shown.status == 0
    assert "at once" in shown.out
    assert inside("show", GOLDEN, "--json").body()["joint"]["rounds"] == 2
    assert inside("report", GOLDEN, "-o", "page.html").status == 0
    text = (inside.folder / "page.html").read_text()
    assert "Throughput, each alone and all at once" in text
    assert "nothing to compare" not in text


def test_a_report_of_other_files_holds_it_too(inside):
    page = decision_files.made([GOLDEN, HERE / "golden" / "scenario-1.json"], inside.folder / "both.html").text
    assert "Alone and at once" in page
    assert "p99 below 50.0 ms" in page


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "whichpu.together/9"}, "is of schema whichpu.together/9"),
        ({"schema": "something"}, "is not a together file"),
        ({"terms": 3}, "is damaged"),
    ],
)
def test_a_file_that_is_none_is_refused(change, says, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(json.loads(GOLDEN.read_text()) | change))
    with pytest.raises(UserError, match=says):
        results.load(path)


def test_a_window_without_inferences_is_damage(golden, tmp_path):
    path, reading = tmp_path / "bad.json", golden.rows[0].readings[0]
    reading.alone[0] = msgspec.structs.replace(reading.alone[0], count=0)
    results.save(golden, path)
    with pytest.raises(UserError, match="holds no whole inference"):
        results.load(path)
    path.write_text("{")
    with pytest.raises(UserError, match="is not a together file"):
        results.load(path)


def test_only_a_together_file_is_replaced(inside, models):
    (inside.folder / "other.json").write_text("{}")
    ran = inside("together", models.mlp, *PAIR, *QUICK, "-o", "other.json", "--overwrite")
    assert ran.status == 1
    assert "is not a together file" in ran.err


def test_a_fallback_is_a_refusal_and_pip_is_the_contenders_own(golden):
    row = golden.rows[0]
    rows.enter_trouble(row, WorkerTrouble("fallback", "all of it ran on the CPU", "pip install x"), "/opt/python")
    assert (row.status, row.remedy, row.words) == ("refused", "/opt/python -m pip install x", None)
