"""Messages put into words of a language: templates from a catalogue, numbers by the locale, particles by the sound.

Catalogues are read as they are edited (``.po``), by Babel, once a process: so they need no build step and are the same
in an editable install, in a wheel and in a clone; a compiled ``.mo`` would have to be made before each of these.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from whichpu.errors import UserError
from whichpu.reports import units
from whichpu.reports.prose import advice  # noqa: F401  # its messages are then known
from whichpu.reports.prose.messages import LATENCY_BY, MESSAGES, MORE, PER_SECOND, STATISTICS, THESE_FILES
from whichpu.reports.prose.particles import EITHER, with_particle
from whichpu.reports.words import SCORES
from whichpu.results.entries import METRICS

LANGUAGES = ("en", "ko")
PRICE = "price"
"""The one figure that is no measurement: from the user's own table."""
NAMES_MOST = 6
"""Of more names the rest is counted."""
NAMES = {"degC": "°C"}
SIZES = (units.Unit("B", 1.0), units.Unit("kB", 1e3), units.Unit("MB", 1e6), units.Unit("GB", 1e9))


def _size_unit(values: Sequence[float]) -> units.Unit:
    return next((unit for unit in reversed(SIZES) if values[0] >= unit.size), SIZES[0])


LADDERS: dict[str, Callable[[Sequence[float]], units.Unit]] = {
    "ns": units.time_unit,
    "J": units.energy_unit,
    "W": units.power_unit,
    "B": _size_unit,
}


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
            "ratio": self.ratio,
            "precise": self.number,
            "number": lambda value: self._decimal(value, "#,##0.###"),
            "percent": lambda share: "<0.1 %" if 0 < share < 0.0005 else f"{self.rounded(100 * share, 1)} %",
            "points": lambda figure: self.rounded(100 * figure[0], 2),
            "figure": self._figure,
            "metric": self.metric,
            "metrics": lambda keys: self.names([self.metric(key) for key in keys]),
            "keys": self.keys,
            "statistics": lambda keys: self.names([self.label(STATISTICS[key]) for key in keys]),
            "list": self.names,
            "files": lambda files: self.names(files) if files else self.label(THESE_FILES),
            "label": self.label,
            "part": self._part,
            "parts": lambda parts: self.row([self._part(part) for part in parts]),
            "then": lambda parts: (", " if language == "ko" else ", then ").join(map(self._part, parts)),
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

    def ratio(self, value: float) -> str:
        """How many times, as reports print it: 18.4, 1.05, 137."""
        return self.rounded(value, 0 if value >= 99.95 else 1 if value >= 1.995 else 2)

    def rounded(self, value: float, decimals: int) -> str:
        """A number with so many decimals, in the locale's form."""
        return self._decimal(value, "#,##0" + ("." + "0" * decimals if decimals else ""))

    def figure(self, value: float, unit: str, step: float | None = None, like: float | None = None) -> str:
        """A figure with its unit: as finely as its source prints it (``step``), else to three significant digits.

        ``like`` is the value whose unit it takes, where several stand in a row.
        """
        if unit == units.SHARE:
            return self._stepped(100 * value, 100 * step if step else None, "%")
        if unit == "1/s":
            return self.label(PER_SECOND, number=self._stepped(value, step, ""))
        scale = LADDERS[unit]([abs(like or value)]) if unit in LADDERS else units.Unit(unit, 1.0)
        return self._stepped(value / scale.size, step / scale.size if step else None, NAMES.get(scale.name, scale.name))

    def metric(self, key: str) -> str:
        """A figure's name."""
        if key.startswith("score:"):
            name = key.removeprefix("score:")
            return self.label(SCORES.get(name, name))
        return self.label(METRICS[key].says if key in METRICS else PRICE)

    def keys(self, keys: Sequence[str]) -> str:
        """Names of figures in a row; statistics of latency in short."""
        if len(keys) > 1 and all(key in STATISTICS for key in keys):
            statistics = self.names([self.label(STATISTICS[key]) for key in keys])
            return self.label(LATENCY_BY, statistics=statistics)
        return self.names([self.metric(key) for key in keys])

    def names(self, names: Sequence[str]) -> str:
        """Names in a row, joined as the language does."""
        if len(names) > NAMES_MOST + 1:
            more = self.label(MORE, count=self._decimal(len(names) - NAMES_MOST, "0"))
            return self.row([*names[:NAMES_MOST], more])
        if self.language == "ko" and len(names) == 2:
            return f"{with_particle(names[0], '과/와')} {names[1]}"
        return self.row(names)

    def row(self, names: Sequence[str]) -> str:
        """Parts of a sentence in a row."""
        if self.language == "ko":
            return ", ".join(names)
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

    def _figure(self, figure: Any) -> str:
        return self.figure(*figure) if isinstance(figure, (list, tuple)) else self.figure(figure.value, figure.unit)

    def _part(self, part: Mapping[str, Any]) -> str:
        return self.text(part["id"], **part["params"])

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
