"""Hailo-8, 8R and 8L: power and temperature through HailoRT's Python package, utilisation through its monitor's files.

Power is polled (``Control.power_measurement``): a new value every 2.2 ms, not averaged. The firmware's own averaging
(``start_power_measurement``) is not used: its default has news each 2 x 256 x 1.1 ms = 563 ms, so that a window would
have to last 11 s; it averages averages; and stopping it would end what another program has started.
Sources: docstrings of ``hailo_platform.pyhailort.pyhailort.Control`` (github.com/hailo-ai/hailort); HailoRT's Python
Power Measurement Tutorial, by which power is to be read from another process than the one that infers, as here, and
only on boards that have an INA231. Not run on hardware yet.
"""

from __future__ import annotations

import glob
import importlib
import importlib.util
import os
import struct
import time
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from .. import wire
from ..protobuf import Value, fields
from . import Around, Channel, Found, Gone

PERIOD_NS = 2_200_000
"""The power sensor's: twice its sampling period of 1.1 ms (shunt, then bus), without averaging."""

TURNS = 25
"""The temperature is asked for at every 25th turn: it moves slowly, and each question goes through the firmware."""

MONITOR_FILES = ("tmp", "hmon_files")
"""Where a process that was started with ``HAILO_MONITOR=1`` writes (``monitor_handler.hpp``)."""

INTERVAL_MS, SLACK_MS = 1000, 500
"""How often it writes unless ``HAILO_MONITOR_TIME_INTERVAL`` tells; ``hailortcli monitor`` waits so much longer."""

JOIN = "an external meter's log can be joined: whichpu join"


def find(around: Around) -> Found:
    """Channels of each Hailo device. Nothing on a machine without a trace of one: nobody waits for it there."""
    nodes = sorted(glob.glob(around.path("dev", "hailo[0-9]*")))
    if importlib.util.find_spec("hailo_platform") is None:
        return [_no_package(nodes[0])] if nodes else []
    blocked = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if blocked:
        says = "this user may not open %s" % blocked[0]
        return [wire.Missing("hailo", "all", "not-permitted", says, "sudo chmod a+rw %s" % blocked[0])]
    hailort: Any = importlib.import_module("hailo_platform")
    devices = hailort.Device.scan()
    if not devices:
        return [wire.Missing("hailo", "all", "not-present", "HailoRT finds no device", "hailortcli scan")]
    found: Found = []
    for device_id in devices:
        suffix = "" if len(devices) == 1 else " " + device_id
        found += _of_device(hailort, device_id, suffix)
        found.append(_monitored(around, device_id, suffix))
    return found


def _no_package(node: str) -> wire.Missing:
    says = "there is %s, but this Python has no package hailo_platform (HailoRT's)" % node
    remedy = (
        "pip install hailort-VERSION-cp3XX-cp3XX-linux_ARCH.whl, of the driver's version, from Hailo's Developer Zone"
    )
    return wire.Missing("hailo", "all", "not-present", says, remedy)


def _of_device(hailort: Any, device_id: str, suffix: str) -> Found:
    """Power and temperature. The device is opened for control alone, which leaves it free for inference: HailoRT marks
    a device as in use only for a ``VDevice`` (``vdevice.cpp``)."""
    try:
        device = hailort.Device(device_id)
    except Exception as problem:
        says = "HailoRT can't open %s: %s" % (device_id, _words(problem))
        return [wire.Missing("hailo", "all", "not-permitted", says, "sudo fuser -v /dev/hailo*  # who holds it")]
    return [_power(device, suffix), _temperature(device, suffix)]


def _power(device: Any, suffix: str) -> Union[Channel, wire.Missing]:
    """The module's power. A module without the sensor raises; a running chip that takes 0 W is none either."""
    try:
        first_uw = _uw(device.control.power_measurement())
    except Exception as problem:
        says = "HailoRT reads no power of this module (%s); %s" % (_words(problem), JOIN)
        return wire.Missing("hailo", "power", "not-present", says)
    if first_uw <= 0:
        says = "HailoRT reads %g W: this module has no working power sensor; %s" % (first_uw / 1e6, JOIN)
        return wire.Missing("hailo", "power", "broken", says)
    scope, covers = _covered(device)
    facts = wire.Channel(
        meter="hailo",
        name="power" + suffix,
        quantity="power",
        unit="uW",
        scope=scope,
        sensor="HailoRT Control.power_measurement (INA231)",
        covers=covers,
        period_ns=PERIOD_NS,
    )
    return Channel(facts, lambda: _uw(device.control.power_measurement()))


def _covered(device: Any) -> Tuple[str, str]:
    """Scope and words of what ``DvmTypes.AUTO`` measures: it depends on the board."""
    try:
        monitored = device.control.get_extended_device_information().supported_features.current_monitoring
    except Exception:
        return "npu", "the Hailo module; which of its supplies, HailoRT does not tell"
    if monitored:
        return "npu", "the whole Hailo module, at its overcurrent protection; not the host that feeds it"
    return "rails", "the Hailo chip's rails VDD_CORE, MIPI_AVDD and AVDD_H (evaluation board), about all it takes"


