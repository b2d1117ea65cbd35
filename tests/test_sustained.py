"""Sustained runs: on real workers with the null backend, and what is read from stored windows."""

import math
import signal
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

import whichpu
from whichpu.campaign import sustained as running
from whichpu.campaign.watch import Silence
from whichpu.errors import UserError
from whichpu.reports import html, sustained_charts, terminal
from whichpu.results import store
from whichpu.results.column import pack, unpack
from whichpu.results.schema import Block, Reading, Sustained
from whichpu.results.sustained import (
    clock,
    endurance,
    outlook,
    percent,
    step_says,
    sustained_doubts,
    windows_of,
)
from whichpu.stats.changes import Step
from whichpu.worker import endure, wire

HERE = Path(__file__).parent
GRU = HERE.parent / "examples" / "apple_stock" / "gru.onnx"
GOLDEN = HERE / "golden" / "campaign-1.json"


def measure(*on, model=GRU, **more):
    settings = {"rounds_most": 1, "budget_s": 1.0, "seed": 7, "loop": "python", "cpus": (), **more}
    return whichpu.measure(model, on=on, **settings).campaign


# ---------------------------------------------------------------- on real workers


@pytest.fixture(scope="module")
def stepped():
    # Short delays: beside a busy core, few of them are pushed aside.
    on = ("steps=null:cpu,delay=200us,step=240us@1.5s", "even=null:cpu,delay=200us")
    return measure(*on, sustained_s=3.0)


def test_a_step_put_into_the_delay_is_found_with_its_time(stepped):
    row = endurance(stepped.results[0])
    assert len(row.steps) == 1
    assert row.steps[0].at_s == pytest.approx(1.5, abs=0.3)
    assert row.steps[0].ratio == pytest.approx(1.2, abs=0.06)
    assert row.drift is None
    (doubt,) = (doubt for doubt in sustained_doubts(stepped.results[0]) if doubt.kind == "step")
    assert doubt.touches == "sustained"
    assert doubt.facts["at_s"] == row.steps[0].at_s
    assert f"at {clock(row.steps[0].at_s)}, from 2" in doubt.says


def test_an_even_delay_has_no_step(stepped):
    row = endurance(stepped.results[1])
    assert row.steps == []
    assert row.change.value == pytest.approx(1, abs=0.2)


def test_windows_are_back_to_back_and_keep_raw_latencies(stepped):
    run = stepped.results[1].sustained
    windows = windows_of(run)
    assert windows.began_s[0] == 0
    assert (np.diff(windows.began_s) >= windows.wall_s[:-1]).all()
    assert windows.began_s[-1] + windows.wall_s[-1] == pytest.approx(3.0, abs=0.5)
    kept = unpack(run.kept)
    assert kept.max() == 50
    raw = np.split(unpack(run.latencies_ns), np.cumsum(kept)[:-1])
    least, most = unpack(run.min_ns), unpack(run.max_ns)
    for at, latencies in enumerate(raw):
        assert latencies.size == min(50, windows.inferences[at])
        assert least[at] <= latencies.min()
        assert latencies.max() <= most[at]
    assert run.first_ns >= 200_000
    assert {result.sustained.position for result in stepped.results} == {0, 1}
    assert stepped.settings.sustained_s == 3.0


def test_the_reports_show_it(stepped):
    text = terminal.plain(stepped)
    assert "sustained: each alone, one process, without a pause, for 3 s" in text
    assert "at 1." in text
    page = html.page([("a.json", stepped)])
    assert "Latency over time" in page
    assert "does not begin at zero" in page
    assert "in its sustained run the latency jumped at 1." in page


def test_windows_of_the_worker():
    window = endure.window(lambda: time.sleep(0.001), wire.Endure(window_ns=20_000_000, kept=3))
    assert window.count >= 2
    assert len(window.latencies_ns) == min(3, window.count)
    assert window.wall_ns >= 20_000_000
    assert window.min_ns <= window.median_ns <= window.p95_ns <= window.p99_ns <= window.max_ns
    assert endure.window(lambda: time.sleep(0.002), wire.Endure(window_ns=1)).count == 1


def test_a_quick_model_fills_no_memory(monkeypatch):
    monkeypatch.setattr(endure, "CHUNK", 10)
    monkeypatch.setattr(endure, "MOST", 35)
    assert 35 <= endure.window(lambda: None, wire.Endure(window_ns=10_000_000_000)).count < 46


