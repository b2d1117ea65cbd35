"""What the looks at the machine say: doubts about figures, and a summary for the reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from whichpu.results.schema import Campaign, Doubt, Look, MachineState, Result

FELL = 0.9
"""A clock below this share of what it held before has fallen; boost steps and idle cores are narrower or shorter."""

CAPPED = 0.98
"""A limit below this share of the hardware's own caps the clock."""

STEAL_SHARE, STEAL_LEAST_S = 0.01, 0.03
"""Stolen time that shows: its share of the CPU time asked for, and more than the counter's step of 10 ms."""

STEAL_ALL = 0.05
"""Above this share stolen time touches medians, not only the tail."""

OTHER_CORES, OTHER_SHARE = 0.2, 0.05
"""Others' load that shows: cores, and on a large machine the share of all CPUs."""

FOLLOWS_LOAD = ("powersave", "ondemand", "conservative", "schedutil", "interactive")
"""Governors under which the clock of a core depends on what it did just before."""

FLAGS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
"""A Raspberry Pi's ``get_throttled`` bits that hold now; the same 16 higher held since boot."""


class Conditions(msgspec.Struct, kw_only=True):
    """The machine while measured, in a few figures. ``missing`` says why one is ``None``."""

    cpus: int
    clock_low_mhz: float | None = None
    clock_high_mhz: float | None = None
    limit_mhz: float | None = None
    hardware_mhz: float | None = None
    governors: list[str] = []
    boost: bool | None = None
    temperature_c: float | None = None
    zone: str | None = None
    headroom_c: float | None = None
    throttles: int | None = None
    flags: list[str] = []
    steal_share: float | None = None
    other_cores: float | None = None
    pressure: float | None = None
    power_mode: str | None = None
    looks: int = 0
    missing: dict[str, str] = {}


def condition_doubts(campaign: Campaign, result: Result) -> list[Doubt]:
    """Doubts from how the machine stood in the rounds that a contender was measured in, the gravest first."""
    cpus = campaign.watched.cpus if campaign.watched is not None else 0
    found = doubts_of_looks(looks_of(campaign, result), states_of(campaign, result), cpus)
    sustained = _sustained(result)
    return found if sustained is None else [*found, sustained]


def doubts_of_looks(looks: list[Look], states: list[MachineState], cpus: int) -> list[Doubt]:
    """Doubts from looks at a machine of so many CPUs, the gravest first."""
    found = [_throttled(looks, states), _power_mode(states), _capped(states), _governor(states)]
    found += [_other_load(looks, cpus), _steal(looks)]
    return [doubt for doubt in found if doubt is not None]


def merged(doubts: Sequence[Doubt]) -> list[Doubt]:
    """Doubts of one kind, about one figure and with one advice told as one, with the facts of all."""
    found: dict[tuple[str, str, str | None], Doubt] = {}
    for doubt in doubts:
        key = (doubt.kind, doubt.touches, doubt.advice)
        first = found.get(key)
        if first is not None:
            doubt = msgspec.structs.replace(first, says=f"{first.says}; {doubt.says}", facts=first.facts | doubt.facts)
        found[key] = doubt
    return list(found.values())


def conditions_of(campaign: Campaign) -> Conditions | None:
    """The machine while the whole campaign was measured; ``None`` for campaigns that were not watched."""
    watched = campaign.watched
    if watched is None:
        return None
    looks, states = watched.looks, watched.states
    clocks = [max(look.clock_mhz) for look in _measured(looks) if look.clock_mhz]
    hottest = max((look for look in looks if look.temperature_c is not None), key=_celsius, default=None)
    counted = "throttling" not in watched.missing and any(look.span_s is not None for look in looks)
    last = states[-1] if states else None
    bits = [bit for bit in FLAGS if any((state.flags or 0) >> bit & 1 for state in states)]
    return Conditions(
        cpus=watched.cpus,
        clock_low_mhz=min(clocks, default=None),
        clock_high_mhz=max(clocks, default=None),
        limit_mhz=last.limit_mhz if last else None,
        hardware_mhz=last.hardware_mhz if last else None,
        governors=last.governors if last else [],
        boost=last.boost if last else None,
        temperature_c=hottest.temperature_c if hottest else None,
        zone=hottest.zone if hottest else None,
        headroom_c=min((look.headroom_c for look in looks if look.headroom_c is not None), default=None),
        throttles=sum(sum(look.throttles.values()) for look in looks) if counted else None,
        flags=[FLAGS[bit] for bit in bits],
        steal_share=steal_share(looks),
        other_cores=other_cores(looks),
        pressure=_mean_pressure(looks),
        power_mode=last.power_mode if last else None,
        looks=len(looks),
        missing=watched.missing,
    )


def looks_of(campaign: Campaign, result: Result) -> list[Look]:
    """Looks of the rounds in which a contender has blocks."""
    rounds = {reading.round for reading in result.readings if reading.blocks}
    return [look for look in campaign.watched.looks if look.round in rounds] if campaign.watched else []


