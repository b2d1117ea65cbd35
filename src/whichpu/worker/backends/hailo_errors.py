"""HailoRT's errors in one sentence each: by the status that its exceptions name (``hailort.h``, 4.x)."""

from __future__ import annotations

import importlib
import re
from typing import Dict, Optional, Tuple

from . import Refused

STATUS = re.compile(r"HAILO_[A-Z0-9_]+")
DRIVER_AGAIN = (
    "install driver and HailoRT of one version (Raspberry Pi: sudo apt install --reinstall hailo-all), reboot"
)
WHO = "sudo fuser -v /dev/hailo*  # who holds it; wait for it, or stop it"
CHIP = "whichpu analyze MODEL.hef tells what it was compiled for; compile it with --hw-arch of this device"
SEATED = "lspci -d 1e60:  # nothing: not seated or PCIe off; else: sudo modprobe hailo_pci"

WORDS: Dict[str, Tuple[str, str]] = {
    "HAILO_DEVICE_IN_USE": ("the Hailo device is in use by another process", WHO),
    "HAILO_OUT_OF_PHYSICAL_DEVICES": ("no Hailo device is free: another process uses it", WHO),
    "HAILO_DEVICE_TEMPORARILY_UNAVAILABLE": ("the Hailo device is busy for the moment", WHO),
    "HAILO_INVALID_DRIVER_VERSION": ("the PCIe driver is of another version than HailoRT{versions}", DRIVER_AGAIN),
    "HAILO_DRIVER_INVALID_IOCTL": ("the PCIe driver is of another version than HailoRT{versions}", DRIVER_AGAIN),
    "HAILO_DRIVER_INVALID_RESPONSE": ("the PCIe driver is of another version than HailoRT{versions}", DRIVER_AGAIN),
    "HAILO_UNSUPPORTED_FW_VERSION": (
        "the device's firmware is of another version than HailoRT{versions}",
        DRIVER_AGAIN,
    ),
    "HAILO_INVALID_FIRMWARE": ("the device's firmware is of another version than HailoRT{versions}", DRIVER_AGAIN),
    "HAILO_DRIVER_NOT_INSTALLED": ("Hailo's PCIe driver is not loaded", "sudo modprobe hailo_pci"),
    "HAILO_PCIE_DRIVER_NOT_INSTALLED": ("Hailo's PCIe driver is not loaded", "sudo modprobe hailo_pci"),
    "HAILO_DEVICE_NOT_CONNECTED": ("the Hailo device is gone from the bus", SEATED),
    "HAILO_HEF_NOT_COMPATIBLE_WITH_DEVICE": ("the HEF was compiled for another chip", CHIP),
    "HAILO_HEF_NOT_SUPPORTED": (
        "this HailoRT is too old for the HEF{versions}",
        "update HailoRT and its driver, or compile with an older Dataflow Compiler",
    ),
    "HAILO_HEF_FILE_CORRUPTED": ("the HEF is damaged", "copy or compile it again"),
    "HAILO_INVALID_HEF": (
        "HailoRT refuses the HEF: damaged, or of a compiler that this HailoRT does not know{versions}",
        "hailortcli parse-hef MODEL.hef; hailort.log has HailoRT's reason",
    ),
    "HAILO_RPC_FAILED": (
        "HailoRT's service, by which processes share the device, does not answer",
        "sudo systemctl start hailort",
    ),
    "HAILO_INVALID_SERVICE_VERSION": (
        "HailoRT's service is of another version than HailoRT{versions}",
        "sudo systemctl restart hailort",
    ),
    "HAILO_OUT_OF_HOST_CMA_MEMORY": (
        "the machine has no contiguous memory (CMA) left for the device",
        "free memory, or give the kernel more CMA (Raspberry Pi: dtoverlay=cma,cma-512 in config.txt)",
    ),
    "HAILO_TIMEOUT": ("the Hailo device did not answer in time", "hailortcli fw-control identify; then reboot"),
}
CLASSES = {
    "HailoRTInvalidHEFException": "HAILO_INVALID_HEF",
    "HailoRTHEFNotCompatibleWithDevice": "HAILO_HEF_NOT_COMPATIBLE_WITH_DEVICE",
    "HailoRTTimeout": "HAILO_TIMEOUT",
}
"""Exceptions that don't name their status."""


def worded(problem: Exception) -> str:
    """HailoRT's words; where its package lets the bare number of a status through (``Device``), its name."""
    text = str(problem).strip()
    if not text.isdigit():
        return text
    try:
        name = importlib.import_module("hailo_platform.pyhailort.pyhailort").get_status_message(int(text))
    except Exception:  # not a status after all
        return text
    return "libhailort failed with error: %s (%s)" % (text, name)


def in_words(problem: Exception, driver: Optional[str], hailort: str) -> Refused:
    """What a user can do about it; HailoRT's own words where that is not known."""
    if isinstance(problem, Refused):
        return problem
    text = worded(problem)
    found = STATUS.search(text)
    status = found.group() if found else CLASSES.get(type(problem).__name__, "")
    versions = " (HailoRT %s, driver %s)" % (hailort, driver or "unknown")
    if status in WORDS:
        words, remedy = WORDS[status]
        return Refused("%s: %s" % (words.format(versions=versions), status), remedy)
    return Refused("HailoRT says: %s" % (text or type(problem).__name__), "hailort.log may tell more")
