"""A chart as a page and a paper take it: drawn wide and narrow, and as Vega-Lite for who can run it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from whichpu.reports.charts import FONT, NARROW, WIDE, as_svg
from whichpu.results import store

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTHS = (WIDE, NARROW)
PIXELS = 2.0
"""Of a PNG, for one of the SVG: sharp in print at half a page's width."""
CHOSEN = "chosen"
"""The parameter of a chart that names the contender to be shown before the others."""


class Picture(NamedTuple):
    """``name`` is a file's, ``facts`` what is told to who can't see it; ``spec`` is empty where nothing can be run."""

    name: str
    title: str
    says: str
    facts: str
    drawn: tuple[str, str]
    spec: str = ""
    """JSON: ``specs`` for a wide and a narrow page, and the ``datasets`` that both take."""

    @property
    def alt(self) -> str:
        return f"{self.title}: {self.facts}"

    @property
    def wide(self) -> Markup:
        return _ours(self.drawn[0])

    @property
    def narrow(self) -> Markup:
        return _ours(self.drawn[1])

    @property
    def data(self) -> Markup:
        """The Vega-Lite, to stand in a page's script."""
        return _ours(self.spec)


def picture(name: str, title: str, says: str, facts: str, make: Callable[[int], dict[str, Any]]) -> Picture:
    """A chart that ``make`` gives as Vega-Lite for a width."""
    specs = [make(width) for width in WIDTHS]
    wide, narrow = (shorter(as_svg(spec)) for spec in specs)
    datasets = specs[0].pop("datasets", {})
    specs[1].pop("datasets", None)  # the same: only where they stand depends on the width
    return Picture(name, title, says, facts, (wide, narrow), _in_script({"datasets": datasets, "specs": specs}))


PLACES = re.compile(r' (?:d|transform|x|y|x1|x2|y1|y2|width|height)="[^"]*"')
FONTS = f' font-family="{FONT}"'


def shorter(svg: str) -> str:
    """An SVG without what is said again and again: steps under a tenth of a pixel, and the font of every text."""
    rounded = PLACES.sub(lambda place: re.sub(r"(\d\.\d)\d+", r"\1", place[0]), svg)
    return rounded.replace(FONTS, "").replace("<svg ", f"<svg{FONTS} ", 1)


def fading(opacity: float) -> Any:
    """The opacity of a mark: faint while another contender (``who``) is chosen."""
    import altair as alt

    chosen = alt.when(f"{CHOSEN} === '' || {CHOSEN} === datum.who")
    return chosen.then(alt.value(opacity)).otherwise(alt.value(opacity * 0.15))


def choosable(spec: dict[str, Any]) -> dict[str, Any]:
    """Vega-Lite with the parameter that :func:`fading` asks for."""
    return {**spec, "params": [*spec.get("params", []), {"name": CHOSEN, "value": ""}]}


def slug(text: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:80] or "model"


def saved(pictures: Sequence[tuple[str, str]], folder: Path) -> list[Path]:
    """Write each SVG, under its name, as it is and as PNG on white. Raises :class:`UserError`."""
    import vl_convert

    paths = []
    for name, svg in pictures:
        for suffix, data in (
            (".svg", svg.encode()),
            (".png", vl_convert.svg_to_png(_on_white(svg), scale=PIXELS)),
        ):
            path = folder / f"{name}{suffix}"
            store.write(path, data)
            paths.append(path)
    return paths


def _on_white(svg: str) -> str:
    return re.sub(r"(<svg[^>]*>)", r'\1<rect width="100%" height="100%" fill="#ffffff"/>', svg, count=1)


def _in_script(spec: dict[str, Any]) -> str:
    """JSON that can't end the script it stands in."""
    text = json.dumps(spec, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _ours(text: str) -> Markup:
    """Our own drawing, whose texts Vega has escaped, or our own JSON."""
    from markupsafe import Markup

    return Markup(text)
