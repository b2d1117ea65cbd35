"""Where scores differ, and that equal is equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from whichpu.reports.prose.facts import Facts, orders, reported, scores, with_caveat
from whichpu.reports.prose.sentence import Sentence
from whichpu.reports.prose.verdicts import Standing, ties
from whichpu.results.entries import Entry

DIFFERENCES_MOST = 6
"""Sentences on differences from the best; instead of more, the order of each model is told."""
MUCH = 0.01
"""A relative difference of a score from which a cause is looked for."""
WHOLE = ("fp32", "float32")
"""Precisions in which nothing is quantised."""


def of_accuracy(facts: Facts) -> list[Sentence]:
    """Equal scores, shown differences, and differences as reported that nothing shows to be more than chance."""
    keys = scores(facts.told)
    told = [each for each in orders(facts, keys) if each.id != "tie.single"]
    found = [sentence for key in keys for sentence in _differences(facts, key)]
    if len(found) > DIFFERENCES_MOST:
        return told + with_caveat(reported(facts, keys))
    single = [each for each in found if each.id in ("score.lower", "score.higher")]
    if single:
        sources = tuple(dict.fromkeys(source for each in single for source in each.sources))
        found.append(Sentence(id="score.caveat", sources=sources))
    return told + found


def _differences(facts: Facts, key: str) -> list[Sentence]:
    """Each contender against those with the best score, on all models where it stands so."""
    where: dict[tuple[str, tuple[str, ...], str], list[Standing]] = {}
    for each in facts.standings([key]):
        for name, best in _worse(facts, each):
            where.setdefault((name, best, each.better), []).append(each)
    return [sentence for (name, best, _), found in where.items() for sentence in _difference(facts, found, name, best)]


def _worse(facts: Facts, found: Standing) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Contenders whose score, as reported, is worse than the best, and who has the best."""
    best = firsts(facts, found)
    for name in found.names:
        relation = facts.verdicts.relation(found.model, found.key, name, found.first)
        if found.value(name) != found.value(found.first) and relation in ("tie", "behind", "small"):
            yield name, best


def firsts(facts: Facts, found: Standing) -> tuple[str, ...]:
    """Who has the best figure: the first, and those whose figure is the same."""
    alike = [names for evidence, names in ties(found, facts.verdicts) if evidence == "equal" and found.first in names]
    return alike[0] if alike else (found.first,)


def _difference(facts: Facts, where: Sequence[Standing], name: str, best: tuple[str, ...]) -> list[Sentence]:
    key, better = where[0].key, where[0].better
    items = [_item(facts, each, name) for each in where]
    id = f"score.{better}{_carried(facts, where, name)}"
    models = [each.model for each in where]
    sources = facts.sources(models, (name, *best), [key])
    params: dict[str, Any] = {"contender": name, "names": list(best), "key": key, "items": items}
    said = [Sentence(id=id, params=params, sources=sources)]
    if len(where) > 1:
        said.append(_most(facts, where, name, sources))
    return said


def _carried(facts: Facts, where: Sequence[Standing], name: str) -> str:
    """Is a difference shown on all models, is it of single figures, or did intervals not show it?"""
    pairs = [(each.model, each.key, each.first, name) for each in where]
    if all(facts.verdicts.relation(*pair) == "ahead" for pair in pairs):
        return ".shown"
    return ".open" if any(facts.verdicts.has_interval(*pair) for pair in pairs) else ""


def _item(facts: Facts, found: Standing, name: str) -> dict[str, Any]:
    mine, best = (facts.value(found.model, each, found.key) for each in (name, found.first))
    delta = abs(mine.value - best.value)
    params = {"model": found.model, "delta": [delta, mine.unit, mine.step]}
    if mine.unit == "share":
        return {"id": "part.points", "params": params}
    relative = {"share": delta / abs(best.value)} if best.value else {}
    return {"id": "part.delta.relative" if relative else "part.delta", "params": params | relative}


def _most(facts: Facts, where: Sequence[Standing], name: str, sources: Any) -> Sentence:
    """Where the difference is largest; quantisation may be why, unless the precision says that nothing is quantised."""

    def size(found: Standing) -> float:
        best = found.value(found.first)
        delta = abs(found.value(name) - best)
        return delta / abs(best) if best else delta

    most = max(where, key=size)
    params = {"contender": name, "model": most.model, "key": most.key}
    known = _precision(facts.entries[most.model, name])
    id = "score.most.unknown" if known is None else "score.most.quantised"
    if known in WHOLE or size(most) < MUCH:
        id = "score.most"
    return Sentence(id=id, params=params | {"precision": known or ""}, sources=sources)


def _precision(entry: Entry) -> str | None:
    return entry.precision.lower() if entry.precision else None
