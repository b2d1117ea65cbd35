"""What will make measuring noisy here, judged from two looks at the machine: findings with commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from whichpu.results.conditions import CAPPED, FLAGS, FOLLOWS_LOAD, OTHER_CORES, OTHER_SHARE, STEAL_SHARE
from whichpu.worker.wire import Look, Machine, Surroundings

Severity = Literal["trouble", "note", "good", "not-readable"]

NEAR_C = 10.0
"""Closer to its trip point than this, a machine will reach it under load."""

SPREAD_GOOD, SPREAD_MUCH = 0.01, 0.03
"""Spread of the block medians of a fixed loop: under the first the machine is quiet, above the second it is not."""

CLOCK_COST_NS = 200
"""A clock read through the kernel costs more than this; the usual ones cost 20 to 60 ns."""

SWAP_BYTES = 64 << 20
SLOW_SOURCES = ("hpet", "acpi_pm", "jiffies", "refined-jiffies")


class Finding(msgspec.Struct, kw_only=True, frozen=True):
    """One thing looked at: how grave it is, what was found, why it matters, and the command to try."""

    kind: str
    severity: Severity
    says: str
    why: str | None = None
    command: str | None = None


class Busy(msgspec.Struct, kw_only=True, frozen=True):
    """A program of others that used CPU while we looked."""

    name: str
    pid: int
    cores: float


class Noise(msgspec.Struct, kw_only=True, frozen=True):
    """A fixed busy loop on this machine: ``spread`` is half of what the middle 90 % of its block medians span, and
    ``worst`` the slowest block, both relative to their median; ``p99`` is over the median of all turns."""

    blocks: int
    median_ns: float
    spread: float
    worst: float
    p99: float
    seconds: float


class Examination(msgspec.Struct, kw_only=True):
    """The machine before a run. ``noise`` is ``None`` where the loop could not be measured, with ``noise_missing``."""

    machine: Machine
    cpus: list[int]
    findings: list[Finding]
    busy: list[Busy]
    clock_resolution_ns: int
    clock_cost_ns: int
    noise: Noise | None = None
    noise_missing: str | None = None


def findings(
    first: Look, last: Look, machine: Machine, busy: Sequence[Busy] = (), noise: Noise | None = None
) -> list[Finding]:
    """Everything that two looks, a second apart, say about this machine; the gravest first."""
    around = last.surroundings or Surroundings()
    found = [
        _power_mode(last),
        _governor(last),
        _capped(last),
        _boost(last, machine),
        _load(first, last, busy),
        _steal(first, last),
        _virtual(around, machine),
        _temperature(last),
        *_throttling(first, last),
        _supply(around),
        _quota(around, len(last.clocks)),
        _clock_source(around),
        _clock_cost(machine),
        _threads_of_a_core(around, [clock.cpu for clock in last.clocks]),
        _isolated(around),
        _swap(around),
        _noise(noise),
    ]
    order = ("trouble", "note", "good", "not-readable")
    return sorted((one for one in found if one is not None), key=lambda one: order.index(one.severity))


def spread_of(medians_ns: Sequence[float], latencies_ns: Sequence[int], seconds: float) -> Noise:
    """The noise that block medians of one and the same work show."""
    import numpy as np

    middle = float(np.median(medians_ns))
    low, high = np.percentile(medians_ns, [5, 95])
    return Noise(
        blocks=len(medians_ns),
        median_ns=middle,
        spread=float(high - low) / 2 / middle,
        worst=max(medians_ns) / middle - 1,
        p99=float(np.percentile(latencies_ns, 99) / np.median(latencies_ns)),
        seconds=seconds,
    )


# ---------------------------------------------------------------- clocks


def _governor(look: Look) -> Finding | None:
    governors = sorted({clock.governor for clock in look.clocks if clock.governor})
    if not governors:
        return _unreadable("governor", "the clock's governor", "no cpufreq here, as on most virtual machines")
    named = ", ".join(governors)
    if not set(governors) & set(FOLLOWS_LOAD):
        return Finding(kind="governor", severity="good", says=f"governor {named}")
    if "performance" not in (look.governors_offered or []):
        return Finding(kind="governor", severity="note", says=f"governor {named}; this kernel offers no performance")
    return Finding(
        kind="governor",
        severity="trouble",
        says=f"the clock follows the load (governor {named})",
        why="how fast a core runs then depends on what it did just before; short and paced inferences come out slow",
        command="sudo cpupower frequency-set -g performance",
    )


def _capped(look: Look) -> Finding | None:
    capped = [
        (clock.limit_mhz / clock.hardware_mhz, clock.limit_mhz, clock.hardware_mhz)
        for clock in look.clocks
        if clock.limit_mhz and clock.hardware_mhz
    ]
    if not capped:
        return _unreadable("capped-clock", "the clock's limits", "no cpufreq here")
    share, limit_mhz, hardware_mhz = min(capped)
    if share >= CAPPED:
        return Finding(kind="capped-clock", severity="good", says=f"clock up to {limit_mhz:.0f} MHz, not capped")
    return Finding(
        kind="capped-clock",
        severity="trouble",
        says=f"the clock is capped at {limit_mhz:.0f} MHz; the hardware allows {hardware_mhz:.0f}",
        why="figures hold for the capped clock; heat can lower the cap too",
        command=f"sudo cpupower frequency-set -u {hardware_mhz:.0f}MHz",
    )


def _boost(look: Look, machine: Machine) -> Finding | None:
    if look.boost is None:
        return _unreadable("boost", "turbo", "the driver has no switch for it")
    if not look.boost:
        return Finding(kind="boost", severity="good", says="turbo off")
    intel = "Intel" in (machine.cpu_model or "")
    off = "1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
    return Finding(
        kind="boost",
        severity="note",
        says="turbo is on",
        why="the clock then depends on heat and on how many cores work; off compares best, on is what users have",
        command="echo " + (off if intel else "0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"),
    )


def _power_mode(look: Look) -> Finding | None:
    mode = look.power_mode
    if mode is None:
        return None
    name = mode.name or str(mode.number)
    largest = next((pair for pair in mode.modes.items() if pair[1].startswith("MAXN")), None)
    if name.startswith("MAXN") or largest is None:
        return Finding(kind="power-mode", severity="good", says=f"power mode {name}")
    return Finding(
        kind="power-mode",
        severity="trouble",
        says=f"the board is in its power mode {name}, not in {largest[1]}",
        why="the mode caps the clocks of CPU, GPU and DLA, and switches cores off",
        command=f"sudo nvpmodel -m {largest[0]}",
    )


def _clock_source(around: Surroundings) -> Finding | None:
    source = around.clock_source
    if source is None:
        return _unreadable("clock-source", "the kernel's clock source", "no clocksource file")
    if source not in SLOW_SOURCES:
        return Finding(kind="clock-source", severity="good", says=f"clock source {source}")
    better = "tsc" in (around.clock_sources or [])
    path = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    return Finding(
        kind="clock-source",
        severity="trouble",
        says=f"the kernel reads its time from {source}",
        why="every read of the clock then is a slow trip through the kernel, of about a microsecond",
        command=f"echo tsc | sudo tee {path}" if better else None,
    )


def _clock_cost(machine: Machine) -> Finding | None:
    says = f"reading the clock costs {machine.clock_cost_ns} ns, its step is {machine.clock_resolution_ns} ns"
    if machine.clock_cost_ns <= CLOCK_COST_NS:
        return Finding(kind="clock-cost", severity="good", says=says)
    return Finding(
        kind="clock-cost",
        severity="note",
        says=says,
        why="latencies of a few microseconds hold a part of it; null:cpu shows how much",
    )


# ---------------------------------------------------------------- load


def _load(first: Look, last: Look, busy: Sequence[Busy]) -> Finding | None:
    cores = _others(first, last)
    if cores is None:
        return _unreadable("other-load", "the load by others", "/proc/stat is not readable")
    cpus = len(last.clocks)
    named = ", ".join(f"{one.name} {one.pid} ({one.cores:.2f})" for one in busy[:5])
    says = f"other programs keep {cores:.2f} of {cpus} CPU{'s' * (cpus != 1)} busy" + (f": {named}" if named else "")
    if cores < max(OTHER_CORES, OTHER_SHARE * cpus):
        severity: Severity = "good" if cores < OTHER_CORES / 2 else "note"
        return Finding(kind="other-load", severity=severity, says=says)
    return Finding(
        kind="other-load",
        severity="trouble",
        says=says,
        why="they push the measured process off its core and out of the caches; p99 then is theirs",
        command="stop them; `top` shows who comes and goes",
    )


def _others(first: Look, last: Look) -> float | None:
    span_s = (last.at_ns - first.at_ns) / 1e9
    if first.cpus is None or last.cpus is None or span_s <= 0:
        return None
    own_s = sum(last.own_s[pid] - first.own_s[pid] for pid in first.own_s.keys() & last.own_s.keys())
    return max(0.0, (last.cpus.busy_s - first.cpus.busy_s - own_s) / span_s)


def _steal(first: Look, last: Look) -> Finding | None:
    before, after = first.cpus, last.cpus
    if before is None or after is None or before.steal_s is None or after.steal_s is None:
        return _unreadable("steal", "time stolen by a hypervisor", "the kernel doesn't count it")
    if not after.steal_s:
        return Finding(kind="steal", severity="good", says="no time stolen by a hypervisor since boot")
    now_s, busy_s = after.steal_s - before.steal_s, after.busy_s - before.busy_s
    now = now_s / (now_s + busy_s) if now_s > 0 else 0.0
    ever = after.steal_s / (after.steal_s + after.busy_s)
    says = f"a hypervisor took {100 * now:.1f} % of the CPU time just now, {100 * ever:.1f} % since boot"
    # A second holds few ticks of 10 ms: two of them may be chance.
    if ever < STEAL_SHARE and (now < STEAL_SHARE or now_s < 0.03):
        return Finding(kind="steal", severity="good", says=says)
    return Finding(
        kind="steal",
        severity="trouble",
        says=says,
        why="neighbours on the same host use your CPUs; nothing in here can stop that",
        command="take a machine of your own, or a virtual one with dedicated CPUs",
    )


def _virtual(around: Surroundings, machine: Machine) -> Finding | None:
    if around.hypervisor is None and not machine.virtualised:
        return None
    return Finding(
        kind="virtual",
        severity="note",
        says=f"this is a virtual machine ({around.hypervisor or 'a hypervisor'})",
        why="its clock, its temperature and its neighbours can't be seen from inside",
    )


def _quota(around: Surroundings, cpus: int) -> Finding | None:
    if around.quota_cpus is None or around.quota_cpus >= cpus:
        return None
    times = f"; it halted this group {around.quota_throttled} times so far" if around.quota_throttled else ""
    return Finding(
        kind="quota",
        severity="trouble",
        says=f"a control group allows {around.quota_cpus:g} of {cpus} CPUs{times}",
        why="who used up its share is halted, for up to 100 ms at a time",
        command="start the container without --cpus, or with --cpuset-cpus instead",
    )


def _threads_of_a_core(around: Surroundings, cpus: list[int]) -> Finding | None:
    if around.siblings is None:
        return _unreadable("siblings", "which CPUs share a core", "no topology files")
    shared = [group for group in around.siblings if len(set(group) & set(cpus)) > 1]
    if not shared:
        return Finding(kind="siblings", severity="good", says="no two of these CPUs share a core")
    firsts = {group[0] for group in shared}
    others = {cpu for group in shared for cpu in group}
    alone = [str(cpu) for cpu in cpus if cpu in firsts or cpu not in others]
    groups = ", ".join("+".join(map(str, group)) for group in shared[:4])
    return Finding(
        kind="siblings",
        severity="note",
        says=f"CPUs share cores ({groups}{', ...' if len(shared) > 4 else ''})",
        why="two threads on one core slow each other; which ones meet is chance",
        command=f"whichpu run ... --cpus {','.join(alone[:8])}",
    )


def _isolated(around: Surroundings) -> Finding | None:
    if not around.isolated:
        return None
    cpus = ",".join(map(str, around.isolated))
    return Finding(
        kind="isolated",
        severity="note",
        says=f"CPUs {cpus} are isolated: the scheduler puts nothing there by itself",
        why="the quietest place there is"
        + ("; irqbalance may still send interrupts" * bool(around.interrupts_balanced)),
        command=f"whichpu run ... --cpus {cpus}",
    )


def _swap(around: Surroundings) -> Finding | None:
    used = around.swap_used_bytes
    if used is None:
        return _unreadable("swap", "swap", "/proc/meminfo is not readable")
    if used < SWAP_BYTES:
        return Finding(kind="swap", severity="good", says="no memory swapped out")
    return Finding(
        kind="swap",
        severity="note",
        says=f"{used / 2**20:.0f} MiB are swapped out",
        why="memory was short; a model that is read back from disk is slow",
        command="sudo swapoff -a && sudo swapon -a",
    )


def _supply(around: Surroundings) -> Finding | None:
    if not around.battery:
        return None
    if around.on_mains is None:
        return _unreadable("supply", "whether it runs on battery", "no mains supply is listed")
    if around.on_mains:
        return Finding(kind="supply", severity="good", says="on mains power")
    return Finding(
        kind="supply",
        severity="trouble",
        says="it runs on battery",
        why="the firmware then caps clocks and power",
        command="plug it in",
    )


# ---------------------------------------------------------------- heat


def _temperature(look: Look) -> Finding | None:
    if not look.zones:
        return _unreadable("temperature", "temperatures", "no sensor is readable")
    hottest = max(look.zones, key=lambda zone: zone.celsius)
    says = f"hottest: {hottest.name}, {hottest.celsius:.0f} °C"
    rooms = [(zone.trip_c - zone.celsius, zone) for zone in look.zones if zone.trip_c is not None]
    if not rooms:
        return Finding(kind="temperature", severity="good", says=f"{says} (no trip point told)")
    room_c, zone = min(rooms, key=lambda room: room[0])
    if room_c >= NEAR_C:
        return Finding(kind="temperature", severity="good", says=f"{says}; slows down in {room_c:.0f} °C")
    return Finding(
        kind="temperature",
        severity="trouble",
        says=f"{zone.name} is at {zone.celsius:.0f} °C and slows down at {zone.trip_c:.0f} °C",
        why="under load it will get there within a minute, and the clock falls",
        command="let it cool down, or cool it better",
    )


def _throttling(first: Look, last: Look) -> list[Finding]:
    if last.throttles is None and last.flags is None:
        missing = _unreadable("throttling", "throttle events", "this machine counts none that can be read")
        return [missing]
    return [_counters(first, last), *([_flags(last.flags)] if last.flags is not None else [])]


def _counters(first: Look, last: Look) -> Finding:
    now, before = last.throttles or {}, first.throttles or {}
    moved = {who: count - before.get(who, count) for who, count in now.items()}
    times = ", ".join(f"{who} {count}" for who, count in now.items() if count)
    if any(count > 0 for count in moved.values()):
        return Finding(
            kind="throttling",
            severity="trouble",
            says=f"the hardware is slowing itself down just now ({times} times since boot)",
            why="too hot, or its supply is too weak: every figure holds for the slowed clock",
            command="let it cool down; check fan and power supply",
        )
    if times:
        return Finding(
            kind="throttling",
            severity="note",
            says=f"the hardware has slowed itself down since boot ({times} times), not just now",
            why="it may again under load; a run says if it did",
        )
    return Finding(kind="throttling", severity="good", says="no throttling since boot")


def _flags(flags: int) -> Finding:
    now = [words for bit, words in FLAGS.items() if flags >> bit & 1]
    ever = [words for bit, words in FLAGS.items() if flags >> (bit + 16) & 1]
    if now:
        return Finding(
            kind="firmware",
            severity="trouble",
            says=f"the firmware says, now: {', '.join(now)}",
            why="the clock is lowered, whatever cpufreq shows",
            command="use the board's own power supply and a fan; then: vcgencmd get_throttled",
        )
    if ever:
        return Finding(
            kind="firmware",
            severity="note",
            says=f"the firmware says, since boot: {', '.join(ever)}",
            why="it may again under load; a run says if it did",
        )
    return Finding(kind="firmware", severity="good", says="the firmware reports no throttling and no under-voltage")


# ---------------------------------------------------------------- noise


def _noise(noise: Noise | None) -> Finding | None:
    if noise is None:
        return None
    says = f"a fixed busy loop's block medians spread by ±{100 * noise.spread:.1f} %"
    if noise.spread <= SPREAD_GOOD:
        return Finding(kind="noise", severity="good", says=says)
    return Finding(
        kind="noise",
        severity="note" if noise.spread <= SPREAD_MUCH else "trouble",
        says=says,
        why="smaller differences than this take many rounds to show",
    )


def _unreadable(kind: str, what: str, because: str) -> Finding:
    return Finding(kind=kind, severity="not-readable", says=what, why=because)
