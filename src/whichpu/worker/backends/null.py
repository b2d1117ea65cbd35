"""Does nothing, waits a known time, or does a known work: what it reads is what the harness itself costs.

It takes any model, or none, and gives back the inputs it was given.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .. import parts, wire
from . import Arrays, Refused, Session, WhyNot

FORMATS = ("*",)
OPTIONS = {
    "delay": "how long an inference takes: a busy wait, as 50us, 2ms or 1s (default: none at all)",
    "h2d": "a busy wait before it, as a transfer to a device takes (default: none)",
    "d2h": "a busy wait after it, as a transfer from a device takes (default: none)",
    "step": "another delay from some time after binding on, as 2.4ms@10s",
    "work": "turns of an empty loop in an inference, which a falling clock makes longer (default: none)",
}
EXAMPLES = {"step": "step=2.4ms@10s", "h2d": "h2d=50us", "d2h": "d2h=50us"}
UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def why_not() -> Optional[WhyNot]:
    return None


def versions() -> Dict[str, str]:
    return {}


def offers() -> List[wire.Offer]:
    return [wire.Offer("cpu", note="the harness's own cost")]


def open(job: wire.Open) -> "Null":
    step = job.options.get("step")
    delay, moves = delay_ns(job.options.get("delay", "0ns")), moves_of(job.options)
    null = Null(job.inputs or [], delay, None if step is None else step_of(step), moves)
    return Loop(null.inputs, turns_of(job.options["work"])) if "work" in job.options else null


class Step(NamedTuple):
    """From ``after_ns`` after binding on, an inference takes ``wait_ns``."""

    wait_ns: int
    after_ns: int


class Moves(NamedTuple):
    """Waits before and after the delay, in place of moves to a device and back; ``None``: nothing is moved."""

    h2d_ns: Optional[int] = None
    d2h_ns: Optional[int] = None

    def both_ns(self) -> int:
        return (self.h2d_ns or 0) + (self.d2h_ns or 0)


class Null(Session):
    def __init__(
        self, inputs: List[wire.TensorSpec], delay_ns: int, step: Optional[Step] = None, moves: Optional[Moves] = None
    ) -> None:
        moves = moves or Moves()
        self.inputs = inputs
        self.outputs = inputs
        told = {"delay_ns": delay_ns, "h2d_ns": moves.h2d_ns, "d2h_ns": moves.d2h_ns}
        self.effective = {name: str(value) for name, value in told.items() if value is not None}
        self.precision = wire.Precision("none", "nothing is computed")
        self.delay_ns, self.moves = delay_ns, moves
        self.wait_ns = delay_ns + moves.both_ns()
        self.step = step
        if step is not None:
            self.effective["step_ns"], self.effective["step_after_ns"] = str(step.wait_ns), str(step.after_ns)
        self.held: Arrays = []

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        self.held = [array.copy() for array in arrays]
        if self.step is not None:
            step_ns = self.step.wait_ns + self.moves.both_ns()
            return _wait_and_step(self.wait_ns, self.step._replace(wait_ns=step_ns))
        return _wait(self.wait_ns) if self.wait_ns else _nothing

    def read(self) -> Arrays:
        return [array.copy() for array in self.held]

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        """As they were asked for: each wait is exact."""
        if self.step is not None:
            return None
        latencies = parts.end_to_end(self.bind(arrays), parts.WARM + request.count)[parts.WARM :]
        waits = {"compute": self.delay_ns, "h2d": self.moves.h2d_ns, "d2h": self.moves.d2h_ns}
        times = {name: [wait_ns] * len(latencies) for name, wait_ns in waits.items() if wait_ns is not None}
        missing = {name: parts.IN_PLACE for name in waits if name not in times}
        return wire.Parted(dict(times, end_to_end=latencies), len(latencies), "the waits it was asked for", missing)


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

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        return None


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
    example = EXAMPLES[written.partition("=")[0]] if written else "delay=50us, delay=2ms or delay=1s"
    raise Refused("%s is not a time; write it as %s" % (written or "delay=%s" % text, example))


def moves_of(options: Dict[str, str]) -> Moves:
    """``h2d`` and ``d2h`` of the options. Raises :class:`Refused` for what is not a time."""
    told = [(name, options.get(name)) for name in ("h2d", "d2h")]
    return Moves(*(None if text is None else delay_ns(text, "%s=%s" % (name, text)) for name, text in told))


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
