"""Our own JSON: every contender's figures with what they stand for, and single latencies by round where there are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from whichpu import __version__
from whichpu.results.anything import File
from whichpu.results.entries import Entry
from whichpu.results.exporters import Written
from whichpu.results.exporters.samples import Sampled, sampled

VERSION = "whichpu.export/1"
KIND = "JSON of `whichpu export`"
BEGINNING = re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.export/')


class Latencies(msgspec.Struct, kw_only=True):
    """Single latencies in ns of a round, one fresh process: the first of each block, on cold caches, and the others."""

    round: int
    opening_ns: list[float]
    steady_ns: list[float]


class Contender(msgspec.Struct, kw_only=True):
    """An entry under a name that no other of its model has."""

    name: str
    entry: Entry
    latencies: list[Latencies] = []


class Export(msgspec.Struct, kw_only=True):
    """The whole file."""

    schema: str = VERSION
    whichpu: str = __version__
    contenders: list[Contender]


def write(files: Sequence[File]) -> Written:
    """All contenders."""
    body = Export(contenders=[_contender(each) for each in sampled(files)])
    return Written(msgspec.json.encode(body) + b"\n", [])


def _contender(each: Sampled) -> Contender:
    latencies = [Latencies(round=one.number, opening_ns=one.opening_ns, steady_ns=one.steady_ns) for one in each.rounds]
    return Contender(name=each.name, entry=each.entry, latencies=latencies)
