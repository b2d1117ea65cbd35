"""The latencies of a contender: its blocks, its rounds, and the ratio to another contender's, from raw readings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from whichpu.results.column import Column, unpack
from whichpu.results.schema import Reading, Result
from whichpu.stats.intervals import Estimate, of_logs


def round_logs(result: Result) -> dict[int, float]:
    """For each measured round, the log of the median over its blocks of the block's median latency in ns.

    A median over blocks too: a neighbour that wakes up for two blocks of ten then moves nothing.
    """
    return {reading.round: float(np.median(list(logs.values()))) for reading, logs in _block_logs(result)}


def median(result: Result) -> Estimate | None:
    """The contender's median latency in ns with its interval over rounds."""
    logs = list(round_logs(result).values())
    return of_logs(logs) if logs else None


def ratio(contender: Result, baseline: Result) -> tuple[Estimate, list[float]] | None:
    """Contender's latency over the baseline's, from rounds that both ran in; and the log ratio of each round."""
    found = rounds_of_ratio(contender, baseline)
    logs = [found[number] for number in sorted(found)]
    return (of_logs(logs), logs) if logs else None


def rounds_of_ratio(contender: Result, baseline: Result) -> dict[int, float]:
    """The log ratio of each round that both ran in.

    It is the median, over the turns in which both ran a block, of the log ratio of these two blocks' medians: they are
    neighbours in time, so that what the machine did then falls on both.
    """
    below = {reading.round: logs for reading, logs in _block_logs(baseline)}
    return {
        reading.round: _paired(logs, below[reading.round])
        for reading, logs in _block_logs(contender)
        if reading.round in below
    }


def _block_logs(result: Result) -> list[tuple[Reading, dict[int, float]]]:
    """The measured readings, each with the log of its blocks' median latencies in ns, by turn."""
    found = []
    for reading in result.readings:
        turns = [
            (order if block.turn is None else block.turn, math.log(max(middle, 1.0)))
            for order, (block, middle) in enumerate(zip(reading.blocks, _medians(reading), strict=False))
            if middle is not None
        ]
        if turns:
            found.append((reading, dict(turns)))
    return found


def _paired(above: dict[int, float], below: dict[int, float]) -> float:
    """A round's log ratio; where no turn was shared, that of the two medians."""
    shared = above.keys() & below.keys()
    if not shared:
        return float(np.median(list(above.values())) - np.median(list(below.values())))
    return float(np.median([above[turn] - below[turn] for turn in shared]))


def block_medians(readings: Sequence[Reading]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Times in s since the first block, and median latencies in ns, of all measured blocks in order.

    A machine that was started anew before a campaign went on counts its time anew: that pause is taken as none.
    """
    found = [
        (block.began_ns, middle)
        for reading in readings
        for block, middle in zip(reading.blocks, _medians(reading), strict=False)
        if middle is not None
    ]
    began = np.array([began_ns for began_ns, _ in found], dtype=np.int64)
    passed = np.diff(began, prepend=began[:1])
    passed[1:] = np.where(passed[1:] > 0, passed[1:], 1)
    medians = np.maximum(np.array([middle for _, middle in found]), 1.0)
    return np.cumsum(passed) / 1e9, medians


def steady_blocks(reading: Reading) -> list[npt.NDArray[np.int64]]:
    """The steady latencies in ns of each block of a reading, in order; empty blocks are left out."""
    return [piece for piece in _steady(reading) if piece.size]


def _medians(reading: Reading) -> tuple[float | None, ...]:
    """The median of each block's steady latencies in ns; ``None`` for a block without any."""
    if reading.latencies_ns is None:
        return ()
    return _medians_of(reading.latencies_ns, tuple((block.count, block.opening) for block in reading.blocks))


@lru_cache(maxsize=20_000)
def _medians_of(latencies_ns: Column, blocks: tuple[tuple[int, int], ...]) -> tuple[float | None, ...]:
    """Kept, because the stop rule asks after every round again for those of all rounds before."""
    pieces = _pieces(latencies_ns, blocks)
    return tuple(float(np.median(piece)) if piece.size else None for piece in pieces)


def _steady(reading: Reading) -> list[npt.NDArray[np.int64]]:
    if reading.latencies_ns is None:
        return []
    return _pieces(reading.latencies_ns, [(block.count, block.opening) for block in reading.blocks])


def _pieces(latencies_ns: Column, blocks: Sequence[tuple[int, int]]) -> list[npt.NDArray[np.int64]]:
    latencies = unpack(latencies_ns)
    ends = np.cumsum([count for count, _ in blocks])
    return [latencies[end - count + opening : end] for (count, opening), end in zip(blocks, ends, strict=True)]


def opening_ratio(readings: list[Reading]) -> float | None:
    """How much slower than the steady median the first inference of a block is, as a median of ratios."""
    ratios = []
    for reading in readings:
        if reading.latencies_ns is None:
            continue
        latencies, start = unpack(reading.latencies_ns), 0
        for block in reading.blocks:
            piece = latencies[start : start + block.count]
            start += block.count
            if block.opening and piece.size > block.opening:
                ratios.append(float(piece[0]) / max(1.0, float(np.median(piece[block.opening :]))))
    return float(np.median(ratios)) if ratios else None
