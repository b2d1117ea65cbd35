"""The machine watched between blocks, by a worker of its own that never runs during one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from whichpu.results.schema import Campaign, Look, MachineState, Watched
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.local import HERE
from whichpu.targets.place import Place
from whichpu.worker import wire

PATIENCE_S = 5.0
"""A look takes a millisecond."""

REASONS = {
    "clock": "the clock is not readable: no cpufreq here, as on most virtual machines",
    "temperature": "no temperature sensor is readable",
    "throttling": "this machine tells no throttle events",
    "load": "/proc/stat is not readable",
    "steal": "the kernel counts no stolen time",
    "pressure": "/proc/pressure/cpu is not readable",
}
"""Why something was not seen."""


def others(campaign: Campaign) -> list[int]:
    """CPUs that are not measured; none when the measured ones are not pinned, or are all there are."""
    usable = campaign.machine.cpus_preferred or []
    return sorted(set(usable) - set(campaign.settings.cpus)) if campaign.settings.cpus else []


class Lookout:
    """Looks at the machine when told to, which is only between blocks; its troubles are missing facts, no more.

    Its worker is frozen meanwhile, as all others are, and stays off the measured CPUs where --cpus leaves others.
    """

    def __init__(self, campaign: Campaign, root: str = "/", place: Place = HERE) -> None:
        self.watched = campaign.watched = campaign.watched or Watched()
        self.measured, self.others = list(campaign.settings.cpus), others(campaign)
        self.root, self.place = root, place
        self.last: wire.Look | None = None
        self.link: Link | None = None
        try:
            self.link = place.start(cpus=self.others, timeout_s=PATIENCE_S * 4, where="the watcher")
            self.link.freeze()
        except WorkerTrouble as trouble:
            self._failed(trouble)

    def begin(self, round_number: int, pids: Sequence[int]) -> None:
        """Look before the first block; ``pids`` are the workers."""
        self.last = None
        self.look(round_number, 0, pids)

    def look(self, round_number: int, turn: int, pids: Sequence[int]) -> None:
        """Look after a turn, while all workers are frozen."""
        before, now = self.last, self._now(pids)
        if now is None:
            return
        state = state_of(now, round_number, turn, self.watched.states)
        if state is not None:
            self.watched.states.append(state)
        self.watched.looks.append(condensed(before, now, round_number, turn))

    def aside(self, number: int, turn: int, pids: Sequence[int]) -> list[Look]:
        """A look that belongs to no round: between two windows of the sustained run ``number``; none if it failed."""
        if turn == 0:
            self.last = None
        before, now = self.last, self._now(pids)
        return [] if now is None else [condensed(before, now, number, turn)]

    def close(self) -> None:
        """End the watcher."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def __enter__(self) -> Lookout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _now(self, pids: Sequence[int]) -> wire.Look | None:
        if self.link is None:
            return None
        ours = [*pids] if self.others else [*pids, *self.place.own(), self.link.pid]
        request = wire.LookNow(cpus=self.measured, pids=ours, root=self.root, commands=self.last is None)
        try:
            self.link.thaw()
            now = self.link.ask(request, wire.Look, PATIENCE_S)
            self.link.freeze()
        except WorkerTrouble as trouble:
            self._failed(trouble)
            return None
        self.last, watched = now, self.watched
        watched.cpus = len(now.clocks)
        watched.look_ns = max(watched.look_ns or 0, now.took_ns)
        watched.missing.update({what: REASONS[what] for what in _unseen(now)})
        return now

    def _failed(self, trouble: WorkerTrouble) -> None:
        self.watched.missing["watcher"] = f"the machine was not watched: {str(trouble).strip().splitlines()[0]}"
        self.close()


