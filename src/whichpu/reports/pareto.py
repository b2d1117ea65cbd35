"""Two figures against each other: who is beaten on both by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from whichpu.reports.charts import FRONT, GRID, INK, LOG_FROM, NARROW, QUIET, REST, WIDE, log_ticks, plain
from whichpu.reports.picture import choosable, fading
from whichpu.reports.precision_chart import LETTERS, Dot, apart, key


class Spot(NamedTuple):
    """A contender: its two figures with their intervals, in the axes' units. ``front``: none beats it on both."""

    name: str
    label: str
    x: float
    xs: tuple[float, float] | None
    y: float
    ys: tuple[float, float] | None
    front: bool
    hollow: bool = False
    """Estimated, not measured."""


def scatter(found: Sequence[Spot], x: str, y: str, width: int = WIDE) -> dict[str, Any]:
    """A dot for each contender under a letter, with intervals; names beside it where there is room, else below.

    ``x`` and ``y`` are the axes' titles. As Vega-Lite.
    """
    import altair as alt

    beside = width > NARROW
    plot_width, plot_height = (600, 340) if beside else (width - 85, 260)
    across, up = (_Scale([each.x for each in found], [each.xs for each in found], plot_width),
                  _Scale([each.y for each in found], [each.ys for each in found], plot_height))  # fmt: skip
    place = {"x": alt.X("x:Q", scale=across.scale, axis=across.axis(x)),
             "y": alt.Y("y:Q", scale=up.scale, axis=up.axis(y))}  # fmt: skip
    colour = alt.Color("colour:N", scale=None)
    data = [
        {"x": each.x, "y": each.y, "who": each.name, "tip": each.label, "letter": LETTERS[at % len(LETTERS)],
         "colour": FRONT if each.front else REST}
        for at, each in enumerate(found)
    ]  # fmt: skip
    full = [datum for datum, each in zip(data, found, strict=True) if not each.hollow]
    hollow = [datum for datum, each in zip(data, found, strict=True) if each.hollow]
    lines_x = [{**datum, "x": up_.xs[0], "x2": up_.xs[1]} for datum, up_ in zip(data, found, strict=True) if up_.xs]
    lines_y = [{**datum, "y": up_.ys[0], "y2": up_.ys[1]} for datum, up_ in zip(data, found, strict=True) if up_.ys]

    def of(values: list[dict[str, Any]]) -> Any:
        return alt.Chart(alt.Data(values=values))

    tips = ["who:N", "tip:N"]
    signs = apart(data, across.pixels, up.pixels)
    plot = alt.layer(
        of(lines_x).mark_rule(strokeWidth=1.5, clip=True).encode(**place, x2="x2:Q", color=colour, opacity=fading(0.6)),
        of(lines_y).mark_rule(strokeWidth=1.5, clip=True).encode(**place, y2="y2:Q", color=colour, opacity=fading(0.6)),
        of(full).mark_circle(size=90).encode(**place, color=colour, opacity=fading(1), tooltip=tips),
        of(hollow).mark_point(size=90, filled=False).encode(**place, color=colour, opacity=fading(1), tooltip=tips),
        of(signs).mark_text(align="left", dx=7, dy=-8, fontSize=12.5, fontWeight="bold", color=INK)
        .encode(**place, text="letter:N"),
    ).properties(width=plot_width, height=plot_height)  # fmt: skip
    dots = [Dot(each.name, each.label, 0, None, 0, None) for each in found]
    colours = [str(datum["colour"]) for datum in data]
    names = key(dots, data, width - plot_width - 130 if beside else width - 20, colours)
    chart = alt.hconcat(plot, names, spacing=24) if beside else alt.vconcat(plot, names, spacing=14)
    return choosable(plain(chart))


class _Scale:
    """From the least to the largest with some room, logarithmic where the range is wide."""

    def __init__(self, values: Sequence[float], ends: Sequence[tuple[float, float] | None], pixels: int) -> None:
        import altair as alt

        seen = [*values, *(end for pair in ends if pair is not None for end in pair)]
        low, high = min(seen), max(seen)
        self.ticks = None
        self.count = max(3, pixels // 90)
        if low > 0 and high / low > LOG_FROM:
            self.ticks = log_ticks(low / 1.1, high * 1.1, pixels // 55)
            self.domain, kind = [self.ticks[0], self.ticks[-1]], "log"
        else:
            room = 0.1 * (high - low) or 0.1 * abs(high) or 1.0
            self.domain, kind = [low - room if low < 0 else max(0.0, low - room), high + room], "linear"
        flat = {} if self.ticks else {"zero": False}
        self.scale = alt.Scale(type=kind, domain=self.domain, nice=False, **flat)
        self.extent = pixels

    def axis(self, title: str) -> Any:
        import altair as alt

        ticks: dict[str, Any] = {"values": self.ticks} if self.ticks else {"tickCount": self.count}
        return alt.Axis(
            title=title, **ticks, labelExpr="format(datum.value, ',~r')" if self.ticks else alt.Undefined,
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelColor=QUIET, titleColor=QUIET,
            gridColor=GRID, domain=False, ticks=False, labelPadding=6,
        )  # fmt: skip

    def pixels(self, value: float) -> float:
        """Where a value lies, in pixels from the lower end."""
        from math import log

        low, high = self.domain
        share = log(value / low) / log(high / low) if self.ticks else (value - low) / (high - low)
        return self.extent * share
