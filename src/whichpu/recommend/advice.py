"""What a recommendation says: the pick, and of every sentence the files and figures that it rests on."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

VERSION = "whichpu.advice/1"

Side = Literal["most", "least"]


class Source(msgspec.Struct, frozen=True):
    """The figure ``key`` of a contender in a file, or its absence; ``where`` is its place there."""

    file: str
    model: str
    contender: str
    key: str
    where: str = ""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence: its message, what stands in it (figures as ``[value, unit]``), and what it rests on.

    ``text`` is the sentence in words, where it was told.
    """

    id: str
    params: dict[str, Any] = {}
    sources: list[Source] = []
    text: str = ""


class Limit(msgspec.Struct, frozen=True):
    """A figure must be at most, or at least, ``bound`` (in the figure's unit). ``given`` is how the user wrote it."""

    metric: str
    side: Side
    bound: float
    given: str = ""

    def holds(self, value: float) -> bool:
        """Is a value within the limit?"""
        return value <= self.bound if self.side == "most" else value >= self.bound


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """One contender under one limit.

    ``within`` is by its figure, ``None`` where it has none (``why``); ``sure`` whether all of its 95 % interval says
    the same, ``None`` where it has no interval; ``chance`` the probability to be within.
    """

    limit: Limit
    unit: str
    value: float | None = None
    within: bool | None = None
    sure: bool | None = None
    chance: float | None = None
    why: str = ""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A contender's figure that takes part in the decision."""

    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    step: float | None = None


class Standing(msgspec.Struct, kw_only=True):
    """One contender: does it fit, is it ranked, how probable is it to be the best within the limits?

    ``out`` tells why it is not ranked: ``limit`` (over one), ``unknown`` (not to be shown within one), ``objective``
    (without its figure), ``apart`` (not comparable with the ranked ones); ``why`` in words.
    """

    contender: str
    model: str
    file: str
    device: str | None = None
    precision: str | None = None
    estimated: bool = False
    feasible: bool = False
    ranked: bool = False
    out: Literal["", "limit", "unknown", "objective", "apart"] = ""
    why: str = ""
    fits: list[Fit] = []
    best: float | None = None
    figures: dict[str, Figure] = {}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A limit moved from ``old`` (``None``: there was none) to ``bound``; ``relative`` is by which share of ``old``."""

    metric: str
    side: Side
    old: float | None = None
    bound: float
    unit: str
    relative: float | None = None


class Relaxation(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that, moved so, let ``contender`` in; ``measure`` are figures that would have to be known to be within."""

    contender: str
    changes: list[Change] = []
    measure: list[str] = []
    reason: Reason


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """What would make another contender win: another limit, objective or price, or a figure that were so good."""

    kind: Literal["limit", "objective", "price", "figure"]
    winner: str
    limit: Change | None = None
    objective: str | None = None
    price: float | None = None
    figure: str | None = None
    value: float | None = None
    reason: Reason


class Advice(msgspec.Struct, kw_only=True):
    """What to ship one model on. Of several models, ``models`` holds the advice on each; the rest is common to them.

    ``feasible``: is there a contender that keeps the limits and can be ranked by the objectives?
    ``pareto`` are the contenders that none beats on all objectives; ``ties`` are groups that can't be told apart;
    ``without_interval`` those for which no probability of being best can be given.
    """

    schema: str = VERSION
    model: str | None = None
    pick: str | None = None
    runner_up: str | None = None
    feasible: bool = False
    reasons: list[Reason] = []
    pareto: list[str] = []
    ties: list[list[str]] = []
    relax: list[Relaxation] = []
    flips: list[Flip] = []
    limits: list[Limit] = []
    objectives: list[str] = []
    contenders: list[Standing] = []
    without_interval: list[str] = []
    models: list[Advice] = []


def json_schema() -> dict[str, object]:
    """The published JSON Schema of what ``whichpu recommend --json`` prints."""
    schema = msgspec.json.schema(Advice)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": VERSION, **schema}
