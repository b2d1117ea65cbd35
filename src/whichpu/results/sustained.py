"""What sustained runs show: the beginning against the end, drifts, steps with their time, and whether ranks hold."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.results.column import Column, unpack
from whichpu.results.latencies import round_logs
from whichpu.results.schema import Campaign, Doubt, Result, Sustained
from whichpu.stats import changes
from whichpu.stats.changes import Drift, Step
from whichpu.stats.intervals import Estimate

MINUTE_S = 60.0
SHARE = 0.1
"""Of a run shorter than two minutes, the first and the last tenth are held against each other, not minutes."""

WINDOWS_LEAST = 10
"""Windows that steps and drifts are looked for in."""

ENOUGH = 30
"""Windows that tell by themselves how alike neighbours are."""

SUSTAINED = "sustained"
"""What these doubts touch."""


class Windows(NamedTuple):
    """The windows of a run in order: when each began (seconds), its length, and its figures in ns."""

    began_s: npt.NDArray[np.float64]
    wall_s: npt.NDArray[np.float64]
    inferences: npt.NDArray[np.int64]
    median_ns: npt.NDArray[np.int64]
    p95_ns: npt.NDArray[np.int64]
    p99_ns: npt.NDArray[np.int64]
    max_ns: npt.NDArray[np.int64]


class Endurance(msgspec.Struct, kw_only=True):
    """One contender's sustained run. Times of windows are seconds since the run began, latencies ns.

    ``first`` and ``last`` are the medians over the windows of the first and the last ``stretch_s`` (their ``rounds``
    count windows), ``change`` their ratio. ``trend`` is the slope whether or not it is real; ``drift`` is set where it
    is, and no steps explain it. ``paused`` is the share of the time that lies between windows. A rank is 1 more than
    the contenders that are shown to be faster; runs that ended early have none at the end. What is ``None`` has its
    reason in ``missing``.
    """

    name: str
    yardstick: bool
    loop: str
    asked_s: float
    ran_s: float
    windows: int
    inferences: int
    paused: float
    stretch_s: float
    first: Estimate | None = None
    last: Estimate | None = None
    change: Estimate | None = None
    trend: Drift | None = None
    drift: Drift | None = None
    steps: list[Step] = []
    rank_first: int | None = None
    rank_last: int | None = None
    trouble: str | None = None
    remedy: str | None = None
    missing: dict[str, str] = {}


class Outlook(msgspec.Struct, kw_only=True):
    """All sustained runs of a campaign in the order of their last stretch, and whether the ranking of the first held.

    ``holds`` is ``None`` with fewer than two contenders to rank; ``says`` puts it in words.
    """

    rows: list[Endurance]
    holds: bool | None
    says: str | None


def outlook(campaign: Campaign) -> Outlook | None:
    """What the sustained runs show; ``None`` where there are none."""
    found = [(result, endurance(result)) for result in campaign.results]
    pairs = [(result, row) for result, row in found if row is not None]
    if not pairs:
        return None
    holds, says = _rank(pairs, campaign.settings.matters)
    rows = [row for _, row in pairs]
    rows.sort(
        key=lambda row: (row.yardstick, row.last is None, row.trouble is not None, row.last.value if row.last else 0)
    )
    return Outlook(rows=rows, holds=holds, says=says)


def endurance(result: Result) -> Endurance | None:
    """One contender's sustained run, without ranks; ``None`` where there was none."""
    run = result.sustained
    if run is None:
        return None
    windows = windows_of(run)
    ran_s = float(windows.began_s[-1] + windows.wall_s[-1]) if windows.began_s.size else 0.0
    row = Endurance(
        name=result.name,
        yardstick=result.yardstick,
        loop=run.loop,
        asked_s=run.asked_s,
        ran_s=ran_s,
        windows=int(windows.inferences.size),
        inferences=int(windows.inferences.sum()),
        paused=max(0.0, 1 - float(windows.wall_s.sum()) / ran_s) if ran_s else 0.0,
        stretch_s=stretch_s(ran_s),
        trouble=run.trouble,
        remedy=run.remedy,
    )
    if row.windows < 2:
        row.missing["figures"] = f"{row.windows or 'no'} window{'' if row.windows == 1 else 's'} can't show a change"
        return row
    if row.windows >= WINDOWS_LEAST:
        row.trend = changes.trend(windows.began_s, windows.median_ns)
        row.steps = changes.find_steps(windows.began_s, windows.median_ns)
        row.drift = changes.find_drift(windows.began_s, windows.median_ns)
    else:
        row.missing["changes"] = f"{row.windows} windows are too few to look for drift and steps"
    _ends(row, windows)
    return row


