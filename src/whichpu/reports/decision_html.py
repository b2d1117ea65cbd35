"""A decision report as one HTML page: nothing to load; its charts answer to the pointer where scripts may run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, Any

from whichpu import __version__
from whichpu.graphs.document import ModelRow, TargetRow
from whichpu.recommend import Advice
from whichpu.reports import decision_pictures, figures, units
from whichpu.reports.decision import Decision, Part, origins
from whichpu.reports.decision_words import GLOSSARY
from whichpu.reports.html import Cell, Head, Mark, Notes, context, templates
from whichpu.reports.picture import Picture
from whichpu.results.anything import File
from whichpu.results.entries import Entry
from whichpu.results.nway import NEITHER, Contender, keys_of
from whichpu.results.reported import Reported

if TYPE_CHECKING:
    from markupsafe import Markup

FATES = ("accelerator", "host", "refused", "unknown", "folded")
BAND = 1000
"""Units across a band of operators."""


@dataclass(frozen=True)
class Sortable(Cell):
    """A cell with the number that a column is sorted by."""

    value: float | None = None


@dataclass
class View:
    """One model on the page."""

    id: str
    part: Part
    heads: list[Head]
    rows: list[list[Cell]]
    notes: Notes
    doubts: dict[str, tuple[Mark, list[str]]]
    pictures: list[Picture]

    @property
    def shown(self) -> list[str]:
        """Contenders that have figures."""
        return [each.name for each in self.part.contenders if each.entry.values]

    @property
    def advice(self) -> Advice:
        return self.part.advice


def page(decision: Decision, pictures: dict[str, list[Picture]] | None = None) -> str:
    """The whole page. ``pictures`` are those of the models, where they were drawn before.

    Raises :class:`whichpu.errors.UserError` for a baseline that is not there.
    """
    drawn = pictures if pictures is not None else drawings(decision)
    ours = [(file.name, file.content) for file in decision.files if not isinstance(file.content, Reported)]
    base = decision.baseline if decision_pictures.of_campaigns(decision) else None
    views = [_view(f"d{at}", decision, part, drawn[part.model]) for at, part in enumerate(decision.parts, 1)]
    lively = any(each.spec for view in views for each in view.pictures)
    scripts = [*([bundle()] if lively else []), own_script()]
    return (
        templates()
        .get_template("decision.html.j2")
        .render(
            context(ours, base)
            | {
                "decision": decision,
                "words": decision.words,
                "label": decision.words.label,
                "language": decision.language,
                "parts": views,
                "several": len(views) > 1,
                "bars": next(iter(drawn.get("", [])), None),
                "placements": [
                    _placement(name, model, one) for name, model in decision.analyses for one in model.targets
                ],
                "origins": origins(decision),
                "glossary": GLOSSARY,
                "scripts": [_ours(script) for script in scripts],
                "allowed": " ".join(_hash(script) for script in scripts),
                "version": __version__,
            }
        )
    )  # fmt: skip


def drawings(decision: Decision) -> dict[str, list[Picture]]:
    """The charts of each model; under an empty name the one of all models."""
    drawn = {part.model: decision_pictures.pictures(decision, part) for part in decision.parts}
    bars = decision_pictures.normalised(decision)
    return drawn | ({"": [bars]} if bars is not None else {})


def of_files(
    files: Sequence[File],
    normalise_to: str | None = None,
    language: str = "en",
    analyses: Sequence[tuple[str, ModelRow]] = (),
) -> str:
    """The page of results of any files."""
    return page(Decision(files, normalise_to, language, analyses))


# ---------------------------------------------------------------- one model


def _view(id: str, decision: Decision, part: Part, pictures: list[Picture]) -> View:
    notes = Notes(id)
    doubts: dict[str, tuple[Mark, list[str]]] = {}
    keys = [key for key in keys_of(part.entries) if any(key in entry.values for entry in part.entries)]
    columns = [(key, *figures.together([entry.values.get(key) for entry in part.entries])) for key in keys]
    words = decision.words
    heads = [Head(words.label("contender"), words=True)]
    heads += [Head(words.metric(key), unit) for key, unit, _ in columns]
    rows = []
    for at, each in enumerate(part.contenders):
        line: list[Cell] = [_name(decision, part, each, doubts, notes)]
        line += [_figure(decision, part, each.name, each.entry, key, texts[at], notes) for key, _, texts in columns]
        rows.append(line)
    return View(id, part, heads, rows, notes, doubts, pictures)


def _name(
    decision: Decision, part: Part, each: Contender, doubts: dict[str, tuple[Mark, list[str]]], notes: Notes
) -> Cell:
    """A contender, with what tells it from others below its name."""
    entry, words = each.entry, decision.words
    marks = []
    for says in entry.doubts:
        mark = doubts.setdefault(says, (_sign(notes, doubts), []))
        mark[1].append(each.name)
        marks.append(mark[0])
    marks.sort(key=lambda mark: int(mark.sign.strip("()")))
    estimated = words.label("estimated by {tool}", tool=entry.tool) if entry.estimated else ""
    files = {one.file for one in part.entries}
    facts = [entry.device, entry.precision, entry.file if len(files) > 1 else "", estimated]
    told = " · ".join(fact for fact in facts if fact and fact not in each.name)
    return Cell(each.name, told, tuple(marks), "estimated" if entry.estimated else "")


def _sign(notes: Notes, doubts: dict[str, tuple[Mark, list[str]]]) -> Mark:
    sign = str(len(doubts) + 1)
    return Mark(f"({sign})", f"{notes.prefix}-doubt-{sign}", "doubt")


def _figure(decision: Decision, part: Part, name: str, entry: Entry, key: str, text: str, notes: Notes) -> Cell:
    value, row, words = entry.values.get(key), part.row(name, key), decision.words
    if value is None:
        return Sortable(units.UNKNOWN, marks=(notes.reason(absent(decision, entry, key)),))
    interval = units.spread(value.value, value.low, value.high) if value.low is not None else ""
    if name == part.baseline:
        sub = words.label("baseline") if key == part.main else ""
        return Sortable(text, " ".join(filter(None, [interval, sub])), value=value.value, tone="front" * bool(sub))
    told = "; ".join(filter(None, [interval, decision_pictures.held(words, row, short=True) if row else ""]))
    refused = row is not None and row.verdict == "not-comparable" and row.baseline_value is not None
    marks = (notes.reason(row.reason),) if row is not None and refused and row.reason != NEITHER else ()
    return Sortable(text, told, marks, title=row.reason if row else "", value=value.value)


def absent(decision: Decision, entry: Entry, key: str) -> str:
    """Why a figure is not there, in words."""
    reason = entry.absent.get(key, NOT_THERE)
    if not entry.values and entry.absent:
        reason = next(iter(entry.absent.values()))  # why there is nothing at all
    if not reason.startswith(NOT_THERE):
        return decision.words.label(reason)
    return decision.words.label("{file} holds no {figure}", file=entry.file, figure=decision.words.metric(key))


# ---------------------------------------------------------------- placements


def _placement(name: str, model: ModelRow, one: TargetRow) -> dict[str, Any]:
    """A model on an NPU, from an analysis: shares, and a band of its operators in their order."""
    fates = [_fate(row.placed, one) for row in one.operators]
    return {
        "file": name,
        "model": model.model,
        "target": one,
        "runs": list(_runs(fates)),
        "width": BAND,
        "fates": [fate for fate in FATES if fate in fates],
        "reasons": _reasons(one),
        "share": units.percent(one.operator_share),
        "mac_share": units.percent(one.mac_share),
        "boundary": units.size(one.boundary_bytes),
    }


def _fate(placed: str, one: TargetRow) -> str:
    return {one.unit: "accelerator", one.host: "host"}.get(placed, placed)


def _runs(fates: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Stretches of one fate: which, from where, how far."""
    at = 0
    for fate, group in groupby(fates):
        count = len(list(group))
        yield fate, round(BAND * at / len(fates), 2), round(BAND * count / len(fates), 2)
        at += count


REASONS_MOST = 8
NOT_THERE = "the file holds no "
LICENCES = "Vega, Vega-Lite, Vega-Embed (BSD-3-Clause) and what they need (BSD-3-Clause, ISC, MIT): vega.github.io"


def _reasons(one: TargetRow) -> list[tuple[str, int]]:
    """Why operators stay behind, the most frequent first."""
    found: dict[str, int] = {}
    for row in one.operators:
        if row.reason and _fate(row.placed, one) not in ("accelerator", "folded"):
            found[f"{row.type}: {row.reason}"] = found.get(f"{row.type}: {row.reason}", 0) + 1
    return sorted(found.items(), key=lambda pair: -pair[1])[:REASONS_MOST]


# ---------------------------------------------------------------- scripts


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    made: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return f"/* {LICENCES} */\n{_closed(made)}"


@cache
def own_script() -> str:
    """What makes the page answer."""
    place = resources.files("whichpu.reports") / "templates" / "decision.js"
    return _closed(place.read_text(encoding="utf-8"))


def _closed(script: str) -> str:
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r\n", "\n").replace("\r", "\n")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _ours(script: str) -> Markup:
    from markupsafe import Markup

    return Markup(script)
