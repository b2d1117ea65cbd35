"""Campaigns on real workers: fresh processes, interleaved blocks, the stop rule, resuming."""

import dataclasses
import itertools
import math
import os
from collections import Counter
from pathlib import Path

import made_metered
import msgspec
import numpy as np
import pytest

import whichpu
from whichpu.campaign import stop
from whichpu.campaign.contenders import Contender
from whichpu.campaign.watch import Silence
from whichpu.errors import UserError
from whichpu.results import store
from whichpu.results.column import pack
from whichpu.results.known import why_stopped
from whichpu.results.schema import Block, Difference, Reading, Result
from whichpu.targets.target import Target

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "apple_stock"
GRU, TASK = EXAMPLE / "gru.onnx", EXAMPLE / "task.toml"
GOLDEN = HERE / "golden" / "campaign-1.json"


def measure(*on, model=GRU, **more):
    return whichpu.measure(model, on=on, **{"rounds_most": 2, "seed": 7, **more}).campaign


@pytest.fixture(scope="module")
def small():
    return measure("a=onnxruntime:cpu", "b=onnxruntime:cpu", "null:cpu", data=TASK)


def test_every_round_starts_fresh_processes_and_interleaves_blocks(small):
    for number in (0, 1):
        positions = sorted(
            (block.position, result.name)
            for result in small.results
            for reading in result.readings
            if reading.round == number
            for block in reading.blocks
        )
        assert [position for position, _ in positions] == list(range(len(positions)))
        names = [name for _, name in positions]
        assert Counter(names[:3]) == Counter(["a", "b", "null:cpu"])  # each turn holds every contender once
        assert Counter(names[3:6]) == Counter(["a", "b", "null:cpu"])


def test_the_order_is_drawn_from_the_seed():
    def order(seed):
        campaign = measure("a=null:cpu", "b=null:cpu", "c=null:cpu", seed=seed, rounds_most=1)
        return [
            name
            for _, name in sorted(
                ((reading.round, block.position), result.name)
                for result in campaign.results
                for reading in result.readings
                for block in reading.blocks
            )
        ]

    first = order(7)
    assert order(7) == first
    assert order(8) != first


def test_blocks_do_not_overlap(small):
    spans = sorted(
        (block.began_ns, block.began_ns + block.wall_ns)
        for result in small.results
        for reading in result.readings
        for block in reading.blocks
    )
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


def test_rmse_is_pytorchs_to_many_digits(small):
    for result in small.results[:2]:
        assert result.score == pytest.approx(8.9583478, abs=1e-5)
        assert result.difference.max_abs < 1e-6
        assert result.difference.samples == 543
    assert small.reference.by.startswith("torch 2.13.0")
    assert small.task.naive == pytest.approx(8.8439, abs=1e-4)


def test_the_machine_the_seed_and_what_ran_are_kept(small):
    ort = small.results[0]
    assert small.settings.seed == 7
    assert small.machine.cpus_usable >= 1
    assert small.model.inputs[0].shape == [1, 60, 1]
    assert ort.effective["providers"] == "CPUExecutionProvider"
    assert ort.effective["intra_op_num_threads"] == "1"
    assert ort.precision.ran == "fp32"
    assert ort.versions["onnxruntime"]
    assert ort.form_sha256 == small.model.sha256
    for reading in ort.readings:
        assert reading.load_ns > 0
        assert reading.first_ns > 0
        assert reading.latencies_ns.count == sum(block.count for block in reading.blocks)


def test_the_null_backend_shows_a_known_delay():
    campaign = measure("short=null:cpu,delay=200us", "long=null:cpu,delay=400us")
    short, long = (row for row in whichpu.api.summarize(campaign))
    assert short.median_ns >= 200_000
    assert long.median_ns >= 400_000
    assert long.median_ns / short.median_ns == pytest.approx(2, rel=0.2)


