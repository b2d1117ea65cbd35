"""Accuracy in words, tables and cards: what each contender's answers are worth, and what its speed costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from whichpu.reports import units
from whichpu.reports.boundary import Grid, Text
from whichpu.reports.charts import Delta
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables
from whichpu.reports.words import SCORES, VERDICTS
from whichpu.results.accuracy import unit_of
from whichpu.results.schema import Accuracy, Campaign, Changed, Result, TaskInfo
from whichpu.results.summary import Figures

if TYPE_CHECKING:
    from rich.console import Console

OFTEN = 0.05
"""Where more than this share of the answers are others than the reference's, the headline says so."""

NOTED = 12
"""So many notes about the data are told."""

TOLD = 3
"""Sentences about samples, and contenders in the headline; the others are counted."""

PICTURE = re.compile(r"data:image/(png|jpeg|svg\+xml)[;,]")
"""What a page may show; a campaign file may hold anything."""

SAYS = (
    "Over the task’s own samples. The change is from the reference’s value on the same samples, its 95 % interval by"
    " a paired bootstrap over samples. The same answers: samples to which an application would get the reference’s"
    " answer. Differences are those of the raw outputs."
)
CHART_SAYS = (
    "Dot: change from the reference on the same samples, with its 95 % interval. The line at 0 is the reference."
    " Orange: shown to be worse; blue: shown to be better."
)
CHANGED_SAYS = (
    "Some of the samples whose answer is another one than the reference’s, where it can be told the costliest first."
)
CHANGE, DIFFERENCE = 3, "largest difference"
"""Where in the table the change stands, and a head."""

NO_VALUE = "it is no number"
NOT_HELD = "the file holds no such comparison with the reference’s outputs"
NO_DELTA = "there is no reference’s score to hold it against"


class Row(NamedTuple):
    """A contender that answered the task's samples."""

    name: str
    ran: str
    result: Result
    accuracy: Accuracy


class Card(NamedTuple):
    """A sample whose answer changed; ``picture`` is a data URI that is known to be a picture."""

    changed: Changed
    picture: str | None


class Gallery(NamedTuple):
    """Changed samples of one contender."""

    name: str
    says: str
    cards: list[Card]


def scored(campaign: Campaign, rows: Sequence[Figures]) -> list[Row]:
    """Contenders that answered, in the order of the rows."""
    results = {result.name: result for result in campaign.results}
    return [
        Row(row.name, row.ran_precision or units.UNKNOWN, results[row.name], accuracy)
        for row in rows
        if campaign.task is not None and (accuracy := results[row.name].accuracy) is not None
    ]


def show(campaign: Campaign, rows: Sequence[Figures], screen: Console) -> None:
    """Print the table and what to know about it; nothing where nothing was scored."""
    task, told = campaign.task, scored(campaign, rows)
    if task is None or not told:
        return
    names = Column("contender", [row.name for row in told], folds=True, least_of_names=NAME_LEAST)
    answers = [Column("precision", [row.ran for row in told], right=True, folds=True)]
    answers += [
        _column(_head(task, metric), [_value(row, task, metric, 5) for row in told]) for metric in _metrics(task)
    ]
    answers += [
        _column(f"change ({_delta_unit(task)})", [_delta(row, task, task.metric) for row in told]),
        _column("95 % interval", [_range(row, task, task.metric) for row in told]),
        Column("verdict", [_verdict(row) for row in told], folds=True),
        _column("same answers", [_agreement(row) for row in told]),
    ]
    outputs = [
        _column(DIFFERENCE, [units.small(_difference(row, "max_abs")) for row in told]),
        _column("relative", [units.small(_difference(row, "relative")) for row in told]),
        _column("PSNR (dB)", [_psnr(row) for row in told]),
        _column("cosine", [_cosine(row) for row in told]),
    ]
    print_tables(
        screen, names, {title(task, told): answers, "outputs against the reference's": outputs}, title(task, told)
    )
    for line in [*losses(campaign, rows), *sentences(campaign, rows)]:
        print_item(screen, line, indent=0)


def title(task: TaskInfo, rows: Sequence[Row]) -> str:
    """What was scored, over how many samples."""
    most, least = max(row.accuracy.samples for row in rows), min(row.accuracy.samples for row in rows)
    samples = f"{most:,}" if most == least else f"{least:,} to {most:,}"
    return f"accuracy: {name_of(task.metric)}, {samples} samples"


