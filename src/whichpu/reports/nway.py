"""Contenders of any files side by side: a table for each model, and in words what it can't say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from whichpu.reports import units
from whichpu.reports.figures import named, together
from whichpu.reports.tables import NAME_LEAST, Column, print_item, print_tables, safe, table
from whichpu.reports.words import VERDICTS
from whichpu.results.comparison import Comparison
from whichpu.results.entries import METRICS, Entry
from whichpu.results.nway import NEITHER

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_MOST = 20
"""Models, and reasons of one kind, that a terminal shows; JSON has all."""
CONTENDERS_MOST = 12
"""Contenders of a model that a terminal shows beside the baseline."""
MATRICES = ("latency_median", "latency_mean", "throughput")
"""Figures of which each contender is shown as a multiple of each other one."""
SHOWN = "Shown"
TITLES = {
    SHOWN: ("faster", "slower", "better", "worse"),
    "Not comparable": ("not-comparable",),
    "No difference shown": ("no-difference", "too-small-to-matter"),
}
SHORT = {"not-comparable": "not comparable", "no-difference": "not shown", "too-small-to-matter": "too small"}


def show(
    entries: Sequence[Entry],
    rows: Sequence[Comparison],
    pairs: Sequence[Comparison],
    screen: Console,
    *,
    only_ratios: bool = False,
) -> None:
    """Print ``rows`` (all against one baseline), and ``pairs`` (each against each), model by model. ``entries`` are
    under the names of the rows. ``only_ratios``: figures as multiples of the baseline's, with intervals."""
    by_model: dict[str, list[Comparison]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    there = {(entry.model, entry.contender): entry for entry in entries}
    for model, each in list(by_model.items())[:SHOWN_MOST]:
        _model(model, each, there, screen, only_ratios)
        _matrices([row for row in pairs if row.model == model], screen)
        _words(each, screen)
    if len(by_model) > SHOWN_MOST:
        screen.print(f"\n{len(by_model) - SHOWN_MOST:,} more models: see --json.", markup=False)
    _left_open(rows, screen)


def _model(
    model: str, rows: Sequence[Comparison], there: dict[tuple[str, str], Entry], screen: Console, only_ratios: bool
) -> None:
    base = rows[0].baseline
    names = list(dict.fromkeys(row.contender for row in rows))
    keys = sorted({row.metric for row in rows}, key=_place)
    found = {(row.metric, row.contender): row for row in rows}
    shown = names[:CONTENDERS_MOST]
    known = {name: there.get((model, name)) for name in (base, *shown)}
    cells = [_cells(key, [base, *shown], known, found, only_ratios) for key in keys]
    figures = Column("", [_heading(key, unit) for key, (unit, _) in zip(keys, cells, strict=True)], folds=True)
    columns = [
        Column(_called(name, base, known[name], only_ratios), [texts[at] for _, texts in cells], folds=True)
        for at, name in enumerate([base, *shown])
    ]
    screen.print(f"\n[bold]{safe(model)}[/bold]", highlight=False)
    how = f"normalised to {base}" if only_ratios else f"baseline: {base}"
    print_tables(screen, figures._replace(least_of_names=NAME_LEAST), {how: columns})
    if len(names) > len(shown):
        screen.print(f"{len(names) - len(shown):,} more contenders: see --json.", markup=False)


def _place(key: str) -> tuple[int, str]:
    """Latencies first, scores last."""
    return (list(METRICS).index(key) if key in METRICS else len(METRICS), key)


def _cells(
    key: str,
    names: Sequence[str],
    known: dict[str, Entry | None],
    found: dict[tuple[str, str], Comparison],
    only_ratios: bool,
) -> tuple[str, list[str]]:
    """The unit of a row, and its cells: the baseline's first."""
    values = [entry.values.get(key) if (entry := known[name]) is not None else None for name in names]
    unit, texts = together(values)
    if only_ratios:
        unit, texts = "", ["1" if values[0] is not None else units.UNKNOWN, *texts[1:]]
    for at, name in enumerate(names[1:], 1):
        row = found.get((key, name))
        if only_ratios:
            texts[at] = _ratio(row)
        elif row is not None and values[at] is not None:
            texts[at] = " ".join([texts[at], _held(row)]).rstrip()
    return unit, texts


def _held(row: Comparison) -> str:
    """In brackets: how many times the baseline's, or how far from it, and the verdict."""
    word = SHORT.get(row.verdict, VERDICTS[row.verdict])
    if row.ratio is not None:
        return f"({units.digits(row.ratio)} x, {word})"
    if row.delta is not None:
        return f"({_delta(row)}, {word})"
    return "" if row.baseline_value is None or row.reason == NEITHER else f"({word})"


def _delta(row: Comparison) -> str:
    unit = row.unit or ""
    return units.with_unit(units.score_delta(row.delta, unit), units.delta_unit(unit))


def _ratio(row: Comparison | None) -> str:
    if row is None or (row.ratio is None and row.delta is None):
        return units.UNKNOWN
    if row.ratio is None:
        return _delta(row)
    interval = f" ({units.digits(row.low)} to {units.digits(row.high)})" if row.low and row.high else ""
    return f"{units.digits(row.ratio)}{interval}"


def _heading(key: str, unit: str) -> str:
    return f"{named(key)} ({unit})" if unit else named(key)


def _called(name: str, base: str, entry: Entry | None, only_ratios: bool) -> str:
    marks = ["baseline"] if name == base and not only_ratios else []
    marks += ["estimated"] if entry is not None and entry.estimated else []
    return f"{name} [{', '.join(marks)}]" if marks else name


# ---------------------------------------------------------------- each against each


def _matrices(pairs: Sequence[Comparison], screen: Console) -> None:
    """Of three and more contenders: each row's figure over each column's."""
    names = list(dict.fromkeys(row.baseline for row in pairs))
    if len(names) < 3:
        return
    for key in MATRICES:
        ratios = {(row.contender, row.baseline): row.ratio for row in pairs if row.metric == key}
        if not any(ratios.values()):
            continue
        columns = [
            Column(
                f"over {below}", ["1" if name == below else units.digits(ratios.get((name, below))) for name in names]
            )
            for below in names
        ]
        screen.print(table(f"{named(key)}: the row's over the column's", [Column("", names), *columns]))


# ---------------------------------------------------------------- in words


def _words(rows: Sequence[Comparison], screen: Console) -> None:
    """Why each verdict: reasons once each, with the figures and contenders that they are about."""
    groups: dict[str, list[Comparison]] = {title: [] for title in TITLES}
    for row in rows:
        if row.reason != NEITHER:
            groups[next((title for title, verdicts in TITLES.items() if row.verdict in verdicts), SHOWN)].append(row)
    for title, each in groups.items():
        about: dict[tuple[str, str], list[str]] = {}
        for row in each:
            about.setdefault((row.contender, row.reason.removeprefix("no difference shown: ")), []).append(row.metric)
        names: dict[tuple[str, str], list[str]] = {}
        for (name, reason), keys in about.items():
            names.setdefault((_all_named(keys), reason), []).append(name)
        _items(title, [f"{what} of {units.joined(who)}: {reason}" for (what, reason), who in names.items()], screen)


def _left_open(rows: Sequence[Comparison], screen: Console) -> None:
    """Caveats once each, with the figures that they are about unless that is all of them."""
    about: dict[str, dict[str, None]] = {}
    for row in rows:
        for caveat in row.caveats:
            about.setdefault(caveat, {})[row.metric] = None
    held = {row.metric for row in rows if row.caveats}
    said = [f"{'' if keys.keys() == held else f'{_all_named(keys)}: '}{caveat}" for caveat, keys in about.items()]
    _items("What the files leave open", said, screen)


def _items(title: str, said: Sequence[str], screen: Console) -> None:
    if said:
        screen.print(f"[bold]{title}[/bold]", highlight=False)
    for each in said[:SHOWN_MOST]:
        print_item(screen, each, indent=2)
    if len(said) > SHOWN_MOST:
        print_item(screen, f"and {len(said) - SHOWN_MOST:,} more: see --json", indent=2)


def _all_named(keys: Iterable[str]) -> str:
    """Figures in words, latencies in one: ``latency (mean, p99), throughput``."""
    keys = list(dict.fromkeys(keys))
    latencies = [key.removeprefix("latency_") for key in keys if key.startswith("latency_")]
    others = [named(key) for key in keys if not key.startswith("latency_")]
    return ", ".join([f"latency ({', '.join(latencies)})", *others] if latencies else others)
