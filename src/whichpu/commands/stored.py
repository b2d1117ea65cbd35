"""``whichpu show`` and ``report``: they start from stored results and need no target."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json, replaceable, tell, tell_machines

HTML = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", re.IGNORECASE)


def show(
    result: Annotated[Path, typer.Argument(help="Campaign file, scenario file, or another tool's results.")],
    as_json: options.Json = False,
) -> None:
    """Show the figures of a campaign, a scenario, or another tool's results."""
    from whichpu.results import anything, fleet

    if fleet.is_fleet(result):
        tell_machines(fleet.load(result).campaigns, result, as_json, new=False)
    else:
        tell(anything.load(result), result, as_json, new=False)


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...",
            help="Campaign files, scenario files, other tools' results; analyses (whichpu analyze --json) beside them.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="HTML file to write; Markdown if its name ends in .md.")
    ] = Path("report.html"),
    normalise_to: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Hold all contenders against this one (default: the fastest of each model)."),
    ] = None,
    language: Annotated[str, typer.Option(metavar="en|ko", help="Language of the report.")] = "en",
    charts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write each chart there, as SVG and as PNG.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write a report to decide by, which needs no network: the pick, why, figures, charts, doubts."""
    from whichpu.reports import decision_files as files
    from whichpu.results import store

    markdown = output.suffix.lower() in (".md", ".markdown")
    replaceable(
        output,
        files.MARKDOWN if markdown else HTML,
        "Markdown of whichpu report" if markdown else "an HTML page",
        results,
    )
    made = files.made(results, output, normalise_to, language, charts, markdown=markdown)
    drawn = files.drawn(made, charts) if charts is not None else []
    store.write(output, made.text.encode())
    if as_json:
        print_json({"path": str(output), "charts": [str(path) for path in drawn]})
    else:
        typer.echo(f"Wrote {output}" + (f" and {len(drawn)} charts in {charts}" if charts is not None else ""))