def test_other_contenders_are_frozen_while_one_is_measured(monkeypatch):
    """Looks at /proc while a block runs: exactly one worker may be runnable."""
    from whichpu.campaign import rounds

    seen = []
    original = rounds._block

    def watched(seat, *rest):
        seat.link.thaw()
        states = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                after = entry.read_text().rsplit(")", 1)[1].split()
                if int(after[1]) == os.getpid() and b"worker-" in (entry.parent / "cmdline").read_bytes():
                    states.append((int(entry.parent.name) == seat.link.pid, after[0]))
            except (OSError, IndexError):
                continue
        seen.append(states)
        original(seat, *rest)

    monkeypatch.setattr(rounds, "_block", watched)
    measure("a=null:cpu", "b=null:cpu", "c=null:cpu", rounds_most=1)
    assert seen
    for states in seen:
        assert len(states) == 5  # the watcher and the meters too
        assert {state for own, state in states if not own} == {"T"}


def test_contenders_that_do_not_fit_into_memory_together_take_turns(monkeypatch):
    from whichpu.campaign import rounds

    monkeypatch.setattr(rounds, "MEMORY_SHARE", 1e-9)
    campaign = measure("a=null:cpu", "b=null:cpu,delay=50us", "onnxruntime:cpu")
    for result in campaign.results:
        assert result.took_turns
        positions = [block.position for block in result.readings[0].blocks]
        assert positions == list(range(10))  # each sat alone, and counted its own blocks
    row = next(row for row in whichpu.api.summarize(campaign) if row.name == "onnxruntime:cpu")
    assert "took-turns" in [doubt.kind for doubt in row.doubts]


def test_slow_models_get_fewer_inferences_rather_than_an_endless_round():
    campaign = measure("null:cpu,delay=40ms", budget_s=1.0, rounds_most=None)
    readings = campaign.results[0].readings
    assert len(readings) == 5  # the least, though the budget is spent
    assert all(3 <= reading.blocks[0].count - reading.blocks[0].opening < 20 for reading in readings)


@pytest.mark.parametrize("loop", ["native", "python"])
def test_a_model_whose_output_is_a_single_number_is_measured(loop, tmp_path):
    from made import model_file
    from onnx import helper

    total = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    model = model_file(tmp_path / "total.onnx", [total], {"x": [1, 4]}, {"y": []})
    campaign = measure("onnxruntime:cpu", "openvino:cpu", model=model, rounds_most=1, loop=loop)
    for result in campaign.results:
        assert result.status == "measured", result.why
        assert result.difference.relative < 1e-5


def test_slow_contenders_run_in_the_same_turns(monkeypatch):
    from whichpu.campaign import rounds

    monkeypatch.setattr(rounds, "_plan_blocks", lambda seat, settings: setattr(seat, "blocks_planned", 3))
    campaign = measure("a=null:cpu", "b=null:cpu")
    for one, other in zip(*(result.readings for result in campaign.results), strict=True):
        assert [block.turn for block in one.blocks] == [block.turn for block in other.blocks]


def test_a_clock_that_reads_zero_plans_blocks_all_the_same():
    from whichpu.campaign import rounds

    contender = Contender(target=Target(backend="null"), result=made("a", []), format="*", path=GRU)
    seat = rounds.Seat(contender, 0)
    seat.reading.spent_s = 100.0
    rounds._plan_blocks(seat, store.load(GOLDEN).settings)
    assert (seat.blocks_planned, seat.measure.least_count) == (1, 3)


def test_a_cpu_named_twice_is_one_cpu():
    cpu = max(os.sched_getaffinity(0))
    assert measure("null:cpu", cpus=[cpu, cpu], rounds_most=1).settings.cpus == [cpu]


def test_cpus_that_are_not_there_are_refused_by_name():
    with pytest.raises(UserError, match="CPU 4095 can't be used here"):
        measure("null:cpu", cpus=[4095])


