"""What the user asked for, and the settings that a campaign file keeps of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from whichpu.errors import UserError
from whichpu.models.artefact import sha256_of
from whichpu.results.schema import LoopAsked, Metered, MetersAsked, Settings
from whichpu.targets.target import ALL, Target
from whichpu.worker import wire

LOOPS: dict[str, LoopAsked] = {"auto": "auto", "native": "native", "python": "python"}

METERS: dict[str, MetersAsked] = {"auto": "auto", "windows": "windows", "off": "off"}

ROUNDS_LEAST = 5
"""With 10 blocks of at least 20 inferences in each round, p99 is supported (it needs 1,000)."""


class Wishes(msgspec.Struct, kw_only=True, frozen=True):
    """What the user asked for; the defaults are those of the command line."""

    on: tuple[str, ...] = (ALL,)
    data: Path | None = None
    budget_s: float = 60.0
    half_width: float = 0.02
    matters: float = 0.02
    rounds_least: int = ROUNDS_LEAST
    rounds_most: int | None = None
    blocks: int = 10
    threads: int = 1
    cpus: tuple[int, ...] | None = None
    """CPUs to pin every contender to; none given: as many as threads, chosen; empty: not pinned."""
    seed: int | None = None
    timeout_s: float = 120.0
    root: str = "/"
    """Where the watcher finds /proc and /sys; a test passes a small tree."""
    against_python: str | None = None
    sustained_s: float | None = None
    """How long each contender runs without a pause after the rounds; ``None``: not at all."""
    meters: str = "auto"
    """When sensors are read in windows of their own: ``auto``, ``windows`` or ``off``."""
    meter_window_s: float | None = None
    power_limit_w: float | None = None
    variants: tuple[str, ...] = ()
    """Precisions that are measured, ``fp32`` (the model as given) among them; none: the model as given."""
    loop: str = "auto"
    """``native`` where a contender can, ``python`` for all, or ``auto``: native when every contender can."""
    fail_on_fallback: bool = False


def settings_of(wishes: Wishes, cpus: list[int]) -> Settings:
    return Settings(
        seed=secrets.randbits(32) if wishes.seed is None else wishes.seed,
        threads=wishes.threads,
        cpus=cpus,
        budget_s=wishes.budget_s,
        half_width=wishes.half_width,
        matters=wishes.matters,
        rounds_least=wishes.rounds_least,
        rounds_most=wishes.rounds_most,
        blocks=wishes.blocks,
        timeout_s=wishes.timeout_s,
        loop=asked_loop(wishes.loop),
        data=_data_name(wishes.data) if wishes.data is not None else "random, seeded",
        sustained_s=wishes.sustained_s,
        fail_on_fallback=wishes.fail_on_fallback,
    )


def cpus_of(wishes: Wishes, targets: Sequence[Target], machine: wire.Machine) -> list[int]:
    """CPUs that all contenders are pinned to: those asked for, else as many of the preferred as threads run.

    Left to float, a process lands beside a neighbour's load or not, and stays there for a while: one of two equal
    contenders then looks up to 50 % slower than the other (a shared machine, 2026-11-20; docs/method.md).
    """
    if wishes.cpus is not None:
        refuse_absent(wishes.cpus, machine)
        return list(dict.fromkeys(wishes.cpus))  # one named twice would count twice
    preferred = machine.cpus_preferred or []
    threads = max([target.threads or wishes.threads for target in targets], default=wishes.threads)
    return sorted(preferred[:threads]) if threads < len(preferred) else []


def refuse_absent(cpus: Sequence[int], machine: wire.Machine) -> None:
    """Raises :class:`UserError` for CPUs that no process can be pinned to here."""
    usable = machine.cpus_preferred
    absent = [cpu for cpu in cpus if cpu not in (usable or [])]
    if absent and usable is None:
        raise UserError("this system pins no process to CPUs", "leave out --cpus, or give --cpus all")
    if absent:
        raise UserError(f"CPU {absent[0]} can't be used here", f"usable: {', '.join(map(str, sorted(usable or [])))}")


def metered_of(wishes: Wishes) -> Metered:
    if wishes.meters not in METERS:
        raise UserError(f"meters can't be {wishes.meters!r}", f"there are: {', '.join(METERS)}")
    return Metered(asked=METERS[wishes.meters], window_s=wishes.meter_window_s, limit_w=wishes.power_limit_w)


def asked_loop(loop: str) -> LoopAsked:
    if loop not in LOOPS:
        raise UserError(f"no loop is called {loop!r}", f"there are: {', '.join(LOOPS)}")
    return LOOPS[loop]


def _data_name(path: Path) -> str:
    """The file's name and the beginning of its hash: other data under the same name is other data."""
    return f"{path.name} (sha256 {sha256_of([path])[:12]})"
