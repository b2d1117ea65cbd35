"""The charts of one model in a decision report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from whichpu.recommend import recommend
from whichpu.reports import distributions, figures, forest, normalised_chart, pareto, units
from whichpu.reports.charts import Ratio
from whichpu.reports.decision import Decision, Part
from whichpu.reports.distributions import Sample
from whichpu.reports.normalised_chart import Bar, Group, Panel
from whichpu.reports.picture import WIDTHS, Picture, picture, slug
from whichpu.reports.prose import Translator
from whichpu.reports.words import VERDICTS
from whichpu.results.comparison import Comparison
from whichpu.results.entries import Entry, Value
from whichpu.results.exporters.samples import sampled
from whichpu.results.nway import NEITHER, ROUNDING, Contender
from whichpu.results.reported import Reported
from whichpu.results.schema import Campaign

ROWS_MOST = 40
"""Rows of a forest."""
DRAWN_MOST = 24
"""Contenders of a chart of distributions, and of a Pareto chart."""
SAMPLES_LEAST = 20
"""Single latencies from which a distribution is drawn."""
RATIOS = ("latency_p95", "latency_p99", "throughput", "energy", "power", "memory", "device_memory", "load")
"""Figures of a forest after the one that contenders are ranked by."""
AGAINST = ("energy", "power", "device_memory", "memory", "size", "throughput")
"""Figures that latency is set against, the first two that there are; scores come before all."""
SHORT = {"no-difference": "not shown", "too-small-to-matter": "too small"}
"""Verdicts where there is little room."""
LOGARITHMIC = "logarithmic scale"
TONES = {"faster": "better", "better": "better", "slower": "worse", "worse": "worse"}
NORMALISED = ("throughput", "power", "energy", "device_memory", "memory")


def pictures(decision: Decision, part: Part) -> list[Picture]:
    """All charts of a model that its figures allow."""
    drawn = [_forest(decision, part), *_distributions(decision, part), *_paretos(decision, part)]
    return [each for each in drawn if each is not None]


# ---------------------------------------------------------------- ratios


def _forest(decision: Decision, part: Part) -> Picture | None:
    words, rows = decision.words, list(_ratios(decision.words, part))
    if not any(row.value for row in rows):
        return None
    title = words.label("Ratios to {baseline}", baseline=part.baseline)
    says = words.label(
        "Each figure over the baseline's (line at 1). Line: 95 % interval, where the files allow one. Blue: shown to be"
        " better; orange: shown to be worse; grey: no difference shown."
    )
    facts = "; ".join(f"{row.name} {row.label}".strip() for row in rows)
    axis = words.label("times the figure of {baseline}", baseline=part.baseline)
    return picture(
        f"{slug(part.model)}-ratios",
        title,
        says,
        facts,
        lambda width: forest.forest(rows, axis, words.label(LOGARITHMIC), width),
    )


def _ratios(words: Translator, part: Part) -> Iterator[Ratio]:
    """For each figure a heading, and a row a contender that may be compared."""
    count = 0
    for key in dict.fromkeys([part.main, *RATIOS]):
        found = [(each.name, part.row(each.name, key)) for each in part.contenders]
        known = [_ratio(words, name, row) for name, row in found if row is not None and row.ratio]
        count += len(known) + 1
        if known and (key == part.main or count <= ROWS_MOST):
            yield Ratio(words.metric(key), "", None)
            yield from known[: ROWS_MOST - 1]


def _ratio(words: Translator, name: str, row: Comparison) -> Ratio:
    interval = row.low is not None and row.high is not None and ROUNDING not in row.caveats
    low, high = (row.low, row.high) if interval else (None, None)
    return Ratio(name, held(words, row, low, high), row.ratio, low, high, TONES.get(row.verdict, ""))


def held(
    words: Translator, row: Comparison, low: float | None = None, high: float | None = None, *, short: bool = False
) -> str:
    """A ratio or a difference in words: ``18.4× (17.9–18.8), slower``; nothing where there is no baseline."""
    if row.baseline_value is None or row.reason == NEITHER:
        return ""
    verdict = words.label(SHORT.get(row.verdict, VERDICTS[row.verdict]) if short else VERDICTS[row.verdict])
    if row.ratio is None:
        unit = row.unit or ""
        delta = "" if row.delta is None else units.with_unit(units.score_delta(row.delta, unit), units.delta_unit(unit))
        return ", ".join(filter(None, [delta, verdict]))
    interval = f" ({units.digits(low)}–{units.digits(high)})" if low is not None and high is not None else ""
    return ", ".join(filter(None, [f"{units.digits(row.ratio)}×{interval}", verdict]))


# ---------------------------------------------------------------- distributions


def _distributions(decision: Decision, part: Part) -> list[Picture]:
    samples = _samples(decision, part)
    if not samples:
        return []
    words = decision.words
    unit = units.time_unit(float(np.median(each.latencies_ns)) for each in samples)
    scale = (unit.name, unit.size)
    labels = [_label(each, unit) for each in samples]
    facts = "; ".join(f"{each.name} {label}" for each, label in zip(samples, labels, strict=True))
    latency, share = words.label("latency"), words.label("share of inferences")
    reach = words.label("Drawn up to the 99.9th percentile; slower ones are in the tables.")
    return [
        picture(
            f"{slug(part.model)}-ecdf",
            words.label("How many inferences are done by when"),
            words.label("Empirical distribution: at each latency, the share of single inferences that took no longer.")
            + f" {reach}",
            facts,
            lambda width: distributions.ecdf(samples, scale, latency, share, width),
        ),
        picture(
            f"{slug(part.model)}-violin",
            words.label("Where latencies lie"),
            words.label(
                "Density of single latencies (Gaussian kernel over logarithms); thick stroke: median, thin stroke: p99."
                " Two humps are two ways to run."
            )
            + f" {reach}",
            facts,
            lambda width: distributions.violins(samples, labels, scale, latency, words.label(LOGARITHMIC), width),
        ),
    ]  # fmt: skip


def _samples(decision: Decision, part: Part) -> list[Sample]:
    """Steady single latencies of contenders that have enough, in their order."""
    files = [file for file in decision.files if any(entry.model == part.model for entry in file.entries)]
    found = {
        each.name: Sample(
            each.name,
            np.array([latency for one in each.rounds for latency in one.steady_ns], dtype=np.float64),
            each.name == part.pick,
        )
        for each in sampled(files)
        if each.entry.model == part.model
    }
    known = [found[each.name] for each in part.contenders if each.name in found]
    return [each for each in known if each.latencies_ns.size >= SAMPLES_LEAST][:DRAWN_MOST]


def _label(sample: Sample, unit: units.Unit) -> str:
    p50, p99 = np.quantile(sample.latencies_ns, [0.5, 0.99])
    shown = f"p50 {units.in_unit(float(p50), unit)}"
    enough = sample.latencies_ns.size >= 1_000
    return f"{shown}, p99 {units.in_unit(float(p99), unit)} {unit.name}" if enough else f"{shown} {unit.name}"


# ---------------------------------------------------------------- one figure against another


def _paretos(decision: Decision, part: Part) -> Iterator[Picture]:
    there = {key for entry in part.entries for key in entry.values}
    scores = sorted(key for key in there if key.startswith("score:"))[:1]
    keys = [key for key in (*scores, *AGAINST) if key in there and key != part.main]
    drawn = 0
    for key in keys:
        found = _pareto(decision, part, key)
        if found is not None and drawn < 2:
            drawn += 1
            yield found


def _pareto(decision: Decision, part: Part, key: str) -> Picture | None:
    """Latency against another figure; ``None`` where fewer than two contenders have both or all are alike in it."""
    words, main = decision.words, part.main
    having = [each for each in part.contenders if main in each.entry.values and key in each.entry.values][:DRAWN_MOST]
    values = [each.entry.values[key] for each in having]
    if len({value.value for value in values}) < 2 or len({value.unit for value in values}) > 1:
        return None
    if values[0].better == "neither":
        return None
    entries = [entry for entry in decision.entries if entry.model == part.model]
    front = set(recommend(entries, objectives=[main, key], campaigns=decision.campaigns, model=part.model).pareto)
    xs = [each.entry.values[main] for each in having]
    x_unit, y_unit = figures.unit_of(xs), figures.unit_of(values)
    spots = [
        pareto.Spot(
            each.name + (f" ({words.label('estimated')})" if each.entry.estimated else ""),
            f"{figures.alone(each.entry.values[main])}, {figures.alone(each.entry.values[key])}",
            *_placed(each.entry, main, x_unit.size),
            *_placed(each.entry, key, y_unit.size),
            each.name in front,
            each.entry.estimated,
        )
        for each in having
    ]
    one, other = words.metric(main), words.metric(key)
    return picture(
        f"{slug(part.model)}-pareto-{slug(key)}",
        words.label("{one} against {other}", one=one[:1].upper() + one[1:], other=other),
        words.label(
            "Blue: on the Pareto front: nobody is shown to be better in one without being shown worse in the other."
            " Lines: 95 % intervals. Hollow: estimated."
        )
        + _lacking(words, part, having, key),
        "; ".join(f"{each.name} {each.label}" for each in spots),
        lambda width: pareto.scatter(
            spots, _axis(words, main, xs[0], x_unit.name), _axis(words, key, values[0], y_unit.name), width
        ),
    )


def _lacking(words: Translator, part: Part, having: Sequence[Contender], key: str) -> str:
    """Who isn't drawn, since it has no such figure."""
    names = [each.name for each in part.contenders if each not in having]
    if not names or len(names) > 8:
        return ""
    return " " + words.label(
        "Not drawn: {names} ({figure} not told).", names=words.names(names), figure=words.metric(key)
    )


