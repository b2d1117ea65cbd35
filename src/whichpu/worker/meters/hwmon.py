"""Power, energy and current that drivers tell through hwmon: boards' own sensors, AMD and Intel GPUs, power supplies.

Files and units: Documentation/hwmon/sysfs-interface.rst (``power*_input``, ``power*_average`` in µW, ``energy*_input``
in µJ, ``in*_input`` in mV, ``curr*_input`` in mA, ``update_interval``, ``power*_average_interval`` in ms). Who covers
what: Documentation/gpu/amdgpu/thermal.rst, Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon and -xe-hwmon,
Documentation/hwmon/{acpi_power_meter,fam15h_power,corsair-psu,ina2xx,ina3221}.rst, github.com/amd/amd_energy.
Temperatures are another meter's.
"""

from __future__ import annotations

import collections
import os
from typing import Dict, List, Optional, Tuple

from .. import wire
from . import Around, Channel, Found, line_in, number_in, sysfs
from .jetson import is_jetson
from .sysfs import Sensor

METER = "hwmon"
CLASS = "sys/class/hwmon"

SOCKET = "one processor socket; its cores' counters are in it and left out: each reading would wake its core"
DRIVERS: Dict[str, Tuple[str, str]] = {
    "amdgpu": ("gpu", "the GPU with its memory, as its firmware tells it"),
    "nouveau": ("gpu", "the graphics card"),
    "i915": ("gpu", "the graphics card"),
    "xe": ("gpu", "the graphics card"),
    "amd_energy": ("package", SOCKET),
    "zenergy": ("package", SOCKET),
    "fam15h_power": ("package", "one processor package"),
    "power_meter": ("board", "the whole machine, as its ACPI power meter tells it"),
}
"""What drivers' sensors cover; of all others each is a rail with a label."""

RAIL = ("rail", "one rail; its label says which")

APU = ("package", "the whole chip: an APU's driver tells the CPU's power too")

LABELS: Dict[Tuple[str, str], Tuple[str, str]] = {
    ("corsairpsu", "power total"): ("board", "all that the power supply gives"),
    ("macsmc_hwmon", "Total System Power"): ("board", "the whole machine"),
}

PERIODS_NS = {"amd_energy": 1_000_000, "zenergy": 1_000_000}
"""The registers behind these have news each millisecond (Documentation/hwmon/amd_energy.rst, Linux 5.9)."""

PAIRED = ("ina3221",)
"""Drivers that number current and voltage of one rail alike and label only the voltage."""


class Device:
    """One hwmon folder. ``title`` is the driver's name, and where several have it, also the device's address."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.driver = line_in(os.path.join(folder, "name")) or os.path.basename(folder)
        self.title = self.driver

    def path(self, name: str) -> str:
        """A file of the device."""
        return os.path.join(self.folder, name)

    def has(self, name: str) -> bool:
        """Is there such a file?"""
        return os.path.exists(self.path(name))

    def number(self, name: str) -> Optional[int]:
        """The number in a file, where it can be read."""
        try:
            return number_in(self.path(name))
        except Exception:
            return None

    def label(self, sensor: str) -> str:
        """What the driver calls a sensor; empty where it calls it nothing."""
        return line_in(self.path(sensor + "_label")) or ""

    def numbers(self, kind: str, end: str = "_input") -> List[int]:
        """Numbers of the sensors of one kind."""
        names = sysfs.entries(self.folder, kind + r"\d+" + end)
        return [int(name[len(kind) : -len(end)]) for name in names]

    def behind(self, name: str) -> str:
        """The last part of where a link of the parent device leads."""
        return os.path.basename(os.path.realpath(self.path(name)))


def find(around: Around) -> Found:
    """A channel for each sensor of power or energy, and for each rail whose volts and amperes are told."""
    folder = around.path(CLASS)
    devices = [Device(os.path.join(folder, name)) for name in sysfs.entries(folder, r"hwmon\d+")]
    if not devices:
        return [wire.Missing(METER, "power", "not-present", "no hwmon sensors: %s shows none" % folder)]
    _tell_apart(devices)
    ours = [device for device in devices if not _of_another(around, device)]
    found = [sensor for device in ours for sensor in _sensors(device)]
    if not found:
        names = ", ".join(sorted({device.driver for device in devices}))
        return [wire.Missing(METER, "power", "not-present", "no hwmon sensor tells power or energy (%s)" % names)]
    return found


def _tell_apart(devices: List[Device]) -> None:
    """Give devices of one driver their address: hwmon's own numbers change from boot to boot."""
    counts = collections.Counter(device.driver for device in devices)
    for device in devices:
        if counts[device.driver] > 1:
            device.title += "@" + device.behind("device")


