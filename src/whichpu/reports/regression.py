"""Verdicts of ``whichpu check`` as sentences, as JUnit XML for build servers, and as a Markdown table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from whichpu import __version__
from whichpu.reports import units
from whichpu.reports.words import SCORES, VERDICTS
from whichpu.results.comparison import METRIC
from whichpu.results.regression import Verdict, passed
from whichpu.stats.verdicts import ALPHA

TITLE = "### whichpu check"
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold, escaped or not."""


def sentence(row: Verdict) -> str:
    """One verdict with its figures and reason."""
    where = f"{row.model} on {row.contender}"
    word = VERDICTS[row.verdict]
    changed = f" [changed: {', '.join(row.changed)}]" if row.changed else ""
    doubts = f" [doubts: {', '.join(row.doubts)}]" if row.doubts else ""
    if row.before is None or row.after is None:
        return f"{where}: {word}: {row.reason}{changed}{doubts}"
    allowed = f" (allowed: {100 * row.allowed:g} %)" if row.verdict in ("worse", "too-small-to-matter") else ""
    if row.metric != METRIC:
        figures = f"{_score(row, row.after)}, was {_score(row, row.before)}{_delta(row)}"
        return f"{where}: {_metric(row)} {figures}: {word}{allowed}"
    figures = f"{change(row.ratio)} ({change(row.low)} to {change(row.high)}, {row.spread})"
    return f"{where}: {figures}: {word}{allowed}{_barely(row)}{_again(row)}{_advice(row)}{changed}{doubts}"


def change(ratio: float | None) -> str:
    """A ratio as a change: 1.031 is ``+3.1 %``."""
    if ratio is None:
        return units.UNKNOWN
    percent = 100 * (ratio - 1)
    return f"{percent:+.1f} %" if abs(percent) < 100 else f"{percent:+,.0f} %"


def conclusion(rows: Sequence[Verdict]) -> str:
    """One sentence on all verdicts together."""
    worse = len({row.contender for row in rows if row.verdict == "worse"})
    told = len({row.contender for row in rows})
    if worse:
        return f"Did not pass: {worse} of {told} got worse."
    if not passed(rows):
        return "Did not pass: nothing could be compared."
    apart = sum(row.metric == METRIC and row.verdict == "not-comparable" for row in rows)
    return f"Passed: nothing is shown to be worse{f'; {apart} of {told} could not be compared' if apart else ''}."


def junit(rows: Sequence[Verdict]) -> bytes:
    """JUnit XML, one test case for each model and target: ``worse`` fails, ``not comparable`` is skipped."""
    contenders = _by_contender(rows)
    suite = ElementTree.Element("testsuite", name="whichpu check")
    counts = {"failure": 0, "skipped": 0}
    for name, of in contenders.items():
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(of[0].model), name=_xml(name), time="0")
        told = _xml("\n".join(sentence(row) for row in of))
        outcome = _outcome(of)
        if outcome is not None:
            counts[outcome] += 1
            words = _xml("; ".join(sentence(row) for row in of if _outcome([row]) == outcome))
            ElementTree.SubElement(case, outcome, message=words).text = told
        ElementTree.SubElement(case, "system-out").text = told
    numbers = {"tests": len(contenders), "failures": counts["failure"], "errors": 0, "skipped": counts["skipped"]}
    root = ElementTree.Element("testsuites", name=f"whichpu {__version__}")
    for element in (root, suite):
        element.attrib |= {key: str(number) for key, number in numbers.items()} | {"time": "0"}
    root.append(suite)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def markdown(rows: Sequence[Verdict]) -> str:
    """A table for a step's summary."""
    heads = ("model", "target", "metric", "before", "now", "change", "95 % interval", "verdict", "because")
    lines = [heads, ("---",) * len(heads), *(_cells(row) for row in rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{TITLE}\n\n{conclusion(rows)}\n\n{table}\n"


# ---------------------------------------------------------------- parts


def _cells(row: Verdict) -> tuple[str, ...]:
    moved, interval = change(row.ratio), units.UNKNOWN
    if row.low is not None:
        interval = f"{change(row.low)} to {change(row.high)}"
    elif row.delta is not None:
        moved, interval = _moved(row), units.score_range(row.delta_low, row.delta_high, row.unit or "")
    word = f"**{VERDICTS[row.verdict]}**" if row.verdict == "worse" else VERDICTS[row.verdict]
    because = "; ".join([row.reason, *(f"changed: {it}" for it in row.changed), *(f"doubt: {it}" for it in row.doubts)])
    before, after = (
        units.time(value) if row.metric == METRIC else _score(row, value) for value in (row.before, row.after)
    )
    shown = (row.model, row.contender, _metric(row), before, after, moved, interval)
    return (*map(_cell, shown), word, _cell(because + _again(row) + _advice(row)))


def _cell(text: str) -> str:
    """One line that a Markdown table takes as it is."""
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", " ".join(text.split()))


def _metric(row: Verdict) -> str:
    return "median latency" if row.metric == METRIC else SCORES.get(row.metric, row.metric)


def _score(row: Verdict, value: float | None) -> str:
    percent = " %" if row.unit == units.SHARE and value is not None else ""
    return f"{units.score(value, row.unit or '', 5)}{percent}"


def _delta(row: Verdict) -> str:
    """The difference with its interval, where it is known."""
    if row.delta is None or row.delta_low is None:
        return ""
    return f" ({_moved(row)}, {units.score_range(row.delta_low, row.delta_high, row.unit or '')})"


def _moved(row: Verdict) -> str:
    unit = row.unit or ""
    return units.with_unit(units.score_delta(row.delta, unit), units.delta_unit(unit))


def _barely(row: Verdict) -> str:
    """Why an interval that leaves out "no change" shows nothing: a verdict asks for more than one interval does."""
    if row.verdict != "no-difference" or row.p is None or row.low is None or row.high is None:
        return ""
    return "" if row.low <= 1 <= row.high else f" (p = {row.p:.2g}; it takes less than {ALPHA:g})"


def _again(row: Verdict) -> str:
    if row.at_first is None:
        return ""
    return f"; {change(row.at_first)} at first, {'and again' if row.verdict == 'worse' else 'not confirmed'}"


def _advice(row: Verdict) -> str:
    return f"; {row.advice}" if row.advice else ""


def _by_contender(rows: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for row in rows:
        found.setdefault(row.contender, []).append(row)
    return found


def _outcome(rows: Sequence[Verdict]) -> str | None:
    words = {row.verdict for row in rows}
    if "worse" in words:
        return "failure"
    return "skipped" if words == {"not-comparable"} else None


def _xml(text: str) -> str:
    return NOT_XML.sub("?", text)