def _uw(watts: float) -> int:
    return round(watts * 1e6)


def _temperature(device: Any, suffix: str) -> Union[Channel, wire.Missing]:
    def read() -> int:
        told = device.control.get_chip_temperature()
        return round(1000 * float(max(told.ts0_temperature, told.ts1_temperature)))

    try:
        read()
    except Exception as problem:
        says = "HailoRT reads no temperature of this module (%s)" % _words(problem)
        return wire.Missing("hailo", "temperature", "not-present", says)
    facts = wire.Channel(
        meter="hailo",
        name="chip" + suffix,
        quantity="temperature",
        unit="mC",
        scope="npu",
        sensor="HailoRT Control.get_chip_temperature",
        covers="the hotter of the chip's two sensors",
    )
    seldom = Seldom(read, TURNS)
    return Channel(facts, seldom.read, seldom.begin)


class Seldom:
    """Reads at the first turn of a window and at each so many-th after it; ``None`` (no news) in between."""

    def __init__(self, really: Callable[[], int], turns: int) -> None:
        self.really = really
        self.turns = turns
        self.turn = 0

    def begin(self) -> None:
        """A window begins."""
        self.turn = 0

    def read(self) -> Optional[int]:
        """What the sensor says, or ``None``."""
        self.turn += 1
        return self.really() if self.turn % self.turns == 1 else None


def _words(problem: Exception) -> str:
    from ..backends.hailo_errors import worded

    return "%s: %s" % (type(problem).__name__, worded(problem) or "no words")


# ---------------------------------------------------------------- the monitor's files


def _monitored(around: Around, device_id: str, suffix: str) -> Union[Channel, wire.Missing]:
    """Utilisation, if the measured processes write it: they inherit ``HAILO_MONITOR`` from this one's environment."""
    if not os.environ.get("HAILO_MONITOR", "").startswith("1"):
        says = "HailoRT tells utilisation only to processes started with HAILO_MONITOR=1 (which costs them a thread)"
        return wire.Missing("hailo", "utilisation", "not-present", says, "HAILO_MONITOR=1 whichpu run ...")
    interval_ms = _interval_ms()
    monitor = Monitor(around, device_id, interval_ms)
    facts = wire.Channel(
        meter="hailo",
        name="busy" + suffix,
        quantity="utilisation",
        unit="permille",
        scope="npu",
        sensor="/".join(("", *MONITOR_FILES)),
        covers="share of time the NPU core worked for the measured process, as HailoRT's scheduler tells",
        period_ns=interval_ms * 1_000_000,
        averages_ns=interval_ms * 1_000_000,
    )
    return Channel(facts, monitor.read)


def _interval_ms() -> int:
    text = os.environ.get("HAILO_MONITOR_TIME_INTERVAL", "")
    return int(text) if text.isdigit() and int(text) > 0 else INTERVAL_MS


class Monitor:
    """The monitor's files of the measured processes; ``now`` is the time of day in s."""

    def __init__(self, around: Around, device_id: str, interval_ms: int, now: Callable[[], float] = time.time) -> None:
        self.around = around
        self.device_id = device_id
        self.fresh_s = (interval_ms + SLACK_MS) / 1e3
        self.now = now

    def read(self) -> Optional[int]:
        """Utilisation in thousandths; ``None`` while no measured process has written lately (a frozen one does not)."""
        for name in self._fresh_files():
            with open(name, "rb") as file:
                percent = utilisation(file.read(), self.device_id, self.around.pids)
            if percent is not None:
                return round(10 * percent)
        return None

    def _fresh_files(self) -> List[str]:
        names = glob.glob(self.around.path(*MONITOR_FILES, "*"))
        oldest_s = self.now() - self.fresh_s
        return [name for name in names if not name.endswith(".tmp") and os.stat(name).st_mtime >= oldest_s]


def utilisation(message: bytes, device_id: str, pids: List[int]) -> Optional[float]:
    """A device's utilisation in percent from a ``ProtoMon`` of one of these processes; ``None`` if it is not in there.

    ``scheduler_mon.proto`` of HailoRT: ``ProtoMon`` has ``string pid = 1`` and ``repeated ProtoMonDeviceInfo
    device_infos = 4``, which has ``string device_id = 1`` and ``double utilization = 2``; proto3 leaves 0 out.
    Raises :class:`Gone` for other content.
    """
    try:
        monitor = [*fields(message)]
        if _text(dict(monitor).get(1)) not in [str(pid) for pid in pids]:
            return None
        for number, value in monitor:
            device: Dict[int, Value] = dict(fields(_bytes(value))) if number == 4 else {}
            if device and _text(device.get(1)) == device_id:
                (percent,) = struct.unpack("<d", _bytes(device.get(2, memoryview(bytes(8)))))
                return float(percent) if percent >= 0 else None
    except (ValueError, IndexError, struct.error) as problem:
        raise Gone("HailoRT's monitor wrote what can't be read (%s)" % problem) from None
    return None


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a text stands")
    return bytes(value)


def _text(value: Optional[Value]) -> Optional[str]:
    return None if value is None else _bytes(value).decode(errors="replace")
