"""May two figures be held against each other? Decided figure by figure, with the rule named (design, rule 7)."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from whichpu.results.entries import Entry, Value

TERMS: dict[str, str] = {
    "boundary": "what a time holds: end_to_end (from inputs in host memory to outputs in host memory), with transfers,"
    " without transfers, compute; or the tool's own words",
    "percentile": "the definition of a percentile: linear (NumPy's default), nearest rank, median-unbiased, ...",
    "statistic": "what of several readings it is: mean, median, peak; where the metric's name doesn't say",
    "scope": "what power, energy or memory covers: board, module, gpu, package, rail NAME; process, device, ...",
    "scenario": "SingleStream, MultiStream, Server, Offline; async (several requests at once), streaming, hw_only",
    "batch": "samples per inference",
    "threads": "CPU threads",
    "protocol": "how a score came about: the hash of dataset, pre-processing, decoding and metric",
    "samples": "which samples were answered: their hash, or how many",
    "load": "what loading a model holds: from a file, from a cache",
}
"""What terms a value may have, and in which words. A term that a source doesn't tell is left out."""

TIMED = ("boundary", "scenario", "batch", "statistic")
GOVERNED: dict[str, tuple[str, ...]] = {
    "power": ("scope", "statistic"),
    "energy": ("scope", "statistic", "batch"),
    "memory": ("scope", "statistic"),
    "device_memory": ("scope", "statistic"),
    "utilisation": ("scope", "statistic"),
    "model_utilisation": ("statistic",),
    "temperature": ("scope", "statistic"),
    "load": ("load", "statistic"),
    "first": ("boundary", "batch"),
    "throughput": TIMED,
    "size": (),
}
"""Terms that must be equal for a figure to be comparable; latencies are timed, scores have a protocol."""

RULES = {"scope": "scope", "percentile": "percentile definition"}
"""What a rule is called where that isn't its term."""

QUIET = ("statistic", "samples", "load")
"""Not told, these are no caveat: the figure's name says enough."""

TRANSFERS = {"end_to_end": True, "with transfers": True, "without transfers": False, "compute": False}
"""Boundaries that hold moving data to the device and back, and those that don't."""

MEASURED_ONLY = ("size",)
"""Of these an estimate is as good as a measurement."""

TWO_FILES = (
    "from two files, or two machines: not measured side by side, so that what the machines did meanwhile is in no"
    " interval"
)
TWO = ("one", "other")
"""Stand for the names of two files where no sentence has them, so that each is made once."""
WORDS_MOST = 90
"""Characters of a term that are said; some tools tell theirs in sentences."""


class Ruling(msgspec.Struct, frozen=True):
    """``refused`` names the rule that two figures break, empty where they may be compared; ``caveats`` are what the
    sources leave open."""

    refused: str = ""
    caveats: tuple[str, ...] = ()


def ruling(metric: str, one: Entry, other: Entry) -> Ruling:
    """Whether the figure of two entries, which both have it, may be compared; ``other`` is the baseline."""
    refused = _other_thing(metric, one, other)
    mine, theirs = one.values[metric], other.values[metric]
    governing = _governing(metric)
    if not refused:
        for term in governing:
            told, told_there = mine.terms.get(term), theirs.terms.get(term)
            if told is not None and told_there is not None and told != told_there:
                refused = _broken(term, metric, one, other)
                break
    if refused:
        return Ruling(refused)
    return Ruling("", _caveats(governing, one, other, mine, theirs))


def _governing(metric: str) -> tuple[str, ...]:
    if metric.startswith("score:"):
        return ("protocol", "samples")
    if metric.startswith("latency_p"):
        return ("boundary", "percentile", "scenario", "batch", "statistic")
    return GOVERNED.get(metric, TIMED)


def _other_thing(metric: str, one: Entry, other: Entry) -> str:
    """What entries must have in common, whatever their terms."""
    if one.model != other.model:
        return f"other model ({one.model}; the baseline's is {other.model})"
    if one.model_sha256 and other.model_sha256 and one.model_sha256 != other.model_sha256:
        return "other model bytes"
    if one.estimated != other.estimated and metric not in MEASURED_ONLY:
        estimate = one if one.estimated else other
        return f"an estimate against a measurement ({estimate.contender} is estimated by {estimate.tool})"
    units = one.values[metric].unit, other.values[metric].unit
    if units[0] != units[1]:
        return f"other unit ({units[0] or 'none'}; the baseline's is {units[1] or 'none'})"
    return ""


def _broken(term: str, metric: str, one: Entry, other: Entry) -> str:
    told, there = one.values[metric].terms[term], other.values[metric].terms[term]
    if term == "boundary" and TRANSFERS.get(told) is not None and TRANSFERS.get(there) is (not TRANSFERS[told]):
        yes, no = (one, other) if TRANSFERS[told] else (other, one)
        return f"{_called(yes, no)} times transfers, {_called(no, yes, again=True)} does not"
    if term == "protocol":
        return "other protocol: dataset, pre-processing, decoding or metric (the files don't say which)"
    if term == "samples":
        return "other samples"
    name = "power scope" if (term, metric) in (("scope", "power"), ("scope", "energy")) else RULES.get(term, term)
    return f"other {name} ({_short(told)}; the baseline's is {_short(there)})"


def _called(entry: Entry, beside: Entry, again: bool = False) -> str:
    """A tool and its major version, as far as that tells it from the other one; else the contender."""
    if entry.tool != beside.tool:
        return entry.tool
    mine, theirs = (_major(each.tool_version) for each in (entry, beside))
    if mine and theirs and mine != theirs:
        return mine if again else f"{entry.tool} {mine}"
    return entry.contender


def _major(version: str | None) -> str:
    return (version or "").partition(".")[0]


def _short(text: str) -> str:
    return text if len(text) <= WORDS_MOST else f"{text[: WORDS_MOST - 1]}…"


def _caveats(governing: tuple[str, ...], one: Entry, other: Entry, mine: Value, theirs: Value) -> tuple[str, ...]:
    silent = tuple(term for term in governing if term not in QUIET and term not in mine.terms)
    silent_there = tuple(term for term in governing if term not in QUIET and term not in theirs.terms)
    files = (one.file, other.file) if silent != silent_there or one.file == other.file else TWO
    said = _sentences(silent, silent_there, *files, one.sha256 != other.sha256)
    if one.machine and other.machine and one.machine != other.machine:
        return (f"on two machines: {one.machine}; the baseline's is {other.machine}", *said)
    return said


@lru_cache(maxsize=10_000)
def _sentences(
    silent: tuple[str, ...], silent_there: tuple[str, ...], file: str, there: str, apart: bool
) -> tuple[str, ...]:
    neither = [term for term in silent if term in silent_there]
    said = [TWO_FILES] if apart else []
    for who, terms in (
        ("neither file tells" if file != there else f"{file} doesn't tell", neither),
        (f"{file} doesn't tell", [term for term in silent if term not in neither]),
        (f"{there} doesn't tell", [term for term in silent_there if term not in neither]),
    ):
        if terms:
            said.append(f"{who} the {', '.join(RULES.get(term, term) for term in terms)}")
    return tuple(said)
