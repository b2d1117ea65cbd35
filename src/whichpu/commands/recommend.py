"""``whichpu recommend``: from results to a decision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json
from whichpu.errors import EXIT_CHECK

if TYPE_CHECKING:
    from whichpu.recommend import Limit
    from whichpu.results.anything import File


def most(help: str, metavar: str = "TIME") -> Any:
    """A limit that a figure may reach at most, or has to reach at least."""
    return typer.Option(metavar=metavar, help=help)


def recommend(
    results: Annotated[list[Path], options.results()],
    max_latency: Annotated[str | None, most("At most this latency: the statistic that all have.")] = None,
    max_latency_mean: Annotated[str | None, most("At most this mean latency.")] = None,
    max_median: Annotated[str | None, most("At most this median latency.")] = None,
    max_p95: Annotated[str | None, most("At most this 95th percentile.")] = None,
    max_p99: Annotated[str | None, most("At most this 99th percentile.")] = None,
    max_power: Annotated[str | None, most("At most this mean power.", "POWER")] = None,
    max_energy: Annotated[str | None, most("At most this energy per inference.", "ENERGY")] = None,
    max_memory: Annotated[str | None, most("At most this memory of the host.", "SIZE")] = None,
    max_device_memory: Annotated[str | None, most("At most this memory of the device.", "SIZE")] = None,
    max_size: Annotated[str | None, most("At most this size of the model.", "SIZE")] = None,
    max_load: Annotated[str | None, most("At most this time to load the model.")] = None,
    max_cost: Annotated[str | None, most("At most this price (--prices).", "PRICE")] = None,
    max_rmse: Annotated[str | None, most("At most this RMSE.", "NUMBER")] = None,
    min_throughput: Annotated[str | None, most("At least so many inferences per second.", "RATE")] = None,
    min_accuracy: Annotated[str | None, most("At least this accuracy: 0.98 or 98%.", "SHARE")] = None,
    limit: Annotated[
        list[str] | None, most("Any other: 'latency_p90 <= 5ms', 'map50 >= 0.5'; repeat for more.", "LIMIT")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="latency, throughput, energy, power, accuracy, cost, p99, ...; first first."),
    ] = None,
    prices: Annotated[Path | None, options.file("TOML table of what contenders or devices cost.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only this model.")] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Let in who has no figure for a limit.")
    ] = False,
    sure: Annotated[bool, typer.Option("--sure", help="All of a figure's interval must keep the limit.")] = False,
    assign: Annotated[
        Path | None, options.file("Plan (.toml) of several models on several units: who runs where.")
    ] = None,
    language: Annotated[str, typer.Option(metavar="en|ko", help="Language of the sentences.")] = "en",
    as_json: options.Json = False,
) -> None:
    """Say what to ship on under your limits, and why; exit 2 if nothing keeps them."""
    given = {name: text for name, text in locals().items() if name.startswith(("max_", "min_")) and text is not None}
    from whichpu.recommend import prices as tables
    from whichpu.results import anything

    files = anything.opened(results)
    anything.refuse_joint(files)
    if assign is not None:
        _assign(files, assign, language, as_json)
        return
    limits = [*_limits(given), *_others(limit or [])]
    table = tables.read(prices) if prices is not None else None
    options_ = {"prices": table, "allow_unknown": allow_unknown, "sure": sure, "model": model}
    _recommend(files, limits, objective, options_, language, as_json)


NAMES = {"latency": "latency", "latency_mean": "mean"}
"""What an option's name is called as a limit, where that is not its end."""


def _limits(given: dict[str, str]) -> Iterator[Limit]:
    from whichpu.recommend.asked import limit

    for name, text in given.items():
        side, _, figure = name.partition("_")
        yield limit(NAMES.get(figure, figure), "most" if side == "max" else "least", text)


def _others(texts: list[str]) -> Iterator[Limit]:
    from whichpu.recommend.asked import limit_of

    for text in texts:
        yield limit_of(text)


def _recommend(
    files: list[File],
    limits: list[Limit],
    objectives: list[str] | None,
    given: dict[str, Any],
    language: str,
    as_json: bool,
) -> None:
    from whichpu.recommend import recommend as advise
    from whichpu.reports import advice as reports
    from whichpu.reports import terminal
    from whichpu.results import anything

    entries = [entry for file in files for entry in file.entries]
    names = [name for text in objectives or ["latency"] for name in text.split(",") if name.strip()]
    found = advise(entries, limits, names, campaigns=anything.campaigns(files), **given)
    found = reports.told(found, language)
    if as_json:
        print_json(found)
    else:
        reports.show(found, terminal.console(), language)
    if not found.feasible:
        raise typer.Exit(EXIT_CHECK)


def _assign(files: list[File], plan: Path, language: str, as_json: bool) -> None:
    from whichpu.recommend import assignment, plans
    from whichpu.reports import assignment as reports
    from whichpu.reports import terminal

    entries = [entry for file in files for entry in file.entries]
    found = reports.told(assignment.assign(entries, plans.read(plan)), language)
    if as_json:
        print_json(found)
    else:
        reports.show(found, terminal.console(), language)
    if not found.feasible:
        raise typer.Exit(EXIT_CHECK)
