"""``whichpu scenario``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import SUFFIX, destination, interruptible, nothing_measured, progress, tell

NAMES = ("SingleStream", "MultiStream", "Server", "Offline")


def scenario(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO",
            help="SingleStream, MultiStream, Server or Offline.",
            autocompletion=lambda: list(NAMES),
        ),
    ],
    model: Annotated[Path, typer.Argument(help="Model file, as for `run`.")],
    on: Annotated[list[str] | None, options.target("Where to run, as for `run`. Repeat for more.")] = None,
    bound: Annotated[str | None, options.time("Server: p99 of the latency must stay below this, as 5ms.")] = None,
    batch: Annotated[str, options.values("Samples in one runtime call: 1,8,32.")] = "1",
    threads: Annotated[str, options.values("Threads of each session: 1,2.")] = "1",
    streams: Annotated[str, options.values("Sessions side by side: 1,2.")] = "1",
    samples_per_query: Annotated[int | None, options.number("MultiStream: samples in one query (default: 8).")] = None,
    duration: Annotated[str, options.time("Least length of one test.")] = "3s",
    budget: Annotated[str, options.time("Server: time at most for each search.")] = "5m",
    data: options.Data = None,
    output: Annotated[Path | None, options.output("Scenario file to write.")] = None,
    form: options.Forms = None,
    shape: options.ShapeTexts = None,
    siblings: options.Siblings = True,
    cpus: Annotated[str | None, options.values("Pin every contender to these CPUs: 0,2-3.")] = None,
    seed: Annotated[int | None, options.number("Seed of all that is drawn.", 0)] = None,
    timeout: options.Timeout = "120s",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the scenario file in --output.")] = False,
    as_json: options.Json = False,
) -> None:
    """Run MODEL in one of MLPerf's scenarios on MLCommons' LoadGen; Server finds the highest rate that holds."""
    from whichpu import api

    with (
        destination(output, f"{model.stem}.{name.lower()}{SUFFIX}") as path,
        interruptible(lambda: _kept(path)),
        progress() as watch,
    ):
        outcome = api.scenario(
            name,
            model,
            on or ["all"],
            bound_s=options.given(options.seconds, bound),
            batches=options.numbers("--batch", batch),
            threads=options.numbers("--threads", threads),
            streams=options.numbers("--streams", streams),
            samples_per_query=samples_per_query,
            duration_s=options.seconds(duration),
            budget_s=options.seconds(budget),
            data=data,
            forms=form or (),
            shapes=options.shapes(shape),
            siblings=siblings,
            output=path,
            overwrite=overwrite or output is None,
            cpus=options.cpu_list(cpus),
            seed=seed,
            timeout_s=options.seconds(timeout),
            watch=watch,
        )
    tell(outcome.run, path, as_json)
    if not any(row.probes for row in outcome.rows):
        raise nothing_measured(path)


def _kept(path: Path) -> str:
    from whichpu.results import scenarios
    from whichpu.results.writable import is_one

    tests = sum(len(row.probes) for row in scenarios.load(path).rows) if is_one(path, "scenario") else 0
    return f"{tests} test{'s are' if tests > 1 else ' is'} kept in {path}." if tests else "Nothing was measured."
