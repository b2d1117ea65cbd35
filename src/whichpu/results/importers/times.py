"""Times in logs: texts to whole nanoseconds, exactly; lines that share a time; lines that go back."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from decimal import Decimal

from whichpu.errors import UserError

S = 1_000_000_000
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
DATE = re.compile(r"(\d{4})[-/.](\d\d?)[-/.](\d\d?)")
CLOCK = re.compile(r"(\d\d?):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s*(Z|UTC|[+-]\d\d:?\d\d)?")
PLAIN = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|[+-]?\.\d+(?:[eE][+-]?\d+)?")


def utc_ns(text: str, zone: datetime.tzinfo | None) -> int | None:
    """``2026-11-20T18:00:00.5+09:00`` and its like (year first) as ns since the epoch; ``None`` for other texts.

    Without a zone of its own it is of ``zone``, ``None`` being this machine's.
    """
    date = DATE.match(text.strip())
    if not date:
        return None
    rest = text.strip()[date.end() :].lstrip("T ")
    clock = CLOCK.fullmatch(rest)
    if not clock:
        return None
    hour, minute, second, fraction, own = clock.groups()
    return of_parts([int(part) for part in (*date.groups(), hour, minute, second)], fraction, zone_of(own) or zone)


def of_parts(parts: Sequence[int], fraction: str | None, zone: datetime.tzinfo | None) -> int | None:
    """Year to second, and the digits behind the point, as ns since the epoch; ``None`` where there is no such time."""
    try:
        year, month, day, hour, minute, second = parts
        moment = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    moment = moment.astimezone() if zone is None else moment.replace(tzinfo=zone)
    whole = moment - EPOCH
    return (whole.days * 86_400 + whole.seconds) * S + int((fraction or "").ljust(9, "0"))


def zone_of(text: str | None) -> datetime.tzinfo | None:
    """``+09:00``, ``Z``; ``None`` for anything else."""
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)", text or "")
    if not found:
        return datetime.UTC if text in ("Z", "UTC") else None
    offset = datetime.timedelta(hours=int(found[2]), minutes=int(found[3]))
    return datetime.timezone(-offset if found[1] == "-" else offset)


def zone_words(zone: datetime.tzinfo | None) -> str:
    """What was taken for the zone of times without one."""
    return "this machine's" if zone is None else f"{datetime.datetime.now(zone):%z}"


def elapsed_ns(text: str) -> int | None:
    """``01:02:03.5`` as ns."""
    clock = CLOCK.fullmatch(text.strip())
    if not clock or clock[5]:
        return None
    seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3])
    return seconds * S + int((clock[4] or "").ljust(9, "0"))


def number(text: str) -> Decimal | None:
    """A plain number exactly; ``None`` for anything else (``nan``, ``OL``, ``-``)."""
    return Decimal(text) if PLAIN.fullmatch(text) else None


def spread(at_ns: Sequence[int]) -> list[int]:
    """Lines that share one time (whole seconds, packets) put evenly between it and the next; the last as those before.

    ``at_ns`` must not go back.
    """
    firsts = [index for index in range(len(at_ns)) if index == 0 or at_ns[index] != at_ns[index - 1]]
    if len(firsts) == len(at_ns):
        return list(at_ns)
    ends = [*firsts[1:], len(at_ns)]
    placed: list[int] = []
    step_ns = 0
    for first, end in zip(firsts, ends, strict=True):
        if end < len(at_ns):
            step_ns = (at_ns[end] - at_ns[first]) // (end - first)
        placed += [at_ns[first] + step_ns * index for index in range(end - first)]
    return placed


def in_order(at_ns: Sequence[int], lines: Sequence[int]) -> None:
    """Raises :class:`UserError` where a line's time is before that of the line above."""
    for index in range(1, len(at_ns)):
        if at_ns[index] < at_ns[index - 1]:
            raise UserError(
                f"line {lines[index]} goes back in time, by {(at_ns[index - 1] - at_ns[index]) / S:g} s",
                "give a log of one recording: split it where the meter was started anew",
            )
