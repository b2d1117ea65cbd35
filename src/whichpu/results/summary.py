"""From raw readings to figures. Recomputed each time; nothing here is stored."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.results.boundary import SIMULATED, parts, reasons
from whichpu.results.comparison import probability_of_best, ratios_to_the_fastest
from whichpu.results.doubts import doubts_of
from whichpu.results.energy import EnergyFigures, MeterCost, energy_figures, meter_cost
from whichpu.results.energy.doubts import energy_doubts
from whichpu.results.energy.gauges import GaugeFigures, gauge_figures
from whichpu.results.latencies import median, opening_ratio, steady_blocks
from whichpu.results.memory import MemoryFigures, memory_of
from whichpu.results.schema import Campaign, Difference, Doubt, Reading, Result
from whichpu.stats import describe
from whichpu.stats.intervals import Estimate
from whichpu.worker.wire import Built, Placement


class Figures(msgspec.Struct, kw_only=True):
    """One contender's figures. Latencies are steady ones (openings excluded), end to end, in ns.

    ``median_ns`` is the geometric mean over rounds of the round's median block median, and ``median_low_ns`` to
    ``median_high_ns`` its 95 % t interval over rounds; so for ``p95`` and ``p99``, whose definition is ``percentiles``.
    ``mean`` to ``std`` describe all steady inferences together. ``best`` is the probability that no other ranked
    contender is faster. ``throughput_per_s`` is completed inferences over wall time (SingleStream).
    ``boundary`` is what a latency holds; ``compute_ns``, ``h2d_ns`` and ``d2h_ns`` are parts of ``parts_of_ns``, the
    latency of inferences of their own, as ``parts_by`` tells them.
    ``score_delta`` is from the reference's score, ``score_delta_low`` to ``score_delta_high`` its 95 % interval;
    ``agreement`` is the share of samples with the reference's answer.
    ``load_ns`` and ``first_ns`` are medians over rounds. ``memory`` is on the host. What is ``None`` has its reason in
    ``missing``. ``placement`` tells on which units its operators ran, ``built`` what was made of the model beforehand.
    """

    name: str
    target: str
    backend: str
    status: str
    yardstick: bool = False
    note: str = ""
    why: str | None = None
    remedy: str | None = None
    variant: str | None = None
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
    p95_low_ns: float | None = None
    p95_high_ns: float | None = None
    p99_ns: float | None = None
    p99_low_ns: float | None = None
    p99_high_ns: float | None = None
    percentiles: str | None = None
    boundary: str = "end_to_end"
    compute_ns: float | None = None
    h2d_ns: float | None = None
    d2h_ns: float | None = None
    parts_of_ns: float | None = None
    parts_by: str | None = None
    best: float | None = None
    throughput_per_s: float | None = None
    opening_ratio: float | None = None
    load_ns: float | None = None
    first_ns: float | None = None
    cores_used: float | None = None
    difference: Difference | None = None
    score: float | None = None
    score_delta: float | None = None
    score_delta_low: float | None = None
    score_delta_high: float | None = None
    score_verdict: str | None = None
    agreement: float | None = None
    memory: MemoryFigures | None = None
    energy: list[EnergyFigures] = []
    gauges: list[GaugeFigures] = []
    meter_cost: MeterCost | None = None
    placement: Placement | None = None
    built: Built | None = None
    fell_back: bool = False
    missing: dict[str, str] = {}
    doubts: list[Doubt] = []


def summarize(campaign: Campaign) -> list[Figures]:
    """Figures of all contenders: measured ones, the fastest first, then simulators and yardsticks, then those without.

    Ranked ones stand in the order of their ratios to the fastest, which drift can't turn round as it can medians.
    """
    rows = {result.name: figures(result, campaign) for result in campaign.results}
    chances, ratios = probability_of_best(campaign), ratios_to_the_fastest(campaign)
    for name in ratios:
        rows[name].best = chances.get(name)
        if rows[name].best is None and len(ratios) > 1:
            rows[name].missing["best"] = (
                "the probability of being best takes two rounds of all ranked contenders, and one boundary"
            )
    first = next((rows[name].median_ns for name, ratio in ratios.items() if ratio == 1), None) or 1.0
    place = {name: ratios.get(name, (row.median_ns or 0.0) / first) for name, row in rows.items()}
    last = {row.name: (row.median_ns is None, row.yardstick, row.boundary == SIMULATED) for row in rows.values()}
    return sorted(rows.values(), key=lambda row: (last[row.name], place[row.name]))


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
        variant=result.variant,
        asked_precision=result.asked_precision,
        ran_precision=result.precision.ran if result.precision else None,
        threads=result.threads,
        difference=result.difference,
        boundary=result.boundary,
        score=result.score,
        memory=memory_of(result),
        energy=energy_figures(campaign, result),
        gauges=gauge_figures(campaign, result),
        meter_cost=meter_cost(campaign, result),
        placement=result.placement,
        built=result.built,
        fell_back=result.fell_back,
    )
    _hold_score(row, result, campaign)
    estimate = median(result)
    if estimate is not None:
        _describe(row, estimate, [reading for reading in result.readings if steady_blocks(reading)])
    row.doubts = result.doubts + doubts_of(result, campaign, estimate) + energy_doubts(campaign, result)
    return row


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
    rounds = [np.concatenate(steady_blocks(reading)) for reading in measured]
    row.percentiles = describe.DEFINITION
    row.p95_ns, row.p95_low_ns, row.p95_high_ns = _percentile(row, rounds, 95)
    row.p99_ns, row.p99_low_ns, row.p99_high_ns = _percentile(row, rounds, 99)
    blocks = [block for reading in measured for block in reading.blocks]
    wall_ns = sum(block.wall_ns for block in blocks)
    if wall_ns:
        row.throughput_per_s = sample.size / wall_ns * 1e9
        row.cores_used = sum(block.cpu_ns for block in blocks) / wall_ns
    row.opening_ratio = opening_ratio(measured)
    _take_apart(row, measured)
    row.load_ns = _middle([reading.load_ns for reading in measured])
    row.first_ns = _middle([reading.first_ns for reading in measured])


def _take_apart(row: Figures, measured: list[Reading]) -> None:
    row.missing |= reasons(measured)
    found = parts(measured)
    if found is not None:
        row.compute_ns, row.h2d_ns, row.d2h_ns = found.compute_ns, found.h2d_ns, found.d2h_ns
        row.parts_of_ns, row.parts_by = found.end_to_end_ns, found.by


def _percentile(
    row: Figures, rounds: list[npt.NDArray[np.int64]], percent: float
) -> tuple[float | None, float | None, float | None]:
    """The percentile and its interval; what can't be given is ``None``, with the reason in ``row.missing``.

    A round too short for it, such as one that a crash ended, takes no part.
    """
    least = describe.least_in_round(percent)
    count, rounds = sum(sample.size for sample in rounds), [sample for sample in rounds if sample.size >= least]
    refusal = describe.unsupported(count, percent) or describe.unsupported(
        sum(sample.size for sample in rounds), percent, f" in rounds of {least} or more"
    )
    if refusal is not None:
        row.missing[f"p{percent:g}"] = refusal
        return None, None, None
    found = describe.percentile(rounds, percent)
    refusal = describe.too_few_causes(rounds, percent, found.value)
    if refusal is not None:
        row.missing[f"p{percent:g}"] = refusal
        return None, None, None
    return found.value, found.low, found.high


def _middle(values: list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _hold_score(row: Figures, result: Result, campaign: Campaign) -> None:
    """The score against the reference's, with its interval; files before intervals have the plain difference."""
    accuracy, task = result.accuracy, campaign.task
    if accuracy is not None and task is not None:
        row.score_verdict, row.agreement = accuracy.verdict, accuracy.agreement
        if task.metric in accuracy.deltas:
            row.score_delta, row.score_delta_low, row.score_delta_high = accuracy.deltas[task.metric]
            return
    reference = campaign.reference.score if campaign.reference else None
    if result.score is not None and reference is not None:
        row.score_delta = result.score - reference
