"""Temperatures: the kernel's thermal zones, and the sensors of CPUs and GPUs among its hwmon devices, in m°C.

Kernel: Documentation/driver-api/thermal/sysfs-api.rst, Documentation/hwmon/sysfs-interface.rst. A sensor that is off is
left out: a Jetson's says -256 °C, and that of its PMIC always 50 or 100 °C, for nothing measures it (Jetson Linux 32).
"""

from __future__ import annotations

import functools
import glob
import os
from typing import List, Optional, Tuple

from .. import wire
from ..conditions import SENSORS
from . import Around, Channel, Found, Gone, line_in, number_in

METER = "thermal"
GPU_SENSORS = ("amdgpu", "radeon", "nouveau", "i915", "xe")
"""hwmon drivers of GPUs."""

OFF_MC = -60_000
"""Colder than this is no temperature but a sensor that is off."""

PERIOD_NS = 100_000_000
"""Heat is slow, and on some boards a reading asks a firmware: it is read no more often than makes sense."""


def find(around: Around) -> Found:
    """One channel for each temperature."""
    found: Found = []
    for scope, name, path in _zones(around) + _sensors(around):
        if _is_on(name, path):
            facts = wire.Channel(METER, name, "temperature", "mC", scope, path, period_ns=PERIOD_NS)
            found.append(Channel(facts, functools.partial(temperature, path)))
    return found or [wire.Missing(METER, "temperature", "not-present", "no temperature sensor that is on")]


def temperature(path: str) -> int:
    """m°C. Raises :class:`Gone` when the sensor was switched off (a GPU's is, with it)."""
    value = number_in(path)
    if value <= OFF_MC:
        raise Gone("the sensor is off")
    return value


def _zones(around: Around) -> List[Tuple[str, str, str]]:
    found = []
    for folder in _glob(around, "sys/class/thermal/thermal_zone*"):
        name = line_in(os.path.join(folder, "type")) or os.path.basename(folder)
        found.append((_scope(name), name, os.path.join(folder, "temp")))
    return found


def _sensors(around: Around) -> List[Tuple[str, str, str]]:
    found = []
    for folder in _glob(around, "sys/class/hwmon/hwmon*"):
        driver = line_in(os.path.join(folder, "name")) or ""
        if driver in SENSORS + GPU_SENSORS:
            for path in sorted(glob.glob(os.path.join(glob.escape(folder), "temp*_input"))):
                label = line_in(path[: -len("input")] + "label")
                name = "%s %s" % (driver, label or os.path.basename(path).split("_")[0])
                found.append(("gpu" if driver in GPU_SENSORS else "package", name, path))
    return found


def _scope(zone: str) -> str:
    name = zone.lower()
    if "gpu" in name:
        return "gpu"
    return "package" if "cpu" in name or "pkg" in name else "machine"


def _is_on(name: str, path: str) -> bool:
    value = _now(path)
    return value is not None and value > OFF_MC and not name.startswith("PMIC")


def _now(path: str) -> Optional[int]:
    try:
        return number_in(path)
    except (OSError, Gone):
        return None


def _glob(around: Around, pattern: str) -> List[str]:
    """Paths below the root; numbers in their order (zone 10 behind zone 9)."""
    found = glob.glob(os.path.join(glob.escape(around.root), pattern))
    return sorted(found, key=lambda path: (len(path), path))
