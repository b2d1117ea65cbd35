"""Energy counters of Intel and AMD processors (RAPL), through the kernel's powercap files.

Files: Documentation/ABI/testing/sysfs-class-powercap and Documentation/power/powercap/powercap.rst (``energy_uj``,
``max_energy_range_uj``, ``name``); AMD processors show the same names. A zone's ``enabled`` is about capping; its
counter runs either way. The counter has news each millisecond and wraps within a minute or more (Intel SDM 3B,
"Package RAPL domain"). It is for root alone since Linux 5.10 (CVE-2020-8694: fine readings tell secrets of others'
programs), so the remedy gives it to one user, not to all. Container runtimes hide the files (GHSA-jq35-85cj-fj4p).
"""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Tuple

from .. import wire
from . import Around, Channel, Found, line_in, number_in, sysfs
from .sysfs import Sensor

METER = "rapl"
CLASS = "sys/class/powercap"
PERIOD_NS = 1_000_000
ZONES = r"intel-rapl:\d+(:\d+)*"
TWINS = r"intel-rapl-mmio:\d+(:\d+)*"
"""The same counters through another door, package by package; read where they are the only ones."""

DOMAINS: Dict[str, Tuple[str, str]] = {
    "package": ("package", "one processor package: cores, caches, memory controller, integrated graphics"),
    "psys": ("platform", "the platform as its maker wired it: the package and more, often without display and disks"),
    "core": ("cores", "the cores of the package (power plane 0)"),
    "uncore": ("rail", "power plane 1 of the package: on most processors the integrated graphics"),
    "dram": ("dram", "the memory of the package's controller"),
}
"""Names of zones, their scope and what they cover (Intel SDM 3B, "RAPL domains")."""

TOTALS = {"package": "packages", "dram": "dram"}
"""What zones of several packages add up to."""


def find(around: Around) -> Found:
    """A counter for each zone that counts. ``dram`` stands beside its package, ``core`` and ``uncore`` are in it."""
    folder = around.path(CLASS)
    zones = sysfs.entries(folder, ZONES) or sysfs.entries(folder, TWINS)
    if not zones:
        return [_none(folder)]
    names = _names(folder, zones)
    closed = [zone for zone in zones if names[zone] and not _open(folder, zone)]
    found: Found = [_channel(folder, zone, names) for zone in zones if zone not in closed]
    found = sysfs.only_whole(found, {total: len(_alike(names, domain)) for domain, total in TOTALS.items()})
    return found + ([_closed(folder, closed, names)] if closed else [])


def _alike(names: Dict[str, Optional[str]], domain: str) -> List[str]:
    """Zones of one domain, of all packages."""
    return [name for name in names.values() if name and name.rpartition("/")[2].split("-")[0] == domain]


def _none(folder: str) -> wire.Missing:
    says = "no RAPL counters: %s is not there" % folder
    if os.path.isdir(folder):
        says = "no RAPL counters: %s shows no intel-rapl zone (virtual machines and containers hide them)" % folder
    return wire.Missing(METER, "energy", "not-present", says)


def _names(folder: str, zones: List[str]) -> Dict[str, Optional[str]]:
    """Names of zones: a child's with its parent's before it (``package-0/core``)."""
    names: Dict[str, Optional[str]] = {}
    for zone in zones:
        own, parent = line_in(os.path.join(folder, zone, "name")), names.get(zone.rpartition(":")[0])
        names[zone] = "%s/%s" % (parent, own) if own and parent else own
    return names


def _open(folder: str, zone: str) -> bool:
    try:
        number_in(os.path.join(folder, zone, "energy_uj"))
    except PermissionError:
        return False
    except Exception:
        return True  # what else is wrong shows at the first reading
    return True


def _closed(folder: str, zones: List[str], names: Dict[str, Optional[str]]) -> wire.Missing:
    pattern = os.path.join(folder, zones[0].split(":")[0] + ":*", "energy_uj")
    says = "%s: only root may read the counters, since CVE-2020-8694" % ", ".join(str(names[zone]) for zone in zones)
    remedy = 'sudo chown "$USER" %s' % pattern
    return wire.Missing(METER, "energy", "not-permitted", says, remedy)


def _channel(folder: str, zone: str, names: Dict[str, Optional[str]]) -> Sensor:
    name, path = names[zone] or zone, os.path.join(folder, zone, "energy_uj")
    domain = name.rpartition("/")[2].split("-")[0]
    scope, covers = DOMAINS.get(domain, ("rail", "the zone %r, of which nothing is known" % name))
    parent = names.get(zone.rpartition(":")[0])
    facts = wire.Channel(
        meter=METER,
        name=name,
        quantity="energy",
        unit="uJ",
        scope=scope,
        sensor=path,
        covers=covers,
        counter=True,
        wraps_at=_range(folder, zone),
        period_ns=PERIOD_NS,
        part_of=parent if domain in ("core", "uncore") else None,
        sums_to=TOTALS.get(domain) if len(_alike(names, domain)) > 1 else None,
    )
    if names[zone] is None:
        return sysfs.missing(facts, "broken", "the zone has no name")
    # The kernel too leaves out domains whose counter stands at 0 (drivers/powercap/intel_rapl_common.c).
    return sysfs.first_read(Channel(facts, lambda: number_in(path)))


def _range(folder: str, zone: str) -> Optional[int]:
    try:
        return number_in(os.path.join(folder, zone, "max_energy_range_uj"))
    except Exception:
        return None