def test_where_processes_can_not_be_pinned_it_says_so():
    from whichpu.campaign.wishes import refuse_absent

    machine = dataclasses.replace(store.load(GOLDEN).machine, cpus_preferred=None)
    refuse_absent([], machine)
    with pytest.raises(UserError, match="pins no process"):
        refuse_absent([0], machine)


def test_going_on_is_refused_where_the_campaigns_cpus_are_gone(tmp_path):
    path = tmp_path / "c.json"
    measure("null:cpu", output=path, rounds_most=1)
    before = store.load(path)
    before.settings = msgspec.structs.replace(before.settings, cpus=[4095])
    store.save(before, path)
    with pytest.raises(UserError, match="CPU 4095 can't be used here"):
        measure("null:cpu", output=path, resume=True, rounds_most=2)


def test_turns_of_a_slow_contender_are_spread_over_the_round():
    from whichpu.campaign.rounds import _spread

    assert _spread(10, 10, 0.5) == set(range(10))
    assert _spread(1, 10, 0.99) == {9}
    assert _spread(1, 10, 0.0) == {0}
    assert _spread(3, 10, 0.5) == {1, 5, 8}
    for planned in range(1, 11):
        for offset in (0.0, 0.3, 0.999):
            turns = _spread(planned, 10, offset)
            assert len(turns) == planned
            assert turns <= set(range(10))


def test_a_slow_model_is_not_a_hanging_one_and_a_hanging_one_gets_another_try(tmp_path):
    path = tmp_path / "c.json"
    slow = measure("null:cpu,delay=80ms", rounds_most=1, timeout_s=0.8, budget_s=8.0)
    assert slow.results[0].status == "measured"  # a block of it takes twice the time-out
    late = "null:cpu,delay=450ms,step=2ms@300ms"  # only the first inference
    hung = measure(late, output=path, rounds_most=1, timeout_s=0.4)
    assert hung.results[0].status == "hung"
    again = measure(late, output=path, rounds_most=2, timeout_s=4.0, budget_s=1.0, resume=True)
    assert again.results[0].status == "measured"


def test_resuming_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "c.json"
    measure("onnxruntime:cpu", "null:cpu", output=path, rounds_most=1)
    before = store.load(path)
    after = measure("onnxruntime:cpu", "null:cpu", output=path, resume=True, rounds_most=3, seed=None)
    assert after.settings.seed == before.settings.seed
    assert [reading.round for reading in after.results[0].readings] == [0, 1, 2]
    assert after.results[0].readings[0] == before.results[0].readings[0]
    assert store.load(path) == after


def test_a_resumed_campaign_feeds_the_samples_of_the_first_rounds(tmp_path, monkeypatch):
    from whichpu.campaign.check import Check

    fed = []
    original = Check.save_inputs

    def watched(check, path):
        fed.append([array.tobytes() for array in check.plan.samples])
        original(check, path)

    monkeypatch.setattr(Check, "save_inputs", watched)
    path = tmp_path / "c.json"
    measure("null:cpu", output=path, rounds_most=1, seed=None)
    measure("null:cpu", output=path, resume=True, rounds_most=2, seed=None)
    assert len(fed) > 1
    assert all(samples == fed[0] for samples in fed)


def test_a_resumed_campaign_keeps_the_loop_that_auto_chose(tmp_path):
    path = tmp_path / "c.json"
    measure("onnxruntime:cpu", output=path, rounds_most=1)
    before = store.load(path)
    for reading in before.results[0].readings:
        reading.loop = "python"
    store.save(before, path)
    after = measure("onnxruntime:cpu", output=path, resume=True, rounds_most=2)
    assert [reading.loop for reading in after.results[0].readings] == ["python", "python"]


def test_outputs_are_checked_in_the_first_round_that_is_whole(tmp_path):
    path = tmp_path / "c.json"
    measure("onnxruntime:cpu", output=path, rounds_most=1)
    before = store.load(path)
    before.results[0].status, before.results[0].difference = "crashed", None
    before.results[0].readings[0].trouble = "it was killed by SIGSEGV"
    store.save(before, path)
    after = measure("onnxruntime:cpu", output=path, resume=True, rounds_most=2)
    assert after.results[0].status == "measured"
    assert after.results[0].difference is not None


