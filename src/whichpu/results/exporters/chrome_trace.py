"""A campaign's course in time as a Chrome trace: ``chrome://tracing``, Perfetto.

A process for each campaign, a thread for each contender: its blocks as slices, and a thread with the rounds.
Windows with meters are slices too, and what a meter read is a counter. ``ts`` and ``dur`` are in µs from the campaign's
first slice. Source: Google, "Trace Event Format": complete events (X), counters (C), metadata (M).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from whichpu import __version__
from whichpu.errors import UserError
from whichpu.results.anything import File
from whichpu.results.column import unpack
from whichpu.results.exporters import Written
from whichpu.results.latencies import block_medians
from whichpu.results.schema import Block, Campaign, MeterWindow, Reading, Result, Trace
from whichpu.worker.wire import Channel

KIND = "a Chrome trace of `whichpu export`"
BEGINNING = re.compile(rb'\s*\{\s*"otherData"\s*:\s*\{\s*"exported_by"\s*:\s*"whichpu')
ROUNDS, IDLE = "rounds", "idle"
Event = dict[str, Any]


def write(files: Sequence[File]) -> Written:
    """The rounds, blocks and windows of all campaigns. Raises :class:`UserError` where there is no campaign."""
    campaigns = [(file.name, file.content) for file in files if isinstance(file.content, Campaign)]
    if not campaigns:
        raise UserError("a trace shows the course of a campaign, and no file is one", "give a file of `whichpu run`")
    events = [event for pid, (name, campaign) in enumerate(campaigns, 1) for event in _events(pid, name, campaign)]
    body = {
        "otherData": {"exported_by": f"whichpu {__version__}"},
        "displayTimeUnit": "ms",
        "traceEvents": events,
    }
    others = [f"{file.name}: it is no campaign" for file in files if not isinstance(file.content, Campaign)]
    return Written(msgspec.json.encode(body) + b"\n", others)


def _events(pid: int, name: str, campaign: Campaign) -> Iterator[Event]:
    threads = {ROUNDS: 0} | {result.name: tid for tid, result in enumerate(campaign.results, 1)}
    threads[IDLE] = len(threads)
    yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": f"{campaign.model.name} ({name})"}}
    for label, tid in threads.items():
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": label}}
    zero = min([*_starts(campaign)], default=0)
    for result in campaign.results:
        yield from ({"pid": pid, "tid": threads[result.name], **slice_} for slice_ in _blocks(result, zero))
    yield from ({"pid": pid, "tid": 0, **slice_} for slice_ in _rounds(campaign, zero))
    yield from _metered(pid, campaign, threads, zero)


def _starts(campaign: Campaign) -> Iterator[int]:
    for result in campaign.results:
        for reading in result.readings:
            yield from (block.began_ns for block in reading.blocks)
    if campaign.metered is not None:
        yield from (min(window.began_ns, window.from_ns or window.began_ns) for window in campaign.metered.windows)


def _slice(name: str, kind: str, began_ns: int, wall_ns: int, zero: int, args: Mapping[str, Any]) -> Event:
    return {
        "ph": "X",
        "name": name,
        "cat": kind,
        "ts": (began_ns - zero) / 1e3,
        "dur": wall_ns / 1e3,
        "args": {key: value for key, value in args.items() if value is not None},
    }


def _blocks(result: Result, zero: int) -> Iterator[Event]:
    for reading in result.readings:
        for block, median_ns in zip(reading.blocks, _medians(reading), strict=True):
            yield _block(reading, block, median_ns, zero)


def _medians(reading: Reading) -> list[float | None]:
    """The median of each block's steady latencies in ns."""
    if reading.latencies_ns is None:
        return [None] * len(reading.blocks)
    medians = iter(block_medians([reading])[1].tolist())
    return [next(medians) if block.count > block.opening else None for block in reading.blocks]


def _block(reading: Reading, block: Block, median_ns: float | None, zero: int) -> Event:
    told = {
        "round": reading.round + 1,
        "turn": block.turn,
        "inferences": block.count,
        "opening": block.opening,
        "median_latency_ns": median_ns,
        "cpu_ns": block.cpu_ns,
        "involuntary_switches": block.switches_involuntary,
        "loop": reading.loop,
    }
    return _slice(f"round {reading.round + 1}", "block", block.began_ns, block.wall_ns, zero, told)


def _rounds(campaign: Campaign, zero: int) -> Iterator[Event]:
    """From the first block of a round to the end of its last."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for result in campaign.results:
        for reading in result.readings:
            found = spans.setdefault(reading.round, [])
            found += [(block.began_ns, block.began_ns + block.wall_ns) for block in reading.blocks]
    for number, ends in sorted(spans.items()):
        if ends:
            began_ns, ended_ns = min(began for began, _ in ends), max(ended for _, ended in ends)
            yield _slice(f"round {number + 1}", "round", began_ns, ended_ns - began_ns, zero, {"blocks": len(ends)})


def _metered(pid: int, campaign: Campaign, threads: Mapping[str, int], zero: int) -> Iterator[Event]:
    if campaign.metered is None:
        return
    for window in campaign.metered.windows:
        told = {"round": window.round + 1, "inferences": window.count or None, "median_latency_ns": window.median_ns}
        who = window.contender or IDLE
        event = _slice("meters" if window.contender else IDLE, "meters", window.began_ns, window.wall_ns, zero, told)
        yield {"pid": pid, "tid": threads.get(who, threads[IDLE]), **event}
        for trace in window.traces:
            yield from _counter(pid, campaign.metered.channels[trace.channel], window, trace, zero)


def _counter(pid: int, channel: Channel, window: MeterWindow, trace: Trace, zero: int) -> Iterator[Event]:
    if channel.counter:  # it only rises: nothing to be seen
        return
    name = f"{channel.meter} {channel.name} ({channel.unit})"
    for at_ns, value in zip(unpack(trace.at_ns).tolist(), unpack(trace.values).tolist(), strict=True):
        ts = (window.from_ns + at_ns - zero) / 1e3
        yield {"ph": "C", "pid": pid, "name": name, "ts": ts, "args": {channel.unit: value - trace.above}}
