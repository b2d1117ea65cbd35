"""Markdown tables of any results, to be pasted into an issue or a page: one for each model, and what is absent, why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from whichpu.reports import units
from whichpu.reports.figures import named, together
from whichpu.results.anything import File
from whichpu.results.entries import Entry
from whichpu.results.exporters import Written
from whichpu.results.nway import Contender, grouped, keys_of

KIND = "Markdown of `whichpu export`"
TITLE = "### whichpu export"
BEGINNING = re.compile(TITLE.encode())


def write(files: Sequence[File]) -> Written:
    """A table for each model: contenders by figures, one unit a column."""
    groups = grouped(entry for file in files for entry in file.entries)
    parts = [TITLE, *(line for model, group in groups.items() for line in _model(model, group))]
    return Written(("\n".join(parts) + "\n").encode(), [])


def _model(model: str, group: Sequence[Contender]) -> Iterator[str]:
    entries = [each.entry for each in group]
    keys = keys_of(entries)
    columns = [together([entry.values.get(key) for entry in entries]) for key in keys]
    heads = [
        units.with_unit(named(key), f"({unit})") if unit else named(key)
        for key, (unit, _) in zip(keys, columns, strict=True)
    ]
    yield from ("", f"**{cell(model)}**", "")
    yield _line(["contender", *heads])
    yield _line(["---", *["--:"] * len(keys)])
    for at, each in enumerate(group):
        yield _line([_called(each), *(texts[at] for _, texts in columns)])
    told = list(_absent(group, keys))
    if told:
        yield from ("", f"{units.UNKNOWN} is not known:", "", *told)


def _called(each: Contender) -> str:
    return f"{each.name} (estimated by {each.entry.tool})" if each.entry.estimated else each.name


def _absent(group: Sequence[Contender], keys: Sequence[str]) -> Iterator[str]:
    """Why figures of the table are absent, each reason once."""
    for each in group:
        reasons: dict[str, list[str]] = {}
        for key in keys:
            if key not in each.entry.values:
                reasons.setdefault(_why(each.entry, key), []).append(named(key))
        for reason, names in reasons.items():
            yield f"- {cell(each.name)}: {', '.join(names)}: {cell(reason)}"


def _why(entry: Entry, key: str) -> str:
    return entry.absent.get(key, "the file does not tell it")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"


def cell(text: str) -> str:
    """One line that a Markdown table takes as it is."""
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", " ".join(text.split()))
