"""An assignment of models to units in words, and as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from whichpu.recommend.advice import Reason
from whichpu.recommend.assignment import Assignment
from whichpu.reports import units
from whichpu.reports.advice import listed, text
from whichpu.reports.prose import Translator
from whichpu.reports.tables import Column, print_tables

if TYPE_CHECKING:
    from rich.console import Console


def told(found: Assignment, language: str = "en") -> Assignment:
    """The assignment with every sentence's text. Raises :class:`~whichpu.errors.UserError` for an unknown language."""
    translator = Translator(language)
    return msgspec.structs.replace(
        found,
        reasons=[_told(reason, translator) for reason in found.reasons],
        relax=[msgspec.structs.replace(each, reason=_told(each.reason, translator)) for each in found.relax],
    )


def _told(reason: Reason, translator: Translator) -> Reason:
    return msgspec.structs.replace(reason, text=text(reason, translator))


def show(found: Assignment, screen: Console, language: str = "en") -> None:
    """Print an assignment that was told."""
    translator = Translator(language)
    screen.print(f"\n[bold]{translator.label('Assignment')}[/bold]")
    listed(screen, "", (reason.text for reason in found.reasons))
    listed(screen, translator.label("What would meet the plan"), (each.reason.text for each in found.relax))
    if found.choices:
        rows = found.choices
        columns = [
            Column(translator.label("processing unit"), [row.unit for row in rows], folds=True),
            Column(translator.label("contender"), [row.contender for row in rows], folds=True),
            Column(translator.label("rate (1/s)"), [units.digits(row.rate_per_s) for row in rows]),
            Column(translator.label("load of the unit"), [units.digits(row.load) for row in rows]),
            Column(translator.label("power (W)"), [units.digits(row.power_w) for row in rows]),
        ]
        print_tables(screen, Column(translator.label("model"), [row.model for row in rows], folds=True), {"": columns})
