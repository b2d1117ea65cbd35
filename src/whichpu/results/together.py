"""What a together file holds. Version 1; published as JSON Schema in ``docs/schema/together-1.json``.

Every window is kept, with its place on the machine's clock. All figures are computed from them (:mod:`.joint`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from whichpu.results import store
from whichpu.results.column import Column, unpack
from whichpu.results.schema import Loop, LoopAsked, ModelInfo, Nanoseconds, Status, Watched
from whichpu.worker.wire import Built, Machine, Placement, Precision

VERSION: Literal["whichpu.together/1"] = "whichpu.together/1"


class Terms(msgspec.Struct, kw_only=True, frozen=True):
    """What was asked for, and what held. Of each round there are ``turns``; in each turn every contender runs alone
    for one window, and all at once for one, in random order.

    A window lasts ``window_s``, after ``opening_s`` that no figure holds. Rounds go on until every slow-down is known
    to ``half_width`` (relative), or ``budget_s`` is spent.
    """

    seed: int
    rounds_least: int
    rounds_most: int | None
    budget_s: float
    half_width: float
    matters: float
    turns: int
    window_s: float
    opening_s: float
    threads: int
    timeout_s: float
    loop: LoopAsked
    data: str


class Window(msgspec.Struct, kw_only=True, frozen=True):
    """Inferences back to back. ``position`` counts the round's windows in the order they ran; those of one ``turn`` are
    neighbours in time. ``began_ns`` is on the machine's monotonic clock, the same for all contenders.

    ``median_ns``, ``p95_ns``, ``min_ns`` and ``max_ns`` are over all ``count`` latencies; ``latencies_ns`` are the
    first of them, raw and in order.
    """

    turn: int
    position: int
    began_ns: Nanoseconds
    wall_ns: Nanoseconds
    count: int
    median_ns: float
    p95_ns: float
    min_ns: int
    max_ns: int
    loop: Loop
    latencies_ns: Column


class Reading(msgspec.Struct, kw_only=True):
    """A contender's process in one round: its windows ``alone``, and those with all others at once (``together``)."""

    round: int
    load_ns: Nanoseconds | None = None
    first_ns: Nanoseconds | None = None
    warm_steady: bool | None = None
    rss_bytes: int | None = None
    alone: list[Window] = []
    together: list[Window] = []
    trouble: str | None = None


class Row(msgspec.Struct, kw_only=True):
    """One contender. ``cpus`` are those that it was pinned to; none: it was not pinned."""

    name: str
    target: str
    backend: str
    device: str
    model: str
    model_sha256: str
    cpus: list[int]
    threads: int
    status: Status = "pending"
    why: str | None = None
    remedy: str | None = None
    words: str | None = None
    python: str | None = None
    form_sha256: str | None = None
    boundary: str = "end_to_end"
    precision: Precision | None = None
    placement: Placement | None = None
    built: Built | None = None
    versions: dict[str, str] = {}
    effective: dict[str, str] = {}
    readings: list[Reading] = []


class TogetherRun(msgspec.Struct, kw_only=True):
    """One file: contenders of one machine, alone and all at once.

    ``model`` is the one given to the command, ``other_models`` are those of single contenders. ``one_core`` holds
    groups of pinned CPUs that are threads of one core; ``None`` where that is not known. ``ended`` says why the run
    ended early.
    """

    schema: Literal["whichpu.together/1"] = VERSION
    whichpu: str
    created: str
    model: ModelInfo
    other_models: list[ModelInfo] = []
    machine: Machine
    place: str | None = None
    one_core: list[list[int]] | None = None
    terms: Terms
    watched: Watched | None = None
    rows: list[Row] = []
    ended: str | None = None
    finished: str | None = None


def json_schema() -> dict[str, object]:
    """The published JSON Schema of a together file."""
    schema = msgspec.json.schema(TogetherRun)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": VERSION, **schema}


def save(run: TogetherRun, path: Path) -> None:
    """Replace ``path`` whole or not at all. Raises :class:`UserError` for a full or forbidden disk."""
    store.write(path, msgspec.json.encode(run) + b"\n")


def load(path: Path) -> TogetherRun:
    """Read a together file. Raises :class:`UserError` when it is missing, damaged, foreign or too new."""
    return store.read(path, "together", TogetherRun, VERSION, _check)


def windows_of(run: TogetherRun) -> list[Window]:
    """All windows of all contenders."""
    readings = [reading for row in run.rows for reading in row.readings]
    return [window for reading in readings for window in (*reading.alone, *reading.together)]


def _check(run: TogetherRun) -> None:
    """Raises :class:`ValueError` for a window of which no figure can be made."""
    for window in windows_of(run):
        if window.wall_ns < 1 or window.count < 1 or not 1 <= unpack(window.latencies_ns).size <= window.count:
            raise ValueError(f"the window that began at {window.began_ns} ns holds no whole inference")
