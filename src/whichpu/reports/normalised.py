"""All contenders of a page held against a baseline: latency, throughput, power, energy and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from whichpu.errors import UserError
from whichpu.reports import units
from whichpu.reports.normalised_chart import Bar, Group, Panel
from whichpu.results import energy
from whichpu.results.comparison import Comparison, compare, fastest, measured_results
from whichpu.results.energy import metered
from whichpu.results.energy.metered import Source
from whichpu.results.energy.ratios import GROSS, compare_energy
from whichpu.results.latencies import round_logs
from whichpu.results.schema import Campaign, Result
from whichpu.stats.intervals import of_logs

LATENCY, THROUGHPUT, POWER = "latency", "throughput", "power"
ENERGY, EFFICIENCY, INVERSE_EDP = "energy per inference", "power efficiency", "inverse EDP"
LOWER, HIGHER = "lower is better", "higher is better"
FIGURES = {
    LATENCY: LOWER,
    THROUGHPUT: HIGHER,
    POWER: LOWER,
    ENERGY: LOWER,
    EFFICIENCY: HIGHER,
    INVERSE_EDP: HIGHER,
}
"""Panels in their order, and which way is better."""

NO_FIGURE = "not measured"


class Fact(NamedTuple):
    """What a reader who can't see the chart is told."""

    name: str
    label: str


class Normalised(NamedTuple):
    """Panels to be drawn, what they are held against in words, and why bars are absent."""

    title: str
    says: str
    panels: list[Panel]
    absent: list[str]

    @property
    def facts(self) -> list[Fact]:
        """All ratios in words."""
        return [
            Fact(f"{panel.title} of {bar.name} ({group.title})", f"{units.digits(bar.ratio)} times")
            for panel in self.panels
            for group in panel.groups
            for bar in group.bars
            if bar.ratio and not bar.base
        ]


def normalised(files: Sequence[tuple[str, Campaign]], name: str | None = None) -> Normalised | None:
    """Ratios to the contender (or target) called ``name``, else to each campaign's fastest; in groups of one model and
    one precision as it ran. ``None`` where there is nothing to be held against a baseline. Campaigns come with the
    names of their files, which tell those of one model apart.

    The baseline of a group is the one of its precision; where there is none, that of the model in another precision.
    Raises :class:`UserError` when no campaign has a contender of that name with figures.
    """
    models = [campaign.model.name for _, campaign in files]
    groups = [
        group
        for file, campaign in files
        for group in _of_campaign(campaign, name, f", {file}" if models.count(campaign.model.name) > 1 else "")
    ]
    if not groups:
        if name is not None:
            raise UserError(
                f"no contender called {name!r} has figures",
                f"choose one of: {_names([campaign for _, campaign in files])}",
            )
        return None
    panels = [Panel(figure, better, [one(figure) for one in groups]) for figure, better in FIGURES.items()]
    drawn = [
        panel for panel in panels if any(bar.ratio and not bar.base for group in panel.groups for bar in group.bars)
    ]
    if not drawn:
        return None
    baselines = dict.fromkeys(one.baseline for one in groups)
    titled = f"Normalised to {units.joined(list(baselines))}"
    return Normalised(titled, _says(name), drawn, [*_absent(panels), *_without(files, name)])


def _says(name: str | None) -> str:
    chosen = "Baseline (line at 1): the fastest contender. " if name is None else ""
    return (
        f"{chosen}Each bar is a figure over the baseline’s of the same model and, where it ran in it, of the same"
        " precision. Whisker: 95 % interval. Blue: all of the interval is on the better side."
    )


def _absent(panels: Sequence[Panel]) -> list[str]:
    """Reasons for bars that are not there: once each, with the figures and the contenders."""
    said: dict[str, dict[str, list[str]]] = {}
    for panel in panels:
        for group in panel.groups:
            for bar in group.bars:
                if bar.ratio is None:
                    said.setdefault(bar.why_not, {}).setdefault(panel.title, []).append(bar.name)
    lines = []
    for reason, figures in said.items():
        names = dict.fromkeys(name for each in figures.values() for name in each)
        lines.append(f"No bar for {units.joined(list(figures))} of {units.joined(list(names))}: {reason}.")
    return lines


def _without(files: Sequence[tuple[str, Campaign]], name: str | None) -> list[str]:
    """Campaigns that have no baseline of that name."""
    lacking = [] if name is None else [
        file for file, campaign in files if not any(_is_called(each, name) for each in measured_results(campaign))
    ]  # fmt: skip
    return [f"No bars for {units.joined(lacking)}: no contender there is called {name}."] if lacking else []


def _names(campaigns: Sequence[Campaign]) -> str:
    return ", ".join(dict.fromkeys(result.name for campaign in campaigns for result in measured_results(campaign)))


# ---------------------------------------------------------------- one group


class _Of(NamedTuple):
    """A group of one campaign; called with a figure's name it gives the bars."""

    title: str
    baseline: str
    bars: Callable[[str], list[Bar]]

    def __call__(self, figure: str) -> Group:
        return Group(self.title, self.bars(figure))


