"""Memory in words, tables and curves; the terminal and the HTML report say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from whichpu.reports import units
from whichpu.reports.boundary import Grid, Text
from whichpu.reports.charts import FONT, FRONT, GRID, INK, QUIET, WIDE, wrapped
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables
from whichpu.results.memory import Level, curve_of
from whichpu.results.schema import Campaign
from whichpu.results.summary import Figures

if TYPE_CHECKING:
    import altair
    from rich.console import Console

TITLE = "memory on the host in MB, resident"
COLUMNS = (
    ("loaded", "loaded"),
    ("runtime and model", "model"),
    ("peak while loading", "peak_loading"),
    ("peak while measuring", "peak_measuring"),
)
"""Heads, and which of :class:`~whichpu.results.memory.MemoryFigures` stands below: those that don't depend on which
other processes share a library, as PSS and USS do."""

SAYS = (
    "Medians over rounds of one process each. Runtime and model: loaded, less what the process held before the runtime"
    " was imported. Resident pages are counted, those of shared libraries too."
)
CURVE_SAYS = (
    "Resident memory of one process from the runtime’s import to the end of the first inference, read every 5 ms."
    " Dashed: the peak by the kernel’s own count, which sees what falls between two readings. Dotted: where loading"
    " ended and the first inference began."
)
TWICE = ("onnxruntime",)
TWICE_SAYS = "the native loop holds the runtime’s library twice, for Python and for C (`--loop python` holds it once)."


class Panel(NamedTuple):
    """One contender while it loads: seconds and MB, the peak, and where its phases end."""

    name: str
    label: str
    at_s: list[float]
    megabytes: list[float]
    peak: float | None
    loaded_at_s: float | None


def known(rows: Sequence[Figures]) -> list[Figures]:
    """Contenders whose memory is known."""
    return [row for row in rows if row.memory is not None and row.memory.loaded is not None]


def show(rows: Sequence[Figures], screen: Console) -> None:
    """Print the table; nothing where nothing is known."""
    shown = known(rows)
    if not shown:
        return
    names = Column("contender", [row.name for row in shown], folds=True, least_of_names=NAME_LEAST)
    columns = [Column(head, [megabytes(level(row, name)) for row in shown], right=True) for head, name in told(shown)]
    print_tables(screen, names, {TITLE: columns})
    for line in sentences(shown):
        print_item(screen, line, indent=0)


def told(rows: Sequence[Figures]) -> list[tuple[str, str]]:
    """The columns in which something stands."""
    return [(head, name) for head, name in COLUMNS if any(level(row, name) is not None for row in rows)]


def grid(rows: Sequence[Figures]) -> Grid:
    """The table as texts with the reasons of its dashes."""
    shown = known(rows)
    heads = [("contender", ""), *((head, "MB") for head, _ in told(shown))]
    cells = [[Text(row.name), *(_text(row, name) for _, name in told(shown))] for row in shown]
    return Grid("Memory on the host", SAYS, heads, cells)


def _text(row: Figures, name: str) -> Text:
    found = level(row, name)
    return Text(megabytes(found), missing(row, name), spread(found))


def sentences(rows: Sequence[Figures]) -> list[str]:
    """What is missing and why, and what the native loop adds."""
    reasons: dict[str, list[str]] = {}
    for row in known(rows):
        for reason in dict.fromkeys(missing(row, name) for _, name in COLUMNS):
            if reason is not None:
                reasons.setdefault(reason, []).append(row.name)
    said = [f"Memory not all known for {units.joined(names)}: {reason}." for reason, names in reasons.items()]
    twice = [row.name for row in rows if row.loop == "native" and row.backend in TWICE]
    return said + [f"{units.joined(twice)}: {TWICE_SAYS}" for _ in twice[:1]]


def level(row: Figures, name: str) -> Level | None:
    """One of a contender's figures."""
    found: Level | None = getattr(row.memory, name) if row.memory is not None else None
    return found


def missing(row: Figures, name: str) -> str | None:
    """Why a figure is not known, if it isn't."""
    return None if row.memory is None else row.memory.missing.get(name)


