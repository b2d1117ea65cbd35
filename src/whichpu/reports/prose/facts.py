"""Facts about contenders: gathered figure by figure, joined where they are the same for several figures and models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from whichpu.reports.prose.sentence import Sentence, Source
from whichpu.reports.prose.verdicts import PAIRS_MOST as JUDGED_MOST
from whichpu.reports.prose.verdicts import Standing, Verdicts, behind, leads, standing, ties
from whichpu.results.comparison import Comparison
from whichpu.results.entries import METRICS, Entry, Value
from whichpu.results.nway import Contender, grouped, keys_of

SCORE = "score:"
STD = "latency_std"
MAIN = ("latency_mean", "latency_median", "latency_p90", "latency_p95", "latency_p99", "latency_max", "latency_min")
"""The statistic whose figures are told: the first that most contenders have; of campaigns the median: it is paired."""

SHOWN_MOST = 6
"""Contenders whose figures stand in one sentence."""
PAIRS_MOST = 6
"""Contenders up to which each is held against each in words; else all against the first."""


class Facts:
    """Entries grouped by model, under unique names, with the verdicts on them."""

    def __init__(self, entries: Iterable[Entry], rows: Iterable[Comparison]) -> None:
        self.groups: dict[str, list[Contender]] = {
            model: [each for each in group if each.entry.values] for model, group in grouped(entries).items()
        }
        self.entries = {(model, each.name): each.entry for model, group in self.groups.items() for each in group}
        self.told = keys_of(self.entries.values())
        """All figures, in the order of tables."""
        self.files = {entry.file for entry in self.entries.values()}
        self.verdicts = Verdicts(rows)
        self._standings: dict[tuple[str, str], Standing | None] = {}

    @property
    def compared(self) -> dict[str, list[Contender]]:
        """Models with at least two contenders."""
        return {model: group for model, group in self.groups.items() if len(group) > 1}

    def standing(self, model: str, key: str) -> Standing | None:
        """How the contenders of a model stand in a figure."""
        if (model, key) not in self._standings:
            self._standings[model, key] = standing(model, key, self.groups[model], self.verdicts)
        return self._standings[model, key]

    def standings(self, keys: Iterable[str]) -> Iterator[Standing]:
        """All that can be told of some figures, model by model."""
        keys = list(keys)
        for model in self.compared:
            for key in keys:
                found = self.standing(model, key)
                if found is not None:
                    yield found

    def main(self, model: str) -> str | None:
        """The statistic of a model's latency whose figures are told."""
        group = self.groups[model]
        paired = any(each.entry.campaign for each in group)
        order = ("latency_median", *MAIN) if paired else MAIN
        counts = [sum(key in each.entry.values for each in group) for key in order]
        return order[counts.index(max(counts))] if max(counts) > 1 else None

    def value(self, model: str, name: str, key: str) -> Value:
        """A contender's figure."""
        return self.entries[model, name].values[key]

    def sources(self, models: Iterable[str], names: Iterable[str], keys: Iterable[str]) -> tuple[Source, ...]:
        """The figures, or what is absent, that a sentence rests on."""
        names, keys = list(names), list(keys)
        return tuple(
            Source(self.entries[model, name].file, model, name, key)
            for model in models
            for name in names
            if (model, name) in self.entries
            for key in keys
        )

    def unless_all(self, files: Iterable[str]) -> list[str]:
        """Files by name; none where they are all that there are, which is said as "these files"."""
        files = list(files)
        return [] if len(self.files) > 1 and self.files == set(files) else files

    def figures(self, found: Standing, names: Sequence[str]) -> dict[str, list[Any]]:
        """Figures of several contenders in one unit, as the translator shows them."""
        values = [self.value(found.model, name, found.key) for name in names]
        main = self.main(found.model) if found.key == STD else None  # a spread stands in the unit of what it is of
        where = {each.name: each.entry for each in self.groups[found.model]}
        told = [where[name].values.get(main) for name in names] if main else values
        sizes = [abs(value.value) for value in told if value is not None and value.value]
        like = (max(sizes) if max(sizes) < 1_000 * min(sizes) else min(sizes)) if sizes else 0.0
        return {name: [value.value, value.unit, value.step, like] for name, value in zip(names, values, strict=True)}

    def comparable(self, found: Standing) -> list[str]:
        """The first of a standing, and who may be held against it."""
        relations = {name: self.verdicts.relation(found.model, found.key, name, found.first) for name in found.names}
        return [name for name in found.names if name == found.first or relations[name] not in ("refused", "unknown")]


