"""Which operators ran on which unit is told on the terminal, in the figures, and on the page."""

import pytest

from whichpu.reports import html, terminal
from whichpu.results import store
from whichpu.results.boundary import SIMULATED
from whichpu.results.comparison import measured_results
from whichpu.results.summary import summarize
from whichpu.worker.wire import Elsewhere, Placement

PARTLY = Placement(
    "npu",
    {"npu": 60, "cpu": 3},
    "the delegate",
    [Elsewhere("cpu", 3, {"Resize": 2, "NonMaxSuppression": 1}, "no kernel")],
)
WHOLLY = Placement("openvino", {"openvino": 1210}, "the runtime's record")
UNKNOWN = Placement("gpu", unknown="the runtime does not tell")


@pytest.fixture
def campaign(campaign_file):
    loaded = store.load(campaign_file)
    loaded.results = measured_results(loaded)
    return loaded


def told(campaign):
    return next(
        (line for line in terminal.plain(campaign).splitlines() if line.startswith("Where operators ran")), None
    )


def test_a_target_that_runs_as_asked_on_the_cpu_is_not_worth_a_word(campaign):
    for result in campaign.results:
        result.placement = Placement("cpu", {"cpu": 5}, "the runtime")
    assert told(campaign) is None
    assert "Where operators ran" not in html.page([("a.json", campaign)])


def test_terminal_and_figures(campaign):
    first, second = campaign.results[:2]
    first.placement, second.placement = PARTLY, WHOLLY
    line = told(campaign)
    assert f"{first.name}: 60 of 63 on npu, 3 on cpu" in line
    assert f"{second.name}: all 1,210 on openvino" in line
    rows = {row.name: row for row in summarize(campaign)}
    assert rows[first.name].placement == PARTLY and rows[second.name].placement == WHOLLY
    first.boundary = SIMULATED
    assert "60 of 63 on npu, 3 on cpu (simulated)" in told(campaign)


def test_what_is_not_known_is_said(campaign):
    campaign.results[0].placement = UNKNOWN
    assert told(campaign).endswith("not known (the runtime does not tell).")


def test_the_page_names_kinds_reason_and_who_told(campaign):
    campaign.results[0].placement, campaign.results[1].placement = PARTLY, UNKNOWN
    page = html.page([("a.json", campaign)])
    assert "3 on cpu: 2 Resize, 1 NonMaxSuppression (no kernel)" in page
    assert "the delegate" in page and "the runtime does not tell" in page


def test_a_fallback_stands_before_doubts_of_the_machine(campaign):
    for result in campaign.results:
        result.placement = PARTLY
    text = terminal.plain(campaign)
    doubts = [line.strip().split(" (")[0] for line in text.split("\nDoubts\n")[1].splitlines() if line.startswith("  ")]
    kinds = [line for line in doubts if ":" not in line]
    assert "fallback" in kinds[:2]


def test_what_was_refused_for_its_fallback_is_told_once(campaign):
    first = campaign.results[0]
    first.placement, first.fell_back = PARTLY, True
    assert "fallback" not in {doubt.kind for row in summarize(campaign) for doubt in row.doubts}


def test_a_provider_that_is_not_there_fails_on_fallback(cli, models):
    on = ("--on", "onnxruntime:cuda", "--on", "null")
    words = ("run", models.mlp, *on, "--rounds", 1, "--budget", "1s", "-o", "o.json")
    ran = cli(*words, "--fail-on-fallback")
    assert ran.status == 2
    assert "has no provider for 'cuda'" in ran.out and "it would run all on the CPU" in ran.out
    assert ran.err.strip() == "Fell back to another unit: onnxruntime:cuda."
