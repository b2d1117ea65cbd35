"""The decision report over any results: its figures are the files', its words the verdicts', and nothing is loaded."""

from __future__ import annotations

import html as escapes
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report_html import HOSTILE, Checker, campaign, result, scored

from whichpu.errors import UserError
from whichpu.reports import charts, decision_files, decision_html, distributions, picture
from whichpu.reports.decision import Decision
from whichpu.reports.picture import Picture
from whichpu.results import anything, nway, store
from whichpu.results.entries import Entry, Value

STUDIES = sorted((Path(__file__).parent / "data" / "studies").glob("*_performance_*.json"))
SIZE_MOST = 2_000_000


class Page(Checker):
    """Visible text only: no script."""

    def handle_data(self, data: str) -> None:
        if "script" not in self.open:
            super().handle_data(data)


@pytest.fixture(scope="module")
def study() -> Decision:
    return Decision(anything.opened(STUDIES))


@pytest.fixture(scope="module")
def drawn(study: Decision) -> dict[str, list[Picture]]:
    return decision_html.drawings(study)


@pytest.fixture(scope="module")
def page(study: Decision, drawn: dict[str, list[Picture]]) -> str:
    return decision_html.page(study, drawn)


@pytest.fixture
def small(tmp_path: Path) -> list[Path]:
    """Two of the files, with one model and latencies only: quickly drawn."""
    return [_cut(path, tmp_path / f"small{at}.json") for at, path in enumerate(STUDIES[:2])]


def _cut(path: Path, to: Path) -> Path:
    body = json.loads(path.read_text())
    body["models"] = {"GRU_Apple": {"latency_ms": body["models"]["GRU_Apple"]["latency_ms"]}}
    to.write_text(json.dumps(body))
    return to


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of ours."""
    path = tmp_path_factory.mktemp("measured") / "ours.json"
    names = [("onnxruntime:cpu", 80e3), ("openvino:cpu", 113e3), ("opencv:cpu", 919e3)]
    store.save(scored(*(result(name, median) for name, median in names)), path)
    return path


def test_figures_and_verdicts_of_the_files_stand_on_the_page(study: Decision, page: str) -> None:
    text = Page(page).text
    for part in study.parts:
        assert part.pick == "TensorRT (GPU)" == part.baseline
        for row in part.rows:
            if row.ratio is not None and row.metric in ("latency_mean", "throughput"):
                assert f"{row.ratio:.3g}×" in text
    assert "764.05" in text and "54.905" in text and "all models: GRU_Apple and LSTM_Apple" in text
    for section in study.sentences:
        for sentence in section.sentences:
            assert sentence.replace("`", "") in text


def test_what_a_file_lacks_is_a_dash_with_its_reason(page: str) -> None:
    parsed = Page(page)
    assert "npu_performance_20250528_132327.json holds no mean power" in parsed.text
    assert re.search(r"–[a-z]", parsed.text)
    links = {value[1:] for key, value in parsed.attributes if key == "href"}
    ids = [value for key, value in parsed.attributes if key == "id"]
    assert links <= set(ids) and len(ids) == len(set(ids))


def test_nothing_is_loaded_and_only_our_scripts_may_run(page: str) -> None:
    parsed = Page(page)
    assert not {"link", "img", "iframe", "object"} & set(parsed.tags)
    assert all(value.startswith("#") for key, value in parsed.attributes if key in ("href", "xlink:href", "src"))
    policy = next(value for key, value in parsed.attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'") and "unsafe-inline' 'sha" not in policy
    assert len(re.findall(r"'sha256-[\w+/=]+'", policy)) == 2
    assert not [key for key, _ in parsed.attributes if key.startswith("on")]


def test_drawn_colours_have_a_dark_twin(page: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert drawn
    assert set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]+)"', "".join(drawn))) <= set(charts.DARK)


def test_charts_have_words_for_who_cannot_see_them(page: str) -> None:
    told = [value for key, value in Page(page).attributes if key == "aria-label"]
    assert any(value.startswith("Ratios to TensorRT (GPU): mean") or "18.6×" in value for value in told)


def test_korean(study: Decision, drawn: dict[str, list[Picture]]) -> None:
    text = Page(decision_html.page(Decision(study.files, language="ko"), drawn)).text
    assert "GRU_Apple과 LSTM_Apple" in text and "18.6×, 더 느림" in text and "기준" in text
    assert "slower" not in text.partition("앞에 표시")[0], "charts were drawn in English"


def test_every_label_is_korean_too() -> None:
    """Labels of the page's template and of its code have Korean words, but for what is the same in both."""
    from whichpu.reports.prose.translator import catalogue

    known = {english for context, english in catalogue("ko") if context is None}
    folder = Path(decision_html.__file__).parent
    sources = [folder / "templates" / "decision.html.j2", *folder.glob("decision*.py")]
    said: set[str] = set()
    for source in sources:
        for found in re.findall(r'label\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', source.read_text(encoding="utf-8")):
            said.add("".join(re.findall(r'"((?:[^"\\]|\\.)*)"', found)))
    assert len(said) > 40
    assert said - known <= {"–", "p99"}