Subject = tuple[str, ...]
"""A message's id and the contenders it is about."""


def joined(facts: Iterable[tuple[Subject, str, str]]) -> list[tuple[Subject, list[str], list[str]]]:
    """Facts (subject, model, key) with all models and keys for which a subject holds alike."""
    keys: dict[tuple[Subject, str], list[str]] = {}
    for subject, model, key in facts:
        keys.setdefault((subject, model), []).append(key)
    models: dict[tuple[Subject, tuple[str, ...]], list[str]] = {}
    for (subject, model), found in keys.items():
        models.setdefault((subject, tuple(found)), []).append(model)
    return [(subject, where, list(found)) for (subject, found), where in models.items()]


def kind_of(key: str, better: str) -> str:
    """What being ahead is called: ``fastest``, ``highest``, ``lowest``, ``smallest``."""
    if (key.startswith("latency_") and key != STD) or key in ("load", "first"):
        return "fastest"
    if key in (STD, "memory", "device_memory", "size"):
        return "smallest"
    return "highest" if better == "higher" else "lowest"


def orders(facts: Facts, keys: Sequence[str]) -> list[Sentence]:
    """Who is ahead of all, of whom, and who is tied, for some figures."""
    found = [fact for each in facts.standings(keys) for fact in _facts(facts, each)]
    return [
        Sentence(
            id=_whole(facts, subject[0], models, about),
            params={"names": list(subject[2:]), "contender": subject[1], "models": models, "keys": about},
            sources=facts.sources(models, _concerned(facts, subject, models, about), about),
        )
        for subject, models, about in joined(found)
    ]


def _facts(facts: Facts, each: Standing) -> Iterator[tuple[Subject, str, str]]:
    kind = kind_of(each.key, each.better)
    if leads(each, facts.verdicts):
        yield (f"lead.{kind}", each.first), each.model, each.key
    elif ahead := behind(each, each.first, facts.verdicts):
        yield (f"ahead.{kind}", each.first, *ahead), each.model, each.key
    for name in each.names[1:]:
        if facts.verdicts.relation(each.model, each.key, name, each.first) == "small":
            yield ("small", each.first, each.first, name), each.model, each.key
    for evidence, names in ties(each, facts.verdicts):
        yield (f"tie.{evidence}", names[0], *names), each.model, each.key


def _whole(facts: Facts, id: str, models: Sequence[str], keys: Sequence[str]) -> str:
    """Is it so on every statistic of latency that these models have?"""
    if id != "lead.fastest":
        return id
    there = {key for model in models for key in latencies(facts.told) if facts.standing(model, key) is not None}
    return "lead.fastest.all" if len(there) > 1 and there == set(keys) else id


