"""Contenders of any files held against a baseline, figure by figure: ratios, and verdicts that the evidence carries.

Within one campaign the paired verdicts stand. Between files there are no rounds in common: a difference is claimed only
where all single latencies of one lie beyond all of the other's, or where two 95 % intervals are disjoint.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from whichpu.errors import UserError
from whichpu.results.comparability import ruling
from whichpu.results.comparison import Comparison, compare
from whichpu.results.energy.ratios import GROSS, MEMORY, compare_energy, compare_memory
from whichpu.results.entries import METRICS, Entry, Value
from whichpu.results.schema import Campaign
from whichpu.results.scores import compare_accuracy

SCORE = "score:"
TIMES = ("load", "first")
LEADING = ("latency_median", "latency_mean", "latency_p90", "latency_p95", "latency_p99", "throughput")
"""By the first of these that entries have, the fastest is the baseline where none is named."""

NOT_SPREAD = ("latency_std",)
"""Latencies on which the range of single latencies says nothing."""

EXACT = ("size",)
"""Figures that are counted, not measured: any difference is one."""

ONE_BY_ONE = "SingleStream"
INFERRED = "both fit one inference after the other, which the files don't tell"

SINGLE = "no difference shown: single figures without an interval"
OVERLAP = "no difference shown: the intervals overlap"
EQUAL = "no difference shown: equal as printed"
NEITHER = "neither more nor less of it is better"
ROUNDING = "the interval is what the rounding of the printed figures leaves open, not a confidence interval"


class Contender(NamedTuple):
    """An entry, and how it is called among those that it is held against."""

    name: str
    entry: Entry


def held(
    entries: Sequence[Entry],
    baseline: str | None = None,
    metrics: Iterable[str] | None = None,
    campaigns: Mapping[str, Campaign] | None = None,
) -> list[Comparison]:
    """All contenders of each model against ``baseline`` (a contender, ``FILE: CONTENDER`` or a file; default: the
    fastest of the model). ``metrics`` are keys of figures (default: all); ``campaigns`` are those of the entries, by
    the hash of their files: between contenders of one campaign their paired verdicts are given.

    Raises :class:`UserError` for a baseline or a metric that is not there.
    """
    groups = list(grouped(entries).values())
    chosen = wanted(entries, metrics)
    bases = [base_of(group, baseline) for group in groups]
    if baseline is not None and not any(bases):
        raise _no_base(groups, baseline)
    sources = _Paired(campaigns or {})
    return [
        row
        for group, base in zip(groups, bases, strict=True)
        if base is not None
        for row in _rows(group, base, chosen, sources)
    ]


def _no_base(groups: list[list[Contender]], baseline: str) -> UserError:
    """Why nothing can be held against ``baseline``: it has no figures, or is not there."""
    for each in (each for group in groups for each in group):
        if baseline in (each.name, each.entry.contender):
            why = next(iter(each.entry.absent.values()), "the file holds none")
            return UserError(f"{baseline!r} has no figures to hold others against: {why}", "name another contender")
    return UserError(f"no contender is called {baseline!r}", f"choose one of: {_names(groups)}")


def pairs(
    entries: Sequence[Entry], metrics: Iterable[str] | None = None, campaigns: Mapping[str, Campaign] | None = None
) -> list[Comparison]:
    """Each contender of each model against each other one, both ways round. Raises :class:`UserError`."""
    chosen, sources = wanted(entries, metrics), _Paired(campaigns or {})
    return [
        row
        for group in grouped(entries).values()
        for base in group
        if base.entry.values
        for row in _rows(group, base, chosen, sources)
    ]


def grouped(entries: Iterable[Entry]) -> dict[str, list[Contender]]:
    """Contenders by model, in order, each under a name that no other of the model has: where two are called alike with
    the precision, with the file, or with a number, the first of these that tells them apart."""
    models: dict[str, list[Entry]] = {}
    for entry in entries:
        models.setdefault(entry.model, []).append(entry)
    return {model: _named(each) for model, each in models.items()}


def labelled(entries: Iterable[Entry]) -> list[Entry]:
    """Entries under the names that comparisons give them."""
    return [
        each.entry if each.name == each.entry.contender else msgspec.structs.replace(each.entry, contender=each.name)
        for group in grouped(entries).values()
        for each in group
    ]


def base_of(group: Sequence[Contender], baseline: str | None) -> Contender | None:
    """The contender of a model that others are held against: the one named, or the fastest; of a file's the fastest."""
    known = [each for each in group if each.entry.values]
    if baseline is not None:
        called = [each for each in known if baseline in (each.name, each.entry.contender)]
        known = called or [each for each in known if baseline in _places(each.entry)]
    return fastest(known) if known else None