def _placed(entry: Entry, key: str, size: float) -> tuple[float, tuple[float, float] | None]:
    value = entry.values[key]
    known = value.low is not None and value.high is not None
    return value.value / size, (value.low / size, value.high / size) if known else None  # type: ignore[operator]


def _axis(words: Translator, key: str, value: Value, unit: str) -> str:
    better = words.label("less is better") if value.better == "lower" else words.label("more is better")
    return f"{words.metric(key)}{f', {unit}' if unit else ''} ({better})"


# ---------------------------------------------------------------- all models


def normalised(decision: Decision) -> Picture | None:
    """Bars of all models' figures as multiples of the baselines'; of campaigns alone their articles have them."""
    if not any(isinstance(file.content, Reported) for file in decision.files):
        return None
    parts = [part for part in decision.parts if len(part.contenders) <= 8]
    keys = list(dict.fromkeys([*(part.main for part in parts), *NORMALISED]))
    panels = [panel for key in keys if (panel := _panel(decision.words, parts, key)) is not None]
    if not panels:
        return None
    words = decision.words
    names = words.names(list(dict.fromkeys(part.baseline for part in parts)))
    wide, narrow = (normalised_chart.bars(panels, width) for width in WIDTHS)
    facts = "; ".join(
        f"{panel.title}, {group.title}: {bar.name} {units.digits(bar.ratio)}×"
        for panel in panels for group in panel.groups for bar in group.bars if bar.ratio and not bar.base
    )  # fmt: skip
    says = words.label("Each bar is a figure over the baseline's of the same model. No bar: the file doesn't hold it,"
                       " or it may not be compared.")  # fmt: skip
    return Picture("normalised", words.label("Normalised to {baseline}", baseline=names), says, facts, (wide, narrow))


