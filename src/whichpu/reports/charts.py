"""Charts as SVG text, from plain data. Colours are few: one for the front runners, one for the rest, one for a loss."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import altair

INK, QUIET, GRID, FRONT, REST = "#1f2328", "#59636e", "#dfe3e8", "#0969da", "#818b98"
LOSS = "#bc4c00"
SERIES = (FRONT, LOSS, "#1a7f37", "#8250df", "#cf222e", "#0f7b8a", "#bf3989", "#7a6200", "#3f4a8a", "#57606a")
"""Colours of lines that must be told apart."""
DARK = {INK: "#e6edf3", QUIET: "#9da7b3", GRID: "#31373f", FRONT: "#58a6ff", REST: "#8b949e", LOSS: "#f0a25c"} | {
    "#1a7f37": "#56d364",
    "#8250df": "#bc8cff",
    "#cf222e": "#ff7b72",
    "#0f7b8a": "#39c5cf",
    "#bf3989": "#ff80c8",
    "#7a6200": "#d4c33a",
    "#3f4a8a": "#a5b4fc",
    "#57606a": "#c9d1d9",
}
"""Each colour on a dark page; a page's style sheet swaps them by the attributes that hold them."""

FONT = "Arial, Helvetica, Liberation Sans, sans-serif"
"""Fonts of one width, so that labels measured here fit on every machine."""

WIDE, NARROW = 1080, 370
LINE = 14
LOG_FROM = 10.0
"""A range of more than this many times is shown on a logarithmic scale."""


class Median(NamedTuple):
    """One contender's median latency, its interval and each round's median, all in one unit."""

    name: str
    label: str
    value: float
    low: float | None
    high: float | None
    rounds: list[float]
    front: bool


class Spread(NamedTuple):
    """One contender's steady latencies in one unit; ``p5`` and ``p95`` are ``None`` when refused."""

    name: str
    label: str
    least: float
    p5: float | None
    p50: float
    p95: float | None
    most: float
    front: bool


class Delta(NamedTuple):
    """One contender's difference from the reference and its interval; ``tone`` is ``better``, ``worse`` or empty."""

    name: str
    label: str
    value: float
    low: float | None
    high: float | None
    tone: str = ""


def medians(rows: Sequence[Median], unit: str, width: int = WIDE) -> str:
    """A dot a contender with its interval; below it a small dot for each round."""
    seen = [value for row in rows for value in (row.value, row.low, row.high, *row.rounds) if value is not None]
    frame = Frame(rows, seen, f"median latency, {unit}", width)
    rounds = [{**frame.place(i), "x": value} for i, row in enumerate(rows) for value in row.rounds]
    bars = [{**frame.place(i), "x": row.low, "x2": row.high} for i, row in enumerate(rows) if row.low is not None]
    dots = [{**frame.place(i), "x": row.value} for i, row in enumerate(rows)]
    return frame.draw(
        frame.marks(rounds).mark_circle(size=13, opacity=0.5, yOffset=9),
        frame.marks(bars, x2=True).mark_rule(strokeWidth=2.5),
        frame.marks(bars).mark_tick(thickness=2.5, size=9),
        frame.marks([{**bar, "x": bar["x2"]} for bar in bars]).mark_tick(thickness=2.5, size=9),
        frame.marks(dots).mark_circle(size=72, opacity=1),
    )


def spreads(rows: Sequence[Spread], unit: str, width: int = WIDE) -> str:
    """A thin line from the least to the most, a bar from p5 to p95, a stroke at p50."""
    seen = [value for row in rows for value in (row.least, row.most)]
    frame = Frame(rows, seen, f"steady latency, {unit}", width)
    lines = [{**frame.place(i), "x": row.least, "x2": row.most} for i, row in enumerate(rows)]
    bars = [{**frame.place(i), "x": row.p5, "x2": row.p95} for i, row in enumerate(rows) if row.p5 and row.p95]
    middles = [{**frame.place(i), "x": row.p50} for i, row in enumerate(rows)]
    ends = [{**frame.place(i), "x": value} for i, row in enumerate(rows) for value in (row.least, row.most)]
    return frame.draw(
        frame.marks(lines, x2=True).mark_rule(strokeWidth=1.5),
        frame.marks(ends).mark_tick(thickness=1.5, size=8),
        frame.marks(bars, x2=True).mark_bar(size=12, opacity=0.45),
        frame.marks(middles).mark_tick(thickness=3, size=18),
    )


