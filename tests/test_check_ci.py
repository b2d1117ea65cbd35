"""``whichpu check``: verdicts, limits, refusals, pages for build servers, exit codes, and a workflow's script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import model_file
from onnx import helper

import whichpu
from whichpu import api
from whichpu.campaign import stop
from whichpu.errors import UserError
from whichpu.reports import regression as pages
from whichpu.results import limits, regression, store
from whichpu.results.column import pack
from whichpu.results.known import pairs, why_stopped
from whichpu.results.schema import Block, Campaign, Reading, Result
from whichpu.stats.days import across_days
from whichpu.stats.intervals import CONFIDENCE

if TYPE_CHECKING:
    from conftest import Inside, Ran

GOLDEN = Path(__file__).parent / "golden" / "campaign-1.json"
STEADY = (1.0, 1.001, 0.999, 1.0005, 0.9995)
Told = Callable[..., "Ran"]


def reading(number: int, latency_us: float) -> Reading:
    block = Block(position=0, count=3, opening=1, began_ns=0, wall_ns=1, cpu_ns=1)
    return Reading(round=number, blocks=[block], latencies_ns=pack([9_000_000, *[round(1000 * latency_us)] * 2]))


def row(name: str = "onnxruntime:cpu", latency_us: float = 100.0, rounds: Any = STEADY, **more: Any) -> Result:
    """A contender whose rounds read ``latency_us`` times each of ``rounds``."""
    readings = [reading(number, latency_us * factor) for number, factor in enumerate(rounds)]
    defaults = {"target": name, "backend": "onnxruntime", "device": "cpu", "status": "measured", "readings": readings}
    return Result(**{"name": name, **defaults, **more})


def file_of(*results: Result, task: bool = False) -> Campaign:
    found = store.load(GOLDEN)
    found.results, found.reference, found.task = list(results), None, found.task if task else None
    return found


def paired(new: Result, old: Result) -> Campaign:
    old.name, old.model_sha256, new.baseline = f"{new.name} (baseline)", "0" * 64, f"{new.name} (baseline)"
    return file_of(new, old)


def only(rows: list[regression.Verdict]) -> regression.Verdict:
    assert len(rows) == 1
    return rows[0]


# ---------------------------------------------------------------- statistics


def test_the_interval_across_days_holds_the_assumed_share() -> None:
    estimate, p = across_days([0.0, 0.0, 0.0], [[0.0, 0.0, 0.0]], 0.05)
    assert estimate.value == 1 and p == 1
    assert estimate.high == pytest.approx(1.05) and estimate.low == pytest.approx(1 / 1.05)


@given(
    st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=8),
    st.lists(st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=8), min_size=1, max_size=6),
    st.floats(0.001, 0.2),
)
def test_p_and_interval_across_days_agree(new: list[float], olds: list[list[float]], share: float) -> None:
    estimate, p = across_days(new, olds, share)
    assert p is not None and estimate.low is not None and estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high
    if abs(p - (1 - CONFIDENCE)) > 1e-3:
        assert (p < 1 - CONFIDENCE) == (not estimate.low <= 1 <= estimate.high)
    assert len(olds) >= 3 or estimate.half_width >= 0.999 * share


def test_one_round_says_nothing_across_days() -> None:
    assert across_days([0.1], [[0.0, 0.0]], 0.05)[1] is None
    assert across_days([0.1], [[0.0]] * 3, 0.05)[1] is None


@pytest.mark.parametrize("campaigns", [3, 6])
def test_the_interval_from_several_campaigns_holds_the_truth(campaigns: int) -> None:
    random, held = np.random.default_rng(1), 0
    for _ in range(600):
        days = random.normal(0, 0.04, campaigns + 1)
        new, *olds = (day + random.normal(0, 0.01, 5) for day in days)
        estimate, _ = across_days(new, olds, 0.0)
        assert estimate.low is not None and estimate.high is not None
        held += estimate.low <= 1 <= estimate.high
    assert CONFIDENCE - 0.025 <= held / 600 <= 0.995


# ---------------------------------------------------------------- limits


def test_limits_and_their_exceptions(tmp_path: Path) -> None:
    (tmp_path / "whichpu.toml").write_text(
        '[check]\nlatency_median = "5%"\nday_to_day = "8 %"\n'
        '[[check.override]]\nmodel = "gru"\nlatency_median = "10%"\n'
        '[[check.override]]\nmodel = "gru"\ntarget = "ov"\nscore = "0.5%"\n'
    )
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    found = limits.find(below)
    assert found == tmp_path / "whichpu.toml"
    config = limits.load(found)
    assert config.of("lstm", "ov").latency_median == 0.05
    assert config.of("gru", "ov", "openvino:cpu") == limits.Limits(latency_median=0.1, score=0.005, day_to_day=0.08)
    assert config.of("gru", "onnxruntime:cpu").score == limits.Limits().score
    assert limits.load(None) == limits.Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[chekc]\n", "the file has no key 'chekc'"),
        ('[check]\nlatency = "2%"\n', "[check] has no key 'latency'"),
        ('[[check.override]]\nmodels = "a"\n', "[[check.override]] has no key 'models'"),
        ('[[check.override]]\nscore = "2%"\n', "names neither model nor target"),
        ("[[check.override]]\nmodel = 3\n", "model in [[check.override]] is not a name"),
        ("[check]\nscore = 2\n", "score = 2 in [check] is not a percentage"),
        ('[check]\nscore = "-2%"\n', "is not a percentage"),
        ("check = 1\n", "check is not a table"),
        ("[check]\noverride = 1\n", "override is not a list"),
        ("[check\n", "is not TOML"),
    ],
)
def test_bad_limits_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "whichpu.toml"
    path.write_text(text)
    with pytest.raises(UserError) as problem:
        limits.load(path)
    assert words in str(problem.value) and str(path) in str(problem.value)


def test_limits_that_are_not_there() -> None:
    with pytest.raises(UserError, match=r"can't read nowhere\.toml"):
        limits.load(Path("nowhere.toml"))


# ---------------------------------------------------------------- side by side


@pytest.mark.parametrize(
    ("factor", "word"),
    [
        (1.05, "worse"),
        (1.01, "too-small-to-matter"),
        (1.0, "no-difference"),
        (0.95, "better"),
        (0.99, "too-small-to-matter"),
    ],
)
def test_verdicts_side_by_side(factor: float, word: str) -> None:
    verdict = only(regression.side_by_side(paired(row(latency_us=100 * factor), row()), limits.Config()))
    assert verdict.verdict == word and verdict.side_by_side
    assert verdict.ratio == pytest.approx(factor, abs=1e-3)
    assert (verdict.before, verdict.after) == (pytest.approx(1e5, rel=1e-3), pytest.approx(1e5 * factor, rel=1e-3))
    assert verdict.changed == ["the model's bytes"]
    assert regression.passed([verdict]) == (word != "worse")


def test_a_difference_lost_in_the_spread_is_not_shown() -> None:
    noisy = row(latency_us=105, rounds=(0.8, 1.2, 0.9, 1.1, 1.0))
    assert only(regression.side_by_side(paired(noisy, row()), limits.Config())).verdict == "no-difference"


def test_the_limit_is_the_targets_own() -> None:
    config = limits.Config(
        overrides=[limits.Override(model="gru", target="onnxruntime:cpu", limits={"latency_median": 0.1})]
    )
    verdict = only(regression.side_by_side(paired(row(latency_us=105), row()), config))
    assert verdict.verdict == "too-small-to-matter" and verdict.allowed == 0.1


@pytest.mark.parametrize("status", ["refused", "crashed", "hung", "out-of-memory", "bad-output", "not-here"])
def test_who_ran_before_and_does_not_now_is_worse(status: Any) -> None:
    gone = row(rounds=(), status=status, why="operator Nope is unknown")
    verdict = only(regression.side_by_side(paired(gone, row()), limits.Config()))
    assert verdict.verdict == "worse" and "operator Nope is unknown" in verdict.reason
    both = paired(row(rounds=(), status=status), row(rounds=(), status=status, why="never could"))
    verdict = only(regression.side_by_side(both, limits.Config()))
    assert verdict.verdict == "not-comparable" and "the baseline has no figures" in verdict.reason
    absent = status in ("refused", "not-here")
    assert bool(regression.side_by_side(both, limits.Config(), leave_out_absent=True)) != absent


def test_several_targets_are_corrected_for_their_number() -> None:
    weak = (1.0, 1.03, 1.005, 1.035, 1.02)
    alone = only(regression.side_by_side(paired(row(latency_us=102, rounds=weak), row()), limits.Config()))
    results = []
    for number in range(8):
        name, old = f"c{number}", row(name=f"c{number} (baseline)")
        results += [row(name=name, latency_us=102, rounds=weak, baseline=old.name), old]
    many = regression.side_by_side(file_of(*results), limits.Config())
    assert alone.verdict == "worse" and {verdict.verdict for verdict in many} == {"no-difference"}
    assert "corrected for 8 comparisons" in many[0].reason
    assert "; it takes less than 0.025)" in pages.sentence(many[0])  # its own interval leaves out 1


def test_another_loop_is_another_figure() -> None:
    new, old = row(latency_us=50), row()
    for one in new.readings:
        one.loop = "native"
    verdict = only(regression.side_by_side(paired(new, old), limits.Config()))
    assert verdict.verdict == "not-comparable" and verdict.reason == "other loop (python, now native)"


def test_a_pair_goes_on_until_its_own_ratio_is_known() -> None:
    wild = (0.8, 1.2, 0.9, 1.1, 1.0)
    calm, unsure = paired(row(latency_us=110), row()), paired(row(rounds=wild), row())
    _settings(calm, rounds_most=None, rounds_least=5, budget_s=60.0)
    _settings(unsure, rounds_most=None, rounds_least=5, budget_s=60.0)
    assert stop.still_needed(calm) == [] and "The answer is known" in why_stopped(calm)
    assert stop.still_needed(unsure) == ["onnxruntime:cpu", "onnxruntime:cpu (baseline)"]
    assert "wider than ±2 %: onnxruntime:cpu ±" in why_stopped(unsure)
    far = paired(row(latency_us=300, rounds=wild), row())
    _settings(far, rounds_most=None, rounds_least=5, budget_s=60.0)
    assert stop.still_needed(far) == []
    unsure.results[1].readings[0].spent_s = 61
    assert stop.still_needed(unsure) == []
    begun = paired(row(rounds=wild[:2]), row(rounds=wild[:2]))
    _settings(begun, rounds_most=None, rounds_least=5, budget_s=60.0)
    assert len(stop.still_needed(begun)) == 2
    begun.results[1].status = "crashed"
    assert stop.still_needed(begun) == ["onnxruntime:cpu"]


def test_what_looks_worse_counts_only_when_it_does_so_twice() -> None:
    def look(*factors: float) -> list[regression.Verdict]:
        results = []
        for number, factor in enumerate(factors):
            old = row(name=f"c{number} (baseline)")
            results += [row(name=f"c{number}", latency_us=100 * factor, baseline=old.name), old]
        return regression.side_by_side(file_of(*results), limits.Config())

    first = look(1.06, 1.05, 1.0)
    assert [verdict.contender for verdict in regression.suspects(first)] == ["c0", "c1"]
    found = regression.confirmed(first, look(1.0, 1.04))
    assert [verdict.verdict for verdict in found] == ["no-difference", "worse", "no-difference"]
    assert found[0].at_first == pytest.approx(1.06, abs=1e-3) and found[1].ratio == pytest.approx(1.04, abs=1e-3)
    assert "+6.0 % at first, not confirmed" in pages.sentence(found[0])
    assert "+5.0 % at first, and again" in pages.sentence(found[1])


def test_a_score_that_drops_fails() -> None:
    def verdict(before: float, after: float) -> regression.Verdict:
        campaign = paired(row(score=after), row(score=before))
        campaign.task = store.load(GOLDEN).task
        return regression.side_by_side(campaign, limits.Config())[1]

    assert verdict(10, 10.2).verdict == "worse" and verdict(10, 9.8).verdict == "better"  # an RMSE
    assert verdict(10, 10.05).verdict == "too-small-to-matter" and verdict(10, 10).verdict == "no-difference"
    assert verdict(0, 1).verdict == "worse"
    assert "RMSE 10.200, was 10.000: worse" in pages.sentence(verdict(10, 10.2))


# ---------------------------------------------------------------- files of different days


def across(new: Campaign, *olds: Campaign, config: limits.Config | None = None) -> list[regression.Verdict]:
    return regression.across(new, [(f"{n}.json", old) for n, old in enumerate(olds)], config or limits.Config())


def test_a_small_difference_between_two_days_is_not_shown_and_the_sentence_says_why() -> None:
    verdict = only(across(file_of(row(latency_us=103.1)), file_of(row())))
    assert verdict.verdict == "no-difference" and not verdict.side_by_side
    sentence = pages.sentence(verdict)
    assert "with 5 % from day to day assumed" in sentence and "+3.1 % (-1." in sentence
    assert "measure both at once with --against to see less" in sentence


def test_a_large_difference_between_two_days_is_shown() -> None:
    assert only(across(file_of(row(latency_us=110)), file_of(row()))).verdict == "worse"
    assert only(across(file_of(row(latency_us=90)), file_of(row()))).verdict == "better"
    still = limits.Config(limits=limits.Limits(day_to_day=0.0))
    assert only(across(file_of(row(latency_us=103.1)), file_of(row()), config=still)).verdict == "worse"


def test_several_baselines_give_their_own_spread() -> None:
    calm = [file_of(row(latency_us=100 + step)) for step in (-0.2, 0.0, 0.2, 0.1, -0.1)]
    wild = [file_of(row(latency_us=100 + step)) for step in (-8, 0, 8, 4, -4)]
    new = file_of(row(latency_us=103))
    assert only(across(new, *calm)).verdict == "worse"
    verdict = only(across(new, *wild))
    assert verdict.verdict == "no-difference" and verdict.spread == "with the spread of 5 campaigns"


def test_baselines_of_different_models_are_refused() -> None:
    other = file_of(row())
    other.model.sha256 = "0" * 64
    with pytest.raises(UserError, match=r"not of one model: 0\.json .*, 1\.json \(000000000000\)"):
        across(file_of(row()), file_of(row()), other)


def test_what_changed_besides_is_said() -> None:
    new, old = file_of(row(versions={"onnxruntime": "1.31"})), file_of(row(versions={"onnxruntime": "1.30"}))
    new.model.sha256 = "0" * 64
    verdict = only(across(new, old))
    assert verdict.changed == ["the model's bytes", "onnxruntime 1.30 to 1.31"] and verdict.verdict == "no-difference"


def _settings(campaign: Campaign, **more: Any) -> None:
    campaign.settings = msgspec.structs.replace(campaign.settings, **more)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda it: setattr(it.machine, "hostname", "elsewhere"), "other machine (example, now elsewhere)"),
        (lambda it: setattr(it.machine, "cpu_model", "Arm"), "other CPU (AMD EPYC, now Arm)"),
        (lambda it: setattr(it.machine, "cpus_usable", 4), "other number of usable CPUs (2, now 4)"),
        (lambda it: setattr(it.machine, "governor", "performance"), "other governor (None, now performance)"),
        (lambda it: _settings(it, cpus=[0, 1]), "other CPUs pinned to (none, now 0, 1)"),
        (lambda it: _settings(it, data="other.npz"), "other data (task.toml, now other.npz)"),
        (lambda it: setattr(it.model.inputs[0], "shape", [2]), "other inputs (float32 1x60x1, now float32 2)"),
        (lambda it: setattr(it.results[0], "threads", 2), "other number of threads (1, now 2)"),
        (lambda it: setattr(it.results[0], "options", {"graph": "basic"}), "other target (onnxruntime:cpu, now"),
        (lambda it: setattr(it.results[0], "asked_precision", "default"), "other precision (fp32, now default)"),
        (lambda it: setattr(it.results[0].readings[0], "loop", "native"), "other loop (python, now native)"),
    ],
)  # fmt: skip
def test_other_conditions_are_refused_by_name(change: Callable[[Campaign], None], words: str) -> None:
    new, old = file_of(row(latency_us=200)), file_of(row())
    change(new)
    verdict = only(across(new, old))
    assert verdict.verdict == "not-comparable" and verdict.ratio is None and verdict.reason.startswith(words)
    assert not regression.passed([verdict])  # a check that compared nothing has not passed


def test_only_fair_baselines_count() -> None:
    foreign = file_of(row(latency_us=300))
    foreign.machine.hostname = "elsewhere"
    verdict = only(across(file_of(row(latency_us=110)), file_of(row()), foreign))
    assert verdict.verdict == "worse" and verdict.baseline == "0.json"


def test_contenders_that_are_in_one_file_only_are_said() -> None:
    found = across(file_of(row(), row("new")), file_of(row(), row("old")))
    assert {it.contender: it.verdict for it in found} == {
        "onnxruntime:cpu": "no-difference", "new": "not-comparable", "old": "not-comparable",
    }  # fmt: skip
    assert {it.reason for it in found[1:]} == {"it is not in the result", "it is not in the baseline"}
    assert regression.passed(found)


def test_a_score_of_another_protocol_is_not_compared() -> None:
    new, old = file_of(row(score=1.0), task=True), file_of(row(score=2.0), task=True)
    assert [it.metric for it in across(new, old)] == ["latency_median", "rmse"]
    assert new.task is not None
    new.task = msgspec.structs.replace(new.task, protocol_sha256="0" * 64)
    assert across(new, old)[1].reason.startswith("other protocol")


# ---------------------------------------------------------------- pages


def test_junit_counts_and_keeps_its_form() -> None:
    gone = row("a", rounds=(), status="crashed", why="\x1b[31m<b>&\x00\ud800 bad")
    found = across(file_of(gone, row("b"), row("c", threads=2)), file_of(row("a"), row("b"), row("c")))
    root = ElementTree.fromstring(pages.junit(found))
    assert root.tag == "testsuites"
    suite = root[0]
    assert {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "0", "skipped": "1",
    }  # fmt: skip
    outcomes = {case.attrib["name"]: case[0].tag for case in suite}
    assert outcomes == {"a": "failure", "b": "system-out", "c": "skipped"}
    assert {case.attrib["classname"] for case in suite} == {"gru"}


@given(st.text())
def test_junit_and_markdown_take_any_words(words: str) -> None:
    gone = row("a", rounds=(), status="crashed", why=words)
    found = across(file_of(gone, row("b")), file_of(row("a"), row("b")))
    ElementTree.fromstring(pages.junit(found))
    table = [line for line in pages.markdown(found).split("\n") if line.startswith("|")]
    assert len(table) == 4
    assert {len(line.replace("\\\\", "").replace("\\|", "").split("|")) for line in table} == {11}


# ---------------------------------------------------------------- the command


@pytest.fixture
def files(tmp_path: Path) -> SimpleNamespace:
    made = SimpleNamespace(folder=tmp_path, old=tmp_path / "old.json", slow=tmp_path / "slow.json")
    store.save(file_of(row()), made.old)
    store.save(file_of(row(latency_us=130)), made.slow)
    return made


def test_exit_codes_and_json(told: Told, files: SimpleNamespace) -> None:
    same = told("check", files.old, "--baseline", files.old)
    assert same.status == 0 and "no difference shown" in same.out and "Passed" in same.out
    slow = told("check", files.slow, "--baseline", files.old)
    assert slow.status == 2 and "+30.0 %" in slow.out and "Did not pass: 1 of 1 got worse." in slow.out and not slow.err
    body = told("check", files.slow, "--baseline", files.old, "--json").body()
    assert set(body) == {"verdicts", "passed"} and body["passed"] is False
    assert body["verdicts"][0]["verdict"] == "worse" and body["verdicts"][0]["says"] in slow.out


def test_limits_come_from_the_project(told: Told, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    below = files.folder / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    (files.folder / "whichpu.toml").write_text('[check]\nlatency_median = "50%"\n')
    assert told("check", files.slow, "--baseline", files.old).status == 0
    (below / "strict.toml").write_text("")
    assert told("check", files.slow, "--baseline", files.old, "--config", "strict.toml").status == 2


def test_pages_are_written_and_spare_other_files(told: Told, files: SimpleNamespace) -> None:
    junit, summary = files.folder / "junit.xml", files.folder / "summary.md"
    for _ in range(2):  # the second time over its own pages
        ran = told("check", files.slow, "--baseline", files.old, "--junit", junit, "--markdown", summary)
        assert ran.status == 2
    assert ElementTree.parse(junit).getroot()[0].attrib["failures"] == "1"
    assert "| **worse** |" in summary.read_text(encoding="utf-8")
    for option in ("--junit", "--markdown"):
        ran = told("check", files.slow, "--baseline", files.old, option, files.old)
        assert ran.status == 1 and "would replace" in ran.err
        ran = told("check", files.slow, "--baseline", files.old, option, files.folder / "no" / "x")
        assert ran.status == 1 and "there is no folder" in ran.err
        (files.folder / "notes").write_text("mine")
        ran = told("check", files.slow, "--baseline", files.old, option, files.folder / "notes")
        assert ran.status == 1 and "is not replaced" in ran.err


def test_mistakes_are_sentences(told: Told, files: SimpleNamespace, models: SimpleNamespace) -> None:
    for arguments, words in (
        ((files.old,), "there is nothing to hold"),
        ((models.mlp,), "there is no old model to measure beside it"),
        ((files.old, "--baseline", files.folder / "no.json"), "can't read"),
        ((files.folder / "no.json", "--baseline", files.old), "can't read"),
        ((files.folder / "no.onnx", "--against", models.mlp, "--on", "null:cpu"), "there is no file"),
        ((models.mlp, "--against", files.folder / "no.onnx", "--on", "null:cpu"), "there is no file"),
        ((files.old, "--baseline", files.old, "--budget", "5s"), "options of a measurement have no effect"),
        ((files.old, "--against", models.mlp), "was made of gru.onnx, which is neither beside it nor here"),
        ((models.mlp, "--against", models.dynamic, "--on", "null:cpu"), "has a dynamic shape"),
        ((models.mlp, "--against-python", files.folder, "--on", "null:cpu"), "no Python interpreter at"),
    ):
        ran = told("check", *arguments)
        assert ran.status == 1 and words in ran.err, (arguments, ran)


# ---------------------------------------------------------------- measured


def test_models_of_other_inputs_are_refused_with_both_names(models: SimpleNamespace, tmp_path: Path) -> None:
    wide = model_file(tmp_path / "wide.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 32]}, {"y": [1, 32]})
    with pytest.raises(UserError, match=r"mlp.onnx takes x \(float32 1x16\), but wide.onnx takes x \(float32 1x32\)"):
        whichpu.measure(models.mlp, on="null:cpu", against=wide)


def test_two_models_in_one_campaign(models: SimpleNamespace) -> None:
    measured = whichpu.measure(
        models.mlp, on=["ort=onnxruntime:cpu", "null:cpu"], against=models.other, rounds_most=2, seed=3
    )
    campaign = measured.campaign
    assert [result.name for result in campaign.results] == ["ort", "null:cpu", "ort (baseline)"]
    new, _, old = campaign.results
    assert (new.baseline, old.target, old.baseline) == ("ort (baseline)", "onnxruntime:cpu", None)
    assert [model.name for model in campaign.other_models] == ["other"]
    assert old.model_sha256 == campaign.other_models[0].sha256 == old.form_sha256 != new.form_sha256
    assert pairs(campaign) == [(new, old)] and not stop.still_needed(campaign)
    assert "baseline" in why_stopped(campaign)
    assert new.difference is not None and old.difference is None  # other weights are no doubt
    assert "outputs-differ" not in {doubt.kind for figures in measured.figures for doubt in figures.doubts}
    positions = {result.name: [block.position for block in result.readings[0].blocks] for result in (new, old)}
    assert set(positions["ort"]).isdisjoint(positions["ort (baseline)"])
    assert max(positions["ort"]) > min(positions["ort (baseline)"])  # interleaved
    assert max(positions["ort (baseline)"]) > min(positions["ort"])


def test_the_same_model_beside_itself_passes(inside: Inside, models: SimpleNamespace) -> None:
    """Of a busy wait, so that it holds on any machine; the harness's own backend counts where nothing else does."""
    arguments = (models.mlp, "--against", models.mlp, "--on", "m=null:cpu,delay=2ms", "--budget", "1s", "--rounds", 4)
    (inside.folder / "whichpu.toml").write_text('[check]\nlatency_median = "20%"\n')
    ran = inside("check", *arguments, "-o", "both.json", "--json")
    body = ran.body()
    assert ran.status == 0 and body["passed"], body
    verdict = body["verdicts"][0]
    assert verdict["contender"] == "m" and verdict["side_by_side"] and verdict["changed"] == []
    again = inside("check", "both.json", "--json")  # the file holds both: it can be judged again
    assert again.status == 0 and again.body()["verdicts"][0]["ratio"] == verdict["ratio"]
    stored = inside("check", "both.json", "--baseline", "both.json")
    assert stored.status == 0 and "m (baseline)" not in stored.out


