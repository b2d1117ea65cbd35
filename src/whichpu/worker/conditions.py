"""How the machine stands while it is measured: clocks, heat, throttling, load. Reads files below a given root.

What the kernel's files hold: Documentation/admin-guide/pm/cpufreq.rst, driver-api/thermal/sysfs-api.rst,
filesystems/proc.rst, accounting/psi.rst. A Raspberry Pi's bits: raspberrypi.com, documentation of ``vcgencmd``.
A Jetson's modes and over-current counters: NVIDIA's Jetson Linux Developer Guide, Platform Power and Performance.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
import time
from typing import Dict, List, Optional, Set, Tuple

from . import wire

SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
"""hwmon drivers of CPUs."""

TRIPS = ("passive", "hot")
"""Trip points at which the kernel slows the machine down; ``active`` ones start a fan, ``critical`` ones end it."""

TRIP_LEAST_C = 40.0
"""A lower trip point is a placeholder."""

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
CPUS = "sys/devices/system/cpu"
NVPMODEL_STATUS, NVPMODEL_CONF = "var/lib/nvpmodel/status", "etc/nvpmodel.conf"
COMMAND_LIMIT_S = 5.0


def look(request: wire.LookNow) -> wire.Look:
    """The machine now. Clocks come first: a core that just worked soon clocks down."""
    root, began_ns = request.root, time.perf_counter_ns()
    cpus = request.cpus or usable(root)
    clocks, clock_from = clocks_of(root, cpus)
    times = stat(root)
    load = loadavg(root)
    found = wire.Look(
        at_ns=began_ns,
        took_ns=0,
        clocks=clocks,
        clock_from=clock_from,
        governors_offered=_words(root, CPUS + "/cpu%d/cpufreq/scaling_available_governors" % cpus[0]),
        boost=boost(root),
        zones=zones(root),
        throttles=throttles(root, cpus),
        flags=flags(root, request.commands),
        power_mode=power_mode(root, request.commands),
        cpus=total([times[cpu] for cpu in cpus]) if times and all(cpu in times for cpu in cpus) else None,
        machine=times.get(None),
        own_s=own_seconds(root, request.pids),
        load_1min=load[0] if load else None,
        runnable=load[1] if load else None,
        switches=_counted(root, "proc/stat", r"^ctxt (\d+)$"),
        pressure_s=pressure(root),
        surroundings=surroundings(root) if request.surroundings else None,
    )
    found.took_ns = time.perf_counter_ns() - began_ns
    return found


def usable(root: str) -> List[int]:
    """CPUs this process may use; in a tree of files, those it holds."""
    if root == "/" and hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    found = [cpu for cpu in stat(root) if cpu is not None]
    return sorted(found) or list(range(os.cpu_count() or 1))


# ---------------------------------------------------------------- clocks


def clocks_of(root: str, cpus: List[int]) -> Tuple[List[wire.CpuClock], Optional[str]]:
    """The clocks of CPUs, and whether cpufreq or only cpuinfo told them (``None``: nobody)."""
    now = [_mhz(root, cpu, "scaling_cur_freq") for cpu in cpus]
    clock_from = "cpufreq" if any(value is not None for value in now) else None
    if clock_from is None:
        nominal = _nominal(root)
        now = [nominal.get(cpu) for cpu in cpus]
        clock_from = "cpuinfo" if any(value is not None for value in now) else None
    clocks = [
        wire.CpuClock(
            cpu=cpu,
            mhz=mhz,
            limit_mhz=_mhz(root, cpu, "scaling_max_freq"),
            hardware_mhz=_mhz(root, cpu, "cpuinfo_max_freq"),
            least_mhz=_mhz(root, cpu, "cpuinfo_min_freq"),
            governor=_line(root, CPUS + "/cpu%d/cpufreq/scaling_governor" % cpu),
        )
        for cpu, mhz in zip(cpus, now)
    ]
    return clocks, clock_from


def boost(root: str) -> Optional[bool]:
    """May the clock rise above its base? ``None`` where the driver doesn't tell."""
    no_turbo = _number(root, CPUS + "/intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == 0
    allowed = _number(root, CPUS + "/cpufreq/boost")
    return None if allowed is None else allowed != 0


def _mhz(root: str, cpu: int, name: str) -> Optional[float]:
    khz = _number(root, CPUS + "/cpu%d/cpufreq/%s" % (cpu, name))
    return khz / 1000.0 if khz else None


def _nominal(root: str) -> Dict[int, float]:
    """``cpu MHz`` of each processor in /proc/cpuinfo."""
    found = re.findall(r"^processor\s*:\s*(\d+)$|^cpu MHz\s*:\s*([\d.]+)$", _read(root, "proc/cpuinfo") or "", re.M)
    clocks: Dict[int, float] = {}
    cpu = 0
    for number, mhz in found:
        if number:
            cpu = int(number)
        elif float(mhz) > 0:
            clocks[cpu] = float(mhz)
    return clocks


# ---------------------------------------------------------------- heat and throttling


def zones(root: str) -> Optional[List[wire.Zone]]:
    """Temperatures of thermal zones and of CPU sensors; ``None`` where there is no sensor."""
    found = [_thermal_zone(root, folder) for folder in _glob(root, "sys/class/thermal/thermal_zone*")]
    for folder in _glob(root, "sys/class/hwmon/hwmon*"):
        if _line(root, folder + "/name") in SENSORS:
            found += [_sensor(root, path) for path in _glob(root, folder + "/temp*_input")]
    # A sensor that is off says -256 C on a Jetson.
    return [zone for zone in found if zone is not None and zone.celsius > -60] or None


def _thermal_zone(root: str, folder: str) -> Optional[wire.Zone]:
    celsius = _celsius(root, folder + "/temp")
    if celsius is None:
        return None
    trips = []
    for path in _glob(root, folder + "/trip_point_*_type"):
        trip = _celsius(root, path[: -len("type")] + "temp")
        if _line(root, path) in TRIPS and trip is not None and trip >= TRIP_LEAST_C:
            trips.append(trip)
    name = _line(root, folder + "/type") or os.path.basename(folder)
    return wire.Zone(name, celsius, min(trips) if trips else None)


def _sensor(root: str, path: str) -> Optional[wire.Zone]:
    celsius = _celsius(root, path)
    if celsius is None:
        return None
    stem = path[: -len("input")]
    trip = _celsius(root, stem + "crit")
    name = _line(root, stem + "label") or _line(root, os.path.dirname(path) + "/name") or "CPU"
    return wire.Zone(name, celsius, trip if trip is not None and trip >= TRIP_LEAST_C else None)


def _celsius(root: str, path: str) -> Optional[float]:
    millis = _number(root, path)
    return None if millis is None else millis / 1000.0


def throttles(root: str, cpus: List[int]) -> Optional[Dict[str, int]]:
    """How often the hardware slowed itself down since boot: x86 counts by core and package, a Jetson by alarm."""
    found: Dict[str, int] = {}
    for name, together in (("core", sum), ("package", max)):
        path = CPUS + "/cpu%d/thermal_throttle/" + name + "_throttle_count"
        counts = [count for count in (_number(root, path % cpu) for cpu in cpus) if count is not None]
        if counts:
            found[name] = together(counts)  # every CPU of a package tells the package's count
    for folder in _glob(root, "sys/class/hwmon/hwmon*"):
        if _line(root, folder + "/name") == "soctherm_oc":
            for path in _glob(root, folder + "/oc*_event_cnt"):
                count = _number(root, path)
                if count is not None:
                    found[os.path.basename(path).split("_")[0]] = count
    return found or None


def flags(root: str, commands: bool) -> Optional[int]:
    """A Raspberry Pi's ``get_throttled`` bits."""
    text = _line(root, FIRMWARE)
    if text is None and commands and root == "/" and "Raspberry Pi" in (_read(root, "proc/device-tree/model") or ""):
        text = _said(["vcgencmd", "get_throttled"])
    return throttled_bits(text) if text else None


def throttled_bits(text: str) -> Optional[int]:
    """``50005`` (the kernel's file) or ``throttled=0x50005`` (``vcgencmd``) as a number."""
    found = re.match(r"^\s*(?:throttled=)?(?:0x)?([0-9a-fA-F]+)\s*$", text)
    return int(found.group(1), 16) if found else None


def power_mode(root: str, commands: bool) -> Optional[wire.PowerMode]:
    """A Jetson's power mode, from what ``nvpmodel`` stored, or from itself; ``None`` on other machines."""
    conf = _read(root, NVPMODEL_CONF)
    if conf is None:
        return None
    modes = dict(re.findall(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", conf, re.M))
    stored = re.search(r"pmode:(\d+)", _read(root, NVPMODEL_STATUS) or "")
    if stored:
        number = int(stored.group(1))
        return wire.PowerMode(number, modes.get(str(number)), modes)
    said = _said(["nvpmodel", "-q"]) if commands and root == "/" else None
    asked = nvpmodel_said(said) if said else None
    return None if asked is None else wire.PowerMode(asked[0], asked[1], modes)


def nvpmodel_said(text: str) -> Optional[Tuple[int, str]]:
    """Number and name of the mode that ``nvpmodel -q`` prints: the name, and on a line of its own the number."""
    name = re.search(r"NV Power Mode:\s*(\S+)", text)
    number = re.search(r"^\s*(\d+)\s*$", text, re.M)
    return (int(number.group(1)), name.group(1)) if name and number else None


def _said(command: List[str]) -> Optional[str]:
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.decode(errors="replace") if ran.returncode == 0 else None


# ---------------------------------------------------------------- load


def stat(root: str) -> Dict[Optional[int], wire.Ticks]:
    """Times since boot of each CPU, and under ``None`` of all; empty where /proc/stat is not readable."""
    found: Dict[Optional[int], wire.Ticks] = {}
    for cpu, numbers in re.findall(r"^cpu(\d*)((?: +\d+){4,})", _read(root, "proc/stat") or "", re.M):
        times = [int(number) / _ticks_per_second() for number in numbers.split()]
        times += [0.0] * (7 - len(times))
        user, nice, system, idle, iowait, irq, softirq = times[:7]
        steal = times[7] if len(times) > 7 else None
        busy = user + nice + system + irq + softirq
        found[int(cpu) if cpu else None] = wire.Ticks(busy, idle, iowait, steal)
    return found


def total(parts: List[wire.Ticks]) -> wire.Ticks:
    """The times of several CPUs together."""
    steal = [part.steal_s for part in parts if part.steal_s is not None]
    return wire.Ticks(
        busy_s=sum(part.busy_s for part in parts),
        idle_s=sum(part.idle_s for part in parts),
        iowait_s=sum(part.iowait_s for part in parts),
        steal_s=sum(steal) if len(steal) == len(parts) else None,
    )


def own_seconds(root: str, pids: List[int]) -> Dict[str, float]:
    """CPU seconds that processes of ours took; one that ended is left out."""
    found: Dict[str, float] = {}
    for pid in pids:
        fields = (_read(root, "proc/%d/stat" % pid) or "").rpartition(")")[2].split()
        if len(fields) > 12:
            found[str(pid)] = (int(fields[11]) + int(fields[12])) / _ticks_per_second()
    return found


def loadavg(root: str) -> Optional[Tuple[float, int]]:
    """The load average of one minute, and how many tasks are runnable, this one among them."""
    found = re.match(r"([\d.]+) \S+ \S+ (\d+)/", _read(root, "proc/loadavg") or "")
    return (float(found.group(1)), int(found.group(2))) if found else None


def pressure(root: str) -> Optional[float]:
    """Seconds since boot in which some task waited for a CPU."""
    total_us = _counted(root, "proc/pressure/cpu", r"^some .*total=(\d+)$")
    return None if total_us is None else total_us / 1e6


def _ticks_per_second() -> int:
    return os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


# ---------------------------------------------------------------- surroundings


def surroundings(root: str) -> wire.Surroundings:
    """What else makes this machine noisy."""
    source = "sys/devices/system/clocksource/clocksource0/"
    battery, on_mains = _supplies(root)
    return wire.Surroundings(
        siblings=_siblings(root),
        isolated=_isolated(root),
        clock_source=_line(root, source + "current_clocksource"),
        clock_sources=_words(root, source + "available_clocksource"),
        quota_cpus=_quota(root),
        quota_throttled=_counted(root, "sys/fs/cgroup/cpu.stat", r"^nr_throttled (\d+)$"),
        swap_used_bytes=_swap_used(root),
        on_mains=on_mains,
        battery=battery,
        hypervisor=_hypervisor(root),
        interrupts_balanced=_irqbalance(root),
    )


def cpu_list(text: str) -> List[int]:
    """``0,2-3`` as ``[0, 2, 3]``, the kernel's way to write CPUs."""
    found: List[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        found += range(int(first), int(last or first) + 1)
    return found


def _siblings(root: str) -> Optional[List[List[int]]]:
    """Groups of CPUs that share a core, where cores have more than one."""
    groups: Set[Tuple[int, ...]] = set()
    paths = _glob(root, CPUS + "/cpu[0-9]*/topology/thread_siblings_list")
    for path in paths:
        groups.add(tuple(cpu_list(_line(root, path) or "")))
    return sorted(list(group) for group in groups if len(group) > 1) if paths else None


def _isolated(root: str) -> Optional[List[int]]:
    text = _line(root, CPUS + "/isolated")
    return None if text is None else cpu_list(text)


def _quota(root: str) -> Optional[float]:
    """CPUs that the control group may use at most; ``None`` without a limit."""
    words = _words(root, "sys/fs/cgroup/cpu.max") or []
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
        return int(words[0]) / int(words[1])
    quota = _number(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _number(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return quota / period if quota is not None and quota > 0 and period else None


def _swap_used(root: str) -> Optional[int]:
    all_kb = _counted(root, "proc/meminfo", r"^SwapTotal:\s+(\d+) kB$")
    free_kb = _counted(root, "proc/meminfo", r"^SwapFree:\s+(\d+) kB$")
    return None if all_kb is None or free_kb is None else (all_kb - free_kb) * 1024


def _supplies(root: str) -> Tuple[Optional[bool], Optional[bool]]:
    """Is there a battery, and is mains power on? ``None`` where no supply is listed."""
    kinds = [(_line(root, path + "/type"), path) for path in _glob(root, "sys/class/power_supply/*")]
    batteries = [
        path for kind, path in kinds if kind == "Battery" and _line(root, path + "/scope") != "Device"
    ]  # a mouse's is none
    mains = [_number(root, path + "/online") for kind, path in kinds if kind in ("Mains", "USB")]
    known = [online for online in mains if online is not None]
    return (bool(batteries) if kinds else None), (any(known) if known else None)


def _hypervisor(root: str) -> Optional[str]:
    """What runs this virtual machine, as far as it tells; ``None`` on bare metal, or where nothing tells."""
    product = " ".join(
        filter(None, (_line(root, "sys/class/dmi/id/sys_vendor"), _line(root, "sys/class/dmi/id/product_name")))
    )
    named = _line(root, "sys/hypervisor/type")
    if named:
        return named
    inside = re.search(r"^flags\s*:.*\bhypervisor\b", _read(root, "proc/cpuinfo") or "", re.M)
    return (product or "a hypervisor") if inside else None


def _irqbalance(root: str) -> Optional[bool]:
    paths = _glob(root, "proc/[0-9]*/comm")
    return any(_line(root, path) == "irqbalance" for path in paths) if paths else None


# ---------------------------------------------------------------- files


def _counted(root: str, path: str, pattern: str) -> Optional[int]:
    found = re.search(pattern, _read(root, path) or "", re.M)
    return int(found.group(1)) if found else None


def _words(root: str, path: str) -> Optional[List[str]]:
    text = _line(root, path)
    return text.split() if text else None


def _number(root: str, path: str) -> Optional[int]:
    text = _line(root, path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _line(root: str, path: str) -> Optional[str]:
    text = _read(root, path)
    return text.strip("\0\n ") if text is not None else None


def _glob(root: str, pattern: str) -> List[str]:
    """Paths below the root, without it, in order."""
    found = glob.glob(os.path.join(glob.escape(root), pattern))
    return sorted(os.path.relpath(path, root) for path in found)


def _read(root: str, path: str) -> Optional[str]:
    """A whole file; unbuffered, for a machine of 128 CPUs has a thousand of them to be read between two blocks."""
    try:
        handle = os.open(os.path.join(root, path), os.O_RDONLY)
    except OSError:
        return None
    try:
        pieces: List[bytes] = []
        while True:
            piece = os.read(handle, 1 << 16)
            if not piece:
                return b"".join(pieces).decode(errors="replace")
            pieces.append(piece)
    except OSError:  # some files are there and can't be read
        return None
    finally:
        os.close(handle)