def deltas(rows: Sequence[Delta], title: str, least: float, width: int = WIDE) -> str:
    """A dot a contender with its interval, around a line at 0; ``least`` is the least that each side spans."""
    import altair as alt

    reach = 1.08 * max([least, *(abs(value) for row in rows for value in (row.value, row.low, row.high) if value)])
    frame = Frame(rows, [-reach, reach], title, width, domain=(-reach, reach))
    bars = [{**frame.place(i), "x": row.low, "x2": row.high} for i, row in enumerate(rows) if row.low is not None]
    dots = [{**frame.place(i), "x": row.value} for i, row in enumerate(rows)]
    line = [{"x": 0.0, "y": top, "y2": end, "colour": INK} for top, end in frame.clear()]
    return frame.draw(
        frame.marks(line).mark_rule(strokeDash=[4, 3]).encode(y2=alt.Y2("y2:Q")),
        frame.marks(bars, x2=True).mark_rule(strokeWidth=2.5),
        frame.marks(bars).mark_tick(thickness=2.5, size=9),
        frame.marks([{**bar, "x": bar["x2"]} for bar in bars]).mark_tick(thickness=2.5, size=9),
        frame.marks(dots).mark_circle(size=72, opacity=1),
    )


class Ratio(NamedTuple):
    """One contender's figure over the baseline's and its interval; a heading where there is no ``value``."""

    name: str
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    tone: str = ""


class Density(NamedTuple):
    """How one contender's single latencies lie, in one unit: ``levels`` are relative densities at ``points``."""

    name: str
    label: str
    points: list[float]
    levels: list[float]
    p50: float
    p99: float | None
    front: bool


def is_heading(row: Row) -> bool:
    """Is a row the title of those below it?"""
    return isinstance(row, Ratio) and row.value is None


Row = Median | Spread | Delta | Ratio | Density


