"""Licence plates: detection, characters and states on PyTorch, ONNX Runtime, TensorRT and OpenCV DNN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from whichpu.results import reported
from whichpu.results.entries import Entry, Value
from whichpu.studies.study import Asked, Statement, Study, Table, differs, needs, open_

TITLE = "Licence-plate networks: what conversion to ONNX Runtime, TensorRT and OpenCV DNN costs in accuracy"
DATA = Path(__file__).parent / "data"
REFERENCE = "PyTorch"
SCRIPT = "examples/licence_plates/tables.py"
POINTS = 100


def reproduce(asked: Asked) -> Study:
    """Deltas from PyTorch computed anew; a printed one that does not follow is flagged."""
    path = DATA / "licence_plate_runtimes.json"
    told = msgspec.json.decode(path.read_bytes())
    entries = reported.read(path).entries
    return Study(
        name="licence-plates",
        title=TITLE,
        tables=[_table(entries)],
        statements=[*_printed(entries), *_causes(told["causes_named"]), *_measured(told["metrics"])],
        notes=["The study tells no number of samples: whether a delta is more than chance can't be said."],
        ways=[f"python {SCRIPT}", "make plates", "whichpu bisect MODEL --against OTHER"],
    )


def deltas(entries: Sequence[Entry]) -> dict[tuple[str, str], float]:
    """Percentage points from PyTorch, by model and runtime."""
    values = {(entry.model, entry.contender): _score(entry).value for entry in entries}
    return {key: POINTS * (value - values[key[0], REFERENCE]) for key, value in values.items()}


def _score(entry: Entry) -> Value:
    return next(iter(entry.values.values()))


def _table(entries: Sequence[Entry]) -> Table:
    found = deltas(entries)
    rows = [
        [entry.model, next(iter(entry.values)).removeprefix("score:"), entry.contender, f"{_score(entry).value:.4f}",
         f"{found[entry.model, entry.contender]:+.2f}", "misprint?" if entry.doubts else ""]
        for entry in entries
    ]  # fmt: skip
    heads = ["model", "metric", "runtime", "value", "delta from PyTorch, points", ""]
    return Table(title="accuracy, deltas computed anew", heads=heads, rows=rows)


def _printed(entries: Sequence[Entry]) -> Iterator[Statement]:
    """The deltas that the study prints and that don't follow from its values."""
    found = deltas(entries)
    for entry in entries:
        if entry.doubts:
            key = entry.model, entry.contender
            says = f"{entry.model}, {entry.contender}: {_score(entry).value:.4f}, with the delta printed beside it"
            yield differs(says, f"computed: {found[key]:+.2f} points; {'; '.join(entry.doubts)}")


def _causes(causes: Sequence[str]) -> Iterator[Statement]:
    for cause in causes:
        yield open_(
            f"a cause of the deltas: {cause}", f"the networks' outputs before and after: whichpu bisect, {SCRIPT}"
        )


def _measured(metrics: Sequence[str]) -> Iterator[Statement]:
    for metric in metrics[:3]:
        yield open_(f"{metric.replace('_', ' ')} on four runtimes", f"those figures; {SCRIPT} measures them here")
    yield needs("the same on TensorRT", "a GPU of NVIDIA, and the study's networks and photographs")
