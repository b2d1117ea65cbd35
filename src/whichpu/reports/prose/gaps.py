"""What can't be said from these files, and which measurement would say it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from whichpu.reports.prose.facts import Facts, joined, latencies, scores
from whichpu.reports.prose.sentence import Sentence, Source
from whichpu.results.entries import METRICS, Entry
from whichpu.results.nway import Contender, keys_of

POWER, ENERGY = "power", "energy"

TERMS: tuple[tuple[str, str], ...] = (
    ("boundary", "latency"),
    ("percentile", "latency_p"),
    ("scenario", "throughput"),
    ("batch", "latency"),
    ("protocol", "score:"),
    ("scope", POWER),
    ("scope", ENERGY),
)
"""Terms that figures should tell, by the beginning of their keys."""

REFUSALS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("rule.transfers", re.compile(r"(?P<one>.+) times transfers, (?P<other>.+) does not")),
    ("rule.model", re.compile(r"other model bytes|other model \(.*\)")),
    ("rule.estimate", re.compile(r"an estimate against a measurement \((?P<one>.+) is estimated by (?P<other>.+)\)")),
    ("rule.protocol", re.compile(r"other protocol\b.*")),
    ("rule.samples", re.compile(r"other samples")),
    ("rule.round", re.compile(r"one round says nothing about spread|no round in common with the baseline")),
    ("rule.other", re.compile(r"other (?P<term>[a-z ]+) \((?P<one>.*); the baseline's is (?P<other>.*)\)")),
)
"""The rules that comparability names, as messages; what isn't here is quoted."""


def of_gaps(facts: Facts) -> list[Sentence]:
    """What the files leave open."""
    found = [*_energy(facts), *_absent(facts), *_refused(facts), *_terms(facts), *_single(facts), *_apart(facts)]
    measures = {"gap.terms", "gap.single", "gap.apart", "gap.refused"} & {each.id for each in found}
    if measures:
        sources = tuple(dict.fromkeys(source for each in found if each.id in measures for source in each.sources))
        found.append(Sentence(id="measure.together", sources=sources))
    return found


# ---------------------------------------------------------------- figures that aren't there


def _energy(facts: Facts) -> list[Sentence]:
    """Energy, which takes a figure of power or energy of all contenders."""
    lacking = {
        (model, each.name): each.entry
        for model, group in facts.compared.items()
        for each in group
        if ENERGY not in each.entry.values
    }
    if not lacking:
        return []
    models = list(dict.fromkeys(model for model, _ in lacking))
    powerless = {pair: entry for pair, entry in lacking.items() if POWER not in entry.values}
    names = list(dict.fromkeys(name for _, name in powerless or lacking))
    files = list(dict.fromkeys(entry.file for entry in (powerless or lacking).values()))
    id = "gap.energy" if powerless else "gap.energy.mean"
    files = facts.unless_all(files)
    sources = facts.sources(models, names, [POWER, ENERGY])
    params: dict[str, Any] = {"names": names, "files": files, "models": models}
    return [
        Sentence(id=id, params=params, sources=sources),
        Sentence(id="measure.energy", params={"names": names}, sources=sources),
    ]


def _absent(facts: Facts) -> list[Sentence]:
    """Figures that some contenders of a model have and others don't."""
    found = [
        (("gap.absent", entry.file, name), model, key)
        for model, group in facts.compared.items()
        for key in _had(group)
        for name, entry in group
        if key not in entry.values
    ]
    alike: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (_, file, name), models, keys in joined(found):
        alike.setdefault((file, tuple(models), tuple(keys)), []).append(name)
    return [
        Sentence(
            id="gap.absent",
            params={"names": names, "file": file, "models": list(models), "keys": list(keys)},
            sources=facts.sources(models, names, keys),
        )
        for (file, models, keys), names in alike.items()
    ]


def _had(group: Sequence[Contender]) -> list[str]:
    """Figures that some contender has, less those of which neither more nor less is better."""
    there = keys_of(each.entry for each in group)
    return [key for key in there if key != ENERGY and (key not in METRICS or METRICS[key].better != "neither")]


