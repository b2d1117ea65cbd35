"""Power from the batteries of the machine, while it runs on them.

Files: Documentation/ABI/testing/sysfs-class-power (``status``, ``power_now`` in µW, ``current_now`` in µA,
``voltage_now`` in µV; some drivers give a sign). The ACPI driver asks its battery once a second at most
(drivers/acpi/battery.c, ``cache_time``); many batteries have news more seldom than that.
"""

from __future__ import annotations

import os
from typing import List

from .. import wire
from . import Around, Channel, Found, Gone, line_in, number_in, sysfs
from .sysfs import Sensor

METER = "battery"
CLASS = "sys/class/power_supply"
PERIOD_NS = 1_000_000_000
COVERS = "the whole machine, display and all, as its battery tells it; slow: news once a second at most"


def find(around: Around) -> Found:
    """A gauge for each battery that discharges; nothing tells what comes from the mains."""
    folders = batteries(around.path(CLASS))
    if not folders:
        return []
    used = [folder for folder in folders if _status(folder) == "Discharging"]
    if not used:
        says = "the machine doesn't run on its battery (%s); unplugged, the battery tells power" % _status(folders[0])
        return [wire.Missing(METER, "power", "not-present", says)]
    return [_channel(folder, len(used) > 1) for folder in used]


def batteries(folder: str) -> List[str]:
    """Folders of the machine's own batteries, not of a mouse's or a headset's."""
    paths = [os.path.join(folder, name) for name in sysfs.entries(folder, ".+")]
    return [
        path
        for path in paths
        if line_in(os.path.join(path, "type")) == "Battery" and line_in(os.path.join(path, "scope")) != "Device"
    ]


def _status(folder: str) -> str:
    return line_in(os.path.join(folder, "status")) or "status unknown"


def _channel(folder: str, several: bool) -> Sensor:
    whole = os.path.exists(os.path.join(folder, "power_now"))
    facts = wire.Channel(
        meter=METER,
        name=os.path.basename(folder),
        quantity="power",
        unit="uW",
        scope="board",
        sensor=os.path.join(folder, "power_now" if whole else "current_now"),
        covers=COVERS,
        period_ns=PERIOD_NS,
        sums_to="batteries" if several else None,
    )
    return sysfs.first_read(Channel(facts, lambda: _power_uw(folder, whole)))


def _power_uw(folder: str, whole: bool) -> int:
    """What the battery gives now. Raises :class:`Gone` when it gives nothing: plugged in, or empty."""
    if _status(folder) != "Discharging":
        raise Gone("the battery doesn't discharge any more (%s)" % _status(folder))
    if whole:
        return abs(number_in(os.path.join(folder, "power_now")))
    current_ua, voltage_uv = (number_in(os.path.join(folder, name)) for name in ("current_now", "voltage_now"))
    return (abs(current_ua) * voltage_uv + 500_000) // 1_000_000
