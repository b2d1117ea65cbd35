"""Doubts about what was measured on a board: its clocks, and its link."""

from __future__ import annotations

from whichpu.results.schema import Campaign, Doubt, Linked

WRONG_S = 5.0
"""A time of day that is off by more is wrong."""
PACE = 0.005
"""A clock that runs faster or slower by more makes latencies wrong; crystals are good to 0.0001."""

UNITS = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def linked_doubts(campaign: Campaign) -> list[Doubt]:
    """What the board's clocks make doubtful, for all contenders alike."""
    linked = campaign.linked
    if linked is None:
        return []
    return [doubt for doubt in (_pace(campaign.board, linked), _time_of_day(campaign.board, linked)) if doubt]


def _pace(board: str | None, linked: Linked) -> Doubt | None:
    if linked.pace is None or abs(linked.pace - 1.0) <= PACE + (linked.pace_known_to or 0.0):
        return None
    word = "fast" if linked.pace > 1.0 else "slow"
    return Doubt(
        kind="board-clock",
        says=f"{board}'s clock runs {100 * abs(linked.pace - 1.0):.2g} % too {word}, and times were read from it",
        advice="look at the board's clock source (dmesg) before using any figure of it",
        facts={"pace": linked.pace},
    )


def _time_of_day(board: str | None, linked: Linked) -> Doubt | None:
    if abs(linked.ahead_s) <= WRONG_S:
        return None
    size, unit = next((size, unit) for size, unit in UNITS if abs(linked.ahead_s) >= size)
    word = "ahead" if linked.ahead_s > 0 else "behind"
    return Doubt(
        kind="board-clock",
        says=f"{board}'s time of day is {abs(linked.ahead_s) / size:.3g} {unit} {word}; latencies don't depend on it",
        advice="set the board's clock (timedatectl set-ntp true); times in this file are by this machine's",
        touches="time of day",
        facts={"ahead_s": linked.ahead_s},
    )
