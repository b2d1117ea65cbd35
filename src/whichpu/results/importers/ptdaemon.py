"""Logs of SPEC PTDaemon, through which MLPerf Power reads power analyzers (``spl.txt``).

``Time,12-23-2020 10:21:51.496,Watts,23.43,Volts,228.37,Amps,0.20428,PF,0.5023,Mark,name``: pairs of name and value,
the date month first and in local time; as in ``ptd_client_server/logs_example`` of github.com/mlcommons/power-dev. The
analyzer stands before the power supply, so its watts are the whole board's and the supply's losses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from whichpu.errors import UserError
from whichpu.results.importers import times
from whichpu.results.importers.columns import UW, whole
from whichpu.worker.wire import Channel

if TYPE_CHECKING:
    from whichpu.results.importers import Log, Options

LINE = re.compile(r"Time,(\d\d)-(\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?,Watts,([^,]*)(?:,.*)?")
BEGINS = re.compile(r"\s*Time,\d\d-\d\d-\d{4} [\d:.]+,Watts,")


def recognises(head: str) -> bool:
    """Does it begin with a line of PTDaemon's?"""
    return BEGINS.match(head) is not None


def read(text: str, options: Options) -> Log:
    """Power in µW at UTC. Raises :class:`UserError` that names a damaged line; a cut-off last one is left out."""
    from whichpu.results.importers import Log, Series

    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    at_ns, values, lines = [], [], []
    notes = [f"times of day are taken as {times.zone_words(options.zone)}"]
    for number, line in numbered:
        found = LINE.fullmatch(line)
        month, day, year, *clock = [int(part) for part in found.groups()[:6]] if found else [0] * 6
        when = times.of_parts([year, month, day, *clock], found[7], options.zone) if found else None
        if found is None or when is None:
            if (number, line) == numbered[-1]:
                notes.append(f"line {number}, the last, is cut off: left out")
                continue
            raise UserError(f"line {number} is no line of PTDaemon: {line[:80]!r}", "give its log as it wrote it")
        watts = times.number(found[8].strip())
        if watts is not None:  # an analyzer out of range says NaN
            at_ns.append(when)
            values.append(whole(watts * UW["W"]))
            lines.append(number)
    times.in_order(at_ns, lines)
    channel = Channel(
        "ptdaemon", "watts", "power", "uW", options.scope or "board", "a power analyzer, by PTDaemon",
        covers="the whole board with its power supply, as the analyzer before it sees them",
    )  # fmt: skip
    return Log(
        format="ptdaemon", clock="utc",
        series=[Series(channel=channel, at_ns=times.spread(at_ns), values=values)], notes=notes,
    )  # fmt: skip
