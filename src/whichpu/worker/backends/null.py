"""Does nothing, or waits a known time: what it reads is what the harness itself costs.

It takes any model, or none, and gives back the inputs it was given.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional

from .. import wire
from . import Arrays, Refused, Session, WhyNot

FORMATS = ("*",)
OPTIONS = {"delay": "how long an inference takes: a busy wait, as 50us, 2ms or 1s (default: none at all)"}
UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def why_not() -> Optional[WhyNot]:
    return None


def versions() -> Dict[str, str]:
    return {}


def offers() -> List[wire.Offer]:
    return [wire.Offer("cpu", note="the harness's own cost")]


def open(job: wire.Open) -> "Null":
    return Null(job.inputs or [], delay_ns(job.options.get("delay", "0ns")))


class Null(Session):
    def __init__(self, inputs: List[wire.TensorSpec], wait_ns: int) -> None:
        self.inputs = inputs
        self.outputs = inputs
        self.effective = {"delay_ns": str(wait_ns)}
        self.precision = wire.Precision("none", "nothing is computed")
        self.wait_ns = wait_ns
        self.held: Arrays = []

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        self.held = [array.copy() for array in arrays]
        return _wait(self.wait_ns) if self.wait_ns else _nothing

    def read(self) -> Arrays:
        return [array.copy() for array in self.held]


def delay_ns(text: str) -> int:
    """``50us`` in ns. Raises :class:`Refused` for anything else."""
    for unit in ("ns", "us", "ms", "s"):
        if text.endswith(unit):
            try:
                value = float(text[: -len(unit)]) * UNITS_NS[unit]
            except ValueError:
                break
            if 0 <= value < 1e15:
                return int(value)
            break
    raise Refused("delay=%s is not a time; write it as delay=50us, delay=2ms or delay=1s" % text)


def _nothing() -> None:
    pass


def _wait(wait_ns: int) -> Callable[[], None]:
    clock = time.perf_counter_ns

    def wait() -> None:
        until = clock() + wait_ns
        while clock() < until:
            pass

    return wait