def test_resuming_another_campaign_is_refused_by_name(tmp_path):
    path = tmp_path / "c.json"
    measure("null:cpu", output=path, rounds_most=1)
    with pytest.raises(UserError, match="the model's bytes changed"):
        measure("null:cpu", model=EXAMPLE / "lstm.onnx", output=path, resume=True)
    with pytest.raises(UserError, match="the list of contenders changed"):
        measure("null:cpu", "onnxruntime:cpu", output=path, resume=True)
    with pytest.raises(UserError, match="the number of threads changed"):
        measure("null:cpu", output=path, resume=True, threads=2)
    with pytest.raises(UserError, match="the seed changed"):
        measure("null:cpu", output=path, resume=True, seed=8)
    with pytest.raises(UserError, match="exists"):
        measure("null:cpu", output=path)


def test_resuming_on_another_version_or_other_data_is_refused(tmp_path):
    path, data = tmp_path / "c.json", tmp_path / "d.npz"
    np.savez(data, window=np.ones((2, 1, 60, 1), np.float32))
    measure("onnxruntime:cpu", output=path, rounds_most=1, data=data)
    np.savez(data, window=np.full((2, 1, 60, 1), 2, np.float32))
    with pytest.raises(UserError, match="the data changed"):
        measure("onnxruntime:cpu", output=path, resume=True, data=data)
    np.savez(data, window=np.ones((2, 1, 60, 1), np.float32))
    older = store.load(path)
    older.results[0].versions = {"onnxruntime": "1.0"}
    store.save(older, path)
    with pytest.raises(UserError, match="the runtime of onnxruntime:cpu changed"):
        measure("onnxruntime:cpu", output=path, resume=True, data=data)


def test_a_runtime_that_ties_itself_to_a_cpu_is_on_unequal_terms():
    pytest.importorskip("openvino")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU: everything is tied to it")
    campaign = measure("free=openvino:cpu", "tied=openvino:cpu,pinning=on", cpus=())
    doubts = {row.name: [doubt.kind for doubt in row.doubts] for row in whichpu.api.summarize(campaign)}
    assert "unequal-terms" in doubts["tied"]
    assert "unequal-terms" not in doubts["free"]


def test_the_file_is_whole_after_every_round(tmp_path):
    path = tmp_path / "c.json"
    rounds_on_disk = []

    class Looking(Silence):
        def round_done(self, campaign, active):
            rounds_on_disk.append([len(result.readings) for result in store.load(path).results])

    measure("null:cpu", "b=null:cpu", output=path, rounds_most=3, watch=Looking())
    assert rounds_on_disk == [[1, 1], [2, 2], [3, 3]]


def test_random_data_is_seeded_and_never_zero():
    from whichpu.models.inputs import random
    from whichpu.worker.wire import TensorSpec

    specs = [TensorSpec("x", "float32", [2, 3]), TensorSpec("y", "uint8", [4]), TensorSpec("z", "int64", [5])]
    first, again, other = random(specs, 1), random(specs, 1), random(specs, 2)
    for array, same, different in zip(first, again, other, strict=True):
        assert np.array_equal(array, same)
        assert not np.array_equal(array, different)
        assert array.any()
    assert first[1].max() > 100  # a byte has its whole range


def test_shows_well_in_a_notebook(small):
    shown = whichpu.Measurement(small)
    assert "onnxruntime" in shown._repr_html_() or ">a<" in shown._repr_html_()
    assert "one inference end to end" in repr(shown)
    frame = shown.to_pandas()
    assert list(frame.index[:2]) in (["a", "b"], ["b", "a"])
    assert frame.loc["a", "median_ns"] > 0
    assert not {"energy", "gauges", "memory", "meter_cost"} & set(frame.columns)


