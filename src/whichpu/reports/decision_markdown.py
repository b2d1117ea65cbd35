"""A decision report as Markdown, for an issue, a wiki or a repository."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from whichpu.reports import decision_html, figures
from whichpu.reports.decision import Decision, Part, origins
from whichpu.reports.decision_pictures import held
from whichpu.reports.decision_words import GLOSSARY
from whichpu.reports.export_markdown import cell
from whichpu.reports.picture import Picture
from whichpu.results.nway import Contender, keys_of

FIRST = "<!-- whichpu report -->"
BEGINNING = re.compile(re.escape(FIRST).encode())


def written(decision: Decision, pictures: dict[str, list[Picture]], folder: Path | None = None) -> str:
    """The report; charts are linked to where ``folder`` (as seen from the file) has them."""
    return "\n".join([FIRST, *_lines(decision, pictures, folder)]) + "\n"


def _lines(decision: Decision, pictures: dict[str, list[Picture]], folder: Path | None) -> Iterator[str]:
    label = decision.words.label
    yield f"# {cell(decision.headline)}"
    for part in decision.parts:
        yield from ("", f"## {cell(part.model)}", "")
        yield from _advice(decision, part)
        yield from ("", *_table(decision, part))
        yield from _pictures(pictures.get(part.model, []), folder)
    yield from _pictures(pictures.get("", []), folder)
    yield from ("", f"## {label('What the figures say')}")
    for section in decision.sentences if decision.parts else []:
        yield from ("", f"### {section.heading}", "", *(f"- {cell(line)}" for line in section.sentences))
    yield from ("", f"## {label('Where the figures come from')}", "")
    for origin in origins(decision):
        facts = "; ".join(f"{label(name)}: {value}" for name, value in origin.facts)
        yield f"- {cell(origin.file)}: {cell(origin.by)}; {cell(facts)}; SHA-256 `{origin.sha256}`"
    yield from ("", f"## {label('Glossary')}", "")
    yield from (f"- **{cell(label(term))}**: {cell(label(says))}" for term, says in GLOSSARY)


def _advice(decision: Decision, part: Part) -> Iterator[str]:
    yield from (f"- {cell(reason.text)}" for reason in part.advice.reasons)
    for heading, found in (("What would change it", part.advice.flips), ("What would let one in", part.advice.relax)):
        if found:
            yield from ("", f"{decision.words.label(heading)}:", "")
            yield from (f"- {cell(each.reason.text)}" for each in found)


def _table(decision: Decision, part: Part) -> Iterator[str]:
    """Figures, with how many times the baseline's they are; then why some are absent."""
    words = decision.words
    keys = [key for key in keys_of(part.entries) if any(key in entry.values for entry in part.entries)]
    columns = [figures.together([entry.values.get(key) for entry in part.entries]) for key in keys]
    heads = [f"{words.metric(key)}{f' ({unit})' * bool(unit)}" for key, (unit, _) in zip(keys, columns, strict=True)]
    yield _line([words.label("contender"), *heads])
    yield _line(["---", *["--:"] * len(keys)])
    for at, each in enumerate(part.contenders):
        shown = [texts[at] + _held(decision, part, each, key) for key, (_, texts) in zip(keys, columns, strict=True)]
        estimated = f" ({words.label('estimated')})" if each.entry.estimated else ""
        yield _line([each.name + estimated, *shown])
    yield from _absent(decision, part, keys)


def _held(decision: Decision, part: Part, each: Contender, key: str) -> str:
    row = part.row(each.name, key)
    told = held(decision.words, row) if row is not None and row.value is not None else ""
    return f" ({told})" if told else ""


def _absent(decision: Decision, part: Part, keys: Sequence[str]) -> Iterator[str]:
    said: dict[str, dict[str, None]] = {}
    for each in part.contenders:
        for key in keys:
            if key not in each.entry.values:
                said.setdefault(decision_html.absent(decision, each.entry, key), {})[each.name] = None
    if said:
        yield ""
        yield from (f"- –: {cell(', '.join(names))}: {cell(reason)}" for reason, names in said.items())


def _pictures(pictures: Sequence[Picture], folder: Path | None) -> Iterator[str]:
    if folder is None:
        return
    for each in pictures:
        place = f"{folder.as_posix()}/{each.name}.svg"
        yield from ("", f"![{cell(each.alt)}](<{place}>)", "", f"*{cell(each.title)}.* {cell(each.says)}")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"