def _of_another(around: Around, device: Device) -> bool:
    """Does another meter read this device, or is it part of one that is read here?"""
    battery = device.behind("device/subsystem") == "power_supply"
    return battery or device.driver.startswith("i915_gt") or (device.driver == "ina3221" and is_jetson(around))


def _sensors(device: Device) -> Found:
    counters = [
        number for number in device.numbers("energy") if not device.label("energy%d" % number).startswith("Ecore")
    ]
    gauges = sorted(set(device.numbers("power", "_average") + device.numbers("power")))
    sockets = sum(device.label("energy%d" % number).startswith("Esocket") for number in counters)
    found: Found = sysfs.only_whole([_energy(device, number) for number in counters], {"sockets": sockets})
    found += [_power(device, number) for number in gauges]
    found = found or [_rail(device, number) for number in device.numbers("curr") if _paired(device, number)]
    return found + _clock(device)


def _energy(device: Device, number: int) -> Sensor:
    """One counter; drivers keep them in 64 bits, which don't come round."""
    sensor = "energy%d" % number
    facts = _facts(device, sensor, sensor + "_input", "energy", "uJ")
    facts.counter = True
    labels = {device.label("energy%d" % other) for other in device.numbers("energy")}
    if device.driver == "xe" and device.label(sensor) == "pkg" and "card" in labels:
        facts.part_of = device.title + "/card"
    return sysfs.first_read(Channel(facts, lambda: number_in(facts.sensor)))


def _power(device: Device, number: int) -> Sensor:
    """One gauge of power: a mean where there is one, since it misses nothing between two readings."""
    sensor = "power%d" % number
    mean = device.has(sensor + "_average")
    facts = _facts(device, sensor, sensor + ("_average" if mean else "_input"), "power", "uW")
    if mean:
        facts.averages_ns = (device.number(sensor + "_average_interval") or 0) * 1_000_000
        facts.period_ns = facts.period_ns or facts.averages_ns or None
    channel = Channel(facts, lambda: number_in(facts.sensor))
    return sysfs.first_read(channel, lambda value: value > 0 or _volts(device, number))


def _rail(device: Device, number: int) -> Sensor:
    """One rail from its volts and amperes: mV times mA are µW."""
    facts = _facts(device, "in%d" % number, "curr%d_input" % number, "power", "uW")
    voltage = device.path("in%d_input" % number)
    channel = Channel(facts, lambda: number_in(voltage) * number_in(facts.sensor))
    return sysfs.first_read(channel, lambda value: _volts(device, number))


def _paired(device: Device, number: int) -> bool:
    """Are current and voltage of this number known to be of one rail?"""
    volts, amperes = device.label("in%d" % number), device.label("curr%d" % number)
    alike = device.driver in PAIRED or (volts == amperes and volts != "")
    return alike and device.has("in%d_input" % number)


def _volts(device: Device, number: int) -> bool:
    """Does the voltage of this number show that the rail is alive?"""
    return (device.number("in%d_input" % number) or 0) > 0


def _clock(device: Device) -> Found:
    """The shader clock of an AMD GPU, told in Hz; how busy it is and its memory are the meter ``drm``'s."""
    if device.driver != "amdgpu" or not device.has("freq1_input"):
        return []
    facts = _facts(device, "freq1", "freq1_input", "clock", "kHz")
    facts.scope, facts.covers = "gpu", "the GPU's shader clock"
    return [sysfs.first_read(Channel(facts, lambda: number_in(facts.sensor) // 1000), lambda value: True)]


def _facts(device: Device, sensor: str, file: str, quantity: str, unit: str) -> wire.Channel:
    label = device.label(sensor)
    scope, covers = LABELS.get((device.driver, label)) or DRIVERS.get(device.driver) or RAIL
    if device.driver == "amdgpu" and device.label("in1") == "vddnb":  # only APUs tell this voltage
        scope, covers = APU
    interval_ms = device.number("update_interval")
    several = [number for number in device.numbers("energy") if device.label("energy%d" % number).startswith("Esocket")]
    return wire.Channel(
        meter=METER,
        name="%s/%s" % (device.title, label or sensor),
        quantity=quantity,
        unit=unit,
        scope=scope,
        sensor=device.path(file),
        covers=covers,
        period_ns=interval_ms * 1_000_000 if interval_ms else PERIODS_NS.get(device.driver),
        sums_to="sockets" if label.startswith("Esocket") and len(several) > 1 else None,
    )
