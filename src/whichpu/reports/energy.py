"""Power and energy in words and tables; the terminal and the HTML report say the same."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from whichpu.reports import units
from whichpu.reports.boundary import Grid, Text
from whichpu.reports.power_charts import Panel
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables
from whichpu.reports.words import VERDICTS
from whichpu.results import energy
from whichpu.results.comparison import Comparison
from whichpu.results.energy import EnergyFigures, metered
from whichpu.results.energy.gauges import GaugeFigures
from whichpu.results.energy.ratios import GROSS, compare_energy
from whichpu.results.schema import Campaign, Metered, Result
from whichpu.results.summary import Figures
from whichpu.worker.wire import Missing

if TYPE_CHECKING:
    from rich.console import Console

TELLS_POWER = ("energy", "power", "all")
"""Quantities of a missing sensor for whose sake power is missing."""

NAMED_MOST = 3
"""Contenders whose meters' cost is told one by one; of more, the largest."""

GAUGES = {
    "temperature": ("temperature", "°C", 1.0),
    "utilisation": ("utilisation", "%", 1e-2),
    "memory": ("memory", "MB", 1e6),
    "clock": ("clock", "MHz", 1e6),
    "cpu-time": ("CPU", "cores in use", 1.0),
}
"""How another quantity is called, its unit here, and how many SI units that is."""


class Row(NamedTuple):
    """A contender, its figures by one source of power, and its ratio of energy where that is compared."""

    name: str
    told: EnergyFigures
    against: Comparison | None


class Source(NamedTuple):
    """One sensor, or one sum of sensors, and the contenders that it has figures of; ``first`` is for words on it."""

    key: str
    first: EnergyFigures
    baseline: str | None
    rows: list[Row]

    @property
    def title(self) -> str:
        """``energy per inference by rapl:package-0 (package: CPU package 0; news every 1 ms)``."""
        return f"energy per inference by {self.key} ({self.about})"

    @property
    def about(self) -> str:
        """Its scope, what that covers, and how often it has news."""
        return "; ".join([f"{self.first.scope}: {self.first.covers}".removesuffix(": "), *self._rate()])

    def _rate(self) -> Iterable[str]:
        known = [(one.told.period_ns or 0, one.told.seen_ns or 0) for one in self.rows]
        rate_ns = max(max(pair) for pair in known)
        if rate_ns:
            unit = units.time_unit([rate_ns])
            yield f"news every {units.in_unit(rate_ns, unit, 2).removesuffix('.0')} {unit.name}"


def show(campaign: Campaign, rows: Sequence[Figures], screen: Console) -> None:
    """Print energy by the widest sensor, or one line that says why there is none."""
    why_not = absence(campaign, rows)
    if why_not is not None:
        print_item(screen, why_not, indent=0)
    found = headlines(campaign, rows)
    for source in found:
        names = Column("contender", [row.name for row in source.rows], folds=True, least_of_names=NAME_LEAST)
        screen.print()
        print_tables(screen, names, _columns(source, campaign), source.title)
        for line in _refusals(source):
            print_item(screen, line, indent=0)
    for line in sentences(campaign, rows) if found else []:
        print_item(screen, line, indent=0)


def headlines(campaign: Campaign, rows: Sequence[Figures]) -> list[Source]:
    """The source of all ranked contenders; where there is no such, each that is no part of another."""
    found = sources(campaign, rows)
    first = [source for source in found if source.key == energy.primary(campaign)]
    alone = {source.key for source in metered.sources(campaign) if source.alone}
    return first or [source for source in found if source.key in alone] or found[:1]


def sources(campaign: Campaign, rows: Sequence[Figures]) -> list[Source]:
    """All sources that have a figure for some contender."""
    keys = dict.fromkeys(told.source for row in rows for told in row.energy if told.gross_j is not None)
    compared = [ratio for ratio in compare_energy(campaign) if ratio.metric == GROSS] if keys else []
    return [_source(key, campaign, rows, compared) for key in keys]


