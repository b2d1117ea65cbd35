"""What a simulator computed has outputs and scores but no times: it is ranked, compared and recommended nowhere."""

import pytest

from whichpu.recommend import recommend
from whichpu.reports import terminal
from whichpu.results import store
from whichpu.results.boundary import SIMULATED
from whichpu.results.comparison import compare, measured_results
from whichpu.results.entries_of import entries_of
from whichpu.results.known import why_stopped
from whichpu.results.summary import summarize


@pytest.fixture
def campaign(campaign_file):
    """Two contenders that ran, of which the faster one is a simulator."""
    loaded = store.load(campaign_file)
    loaded.results = [result for result in loaded.results if result in measured_results(loaded)]
    fastest = next(row.name for row in summarize(loaded))
    next(result for result in loaded.results if result.name == fastest).boundary = SIMULATED
    return loaded


def split(campaign):
    simulated = [result.name for result in campaign.results if result.boundary == SIMULATED]
    return simulated, [result.name for result in campaign.results if result.name not in simulated]


def test_it_is_ranked_and_compared_with_none(campaign):
    (simulated,), others = split(campaign)
    assert [result.name for result in measured_results(campaign)] == others
    verdicts = {row.contender: row for row in compare(campaign)}
    assert verdicts[simulated].verdict == "not-comparable" and "other boundary" in verdicts[simulated].reason
    rows = summarize(campaign)
    assert rows[-1].name == simulated and rows[-1].best is None
    assert "simulated" in {doubt.kind for doubt in rows[-1].doubts}


def test_it_is_not_recommended(campaign):
    (simulated,), others = split(campaign)
    found = recommend(entries_of(campaign, "f.json"))
    assert found.pick in others
    entry = next(each for each in entries_of(campaign, "f.json") if each.contender == simulated)
    assert entry.values == {} and entry.absent["latency_median"] == "its times are a simulator's"


def test_its_outputs_are_told(campaign):
    (simulated,), _ = split(campaign)
    assert f"Simulated, so without times ({simulated}" in terminal.plain(campaign)


def test_nothing_is_said_of_its_times_but_that_they_are_none(campaign):
    (simulated,), _ = split(campaign)
    row = next(row for row in summarize(campaign) if row.name == simulated)
    assert {doubt.kind for doubt in row.doubts if doubt.touches == "latency"} <= {"simulated"}
    assert f"Not given for {simulated}" not in terminal.plain(campaign)


def test_alone_it_leaves_no_answer(campaign):
    campaign.results = [result for result in campaign.results if result.boundary == SIMULATED]
    assert why_stopped(campaign) == "Only a simulator ran: it has outputs, but no times."
    assert "vs fastest" not in terminal.plain(campaign) and compare(campaign) == []
