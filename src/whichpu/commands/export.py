"""``whichpu export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json
from whichpu.errors import UserError


def export(
    results: Annotated[list[Path], options.results("Files of results, of any kind.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="csv, json, parquet, pytest-benchmark, pyperf, chrome-trace, markdown, junit or mlflow.",
        ),
    ],
    output: Annotated[
        Path | None, options.file_to_write("File to write (of mlflow: a folder). Default: the screen.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of junit: whom the others are held against (the fastest).")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write results for other tools: tables, benchmark suites, build servers, traces."""
    from whichpu import api
    from whichpu.api.exporting import BINARY, MLFLOW

    if output is None and (to in BINARY or (as_json and to != MLFLOW)):
        raise UserError(f"{to} goes into a file", "name it with -o FILE")
    found = api.export(results, to, output, baseline=baseline)
    for sentence in found.left_out:
        typer.echo(f"Left out: {sentence}", err=True)
    if as_json:
        path = str(found.path) if found.path is not None else None
        print_json({"path": path, "format": to, "left_out": found.left_out, "runs": found.runs})
    elif to == MLFLOW:
        typer.echo(f"Logged {len(found.runs)} runs{'' if output is None else f' in {output}'}")
    elif output is not None:
        typer.echo(f"Wrote {output}")
    else:
        sys.stdout.buffer.write(found.data)