def fastest(group: Sequence[Contender]) -> Contender:
    """The contender with the smallest latency: by the median where all have it, else by what most have; of estimates
    only where nothing was measured."""
    group = [each for each in group if not each.entry.estimated] or group
    counts = [sum(key in each.entry.values for each in group) for key in LEADING]
    key = LEADING[counts.index(max(counts))] if any(counts) else "latency_min"
    having = [each for each in group if key in each.entry.values]
    if not having:
        return group[0]
    sign = -1 if METRICS[key].better == "higher" else 1
    return min(having, key=lambda each: sign * each.entry.values[key].value)


def keys_of(entries: Iterable[Entry]) -> list[str]:
    """The figures that entries have, in the order of tables: latencies first, scores last."""
    found = {key for entry in entries for key in entry.values}
    if "power" in found:
        found.add("energy")  # that it can't be said is worth saying
    known = [key for key in METRICS if key in found]
    return known + sorted(found - METRICS.keys())


def wanted(entries: Sequence[Entry], metrics: Iterable[str] | None) -> frozenset[str] | None:
    """The keys that are asked for: by themselves, by a beginning (``latency``), a score by its name (``rmse``)."""
    if metrics is None:
        return None
    there = keys_of(entries)
    found: set[str] = set()
    for metric in metrics:
        keys = {key for key in there if metric in (key, key.removeprefix(SCORE)) or key.startswith(f"{metric}_")}
        if not keys and metric not in METRICS:
            raise UserError(f"no figure is called {metric!r}", f"choose one of: {', '.join(there)}")
        found |= keys or {metric}
    return frozenset(found)


# ---------------------------------------------------------------- rows


def _rows(
    group: Sequence[Contender], base: Contender, chosen: frozenset[str] | None, sources: _Paired
) -> list[Comparison]:
    keys = [key for key in keys_of(each.entry for each in group) if chosen is None or key in chosen]
    rows = []
    for each in group:
        if each is base:
            continue
        entry = each.entry
        told = [key for key in keys if key in entry.values or key in base.entry.values or key == "energy"]
        rows += [_row(key, base, each, sources) for key in (told if entry.values else told[:1])]
    return rows


def _row(key: str, base: Contender, each: Contender, sources: _Paired) -> Comparison:
    mine, theirs = each.entry.values.get(key), base.entry.values.get(key)
    row = Comparison(
        model=each.entry.model,
        metric=key,
        baseline=base.name,
        contender=each.name,
        reason="",
        baseline_value=theirs.value if theirs else None,
        value=mine.value if mine else None,
        unit=(mine or theirs or METRICS[key]).unit,
    )
    if mine is None or theirs is None:
        row.reason = _absent(key, base, each)
        return row
    found = ruling(key, each.entry, base.entry)
    row.reason, row.caveats = found.refused, list(found.caveats)
    if not found.refused and not sources.judge(row, base.entry, each.entry):
        _hold(row, mine, theirs)
        _judge(row, each.entry, base.entry)
    return row


def _hold(row: Comparison, mine: Value, theirs: Value) -> None:
    """Fill in the ratio or the difference, with the interval that the sources allow."""
    if row.metric.startswith(SCORE):
        row.delta = mine.value - theirs.value
        if None not in (mine.low, mine.high, theirs.low, theirs.high):
            reach = [math.hypot(a - b, c - d) for a, b, c, d in _sides(mine, theirs)]
            row.delta_low, row.delta_high = row.delta - reach[0], row.delta + reach[1]
        return
    if theirs.value <= 0 or mine.value < 0:
        return
    row.ratio = mine.value / theirs.value
    logs = _log_sides(mine, theirs)
    if logs is not None:
        row.low, row.high = row.ratio * math.exp(-logs[0]), row.ratio * math.exp(logs[1])
    elif mine.step and theirs.step and theirs.value > theirs.step / 2:
        row.low = max(0.0, mine.value - mine.step / 2) / (theirs.value + theirs.step / 2)
        row.high = (mine.value + mine.step / 2) / (theirs.value - theirs.step / 2)
        row.caveats.append(ROUNDING)


