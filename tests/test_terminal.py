"""What the terminal shows: tables that fit its width, and a live line that is drawn between blocks only."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from whichpu.reports import tables, terminal
from whichpu.reports.progress import Progress
from whichpu.results import comparison, store
from whichpu.results.schema import Campaign, TaskInfo
from whichpu.results.summary import summarize

LONG = "onnxruntime:cpu,precision=default,python=/home/someone/projects/environment/bin/python"
WHY = "RuntimeError: the converter could not open the file\nthat it had just written beside the other ones"


@pytest.fixture
def campaign(campaign_file: Path) -> Campaign:
    """A real campaign, with a long name and a contender that was refused in many words."""
    found = store.load(campaign_file)
    found.results[0].name = LONG
    refused = store.load(campaign_file).results[1]
    refused.name, refused.status, refused.readings = "torch:cpu", "refused", []
    refused.why, refused.remedy = WHY, "pip install torch"
    found.results.append(refused)
    return found


def shown(width: int, draw: Callable[[Console], None]) -> str:
    stream = io.StringIO()
    draw(Console(file=stream, width=width, highlight=False, emoji=False))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_tables_fit_and_numbers_stay_whole(campaign: Campaign, width: int) -> None:
    text = shown(width, lambda screen: terminal.show(campaign, screen))
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    for row in summarize(campaign):
        if row.median_ns is not None and not row.yardstick:
            assert f"{row.count:,}" in words and str(row.rounds) in words
    for heading in ("median", "95 %", "fastest", "inf/s", "rounds"):
        assert heading in text
    told = " ".join(words)
    assert "torch:cpu" in told and "pip install torch" in told and " ".join(WHY.split()) in told


def test_one_wide_table_or_the_answer_first(campaign: Campaign) -> None:
    wide, narrow = (shown(width, lambda screen: terminal.show(campaign, screen)) for width in (250, 80))
    assert re.search("median .* vs fastest .* p99", wide) and "all steady inferences" not in wide
    assert re.search("precision .* median .* vs fastest +best *$", narrow, re.MULTILINE)
    assert not re.search("median .* mean", narrow)
    assert re.search("mean .* min .* max .* std", narrow)


def test_names_fold_at_their_own_punctuation(campaign: Campaign) -> None:
    text = shown(80, lambda screen: terminal.show(campaign, screen))
    firsts = [line.split()[0] for line in text.splitlines() if line.split()]
    assert {"onnxruntime:cpu,", "precision=default,"} <= set(firsts)
    assert tables._folded(LONG, 20).split() == [
        "onnxruntime:cpu,", "precision=default,", "python=/home/", "someone/projects/", "environment/bin/",
        "python",
    ]  # fmt: skip
    assert tables._folded("a" * 25, 20) == "a" * 20 + "\n" + "a" * 5


def test_the_smallest_terminal(campaign: Campaign) -> None:
    assert shown(1, lambda screen: terminal.show(campaign, screen))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_comparisons_fit(campaign: Campaign, width: int) -> None:
    rows = comparison.compare(campaign)
    text = shown(width, lambda screen: terminal.comparisons(rows, screen))
    assert max(map(len, text.splitlines())) <= width
    assert " ".join(WHY.split()) in " ".join(text.split()) and "verdict" in text


@pytest.mark.parametrize("width", [60, 80, 250])
def test_devices_fit(width: int) -> None:
    entry: dict[str, object] = {"target": "ncnn:cpu", "usable": True, "why_not": None, "remedy": None}
    entry |= {"versions": {"ncnn": "1.0.20261020"}, "precisions": ["fp32", "default"], "notes": ["its own " * 12]}
    absent = {
        **entry,
        "target": "torch:cpu",
        "usable": False,
        "why_not": "not installed",
        "remedy": "pip install torch",
    }
    text = shown(width, lambda screen: terminal.devices([entry, absent], screen))
    assert max(map(len, text.splitlines())) <= width
    assert "1.0.20261020" in text and "fp32, default" in text and "pip install torch" in text
    assert ("notes, or why not" in text) is (width == 250)


def test_console_shows_colons_as_they_are() -> None:
    stream = io.StringIO()
    screen = terminal.console()
    screen.file = stream
    screen.print("a:smile:b", markup=False)
    assert stream.getvalue() == "a:smile:b\n"


# ---------------------------------------------------------------- the live line


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> tuple[Progress, io.StringIO, Clock]:
    """A progress line on a terminal of 50 columns, and its clock."""
    stream, clock = io.StringIO(), Clock()
    monkeypatch.setattr("whichpu.reports.progress.time.monotonic", clock)
    shown = Progress(5)
    shown.live.stop()
    shown.live.console = Console(file=stream, width=50, force_terminal=True, no_color=True, legacy_windows=False)
    return shown, stream, clock


def drawn(stream: io.StringIO) -> str:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "")
    stream.seek(0)
    stream.truncate()
    return text


def test_the_line_is_cropped_and_no_thread_draws_it(line: tuple[Progress, io.StringIO, Clock]) -> None:
    progress, stream, clock = line
    before = threading.active_count()
    progress.live.start()
    drawn(stream)
    assert not progress.live.auto_refresh
    assert threading.active_count() == before
    progress.step(0, LONG, "is measured", 0.5)
    clock.now += 10
    progress.step(0, LONG, "is measured", 0.5)
    text = drawn(stream)
    assert "at least 1 min 30 s to go" in text and "…" in text
    assert "\n" not in text and len(text) == 2 * 47  # room is left for ^C
    progress.close()


def test_the_time_to_go(line: tuple[Progress, io.StringIO, Clock]) -> None:
    progress, _, clock = line
    clock.now += 600  # a long conversion says nothing about the rounds
    progress.step(2, "a", "loads", 0.0)  # two rounds were run before a stop
    assert "not known" in progress._to_go(0.0, 2, 0.0)
    assert progress._to_go(10.0, 3, 0.0) == "at least 20 s to go"
    assert progress._to_go(29.0, 4, 0.99) == "at least 1 s to go"
    assert progress._to_go(40.0, 5, 0.3) == "40 s so far, intervals still wide"


def test_what_is_wrong_with_the_data_is_told(campaign: Campaign) -> None:
    said = "3 × a box lies outside its picture: it is left out (first in street.jpg)"
    facts = {"name": "streets", "kind": "detection", "metric": "ap50", "unit": "", "protocol_sha256": "0"}
    campaign.task = TaskInfo(**facts, samples=20, notes=[said])
    assert f"About the data: {said}." in shown(200, lambda screen: terminal.show(campaign, screen))
