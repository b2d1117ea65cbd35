"""``whichpu compare``: starts from results, ours or another tool's, and needs no target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json

if TYPE_CHECKING:
    from whichpu.reports.prose import Text
    from whichpu.results.anything import File
    from whichpu.results.comparison import Comparison
    from whichpu.results.schema import Campaign

PAIRS_MOST = 8
"""Contenders of a model up to which each is held against each, where no baseline is named."""


def compare(
    results: Annotated[list[Path], options.results()],
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Contender or file to compare with (default: the fastest).")
    ] = None,
    normalise_to: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show all figures as multiples of this contender's.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this figure: latency, latency_p99, power, rmse, ...")
    ] = None,
    prose: Annotated[bool, typer.Option("--prose", help="Say it in sentences too, with a selection guide.")] = False,
    language: Annotated[str, typer.Option(metavar="en|ko", help="Language of the sentences.")] = "en",
    as_json: options.Json = False,
) -> None:
    """Compare contenders: ratios with intervals and verdicts; a tie is an answer."""
    from whichpu.results import anything
    from whichpu.results.fleet import is_fleet
    from whichpu.results.schema import Campaign

    files = anything.opened(results)
    anything.refuse_joint(files)
    said = _said(files, language) if prose else None
    ours = [(file.name, file.content) for file in files if isinstance(file.content, Campaign)]
    fleet = any(is_fleet(path) for path in results)  # machines against each other: by their intervals
    if len(ours) == len(files) and normalise_to is None and not metric and not fleet:
        _campaigns(ours, baseline, as_json, said)
    else:
        _anything(files, normalise_to or baseline, metric, as_json, said, only_ratios=normalise_to is not None)
    if said is not None and not as_json:
        said.show()


# ---------------------------------------------------------------- in sentences


def _said(files: Sequence[File], language: str) -> Text:
    """What may be said of all figures, whatever is shown of them."""
    from whichpu.reports.prose import Text
    from whichpu.results import anything

    return Text([entry for file in files for entry in file.entries], anything.campaigns(files), language)


# ---------------------------------------------------------------- campaigns alone


def _campaigns(campaigns: list[tuple[str, Campaign]], baseline: str | None, as_json: bool, said: Text | None) -> None:
    """Paired verdicts within each campaign; contenders of one name in different ones are not judged."""
    from whichpu.reports import terminal
    from whichpu.results import comparison, scores
    from whichpu.results.energy import ratios

    kinds = (comparison.compare, ratios.compare_energy, ratios.compare_memory, scores.compare_accuracy)
    found = [(path, row) for kind in kinds for path, campaign in campaigns for row in kind(campaign, baseline)]
    between = comparison.across(campaigns) + ratios.across_energy(campaigns) + scores.across_accuracy(campaigns)
    rows = [row for _, row in found] + between
    if as_json:
        print_json({"comparisons": rows} | (said.data if said else {}))
    elif not rows:
        typer.echo("Nothing to compare: it takes two contenders with figures.")
    else:
        told = [_of_file(path, row) if len(campaigns) > 1 else row for path, row in found]
        terminal.comparisons(told + between, terminal.console())


def _of_file(path: str, row: Comparison) -> Comparison:
    """Several campaigns may have contenders of the same names."""
    import msgspec

    return msgspec.structs.replace(row, contender=f"{path}: {row.contender}")


# ---------------------------------------------------------------- any files


def _anything(
    files: Sequence[File],
    baseline: str | None,
    metrics: list[str] | None,
    as_json: bool,
    said: Text | None,
    *,
    only_ratios: bool,
) -> None:
    """All contenders of each model against one of them, or each against each where there are few."""
    from whichpu.reports import nway as tables
    from whichpu.reports import terminal
    from whichpu.results import anything, nway

    entries = [entry for file in files for entry in file.entries]
    ours = anything.campaigns(files)
    rows = nway.held(entries, baseline, metrics or None, ours)
    few = max(map(len, nway.grouped(entries).values()), default=0) <= PAIRS_MOST
    pairs = nway.pairs(entries, metrics or None, ours) if baseline is None and few else []
    if as_json:
        print_json({"comparisons": pairs or rows} | (said.data if said else {}))
    elif not rows:
        typer.echo("Nothing to compare: it takes two contenders of one model with figures.")
    else:
        tables.show(nway.labelled(entries), rows, pairs, terminal.console(), only_ratios=only_ratios)
