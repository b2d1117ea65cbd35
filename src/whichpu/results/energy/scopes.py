"""Which scopes of power hold the unit that a contender ran on. Watts of different scope are never compared."""

from __future__ import annotations

import re

from whichpu.results.energy.metered import Meters, Source
from whichpu.results.schema import Result

HOLDS = {
    "cpu": ("board", "module", "platform", "rails", "package", "cores", "rail"),
    "gpu": ("board", "module", "platform", "rails", "gpu", "rail"),
    "dla": ("board", "module", "rails", "rail"),
    "card": ("board", "npu"),
}
"""Scopes that hold a unit. A ``card`` is an accelerator that is plugged in; module and rails are those of the host."""

OF_CARDS = ("hailo",)
"""Meters on an accelerator's card: whatever their scope, they hold that card alone."""

OTHERS_CARDS = {"cuda": ("hwmon",), "tensorrt": ("hwmon",), "rocm": ("nvml",)}
"""Meters that tell of graphics cards of other makers than a device's."""

GPUS = ("cuda", "gpu", "rocm", "vulkan", "tensorrt")


def unit_of(result: Result) -> str | None:
    """The kind of unit that a contender ran on; ``None`` for one whose place is not known (a chip may hold it)."""
    device = result.device.lower()
    if result.backend == "hailo":
        return "card"
    if device.startswith("dla"):
        return "dla"
    if device == "cpu":
        return "cpu"
    if device.startswith(GPUS) and result.backend != "openvino":  # Intel's may be within the package
        return "gpu"
    return None


def covers(meter: str, scope: str, result: Result) -> bool:
    """Does power of this scope, told by this meter, hold the unit that a contender ran on?"""
    unit = unit_of(result)
    if meter in OF_CARDS:
        return unit in (None, "card")
    if scope == "gpu" and any(
        result.device.lower().startswith(device) and meter in meters for device, meters in OTHERS_CARDS.items()
    ):
        return False
    return unit is None or scope in HOLDS[unit]


def holds(meters: Meters, source: Source, result: Result) -> bool:
    """Does a source hold the unit that a contender ran on? Of several cards only the one that it is shown to run on."""
    return covers(source.meter, source.scope, result) and (source.scope != "gpu" or _on_card(meters, source, result))


def _on_card(meters: Meters, source: Source, result: Result) -> bool:
    """A meter lists the measured process on the cards where it is; where it lists none, a single card is the one."""
    told = {
        number: _card(channel.name)
        for number, channel in enumerate(meters.channels)
        if channel.meter == source.meter and channel.scope == "process"
    }
    traces = [trace for window in meters.of(result) for trace in window.traces]
    used = {told[trace.channel] for trace in traces if trace.channel in told and trace.values.count}
    own = {_card(meters.channels[number].name) for number in source.channels}
    if used:
        return own == used
    cards = {
        _card(channel.name) for channel in meters.channels if (channel.meter, channel.scope) == (source.meter, "gpu")
    }
    return own == cards


def _card(name: str) -> str:
    """The part of a channel's name that tells the card: ``gpu0 energy``, ``amdgpu@0000:03:00.0/power1``."""
    return re.split("[ /]", name)[0]
