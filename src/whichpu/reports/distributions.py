"""How single latencies lie: empirical distribution functions, and violins of their density."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichpu.reports.charts import GRID, LOG_FROM, NARROW, QUIET, SERIES, WIDE, Density, Frame, log_ticks, plain
from whichpu.reports.picture import choosable, fading
from whichpu.stats import describe

SHARES = np.concatenate([np.linspace(0, 0.98, 50), [0.985, 0.99, 0.995, 0.998, 0.999]])
"""Where a distribution is drawn; what lies beyond the last is left to the tables."""
LEVELS = 40
"""Points of a density."""
REACH = 10
"""Pixels of a density's widest place, to each side."""
MOST = 2_000
"""Latencies that a density is estimated from: so many quantiles of all."""
DASHES = ([1, 0], [6, 3], [2, 2])
"""Lines beyond the number of colours are dashed."""


class Sample(NamedTuple):
    """One contender's single latencies in ns."""

    name: str
    latencies_ns: NDArray[np.float64]
    front: bool = False


def ecdf(
    samples: Sequence[Sample], unit: tuple[str, float], title: str, share: str, width: int = WIDE
) -> dict[str, Any]:
    """A rising line for each contender: which share of its inferences took at most so long. ``unit`` is its name and
    size in ns. As Vega-Lite."""
    import altair as alt

    name, size = unit
    lines = [quantiles(each) / size for each in samples]
    data = [
        {"i": at, "x": _short(x), "y": _short(y)}
        for at, xs in enumerate(lines)
        for x, y in zip(xs, SHARES, strict=True)
    ]
    low, high = min(xs[0] for xs in lines), max(xs[-1] for xs in lines)
    narrow = width <= NARROW
    inner = width - 70 if narrow else width - 330
    x = alt.X("x:Q", scale=_scale(low, high), axis=_axis(f"{title}, {name}", low, high, inner))
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title=share, format="%", **_style()))
    names = [each.name for each in samples]
    told = {"scale": alt.Scale(domain=names, range=_colours(names)), "legend": _legend(narrow)}
    dashed = told | {"scale": alt.Scale(domain=names, range=_dashes(names))}
    chart = (
        alt.Chart(alt.NamedData("lines"))
        .transform_calculate(who=f"{json.dumps(names)}[datum.i]")
        .mark_line(strokeWidth=2)
        .encode(
            x=x,
            y=y,
            color=alt.Color("who:N", **told),
            strokeDash=alt.StrokeDash("who:N", **dashed),
            opacity=fading(1),
            tooltip=[
                "who:N",
                alt.Tooltip("x:Q", title=name, format=",.4~g"),
                alt.Tooltip("y:Q", title="≤", format=".1~%"),
            ],
        )
        .properties(width=inner, height=240 if narrow else 300)
    )  # fmt: skip
    return choosable({**plain(chart), "datasets": {"lines": data}})


def violins(
    samples: Sequence[Sample], labels: Sequence[str], unit: tuple[str, float], title: str, scale: str, width: int = WIDE
) -> dict[str, Any]:
    """A density a contender, a stroke at its median and a short one at its p99. ``scale`` is what a logarithmic one is
    called. As Vega-Lite."""
    name, size = unit
    rows = [density(each, label, size) for each, label in zip(samples, labels, strict=True)]
    seen = [end for row in rows for end in (row.points[0], row.points[-1])]
    frame = Frame(rows, seen, f"{title}, {name}", width, scale=scale)
    areas = [
        {"i": at, "x": _short(x), "d": level}
        for at, row in enumerate(rows)
        for x, level in zip(row.points, row.levels, strict=True)
    ]
    middles = [{**frame.place(at), "x": row.p50, "who": row.name, "tip": row.label} for at, row in enumerate(rows)]
    ends = [{**frame.place(at), "x": row.p99, "who": row.name} for at, row in enumerate(rows) if row.p99 is not None]
    spec = frame.spec(
        _areas(frame, rows),
        frame.marks(ends).mark_tick(thickness=1.5, size=12).encode(opacity=fading(1)),
        frame.marks(middles).mark_tick(thickness=3, size=20).encode(opacity=fading(1), tooltip=["who:N", "tip:N"]),
    )
    return choosable({**spec, "datasets": {"areas": areas}})


