"""The board as found. Reads files below a given root, so that a test can pass a small tree."""

from __future__ import annotations

import os
import platform
import re
import statistics
import threading
import time
from typing import Any, Callable, List, Optional, Set

import numpy

from . import wire


def look(root: str = "/") -> wire.Machine:
    """Everything about this machine that a latency may depend on."""
    resolution_ns, cost_ns = clock_of()
    return wire.Machine(
        hostname=platform.node(),
        system=_system(root),
        architecture=platform.machine(),
        python=platform.python_version(),
        numpy=numpy.__version__,
        cpu_model=cpu_model(root),
        cpus_usable=cpus_usable(),
        cpus_online=os.cpu_count(),
        governor=_line(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_total_bytes=_meminfo(root, "MemTotal"),
        memory_available_bytes=memory_available(root),
        load_average_1min=_load_average(root),
        virtualised=_virtualised(root),
        clock_resolution_ns=resolution_ns,
        clock_cost_ns=cost_ns,
        cpus_preferred=cpus_preferred(root),
    )


def clock_of() -> "tuple[int, int]":
    """Smallest step seen, and median cost of one read, of ``perf_counter_ns``; both in ns."""
    now = time.perf_counter_ns
    steps: List[int] = []
    for _ in range(2_000):
        began = now()
        step = now() - began
        if step > 0:
            steps.append(step)
    cost_ns = int(statistics.median(steps)) if steps else 0
    advertised_ns = time.get_clock_info("perf_counter").resolution * 1e9
    # A coarse clock shows itself in its smallest step; a fine one is bounded by the cost of a read.
    distinct = sorted(set(steps))
    gaps = [b - a for a, b in zip(distinct, distinct[1:])]
    return max(1, round(advertised_ns), min(gaps) if gaps else 1), cost_ns


def cpus_usable() -> int:
    """CPUs this process may run on (affinity counts), at least 1."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, not on Windows
        return os.cpu_count() or 1


def cpus_preferred(root: str = "/") -> Optional[List[int]]:
    """Usable CPUs, the one to pin to first: fast cores before slow ones, one thread of each core before its siblings,
    high numbers before low ones (interrupts mostly go to CPU 0). ``None`` where processes can't be pinned.

    A core's speed is the kernel's ``cpu_capacity`` (Arm), else its highest frequency.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0), reverse=True)
    return sorted(usable, key=lambda cpu: (_rank_of_thread(root, cpu, usable), -_speed(root, cpu)))


def _speed(root: str, cpu: int) -> int:
    folder = "sys/devices/system/cpu/cpu%d/" % cpu
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        text = _line(root, folder + name)
        if text and text.isdigit():
            return int(text)
    return 0


def _rank_of_thread(root: str, cpu: int, usable: List[int]) -> int:
    """How many usable siblings of the same core come before this CPU."""
    core = _cpu_list(_line(root, "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list" % cpu) or "")
    return sum(1 for other in usable if other in core and other > cpu)


def _cpu_list(text: str) -> List[int]:
    """``0-2,8`` as numbers; what is no such list gives none."""
    found: List[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        found += range(int(first), int(last or first) + 1)
    return found


LOOKS_LEAST = 20
"""Looks at a caller's CPUs at least: where others want them too, the looking thread may not get to run at first."""


def tied_to(call: Callable[[], Any], wall_s: float = 0.03) -> Optional[List[int]]:
    """CPUs that ``call`` ties its own thread to while it runs, when they are fewer than before; else ``None``.

    Some runtimes do so and others don't, which is unequal where a neighbour loads one CPU. A second thread looks,
    so this must never run beside a measured block. It takes ``wall_s``, and up to ten times that on a busy machine.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    thread, before = threading.get_native_id(), os.sched_getaffinity(0)
    least: List[Set[int]] = [before]
    looks = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            now = os.sched_getaffinity(thread)
            looks[0] += 1
            if len(now) < len(least[0]):
                least[0] = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        began = time.monotonic()
        passed = 0.0
        while passed < wall_s or (looks[0] < LOOKS_LEAST and passed < 10 * wall_s):
            call()
            passed = time.monotonic() - began
    finally:
        done.set()
        watcher.join()
    return sorted(least[0]) if len(least[0]) < len(before) else None


def cpu_model(root: str = "/") -> Optional[str]:
    """The CPU's name: x86 says it in cpuinfo, Arm boards in the device tree."""
    text = _read(root, "proc/cpuinfo") or ""
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    if found:
        return found.group(1).strip()
    board = _read(root, "proc/device-tree/model")
    return board.strip("\0\n ") if board else (platform.processor() or None)


def cpu_flags(root: str = "/") -> List[str]:
    """Instruction-set flags of the first CPU, empty where the kernel doesn't tell."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read(root, "proc/cpuinfo") or "", re.MULTILINE)
    return found.group(1).split() if found else []


def memory_available(root: str = "/") -> Optional[int]:
    """Bytes that can be had without swapping: the kernel's estimate, or what a cgroup still allows."""
    bounds = [_meminfo(root, "MemAvailable"), _cgroup_left(root)]
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known else None


def rss_bytes(root: str = "/") -> Optional[int]:
    """This process's resident memory now."""
    status = _read(root, "proc/self/status") or ""
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _cgroup_left(root: str) -> Optional[int]:
    for limit_file, usage_file in (
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        limit, usage = _line(root, limit_file), _line(root, usage_file)
        if limit and usage and limit.isdigit() and usage.isdigit():
            return max(0, int(limit) - int(usage))
    return None


def _meminfo(root: str, key: str) -> Optional[int]:
    found = re.search(r"^%s:\s+(\d+) kB" % key, _read(root, "proc/meminfo") or "", re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _load_average(root: str) -> Optional[float]:
    text = _line(root, "proc/loadavg")
    return float(text.split()[0]) if text else None


def _virtualised(root: str) -> Optional[bool]:
    flags = cpu_flags(root)
    return "hypervisor" in flags if flags and platform.machine() in ("x86_64", "AMD64", "i686") else None


def _system(root: str) -> str:
    release = _read(root, "etc/os-release") or ""
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', release, re.MULTILINE)
    kernel = "%s %s" % (platform.system(), platform.release())
    return "%s, %s" % (found.group(1), kernel) if found else kernel


def _line(root: str, path: str) -> Optional[str]:
    text = _read(root, path)
    return text.strip() if text is not None else None


def _read(root: str, path: str) -> Optional[str]:
    try:
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