def _of_campaign(campaign: Campaign, name: str | None, file: str) -> list[_Of]:
    results = measured_results(campaign)
    ran = {result.name: result.precision.ran if result.precision else None for result in results}
    found = []
    for precision in dict.fromkeys(ran.values()):
        members = [result for result in results if ran[result.name] == precision]
        base = _baseline(results, members, name)
        held = [] if base is None else [base, *(each for each in members if each is not base)]
        if base is not None and len(held) > 1:
            found.append(_group(campaign, held, ran[base.name], precision, file))
    return found


def _baseline(results: Sequence[Result], members: Sequence[Result], name: str | None) -> Result | None:
    if name is None:
        return fastest(list(results))
    called = [each for each in [*members, *results] if _is_called(each, name)]
    return called[0] if called else None


def _is_called(result: Result, name: str) -> bool:
    """By its name, by its target, or by its target without options."""
    return name in (result.name, result.target, result.target.partition(",")[0])


def _group(campaign: Campaign, held: Sequence[Result], ran: str | None, precision: str | None, file: str) -> _Of:
    base = held[0]
    latencies = {row.contender: row for row in compare(campaign, base.name)}
    energies = {row.contender: row for row in compare_energy(campaign, base.name) if row.metric == GROSS}

    def bars(figure: str) -> list[Bar]:
        judged = latencies if figure in ROUNDS else energies
        return [_bar(figure, campaign, each, base, judged.get(each.name)) for each in held]

    other = "" if ran == precision else f" (baseline {ran or 'unknown'})"
    return _Of(f"{campaign.model.name}, {precision or 'precision unknown'}{other}{file}", base.name, bars)


def _bar(figure: str, campaign: Campaign, result: Result, base: Result, judged: Comparison | None) -> Bar:
    key = energy.common_source(campaign, [base, result])
    source = None if key is None else energy.source_named(campaign, key)
    if result is base:
        known = _rounds(figure, campaign, base, source)
        return Bar(base.name, 1.0 if known else None, base=True, why_not=NO_FIGURE)
    if judged is None or judged.ratio is None:
        return Bar(result.name, None, why_not=judged.reason if judged is not None else NO_FIGURE)
    low, high = judged.low, judged.high
    ratio: float | None = judged.ratio
    if figure not in (LATENCY, ENERGY):  # those are judged as they are
        ratio, low, high = _paired(*(_rounds(figure, campaign, each, source) for each in (result, base)))
    if ratio is None:
        return Bar(result.name, None, why_not="no round in common with the baseline")
    better = (high is not None and high < 1) if FIGURES[figure] == LOWER else (low is not None and low > 1)
    return Bar(result.name, ratio, low, high, better)


def _paired(above: dict[int, float], below: dict[int, float]) -> tuple[float | None, float | None, float | None]:
    """The ratio over common rounds with its interval."""
    logs = [math.log(above[number] / below[number]) for number in sorted(above.keys() & below.keys())]
    if not logs:
        return None, None, None
    found = of_logs(logs)
    return found.value, found.low, found.high


def _rounds(figure: str, campaign: Campaign, result: Result, source: Source | None) -> dict[int, float]:
    """A figure of each round."""
    if figure in ROUNDS:
        return ROUNDS[figure](result)
    if source is None:
        return {}
    rates = _rates(campaign, result)
    joules = energy.energy_rounds(campaign, result, source)
    return {number: OF_ENERGY[figure](gross_j, rates[number]) for number, gross_j in joules.items()}


def _rates(campaign: Campaign, result: Result) -> dict[int, float]:
    """Inferences per second in each round's metered windows."""
    found: dict[int, tuple[int, int]] = {}
    for window in metered.windows_of(campaign, result):
        count, wall_ns = found.get(window.round, (0, 0))
        found[window.round] = (count + window.count, wall_ns + window.wall_ns)
    return {number: 1e9 * count / wall_ns for number, (count, wall_ns) in found.items()}


def _throughputs(result: Result) -> dict[int, float]:
    """Inferences per second in each round's latency blocks."""
    found = {}
    for reading in result.readings:
        wall_ns = sum(block.wall_ns for block in reading.blocks)
        if wall_ns:
            found[reading.round] = 1e9 * sum(block.count - block.opening for block in reading.blocks) / wall_ns
    return found


ROUNDS: dict[str, Callable[[Result], dict[int, float]]] = {
    LATENCY: lambda result: {number: math.exp(log) for number, log in round_logs(result).items()},
    THROUGHPUT: _throughputs,
}
"""Figures that take no sensor."""

OF_ENERGY: dict[str, Callable[[float, float], float]] = {
    ENERGY: lambda gross_j, per_s: gross_j,
    POWER: lambda gross_j, per_s: gross_j * per_s,
    EFFICIENCY: lambda gross_j, per_s: 1 / gross_j,
    INVERSE_EDP: lambda gross_j, per_s: per_s / gross_j,
}
"""Figures from energy per inference and inferences per second."""
