"""A sentence before it is put into words: what it says, and what it rests on."""

from __future__ import annotations

from typing import Any

import msgspec


class Source(msgspec.Struct, frozen=True):
    """A figure, or its absence: ``key`` of a contender's entry that came from ``file``."""

    file: str
    model: str
    contender: str
    key: str


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` names a message, ``params`` fill its template: names, keys of figures, numbers in base units."""

    id: str
    params: dict[str, Any] = {}
    sources: tuple[Source, ...] = ()