def test_without_the_option_nothing_is_endured():
    campaign = measure("null:cpu")
    assert campaign.results[0].sustained is None
    assert outlook(campaign) is None
    assert "sustained" not in terminal.plain(campaign)


def test_yardsticks_run_when_they_are_named(monkeypatch):
    from whichpu.campaign.contenders import Contender
    from whichpu.targets.target import Target

    result = store.load(GOLDEN).results[0]
    result.status, result.yardstick = "measured", True
    contender = Contender(target=Target(backend="null"), result=result, format="*", path=GRU, named=False)
    assert not running._wanted(contender)
    contender.named = True
    assert running._wanted(contender)
    result.sustained = Sustained(asked_s=1, window_s=1, position=0)
    assert not running._wanted(contender)


class Killer(Silence):
    """Ends the worker, or the campaign, after some windows."""

    def __init__(self, how):
        self.how = how

    def endures(self, contender, passed_s, asked_s):
        if passed_s > 0.7:
            self.how(contender)


def kill_the_worker(_):
    """The worker that runs (the watcher is frozen)."""
    import psutil

    for child in psutil.Process().children():
        if child.is_running() and child.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
            child.send_signal(signal.SIGKILL)


def interrupt(_):
    raise KeyboardInterrupt


def test_a_worker_that_dies_keeps_its_windows(monkeypatch):
    monkeypatch.setattr(running, "TOLD_EVERY_S", 0.1)
    campaign = measure("null:cpu,delay=200us", sustained_s=20.0, watch=Killer(kill_the_worker))
    (result,) = campaign.results
    assert result.status == "measured"
    assert "was killed by SIGKILL" in result.sustained.trouble
    row = endurance(result)
    assert 2 < row.windows < 100
    (doubt,) = (doubt for doubt in sustained_doubts(result) if doubt.kind == "not-sustained")
    assert "of 20.0 s: " in doubt.says
    assert "null:cpu,delay=200us ran for" in terminal.plain(campaign)


def test_a_stopped_run_keeps_its_windows_and_resume_runs_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "TOLD_EVERY_S", 0.1)
    path, on = tmp_path / "a.json", ("a=null:cpu,delay=200us", "b=null:cpu,delay=300us")
    with pytest.raises(KeyboardInterrupt):
        measure(*on, sustained_s=20.0, watch=Killer(interrupt), output=path)
    (first,) = (result for result in store.load(path).results if result.sustained is not None)
    assert first.sustained.trouble == "it was stopped by the user"
    assert store.load(path).finished is None
    campaign = measure(*on, sustained_s=0.5, output=path, resume=True)
    assert campaign.finished is not None
    for result in campaign.results:
        if result.name == first.name:
            assert result.sustained.trouble == "it was stopped by the user"
            assert result.sustained == first.sustained
        else:
            assert result.sustained.trouble is None
            assert result.sustained.position == 1


def test_the_command_line(cli, models):
    ran = cli("run", models.mlp, "--on", "null:cpu,delay=50us", "--rounds", 1, "--budget", "1s", "--sustained", "1s",
              "-o", "a.json", "--json")  # fmt: skip
    assert ran.status == 0, ran.err
    (row,) = ran.body()["sustained"]["rows"]
    assert row["asked_s"] == 1.0
    assert row["windows"] >= 10
    refused = cli("run", models.mlp, "--sustained", "long", "-o", "b.json")
    assert refused.status == 1
    assert "'long' is not a time" in refused.err


@pytest.mark.parametrize("step", ["2ms", "2ms@", "@1s", "soon@1s", "2ms@later", "2ms@1s@2s"])
def test_a_step_that_is_none_is_refused(step):
    from whichpu.worker.backends import Refused, null

    with pytest.raises(Refused, match=r"write it as step=2.4ms@10s"):
        null.step_of(step)


# ---------------------------------------------------------------- stored windows


def run_of(medians_ns, window_s=1.0, trouble=None, p95=1.1):
    """A run from its windows' medians."""
    medians = np.asarray(medians_ns, dtype=np.int64)
    width = round(1e9 * window_s)
    return Sustained(
        asked_s=len(medians) * window_s,
        window_s=window_s,
        position=0,
        began_ns=pack(np.arange(medians.size) * width),
        wall_ns=pack(np.full(medians.size, width)),
        count=pack(np.full(medians.size, 500)),
        median_ns=pack(medians),
        p95_ns=pack((medians * p95).astype(np.int64)),
        p99_ns=pack((medians * p95).astype(np.int64)),
        min_ns=pack(medians),
        max_ns=pack((medians * p95).astype(np.int64)),
        kept=pack(np.ones(medians.size, dtype=np.int64)),
        latencies_ns=pack(medians),
        trouble=trouble,
    )


