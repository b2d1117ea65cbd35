"""Reasons to trust the figures of a together file less."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import msgspec

from whichpu.results.conditions import doubts_of_looks
from whichpu.results.placement import doubts_of_placement
from whichpu.results.schema import Doubt
from whichpu.results.together import Row, TogetherRun
from whichpu.stats.intervals import Estimate
from whichpu.stats.overlap import PERCENTILE_LEAST

SHARED_LEAST = 0.9
"""Share of the windows in which all should have run."""

WIDE = 0.1
"""A slow-down that is known to no better than this says little."""

QUIETER = "stop other programs, or choose quieter CPUs: --on NAME=BACKEND,cpus=N"

APART = "pin each to CPUs of its own: --on a=BACKEND,cpus=0 --on b=BACKEND,cpus=1"


def of_one(row: Row, wholes: Sequence[int]) -> list[Doubt]:
    """Doubts about one contender; ``wholes`` are its inferences in each window of all at once."""
    found = [_never_steady(row), _few(wholes)]
    return [doubt for doubt in found if doubt is not None] + doubts_of_placement(row.placement)


def of_all(run: TogetherRun, slowdowns: Sequence[Estimate | None], shared: float | None, rounds: int) -> list[Doubt]:
    """Doubts about all figures, the gravest first; ``shared`` is the share of the windows in which all ran."""
    found = [_shared_cpus(run), _shared_cores(run)]
    if shared is not None:
        found += [_short(shared), _few_rounds(rounds, run.terms.rounds_least), _wide(slowdowns)]
    watched = run.watched
    looks = doubts_of_looks(watched.looks, watched.states, watched.cpus) if watched is not None else []
    return [doubt for doubt in found if doubt is not None] + [_in_our_words(doubt) for doubt in looks]


def _in_our_words(doubt: Doubt) -> Doubt:
    """Here CPUs are an option of each target, not of the command."""
    return msgspec.structs.replace(doubt, advice=QUIETER) if doubt.kind == "other-load" else doubt


def _never_steady(row: Row) -> Doubt | None:
    warmed = [reading.warm_steady for reading in row.readings if reading.warm_steady is not None]
    unsteady = warmed.count(False)
    if not warmed or 2 * unsteady < len(warmed):
        return None
    return Doubt(
        kind="never-steady",
        says=f"in {unsteady} of {len(warmed)} rounds its warm-up did not settle",
        advice="look at clocks, heat and other load",
        facts={"rounds": unsteady},
    )


def _few(wholes: Sequence[int]) -> Doubt | None:
    fewest = min(wholes, default=PERCENTILE_LEAST)
    if fewest >= PERCENTILE_LEAST:
        return None
    return Doubt(
        kind="few-inferences",
        says=f"while all ran, a window of it held {fewest} whole inference{'s' * (fewest != 1)} only",
        advice="give longer windows: --window, and --budget",
        facts={"inferences": fewest},
    )


def _shared_cpus(run: TogetherRun) -> Doubt | None:
    """Contenders that may be given the same CPU: then one waits for the other, whatever unit it asks for."""
    pairs = [
        f"{one.name} and {other.name}"
        for one, other in combinations(run.rows, 2)
        if set(one.cpus) & set(other.cpus) or ((not one.cpus or not other.cpus) and _crowded(run))
    ]
    if not pairs:
        return None
    return Doubt(
        kind="shared-cpus",
        says=f"{'; '.join(pairs)} could run on the same CPUs: their slow-down is partly waiting for them",
        advice=APART,
        facts={"pairs": len(pairs), "cpus": run.machine.cpus_usable},
    )


def _crowded(run: TogetherRun) -> bool:
    return sum(row.threads for row in run.rows) > run.machine.cpus_usable


def _shared_cores(run: TogetherRun) -> Doubt | None:
    owners = {cpu: row.name for row in run.rows for cpu in row.cpus}
    groups = [cpus for cpus in run.one_core or [] if len({owners.get(cpu) for cpu in cpus}) > 1]
    if not groups:
        return None
    told = "; ".join(f"CPUs {', '.join(map(str, cpus))}" for cpus in groups)
    return Doubt(
        kind="shared-cpus",
        says=f"contenders ran on threads of one core ({told}): they share its arithmetic units and caches",
        advice="pin them to different cores, unless that is what you ship",
        facts={"cores": len(groups)},
    )


def _short(shared: float) -> Doubt | None:
    if shared >= SHARED_LEAST:
        return None
    return Doubt(
        kind="short-overlap",
        says=f"all ran in {100 * shared:.0f} % of the windows only; the rest counts for nothing",
        advice="give longer windows: --window, and --budget",
        facts={"shared": shared},
    )


def _few_rounds(rounds: int, least: int) -> Doubt | None:
    if rounds >= least:
        return None
    says = f"{rounds} round{'s' * (rounds != 1)} of fresh processes; {least} are wanted"
    return Doubt(kind="few-rounds", says=says, advice="give more --rounds, more --budget", facts={"rounds": rounds})


def _wide(slowdowns: Sequence[Estimate | None]) -> Doubt | None:
    widths = [found.half_width for found in slowdowns if found is not None and found.half_width is not None]
    widest = max(widths, default=0.0)
    if widest <= WIDE:
        return None
    return Doubt(
        kind="wide-interval",
        says=f"a slow-down is known to ±{100 * widest:.0f} % only: rounds differ",
        advice="quiet the machine, give more --budget or a longer --window",
        facts={"half_width": widest},
    )
