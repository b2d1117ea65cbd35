"""Where a contender's operators ran, in words, and the doubt that some ran elsewhere."""

from __future__ import annotations

from whichpu.results.schema import Doubt, Result
from whichpu.worker.wire import Elsewhere, Placement

NAMED = 3
"""Kinds of operators that a sentence names."""


def in_words(placement: Placement | None) -> str:
    """``3 of 66 operators run on cpu, not on cuda: 2 Resize, 1 NonMaxSuppression (no kernel)``."""
    if placement is None:
        return "its runtime tells nothing of where operators run"
    if placement.unknown is not None:
        some = [f"; {part.operators:,} on {part.unit}" for part in placement.elsewhere if part.operators]
        return f"on which unit its operators run is not known: {placement.unknown}{''.join(some)}"
    count = sum(placement.units.values())
    if not placement.elsewhere:
        return f"all {count:,} operators run on {placement.asked}"
    return "; ".join(_part(part, count, placement.asked) for part in placement.elsewhere)


def placement_doubts(result: Result) -> list[Doubt]:
    """Operators elsewhere, or nothing known of an accelerator; none where that is why it was refused."""
    return [] if result.fell_back else doubts_of_placement(result.placement)


def doubts_of_placement(placement: Placement | None) -> list[Doubt]:
    """Of one placement."""
    if placement is None or not (placement.elsewhere or placement.unknown):
        return []
    if placement.unknown is not None and not placement.elsewhere:
        return [Doubt(kind="placement-unknown", says=in_words(placement), advice="ask its vendor's profiler")]
    count = sum(part.operators for part in placement.elsewhere)
    return [
        Doubt(
            kind="fallback",
            says=in_words(placement),
            advice="whichpu analyze tells what keeps operators off a unit; --fail-on-fallback refuses such a contender",
            facts={"operators_elsewhere": count, "operators": sum(placement.units.values())},
        )
    ]


def _part(part: Elsewhere, count: int, asked: str) -> str:
    run = "runs" if part.operators == 1 else "run"
    return f"{part.operators:,} of {count:,} operators {run} on {part.unit}, not on {asked}{_what(part)}"


def elsewhere_in_words(part: Elsewhere) -> str:
    """``3 on cpu: 2 Resize, 1 NonMaxSuppression (no kernel)``."""
    return f"{part.operators:,} on {part.unit}{_what(part)}"


def _what(part: Elsewhere) -> str:
    """Kinds and reason, with what goes before them."""
    kinds = sorted(part.kinds.items(), key=lambda pair: (-pair[1], pair[0]))
    named = ", ".join(f"{number:,} {kind}" for kind, number in kinds[:NAMED])
    rest = len(kinds) - NAMED
    more = f" and {rest} kind{'s' * (rest > 1)} more" if rest > 0 else ""
    what = f": {named}{more}" if named else ""
    return what + (f" ({part.reason})" if part.reason else "")