def grid(campaign: Campaign, rows: Sequence[Figures]) -> Grid | None:
    """The table as texts with the reasons of its dashes; contenders without answers too."""
    task, told = campaign.task, {row.name: row for row in scored(campaign, rows)}
    if task is None or not told:
        return None
    main, *others = ((name_of(metric), _score_unit(task, metric) or "value") for metric in _metrics(task))
    change = f"{name_of(task.metric)} change", f"{_delta_unit(task)}, 95 % interval".removeprefix(", ")
    heads = [("contender", ""), ("ran", ""), main, change, ("same answers", "of the samples"), *others]
    heads += [(DIFFERENCE, "relative below"), ("PSNR", "dB"), ("cosine", "similarity")]
    cells = [_cells(told[row.name], task) if row.name in told else _absent(row, len(heads)) for row in rows]
    return Grid("Accuracy", SAYS, heads, cells)


def sentences(campaign: Campaign, rows: Sequence[Figures]) -> list[str]:
    """Whether all agree, who answered otherwise to which samples, what was left out, and what is odd in the data."""
    task, told = campaign.task, scored(campaign, rows)
    if task is None or not told:
        return []
    return [*_answered(task, told), *_left_out(told), *of_the_data(task)]


def losses(campaign: Campaign, rows: Sequence[Figures]) -> list[str]:
    """Whose speed is bought with accuracy, the fastest first."""
    task, told = campaign.task, scored(campaign, rows)
    if task is None or not told:
        return []
    worse = [row for row in told if row.accuracy.verdict == "worse"]
    alike: dict[tuple[str, str], list[str]] = {}
    for row in worse:
        alike.setdefault(_loss(row, task), []).append(row.name)
    said: list[str] = []
    for (verb, amount), names in alike.items():
        against = "" if said else " against the reference"
        said.append(f"Mind that {units.joined(names)} {verb}{'s' * (len(names) == 1)} {amount}{against}.")
    if len(said) > TOLD:
        rest = [name for names in list(alike.values())[TOLD:] for name in names]
        said[TOLD:] = [f"Worse too: {units.joined(rest)}."]
    kept = [row for row in told if row.accuracy.verdict in ("better", "no-difference", "too-small-to-matter")]
    if worse and told[0] in worse and kept:
        said.append(f"The fastest without a loss shown is {kept[0].name}.")
    return said


def cautions(campaign: Campaign, rows: Sequence[Figures]) -> list[str]:
    """For the top of a report: losses, and a fastest one that often answers otherwise without one being shown."""
    said, told = losses(campaign, rows), scored(campaign, rows)
    if campaign.task is not None and told and told[0].accuracy.verdict != "worse":
        agreement = told[0].accuracy.agreement
        if agreement is not None and agreement < 1 - OFTEN:
            said.append(f"Mind that {_otherwise(told[0], campaign.task)}.")
    return said


def deltas(campaign: Campaign, rows: Sequence[Figures]) -> list[Delta]:
    """The chart's rows: none where no contender's score differs from the reference's."""
    task, told = campaign.task, scored(campaign, rows)
    if task is None:
        return []
    factor = 100.0 if unit_of(task) == units.SHARE else 1.0
    found = []
    for row in told:
        value, low, high = row.accuracy.deltas.get(task.metric, (None, None, None))
        if value is None:
            continue
        label = _delta(row, task, task.metric)
        if low is not None and high is not None:
            label += f" ({_range(row, task, task.metric)})" if low or high else ""
        ends = [None if end is None else factor * end for end in (low, high)]
        tone = row.accuracy.verdict if row.accuracy.verdict in ("worse", "better") else ""
        found.append(Delta(row.name, label, factor * value, ends[0], ends[1], tone))
    return found if any(one.value for one in found) else []


def axis(task: TaskInfo, campaign: Campaign) -> tuple[str, float]:
    """The chart's words below, and the least that its axis spans to each side: a thousandth of the score.

    So that what is arithmetic looks small.
    """
    factor = 100.0 if unit_of(task) == units.SHARE else 1.0
    values = [abs(each.accuracy.values.get(task.metric, 0.0)) for each in campaign.results if each.accuracy is not None]
    unit = _delta_unit(task)
    words = f"change of {name_of(task.metric)} from the reference’s{f', {unit}' if unit else ''}"
    return words, 1e-3 * factor * max(values, default=0.0)


