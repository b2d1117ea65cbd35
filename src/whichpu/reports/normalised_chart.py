"""Ratios to a baseline as bars: a panel for each figure, the same rows in all of them, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from whichpu.reports import units
from whichpu.reports.charts import FONT, FRONT, INK, LINE, LOG_FROM, NARROW, QUIET, REST, WIDE, log_ticks, wrapped
from whichpu.reports.power_charts import QUIETLY

if TYPE_CHECKING:
    import altair

THICK, ROW, HEAD = 13, 24, 26
"""Pixels: a bar, a row of a wide chart, the title of a group."""


class Bar(NamedTuple):
    """A contender's ratio to the baseline (or the baseline itself) and its interval; ``None``: no bar, and why not."""

    name: str
    ratio: float | None
    low: float | None = None
    high: float | None = None
    better: bool = False
    base: bool = False
    why_not: str = ""


class Group(NamedTuple):
    """Contenders of one model and precision."""

    title: str
    bars: list[Bar]


class Panel(NamedTuple):
    """One figure. All panels of a chart have the same groups and names, in the same order."""

    title: str
    says: str
    groups: list[Group]

    @property
    def seen(self) -> list[float]:
        """All that must be on the axis, the baseline too."""
        ends = [(bar.ratio, bar.low, bar.high) for group in self.groups for bar in group.bars]
        return [1.0, *(value for bar in ends for value in bar if value is not None and value > 0)]


def bars(panels: Sequence[Panel], width: int = WIDE) -> str:
    """All panels, three beside each other where there is room; as SVG."""
    import altair as alt
    import vl_convert

    columns = 3 if width > 600 else 1
    frame = _Frame(panels[0], width, columns)
    bands = [panels[at : at + columns] for at in range(0, len(panels), columns)]
    drawn = [
        alt.hconcat(*(frame.drawn(panel, first=at == 0) for at, panel in enumerate(band)), spacing=26) for band in bands
    ]
    chart = alt.vconcat(*drawn, spacing=22).configure(font=FONT, background="transparent", padding=4, aria=False)
    chart = chart.configure_view(stroke=None)
    svg: str = vl_convert.vegalite_to_svg({**chart.to_dict(validate=False), "datasets": frame.data})
    return svg


