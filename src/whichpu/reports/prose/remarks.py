"""Remarks beside the comparison: devices that idle, figures that are estimates, doubts that stand with figures."""

from __future__ import annotations

from whichpu.reports.prose.facts import Facts, joined
from whichpu.reports.prose.sentence import Sentence

IDLE = 0.01
"""Share of a device under which its utilisation is about 0 %."""


def of_remarks(facts: Facts) -> list[Sentence]:
    """What a reader should know of single contenders."""
    return [*_idle(facts), *_estimates(facts), *_doubts(facts)]


def _idle(facts: Facts) -> list[Sentence]:
    key = "utilisation"
    idle: dict[tuple[str, ...], list[str]] = {}
    for model, group in facts.groups.items():
        names = tuple(each.name for each in group if key in each.entry.values and each.entry.values[key].value < IDLE)
        if names:
            idle.setdefault(names, []).append(model)
    return [
        Sentence(
            id="idle",
            params={"names": list(names), "models": models},
            sources=facts.sources(models, names, [key]),
        )
        for names, models in idle.items()
    ]


def _estimates(facts: Facts) -> list[Sentence]:
    found = [
        (("estimate", name, entry.tool), model, key)
        for (model, name), entry in facts.entries.items()
        if entry.estimated
        for key in entry.values
    ]
    return [
        Sentence(
            id="estimate",
            params={"contender": subject[1], "tool": subject[2], "models": models},
            sources=facts.sources(models, [subject[1]], keys),
        )
        for subject, models, keys in joined(found)
    ]


def _doubts(facts: Facts) -> list[Sentence]:
    return [
        Sentence(
            id="doubt",
            params={
                "contender": name,
                "model": model,
                "items": [{"id": "part.doubt", "params": {"doubt": doubt}} for doubt in entry.doubts],
            },
            sources=facts.sources([model], [name], list(entry.values)),
        )
        for (model, name), entry in facts.entries.items()
        if entry.doubts
    ]