def test_energy_and_memory_are_columns_of_a_data_frame():
    frame = whichpu.Measurement(made_metered.campaign()).to_pandas()
    assert (frame["energy_source"].dropna() == "rapl:package-0").all() and len(frame["energy_source"].dropna())
    assert {"energy_gross_j", "energy_net_low_j", "steadiness_peak_w", "meter_cost_ratio"} <= set(frame.columns)


# ---------------------------------------------------------------- the stop rule, on made readings


def made(name, medians, spent_s=1.0, yardstick=False):
    readings = [
        Reading(
            round=number,
            spent_s=spent_s,
            latencies_ns=pack([round(value)] * 20),
            blocks=[Block(position=0, count=20, opening=0, began_ns=0, wall_ns=1, cpu_ns=1)],
        )
        for number, value in enumerate(medians)
    ]
    return Result(
        name=name, target=name, backend=name, device="cpu", status="measured", readings=readings, yardstick=yardstick
    )


def needed(*results, **settings):
    campaign = store.load(GOLDEN)
    campaign.results = list(results)
    changed = {"budget_s": 60.0, "rounds_least": 4, "rounds_most": None, "half_width": 0.02, **settings}
    campaign.settings = msgspec.structs.replace(campaign.settings, **changed)
    campaign.finished = "now"
    return stop.still_needed(campaign), why_stopped(campaign)


def wobbling(base, spread, rounds=4):
    return [base * (1 + spread * math.sin(3 * number)) for number in range(rounds)]


def test_at_least_four_rounds():
    names, _ = needed(made("a", [1e6] * 3), made("b", [1e6] * 3))
    assert names == ["a", "b"]


def test_narrow_ratios_end_it():
    names, why = needed(made("a", [1e6] * 4), made("b", wobbling(1.1e6, 0.001)))
    assert names == []
    assert "The answer is known" in why


def test_wide_ratios_go_on_and_bring_the_fastest_along():
    names, _ = needed(made("a", [1e6] * 4), made("b", wobbling(1.1e6, 0.1)), made("c", [1.1e6] * 4))
    assert sorted(names) == ["a", "b"]


def test_contenders_clearly_out_go_home():
    names, why = needed(made("a", [1e6] * 4), made("b", wobbling(5e6, 0.1)))
    assert names == []
    assert "The answer is known" in why


def test_a_spent_budget_ends_it_and_says_how_wide_it_still_is():
    names, why = needed(made("a", [1e6] * 4), made("b", wobbling(1.1e6, 0.1)), budget_s=3.0)
    assert names == []
    assert why.startswith("Stopped: some ratios to a are still wider than ±2 %")
    assert "b ±" in why


def test_yardsticks_ask_for_no_more_rounds():
    names, _ = needed(made("a", [1e6] * 4), made("b", [1.1e6] * 4), made("null", wobbling(60, 0.5), yardstick=True))
    assert names == []


def test_one_contender_alone_is_measured_until_its_own_interval_is_narrow():
    assert needed(made("a", wobbling(1e6, 0.1)))[0] == ["a"]
    assert needed(made("a", [1e6] * 4))[0] == []


def test_who_comes_back_after_a_failure_runs_beside_the_one_it_is_held_against():
    late = made("late", [1.02e6])
    late.status = "pending"
    names, _ = needed(made("a", [1e6] * 4), made("b", [1.1e6] * 4), late)
    assert names == ["a", "late"]


def test_who_crashed_after_two_rounds_does_not_make_the_answer_unknown():
    dead = made("dead", [5e6, 5.001e6])
    dead.status, dead.difference = "crashed", Difference(max_abs=0.0, mean_abs=0.0, relative=0.0, samples=1)
    names, why = needed(made("a", [1e6] * 4), made("b", [1.1e6] * 4), dead)
    assert names == []
    assert "The answer is known" in why


def test_no_more_rounds_than_asked():
    assert needed(made("a", wobbling(1e6, 0.1)), rounds_most=4)[0] == []
