"""Power over time as SVG: a panel for each contender, one axis of time and one of power for all of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from whichpu.reports import units
from whichpu.reports.charts import FONT, FRONT, GRID, INK, NARROW, QUIET, WIDE, wrapped

if TYPE_CHECKING:
    import altair

GAP = 6.0
"""Readings so many times further apart than usual have a gap between them."""

FAR = 2.0
"""A limit of more than so many times the highest peak is not drawn: it would press all lines down."""

SAYS = (
    "Line: power as the sensor told it, in one window of each contender. Shaded: the contender ran back to back; before"
    " and behind, all were loaded and none ran. Dot: the peak. One power axis for all panels, so that they compare."
)


LONG_SAYS = (
    "Each contender alone, back to back, without a pause. Line: power as the sensor told it, read at a slow pace."
    " Dot: the peak. One power axis for all panels."
)


class Panel(NamedTuple):
    """One contender in one window: seconds from its beginning and watts, and how long it ran."""

    name: str
    label: str
    points: list[tuple[float, float]]
    ran_s: float

    @property
    def peak(self) -> tuple[float, float]:
        """When and how high it was, while the contender ran."""
        inside = [point for point in self.points if 0 <= point[0] <= self.ran_s]
        return max(inside or self.points, key=lambda point: point[1])


def over_time(rows: Sequence[Panel], limit_w: float | None = None, width: int = WIDE) -> str:
    """All panels below each other, as SVG."""
    import altair as alt
    import vl_convert

    top_w = highest_w(rows)
    limit_w = limit_w if within_reach(rows, limit_w) else None
    unit = units.power_unit([top_w])
    frame = _Frame(
        unit,
        first_s=min(row.points[0][0] for row in rows),
        last_s=max(row.points[-1][0] for row in rows),
        top=1.12 * max(top_w, limit_w or 0.0) / unit.size,
        limit=None if limit_w is None else limit_w / unit.size,
        width=width,
        data={},
    )
    drawn = [frame.drawn(row, last=row is rows[-1]) for row in rows]
    chart = alt.vconcat(*drawn, spacing=10).configure(font=FONT, background="transparent", padding=4, aria=False)
    chart = chart.configure_view(stroke=None).configure_concat(spacing=10)
    svg: str = vl_convert.vegalite_to_svg({**chart.to_dict(validate=False), "datasets": frame.data})
    return svg


def highest_w(rows: Sequence[Panel]) -> float:
    """The most that any line shows."""
    return max(power for row in rows for _, power in row.points)


def within_reach(rows: Sequence[Panel], limit_w: float | None) -> bool:
    """Whether the user's limit is drawn."""
    return limit_w is not None and limit_w <= FAR * highest_w(rows)


def limit_says(rows: Sequence[Panel], limit_w: float | None) -> str:
    """What the dashed line is, for the caption; empty where there is none."""
    drawn = limit_w is not None and within_reach(rows, limit_w)
    return f" Dashed: the limit of {units.as_given_w(limit_w)}." if drawn and limit_w is not None else ""


def parts(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The line without its gaps: where nothing was read, as between two windows, nothing is drawn."""
    usual_s = statistics.median([after[0] - before[0] for before, after in pairwise(points)] or [0.0])
    found: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if found[-1] and point[0] - found[-1][-1][0] > GAP * usual_s:
            found.append([])
        found[-1].append(point)
    return found


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most about ``most`` points: of each stretch the least and the most, so that no peak is lost."""
    if len(points) <= most:
        return list(points)
    size = -(-2 * len(points) // most)
    kept: list[tuple[float, float]] = []
    for at in range(0, len(points), size):
        stretch = points[at : at + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


class _Frame(NamedTuple):
    """What all panels have in common; ``data`` stands beside the chart, for Altair checks all that is in it, slowly."""

    unit: units.Unit
    first_s: float
    last_s: float
    top: float
    limit: float | None
    width: int
    data: dict[str, list[dict[str, Any]]]

    def drawn(self, row: Panel, last: bool) -> altair.LayerChart:
        import altair as alt

        x, y = self._x(last), self._y()
        shade = [{"x": 0.0, "x2": row.ran_s, "y": 0.0, "y2": self.top}]
        line = [
            {"x": at, "y": power / self.unit.size, "part": number}
            for number, part in enumerate(parts(row.points))
            for at, power in thinned(part, max(2, self.width * len(part) // len(row.points)))
        ]
        at_s, peak_w = row.peak
        right = at_s > (self.first_s + 2 * self.last_s) / 3
        peak = [{"x": at_s, "y": peak_w / self.unit.size, "text": f"peak {units.power(peak_w)}"}]
        style: dict[str, Any] = {"fontSize": 12, "color": INK, "baseline": "bottom", "dy": -3}
        layers: list[Any] = [
            self._of(shade).mark_rect(color=GRID, opacity=0.5).encode(x=x, x2="x2:Q", y=y, y2="y2:Q"),
            *self._limit(y),
            self._of(line).mark_line(color=FRONT, strokeWidth=1.6).encode(x=x, y=y, detail="part:N"),
            self._of(peak).mark_circle(color=FRONT, size=45, opacity=1).encode(x=x, y=y),
            self._of(peak).mark_text(align="right" if right else "left", dx=-6 if right else 6, **style)
            .encode(x=x, y=y, text="text:N"),
        ]  # fmt: skip
        heading = alt.TitleParams(
            wrapped(row.name, 40 if self.width < 600 else 90), subtitle=row.label, anchor="start", frame="group",
            fontSize=12.5, fontWeight="normal", color=INK, subtitleColor=QUIET, subtitleFontSize=12, offset=4,
        )  # fmt: skip
        return alt.layer(*layers).properties(
            width=self.width - 90, height=120 if self.width > 600 else 100, title=heading
        )

    def _limit(self, y: altair.Y) -> list[Any]:
        if self.limit is None:
            return []
        return [self._of([{"y": self.limit}]).mark_rule(color=INK, strokeDash=[4, 3]).encode(y=y)]

    def _of(self, values: list[dict[str, Any]]) -> altair.Chart:
        import altair as alt

        name = f"data{len(self.data)}"
        self.data[name] = values
        return alt.Chart(alt.NamedData(name=name))

    def _x(self, last: bool) -> altair.X:
        import altair as alt

        axis = alt.Axis(title="seconds" if last else None, labels=last, tickCount=max(4, self.width // 110), **QUIETLY)
        return alt.X("x:Q", scale=alt.Scale(domain=[self.first_s, self.last_s], nice=False), axis=axis)

    def _y(self) -> altair.Y:
        import altair as alt

        axis = alt.Axis(
            title=self.unit.name, tickCount=4, labelExpr="format(datum.value, ',~f')", minExtent=58, **QUIETLY
        )
        return alt.Y("y:Q", scale=alt.Scale(domain=[0, self.top], nice=False), axis=axis)


QUIETLY: dict[str, Any] = {
    "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelColor": QUIET,
    "titleColor": QUIET, "gridColor": GRID, "domain": False, "ticks": False, "labelPadding": 6,
}  # fmt: skip
"""How all axes look."""

WIDTHS = (WIDE, NARROW)
