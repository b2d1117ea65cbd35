"""The chart of contenders at once as SVG: throughput of each alone, and of all at once as one stacked bar."""

from __future__ import annotations

from typing import Any, NamedTuple

from whichpu.reports import units
from whichpu.reports.charts import NARROW, SERIES, WIDE, Frame, Median
from whichpu.results.joint import Joint, Outcome, Slowdown

AT_ONCE = "all at once"


class Piece(NamedTuple):
    """A part of a bar: from where to where, and whose."""

    row: int
    start: float
    end: float
    owner: int


def charts_of(found: Outcome) -> list[dict[str, Any]]:
    """Throughput, where it is known: in inferences a second, or for different models in what each does alone."""
    from markupsafe import Markup

    if found.joint is None:
        return []
    one_model = found.joint.one_model
    alone, beside = _heights(found.contenders, found.joint)
    wide, narrow = (Markup(drawn(found.contenders, alone, beside, one_model, width)) for width in (WIDE, NARROW))
    title = "Throughput, each alone and all at once"
    says = "The bar of all at once is made of the contenders' own parts, in their colours."
    if not one_model:
        says += " They run different models: each part is counted in what its contender does alone."
    facts = [f"{row.name} {_label(value, one_model)}" for row, value in zip(found.contenders, alone, strict=True)]
    alt = f"{title}: {'; '.join([*facts, f'{AT_ONCE} {_label(sum(beside), one_model)}'])}"
    return [{"title": title, "says": says, "wide": wide, "narrow": narrow, "alt": alt}]


def drawn(
    contenders: list[Slowdown], alone: list[float], beside: list[float], one_model: bool, width: int = WIDE
) -> str:
    """A bar for each contender alone, and one of all at once, as SVG."""
    bars = [(f"{row.name} alone", value) for row, value in zip(contenders, alone, strict=True)] + [
        (AT_ONCE, sum(beside))
    ]
    rows = [Median(name, _label(value, one_model), value, None, None, [], front=False) for name, value in bars]
    title = "inferences a second" if one_model else "throughput, in what each does alone"
    most = 1.02 * max(value for _, value in bars)
    frame = Frame(rows, [0.0, most], title, width, domain=(0.0, most))
    pieces = [Piece(place, 0.0, value, place) for place, value in enumerate(alone)]
    start = 0.0
    for place, value in enumerate(beside):
        pieces.append(Piece(len(contenders), start, start + value, place))
        start += value
    data = [
        {**frame.place(piece.row), "x": piece.start, "x2": piece.end, "colour": SERIES[piece.owner % len(SERIES)]}
        for piece in pieces
    ]
    return frame.draw(frame.marks(data, x2=True).mark_bar(size=13))


def _heights(contenders: list[Slowdown], found: Joint) -> tuple[list[float], list[float]]:
    """Throughputs alone and together: in inferences a second, or in what each does alone.

    The sum of those together is the figure of all: a mean of sums, which is not quite the sum of means.
    """
    alone = [row.alone_per_s.value if row.alone_per_s else 0.0 for row in contenders]
    beside = [row.together_per_s.value if row.together_per_s else 0.0 for row in contenders]
    if not found.one_model:
        alone = [1.0] * len(alone)
        beside = [1 / row.slowdown.value if row.slowdown else 0.0 for row in contenders]
    whole = found.per_s if found.per_s is not None else found.work
    return alone, [value * whole.value / sum(beside) for value in beside]


def _label(value: float, one_model: bool) -> str:
    return f"{units.digits(value)}/s" if one_model else f"{units.digits(value)} times"