def galleries(campaign: Campaign, rows: Sequence[Figures]) -> list[Gallery]:
    """Changed samples, contender by contender."""
    return [
        Gallery(row.name, _count(row), [Card(each, _picture(each.picture)) for each in row.accuracy.changed])
        for row in scored(campaign, rows)
        if row.accuracy.changed
    ]


def protocol(task: TaskInfo) -> list[tuple[str, str]]:
    """All that makes the score what it is, field by field; its hash last."""
    return [*task.protocol.items(), ("SHA-256 of all these", task.protocol_sha256)]


def name_of(metric: str) -> str:
    """A task's metric as people call it."""
    return SCORES.get(metric, metric)


def score_of(value: float | None, task: TaskInfo, significant: int = 4) -> str:
    """The main metric's value with its unit."""
    if value is None:
        return units.UNKNOWN
    return units.with_unit(units.score(value, unit_of(task), significant), _score_unit(task, task.metric))


# ---------------------------------------------------------------- cells


def _metrics(task: TaskInfo) -> list[str]:
    return [task.metric, *(metric for metric in task.others if metric != task.metric)]


def _unit(task: TaskInfo, metric: str) -> str:
    """Of squared distances the unit that the task names is not that of plain ones, nor the other way round."""
    return "" if metric != task.metric and "chamfer" in metric else unit_of(task)


def _score_unit(task: TaskInfo, metric: str) -> str:
    return units.score_unit(_unit(task, metric))


def _delta_unit(task: TaskInfo) -> str:
    return units.delta_unit(unit_of(task))


def _head(task: TaskInfo, metric: str) -> str:
    unit = _score_unit(task, metric)
    return f"{name_of(metric)} ({unit})" if unit else name_of(metric)


def _column(heading: str, cells: Sequence[str]) -> Column:
    return Column(heading.replace(" ()", ""), cells, right=True)


def _value(row: Row, task: TaskInfo, metric: str, significant: int = 4) -> str:
    return units.score(row.accuracy.values.get(metric), _unit(task, metric), significant)


def _delta(row: Row, task: TaskInfo, metric: str) -> str:
    value, _, _ = row.accuracy.deltas.get(metric, (None, None, None))
    return units.score_delta(value, _unit(task, metric))


def _range(row: Row, task: TaskInfo, metric: str) -> str:
    _, low, high = row.accuracy.deltas.get(metric, (None, None, None))
    return units.score_range(low, high, _unit(task, metric))


def _verdict(row: Row) -> str:
    return units.UNKNOWN if row.accuracy.verdict is None else VERDICTS[row.accuracy.verdict]


def _agreement(row: Row) -> str:
    """In percent; 100 only where all are."""
    if row.accuracy.agreement is None:
        return units.UNKNOWN
    if row.accuracy.changed_count == 0:
        return "all"
    return f"{min(99.99, 100 * row.accuracy.agreement):.2f} %"


def _difference(row: Row, name: str) -> float | None:
    found: float | None = getattr(row.result.difference, name) if row.result.difference is not None else None
    return found


def _psnr(row: Row) -> str:
    if _difference(row, "max_abs") == 0:
        return "equal"
    value = _difference(row, "psnr_db")
    return units.UNKNOWN if value is None else f"{value:.1f}"


def _cosine(row: Row) -> str:
    value = _difference(row, "cosine")
    return units.UNKNOWN if value is None else f"{value:.6f}"


def _cells(row: Row, task: TaskInfo) -> list[Text]:
    main, *others = _metrics(task)
    count = row.accuracy.changed_count
    changed = f"{count:,} other{'s' * (count != 1)}" if count else ""
    return [
        Text(row.name),
        _text(row.ran, "the runtime doesn’t tell which precision ran"),
        _text(_value(row, task, main), NO_VALUE),
        _text(_delta(row, task, main), NO_DELTA, ", ".join(_known(_range(row, task, main), _verdict(row)))),
        _text(_agreement(row), NO_DELTA, changed),
        *(_text(_value(row, task, each), NO_VALUE, "".join(_known(_delta(row, task, each)))) for each in others),
        _text(units.small(_difference(row, "max_abs")), NOT_HELD, units.small(_difference(row, "relative"))),
        _text(_psnr(row), NOT_HELD),
        _text(_cosine(row), NOT_HELD),
    ]