def megabytes(found: Level | None) -> str:
    """The median."""
    return units.digits(None if found is None else found.bytes / 1e6)


def spread(found: Level | None) -> str:
    """Least to most, where there are several rounds."""
    if found is None or found.rounds < 2:
        return ""
    low, high = units.digits(found.least / 1e6), units.digits(found.most / 1e6)
    return "" if low == high else f"{low} to {high}"


def panels(campaign: Campaign, rows: Sequence[Figures]) -> list[Panel]:
    """A panel for each contender with a curve, in the order of the table."""
    results = {result.name: result for result in campaign.results}
    drawn = []
    for row in known(rows):
        curve = curve_of(results[row.name])
        if curve is None or len(curve.at_s) < 3 or row.yardstick:
            continue
        peak = level(row, "peak_loading")
        label = f"peak {megabytes(peak)} MB, loaded {megabytes(level(row, 'loaded'))} MB"
        ends = dict(curve.phases)
        drawn.append(
            Panel(
                row.name,
                label,
                curve.at_s,
                [size / 1e6 for size in curve.bytes],
                None if peak is None else peak.bytes / 1e6,
                ends.get("load"),
            )
        )
    return drawn


def while_loading(rows: Sequence[Panel], width: int = WIDE) -> str:
    """All panels below each other on one pair of axes, as SVG."""
    import altair as alt
    import vl_convert

    longest_s = max(max(row.at_s[-1], row.loaded_at_s or 0.0) for row in rows)
    most = max(max([*row.megabytes, row.peak or 0.0]) for row in rows)
    drawn = [_drawn(row, width, longest_s, most, row is rows[-1]) for row in rows]
    chart = alt.vconcat(*drawn).configure(font=FONT, background="transparent", padding=4, aria=False)
    chart = chart.configure_view(stroke=None).configure_concat(spacing=10)
    svg: str = vl_convert.vegalite_to_svg(chart.to_dict(validate=False))
    return svg


def _drawn(row: Panel, width: int, longest_s: float, most: float, last: bool) -> altair.LayerChart:
    import altair as alt

    quiet: dict[str, Any] = {
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelColor": QUIET,
        "titleColor": QUIET, "gridColor": GRID, "domain": False, "ticks": False, "labelPadding": 6,
    }  # fmt: skip
    size, word = (1.0, "seconds") if longest_s >= 2 else (1e-3, "milliseconds")
    x_axis = alt.Axis(title=word if last else None, labels=last, tickCount=max(4, width // 110), **quiet)
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, longest_s / size], nice=False), axis=x_axis)
    y_axis = alt.Axis(title="MB", tickCount=4, labelExpr="format(datum.value, ',~f')", minExtent=58, **quiet)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, most * 1.05], nice=False), axis=y_axis)
    points = [{"x": at_s / size, "y": value} for at_s, value in zip(row.at_s, row.megabytes, strict=True)]
    peaks = [{"y": row.peak}] if row.peak is not None else []
    ends = [{"x": row.loaded_at_s / size}] if row.loaded_at_s is not None else []

    def chart_of(values: list[dict[str, Any]]) -> altair.Chart:
        return alt.Chart(alt.Data(values=values))

    step: Any = "step-after"
    heading = alt.TitleParams(
        wrapped(row.name, 40 if width < 600 else 90), subtitle=row.label, anchor="start", frame="group",
        fontSize=12.5, fontWeight="normal", color=INK, subtitleColor=QUIET, subtitleFontSize=12, offset=4,
    )  # fmt: skip
    return alt.layer(
        chart_of(points).mark_area(opacity=0.22, color=FRONT, interpolate=step).encode(x=x, y=y),
        chart_of(points).mark_line(color=FRONT, strokeWidth=1.8, interpolate=step).encode(x=x, y=y),
        chart_of(peaks).mark_rule(color=INK, strokeDash=[5, 4]).encode(y=y),
        chart_of(ends).mark_rule(color=INK, strokeDash=[1.5, 3]).encode(x=x),
    ).properties(width=width - 90, height=90, title=heading)
