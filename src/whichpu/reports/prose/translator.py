"""Messages put into words of a language: templates from a catalogue, numbers by the locale, particles by the sound.

Catalogues are read as they are edited (``.po``), by Babel, once a process: so they need no build step and are the same
in an editable install, in a wheel and in a clone; a compiled ``.mo`` would have to be made before each of these.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from whichpu.errors import UserError
from whichpu.reports import units
from whichpu.reports.prose.messages import MESSAGES
from whichpu.reports.prose.particles import EITHER, with_particle
from whichpu.reports.words import SCORES
from whichpu.results.entries import METRICS

LANGUAGES = ("en", "ko")
PRICE = "price"
"""The one figure that is no measurement: from the user's own table."""
LADDERS = {"ns": units.time_unit, "J": units.energy_unit, "W": units.power_unit}


class Translator:
    """Says messages and labels in ``language``. Raises :class:`UserError` for a language without a catalogue."""

    def __init__(self, language: str = "en") -> None:
        if language not in LANGUAGES:
            raise UserError(f"no texts in {language!r}", f"choose one of: {', '.join(LANGUAGES)}")
        self.language = language
        self._catalogue = {} if language == "en" else catalogue(language)
        self._shown = _Shown(self)
        self._kinds: dict[str, Callable[[Any], str]] = {
            "": str,
            "ratio": self.number,
            "number": lambda value: self._decimal(value, "#,##0.###"),
            "percent": lambda value: f"{self.number(100 * value)} %" if value else "0 %",
            "figure": lambda figure: self.figure(*figure),
            "metric": self.metric,
            "metrics": lambda keys: self.names([self.metric(key) for key in keys]),
            "list": self.names,
            "label": self.label,
        }

    def text(self, id: str, /, **params: Any) -> str:
        """A message of :data:`MESSAGES` filled in. Raises :class:`KeyError` for one that isn't there."""
        english = MESSAGES[id]
        return self._shown.vformat(self._catalogue.get((id, english), english), (), params)

    def label(self, english: str, /, **params: Any) -> str:
        """A heading, a label or a word, named by its English; as it is where the catalogue doesn't have it."""
        template = self._catalogue.get((None, english), english)
        return self._shown.vformat(template, (), params) if params else template

    def shown(self, value: Any, spec: str) -> str:
        """A field's value as its template asks: the kind, then a particle."""
        kind, _, particle = spec.partition(",") if spec not in EITHER else ("", "", spec)
        text = self._kinds[kind](value)
        return with_particle(text, particle) if particle else text

    # ---------------------------------------------------------------- numbers and names

    def number(self, value: float, significant: int = 3) -> str:
        """A number to so many significant digits, in the locale's form."""
        if value == 0:
            return "0"
        exponent = int(f"{value:.{significant - 1}e}".split("e")[1])
        return self.rounded(value, max(0, significant - 1 - exponent))

    def rounded(self, value: float, decimals: int) -> str:
        """A number with so many decimals, in the locale's form."""
        return self._decimal(value, "#,##0" + ("." + "0" * decimals if decimals else ""))

    def figure(self, value: float, unit: str, step: float | None = None) -> str:
        """A figure with its unit: as finely as its source prints it (``step``), else to three significant digits."""
        if unit == units.SHARE:
            return self._stepped(100 * value, 100 * step if step else None, "%")
        if unit == "B":
            return units.size(value)
        scale = LADDERS[unit]([abs(value)]) if unit in LADDERS else units.Unit(unit, 1.0)
        return self._stepped(value / scale.size, step / scale.size if step else None, scale.name)

    def metric(self, key: str) -> str:
        """A figure's name."""
        if key.startswith("score:"):
            name = key.removeprefix("score:")
            return self.label(SCORES.get(name, name))
        return self.label(METRICS[key].says if key in METRICS else PRICE)

    def names(self, names: Sequence[str]) -> str:
        """Names in a row, joined as the language does."""
        if self.language == "ko":
            return f"{with_particle(names[0], '과/와')} {names[1]}" if len(names) == 2 else ", ".join(names)
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

    def _stepped(self, value: float, step: float | None, unit: str) -> str:
        if step is None:
            return units.with_unit(self.number(value), unit)
        shown = self.rounded(value, max(0, -int(f"{step:.0e}".split("e")[1])))
        return units.with_unit(shown, unit)

    def _decimal(self, value: float, pattern: str) -> str:
        from babel.numbers import format_decimal

        return format_decimal(value, format=pattern, locale=self.language)


class _Shown(string.Formatter):
    """Fills templates in: each field as the translator shows it."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator

    def format_field(self, value: Any, format_spec: str) -> str:
        return self.translator.shown(value, format_spec)


@lru_cache
def catalogue(language: str) -> dict[tuple[str | None, str], str]:
    """A language's texts by context and English; fuzzy ones left out."""
    from babel.messages.pofile import read_po

    place = resources.files("whichpu") / "locale" / language / "LC_MESSAGES" / "whichpu.po"
    with place.open("rb") as file:
        found = read_po(file, locale=language)
    return {
        (message.context, message.id): message.string
        for message in found
        if message.id and message.string and not message.fuzzy
        if isinstance(message.id, str) and isinstance(message.string, str)
    }
