"""A decision report on disk: the page or the Markdown, and its charts for papers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whichpu.errors import UserError
from whichpu.reports import decision_html, decision_markdown, html
from whichpu.reports.decision import Decision, analyses_of, split
from whichpu.reports.picture import Picture, saved, slug
from whichpu.results import anything
from whichpu.results.reported import Reported
from whichpu.results.together import TogetherRun

MARKDOWN = decision_markdown.BEGINNING


class Made(NamedTuple):
    """The text of a report, and its charts as SVG under their names."""

    text: str
    charts: list[tuple[str, str]]


def made(
    paths: Sequence[Path],
    output: Path,
    normalise_to: str | None = None,
    language: str = "en",
    charts: Path | None = None,
    *,
    markdown: bool = False,
) -> Made:
    """The report of results and of the analyses beside them. Raises :class:`UserError`."""
    results, analyses = split(paths)
    if not results:
        raise UserError("no file of results was given", "name campaign files or other tools' results")
    decision = Decision(anything.opened(results), normalise_to, language, analyses_of(analyses))
    if not markdown and all(isinstance(file.content, TogetherRun) for file in decision.files):
        return Made(html.page(_ours(decision)), [*_of_campaigns(decision)])  # there is nothing to decide between
    pictures = decision_html.drawings(decision)
    folder = None if charts is None else Path(os.path.relpath(charts, output.parent))
    text = decision_markdown.written(decision, pictures, folder) if markdown else decision_html.page(decision, pictures)
    drawn = [(each.name, each.drawn[0]) for group in pictures.values() for each in group]
    return Made(text, [*drawn, *(_of_campaigns(decision) if charts is not None else ())])


def drawn(report: Made, folder: Path) -> list[Path]:
    """Write the charts into a folder, made where it isn't there. Raises :class:`UserError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(
            f"can't make the folder {folder}: {problem.strerror}", "name another: --charts DIR"
        ) from problem
    return saved(report.charts, folder)


def _ours(decision: Decision) -> list[tuple[str, html.Run]]:
    """The files that are no other tool's."""
    return [(file.name, file.content) for file in decision.files if not isinstance(file.content, Reported)]


def _of_campaigns(decision: Decision) -> Iterator[tuple[str, str]]:
    """The charts of campaigns and scenarios, as their parts of the page have them."""
    ours = _ours(decision)
    for (name, _), view in zip(ours, html.context(ours)["views"], strict=True):
        for title, svg in _charts(view.values()):
            yield f"{slug(Path(name).stem)}-{slug(title).lower()}", svg


def _charts(found: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for each in found:
        if isinstance(each, dict) and "wide" in each:
            yield str(each["title"]), str(each["wide"])
        elif isinstance(each, dict):
            yield from _charts(each.values())
        elif isinstance(each, (list, tuple)) and not isinstance(each, Picture):
            yield from _charts(each)
