"""The HTML report: its figures are the summary's, its words the verdicts', and nothing in it is loaded or run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from whichpu.reports import charts, html, units
from whichpu.results.column import pack
from whichpu.results.comparison import compare
from whichpu.results.schema import (
    Block,
    Campaign,
    Difference,
    Form,
    ModelInfo,
    Reading,
    Reference,
    Result,
    Settings,
    TaskInfo,
)
from whichpu.results.summary import summarize
from whichpu.worker.wire import Machine, Precision, TensorSpec

HOSTILE = '<script>alert("x")</script>\'&"'


def reading(number: int, median_ns: float, count: int, seed: int) -> Reading:
    noise = np.random.default_rng([seed, number])
    level = median_ns * float(noise.uniform(0.99, 1.01))
    latencies = (level * noise.uniform(0.9, 1.2, count)).astype(np.int64)
    wall_ns = int(latencies[2:].sum())
    block = Block(position=0, count=count, opening=2, began_ns=0, wall_ns=wall_ns, cpu_ns=wall_ns)
    return Reading(round=number, load_ns=5_000_000, first_ns=900_000, warm_steady=True, blocks=[block],
                   latencies_ns=pack(latencies))  # fmt: skip


def result(name: str, median_ns: float | None, rounds: int = 5, count: int = 300, **more: object) -> Result:
    readings = [] if median_ns is None else [reading(i, median_ns, count, len(name)) for i in range(rounds)]
    given = {"status": "refused" if median_ns is None else "measured", "form_sha256": "f" * 64} | more
    precision = None if median_ns is None else Precision("fp32", "the graph's types")
    return Result(name=name, target=name, backend=name.partition(":")[0], device="cpu", readings=readings,
                  precision=precision, **given)  # type: ignore[arg-type]  # fmt: skip


def campaign(*results: Result, model: str = "small", **more: object) -> Campaign:
    machine = Machine("h", "Linux 6", "x86_64", "3.11", "2.0", "A CPU", 2, 2, None, None, None, None, None, 1, 40)
    settings = Settings(seed=77, threads=1, cpus=[], budget_s=60, half_width=0.02, matters=0.02, rounds_least=4,
                        rounds_most=None, blocks=10, timeout_s=9, data="random")  # fmt: skip
    forms = [Form(format="onnx", file="small.onnx", sha256="f" * 64, bytes=1234, origin="given")]
    info = ModelInfo(name=model, sha256="f" * 64, inputs=[TensorSpec("x", "float32", [1, 3])], forms=forms)
    given = {"finished": "2026-11-20T12:00:00+00:00"} | more
    return Campaign(whichpu="0.1.0", created="2026-11-20T11:00:00+00:00", model=info, machine=machine,
                    settings=settings, results=list(results), **given)  # type: ignore[arg-type]  # fmt: skip


def scored(*results: Result) -> Campaign:
    task = TaskInfo(name="t", kind="forecasting", metric="rmse", unit="USD", samples=9, protocol_sha256="0",
                    naive=8.5, naive_says="same as yesterday")  # fmt: skip
    for each in results:
        each.score, each.difference = 9.25, Difference(max_abs=3e-8, mean_abs=1e-9, relative=2e-7, samples=9)
    return campaign(*results, task=task, reference=Reference(by="torch 2", samples=9, score=9.0))


class Checker(HTMLParser):
    """Keeps visible text, tags and attributes, and checks that tags nest."""

    VOID = frozenset({"meta", "br", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(key, value or "") for key, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def three() -> Campaign:
    return scored(result("onnxruntime:cpu", 80e3), result("openvino:cpu", 113e3), result("opencv:cpu", 919e3))


def test_figures_are_the_summarys() -> None:
    measured = three()
    text = Checker(html.page([("a.json", measured)])).text
    unit = units.time_unit(row.median_ns for row in summarize(measured))
    for row in summarize(measured):
        for value in (row.median_ns, row.mean_ns, row.min_ns, row.max_ns, row.std_ns, row.p95_ns, row.p99_ns):
            assert units.in_unit(value, unit) in text
        assert units.digits(row.throughput_per_s) in text
        assert units.spread(row.median_ns, row.median_low_ns, row.median_high_ns) in text
    for comparison in compare(measured):
        assert html.times(comparison.ratio) in text
    assert "+0.25" in text and "9.250" in text
    assert "scores 8.500 USD, which is better than the reference’s." in text
    assert "governor unknown" in text and "seed 77" in text


def test_headline_names_the_fastest_and_the_next() -> None:
    opening, *rest = html.headline(three())
    assert opening.startswith("onnxruntime:cpu is the fastest, with a median latency of ")
    assert rest[0].startswith("Next is openvino:cpu: 1.") and "95 % interval" in rest[0]


def test_a_tie_is_told_as_a_tie() -> None:
    first = result("onnxruntime:cpu", 80e3)
    twin = result("onnxruntime:two", 80e3)
    tied = campaign(first, twin, result("opencv:cpu", 919e3))
    opening = html.headline(tied)[0]
    assert "fastest" not in opening and "no difference from onnxruntime:" in opening
    assert html._tied(tied) == {row.contender for row in compare(tied) if row.verdict == "no-difference"} != set()


def test_one_round_ranks_nobody() -> None:
    single = campaign(result("a:cpu", 80e3, rounds=1), result("b:cpu", 200e3, rounds=1))
    assert "none is called the fastest" in html.headline(single)[0]
    shown = Checker(html.page([("a.json", single)])).text.partition("How the figures")[0]
    assert "one round says nothing about spread" in shown
    assert "±" not in shown.replace("±2 %", ""), "only the width asked for may be shown"


def test_a_doubtful_leader_is_named_with_its_doubt() -> None:
    leader = result("a:cpu", 80e3, difference=Difference(max_abs=0.5, mean_abs=0.1, relative=0.4, samples=9))
    doubted = campaign(leader, result("b:cpu", 200e3), finished=None)
    said = " ".join(html.headline(doubted))
    assert "differs from the reference by up to 40 % of its largest value" in said and "not finished" in said


def test_nothing_measured() -> None:
    text = Checker(html.page([("a.json", campaign(result("a:cpu", None, why="no")))])).text
    assert "Nothing was measured." in text and "<svg" not in text


def test_unknown_figures_are_dashes_with_reasons() -> None:
    few = campaign(result("a:cpu", 80e3, rounds=2, count=50), result("b:cpu", 200e3))
    shown = Checker(html.page([("a.json", few)]))
    assert "p99 needs 1000 inferences, 96 were measured" in shown.text
    assert "outputs were not held against a reference" in shown.text
    assert re.search(r"–[a-z]", shown.text)
    targets = {value for key, value in shown.attributes if key == "id"}
    links = {value[1:] for key, value in shown.attributes if key == "href"}
    assert links and links <= targets


def test_refusals_keep_reason_remedy_and_words() -> None:
    words = "error: (-215:Assertion failed)\n  a < b && c\nin function 'forward'"
    refused = result("opencv:cpu", None, why="it has no GRU", remedy="pip install other", words=words)
    page = html.page([("a.json", campaign(result("a:cpu", 80e3), refused))])
    assert "a &lt; b &amp;&amp; c" in page
    text = Checker(page).text
    assert "refused it has no GRU" in text and "pip install other" in text and "in function 'forward'" in text


def test_the_yardstick_is_a_line_not_a_contender() -> None:
    null = result("null:cpu", 60.0, yardstick=True)
    text = Checker(html.page([("a.json", campaign(null, result("a:cpu", 80e3)))])).text
    median = next(row.median_ns for row in summarize(campaign(null)))
    assert f"The harness itself costs {units.time(median)} an inference (null:cpu)" in text
    assert "null:cpu" not in html.headline(campaign(null, result("a:cpu", 80e3)))[0]


@pytest.mark.parametrize("rendered", ["page", "fragment"])
def test_hostile_names_are_text(rendered: str) -> None:
    hostile = campaign(
        result(f"a:{HOSTILE}", 80e3, note=HOSTILE, versions={HOSTILE: HOSTILE}, effective={"k": HOSTILE}),
        result(f"b:{HOSTILE}", None, why=HOSTILE, remedy=HOSTILE, words=HOSTILE),
        model=HOSTILE,
    )
    shown = html.fragment(hostile) if rendered == "fragment" else html.page([(HOSTILE, hostile)])
    parsed = Checker(shown)
    assert "script" not in parsed.tags and not [key for key, _ in parsed.attributes if key.startswith("on")]
    assert 'alert("x")' in parsed.text


def test_nothing_is_loaded_or_run() -> None:
    for shown in (html.page([("a.json", three()), ("b.json", three())]), html.fragment(three())):
        parsed = Checker(shown)
        assert not {"script", "link", "img", "iframe", "image"} & set(parsed.tags)
        assert all(value.startswith("#") for key, value in parsed.attributes if key in ("href", "xlink:href", "src"))
        assert "@import" not in shown and not re.search(r"url\((?!#)", shown)
        ids = [value for key, value in parsed.attributes if key == "id"]
        assert len(ids) == len(set(ids))


def test_fragment_is_a_piece_of_a_page() -> None:
    shown = html.fragment(campaign(result("a:cpu", 80e3), result("b:cpu", None, why="not here", remedy="pip it")))
    parsed = Checker(shown)
    assert not {"html", "body", "style"} & set(parsed.tags)
    assert "not here" in parsed.text and "pip it" in parsed.text and "baseline" in parsed.text


def test_tables_have_heads_and_charts_have_words() -> None:
    parsed = Checker(html.page([("a.json", three())]))
    assert {"caption", "thead", "figcaption"} <= set(parsed.tags)
    told = [value for key, value in parsed.attributes if key == "aria-label"]
    assert any(value.startswith("Median latency: onnxruntime:cpu ") for value in told)


def test_names_may_break_and_numbers_may_not() -> None:
    assert html.soft("a:cpu,b<c takes 78.05 µs") == "a:<wbr>cpu,<wbr>b&lt;c takes 78.05 µs"


def test_colours_have_a_dark_twin() -> None:
    shown = html.page([("a.json", three())])
    drawn = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]+)"', shown[shown.index("<svg") :]))
    assert drawn and drawn <= set(charts.DARK)


def test_charts_wrap_long_names_and_choose_their_scale() -> None:
    name = "onnxruntime@board.lab.example.org:cpu,precision=default,graph_optimization_level=none"
    lines = charts.wrapped(name, 32)
    assert "".join(lines) == name and max(map(len, lines)) <= 32
    assert charts.wrapped("x" * 70, 32) == ["x" * 32, "x" * 32, "x" * 6]
    near = charts.Median("a", "1 ms", 1.0, None, None, [1.0], True)
    far = charts.Median("c", "99 ms", 99.0, 98.0, 100.0, [99.0], False)
    assert "logarithmic" not in charts.medians([near], "ms")
    assert "logarithmic" in charts.medians([near, far], "ms", charts.NARROW)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1000.0), (0.3, 7.2), (50.0, 28000.0), (1e-2, 1e6)])
def test_log_ticks_hold_the_range(low: float, high: float) -> None:
    ticks = charts.log_ticks(low, high, 9)
    assert ticks[0] <= low and high <= ticks[-1] and ticks == sorted(ticks)