def _ends(row: Endurance, windows: Windows) -> None:
    """The first stretch against the last.

    How alike neighbouring windows are can't be judged from a dozen of them: then the whole run tells.
    """
    first = max(1, int((windows.began_s + windows.wall_s <= row.stretch_s).sum()))
    last = max(1, int((windows.began_s >= row.ran_s - row.stretch_s).sum()))
    few = min(first, last) < ENOUGH
    worth = changes.worth(windows.began_s, windows.median_ns, row.steps) if few else 1.0
    row.first = changes.level(windows.median_ns[:first], worth)
    row.last = changes.level(windows.median_ns[-last:], worth)
    row.change = _ratio(row.last, row.first)
    if row.change.low is None:
        row.missing["interval"] = f"too few windows in the first and the last {stretch_name(row)} are independent"


def stretch_s(ran_s: float) -> float:
    """Seconds at the beginning and at the end that are held against each other."""
    return MINUTE_S if ran_s > 1.98 * MINUTE_S else SHARE * ran_s  # two minutes end with a whole window


def stretch_name(row: Endurance) -> str:
    """``minute`` or ``tenth``: the word for the stretches of a run."""
    return "minute" if row.stretch_s == MINUTE_S else "tenth"


def windows_of(run: Sustained) -> Windows:
    """A run's windows as arrays; all empty when it has none. Raises :class:`ValueError` for damaged columns."""
    columns = (run.began_ns, run.wall_ns, run.count, run.median_ns, run.p95_ns, run.p99_ns, run.max_ns)
    began, wall, count, median, p95, p99, most = (_unpacked(column) for column in columns)
    if len({column.size for column in (began, wall, count, median, p95, p99, most)}) > 1:
        raise ValueError("a sustained run's columns differ in length")
    kept, raw = _unpacked(run.kept), _unpacked(run.latencies_ns)
    if kept.size != began.size or kept.sum() != raw.size:
        raise ValueError("a sustained run's windows do not hold its raw latencies")
    if (median < 1).any():
        median = np.maximum(median, 1)  # a clock of coarse steps reads zero; logs need more
    return Windows(began / 1e9, wall / 1e9, count, median, p95, p99, most)


def sustained_doubts(result: Result) -> list[Doubt]:
    """Steps, drift and an early end of a contender's sustained run."""
    row = endurance(result)
    if row is None:
        return []
    return [doubt for doubt in (_ended(row), _step(row), _drift(row)) if doubt is not None]


def step_says(step: Step) -> str:
    """``at 10 min 03 s, from 2.00 to 2.40 ms, +20 %``."""
    size, unit = next(((size, unit) for size, unit in UNITS if step.before >= size), UNITS[-1])
    return (
        f"at {clock(step.at_s)}, from {_three(step.before / size)} to {_three(step.after / size)} {unit},"
        f" {percent(step.ratio - 1)}"
    )


def drift_says(drift: Drift) -> str:
    """``+0.21 % a minute (+0.18 % to +0.25 %)``."""
    return f"{percent(drift.per_minute)} a minute ({percent(drift.low)} to {percent(drift.high)})"


UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))


