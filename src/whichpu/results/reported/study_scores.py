"""The JSON of a study of accuracy: tables of models by runtimes, under keys that name the task and the metric.

``{"characters_map50": {"YOLOv7": {"PyTorch": 0.998, "OpenCV DNN": {"value": 0.99, "delta": 0.0}}}}``. Where a delta in
percentage points is printed beside a value, it is computed anew from the reference runtime's value (PyTorch where there
is one, else the first); one that does not follow is flagged as a doubt, for one of the two is a misprint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from whichpu.errors import UserError
from whichpu.results.entries import METRICS, Entry, Value
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.fields import json_of, number, scaled
from whichpu.results.reported.study import SCORES, Number, score_named, words_of

TOOL = "study"
REFERENCE = re.compile("pytorch|torch", re.IGNORECASE)
TABLE = re.compile(r'"([^"\\]{1,80})"\s*:\s*\{\s*"[^"\\]{1,80}"\s*:\s*\{\s*"[^"\\]{1,80}"\s*:\s*[-\d{]')
IN_WORDS = re.compile(r"printed as (\d+(?:\.\d+)?) with a delta of ([-+−]?\d+(?:\.\d+)?) points?")
POINTS = 100
"""Percentage points of a share."""


class Cell(NamedTuple):
    """A score of a table: its value in the metric's unit, and the delta in points that is printed beside it."""

    task: str
    metric: str
    model: str
    runtime: str
    value: float
    step: float
    delta: float | None
    delta_step: float
    where: str


# ---------------------------------------------------------------- the contract


def recognises(head: str, name: str) -> bool:
    """JSON with a table of models by runtimes under the name of a score."""
    return head.lstrip().startswith("{") and any(score_named(words_of(key)) for key in TABLE.findall(head))


def read(text: str, source: Source) -> Reported:
    """The scores of all models on all runtimes."""
    body = json_of(text, Number)
    notes: list[str] = []
    cells = list(_cells(body, notes)) if isinstance(body, dict) else []
    if not cells:
        raise UserError("no table of models by runtimes under the name of a score", "see docs/import.md")
    cells = _with_steps(_with_words(cells, _sentences(body)))
    doubts = {cell: said for cell in cells if (said := _misprint(cell, cells))}
    entries = [_entry(cell, source, doubts.get(cell)) for cell in cells]
    return Reported(format="study-scores", tool=TOOL, source=source, entries=entries, notes=notes)


# ---------------------------------------------------------------- cells


def _cells(body: Mapping[str, Any], notes: list[str]) -> Iterator[Cell]:
    for key, table in body.items():
        metric = score_named(words_of(key))
        if metric is None or not isinstance(table, dict):
            continue
        task = " ".join(word for word in words_of(key) if word != metric)
        for model, row in table.items():
            for runtime, told in row.items() if isinstance(row, dict) else ():
                cell = _cell(task, metric, model, runtime, told, f"$.{key}.{model}.{runtime}")
                if isinstance(cell, Cell):
                    yield cell
                else:
                    notes.append(cell)


def _cell(task: str, metric: str, model: str, runtime: str, told: Any, where: str) -> Cell | str:
    parts = told if isinstance(told, dict) else {"value": told}
    value, delta = parts.get("value", parts.get(metric)), parts.get("delta")
    known, known_delta = _as_number(value), _as_number(delta)
    if known is None:
        return f"{where}: no number, so it is absent"
    factor = 0.01 if SCORES[metric][0] == "share" and known > 1 else 1.0
    if SCORES[metric][0] == "share" and not 0 <= known * factor <= 1:
        return f"{where}: {known:g} is no {metric}"
    step, delta_step = (getattr(each, "step", 1.0) for each in (value, delta))
    return Cell(
        task, metric, model, runtime, scaled(known, factor), scaled(step, factor), known_delta, delta_step, where
    )


def _as_number(value: object) -> float | None:
    return number(value) if isinstance(value, (int, float)) else None


def _with_steps(cells: list[Cell]) -> list[Cell]:
    """A table's scores are printed alike: as finely as its finest."""
    finest = {
        (cell.task, cell.metric): min(
            each.step for each in cells if (each.task, each.metric) == (cell.task, cell.metric)
        )
        for cell in {(cell.task, cell.metric): cell for cell in cells}.values()
    }
    return [cell._replace(step=finest[cell.task, cell.metric]) for cell in cells]


# ---------------------------------------------------------------- printed deltas


def _sentences(body: Mapping[str, Any]) -> list[str]:
    return [value for value in body.values() if isinstance(value, str) and IN_WORDS.search(value)]


def _with_words(cells: list[Cell], sentences: list[str]) -> list[Cell]:
    """Cells with the deltas that a sentence of the file tells of them: ``characters, YOLOv7, OpenCV DNN is printed as
    0.9900 with a delta of 0.00 points``."""
    for sentence in sentences:
        found = IN_WORDS.search(sentence)
        assert found is not None
        about = sentence[: found.start()]
        value, delta = Number(found[1]), Number(found[2].replace("−", "-"))
        names = [
            cell for cell in cells if cell.task in about and cell.runtime in about and _named(cell.model, about)
        ]  # fmt: skip
        for cell in names:
            if cell.delta is None and abs(cell.value - value) < value.step / 2:
                cells[cells.index(cell)] = cell._replace(delta=float(delta), delta_step=delta.step)
    return cells


def _named(name: str, text: str) -> bool:
    """``YOLOv7`` is not named by ``YOLOv7-tiny``."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _misprint(cell: Cell, cells: list[Cell]) -> str | None:
    """What is wrong with a printed delta; ``None`` where it follows from the values, or none is printed."""
    base = _reference(cell, cells)
    if cell.delta is None or base is None:
        return None
    scale = POINTS if SCORES[cell.metric][0] == "share" else 1.0
    points = (cell.value - base.value) * scale
    slack = (cell.step + base.step) / 2 * scale + cell.delta_step / 2
    if abs(points - cell.delta) <= slack * (1 + 1e-9):
        return None
    unit = " points" if scale == POINTS else ""
    return (
        f"printed with a delta of {cell.delta:.2f}{unit}, but {cell.value:.4f} less {base.value:.4f} of {base.runtime}"
        f" is {points:+.2f}{unit}: one of the two is a misprint"
    )


def _reference(cell: Cell, cells: list[Cell]) -> Cell | None:
    row = [each for each in cells if (each.task, each.metric, each.model) == (cell.task, cell.metric, cell.model)]
    return next((each for each in row if REFERENCE.search(each.runtime)), row[0])


# ---------------------------------------------------------------- entries


def _entry(cell: Cell, source: Source, doubt: str | None) -> Entry:
    unit, better = SCORES[cell.metric]
    protocol = f"{' '.join((cell.task, cell.metric)).strip()} of {source.name}"
    value = Value(
        value=cell.value, unit=unit, better=better, step=cell.step, terms={"protocol": protocol}, where=cell.where
    )
    return Entry(
        model=f"{cell.model} ({cell.task})" if cell.task else cell.model,
        contender=cell.runtime,
        file=source.name,
        sha256=source.sha256,
        tool=TOOL,
        values={f"score:{cell.metric}": value},
        absent={key: f"the file holds no {metric.says}" for key, metric in METRICS.items()},
        doubts=[doubt] if doubt else [],
    )
