"""Several models on several units: held to all assignments, one by one; slack, and what gives way."""

import itertools
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.recommend import assignment, plans
from whichpu.recommend.assignment import assign, with_rates
from whichpu.recommend.plans import Need, Plan, Unit
from whichpu.reports.assignment import told
from whichpu.results.entries import Entry, Value

STUDY = sorted((Path(__file__).parent / "data" / "studies").glob("*_performance_*.json"))
PUBLISHED = Path(__file__).parent.parent / "docs" / "schema" / "assignment-1.json"


def entry(model, contender, ms, power_w=None):
    values = {"latency_mean": Value(value=ms * 1e6, unit="ns", where="mean")}
    if power_w is not None:
        values["power"] = Value(value=power_w, unit="W", where="power")
    return Entry(model=model, contender=contender, file="f.json", sha256="f", tool="t", values=values)


def jetson():
    """In the manner of the Jetson study: the GPU is faster and draws more, the DLA is frugal."""
    return [entry("steady", "gpu", 4, 20), entry("steady", "dla0", 10, 6), entry("big", "gpu", 20, 24),
            entry("big", "dla0", 90, 7), entry("burst", "gpu", 2, 18), entry("burst", "dla0", 12, 6)]  # fmt: skip


def plan(rates, max_power_w=None, **units):
    made = [Unit(name=name, contenders=(f"{name}*",), **more) for name, more in units.items()]
    needs = [Need(name=name, rate_per_s=rate) for name, rate in rates.items()]
    return Plan(file="plan.toml", models=tuple(needs), units=tuple(made), max_power_w=max_power_w)


STEADY = {"steady": 60, "big": 30, "burst": 100}


def test_the_steady_model_goes_to_the_dla_and_the_rest_to_the_gpu():
    found = assign(jetson(), plan(STEADY, 30, gpu={}, dla={}))
    assert {each.model: each.unit for each in found.choices} == {"steady": "dla", "big": "gpu", "burst": "gpu"}
    uses = {use.unit: use for use in found.units}
    assert uses["gpu"].load == pytest.approx(0.8) and uses["gpu"].slack == pytest.approx(0.2)
    assert (found.power_w, found.power_slack_w) == (pytest.approx(30), pytest.approx(0))
    steady = next(each for each in found.choices if each.model == "steady")
    assert steady.rate_most_per_s == pytest.approx(100)


def test_idle_power_counts_the_time_that_a_model_runs():
    found = assign(jetson(), plan({"steady": 30}, dla={"idle_w": 2}))
    assert found.power_w == pytest.approx(2 + (6 - 2) * 0.3)


def test_a_slowdown_is_part_of_the_load():
    found = assign(jetson(), plan({"steady": 30}, dla={"slowdown": 1.5}))
    assert found.choices[0].load == pytest.approx(0.45)


def test_what_can_not_be_met_names_what_gives_way():
    tight = plan(STEADY, 24, gpu={}, dla={})
    found = told(assign(jetson(), tight))
    assert not found.feasible and found.choices == []
    ways = {change.kind: change for row in found.relax for change in row.changes if len(row.changes) == 1}
    assert ways["power"].bound == pytest.approx(30)
    assert all(row.reason.text and row.reason.sources for row in found.relax)


def test_an_unknown_power_is_no_power():
    entries = [entry("m", "npu", 1), entry("m", "gpu", 1, 50)]
    found = told(assign(entries, plan({"m": 10}, 60, npu={}, gpu={})))
    assert [each.unit for each in found.choices] == ["gpu"]
    assert any("its power is not known" in reason.text for reason in found.reasons)
    free = told(assign(entries, plan({"m": 10}, npu={}, gpu={})))
    assert free.goal == "load"
    with pytest.raises(UserError, match="power can't be the objective"):
        assign(entries, msgspec.structs.replace(plan({"m": 10}, npu={}, gpu={}), goal="power"))


# ---------------------------------------------------------------- all assignments


@st.composite
def cases(draw):
    models, units = (
        [f"m{at}" for at in range(draw(st.integers(1, 3)))],
        [f"u{at}" for at in range(draw(st.integers(1, 3)))],
    )
    ms, watts, rate = st.integers(1, 60), st.integers(1, 9), st.integers(1, 40)
    entries = [
        entry(model, unit, draw(ms), draw(watts))
        for model in models
        for unit in units
        if unit == "u0" or draw(st.booleans())
    ]
    some = {
        unit: {"idle_w": 1.0} if draw(st.booleans()) else {}
        for unit in units
        if any(e.contender == unit for e in entries)
    }
    limit = draw(st.sampled_from([None, 3.0, 8.0, 14.0]))
    return entries, plan({model: draw(rate) for model in models}, limit, **some)


