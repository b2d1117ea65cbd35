"""Which scopes of power hold the unit that a contender ran on. Watts of different scope are never compared."""

from __future__ import annotations

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
    return unit is None or scope in HOLDS[unit]
