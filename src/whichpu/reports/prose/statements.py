"""The whole text over a set of results: sections of sentences, in one order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from whichpu.reports.prose.accuracy import of_accuracy
from whichpu.reports.prose.facts import STD, Facts, figures, latencies, of_resources, orders, reported, with_caveat
from whichpu.reports.prose.gaps import of_gaps
from whichpu.reports.prose.guide import of_guide
from whichpu.reports.prose.messages import HEADINGS
from whichpu.reports.prose.remarks import of_remarks
from whichpu.reports.prose.sentence import Sentence
from whichpu.reports.prose.translator import Translator
from whichpu.reports.prose.verdicts import PAIRS_MOST
from whichpu.results import nway
from whichpu.results.comparison import Comparison
from whichpu.results.entries import Entry
from whichpu.results.schema import Campaign


class Section(msgspec.Struct, frozen=True):
    """A heading (a label in English) and its sentences."""

    heading: str
    sentences: tuple[Sentence, ...]


def told(entries: Iterable[Entry], rows: Iterable[Comparison]) -> list[Section]:
    """What may be said of entries by the verdicts on them; ``rows`` as :func:`rows_of` gives them."""
    facts = Facts(entries, rows)
    if not facts.compared:
        return [Section(HEADINGS["gaps"], (Sentence(id="nothing"),))]
    found = {
        "speed": _speed(facts),
        "throughput": _throughput(facts),
        "spread": _spread(facts),
        "accuracy": of_accuracy(facts),
        "resources": _resources(facts),
        "remarks": of_remarks(facts),
        "gaps": of_gaps(facts),
        "guide": of_guide(facts),
    }
    return [Section(HEADINGS[name], tuple(sentences)) for name, sentences in found.items() if sentences]


def rows_of(entries: Sequence[Entry], campaigns: Mapping[str, Campaign] | None = None) -> list[Comparison]:
    """The verdicts that :func:`told` needs: each against each, of many contenders all against the fastest."""
    few = max(map(len, nway.grouped(entries).values()), default=0) <= PAIRS_MOST
    return nway.pairs(entries, None, campaigns) if few else nway.held(entries, None, None, campaigns)


class Text:
    """The sentences over entries in a language. Raises :class:`~whichpu.errors.UserError` for an unknown language."""

    def __init__(
        self, entries: Sequence[Entry], campaigns: Mapping[str, Campaign] | None = None, language: str = "en"
    ) -> None:
        self.translator = Translator(language)
        self.sections = told(entries, rows_of(entries, campaigns))

    @property
    def markdown(self) -> str:
        """The text, a line for each sentence below its heading."""
        blocks = []
        for section in self.sections:
            lines = [f"- {self.translator.text(each.id, **each.params)}" for each in section.sentences]
            blocks.append("\n".join([f"## {self.translator.label(section.heading)}", "", *lines]))
        return "\n\n".join(blocks) + "\n"

    @property
    def data(self) -> dict[str, Any]:
        """The text as JSON: of each sentence its message, its words, and the figures that it rests on."""
        return {"language": self.translator.language, "prose": [self._section(each) for each in self.sections]}

    def show(self) -> None:
        """Print the text to the terminal."""
        from whichpu.reports import terminal
        from whichpu.reports.tables import print_item

        screen = terminal.console()
        for section in self.sections:
            screen.print(f"\n{self.translator.label(section.heading)}", style="bold", markup=False)
            for each in section.sentences:
                print_item(screen, self.translator.text(each.id, **each.params), indent=2)

    def _section(self, section: Section) -> dict[str, Any]:
        sentences = [
            {"id": each.id, "text": self.translator.text(each.id, **each.params), "sources": each.sources}
            for each in section.sentences
        ]
        return {"heading": self.translator.label(section.heading), "sentences": sentences}


# ---------------------------------------------------------------- sections


def _speed(facts: Facts) -> list[Sentence]:
    said = _better_known(orders(facts, latencies(facts.told)))
    for model in facts.compared:
        key = facts.main(model)
        found = facts.standing(model, key) if key else None
        if found is not None:
            said += figures(facts, found)
    return said


def _better_known(said: list[Sentence]) -> list[Sentence]:
    """Without what single figures don't show, for models of which intervals or ranges show something."""
    known = {model for each in said if each.id not in ("tie.single", "tie.equal") for model in each.params["models"]}
    return [each for each in said if each.id != "tie.single" or not known.issuperset(each.params["models"])]


def _throughput(facts: Facts) -> list[Sentence]:
    said = orders(facts, ["throughput"])
    for found in facts.standings(["throughput"]):
        said += figures(facts, found)
    return said


def _spread(facts: Facts) -> list[Sentence]:
    said = [each for each in orders(facts, [STD]) if each.id != "tie.single"]
    return said + with_caveat(reported(facts, [STD]))


def _resources(facts: Facts) -> list[Sentence]:
    keys = of_resources(facts.told)
    said = [each for each in orders(facts, keys) if each.id != "tie.single"]
    return said + with_caveat(reported(facts, keys))