def _source(key: str, campaign: Campaign, rows: Sequence[Figures], compared: Sequence[Comparison]) -> Source:
    """Ratios stand with the source that both contenders were compared by, or why they were not."""
    found = [(row.name, told) for row in rows for told in row.energy if told.source == key]
    by_name = {result.name: result for result in campaign.results}
    ratios = {
        ratio.contender: ratio
        for ratio in compared
        if energy.common_source(campaign, [by_name[ratio.baseline], by_name[ratio.contender]]) in (key, None)
    }
    baseline = next((ratio.baseline for ratio in ratios.values() if ratio.ratio is not None), None)
    lines = [Row(name, told, ratios.get(name)) for name, told in found]
    return Source(key, next(told for _, told in found if told.gross_j is not None), baseline, lines)


# ---------------------------------------------------------------- sentences


def absence(campaign: Campaign, rows: Sequence[Figures]) -> str | None:
    """Why there is no figure of energy, in one line; ``None`` where there is one, and for files of earlier versions."""
    if campaign.metered is None or any(told.gross_j is not None for row in rows for told in row.energy):
        return None
    return f"Power and energy: not measured{_why(campaign.metered, rows)}"


def _why(seen: Metered, rows: Sequence[Figures]) -> str:
    if seen.asked == "off":
        return ", for meters were switched off (`--meters off`)."
    if seen.trouble is not None:
        return f": {_bare(seen.trouble)}."
    refused = [told.missing["gross_j"] for row in rows for told in row.energy if "gross_j" in told.missing]
    if refused:
        return f": {_bare(statistics.mode(refused))}."
    if any(channel.quantity in ("energy", "power") for channel in seen.channels):
        return ", for no metered window was run to its end."
    log = " `whichpu join` adds the log that another program wrote meanwhile." if seen.windows else ""
    return f", for no sensor is within reach{_reasons(seen.missing)}; `whichpu meters` tells more.{log}"


def _reasons(missing: Sequence[Missing]) -> str:
    """Those that a command would change first, in full; of what is not there its name is enough."""
    wanted = [one for one in missing if one.quantity in TELLS_POWER]
    said = dict.fromkeys(_reason(one) for one in sorted(wanted, key=lambda one: one.kind == "not-present"))
    return f" ({'; '.join(said)})" if said else ""


def _reason(one: Missing) -> str:
    if one.kind == "not-present":
        return _bare(one.says.partition(": ")[0])
    return f"{_bare(one.says)}{f': try `{one.remedy}`' if one.remedy else ''}"


def sentences(campaign: Campaign, rows: Sequence[Figures]) -> list[str]:
    """What the meters cost, logs that were joined, and sensors that are here but can't be read."""
    said = _cost(rows)
    missing = campaign.metered.missing if campaign.metered else []
    for log in campaign.metered.joined if campaign.metered else []:
        notes = "".join(f" {note[0].upper()}{note[1:]}." for note in log.notes)
        said.append(
            f"{log.file} was written by another program and joined afterwards, placed by {log.aligned_by}.{notes}"
        )
    for one in missing:
        if one.kind != "not-present" and one.quantity in TELLS_POWER:
            remedy = f" Try: {one.remedy}" if one.remedy else ""
            said.append(f"Not read: {_bare(one.says)}.{remedy}")
    return said


def _cost(rows: Sequence[Figures]) -> list[str]:
    known = [(row.name, row.meter_cost) for row in rows if row.meter_cost is not None]
    if not known:
        return []
    costs = [(f" for {name}" if len(known) > 1 else "", cost) for name, cost in known]
    if len(costs) > NAMED_MOST:
        name, cost = max(known, key=lambda pair: abs(pair[1].ratio - 1))
        costs = [(f" at the most, for {name}", cost)]
    told = ", ".join(f"{_ratio(cost.ratio)}{_range(cost.low, cost.high)}{name}" for name, cost in costs)
    return [f"Latency while meters were read, over that without: {told}; latency blocks run without any meter."]


def _refusals(source: Source) -> list[str]:
    """Figures and ratios that are not there, once for each reason."""
    lacking: dict[str, list[str]] = {}
    unlike: dict[str, list[str]] = {}
    for row in source.rows:
        for reason in dict.fromkeys(row.told.missing.values()):
            lacking.setdefault(_bare(reason), []).append(row.name)
        if row.against is not None and row.against.ratio is None:
            unlike.setdefault(_bare(row.against.reason), []).append(f"{row.name} with {row.against.baseline}")
    said = [f"Not given for {units.joined(names)}: {reason}." for reason, names in lacking.items()]
    return said + [f"Not compared: {units.joined(names)}: {reason}." for reason, names in unlike.items()]


