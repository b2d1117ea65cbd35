"""Doubts found in the latencies themselves: steps, drift, two modes, outliers, a first inference far from the rest."""

from __future__ import annotations

import numpy as np

from whichpu.results.latencies import block_medians, round_logs, steady_blocks
from whichpu.results.schema import Doubt, Reading, Result
from whichpu.stats import changes, modes
from whichpu.stats.intervals import Estimate

SMALLEST = 0.05
"""Relative size of the smallest step, drift or distance of modes that is worth a doubt in a campaign."""
OUTLIERS_COST = 0.10
"""Share by which outliers lift the mean above the median before they are worth a doubt."""
SHORT_S = 10.0
"""A shorter campaign tells nothing about a whole minute."""
FIRST_RATIO, FIRST_NS = 10, 10_000_000
SAMPLE = 20_000
"""Latencies that the search for two modes looks at, evenly spread over the campaign."""


def latency_doubts(result: Result, median: Estimate) -> list[Doubt | None]:
    """All of them; ``median`` is the contender's."""
    return [_step_in_rounds(result) or _change(result), _modes(result), _outliers(result), _slow_first(result, median)]


def _change(result: Result) -> Doubt | None:
    """A step or a drift over the whole campaign: ratios cancel it, a median alone does not."""
    times, medians = block_medians(result.readings)
    if len(medians) < 10:
        return None
    found = changes.find_steps(times, medians, smallest=SMALLEST)
    if found:
        step = max(found, key=lambda each: abs(np.log(each.ratio)))
        more = f" (the largest of {len(found)} steps)" if len(found) > 1 else ""
        return Doubt(
            kind="step",
            says=f"{_seconds(step.at_s)} after the first block its latency stepped by {_percent(step.ratio - 1)}{more}",
            advice="something changed on the machine then; ratios to contenders of the same rounds hold all the same",
            facts={"at_s": step.at_s, "before_ns": step.before, "after_ns": step.after, "ratio": step.ratio},
        )
    drift = changes.find_drift(times, medians, smallest=SMALLEST)
    if drift is None:
        return None
    rate, facts = "", {"total": drift.total}
    if times[-1] > SHORT_S:
        rate, facts["per_minute"] = f" ({_percent(drift.per_minute)} a minute)", drift.per_minute
    return Doubt(
        kind="drift",
        says=f"its latency drifted by {_percent(drift.total)} over the campaign{rate}",
        advice="let the machine get warm before, or look at it for longer with --sustained 20m",
        facts={**facts},
    )


def _step_in_rounds(result: Result) -> Doubt | None:
    """A step at the same place of most rounds is the contender's own: it changes some time after it was loaded."""
    splits = [split for split in map(_clean_split, result.readings) if split is not None]
    if len(splits) < 3 or 2 * len(splits) <= len(result.readings):
        return None
    middle = float(np.median([index for index, *_ in splits]))
    if np.median([abs(index - middle) for index, *_ in splits]) > 1:
        return None
    at_s = float(np.median([seconds for _, seconds, _ in splits]))
    ratio = float(np.exp(np.median([log for *_, log in splits])))
    return Doubt(
        kind="step",
        says=f"in {len(splits)} of {len(result.readings)} rounds its latency stepped by {_percent(ratio - 1)},"
        f" {_seconds(at_s)} after the round's first block",
        advice="it changes with time after loading: which of the two will your application see? Try --sustained 20m",
        facts={"at_s": at_s, "ratio": ratio, "rounds": len(splits)},
    )


def _clean_split(reading: Reading) -> tuple[int, float, float] | None:
    """Where all blocks after are beyond all blocks before: the block's index, its time in s, the step's log."""
    times, medians = block_medians([reading])
    logs = np.log(medians)
    best = None
    for at in range(1, len(logs)):
        before, after = logs[:at], logs[at:]
        gap = max(float(after.min() - before.max()), float(before.min() - after.max()))
        if gap > np.log1p(SMALLEST) and (best is None or gap > best[0]):
            best = gap, at, float(times[at]), float(np.median(after) - np.median(before))
    return best[1:] if best is not None else None


def _modes(result: Result) -> Doubt | None:
    """Two kinds of processes, or two kinds of inferences within them."""
    logs = np.array(list(round_logs(result).values()))
    between = modes.two_groups(logs, smallest=SMALLEST)
    sample = np.concatenate([block for reading in result.readings for block in steady_blocks(reading)])
    step = max(1, sample.size // SAMPLE)
    within = modes.two_modes(np.log(np.maximum(sample[::step], 1)), smallest=SMALLEST) if between is None else None
    found = between or within
    if found is None:
        return None
    of = "rounds" if between is not None else "inferences"
    low, high = np.exp(found.low) / 1e3, np.exp(found.high) / 1e3
    return Doubt(
        kind="two-modes",
        says=f"its {of} fall into two groups: {100 * (1 - found.share):.0f} % near {low:.4g} µs and"
        f" {100 * found.share:.0f} % near {high:.4g} µs",
        advice="its median lies in one of them by chance; `whichpu doctor` looks for what else runs",
        facts={"low_ns": 1e3 * float(low), "high_ns": 1e3 * float(high), "share_high": found.share},
    )


def _outliers(result: Result) -> Doubt | None:
    sample = np.concatenate([block for reading in result.readings for block in steady_blocks(reading)])
    low, middle, high = np.maximum(1.0, np.percentile(sample, [25, 50, 75]))
    far = sample[sample > high + 3 * (high - low)]  # Tukey's "far out"
    cost = float(far.sum() - far.size * middle) / float(sample.size * middle)
    if cost < OUTLIERS_COST:
        return None
    return Doubt(
        kind="outliers",
        says=f"{far.size:,} of {sample.size:,} inferences are far out and lift the mean by {100 * cost:.0f} %;"
        f" the longest took {far.max() / middle:.0f} times the median (none is dropped)",
        advice="percentiles and mean on this machine are partly its neighbours'; see `whichpu doctor`",
        touches="p99",
        facts={"count": int(far.size), "share_of_time": cost, "longest_ns": int(far.max())},
    )


def _slow_first(result: Result, median: Estimate) -> Doubt | None:
    firsts = [reading.first_ns for reading in result.readings if reading.first_ns is not None]
    first = float(np.median(firsts)) if firsts else 0.0
    if first < FIRST_NS or first < FIRST_RATIO * median.value:
        return None
    return Doubt(
        kind="slow-first",
        says=f"the first inference takes {first / median.value:,.0f} times the steady median ({first / 1e6:.4g} ms)",
        advice="run one inference before the first that matters; it is not part of the figures",
        touches="first",
        facts={"first_ns": first, "median_ns": median.value},
    )


def _percent(share: float) -> str:
    return f"{100 * share:+.2g} %"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
