"""Apple silicon: energy counters of the SoC, through the package zeus-apple-silicon (Apache-2.0), which reads macOS's
IOReport group "Energy Model" without root.

``AppleEnergyMonitor().get_cumulative_energy()`` gives whole mJ since a fixed point, ``None`` for what this chip doesn't
tell: github.com/ml-energy/zeus-apple-silicon, README. macOS computes these counters from a model of the chip; they hold
no display, SSD, fan or power supply. Of an M4 Pro with macOS 27 a user reports that the counters of CPU and DRAM stand
still unless ``powermetrics`` runs: then the window is refused, by :meth:`Soc.end`. Not run on hardware yet.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
from typing import Any, Dict, List, Tuple

from .. import wire
from . import Around, Channel, Found, Gone

PARTS: List[Tuple[str, str, str, str]] = [
    ("cpu", "cpu_total_mj", "cores", "all CPU cores and their clusters"),
    ("gpu", "gpu_mj", "gpu", "the GPU, without its SRAM"),
    ("gpu sram", "gpu_sram_mj", "rail", "the GPU's SRAM"),
    ("ane", "ane_mj", "npu", "the Neural Engine"),
    ("dram", "dram_mj", "dram", "the memory in the package"),
]
"""Name, field of ``AppleEnergyMetrics``, scope, and what it covers."""

NEVER_STILL = ("cpu_total_mj", "dram_mj")
"""Parts that take energy in every window, if only for reading the meters."""

REMEDY = "sudo powermetrics --samplers cpu_power -i 1000 > /dev/null  # beside the run"


def find(around: Around) -> Found:
    """Counters of the SoC and its parts; nothing on other systems."""
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return []
    if importlib.util.find_spec("zeus_apple_silicon") is None:
        says = "macOS tells energy through IOReport, read by the package zeus-apple-silicon, which is not installed"
        return [wire.Missing("apple", "energy", "not-present", says, "pip install zeus-apple-silicon")]
    zeus: Any = importlib.import_module("zeus_apple_silicon")
    try:
        monitor = zeus.AppleEnergyMonitor()
    except Exception as problem:
        says = "macOS gives no energy counters on this machine (%s)" % problem
        return [wire.Missing("apple", "energy", "not-present", says)]
    soc = Soc(monitor)
    told = [part for part in PARTS if part[1] in soc.fields]
    if not told:
        return [wire.Missing("apple", "energy", "not-present", "this chip has no energy counters that zeus knows")]
    names = ", ".join(name for name, _, _, _ in told)
    whole = Channel(_facts("soc", "package", "the SoC's parts together: %s" % names), soc.read, soc.begin, soc.end)
    parts = [Channel(_facts(name, scope, covers, "soc"), soc.reader(field)) for name, field, scope, covers in told]
    return [whole, *parts]


def _facts(name: str, scope: str, covers: str, part_of: "str | None" = None) -> wire.Channel:
    return wire.Channel(
        meter="apple",
        name=name,
        quantity="energy",
        unit="mJ",
        scope=scope,
        sensor="zeus_apple_silicon get_cumulative_energy (IOReport, modelled by macOS)",
        covers=covers,
        counter=True,
        part_of=part_of,
    )


class Soc:
    """The counters of one SoC; ``fields`` are those that this chip tells."""

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        told = monitor.get_cumulative_energy()
        self.fields = [field for _, field, _, _ in PARTS if getattr(told, field, None) is not None]
        self.began: Dict[str, int] = {}

    def read(self) -> int:
        """The parts together, all from one sample, in mJ."""
        told = self.monitor.get_cumulative_energy()
        return sum(_told(told, field) for field in self.fields)

    def reader(self, field: str) -> Any:
        """Reads one part."""
        return lambda: _told(self.monitor.get_cumulative_energy(), field)

    def begin(self) -> None:
        """Remember what a working counter will have left behind at the end."""
        self.began = self._never_still()

    def end(self) -> None:
        """Raises :class:`Gone` if a counter stood still that can't: the sum would miss what it does not count."""
        still = [field for field, value in self._never_still().items() if value == self.began.get(field)]
        if still:
            says = "macOS did not move the counter %s in this window; try again with: %s"
            raise Gone(says % (" and ".join(still), REMEDY))

    def _never_still(self) -> Dict[str, int]:
        told = self.monitor.get_cumulative_energy()
        return {field: _told(told, field) for field in NEVER_STILL if field in self.fields}


def _told(told: Any, field: str) -> int:
    value = getattr(told, field)
    if value is None:
        raise Gone("macOS no longer tells %s" % field)
    return int(value)