class Frame:
    """Rows from top to bottom, names at the left and numbers at the right; above the row where it is narrow."""

    def __init__(
        self,
        rows: Sequence[Row],
        seen: list[float],
        title: str,
        width: int,
        domain: tuple[float, float] | None = None,
        scale: str = "logarithmic scale",
    ) -> None:
        self.rows = rows
        self.stacked = width < 600
        beside = max(columns(row.label) for row in rows)
        self.names = [wrapped(row.name, max(12, min(32, 45 - beside)) if self.stacked else 32) for row in rows]
        self.left = 0 if self.stacked else 18 + 7 * max(len(line) for lines in self.names for line in lines)
        right = 0 if self.stacked else 14 + 7 * beside
        self.width = width - self.left - right - 20
        heights = [len(lines) * LINE + (34 if self.stacked else 22) for lines in self.names]
        self.height = sum(heights)
        tops = [sum(heights[:i]) for i in range(len(rows))]
        # Stacked rows keep their lowest 20 pixels for the data, the rest for the words.
        self.spots = [top + (high - 20 if self.stacked else high / 2) for top, high in zip(tops, heights, strict=True)]
        self.log = min(seen) > 0 and max(seen) / min(seen) > LOG_FROM
        self.ticks = log_ticks(min(seen), max(seen), self.width // 55) if self.log else None
        self.domain = [self.ticks[0], self.ticks[-1]] if self.ticks else [0.0, max(seen) * 1.02]
        self.nice = not self.log
        if domain is not None:
            self.domain, self.nice = list(domain), False
        self.title = f"{title} ({scale})" if self.log else title

    def place(self, index: int) -> dict[str, Any]:
        """The part of a datum that says in which row it goes, and in which colour."""
        row = self.rows[index]
        if isinstance(row, (Delta, Ratio)):
            return {"y": self.spots[index], "colour": {"better": FRONT, "worse": LOSS}.get(row.tone, REST)}
        return {"y": self.spots[index], "colour": FRONT if row.front else REST}

    def clear(self) -> list[tuple[float, float]]:
        """From where to where a vertical line runs through no words."""
        return [(spot - 9, spot + 9) for spot in self.spots] if self.stacked else [(0.0, self.height)]

    def marks(self, data: list[dict[str, Any]], x2: bool = False) -> altair.Chart:
        """Data placed on both axes, without a mark yet."""
        import altair as alt

        chart = self.of(alt.Data(values=data))
        return chart.encode(x2="x2:Q") if x2 else chart

    def of(self, source: Any) -> altair.Chart:
        """Any source of data on both axes, without a mark yet."""
        import altair as alt

        return alt.Chart(source).encode(x=self._x(), y=self._y(), color=alt.Color("colour:N", scale=None))

    def draw(self, *layers: altair.Chart) -> str:
        """All layers with names and numbers, as SVG."""
        return as_svg(self.spec(*layers))

    def spec(self, *layers: altair.Chart) -> dict[str, Any]:
        """All layers with names and numbers, as Vega-Lite."""
        import altair as alt

        chart = alt.layer(*layers, *self._words()).properties(width=self.width, height=self.height)
        return plain(chart)

    def _x(self) -> altair.X:
        import altair as alt

        scale = alt.Scale(type="log" if self.log else "linear", domain=self.domain, nice=self.nice)
        axis = alt.Axis(
            title=self.title,
            **({"values": self.ticks} if self.ticks else {"tickCount": self.width // 90}),
            labelExpr="format(datum.value, ',~f')",
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal", titlePadding=8,
            labelColor=QUIET, titleColor=QUIET, gridColor=GRID, domain=False, ticks=False, labelPadding=6,
        )  # fmt: skip
        return alt.X("x:Q", scale=scale, axis=axis)

    def _y(self) -> altair.Y:
        import altair as alt

        return alt.Y("y:Q", scale=alt.Scale(domain=[self.height, 0], nice=False, zero=False), axis=None)

    def _words(self) -> list[altair.Chart]:
        import altair as alt

        # Vega hangs further lines below the first: move it up by all of them (stacked) or by half of them.
        up = LINE * (1.0 if self.stacked else 0.5)
        names = [
            {"y": spot - up * (len(lines) - 1), "text": "\n".join(lines), "heading": is_heading(row)}
            for spot, lines, row in zip(self.spots, self.names, self.rows, strict=True)
        ]
        labels = [{"y": spot, "text": row.label} for spot, row in zip(self.spots, self.rows, strict=True)]
        style: dict[str, Any] = {"fontSize": 12.5, "color": INK, "lineBreak": "\n", "lineHeight": LINE}
        style |= {"baseline": "bottom", "dy": -10} if self.stacked else {"baseline": "middle"}
        side = "right" if self.stacked else "left"
        beyond = self.width + (0 if self.stacked else 14)
        plain_names = [name for name in names if not name.pop("heading")]
        headings = [name for name in names if name not in plain_names]
        return [
            *(
                alt.Chart(alt.Data(values=each)).mark_text(align="left", fontWeight=weight, **style)
                .encode(x=alt.value(-self.left), y=self._y(), text="text:N")
                for weight, each in (("normal", plain_names), ("bold", headings))
                if each
            ),
            alt.Chart(alt.Data(values=labels)).mark_text(align=side, **style)
            .encode(x=alt.value(beyond), y=self._y(), text="text:N"),
        ]  # fmt: skip


def plain(chart: Any) -> dict[str, Any]:
    """A chart's Vega-Lite, in the style of all charts."""
    styled = chart.configure(font=FONT, background="transparent", padding=4, aria=False).configure_view(stroke=None)
    spec: dict[str, Any] = styled.to_dict(validate=False)
    return spec


def as_svg(spec: dict[str, Any]) -> str:
    """A Vega-Lite chart drawn."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg


def columns(text: str) -> int:
    """How wide a text is, in Latin letters: a Korean syllable takes nearly two."""
    return len(text) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)


def wrapped(name: str, most: int) -> list[str]:
    """A contender's name in lines of at most ``most`` characters, broken after its own punctuation if it can be."""
    pieces = [piece[i : i + most] for piece in re.findall(r"[^:,=@/\s]*[:,=@/\s]?", name) if piece
              for i in range(0, len(piece), most)]  # fmt: skip
    lines = [""]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > most:
            lines.append("")
        lines[-1] += piece
    return lines


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Ticks of 1, 2 and 5 times powers of ten that hold ``low`` to ``high``; coarser ones when there are too many."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ladder = [float(f"{step}e{decade}") for decade, step in itertools.product(decades, steps)]
        first = max(i for i, tick in enumerate(ladder) if tick <= low)
        last = min(i for i, tick in enumerate(ladder) if tick >= high)
        if last - first < most:
            break
    return ladder[first : last + 1]