def _sides(mine: Value, theirs: Value) -> list[tuple[float, float, float, float]]:
    """How far both intervals reach below and above, the baseline's turned round: independent errors add up squared."""
    assert mine.low is not None and mine.high is not None and theirs.low is not None and theirs.high is not None
    return [
        (mine.value, mine.low, theirs.high, theirs.value),
        (mine.high, mine.value, theirs.value, theirs.low),
    ]


def _log_sides(mine: Value, theirs: Value) -> list[float] | None:
    ends = (mine.value, mine.low, mine.high, theirs.value, theirs.low, theirs.high)
    if any(end is None or end <= 0 for end in ends):
        return None
    return [
        math.hypot(math.log(a / b), math.log(c / d)) if a and b and c and d else 0.0
        for a, b, c, d in _sides(mine, theirs)
    ]


def _absent(key: str, base: Contender, each: Contender) -> str:
    """Why a figure can't be compared: who doesn't have it, and why; of energy who has no power before who has."""
    lacking = [one for one in (each, base) if key not in one.entry.values]
    if key == "energy":
        lacking.sort(key=lambda one: "power" in one.entry.values)
        lacking = lacking[:1] if "power" not in lacking[0].entry.values else lacking
    said: dict[str, list[str]] = {}
    for one in lacking:
        reason = one.entry.absent.get(key, f"the file holds no {_plain(key)}")
        said.setdefault(reason, []).append(f"{one.name} ({one.entry.file})")
    return "; ".join(f"{' and '.join(names)}: {reason}" for reason, names in said.items())


def _plain(key: str) -> str:
    return METRICS[key].says if key in METRICS else key.removeprefix(SCORE)


# ---------------------------------------------------------------- verdicts


def _judge(row: Comparison, entry: Entry, base: Entry) -> None:
    mine, theirs = entry.values[row.metric], base.values[row.metric]
    if mine.better == "neither" or theirs.better == "neither":
        row.reason = NEITHER
        return
    row.verdict = "no-difference"
    above, row.reason = _apart(row.metric, entry, base)
    if above is not None:
        row.verdict = _word(row.metric, above == (mine.better == "higher"))


def _apart(key: str, entry: Entry, base: Entry) -> tuple[bool | None, str]:
    """Is the figure shown to lie above the baseline's, or below it? ``None``: neither is; and why."""
    mine, theirs = entry.values[key], base.values[key]
    ranges = _ranges(key, entry, base)
    if ranges is not None and (slower := _beyond(*ranges)) is not None:
        return slower != (key == "throughput"), _range_reason(key, slower, entry, base)
    if mine.low is not None and mine.high is not None and theirs.low is not None and theirs.high is not None:
        beyond = _beyond((mine.low, mine.high), (theirs.low, theirs.high))
        return beyond, OVERLAP if beyond is None else "the 95 % intervals are disjoint"
    if mine.value == theirs.value:
        return None, EQUAL
    return (mine.value > theirs.value, "counted, not measured") if key in EXACT else (None, SINGLE)


Range = tuple[float, float]


def _ranges(key: str, entry: Entry, base: Entry) -> tuple[Range, Range] | None:
    """The single latencies of both in ns, from the least to the largest as far as rounding tells, where they bear on
    this figure."""
    if key in NOT_SPREAD or not (key.startswith("latency_") or key == "throughput"):
        return None
    mine, theirs = _range(entry), _range(base)
    if mine is None or theirs is None:
        return None
    if key == "throughput" and not (_back_to_back(entry, mine) and _back_to_back(base, theirs)):
        return None
    return mine, theirs


def _range(entry: Entry) -> Range | None:
    least, most = entry.values.get("latency_min"), entry.values.get("latency_max")
    if least is None or most is None:
        return None
    return least.value - (least.step or 0.0) / 2, most.value + (most.step or 0.0) / 2


def _back_to_back(entry: Entry, latencies_ns: Range) -> bool:
    """May one inference have run after the other: is the throughput one that single latencies allow, and does the
    file tell no other scenario?"""
    throughput = entry.values["throughput"]
    if throughput.terms.get("scenario", ONE_BY_ONE) != ONE_BY_ONE or latencies_ns[0] <= 0:
        return False
    return 1e9 / latencies_ns[1] <= throughput.value <= 1e9 / latencies_ns[0]


def _beyond(mine: Range, theirs: Range) -> bool | None:
    if mine[0] > theirs[1]:
        return True
    return False if mine[1] < theirs[0] else None


