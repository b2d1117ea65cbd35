"""The machine while measuring, in one line; what is unknown says why."""

from __future__ import annotations

from collections.abc import Iterator

from whichpu.reports import units
from whichpu.results.conditions import Conditions, conditions_of
from whichpu.results.schema import Campaign

BRIEF = {"clock": "clock unknown", "temperature": "temperature unknown", "throttling": "throttling unknown",
         "load": "load by others unknown", "steal": "stolen time unknown"}  # fmt: skip


def sentence(campaign: Campaign) -> str:
    """The machine while the campaign was measured; that nobody looked, where nobody did."""
    found = conditions_of(campaign)
    if found is None:
        return "The machine was not watched while measuring: this file is of an earlier version."
    if not found.looks:
        why = found.missing.get("watcher", "nothing was measured")
        return f"The machine while measuring: unknown ({why})."
    known = [*_clock(found), *_heat(found), *_load(found)]
    unknown = [f"{words} ({found.missing[what]})" for what, words in BRIEF.items() if what in found.missing]
    cut = [found.missing["watcher"]] if "watcher" in found.missing else []
    return f"The machine while measuring: {'; '.join([*known, *unknown, *cut])}."


def _clock(found: Conditions) -> Iterator[str]:
    low, high = found.clock_low_mhz, found.clock_high_mhz
    if low is not None and high is not None:
        held = f"{low:.0f} MHz" if round(low) == round(high) else f"{low:.0f} to {high:.0f} MHz"
        capped = found.limit_mhz and found.hardware_mhz and found.limit_mhz < 0.98 * found.hardware_mhz
        yield f"clock {held}" + (f", capped at {found.limit_mhz:.0f} of {found.hardware_mhz:.0f}" if capped else "")
    if found.governors:
        yield f"governor {units.joined(found.governors)}"
    if found.power_mode is not None:
        yield f"power mode {found.power_mode}"


def _heat(found: Conditions) -> Iterator[str]:
    if found.temperature_c is not None:
        room = "" if found.headroom_c is None else f", {found.headroom_c:.0f} °C below a trip point"
        if found.headroom_c is not None and found.headroom_c <= 0:
            room = ", a trip point was reached"
        yield f"at most {found.temperature_c:.0f} °C ({found.zone}{room})"
    if found.throttles:
        yield f"throttled {found.throttles} times"
    elif found.throttles is not None and not found.flags:
        yield "not throttled"
    if found.flags:
        yield f"firmware: {', '.join(found.flags)}"


def _load(found: Conditions) -> Iterator[str]:
    if found.other_cores is not None:
        yield f"others kept {found.other_cores:.2f} of {found.cpus} CPU{'s' * (found.cpus != 1)} busy"
    if found.steal_share is not None:
        yield f"a hypervisor took {100 * found.steal_share:.1f} %"