def states_of(campaign: Campaign, result: Result) -> list[MachineState]:
    """States that held in a round in which a contender has blocks, in order."""
    states = campaign.watched.states if campaign.watched else []
    rounds = {reading.round for reading in result.readings if reading.blocks}
    held = []
    for index, state in enumerate(states):
        end = states[index + 1] if index + 1 < len(states) else None
        # A state found by a round's first look replaced the one before between two rounds.
        last = float("inf") if end is None else end.round - (end.turn == 0)
        if any(state.round <= number <= last for number in rounds):
            held.append(state)
    return held


def clock_fall(looks: Sequence[Look]) -> tuple[float, float, Look] | None:
    """The clock that was held before, the one after, and the first look at it; ``None`` where it did not fall.

    A look shows the highest clock among the CPUs, just after a block. A single look may find the core idle, or in a
    short boost: what three looks in a row reach counts as held before, what three in a row stay under as fallen.
    """
    series = [(max(look.clock_mhz), look) for look in _measured(looks) if look.clock_mhz]
    window = min(3, len(series) // 2)
    if not window:
        return None
    held_mhz, fallen = 0.0, None
    for start in range(window, len(series) - window + 1):
        held_mhz = max(held_mhz, min(mhz for mhz, _ in series[start - window : start]))
        after_mhz = max(mhz for mhz, _ in series[start : start + window])
        if after_mhz < FELL * held_mhz and (fallen is None or after_mhz < fallen[1]):
            fallen = (held_mhz, after_mhz, fallen[2] if fallen else series[start][1])
    return fallen


def steal_share(looks: Sequence[Look]) -> float | None:
    """Stolen time over all CPU time asked for (busy and stolen) while measured."""
    known = [(look.steal_s, look.busy_s) for look in looks if look.steal_s is not None and look.busy_s is not None]
    steal_s, busy_s = sum(steal for steal, _ in known), sum(busy for _, busy in known)
    return steal_s / (steal_s + busy_s) if steal_s + busy_s > 0 else (0.0 if known else None)


def other_cores(looks: Sequence[Look]) -> float | None:
    """Cores that other programs kept busy while measured."""
    known = [
        (look.busy_s - look.own_s, look.span_s)
        for look in looks
        if look.busy_s is not None and look.own_s is not None and look.span_s
    ]
    span_s = sum(span for _, span in known)
    return max(0.0, sum(busy for busy, _ in known) / span_s) if span_s else None


# ---------------------------------------------------------------- doubts


def _throttled(looks: list[Look], states: list[MachineState]) -> Doubt | None:
    says: list[str] = []
    facts: dict[str, float | int | str] = {}
    fell = clock_fall(looks)
    if fell is not None:
        before_mhz, after_mhz, look = fell
        says.append(
            f"the clock fell from {before_mhz:.0f} to {after_mhz:.0f} MHz while measuring (round {look.round + 1})"
        )
        facts |= {"before_mhz": before_mhz, "after_mhz": after_mhz, "round": look.round}
    limits = [(state.limit_mhz, state.round) for state in states if state.limit_mhz is not None]
    lowered = [(limit, number) for limit, number in limits if limit < CAPPED * limits[0][0]]
    if lowered:
        limit_mhz, number = min(lowered)
        says.append(f"the clock's limit fell from {limits[0][0]:.0f} to {limit_mhz:.0f} MHz (round {number + 1})")
        facts |= {"before_limit_mhz": limits[0][0], "after_limit_mhz": limit_mhz}
    says += _slowed_itself(looks, states, facts)
    if not says:
        return None
    return Doubt(
        kind="throttled",
        says="; ".join(says),
        advice="let it cool down or cool it better, then measure again; or cap the clock at what it holds",
        facts=facts,
    )


def _sustained(result: Result) -> Doubt | None:
    """Throttling in the sustained run, told apart from that in the rounds."""
    looks = result.sustained.looks if result.sustained is not None else []
    fell = clock_fall(looks)
    facts: dict[str, float | int | str] = {}
    says = _slowed_itself(looks, [], facts)
    if fell is not None:
        before_mhz, after_mhz, look = fell
        passed_s = (look.at_ns - looks[0].at_ns) / 1e9
        says.insert(0, f"the clock fell from {before_mhz:.0f} to {after_mhz:.0f} MHz, {passed_s:.0f} s into it")
        facts |= {"before_mhz": before_mhz, "after_mhz": after_mhz, "after_s": passed_s}
    if not says:
        return None
    return Doubt(
        kind="throttled",
        says=f"in the sustained run {'; '.join(says)}",
        advice="that is what this cooling holds: ship the figures of the run's end, or cool it better",
        touches="sustained",
        facts=facts,
    )


def _slowed_itself(looks: list[Look], states: list[MachineState], facts: dict[str, float | int | str]) -> list[str]:
    """What counters, a Raspberry Pi's firmware and trip points say; the figures go into ``facts``."""
    says = []
    counts: dict[str, int] = {}
    for look in looks:
        for who, count in look.throttles.items():
            counts[who] = counts.get(who, 0) + count
    if counts:
        times = sum(counts.values())
        says.append(f"the hardware slowed itself down {times} times ({', '.join(counts)})")
        facts["throttle_events"] = times
    flags = [words for bit, words in FLAGS.items() if any((state.flags or 0) >> bit & 1 for state in states)]
    if flags:
        says.append(f"the firmware says: {', '.join(flags)}")
        facts["flags"] = ", ".join(flags)
    beyond = [look for look in looks if look.headroom_c is not None and look.headroom_c <= 0]
    if beyond:
        worst = min(beyond, key=lambda look: look.headroom_c or 0.0)
        says.append(f"{worst.nearest} reached its trip point, where the machine slows down")
        facts["beyond_c"] = -(worst.headroom_c or 0.0)
        if worst.nearest == worst.zone and worst.temperature_c is not None:
            facts["temperature_c"] = worst.temperature_c
    return says


def _power_mode(states: list[MachineState]) -> Doubt | None:
    """A Jetson below its largest mode, where it has one called MAXN."""
    state = next((state for state in reversed(states) if state.power_mode is not None), None)
    if state is None or state.power_mode is None or state.power_mode.startswith("MAXN"):
        return None
    largest = next(((number, name) for number, name in state.power_modes.items() if name.startswith("MAXN")), None)
    if largest is None:
        return None
    return Doubt(
        kind="power-mode",
        says=f"the board ran in its power mode {state.power_mode}, not in {largest[1]}",
        advice=f"if you will ship in {largest[1]}: sudo nvpmodel -m {largest[0]}",
        facts={"power_mode": state.power_mode, "largest": largest[1]},
    )


def _capped(states: list[MachineState]) -> Doubt | None:
    """A limit that was there from the beginning; one that falls meanwhile is throttling, a power mode has its own."""
    state = states[0] if states else None
    if state is None or not state.limit_mhz or not state.hardware_mhz or _power_mode(states):
        return None
    if state.limit_mhz >= CAPPED * state.hardware_mhz:
        return None
    return Doubt(
        kind="capped-clock",
        says=f"the clock is capped at {state.limit_mhz:.0f} MHz; the hardware allows {state.hardware_mhz:.0f}",
        advice=f"if that is not on purpose: sudo cpupower frequency-set -u {state.hardware_mhz:.0f}MHz",
        facts={"limit_mhz": state.limit_mhz, "hardware_mhz": state.hardware_mhz},
    )


def _governor(states: list[MachineState]) -> Doubt | None:
    follows = {name for state in states if "performance" in state.governors_offered for name in state.governors}
    named = sorted(follows & set(FOLLOWS_LOAD))
    if not named:
        return None
    return Doubt(
        kind="governor",
        says=f"the clock follows the load (governor {', '.join(named)})",
        advice="sudo cpupower frequency-set -g performance",
        facts={"governor": ", ".join(named)},
    )


def _other_load(looks: list[Look], cpus: int) -> Doubt | None:
    cores = other_cores(looks)
    if cores is None or cores < max(OTHER_CORES, OTHER_SHARE * cpus):
        return None
    return Doubt(
        kind="other-load",
        says=f"other programs kept {cores:.1f} of {cpus} CPU{'s' * (cpus != 1)} busy while measuring",
        advice="stop other programs, or choose quieter CPUs with --cpus",
        facts={"other_cores": cores, "cpus": cpus},
    )


def _steal(looks: list[Look]) -> Doubt | None:
    share = steal_share(looks)
    stolen_s = sum(look.steal_s or 0.0 for look in looks)
    if share is None or share < STEAL_SHARE or stolen_s < STEAL_LEAST_S:
        return None
    return Doubt(
        kind="steal",
        says=f"the hypervisor took {100 * share:.1f} % of the CPU time while measuring",
        advice="measure on a machine of your own, or on a virtual one with CPUs of its own",
        touches="latency" if share > STEAL_ALL else "p99",
        facts={"steal_share": share, "steal_s": stolen_s},
    )


# ---------------------------------------------------------------- parts


def _measured(looks: Sequence[Look]) -> list[Look]:
    """Looks just after blocks; before the first one the CPUs may have been idle."""
    return [look for look in looks if look.turn > 0]


def _celsius(look: Look) -> float:
    return look.temperature_c or 0.0


def _mean_pressure(looks: Sequence[Look]) -> float | None:
    known = [(look.pressure * look.span_s, look.span_s) for look in looks if look.pressure is not None and look.span_s]
    return sum(waited for waited, _ in known) / sum(span for _, span in known) if known else None