def campaign_of(**runs):
    """A campaign whose contenders differ in their sustained runs alone."""
    campaign = store.load(GOLDEN)
    template = next(result for result in campaign.results if not result.yardstick and result.readings)
    block = Block(position=0, count=2, opening=0, began_ns=0, wall_ns=1, cpu_ns=1)
    campaign.results = []
    for name, run in runs.items():
        result = msgspec.structs.replace(template, name=name, status="measured", yardstick=False, sustained=run)
        result.readings = [Reading(round=number, blocks=[block], latencies_ns=pack([9, 9])) for number in range(5)]
        campaign.results.append(result)
    return campaign


def noisy(level_ns, count=1200, seed=0, change=1.0, at=None):
    logs = math.log(level_ns) + 0.01 * np.random.default_rng(seed).standard_normal(count)
    if at is not None:
        logs += math.log(change) * (np.arange(count) >= at)
    return np.exp(logs).astype(np.int64)


def test_minutes_are_held_against_each_other():
    campaign = campaign_of(a=run_of(noisy(2e6, change=1.2, at=603)))
    row = endurance(campaign.results[0])
    assert row.stretch_s == 60
    assert row.first.value == pytest.approx(2e6, rel=0.01)
    assert row.last.value == pytest.approx(2.4e6, rel=0.01)
    assert row.change.low < 1.2 < row.change.high
    (step,) = row.steps
    assert step.at_s == pytest.approx(603, abs=3)
    (doubt,) = sustained_doubts(campaign.results[0])
    assert doubt.says.startswith("in its sustained run the latency jumped at 10 min 0")
    assert "from 2.00 to 2.40 ms, +20 %" in doubt.says


def test_a_short_run_says_tenth():
    row = endurance(campaign_of(a=run_of(noisy(2e6, 100))).results[0])
    assert row.stretch_s == pytest.approx(10)
    assert "first tenth (ms)" in terminal.plain(campaign_of(a=run_of(noisy(2e6, 100))))


def test_a_drift_is_a_doubt_with_its_slope():
    logs = math.log(1.1) * np.linspace(0, 1, 1200)
    run = run_of(noisy(2e6) * np.exp(logs))
    (doubt,) = sustained_doubts(campaign_of(a=run).results[0])
    assert doubt.kind == "drift"
    assert "rose by 9.9 % in 20 min 00 s" in doubt.says
    assert doubt.facts["low"] < 1.1 ** (1 / 20) - 1 < doubt.facts["high"]


def test_heat_is_a_drift_and_its_minutes_have_intervals():
    heat = 0.3 * (1 - np.exp(-np.arange(1200) / 200))
    row = endurance(campaign_of(a=run_of(noisy(2e6) * np.exp(heat))).results[0])
    assert row.drift is not None
    assert row.steps == []
    assert row.change.low < row.change.value < row.change.high
    assert row.missing == {}


def test_an_even_run_raises_no_doubt():
    assert sustained_doubts(campaign_of(a=run_of(noisy(2e6))).results[0]) == []


def test_the_ranking_holds():
    found = outlook(campaign_of(a=run_of(noisy(1e6)), b=run_of(noisy(2e6, seed=1))))
    assert found.holds
    assert found.says == "The ranking of the first minute holds in the last."
    assert [(row.rank_first, row.rank_last) for row in found.rows] == [(1, 1), (2, 2)]


def test_the_ranking_is_turned_over():
    campaign = campaign_of(a=run_of(noisy(1e6, change=1.5, at=600)), b=run_of(noisy(1.2e6, seed=1)))
    found = outlook(campaign)
    assert found.holds is False
    assert found.says == (
        "The ranking of the first minute does not hold: a was faster than b in it, b is faster in the last."
    )
    assert [(row.name, row.rank_first, row.rank_last) for row in found.rows] == [("b", 2, 1), ("a", 1, 2)]


