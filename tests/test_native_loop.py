"""Which loop times: auto, native, python; and the doubt where loops are unequal."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from whichpu import UserError, measure
from whichpu.campaign import contenders as planned
from whichpu.campaign.reach import native_why_not, targets_within_reach
from whichpu.results import schema, store
from whichpu.results.doubts import doubts_of
from whichpu.results.summary import summarize
from whichpu.targets.target import Target
from whichpu.worker import native, wire

GOLDEN = Path(__file__).parent / "golden" / "campaign-1.json"
no_compiler = pytest.mark.skipif(native.why_not() is not None, reason=str(native.why_not()))


def contender(name, able, *, status="pending", yardstick=False):
    result = schema.Result(name=name, target=name, backend=name, device="cpu", yardstick=yardstick, status=status)
    return planned.Contender(
        target=Target(backend=name),
        result=result,
        format="onnx",
        path=Path("m.onnx"),
        native_why_not=None if able else "it has no C interface",
    )


def loops(asked, *contenders):
    planned.choose_loops(list(contenders), asked)
    return [contender.loop for contender in contenders]


def test_auto_is_all_or_none():
    able, unable = contender("a", True), contender("b", False)
    assert loops("auto", able, contender("c", True)) == ["native", "native"]
    assert loops("auto", contender("a", True), unable) == ["python", "python"]
    assert loops("auto", contender("a", True), contender("b", False, status="not-here"))[0] == "native"
    assert loops("auto", contender("a", True), contender("null", False, yardstick=True))[0] == "native"


def test_native_and_python_are_for_all():
    assert loops("native", contender("a", True), contender("b", False)) == ["native", "native"]
    assert loops("python", contender("a", True), contender("null", True, yardstick=True)) == ["python", "python"]


def description(**facts):
    return wire.Description("x", True, None, None, [], {}, **facts)


def test_a_device_that_the_loop_cannot_run_has_a_reason():
    target = Target(backend="x", device="cuda")
    assert native_why_not(target, description(native=["cpu", "cuda"])) is None
    assert native_why_not(target, description(native=["cpu"])) == "the native loop runs it on cpu only"
    assert native_why_not(target, description(native_why_not="no C compiler")) == "no C compiler"
    assert native_why_not(target, description()) == "the native loop runs it on no device only"


def test_an_unknown_loop_is_the_users_mistake(models: SimpleNamespace):
    with pytest.raises(UserError, match="no loop is called 'fast'") as problem:
        measure(models.mlp, "null:cpu", loop="fast")
    assert "auto, native, python" in str(problem.value.remedy)


def test_an_old_file_was_asked_for_the_python_loop():
    assert store.load(GOLDEN).settings.loop == "python"


def doubts(first, second, yardstick=None, effective=None, asked="auto"):
    """Kinds of doubts about two contenders (and null) whose readings came from these loops."""
    campaign = store.load(GOLDEN)
    campaign.settings = msgspec.structs.replace(campaign.settings, loop=asked)
    rows = [result for result in campaign.results if result.readings and not result.yardstick][:2]
    nulls = [result for result in campaign.results if result.yardstick]
    campaign.results = rows + nulls
    for result, loop in zip([*rows, *nulls], (first, second, yardstick or first), strict=False):
        result.effective.update(effective or {})
        for reading in result.readings:
            reading.loop = loop
    medians = {row.name: row for row in summarize(campaign)}
    return [
        [(doubt.kind, doubt.says) for doubt in medians[result.name].doubts if doubt.kind == "unequal-loop"]
        for result in campaign.results
    ]


def test_equal_loops_raise_no_doubt():
    for loop in ("python", "native"):
        assert not any(doubts(loop, loop))
    assert not any(doubts("native", "native", "python"))  # the yardstick is no rival


def test_the_python_loop_beside_the_native_one_is_doubted():
    first, second, *nulls = doubts("native", "python", effective={"loop": "python, because it has no C interface"})
    assert first == [] and not any(nulls)
    assert len(second) == 1 and "(it has no C interface)" in second[0][1]


def test_the_python_loop_in_place_of_the_one_asked_for_is_doubted():
    first, second, *nulls = doubts("python", "python", asked="native")
    assert first == second and len(first) == 1 and not any(nulls)
    assert "as others were" not in first[0][1]
    assert not any(doubts("native", "native", asked="native"))


def test_a_contender_of_two_loops_is_doubted():
    campaign = store.load(GOLDEN)
    campaign.results = [result for result in campaign.results if result.readings and not result.yardstick][:1]
    campaign.results[0].readings[0].loop = "native"
    found = doubts_of(campaign.results[0], campaign, None)
    assert found == []  # without a figure nothing is doubted
    assert "unequal-loop" in [doubt.kind for doubt in summarize(campaign)[0].doubts]


# ---------------------------------------------------------------- with real workers


def quick(model, on, tmp_path, loop, **wishes):
    return measure(model, on, loop=loop, budget_s=1, rounds_most=1, output=tmp_path / f"{loop}.json", **wishes)


def ran(campaign):
    return {result.name: {reading.loop for reading in result.readings} for result in campaign.results}


@no_compiler
def test_auto_takes_the_native_loop_when_all_can(models: SimpleNamespace, tmp_path: Path):
    found = quick(models.mlp, ["onnxruntime:cpu", "null:cpu"], tmp_path, "auto").campaign
    assert ran(found) == {"onnxruntime:cpu": {"native"}, "null:cpu": {"native"}}
    assert found.results[0].effective["loop"].startswith("native, libonnxruntime")
    assert found.settings.loop == "auto"
    shutil.copy(tmp_path / "auto.json", tmp_path / "python.json")
    with pytest.raises(UserError, match="the loop changed"):
        quick(models.mlp, ["onnxruntime:cpu", "null:cpu"], tmp_path, "python", resume=True)


@no_compiler
def test_mixed_runtimes_run_the_python_loop_or_are_doubted(models: SimpleNamespace, tmp_path: Path):
    pytest.importorskip("cv2")
    on = ["onnxruntime:cpu", "opencv:cpu"]
    assert set().union(*ran(quick(models.mlp, on, tmp_path, "auto").campaign).values()) == {"python"}
    found = quick(models.mlp, on, tmp_path, "native")
    assert ran(found.campaign) == {"onnxruntime:cpu": {"native"}, "opencv:cpu": {"python"}}
    [says] = [doubt.says for row in found.figures for doubt in row.doubts if doubt.kind == "unequal-loop"]
    assert "no C interface" in says
    assert msgspec.json.decode(msgspec.json.encode(found.campaign), type=schema.Campaign).settings.loop == "native"


def test_without_a_compiler_auto_runs_the_python_loop(models: SimpleNamespace, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("WHICHPU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    from whichpu.targets import bundle

    bundle.archive.cache_clear()
    try:
        found = quick(models.mlp, ["onnxruntime:cpu"], tmp_path, "auto").campaign
        assert ran(found) == {"onnxruntime:cpu": {"python"}}
        found = quick(models.mlp, ["onnxruntime:cpu"], tmp_path, "native").campaign
        assert "no C compiler" in found.results[0].effective["loop"]
    finally:
        bundle.archive.cache_clear()


def test_devices_say_which_can():
    rows = {row["target"]: row for row in targets_within_reach([])}
    assert rows["null:cpu"]["native_loop"] == (native.why_not() is None)
    usable = [row for row in rows.values() if row["usable"]]
    assert all(row["native_loop"] or row["native_loop_why_not"] for row in usable)
