"""How long the chip alone takes: HailoRT's hardware latency, which only ``hailortcli`` tells.

HailoRT's Python package has no call for it (``InferVStreams.get_hw_time`` is the host's clock around the pipeline). The
device is given up for ``hailortcli run --measure-latency``, which runs frame by frame, and taken again afterwards.
Options: ``hailortcli/run_command.cpp`` of HailoRT 4; columns of its CSV: ``infer_stats_printer.cpp``. Mean, in ms.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
from typing import Any, Dict, List

from .. import parts, wire
from . import Arrays, Refused

TOOL = "hailortcli"
BY = "hailortcli run --measure-latency: HailoRT's hardware latency, a mean over frames sent one at a time"
BOTH = "HailoRT's hardware latency is told whole, transfers to and from the chip with it"
TIMEOUT_S = 60


def parts_of(session: Any, arrays: Arrays, request: wire.Parts) -> wire.Parted:
    """The means of end-to-end and hardware latency. Raises :class:`Refused` with the reason for none."""
    tool = shutil.which(TOOL)
    if tool is None:
        raise Refused("HailoRT's Python package does not tell the chip's time, and %s is not installed" % TOOL)
    if session.wishes.batch > 1:
        raise Refused("HailoRT measures the chip's time of single frames, not of batches")
    times = parts.end_to_end(session.bind(arrays), parts.WARM + request.count)[parts.WARM :]
    session.close()
    chip_ns = hardware_ns(tool, session.wishes, session.board.device_id, request.count)
    mean_ns = round(sum(times) / len(times))
    missing = {"h2d": BOTH, "d2h": BOTH}
    return wire.Parted({"end_to_end": [mean_ns], "compute": [chip_ns]}, len(times), BY, missing)


def hardware_ns(tool: str, wishes: Any, device_id: str, frames: int) -> int:
    """The hardware latency in ns over so many frames. Raises :class:`Refused`."""
    folder = tempfile.mkdtemp(prefix="whichpu-hailo-")
    try:
        path = os.path.join(folder, "latency.csv")
        asked = ["--measure-latency", "--dont-show-progress", "--power-mode", wishes.power_mode, "--csv", path]
        command = [tool, "run", wishes.path, "--frames-count", str(frames), "--device-id", device_id] + asked
        _run(command, folder)
        return round(1e6 * _latency_ms(path))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: List[str], folder: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Refused("%s gave no answer within %d s" % (TOOL, TIMEOUT_S)) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-1:] or ["no words"]
        raise Refused("%s failed: %s" % (TOOL, said[0]))


def _latency_ms(path: str) -> float:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows: List[Dict[str, Any]] = list(csv.DictReader(file))
        told = float(rows[0]["hw_latency"])
    except (OSError, IndexError, KeyError, TypeError, ValueError):
        raise Refused("%s told no hardware latency of this network" % TOOL) from None
    if not told > 0:
        raise Refused("%s told a hardware latency of %g ms" % (TOOL, told))
    return told
