"""Verdicts of a comparison as JUnit XML for build servers: a suite for each model, a test case for each figure.

Slower or worse than the baseline fails, what can't be compared is skipped with the rule, the rest passes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from whichpu import __version__
from whichpu.reports import units
from whichpu.reports.figures import named
from whichpu.reports.regression import NOT_XML
from whichpu.reports.words import VERDICTS
from whichpu.results.anything import File, campaigns
from whichpu.results.comparison import Comparison
from whichpu.results.exporters import Written
from whichpu.results.nway import held

KIND = "JUnit XML"
BEGINNING = re.compile(rb"\s*<\?xml")
OUTCOMES = {"slower": "failure", "worse": "failure", "not-comparable": "skipped"}


def write(files: Sequence[File], baseline: str | None = None) -> Written:
    """All contenders against ``baseline`` (default: the fastest of each model). Raises :class:`UserError`."""
    entries = [entry for file in files for entry in file.entries]
    rows = held(entries, baseline, campaigns=campaigns(files))
    suites: dict[str, list[Comparison]] = {}
    for row in rows:
        suites.setdefault(row.model, []).append(row)
    root = Element("testsuites", _counts(rows) | {"name": f"whichpu {__version__}"})
    for model, each in suites.items():
        _suite(root, model, each)
    ElementTree.indent(root)
    return Written(bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n", [])


def sentence(row: Comparison) -> str:
    """One verdict with its ratio or difference, its reason, and what the sources leave open."""
    held_at = ""
    if row.ratio is not None:
        interval = f" ({row.low:.4g} to {row.high:.4g})" if row.low is not None and row.high is not None else ""
        held_at = f"{units.digits(row.ratio, 4)} times the baseline's{interval}: "
    elif row.delta is not None:
        unit = row.unit or ""
        delta = units.with_unit(units.score_delta(row.delta, unit), units.delta_unit(unit))
        held_at = f"{delta} from the baseline's: "
    caveats = f" [{'; '.join(row.caveats)}]" if row.caveats else ""
    verdict = VERDICTS[row.verdict]
    return f"{named(row.metric)}: {held_at}{verdict}: {row.reason.removeprefix(f'{verdict}: ')}{caveats}"


def _suite(root: Element, model: str, rows: Sequence[Comparison]) -> None:
    suite = SubElement(root, "testsuite", _counts(rows) | {"name": _xml(f"{model}, against {rows[0].baseline}")})
    for row in rows:
        about = {"classname": _xml(f"{row.model}.{row.contender}"), "name": row.metric, "time": "0"}
        case = SubElement(suite, "testcase", about)
        told, outcome = _xml(sentence(row)), OUTCOMES.get(row.verdict)
        if outcome is not None:
            SubElement(case, outcome, message=told)
        SubElement(case, "system-out").text = told


def _counts(rows: Sequence[Comparison]) -> dict[str, str]:
    outcomes = [OUTCOMES.get(row.verdict) for row in rows]
    failures, skipped = outcomes.count("failure"), outcomes.count("skipped")
    counts = {"tests": len(rows), "failures": failures, "errors": 0, "skipped": skipped, "time": 0}
    return {key: str(number) for key, number in counts.items()}


def _xml(text: str) -> str:
    return NOT_XML.sub("?", text)