def every(entries, asked):
    """The smallest power of all assignments that keep all limits; ``None`` where there is none."""
    powers = []
    for chosen in itertools.product(*([each for each in entries if each.model == need.name] for need in asked.models)):
        loads, watts = {unit.name: 0.0 for unit in asked.units}, {unit.name: unit.idle_w or 0.0 for unit in asked.units}
        idle = {unit.name: unit.idle_w for unit in asked.units}
        for need, each in zip(asked.models, chosen, strict=True):
            load = need.rate_per_s * each.values["latency_mean"].value / 1e9
            power = each.values["power"].value
            loads[each.contender] += load
            if idle[each.contender] is None:
                watts[each.contender] = max(watts[each.contender], power)
            else:
                watts[each.contender] += (power - idle[each.contender]) * load
        if max(loads.values()) <= 1 + 1e-9 and sum(watts.values()) <= (asked.max_power_w or 1e9) + 1e-9:
            powers.append(sum(watts.values()))
    return min(powers, default=None)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_no_assignment_is_better(case):
    entries, asked = case
    found, least = assign(entries, asked), every(entries, asked)
    assert found.feasible == (least is not None)
    if least is not None:
        assert found.power_w == pytest.approx(least)
        assert all(use.slack >= -1e-6 for use in found.units)


@settings(max_examples=8, deadline=None)
@given(cases())
def test_what_gives_way_is_enough(case):
    entries, asked = case
    for row in assign(entries, asked).relax:
        assert assign(entries, loosened(asked, row.changes)).feasible, row.changes


def loosened(asked, changes):
    for change in changes:
        if change.kind == "power":
            asked = msgspec.structs.replace(asked, max_power_w=change.bound)
        elif change.kind == "speed":
            units = [msgspec.structs.replace(each, slowdown=1 / change.bound) if each.name == change.name else each
                     for each in asked.units]  # fmt: skip
            asked = msgspec.structs.replace(asked, units=tuple(units))
        else:
            names = [change.name] if change.kind == "rate" else [each.name for each in asked.models]
            asked = with_rates(asked, names, change.bound / change.old)
    return asked


# ---------------------------------------------------------------- the file and the command

PLAN = """
max_power = "100W"
[[model]]
name = "GRU_Apple"
rate = 500
limits = ["p99 <= 2ms", "rmse <= 60"]
[[model]]
name = "LSTM_Apple"
rate = 5000
[[unit]]
name = "GPU"
contenders = ["TensorRT*", "ONNX*"]
[[unit]]
name = "NPU"
contenders = ["Hailo*"]
"""


def test_the_command_prints_the_published_shape(inside):
    (inside.folder / "plan.toml").write_text(PLAN)
    ran = inside("recommend", *STUDY, "--assign", "plan.toml", "--json")
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert schema == json.loads(json.dumps(assignment.json_schema()))
    jsonschema.validate(ran.body(), schema)
    assert ran.status == 0 and all(reason["text"] for reason in ran.body()["reasons"])
    (inside.folder / "plan.toml").write_text(PLAN.replace("100W", "80W"))
    ran = inside("recommend", *STUDY, "--assign", "plan.toml", "--language", "ko")
    assert ran.status == 2 and "84.53 W" in ran.out


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [("rate = 500\n", "", "rate"), ("rate = 500\n", "rate = -1\n", "no positive number"), ("100W", "100V", "power"),
     ('name = "GPU"', 'nam = "GPU"', "name"), ("GRU_Apple", "GRU", "no file has figures"), ("Hailo*", "Coral*", "NPU"),
     ("[[unit]]", "[[units]]", "units"), ("[[model]]", "[model]", "TOML"), ("LSTM", "GRU", "twice"),
     ("p99 <= 2ms", "p99", "is no limit"), ("rmse", "rsme", "rsme")],
)  # fmt: skip
def test_mistakes_in_a_plan_are_named(inside, old, new, says):
    (inside.folder / "plan.toml").write_text(PLAN.replace(old, new))
    ran = inside("recommend", *STUDY, "--assign", "plan.toml")
    assert ran.status == 1 and says in ran.err


def test_a_missing_plan_is_named(tmp_path):
    with pytest.raises(UserError, match="can't read"):
        plans.read(tmp_path / "none.toml")
