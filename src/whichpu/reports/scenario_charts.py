"""Charts of scenarios as SVG: throughput over what was swept, and latency against the offered rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from whichpu.reports import units
from whichpu.reports.charts import FONT, FRONT, GRID, INK, LINE, NARROW, QUIET, REST, WIDE, log_ticks
from whichpu.results.scenarios import Row, ScenarioRun

if TYPE_CHECKING:
    import altair

HEIGHT = 260
SERIES_MOST = 6
SWEPT = ("batch", "streams", "threads")
SWEEP = "LoadGen’s samples a second. Filled: VALID; hollow: INVALID. Blue: the series with the largest."
OFFERED = (
    "Each dot is a test: its p{percent} against the rate offered. Filled: VALID; hollow: INVALID. Large: the"
    " highest rate that holds, blue where it is the largest. Dashes: the bound. Both scales are logarithmic."
)


class Point(NamedTuple):
    """A test: where it stands, LoadGen's verdict, and whether it is its row's answer."""

    x: float | str
    y: float
    valid: bool
    answer: bool = False


class Series(NamedTuple):
    """Points of one name, in order of x."""

    name: str
    points: list[Point]
    front: bool


def charts_of(run: ScenarioRun) -> list[dict[str, Any]]:
    """The charts that this run has something for, as the report's template takes them."""
    found = []
    if len(run.rows) > 1:
        swept = next((name for name in SWEPT if len({getattr(row, name) for row in _found(run)}) > 1), None)
        series = _sweeps(run, swept) if swept is not None else []
        if swept is not None and series:
            drawn = [sweep(series, swept, width) for width in (WIDE, NARROW)]
            found.append(_chart(f"Throughput over {swept}", SWEEP, drawn, series))
    series = _offers(run) if run.terms.scenario == "Server" else []
    if series:
        unit = units.time_unit(point.y for each in series for point in each.points)
        bound = (run.terms.bound_ns or 0) / unit.size
        scaled = [
            each._replace(points=[point._replace(y=point.y / unit.size) for point in each.points]) for each in series
        ]
        drawn = [offered(scaled, unit.name, bound, width) for width in (WIDE, NARROW)]
        percent = f"{100 * run.terms.percentile:g}"
        found.append(_chart("Latency against the offered rate", OFFERED.format(percent=percent), drawn, series))
    return found


def sweep(series: Sequence[Series], swept: str, width: int = WIDE) -> str:
    """Throughput from zero over a few values of ``swept``."""
    import altair as alt

    values = sorted({str(point.x) for each in series for point in each.points}, key=int)
    top = 1.05 * max(point.y for each in series for point in each.points)
    frame = _Frame(series, width, beside=True)
    x = alt.X("x:O", scale=alt.Scale(domain=values, padding=0.3), axis=_axis(swept, labelAngle=0))
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, top]), axis=_axis("samples a second", tickCount=5))
    return frame.draw(x, y, [])


