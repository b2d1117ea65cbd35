"""A selection guide: for what counts most, which contender; never more than the verdicts carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from whichpu.reports.prose.accuracy import firsts
from whichpu.reports.prose.facts import SCORE, STD, Facts, close, joined, latencies, scores
from whichpu.reports.prose.messages import NEEDS
from whichpu.reports.prose.sentence import Sentence
from whichpu.reports.prose.verdicts import Standing, leads, ties

Choice = tuple[str, tuple[str, ...]]
"""What carries a choice (``shown``, ``tie``, ``equal``, ``reported``, ``open``), and the contenders."""


def of_guide(facts: Facts) -> list[Sentence]:
    """What to choose where latency counts, throughput, steadiness, accuracy, energy, or all of them."""
    if not facts.compared:
        return []
    return [
        *_latency(facts),
        *_by_key(facts, "throughput", ["throughput"]),
        *_by_key(facts, "steady", [STD]),
        *_by_key(facts, "accuracy", scores(facts.told)),
        *_energy(facts),
        *_mixed(facts),
    ]


def choice(facts: Facts, found: Standing) -> Choice:
    """Who is to be chosen by one figure: the one shown to be ahead, those tied with the first, or nobody."""
    if leads(found, facts.verdicts):
        return "shown", (found.first,)
    best = firsts(facts, found)
    others = [name for name in found.names if name not in best]
    relations = {facts.verdicts.relation(found.model, found.key, each, name) for each in best for name in others}
    if relations <= {"ahead"} and len(best) > 1:
        return "equal", best
    if relations & {"refused", "unknown"}:
        return "open", ()
    for evidence, names in ties(found, facts.verdicts):
        if evidence == "interval" and names[0] == found.first and _ahead_of_rest(facts, found, names):
            return "tie", names
    alike = _close(facts, found) if found.key.startswith(SCORE) else best
    if len(alike) > len(best) and not relations & {"refused", "unknown"}:
        return "close", alike
    if relations <= {"ahead", "tie", "small"} and not _any_interval(facts, found):
        return ("equal" if not others else "reported"), best
    return "open", ()


def _close(facts: Facts, found: Standing) -> tuple[str, ...]:
    """Contenders whose score is as good as the best, within 0.1 %, and not shown to be worse."""
    best = found.value(found.first)
    return tuple(
        name
        for name in found.names
        if name == found.first
        or (
            close(found.value(name), best)
            and facts.verdicts.relation(found.model, found.key, found.first, name) in ("tie", "small")
        )
    )


def _ahead_of_rest(facts: Facts, found: Standing, names: Sequence[str]) -> bool:
    rest = [name for name in found.names if name not in names]
    pairs = ((each, other) for each in names for other in rest)
    return all(facts.verdicts.relation(found.model, found.key, each, other) == "ahead" for each, other in pairs)


def _any_interval(facts: Facts, found: Standing) -> bool:
    return any(facts.verdicts.has_interval(found.model, found.key, found.first, name) for name in found.names[1:])


# ---------------------------------------------------------------- what counts most


def _latency(facts: Facts) -> list[Sentence]:
    """The fastest by the main statistic, and by which others."""
    found = []
    for model in facts.compared:
        main = facts.main(model)
        each = facts.standing(model, main) if main else None
        if each is None:
            continue
        how, names = choice(facts, each)
        found += [(("latency", how, *names), model, key) for key in _alike(facts, model, each.key, names, how)]
    return _said(facts, found)


def _alike(facts: Facts, model: str, main: str, names: Sequence[str], how: str) -> list[str]:
    """The statistics by which the same is chosen."""
    there = [facts.standing(model, key) for key in latencies(facts.told)]
    return [each.key for each in there if each is not None and choice(facts, each) == (how, tuple(names))] or [main]


def _by_key(facts: Facts, what: str, keys: Sequence[str]) -> list[Sentence]:
    found = []
    for each in facts.standings(keys):
        how, names = choice(facts, each)
        found.append(((what, how, *names), each.model, each.key))
    said = []
    for sentence in _said(facts, found):
        said.append(sentence)
        if what == "accuracy" and len(sentence.params["names"]) > 1:
            said += _faster_of(facts, sentence)
    return said


def _said(facts: Facts, found: Sequence[Any]) -> list[Sentence]:
    return [
        Sentence(
            id=f"guide.{subject[1]}" + (".equal" if subject[1] == "reported" and len(subject) > 3 else ""),
            params={"need": NEEDS[subject[0]], "names": list(subject[2:]), "models": models, "keys": keys},
            sources=_sources(facts, models, keys),
        )
        for subject, models, keys in joined(found)
    ]


def _sources(facts: Facts, models: Sequence[str], keys: Sequence[str]) -> Any:
    names = list(dict.fromkeys(each.name for model in models for each in facts.groups[model]))
    return facts.sources(models, names, keys)


def _faster_of(facts: Facts, sentence: Sentence) -> Iterator[Sentence]:
    """Of contenders that are equal in accuracy the one that is the fastest of all."""
    models, names = sentence.params["models"], sentence.params["names"]
    winners = {_winner(facts, model, facts.main(model)) for model in models}
    if len(winners) == 1 and (winner := winners.pop()) in names:
        keys = sorted({key for model in models if (key := facts.main(model))})
        params = {"contender": winner, "models": models}
        yield Sentence(id="guide.faster", params=params, sources=_sources(facts, models, keys))


def _winner(facts: Facts, model: str, key: str | None) -> str | None:
    """Who is shown to be ahead of all others by a figure."""
    found = facts.standing(model, key) if key else None
    return found.first if found is not None and leads(found, facts.verdicts) else None


def _energy(facts: Facts) -> list[Sentence]:
    """By energy; where not all contenders have it, by power; where they have neither, nothing."""
    found = []
    for model, group in facts.compared.items():
        key = next((key for key in ("energy", "power") if all(key in each.entry.values for each in group)), None)
        each = facts.standing(model, key) if key else None
        lacking = tuple(each.name for each in group if not {"power", "energy"} & each.entry.values.keys())
        how, names = choice(facts, each) if each is not None else ("unknown" if lacking else "open", ())
        found.append((("energy", how, *(lacking if how == "unknown" else names)), model, key or "power"))
    return _said(facts, found)


def _mixed(facts: Facts) -> list[Sentence]:
    """One contender that is ahead in latency and throughput, and as good as the best in accuracy, on all models."""
    models = list(facts.compared)
    speeds = [*dict.fromkeys(key for model in models if (key := facts.main(model))), "throughput"]
    judged = scores(facts.told)
    winners = {_winner(facts, model, facts.main(model)) for model in models}
    winner = winners.pop() if len(winners) == 1 else None
    sources = _sources(facts, models, [*speeds, *judged])
    if winner is None or not all(_leads_all(facts, model, winner) for model in models):
        return [Sentence(id="guide.weigh", params={"models": models}, sources=sources)]
    there = {each.key for each in facts.standings([*speeds, *judged])}
    params = {"contender": winner, "models": models, "keys": [key for key in speeds if key in there]}
    told = [key for key in judged if key in there]
    id = "guide.mixed.accurate" if told else "guide.mixed"
    return [Sentence(id=id, params=params | {"scores": told}, sources=sources)]


def _leads_all(facts: Facts, model: str, winner: str) -> bool:
    rate = facts.standing(model, "throughput")
    if rate is not None and _winner(facts, model, "throughput") != winner:
        return False
    found = [each for key in scores(facts.told) if (each := facts.standing(model, key))]
    return all(winner in choice(facts, each)[1] for each in found)
