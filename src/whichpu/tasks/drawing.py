"""A series drawn small, as an SVG data URI, for reports that show samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 480, 200, 10
KEY = 18
"""Height of a line of the key."""

MARKS = ("#2d8f3c", "#0078dc", "#e62828", "#e6a000", "#a03cb4")
"""The truth's colour first, then one for each that answered: those of boxes in pictures."""


def series(past: Sequence[float], after: Mapping[str, float]) -> str:
    """A line of past values, a dot for each value said to follow them, and below a key with those values."""
    values = [*map(float, past), *map(float, after.values())]
    low, high = min(values), max(values)
    left = MARGIN + 7 * max(len(f"{low:.5g}"), len(f"{high:.5g}")) + 6
    step = (WIDTH - MARGIN - left) / (len(past) + 2)
    unit = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)

    def at(value: float) -> str:
        return f"{HEIGHT - MARGIN - (value - low) * unit:.1f}"

    line = " ".join(f"{left + place * step:.1f},{at(float(value))}" for place, value in enumerate(past))
    scale = [
        f'<line x1="{left}" x2="{WIDTH}" y1="{at(end)}" y2="{at(end)}" stroke="#dfe3e8"/>'
        f'<text x="{left - 6}" y="{at(end)}" dy="4" text-anchor="end" fill="#59636e">{end:.5g}</text>'
        for end in dict.fromkeys((low, high))
    ]
    # Forecasts are for one time; each stands a little beside the last, so that none hides another.
    dots = [
        f'<circle cx="{left + (len(past) + place * 0.5) * step:.1f}" cy="{at(float(value))}" r="4.5"'
        f' fill="{_colour(place)}"/>'
        for place, value in enumerate(after.values())
    ]
    key = [
        f'<circle cx="{left + 5}" cy="{HEIGHT + KEY * place + 8}" r="4.5" fill="{_colour(place)}"/>'
        f'<text x="{left + 16}" y="{HEIGHT + KEY * place + 12}">{escape(who)} {value:.6g}</text>'
        for place, (who, value) in enumerate(after.items())
    ]
    whole = HEIGHT + KEY * len(after) + 4
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{whole}" viewBox="0 0 {WIDTH} {whole}"',
        ' font-family="Arial, Helvetica, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{whole}" fill="#ffffff"/>',
        *scale,
        f'<polyline points="{line}" fill="none" stroke="#59636e" stroke-width="1.6"/>',
        *dots,
        *key,
        "</svg>",
    ]
    return "data:image/svg+xml," + quote("".join(drawn))


def _colour(place: int) -> str:
    return MARKS[place % len(MARKS)]
