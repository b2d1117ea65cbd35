"""Sentences from templates over verdicts and figures, in English and in Korean. No language model, nothing by chance.

``Translator(language).text(id, **params)`` says a message of :data:`whichpu.reports.prose.messages.MESSAGES`;
``Translator(language).label("Latency")`` is a heading or a label, named by its English words. A :class:`Sentence` is a
message with its parameters and the figures that it rests on. ``Text(entries, campaigns, language)`` is the whole text
over a set of results: its ``sections``, ``markdown`` and ``data``.
"""

from __future__ import annotations

from whichpu.reports.prose.sentence import Sentence, Source
from whichpu.reports.prose.statements import Section, Text, told
from whichpu.reports.prose.translator import LANGUAGES, Translator

__all__ = ["LANGUAGES", "Section", "Sentence", "Source", "Text", "Translator", "told"]