def test_an_operator_that_is_gone_is_worse(inside: Inside, models: SimpleNamespace) -> None:
    options = ("--on", "onnxruntime:cpu", "--budget", "1s", "--rounds", 2)
    ran = inside("check", models.unknown, "--against", models.mlp, *options, "--json")
    assert ran.status == 2
    verdict = ran.body()["verdicts"][0]
    assert verdict["verdict"] == "worse" and "it ran before; now: refused" in verdict["reason"]


def test_an_old_interpreter_is_measured_beside_the_new(models: SimpleNamespace) -> None:
    checked = api.check(
        models.mlp, against_python=sys.executable, on="null:cpu,delay=1ms", budget_s=1, rounds_most=2, seed=1
    )
    old = checked.campaigns[0].results[1]
    assert old.python == sys.executable and old.model_sha256 is None and not checked.campaigns[0].other_models
    assert checked.verdicts[0].ratio is not None and len(checked.sentences) == 1


def test_the_targets_of_a_file_are_measured_again(inside: Inside, models: SimpleNamespace) -> None:
    inside("run", models.mlp, "--on", "m=null:cpu,delay=1ms", "--rounds", 1, "-o", "old.json")
    ran = inside("check", models.mlp, "--against", models.other, "--baseline", "old.json", "--rounds", 1, "--json")
    assert [verdict["contender"] for verdict in ran.body()["verdicts"]] == ["m"]


