"""Power of a Raspberry Pi 5 from its power management chip, which measures the rails that it makes.

``vcgencmd pmic_read_adc`` prints volts and amperes of each rail (raspberrypi.com, documentation of ``vcgencmd``), in
lines such as ``VDD_CORE_A current(7)=0.56259000A`` and ``VDD_CORE_V volt(15)=0.76798460V``. Boards before the Pi 5 have
no such chip and answer ``error=1 error_msg="Command not registered"``. Without a right to /dev/vcio (group video) the
tool says "Can't open device file" (github.com/raspberrypi/utils, vcgencmd). Rails that only have volts (the 5 V input,
the clock's battery) count for nothing: what other things take from the 5 V input is not seen.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from decimal import Decimal
from typing import Dict, Optional

from .. import wire
from . import Around, Channel, Found, Gone, line_in

METER = "raspberry"
PERIOD_NS = 100_000_000
"""Nobody tells how often the chip has news; the command itself takes milliseconds of a core."""

LIMIT_S = 5.0
LINE = re.compile(r"^\s*(\S+)_[AV] (current|volt)\(\d+\)=(-?[\d.]+)[AV]\s*$", re.MULTILINE)
COVERS = (
    "the rails that the board's power chip makes, added up: less than the board takes (not the chip's own losses, "
    "nor what USB devices, HATs and the fan take from the 5 V input)"
)


def find(around: Around) -> Found:
    """The sum over all rails, where the board tells it."""
    board = line_in(around.path("proc/device-tree/model"))
    if "Raspberry Pi" not in (board or ""):
        return []
    tool = _tool(around)
    if tool is None:
        says = "vcgencmd is not installed; a Raspberry Pi 5 tells its power by it"
        return [_missing("not-present", says, "sudo apt install raspi-utils")]
    said = ""
    try:
        said = _said(tool)
        rails_uw(said)
    except (Gone, OSError) as problem:
        return [_why_not(said, str(problem), str(board), os.path.exists(around.path("dev/vcio")))]
    facts = wire.Channel(
        meter=METER,
        name="PMIC",
        quantity="power",
        unit="uW",
        scope="rails",
        sensor="vcgencmd pmic_read_adc",
        covers=COVERS,
        period_ns=PERIOD_NS,
    )
    return [Channel(facts, lambda: rails_uw(_said(str(tool))))]


def rails_uw(said: str) -> int:
    """The sum of volts times amperes over all rails in µW, rounded once. Raises :class:`Gone` where they don't tell."""
    parts: Dict[str, Dict[str, Decimal]] = {"current": {}, "volt": {}}
    for rail, kind, value in LINE.findall(said):
        parts[kind][rail] = Decimal(value)
    current, volt = parts["current"], parts["volt"]
    if not current:
        raise Gone("vcgencmd said: %s" % (" / ".join(said.split("\n"))[:200] or "nothing"))
    if set(current) - set(volt):
        raise Gone("vcgencmd told no volts of %s" % ", ".join(sorted(set(current) - set(volt))))
    total_w = sum((current[rail] * volt[rail] for rail in current), Decimal(0))
    return int((total_w * 1_000_000).to_integral_value())


def _tool(around: Around) -> Optional[str]:
    if around.root == "/":
        return shutil.which("vcgencmd")
    return shutil.which(around.path("usr/bin/vcgencmd"))


def _said(tool: str) -> str:
    try:
        ran = subprocess.run(
            [tool, "pmic_read_adc"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise Gone("vcgencmd did not answer within %g s" % LIMIT_S) from None
    return ran.stdout.decode(errors="replace").strip()


def _why_not(said: str, problem: str, board: str, device: bool) -> wire.Missing:
    if "not registered" in said:
        says = "%s has no power sensor; an external meter's log can be joined: whichpu join" % board
        return _missing("not-present", says)
    if "device file" in said and device:
        says = "this user may not ask the firmware (/dev/vcio is for the group video); log in anew after it"
        return _missing("not-permitted", says, 'sudo usermod -aG video "$USER"')
    if "device file" in said:
        return _missing("not-present", "the firmware can't be asked: there is no /dev/vcio")
    return _missing("broken", problem)


def _missing(kind: str, says: str, remedy: Optional[str] = None) -> wire.Missing:
    return wire.Missing(METER, "power", kind, says, remedy)
