"""Memory of contenders, from the kernel's account of each round's process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import numpy as np

from whichpu.results.column import unpack
from whichpu.results.schema import Memory, Reading, Result

EARLIER = "this file is of an earlier version, which kept resident memory after loading and no more"
NOT_TOLD = "the kernel doesn’t tell, or the process ended before"
GIVEN_AS = {"private": "pss"}
"""Under which name a reading gives the reason for a figure, where that isn't the figure's own."""


class Level(msgspec.Struct, kw_only=True, frozen=True):
    """An amount of memory in bytes: the median over ``rounds`` fresh processes, the least and the most of them."""

    bytes: float
    least: int
    most: int
    rounds: int


class MemoryFigures(msgspec.Struct, kw_only=True):
    """One contender's memory on the host. Resident pages (RSS) are counted, shared ones too, where not said otherwise.

    ``base`` is the worker before the runtime is imported, ``imported`` after that, ``loaded`` with the model loaded and
    warm, ``measured`` after the blocks. ``model`` is runtime and model: ``loaded`` less ``base`` of the same process.
    ``peak_loading`` is the most that was resident until then, ``peak_measuring`` the most from then to the end of the
    blocks. ``pss`` (shared pages in parts) and ``private`` (only its own) are those after the blocks. What is ``None``
    has its reason in ``missing``, under the field's name.
    """

    base: Level | None = None
    imported: Level | None = None
    loaded: Level | None = None
    model: Level | None = None
    peak_loading: Level | None = None
    measured: Level | None = None
    peak_measuring: Level | None = None
    pss: Level | None = None
    private: Level | None = None
    missing: dict[str, str] = {}


class Curve(msgspec.Struct, kw_only=True, frozen=True):
    """Resident bytes while loading, at seconds of it; the harness's own doings between the phases are cut out.

    ``phases`` are the names of the phases and where they end.
    """

    at_s: list[float]
    bytes: list[float]
    phases: list[tuple[str, float]]


def memory_of(result: Result) -> MemoryFigures | None:
    """A contender's memory; ``None`` where no round told anything."""
    told = [reading.memory for reading in result.readings if reading.memory is not None]
    if not told:
        return _earlier(result.readings)
    figures = MemoryFigures(
        base=_level(told, lambda memory: memory.base),
        imported=_level(told, lambda memory: memory.imported),
        loaded=_level(told, lambda memory: memory.loaded),
        model=_level(told, _model),
        peak_loading=_level(told, lambda memory: memory.peak_loading),
        measured=_level(told, lambda memory: memory.measured),
        peak_measuring=_level(told, lambda memory: memory.peak_measuring),
        pss=_level(told, lambda memory: memory.measured_pss),
        private=_level(told, lambda memory: memory.measured_private),
    )
    return _with_reasons(figures, {name: reason for memory in told for name, reason in memory.missing.items()})


def curve_of(result: Result) -> Curve | None:
    """The curve of the first round that has one."""
    memory = next((one.memory for one in result.readings if one.memory is not None and one.memory.curve), None)
    if memory is None or memory.curve is None or memory.curve_at_ns is None:
        return None
    at_ns, pages = unpack(memory.curve_at_ns), unpack(memory.curve)
    spans = sorted((begin, end, name) for name, (begin, end) in memory.phases_ns.items() if name != "warm")
    at_s, ends, passed_ns = np.zeros(at_ns.size), [], 0
    for begin, end, name in spans:
        within = (begin <= at_ns) & (at_ns <= end)
        at_s[within] = (at_ns[within] - begin + passed_ns) / 1e9
        passed_ns += end - begin
        ends.append((name, passed_ns / 1e9))
    return Curve(at_s=at_s.tolist(), bytes=(pages.astype(float) * memory.page).tolist(), phases=ends)


def _earlier(readings: Iterable[Reading]) -> MemoryFigures | None:
    seen = [Memory(loaded=reading.rss_bytes) for reading in readings if reading.rss_bytes is not None]
    if not seen:
        return None
    return _with_reasons(MemoryFigures(loaded=_level(seen, lambda memory: memory.loaded)), {}, EARLIER)


def _with_reasons(figures: MemoryFigures, reasons: dict[str, str], other: str = NOT_TOLD) -> MemoryFigures:
    """The figures with a reason for each that is not known."""
    for name in MemoryFigures.__struct_fields__:
        if getattr(figures, name) is None:
            figures.missing[name] = reasons.get(GIVEN_AS.get(name, name), other)
    return figures


def _model(memory: Memory) -> int | None:
    return None if memory.loaded is None or memory.base is None else memory.loaded - memory.base


def _level(told: list[Memory], figure: Callable[[Memory], int | None]) -> Level | None:
    known = [value for value in map(figure, told) if value is not None]
    if not known:
        return None
    return Level(bytes=float(np.median(known)), least=min(known), most=max(known), rounds=len(known))
