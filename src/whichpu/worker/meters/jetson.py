"""NVIDIA Jetson: power of supply rails by INA3221 monitors, load and clock of the GPU. Reads files only.

Jetson Linux 34 and later (JetPack 5, 6, 7) use the kernel's driver: ``in1_label``, ``in1_input`` (mV), ``curr1_input``
(mA); ``in4`` to ``in7`` are voltages over shunts, no rails; ``update_interval`` is a conversion of all channels in ms,
and with ``samples`` above 1 the chip averages (kernel.org, Documentation/hwmon/ina3221.rst, drivers/hwmon/ina3221.c).

Jetson Linux 32 (JetPack 4) uses NVIDIA's driver ``ina3221x`` (staging/iio/meter/ina3221.c): ``rail_name_0``,
``in_power0_input`` (mW), ``running_mode`` (1: it converts continuously, 0: at each reading); the chip's settings are in
the device tree (``ti,continuous-config``, ``ti,trigger-config``), bits as in the configuration register of TI's
datasheet SBOS576. Its averaging is a moving one: each conversion moves a value by 1 / samples of what is missing.

``load`` of the GPU is in permille (driver nvgpu). A DLA has none. NVML tells nothing on these boards.
"""

from __future__ import annotations

import errno
import functools
import glob
import os
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from .. import rails, wire
from . import Around, Channel, Found, line_in, number_in

METER = "jetson"
CHIPS = ("sys/bus/i2c/drivers/ina3221*/*-00[0-9a-f][0-9a-f]", "sys/bus/i2c/devices/*-00[0-9a-f][0-9a-f]")
LOADS = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/[0-9]*.g*/load",
    "sys/devices/platform/[0-9]*.g*/load",
    "sys/devices/platform/bus@0/[0-9]*.g*/load",
)
"""The GPU's load; on one board there are several ways to the same file."""

GPU_NAMES = re.compile(r"gpu|g[mpva]\d\db|gb10b")
"""Names of the GPU among devices with a clock of their own (Nano, TX2, Xavier, Orin, Thor)."""

CONVERSION_US = (140, 204, 332, 588, 1100, 2116, 4156, 8244)
SAMPLES = (1, 4, 16, 64, 128, 256, 512, 1024)
"""What the INA3221's settings mean (SBOS576, configuration register)."""

SETTLED = 5
"""After so many time constants, 99.3 % of a step is in a moving average."""


class Rail(NamedTuple):
    """A rail as found: its files, whose product is power in ``unit``, and the chip's times."""

    name: str
    paths: Tuple[str, ...]
    unit: str
    period_ns: Optional[int]
    averages_ns: int


def find(around: Around) -> Found:
    """Rails, the GPU's load and its clock."""
    if not is_jetson(around):
        return []
    return _power(around) + _load(around) + _clock(around)


def is_jetson(around: Around) -> bool:
    """Is this a board of NVIDIA's Jetson family?"""
    compatible = line_in(around.path("proc/device-tree/compatible")) or ""
    return "nvidia,tegra" in compatible or os.path.exists(around.path("etc/nv_tegra_release"))


# ---------------------------------------------------------------- power


def _power(around: Around) -> Found:
    here: List[Rail] = []
    missing: Found = []
    for rail in _rails(around):
        problem = _problem(rail.paths)
        if problem is None:
            here.append(rail)
        elif problem != errno.ENODATA:  # the channel is switched off
            missing.append(_unreadable("power", rail.name, rail.paths, problem))
    if not here and not missing:
        says = "no INA3221 power monitor: this board has none, or its kernel has no driver for it"
        return [wire.Missing(METER, "power", "not-present", says)]
    known = rails.rails(rail.name for rail in here)
    channels: Found = [
        Channel(_power_facts(rail, known[rail.name]), functools.partial(power, rail.paths)) for rail in here
    ]
    return channels + missing


def power(paths: Tuple[str, ...]) -> int:
    """mW as one file tells it, or mV x mA = uW."""
    product = 1
    for path in paths:
        product *= number_in(path)
    return product


def _power_facts(rail: Rail, known: rails.Rail) -> wire.Channel:
    return wire.Channel(
        meter=METER,
        name=rail.name,
        quantity="power",
        unit=rail.unit,
        scope=known.scope,
        sensor=" x ".join(rail.paths),
        covers=known.covers,
        period_ns=rail.period_ns,
        averages_ns=rail.averages_ns,
        part_of=known.part_of,
        sums_to=known.sums_to,
    )


def _rails(around: Around) -> List[Rail]:
    """Rails of all power monitors, in the order of their addresses."""
    chips: Dict[str, str] = {}
    for pattern in CHIPS:
        for path in _glob(around, pattern):
            if "/drivers/" in pattern or "ina3221" in (line_in(os.path.join(path, "name")) or ""):
                chips.setdefault(os.path.basename(path), path)
    found: List[Rail] = []
    for _, chip in sorted(chips.items()):
        for folder in sorted(glob.glob(os.path.join(glob.escape(chip), "hwmon", "hwmon*"))):
            found += _hwmon(chip, folder)
        for folder in sorted(glob.glob(os.path.join(glob.escape(chip), "iio[:_]device*"))):
            found += _iio(chip, folder)
    return _told_apart(found)


