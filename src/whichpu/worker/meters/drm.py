"""GPUs of AMD and Intel as the kernel shows them, without a vendor's library: how busy, and how much memory.

Of the device, amdgpu: ``gpu_busy_percent``, ``mem_info_vram_used``, ``mem_info_gtt_used`` (docs.kernel.org/gpu/amdgpu).
Of the measured processes: ``drm-*`` keys in ``/proc/PID/fdinfo`` (docs.kernel.org/gpu/drm-usage-stats). Power of these
GPUs is in hwmon. Not run on hardware yet.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Callable, Dict, List, Optional, Tuple

from .. import wire
from . import Around, Channel, Found, line_in, number_in

DEVICE: Dict[str, List[Tuple[str, str, str, str, str]]] = {
    "amdgpu": [
        ("busy", "utilisation", "percent", "gpu_busy_percent", "the whole GPU, whoever uses it"),
        ("vram", "memory", "B", "mem_info_vram_used", "video memory in use, whoever uses it"),
        ("gtt", "memory", "B", "mem_info_gtt_used", "system memory that the GPU has mapped, whoever uses it"),
    ],
    "i915": [],
    "xe": [],
}
"""By driver: name, quantity, unit, file, and what it covers."""

ENGINES = {"amdgpu": ["gfx", "compute"], "i915": ["render", "compute"], "xe": []}
"""Engines that run models and whose busy time fdinfo tells in ns. xe tells cycles of cycles instead."""

MEMORY = re.compile(r"drm-resident-(vram|local)\d*$")
OLDER_MEMORY = re.compile(r"drm-memory-vram$")
"""Video memory of a client; the older key is amdgpu's before ``drm-resident-*``, and means the same."""

KIB = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def find(around: Around) -> Found:
    """Channels of each card of these drivers; nothing where there is none (``hwmon`` and ``nvml`` speak of others)."""
    cards = [*_cards(around)]
    found: Found = []
    for card, driver, slot in cards:
        for name, quantity, unit, file, covers in DEVICE[driver]:
            found.append(
                _of_device(around.path("sys/class/drm", card, "device", file), card, name, quantity, unit, covers)
            )
        found += _of_processes(around, card, driver, slot)
    return found


def _cards(around: Around) -> "List[Tuple[str, str, str]]":
    """Cards of the drivers known here: card, driver and PCI slot."""
    cards = []
    for path in sorted(glob.glob(around.path("sys/class/drm/card*/device/uevent"))):
        card = path.split(os.sep)[-3]
        told = dict(line.split("=", 1) for line in (line_in(path) or "").splitlines() if "=" in line)
        if re.match(r"card\d+$", card) and told.get("DRIVER") in DEVICE and "PCI_SLOT_NAME" in told:
            cards.append((card, told["DRIVER"], told["PCI_SLOT_NAME"]))
    return cards


def _of_device(path: str, card: str, name: str, quantity: str, unit: str, covers: str) -> "Channel | wire.Missing":
    try:
        number_in(path)
    except FileNotFoundError:
        return wire.Missing(
            "drm", quantity, "not-present", "the driver of %s has no %s" % (card, os.path.basename(path))
        )
    except PermissionError:
        return wire.Missing(
            "drm", quantity, "not-permitted", "this user may not read %s" % path, "sudo chmod a+r %s" % path
        )
    except Exception as problem:
        return wire.Missing("drm", quantity, "broken", "%s can't be read: %s" % (path, problem))
    facts = wire.Channel("drm", "%s %s" % (card, name), quantity, unit, "gpu", path, covers)
    return Channel(facts, lambda: number_in(path))