class _Frame:
    """Where rows stand, and names beside (wide) or above (narrow) the bars."""

    def __init__(self, panel: Panel, width: int, columns: int) -> None:
        self.stacked = columns == 1
        names = [wrapped(bar.name, 28) for group in panel.groups for bar in group.bars]
        self.left = 0 if self.stacked else 16 + 7 * max(len(line) for name in names for line in name)
        self.width = (width - self.left - 30 - 26 * (columns - 1)) // columns
        self.titles: list[tuple[float, str]] = []
        self.spots: list[float] = []
        self.names = names
        self.height = 0.0
        self._place(panel)
        self.data: dict[str, list[dict[str, Any]]] = {}

    def _place(self, panel: Panel) -> None:
        at = 0
        for group in panel.groups:
            if len(panel.groups) > 1:
                self.titles.append((self.height + HEAD / 2, group.title))
                self.height += HEAD
            for _ in group.bars:
                lines = len(self.names[at])
                high = lines * LINE + (THICK + 9 if self.stacked else ROW - LINE)
                self.spots.append(self.height + (high - THICK / 2 - 4 if self.stacked else high / 2))
                self.height += high
                at += 1

    def drawn(self, panel: Panel, first: bool) -> altair.LayerChart:
        import altair as alt

        log = max(panel.seen) / min(panel.seen) > LOG_FROM
        ticks = log_ticks(min(panel.seen), max(panel.seen) * 1.6, self.width // 45) if log else None
        domain = [ticks[0], ticks[-1]] if ticks else [0.0, 1.22 * max(panel.seen)]
        axis = alt.Axis(
            title=f"{panel.says} (logarithmic scale)" if log else panel.says,
            **({"values": ticks} if ticks else {"tickCount": 4}), labelExpr="format(datum.value, ',~f')", **QUIETLY,
        )  # fmt: skip
        x = alt.X("x:Q", scale=alt.Scale(type="log" if log else "linear", domain=domain, nice=False), axis=axis)
        y = alt.Y("y:Q", scale=alt.Scale(domain=[self.height, 0], nice=False, zero=False), axis=None)
        rows = list(zip(self.spots, (bar for group in panel.groups for bar in group.bars), strict=True))
        layers = [*self._bars(rows, x, y, 1.0 if log else 0.0), *self._words(rows, x, y, domain[0])]
        layers += self._names(y) if first or self.stacked else []
        heading = alt.TitleParams(panel.title, anchor="start", frame="group", fontSize=13, color=INK, offset=6)
        return alt.layer(*layers).properties(width=self.width, height=self.height, title=heading)

    def _bars(self, rows: Sequence[tuple[float, Bar]], x: altair.X, y: altair.Y, zero: float) -> list[Any]:
        import altair as alt

        known = [
            {"y": spot, "x": zero, "x2": bar.ratio, "colour": FRONT if bar.better else REST}
            for spot, bar in rows
            if bar.ratio is not None
        ]
        spans = [{"y": spot, "x": bar.low, "x2": bar.high} for spot, bar in rows if bar.low is not None]
        ends = [{"y": span["y"], "x": end} for span in spans for end in (span["x"], span["x2"])]
        colour = alt.Color("colour:N", scale=None)
        return [
            self._of(known).mark_bar(size=THICK, opacity=0.75, clip=True).encode(x=x, x2="x2:Q", y=y, color=colour),
            self._of(self._baseline()).mark_rule(color=INK, strokeDash=[4, 3]).encode(x=x, y=y, y2="y2:Q"),
            self._of(spans).mark_rule(color=INK, strokeWidth=1.4).encode(x=x, x2="x2:Q", y=y),
            self._of(ends).mark_tick(color=INK, thickness=1.4, size=7).encode(x=x, y=y),
        ]

    def _baseline(self) -> list[dict[str, Any]]:
        """The line at 1: whole, or beside the bars alone where names stand above them."""
        if not self.stacked:
            return [{"x": 1.0, "y": 0.0, "y2": self.height}]
        return [{"x": 1.0, "y": spot - THICK / 2 - 2, "y2": spot + THICK / 2 + 2} for spot in self.spots]

    def _words(self, rows: Sequence[tuple[float, Bar]], x: altair.X, y: altair.Y, least: float) -> list[Any]:
        """The ratio behind each bar; a dash where there is none."""
        words = [
            {
                "y": spot,
                "x": max(value for value in (bar.ratio, bar.high, 1.0) if value is not None) if bar.ratio else least,
                "text": "1" if bar.base else f"{units.digits(bar.ratio)}×" if bar.ratio else units.UNKNOWN,
            }
            for spot, bar in rows
        ]
        style: dict[str, Any] = {"align": "left", "baseline": "middle", "dx": 6, "fontSize": 12, "color": INK}
        return [self._of(words).mark_text(**style).encode(x=x, y=y, text="text:N")]

    def _names(self, y: altair.Y) -> list[Any]:
        import altair as alt

        up = LINE if self.stacked else LINE / 2
        names = [
            {"y": spot - up * (len(lines) - 1), "text": "\n".join(lines)}
            for spot, lines in zip(self.spots, self.names, strict=True)
        ]
        titles = [{"y": spot, "text": title} for spot, title in self.titles]
        style: dict[str, Any] = {"align": "left", "fontSize": 12.5, "lineBreak": "\n", "lineHeight": LINE}
        beside = {"baseline": "bottom", "dy": -THICK / 2 - 2} if self.stacked else {"baseline": "middle"}
        return [
            self._of(names).mark_text(color=INK, **style, **beside)
            .encode(x=alt.value(-self.left), y=y, text="text:N"),
            self._of(titles).mark_text(color=QUIET, fontWeight="bold", baseline="middle", **style)
            .encode(x=alt.value(-self.left), y=y, text="text:N"),
        ]  # fmt: skip

    def _of(self, values: list[dict[str, Any]]) -> altair.Chart:
        import altair as alt

        name = f"data{len(self.data)}"
        self.data[name] = values
        return alt.Chart(alt.NamedData(name=name))


WIDTHS = (WIDE, NARROW)
