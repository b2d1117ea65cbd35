"""What reproducing a study gives: its tables, and each of its statements with what its figures say of it."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["agrees", "differs", "needs hardware", "can't be checked"]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of the study, the verdict, and why: the figures, how much it differs, which hardware or measurement is
    needed."""

    says: str
    verdict: Verdict
    because: str


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Cells as text; the first column has names."""

    title: str
    heads: list[str]
    rows: list[list[str]]


class Study(msgspec.Struct, kw_only=True):
    """``ways`` are commands that measure it anew, ``notes`` what else is to be said."""

    name: str
    title: str
    tables: list[Table] = []
    statements: list[Statement] = []
    notes: list[str] = []
    ways: list[str] = []


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """``examples`` is the folder of the examples, where there is one; ``own`` are campaign files of our own run."""

    examples: str | None = None
    own: list[str] = []


def agrees(says: str, because: str) -> Statement:
    return Statement(says=says, verdict="agrees", because=because)


def differs(says: str, because: str) -> Statement:
    return Statement(says=says, verdict="differs", because=because)


def needs(says: str, hardware: str) -> Statement:
    return Statement(says=says, verdict="needs hardware", because=hardware)


def open_(says: str, needed: str) -> Statement:
    """A statement that the study's figures neither show nor refute."""
    return Statement(says=says, verdict="can't be checked", because=f"needs {needed}")


def judged(says: str, holds: bool, because: str) -> Statement:
    return agrees(says, because) if holds else differs(says, because)