# ---------------------------------------------------------------- figures that may not be held together


def _refused(facts: Facts) -> list[Sentence]:
    """Pairs whose figures are there and may not be compared, by the rule that they break."""
    found = [((rule, *names), model, key) for rule, names, model, key in _refusals(facts)]
    return [
        Sentence(
            id="gap.refused",
            params={"names": list(subject[1:]), "models": models, "keys": keys, "rule": _rule(subject[0])},
            sources=facts.sources(models, subject[1:], keys),
        )
        for subject, models, keys in joined(found)
    ]


def _refusals(facts: Facts) -> Iterator[tuple[str, tuple[str, str], str, str]]:
    for found in facts.standings(facts.told):
        for name in found.names[1:]:
            row = facts.verdicts.row(found.model, found.key, name, found.first)
            if row is not None and row.verdict == "not-comparable":
                yield row.reason, (found.first, name), found.model, found.key


def _rule(reason: str) -> dict[str, Any]:
    for id, pattern in REFUSALS:
        matched = pattern.fullmatch(reason)
        if matched is not None:
            return {"id": id, "params": matched.groupdict()}
    return {"id": "rule.quoted", "params": {"reason": reason}}


# ---------------------------------------------------------------- figures that don't say what they stand for


def _terms(facts: Facts) -> list[Sentence]:
    """Terms that files don't tell of figures that were compared."""
    silent: dict[str, dict[tuple[str, str], Entry]] = {}
    for model, name, key in _compared(facts):
        entry = facts.entries[model, name]
        for term, beginning in TERMS:
            if key.startswith(beginning) and term not in entry.values[key].terms:
                silent.setdefault(term, {})[model, name] = entry
    by_files: dict[tuple[str, ...], list[str]] = {}
    for term, entries in silent.items():
        by_files.setdefault(tuple(sorted({entry.file for entry in entries.values()})), []).append(term)
    return [
        Sentence(
            id="gap.terms",
            params={
                "files": facts.unless_all(files),
                "items": [{"id": f"term.{term}", "params": {}} for term in terms],
            },
            sources=_of_terms(facts, silent, terms),
        )
        for files, terms in by_files.items()
    ]


def _of_terms(
    facts: Facts, silent: dict[str, dict[tuple[str, str], Entry]], terms: Sequence[str]
) -> tuple[Source, ...]:
    found: list[Source] = []
    for term in terms:
        beginnings = [beginning for each, beginning in TERMS if each == term]
        for model, name in silent[term]:
            keys = [
                key
                for key, value in facts.entries[model, name].values.items()
                if key.startswith(tuple(beginnings)) and term not in value.terms
            ]
            found += facts.sources([model], [name], keys)
    return tuple(dict.fromkeys(found))


def _compared(facts: Facts) -> Iterator[tuple[str, str, str]]:
    for found in facts.standings(facts.told):
        for name in facts.comparable(found) if len(facts.comparable(found)) > 1 else ():
            yield found.model, name, found.key


def _single(facts: Facts) -> list[Sentence]:
    """Single figures: how they would scatter if measured again is not known."""
    keys = [*latencies(facts.told), *scores(facts.told), "throughput"]
    bare = [
        (model, name, key)
        for model, name, key in _compared(facts)
        if key in keys and facts.entries[model, name].values[key].low is None
        if not facts.entries[model, name].campaign
    ]
    if not bare:
        return []
    files = list(dict.fromkeys(facts.entries[model, name].file for model, name, _ in bare))
    sources = tuple(source for model, name, key in bare for source in facts.sources([model], [name], [key]))
    return [Sentence(id="gap.single", params={"files": facts.unless_all(files)}, sources=sources)]


def _apart(facts: Facts) -> list[Sentence]:
    """Files of their own: what the machines did meanwhile is in no figure."""
    compared = list(_compared(facts))
    files = list(dict.fromkeys(facts.entries[model, name].file for model, name, _ in compared))
    if len(files) < 2:
        return []
    sources = tuple(source for model, name, key in compared for source in facts.sources([model], [name], [key]))
    return [Sentence(id="gap.apart", params={"files": facts.unless_all(files)}, sources=sources)]
