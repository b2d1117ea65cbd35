"""Power and energy in the reports: the summary's figures, one line where there is no sensor, no meaningless bar."""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import made_metered
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_report_html import Checker

from whichpu.cli import guarded
from whichpu.errors import UserError
from whichpu.reports import charts, energy, html, normalised_chart, power_charts, terminal, units
from whichpu.reports.normalised import normalised
from whichpu.results import store
from whichpu.results.energy.ratios import compare_energy
from whichpu.results.schema import Campaign, Joined, Metered
from whichpu.results.summary import Figures, summarize
from whichpu.worker.wire import Missing

WATTS = re.compile(r"\b[nµm]?W\b|\b[nµm]?J\b|watt|joule", re.IGNORECASE)
LINE = re.compile(r"Power and energy: not measured.*?`?whichpu meters`?\s+tells\s+more\.", re.DOTALL)
PRIMARY = "rapl:package-0"


@pytest.fixture(scope="module")
def metered() -> Campaign:
    return made_metered.campaign()


@pytest.fixture(scope="module")
def page(metered: Campaign) -> Checker:
    return Checker(html.page([("a.json", metered)]))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are slow to draw; some tests only need the words around them."""
    for module, name in (
        (charts, "medians"),
        (charts, "spreads"),
        (power_charts, "over_time"),
        (normalised_chart, "bars"),
    ):
        monkeypatch.setattr(module, name, lambda *_: "<svg></svg>")


def told(row: Figures, source: str = PRIMARY) -> energy.EnergyFigures:
    return next(one for one in row.energy if one.source == source)


# ---------------------------------------------------------------- with a sensor


def test_the_terminal_has_one_table_of_the_headlines_source(metered: Campaign) -> None:
    text = terminal.plain(metered)
    assert "energy per inference by rapl:package-0 (package: CPU package 0; news every 5 ms)" in text
    assert "ina3221" not in text and "rapl:core" not in text
    rows = [told(row) for row in summarize(metered)]
    energies = units.energy_unit(row.gross_j for row in rows)
    assert energies.name == "mJ" and "gross (mJ)" in text
    for row in rows:
        assert units.in_unit(row.gross_j, energies) in text and units.in_unit(row.net_j, energies) in text
        assert units.spread(row.gross_j, row.gross_low_j, row.gross_high_j) in text
        assert units.digits(row.power_w) in text and units.digits(row.idle_w) in text
        assert units.digits(row.per_joule) in text
    for ratio in compare_energy(metered):
        if ratio.metric == "energy_per_inference":
            assert f"{units.digits(ratio.ratio)} x" in text
    assert "vs onnxruntime:cpu" in text and "time above 25 W" in text
    assert re.search(
        r"Latency while meters were read, over that without: \d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\) for ", text
    )
    assert "not measured, for" not in text


@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_fit(metered: Campaign, width: int) -> None:
    stream = io.StringIO()
    terminal.show(metered, Console(file=stream, width=width, highlight=False, emoji=False))
    assert max(map(len, stream.getvalue().splitlines())) <= width


def test_the_page_has_tables_and_charts(metered: Campaign, page: Checker) -> None:
    for words in (
        "Power and energy",
        "Energy by rapl:package-0",
        "Steadiness of power",
        "Power over time",
        "Normalised to onnxruntime:cpu",
        "Energy by other sensors",
        "ina3221:VDD_CPU (rail)",
        "Read in the metered windows",
        "Dashed: the limit of 25 W.",
        "above 25 W",
        "inverse EDP",
    ):
        assert words in page.text, words
    for row in summarize(metered):
        steady = told(row).steadiness
        assert steady is not None
        for value in (steady.mean_w, steady.p5_w, steady.p95_w, steady.peak_w, steady.std_w):
            assert units.digits(value) in page.text
    targets = {value for key, value in page.attributes if key == "id"}
    links = {value[1:] for key, value in page.attributes if key == "href"}
    assert links <= targets
    assert len([value for key, value in page.attributes if key == "id"]) == len(targets)


@pytest.mark.usefixtures("undrawn")
def test_a_doubt_about_energy_is_marked_in_its_table(metered: Campaign) -> None:
    doubted = made_metered.copy(metered)
    assert doubted.metered is not None
    for window in doubted.metered.windows:
        if window.contender == "opencv:cpu" and window.bare_ns is not None:
            window.bare_ns *= 0.9
    text = Checker(html.page([("a.json", doubted)])).text
    table = text.partition("Energy by rapl:package-0")[2].partition("Steadiness")[0]
    assert re.search(r"opencv:cpua|opencv:cpub", table) and "Meter cost" in text


def test_sentences_name_sensors_that_may_not_be_read(metered: Campaign) -> None:
    locked = made_metered.copy(metered)
    assert locked.metered is not None
    locked.metered.missing = [Missing("nvml", "all", "not-permitted", "the driver says no", "sudo nvidia-smi -x")]
    assert "Not read: the driver says no. Try: sudo nvidia-smi -x" in terminal.plain(locked)


def test_what_was_assumed_of_a_joined_log_stands_beside_its_figures(metered: Campaign) -> None:
    changed = copy.deepcopy(metered)
    assert changed.metered is not None
    note = "its clock could not be tested"
    changed.metered.joined = [
        Joined(file="a.csv", sha256="", format="csv", first_channel=0, channels=1, readings=9,
               aligned_by="its own clock", notes=[note])
    ]  # fmt: skip
    said = energy.sentences(changed, summarize(changed))
    assert "a.csv was written by another program and joined afterwards, placed by its own clock." in said[-1]
    assert "Its clock could not be tested." in said[-1]


def test_words_to_be_typed_are_set_as_such() -> None:
    assert html.soft("give `--loop <python>`") == "give <code>--loop &lt;python&gt;</code>"


def test_a_gap_stays_a_gap_when_a_long_line_is_thinned() -> None:
    line = [(at / 100, 5.0 + at % 7) for at in [*range(2000), *range(2020, 4000)]]
    assert [len(part) for part in power_charts.parts(line)] == [2000, 1980]


def test_of_many_contenders_the_meters_cost_of_the_worst_is_told(metered: Campaign) -> None:
    rows = summarize(metered)
    twice = [*rows, *summarize(made_metered.copy(metered))]
    worst = max((row.meter_cost for row in rows if row.meter_cost), key=lambda cost: abs(cost.ratio - 1))
    (line,) = energy.sentences(metered, twice)
    assert f"{worst.ratio:.3f}" in line and "at the most, for" in line


# ---------------------------------------------------------------- without


def test_without_a_sensor_one_line_and_no_watt_anywhere() -> None:
    bare = made_metered.without_sensors()
    page = html.page([("a.json", bare)])
    for shown in (terminal.plain(bare), Checker(page).text):
        assert len(LINE.findall(shown)) == 1
        assert "(no powercap in /sys/class/powercap; no sensor of power or current in" in " ".join(shown.split())
        assert WATTS.findall(LINE.sub("", shown)) == []
    assert not any(WATTS.search(LINE.sub("", value)) for _, value in Checker(page).attributes)


@pytest.mark.usefixtures("undrawn")
def test_a_file_of_an_earlier_version_says_nothing(metered: Campaign) -> None:
    old = made_metered.copy(metered)
    old.metered = None
    for shown in (terminal.plain(old), Checker(html.page([("a.json", old)])).text):
        assert "Power" not in shown and not WATTS.search(shown)


def locked(campaign: Campaign) -> None:
    assert campaign.metered is not None
    says = "/sys/class/powercap/intel-rapl:0/energy_uj: only root may read it"
    campaign.metered = Metered(missing=[Missing("rapl", "energy", "not-permitted", says, "sudo chmod a+r x")])


def off(campaign: Campaign) -> None:
    campaign.metered = Metered(asked="off")


def broken(campaign: Campaign) -> None:
    campaign.metered = Metered(channels=[made_metered.PACKAGE], trouble="the meters stopped: killed by signal 9")


def unfinished(campaign: Campaign) -> None:
    assert campaign.metered is not None
    campaign.metered.windows = []


def short(campaign: Campaign) -> None:
    assert campaign.metered is not None
    for channel in campaign.metered.channels:
        channel.period_ns = 500_000_000


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (locked, "only root may read it: try `sudo chmod a+r x`); `whichpu meters` tells more."),
        (off, "Power and energy: not measured, for meters were switched off (`--meters off`)."),
        (broken, "Power and energy: not measured: the meters stopped: killed by signal 9."),
        (unfinished, "Power and energy: not measured"),
        (short, "--meter-window"),
    ],
)
def test_why_there_is_no_energy(metered: Campaign, change: Callable[[Campaign], None], says: str) -> None:
    changed = made_metered.copy(metered)
    change(changed)
    text = " ".join(terminal.plain(changed).split())
    assert says in text and text.count("Power and energy") == 1
    assert "energy per inference" not in text
    assert says.replace("`", "") in Checker(html.page([("a.json", changed)])).text.replace("`", "")


@pytest.mark.usefixtures("undrawn")
def test_what_else_was_read_is_told_without_a_sensor_of_power() -> None:
    warm = made_metered.campaign(channels=(made_metered.ZONE, made_metered.CPU_TIME))
    text = Checker(html.page([("a.json", warm)])).text
    assert "Power and energy: not measured" in text and "temperature, thermal:x86_pkg_temp°C" in text
    assert "Latency while meters were read, over that without" in text and "Normalised" not in text
    assert WATTS.findall(LINE.sub("", text)) == []


# ---------------------------------------------------------------- normalised


def test_bars_are_the_ratios_of_the_tables(metered: Campaign) -> None:
    found = normalised([("a.json", metered)])
    assert found is not None and found.absent == [] and found.title == "Normalised to onnxruntime:cpu"
    bars = {panel.title: {bar.name: bar for bar in panel.groups[0].bars} for panel in found.panels}
    assert list(bars) == ["latency", "throughput", "power", "energy per inference", "power efficiency", "inverse EDP"]
    rows = {row.name: row for row in summarize(metered)}
    base, other = rows["onnxruntime:cpu"], rows["opencv:cpu"]
    assert bars["power"]["opencv:cpu"].ratio == pytest.approx(told(other).power_w / told(base).power_w, rel=1e-6)
    ratio = next(row for row in compare_energy(metered, "onnxruntime:cpu") if row.contender == "opencv:cpu")
    drawn = bars["energy per inference"]["opencv:cpu"]
    assert (drawn.ratio, drawn.low, drawn.high) == (ratio.ratio, ratio.low, ratio.high)
    assert bars["power efficiency"]["opencv:cpu"].ratio == pytest.approx(1 / ratio.ratio)
    assert bars["inverse EDP"]["opencv:cpu"].ratio == pytest.approx(
        told(other).inverse_edp / told(base).inverse_edp, rel=2e-3
    )
    assert bars["power"]["opencv:cpu"].better and not bars["power"]["openvino:cpu"].better
    assert not bars["throughput"]["opencv:cpu"].better
    assert all(one["onnxruntime:cpu"].base and one["onnxruntime:cpu"].ratio == 1 for one in bars.values())


@pytest.mark.usefixtures("undrawn")
def test_a_bar_of_another_scope_is_absent_with_the_reason() -> None:
    mixed = made_metered.campaign(channels=(made_metered.PACKAGE, made_metered.CORES))
    mixed.results[2].device = "cuda"  # RAPL's package doesn't hold it
    found = normalised([("a.json", mixed)])
    assert found is not None
    for panel in found.panels:
        bar = next(bar for bar in panel.groups[0].bars if bar.name == "opencv:cpu")
        assert (bar.ratio is None) is (panel.title not in ("latency", "throughput")), panel.title
    (line,) = found.absent
    assert line.startswith("No bar for power, energy per inference, power efficiency and inverse EDP of opencv:cpu: ")
    text = Checker(html.page([("a.json", mixed)])).text
    assert line in text and "0.00×" not in text


@pytest.mark.usefixtures("undrawn")
def test_without_meters_only_what_is_known_is_drawn(metered: Campaign) -> None:
    bare = made_metered.without_sensors()
    assert "Normalised" not in Checker(html.page([("a.json", bare)])).text, "nothing asked for it"
    text = Checker(html.page([("a.json", bare)], "openvino:cpu")).text
    assert "Normalised to openvino:cpu" in text and "No bar for power, energy per inference" in text
    assert WATTS.findall(LINE.sub("", text)) == []


@pytest.mark.usefixtures("undrawn")
def test_all_campaigns_of_a_page_in_one_figure(metered: Campaign) -> None:
    other = made_metered.campaign(model="cnn", precision="fp16", seed=3)
    text = Checker(html.page([("a.json", metered), ("b.json", other)], "openvino:cpu")).text
    assert text.count("Normalised to") == 1
    both = normalised([("a.json", metered), ("b.json", other)], "openvino:cpu")
    assert both is not None
    assert [group.title for group in both.panels[0].groups] == ["lstm, fp32", "cnn, fp16"]
    assert both.title == "Normalised to openvino:cpu"
    twin = normalised([("a.json", metered), ("c.json", metered)], "openvino:cpu")
    assert twin is not None
    assert [group.title for group in twin.panels[0].groups] == ["lstm, fp32, a.json", "lstm, fp32, c.json"]


def test_the_baseline_is_of_the_same_precision_where_there_is_one(metered: Campaign) -> None:
    mixed = made_metered.copy(metered)
    for result, name, precision in zip(
        mixed.results, ("a:cpu", "a:cpu,precision=fp16", "b:cpu"), ("fp32", "fp16", "fp16"), strict=True
    ):
        assert result.precision is not None
        for window in mixed.metered.windows if mixed.metered else []:
            window.contender = name if window.contender == result.name else window.contender
        result.name = result.target = name
        result.precision.ran = precision
    found = normalised([("a.json", mixed)], "a:cpu")
    assert found is not None
    assert [(group.title, group.bars[0].name) for group in found.panels[0].groups] == [
        ("lstm, fp16", "a:cpu,precision=fp16")
    ]


def test_an_unknown_baseline_is_the_users_mistake(metered: Campaign) -> None:
    with pytest.raises(UserError, match="no contender called 'nobody' has figures"):
        normalised([("a.json", metered)], "nobody")
    other = made_metered.campaign(model="cnn")
    other.results = other.results[:1]
    found = normalised([("a.json", metered), ("b.json", other)], "openvino:cpu")
    assert found is not None and found.absent == ["No bars for b.json: no contender there is called openvino:cpu."]


@pytest.mark.usefixtures("undrawn")
def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.json", tmp_path / "report.html"
    made_metered.campaign(path)
    assert guarded(["report", str(path), "--normalise-to", "opencv:cpu", "-o", str(out)]) == 0
    assert "Normalised to opencv:cpu" in out.read_text()
    assert guarded(["report", str(path), "--normalise-to", "nobody", "-o", str(out)]) == 1
    assert "choose one of: onnxruntime:cpu" in capsys.readouterr().err
    assert guarded(["show", str(path), "--json"]) == 0
    assert "gross_j" in json.dumps(json.loads(capsys.readouterr().out))
    assert store.load(path).metered is not None


# ---------------------------------------------------------------- charts and units


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_the_peak_and_the_order(watts: list[float], most: int) -> None:
    points = [(float(at), power) for at, power in enumerate(watts)]
    kept = power_charts.thinned(points, most)
    assert len(kept) <= max(most, 2) + 2 and kept == sorted(kept)
    assert max(power for _, power in kept) == max(watts) and min(power for _, power in kept) == min(watts)


def test_ratios_far_apart_stand_on_a_logarithmic_axis() -> None:
    def drawn(ratio: float) -> str:
        bars = [normalised_chart.Bar("a", 1.0, base=True), normalised_chart.Bar("b", ratio)]
        panel = normalised_chart.Panel("latency", "lower is better", [normalised_chart.Group("m", bars)])
        return normalised_chart.bars([panel], 370)

    assert "logarithmic" in drawn(12.0) and "logarithmic" not in drawn(9.0)
    absent = [normalised_chart.Bar("a", 1.0, base=True), normalised_chart.Bar("b", None)]
    panel = normalised_chart.Panel("power", "lower is better", [normalised_chart.Group("m", absent)])
    assert ">–<" in normalised_chart.bars([panel])


def test_energy_and_power_have_units() -> None:
    assert [units.energy(value) for value in (None, 0.00271, 1.5e-7, 3.0)] == ["–", "2.71 mJ", "150 nJ", "3.00 J"]
    assert [units.power(value) for value in (None, 0.05, 22.04)] == ["–", "50.0 mW", "22.0 W"]
    assert units.energy_unit([None]).name == "J" and units.inverse_edp_unit([2e6, 5e3]).name == "1e3/(s J)"


def test_nothing_is_drawn_where_nothing_was_read():
    points = [(0.1 * index, 5.0) for index in range(10)] + [(3.0 + 0.1 * index, 5.0) for index in range(10)]
    assert [len(part) for part in power_charts.parts(points)] == [10, 10]
    assert power_charts.parts(points[:1]) == [points[:1]]