def _text(shown: str, why_not: str, sub: str = "") -> Text:
    """A figure, with the reason where it is a dash."""
    return Text(shown, why_not) if shown == units.UNKNOWN else Text(shown, None, sub)


def _known(*shown: str) -> list[str]:
    return [each for each in shown if each != units.UNKNOWN]


def _absent(row: Figures, columns: int) -> list[Text]:
    return [Text(row.name), Text(units.UNKNOWN, row.why or "it was not scored"), *[Text(units.UNKNOWN)] * (columns - 2)]


# ---------------------------------------------------------------- sentences


def _loss(row: Row, task: TaskInfo) -> tuple[str, str]:
    """``lose``, ``1.20 points (0.40 to 2.00) of mAP@.5``; or ``raise``, ``RMSE by 0.35 USD (0.21 to 0.49)``."""
    value, low, high = row.accuracy.deltas[task.metric]
    unit, falls = unit_of(task), value < 0
    amount = units.with_unit(_without_sign(value, unit), _delta_unit(task))
    if low is not None and high is not None:
        near, far = sorted((-low, -high) if falls else (low, high))  # as a loss: from the least to the most
        amount += f" ({units.score_delta(near, unit).lstrip('+')} to {units.score_delta(far, unit).lstrip('+')})"
    metric = name_of(task.metric)
    return ("lose", f"{amount} of {metric}") if falls else ("raise", f"{metric} by {amount}")


def _without_sign(value: float, unit: str) -> str:
    return units.score_delta(abs(value), unit).lstrip("+")


def _otherwise(row: Row, task: TaskInfo) -> str:
    said = f"{row.name} gives {_count(row)}"
    interval = units.with_unit(_range(row, task, task.metric), _delta_unit(task))
    if row.accuracy.verdict == "no-difference":
        return f"{said}; no difference of {name_of(task.metric)} is shown ({interval})"
    return said


def _count(row: Row) -> str:
    """``another answer than the reference to 3 of 500 samples``."""
    accuracy = row.accuracy
    common = accuracy.samples
    if accuracy.agreement is not None and accuracy.agreement < 1:
        common = round(accuracy.changed_count / (1 - accuracy.agreement))
    return f"another answer than the reference to {accuracy.changed_count:,} of {common:,} samples"


def _answered(task: TaskInfo, rows: Sequence[Row]) -> list[str]:
    held = [row for row in rows if row.accuracy.agreement is not None]
    changed = [row for row in held if row.accuracy.changed_count]
    if not held:
        return []
    if not changed:
        who = f"All {len(held)} contenders give" if len(held) > 1 else f"{held[0].name} gives"
        return [f"{who} the reference's answer to every one of {held[0].accuracy.samples:,} samples."]
    said = []
    for row in changed:
        such = [each.sample for each in row.accuracy.changed[:TOLD]]
        examples = f", such as {units.joined(such)}" if such else ""
        said.append(f"{row.name} gives {_count(row)}{examples}.")
    same = [row.name for row in held if row not in changed]
    return [*said, *([f"The reference's answers throughout: {units.joined(same)}."] if same else [])]


def _left_out(rows: Sequence[Row]) -> list[str]:
    """Once for all contenders that left out the same ones."""
    groups: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for row in rows:
        if row.accuracy.left_out_count:
            groups.setdefault((row.accuracy.left_out_count, tuple(row.accuracy.left_out)), []).append(row.name)
    said = []
    for (count, says), names in groups.items():
        by = "" if len(names) == len(rows) else f" for {units.joined(names)}"
        more = f"; and {count - TOLD:,} more" if count > TOLD else ""
        said.append(f"Left out{by}: {count:,} sample{'s' * (count != 1)}: {'; '.join(says[:TOLD])}{more}.")
    return said


def of_the_data(task: TaskInfo) -> list[str]:
    """What is odd in the data, a sentence each; of very many kinds, the last are counted."""
    said = [f"About the data: {note}." for note in task.notes[:NOTED]]
    return [*said, f"About the data: {len(task.notes) - NOTED:,} more such notes."] if len(task.notes) > NOTED else said


def _picture(uri: str | None) -> str | None:
    return uri if uri is not None and PICTURE.match(uri) else None
