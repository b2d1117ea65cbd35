"""``whichpu show`` and ``report``: they start from stored results and need no target."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json, replaceable, tell

HTML = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", re.IGNORECASE)


def show(
    result: Annotated[Path, typer.Argument(help="Campaign file, scenario file, or another tool's results.")],
    as_json: options.Json = False,
) -> None:
    """Show the figures of a campaign, a scenario, or another tool's results."""
    from whichpu.results import anything

    tell(anything.load(result), result, as_json, new=False)


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Campaign files and scenario files.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
    normalise_to: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Hold all contenders of all campaigns against this one, in one figure."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write an HTML report that needs no network."""
    from whichpu.reports import html
    from whichpu.results import scenarios, store

    replaceable(output, HTML, "an HTML page", results)
    page = html.page([(path.name, scenarios.load_any(path)) for path in results], normalise_to)
    store.write(output, page.encode())
    print_json({"path": str(output)}) if as_json else typer.echo(f"Wrote {output}")
