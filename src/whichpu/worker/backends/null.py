"""Does nothing, waits a known time, or does a known work: what it reads is what the harness itself costs.

It takes any model, or none, and gives back the inputs it was given.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .. import wire
from . import Arrays, Refused, Session, WhyNot

FORMATS = ("*",)
OPTIONS = {
    "delay": "how long an inference takes: a busy wait, as 50us, 2ms or 1s (default: none at all)",
    "step": "another delay from some time after binding on, as 2.4ms@10s",
    "work": "turns of an empty loop in an inference, which a falling clock makes longer (default: none)",
}
UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def why_not() -> Optional[WhyNot]:
    return None


def versions() -> Dict[str, str]:
    return {}


def offers() -> List[wire.Offer]:
    return [wire.Offer("cpu", note="the harness's own cost")]


def open(job: wire.Open) -> "Null":
    step = job.options.get("step")
    null = Null(job.inputs or [], delay_ns(job.options.get("delay", "0ns")), None if step is None else step_of(step))
    return Loop(null.inputs, turns_of(job.options["work"])) if "work" in job.options else null


class Step(NamedTuple):
    """From ``after_ns`` after binding on, an inference takes ``wait_ns``."""

    wait_ns: int
    after_ns: int


class Null(Session):
    def __init__(self, inputs: List[wire.TensorSpec], wait_ns: int, step: Optional[Step] = None) -> None:
        self.inputs = inputs
        self.outputs = inputs
        self.effective = {"delay_ns": str(wait_ns)}
        self.precision = wire.Precision("none", "nothing is computed")
        self.wait_ns = wait_ns
        self.step = step
        if step is not None:
            self.effective["step_ns"], self.effective["step_after_ns"] = str(step.wait_ns), str(step.after_ns)
        self.held: Arrays = []

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        self.held = [array.copy() for array in arrays]
        if self.step is not None:
            return _wait_and_step(self.wait_ns, self.step)
        return _wait(self.wait_ns) if self.wait_ns else _nothing

    def read(self) -> Arrays:
        return [array.copy() for array in self.held]


class Loop(Null):
    """An empty loop of so many turns: unlike a wait, it takes longer on a slower CPU."""

    def __init__(self, inputs: List[wire.TensorSpec], turns: int) -> None:
        super().__init__(inputs, 0)
        self.effective = {"work": str(turns)}
        self.turns = turns

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        self.held = [array.copy() for array in arrays]
        turns = self.turns

        def loop() -> None:
            for _ in range(turns):
                pass

        return loop


def delay_ns(text: str, written: str = "") -> int:
    """``50us`` in ns. Raises :class:`Refused` for anything else, in the words it was ``written`` in."""
    for unit in ("ns", "us", "ms", "s"):
        if text.endswith(unit):
            try:
                value = float(text[: -len(unit)]) * UNITS_NS[unit]
            except ValueError:
                break
            if 0 <= value < 1e15:
                return int(value)
            break
    example = "step=2.4ms@10s" if written else "delay=50us, delay=2ms or delay=1s"
    raise Refused("%s is not a time; write it as %s" % (written or "delay=%s" % text, example))


def step_of(text: str) -> Step:
    """``2.4ms@10s``. Raises :class:`Refused` for anything else."""
    wait, at, after = text.partition("@")
    if not at:
        raise Refused("step=%s is not a delay and a time; write it as step=2.4ms@10s" % text)
    return Step(delay_ns(wait, "step=%s" % text), delay_ns(after, "step=%s" % text))


def turns_of(text: str) -> int:
    """``20000`` turns. Raises :class:`Refused` for anything else."""
    if not text.isdigit() or len(text) > 12:
        raise Refused("work=%s is not a number of turns; write it as work=20000" % text)
    return int(text)


def _nothing() -> None:
    pass


def _wait(wait_ns: int) -> Callable[[], None]:
    clock = time.perf_counter_ns

    def wait() -> None:
        until = clock() + wait_ns
        while clock() < until:
            pass

    return wait


def _wait_and_step(wait_ns: int, step: Step) -> Callable[[], None]:
    clock = time.perf_counter_ns
    change = clock() + step.after_ns

    def wait() -> None:
        began = clock()
        until = began + (wait_ns if began < change else step.wait_ns)
        while clock() < until:
            pass

    return wait