def condensed(before: wire.Look | None, now: wire.Look, round_number: int, turn: int) -> Look:
    """A look as it is stored: now, and since ``before`` where there is one in this round."""
    mhz = [clock.mhz for clock in now.clocks if clock.mhz is not None] if now.clock_from == "cpufreq" else []
    hottest = max(now.zones or [], key=lambda zone: zone.celsius, default=None)
    rooms = [(zone.trip_c - zone.celsius, zone.name) for zone in now.zones or [] if zone.trip_c is not None]
    headroom_c, nearest = min(rooms, default=(None, None))
    look = {
        "clock_mhz": (min(mhz), round(statistics.median(mhz), 1), max(mhz)) if mhz else None,
        "zone": hottest.name if hottest else None,
        "temperature_c": round(hottest.celsius, 1) if hottest else None,
        "nearest": nearest,
        "headroom_c": None if headroom_c is None else round(headroom_c, 1),
        "load_1min": now.load_1min,
        "runnable": now.runnable,
    }
    return Look(round=round_number, turn=turn, at_ns=now.at_ns, **(look | _since(before, now)))  # type: ignore[arg-type]


def _since(before: wire.Look | None, now: wire.Look) -> dict[str, object]:
    if before is None or now.at_ns <= before.at_ns:
        return {}
    span_s = (now.at_ns - before.at_ns) / 1e9
    spent: dict[str, object] = {"span_s": round(span_s, 4)}
    if before.cpus is not None and now.cpus is not None:
        spent["busy_s"] = round(now.cpus.busy_s - before.cpus.busy_s, 2)
        spent["iowait_s"] = round(now.cpus.iowait_s - before.cpus.iowait_s, 2)
        shared = now.own_s.keys() & before.own_s.keys()
        spent["own_s"] = round(sum(now.own_s[pid] - before.own_s[pid] for pid in shared), 2)
        if before.cpus.steal_s is not None and now.cpus.steal_s is not None:
            spent["steal_s"] = round(now.cpus.steal_s - before.cpus.steal_s, 2)
    if before.pressure_s is not None and now.pressure_s is not None:
        spent["pressure"] = round((now.pressure_s - before.pressure_s) / span_s, 3)
    if before.switches is not None and now.switches is not None:
        spent["switches"] = now.switches - before.switches
    if before.throttles is not None and now.throttles is not None:
        moved = {who: count - before.throttles.get(who, count) for who, count in now.throttles.items()}
        spent["throttles"] = {who: count for who, count in moved.items() if count > 0}
    return spent


def state_of(now: wire.Look, round_number: int, turn: int, before: Sequence[MachineState]) -> MachineState | None:
    """What rarely changes, where it differs from the state before."""
    capped = [
        (clock.limit_mhz / clock.hardware_mhz, clock.limit_mhz, clock.hardware_mhz)
        for clock in now.clocks
        if clock.limit_mhz and clock.hardware_mhz
    ]
    _, limit_mhz, hardware_mhz = min(capped, default=(None, None, None))
    last, mode = (before[-1] if before else None), now.power_mode
    state = MachineState(
        round=round_number,
        turn=turn,
        governors=sorted({clock.governor for clock in now.clocks if clock.governor}),
        governors_offered=now.governors_offered or [],
        clock_from=now.clock_from,
        limit_mhz=limit_mhz,
        hardware_mhz=hardware_mhz,
        boost=now.boost,
        # What a command told at the round's beginning holds until one tells anew.
        power_mode=(mode.name or str(mode.number)) if mode else (last.power_mode if last and turn else None),
        power_modes=mode.modes if mode else (last.power_modes if last and turn else {}),
        flags=now.flags if now.flags is not None else (last.flags if last and turn else None),
    )
    same = last is not None and all(
        getattr(state, name) == getattr(last, name)
        for name in MachineState.__struct_fields__
        if name not in ("round", "turn")
    )
    return None if same else state


def _unseen(now: wire.Look) -> list[str]:
    absent = {
        "clock": now.clock_from != "cpufreq",
        "temperature": now.zones is None,
        "throttling": now.throttles is None and now.flags is None,
        "load": now.cpus is None,
        "steal": now.cpus is not None and now.cpus.steal_s is None,
        "pressure": now.pressure_s is None,
    }
    return [what for what, is_absent in absent.items() if is_absent]