# ---------------------------------------------------------------- a workflow's script


CHECK_SH = """#!/bin/sh
# The step of a workflow: nothing in it but commands that a user would write.
set -u
whichpu check model.onnx --against baseline/model.onnx --on onnxruntime:cpu --budget 1s --rounds 3 \\
    --junit junit.xml --markdown summary.md
status=$?
cat summary.md >> "$GITHUB_STEP_SUMMARY"
exit $status
"""


def deep(path: Path, layers: int) -> Path:
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32) / 8
    nodes = [helper.make_node("MatMul", [f"h{n}" if n else "x", "w"], [f"h{n + 1}"]) for n in range(layers)]
    nodes.append(helper.make_node("Relu", [f"h{layers}"], ["y"]))
    return model_file(path, nodes, {"x": [64, 64]}, {"y": [64, 64]}, {"w": weights})


def test_the_script_of_a_workflow(tmp_path: Path) -> None:
    """A repository with a committed baseline: the same model passes, one of eight times the work does not."""
    repository, summary = tmp_path / "repository", tmp_path / "step-summary.md"
    (repository / "baseline").mkdir(parents=True)
    (repository / "check.sh").write_text(CHECK_SH)
    (repository / "whichpu.toml").write_text('[check]\nlatency_median = "100%"\n')  # the test machine may be busy
    deep(repository / "baseline" / "model.onnx", 5)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    for layers, status, word in ((5, 0, "Passed"), (40, 2, "Did not pass: 1 of 1 got worse")):
        deep(repository / "model.onnx", layers)
        ran = subprocess.run(["sh", "check.sh"], cwd=repository, env=environment, capture_output=True, text=True)
        assert ran.returncode == status, ran
        assert word in ran.stdout and word in summary.read_text(encoding="utf-8")
        failures = ElementTree.parse(repository / "junit.xml").getroot()[0].attrib["failures"]
        assert failures == ("0" if status == 0 else "1")
    assert json.loads(json.dumps(summary.read_text(encoding="utf-8"))).count("### whichpu check") == 2