def _panel(words: Translator, parts: Sequence[Part], key: str) -> Panel | None:
    groups = [Group(part.model, [_bar(part, name, key) for name in _names(part)]) for part in parts]
    if not any(bar.ratio and not bar.base for group in groups for bar in group.bars):
        return None
    better = next(entry.values[key].better for part in parts for entry in part.entries if key in entry.values)
    note = words.label("lower is better") if better == "lower" else words.label("higher is better")
    return Panel(words.metric(key), note, groups)


def _names(part: Part) -> list[str]:
    return [part.baseline, *(each.name for each in part.contenders if each.name != part.baseline)]


def _bar(part: Part, name: str, key: str) -> Bar:
    if name == part.baseline:
        known = any(each.name == name and key in each.entry.values for each in part.contenders)
        return Bar(name, 1.0 if known else None, base=True)
    row = part.row(name, key)
    if row is None or not row.ratio:
        return Bar(name, None, why_not=row.reason if row is not None else "")
    interval = (row.low, row.high) if ROUNDING not in row.caveats else (None, None)
    return Bar(name, row.ratio, *interval, TONES.get(row.verdict) == "better")


def of_campaigns(decision: Decision) -> bool:
    """Is there a campaign among the files?"""
    return any(isinstance(file.content, Campaign) for file in decision.files)
