"""Single latencies of contenders, for formats that keep them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from whichpu.errors import UserError
from whichpu.results.anything import File
from whichpu.results.column import unpack
from whichpu.results.entries import Entry
from whichpu.results.nway import grouped
from whichpu.results.reported import Reported
from whichpu.results.schema import Campaign, Reading, Result


class Round(NamedTuple):
    """The latencies of one fresh process in ns, in order: those that opened a block, on cold caches, and the others."""

    number: int
    opening_ns: list[float]
    steady_ns: list[float]


class Sampled(NamedTuple):
    """A contender under a name that no other of its model has; ``rounds`` is empty where its file has no single
    latencies."""

    name: str
    entry: Entry
    file: File
    rounds: list[Round]

    @property
    def steady_s(self) -> list[float]:
        """All steady latencies in s, in order."""
        return [latency / 1e9 for each in self.rounds for latency in each.steady_ns]


def sampled(files: Sequence[File]) -> list[Sampled]:
    """All contenders of all files."""
    found = [(file, entry, rounds) for file in files for entry, rounds in _of_file(file)]
    groups = grouped(entry for _, entry, _ in found).values()
    names = {id(each.entry): each.name for group in groups for each in group}
    return [Sampled(names[id(entry)], entry, file, rounds) for file, entry, rounds in found]


def with_samples(files: Sequence[File], kind: str) -> tuple[list[Sampled], list[str]]:
    """The contenders that have single latencies, and a sentence on each that has none.

    Raises :class:`UserError` where none has.
    """
    every = sampled(files)
    having = [each for each in every if _has_any(each)]
    if not having:
        raise UserError(f"{kind} holds single latencies, and no file has any", "export to csv, json or markdown")
    return having, [f"{each.entry.model}, {each.name}: {_why(each)}" for each in every if not _has_any(each)]


def _has_any(each: Sampled) -> bool:
    return any(one.steady_ns for one in each.rounds)


def _why(each: Sampled) -> str:
    if not each.entry.values:
        return next(iter(each.entry.absent.values()), "it has no figures")
    content, name = each.file.content, each.entry.contender
    if isinstance(content, Reported) and {name, _kept(each.entry)} & content.samples.keys():
        return f"several contenders of {each.entry.file} are called so, and single latencies are kept by that name"
    return f"{each.entry.file} holds no single latencies"


def _of_file(file: File) -> Iterator[tuple[Entry, list[Round]]]:
    content, entries = file.content, file.entries
    if isinstance(content, Campaign):
        results = {result.name: result for result in content.results}
        for entry in entries:
            yield entry, _rounds(results[entry.contender]) if entry.values else []
        return
    samples = content.samples if isinstance(content, Reported) else {}
    names = Counter(entry.contender for entry in entries)
    in_file = Counter((entry.contender, entry.file) for entry in entries)
    for entry in entries:
        name = entry.contender
        kept = name if names[name] == 1 else _kept(entry)
        latencies = samples.get(kept) if in_file[name, entry.file] == 1 else None
        yield entry, [Round(0, [], list(latencies))] if latencies else []


def _kept(entry: Entry) -> str:
    """Under what latencies are kept where files are merged that call contenders alike."""
    return f"{entry.contender} ({entry.file})"


def _rounds(result: Result) -> list[Round]:
    return [_round(reading) for reading in result.readings if reading.latencies_ns is not None]


def _round(reading: Reading) -> Round:
    assert reading.latencies_ns is not None
    latencies = unpack(reading.latencies_ns)
    opening = np.zeros(latencies.size, dtype=bool)
    start = 0
    for block in reading.blocks:
        opening[start : start + block.opening] = True
        start += block.count
    return Round(reading.round, latencies[opening].tolist(), latencies[~opening].tolist())
