"""Contenders of any files held against each other: the study's ratios, the rules by name, verdicts only where shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichpu.errors import UserError
from whichpu.results import anything, nway, store
from whichpu.results.comparability import ruling
from whichpu.results.comparison import compare
from whichpu.results.entries import METRICS, Entry, Value

HERE = Path(__file__).parent
STUDIES = HERE / "data" / "studies"
THREE = sorted(STUDIES.glob("*_performance_*.json"))
GOLDEN = HERE / "golden" / "campaign-1.json"
EXPECTED = json.loads((STUDIES / "expected_comparison.json").read_text())
NAMES = {"hailo": "Hailo-8L", "tensorrt": "TensorRT (GPU)", "onnxruntime": "ONNX Runtime (GPU)"}


def value(number: float, metric: str = "latency_mean", **more: Any) -> Value:
    kind = METRICS.get(metric)
    return Value(value=number, unit=kind.unit if kind else "", better=kind.better if kind else "lower", **more)


def entry(name: str, /, **more: Any) -> Entry:
    facts = {"model": "net", "contender": name, "file": f"{name}.json", "sha256": name, "tool": "tool"}
    return Entry(**(facts | more))


def with_mean(name: str, mean_ns: float, /, terms: dict[str, str] | None = None, **more: Any) -> Entry:
    return entry(name, values={"latency_mean": value(mean_ns, terms=terms or {})}, **more)


# ---------------------------------------------------------------- the share-price study


@pytest.fixture(scope="module")
def study() -> list[Entry]:
    return anything.entries(THREE)


def expected_ratios() -> list[tuple[str, str, str, str, float]]:
    kinds = (("ratios_mean_latency", "latency_mean"), ("ratios_throughput", "throughput"))
    return [
        (metric, model, *pair.split("/"), ratio)
        for kind, metric in kinds
        for model, pairs in EXPECTED[kind].items()
        for pair, ratio in pairs.items()
    ]


def test_every_ratio_of_the_study(told: Any) -> None:
    rows = told("compare", *THREE, "--json").body()["comparisons"]
    found = {(row["metric"], row["model"], row["contender"], row["baseline"]): row for row in rows}
    assert len(expected_ratios()) == 10
    for metric, model, above, below, ratio in expected_ratios():
        row = found[metric, model, NAMES[above], NAMES[below]]
        assert round(row["ratio"], 1) == ratio
        assert row["low"] <= row["ratio"] <= row["high"]


def test_every_ratio_of_the_study_is_printed(told: Any) -> None:
    words = told("compare", *THREE).out
    for _, _, _, _, ratio in expected_ratios():
        assert any(
            abs(float(word) - ratio) < 0.05 + 1e-9
            for word in words.replace("(", " ").split()
            if word.replace(".", "", 1).isdigit()
        )
    assert (
        "energy per inference of Hailo-8L: Hailo-8L (npu_performance_20250528_132327.json): the file holds no power"
        in words
    )


def test_energy_cant_be_compared(study: list[Entry]) -> None:
    rows = nway.held(study, "TensorRT (GPU)", ["energy", "power"])
    hailo = {row.metric: row for row in rows if row.contender == "Hailo-8L" and row.model == "GRU_Apple"}
    for metric in ("energy", "power"):
        assert hailo[metric].verdict == "not-comparable" and hailo[metric].ratio is None
        assert hailo[metric].reason == "Hailo-8L (npu_performance_20250528_132327.json): the file holds no power"
    ort = next(row for row in rows if (row.metric, row.contender) == ("energy", "ONNX Runtime (GPU)"))
    assert "mean power, not energy" in ort.reason


def test_what_the_study_shows_and_what_not(study: list[Entry]) -> None:
    rows = nway.held(study)
    assert {row.baseline for row in rows} == {"TensorRT (GPU)"}
    verdicts = {(row.model, row.metric, row.contender): row for row in rows}
    for model in ("GRU_Apple", "LSTM_Apple"):
        for name in ("Hailo-8L", "ONNX Runtime (GPU)"):
            for metric in ("latency_mean", "latency_median", "latency_p95", "latency_p99", "latency_max"):
                assert verdicts[model, metric, name].verdict == "slower"
            assert verdicts[model, "throughput", name].verdict == "worse"
            assert verdicts[model, "latency_std", name].verdict == "no-difference"  # one number shows nothing
    equal = verdicts["LSTM_Apple", "score:rmse", "ONNX Runtime (GPU)"]
    assert (equal.verdict, equal.delta, equal.reason) == ("no-difference", 0.0, nway.EQUAL)
    assert verdicts["LSTM_Apple", "score:rmse", "Hailo-8L"].delta == pytest.approx(11.63)
    assert "neither file tells the protocol" in equal.caveats
    assert verdicts["GRU_Apple", "utilisation", "Hailo-8L"].reason == nway.NEITHER


def test_any_baseline_and_only_some_figures(told: Any) -> None:
    for name in ("Hailo-8L", THREE[0].name, THREE[0].stem):
        ran = told("compare", *THREE, "--baseline", name, "--metric", "latency_p99", "--metric", "rmse", "--json")
        rows = ran.body()["comparisons"]
        assert {row["baseline"] for row in rows} == {"Hailo-8L"} and len(rows) == 8
        assert {row["metric"] for row in rows} == {"latency_p99", "score:rmse"}
        assert {row["verdict"] for row in rows if row["metric"] == "latency_p99"} == {"faster"}
    words = told("compare", *THREE, "--normalise-to", "Hailo-8L", "--metric", "latency_mean").out
    assert "normalised to Hailo-8L" in words and "0.0543 (0.0539 to 0.0547)" in words
    ran = told("compare", *THREE, "--baseline", "nobody")
    assert ran.status == 1 and "no contender is called 'nobody'" in ran.err and "Hailo-8L" in ran.err
    ran = told("compare", *THREE, "--metric", "beauty")
    assert ran.status == 1 and "no figure is called 'beauty'" in ran.err and "latency_mean" in ran.err


def test_imported_or_direct_is_the_same(told: Any, tmp_path: Path) -> None:
    made = tmp_path / "three.json"
    assert told("import", *THREE, "-o", made).status == 0
    assert told("compare", made, "--json").out == told("compare", *THREE, "--json").out


# ---------------------------------------------------------------- may they be compared?


@pytest.mark.parametrize(
    ("metric", "mine", "theirs", "refused"),
    [
        ("latency_mean", {"boundary": "compute"}, {"boundary": "end_to_end"}, "b times transfers, a does not"),
        (
            "latency_mean",
            {"boundary": "x"},
            {"boundary": "end_to_end"},
            "other boundary (x; the baseline's is end_to_end)",
        ),
        ("latency_p99", {"percentile": "linear"}, {"percentile": "nearest rank"}, "other percentile definition"),
        ("latency_mean", {"percentile": "linear"}, {"percentile": "nearest rank"}, ""),
        ("power", {"scope": "gpu"}, {"scope": "board"}, "other power scope (gpu; the baseline's is board)"),
        ("energy", {"scope": "gpu"}, {"scope": "board"}, "other power scope"),
        ("memory", {"scope": "process"}, {"scope": "device"}, "other scope"),
        ("memory", {"statistic": "peak"}, {"statistic": "mean"}, "other statistic"),
        ("throughput", {"scenario": "Offline"}, {"scenario": "SingleStream"}, "other scenario"),
        ("throughput", {"batch": "8"}, {"batch": "1"}, "other batch"),
        ("score:rmse", {"protocol": "1"}, {"protocol": "2"}, "other protocol"),
        ("score:rmse", {"protocol": "1", "samples": "x"}, {"protocol": "1", "samples": "y"}, "other samples"),
        ("latency_mean", {"threads": "1"}, {"threads": "4"}, ""),
        ("size", {"boundary": "compute"}, {"boundary": "end_to_end"}, ""),
    ],
)
def test_rules_by_name(metric: str, mine: dict[str, str], theirs: dict[str, str], refused: str) -> None:
    one, other = (
        entry(name, values={metric: value(1.0, metric, terms=terms)}) for name, terms in (("a", mine), ("b", theirs))
    )
    found = ruling(metric, one, other)
    assert found.refused.startswith(refused) if refused else not found.refused
    (row,) = nway.held([other, one], "b", [metric])
    assert (row.verdict == "not-comparable" and row.reason == found.refused and row.ratio is None) is bool(refused)


def test_trtexec_before_and_from_11() -> None:
    ten = with_mean("ten", 2e6, {"boundary": "with transfers"}, tool="trtexec", tool_version="10.3.0")
    eleven = with_mean("eleven", 1e6, {"boundary": "without transfers"}, tool="trtexec", tool_version="11.0")
    words = "trtexec 10 times transfers, 11 does not"
    assert ruling("latency_mean", ten, eleven).refused == ruling("latency_mean", eleven, ten).refused == words


def test_other_models_and_estimates() -> None:
    one, other = with_mean("a", 1.0, model_sha256="1"), with_mean("b", 1.0, model_sha256="2")
    assert ruling("latency_mean", one, other).refused == "other model bytes"
    guess = with_mean("guess", 1.0, estimated=True, tool="vela")
    assert ruling("latency_mean", guess, one).refused.startswith("an estimate against a measurement (guess is")
    assert not ruling("latency_mean", guess, with_mean("other guess", 1.0, estimated=True)).refused


def test_what_is_not_told_is_a_caveat() -> None:
    one, other = with_mean("a", 1.0, {"batch": "1", "scenario": "SingleStream"}), with_mean("b", 1.0, {"batch": "1"})
    found = ruling("latency_mean", one, other)
    assert not found.refused
    assert "neither file tells the boundary" in found.caveats and "b.json doesn't tell the scenario" in found.caveats
    assert any("two files" in caveat for caveat in found.caveats)
    assert not any("two files" in caveat for caveat in ruling("latency_mean", one, one).caveats)


# ---------------------------------------------------------------- verdicts


def spread(name: str, mean: float, least: float, most: float, throughput: float | None = None) -> Entry:
    values = {"latency_mean": value(mean), "latency_min": value(least), "latency_max": value(most)}
    if throughput is not None:
        values["throughput"] = value(throughput, "throughput")
    return entry(name, values=values)


def verdict(one: Entry, base: Entry, metric: str) -> str:
    (row,) = nway.held([base, one], base.contender, [metric])
    return row.verdict


def test_ranges_carry_a_verdict_only_where_disjoint() -> None:
    base = spread("base", 1e6, 0.9e6, 1.2e6, throughput=1000)
    assert verdict(spread("far", 2e6, 1.3e6, 3e6), base, "latency_mean") == "slower"
    assert verdict(spread("near", 0.5e6, 0.4e6, 0.8e6), base, "latency_mean") == "faster"
    assert verdict(spread("over", 2e6, 1.1e6, 3e6), base, "latency_mean") == "no-difference"
    assert verdict(spread("far", 2e6, 1.3e6, 3e6, throughput=500), base, "throughput") == "worse"
    # More than one inference at a time: latencies then say nothing about throughput.
    assert verdict(spread("far", 2e6, 1.3e6, 3e6, throughput=2000), base, "throughput") == "no-difference"


def test_one_after_the_other_is_told_or_said_to_be_inferred() -> None:
    base, far = spread("base", 1e6, 0.9e6, 1.2e6, throughput=1000), spread("far", 2e6, 1.3e6, 3e6, throughput=500)
    (row,) = nway.held([base, far], "base", ["throughput"])
    assert row.verdict == "worse" and row.reason.startswith(nway.INFERRED)
    told = [under(each, scenario="SingleStream") for each in (base, far)]
    (row,) = nway.held(told, "base", ["throughput"])
    assert row.verdict == "worse" and row.reason.startswith("one inference after the other, and all")
    many = [under(each, scenario="async") for each in (base, far)]
    assert verdict(many[1], many[0], "throughput") == "no-difference"


def under(each: Entry, **terms: str) -> Entry:
    values = {key: msgspec.structs.replace(value, terms=terms) for key, value in each.values.items()}
    return msgspec.structs.replace(each, values=values)


def test_the_baseline_is_measured_and_really_the_fastest() -> None:
    estimate = entry("estimate", values={"latency_mean": value(1e6)}, estimated=True)
    slow, fast = (entry(name, values={"latency_min": value(ns)}) for name, ns in (("slow", 3e6), ("fast", 2e6)))
    assert {row.baseline for row in nway.held([estimate, slow, fast])} == {"fast"}


def test_names_alike_are_told_apart_by_precision() -> None:
    one, other = (
        entry("GPU", precision=precision, values={"latency_mean": value(1e6)}) for precision in ("fp16", "int8")
    )
    assert [each.contender for each in nway.labelled([one, other])] == ["GPU [fp16]", "GPU [int8]"]
    silent = msgspec.structs.replace(other, precision=None)
    assert not any("[" in each.contender for each in nway.labelled([one, silent]))


def test_names_in_brackets_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from whichpu.reports.nway import show

    entries = [
        entry(f"GPU [{each}]", model="gru [v2]", values={"latency_mean": value(1e6)}) for each in ("fp16", "int8")
    ]
    show(entries, nway.held(entries), [], Console(width=120))
    printed = capsys.readouterr().out
    assert "gru [v2]" in printed and "baseline: GPU [fp16]" in printed


def test_two_machines_are_a_caveat() -> None:
    one, other = (entry(name, machine=f"board {name}", values={"latency_mean": value(1e6)}) for name in "ab")
    assert ruling("latency_mean", one, other).caveats[0] == "on two machines: board a; the baseline's is board b"


def test_rounding_is_in_the_ranges() -> None:
    one = entry("a", values={name: value(1e6, step=1e6) for name in ("latency_mean", "latency_min", "latency_max")})
    other = entry("b", values={name: value(2e6, step=1e6) for name in ("latency_mean", "latency_min", "latency_max")})
    assert verdict(other, one, "latency_mean") == "no-difference"  # both may be 1.5 ms


def test_intervals_carry_a_verdict_only_where_disjoint() -> None:
    def made(name: str, middle: float, reach: float) -> Entry:
        return entry(name, values={"energy": value(middle, "energy", low=middle / reach, high=middle * reach)})

    assert verdict(made("a", 2.0, 1.1), made("b", 1.0, 1.1), "energy") == "worse"
    assert verdict(made("a", 1.1, 1.1), made("b", 1.0, 1.1), "energy") == "no-difference"
    (row,) = nway.held([made("b", 1.0, 1.1), made("a", 2.0, 1.1)], "b", ["energy"])
    assert row.ratio == 2.0 and row.low is not None and row.high is not None
    assert 1 / 1.1**2 < row.low / 2 < 1 / 1.1 and 1.1 < row.high / 2 < 1.1**2


def test_file_sizes_are_counted() -> None:
    one, other = (entry(name, values={"size": value(size, "size")}) for name, size in (("a", 10.0), ("b", 11.0)))
    assert verdict(other, one, "size") == "worse"
    assert verdict(one, other, "size") == "better"


@given(
    st.lists(st.tuples(st.floats(1, 1e9), st.floats(1, 100), st.floats(1, 100), st.booleans()), min_size=2, max_size=5)
)
def test_no_verdict_without_evidence(figures: list[tuple[float, float, float, bool]]) -> None:
    entries = []
    for number, (mean, below, above, told) in enumerate(figures):
        ends = (mean / below, mean * above)
        values = {"latency_mean": value(mean)}
        if told:
            values |= {"latency_min": value(ends[0]), "latency_max": value(ends[1])}
        entries.append(entry(str(number), values=values))
    for row in nway.pairs(entries, ["latency_mean"]):
        one, base = (entries[int(name)].values for name in (row.contender, row.baseline))
        ends = [each.get(end) for each in (one, base) for end in ("latency_min", "latency_max")]
        if any(end is None for end in ends):
            assert row.verdict == "no-difference"
        elif row.verdict == "faster":
            assert one["latency_max"].value < base["latency_min"].value
        elif row.verdict == "slower":
            assert one["latency_min"].value > base["latency_max"].value
        else:
            assert row.verdict == "no-difference"
        assert row.ratio == pytest.approx(one["latency_mean"].value / base["latency_mean"].value)


# ---------------------------------------------------------------- campaigns, and names


def test_within_a_campaign_its_own_verdicts_stand() -> None:
    (file,) = anything.opened([GOLDEN])
    campaign = store.load(GOLDEN)
    paired = {row.contender: row for row in compare(campaign, "onnxruntime:cpu")}
    rows = nway.held(file.entries, "onnxruntime:cpu", ["latency_median"], anything.campaigns([file]))
    assert {row.contender for row in rows} == set(paired)
    for row in rows:
        own = paired[row.contender]
        assert (row.ratio, row.low, row.high, row.verdict) == (own.ratio, own.low, own.high, own.verdict)


def test_campaigns_and_other_files_together(told: Any) -> None:
    ran = told("compare", GOLDEN, *THREE, "--json")
    assert ran.status == 0
    assert {row["model"] for row in ran.body()["comparisons"]} == {"gru", "GRU_Apple", "LSTM_Apple"}
    assert told("compare", GOLDEN, HERE / "golden" / "scenario-1.json").status == 0


def test_equal_names_are_told_apart() -> None:
    rows = nway.held([with_mean("x", 1.0), with_mean("x", 2.0, file="other.json"), with_mean("y", 3.0)], "y")
    assert [row.contender for row in rows] == ["x.json: x", "other.json: x"]
    entries = [with_mean("x", 1.0), with_mean("x", 2.0)]
    assert [each.contender for each in nway.labelled(entries)] == ["x.json: x #1", "x.json: x #2"]


def test_a_contender_without_figures_is_one_row() -> None:
    gone = entry("gone", absent={"latency_mean": "it crashed"})
    (row,) = nway.held([with_mean("x", 1.0), gone])
    assert (row.verdict, row.reason) == ("not-comparable", "gone (gone.json): it crashed")
    with pytest.raises(UserError, match="'gone' has no figures to hold others against: it crashed"):
        nway.held([with_mean("x", 1.0), gone], "gone")
