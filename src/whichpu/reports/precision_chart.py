"""Speed against accuracy, a dot for each precision on each runtime, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from whichpu.reports.charts import FONT, FRONT, GRID, INK, LINE, NARROW, QUIET, WIDE

if TYPE_CHECKING:
    import altair

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Dot(NamedTuple):
    """A variant: times as fast as fp32, and its delta, with their intervals."""

    name: str
    label: str
    speed: float
    speeds: tuple[float, float] | None
    delta: float
    deltas: tuple[float, float] | None


def trade(found: Sequence[Dot], y_title: str, width: int = WIDE) -> str:
    """A dot for each contender, under a letter; names beside it where there is room, else below; as SVG."""
    import altair as alt
    import vl_convert

    beside = width > NARROW
    plot_width, plot_height = (560, 320) if beside else (width - 75, 250)
    low, high = _span([dot.speed for dot in found] + [1.0], 0.15, least=0.1)
    bottom, top = _span([end for dot in found for end in (dot.delta, *(dot.deltas or ()))] + [0.0], 0.08)
    x = _axis(alt.X, "x", (low, high), "times as fast as fp32 on the same runtime", plot_width // 90)
    y = _axis(alt.Y, "y", (bottom, top), y_title, 5)
    data = [
        {"x": dot.speed, "y": dot.delta, "letter": LETTERS[place % len(LETTERS)]} for place, dot in enumerate(found)
    ]
    # A dot stays where it is; an interval may lead out of the picture.
    across = [
        {"x": max(low, dot.speeds[0]), "x2": min(high, dot.speeds[1]), "y": dot.delta} for dot in found if dot.speeds
    ]
    up = [{"x": dot.speed, "y": dot.deltas[0], "y2": dot.deltas[1]} for dot in found if dot.deltas]

    def chart_of(values: Sequence[dict[str, Any]]) -> altair.Chart:
        return alt.Chart(alt.Data(values=list(values)))

    signs = apart(data, lambda x: x * plot_width / (high - low), lambda y: y * plot_height / (top - bottom))
    plot = alt.layer(
        chart_of([{"y": 0}]).mark_rule(color=QUIET, strokeDash=[4, 3]).encode(y=y),
        chart_of([{"x": 1}]).mark_rule(color=QUIET, strokeDash=[4, 3]).encode(x=x),
        chart_of(across).mark_rule(strokeWidth=1.5, opacity=0.6, color=FRONT).encode(x=x, x2="x2:Q", y=y),
        chart_of(up).mark_rule(strokeWidth=1.5, opacity=0.6, color=FRONT).encode(x=x, y=y, y2="y2:Q"),
        chart_of(data).mark_circle(size=80, opacity=1, color=FRONT).encode(x=x, y=y),
        chart_of(signs).mark_text(align="left", dx=7, dy=-8, fontSize=12.5, fontWeight="bold", color=INK)
        .encode(x=x, y=y, text="letter:N"),
    ).properties(width=plot_width, height=plot_height)  # fmt: skip
    names = key(found, data, width - plot_width - 130 if beside else width - 20)
    chart = alt.hconcat(plot, names, spacing=24) if beside else alt.vconcat(plot, names, spacing=14)
    chart = chart.configure(font=FONT, background="transparent", padding=4, aria=False).configure_view(stroke=None)
    svg: str = vl_convert.vegalite_to_svg(chart.to_dict(validate=False))
    return svg


def _span(values: Sequence[float], beyond: float, least: float = 0.0) -> tuple[float, float]:
    """From the smallest to the largest and some ``beyond`` (a share of it) on both sides."""
    room = beyond * (max(values) - min(values)) or 1.0
    return min(values) - max(room, least), max(values) + max(room, least)


def _axis(kind: Any, name: str, domain: tuple[float, float], title: str, ticks: int) -> Any:
    import altair as alt

    axis = alt.Axis(
        title=title, tickCount=max(3, ticks), labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
        labelColor=QUIET, titleColor=QUIET, gridColor=GRID, domain=False, ticks=False, labelPadding=6,
    )  # fmt: skip
    return kind(f"{name}:Q", scale=alt.Scale(domain=list(domain), nice=False, zero=False), axis=axis)


Pixels = Callable[[float], float]
"""Where a value lies on an axis."""


def apart(data: Sequence[dict[str, Any]], across: Pixels, up: Pixels) -> list[dict[str, Any]]:
    """Letters of dots that nearly coincide, as one text."""
    groups: list[list[dict[str, Any]]] = []
    for datum in data:
        near = (
            group
            for group in groups
            if abs(across(group[0]["x"]) - across(datum["x"])) < 14 and abs(up(group[0]["y"]) - up(datum["y"])) < 14
        )
        group = next(near, None)
        groups.append([datum]) if group is None else group.append(datum)
    return [{**group[0], "letter": " ".join(datum["letter"] for datum in group)} for group in groups]


def key(
    found: Sequence[Dot], data: Sequence[dict[str, Any]], width: int, colours: Sequence[str] = ()
) -> altair.LayerChart:
    """Letter, name, and figures of each dot, a pair of lines each; ``colours`` are those of the dots."""
    import altair as alt

    high = 2 * LINE + 8
    rows = [
        {"at": high * place + LINE / 2, "below": high * place + 1.5 * LINE, "letter": datum["letter"], "name": dot.name,
         "label": dot.label, "colour": colours[place] if colours else FRONT}
        for place, (dot, datum) in enumerate(zip(found, data, strict=True))
    ]  # fmt: skip
    scale = alt.Scale(domain=[high * len(rows), 0], nice=False, zero=False)
    first, second = (alt.Y(f"{name}:Q", scale=scale, axis=None) for name in ("at", "below"))
    base = alt.Chart(alt.Data(values=rows))
    words: dict[str, Any] = {"align": "left", "baseline": "middle", "fontSize": 12.5}
    return alt.layer(
        base.mark_circle(size=60, opacity=1).encode(x=alt.value(4), y=first, color=alt.Color("colour:N", scale=None)),
        base.mark_text(**words, fontWeight="bold", color=INK).encode(x=alt.value(14), y=first, text="letter:N"),
        base.mark_text(**words, color=INK).encode(x=alt.value(30), y=first, text="name:N"),
        base.mark_text(**words, color=QUIET).encode(x=alt.value(30), y=second, text="label:N"),
    ).properties(width=max(60, width), height=high * len(rows))
