"""A recommendation in words: its sentences in a language, and its tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from whichpu.recommend.advice import Advice, Fit, Flip, Reason, Standing
from whichpu.reports import units
from whichpu.reports.figures import together
from whichpu.reports.prose import Translator
from whichpu.reports.prose import advice as messages  # noqa: F401  # its messages are then known
from whichpu.reports.tables import Column, fits, print_item, print_tables, safe, table
from whichpu.results.entries import Value

if TYPE_CHECKING:
    from rich.console import Console

FAR = 1_000
"""Figures further apart than this factor keep their own units."""


def told(advice: Advice, language: str = "en") -> Advice:
    """The advice with every sentence's text. Raises :class:`~whichpu.errors.UserError` for an unknown language."""
    translator = Translator(language)
    return msgspec.structs.replace(
        advice,
        reasons=[_told(reason, translator) for reason in advice.reasons],
        relax=[msgspec.structs.replace(each, reason=_told(each.reason, translator)) for each in advice.relax],
        flips=[msgspec.structs.replace(each, reason=_told(each.reason, translator)) for each in advice.flips],
        models=[told(each, language) for each in advice.models],
    )


def text(reason: Reason, translator: Translator) -> str:
    """A reason in words."""
    params: dict[str, Any] = _alike(reason.params)
    changes = params.get("changes")
    if isinstance(changes, list):
        parts = [(f"assign.part-{each['kind']}" if "kind" in each else "advice.relax-part", each) for each in changes]
        params["several"] = [translator.text(id, **_alike(each)) for id, each in parts]
    return translator.text(reason.id, **params)


def _alike(params: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of one sentence in one unit, where none of them then becomes tiny."""
    figures = {name: each for name, each in params.items() if isinstance(each, list) and _is_figure(each)}
    sizes = [abs(each[0]) for each in figures.values() if each[0]]
    units_ = {each[1] for each in figures.values()}
    if len(sizes) < 2 or len(units_) > 1 or max(sizes) >= FAR * min(sizes):
        return dict(params)
    like = max(sizes)
    return {**params, **{name: [*[*each, None][:3], like] for name, each in figures.items()}}


def _is_figure(each: list[Any]) -> bool:
    return 2 <= len(each) <= 3 and isinstance(each[0], int | float) and isinstance(each[1], str)


def _told(reason: Reason, translator: Translator) -> Reason:
    return msgspec.structs.replace(reason, text=text(reason, translator))


# ---------------------------------------------------------------- the terminal


def show(advice: Advice, screen: Console, language: str = "en") -> None:
    """Print an advice that was told: for each model the sentences, and the contenders in a table."""
    translator = Translator(language)
    if advice.models:
        print_item(screen, advice.reasons[0].text, indent=0)
    for each in advice.models or [advice]:
        _show(each, screen, translator)


def _show(advice: Advice, screen: Console, translator: Translator) -> None:
    model = safe(advice.model or "")
    screen.print(f"\n[bold]{translator.label('Recommendation')}[/bold]: {model}")
    listed(screen, "", (reason.text for reason in advice.reasons))
    listed(screen, translator.label("What would let one in"), (each.reason.text for each in advice.relax))
    listed(screen, translator.label("What would change it"), (each.reason.text for each in _once(advice.flips)))
    names = [each.contender for each in advice.contenders]
    columns = _columns(advice, translator)
    heading = Column(translator.label("contender"), names, folds=True)
    if fits(screen, [heading, *columns]):
        screen.print(table("", [heading, *columns]))
    else:
        print_tables(screen, heading, {"": columns})


def _once(flips: Sequence[Flip]) -> list[Flip]:
    """A limit on a figure that makes a contender win says no more than that the figure counts first."""
    wished = {(each.winner, each.objective) for each in flips if each.kind == "objective"}
    return [each for each in flips if each.kind != "limit" or (each.winner, each.figure) not in wished]


def listed(screen: Console, heading: str, lines: Iterable[str]) -> None:
    """Print sentences under a heading."""
    lines = list(lines)
    if lines and heading:
        screen.print(f"{heading}:", markup=False)
    for line in lines:
        print_item(screen, line, indent=2)


def _columns(advice: Advice, translator: Translator) -> list[Column]:
    rows = advice.contenders
    keys = list(dict.fromkeys([*advice.objectives, *(limit.metric for limit in advice.limits)]))
    found = [_figures(rows, key, translator) for key in keys]
    if advice.limits:
        found.append(Column(translator.label("within the limits"), [_within(row.fits, translator) for row in rows]))
    front = set(advice.pareto)
    yes = translator.label("yes")
    found.append(Column(translator.label("Pareto front"), [yes if row.contender in front else "" for row in rows]))
    if any(row.best is not None for row in rows):
        found.append(Column(translator.label("probability of best"), [units.chance(row.best) for row in rows]))
    return found


def _figures(rows: Sequence[Standing], key: str, translator: Translator) -> Column:
    known = [row.figures.get(key) for row in rows]
    values = [None if each is None else Value(value=each.value, unit=each.unit, step=each.step) for each in known]
    unit, cells = together(values)
    heading = translator.metric(key)
    return Column(f"{heading} ({unit})" if unit else heading, cells)


def _within(found: Sequence[Fit], translator: Translator) -> str:
    """The worst of all limits, in a word."""
    if any(fit.within is False for fit in found):
        return translator.label("no")
    if any(fit.within is None for fit in found):
        return translator.label("unknown")
    if any(fit.sure is False for fit in found):
        return translator.label("probably")
    if any(fit.sure is None for fit in found):
        return translator.label("by its figure")
    return translator.label("surely")
