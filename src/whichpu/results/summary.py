"""From raw readings to figures. Recomputed each time; nothing here is stored."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.results.column import unpack
from whichpu.results.doubts import doubts_of
from whichpu.results.schema import Campaign, Difference, Doubt, Reading, Result
from whichpu.stats import describe
from whichpu.stats.intervals import Estimate, of_logs


class Figures(msgspec.Struct, kw_only=True):
    """One contender's figures. Latencies are steady ones (openings excluded), end to end, in ns.

    ``median_ns`` is the geometric mean over rounds of each round's mean block median, and
    ``median_low_ns``/``median_high_ns`` its 95 % t interval over rounds; ``mean`` to ``p99`` describe all
    steady inferences together. ``throughput_per_s`` is completed inferences over wall time (SingleStream).
    ``load_ns`` and ``first_ns`` are medians over rounds. What is ``None`` has its reason in ``missing``.
    """

    name: str
    target: str
    backend: str
    status: str
    yardstick: bool = False
    note: str = ""
    why: str | None = None
    remedy: str | None = None
    asked_precision: str
    ran_precision: str | None = None
    threads: int
    loop: str | None = None
    rounds: int = 0
    count: int = 0
    median_ns: float | None = None
    median_low_ns: float | None = None
    median_high_ns: float | None = None
    mean_ns: float | None = None
    min_ns: float | None = None
    max_ns: float | None = None
    std_ns: float | None = None
    p95_ns: float | None = None
    p99_ns: float | None = None
    throughput_per_s: float | None = None
    opening_ratio: float | None = None
    load_ns: float | None = None
    first_ns: float | None = None
    cores_used: float | None = None
    difference: Difference | None = None
    score: float | None = None
    score_delta: float | None = None
    missing: dict[str, str] = {}
    doubts: list[Doubt] = []


def summarize(campaign: Campaign) -> list[Figures]:
    """Figures of all contenders: measured ones by median, then the yardsticks, then those without figures."""
    rows = [figures(result, campaign) for result in campaign.results]
    return sorted(rows, key=lambda row: (row.median_ns is None, row.yardstick, row.median_ns or 0.0))


def figures(result: Result, campaign: Campaign) -> Figures:
    """Figures of one contender."""
    row = Figures(
        name=result.name,
        target=result.target,
        backend=result.backend,
        status=result.status,
        yardstick=result.yardstick,
        note=result.note,
        why=result.why,
        remedy=result.remedy,
        asked_precision=result.asked_precision,
        ran_precision=result.precision.ran if result.precision else None,
        threads=result.threads,
        difference=result.difference,
        score=result.score,
        score_delta=_delta(result.score, campaign),
    )
    estimate = median(result)
    if estimate is not None:
        _describe(row, estimate, [reading for reading in result.readings if reading.blocks])
    row.doubts = result.doubts + doubts_of(result, campaign, estimate)
    return row


def round_logs(result: Result) -> dict[int, float]:
    """For each measured round, the mean over its blocks of the log of the block's median latency in ns."""
    logs = {}
    for reading in result.readings:
        medians = [float(np.median(block)) for block in steady_blocks(reading)]
        if medians:
            logs[reading.round] = float(np.mean(np.log(np.maximum(medians, 1.0))))
    return logs


def median(result: Result) -> Estimate | None:
    """The contender's median latency in ns with its interval over rounds."""
    logs = list(round_logs(result).values())
    return of_logs(logs) if logs else None


def ratio(contender: Result, baseline: Result) -> tuple[Estimate, list[float]] | None:
    """Contender's latency over the baseline's, from rounds that both ran in; and the log ratio of each round."""
    above, below = round_logs(contender), round_logs(baseline)
    logs = [above[number] - below[number] for number in sorted(above.keys() & below.keys())]
    return (of_logs(logs), logs) if logs else None


def steady_blocks(reading: Reading) -> list[npt.NDArray[np.int64]]:
    """The steady latencies in ns of each block of a reading, in order; empty blocks are left out."""
    if reading.latencies_ns is None:
        return []
    latencies = unpack(reading.latencies_ns)
    ends = np.cumsum([block.count for block in reading.blocks])
    pieces = [
        latencies[end - block.count + block.opening : end] for block, end in zip(reading.blocks, ends, strict=True)
    ]
    return [piece for piece in pieces if piece.size]


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


def _describe(row: Figures, estimate: Estimate, measured: list[Reading]) -> None:
    sample = np.concatenate([block for reading in measured for block in steady_blocks(reading)])
    row.rounds, row.count, row.loop = estimate.rounds, int(sample.size), measured[0].loop
    row.median_ns, row.median_low_ns, row.median_high_ns = estimate.value, estimate.low, estimate.high
    if estimate.low is None:
        row.missing["interval"] = "one round says nothing about spread"
    row.mean_ns, row.min_ns, row.max_ns = float(sample.mean()), float(sample.min()), float(sample.max())
    if sample.size > 1:
        row.std_ns = float(sample.std(ddof=1))
    else:
        row.missing["std"] = "one inference says nothing about spread"
    row.p95_ns = _supported(row, sample, 95)
    row.p99_ns = _supported(row, sample, 99)
    blocks = [block for reading in measured for block in reading.blocks]
    wall_ns = sum(block.wall_ns for block in blocks)
    if wall_ns:
        row.throughput_per_s = sample.size / wall_ns * 1e9
        row.cores_used = sum(block.cpu_ns for block in blocks) / wall_ns
    row.opening_ratio = opening_ratio(measured)
    row.load_ns = _middle([reading.load_ns for reading in measured])
    row.first_ns = _middle([reading.first_ns for reading in measured])


def _supported(row: Figures, sample: npt.NDArray[np.int64], percent: float) -> float | None:
    refusal = describe.unsupported(int(sample.size), percent)
    if refusal is not None:
        row.missing[f"p{percent:g}"] = refusal
        return None
    return describe.percentile(sample, percent)


def _middle(values: list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _delta(score: float | None, campaign: Campaign) -> float | None:
    reference = campaign.reference.score if campaign.reference else None
    return None if score is None or reference is None else score - reference
