"""A recommendation in words: its sentences in a language, and its tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from whichpu.recommend.advice import Advice, Fit, Reason, Standing
from whichpu.reports import units
from whichpu.reports.prose import Translator
from whichpu.reports.prose import advice as messages  # noqa: F401  # its messages are then known
from whichpu.reports.tables import Column, fits, print_item, print_tables, table

if TYPE_CHECKING:
    from rich.console import Console

FITS = {None: "unknown", True: "yes", False: "no"}


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
    params: dict[str, Any] = dict(reason.params)
    changes = params.get("changes")
    if isinstance(changes, list):
        params["several"] = [translator.text("advice.relax-part", **each) for each in changes]
    return translator.text(reason.id, **params)


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
    screen.print(f"\n[bold]{translator.label('Recommendation')}[/bold]: {advice.model}", markup=True)
    _list(screen, "", (reason.text for reason in advice.reasons))
    _list(screen, translator.label("What would let one in"), (each.reason.text for each in advice.relax))
    _list(screen, translator.label("What would change it"), (each.reason.text for each in advice.flips))
    names = [each.contender for each in advice.contenders]
    columns = _columns(advice, translator)
    heading = Column(translator.label("contender"), names, folds=True)
    if fits(screen, [heading, *columns]):
        screen.print(table("", [heading, *columns]))
    else:
        print_tables(screen, heading, {"": columns})


def _list(screen: Console, heading: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    if lines and heading:
        screen.print(f"{heading}:", markup=False)
    for line in lines:
        print_item(screen, line, indent=2)


def _columns(advice: Advice, translator: Translator) -> list[Column]:
    rows = advice.contenders
    keys = list(dict.fromkeys([*advice.objectives, *(limit.metric for limit in advice.limits)]))
    found = [Column(translator.metric(key), [_figure(row, key, translator) for row in rows]) for key in keys]
    if advice.limits:
        found.append(Column(translator.label("within the limits"), [_within(row.fits, translator) for row in rows]))
    front = set(advice.pareto)
    yes = translator.label("yes")
    found.append(Column(translator.label("Pareto front"), [yes if row.contender in front else "" for row in rows]))
    if any(row.best is not None for row in rows):
        found.append(Column(translator.label("probability of best"), [units.chance(row.best) for row in rows]))
    return found


def _figure(row: Standing, key: str, translator: Translator) -> str:
    found = row.figures.get(key)
    return units.UNKNOWN if found is None else translator.figure(found.value, found.unit)


def _within(found: Sequence[Fit], translator: Translator) -> str:
    """The worst of all limits, in a word."""
    if any(fit.within is False for fit in found):
        return translator.label("no")
    if any(fit.within is None for fit in found):
        return translator.label("unknown")
    if any(fit.sure is False for fit in found):
        return translator.label("probably")
    return translator.label("by its figure" if any(fit.sure is None for fit in found) else "surely")