def _range_reason(key: str, slower: bool, entry: Entry, base: Entry) -> str:
    mine_ms, theirs_ms = (
        " to ".join(f"{each.values[end].value / 1e6:.4g}" for end in ("latency_min", "latency_max")) + " ms"
        for each in (entry, base)
    )
    side = "above" if slower else "below"
    says = f"all of its latencies ({mine_ms}) lie {side} all of the baseline's ({theirs_ms})"
    if key != "throughput":
        return says
    told = all(each.values[key].terms.get("scenario") == ONE_BY_ONE for each in (entry, base))
    return f"{'one inference after the other' if told else INFERRED}, and {says}"


def _word(key: str, good: bool) -> str:
    if key.startswith("latency_") or key in TIMES:
        return "faster" if good else "slower"
    return "better" if good else "worse"


# ---------------------------------------------------------------- within one campaign


class _Paired:
    """The verdicts of campaigns, from rounds that both contenders ran in; those of a baseline are made once."""

    def __init__(self, campaigns: Mapping[str, Campaign]) -> None:
        self.campaigns = campaigns
        self.made: dict[tuple[str, str], dict[tuple[str, str], Comparison]] = {}

    def judge(self, row: Comparison, base: Entry, entry: Entry) -> bool:
        """Put the paired evidence into a row; False where there is none."""
        if entry.sha256 != base.sha256 or entry.campaign != base.campaign or base.sha256 not in self.campaigns:
            return False
        found = self._rows(base).get((row.metric, entry.contender))
        if found is None:
            return False
        row.ratio, row.low, row.high = found.ratio, found.low, found.high
        row.delta, row.delta_low, row.delta_high = found.delta, found.delta_low, found.delta_high
        row.verdict, row.reason = found.verdict, found.reason
        return True

    def _rows(self, base: Entry) -> dict[tuple[str, str], Comparison]:
        key = (base.sha256, base.contender)
        if key not in self.made:
            found = _of_campaign(self.campaigns[base.sha256], base) if "latency_median" in base.values else []
            self.made[key] = {(_key(row.metric), row.contender): row for row in found}
        return self.made[key]


class Pairs:
    """Any two contenders of a model, one figure at a time. ``campaigns`` are by the hash of their files."""

    def __init__(self, campaigns: Mapping[str, Campaign] | None = None) -> None:
        self._sources = _Paired(campaigns or {})

    def row(self, key: str, base: Contender, each: Contender) -> Comparison:
        """``each`` held against ``base``."""
        return _row(key, base, each, self._sources)


def _of_campaign(campaign: Campaign, base: Entry) -> list[Comparison]:
    kinds = (compare, compare_energy, compare_memory, compare_accuracy)
    return [row for kind in kinds for row in kind(campaign, base.contender)]


def _key(metric: str) -> str:
    """The key of an entry's figure that a campaign's comparison is about."""
    known = {"latency_median": "latency_median", GROSS: "energy", MEMORY: "memory"}
    return known.get(metric, f"{SCORE}{metric}")


# ---------------------------------------------------------------- names


def _named(entries: Sequence[Entry]) -> list[Contender]:
    plain = _with_precision(entries)
    twice = _twice(plain)
    with_file = [f"{entry.file}: {name}" if name in twice else name for name, entry in zip(plain, entries, strict=True)]
    twice = _twice(with_file)
    seen: dict[str, int] = {}
    found = []
    for name, entry in zip(with_file, entries, strict=True):
        seen[name] = seen.get(name, 0) + 1
        found.append(Contender(f"{name} #{seen[name]}" if name in twice else name, entry))
    return found


def _with_precision(entries: Sequence[Entry]) -> list[str]:
    """Names of contenders; with the precision where it is told of all that are called alike, and differs."""
    told: dict[str, list[str | None]] = {}
    for entry in entries:
        told.setdefault(entry.contender, []).append(entry.precision)
    apart = {name for name, precisions in told.items() if None not in precisions and len(set(precisions)) > 1}
    return [
        f"{entry.contender} [{entry.precision}]" if entry.contender in apart else entry.contender for entry in entries
    ]


def _twice(names: Sequence[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def _places(entry: Entry) -> tuple[str, ...]:
    return (f"{entry.file}: {entry.contender}", entry.file, entry.file.removesuffix(".json"))


def _names(groups: Sequence[Sequence[Contender]]) -> str:
    return ", ".join(dict.fromkeys(each.name for group in groups for each in group))