def _areas(frame: Frame, rows: Sequence[Density]) -> Any:
    """The densities, placed in the rows of a frame; the data are the same for any width."""
    import altair as alt

    places = [frame.place(at) for at in range(len(rows))]
    spots, colours = (json.dumps([place[name] for place in places]) for name in ("y", "colour"))
    return (
        frame.of(alt.NamedData("areas"))
        .transform_calculate(
            y=f"{spots}[datum.i] - {REACH} * datum.d",
            y2=f"{spots}[datum.i] + {REACH} * datum.d",
            colour=f"{colours}[datum.i]",
            who=f"{json.dumps([row.name for row in rows])}[datum.i]",
        )
        .mark_area(orient="vertical", line=False)
        .encode(y2="y2:Q", detail="who:N", opacity=fading(0.5))
    )


def quantiles(sample: Sample) -> NDArray[np.float64]:
    """Observed latencies in ns at :data:`SHARES`."""
    found: NDArray[np.float64] = np.quantile(sample.latencies_ns, SHARES, method="inverted_cdf")
    return found


def density(sample: Sample, label: str, size_ns: float) -> Density:
    """A Gaussian kernel estimate over the logs, its widest place 1, from the least latency to p99.9."""
    from scipy.stats import gaussian_kde

    every = sample.latencies_ns
    kept = np.quantile(every, np.linspace(0, 0.999, min(MOST, every.size)))
    logs = np.log(np.maximum(kept, 1.0))
    p50 = float(np.quantile(every, 0.5)) / size_ns
    p99 = None if describe.unsupported(every.size, 99) else float(np.quantile(every, 0.99)) / size_ns
    if logs.size < 3 or np.ptp(logs) == 0:
        return Density(sample.name, label, [p50, p50], [1.0, 1.0], p50, p99, sample.front)
    places = np.linspace(logs[0], logs[-1], LEVELS)
    levels = gaussian_kde(logs)(places)
    shares = (levels / levels.max()).round(3).tolist()
    return Density(sample.name, label, (np.exp(places) / size_ns).tolist(), shares, p50, p99, sample.front)


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _colours(names: Sequence[str]) -> list[str]:
    return [SERIES[at % len(SERIES)] for at in range(len(names))]


def _dashes(names: Sequence[str]) -> list[list[int]]:
    return [DASHES[at // len(SERIES) % len(DASHES)] for at in range(len(names))]


def _scale(low: float, high: float) -> Any:
    import altair as alt

    if low > 0 and high / low > LOG_FROM:
        return alt.Scale(type="log", domain=[low, high], nice=False)
    return alt.Scale(domain=[low, high], zero=False, nice=False)


def _axis(title: str, low: float, high: float, width: int) -> Any:
    import altair as alt

    logarithmic = low > 0 and high / low > LOG_FROM
    ticks: dict[str, Any] = {"tickCount": max(3, width // 110)}
    if logarithmic:
        ticks = {"values": [tick for tick in log_ticks(low, high, width // 55) if low <= tick <= high]}
    return alt.Axis(title=title, format=",.4~g" if not logarithmic else ",~f", **ticks, **_style())


def _style() -> dict[str, Any]:
    return {
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelColor": QUIET,
        "titleColor": QUIET, "gridColor": GRID, "domain": False, "ticks": False, "labelPadding": 6,
    }  # fmt: skip


def _legend(narrow: bool) -> Any:
    import altair as alt

    where = {"orient": "bottom", "columns": 1} if narrow else {"orient": "right", "offset": 18}
    return alt.Legend(
        title=None, labelLimit=300 if narrow else 230, labelFontSize=12.5, labelColor="#1f2328", symbolType="stroke",
        symbolSize=300, symbolStrokeWidth=2.5, symbolOpacity=1, **where,
    )  # fmt: skip
