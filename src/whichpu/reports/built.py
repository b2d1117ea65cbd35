"""What building took before a model was loaded: apart from load times and latencies, and told beside them."""

from __future__ import annotations

from collections.abc import Sequence

from whichpu.reports import units
from whichpu.results.schema import Result
from whichpu.worker.wire import Built


def sentences(results: Sequence[Result]) -> list[str]:
    """One for all contenders that were built; none where nothing was."""
    told = [f"{result.name} in {_took(result.built)}" for result in results if result.built is not None]
    return [f"Built before it was loaded, once, and part of no other time: {units.joined(told)}."] if told else []


def words(built: Built | None) -> str | None:
    """How one was built: time, files, the builder's facts."""
    if built is None:
        return None
    files = [f"{name} {units.size(size)}" for name, size in sorted(built.files.items())]
    facts = [f"{name}: {value}" for name, value in built.facts.items()]
    return "; ".join([f"in {_took(built)}", *files, *facts])


def _took(built: Built) -> str:
    return units.time(built.wall_ns) + (" (by an earlier run)" if built.was_there else "")
