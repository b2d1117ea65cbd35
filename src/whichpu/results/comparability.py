"""May two figures be held against each other? Decided figure by figure, with the rule named (design, rule 7)."""

from __future__ import annotations

import msgspec

from whichpu.results.entries import Entry

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


class Ruling(msgspec.Struct, frozen=True):
    """``refused`` names the rule that two figures break, empty where they may be compared; ``caveats`` are what the
    sources leave open."""

    refused: str = ""
    caveats: tuple[str, ...] = ()


def ruling(metric: str, one: Entry, other: Entry) -> Ruling:
    """Whether the figure of two entries may be compared."""
    raise NotImplementedError  # being written
