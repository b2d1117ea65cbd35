"""``whichpu import``: another tool's results become a file of ours, with the original kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json, replaceable

IMPORTED = re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.reported/')


def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Result files of other tools.")],
    output: Annotated[Path, options.file_to_write("File to write.")] = Path("imported.json"),
    format: Annotated[
        str | None, typer.Option(metavar="NAME", help="Format of the files (default: recognised).")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The model, where the file names none.")] = None,
    contender: Annotated[
        str | None, typer.Option(metavar="NAME", help="The runtime and device, where the file names none.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Import other tools' results: what they hold, the original file and its hash, and what they don't tell."""
    from whichpu.reports import imported, terminal
    from whichpu.results import reported

    replaceable(output, IMPORTED, "a file that `whichpu import` wrote", files)
    found = reported.merged([reported.read(path, format, model, contender) for path in files])
    reported.save(found, output)
    if as_json:
        print_json({"path": str(output), **imported.body(found)})
        return
    screen = terminal.console()
    imported.show(found, screen)
    screen.print(f"Wrote {output}; compare, recommend and report read it.", markup=False)


import_.__name__ = "import"