def _concerned(facts: Facts, subject: Subject, models: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Whose figures a sentence rests on: of who leads those of all others too."""
    if not subject[0].startswith("lead."):
        return list(dict.fromkeys(subject[1:]))
    found = [facts.standing(model, key) for model in models for key in keys]
    return list(dict.fromkeys(name for each in found if each is not None for name in each.names))


def figures(facts: Facts, found: Standing) -> list[Sentence]:
    """The figures of those that may be compared, in order, and their ratios."""
    names = facts.comparable(found)
    if len(names) < 2:
        return []
    shown = facts.figures(found, names)
    parts = _first([{"id": "part.figure", "params": {"name": name, "figure": shown[name]}} for name in names])
    base: dict[str, Any] = {"model": found.model, "key": found.key}
    told = Sentence(
        id="figures", params=base | {"items": parts}, sources=facts.sources([found.model], names, [found.key])
    )
    return [told, *ratios(facts, found)]


def ratios(facts: Facts, found: Standing) -> list[Sentence]:
    """How many times another's, where a difference is shown."""
    bases = found.names if len(found.names) <= PAIRS_MOST else found.names[:1]
    said = []
    for base in bases:
        others = behind(found, base, facts.verdicts)
        items = [item for other in others if (item := _times(facts, found, base, other))]
        if items:
            params = {"contender": base, "model": found.model, "key": found.key, "items": _first(items)}
            sources = facts.sources([found.model], (base, *others), [found.key])
            said.append(Sentence(id=f"ratios.{found.better}", params=params, sources=sources))
    return said


def _times(facts: Facts, found: Standing, base: str, other: str) -> Mapping[str, Any] | None:
    one, two = (other, base) if found.better == "lower" else (base, other)
    ratio = facts.verdicts.ratio(found.model, found.key, one, two)
    if ratio is None:
        return None
    params: dict[str, Any] = {"name": other, "ratio": ratio.value}
    if ratio.low is None or ratio.high is None:
        return {"id": f"part.times.{found.better}", "params": params}
    interval = {"low": ratio.low, "high": ratio.high}
    return {"id": f"part.times.{found.better}.interval", "params": params | interval}


def reported(facts: Facts, keys: Sequence[str]) -> list[Sentence]:
    """Orders of figures as reported, where no interval says whether they are more than chance."""
    said = []
    for found in facts.standings(keys):
        names = _in_order(facts, found)
        if len(names) < 2 or len(_steps(facts, found, names)) < 2:
            continue
        params = {"model": found.model, "key": found.key, "items": _steps(facts, found, names)}
        single = _single(facts, found, names)
        said.append(
            Sentence(
                id=f"order.{kind_of(found.key, found.better)}" + ("" if single else ".shown"),
                params=params,
                sources=facts.sources([found.model], names, [found.key]),
            )
        )
    return said


def _steps(facts: Facts, found: Standing, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Contenders in order with their figures, equal ones together."""
    shown = facts.figures(found, names)
    alike: list[list[str]] = []
    for name in names:
        if alike and _looks_alike(facts, found, alike[-1][0], name):
            alike[-1].append(name)
        else:
            alike.append([name])
    return _first([{"id": "part.order", "params": {"names": each, "figure": shown[each[0]]}} for each in alike])


def _looks_alike(facts: Facts, found: Standing, one: str, other: str) -> bool:
    """Are figures equal, or, where their source doesn't say how finely it prints, equal to three digits?"""
    first, second = (facts.value(found.model, name, found.key) for name in (one, other))
    if first.value == second.value:
        return True
    return first.step is None and second.step is None and close(first.value, second.value)


def close(one: float, other: float) -> bool:
    """Do two figures differ by under 0.1 %?"""
    return abs(one - other) < 0.001 * max(abs(one), abs(other))


def _first(parts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first parts of a row; of more the rest is counted."""
    if len(parts) <= SHOWN_MOST + 1:
        return list(parts)
    return [*parts[:SHOWN_MOST], {"id": "part.more", "params": {"count": len(parts) - SHOWN_MOST}}]


def _in_order(facts: Facts, found: Standing) -> list[str]:
    """Contenders whose order as reported no verdict refuses or contradicts."""
    kept: list[str] = []
    for name in found.names[:JUDGED_MOST]:
        if all(facts.verdicts.relation(found.model, found.key, one, name) in ("ahead", "tie", "small") for one in kept):
            kept.append(name)
    return kept


def _single(facts: Facts, found: Standing, names: Sequence[str]) -> bool:
    return any(facts.verdicts.relation(found.model, found.key, one, other) != "ahead" for one, other in pairwise(names))


def latencies(keys: Iterable[str]) -> list[str]:
    """The statistics of latency among figures, spread left out."""
    return [key for key in keys if key.startswith("latency_") and key != STD]


def scores(keys: Iterable[str]) -> list[str]:
    """The scores among figures."""
    return [key for key in keys if key.startswith(SCORE)]


def of_resources(keys: Iterable[str]) -> list[str]:
    """Power, energy, memory and the like."""
    taken = ("throughput", "utilisation")
    return [key for key in keys if key in METRICS and not key.startswith("latency_") and key not in taken]


def with_caveat(said: list[Sentence]) -> list[Sentence]:
    """Orders of single figures are followed by what they don't show."""
    single = [each for each in said if not each.id.endswith(".shown")]
    if not single:
        return said
    sources = tuple(dict.fromkeys(source for each in single for source in each.sources))
    keys = list(dict.fromkeys(each.params["key"] for each in single))
    return [*said, Sentence(id="order.caveat", params={"keys": keys}, sources=sources)]