def _of_processes(around: Around, card: str, driver: str, slot: str) -> List[Channel]:
    """What the measured processes have and do on a card, as its driver counts it for each of their clients."""
    sensor = around.path("proc/PID/fdinfo")
    memory = Clients(around, slot, memory_of)
    facts = wire.Channel(
        "drm",
        card + " process vram",
        "memory",
        "B",
        "process",
        sensor,
        "video memory of the measured process on %s" % card,
    )
    channels = [Channel(facts, memory.read, memory.begin)]
    for engine in ENGINES[driver]:
        busy = Busy(around, slot, engine)
        covers = "time that the %s engine of %s worked for the measured process" % (engine, card)
        facts = wire.Channel(
            "drm", "%s %s" % (card, engine), "utilisation", "us", "process", sensor, covers, counter=True
        )
        channels.append(Channel(facts, busy.read, busy.begin))
    return channels


class Clients:
    """A number of each DRM client that the measured processes have open on one card, added up."""

    def __init__(self, around: Around, slot: str, number: Callable[[Dict[str, str]], Optional[int]]) -> None:
        self.around = around
        self.slot = slot
        self.number = number
        self.files: List[str] = []

    def begin(self) -> None:
        """Look which of the processes' files are GPUs: once a window, for a process has many."""
        self.files = [file for pid in self.around.pids for file in self._files_of(pid)]

    def _files_of(self, pid: int) -> List[str]:
        process = self.around.path("proc", str(pid))
        links = glob.glob(os.path.join(process, "fd", "*"))
        numbers = [os.path.basename(link) for link in links if _opens_gpu(link)]
        return [os.path.join(process, "fdinfo", number) for number in numbers]

    def read(self) -> Optional[int]:
        """The sum in whole numbers; ``None`` while the processes have no client that tells it."""
        told = self.by_client()
        return sum(told.values()) if told else None

    def by_client(self) -> Dict[str, int]:
        """Client and its number: a descriptor that is open twice is one client."""
        told: Dict[str, int] = {}
        for file in self.files:
            keys = keys_of(line_in(file) or "")
            number = self.number(keys) if keys.get("drm-pdev") == self.slot else None
            if number is not None:
                told[keys.get("drm-client-id", file)] = number
        return told


class Busy(Clients):
    """Busy time of one engine in µs. A client's time may fall behind for a moment: then the larger one holds."""

    def __init__(self, around: Around, slot: str, engine: str) -> None:
        super().__init__(around, slot, lambda keys: _quantity(keys.get("drm-engine-" + engine), {"ns": 1}))
        self.most: Dict[str, int] = {}

    def begin(self) -> None:
        """A new window, perhaps of another process."""
        super().begin()
        self.most = {}

    def by_client(self) -> Dict[str, int]:
        """Client and its busy time in ns, which never falls."""
        for client, busy_ns in super().by_client().items():
            self.most[client] = max(busy_ns, self.most.get(client, 0))
        return self.most

    def read(self) -> Optional[int]:
        """The sum in whole µs."""
        total_ns = super().read()
        return None if total_ns is None else total_ns // 1000


def _opens_gpu(link: str) -> bool:
    try:
        return os.readlink(link).startswith("/dev/dri/")
    except OSError:
        return False


def keys_of(text: str) -> Dict[str, str]:
    """Keys and values of an fdinfo file: ``key: value``, one a line."""
    pairs = [line.partition(":") for line in text.splitlines()]
    return {key: value.strip() for key, colon, value in pairs if colon}


def memory_of(keys: Dict[str, str]) -> Optional[int]:
    """Video memory of a client in bytes, over all regions; ``None`` if its driver does not tell."""
    for pattern in (MEMORY, OLDER_MEMORY):
        told = [_quantity(value, KIB) for key, value in keys.items() if pattern.match(key)]
        known = [number for number in told if number is not None]
        if known:
            return sum(known)
    return None


def _quantity(value: Optional[str], units: Dict[str, int]) -> Optional[int]:
    """``287 KiB`` in the smallest unit; ``None`` for what is none."""
    match = re.match(r"(\d+)\s*(\w*)$", value or "")
    if match is None or match.group(2) not in units:
        return None
    return int(match.group(1)) * units[match.group(2)]