def _told_apart(found: List[Rail]) -> List[Rail]:
    """Two rails of one name would be added up as one: the second and later ones get a number."""
    seen: Dict[str, int] = {}
    apart: List[Rail] = []
    for rail in found:
        seen[rail.name] = seen.get(rail.name, 0) + 1
        number = seen[rail.name]
        apart.append(rail if number == 1 else rail._replace(name="%s (%d)" % (rail.name, number)))
    return apart


def _hwmon(chip: str, folder: str) -> List[Rail]:
    interval_ms, samples = _number(folder, "update_interval"), _number(folder, "samples")
    period_ns = interval_ms * 1_000_000 if interval_ms else None
    averages_ns = SETTLED * samples * period_ns if period_ns and samples and samples > 1 else 0
    found = []
    for number in (1, 2, 3):
        paths = tuple(os.path.join(folder, name % number) for name in ("in%d_input", "curr%d_input"))
        name = line_in(os.path.join(folder, "in%d_label" % number))
        if name is None:
            name = "%s channel %d" % (os.path.basename(chip), number)
        if name not in rails.NOT_CONNECTED and all(os.path.exists(path) for path in paths):
            found.append(Rail(name, paths, "uW", period_ns, averages_ns))
    return found


def _iio(chip: str, folder: str) -> List[Rail]:
    period_ns, averages_ns = iio_times(chip, folder)
    found = []
    for number in (0, 1, 2):
        path = os.path.join(folder, "in_power%d_input" % number)
        name = line_in(os.path.join(folder, "rail_name_%d" % number))
        if name is not None and name not in rails.NOT_CONNECTED and os.path.exists(path):
            found.append(Rail(name, (path,), "mW", period_ns, averages_ns))
    return found


def iio_times(chip: str, folder: str) -> Tuple[Optional[int], int]:
    """Time between conversions and the time that a value averages over, as the device tree sets the chip."""
    continuous = line_in(os.path.join(folder, "running_mode")) == "1"
    try:
        name = "ti,continuous-config" if continuous else "ti,trigger-config"
        with open(os.path.join(chip, "of_node", name), "rb") as file:
            settings = int.from_bytes(file.read(4), "big")
    except OSError:
        return None, 0
    channels = bin(settings >> 12 & 7).count("1")
    conversion_us = CONVERSION_US[settings >> 6 & 7] + CONVERSION_US[settings >> 3 & 7]
    samples = SAMPLES[settings >> 9 & 7] if continuous else 1
    period_ns = channels * conversion_us * 1000
    return period_ns or None, SETTLED * samples * period_ns if samples > 1 else 0


# ---------------------------------------------------------------- load and clock


def _load(around: Around) -> Found:
    dla = wire.Missing(METER, "utilisation", "not-present", "a DLA tells no load: the kernel has no file for it")
    paths = [path for pattern in LOADS for path in _glob(around, pattern)]
    if not paths:
        return [wire.Missing(METER, "utilisation", "not-present", "the kernel has no file with the GPU's load"), dla]
    problem = _problem(paths[:1])
    if problem is not None:
        return [_unreadable("utilisation", "the GPU's load", paths[:1], problem), dla]
    facts = wire.Channel(
        METER, "GPU load", "utilisation", "permille", "gpu", paths[0], "time the GPU is busy, with any process"
    )
    return [Channel(facts, functools.partial(number_in, paths[0])), dla]


def _clock(around: Around) -> Found:
    for folder in _glob(around, "sys/class/devfreq/*"):
        path = os.path.join(folder, "cur_freq")
        if GPU_NAMES.search(os.path.basename(folder)) and _problem([path]) is None:
            facts = wire.Channel(METER, "GPU clock", "clock", "kHz", "gpu", path, "the GPU's clock")
            return [Channel(facts, functools.partial(_khz, path))]
    return []


def _khz(path: str) -> int:
    return number_in(path) // 1000


# ---------------------------------------------------------------- files


def _glob(around: Around, pattern: str) -> List[str]:
    return sorted(glob.glob(os.path.join(glob.escape(around.root), pattern)))


def _number(folder: str, name: str) -> Optional[int]:
    text = line_in(os.path.join(folder, name)) or ""
    return int(text) if text.isdigit() else None


def _problem(paths: "Tuple[str, ...] | List[str]") -> Optional[int]:
    """Why files can't be read now (errno); ``None`` when they can. What they hold is seen when they are."""
    try:
        for path in paths:
            with open(path, "rb") as file:
                file.read(1)
    except OSError as problem:
        return problem.errno or errno.EIO
    return None


def _unreadable(quantity: str, what: str, paths: "Tuple[str, ...] | List[str]", problem: int) -> wire.Missing:
    if problem in (errno.EACCES, errno.EPERM):
        says = "%s is only for root" % what
        return wire.Missing(METER, quantity, "not-permitted", says, "sudo chmod a+r %s" % " ".join(paths))
    return wire.Missing(METER, quantity, "broken", "%s can't be read: %s" % (what, os.strerror(problem)))
