"""``whichpu join``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import SUFFIX, destination, tell


def join(
    result: Annotated[Path, typer.Argument(help="Campaign file of a run with metered windows.")],
    log: Annotated[Path, typer.Argument(help="What another program wrote meanwhile.")],
    format: Annotated[str | None, typer.Option(metavar="NAME", help="Format of the log (default: recognised).")] = None,
    shift: Annotated[
        str | None, typer.Option(metavar="TIME", help="Add this to the log's times: 1.5s, -200ms.")
    ] = None,
    began: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="When the log began: 2026-11-20T18:00:00+09:00.")
    ] = None,
    align: Annotated[bool, typer.Option("--align", help="Place it by the run's pattern of busy and idle.")] = False,
    interval: Annotated[str | None, options.time("Time between the log's lines where they carry none.")] = None,
    zone: Annotated[
        str | None, typer.Option(metavar="OFFSET", help="Zone of the log's times of day: +09:00 (default: this one).")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="NAME=WHAT:UNIT", help="What a column holds: P1=power:mW, t=time:ms.")
    ] = None,
    voltage: Annotated[
        str | None, typer.Option(metavar="VOLTS", help="The supply, where only the current was logged: 5V.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(metavar="SCOPE", help="What a bench meter's power covers (board).")
    ] = None,
    output: Annotated[Path | None, options.output("Campaign file to write (default: a new one).")] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Join another program's log of power to a run: tegrastats, nvidia-smi, a bench meter's table."""
    from whichpu import api
    from whichpu.results import join as joining
    from whichpu.results.writable import writable

    measured = api.load(result)
    joined = measured.join(
        log,
        format=format,
        shift_s=options.given(signed_seconds, shift),
        began=began,
        align=align,
        interval_s=options.given(options.seconds, interval),
        zone=zone,
        columns=options.named("--column", column, "doesn't say what a column holds", "'P1=power:mW'"),
        voltage_v=options.given(volts, voltage),
        scope=scope,
    )
    if output is not None:
        writable(output, "campaign", "joined.whichpu.json", [log], overwrite=overwrite)
    elif overwrite:
        output = writable(result, "campaign", "joined.whichpu.json", [log], overwrite=True)
    name = result.name.removesuffix(SUFFIX).removesuffix(".json")
    with destination(output, f"{name}-joined{SUFFIX}") as path:
        joined.save(path)
        metered = joined.campaign.metered
        assert metered is not None
        for sentence in joining.sentences(metered.joined[-1], metered.channels):
            typer.echo(sentence, err=as_json)
        tell(joined.campaign, path, as_json)


# ---------------------------------------------------------------- texts


def signed_seconds(text: str) -> float:
    """``1.5s``, ``-200ms``, ``0s``."""
    size = text.strip().lstrip("+-")
    if size in ("0", "0s", "0ms"):
        return 0.0
    return (-1 if text.strip().startswith("-") else 1) * options.seconds(size)


def volts(text: str) -> str:
    """``5V`` or plain volts, as they are written."""
    return text.strip().removesuffix("V").strip()
