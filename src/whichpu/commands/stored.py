"""``whichpu show``, ``compare`` and ``report``: they start from stored results and need no target."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json, replaceable, tell

if TYPE_CHECKING:
    from whichpu.results.comparison import Comparison

HTML = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", re.IGNORECASE)


def show(
    result: Annotated[Path, typer.Argument(help="Campaign file that `whichpu run` wrote, or a scenario file.")],
    as_json: options.Json = False,
) -> None:
    """Show the figures of a campaign file or a scenario file."""
    from whichpu.results import scenarios

    tell(scenarios.load_any(result), result, as_json, new=False)


def compare(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Campaign files.")],
    baseline: Annotated[str | None, typer.Option(help="Contender to compare with (default: the fastest).")] = None,
    as_json: options.Json = False,
) -> None:
    """Compare contenders: ratios with intervals and verdicts; a tie is an answer."""
    from whichpu.reports import terminal
    from whichpu.results import comparison, scores, store
    from whichpu.results.energy import ratios

    campaigns = [(str(path), store.load(path)) for path in results]
    kinds = (comparison.compare, ratios.compare_energy, ratios.compare_memory, scores.compare_accuracy)
    found = [(path, row) for kind in kinds for path, campaign in campaigns for row in kind(campaign, baseline)]
    between = comparison.across(campaigns) + ratios.across_energy(campaigns) + scores.across_accuracy(campaigns)
    rows = [row for _, row in found] + between
    if as_json:
        print_json({"comparisons": rows})
    elif not rows:
        typer.echo("Nothing to compare: it takes two contenders with figures.")
    else:
        told = [_of_file(path, row) if len(campaigns) > 1 else row for path, row in found]
        terminal.comparisons(told + between, terminal.console())


def _of_file(path: str, row: Comparison) -> Comparison:
    """Several campaigns may have contenders of the same names."""
    import msgspec

    return msgspec.structs.replace(row, contender=f"{path}: {row.contender}")


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
