"""Reasons to trust a figure of energy less: about the source that headlines use, and about the meters themselves."""

from __future__ import annotations

from whichpu.results.energy import figures, metered
from whichpu.results.energy.figures import EnergyFigures
from whichpu.results.energy.scopes import covers, holds
from whichpu.results.schema import Campaign, Doubt, Joined, Result

COSTS = 0.01
"""Meters that change the latency by more cost something."""

ROUNDS = 3
"""Windows, one a round, that an interval of energy should rest on."""

DRIFTED = 0.2
"""Idle power that moves by more than this share of what the model adds makes net figures depend on when."""

ENERGY = "energy"
"""What these doubts touch."""


def energy_doubts(campaign: Campaign, result: Result) -> list[Doubt]:
    """Doubts about one contender's energy, the gravest first. None for a contender without windows."""
    if campaign.metered is None or not metered.windows_of(campaign, result):
        return []
    found = [_cost(campaign, result)]
    row = figures.primary_figures(campaign, result)
    if row is not None and row.gross_j is not None:
        found = [_elsewhere(campaign, row, result), _shared(campaign, row), _not_above_idle(row), *found]
        found += [_few(row), _idle_drifted(row), _clock_untested(campaign, row)]
    return [doubt for doubt in found if doubt is not None]


def _elsewhere(campaign: Campaign, row: EnergyFigures, result: Result) -> Doubt | None:
    source = figures.source_named(campaign, row.source)
    if source is None or holds(metered.Meters(campaign), source, result):
        return None
    says = f"which doesn't hold the {result.device} that it ran on"
    if covers(source.meter, source.scope, result):
        says = "one of several, and it is not shown to have run on that one"
    return Doubt(
        kind="power-elsewhere",
        says=f"{row.source} tells the power of its {row.scope}, {says}",
        advice="join the log of a meter that holds all of it: whichpu join",
        touches=ENERGY,
        facts={"source": row.source, "scope": row.scope},
    )


def _shared(campaign: Campaign, row: EnergyFigures) -> Doubt | None:
    meter = row.source.partition(":")[0]
    told = campaign.metered.missing if campaign.metered is not None else []
    shared = next((each for each in told if each.meter == meter and each.kind == "not-for-this-process"), None)
    if shared is None:
        return None
    return Doubt(
        kind="shared-sensor",
        says=f"the sensor counts others too: {shared.says}",
        advice="stop the others, or look at the net figure" + (f": {shared.remedy}" if shared.remedy else ""),
        touches=ENERGY,
        facts={"source": row.source},
    )


def _clock_untested(campaign: Campaign, row: EnergyFigures) -> Doubt | None:
    """Energy by another program's log whose clock nothing confirms."""
    source = figures.source_named(campaign, row.source)
    joined = campaign.metered.joined if campaign.metered is not None and source is not None else []
    numbers = set(source.channels) if source is not None else set()
    logs = [one for one in joined if not one.tested and numbers & _channels_of(one)]
    if not logs:
        return None
    return Doubt(
        kind="clock-untested",
        says=f"the clock of {logs[0].file} is not confirmed: its power doesn't show when the model ran",
        advice="set both clocks by one time server, or measure with longer windows (--meter-window) and join again",
        touches=ENERGY,
        facts={"file": logs[0].file},
    )


def _channels_of(joined: Joined) -> set[int]:
    return set(range(joined.first_channel, joined.first_channel + joined.channels))


def _at_idle(row: EnergyFigures) -> bool:
    """Is net energy not shown to be above 0: by its interval, or of one window by what idle windows differ by?"""
    spread_w, rise_w = _spread_w(row), _rise_w(row)
    if row.net_j is None or spread_w is None or rise_w is None:
        return False
    return row.net_j <= 0 or (rise_w <= spread_w if row.net_low_j is None else row.net_low_j <= 0)


def _not_above_idle(row: EnergyFigures) -> Doubt | None:
    spread_w, rise_w = _spread_w(row), _rise_w(row)
    if spread_w is None or rise_w is None or not _at_idle(row):
        return None
    return Doubt(
        kind="not-above-idle",
        says=f"it takes {rise_w:.3g} W more than the machine does idle, and idle windows differ by {spread_w:.2g} W:"
        " its net energy is not shown to be above 0",
        advice="quiet the machine, or give a longer --meter-window",
        touches=ENERGY,
        facts={"rise_w": rise_w, "idle_spread_w": spread_w},
    )


def _idle_drifted(row: EnergyFigures) -> Doubt | None:
    """Idle power that moves by much of what the model adds, or by more than that."""
    spread_w, rise_w = _spread_w(row), _rise_w(row)
    if spread_w is None or rise_w is None or _at_idle(row) or spread_w <= DRIFTED * rise_w:
        return None
    return Doubt(
        kind="idle-drift",
        says=f"idle power went from {row.idle_least_w:.3g} to {row.idle_most_w:.3g} W between windows, beside"
        f" {rise_w:.3g} W that the model adds",
        advice="let the machine settle first, and look at the interval of net energy",
        touches=ENERGY,
        facts={"idle_spread_w": spread_w, "rise_w": rise_w},
    )


def _few(row: EnergyFigures) -> Doubt | None:
    if row.windows >= ROUNDS and "windows" not in row.missing:
        return None
    says = row.missing.get("windows", f"its energy rests on {row.windows} window{'s' * (row.windows != 1)}")
    return Doubt(
        kind="few-windows",
        says=says,
        advice="measure more rounds: --resume, with a larger --rounds or --budget",
        touches=ENERGY,
        facts={"windows": row.windows},
    )


def _cost(campaign: Campaign, result: Result) -> Doubt | None:
    """Meters that are shown to move the latency by over 1 %."""
    cost = figures.meter_cost(campaign, result)
    if cost is None or cost.low is None or cost.high is None:
        return None
    if abs(cost.ratio - 1) <= COSTS or cost.low <= 1 <= cost.high:
        return None
    return Doubt(
        kind="meter-cost",
        says=f"with meters its latency is {100 * (cost.ratio - 1):+.1f} % ({100 * (cost.low - 1):+.1f} to"
        f" {100 * (cost.high - 1):+.1f} %): its energy is that of a run so disturbed; its latencies were read without",
        advice="leave a CPU to the meters: --cpus",
        touches=ENERGY,
        facts={"ratio": cost.ratio},
    )


def _spread_w(row: EnergyFigures) -> float | None:
    if row.idle_least_w is None or row.idle_most_w is None:
        return None
    return row.idle_most_w - row.idle_least_w


def _rise_w(row: EnergyFigures) -> float | None:
    """What a contender takes above idle, in W."""
    return None if row.power_w is None or row.idle_w is None else row.power_w - row.idle_w
