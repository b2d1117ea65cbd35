"""Latency over time as SVG: a panel for each contender, one time axis, each panel with its own latency axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from whichpu.reports import units
from whichpu.reports.charts import FONT, FRONT, GRID, INK, NARROW, QUIET, WIDE, wrapped
from whichpu.reports.sustained import changed
from whichpu.results.schema import Campaign
from whichpu.results.sustained import Endurance, clock, outlook, percent, windows_of
from whichpu.stats import describe

if TYPE_CHECKING:
    import altair

POINTS = 240
"""Points of a line at most; windows are put together to so many."""

ROOM = 0.1
"""A panel shows at least this share above and below the median, so that noise does not look like an event."""

ABOVE = 1.5
"""A panel ends at so many times the largest median: p95 may lie far out, and is cut there."""

SAYS = (
    "Line: median. Band: up to p95, where the windows hold enough inferences. Upright rule: a step, with its time."
    " Each panel has its own latency axis, which does not begin at zero."
)


class Panel(NamedTuple):
    """One contender over time: seconds, medians and p95 (``None`` where refused) in ``unit``, and its steps."""

    name: str
    label: str
    unit: str
    times_s: list[float]
    medians: list[float]
    p95s: list[float | None]
    steps: list[tuple[float, str]]


def panels(campaign: Campaign) -> list[Panel]:
    """A panel for each sustained run that has windows, in the order of the table."""
    found = outlook(campaign)
    runs = {result.name: result.sustained for result in campaign.results}
    drawn = []
    for row in found.rows if found else []:
        run = runs[row.name]
        if run is not None and row.first is not None:
            drawn.append(_panel(row, windows_of(run)))
    return drawn


def over_time(rows: Sequence[Panel], width: int = WIDE) -> str:
    """All panels below each other, as SVG."""
    import altair as alt
    import vl_convert

    longest_s = max(row.times_s[-1] for row in rows)
    size, word = (60.0, "minutes") if longest_s >= 120 else (1.0, "seconds")
    data: dict[str, list[dict[str, Any]]] = {}  # beside the chart: Altair copies and checks all that is in it, slowly
    drawn = [_drawn(row, width, longest_s / size, size, word if row is rows[-1] else None, data) for row in rows]
    chart = alt.vconcat(*drawn, spacing=10).configure(font=FONT, background="transparent", padding=4, aria=False)
    chart = chart.configure_view(stroke=None).configure_concat(spacing=10)
    svg: str = vl_convert.vegalite_to_svg({**chart.to_dict(validate=False), "datasets": data})
    return svg


def _panel(row: Endurance, windows: Any) -> Panel:
    unit = units.time_unit([float(windows.median_ns.min())])
    parts = np.array_split(np.arange(windows.median_ns.size), min(POINTS, windows.median_ns.size))
    p95s = []
    for part in parts:
        refused = describe.unsupported(int(windows.inferences[part].sum()), 95)
        p95s.append(None if refused else float(np.median(windows.p95_ns[part])) / unit.size)
    return Panel(
        name=row.name,
        label=f"{changed(row)} from first to last",
        unit=unit.name,
        times_s=[float((windows.began_s[part] + windows.wall_s[part] / 2).mean()) for part in parts],
        medians=[float(np.median(windows.median_ns[part])) / unit.size for part in parts],
        p95s=p95s,
        steps=[(step.at_s, f"{percent(step.ratio - 1)} at {clock(step.at_s)}") for step in row.steps],
    )


def _drawn(
    row: Panel, width: int, longest: float, size: float, word: str | None, data: dict[str, list[dict[str, Any]]]
) -> altair.LayerChart:
    import altair as alt

    low, high = min(row.medians), max(row.medians)
    middle = float(np.median(row.medians))
    tops = [value for value in row.p95s if value is not None]
    top = min(max([high, *tops]), ABOVE * high)
    domain = [min(low * 0.98, middle * (1 - ROOM)), max(top * 1.02, middle * (1 + ROOM))]
    quiet: dict[str, Any] = {
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelColor": QUIET,
        "titleColor": QUIET, "gridColor": GRID, "domain": False, "ticks": False, "labelPadding": 6,
    }  # fmt: skip
    x_axis = alt.Axis(title=word, labels=word is not None, tickCount=max(4, width // 110), **quiet)
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, longest], nice=False), axis=x_axis)
    y_axis = alt.Axis(title=row.unit, tickCount=4, labelExpr="format(datum.value, ',~f')", minExtent=58, **quiet)
    y = alt.Y("y:Q", scale=alt.Scale(domain=domain, nice=False, zero=False), axis=y_axis)
    points = [
        {"x": time / size, "y": median, "y2": p95 if p95 is None else max(p95, median)}
        for time, median, p95 in zip(row.times_s, row.medians, row.p95s, strict=True)
    ]
    banded = [point for point in points if point["y2"] is not None]
    rules: list[dict[str, Any]] = [{"x": time / size, "y": domain[1], "text": text} for time, text in row.steps]
    inner = width - 90
    late = [{**rule, "late": rule["x"] > 0.75 * longest} for rule in rules]

    def chart_of(values: list[dict[str, Any]]) -> altair.Chart:
        name = f"data{len(data)}"
        data[name] = values
        return alt.Chart(alt.NamedData(name=name))

    layers: list[Any] = [
        chart_of(banded).mark_area(opacity=0.22, color=FRONT, clip=True).encode(x=x, y=y, y2="y2:Q"),
        chart_of(points).mark_line(color=FRONT, strokeWidth=1.8, clip=True).encode(x=x, y=y),
        chart_of(rules).mark_rule(color=INK, strokeDash=[4, 3]).encode(x=x),
    ]
    for is_late, align, aside in ((False, "left", 5), (True, "right", -5)):
        texts = [rule for rule in late if rule["late"] is is_late]
        style: dict[str, Any] = {"align": align, "dx": aside, "dy": 2, "baseline": "top", "color": INK, "fontSize": 12}
        layers.append(chart_of(texts).mark_text(**style).encode(x=x, y=y, text="text:N"))
    heading = alt.TitleParams(
        wrapped(row.name, 40 if width < 600 else 90), subtitle=row.label, anchor="start", frame="group",
        fontSize=12.5, fontWeight="normal", color=INK, subtitleColor=QUIET, subtitleFontSize=12, offset=4,
    )  # fmt: skip
    return alt.layer(*layers).properties(width=inner, height=110 if width > 600 else 90, title=heading)


WIDTHS = (WIDE, NARROW)
