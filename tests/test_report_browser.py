"""The decision report in a real Chromium: it answers, says nothing on the console, and asks nothing of any network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_report_html import result, scored

from whichpu.reports import decision_html
from whichpu.results import anything, store

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright (pip install playwright)")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STUDIES = sorted((Path(__file__).parent / "data" / "studies").glob("*_performance_*.json"))
READY = "document.documentElement.dataset.ready === '1'"
LIVE = "document.querySelector('figure.live .vega-embed svg') !== null"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"needs a Chromium: none of {', '.join(BROWSERS)} is here")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of ours, in Korean, and three imported files."""
    folder = tmp_path_factory.mktemp("report")
    ours = folder / "ours.json"
    store.save(scored(result("onnxruntime:cpu", 80e3), result("openvino:cpu", 113e3)), ours)
    for path in STUDIES:
        body = json.loads(path.read_text())
        body["models"] = {"GRU_Apple": body["models"]["GRU_Apple"]}
        (folder / path.name).write_text(json.dumps(body))
    imported = [folder / path.name for path in STUDIES]
    page = folder / "report.html"
    page.write_text(decision_html.of_files(anything.opened([ours, *imported]), None, "ko"), encoding="utf-8")
    return page


class Seen:
    """A page, what it said on the console, and what it asked for."""

    def __init__(self, browser: Any, report: Path, **how: Any) -> None:
        self.context = browser.new_context(**how)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(report.as_uri())
        self.page.wait_for_function(READY)

    def close(self) -> None:
        """Nothing was said, and nothing asked for but the page."""
        self.context.close()
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(("data:", "blob:"))] == self.asked[:1]


@pytest.fixture(scope="module")
def desk(browser: Any, report: Path) -> Iterator[Seen]:
    seen = Seen(browser, report, viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield seen
    seen.close()


def background(page: Any) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_the_theme_can_be_switched(desk: Seen) -> None:
    button = desk.page.locator("#theme")
    light = background(desk.page)
    button.focus()
    for _ in range(2):  # as the system, light, dark
        desk.page.keyboard.press("Enter")
    assert desk.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert background(desk.page) != light
    ink = "getComputedStyle(document.querySelector('figure svg text[fill]')).fill"
    assert desk.page.evaluate(ink) in ("rgb(230, 237, 243)", "rgb(157, 167, 179)")
    button.click()
    assert background(desk.page) == light


def test_a_head_sorts_its_column(desk: Seen) -> None:
    table = desk.page.locator("#d2 table")
    head = table.locator("th button.sort").nth(1)
    values = "rows => rows.map(row => Number(row.cells[1].dataset.value))"
    head.click()
    up = table.locator("tbody tr").evaluate_all(values)
    head.press("Enter")
    down = table.locator("tbody tr").evaluate_all(values)
    assert up == sorted(up) and down == up[::-1]
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_unknown_values_stay_last(desk: Seen) -> None:
    table = desk.page.locator("#d2 table")
    heads = table.locator("th[scope=col]")
    at = next(i for i in range(heads.count()) if heads.nth(i).inner_text().startswith("평균 전력"))
    for _ in range(2):
        heads.nth(at).locator("button").click()
        last = table.locator("tbody tr").last
        assert last.locator("td").nth(at - 1).inner_text().startswith("–")


def test_charts_answer(desk: Seen) -> None:
    page = desk.page
    page.locator("#d1 figure.live").first.scroll_into_view_if_needed()
    page.wait_for_function(LIVE)
    chip = page.locator("#d1 .chip").nth(1)
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    marks = "[...document.querySelectorAll('#d1 .vega-embed path[opacity]')]"
    faint = f"{marks}.some(mark => mark.attributes.opacity.value < 0.5)"
    page.wait_for_function(faint)
    assert page.locator("#d1 tr.chosen").count() == 1
    chip.click()
    assert page.locator("#d1 tr.chosen").count() == 0
    page.wait_for_function(f"!({faint})")


def test_the_pointer_is_told_figures(desk: Seen) -> None:
    page = desk.page
    page.locator("#d2 figure.live").first.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#d2 .vega-embed svg') !== null")
    page.locator("#d2 .vega-embed .mark-symbol path").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "×" in page.locator("#vg-tooltip-element").inner_text()


def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, report: Path) -> None:
    seen = Seen(browser, report, viewport={"width": 390, "height": 800}, color_scheme="dark")
    seen.page.locator("figure.live").first.scroll_into_view_if_needed()
    seen.page.wait_for_function(LIVE)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.page.evaluate("[...document.querySelectorAll('figure .wide')].every(each => !each.offsetWidth)")
    assert background(seen.page) == "rgb(15, 19, 25)"
    seen.close()


def test_it_stands_still_without_scripts(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("figure.live .wide svg").first.is_visible()
    assert not page.locator("#theme").is_visible() and not page.locator(".chip").first.is_visible()
    context.close()


def test_it_prints(desk: Seen) -> None:
    assert desk.page.pdf(format="A4", landscape=True).startswith(b"%PDF")
