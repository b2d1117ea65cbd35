"""Ratios to a baseline with their intervals: a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whichpu.reports.charts import INK, WIDE, Frame, Ratio, is_heading
from whichpu.reports.picture import choosable, fading


def forest(rows: Sequence[Ratio], title: str, scale: str, width: int = WIDE) -> dict[str, Any]:
    """A dot a contender with its interval, around a line at 1; headings part the figures. ``scale`` is what a
    logarithmic one is called. As Vega-Lite."""
    import altair as alt

    seen = [value for row in rows for value in (row.value, row.low, row.high) if value is not None and value > 0]
    frame = Frame(rows, [*seen, 1.0], title, width, scale=scale)
    known = [(frame.place(at) | {"who": row.name}, row) for at, row in enumerate(rows) if row.value]
    data = [{**place, "x": row.value, "tip": row.label} for place, row in known]
    bars = [{**place, "x": row.low, "x2": row.high} for place, row in known if row.low and row.high]
    ends = [{**place, "x": end} for place, row in known if row.low and row.high for end in (row.low, row.high)]
    line = [
        {"x": 1.0, "y": top, "y2": end, "colour": INK}
        for row, (top, end) in zip(rows, _lines(frame), strict=True)
        if not is_heading(row)
    ]
    tips = ["who:N", "tip:N"]
    spec = frame.spec(
        frame.marks(line).mark_rule(strokeDash=[4, 3]).encode(y2=alt.Y2("y2:Q")),
        frame.marks(bars, x2=True).mark_rule(strokeWidth=2.5).encode(opacity=fading(1)),
        frame.marks(ends).mark_tick(thickness=2.5, size=9).encode(opacity=fading(1)),
        frame.marks(data).mark_circle(size=80).encode(opacity=fading(1), tooltip=tips),
    )
    return choosable(spec)


def _lines(frame: Frame) -> list[tuple[float, float]]:
    """The line at 1 in each row, so that it runs through no heading."""
    reach = 9 if frame.stacked else 11
    return [(spot - reach, spot + reach) for spot in frame.spots]