def clock(seconds: float) -> str:
    """A time within a run: ``1.5 s``, ``10 min 03 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s"


def percent(share: float, digits: int = 2) -> str:
    """A change with its sign, to a hundredth of a percent at most: ``+20 %``, ``-0.31 %``."""
    value = 100 * share
    if value == 0 or not math.isfinite(value):
        return "0 %" if value == 0 else "without bound"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:+.{min(2, places)}f} %"


# ---------------------------------------------------------------- ranks


def _rank(pairs: list[tuple[Result, Endurance]], matters: float) -> tuple[bool | None, str | None]:
    """Set the ranks; say whether the first ones hold."""
    measured = [(result, row) for result, row in pairs if row.first is not None]
    ranked = [(result, row) for result, row in measured if not row.yardstick] or measured
    lasting = [(result, row) for result, row in ranked if row.trouble is None]
    for _, row in ranked:
        row.rank_first = 1 + sum(_order(other, each, "first", matters) < 0 for other, each in _against(row, ranked))
    for _, row in lasting:
        row.rank_last = 1 + sum(_order(other, each, "last", matters) < 0 for other, each in _against(row, lasting))
    if len(lasting) < 2:
        return None, None
    word = stretch_name(lasting[0][1])
    changed = [text for one, other in itertools.combinations(lasting, 2) if (text := _changed(one, other, matters))]
    if changed:
        return False, f"The ranking of the first {word} does not hold: {'; '.join(changed)}."
    everyone = {row.rank_first for _, row in lasting} == {1}
    if everyone:
        return True, f"No ranking is shown in the first {word}, nor in the last."
    return True, f"The ranking of the first {word} holds in the last."


Pair = tuple[Result, Endurance]


def _against(row: Endurance, ranked: list[Pair]) -> list[tuple[Pair, Pair]]:
    """Each other contender, paired with this one."""
    own = next(pair for pair in ranked if pair[1] is row)
    return [(pair, own) for pair in ranked if pair[1] is not row]


def _order(one: Pair, other: Pair, at: str, matters: float) -> int:
    """-1 where ``one`` is shown to be faster by as much as matters, 1 where ``other`` is, else 0.

    Two runs are two processes: what processes differ by, as the rounds show it, is part of the uncertainty.
    """
    above, below = getattr(one[1], at), getattr(other[1], at)
    apart = math.log(above.value / below.value)
    reach = math.hypot(_reach(above), _reach(below), 1.96 * _between(one[0]), 1.96 * _between(other[0]))
    if abs(apart) <= reach or abs(apart) < math.log1p(matters):
        return 0
    return -1 if apart < 0 else 1


def _changed(one: Pair, other: Pair, matters: float) -> str | None:
    """How the order of two contenders changed, where it did by more than their own runs' uncertainty."""
    before, after = _order(one, other, "first", matters), _order(one, other, "last", matters)
    if before == after:
        return None
    grown, others = one[1].change, other[1].change
    assert grown is not None
    assert others is not None
    apart = math.log(grown.value / others.value)
    if abs(apart) <= math.hypot(_reach(grown), _reach(others)):
        return None
    names = {-1: (one[1].name, other[1].name), 1: (other[1].name, one[1].name)}
    if not before:
        quick, slow = names[after]
        return f"no difference between {quick} and {slow} was shown in it, {quick} is faster in the last"
    quick, slow = names[before]
    if not after:
        return f"{quick} was faster than {slow} in it, no difference is shown in the last"
    return f"{quick} was faster than {slow} in it, {slow} is faster in the last"


def _reach(estimate: Estimate) -> float:
    width = estimate.half_width
    return math.inf if width is None else math.log1p(width)


def _between(result: Result) -> float:
    """Standard deviation of the log median between processes; 0 where fewer than three rounds tell nothing of it."""
    logs = list(round_logs(result).values())
    return float(np.std(logs, ddof=1)) if len(logs) >= 3 else 0.0


# ---------------------------------------------------------------- doubts


def _ended(row: Endurance) -> Doubt | None:
    if row.trouble is None:
        return None
    return Doubt(
        kind="not-sustained",
        says=f"its sustained run ended after {clock(row.ran_s)} of {clock(row.asked_s)}: {row.trouble}",
        advice=row.remedy,
        touches=SUSTAINED,
        facts={"ran_s": row.ran_s, "asked_s": row.asked_s},
    )


def _step(row: Endurance) -> Doubt | None:
    if not row.steps:
        return None
    largest = max(row.steps, key=lambda step: abs(math.log(step.ratio)))
    shown = [step_says(step) for step in row.steps[:3]]
    more = f"; and {len(row.steps) - 3} more" if len(row.steps) > 3 else ""
    return Doubt(
        kind="step",
        says=f"in its sustained run the latency jumped {'; '.join(shown)}{more}",
        advice="see what the machine did at that time: throttling, a power limit, other programs",
        touches=SUSTAINED,
        facts={
            "steps": len(row.steps),
            "at_s": largest.at_s,
            "from_ns": largest.before,
            "to_ns": largest.after,
            "ratio": largest.ratio,
        },
    )


def _drift(row: Endurance) -> Doubt | None:
    drift = row.drift
    if drift is None:
        return None
    way = "rose" if drift.total > 0 else "fell"
    return Doubt(
        kind="drift",
        says=f"in its sustained run the latency {way} by {abs(100 * drift.total):.2g} % in {clock(row.ran_s)}:"
        f" {drift_says(drift)}",
        advice="run longer, until it levels off, and look at temperature and clock",
        touches=SUSTAINED,
        facts={"per_minute": drift.per_minute, "low": drift.low, "high": drift.high, "total": drift.total},
    )


# ---------------------------------------------------------------- parts


def _unpacked(column: Column | None) -> npt.NDArray[Any]:
    return np.zeros(0, np.int64) if column is None else unpack(column)


def _ratio(above: Estimate, below: Estimate) -> Estimate:
    value = above.value / below.value
    reach = math.hypot(_reach(above), _reach(below))
    if math.isinf(reach):
        return Estimate(value, None, None, 0)
    return Estimate(value, value * math.exp(-reach), value * math.exp(reach), 0)


def _three(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"