def test_ties_share_a_rank():
    found = outlook(campaign_of(a=run_of(noisy(1e6)), b=run_of(noisy(1e6, seed=1)), c=run_of(noisy(3e6, seed=2))))
    assert sorted((row.name, row.rank_first, row.rank_last) for row in found.rows) == [
        ("a", 1, 1),
        ("b", 1, 1),
        ("c", 3, 3),
    ]
    assert found.holds
    same = outlook(campaign_of(a=run_of(noisy(1e6)), b=run_of(noisy(1e6, seed=1))))
    assert same.says == "No ranking is shown in the first minute, nor in the last."


def test_what_processes_differ_by_makes_ties():
    campaign = campaign_of(a=run_of(noisy(1e6)), b=run_of(noisy(1.05e6, seed=1)))
    assert {row.rank_first for row in outlook(campaign).rows} == {1, 2}
    for result in campaign.results:
        for number, reading in enumerate(result.readings):
            reading.latencies_ns = pack([1_000 + 50 * number] * 2)
    assert {row.rank_first for row in outlook(campaign).rows} == {1}


def test_a_run_that_ended_early_has_no_last_rank():
    campaign = campaign_of(a=run_of(noisy(1e6, 30), trouble="it died"), b=run_of(noisy(2e6)))
    found = outlook(campaign)
    rows = {row.name: row for row in found.rows}
    assert rows["a"].rank_last is None
    assert found.holds is None
    assert rows["b"].rank_last == 1
    assert "(over 3.0 s)" in terminal.plain(campaign)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12])
def test_few_windows_are_told(count):
    run = run_of(np.full(count, 1_000_000)) if count else Sustained(asked_s=1, window_s=1, position=0, trouble="died")
    campaign = campaign_of(a=run)
    row = endurance(campaign.results[0])
    assert (row.first is None) == (count < 2)
    assert count >= 10 or row.missing
    assert "can't show a change" in terminal.plain(campaign) or count >= 2
    html.page([("a.json", campaign)])


def test_damaged_windows_are_refused(tmp_path):
    campaign = campaign_of(a=run_of(noisy(1e6, 20)))
    campaign.results[0].sustained.count = pack([1, 2])
    store.save(campaign, tmp_path / "a.json")
    with pytest.raises(UserError, match="columns differ in length"):
        store.load(tmp_path / "a.json")
    campaign.results[0].sustained = run_of(noisy(1e6, 20))
    campaign.results[0].sustained.kept = pack([2] * 20)
    store.save(campaign, tmp_path / "a.json")
    with pytest.raises(UserError, match="raw latencies"):
        store.load(tmp_path / "a.json")


def test_a_long_run_is_a_small_file(tmp_path):
    campaign = campaign_of(a=run_of(noisy(10_000, running.WINDOWS_MOST)))
    store.save(campaign, tmp_path / "a.json")
    assert (tmp_path / "a.json").stat().st_size < 500_000


@pytest.mark.parametrize("asked_s", [0.5, 3, 120, 1200, 86_400])
def test_windows_fit_the_run(asked_s):
    windows = asked_s / running.Run(0, asked_s).window_s
    assert 25 <= windows <= running.WINDOWS_MOST + 1


@pytest.mark.parametrize("contenders", [1, 3, 8])
def test_the_chart_has_a_panel_for_each(contenders):
    runs = {f"contender {at}": run_of(noisy(2e6, seed=at, change=1.2, at=800)) for at in range(contenders)}
    panels = sustained_charts.panels(campaign_of(**runs))
    assert len(panels) == contenders
    assert all(len(panel.times_s) <= sustained_charts.POINTS for panel in panels)
    assert all(panel.p95s[0] is not None for panel in panels)
    for width in sustained_charts.WIDTHS:
        svg = sustained_charts.over_time(panels, width)
        assert svg.count("at 13 min 20 s") == contenders
        assert "minutes" in svg


def test_p95_needs_enough_inferences():
    run = run_of(noisy(2e6, 60))
    run.count = pack([5] * 60)
    (panel,) = sustained_charts.panels(campaign_of(a=run))
    assert set(panel.p95s) == {None}
    assert sustained_charts.over_time([panel])


def test_words():
    assert clock(1.52) == "1.5 s"
    assert clock(603) == "10 min 03 s"
    assert [percent(share) for share in (0.2, -0.0031, 0.0, 12.0)] == ["+20 %", "-0.31 %", "0 %", "+1200 %"]
    step = Step(at_index=1, at_s=603.0, before=2e6, after=2.4e6, ratio=1.2, p=0.0)
    assert step_says(step) == "at 10 min 03 s, from 2.00 to 2.40 ms, +20 %"
