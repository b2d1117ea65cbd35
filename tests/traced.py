"""Re-reads a foreign file at the place that a figure names, without the importers: is the figure there?

A place is a JSON (or YAML) path, ``line N`` with more words, or words of a log (``VDD_IN of 6 lines``). A figure is the
number that stands there in another unit of the same quantity, or a statistic of the numbers there, where the place is a
``[*]``, names several lines, or joins several places by ``+``.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import yaml

from whichpu.results.entries import Value

NUMBERS = re.compile(r"(?<![\w.])[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|\d+(?:\.\d+)?")
SCALES = {
    "ns": (1.0, 1e3, 1e6, 1e9),
    "B": (1.0, 1e3, 1e6, 1e9, 2.0**10, 2.0**20, 2.0**30),
    "W": (1.0, 1e-3),
    "J": (1.0, 1e-3, 3.6e6),
    "share": (1.0, 1e-2),
}
WAYS_MOST = 2_000
STATISTICS = {
    "latency_mean": (np.mean, np.sum),
    "latency_median": (np.median,),
    "latency_min": (np.min,),
    "latency_max": (np.max,),
    "latency_std": (lambda values: np.std(values, ddof=1),),
    "latency_p90": (lambda values: np.percentile(values, 90),),
    "latency_p95": (lambda values: np.percentile(values, 95),),
    "latency_p99": (lambda values: np.percentile(values, 99),),
    "latency_p99.9": (lambda values: np.percentile(values, 99.9),),
}
"""Of single readings; of anything else the mean, the sum or the largest."""


def is_there(metric: str, value: Value, text: str) -> bool:
    """Does the file hold a figure, at the place that it names, in a unit of its quantity?"""
    scales = SCALES.get(value.unit, (1.0, 1e-2))
    of_many = STATISTICS.get(metric, (np.mean, np.sum, np.max))
    for numbers in readings_at(value.where, text):
        found = numbers
        if len(numbers) > 1 and several(value.where):
            array = np.asarray(numbers, dtype=float)
            with np.errstate(all="ignore"):
                found = [float(of(array)) for of in of_many]
        if any(close(number * scale, value.value) for number in found for scale in scales):
            return True
    return False


def several(where: str) -> bool:
    return "[*]" in where or " of " in where or " + " in where or where.startswith("column ")


def close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-9 * max(abs(one), abs(other))


def readings_at(where: str, text: str) -> Iterator[list[float]]:
    """The numbers at a place, one list for each way to read it; none where there is no such place."""
    line, column = re.match(r"line (\d+)(?:, (.*))?$", where), re.match(r"column (\d+)$", where)
    logged = re.match(r"(.+) of (\d+) lines?$", where)
    if line:
        yield from of_line(int(line[1]), line[2] or "", text)
    elif column:
        yield from of_column(int(column[1]) - 1, text)
    elif logged:
        yield from of_log(logged[1].split(" + "), int(logged[2]), text)
    elif " of " in where and where.startswith("[*]"):
        yield from of_events(where, text)
    else:
        yield of_tree(where, text)


def in_words(text: str) -> list[float]:
    found = []
    for match in NUMBERS.finditer(text):
        try:
            found.append(float(match[0]))
        except (ValueError, OverflowError):
            continue
    return found


# ---------------------------------------------------------------- lines and tables


def of_line(number: int, more: str, text: str) -> Iterator[list[float]]:
    """The numbers of a line, or of its cell in a column; lines end as Python's or as a table's do."""
    for lines in (text.splitlines(), text.split("\n")):
        if number <= len(lines):
            column = more.removeprefix("column ") if more.startswith("column ") else None
            yield from [in_words(lines[number - 1])] if column is None else of_cell(lines, number, column)
    if more.startswith("column "):
        yield from of_table(number, more.removeprefix("column "), text)


def of_table(number: int, column: str, text: str) -> Iterator[list[float]]:
    """The cell of a record that ends on a line: a stray quote joins lines."""
    for delimiter in (",", ";"):
        names: list[str] = []
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        for row in reader:
            names = names or [name.strip() for name in row if any(map(str.strip, row))]
            if reader.line_num == number and column in names and names.index(column) < len(row):
                yield in_words(row[names.index(column)])


def of_cell(lines: list[str], number: int, column: str) -> Iterator[list[float]]:
    """The cell of a table, under any line that may be its header; where it is no CSV, all numbers of the line."""
    tabular = False
    for delimiter in (",", ";"):
        for header in (line for line in lines if column in line and delimiter in line):
            names = [name.strip() for name in row_of(header, delimiter)]
            row = row_of(lines[number - 1], delimiter)
            if column in names and names.index(column) < len(row):
                tabular = True
                yield in_words(row[names.index(column)])
    if not tabular:
        yield in_words(lines[number - 1])


def row_of(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def of_column(at: int, text: str) -> Iterator[list[float]]:
    """The numbers of a column, by what the first one says; then each alone."""
    rows = [row for line in text.splitlines() if at < len(row := row_of(line, ","))]
    for first in dict.fromkeys(row[0].strip() for row in rows):
        yield [number for row in rows if row[0].strip() == first for number in in_words(row[at])]
    yield from ([number] for row in rows for number in in_words(row[at]))


def of_log(names: Sequence[str], count: int, text: str) -> Iterator[list[float]]:
    """tegrastats: the mean (or the largest) of the numbers that follow a name, one a line, of ``count`` lines; of
    several names the sum of their means. Where a line is damaged or holds the name twice, each way to read it."""
    ways = [means_of(name, count, text) for name in names]
    for means in itertools.islice(itertools.product(*ways), WAYS_MOST):
        yield [sum(means)]
    if len(names) == 1:
        yield from ([number] for numbers in of_name(names[0], text) for number in numbers)


def means_of(name: str, count: int, text: str) -> list[float]:
    found: dict[float, None] = {}
    lines = of_name(name, text)
    for chosen in itertools.combinations(lines, min(count, len(lines))):
        for numbers in itertools.islice(itertools.product(*chosen), WAYS_MOST):
            found[float(np.mean(numbers))] = None
    for numbers in lines:
        found |= dict.fromkeys(numbers)
    return list(found)


def of_name(name: str, text: str) -> list[list[float]]:
    """``VDD_IN 4850mW/4850mW``, ``GR3D_FREQ 12%@1300``, ``GPU@34C``: a temperature stands behind an at."""
    plain, behind, unit = name, r"\s+", "(?:mW|/)"
    if name.endswith(" temperature"):
        plain, behind, unit = name.removesuffix(" temperature"), "@", "C"
    elif name == "GR3D_FREQ":
        unit = "%"
    pattern = re.compile(rf"(?<![\w]){re.escape(plain)}{behind}(-?\d+(?:\.\d+)?){unit}")
    found = ([float(number) for number in pattern.findall(line)] for line in text.splitlines())
    return [numbers for numbers in found if numbers]


# ---------------------------------------------------------------- JSON and YAML


def tree_of(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        return yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader))


def of_tree(where: str, text: str) -> list[float]:
    tree = tree_of(text)
    parts = [part.removeprefix("$").removeprefix(".") for part in where.split(" + ")]
    return [number for part in parts for number in walked(tree, part)]


def of_events(where: str, text: str) -> Iterator[list[float]]:
    """``[*].dur of model_run``: of the events of that name, with or without the first one."""
    place, _, name = where.partition(" of ")
    items = [item for item in tree_of(text) if isinstance(item, dict) and item.get("name") == name]
    found = list(walked(items, place))
    yield found
    yield found[1:]


def walked(tree: Any, path: str) -> Iterator[float]:
    """The numbers at a path; keys may hold dots, so that every reading of it is tried."""
    if not path:
        yield from numbers_of(tree)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if path == key or path.startswith((f"{key}.", f"{key}[")):
                yield from walked(value, path[len(key) :].removeprefix("."))
    elif isinstance(tree, list) and (index := re.match(r"\[(\*|\d+)\]\.?", path)):
        chosen = tree if index[1] == "*" else tree[int(index[1]) : int(index[1]) + 1]
        for item in chosen:
            yield from walked(item, path[index.end() :])


def numbers_of(leaf: Any) -> Sequence[float]:
    if isinstance(leaf, bool) or leaf is None:
        return ()
    if isinstance(leaf, (int, float)):
        try:
            return (float(leaf),)
        except OverflowError:
            return ()
    if isinstance(leaf, dict):
        return [number for value in leaf.values() for number in numbers_of(value)]
    return in_words(leaf) if isinstance(leaf, str) else ()
