"""An analysis as one HTML page that stands alone: nothing to load, nothing to run, readable on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whichpu import __version__
from whichpu.graphs.analysis import Analysis, TargetAnalysis
from whichpu.graphs.placement import Placement
from whichpu.reports import analysis, analysis_picture, charts, units
from whichpu.reports.html import Cell, Head, Table, templates

ROWS_MOST = 2000
"""Operators that the page lists one by one."""
LEGEND = {
    "accelerator": "on the accelerator",
    "host": "on the host",
    "refused": "refused: the compiler stops",
    "unknown": "unknown",
}
WORDS = ("type", "reason", "operator", "placed", "said by", "target")


def page(analyses: Sequence[Analysis]) -> str:
    """The whole page; no network, no script."""
    return (
        templates()
        .get_template("analysis.html.j2")
        .render(
            title=f"WhichPU: what the NPU takes of {units.joined([one.name for one in analyses])}",
            first=_overview(analyses),
            lost=[says for one in analyses if one.graph is None for says in analysis.refusals(one)],
            views=[
                _view(f"a{number}", found, one)
                for number, (found, one) in enumerate(((found, one) for found in analyses for one in found.targets), 1)
            ],
            swaps=charts.DARK,
            version=__version__,
        )
    )


def _overview(analyses: Sequence[Analysis]) -> Table | None:
    first = analysis.overview(analyses)
    if first is None:
        return None
    name, heads, rows = first
    return _table(name, analysis.MATRIX_SAYS if len(analyses) > 1 else analysis.TARGETS_SAY, heads, rows)


def _view(key: str, found: Analysis, one: TargetAnalysis) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": key,
        "title": analysis.title(found, one),
        "headline": analysis.headline(one),
        "analysed": one.placement is not None,
    }
    if one.placement is None:
        return view
    sections = list(analysis.sections(found, one))[2:]
    return view | {
        "next": analysis.next_step(found, one),
        "figures": analysis.figures(one),
        "reasons": [each._asdict() | {"basis": analysis.basis(each)} for each in analysis.reasons(one.placement)],
        "sections": [(heading.capitalize(), lines) for heading, lines in sections if lines],
        "histogram": _histogram(one),
        "operators": _operators(one.placement),
        "more": max(0, len(one.placement.placed) - ROWS_MOST),
        **_pictures(one.placement),
    }


def _pictures(placement: Placement) -> dict[str, Any]:
    from markupsafe import Markup

    drawn = analysis_picture.drawing(placement)
    fates = {one.fate for one in placement.placed}
    capability = placement.target.capability
    words = LEGEND | {"accelerator": f"on the {capability.unit.upper()}", "host": f"on the {capability.host.upper()}"}
    return {
        # Our own drawings, whose texts are escaped there.
        "band": Markup(analysis_picture.band(placement)),
        "picture": Markup(drawn[0]) if drawn else "",
        "picture_says": drawn[1] if drawn else "There are too many regions to draw them one by one.",
        "legend": [(fate, says) for fate, says in words.items() if fate in fates],
    }


def _histogram(one: TargetAnalysis) -> Table | None:
    found = next((each for each in one.findings if each.kind == "operators"), None)
    if found is None:
        return None
    heads, rows = analysis.histogram_table(found.figures["rows"], one)
    return _table("Operators by type", found.says, heads, rows)


def _operators(placement: Placement) -> Table:
    heads = ["operator", "type", "placed", "region", "MACs", "reason", "said by"]
    rows = [
        [
            one.operator.name,
            one.operator.type,
            one.where,
            units.UNKNOWN if one.region is None else str(one.region + 1),
            units.digits(placement.costs[one.operator.index].macs),
            one.reason,
            one.said_by,
        ]
        for one in placement.placed[:ROWS_MOST]
    ]
    return _table("Operators", "In the order of the model.", heads, rows)


def _table(title: str, says: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    cells = [[Cell(text) for text in row] for row in rows]
    return Table(title, says, [Head(text, words=text in WORDS) for text in heads], cells)