def _bare(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


# ---------------------------------------------------------------- the terminal's table


def _columns(source: Source, campaign: Campaign) -> dict[str, list[Column]]:
    told = [row.told for row in source.rows]
    energies = units.energy_unit(one.gross_j for one in told)
    powers = _power_unit(told)
    products = units.inverse_edp_unit(one.inverse_edp for one in told)

    def column(heading: str, cells: Sequence[str]) -> Column:
        return Column(heading, cells, right=True)

    answer = [
        column(f"gross ({energies.name})", [units.in_unit(one.gross_j, energies) for one in told]),
        column("95 %", [units.spread(one.gross_j, one.gross_low_j, one.gross_high_j) for one in told]),
        column(f"net of idle ({energies.name})", [units.in_unit(one.net_j, energies) for one in told]),
        column("net 95 %", [net_spread(one, energies) for one in told]),
    ]
    if source.baseline is not None:
        cells = [_against(row, source.baseline) for row in source.rows]
        answer.append(Column(f"vs {source.baseline}", cells, right=True, folds=True))
    rest = [
        column(f"power ({powers.name})", [units.in_unit(one.power_w, powers) for one in told]),
        column("power 95 %", [units.spread(one.power_w, one.power_low_w, one.power_high_w) for one in told]),
        column(f"idle ({powers.name})", [units.in_unit(one.idle_w, powers) for one in told]),
        column(f"peak ({powers.name})", [units.in_unit(_steady(one, "peak_w"), powers) for one in told]),
    ]
    limit_w = campaign.metered.limit_w if campaign.metered else None
    if limit_w is not None:
        above = [units.percent(_steady(one, "above_share")) for one in told]
        rest.append(column(f"time above {units.as_given_w(limit_w)}", above))
    rest += [
        column("inferences per J", [units.digits(one.per_joule) for one in told]),
        column(f"inverse EDP ({products.name})", [units.in_unit(one.inverse_edp, products) for one in told]),
    ]
    return {source.title: answer, "power, and what a joule gives": rest}


def _against(row: Row, baseline: str) -> str:
    ratio = row.against
    if ratio is None:
        return "baseline" if row.name == baseline else units.UNKNOWN
    return units.ratio(ratio)


def net_spread(told: EnergyFigures, unit: units.Unit) -> str:
    """The interval of net energy: as ``±2.3 %``, or from end to end where it reaches down to zero."""
    low, high = told.net_low_j, told.net_high_j
    if told.net_j is None or low is None or high is None:
        return units.UNKNOWN
    if low > 0:
        return f"±{units.percent((high - low) / 2 / told.net_j)}"
    return f"{units.in_unit(low, unit, 2)} to {units.in_unit(high, unit, 2)}"


# ---------------------------------------------------------------- the page's tables


def grids(campaign: Campaign, rows: Sequence[Figures]) -> list[Grid]:
    """Energy by the headlines' source, and how steady its power was."""
    found = headlines(campaign, rows)
    tables = [grid for source in found for grid in (_energy(source), _steadiness(source, campaign))]
    return [grid for grid in tables if grid.rows]


def others(campaign: Campaign, rows: Sequence[Figures]) -> list[Grid]:
    """What other sensors told of energy, and what else was read meanwhile."""
    shown = {source.key for source in headlines(campaign, rows)}
    found = [source for source in sources(campaign, rows) if source.key not in shown]
    return [grid for grid in (_beside(found, rows), _gauges(rows)) if grid.rows]


def _beside(found: Sequence[Source], rows: Sequence[Figures]) -> Grid:
    unit = units.energy_unit(row.told.gross_j for source in found for row in source.rows)
    heads = [("contender", ""), *((f"{source.key} ({source.first.scope})", unit.name) for source in found)]
    lines = []
    for row in rows:
        told = [next((each.told for each in source.rows if each.name == row.name), None) for source in found]
        if any(told):
            lines.append([Text(row.name), *(_small(one, unit) for one in told)])
    says = "energy per inference, gross; below: power, and that of idle. Other scopes are not compared with each other"
    return Grid("Energy by other sensors", says, heads, lines)


def _small(told: EnergyFigures | None, unit: units.Unit) -> Text:
    if told is None:
        return Text(units.UNKNOWN, "it was not measured")
    idle = "" if told.idle_w is None else f", idle {units.power(told.idle_w)}"
    return _text(told, "gross_j", units.in_unit(told.gross_j, unit), f"{units.power(told.power_w)}{idle}")


def _energy(source: Source) -> Grid:
    told = [row.told for row in source.rows]
    energies, powers = units.energy_unit(one.gross_j for one in told), _power_unit(told)
    products = units.inverse_edp_unit(one.inverse_edp for one in told)
    heads = [("contender", ""), ("energy per inference", f"gross, {energies.name}"), ("net of idle", energies.name)]
    heads += [("power", powers.name), ("idle", powers.name), ("power efficiency", "inferences per J")]
    heads += [("inverse EDP", products.name), ("windows", "count")]
    heads += [("energy to the baseline’s", "ratio, 95 % interval")] if source.baseline is not None else []
    lines = [_energy_row(row, source, energies, powers, products) for row in source.rows]
    return Grid(f"Energy by {source.key}", source.about, heads, lines)


def _energy_row(row: Row, source: Source, energies: units.Unit, powers: units.Unit, products: units.Unit) -> list[Text]:
    told = row.told
    idle = (told.idle_least_w, told.idle_most_w)
    between = "" if None in idle else f"{units.in_unit(idle[0], powers)} to {units.in_unit(idle[1], powers)}"
    cells = [
        Text(row.name),
        _text(told, "gross_j", units.in_unit(told.gross_j, energies), _wide(told, "gross", "j")),
        _text(told, "net_j", units.in_unit(told.net_j, energies), _known(net_spread(told, energies))),
        _text(told, "power_w", units.in_unit(told.power_w, powers), _wide(told, "power", "w")),
        _text(told, "idle_w", units.in_unit(told.idle_w, powers), between),
        _text(told, "per_joule", units.digits(told.per_joule)),
        _text(told, "inverse_edp", units.in_unit(told.inverse_edp, products)),
        Text(str(told.windows), sub=units.UNKNOWN if told.window_s is None else f"of {units.digits(told.window_s)} s"),
    ]
    return cells + ([_ratio_text(row, source.baseline)] if source.baseline is not None else [])


def _ratio_text(row: Row, baseline: str) -> Text:
    ratio = row.against
    if ratio is None:
        return Text("1", sub="baseline") if row.name == baseline else Text(units.UNKNOWN, "it has no figure of energy")
    if ratio.ratio is None:
        return Text(units.UNKNOWN, ratio.reason)
    between = "one round" if ratio.low is None else f"{units.digits(ratio.low)} to {units.digits(ratio.high)}"
    return Text(f"{units.digits(ratio.ratio)}×", sub=f"{between}, {VERDICTS[ratio.verdict]}")


def _steadiness(source: Source, campaign: Campaign) -> Grid:
    rows = [row for row in source.rows if row.told.steadiness is not None]
    powers = _power_unit([row.told for row in rows])
    limit_w = campaign.metered.limit_w if campaign.metered else None
    heads = [("contender", ""), *((name, powers.name) for name in ("mean", "p5", "p95", "least", "peak", "spread"))]
    heads += [("steepest rise", f"{powers.name}/s")]
    heads += [] if limit_w is None else [(f"above {units.as_given_w(limit_w)}", "share of time")]
    lines = [_steadiness_row(row, powers, limit_w) for row in rows]
    says = f"all readings within the windows, by {source.key}; spread is their standard deviation"
    return Grid("Steadiness of power", says, [*heads, ("readings", "count")], lines)


def _steadiness_row(row: Row, powers: units.Unit, limit_w: float | None) -> list[Text]:
    steady = row.told.steadiness
    assert steady is not None
    few = "fewer than 40 readings"
    cells = [Text(row.name), Text(units.in_unit(steady.mean_w, powers))]
    cells += [_or_why(units.in_unit(value, powers), few) for value in (steady.p5_w, steady.p95_w)]
    cells += [Text(units.in_unit(value, powers)) for value in (steady.least_w, steady.peak_w)]
    cells.append(_or_why(units.in_unit(steady.std_w, powers), "one reading says nothing about spread"))
    cells.append(_or_why(units.in_unit(steady.ramp_w_per_s, powers), "no two readings are one of its periods apart"))
    cells += [] if limit_w is None else [_or_why(units.percent(steady.above_share), "too few readings")]
    return [*cells, Text(f"{steady.readings:,}")]


def _gauges(rows: Sequence[Figures]) -> Grid:
    """A column for each thing that was read beside power."""
    keys = list(dict.fromkeys((one.source, one.quantity) for row in rows for one in row.gauges if one.mean is not None))
    found = {(row.name, one.source, one.quantity): one for row in rows for one in row.gauges}
    heads = [("contender", "")]
    for key, quantity in keys:
        word, unit, _ = GAUGES.get(quantity, (quantity, "", 1.0))
        heads.append((key if word.casefold() in key.casefold() else f"{word}, {key}", unit))
    lines = []
    for row in rows:
        told = [found.get((row.name, *key)) for key in keys]
        if any(told):
            lines.append([Text(row.name), *(_gauge(one) for one in told)])
    return Grid("Read in the metered windows", "means; below: least to most, and idle", heads, lines)


def _gauge(one: GaugeFigures | None) -> Text:
    if one is None or one.mean is None:
        return Text(units.UNKNOWN, (one.missing if one else None) or "it was not read")
    size = GAUGES.get(one.quantity, ("", "", 1.0))[2]
    shown = [
        units.UNKNOWN if value is None else units.digits(value / size) for value in (one.least, one.most, one.idle)
    ]
    between = [] if one.least is None else [f"{shown[0]} to {shown[1]}"]
    return Text(
        units.digits(one.mean / size),
        sub="; ".join([*between, *([f"idle {shown[2]}"] if one.idle is not None else [])]),
    )


def panels(campaign: Campaign, rows: Sequence[Figures]) -> list[Panel]:
    """Power over time of each contender, by the headlines' source."""
    drawn = []
    for result, key, row in _by_headline(campaign, rows):
        window = energy.window_shown(campaign, result, key)
        points = energy.power_over_time(campaign, result, key)
        if window is not None and points:
            drawn.append(Panel(row.name, _told_of(row.told), points, window.wall_ns / 1e9))
    return drawn


def sustained_panels(campaign: Campaign, rows: Sequence[Figures]) -> list[Panel]:
    """Power over the whole of each sustained run, by the same source."""
    runs = [
        (row.name, energy.sustained_power(campaign, result, key)) for result, key, row in _by_headline(campaign, rows)
    ]
    return [Panel(name, "", points, points[-1][0]) for name, points in runs if points]


def _by_headline(campaign: Campaign, rows: Sequence[Figures]) -> Iterator[tuple[Result, str, Row]]:
    """Each contender with its row by the headlines' first source, and that source's key."""
    results = {result.name: result for result in campaign.results}
    for source in headlines(campaign, rows)[:1]:
        for row in source.rows:
            yield results[row.name], source.key, row


def _told_of(told: EnergyFigures) -> str:
    steady, known = told.steadiness, [f"mean {units.power(told.power_w)}"]
    if steady is not None and steady.p5_w is not None and steady.p95_w is not None:
        known.append(f"p5 to p95 {units.power(steady.p5_w)} to {units.power(steady.p95_w)}")
    return ", ".join(known) + (f" over {told.windows} windows" if told.windows > 1 else "")


# ---------------------------------------------------------------- small things


def _power_unit(told: Sequence[EnergyFigures]) -> units.Unit:
    return units.power_unit(value for one in told for value in (one.power_w, one.idle_w))


def _steady(told: EnergyFigures, name: str) -> float | None:
    value: float | None = None if told.steadiness is None else getattr(told.steadiness, name)
    return value


def _text(told: EnergyFigures, field: str, shown: str, sub: str = "") -> Text:
    if getattr(told, field) is not None:
        return Text(shown, sub=sub)
    return Text(units.UNKNOWN, told.missing.get(field) or told.missing.get("gross_j") or "it was not measured")


def _or_why(shown: str, why_not: str) -> Text:
    return Text(shown, why_not if shown == units.UNKNOWN else None)


def _wide(told: EnergyFigures, name: str, unit: str) -> str:
    value, low, high = (getattr(told, f"{name}_{part}{unit}") for part in ("", "low_", "high_"))
    return _known(units.spread(value, low, high))


def _known(shown: str) -> str:
    return "" if shown == units.UNKNOWN else shown


def _ratio(value: float) -> str:
    return f"{value:.3f}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({_ratio(low)} to {_ratio(high)})"