def test_a_baseline_may_be_named(study: Decision) -> None:
    named = Decision(study.files, "Hailo-8L")
    assert {part.baseline for part in named.parts} == {"Hailo-8L"}
    with pytest.raises(UserError, match="no contender is called"):
        decision_html.of_files(study.files, "nobody")


def test_hostile_names_are_text(small: list[Path]) -> None:
    for at, path in enumerate(small):
        body = json.loads(path.read_text())
        body["platform"] = f"{HOSTILE} {at}"
        body["models"] = {f"</script>{HOSTILE}": body["models"]["GRU_Apple"]}
        path.write_text(json.dumps(body))
    shown = decision_html.of_files(anything.opened(small))
    parsed = Page(shown)
    assert parsed.tags.count("script") == shown.count('<script type="application/json">') + 2
    assert "alert" in parsed.text
    for data in re.findall(r'<script type="application/json">(.*?)</script>', shown, re.DOTALL):
        assert set(json.loads(data)) == {"datasets", "specs"}


def test_a_campaign_keeps_its_own_part(measured: Path) -> None:
    decision = Decision(anything.opened([measured]))
    parsed = Page(decision_html.page(decision))
    assert "Measurements in detail" in parsed.text and "Spread of single inferences" in parsed.text
    assert "How many inferences are done by when" in parsed.text and "seed: 77" in parsed.text
    assert decision.parts[0].pick == "onnxruntime:cpu"


def test_equal_contenders_are_told_as_a_tie(tmp_path: Path) -> None:
    path = tmp_path / "tie.json"
    store.save(campaign(result("onnxruntime:cpu", 80e3), result("onnxruntime:two", 80e3)), path)
    decision = Decision(anything.opened([path]))
    assert "no difference is shown" in decision.headline
    assert "not shown" in Page(decision_html.page(decision, {"small": []})).text


def test_twenty_contenders_stay_under_two_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "twenty.json"
    many = [result(f"runtime{at}:cpu,precision=default", 80e3 * 1.1**at, count=400) for at in range(20)]
    store.save(campaign(*many), path)
    shown = decision_html.of_files(anything.opened([path]))
    assert len(shown.encode()) < SIZE_MOST


def test_estimates_are_named(study: Decision) -> None:
    def entry(name: str, latency_ns: float, **more: Any) -> Entry:
        value = Value(value=latency_ns, unit="ns")
        return Entry(model="m", contender=name, file="f", sha256="0", tool="t", values={"latency_mean": value}, **more)

    decision = Decision([])
    decision.__dict__["entries"] = [entry("a", 10.0), entry("b", 20.0, estimated=True)]
    text = Page(decision_html.page(decision)).text
    assert "estimated by t" in text


