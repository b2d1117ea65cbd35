"""Logs of ``tegrastats`` as figures: the mean of each power rail, of the GPU's load and of temperatures, peak memory.

A log knows no model and no inference: ``whichpu join`` sets it beside a run of ours, whose windows it then cuts out.
Here it is taken whole, whatever the board did meanwhile. What the rails hold: :mod:`whichpu.worker.rails`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from whichpu.errors import UserError
from whichpu.results.entries import Entry
from whichpu.results.importers import Log, Options, Series, tegrastats
from whichpu.results.reported import Reported, Source
from whichpu.results.reported.figures import AGAIN, Figures, told

TOOL = "tegrastats"
TOTALS = ("board", "module")
WHOLE = "the mean over the whole log, whatever ran: whichpu join cuts out the windows of a run"


def recognises(head: str, name: str) -> bool:
    """Does a line begin as tegrastats' do?"""
    return tegrastats.recognises(head)


def read(text: str, source: Source) -> Reported:
    """An entry of the board, and one of each further rail. Raises :class:`UserError`."""
    try:
        return _read(tegrastats.read(text, Options()), source)
    except OverflowError as problem:
        raise UserError("holds a number that no sensor reads", AGAIN) from problem


def _read(log: Log, source: Source) -> Reported:
    power = [one for one in log.series if one.channel.quantity == "power" and one.values]
    total = next((one for scope in TOTALS for one in power if one.channel.scope == scope), None)
    figures = Figures(TOOL)
    if total is not None:
        _put(figures, "power", total, 1e-3)
    else:
        _sum(figures, power)
    for one in log.series:
        if one.channel.quantity == "utilisation":
            _put(figures, "utilisation", one, 0.01)
        elif one.channel.quantity == "memory" and one.values:
            terms = {"scope": "machine", "statistic": "peak"}
            figures.put("memory", max(one.values), f"RAM of {_lines(one.values)}", 1.0, terms, len(one.values))
    _temperature(figures, log.series)
    entries = [figures.entry(source, None, "Jetson (tegrastats)", doubts=[WHOLE])]
    entries += [_rail(one, source) for one in power if one is not total]
    entries = [one for one in entries if one.values]
    return Reported(format="tegrastats", tool=TOOL, source=source, entries=entries, notes=log.notes)


def _sum(figures: Figures, power: Sequence[Series]) -> None:
    """Where no rail is a total, those that make up the module together are, all of them."""
    parts = [one for one in power if one.channel.sums_to]
    if parts:
        mean = sum(sum(one.values) / len(one.values) for one in parts)
        names = " + ".join(one.channel.name for one in parts)
        terms = {"scope": "rails", "statistic": "mean"}
        figures.put("power", mean, f"{names} of {_lines(parts[0].values)}", 1e-3, terms, len(parts[0].values))
    else:
        figures.lacks("power", "no rail of this log is known to be a total" if power else "the log holds no power")


def _put(figures: Figures, metric: str, one: Series, scale: float) -> None:
    if one.values:
        scope = f"rail {one.channel.name}" if one.channel.scope in ("rail", "rails") else one.channel.scope
        terms = told(scope=scope, statistic="mean")
        mean = sum(one.values) / len(one.values)
        figures.put(metric, mean, f"{one.channel.name} of {_lines(one.values)}", scale, terms, len(one.values))


def _temperature(figures: Figures, series: Sequence[Series]) -> None:
    gpu = next((one for one in series if one.channel.quantity == "temperature" and one.channel.scope == "gpu"), None)
    if gpu is not None:
        _put(figures, "temperature", gpu, 1e-3)


def _rail(one: Series, source: Source) -> Entry:
    figures = Figures(TOOL)
    _put(figures, "power", one, 1e-3)
    entry = figures.entry(source, None, "Jetson (tegrastats)", doubts=[WHOLE, f"it holds {one.channel.covers}"])
    return msgspec.structs.replace(entry, contender=f"{entry.contender}, rail {one.channel.name}")


def _lines(values: Sequence[int]) -> str:
    return f"{len(values)} lines"