def offered(series: Sequence[Series], unit: str, bound: float, width: int = WIDE) -> str:
    """Latency over the offered rate with the bound across, both logarithmic."""
    import altair as alt

    points = [point for each in series for point in each.points]
    frame = _Frame(series, width, beside=False)
    across = log_ticks(min(float(p.x) for p in points), max(float(p.x) for p in points), max(3, frame.width // 70))
    up = log_ticks(min(bound, *(p.y for p in points)), max(bound, *(p.y for p in points)), 8)
    x = alt.X("x:Q", scale=_log(across), axis=_axis("queries offered a second", values=across))
    y = alt.Y("y:Q", scale=_log(up), axis=_axis(f"latency, {unit}", values=up))
    rule = alt.Chart(alt.Data(values=[{"y": bound}])).mark_rule(color=INK, strokeDash=[5, 4]).encode(y=y)
    return frame.draw(x, y, [rule])


class _Frame:
    """A plot with the series' names above it, each with its number, which stands in the plot too.

    ``beside``: in a row beside the last points, which may lie close; else above or below the answers.
    """

    def __init__(self, series: Sequence[Series], width: int, beside: bool) -> None:
        self.series = series
        self.width = width - 90
        self.beside = beside

    def draw(self, x: altair.X, y: altair.Y, layers: list[Any]) -> str:
        """The series on these axes, as SVG."""
        import altair as alt
        import vl_convert

        for each in reversed(self.series):  # the front one on top
            colour = FRONT if each.front else REST
            line = [{"x": point.x, "y": point.y} for point in each.points]
            layers.append(self._chart(line, x, y).mark_line(color=colour, strokeWidth=1.2, opacity=0.45))
            for kind, fill, size in (((True, False), colour, 50), ((False, False), "transparent", 50),
                                     ((True, True), colour, 160)):  # fmt: skip
                dots = [{"x": p.x, "y": p.y} for p in each.points if (p.valid, p.answer) == kind]
                layers.append(self._chart(dots, x, y).mark_point(size=size, color=colour, fill=fill, filled=False))
        layers += self._names(x, y) if len(self.series) > 1 else []
        chart = alt.layer(*layers).properties(width=self.width, height=HEIGHT)
        chart = chart.configure(font=FONT, background="transparent", padding=4, aria=False).configure_view(stroke=None)
        svg: str = vl_convert.vegalite_to_svg(chart.to_dict())
        return svg

    def _chart(self, data: list[dict[str, Any]], x: altair.X, y: altair.Y) -> altair.Chart:
        import altair as alt

        return alt.Chart(alt.Data(values=data)).encode(x=x, y=y)

    def _names(self, x: altair.X, y: altair.Y) -> list[Any]:
        import altair as alt

        drawn = []
        for index, each in enumerate(self.series):
            colour = FRONT if each.front else INK
            style = {"align": "left", "fontSize": 12.5, "color": colour}
            spot = (LINE + 4) * (index - len(self.series))
            name = alt.Chart(alt.Data(values=[{"text": f"{index + 1}  {each.name}"}])).mark_text(**style)
            drawn.append(name.encode(x=alt.value(0), y=alt.value(spot), text="text:N"))
            at = each.points[-1] if self.beside else next((p for p in each.points if p.answer), each.points[-1])
            shift = {"dx": 9 + 14 * index} if self.beside else {"dx": 7, "dy": 14 if index % 2 else -14}
            number = alt.Chart(alt.Data(values=[{"x": at.x, "y": at.y, "text": str(index + 1)}]))
            drawn.append(number.mark_text(**style, **shift).encode(x=x, y=y, text="text:N"))
        return drawn


def _axis(title: str, **more: Any) -> altair.Axis:
    import altair as alt

    style: dict[str, Any] = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8}
    style |= {"labelColor": QUIET, "titleColor": QUIET, "gridColor": GRID, "domain": False, "ticks": False}
    expression = {} if "labelAngle" in more else {"labelExpr": "format(datum.value, ',~f')"}
    return alt.Axis(title=title, labelPadding=6, **style, **expression, **more)


def _log(ticks: list[float]) -> altair.Scale:
    import altair as alt

    return alt.Scale(type="log", domain=[ticks[0], ticks[-1]], nice=False)


def _found(run: ScenarioRun) -> list[Row]:
    return [row for row in run.rows if row.found is not None and row.found.throughput_per_s is not None]


def _sweeps(run: ScenarioRun, swept: str) -> list[Series]:
    """A series for each contender and value of what else was swept, the largest throughput first."""
    others = [name for name in SWEPT if name != swept and len({getattr(row, name) for row in _found(run)}) > 1]
    series: dict[str, list[Point]] = {}
    for row in sorted(_found(run), key=lambda row: int(getattr(row, swept))):
        name = ", ".join([row.contender, *(f"{other} {getattr(row, other)}" for other in others)])
        assert row.found is not None
        point = Point(str(getattr(row, swept)), row.found.throughput_per_s or 0.0, row.found.valid)
        series.setdefault(name, []).append(point)
    return _best(series, lambda points: max(point.y for point in points))


def _offers(run: ScenarioRun) -> list[Series]:
    """A series for each row of Server, the highest rate that holds first."""
    from whichpu.reports.scenarios import called

    key = f"p{100 * run.terms.percentile:g}"
    series: dict[str, list[Point]] = {}
    for row in run.rows:
        points = [
            Point(probe.rate_per_s, probe.latency_ns[key], probe.valid, probe is row.found)
            for probe in row.probes
            if probe.latency_ns
        ]
        if points:
            series[called(row)] = sorted(points)
    return _best(series, lambda points: max((float(point.x) for point in points if point.answer), default=0.0))


def _best(series: dict[str, list[Point]], rank: Callable[[list[Point]], float]) -> list[Series]:
    names = sorted(series, key=lambda name: -rank(series[name]))[:SERIES_MOST]
    return [Series(name, series[name], name == names[0]) for name in names]


def _chart(title: str, says: str, drawn: list[str], series: Sequence[Series]) -> dict[str, Any]:
    from markupsafe import Markup

    # Our own drawing, whose texts Vega has escaped.
    wide, narrow = (Markup(svg) for svg in drawn)
    facts = "; ".join(f"{each.name}, {len(each.points)} points" for each in series)
    return {"title": title, "says": says, "wide": wide, "narrow": narrow, "alt": f"{title}: {facts}"}
