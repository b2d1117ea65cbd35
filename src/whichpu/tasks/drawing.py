"""A series drawn small, as an SVG data URI, for reports that show samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

WIDTH, HEIGHT, MARGIN = 360, 120, 8
MARKS = ("#111111", "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b")
"""The truth's colour first, then one for each contender, in turn."""


def series(past: Sequence[float], after: Mapping[str, float]) -> str:
    """A line of past values, and a dot for each value that follows them; hovering over a dot names it."""
    values = [*map(float, past), *after.values()]
    low, high = min(values), max(values)
    step = (WIDTH - 2 * MARGIN - 40) / max(1, len(past))
    unit = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)

    def at(value: float) -> float:
        return HEIGHT - MARGIN - (value - low) * unit

    points = " ".join(f"{MARGIN + place * step:.1f},{at(float(value)):.1f}" for place, value in enumerate(past))
    dots = "".join(
        f'<circle cx="{MARGIN + len(past) * step + 10 * place:.1f}" cy="{at(value):.1f}" r="3.5" '
        f'fill="{MARKS[place % len(MARKS)]}"><title>{_escaped(who)}: {value:.6g}</title></circle>'
        for place, (who, value) in enumerate(after.items())
    )
    line = f'<polyline points="{points}" fill="none" stroke="#888888" stroke-width="1.5"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
    return "data:image/svg+xml," + quote(f"{head}{line}{dots}</svg>")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