def test_markdown_and_charts(tmp_path: Path, small: list[Path]) -> None:
    made = decision_files.made(small, tmp_path / "report.md", charts=tmp_path / "charts", markdown=True)
    assert made.text.startswith("<!-- whichpu report -->\n# ") and "| Hailo-8L | 1,326 (7.13×, slower) |" in made.text
    paths = decision_files.drawn(made, tmp_path / "charts")
    linked = re.findall(r"\]\(<(charts/[^>]+)>\)", made.text)
    assert linked and all((tmp_path / link).is_file() for link in linked)
    assert {path.suffix for path in paths} == {".svg", ".png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths if path.suffix == ".png")


def test_the_command_line_spares_what_is_not_its_own(inside: Any, small: list[Path]) -> None:
    (inside.folder / "mine.md").write_text("my notes")
    ran = inside("report", *small, "-o", "mine.md")
    assert ran.status == 1 and "is there and is not Markdown" in ran.err
    ran = inside("report", *small, "--language", "xx")
    assert ran.status == 1 and "choose one of: en, ko" in ran.err
    ran = inside("report", *small, "--charts", "mine.md")
    assert ran.status == 1 and "can't make the folder mine.md" in ran.err
    assert (inside.folder / "mine.md").read_text() == "my notes"


ANALYSIS = {
    "schema": "whichpu.analysis/1", "whichpu": "0", "model": "net.onnx",
    "targets": [{
        "npu": "toy", "table": "toy", "title": "A toy NPU", "tool": "toyc", "version": "1", "options": {},
        "unit": "npu", "host": "cpu", "regions": 1, "operator_share": 0.5, "mac_share": 0.9, "boundary_bytes": 2048,
        "operators": [
            {"name": "a", "type": "Conv", "placed": "npu", "reason": "", "said_by": "table"},
            {"name": "b", "type": "Selu", "placed": "cpu", "reason": "not <b> supported", "said_by": "table"},
        ],
    }],
}  # fmt: skip


def test_an_analysis_beside_the_results_is_drawn(inside: Any, small: list[Path]) -> None:
    (inside.folder / "analysis.json").write_text(json.dumps(ANALYSIS))
    ran = inside("report", *small, "analysis.json", "-o", "r.html", "--json")
    assert ran.status == 0, ran.err
    assert ran.body() == {"path": "r.html", "charts": []}
    page = (inside.folder / "r.html").read_text()
    text = Page(page).text
    assert "50 % of the operators and 90 % of the multiplications on the NPU, in 1 regions" in text
    assert escapes.escape("not <b> supported") in page and page.count('class="accelerator" x=') == 1
    (inside.folder / "analysis.json").write_text(json.dumps(ANALYSIS)[:-40])
    ran = inside("report", *small, "analysis.json", "-o", "r.html")
    assert ran.status == 1 and "analysis.json is damaged" in ran.err


def test_a_density_keeps_the_median_and_p99() -> None:
    latencies = np.random.default_rng(1).lognormal(11, 0.2, 5_000)
    found = distributions.density(distributions.Sample("a", latencies), "", 1e3)
    assert found.p50 == pytest.approx(np.quantile(latencies, 0.5) / 1e3)
    assert found.p99 == pytest.approx(np.quantile(latencies, 0.99) / 1e3)
    assert max(found.levels) == 1.0 and found.points == sorted(found.points)
    still = distributions.density(distributions.Sample("a", np.full(50, 7e3)), "", 1e3)
    assert still.points == [7.0, 7.0] and still.p99 is None


def test_an_svg_gets_shorter_not_other() -> None:
    svg = f'<svg width="10.123"><text{picture.FONTS} transform="translate(1.23456,-0.5)">1.2345</text></svg>'
    assert (
        picture.shorter(svg)
        == f'<svg{picture.FONTS} width="10.1"><text transform="translate(1.2,-0.5)">1.2345</text></svg>'
    )


def test_names_are_those_of_the_comparison(study: Decision) -> None:
    for part in study.parts:
        assert {each.name for each in part.contenders} == {
            each.name for each in nway.grouped(study.entries)[part.model]
        }
